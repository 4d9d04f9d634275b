"""Layers of PyTorch and Keras in Flax's layout: the parts of your ``convert``.

Each function takes the arrays of one layer by the framework's names and returns them by Flax's names, which Linen and
nnx share unless the docstring says otherwise. The names show the framework: PyTorch's ``weight`` is Keras' ``kernel``.
Arrays may be absent; a name that the layer does not have raises ``ValueError``. Arrays and tensors are moved and never
computed with, so slots follow them in both directions (:mod:`rmsprop_optax.interop.layout`).

Default options differ; set them by hand:

===================== ======= ===== ====
epsilon               PyTorch Keras Flax
===================== ======= ===== ====
LayerNorm, GroupNorm  1e-5    1e-3  1e-6
BatchNorm             1e-5    1e-3  1e-5
RMSNorm               2⁻²³    1e-6  1e-6
===================== ======= ===== ====

``momentum`` of BatchNorm is the weight of the new value in PyTorch and of the old value in Keras and Flax: 0.1 in
PyTorch is 0.9 in the others.

Sources: torch 2.13 (torch/nn/modules), timm 1.0.31 (timm/layers/attention.py), keras 3.15.1 (keras/src/layers), flax
0.12.8 (flax/linen, flax/nnx/nn).
"""

import re

import numpy as np

from rmsprop_optax._paths import some
from rmsprop_optax.interop._converter import Array, Arrays, Layer, converter, prefixed
from rmsprop_optax.interop._dense import linear, linear_after_flatten, moved, no_fit, of_layer
from rmsprop_optax.interop._recurrent import cell, cell_by_gate

__all__ = [
    "Arrays",
    "Layer",
    "batch_stats",
    "cell",
    "cell_by_gate",
    "conv",
    "conv_transpose",
    "converter",
    "depthwise_conv",
    "embedding",
    "linear",
    "linear_after_flatten",
    "multi_head_attention",
    "norm",
    "prefixed",
]


def conv(params: Arrays) -> dict[str, Array]:
    r"""Convolutions of one to three dimensions, with groups or without → ``Conv``.

    .. math::
      kernel[h, w, i, o] = weight[o, i, h, w]

    Args:
      params: ``weight`` (outputs, inputs of a group, ...) or ``kernel`` (..., inputs of a group, outputs); ``bias``.

    Example:
      >>> conv({"weight": np.zeros((8, 3, 5, 4)), "bias": np.zeros(8)})["kernel"].shape
      (5, 4, 3, 8)
    """
    return moved(params, 3, weight=("kernel", _spatial_first), kernel="kernel", bias="bias")


def depthwise_conv(params: Arrays) -> dict[str, Array]:
    r"""Keras' ``DepthwiseConv1D`` and ``2D`` → ``Conv`` with as many groups as there are inputs.

    .. math::
      kernel[h, w, 0, c M + m] = kernel[h, w, c, m]

    Args:
      params: ``kernel`` (..., inputs C, multiplier M); ``bias``.

    Example:
      >>> depthwise_conv({"kernel": np.zeros((5, 4, 3, 2))})["kernel"].shape
      (5, 4, 1, 6)
    """
    return moved(params, 3, kernel=("kernel", lambda w: w.reshape(*w.shape[:-2], 1, -1)), bias="bias")


def conv_transpose(params: Arrays, *, transpose_kernel: bool = False) -> dict[str, Array]:
    r"""Transposed convolutions of one to three dimensions, without groups → ``ConvTranspose``.

    .. math::
      kernel[h, w, i, o] = weight[i, o, H - 1 - h, W - 1 - w], \quad
      \text{with } transpose\_kernel \quad kernel[h, w, o, i] = weight[i, o, h, w]

    Padding p and output padding q of PyTorch are ``padding=[(d (k - 1) - p, d (k - 1) - p + q), ...]`` in Flax, for a
    kernel of size k with dilation d.

    Args:
      params: ``weight`` (inputs, outputs, ...) or ``kernel`` (..., outputs, inputs); ``bias``.
      transpose_kernel: Flax's option of this name.

    Example:
      >>> conv_transpose({"weight": np.array([[[1, 2, 3]]])})["kernel"].ravel()
      array([3, 2, 1])
    """

    def place(w: Array) -> Array:
        return w if transpose_kernel else w[(slice(None, None, -1),) * (w.ndim - 2)].swapaxes(-1, -2)

    weight = ("kernel", lambda w: place(_spatial_first(w)))
    return moved(params, 3, weight=weight, kernel=("kernel", place), bias="bias")


_BUFFERS = ("running_mean", "running_var", "moving_mean", "moving_variance", "num_batches_tracked")


def norm(params: Arrays) -> dict[str, Array]:
    """Batch, layer, group, instance and RMS normalisation → ``BatchNorm``, ``LayerNorm`` and so on.

    Args:
      params: ``weight`` or ``gamma`` or ``scale``; ``bias`` or ``beta``. Running statistics have no slots and are left
        out.

    Example:
      >>> norm({"weight": np.array([1, 2]), "bias": np.array([3, 4]), "running_mean": np.zeros(2)})
      {'scale': array([1, 2]), 'bias': array([3, 4])}
    """
    trained = {name: a for name, a in of_layer(params).items() if name not in _BUFFERS}
    return moved(trained, weight="scale", gamma="scale", scale="scale", bias="bias", beta="bias")


