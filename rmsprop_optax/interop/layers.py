"""Layers of PyTorch and Keras as Flax has them: what the user's ``convert`` is made of.

Each function takes the arrays of one layer by their names there and returns them by their names in Flax, where Linen
and nnx agree unless it says otherwise. The names tell the framework: PyTorch's ``weight`` is Keras' ``kernel``. A name
that the layer does not have is a ``ValueError``; what is not there is left out. Arrays, NumPy's or JAX's, are moved and
never computed with, so that slots follow them in both directions (:mod:`rmsprop_optax.interop.layout`).

Not all that differs is a parameter: ``epsilon`` in PyTorch, Keras and Flax is 1e-5, 1e-3 and 1e-6 for LayerNorm and
GroupNorm, 1e-5, 1e-3 and 1e-5 for BatchNorm, and that of float32, 1e-6 and 1e-6 for RMSNorm; and ``momentum`` of
BatchNorm is 0.1 in PyTorch for what is 0.9 in the others.

Sources: torch 2.13 (torch/nn/modules), timm 1.0.31 (timm/layers/attention.py), keras 3.15.1 (keras/src/layers), flax
0.12.8 (flax/linen, flax/nnx/nn).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Arrays = Mapping[str, Any]
Layer = Callable[[dict[str, Any]], Any]


def converter(table: Mapping[str, str | tuple[str, Layer]]) -> Callable[[Arrays], dict]:
    """The function that converts all parameters, from a table of the layers.

    Args:
      table: for each place in Flax's tree, as ``"encoder/Dense_0"`` (a number is an index in a list of nnx, ``""`` the
        whole tree), the name of the layer that comes there, as :func:`prefixed` takes it, and its function: one of this
        module, one of the user's, or another converter, for blocks. A name alone is that of an array, which comes there
        as it is.

    Returns:
      ``{name: array} → tree``: ``convert`` of the other modules, and of the weights themselves.

    Raises:
      ValueError: when it is called, and a layer has no arrays, arrays have no layer, or a function does not take them.

    Example:
      >>> block = converter({"Dense_0": ("fc", linear), "LayerNorm_0": ("norm", norm)})
      >>> convert = converter({"scale": "gain", "Block_0": ("blocks.0", block), "Block_1": ("blocks.1", block)})
      >>> layers = {"fc.weight": np.zeros((2, 3)), "norm.weight": np.ones(2)}
      >>> tree = convert({"gain": np.ones(1)} | {f"blocks.{i}.{n}": a for i in range(2) for n, a in layers.items()})
      >>> tree["scale"], list(tree), list(tree["Block_1"]), tree["Block_1"]["Dense_0"]["kernel"].shape
      (array([1.]), ['scale', 'Block_0', 'Block_1'], ['Dense_0', 'LayerNorm_0'], (3, 2))
    """
    rows = [(place, *((row, None) if isinstance(row, str) else row)) for place, row in table.items()]

    def convert(arrays: Arrays) -> dict:
        found = [_within(arrays, name) if layer else {n: n for n in arrays if n == name} for _, name, layer in rows]
        absent = [name for (_, name, _), names in zip(rows, found, strict=True) if not names]
        taken = {name for names in found for name in names}
        over = [name for name in arrays if name not in taken]
        wrong = [f"{kind} {', '.join(n)}" for kind, n in (("no arrays of", absent), ("no layer for", over)) if n]
        if wrong:
            raise ValueError(
                f"each layer of the table must have arrays and each array a layer, got {' and '.join(wrong)}. Buffers, "
                "such as running means, and frozen layers have no slots: leave them out of both."
            )
        tree: dict = {}
        for (place, name, layer), names in zip(rows, found, strict=True):
            try:
                part = layer({short: arrays[n] for n, short in names.items()}) if layer else arrays[name]
                for key in reversed([int(k) if k.isdigit() else k for k in place.split("/") if k]):
                    part = {key: part}
                _merge(tree, part)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}: {error}") from error
        return tree

    return convert


def prefixed(arrays: Arrays, layer: str) -> dict[str, Any]:
    """The arrays of one layer, by their names in it.

    Args:
      arrays: by their whole names.
      layer: what stands before the names in it and a dot or slash, as ``"layer1.0"``; or with ``*`` for these names.

    Example:
      >>> arrays = {"fc.weight": 1, "fc.bias": 2, "fc2.bias": 3, "rnn.bias_hh_l0": 4, "rnn.bias_hh_l0_reverse": 5}
      >>> prefixed(arrays, "fc"), prefixed(arrays, "rnn.*_l0")
      ({'weight': 1, 'bias': 2}, {'bias_hh': 4})
    """
    return {short: arrays[name] for name, short in _within(arrays, layer).items()}


def linear(params: Arrays, *, inputs: tuple[int, ...] | None = None, outputs: tuple[int, ...] | None = None) -> dict:
    r"""PyTorch's ``Linear``, Keras' ``Dense`` and ``EinsumDense`` → ``Dense``, ``DenseGeneral``, ``nnx.Linear``.

    .. math::
      kernel = weight^T

    Args:
      params: ``weight`` (outputs, inputs) or ``kernel`` (inputs, outputs); ``bias``.
      inputs: the axes that ``DenseGeneral`` has for the inputs, as (heads, features of each).
      outputs: those that it has for the outputs.

    Example:
      >>> linear({"weight": np.array([[1, 2], [3, 4], [5, 6]]), "bias": np.array([7, 8, 9])})
      {'kernel': array([[1, 3, 5],
             [2, 4, 6]]), 'bias': array([7, 8, 9])}
    """

    def split(w):
        return w.reshape(*(inputs or w.shape[:1]), *(outputs or w.shape[1:]))

    return _moved(
        params,
        weight=("kernel", lambda w: split(w.transpose(1, 0))),
        kernel=("kernel", split),
        bias=("bias", lambda b: b.reshape(outputs or b.shape)),
    )


def linear_after_flatten(params: Arrays, *, shape: tuple[int, ...]) -> dict:
    r"""The first linear layer after images are flattened, channels first there and last here.

    .. math::
      kernel[h W C + w C + c] = weight^T[c H W + h W + w]

    Args:
      params: as for :func:`linear`.
      shape: of what is flattened there, without the batch: (C, H, W), or with any other number of axes after C.

    Example:
      >>> linear_after_flatten({"weight": np.arange(8).reshape(1, 8)}, shape=(2, 2, 2))["kernel"].ravel()
      array([0, 4, 1, 5, 2, 6, 3, 7])
    """

    def channels_last(w):
        return w.reshape(*shape, w.shape[1]).transpose(*range(1, len(shape)), 0, len(shape)).reshape(w.shape)

    return {name: channels_last(a) if name == "kernel" else a for name, a in linear(params).items()}


def conv(params: Arrays) -> dict:
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


def depthwise_conv(params: Arrays) -> dict:
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


def conv_transpose(params: Arrays, *, transpose_kernel: bool = False) -> dict:
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

    def place(w):
        return w if transpose_kernel else w[(slice(None, None, -1),) * (w.ndim - 2)].swapaxes(-1, -2)

    return _moved(params, weight=("kernel", lambda w: place(_spatial_first(w))), kernel=("kernel", place), bias="bias")


def norm(params: Arrays) -> dict:
    """Batch, layer, group, instance and RMS normalisation → ``BatchNorm``, ``LayerNorm`` and so on.

    Args:
      params: ``weight`` or ``gamma`` or ``scale``; ``bias`` or ``beta``.

    Example:
      >>> norm({"weight": np.array([1, 2]), "bias": np.array([3, 4])})
      {'scale': array([1, 2]), 'bias': array([3, 4])}
    """
    return _moved(params, weight="scale", gamma="scale", scale="scale", bias="bias", beta="bias")


def batch_stats(buffers: Arrays) -> dict:
    """The running statistics of batch normalisation, which have no slots → Linen's ``batch_stats``, nnx's too.

    Args:
      buffers: ``running_mean`` and ``running_var``, or ``moving_mean`` and ``moving_variance``.

    Example:
      >>> batch_stats({"running_mean": np.array([1, 2]), "running_var": np.array([3, 4])})
      {'mean': array([1, 2]), 'var': array([3, 4])}
    """
    return _moved(buffers, running_mean="mean", running_var="var", moving_mean="mean", moving_variance="var")


def embedding(params: Arrays) -> dict:
    """Embeddings → ``Embed``.

    Args:
      params: ``weight`` or ``embeddings`` (entries, features).

    Example:
      >>> embedding({"weight": np.array([[1, 2]])})
      {'embedding': array([[1, 2]])}
    """
    return _moved(params, weight="embedding", embeddings="embedding")


def multi_head_attention(params: Arrays, *, num_heads: int) -> dict:
    r"""PyTorch's and timm's attention → ``MultiHeadDotProductAttention``, ``nnx.MultiHeadAttention``.

    .. math::
      query[e, h, d] = weight[h D + d, e], \quad out[h, d, e] = weight[e, h D + d]

    Keras' has Flax's layout: ``("mha/query", linear)`` and so on; its ``attention_output`` is ``out``.

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
    made: dict[str, dict] = {role: {} for role in (*roles.values(), "out")}
    for name, array in params.items():
        match = re.fullmatch(r"(?:(in_proj|qkv)|([qkv])_proj|out_proj|proj)[._](weight|bias)", name)
        if not match:
            raise ValueError(f"{name} has no place in Flax's attention: write a layer that has.")
        joint, letter, leaf = match.groups()
        if joint:
            for role, part in zip(roles.values(), array.reshape(3, -1, *array.shape[1:]), strict=True):
                made[role][leaf] = part
        else:
            made[roles[letter] if letter else "out"][leaf] = array
    heads = (num_heads, -1)
    return {
        role: linear(leaves, **({"inputs": heads} if role == "out" else {"outputs": heads}))
        for role, leaves in made.items()
        if leaves
    }


