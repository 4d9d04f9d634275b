"""The numbers that options are made of.

A Python or NumPy number is static: it is checked when the transformation is built, and a static zero removes the link
that it belongs to. A ``jax.Array``, traced or not, is dynamic: it is never looked at, so that
``optax.inject_hyperparams`` and ``jit`` see the same state whatever its value.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# option: (lower bound, upper bound that is never reached, the likely mend)
_RANGES: dict[str, tuple[float, float, str]] = {
    "decay": (0, 1, "it is the weight of the old mean square (alpha in PyTorch, rho in Keras); 0.9 to 0.999 are usual"),
    "momentum": (0, 1, "it is the weight of the old momentum buffer; 0.9 is usual, 0 or None means no buffer"),
    "eps": (0, math.inf, "it is added to the root of the mean square; use a small positive number or 0"),
    "eps_root": (0, math.inf, "it is added to the mean square under the root; use a small positive number or 0"),
    "floor": (0, math.inf, "the denominator never falls below it; a small positive number, or None to turn it off"),
    "initial_value": (0, math.inf, "the mean square starts from it; 0 and 1 are usual"),
    "initial_scale": (0, math.inf, "the mean square starts from it; 0 and 1 are usual"),
    "l2": (0, math.inf, "it times the parameter is added to the gradient; 0 or None turns it off"),
    "weight_decay": (0, math.inf, "learning_rate * weight_decay * parameter is subtracted; 0 or None turns it off"),
    "learning_rate": (
        0,
        math.inf,
        "use a small positive number or a schedule; to ascend, chain optax.scale(-1.0) before",
    ),
    "time_decay": (0, math.inf, "the learning rate is divided by 1 + decay·step; 0 turns it off"),
    "increase": (0, math.inf, "it is added to a gain while signs agree; 0.05 is usual, 0 leaves all to growth"),
    "growth": (1, math.inf, "it multiplies a gain while signs agree; 1 leaves all to increase"),
    "shrink": (0, 1, "it multiplies a gain where signs differ; 0.95 is usual"),
    "gain": (0, math.inf, "0.1 to 10 and 0.01 to 100 are usual limits"),
    "step_adapt": (0, 1, "step rates are multiplied by one plus or minus it; 0.1 or less is usual, 0 is off"),
    "step_rate": (0, math.inf, "it bounds the step rates that adapt"),
    "max_scaling": (1e-30, math.inf, "a gradient is multiplied by it at most; 1e5 is usual"),
    "clip": (0, math.inf, "it bounds a norm or an absolute value; None turns it off"),
}


def is_static(value: Any) -> bool:
    """Whether ``value`` is a Python or NumPy number, known while the transformation is built."""
    return isinstance(value, int | float | np.number) or (isinstance(value, np.ndarray) and value.ndim == 0)


def is_off(value: Any) -> bool:
    """Whether ``value`` removes its link: ``None`` or a static zero."""
    return value is None or (is_static(value) and value == 0)


def check(option: str, value: Any, *, name: str | None = None, schedule: bool = False) -> Any:
    """Return a static ``value`` as a Python float inside its range, and anything dynamic as it is.

    Args:
      option: the row of the table of ranges.
      value: what the user gave.
      name: what the user calls the option, where that differs.
      schedule: whether a callable of the step count is welcome.
    """
    name = name or option
    low, high, mend = _RANGES[option]
    if callable(value):
        if schedule:
            return _checked_schedule(name, value)
        raise TypeError(
            f"{name} must be a number, got the callable {value!r}: schedule it with optax.inject_hyperparams."
        )
    if isinstance(value, jax.Array):
        return _check_dynamic(name, value)
    if isinstance(value, bool | np.bool_) or not is_static(value):
        raise TypeError(f"{name} must be a number, got {name}={value!r}: {mend}.")
    if isinstance(value, np.floating | np.ndarray) and value.dtype.itemsize < 4:
        raise TypeError(
            f"{name} must be in float32 or wider, got {name}={value!r} in {value.dtype}: in float16 an eps of 1e-8 is "
            "0; give a Python number."
        )
    try:
        number = float(value)
    except OverflowError:  # an int beyond the range of floats
        number = math.inf
    if not low <= number < high:
        bounds = f"in [{low}, {high})" if high < math.inf else f"finite and at least {low}"
        raise ValueError(f"{name} must be {bounds}, got {name}={value}: {mend}.")
    return number


def _checked_schedule(name: str, schedule: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A schedule that says so when what it returns is not a scalar; an array would be broadcast, silently."""

    @functools.wraps(schedule)
    def checked(count):
        value = schedule(count)
        if not is_static(value) and not isinstance(value, jax.Array):
            raise TypeError(
                f"{name} must be a number or a schedule of the step count that returns one, got {value!r} from "
                f"{schedule!r}."
            )
        if jnp.shape(value):
            raise ValueError(
                f"the schedule of {name} must return a scalar, got an array of shape {jnp.shape(value)} from "
                f"{schedule!r}: give each leaf its own transformation with optax.partition."
            )
        return value

    return checked


def check_unless_off(option: str, value: Any, **kwargs: Any) -> Any:
    """``None`` where ``value`` is off, and else what :func:`check` returns."""
    return None if is_off(value) else check(option, value, **kwargs)


def needs(option: str, given: bool, other: str, value: Any) -> None:
    """Refuse an ``option`` that is ``given`` although the ``value`` of the ``other``, which it acts on, is off.

    Raises:
      ValueError: naming both.
    """
    if given and is_off(value):
        raise ValueError(
            f"{option} has a meaning only with {other}, got {other}={value!r}: set {other}, or drop {option}."
        )


def check_flags(**flags: Any) -> None:
    """Refuse what is not a bool: a string such as "false" would count as true.

    Raises:
      TypeError: naming the flag.
    """
    for name, value in flags.items():
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name} must be True or False, got {name}={value!r}.")


def _check_dynamic(name: str, value: jax.Array) -> jax.Array:
    """Look at the type of a dynamic number, never at its value."""
    if not jnp.issubdtype(value.dtype, jnp.number):
        raise TypeError(f"{name} must be a number, got an array of {value.dtype}.")
    if value.ndim:
        raise ValueError(
            f"{name} must be a scalar, got an array of shape {value.shape}: give each leaf its own "
            "transformation with optax.partition."
        )
    # In bfloat16 a decay of 0.999 is 1, in float16 an eps of 1e-8 is 0: another algorithm, silently.
    if jnp.issubdtype(value.dtype, jnp.floating) and jnp.finfo(value.dtype).bits < 32:
        raise TypeError(
            f"{name} must be in float32 or wider, got {value.dtype}: optax.inject_hyperparams takes the "
            "parameters' dtype unless told hyperparam_dtype=jnp.float32."
        )
    # optax.inject_hyperparams makes every number complex for complex parameters.
    return value.real if jnp.iscomplexobj(value) else value


def cast(value: Any, dtype: jnp.dtype) -> Any:
    """``value`` ready to meet an array of ``dtype`` under strict promotion; a Python float adapts by itself."""
    return value if isinstance(value, float) else jnp.asarray(value, dtype)


def wide(dtype: Any) -> Any:
    """The dtype that maths on ``dtype``, floating-point or complex, is done in: float32 or wider."""
    return np.promote_types(dtype, np.float32)


def real(dtype: Any) -> Any:
    """The dtype of the absolute value of an array of ``dtype``."""
    return jnp.finfo(dtype).dtype
