"""Restore the types of states in an ``nnx.State``, which keeps only the names of their fields."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from rmsprop_optax._paths import nodes
from rmsprop_optax._types import Tree


class Whole(NamedTuple):
    """The fields of an ``nnx.Optimizer``."""

    opt_state: Any
    step: Any


_OPTIONAL: dict[str, Any] = {"mu": None, "skip_state": ()}
_OF_PARAMETERS = ("nu", "mu", "trace", "gain", "acc_grads")  # their keys are names and never fields


def typed(tree: Tree, *kinds: Any) -> Tree:
    """Replace mappings with the fields of a state of ``kinds`` by the state, and mappings of chains by tuples.

    A tree with a state of one of these types is returned unchanged. Of two types with the same fields, the first is
    taken.
    """
    if any(nodes(tree, kind) for kind in kinds):
        return tree
    return jax.tree.map(lambda x: _typed(x, kinds), tree, is_leaf=_is_mapping)


def written(function: Callable[[Tree], Tree], like: Tree, *kinds: Any) -> Tree:
    """``function(typed(like))`` in the containers of ``like``; an ``nnx.Optimizer`` is changed in place and returned.

    The function must keep the structure.
    """
    if is_optimizer(like):
        nnx = sys.modules["flax.nnx"]
        nnx.update(like, nnx.state(function(like)))
        return like
    leaves, treedef = jax.tree.flatten(like)
    positions = jax.tree.leaves(typed(jax.tree.unflatten(treedef, range(len(leaves))), *kinds))
    new = dict(zip(positions, jax.tree.leaves(function(typed(like, *kinds))), strict=True))
    return jax.tree.unflatten(treedef, [new[position] for position in range(len(leaves))])


def is_optimizer(x: Any) -> bool:
    """Whether ``x`` is an ``nnx.Optimizer``, without importing Flax: if ``x`` is one, Flax is loaded."""
    nnx = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(x, nnx.Optimizer)


def _is_mapping(x: Any) -> bool:
    return isinstance(x, Mapping)


def _typed(x: Any, kinds: tuple[Any, ...]) -> Any:
    if not _is_mapping(x):
        return x
    fields = {key: _masked(value) if key in _OF_PARAMETERS else typed(value, *kinds) for key, value in x.items()}
    for kind in kinds:
        if fields.keys() <= {*kind._fields} <= {*fields, *_OPTIONAL}:
            return kind(**{name: fields[name] if name in fields else _OPTIONAL[name] for name in kind._fields})
    if not all(str(key).isdecimal() for key in fields):
        return fields
    links = {int(key): value for key, value in fields.items()}  # of a chain; links without arrays are left out
    return tuple(links.get(i, optax.EmptyState()) for i in range(max(links, default=-1) + 1))


def _masked(tree: Tree) -> Tree:
    """The tree of a state's field with its masks, for which Orbax restores ``None``."""
    if tree is None:
        return None
    return jax.tree.map(lambda x: optax.MaskedNode() if x is None else x, tree, is_leaf=lambda x: x is None)
