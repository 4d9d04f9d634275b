"""Layers of PyTorch and Keras as Flax has them: the parts of the user's ``convert``.

Each function takes the arrays of one layer by the framework's names and returns them by Flax's names, which Linen and
nnx share unless the docstring says otherwise. The names tell the framework: PyTorch's ``weight`` is Keras' ``kernel``.
Arrays may be absent; a name that the layer does not have raises ``ValueError``. Arrays of NumPy or JAX are moved and
never computed with, so slots follow them in both directions (:mod:`rmsprop_optax.interop.layout`).

Default options differ and are converted by hand:

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
from collections.abc import Callable

import numpy as np

from rmsprop_optax.interop._converter import Array, Arrays, Layer, converter, prefixed

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


def linear(
    params: Arrays, *, inputs: tuple[int, ...] | None = None, outputs: tuple[int, ...] | None = None
) -> dict[str, Array]:
    r"""PyTorch's ``Linear``, Keras' ``Dense`` and ``EinsumDense`` → ``Dense``, ``DenseGeneral``, ``nnx.Linear``.

    .. math::
      kernel = weight^T

    Args:
      params: ``weight`` (outputs, inputs) or ``kernel`` (inputs, outputs); ``bias``.
      inputs: the sizes of the axes that ``DenseGeneral`` has for the inputs, such as (heads, features of a head).
      outputs: the sizes of the axes that ``DenseGeneral`` has for the outputs.

    Example:
      >>> linear({"weight": np.array([[1, 2], [3, 4], [5, 6]]), "bias": np.array([7, 8, 9])})
      {'kernel': array([[1, 3, 5],
             [2, 4, 6]]), 'bias': array([7, 8, 9])}
    """

    def split(w: Array) -> Array:
        return w.reshape(*(inputs or w.shape[:1]), *(outputs or w.shape[1:]))

    return _moved(
        params,
        weight=("kernel", lambda w: split(w.transpose(1, 0))),
        kernel=("kernel", split),
        bias=("bias", lambda b: b.reshape(outputs or b.shape)),
    )


def linear_after_flatten(params: Arrays, *, shape: tuple[int, ...]) -> dict[str, Array]:
    r"""The first linear layer after images are flattened, channels first in PyTorch and last in Flax → ``Dense``.

    .. math::
      kernel[h W C + w C + c] = weight^T[c H W + h W + w]

    Args:
      params: ``weight`` (outputs, inputs); ``bias``.
      shape: the shape that PyTorch flattens, without the batch: (C, H, W), or C and any other number of axes.

    Example:
      >>> linear_after_flatten({"weight": np.arange(8).reshape(1, 8)}, shape=(2, 2, 2))["kernel"].ravel()
      array([0, 4, 1, 5, 2, 6, 3, 7])
    """

    def channels_last(w: Array) -> Array:
        return w.reshape(*shape, w.shape[1]).transpose(*range(1, len(shape)), 0, len(shape)).reshape(w.shape)

    return {name: channels_last(a) if name == "kernel" else a for name, a in linear(params).items()}


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
    return _moved(params, weight=("kernel", _spatial_first), kernel="kernel", bias="bias")


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
    return _moved(params, kernel=("kernel", lambda w: w.reshape(*w.shape[:-2], 1, -1)), bias="bias")


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

    return _moved(params, weight=("kernel", lambda w: place(_spatial_first(w))), kernel=("kernel", place), bias="bias")


def norm(params: Arrays) -> dict[str, Array]:
    """Batch, layer, group, instance and RMS normalisation → ``BatchNorm``, ``LayerNorm`` and so on.

    Args:
      params: ``weight`` or ``gamma`` or ``scale``; ``bias`` or ``beta``.

    Example:
      >>> norm({"weight": np.array([1, 2]), "bias": np.array([3, 4])})
      {'scale': array([1, 2]), 'bias': array([3, 4])}
    """
    return _moved(params, weight="scale", gamma="scale", scale="scale", bias="bias", beta="bias")


def batch_stats(buffers: Arrays) -> dict[str, Array]:
    """The running statistics of batch normalisation, which have no slots → ``batch_stats`` of Linen and of nnx.

    Args:
      buffers: ``running_mean`` and ``running_var``, or ``moving_mean`` and ``moving_variance``.

    Example:
      >>> batch_stats({"running_mean": np.array([1, 2]), "running_var": np.array([3, 4])})
      {'mean': array([1, 2]), 'var': array([3, 4])}
    """
    return _moved(buffers, running_mean="mean", running_var="var", moving_mean="mean", moving_variance="var")


def embedding(params: Arrays) -> dict[str, Array]:
    """Embeddings → ``Embed``.

    Args:
      params: ``weight`` or ``embeddings`` (entries, features).

    Example:
      >>> embedding({"weight": np.array([[1, 2]])})
      {'embedding': array([[1, 2]])}
    """
    return _moved(params, weight="embedding", embeddings="embedding")


def multi_head_attention(params: Arrays, *, num_heads: int) -> dict[str, dict[str, Array]]:
    r"""PyTorch's and timm's attention → ``MultiHeadDotProductAttention``, ``nnx.MultiHeadAttention``.

    .. math::
      query[e, h, d] = weight[h D + d, e], \quad out[h, d, e] = weight[e, h D + d]

    The attention of Keras has Flax's layout: convert it with ``("mha/query", linear)`` and so on; ``out`` is named
    ``attention_output`` in Keras.

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
    for name, array in params.items():
        match = re.fullmatch(r"(?:(in_proj|qkv)|([qkv])_proj|out_proj|proj)[._](weight|bias)", name)
        if not match:
            raise ValueError(f"{name} has no place in Flax's attention: write your own layer and its function.")
        joint, letter, leaf = match.groups()
        if joint:
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


