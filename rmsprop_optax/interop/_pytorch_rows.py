"""The parameters of a PyTorch optimizer as rows: name, position, group and entries of the state."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmsprop_optax import _numbers
from rmsprop_optax._paths import some
from rmsprop_optax._types import Tree
from rmsprop_optax.interop import _plausible, layout
from rmsprop_optax.interop._pytorch_search import dtype_of, is_optimizer
from rmsprop_optax.interop._shared import has_masked, is_masked
from rmsprop_optax.interop.slots import Slots, rescaled

KEYS = {"mean_square": "square_avg", "mean": "grad_avg", "momentum": "momentum_buffer"}
"""Our name of a slot → PyTorch's key."""


class Row(NamedTuple):
    """A parameter of the optimizer.

    Attributes:
      name: from the user or the group.
      position: the key in ``state``.
      group: the parameter group.
      entry: the value in ``state``; empty before the first gradient.
      shape: from the user, or ``None``.
      dtype: from the user, or ``None``.
    """

    name: str
    position: Any
    group: Mapping[str, Any]
    entry: dict[str, Any]
    shape: tuple[int, ...] | None
    dtype: np.dtype[Any] | None


def parts(state_dict: Mapping[str, Any]) -> tuple[Mapping[Any, Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    """The state and the groups of a ``state_dict``.

    Raises:
      ValueError: the dict is not an optimizer's, a hyperparameter is not a number, or a parameter is in no group or in
        several groups.
    """
    if not is_optimizer(state_dict):
        raise ValueError(
            "an optimizer's state_dict must have state and param_groups, got "
            f"{some(list(map(str, state_dict))) if isinstance(state_dict, Mapping) else type(state_dict).__name__}: "
            "find_optimizer finds it in a checkpoint."
        )
    state, groups = state_dict["state"], state_dict["param_groups"]
    if not groups:
        raise ValueError("an optimizer must have parameter groups, got none: pass the state_dict of a whole optimizer.")
    for group in groups:
        for key in ("lr", "alpha", "eps", "momentum", "weight_decay"):
            if not _is_number(group.get(key, 0)):
                raise ValueError(
                    f"{key} of a parameter group must be a number, got {group[key]!r}: set it to the run's."
                )
    positions = [i for group in groups for i in group["params"]]
    known = set(positions)
    over = [str(i) for i in state if i not in known]
    if over or len(known) < len(positions):
        raise ValueError(
            "each parameter must be in one group, got "
            + (f"a state of {some(over)} in no group." if over else "a parameter in several groups.")
        )
    return state, groups


def _is_number(x: Any) -> bool:
    dtype = dtype_of(x)
    return isinstance(x, int | float) if dtype is None else x.shape == () and jnp.issubdtype(dtype, jnp.number)


def rows_of(state_dict: Mapping[str, Any], names: layout.Names | None) -> list[Row]:
    """The parameters of an optimizer, each with all entries that its group asks for or with none.

    Raises:
      ValueError: names are missing or do not fit, or the state does not fit the groups.
    """
    state, groups = parts(state_dict)
    places = [(i, group) for group in groups for i in group["params"]]
    order = _ordered(places, groups, names)
    given = names if isinstance(names, Mapping) else {}
    rows: list[Row] = []
    wrong: list[str] = []
    for name, (position, group) in zip(order, places, strict=True):
        entry = dict(state.get(position, {}))
        shape, dtype = (shape_of(given[name]), dtype_of(given[name])) if name in given else (None, None)
        rows.append(Row(name, position, group, entry, shape, dtype))
        if entry:
            wrong += _misfits(rows[-1])
    if wrong:
        mend = (
            'for a state of bitsandbytes give dialect="bitsandbytes" (--dialect).'
            if any({"state1", "__bnb_optimizer_quant_state__"} & row.entry.keys() for row in rows)
            else "compare the names and their order with the parameters of the optimizer, and momentum and centered "
            "with the options of the run."
        )
        raise ValueError(f"the state of RMSprop must fit its groups, got {some(wrong)}: {mend}")
    return rows


def _ordered(
    places: Sequence[tuple[Any, Mapping[str, Any]]], groups: Sequence[Mapping[str, Any]], names: layout.Names | None
) -> list[str]:
    """The names of the parameters in the optimizer's order."""
    known = [name for group in groups for name in group.get("param_names", ())] or [i for i, _ in places]
    are_names = len(known) == len(places) and all(isinstance(name, str) for name in known)
    if names is None and not are_names:
        raise ValueError(
            "names must be given, got none in the groups: pass dict(model.named_parameters()), or a list in the order "
            "of the optimizer's parameters."
        )
    order = layout.names_of(known if names is None else names)
    if are_names and set(order) == set(known):
        order = layout.names_of(known)
    if len(order) != len(places):
        raise ValueError(
            f"names must be those of the {len(places)} parameters of the optimizer, got {len(order)}, {some(order)}: "
            "leave out buffers, frozen weights and the second name of a shared weight."
        )
    return order


def _misfits(row: Row) -> list[str]:
    """The faults of a parameter's entries."""
    name, entry, asked = row.name, row.entry, {"step", *asked_of(row.group)}
    wrong = [f"no {key} of {name}" for key in sorted(asked - entry.keys())]
    wrong += [f"a {key} of {name}, which its group does not ask for" for key in sorted(entry.keys() - asked)]
    shape = shape_of(entry.get("square_avg", ())) if row.shape is None else row.shape
    sizes = {key: shape_of(x) for key, x in entry.items() if key in KEYS.values()}
    wrong += [f"a {key} of {name} with shape {size} for {shape}" for key, size in sizes.items() if size != shape]
    return wrong


def asked_of(group: Mapping[str, Any]) -> list[str]:
    """The keys of the slots that a group keeps."""
    optional = {"grad_avg": group.get("centered", False), "momentum_buffer": group.get("momentum", 0) > 0}
    return ["square_avg", *(key for key, asked in optional.items() if asked)]


def filled(rows: Sequence[Row], initial_scale: float | None) -> list[Row]:
    """The rows; a row without a state gets the state before the first step.

    Raises:
      ValueError: ``initial_scale`` is needed and ``None``, or negative, or a shape is not known.
    """
    if initial_scale is not None:
        initial_scale = _numbers.check("initial_scale", initial_scale)
    empty = [row.name for row in rows if not row.entry]
    if empty and initial_scale is None:
        raise ValueError(
            f"each parameter must have a state, got none of {some(empty)}, which no gradient has reached: pass "
            "initial_scale (--initial-scale), the mean square before the first step: 0 in PyTorch, PFRL and "
            "bitsandbytes, 1 in timm and Stable-Baselines3."
        )
    unknown = [row.name for row in rows if not row.entry and row.shape is None]
    if unknown:
        raise ValueError(
            f"names must be a mapping to parameters or shapes if the optimizer has parameters without a state, got no "
            f"shape of {some(unknown)}: pass dict(model.named_parameters())."
        )

    def start(row: Row) -> dict[str, Any]:
        values = {key: initial_scale if key == "square_avg" else 0.0 for key in asked_of(row.group)}
        dtype = _numbers.wide(row.dtype or np.float32)
        return {"step": 0} | {key: np.full(row.shape or (), value, dtype) for key, value in values.items()}

    return [row if row.entry else row._replace(entry=start(row)) for row in rows]


def lr_in_momentum(rows: Sequence[Row]) -> bool | None:
    """Whether the buffers hold the learning rate, as only timm's groups can; ``None`` without a buffer."""
    with_buffer = [row.group for row in rows if "momentum_buffer" in asked_of(row.group)]
    sides = {bool(group.get("lr_in_momentum", False)) for group in with_buffer}
    if len(sides) > 1:
        raise ValueError(
            "lr_in_momentum must be the same in all groups with momentum, got both: read or write one group at a time."
        )
    return sides.pop() if sides else None


def written(
    rows: Sequence[Row], slots: Slots, convert: layout.Convert, learning_rate: float | Tree | None
) -> Iterator[tuple[Row, dict[str, np.ndarray]]]:
    """The rows that slots have arrays for, each with its arrays by key in the dtype of the parameter.

    Raises:
      ValueError: shapes are missing, the slots do not fit the groups, or no optimizer can have a number.
    """
    unknown = [row.name for row in rows if row.shape is None]
    if unknown:
        raise ValueError(f"names must be a mapping to parameters or shapes, got no shape of {some(unknown)}.")
    slots = rescaled(slots, lr_in_momentum(rows), learning_rate)
    shapes = {row.name: row.shape for row in rows if row.shape is not None}
    held = {key: _backward(getattr(slots, slot), shapes, convert) for slot, key in KEYS.items()}
    rows = [row for row in rows if any(row.name in arrays for arrays in held.values())]
    wrong = []
    for row in rows:
        asked = asked_of(row.group)
        wrong += [f"no {key} of {row.name}" for key in asked if row.name not in held[key]]
        wrong += [f"a {key} of {row.name}" for key in held if row.name in held[key] and key not in asked]
    if wrong:
        raise ValueError(
            f"slots must fit momentum and centered of the groups, got {some(wrong)}: create the optimizer with the "
            "options of the run, or drop or add slots with slots._replace."
        )
    slot_of = {key: slot for slot, key in KEYS.items()}
    return (
        (row, {key: _written(slot_of[key], row, held[key].pop(row.name)) for key in asked_of(row.group)})
        for row in rows
    )


def _written(slot: str, row: Row, array: np.ndarray) -> np.ndarray:
    dtype = array.dtype if row.dtype is None else row.dtype
    return _plausible.cast(slot, row.name, array if jnp.issubdtype(dtype, jnp.complexfloating) else array.real, dtype)


def _backward(tree: Tree, shapes: layout.Shapes, convert: layout.Convert) -> dict[str, np.ndarray]:
    """The arrays that ``convert`` turns into ``tree``, without masked arrays."""
    if tree is None:
        return {}
    if not has_masked(tree):
        return layout.backward(tree, shapes, convert)
    blank = convert({name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()})
    masks = jax.tree.map(lambda b, x: np.broadcast_to(np.int8(is_masked(x)), b.shape), blank, tree)
    left_out = layout.backward(masks, shapes, convert)
    arrays = layout.backward(jax.tree.map(lambda b, x: b if is_masked(x) else x, blank, tree), shapes, convert)
    torn = [name for name, mask in left_out.items() if mask.any() and not mask.all()]
    if torn:
        raise ValueError(f"a parameter must be masked as a whole, got masked parts of {some(torn)}.")
    return {name: array for name, array in arrays.items() if not left_out[name].any()}


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a tensor or an array; a shape is returned unchanged."""
    return tuple(getattr(x, "shape", x))
