"""PyTorch's RMSprop, and timm's, Stable-Baselines3's and PFRL's, whose ``state_dict()`` has the same layout.

``{"state": {position: {"step", "square_avg", "grad_avg", "momentum_buffer"}}, "param_groups": [{"params", "lr", …}]}``
has for a position the place of a parameter among those that the optimizer got. Names come from elsewhere: from the
groups, where the optimizer was made of ``model.named_parameters()`` (PyTorch 2.6 and later), or from the user. An order
that is wrong among parameters of the same shape cannot be noticed.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import _numbers, dialects
from rmsprop_optax.interop import layout
from rmsprop_optax.interop._pytorch_file import imported, load, to_numpy
from rmsprop_optax.interop.slots import Slots, rescaled, some

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

_KEYS = {"mean_square": "square_avg", "mean": "grad_avg", "momentum": "momentum_buffer"}
_DIALECTS = ("pytorch", "timm", "sb3", "pfrl", "bitsandbytes")


def find_optimizer(checkpoint: Any, at: str | None = None) -> dict[str, Any]:
    """The optimizer's ``state_dict`` in a checkpoint.

    Args:
      checkpoint: dicts and lists, as :func:`load` returns them, with a dict of ``state`` and ``param_groups`` in them.
      at: which one, its keys joined by dots, as in ``"optimizer_states.0"``; needed where there are several.

    Raises:
      ValueError: there is none, or several, or none ``at`` the place.

    Example:
      >>> find_optimizer({"epoch": 3, "optimizer": {"state": {}, "param_groups": []}})
      {'state': {}, 'param_groups': []}
    """
    return _the_one(dict(_places(checkpoint, _is_optimizer)), at, "dict of state and param_groups")


def find_model(checkpoint: Any, at: str | None = None) -> dict[str, Any]:
    """The arrays of the model's ``state_dict`` in a checkpoint, parameters and buffers, by name.

    Args:
      checkpoint: as for :func:`find_optimizer`.
      at: likewise, as in ``"state_dict_ema"``.

    Raises:
      ValueError: there is none, or several, or none ``at`` the place.

    Example:
      >>> find_model({"epoch": 3, "model": {"fc.weight": np.ones(2)}})
      {'fc.weight': array([1., 1.])}
    """
    rest = dict(_places(checkpoint, lambda node: _is_optimizer(node) or _is_arrays(node)))
    models = {place: node for place, node in rest.items() if not _is_optimizer(node)}
    return dict(_leaves(_the_one(models, at, "dict of arrays")))


def parameters(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model's ``state_dict`` without the buffers of normalisation layers and without integers.

    What is left are the parameters, in the order of ``model.named_parameters()``, unless the model has buffers of its
    own or parameters that it uses twice; :func:`read` compares their shapes with those in the optimizer.

    Example:
      >>> list(parameters({"norm.weight": np.ones(2), "norm.running_mean": np.ones(2), "mask": np.ones(2, int)}))
      ['norm.weight']
    """
    buffers = "running_mean", "running_var", "num_batches_tracked"
    return {
        name: array
        for name, array in model.items()
        if not name.endswith(buffers) and jnp.issubdtype(_dtype(array), jnp.inexact)
    }


