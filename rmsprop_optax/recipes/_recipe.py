"""Recipes and their parts: learning-rate schedules, and options for a mean instead of a sum of losses."""

import inspect
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, ParamSpec, TypeAlias, get_args

import jax.numpy as jnp
import optax

from rmsprop_optax import _checks, _docs, scaling
from rmsprop_optax._arguments import checked
from rmsprop_optax._types import ScalarOrSchedule

P = ParamSpec("P")
Constructor = Callable[P, optax.GradientTransformationExtraArgs]
BatchRule: TypeAlias = Literal["linear", "square root"]


class Recipe(NamedTuple):
    """A row of :data:`TABLE`.

    Attributes:
      constructor: the function that returns the transformation.
      dialect: a key of :data:`rmsprop_optax.dialects.TABLE`.
      settings: the numbers, in one line.
    """

    constructor: Callable[..., optax.GradientTransformationExtraArgs]
    dialect: str
    settings: str

    @property
    def source(self) -> str:
        """The code or paper with the numbers, and its commit: the last section of the constructor's docstring."""
        return _docs.source(self.constructor)


TABLE: dict[str, Recipe] = {}
"""Name → :class:`Recipe`, for tests and documentation."""


_MEANINGS = {
    "steps": "the number of updates until the learning rate is 0",
    "steps_per_epoch": "the number of updates in a pass over the training data",
    "batch_size": "the number of images per update, over all devices",
    "warmup_epochs": "the number of epochs in which the learning rate rises; 3 and 5 are timm's defaults",
    "mean_of": "the number of terms in the mean of your loss",
}


def recipe(dialect: str, settings: str, **roles: str) -> Callable[[Constructor[P]], Constructor[P]]:
    """Register a constructor as a recipe: check its arguments, complete its docstring, and add a row to :data:`TABLE`.

    Args:
      dialect: see :class:`Recipe`.
      settings: see :class:`Recipe`.
      **roles: argument → its range, or a key of :data:`rmsprop_optax._numbers.RANGES` if the names differ.
    """

    def decorate(function: Constructor[P]) -> Constructor[P]:
        constructor = checked(**roles)(function)
        row = TABLE[constructor.__name__] = Recipe(constructor, dialect, settings)
        _complete(row)
        return constructor

    return decorate


def _complete(row: Recipe) -> None:
    """Complete the docstring with the text that recipes share."""
    parameters = inspect.signature(row.constructor).parameters
    args = {name: f"{meaning}, at least 1." for name, meaning in _MEANINGS.items()}
    args["learning_rate"] = "at least 0; a number or a schedule."
    args["batch_rule"] = (
        'which numbers follow ``batch_size``: the rate, in proportion, as in the source ("linear"), or rate, decay, '
        'momentum and epsilon by :func:`rmsprop_optax.scaling.to_batch_size` ("square root").'
    )
    args["weight_decay_mask"] = (
        "the parameters to penalise: a tree of bools that is a prefix of the parameters, or a function from the "
        "parameters to such a tree. ``None`` is all."
    )
    value, others = "ValueError: a number is out of its range", ""
    if "batch_rule" in parameters:
        value += ", ``batch_rule`` is unknown or makes a decay negative"
    if parameters["learning_rate"].default is None:
        needed, *_ = served = [f"``{name}``" for name in parameters if name in _MEANINGS and name != "mean_of"]
        served = [name + ' (unless ``batch_rule`` is "square root")' * (name == "``batch_size``") for name in served]
        args["learning_rate"] += f" It replaces the source's schedule: then leave out {' and '.join(served)}."
        value += ", or a number for the source's schedule comes with a ``learning_rate``"
        others = f"TypeError: there is neither {needed} nor a ``learning_rate``"
    if "weight_decay_mask" in parameters:
        value += "; at ``update``, the mask does not fit the parameters"
        others += ", or the mask is not made of bools"
    _docs.complete(
        row.constructor,
        args,
        returns=f"A transformation as :func:`rmsprop_optax.dialects.{row.dialect}` returns it.",
        raises=f"{value}.\n{others}." if others else f"{value}.",
    )


