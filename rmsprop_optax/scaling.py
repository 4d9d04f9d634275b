"""Convert options: to gradients of another size, to another batch size, or to the other side of the square root."""

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np

from rmsprop_optax import _checks, _numbers
from rmsprop_optax._batch_size import to_batch_size

__all__ = ["Nearest", "eps_inside_sqrt", "eps_outside_sqrt", "mean_to_sum", "rescaled", "sum_to_mean", "to_batch_size"]

# Below the first, XLA on CPUs and TPUs computes with 0; above the second, float32 is infinite.
_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


# The functions return dict[str, Any], because type checkers accept rmsprop(lr, **sum_to_mean(32, …)) with no other
# type: a dict of floats does not match the flags, and a TypedDict with clip has an argument too many.
def rescaled(
    factor: float,
    *,
    eps: float | None = None,
    eps_in_sqrt: bool = True,
    floor: float | None = None,
    initial_scale: float | None = None,
    l2: float | None = None,
    clip: float | None = None,
) -> dict[str, Any]:
    r"""Return options that keep every step the same when all gradients are multiplied by ``factor``.

    .. math::
      eps &\leftarrow factor^2 \cdot eps \qquad \text{(factor · eps outside the square root)} \\
      initial\_scale &\leftarrow factor^2 \cdot initial\_scale \\
      floor, l2, clip &\leftarrow factor \cdot (floor, l2, clip)

    The learning rate, the decays, the momentum and a decoupled weight decay do not change.

    Args:
      factor: new gradient / old gradient, above 0.
      eps: the epsilon of the denominator, at least 0; in squared units of the gradient inside the square root, in units
        of the gradient outside.
      eps_in_sqrt: the place of ``eps``, as in ``optax.rmsprop``: inside the square root, ``sqrt(nu + eps)``, or
        outside, ``sqrt(nu) + eps``.
      floor: the smallest denominator, at least 0, in units of the gradient.
      initial_scale: the mean square before the first step, at least 0, in squared units of the gradient.
      l2: the factor of the parameter that is added to the gradient, at least 0.
      clip: the largest norm or absolute value of a gradient, at least 0, in units of the gradient.

    Returns:
      The given options by name, as floats; without ``eps_in_sqrt``, which does not change.

    Raises:
      ValueError: a number is out of its range, or a new option would be 0 or infinite in float32.
      TypeError: an option is not a number, or ``eps_in_sqrt`` is not a bool.

    Example:
      >>> rescaled(0.5, eps=1e-8, floor=1.0)
      {'eps': 2.5e-09, 'floor': 0.5}
      >>> rescaled(0.5, eps=1e-8, eps_in_sqrt=False)
      {'eps': 5e-09}

    Source:
      The update rule of :func:`rmsprop_optax.rmsprop`, with numerator and denominator multiplied by ``factor``.
    """
    mend = "it is new gradient / old gradient, 1/32 from the sum over 32 examples to their mean"
    _checks.static("factor", factor, mend)
    if not 0 < factor <= sys.float_info.max:
        raise ValueError(f"factor must be finite and above 0, got factor={factor}: {mend}.")
    _numbers.check_flag("eps_in_sqrt", eps_in_sqrt)
    options = {"eps": eps, "floor": floor, "initial_scale": initial_scale, "l2": l2, "clip": clip}
    squares = {"initial_scale", "eps"} if eps_in_sqrt else {"initial_scale"}
    return {
        name: _scaled(name, value, float(factor), 2 if name in squares else 1)
        for name, value in options.items()
        if value is not None
    }


def _scaled(name: str, value: float, factor: float, power: int) -> float:
    old = float(_numbers.check(name, value) or 0.0)
    new = old
    for _ in range(power):  # factor**2 may overflow where the product does not
        new *= factor
    return _in_float32(new, f"{name}={value} for factor={factor}", f"the new {name}") if old else new


def _in_float32(new: float, given: str, name: str) -> float:
    if not _SMALLEST <= new <= _LARGEST:
        size, becomes = ("large", "infinite") if new > 1 else ("small", "0")
        raise ValueError(f"{given} is too {size}: {name} would be {becomes} in float32; choose it by hand.")
    return new


class Options(TypedDict, total=False):
    """The options of :func:`rescaled`, for type checkers."""

    eps: float | None
    eps_in_sqrt: bool
    floor: float | None
    initial_scale: float | None
    l2: float | None
    clip: float | None


