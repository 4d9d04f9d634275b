"""Check rows of numbers and turn them into arrays."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

_Given = TypeVar("_Given", bound=Sequence[Any] | Mapping[str, Any])


def some(given: _Given, what: str) -> _Given:
    """Return ``given`` if neither it nor, in a mapping, one of its values is empty.

    Raises:
      ValueError: something is empty.
    """
    if not len(given) or (isinstance(given, Mapping) and not all(map(len, given.values()))):
        raise ValueError(f"{what} must not be empty, got {given}.")
    return given


def need(rows: Sequence[Mapping[str, Any]], *keys: str, of: str = "") -> None:
    """Check that there are rows, each a mapping with all ``keys``; ``of`` says whose rows they are.

    Raises:
      ValueError: there is no row, or a row lacks a key.
    """
    each = f"each row of {of}" if of else "each row"
    for row in some(rows, of or "rows"):
        if not isinstance(row, Mapping):
            raise ValueError(f"{each} must be a mapping with {', '.join(keys)}, got {row!r:.80}.")
        if missing := [key for key in keys if key not in row]:
            got = ", ".join(map(str, row)) or "no key"
            raise ValueError(f"{each} must have {', '.join(keys)}, got {got}: add {', '.join(missing)}.")


def columns(seeds: Sequence[Sequence[Mapping[str, Any]]], key: str) -> np.ndarray:
    """The numbers under ``key``, [seeds, rows]; NaN where a row has none."""
    found = np.full((len(seeds), max(map(len, seeds))), np.nan)
    for values, rows in zip(found, seeds, strict=True):
        values[: len(rows)] = np.array([row.get(key) for row in rows], float)
    return found