def read(
    state_dict: Mapping[str, Any],
    names: Iterable[str] | Mapping[str, Any] | None = None,
    convert: layout.Convert = dict,
    *,
    initial_value: float | None = None,
) -> Slots:
    """The slots of an optimizer's ``state_dict()``.

    Args:
      state_dict: arrays in it may be NumPy's or PyTorch's, in the shapes of the parameters.
      names: of the parameters in the order in which the optimizer got them, as ``dict(model.named_parameters())`` or a
        list; with arrays or shapes, these are compared. In any order, or ``None``, where the groups have
        ``param_names``.
      convert: the function that makes the tree of parameters here of ``{name: array}``.
      initial_value: what the mean square starts from, 0 in PyTorch and PFRL, 1 in timm and Stable-Baselines3: for
        parameters without a state, because no gradient ever reached them. ``names`` must have shapes then.

    Returns:
      The slots; ``count`` is that of the parameter with the most steps. Arrays are views where ``convert`` leaves them.

    Raises:
      ValueError: entries are missing or left over, or names, shapes and ``convert`` do not fit. The error names them.

    Example:
      >>> state = {0: {"step": 100, "square_avg": np.array([[4.0, 9.0]]), "momentum_buffer": np.array([[0.5, 0.0]])}}
      >>> group = {"params": [0], "lr": 0.01, "alpha": 0.99, "eps": 1e-8, "momentum": 0.9, "centered": False}
      >>> slots = read({"state": state, "param_groups": [group]}, ["fc.weight"], lambda p: {"kernel": p["fc.weight"].T})
      >>> slots.mean_square["kernel"].tolist(), slots.count
      ([[4.0], [9.0]], 100)

    Source:
      pytorch/pytorch 2.13.0: torch/optim/rmsprop.py, torch/optim/optimizer.py.
    """
    rows = _filled(_rows(state_dict, names), initial_value)
    shapes = {row.name: _shape(row.entry["square_avg"]) for row in rows}

    def tree(key: str) -> Any:
        held = {row.name: to_numpy(row.entry[key]) for row in rows if key in row.entry}
        if not held:
            return None
        if len(held) == len(rows):
            return layout.forward(held, convert)
        blank = np.zeros((), next(iter(held.values())).dtype)
        kept = layout.labelled({name: name in held for name in shapes}, shapes, convert)
        whole = {name: held.get(name, np.broadcast_to(blank, shape)) for name, shape in shapes.items()}
        return jax.tree.map(lambda keep, x: x if keep else optax.MaskedNode(), kept, layout.forward(whole, convert))

    count = max((int(to_numpy(row.entry["step"]).item()) for row in rows), default=0)
    return Slots(**{slot: tree(key) for slot, key in _KEYS.items()}, count=count, lr_in_momentum=_side(rows))


def write(
    state_dict: Mapping[str, Any],
    slots: Slots,
    names: Mapping[str, Any],
    convert: layout.Convert = dict,
    *,
    learning_rate: Any = None,
) -> dict[str, Any]:
    """A ``state_dict`` with the slots' numbers, for ``optimizer.load_state_dict``; PyTorch makes its tensors.

    Args:
      state_dict: of the optimizer that is to go on, fresh or not. Its groups stay as they are.
      slots: trees like the one that ``convert`` makes.
      names: name → parameter or shape, in the order in which the optimizer got them, or in any order where the groups
        have ``param_names``. Tensors get the parameter's dtype, or the slot's where there is a shape only.
      convert: the function that makes the tree of ``{name: array}``; it is followed backwards.
      learning_rate: as in :func:`rmsprop_optax.interop.write`.

    Returns:
      A new dict with new tensors. Parameters that the slots leave alone have no state in it.

    Raises:
      ValueError: the slots are not those that the groups' ``momentum`` and ``centered`` ask for, or names, shapes and
        ``convert`` do not fit, or there is no count, or the learning rate is missing or without a use.

    Example:
      >>> optimizer.load_state_dict(
      ...     write(optimizer.state_dict(), interop.read(state), dict(model.named_parameters()), convert)
      ... )  # doctest: +SKIP

    Source:
      pytorch/pytorch 2.13.0: torch/optim/rmsprop.py, torch/optim/optimizer.py.
    """
    torch = imported("torch")

    def tensor(array: np.ndarray, dtype: Any) -> Any:
        array = array if dtype is None or np.issubdtype(dtype, np.complexfloating) else array.real
        wide = array.astype(_numbers.wide(array.dtype), copy=False)
        return torch.tensor(wide, dtype=getattr(torch, str(dtype or wide.dtype)))

    rows = _rows({**state_dict, "state": {}}, names)
    state = {
        row.position: {"step": torch.tensor(float(slots.count))} | {k: tensor(x, row.dtype) for k, x in arrays.items()}
        for row, arrays in _written(rows, slots, convert, learning_rate)
    }
    return {**state_dict, "state": state}


