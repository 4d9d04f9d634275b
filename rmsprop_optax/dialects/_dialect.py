"""Dialects: a constructor with a framework's argument names, and the facts about its rule."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, ParamSpec

import optax

from rmsprop_optax import _docs
from rmsprop_optax._arguments import checked, roles_of
from rmsprop_optax._numbers import Range

P = ParamSpec("P")
Constructor = Callable[P, optax.GradientTransformationExtraArgs]
Epsilon = Literal["inside", "outside", "both", "floor", "none", "outside, with momentum inside"]
Initial = Literal["0", "1", "epsilon"]
When = Literal["never", "option", "always"]
Buffer = Literal["never", "option", "if centered"]
Smooths = Literal["steps", "gradients", "averages of steps", "damped steps"]
Decay = Literal["L2", "L1", "decoupled", "decoupled, no lr"]


class Arguments(NamedTuple):
    """A framework's names for the numbers of every RMSprop; ``None`` for an argument that it does not have."""

    learning_rate: str | None
    decay: str | None
    eps: str | None
    momentum: str | None


class Dialect(NamedTuple):
    """A row of :data:`TABLE`: facts as data, and words made of them.

    Attributes:
      constructor: the function that returns the transformation.
      arguments: the framework's names for the common numbers.
      epsilon: the place of epsilon: ``inside`` the root, ``outside`` (beside) it, in ``both`` places, or as a ``floor``
        of the root.
      constant: the epsilon, or the formula of the floor, if the rule has no epsilon argument.
      initial: the mean square before the first step.
      centered: whether the mean is subtracted.
      bias_correction: whether the averages are bias-corrected.
      buffer: when there is a momentum buffer.
      lr_in_momentum: whether the learning rate comes before the buffer.
      nesterov: whether the momentum is always Nesterov's.
      smooths: the terms of the momentum: ``steps`` (divided gradients), ``gradients`` before the division,
        bias-corrected ``averages of steps``, or ``damped steps``, multiplied by √(1 - momentum²).
      decays: the kinds of weight decay, the default first; ``no lr``: not multiplied by the learning rate.
      refused: arguments that the framework ignores or refuses; they must be off.
      note: a sentence with a further fact.
    """

    constructor: Callable[..., optax.GradientTransformationExtraArgs]
    arguments: Arguments
    epsilon: Epsilon
    constant: str
    initial: Initial
    centered: When
    bias_correction: When
    buffer: Buffer
    lr_in_momentum: bool
    nesterov: bool
    smooths: Smooths
    decays: tuple[Decay, ...]
    refused: tuple[str, ...]
    note: str

    @property
    def source(self) -> str:
        """The code or paper with the rule, and its version: the last section of the constructor's docstring."""
        return _docs.source(self.constructor)

    @property
    def denominator(self) -> str:
        """The denominator, in the framework's arguments, ``nu`` (mean square) and ``var`` (variance)."""
        return ", with momentum ".join(self.divisors(self.arguments.eps))

    @property
    def start(self) -> str:
        """The mean square before the first step, in the framework's arguments."""
        return self.starts_from(self.arguments.eps)

    @property
    def momentum(self) -> str:
        """The place of the learning rate, before or after the momentum buffer."""
        place = "before" if self.lr_in_momentum else "after"
        if self.buffer == "never":
            return "no buffer"
        if self.buffer == "if centered":
            return f"no buffer, centered {place}"
        return f"{place}, Nesterov" if self.nesterov else place

    @property
    def weight_decay(self) -> str:
        """The kinds of weight decay."""
        return " or ".join(self.decays) or "none"

    def divisors(self, eps: str | None = "eps") -> tuple[str, ...]:
        """The formula of the denominator, and a second formula if momentum changes it.

        Args:
          eps: the name for an epsilon that is an argument.
        """
        moment, epsilon = "var" if self.centered == "always" else "nu", self._epsilon(eps)
        inside, outside = f"√({moment} + {epsilon})", f"√{moment} + {epsilon}"
        formulas: dict[Epsilon, tuple[str, ...]] = {
            "inside": (inside,),
            "outside": (outside,),
            "both": (f"{inside} + {epsilon}",),
            "floor": (f"max(√{moment}, {epsilon})",),
            "none": (f"√{moment}",),
            "outside, with momentum inside": (outside, inside),
        }
        return formulas[self.epsilon]

    def starts_from(self, eps: str | None = "eps") -> str:
        """The mean square before the first step; ``eps`` is the name for an epsilon that is an argument."""
        return self._epsilon(eps) if self.initial == "epsilon" else self.initial

    def _epsilon(self, word: str | None) -> str:
        return (self.arguments.eps and word) or self.constant


