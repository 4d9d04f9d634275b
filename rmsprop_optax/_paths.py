"""Names of parameters, and of the state arrays that belong to them."""

from collections.abc import Container, Iterator
from typing import Any, TypeVar

import jax

from rmsprop_optax._complex import Components, is_components
from rmsprop_optax._types import Tree

T = TypeVar("T")


def nodes(tree: Tree, kind: type[T]) -> list[T]:
    """All nodes of a type in a tree, such as a state."""
    return [x for x in jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, kind)) if isinstance(x, kind)]


def named(tree: Tree) -> dict[str, Any]:
    """Name, such as ``"encoder/kernel"`` → leaf, of a tree of parameters or a tree like it.

    Raises:
      ValueError: two leaves have one name.
    """
    leaves = jax.tree.leaves_with_path(tree, is_leaf=is_components)
    names = {name_of(path): leaf for path, leaf in leaves}
    if len(names) < len(leaves):
        paths = [name_of(path) for path, _ in leaves]
        twice = [name for name in names if paths.count(name) > 1]
        raise ValueError(f"each leaf must have a name of its own, got two of {some(twice)}.")
    return names


def name_of(path: tuple[Any, ...]) -> str:
    """The name of a leaf in :func:`named`."""
    # The array inside an nnx.Variable, or a box of Linen's, is no level of the parameters' tree.
    if path and path[-1] == jax.tree_util.GetAttrKey("value"):
        path = path[:-1]
    return jax.tree_util.keystr(path, simple=True, separator="/") or "the parameter"


def some(names: list[str]) -> str:
    """A few names, for an error."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def parameters_of(path: tuple[Any, ...], params: Container[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Paths of the parameters that a state array may belong to, the longest first: its path ends with theirs."""
    if path and path[-1] in map(jax.tree_util.GetAttrKey, Components._fields):
        path = path[:-1]
    return (path[start:] for start in range(len(path) + 1) if path[start:] in params)