def arguments(
    state_dict: Mapping[str, Any], *, dialect: str | None = None, learning_rate: Any = None
) -> list[tuple[str, dict[str, Any]]]:
    """For each parameter group, the dialect and the arguments that reproduce it.

    Args:
      state_dict: the optimizer's.
      dialect: ``"pytorch"``, ``"timm"``, ``"sb3"`` or ``"pfrl"``. timm's groups have a key of their own,
        ``lr_in_momentum``. PyTorch's since 2.4 have the key ``capturable`` and steps that are not integers; so has
        PFRL's optimizer once it was resumed, and must be named therefore. What is left must be named, too.
      learning_rate: instead of the rates in the groups, which are those of the last step: a number or a schedule of
        all steps from 0 on, or a list of one for each group.

    Raises:
      ValueError: the dialect is not clear, or the groups are not its own.

    Example:
      >>> group = {"params": [0], "lr": 0.01, "alpha": 0.99, "eps": 1e-8, "momentum": 0.9, "centered": False}
      >>> arguments({"state": {}, "param_groups": [group]}, dialect="sb3")
      [('sb3', {'lr': 0.01, 'alpha': 0.99, 'eps': 1e-08, 'momentum': 0.9, 'centered': False})]
    """
    state, groups = _parts(state_dict)
    rates = list(learning_rate) if isinstance(learning_rate, list | tuple) else [learning_rate] * len(groups)
    if len(rates) != len(groups):
        raise ValueError(f"learning_rate must have one entry for each of {len(groups)} groups, got {len(rates)}.")
    found = []
    for group, rate in zip(groups, rates, strict=True):
        missing = [key for key in ("lr", "alpha", "eps") if key not in group]
        if missing:
            raise ValueError(f"a group of RMSprop must have {some(missing)}, got the keys {', '.join(group)}.")
        name = _dialect(group, [state[i] for i in group["params"] if i in state], dialect)
        taken = inspect.signature(dialects.TABLE[name].constructor).parameters
        values = {key: to_numpy(group[key]).item() for key in taken if key in group}
        if name == "timm":
            values = _used_by_timm(values, group)
        found.append((name, values if rate is None else values | {"lr": rate}))
    return found


def calls(state_dict: Mapping[str, Any], *, dialect: str | None = None, learning_rate: Any = None) -> list[str]:
    """:func:`arguments` as text; a schedule is shown by its name.

    Example:
      >>> group = {"params": [0], "lr": 0.01, "alpha": 0.99, "eps": 1e-8, "momentum": 0.9, "centered": False}
      >>> calls({"state": {}, "param_groups": [group]}, dialect="pytorch")
      ['dialects.pytorch(lr=0.01, alpha=0.99, eps=1e-08, momentum=0.9, centered=False)']
    """

    def text(value: Any) -> str:
        return getattr(value, "__name__", "schedule") if callable(value) else repr(value)

    return [
        f"dialects.{name}({', '.join(f'{key}={text(value)}' for key, value in values.items())})"
        for name, values in arguments(state_dict, dialect=dialect, learning_rate=learning_rate)
    ]


