"""Make the optimizer that continues a run of PyTorch's RMSprop or its relatives, from the parameter groups."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import jax
import numpy as np
import optax

from rmsprop_optax import dialects
from rmsprop_optax._paths import name_of, named, some
from rmsprop_optax._types import Tree
from rmsprop_optax.interop import layout
from rmsprop_optax.interop._call import Call, text
from rmsprop_optax.interop._pytorch_file import to_numpy
from rmsprop_optax.interop._pytorch_rows import filled, parts, rows_of, shape_of

Dialect = Literal["pytorch", "timm", "sb3", "pfrl", "bitsandbytes"]
Rates: TypeAlias = optax.ScalarOrSchedule | Sequence[optax.ScalarOrSchedule]


def arguments(
    state_dict: Mapping[str, Any], *, dialect: Dialect | None = None, learning_rate: Rates | None = None
) -> list[tuple[Dialect, dict[str, Any]]]:
    """The dialect and its arguments that reproduce each parameter group.

    Args:
      state_dict: the optimizer's ``state_dict()``.
      dialect: the framework that wrote ``state_dict``. ``None`` recognises ``"timm"`` by the key ``lr_in_momentum`` in
        its groups, and ``"pytorch"`` since version 2.4 by the key ``capturable`` and floating-point steps. Name an
        older ``"pytorch"``, ``"sb3"``, ``"pfrl"`` and, after ``to_pytorch``, ``"bitsandbytes"``.
      learning_rate: replaces the rates in the groups, which hold the rate of the last step: a number, a schedule of all
        steps from 0 on, or a list with a number or a schedule for each group.

    Raises:
      ValueError: the dialect cannot be recognised, or the groups belong to another optimizer.

    Example:
      >>> group = {"params": [0], "lr": 0.01, "alpha": 0.99, "eps": 1e-8, "momentum": 0.9, "centered": False}
      >>> arguments({"state": {}, "param_groups": [group]}, dialect="sb3")
      [('sb3', {'lr': 0.01, 'alpha': 0.99, 'eps': 1e-08, 'momentum': 0.9, 'centered': False})]
    """
    state, groups = parts(state_dict)
    rates = list(learning_rate) if isinstance(learning_rate, list | tuple) else [learning_rate] * len(groups)
    if len(rates) != len(groups):
        raise ValueError(f"learning_rate must have one entry for each of {len(groups)} groups, got {len(rates)}.")
    own = [to_numpy(group["lr"]).item() for group in groups if "lr" in group]
    if learning_rate is not None and not isinstance(learning_rate, list | tuple) and len(set(own)) > 1:
        raise ValueError(
            f"learning_rate must be a list for groups of different rates, {some([f'{rate:g}' for rate in own])}, got "
            "a single rate: pass learning_rate=[…] in Python, with one entry for each group."
        )
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


def calls(
    state_dict: Mapping[str, Any], *, dialect: Dialect | None = None, learning_rate: Rates | None = None
) -> list[str]:
    """The call that reproduces each parameter group, as Python code; a schedule appears under its name.

    Args:
      state_dict: the optimizer's ``state_dict()``.
      dialect: the framework that wrote ``state_dict``, if :func:`arguments` cannot recognise it.
      learning_rate: replaces the rates in the groups: a number, a schedule, or a list of these.

    Raises:
      ValueError: the dialect cannot be recognised, or the groups belong to another optimizer.

    Example:
      >>> group = {"params": [0], "lr": 0.01, "alpha": 0.99, "eps": 1e-8, "momentum": 0.9, "centered": False}
      >>> calls({"state": {}, "param_groups": [group]}, dialect="pytorch")
      ['dialects.pytorch(lr=0.01, alpha=0.99, eps=1e-08, momentum=0.9, centered=False)']
    """
    found = arguments(state_dict, dialect=dialect, learning_rate=learning_rate)
    return [text(Call(f"dialects.{name}", values)) for name, values in found]


def optimizer(
    state_dict: Mapping[str, Any],
    names: layout.Names | None = None,
    convert: layout.Convert = dict,
    *,
    dialect: Dialect | None = None,
    learning_rate: Rates | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The transformation that continues the run: one dialect, or ``optax.partition`` if the groups differ.

    With timm's ``caution``, ``convert`` must neither split nor join arrays, because ``caution`` averages over each
    array. PyTorch does not move a parameter without a gradient. Here such a gradient is 0, and weight decay and
    momentum move the parameter: leave it out with ``optax.masked``.

    Args:
      state_dict: the optimizer's ``state_dict()``.
      names: the names of the parameters in the optimizer's order, or a mapping from them to arrays or shapes; used if
        the groups differ.
      convert: the function that makes the tree of parameters from ``{name: array}``; used if the groups differ.
      dialect: the framework that wrote ``state_dict``, if :func:`arguments` cannot recognise it.
      learning_rate: replaces the rates in the groups, which hold the rate of the last step: a number, a schedule of all
        steps from 0 on, or a list with a number or a schedule for each group.

    Raises:
      ValueError: the dialect cannot be recognised, the groups belong to another optimizer, names or shapes do not fit,
        or ``convert`` joins parameters of different groups.

    Example:
      >>> group = {"params": [0], "lr": 0.01, "alpha": 0.99, "eps": 1e-8, "momentum": 0.9, "centered": False}
      >>> tx = optimizer({"state": {}, "param_groups": [group]}, dialect="pytorch")
      >>> optax.tree.get(tx.init({"fc": np.ones(2, np.float32)}), "trace")
      {'fc': Array([0., 0.], dtype=float32)}
    """
    found = arguments(state_dict, dialect=dialect, learning_rate=learning_rate)
    distinct = [call for i, call in enumerate(found) if call not in found[:i]]
    made = [dialects.TABLE[name].constructor(**values) for name, values in distinct]
    if len(made) == 1:
        return made[0]
    labels = [f"group{distinct.index(call)}" for call in found]
    rows = filled(rows_of(state_dict, names), 0.0)
    groups = state_dict["param_groups"]
    of_group = {id(group): label for group, label in zip(groups, labels, strict=True)}
    of_name = {row.name: of_group[id(row.group)] for row in rows}
    shapes = {row.name: shape_of(row.entry["square_avg"]) for row in rows}
    transforms = dict(zip(dict.fromkeys(labels), made, strict=True))
    label_of = named(layout.labelled(of_name, shapes, convert))

    def labelled(params: Tree) -> Tree:
        # Labels are found by name, because a tree of nnx has other containers than convert returns.
        if unknown := [name for name in named(params) if name not in label_of]:
            raise ValueError(
                f"parameters must be those that convert makes, {some(list(label_of))}, got {some(unknown)}: pass the "
                "function that made the parameters."
            )
        return jax.tree.map_with_path(lambda path, _: label_of[name_of(path)], params)

    return optax.partition(transforms, labelled)


