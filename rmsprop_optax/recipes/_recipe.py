"""What a recipe is, and what recipes are made of: learning rates and losses of another scale."""

import inspect
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, ParamSpec, TypeAlias, get_args

import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import _docs, _numbers, scaling
from rmsprop_optax._arguments import checked
from rmsprop_optax._types import ScalarOrSchedule

P = ParamSpec("P")
Constructor = Callable[P, optax.GradientTransformationExtraArgs]
BatchRule: TypeAlias = Literal["linear", "square root"]


class Recipe(NamedTuple):
    """A row of :data:`TABLE`.

    Attributes:
      constructor: the function that returns the transformation.
      dialect: its row of :data:`rmsprop_optax.dialects.TABLE`.
      settings: the numbers, in one line.
    """

    constructor: Callable[..., optax.GradientTransformationExtraArgs]
    dialect: str
    settings: str

    @property
    def source(self) -> str:
        """Where the numbers were read, with the commit: the end of the constructor's docstring."""
        return _docs.source(self.constructor)


TABLE: dict[str, Recipe] = {}
"""Name → :class:`Recipe`, for tests and documentation."""


_MEANINGS = {
    "steps": "the number of updates until the learning rate is 0",
    "steps_per_epoch": "the number of updates in a pass over the training data",
    "batch_size": "the number of images to an update, of all devices together",
    "warmup_epochs": "the number of epochs in which the learning rate rises; 3 and 5 are timm's defaults",
    "mean_of": "the number of terms that your loss is the mean of",
}


def recipe(dialect: str, settings: str, **roles: str) -> Callable[[Constructor[P]], Constructor[P]]:
    """Make a constructor a recipe: its arguments are checked under their own names, and it gets its row of the table.

    The docstring gets the sections and entries that it leaves out.

    Args:
      dialect: see :class:`Recipe`.
      settings: see :class:`Recipe`.
      **roles: argument → its range, or the name of one in :data:`rmsprop_optax._numbers.RANGES` if that differs.
    """

    def decorate(function: Constructor[P]) -> Constructor[P]:
        constructor = checked(**roles)(function)
        row = TABLE[constructor.__name__] = Recipe(constructor, dialect, settings)
        _complete(row)
        return constructor

    return decorate


def _complete(row: Recipe) -> None:
    """Add to the docstring what many recipes share."""
    parameters = inspect.signature(row.constructor).parameters
    args = {name: f"{meaning}, at least 1." for name, meaning in _MEANINGS.items()}
    args["learning_rate"] = "at least 0; a number or a schedule."
    args["batch_rule"] = (
        'which numbers follow ``batch_size``: the rate, in proportion, as in the source ("linear"), or rate, decay, '
        'momentum and epsilon by :func:`rmsprop_optax.scaling.to_batch_size` ("square root").'
    )
    args["weight_decay_mask"] = (
        "the parameters to penalise: a tree of bools that is a prefix of the parameters, or a function of them that "
        "returns one. ``None`` is all."
    )
    value, others = "ValueError: a number is out of its range", ""
    if "batch_rule" in parameters:
        value += ", ``batch_rule`` is unknown or makes a decay negative"
    if parameters["learning_rate"].default is None:
        needed, *_ = served = [f"``{name}``" for name in parameters if name in _MEANINGS and name != "mean_of"]
        args["learning_rate"] += f" It replaces the source's, and is given without {' and '.join(served)}."
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
    """The options of a loss that adds up its terms; converted for their mean where ``terms`` says how many there are.

    Raises:
      TypeError: ``terms`` is not a number.
      ValueError: ``terms`` is not whole, or below 1.
    """
    if terms is None:
        return options
    terms = _check("mean_of", terms)
    if terms % 1:
        raise ValueError(f"mean_of must be a whole number, got mean_of={terms}: it is {_MEANINGS['mean_of']}.")
    return scaling.sum_to_mean(terms, eps_in_sqrt=eps_in_sqrt, **options)


