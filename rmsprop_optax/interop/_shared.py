"""Helpers that several formats share."""

import importlib
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

import jax
import numpy as np
import optax

from rmsprop_optax._paths import some
from rmsprop_optax._types import Tree


def is_masked(x: Any) -> bool:
    """Whether a leaf stands for a parameter that ``optax.masked`` or ``optax.partition`` leaves out."""
    return isinstance(x, optax.MaskedNode)


def has_masked(tree: Tree) -> bool:
    """Whether any leaf of a tree is masked."""
    return any(map(is_masked, jax.tree.leaves(tree, is_leaf=is_masked)))


def float64(x: jax.Array) -> jax.Array:
    """An array in float64, or complex128 if it is complex; call this inside ``jax.enable_x64(True)``."""
    return x.astype(np.promote_types(x.dtype, np.float64))


def abs_sq(x: jax.Array) -> jax.Array:
    """|x|² in float64; call this inside ``jax.enable_x64(True)``."""
    return float64(x.real) ** 2 + float64(x.imag) ** 2 if np.iscomplexobj(x) else float64(x) ** 2


def sharding_of(x: Any) -> Any:
    """The sharding of a committed or abstract array; ``None`` for an uncommitted or a NumPy array."""
    return getattr(x, "sharding", None) if getattr(x, "committed", True) else None


def imported(package: str, user: Any, *, install: str | None = None) -> ModuleType:
    """Import an optional package.

    Args:
      package: the name of the module.
      user: the file or function that needs the package, for the error.
      install: the name for pip, if it differs.

    Raises:
      ImportError: the package is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{user} needs the package {package}, which is not installed: pip install {install or package}."
        ) from error


def check_fit(framework: str, trees: Mapping[str, Tree], asked: Collection[str], *, needs_count: bool) -> None:
    """Compare slots with the variables of a framework's optimizer, which keeps every slot for every parameter.

    Args:
      framework: its name, for the error.
      trees: slot → its tree.
      asked: the slots that the optimizer has variables for.
      needs_count: whether the optimizer counts steps and the slots do not.

    Raises:
      ValueError: a slot or the count is missing, a slot is left over, or a parameter is masked.
    """
    wrong = [f"no {slot}" for slot in asked if slot not in trees]
    wrong += [f"a {slot} that it has no variables for" for slot in trees if slot not in asked]
    wrong += ["masked parameters"] * has_masked(trees)
    wrong += ["no count, which slots._replace(count=…) sets"] * needs_count
    if wrong:
        raise ValueError(
            f"the slots must match the optimizer of {framework}, got {some(wrong)}: create it with the options of the "
            "run, or change the options of the run with interop.transfer."
        )