def cell(params: Arrays) -> dict:
    r"""Recurrent layers → cells of two dense layers, as nnx has them: one for the input, one for the memory.

    .. math::
      kernel_i = weight_{ih}^T, \quad kernel_h = weight_{hh}^T

    with the gates side by side: i, f, g, o of an LSTM, r, z, n of a GRU.

    PyTorch's layers and Keras' ``GRU`` have a bias on both sides, Flax's cells on one. Their sum would not do: each of
    the two has a slot and makes a step of its own. So give the other dense layer of nnx' cell a bias::

      cell = nnx.OptimizedLSTMCell(n, m, rngs=rngs)
      cell.dense_i = nnx.Linear(n, 4 * m, rngs=rngs)

    in ``nnx.GRUCell`` and ``nnx.SimpleCell`` it is ``dense_h``, from m to 3 m and to m. For layers without a bias, take
    the one there is away, with ``use_bias=False``. In Linen write such a cell, for an LSTM::

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
        ``kernel``, ``recurrent_kernel``, ``bias`` (``("lstm/lstm_cell", cell)``). Not for a ``GRU`` with
        ``reset_after=False``, which is none of Flax's.

    Example:
      >>> tree = cell({"weight_ih": np.zeros((12, 4)), "weight_hh": np.zeros((12, 3)), "bias_hh": np.zeros(12)})
      >>> tree["dense_i"]["kernel"].shape, tree["dense_h"]["kernel"].shape, tree["dense_h"]["bias"].shape
      ((4, 12), (3, 12), (12,))
    """
    named = _keras_cell(params) if "recurrent_kernel" in params else params
    ends = {"dense_i": "_ih", "dense_h": "_hh"}
    over = [name for name in named if not name.endswith(tuple(ends.values()))]
    if over:
        raise ValueError(f"Flax's cells have no place for {', '.join(over)}: write a cell and a layer that have.")
    return {
        side: linear({name.removesuffix(end): a for name, a in named.items() if name.endswith(end)})
        for side, end in ends.items()
    }