def sum_to_mean(batch_size: int, **options: Unpack[Options]) -> dict[str, Any]:
    r"""Return the options for a loss that is the mean over a batch, given those for the sum.

    .. math::
      eps &\leftarrow eps / batch\_size^2 \qquad \text{(eps / batch\_size outside the square root)} \\
      initial\_scale &\leftarrow initial\_scale / batch\_size^2 \\
      floor, l2, clip &\leftarrow (floor, l2, clip) / batch\_size

    Args:
      batch_size: the number of terms that the loss adds up, at least 1; for sequences, examples times time steps.
      **options: the options of :func:`rescaled`.

    Returns:
      The given options by name, as floats; without ``eps_in_sqrt``, which does not change.

    Raises:
      ValueError: a number is out of its range, or a new option would be 0 in float32.
      TypeError: an option is not a number, or ``eps_in_sqrt`` is not a bool.

    Example:
      The loss of the DQN paper is a sum over 32 examples; this is its epsilon for their mean:

      >>> sum_to_mean(32, eps=0.01)
      {'eps': 9.765625e-06}

    Source:
      google-deepmind/dqn_zoo: dqn_zoo/dqn/run_atari.py has the same ``0.01 / 32**2``, and ``1 / 32`` as the bound of
      its errors.
    """
    return rescaled(1 / _terms(batch_size), **options)


def mean_to_sum(batch_size: int, **options: Unpack[Options]) -> dict[str, Any]:
    """Return the options for a loss that is the sum over a batch, given those for the mean.

    Args:
      batch_size: the number of terms that the loss adds up, at least 1; for sequences, examples times time steps.
      **options: the options of :func:`rescaled`.

    Returns:
      The given options by name, as floats; without ``eps_in_sqrt``, which does not change.

    Raises:
      ValueError: a number is out of its range, or a new option would be infinite in float32.
      TypeError: an option is not a number, or ``eps_in_sqrt`` is not a bool.

    Example:
      >>> mean_to_sum(32, eps=1e-8, eps_in_sqrt=False, clip=1.0)
      {'eps': 3.2e-07, 'clip': 32.0}

    Source:
      The inverse of :func:`sum_to_mean`.
    """
    return rescaled(_terms(batch_size), **options)


class Nearest(NamedTuple):
    """An epsilon for the other side of the square root, and the error that remains.

    Attributes:
      epsilon: at least 0.
      disagreement: the largest ratio of the two denominators, in either direction, at least 1; 1 means that they agree.
        It bounds the ratio of two steps from the same gradient and the same mean square. It does not bound the distance
        of two training runs, whose parameters and gradients differ after the first step.
    """

    epsilon: float
    disagreement: float


def eps_outside_sqrt(eps: float, low: float = 0.0, high: float = math.inf) -> Nearest:
    r"""Return the best epsilon outside the square root for ``eps`` inside.

    .. math::
      \min_{outside} \max_{low \le r \le high} \left| \log \frac{\sqrt{r^2 + eps}}{r + outside} \right|, \qquad
      r = \sqrt{nu}

    For all ``r ≥ 0``, the best epsilon is ``c·√eps`` with ``c²·(1 + c²) = 1``, ``c = √((√5 − 1)/2) ≈ 0.786``. The
    denominators then differ by a factor of at most ``1/c ≈ 1.272``, reached at ``r = 0`` and at ``r = √eps/c``. The
    usual choice ``√eps`` is exact at 0 and at infinity, and off by a factor of ``√2 ≈ 1.414`` at ``r = √eps``.

    Args:
      eps: the epsilon inside the square root, at least 0, in squared units of the gradient.
      low: the smallest root mean square of a gradient that matters, at least 0, in units of the gradient.
      high: the largest root mean square that matters, at least ``low``, in units of the gradient; may be infinite.

    Returns:
      The epsilon outside, in units of the gradient, and the disagreement of the denominators.

    Raises:
      ValueError: a number is out of its range, or the epsilon outside would be 0 or infinite in float32.
      TypeError: an argument is not a number.

    Example:
      EfficientNet was trained with an epsilon of 0.001 in TensorFlow; this is the epsilon for PyTorch:

      >>> eps, disagreement = eps_outside_sqrt(1e-3)
      >>> round(eps, 5), round(disagreement, 3)
      (0.02486, 1.272)

    Source:
      Own derivation: as a function of ``r`` the ratio falls until ``r = eps/outside`` and rises from there, so that its
      extremes are at that point or at the ends of the range; the best epsilon makes them equally large.
    """
    root = math.sqrt(_numbers.check("eps", eps))
    _check_range(low, high)
    if root == 0:
        return Nearest(0.0, 1.0)
    c, disagreement = _balance(lambda c: (low / root, high / root))
    outside = _in_float32(c * root, f"eps={eps} for low={low}, high={high}", "the epsilon outside")
    return Nearest(outside, disagreement)