def optimizer(
    state_dict: Mapping[str, Any],
    names: Iterable[str] | Mapping[str, Any] | None = None,
    convert: layout.Convert = dict,
    *,
    dialect: str | None = None,
    learning_rate: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """The transformation that goes on as the optimizer would: one dialect, or ``optax.partition`` where groups differ.

    timm's ``caution`` compares the entries of an array with each other: ``convert`` must neither split nor join arrays
    for it. A parameter without a gradient stands still in PyTorch; here its gradient is 0, and a decay or the momentum
    goes on: ``optax.masked`` leaves it out.

    Args:
      state_dict: the optimizer's.
      names: as for :func:`read`; used where groups differ.
      convert: likewise.
      dialect: as for :func:`arguments`.
      learning_rate: likewise.

    Raises:
      ValueError: as :func:`arguments` and :func:`read` do, or ``convert`` joins parameters of different groups.

    Example:
      >>> group = {"params": [0], "lr": 0.01, "alpha": 0.99, "eps": 1e-8, "momentum": 0.9, "centered": False}
      >>> tx = optimizer({"state": {}, "param_groups": [group]}, dialect="pytorch")
      >>> optax.tree.get(tx.init({"fc": jnp.ones(2)}), "trace")
      {'fc': Array([0., 0.], dtype=float32)}
    """
    found = arguments(state_dict, dialect=dialect, learning_rate=learning_rate)
    distinct = [call for i, call in enumerate(found) if call not in found[:i]]
    made = [dialects.TABLE[name].constructor(**values) for name, values in distinct]
    if len(made) == 1:
        return made[0]
    labels = [f"group{distinct.index(call)}" for call in found]
    rows = _filled(_rows(state_dict, names), 0.0)
    groups = state_dict["param_groups"]
    of_group = {id(group): label for group, label in zip(groups, labels, strict=True)}
    of_name = {row.name: of_group[id(row.group)] for row in rows}
    shapes = {row.name: _shape(row.entry["square_avg"]) for row in rows}
    transforms = dict(zip(dict.fromkeys(labels), made, strict=True))
    return optax.partition(transforms, layout.labelled(of_name, shapes, convert))


class _Row(NamedTuple):
    """A parameter: where it stands, and what is known of it."""

    name: str
    position: Any
    group: Mapping[str, Any]
    entry: dict[str, Any]
    shape: tuple[int, ...] | None
    dtype: Any


def _parts(state_dict: Mapping[str, Any]) -> tuple[Mapping, list[Mapping]]:
    if not _is_optimizer(state_dict):
        raise ValueError(
            "an optimizer's state_dict must have state and param_groups, got "
            f"{some(list(map(str, state_dict))) if isinstance(state_dict, Mapping) else type(state_dict).__name__}: "
            "find_optimizer finds it in a checkpoint."
        )
    state, groups = state_dict["state"], state_dict["param_groups"]
    positions = [i for group in groups for i in group["params"]]
    known = set(positions)
    over = [str(i) for i in state if i not in known]
    if over or len(known) < len(positions):
        raise ValueError(
            "each parameter must stand in one group, got "
            + (f"a state of {some(over)} in none." if over else "one in several.")
        )
    return state, groups


def _rows(state_dict: Mapping[str, Any], names: Iterable[str] | Mapping[str, Any] | None) -> list[_Row]:
    """The parameters of an optimizer by name, each with exactly the entries that its group asks for, or none."""
    state, groups = _parts(state_dict)
    places = [(i, group) for group in groups for i in group["params"]]
    known = [name for group in groups for name in group.get("param_names", ())] or [i for i, _ in places]
    are_names = len(known) == len(places) and all(isinstance(name, str) for name in known)
    if names is None and not are_names:
        raise ValueError(
            "names must be given, got none in the groups: pass dict(model.named_parameters()), or a list in the order "
            "in which the optimizer got the parameters."
        )
    given = names if isinstance(names, Mapping) else {}
    order = layout.names_of(known if names is None else names)
    if are_names and set(order) == set(known):
        order = layout.names_of(known)
    if len(order) != len(places):
        raise ValueError(
            f"names must be those of the {len(places)} parameters of the optimizer, got {len(order)}, {some(order)}: "
            "buffers, frozen weights and the second name of a shared weight have no place in it."
        )
    rows, wrong = [], []
    for name, (position, group) in zip(order, places, strict=True):
        entry = dict(state.get(position, {}))
        shape = _shape(given[name]) if name in given else None
        dtype = _dtype(given[name]) if name in given else None
        rows.append(_Row(name, position, group, entry, shape, dtype))
        if entry:
            asked = {"step", *_asked(group)}
            wrong += [f"no {key} of {name}" for key in sorted(asked - entry.keys())]
            wrong += [f"a {key} of {name}, which its group does not ask for" for key in sorted(entry.keys() - asked)]
            shape = _shape(entry.get("square_avg", ())) if shape is None else shape
            sizes = {key: _shape(x) for key, x in entry.items() if key in _KEYS.values()}
            wrong += [
                f"a {key} of {name} with shape {size} for {shape}" for key, size in sizes.items() if size != shape
            ]
    if wrong:
        raise ValueError(
            f"the state of RMSprop must be what its groups say, got {some(wrong)}: compare the names and their order "
            "with the parameters that the optimizer got, and momentum and centered with those of the run."
        )
    return rows


def _asked(group: Mapping[str, Any]) -> list[str]:
    optional = {"grad_avg": group.get("centered", False), "momentum_buffer": group.get("momentum", 0) > 0}
    return ["square_avg", *(key for key, asked in optional.items() if asked)]


def _filled(rows: list[_Row], initial_value: float | None) -> list[_Row]:
    """Parameters without a state as they are before their first step."""
    empty = [row.name for row in rows if not row.entry]
    if empty and initial_value is None:
        raise ValueError(
            f"each parameter must have a state, got none of {some(empty)}, which no gradient has reached: pass "
            "initial_value, from which the mean square starts (0 in PyTorch and PFRL, 1 in timm and Stable-Baselines3)."
        )
    unknown = [row.name for row in rows if not row.entry and row.shape is None]
    if unknown:
        raise ValueError(
            f"names must be a mapping to parameters or shapes where the optimizer holds no state, got no shape of "
            f"{some(unknown)}: pass dict(model.named_parameters())."
        )

    def start(row: _Row) -> dict[str, Any]:
        values = {key: initial_value if key == "square_avg" else 0.0 for key in _asked(row.group)}
        dtype = _numbers.wide(row.dtype or np.float32)
        return {"step": 0} | {key: np.full(row.shape or (), value, dtype) for key, value in values.items()}

    return [row if row.entry else row._replace(entry=start(row)) for row in rows]


def _side(rows: list[_Row]) -> bool | None:
    """Whether the learning rate is in the buffers: timm has it there unless told otherwise, nobody else."""
    with_buffer = [row.group for row in rows if "momentum_buffer" in _asked(row.group)]
    sides = {bool(group.get("lr_in_momentum", False)) for group in with_buffer}
    if len(sides) > 1:
        raise ValueError(
            "lr_in_momentum must be the same in all groups with momentum, got both: read or write one group at a time."
        )
    return sides.pop() if sides else None


def _written(
    rows: list[_Row], slots: Slots, convert: layout.Convert, learning_rate: Any
) -> Iterator[tuple[_Row, dict[str, np.ndarray]]]:
    """The rows that have a state, with their arrays by key, all checked before the first."""
    unknown = [row.name for row in rows if row.shape is None]
    if unknown:
        raise ValueError(f"names must be a mapping to parameters or shapes, got no shape of {some(unknown)}.")
    if slots.count is None:
        raise ValueError("slots must have a count of steps, got None: slots._replace(count=…) sets it.")
    slots = slots._replace(momentum=rescaled(slots, _side(rows), learning_rate))
    shapes: dict[str, tuple[int, ...]] = {row.name: row.shape for row in rows if row.shape is not None}
    held = {key: _backward(getattr(slots, slot), shapes, convert) for slot, key in _KEYS.items()}
    rows = [row for row in rows if any(row.name in arrays for arrays in held.values())]
    wrong = []
    for row in rows:
        asked = _asked(row.group)
        wrong += [f"no {key} of {row.name}" for key in asked if row.name not in held[key]]
        wrong += [f"a {key} of {row.name}" for key in held if row.name in held[key] and key not in asked]
    if wrong:
        raise ValueError(
            f"slots must be those that momentum and centered of the groups ask for, got {some(wrong)}: make the "
            "optimizer with the options of the run, or drop or add slots with slots._replace."
        )
    return ((row, {key: held[key].pop(row.name) for key in _asked(row.group)}) for row in rows)


def _backward(tree: Any, shapes: dict[str, tuple[int, ...]], convert: layout.Convert) -> dict[str, np.ndarray]:
    """The arrays that ``convert`` makes ``tree`` of, without those of which all is ``optax.MaskedNode``."""
    if tree is None:
        return {}
    is_masked = lambda x: isinstance(x, optax.MaskedNode)  # noqa: E731
    if not any(map(is_masked, jax.tree.leaves(tree, is_leaf=is_masked))):
        return layout.backward(tree, shapes, convert)
    blank = convert({name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()})
    masks = jax.tree.map(lambda b, x: np.broadcast_to(is_masked(x), b.shape), blank, tree)
    left_out = layout.backward(masks, shapes, convert)
    arrays = layout.backward(jax.tree.map(lambda b, x: b if is_masked(x) else x, blank, tree), shapes, convert)
    torn = [name for name, mask in left_out.items() if mask.any() and not mask.all()]
    if torn:
        raise ValueError(f"a parameter must be left alone as a whole, got parts of {some(torn)}.")
    return {name: array for name, array in arrays.items() if not left_out[name].any()}


def _dialect(group: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], dialect: str | None) -> str:
    is_timm = "lr_in_momentum" in group
    if dialect is None:
        whole = [np.issubdtype(to_numpy(entry["step"]).dtype, np.integer) for entry in entries if "step" in entry]
        if not is_timm and ("capturable" not in group or any(whole)):
            raise ValueError(
                "dialect must be given, got a state_dict that PyTorch before 2.4, Stable-Baselines3 or PFRL may have "
                "written: pass 'pytorch', 'sb3' or 'pfrl'."
            )
        return "timm" if is_timm else "pytorch"
    if dialect not in _DIALECTS:
        raise ValueError(f"dialect must be one of {', '.join(_DIALECTS)}, got {dialect!r}.")
    if is_timm != (dialect == "timm"):
        raise ValueError(
            f"dialect must be timm where the groups have lr_in_momentum, and no other, got {dialect!r} for the keys "
            f"{', '.join(group)}."
        )
    return dialect


