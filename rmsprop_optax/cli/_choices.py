"""Make optimizers from the words of a command line: names of dialects and baselines, and their arguments."""

import ast
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import optax

from rmsprop_optax.cli._baselines import BASELINES
from rmsprop_optax.cli._parser import UsageError, usage_errors
from rmsprop_optax.dialects import TABLE
from rmsprop_optax.measure import measured

LEARNING_RATE = 1e-3
"""The learning rate of dialects whose source has no default."""

MEASURED_EVERY = 5
"""Steps between two measures; they make a step less than 5 % slower."""

_WORDS = {"true": True, "false": False, "none": None}


class Choice(NamedTuple):
    """An optimizer with its arguments.

    Attributes:
      tx: the optimizer, a :func:`rmsprop_optax.measure.measured` one.
      arguments: all arguments of the dialect or baseline, including defaults.
    """

    tx: optax.GradientTransformationExtraArgs
    arguments: dict[str, Any]


def choose(dialects: Iterable[str], settings: Iterable[str] = (), baselines: Iterable[str] = ()) -> dict[str, Choice]:
    """Return the named dialects and baselines, each with its settings.

    Args:
      dialects: rows of :data:`rmsprop_optax.dialects.TABLE`; a repeated name counts once.
      settings: ``argument=value`` for every dialect, ``name.argument=value`` for one dialect or baseline. The value is
        a Python number, true, false or none in any case, or any text if the default is text. A setting for one name
        overrides a setting for all dialects; otherwise the last one counts.
      baselines: rows of :data:`rmsprop_optax.cli._baselines.BASELINES`; a repeated name counts once.

    Raises:
      UsageError: a setting is malformed, belongs to no optimizer, or is refused by one.

    Example:
      >>> choose(["tf1", "pytorch"], ["momentum=0.9", "pytorch.lr=0.1"])["pytorch"].arguments["lr"]
      0.1
      >>> choose(["tf1"], ["sgd.momentum=0.8"], ["sgd"])["sgd"].arguments["momentum"]
      0.8
    """
    dialects, common = list(dialects), dict[str, str]()
    special: dict[str, dict[str, str]] = {name: {} for name in (*dialects, *baselines)}
    for setting in settings:
        key, equals, _ = setting.partition("=")
        name, dot, argument = key.rpartition(".")
        if not (equals and argument):
            raise UsageError(f"--set {setting}: write argument=value or name.argument=value.")
        if dot and name not in special:
            raise UsageError(f"--set {setting}: {name!r} is not an optimizer of this run: {', '.join(special)}.")
        (special[name] if dot else common)[argument] = setting
    return {name: _build(name, (common if name in dialects else {}) | own) for name, own in special.items()}


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
    constructor, own = _constructor(name)
    parameters = inspect.signature(constructor).parameters
    for argument in settings:
        if argument not in parameters:
            raise UsageError(f"--set {argument}: {name} has no such argument; it has {', '.join(parameters)}.")
    defaults = {k: LEARNING_RATE if p.default is p.empty else p.default for k, p in parameters.items()} | own
    arguments = defaults | {k: _value(setting, defaults[k]) for k, setting in settings.items()}
    with usage_errors(TypeError, ValueError, about=f"{name}: "):
        return Choice(_measured(name, **arguments), arguments)


def _constructor(name: str) -> tuple[Callable[..., optax.GradientTransformationExtraArgs], dict[str, Any]]:
    """The constructor of a name, and the defaults that differ from its signature."""
    return (TABLE[name].constructor, {}) if name in TABLE else BASELINES[name]


@functools.lru_cache(typed=True)
def _measured(name: str, /, **arguments: Any) -> optax.GradientTransformationExtraArgs:
    # Equal arguments return the same object, so that the next run in this process reuses the compiled functions.
    return measured(_constructor(name)[0](**arguments), every=MEASURED_EVERY)