def for_mean(terms: int | None, *, eps_in_sqrt: bool = True, **options: float) -> dict[str, Any]:
    """The options of a loss that is a sum, or, with ``terms``, of a loss that is the mean over so many terms.

    Raises:
      TypeError: ``terms`` is not a number.
      ValueError: ``terms`` is not whole, or below 1.
    """
    if terms is None:
        return options
    if _checked("mean_of", terms) % 1:
        raise ValueError(f"mean_of must be a whole number, got mean_of={terms}: it is {_MEANINGS['mean_of']}.")
    return scaling.sum_to_mean(terms, eps_in_sqrt=eps_in_sqrt, **options)


def for_batch(
    batch_size: float | None, rule: BatchRule, own: ScalarOrSchedule | None, *, usual: int, **options: float
) -> dict[str, float]:
    """The source's options, converted to another batch size.

    Args:
      batch_size: the user's, at least 1.
      rule: the user's.
      own: the user's learning rate; with the linear rule, ``batch_size`` must then be ``None``.
      usual: the source's batch size.
      **options: the source's, with the epsilon under the root.

    Raises:
      TypeError: ``batch_size`` is not a number.
      ValueError: ``batch_size`` is below 1 or has no effect, or the rule is unknown.
    """
    if rule not in get_args(BatchRule):
        raise ValueError(f'batch_rule must be "linear" or "square root", got batch_rule={rule!r}.')
    if batch_size is None:
        return options
    size = _checked("batch_size", batch_size)
    if rule == "linear":
        if own is not None:
            mend = 'drop one, or set batch_rule="square root" to convert decay, momentum and epsilon'
            _refuse({"batch_size": batch_size}, mend)
        return options | {"learning_rate": options["learning_rate"] * (size / usual)}
    return scaling.to_batch_size(usual, size, eps_in_sqrt=True, **options)


def rate(
    learning_rate: ScalarOrSchedule | None, schedule: Callable[..., optax.Schedule], **options: float | None
) -> ScalarOrSchedule:
    """The user's learning rate if there is one, else the source's schedule.

    Args:
      learning_rate: the user's.
      schedule: makes the source's schedule from ``options``; has a default for each option that may be ``None``.
      **options: numbers of at least 1 that only the schedule needs.

    Raises:
      TypeError: there is no learning rate, and the schedule lacks an option; or an option is not a number.
      ValueError: there is a learning rate and an option, or an option is out of its range.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if learning_rate is not None:
        _refuse(given)
        return learning_rate
    for name, parameter in inspect.signature(schedule).parameters.items():
        if name not in given and parameter.default is parameter.empty:
            raise TypeError(f"{name} or learning_rate must be given, got neither: {name} is {_MEANINGS[name]}.")
    found: ScalarOrSchedule = schedule(**{name: _checked(name, value) for name, value in given.items()})
    return found


def _refuse(given: dict[str, float], mend: str = "drop one") -> None:
    """Raise ``ValueError`` for numbers of the source's schedule beside a learning rate of the user's."""
    for name, value in given.items():
        raise ValueError(f"learning_rate replaces the schedule that {name} is for, got both, {name}={value}: {mend}.")


def line(rate: float) -> Callable[[float], optax.Schedule]:
    """A function from a number of steps to the schedule that falls from ``rate`` to 0 in these steps."""
    return lambda steps: _of_float(optax.linear_schedule(rate, 0.0, steps))


def stairs(rate: float, steps: float, factor: float, **options: Any) -> optax.Schedule:
    """``rate · factor^⌊t / steps⌋``."""
    return _of_float(optax.exponential_decay(rate, steps, factor, staircase=True, **options))


def warm_up(start: float, rate: float, steps: float, then: optax.Schedule) -> optax.Schedule:
    """From ``start`` to ``rate`` in ``steps`` steps, then the schedule ``then``, which counts from step 0.

    ``optax.join_schedules`` would count from the boundary, and ``optax.linear_schedule`` would round a small rate to
    the precision of the large one.
    """
    return _of_float(lambda count: jnp.where(count < steps, start + (rate - start) * (count / steps), then(count)))


def by_epoch(schedule: optax.Schedule, steps_per_epoch: float) -> optax.Schedule:
    """A schedule of steps, from a schedule of epochs."""
    return _of_float(lambda count: schedule(count // steps_per_epoch))


def _of_float(schedule: optax.Schedule) -> optax.Schedule:
    """Pass the count as a float, because strict promotion refuses to divide an integer by a float."""
    return lambda count: schedule(jnp.asarray(count, jnp.result_type(float)))


def _checked(name: str, value: Any) -> Any:
    return _checks.count(name, value, f"it is {_MEANINGS[name]}")