def cell(params: Arrays) -> dict[str, dict[str, Array]]:
    r"""Recurrent layers → cells of two dense layers, as in nnx: one for the input, one for the memory.

    .. math::
      kernel_i = weight_{ih}^T, \quad kernel_h = weight_{hh}^T

    with the gates side by side: i, f, g, o of an LSTM, r, z, n of a GRU.

    PyTorch's layers and Keras' ``GRU`` have a bias in both dense layers, Flax's cells in one. The two biases cannot be
    summed, because each has its own slot and makes its own steps. Give the other dense layer of the nnx cell a bias::

      cell = nnx.OptimizedLSTMCell(n, m, rngs=rngs)
      cell.dense_i = nnx.Linear(n, 4 * m, rngs=rngs)

    In ``nnx.GRUCell`` and ``nnx.SimpleCell`` the other layer is ``dense_h``, from m to 3 m and from m to m. For layers
    without a bias, replace both dense layers with ``use_bias=False``. In Linen, write such a cell; for an LSTM::

      class LSTMCell(nn.OptimizedLSTMCell):
          @nn.compact
          def __call__(self, carry, x):
              dense = functools.partial(nn.Dense, 4 * self.features)
              i, f, g, o = jnp.split(dense(name="dense_i")(x) + dense(name="dense_h")(carry[1]), 4, axis=-1)
              c = nn.sigmoid(f) * carry[0] + nn.sigmoid(i) * nn.tanh(g)
              h = nn.sigmoid(o) * nn.tanh(c)
              return (c, h), h

    Args:
      params: ``weight_ih``, ``weight_hh``, ``bias_ih``, ``bias_hh`` of PyTorch's ``LSTM``, ``GRU``, ``RNN`` or their
        cells, one layer and direction at a time (``("lstm.*_l0", cell)``, ``"lstm.*_l0_reverse"``); or Keras'
        ``kernel``, ``recurrent_kernel``, ``bias`` (``("lstm/lstm_cell", cell)``).

    Raises:
      ValueError: the layer is a ``GRU`` with ``reset_after=False``, which Flax does not have, or a ``LSTM`` with
        projections.

    Example:
      >>> tree = cell({"weight_ih": np.zeros((12, 4)), "weight_hh": np.zeros((12, 3)), "bias_hh": np.zeros(12)})
      >>> tree["dense_i"]["kernel"].shape, tree["dense_h"]["kernel"].shape, tree["dense_h"]["bias"].shape
      ((4, 12), (3, 12), (12,))
    """
    named = _keras_cell(params) if "recurrent_kernel" in params else params
    ends = {"dense_i": "_ih", "dense_h": "_hh"}
    over = [name for name in named if not name.endswith(tuple(ends.values()))]
    if over:
        raise ValueError(f"Flax's cells have no place for {', '.join(over)}: write your own cell and its function.")
    return {
        side: linear({name.removesuffix(end): a for name, a in named.items() if name.endswith(end)})
        for side, end in ends.items()
    }


