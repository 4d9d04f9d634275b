"""RMSprop of PyTorch, timm, Stable-Baselines3 and PFRL, whose ``state_dict()`` has one layout::

  {
      "state": {position: {"step", "square_avg", "grad_avg", "momentum_buffer"}},
      "param_groups": [{"params", "lr", …}],
  }

A position is the index of a parameter in the optimizer. Names come from the groups, if the optimizer was made with
``model.named_parameters()`` (PyTorch 2.6 and later), or from you. A wrong order among parameters of the same shape
cannot be detected.

Source: torch 2.13.0 (torch/optim/rmsprop.py, optimizer.py).
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
import optax

from rmsprop_optax import _numbers
from rmsprop_optax._types import Tree
from rmsprop_optax.interop import layout
from rmsprop_optax.interop._plausible import count_of
from rmsprop_optax.interop._pytorch_file import load, to_numpy
from rmsprop_optax.interop._pytorch_groups import arguments, calls, optimizer
from rmsprop_optax.interop._pytorch_rows import KEYS, filled, lr_in_momentum, rows_of, shape_of, written
from rmsprop_optax.interop._pytorch_search import find_model, find_optimizer, parameters
from rmsprop_optax.interop._shared import imported
from rmsprop_optax.interop.slots import Slots

__all__ = [
    "arguments",
    "calls",
    "find_model",
    "find_optimizer",
    "load",
    "optimizer",
    "parameters",
    "read",
    "write",
]


def read(
    state_dict: Mapping[str, Any],
    names: layout.Names | None = None,
    convert: layout.Convert = dict,
    *,
    initial_scale: float | None = None,
) -> Slots:
    """The slots of an optimizer's ``state_dict()``.

    Args:
      state_dict: the optimizer's ``state_dict()``, with arrays or tensors.
      names: the names of the parameters in the optimizer's order, a list or a mapping such as
        ``dict(model.named_parameters())``. Shapes in a mapping are compared. If the groups have ``param_names``, the
        order does not matter, and ``None`` takes these names.
      convert: the function that makes the tree of parameters from ``{name: array}``.
      initial_scale: the mean square before the first step, 0 in PyTorch and PFRL, 1 in timm and Stable-Baselines3.
        Needed for parameters that no gradient has reached, which have no state; ``names`` must have their shapes.

    Returns:
      The slots. ``count`` is the largest step of a parameter. The arrays are views, unless ``convert`` copies.

    Raises:
      ValueError: entries are missing or left over, or names, shapes and ``convert`` do not fit. The error names them.

    Example:
      >>> state = {0: {"step": 100, "square_avg": np.array([[4.0, 9.0]]), "momentum_buffer": np.array([[0.5, 0.0]])}}
      >>> group = {"params": [0], "lr": 0.01, "alpha": 0.99, "eps": 1e-8, "momentum": 0.9, "centered": False}
      >>> slots = read({"state": state, "param_groups": [group]}, ["fc.weight"], lambda p: {"kernel": p["fc.weight"].T})
      >>> slots.mean_square["kernel"].tolist(), slots.count
      ([[4.0], [9.0]], 100)
    """
    rows = filled(rows_of(state_dict, names), initial_scale)
    shapes = {row.name: shape_of(row.entry["square_avg"]) for row in rows}

    def tree(key: str) -> Tree:
        held = {row.name: to_numpy(row.entry[key]) for row in rows if key in row.entry}
        if not held:
            return None
        if len(held) == len(rows):
            return layout.forward(held, convert)
        blank = np.zeros((), next(iter(held.values())).dtype)
        kept = layout.labelled({name: name in held for name in shapes}, shapes, convert)
        whole = {name: held.get(name, np.broadcast_to(blank, shape)) for name, shape in shapes.items()}
        return jax.tree.map(lambda keep, x: x if keep else optax.MaskedNode(), kept, layout.forward(whole, convert))

    mend = "take a whole checkpoint of an RMSprop"
    count = max(count_of(row.entry["step"], f"the step of {row.name}", mend) for row in rows)
    return Slots(**{slot: tree(key) for slot, key in KEYS.items()}, count=count, lr_in_momentum=lr_in_momentum(rows))


def write(
    state_dict: Mapping[str, Any],
    slots: Slots,
    names: Mapping[str, npt.ArrayLike],
    convert: layout.Convert = dict,
    *,
    learning_rate: float | Tree | None = None,
) -> dict[str, Any]:
    """A ``state_dict`` with the numbers of the slots, for ``optimizer.load_state_dict``; needs PyTorch.

    Args:
      state_dict: of the optimizer that continues the run, new or used. Its groups are not changed.
      slots: trees of the structure that ``convert`` returns.
      names: the parameters, or their shapes, by name: in the optimizer's order, or in any order if the groups have
        ``param_names``. A tensor gets the dtype of its parameter, or of the slot if only a shape is given.
      convert: the function that makes the tree from ``{name: array}``; it is inverted.
      learning_rate: the rate of the last step, needed if the momentum buffer of only one side holds the rate.

    Returns:
      A new dict with new tensors. Parameters that are masked in the slots have no state.

    Raises:
      ValueError: the slots do not fit ``momentum`` and ``centered`` of the groups, or have no count; names, shapes and
        ``convert`` do not fit; or the learning rate is missing or not needed.

    Example:
      >>> optimizer.load_state_dict(
      ...     write(optimizer.state_dict(), interop.read(state), dict(model.named_parameters()), convert)
      ... )  # doctest: +SKIP
    """
    torch = imported("torch", "interop.pytorch.write")

    def tensor(array: np.ndarray) -> Any:  # through float32, because torch rejects NumPy's bfloat16
        return torch.tensor(
            array.astype(_numbers.wide(array.dtype), copy=False), dtype=getattr(torch, str(array.dtype))
        )

    rows = written(rows_of({**state_dict, "state": {}}, names), slots, convert, learning_rate)
    count = count_of(slots.count)
    state = {
        row.position: {"step": torch.tensor(float(count))} | {k: tensor(x) for k, x in arrays.items()}
        for row, arrays in rows
    }
    return {**state_dict, "state": state}