def _dialect(group: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], dialect: Dialect | None) -> Dialect:
    is_timm = "lr_in_momentum" in group
    if dialect is None:
        whole = [np.issubdtype(to_numpy(entry["step"]).dtype, np.integer) for entry in entries if "step" in entry]
        if not is_timm and ("capturable" not in group or any(whole)):
            raise ValueError(
                "dialect must be given, got a state_dict that may come from PyTorch before 2.4, Stable-Baselines3 or "
                "PFRL: pass 'pytorch', 'sb3' or 'pfrl'."
            )
        return "timm" if is_timm else "pytorch"
    if dialect not in get_args(Dialect):
        raise ValueError(f"dialect must be one of {', '.join(get_args(Dialect))}, got {dialect!r}.")
    if is_timm != (dialect == "timm"):
        raise ValueError(
            f"dialect must be timm if the groups have lr_in_momentum, else another, got {dialect!r} for the keys "
            f"{', '.join(group)}."
        )
    return dialect


def _used_by_timm(values: dict[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the arguments that timm ignores, and add the initial rate from the group."""
    if not values.get("momentum"):
        values.pop("caution", None)
    if not values.get("decoupled_decay"):
        values.pop("corrected_weight_decay", None)
    if not values.get("corrected_weight_decay"):
        return values
    if "max_lr_snapshot" not in group:
        raise ValueError(
            "a group with corrected_weight_decay must have max_lr_snapshot, got none, as in older versions of timm: "
            "set group['max_lr_snapshot'] to the rate that the optimizer was created with."
        )
    return values | {"max_lr": to_numpy(group["max_lr_snapshot"]).item()}
