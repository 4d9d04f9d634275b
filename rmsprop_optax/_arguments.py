"""Constructors that check their arguments by what they mean, and report them in the caller's words."""

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import optax

from rmsprop_optax._numbers import RANGES, Range, check, check_flag

P = ParamSpec("P")
R = TypeVar("R")

# What people coming from elsewhere call an option → its role.
_WORDS = {
    "lr": "learning_rate",
    "step_size": "learning_rate",
    "eta": "learning_rate",
    "alpha": "decay",
    "rho": "decay",
    "gamma": "decay",
    "beta2": "decay",
    "epsilon": "eps",
    "initial_value": "initial_scale",
    "mu": "momentum",
}


def checked(**roles: str | Range) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check the arguments of a constructor; its body gets floats, dynamic numbers, and ``None`` for what is off.

    Args:
      **roles: argument → its range, or the name of one in :data:`rmsprop_optax._numbers.RANGES` if that differs from
        the argument's. An argument annotated as a bool must be one.

    Returns:
      The decorator. The constructor keeps its signature; ``roles_of`` reads the roles of its arguments.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        words = {name: roles.get(name, name) for name in signature.parameters}
        found = {name: role for name, role in words.items() if isinstance(role, Range) or role in RANGES}
        flags = {name for name, p in signature.parameters.items() if p.annotation in (bool, bool | None)}

        @functools.wraps(function)
        def constructor(*args: P.args, **kwargs: P.kwargs) -> R:
            for word in kwargs:
                if word not in signature.parameters:
                    raise TypeError(_unknown(function.__name__, word, found, list(signature.parameters)))
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                parameters = signature.parameters.values()
                taken = ", ".join(f"{p.name}=…" if p.kind is p.KEYWORD_ONLY else p.name for p in parameters)
                raise TypeError(f"{function.__name__}: {error}; it takes {taken}.") from None
            for name, value in bound.arguments.items():
                if value is None and signature.parameters[name].default is None:
                    continue
                if name in found:
                    bound.arguments[name] = check(found[name], value, name=name)
                elif name in flags and value is not None:
                    check_flag(name, value)
            return function(*bound.args, **bound.kwargs)

        constructor.__dict__["roles"] = found
        return constructor

    return decorate


def roles_of(constructor: Callable[..., object]) -> dict[str, str | Range]:
    """Argument → its range, or the name of its range, of a :func:`checked` constructor."""
    return dict(getattr(constructor, "roles", {}))


def _unknown(constructor: str, word: str, roles: dict[str, str | Range], parameters: list[str]) -> str:
    """The error for a wrong keyword, which names the right one where there is one."""
    named = {role: name for name, role in reversed(roles.items()) if isinstance(role, str)}
    words = named | {name: name for name in parameters}
    role = _WORDS.get(word, word)
    near = [] if role in RANGES else difflib.get_close_matches(word.lower(), words)
    if role in named:
        mend = f"{constructor} calls it {named[role]}."
    elif near:
        mend = f"did you mean {words[near[0]]}?"
    else:
        mend = f"it takes {', '.join(parameters)}."
    return f"{constructor} got an unexpected keyword argument {word!r}: {mend}"


def optimizer(tx: Any) -> optax.GradientTransformationExtraArgs:
    """The transformation to wrap, with support for extra arguments; raise ``TypeError`` if it is none."""
    if not isinstance(tx, optax.GradientTransformation):
        raise TypeError(
            f"what is wrapped must be an optax.GradientTransformation, got {tx!r}: call its constructor, as in "
            "rmsprop(0.1), or .gradient_transformation() of an optax.MultiSteps."
        )
    return optax.with_extra_args_support(tx)