def cell_by_gate(params: Arrays) -> dict:
    """Recurrent layers → Linen's ``LSTMCell`` and ``OptimizedLSTMCell``, ``GRUCell`` or ``SimpleCell``, a layer a gate.

    They have a bias on one side, as Keras' ``LSTM`` and ``SimpleRNN`` have. Layers without any fit where those of the
    cell stay zero, out of the optimizer (``optax.masked``). ``nnx.LSTMCell`` says ``if_`` for ``if``; better take
    ``nnx.OptimizedLSTMCell``, which computes the same, and :func:`cell`.

    Args:
      params: as for :func:`cell`.

    Raises:
      ValueError: there is a bias on both sides.

    Example:
      >>> tree = cell_by_gate({"kernel": np.ones((1, 8)), "recurrent_kernel": np.ones((2, 8)), "bias": np.arange(8)})
      >>> list(tree), tree["hf"]["bias"]
      (['ii', 'if', 'ig', 'io', 'hi', 'hf', 'hg', 'ho'], array([2, 3]))
    """
    tree = cell(params)
    if all("bias" in leaves for leaves in tree.values()):
        raise ValueError(
            "a cell of Linen's has the sum of two biases as one, and two slots do not make one by moving: keep both in "
            "a cell of your own, as layers.cell describes, or train with bias=False."
        )
    hidden, width = tree["dense_h"]["kernel"].shape
    gates = {1: [""], 3: "rzn", 4: "ifgo"}[width // hidden]
    return {
        side.removeprefix("dense_") + gate: {leaf: a[..., i * hidden : (i + 1) * hidden] for leaf, a in leaves.items()}
        for side, leaves in tree.items()
        for i, gate in enumerate(gates)
    }


def _keras_cell(params: Arrays) -> dict:
    """A cell of Keras with PyTorch's names for the sides, and its order of gates."""
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
                "Flax's GRU resets after the product, got Keras' with reset_after=False: write a cell that does."
            )
        made["bias_ih"], made["bias_hh"] = biases
    return made


def _spatial_first(w: Any) -> Any:
    return w.transpose(*range(2, w.ndim), 1, 0)


def _moved(params: Arrays, **places: Any) -> dict:
    """The arrays by their names in Flax; a place is such a name, or one and the function that moves the entries."""
    over = [name for name in params if name not in places]
    if over:
        raise ValueError(f"the layer has no {', '.join(over)}, only {', '.join(places)}.")
    moves = {name: (place, lambda a: a) if isinstance(place, str) else place for name, place in places.items()}
    return {moves[name][0]: moves[name][1](array) for name, array in params.items()}


def _within(arrays: Arrays, layer: str) -> dict[str, str]:
    """The names of a layer's arrays, with their names in it."""
    pattern = re.escape(layer).replace(r"\*", "(.*)") if "*" in layer else re.escape(layer) + "[./](.*)"
    match = re.compile(pattern).fullmatch
    return {name: found[1] for name in arrays if (found := match(name))}


def _merge(tree: dict, part: dict) -> None:
    for key, value in part.items():
        if isinstance(tree.get(key), dict) and isinstance(value, dict):
            _merge(tree[key], value)
        elif key in tree:
            raise ValueError(f"each place must be filled once, got {key} from two lines of the table.")
        else:
            tree[key] = value