def cell_by_gate(params: Arrays) -> dict[str, dict[str, Array]]:
    """Recurrent layers → Linen's cells with a dense layer for each gate, such as ``LSTMCell`` and ``GRUCell``.

    The other two are ``OptimizedLSTMCell`` and ``SimpleCell``. These cells have one bias for each gate, as Keras'
    ``LSTM`` and ``SimpleRNN``. For layers without a bias, keep the biases of the cell at zero with ``optax.masked``.
    For ``nnx.LSTMCell``, use ``nnx.OptimizedLSTMCell``, which computes the same, and :func:`cell`.

    Args:
      params: ``weight_ih``, ``weight_hh``, ``bias_ih``, ``bias_hh`` of PyTorch's ``LSTM``, ``GRU``, ``RNN`` or their
        cells, one layer and direction at a time; or Keras' ``kernel``, ``recurrent_kernel``, ``bias``.

    Raises:
      ValueError: there are biases for the input and for the memory.

    Example:
      >>> tree = cell_by_gate({"kernel": np.ones((1, 8)), "recurrent_kernel": np.ones((2, 8)), "bias": np.arange(8)})
      >>> list(tree), tree["hf"]["bias"]
      (['ii', 'if', 'ig', 'io', 'hi', 'hf', 'hg', 'ho'], array([2, 3]))
    """
    tree = cell(params)
    if all("bias" in leaves for leaves in tree.values()):
        raise ValueError(
            "a cell of Linen must have one bias for each gate, got two, whose slots cannot be joined: keep both in "
            "your own cell, as layers.cell describes, or train with bias=False."
        )
    hidden, width = tree["dense_h"]["kernel"].shape
    gates = {1: [""], 3: "rzn", 4: "ifgo"}[width // hidden]
    return {
        side.removeprefix("dense_") + gate: {leaf: a[..., i * hidden : (i + 1) * hidden] for leaf, a in leaves.items()}
        for side, leaves in tree.items()
        for i, gate in enumerate(gates)
    }


def _keras_cell(params: Arrays) -> dict[str, Array]:
    """The arrays of a Keras cell with the suffixes ``_ih`` and ``_hh`` and with Flax's order of gates."""
    hidden, width = params["recurrent_kernel"].shape
    sides = {1: "bias_ih", 3: "biases", 4: "bias_hh"}
    made = _moved(params, kernel="kernel_ih", recurrent_kernel="kernel_hh", bias=sides[width // hidden])
    if width != 3 * hidden:
        return made
    made = {name: a.reshape(-1, 3, hidden)[:, np.array([1, 0, 2])].reshape(a.shape) for name, a in made.items()}
    biases = made.pop("biases", None)
    if biases is not None:
        if biases.ndim == 1:
            raise ValueError(
                "a GRU must reset after the product, as Flax's does, got a GRU of Keras with reset_after=False: write "
                "your own cell and its function."
            )
        made["bias_ih"], made["bias_hh"] = biases
    return made


def _spatial_first(w: Array) -> Array:
    return w.transpose(*range(2, w.ndim), 1, 0)


def _moved(params: Arrays, **places: str | tuple[str, Callable[[Array], Array]]) -> dict[str, Array]:
    """The arrays by their names in Flax.

    Args:
      params: the arrays by their names in the framework.
      **places: for each of these names the name in Flax, or a pair with the function that moves the entries.
    """
    over = [name for name in params if name not in places]
    if over:
        raise ValueError(
            f"this layer only takes {', '.join(places)}, got {', '.join(over)}: use the function of the layer that has "
            "these arrays, or leave out those that are no parameters."
        )
    moves = {name: (place, lambda a: a) if isinstance(place, str) else place for name, place in places.items()}
    return {moves[name][0]: moves[name][1](array) for name, array in params.items()}