def batch_stats(module: Arrays, *, entries: int | None = None) -> dict[str, Array]:
    r"""Running statistics of batch normalisation → ``batch_stats`` of Linen and of nnx, or back to PyTorch's.

    PyTorch keeps the unbiased variance, n / (n − 1) times the variance that Flax and Keras keep. ``entries`` converts
    one to the other:

    .. math::
      var = running\_var \cdot (n - 1) / n

    The initial value of 1 in a running variance leaves an error of ``(1 - momentum)**num_batches_tracked / n``. Without
    ``entries``, the variance is not changed, and both frameworks give the same outputs at inference.

    Args:
      module: ``running_mean`` and ``running_var``, or ``moving_mean`` and ``moving_variance``; other arrays of the
        module are left out. Or ``mean`` and ``var`` of Flax, which become PyTorch's.
      entries: n, the entries of one channel in a batch of the training (batch size × height × width), at least 2.

    Raises:
      ValueError: the module has no statistics, ``entries`` is given for Keras, or ``entries`` is out of its range.

    Example:
      >>> module = {"weight": np.ones(1), "running_mean": np.array([1.0]), "running_var": np.array([3.0])}
      >>> batch_stats(module), batch_stats(module, entries=4)["var"]
      ({'mean': array([1.]), 'var': array([3.])}, array([2.25]))
      >>> batch_stats({"var": np.array([2.25])}, entries=4)
      {'running_var': array([3.])}

    Source:
      pytorch/pytorch 2.13.0: aten/src/ATen/native/Normalization.cpp.
    """
    kept = (*_BUFFERS[:4], "mean", "var")
    stats = {name: array for name, array in of_layer(module).items() if name in kept}
    if not stats or (entries is not None and "moving_variance" in stats):
        raise ValueError(
            "a module must have running_mean and running_var, or without entries moving_mean and moving_variance, got "
            f"{some(list(module)) or 'no array'}: pass the state dict of one layer, prefixed(arrays, layer)."
        )
    if entries is not None and (type(entries) is not int or entries < 2):
        raise ValueError(f"entries must be a whole number above 1, got {entries!r}: pass batch size × height × width.")
    ratio = 1.0 if entries is None else (entries - 1) / entries
    return moved(
        stats,
        running_mean="mean",
        running_var=("var", lambda v: v * ratio),
        moving_mean="mean",
        moving_variance="var",
        mean="running_mean",
        var=("running_var", lambda v: v / ratio),
    )


def embedding(params: Arrays) -> dict[str, Array]:
    """Embeddings → ``Embed``.

    Args:
      params: ``weight`` or ``embeddings`` (entries, features).

    Example:
      >>> embedding({"weight": np.array([[1, 2]])})
      {'embedding': array([[1, 2]])}
    """
    return moved(params, weight="embedding", embeddings="embedding")


def multi_head_attention(params: Arrays, *, num_heads: int) -> dict[str, dict[str, Array]]:
    r"""PyTorch's and timm's attention → ``MultiHeadDotProductAttention``, ``nnx.MultiHeadAttention``.

    .. math::
      query[e, h, d] = weight[h D + d, e], \quad out[h, d, e] = weight[e, h D + d]

    Keras' attention already has Flax's layout: convert it with ``("mha/query", linear)`` and so on. Keras calls ``out``
    ``attention_output``.

    Args:
      params: ``in_proj_weight`` (3 E, E) or ``q_proj_weight`` (E, E), ``k_proj_weight``, ``v_proj_weight``;
        ``in_proj_bias``; ``out_proj.weight`` and ``.bias``. Or timm's ``qkv.weight``, ``proj.weight`` and biases.
      num_heads: H, with features D = E / H.

    Example:
      >>> tree = multi_head_attention({"qkv.weight": np.zeros((12, 4)), "proj.bias": np.zeros(4)}, num_heads=2)
      >>> tree["key"]["kernel"].shape, tree["out"]["bias"].shape
      ((4, 2, 2), (4,))
    """
    roles = {"q": "query", "k": "key", "v": "value"}
    made: dict[str, dict[str, Array]] = {role: {} for role in (*roles.values(), "out")}
    for name, array in of_layer(params).items():
        match = re.fullmatch(r"(?:(in_proj|qkv)|([qkv])_proj|out_proj|proj)[._](weight|bias)", name)
        if not match:
            raise ValueError(f"{name} has no place in Flax's attention: write your own layer and its function.")
        joint, letter, leaf = match.groups()
        if joint:
            if np.shape(array)[0] % 3:
                raise no_fit(name, array, "no three parts")
            for role, part in zip(roles.values(), array.reshape(3, -1, *array.shape[1:]), strict=True):
                made[role][leaf] = part
        else:
            made[roles[letter] if letter else "out"][leaf] = array
    heads = (num_heads, -1)
    return {
        role: linear(leaves, inputs=heads) if role == "out" else linear(leaves, outputs=heads)
        for role, leaves in made.items()
        if leaves
    }


def _spatial_first(w: Array) -> Array:
    return w.transpose(*range(2, w.ndim), 1, 0)
