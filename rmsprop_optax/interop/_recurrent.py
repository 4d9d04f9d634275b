"""Recurrent layers of PyTorch and Keras in Flax's layout."""

import numpy as np

from rmsprop_optax.interop._converter import Array, Arrays
from rmsprop_optax.interop._dense import linear, moved, of_layer


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
    named = _keras_cell(params) if "recurrent_kernel" in of_layer(params) else params
    ends = {"dense_i": "_ih", "dense_h": "_hh"}
    over = [name for name in named if not name.endswith(tuple(ends.values()))]
    if over:
        raise ValueError(f"Flax's cells have no place for {', '.join(over)}: write your own cell and its function.")
    sides = {
        s: {name.removesuffix(end): a for name, a in named.items() if name.endswith(end)} for s, end in ends.items()
    }
    return {side: linear(arrays) for side, arrays in sides.items() if arrays}


def cell_by_gate(params: Arrays) -> dict[str, dict[str, Array]]:
    """Recurrent layers → Linen's ``LSTMCell``, ``OptimizedLSTMCell``, ``GRUCell`` and ``SimpleCell``.

    These cells have a dense layer and one bias for each gate, like Keras' ``LSTM`` and ``SimpleRNN``. For layers
    without a bias, keep the biases of the cell at zero with ``optax.masked``. For ``nnx.LSTMCell``, use
    ``nnx.OptimizedLSTMCell``, which computes the same, and :func:`cell`.

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
    hidden, gates = _sizes(tree.get("dense_h", {}).get("kernel"))
    return {
        side.removeprefix("dense_") + gate: {leaf: a[..., i * hidden : (i + 1) * hidden] for leaf, a in leaves.items()}
        for side, leaves in tree.items()
        for i, gate in enumerate({1: [""], 3: "rzn", 4: "ifgo"}[gates])
    }


def _sizes(kernel: Array | None) -> tuple[int, int]:
    """The size of a cell's memory and the number of its gates, from the kernel of its memory."""
    shape = np.shape(kernel) if kernel is not None else ()
    if len(shape) != 2 or shape[1] not in (shape[0], 3 * shape[0], 4 * shape[0]):
        raise ValueError(
            "the recurrent kernel of a cell must be (m, m), (m, 3 m) or (m, 4 m) after transposing PyTorch's, got "
            f"{shape or 'none'}: pass all arrays of one cell."
        )
    return shape[0], shape[1] // max(shape[0], 1)


def _keras_cell(params: Arrays) -> dict[str, Array]:
    """The arrays of a Keras cell with the suffixes ``_ih`` and ``_hh`` and with Flax's order of gates."""
    hidden, gates = _sizes(params["recurrent_kernel"])
    sides = {1: "bias_ih", 3: "biases", 4: "bias_hh"}
    made = moved(params, kernel="kernel_ih", recurrent_kernel="kernel_hh", bias=sides[gates])
    if gates != 3:
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
