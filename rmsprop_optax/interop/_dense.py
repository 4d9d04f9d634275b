"""Dense layers in Flax's layout, and the helper that moves the arrays of any layer."""

from collections.abc import Callable, Mapping

import numpy as np

from rmsprop_optax.interop._converter import Array, Arrays
from rmsprop_optax.interop._pytorch_file import to_numpy


def linear(
    params: Arrays, *, inputs: tuple[int, ...] | None = None, outputs: tuple[int, ...] | None = None
) -> dict[str, Array]:
    r"""PyTorch's ``Linear``, Keras' ``Dense`` and ``EinsumDense`` → ``Dense``, ``DenseGeneral``, ``nnx.Linear``.

    .. math::
      kernel = weight^T

    Args:
      params: ``weight`` (outputs, inputs) or ``kernel`` (inputs, outputs); ``bias``.
      inputs: the sizes of the input axes of ``DenseGeneral``, such as (heads, features of a head).
      outputs: the sizes of the output axes of ``DenseGeneral``.

    Example:
      >>> linear({"weight": np.array([[1, 2], [3, 4], [5, 6]]), "bias": np.array([7, 8, 9])})
      {'kernel': array([[1, 3, 5],
             [2, 4, 6]]), 'bias': array([7, 8, 9])}
    """

    def split(w: Array) -> Array:
        return w.reshape(*(inputs or w.shape[:1]), *(outputs or w.shape[1:]))

    return moved(
        params,
        weight=("kernel", lambda w: split(w.transpose(1, 0))),
        kernel=("kernel", split),
        bias=("bias", lambda b: b.reshape(outputs or b.shape)),
    )


def linear_after_flatten(params: Arrays, *, shape: tuple[int, ...]) -> dict[str, Array]:
    r"""The linear layer after a flatten, channels first in PyTorch and channels last in Flax → ``Dense``.

    .. math::
      kernel[h W C + w C + c] = weight^T[c H W + h W + w]

    Args:
      params: ``weight`` (outputs, inputs); ``bias``.
      shape: the shape that PyTorch flattens, without the batch: (C, H, W), or C and any number of axes.

    Example:
      >>> linear_after_flatten({"weight": np.arange(8).reshape(1, 8)}, shape=(2, 2, 2))["kernel"].ravel()
      array([0, 4, 1, 5, 2, 6, 3, 7])
    """

    def channels_last(w: Array) -> Array:
        return w.reshape(*shape, w.shape[1]).transpose(*range(1, len(shape)), 0, len(shape)).reshape(w.shape)

    return moved(
        params,
        weight=("kernel", lambda w: channels_last(w.transpose(1, 0))),
        kernel=("kernel", channels_last),
        bias="bias",
    )


def moved(params: Arrays, axes: int = 2, /, **places: str | tuple[str, Callable[[Array], Array]]) -> dict[str, Array]:
    """Rename the arrays of a layer to Flax's names, and move their entries.

    Args:
      params: the arrays by the framework's names.
      axes: the least number of axes of a kernel.
      **places: the framework's name → Flax's name, or a pair of Flax's name and the function that moves the entries.
    """
    over = [name for name in of_layer(params) if name not in places]
    if over:
        raise ValueError(
            f"this layer only takes {', '.join(places)}, got {', '.join(over)}: use the function of the layer that has "
            "these arrays, or leave out the arrays that are not parameters."
        )
    made = {}
    for name, given in params.items():
        array = to_numpy(given) if hasattr(given, "detach") else given
        place, function = (p, lambda a: a) if isinstance(p := places[name], str) else p
        try:
            made[place] = function(array)
        except (AttributeError, TypeError, ValueError) as error:
            raise no_fit(name, array, str(error)) from error
        if place in ("kernel", "embedding") and np.ndim(made[place]) < axes:
            raise no_fit(name, array, f"fewer than {axes} axes")
    return made


def of_layer(params: Arrays) -> Arrays:
    """Return ``params``; raise ``TypeError`` unless it is a mapping with at least one array."""
    if not isinstance(params, Mapping) or not params:
        raise TypeError(
            f"a layer must be a non-empty mapping from names to arrays, got {params!r:.80}: pass "
            "prefixed(arrays, layer) with the layer's name."
        )
    return params


def no_fit(name: str, array: Array, reason: str) -> ValueError:
    return ValueError(
        f"{name} must be an array with the shape of its layer, got {np.shape(array)} ({reason}): use the function of "
        "the layer that has this array, with the sizes of the model."
    )