def for_batch(
    batch_size: float | None, rule: BatchRule, learning_rate: ScalarOrSchedule | None, *, usual: int, **options: float
) -> dict[str, float]:
    """The source's options, carried to another batch.

    Args:
      batch_size: the user's, at least 1.
      rule: the user's.
      learning_rate: the user's, which leaves nothing to do to the linear rule.
      usual: the source's batch size.
      **options: the source's, with the epsilon under the root; ``peak`` is the learning rate.

    Raises:
      TypeError: ``batch_size`` is not a number.
      ValueError: ``batch_size`` is below 1 or has nothing to do, or the rule is unknown.
    """
    if rule not in get_args(BatchRule):
        raise ValueError(f'batch_rule must be "linear" or "square root", got batch_rule={rule!r}.')
    if batch_size is None:
        return options
    size = _check("batch_size", batch_size)
    if rule == "linear":
        if learning_rate is not None:
            _refuse({"batch_size": size})
        return options | {"peak": options["peak"] * (size / usual)}
    peak = options.pop("peak")
    found = scaling.to_batch_size(usual, size, eps_in_sqrt=True, learning_rate=peak, **options)
    return found | {"peak": found.pop("learning_rate")}


def rate(
    learning_rate: ScalarOrSchedule | None, schedule: Callable[..., optax.Schedule], **options: float | None
) -> ScalarOrSchedule:
    """The user's learning rate where there is one, and else the source's schedule.

    Args:
      learning_rate: the user's.
      schedule: makes the source's schedule from ``options``; has defaults for those that may be ``None``.
      **options: numbers of at least 1 that serve the schedule alone.

    Raises:
      TypeError: there is neither a learning rate nor what the schedule needs, or an option is not a number.
      ValueError: there are both, or an option is out of its range.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if learning_rate is not None:
        _refuse(given)
        return learning_rate
    for name, parameter in inspect.signature(schedule).parameters.items():
        if name not in given and parameter.default is parameter.empty:
            raise TypeError(f"{name} must be given, or a learning_rate of your own; {name}: it is {_MEANINGS[name]}.")
    found: ScalarOrSchedule = schedule(**{name: _check(name, value) for name, value in given.items()})
    return found


def _refuse(given: dict[str, float]) -> None:
    """Raise ``ValueError`` for numbers of the source's schedule beside a learning rate of the user's."""
    for name, value in given.items():
        raise ValueError(f"learning_rate replaces the schedule that {name} is for, got both, {name}={value}: drop one.")


def line(rate: float) -> Callable[[float], optax.Schedule]:
    """From ``rate`` to 0 in so many steps."""
    return lambda steps: _of_float(optax.linear_schedule(rate, 0.0, steps))


def stairs(rate: float, steps: float, factor: float, **options: Any) -> optax.Schedule:
    """``rate · factor^⌊t / steps⌋``."""
    return _of_float(optax.exponential_decay(rate, steps, factor, staircase=True, **options))


def warm_up(start: float, rate: float, steps: float, then: optax.Schedule) -> optax.Schedule:
    """From ``start`` towards ``rate`` for so many steps, and then ``then``, which counts from the start.

    ``optax.join_schedules`` counts from the boundary, and ``optax.linear_schedule`` rounds a small rate to the digits
    of the large one.
    """
    return _of_float(lambda count: jnp.where(count < steps, start + (rate - start) * (count / steps), then(count)))


def by_epoch(schedule: optax.Schedule, steps_per_epoch: float) -> optax.Schedule:
    """A schedule of whole epochs."""
    return _of_float(lambda count: schedule(count // steps_per_epoch))


def _of_float(schedule: optax.Schedule) -> optax.Schedule:
    """Under strict promotion an integer count does not divide by steps that are not whole."""
    return lambda count: schedule(jnp.asarray(count, jnp.result_type(float)))


def _check(name: str, value: Any) -> Any:
    """A static number of at least 1, as Python's."""
    if isinstance(value, bool | np.bool_) or not _numbers.is_static(value):
        raise TypeError(f"{name} must be a number, got {name}={value!r}: it is {_MEANINGS[name]}.")
    if not 1 <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least 1, got {name}={value}: it is {_MEANINGS[name]}.")
    return np.asarray(value).item()
