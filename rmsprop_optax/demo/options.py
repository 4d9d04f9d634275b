"""Make optimizers from the words of a command line: names of dialects, and their arguments."""

import ast
import functools
import inspect
from collections.abc import Iterable
from typing import Any, NamedTuple

import optax

from rmsprop_optax.dialects import TABLE
from rmsprop_optax.measure import measured

LEARNING_RATE = 1e-3
"""The learning rate of dialects whose source has no default."""

MEASURED_EVERY = 5
"""Steps between two measures; they make a step less than 5 % slower."""

_WORDS = {"true": True, "false": False, "none": None}


class UsageError(Exception):
    """A mistake of the user; the message says what to change."""


class Choice(NamedTuple):
    """A dialect with its arguments.

    Attributes:
      tx: the optimizer, a :func:`rmsprop_optax.measure.measured` one.
      arguments: all arguments of the dialect, including defaults.
    """

    tx: optax.GradientTransformationExtraArgs
    arguments: dict[str, Any]


def choose(names: Iterable[str], settings: Iterable[str]) -> dict[str, Choice]:
    """Return the named dialects of :data:`~rmsprop_optax.dialects.TABLE`, each with its settings.

    Args:
      names: rows of the table; a repeated name counts once.
      settings: ``argument=value`` for every dialect, ``dialect.argument=value`` for one dialect. The value is a Python
        number, true, false or none in any case, or any text if the default is text. A setting for one dialect
        overrides a setting for all; otherwise the last one counts.

    Raises:
      UsageError: a setting is malformed, belongs to no dialect, or is refused by a dialect.

    Example:
      >>> choose(["tf1", "pytorch"], ["momentum=0.9", "pytorch.lr=0.1"])["pytorch"].arguments["lr"]
      0.1
    """
    common: dict[str, str] = {}
    special: dict[str, dict[str, str]] = {name: {} for name in names}
    for setting in settings:
        key, equals, _ = setting.partition("=")
        dialect, dot, argument = key.rpartition(".")
        if not (equals and argument):
            raise UsageError(f"--set {setting}: write argument=value or dialect.argument=value.")
        if dot and dialect not in special:
            raise UsageError(
                f"--set {setting}: {dialect!r} is not among the dialects of this run: {', '.join(special)}."
            )
        (special[dialect] if dot else common)[argument] = setting
    return {name: _build(name, common | own) for name, own in special.items()}


def _value(setting: str, default: Any) -> Any:
    value = setting.partition("=")[2]
    if isinstance(default, str):
        return value
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        literal = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        literal = value
    if not isinstance(literal, int | float):
        raise UsageError(f"--set {setting}: {value!r} is not a number, true, false or none.")
    return literal


def _build(name: str, settings: dict[str, str]) -> Choice:
    parameters = inspect.signature(TABLE[name].constructor).parameters
    for argument in settings:
        if argument not in parameters:
            raise UsageError(f"--set {argument}: {name} has no such argument; it has {', '.join(parameters)}.")
    defaults = {k: LEARNING_RATE if p.default is p.empty else p.default for k, p in parameters.items()}
    arguments = defaults | {k: _value(setting, defaults[k]) for k, setting in settings.items()}
    try:
        tx = _measured(name, **arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: {error}") from error
    return Choice(tx, arguments)


@functools.lru_cache(typed=True)
def _measured(name: str, /, **arguments: Any) -> optax.GradientTransformationExtraArgs:
    # Equal arguments return the same object, so that the next run in this process reuses the compiled functions.
    return measured(TABLE[name].constructor(**arguments), every=MEASURED_EVERY)
