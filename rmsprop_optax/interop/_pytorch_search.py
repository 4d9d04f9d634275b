"""Find an optimizer and a model in a checkpoint of nested dicts and lists."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from rmsprop_optax._paths import some


def find_optimizer(checkpoint: Any, at: str | None = None) -> dict[str, Any]:
    """The optimizer's ``state_dict`` in a checkpoint.

    Args:
      checkpoint: dicts and lists, as :func:`load` returns them, with a dict of ``state`` and ``param_groups`` in them.
      at: the place of the dict, its keys joined by dots, as in ``"optimizer_states.0"``; needed if there are several.

    Raises:
      ValueError: there is no such dict, or several, or none at this place.

    Example:
      >>> find_optimizer({"epoch": 3, "optimizer": {"state": {}, "param_groups": []}})
      {'state': {}, 'param_groups': []}
    """
    places = dict(_places(checkpoint, is_optimizer))
    found: dict[str, Any] = _the_one(places, at, "dict of state and param_groups", "optimizer")
    return found


def find_model(checkpoint: Any, at: str | None = None) -> dict[str, Any]:
    """The arrays of the model's ``state_dict`` in a checkpoint, parameters and buffers, by name.

    Args:
      checkpoint: dicts and lists, as :func:`load` returns them, with a dict of arrays in them.
      at: the place of the dict, its keys joined by dots, as in ``"state_dict_ema"``; needed if there are several.

    Raises:
      ValueError: there is no such dict, or several, or none at this place.

    Example:
      >>> find_model({"epoch": 3, "model": {"fc.weight": np.ones(2)}})
      {'fc.weight': array([1., 1.])}
    """
    both = dict(_places(checkpoint, lambda node: is_optimizer(node) or _is_arrays(node)))
    models = {place: node for place, node in both.items() if not is_optimizer(node)}
    return dict(_leaves(_the_one(models, at, "dict of arrays", "model")))


def parameters(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model's ``state_dict`` without the buffers of normalisation layers and without integers.

    The rest is in the order of ``model.named_parameters()``, unless the model has other buffers or shares a parameter.
    :func:`read` compares the shapes with the optimizer's.

    Args:
      model: the ``state_dict``, arrays by name.

    Example:
      >>> list(parameters({"norm.weight": np.ones(2), "norm.running_mean": np.ones(2), "mask": np.ones(2, int)}))
      ['norm.weight']
    """
    if not isinstance(model, Mapping):
        raise TypeError(f"model must be a state_dict, got {model!r:.80}: find_model finds it in the result of load.")
    buffers = "running_mean", "running_var", "num_batches_tracked"
    return {
        name: array
        for name, array in model.items()
        if not name.endswith(buffers) and jnp.issubdtype(dtype_of(array) or float, jnp.inexact)
    }


def is_optimizer(node: Any) -> bool:
    """Whether a part of a checkpoint is an optimizer's ``state_dict``."""
    return (
        isinstance(node, Mapping)
        and isinstance(node.get("state"), Mapping)
        and isinstance(node.get("param_groups"), Sequence)
        and all(isinstance(group, Mapping) and "params" in group for group in node["param_groups"])
    )


def dtype_of(x: Any) -> np.dtype[Any] | None:
    """The NumPy dtype of a tensor or an array; ``None`` for a shape."""
    if isinstance(x, Sequence):
        return None
    return np.dtype(str(x.dtype).removeprefix("torch.")) if hasattr(x, "dtype") else None


def _is_arrays(node: Any) -> bool:
    leaves = [x for _, x in _leaves(node)] if isinstance(node, Mapping) else []
    return bool(leaves) and all(hasattr(x, "shape") for x in leaves)


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dicts, by their keys joined by dots."""
    if isinstance(node, Mapping):
        for key, child in node.items():
            yield from _leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def _places(node: Any, wanted: Callable[[Any], bool], path: str = "") -> Iterator[tuple[str, Any]]:
    """The outermost dicts and lists that satisfy ``wanted``, by their keys joined by dots."""
    if wanted(node):
        yield path, node
    elif isinstance(node, Mapping | list | tuple):
        for key, child in node.items() if isinstance(node, Mapping) else enumerate(node):
            yield from _places(child, wanted, f"{path}.{key}" if path else str(key))


def _the_one(found: Mapping[str, Any], at: str | None, what: str, word: str) -> Any:
    if at is not None and at in found:
        return found[at]
    if at is None and len(found) == 1:
        return next(iter(found.values()))
    there = f"{len(found)}, at {some([repr(place) for place in found])}" if found else "none"
    asked = "" if at is None else f" at {at!r}"
    mend = (
        f"choose one with at=… ({word}=… of convert.read, --{word})" if found else "pass the file that it was saved in"
    )
    raise ValueError(f"a checkpoint must have one {what}{asked}, got {there}: {mend}.")