def eps_inside_sqrt(eps: float, low: float = 0.0, high: float = math.inf) -> Nearest:
    r"""Return the best epsilon inside the square root for ``eps`` outside.

    .. math::
      \min_{inside} \max_{low \le r \le high} \left| \log \frac{\sqrt{r^2 + inside}}{r + eps} \right|, \qquad
      r = \sqrt{nu}

    For all ``r ≥ 0``, the best epsilon is ``(eps/0.786)²``, the inverse of :func:`eps_outside_sqrt`: the denominators
    differ by a factor of at most 1.272, with the usual choice ``eps²`` by a factor of up to 1.414. In a bounded range
    the two functions are not inverse to each other.

    Args:
      eps: the epsilon outside the square root, at least 0, in units of the gradient.
      low: the smallest root mean square of a gradient that matters, at least 0, in units of the gradient.
      high: the largest root mean square that matters, at least ``low``, in units of the gradient; may be infinite.

    Returns:
      The epsilon inside, in squared units of the gradient, and the disagreement of the denominators.

    Raises:
      ValueError: a number is out of its range, or the epsilon inside would be 0 or infinite in float32.
      TypeError: an argument is not a number.

    Example:
      PyTorch's default for Keras' RMSprop:

      >>> eps, disagreement = eps_inside_sqrt(1e-8)
      >>> print(f"{eps:.3g}, {disagreement:.3f}")
      1.62e-16, 1.272

    Source:
      Own derivation, as in :func:`eps_outside_sqrt`.
    """
    outside = float(_numbers.check("eps", eps))
    _check_range(low, high)
    if outside == 0:
        return Nearest(0.0, 1.0)
    c, disagreement = _balance(lambda c: (low * c / outside, high * c / outside))
    root = outside / c
    inside = _in_float32(root * root, f"eps={eps} for low={low}, high={high}", "the epsilon inside")
    return Nearest(inside, disagreement)


def _balance(bounds: Callable[[float], tuple[float, float]]) -> tuple[float, float]:
    """Return ``c = outside/√inside`` that puts the ratio as far above 1 as below, and that distance as a factor.

    ``bounds(c)`` is the range of ``x = r/√inside``. The ratio falls until ``x = 1/c``, rises from there and stays below
    1, so that its maximum is at the lower end. Both extremes fall as ``c`` grows; at ``c = 1`` neither is above 1.
    """

    def extremes(c: float) -> tuple[float, float]:
        low, high = bounds(c)
        return _log_ratio(min(max(1 / c, low), high), c), _log_ratio(low, c)

    small, large = 1e-100, 1.0
    for _ in range(64):  # each halves the logarithm; 64 reach the rounding of float64
        c = math.sqrt(small * large)
        small, large = (c, large) if sum(extremes(c)) > 0 else (small, c)
    below, above = extremes(large)
    return large, math.exp(max(-below, above))


def _log_ratio(x: float, c: float) -> float:
    """Return ``log(√(x² + 1) / (x + c))``, with full relative precision near 0."""
    return 0.5 * math.log1p((1 - c * (2 * x + c)) / ((x + c) * (x + c))) if x < 1e100 else 0.0


def _terms(batch_size: int) -> int:
    mend = "it is the number of terms that the loss adds up"
    _checks.static("batch_size", batch_size, mend)
    if not (1 <= batch_size <= sys.float_info.max and batch_size % 1 == 0):
        raise ValueError(
            f"batch_size must be a finite whole number of at least 1, got batch_size={batch_size}: {mend}."
        )
    return int(batch_size)


def _check_range(low: float, high: float) -> None:
    mend = "the bounds are root mean squares of typical gradients"
    _checks.static("low", low, mend)
    _checks.static("high", high, mend)
    if not (0 <= low <= high and low < math.inf):
        raise ValueError(f"the range must be 0 <= low <= high with a finite low, got low={low}, high={high}: {mend}.")