def _used_by_timm(values: dict[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    """Without what timm ignores, and with the rate that it remembers."""
    if not values.get("momentum"):
        values.pop("caution", None)
    if not values.get("decoupled_decay"):
        values.pop("corrected_weight_decay", None)
    if not values.get("corrected_weight_decay"):
        return values
    if "max_lr_snapshot" not in group:
        raise ValueError(
            "a group with corrected_weight_decay must have max_lr_snapshot, got none, as in older "
            "versions of timm: set it in the group to the rate that the optimizer was made with."
        )
    return values | {"max_lr": to_numpy(group["max_lr_snapshot"]).item()}


def _is_optimizer(node: Any) -> bool:
    return (
        isinstance(node, Mapping)
        and isinstance(node.get("state"), Mapping)
        and isinstance(node.get("param_groups"), Sequence)
        and all(isinstance(group, Mapping) and "params" in group for group in node["param_groups"])
    )


def _is_arrays(node: Any) -> bool:
    leaves = [x for _, x in _leaves(node)] if isinstance(node, Mapping) else []
    return bool(leaves) and all(hasattr(x, "shape") for x in leaves)


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What is in nested dicts, with the keys joined by dots."""
    if isinstance(node, Mapping):
        for key, child in node.items():
            yield from _leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def _places(node: Any, wanted: Callable[[Any], bool], path: str = "") -> Iterator[tuple[str, Any]]:
    """The outermost dicts and lists that are wanted, by their keys joined by dots."""
    if wanted(node):
        yield path, node
    elif isinstance(node, Mapping | list | tuple):
        for key, child in node.items() if isinstance(node, Mapping) else enumerate(node):
            yield from _places(child, wanted, f"{path}.{key}" if path else str(key))


def _the_one(found: dict[str, Any], at: str | None, what: str) -> Any:
    if at in found:
        return found[at]
    if at is None and len(found) == 1:
        return next(iter(found.values()))
    there = f"{len(found)}, at {some([repr(place) for place in found])}" if found else "none"
    asked = "" if at is None else f" at {at!r}"
    raise ValueError(
        f"a checkpoint must have one {what}{asked}, got {there}: "
        + ("say which one with at=…" if found else "pass what was saved with it.")
    )


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(getattr(x, "shape", x))


def _dtype(x: Any) -> Any:
    """The NumPy dtype of a tensor or an array, and ``None`` for a shape."""
    if isinstance(x, Sequence):
        return None
    return np.dtype(str(x.dtype).removeprefix("torch.")) if hasattr(x, "dtype") else None