TABLE: dict[str, Dialect] = {}
"""Name → :class:`Dialect`, for tests, documentation and the command line."""

_ROLES = {
    "learning_rate": "the learning rate, at least 0; a number or a schedule.",
    "decay": "the weight of the old mean square, in [0, 1).",
    "initial_scale": "the mean square before the first step, at least 0.",
    "momentum": "in [0, 1); ``None`` or 0 is off.",
    "l2": "at least 0; a number or a schedule. ``{}·p`` is added to the gradient (L2). ``None`` or 0 is off.",
}
"""Role of an argument → its entry in a docstring."""
_CENTERED = {"centered", "centred", "use_first"}
_NAMES = dict.fromkeys(
    _CENTERED, "divide by the standard deviation of the gradients; the variance never turns negative."
) | {"maximize": "ascend, by negating the gradient before the weight decay."}
"""Name of an argument → its entry in a docstring."""


def dialect(
    epsilon: Epsilon,
    *decays: Decay,
    constant: str = "",
    initial: Initial = "0",
    centered: When | None = None,
    bias_correction: When | None = None,
    buffer: Buffer | None = None,
    lr_in_momentum: bool = True,
    nesterov: bool = False,
    smooths: Smooths = "steps",
    refused: tuple[str, ...] = (),
    note: str = "",
    words: Mapping[str, str | Range] | None = None,
) -> Callable[[Constructor[P]], Constructor[P]]:
    """Register a constructor as a dialect: check its arguments, complete its docstring, and add a row to :data:`TABLE`.

    Args:
      epsilon: see :class:`Dialect`, also for the facts without an entry here.
      *decays: the kinds of weight decay, the default first.
      centered: ``None`` is "option" if the constructor has an argument ``centered`` (or its synonym), else "never".
      bias_correction: ``None`` is "option" if the constructor has an argument of this name, else "never".
      buffer: ``None`` is "option" if the constructor has a momentum, else "never".
      words: argument → its range, or a key of :data:`rmsprop_optax._numbers.RANGES` if the names differ.
    """

    def decorate(function: Constructor[P]) -> Constructor[P]:
        constructor = checked(**(words or {}))(_without(refused, function))
        takes = inspect.signature(function).parameters.keys() - {*refused}
        names = {role: name for name, role in reversed(roles_of(constructor).items()) if name in takes}
        arguments = Arguments(*map(names.get, Arguments._fields))
        row = TABLE[constructor.__name__] = Dialect(
            constructor,
            arguments,
            epsilon,
            constant,
            initial,
            centered or ("option" if takes & _CENTERED else "never"),
            bias_correction or ("option" if "bias_correction" in takes else "never"),
            buffer or ("option" if arguments.momentum else "never"),
            lr_in_momentum,
            nesterov,
            smooths,
            decays,
            refused,
            note,
        )
        _complete(row)
        return constructor

    return decorate


def _complete(row: Dialect) -> None:
    """Complete the docstring with the text that dialects share."""
    moment = "variance" if row.centered == "always" else "mean square"
    roles = _ROLES | {
        "eps": "added to the root, at least 0."
        if row.epsilon == "outside"
        else f"added to the {moment} under the root, at least 0."
    }
    _docs.complete(
        row.constructor,
        args=_NAMES
        | {name: roles[role].format(name) for name, role in roles_of(row.constructor).items() if role in roles}
        | dict.fromkeys(row.refused, "must be off."),
        returns="A transformation as :func:`rmsprop_optax.rmsprop` returns it.",
        raises="ValueError: a number is out of its range"
        + (f", or {' or '.join(f'``{name}``' for name in row.refused)} is set." if row.refused else "."),
    )


def _without(refused: tuple[str, ...], function: Constructor[P]) -> Constructor[P]:
    """Make a constructor raise if an argument is set that must be off."""

    @functools.wraps(function)
    def constructor(*args: P.args, **kwargs: P.kwargs) -> optax.GradientTransformationExtraArgs:
        given = inspect.signature(function).bind(*args, **kwargs).arguments
        for name in refused:
            if given.get(name) is not None and given[name] is not False:
                raise ValueError(
                    f"{name} must be off, got {name}={given[name]!r}: {function.__name__} has the argument, but no "
                    "such option; drop it."
                )
        return function(*args, **kwargs)

    return constructor if refused else function
