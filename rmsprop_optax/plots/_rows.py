"""Check rows of numbers and turn them into arrays."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Given = TypeVar("_Given", bound=Sequence[Any] | Mapping[str, Any])


def some(given: _Given, what: str, kind: type = Mapping) -> _Given:
    """Return ``given`` if it is a mapping, or of another ``kind``, and neither it nor one of its values is empty.

    Raises:
      TypeError: it is of another kind.
      ValueError: something is empty.
    """
    if not isinstance(given, kind) or isinstance(given, str):
        form = "a dict with names" if kind is Mapping else "a list"
        raise TypeError(f"{what} must be {form}, got {given!r:.80}: give {form}.")
    values = given.values() if isinstance(given, Mapping) else ()
    if not len(given) or any(0 in np.shape(x) if hasattr(x, "shape") else x in ([], ()) for x in values):
        raise ValueError(f"{what} must not be empty, got {given}: pass at least one entry.")
    return given


def numbers(given: Any, what: str) -> NDArray[np.float64]:
    """Return an array of float64; ``None`` becomes NaN.

    Raises:
      ValueError: something is not a number.
    """
    try:
        return np.asarray(given, float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be numbers, got {given!r:.80}: {error}.") from error


def need(rows: Sequence[Mapping[str, Any]], *keys: str, of: str = "") -> None:
    """Check that there are rows, each a mapping with all ``keys``; ``of`` names the rows in the error.

    Raises:
      TypeError: the rows are not in a sequence.
      ValueError: there is no row, or a row lacks a key.
    """
    each = f"each row of {of}" if of else "each row"
    for row in some(rows, of or "rows", Sequence):
        if not isinstance(row, Mapping):
            raise ValueError(f"{each} must be a mapping with {', '.join(keys)}, got {row!r:.80}.")
        if missing := [key for key in keys if key not in row]:
            got = ", ".join(map(str, row)) or "no key"
            raise ValueError(f"{each} must have {', '.join(keys)}, got {got}: add {', '.join(missing)}.")


def columns(seeds: Sequence[Sequence[Mapping[str, Any]]], key: str) -> np.ndarray:
    """The numbers under ``key``, [seeds, rows]; NaN where a row has none."""
    found = np.full((len(seeds), max(map(len, seeds))), np.nan)
    for values, rows in zip(found, seeds, strict=True):
        values[: len(rows)] = numbers([row.get(key) for row in rows], key)
    return found
