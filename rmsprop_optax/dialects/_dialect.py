"""What a dialect is: a constructor in a framework's words, and the facts about its rule."""

from collections.abc import Callable
from typing import Literal, NamedTuple, ParamSpec

import optax

from rmsprop_optax import _docs
from rmsprop_optax._arguments import checked, roles_of

P = ParamSpec("P")
Constructor = Callable[P, optax.GradientTransformationExtraArgs]
Epsilon = Literal["inside", "outside", "both", "floor", "none", "outside, with momentum inside"]
Centered = Literal["never", "option", "always"]
Buffer = Literal["never", "option", "if centered"]
Decay = Literal["L2", "L1", "decoupled"]


class Arguments(NamedTuple):
    """What a framework calls the numbers that every RMSprop has; ``None`` where it has no such argument."""

    learning_rate: str | None
    decay: str | None
    eps: str | None
    momentum: str | None


class Dialect(NamedTuple):
    """A row of :data:`TABLE`: facts as data, and the words for them.

    Attributes:
      constructor: the function that returns the transformation.
      arguments: what the framework calls the common numbers.
      epsilon: its place: ``inside`` the root, ``outside`` (beside) it, ``both``; or a ``floor`` of the root.
      constant: the epsilon, or the formula of the floor, where it is no argument called epsilon.
      initial: what the mean square starts from: 0, 1 or its epsilon.
      centered: whether the mean is subtracted.
      buffer: when there may be a momentum buffer.
      lr_in_momentum: whether the learning rate comes before the buffer.
      nesterov: whether the momentum is Nesterov's.
      decays: the kinds of weight decay.
    """

    constructor: Callable[..., optax.GradientTransformationExtraArgs]
    arguments: Arguments
    epsilon: Epsilon
    constant: str
    initial: Literal["0", "1", "epsilon"]
    centered: Centered
    buffer: Buffer
    lr_in_momentum: bool
    nesterov: bool
    decays: tuple[Decay, ...]

    @property
    def source(self) -> str:
        """Where the rule was read, with its version: the end of the constructor's docstring."""
        return _docs.source(self.constructor)

    @property
    def denominator(self) -> str:
        """What the gradient is divided by, in the framework's arguments, ``nu`` and ``var``, the centered one."""
        moment = "var" if self.centered == "always" else "nu"
        eps = self.arguments.eps or self.constant
        inside, outside = f"√({moment} + {eps})", f"√{moment} + {eps}"
        return {
            "inside": inside,
            "outside": outside,
            "both": f"{inside} + {eps}",
            "floor": f"max(√{moment}, {eps})",
            "none": f"√{moment}",
            "outside, with momentum inside": f"{outside}, with momentum {inside}",
        }[self.epsilon]

    @property
    def start(self) -> str:
        """What the mean square starts from, in the framework's arguments."""
        return self.arguments.eps or self.constant if self.initial == "epsilon" else self.initial

    @property
    def momentum(self) -> str:
        """Where the learning rate stands: before or after the momentum buffer, if there is one."""
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


TABLE: dict[str, Dialect] = {}
"""Name → :class:`Dialect`, for tests, documentation and the command line."""


def dialect(
    epsilon: Epsilon,
    *decays: Decay,
    constant: str = "",
    initial: Literal["0", "1", "epsilon"] = "0",
    centered: Centered | None = None,
    buffer: Buffer | None = None,
    lr_in_momentum: bool = True,
    nesterov: bool = False,
    words: dict[str, str] | None = None,
) -> Callable[[Constructor[P]], Constructor[P]]:
    """Make a constructor a dialect: its arguments are checked under their own names, and it gets its row of the table.

    Args:
      epsilon: see :class:`Dialect`, also for the others.
      *decays: the kinds of weight decay, the default first.
      constant: the epsilon where it is no argument.
      initial: what the mean square starts from.
      centered: ``None`` where the arguments say: an option if there is one for it, else never.
      buffer: ``None`` where the arguments say.
      lr_in_momentum: whether the learning rate comes before the buffer.
      nesterov: whether the momentum is Nesterov's.
      words: argument → row of :data:`rmsprop_optax._numbers.RANGES`, where the names differ.
    """

    def decorate(function: Constructor[P]) -> Constructor[P]:
        constructor = checked(**(words or {}))(function)
        names = {role: name for name, role in reversed(roles_of(constructor).items())}
        if buffer == "never":  # the framework accepts a momentum and ignores it
            names.pop("momentum", None)
        arguments = Arguments(*map(names.get, Arguments._fields))
        flags = {"centered", "centred"} & function.__annotations__.keys()
        TABLE[constructor.__name__] = Dialect(
            constructor,
            arguments,
            epsilon,
            constant,
            initial,
            centered or ("option" if flags else "never"),
            buffer or ("option" if arguments.momentum else "never"),
            lr_in_momentum,
            nesterov,
            decays,
        )
        return constructor

    return decorate
