"""Checks of numbers that are not options of an optimizer: counts, sizes and factors."""

from math import inf
from typing import Any

from rmsprop_optax._numbers import Range, check, is_static


def static(name: str, value: Any, mend: str) -> None:
    """Raise ``TypeError`` if ``value`` is not a Python or NumPy number; an array's value is not known under ``jit``."""
    if isinstance(value, bool) or not is_static(value):
        raise TypeError(f"{name} must be a Python or NumPy number, got {name}={value!r}: {mend}.")


def count(name: str, value: Any, mend: str) -> Any:
    """Return a static number of at least 1 as a Python float, or raise as :func:`rmsprop_optax._numbers.check` does."""
    static(name, value, mend)
    return check(Range(1, inf, mend), value, name=name)


def whole(name: str, value: Any) -> None:
    """Raise ``ValueError`` unless ``value`` is a whole number above 0."""
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} must be a whole number above 0, got {name}={value!r}: leave it out for the default.")
