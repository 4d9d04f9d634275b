"""The numbers of options, their ranges, and the dtypes of the computation.

A Python or NumPy number is static: its range is checked when the transformation is built, and a static 0 may turn its
link off. A ``jax.Array`` is dynamic: its value is never read, so the structure of the state does not depend on the
numbers that ``optax.inject_hyperparams`` or ``jit`` passes.
"""

from math import inf
from typing import Any, NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np


class Range(NamedTuple):
    """What an option accepts: ``low <= value < high``.

    Attributes:
      low: the smallest value.
      high: the bound that is never reached.
      mend: what to do about a wrong value.
      optional: whether ``None`` and a static 0 turn the option off.
      schedule: whether a function of the step count is accepted.
    """

    low: float
    high: float
    mend: str
    optional: bool = False
    schedule: bool = False


OFF = "0 or None turns it off"
RANGES = {
    "learning_rate": Range(
        0, inf, "a small number or a schedule; to ascend, chain optax.scale(-1.0) before", False, True
    ),
    "decay": Range(0, 1, "it is the weight of the old mean square; 0.9 to 0.999 are usual"),
    "momentum": Range(0, 1, "it is the weight of the old buffer; 0.9 is usual, 0 or None means no buffer", True),
    "eps": Range(0, inf, "use a small positive number or 0"),
    "floor": Range(0, inf, "it bounds the denominator from below; a small positive number, or None", True),
    "initial_scale": Range(0, inf, "the mean square starts from it; 0 and 1 are usual"),
    "l2": Range(0, inf, f"it times the parameter is added to the gradient; {OFF}", True, True),
    "weight_decay": Range(0, inf, f"learning_rate * weight_decay * parameter is subtracted; {OFF}", True, True),
    "clip": Range(0, inf, f"it bounds a norm or an absolute value; {OFF}", True),
}
"""What an option means → its :class:`Range`; an option of few constructors has its range beside them."""


def range_of(role: str | Range) -> Range:
    """The range that a role names, or is."""
    return role if isinstance(role, Range) else RANGES[role]


def is_static(value: Any) -> TypeGuard[float]:
    """Whether ``value`` is a Python or NumPy number, known while the transformation is built."""
    return isinstance(value, int | float | np.number) or (isinstance(value, np.ndarray) and value.ndim == 0)


def check(option: str | Range, value: Any, *, name: str = "") -> Any:
    """Return a static ``value`` as a Python float, a dynamic one as it is, and ``None`` if the option is off.

    Args:
      option: a range, or the name of one in :data:`RANGES`.
      value: the user's: a number, or a schedule, which is returned with its values checked.
      name: the user's word for the option, if it differs.

    Raises:
      ValueError: a static number is out of its range, or an array is not a scalar.
      TypeError: ``value`` is not a number, or its dtype is shorter than float32.
    """
    row = range_of(option)
    name = name or str(option)
    if row.optional and (value is None or (is_static(value) and value == 0)):
        return None
    if not callable(value):
        return _number(name, value, row)
    if not row.schedule:
        raise TypeError(
            f"{name} must be a number, got the callable {value!r}: schedule it with optax.inject_hyperparams."
        )
    return lambda count: _number(f"{name}(count)", value(count), row)


def _number(name: str, value: Any, row: Range) -> Any:
    dtype = getattr(value, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4:
        # In bfloat16 a decay of 0.999 is 1, in float16 an eps of 1e-8 is 0.
        raise TypeError(
            f"{name} must be in float32 or wider, got {dtype}: give a Python number; optax.inject_hyperparams takes "
            "the parameters' dtype unless told hyperparam_dtype=jnp.float32."
        )
    if isinstance(value, jax.Array):
        if value.ndim:
            raise ValueError(
                f"{name} must be a scalar, got an array of shape {value.shape}: give each leaf its own "
                "transformation with optax.partition."
            )
        if not jnp.issubdtype(value.dtype, jnp.number):
            raise TypeError(f"{name} must be a number, got an array of {value.dtype}.")
        # optax.inject_hyperparams makes every number complex if the parameters are.
        return value.real
    if isinstance(value, bool | np.bool_) or not is_static(value):
        raise TypeError(f"{name} must be a number, got {name}={value!r}: {row.mend}.")
    if not row.low <= value < row.high:
        bounds = f"in [{row.low}, {row.high})" if row.high < inf else f"finite and at least {row.low}"
        raise ValueError(f"{name} must be {bounds}, got {name}={value}: {row.mend}.")
    return float(value)


def check_flag(name: str, value: Any) -> None:
    """Raise ``TypeError`` if ``value`` is not a bool: a string such as "false" would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {name}={value!r}.")


def needs(option: str, given: bool, other: str, value: Any) -> None:
    """Raise ``ValueError`` if ``option`` is given while the ``other``, on which it depends, is off."""
    if given and (value is None or value is False):
        raise ValueError(
            f"{option} has a meaning only with {other}, got {other}={value!r}: set {other}, or drop {option}."
        )


def cast(value: Any, dtype: Any) -> jax.Array:
    """``value`` for arithmetic with an array of ``dtype`` under strict promotion; a Python float needs no cast."""
    return value if isinstance(value, float) else jnp.asarray(value, dtype)  # type: ignore[return-value]


def wide(dtype: Any) -> Any:
    """The dtype to compute in for arrays of ``dtype``, floating-point or complex: float32 or wider."""
    return np.promote_types(dtype, np.float32)


def real(dtype: Any) -> Any:
    """The dtype of the absolute value of an array of ``dtype``."""
    return jnp.finfo(dtype).dtype
