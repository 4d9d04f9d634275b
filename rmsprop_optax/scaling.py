"""Epsilons and thresholds, carried over to gradients of another size and to the other side of the root."""

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rmsprop_optax import _numbers

__all__ = ["Nearest", "mean_to_sum", "nearest_eps", "nearest_eps_root", "rescaled", "sum_to_mean"]

# The power of the gradients that an option is measured in.
_POWERS = {"eps": 1, "eps_root": 2, "floor": 1, "initial_value": 2, "l2": 1, "clip": 1}


def rescaled(
    factor: float,
    *,
    eps: float | None = None,
    eps_root: float | None = None,
    floor: float | None = None,
    initial_value: float | None = None,
    l2: float | None = None,
    clip: float | None = None,
) -> dict[str, float]:
    r"""The options that leave every step as it is when all gradients become ``factor`` times as large.

    .. math::
      eps,\ floor,\ l2,\ clip \leftarrow factor \cdot (\ldots), \qquad
      eps\_root,\ initial\_value \leftarrow factor^2 \cdot (\ldots)

    The learning rate, the decays, the momentum and a decoupled weight decay stay as they are.

    Args:
      factor: new gradient / old gradient, above 0.
      eps: added to the root, at least 0, in units of the gradient.
      eps_root: added under the root, at least 0, in squared units of the gradient.
      floor: the least denominator, at least 0, in units of the gradient.
      initial_value: what the mean square starts from, at least 0, in squared units of the gradient.
      l2: ``l2·p`` is added to the gradient, at least 0.
      clip: the largest norm or absolute value of a gradient, at least 0, in units of the gradient.

    Returns:
      The options that were given, by name.

    Raises:
      ValueError: a number is out of its range, or an option becomes too large.
      TypeError: one is not a number.

    Example:
      >>> rescaled(0.5, eps=1e-8, eps_root=1.0)
      {'eps': 5e-09, 'eps_root': 0.25}

    Source:
      Both sides of the root in :func:`rmsprop_optax.scale_by_rms`, multiplied by ``factor``.
    """
    mend = "it is the new gradient over the old one, 1/32 from a sum over 32 examples to their mean"
    _check_number("factor", factor, mend)
    if not 0 < factor <= sys.float_info.max:
        raise ValueError(f"factor must be finite and above 0, got factor={factor}: {mend}.")
    given = {"eps": eps, "eps_root": eps_root, "floor": floor, "initial_value": initial_value, "l2": l2, "clip": clip}
    return {name: _scaled(name, value, float(factor)) for name, value in given.items() if value is not None}


def _scaled(name: str, value: Any, factor: float) -> Any:
    number = _numbers.check(name, value)
    for _ in range(_POWERS[name]):
        number = number * factor
    if isinstance(number, float) and math.isinf(number):
        raise ValueError(f"factor={factor} is too large for {name}={value}: the new {name} is beyond all floats.")
    return number


def sum_to_mean(batch_size: int, **options: float | None) -> dict[str, float]:
    r"""The options for the mean over the examples of a batch, from those for their sum.

    .. math::
      eps,\ floor,\ l2,\ clip \leftarrow (\ldots) / batch\_size, \qquad
      eps\_root,\ initial\_value \leftarrow (\ldots) / batch\_size^2

    Args:
      batch_size: how many terms the loss adds up, at least 1; with sequences, their steps count too.
      **options: those of :func:`rescaled`.

    Returns:
      The options that were given, by name.

    Raises:
      ValueError: a number is out of its range, or an option becomes too large.
      TypeError: one is not a number.

    Example:
      The epsilon of the DQN paper, whose loss is a sum, for the mean over its batches of 32:

      >>> sum_to_mean(32, eps_root=0.01)
      {'eps_root': 9.765625e-06}

    Source:
      google-deepmind/dqn_zoo: dqn_zoo/dqn/run_atari.py has the same ``0.01 / 32**2``, and ``1 / 32`` as the bound of
      its errors.
    """
    return rescaled(1 / _whole(batch_size), **options)


def mean_to_sum(batch_size: int, **options: float | None) -> dict[str, float]:
    r"""The options for the sum over the examples of a batch, from those for their mean.

    .. math::
      eps,\ floor,\ l2,\ clip \leftarrow batch\_size \cdot (\ldots), \qquad
      eps\_root,\ initial\_value \leftarrow batch\_size^2 \cdot (\ldots)

    Args:
      batch_size: how many terms the loss adds up, at least 1; with sequences, their steps count too.
      **options: those of :func:`rescaled`.

    Returns:
      The options that were given, by name.

    Raises:
      ValueError: a number is out of its range, or an option becomes too large.
      TypeError: one is not a number.

    Example:
      >>> mean_to_sum(32, eps=1e-8, clip=1.0)
      {'eps': 3.2e-07, 'clip': 32.0}

    Source:
      The inverse of :func:`sum_to_mean`.
    """
    return rescaled(_whole(batch_size), **options)


class Nearest(NamedTuple):
    """An epsilon for the other side of the root, and how near it comes.

    Attributes:
      epsilon: at least 0.
      disagreement: how many times larger one denominator is than the other where they differ most, either way; 1 is
        agreement. It is the ratio of two steps from the same gradient and the same mean square. What becomes of two
        runs it does not say: their parameters, and so their gradients, part.
    """

    epsilon: float
    disagreement: float


def nearest_eps(eps_root: float, low: float = 0.0, high: float = math.inf) -> Nearest:
    r"""The epsilon beside the root that comes nearest to one under it.

    .. math::
      \min_{eps} \max_{low \le r \le high} \left| \log \frac{\sqrt{r^2 + eps\_root}}{r + eps} \right|, \qquad
      r = \sqrt{nu}

    For every ``r`` from 0 on, ``eps = c·√eps_root`` with ``c²·(1 + c²) = 1``: ``c = √((√5 − 1)/2) ≈ 0.786``, and the
    denominators differ by a factor of at most ``1/c ≈ 1.272``, at ``r = 0`` and at ``r = √eps_root/c``. The usual rule
    ``eps = √eps_root`` is exact at both ends and off by up to ``√2 ≈ 1.414`` at ``r = √eps_root``.

    Args:
      eps_root: the epsilon under the root, at least 0.
      low: the smallest root of a mean square that matters, at least 0, in units of the gradient.
      high: the largest, at least ``low``; may be infinite.

    Returns:
      ``eps`` and the disagreement that it leaves.

    Raises:
      ValueError: a number is out of its range.
      TypeError: one is not a number.

    Example:
      TensorFlow's epsilon of EfficientNet for PyTorch's RMSprop:

      >>> eps, disagreement = nearest_eps(1e-3)
      >>> round(eps, 5), round(disagreement, 3)
      (0.02486, 1.272)

    Source:
      Own derivation: in ``r`` the ratio falls up to ``r = eps_root/eps`` and rises from there, so that its extremes are
      there or at the ends; the best epsilon balances them.
    """
    root = math.sqrt(_numbers.check("eps_root", eps_root))
    _check_range(low, high)
    if root == 0:
        return Nearest(0.0, 1.0)
    c, disagreement = _balance(lambda c: (low / root, high / root))
    return Nearest(c * root, disagreement)


def nearest_eps_root(eps: float, low: float = 0.0, high: float = math.inf) -> Nearest:
    r"""The epsilon under the root that comes nearest to one beside it.

    .. math::
      \min_{eps\_root} \max_{low \le r \le high} \left| \log \frac{\sqrt{r^2 + eps\_root}}{r + eps} \right|, \qquad
      r = \sqrt{nu}

    For every ``r`` from 0 on, the inverse of :func:`nearest_eps`: ``eps_root = (eps/0.786)²``, off by a factor of at
    most 1.272, where the usual ``eps²`` is off by up to 1.414. In a range it is not the inverse.

    Args:
      eps: the epsilon beside the root, at least 0.
      low: the smallest root of a mean square that matters, at least 0, in units of the gradient.
      high: the largest, at least ``low``; may be infinite.

    Returns:
      ``eps_root`` and the disagreement that it leaves.

    Raises:
      ValueError: a number is out of its range, or too large for an ``eps_root``.
      TypeError: one is not a number.

    Example:
      PyTorch's default for Keras' RMSprop:

      >>> eps_root, disagreement = nearest_eps_root(1e-8)
      >>> print(f"{eps_root:.3g}, {disagreement:.3f}")
      1.62e-16, 1.272

    Source:
      As :func:`nearest_eps`.
    """
    eps = _numbers.check("eps", eps)
    _check_range(low, high)
    if eps == 0:
        return Nearest(0.0, 1.0)
    c, disagreement = _balance(lambda c: (low * c / eps, high * c / eps))
    root = eps / c
    if math.isinf(root * root):
        raise ValueError(f"eps={eps} is too large for low={low}, high={high}: eps_root is beyond all floats.")
    return Nearest(root * root, disagreement)


def _balance(bounds: Callable[[float], tuple[float, float]]) -> tuple[float, float]:
    """``c = eps/√eps_root`` for which the ratio is as far above 1 as below, and that distance as a factor.

    ``bounds`` is the range of ``x = r/√eps_root``. The ratio falls up to ``x = 1/c`` and then rises, never above 1: it
    is largest at the lower end. Both extremes fall as ``c`` grows; at 1 neither is above 1.
    """

    def extremes(c: float) -> tuple[float, float]:
        low, high = bounds(c)
        return _log_ratio(min(max(1 / c, low), high), c), _log_ratio(low, c)

    small, large = 1e-100, 1.0
    for _ in range(64):  # halvings of the logarithm, down to a rounding
        c = math.sqrt(small * large)
        small, large = (c, large) if sum(extremes(c)) > 0 else (small, c)
    below, above = extremes(large)
    return large, math.exp(max(-below, above))


def _log_ratio(x: float, c: float) -> float:
    """The logarithm of ``√(x² + 1) / (x + c)``, with all its digits also where it is almost 0."""
    return 0.5 * math.log1p((1 - c * (2 * x + c)) / ((x + c) * (x + c))) if x < 1e100 else 0.0


def _whole(batch_size: int) -> int:
    mend = "it is the number of terms that the loss adds up"
    _check_number("batch_size", batch_size, mend)
    if not (1 <= batch_size <= sys.float_info.max and batch_size % 1 == 0):
        raise ValueError(
            f"batch_size must be a finite whole number of at least 1, got batch_size={batch_size}: {mend}."
        )
    return int(batch_size)


def _check_range(low: float, high: float) -> None:
    mend = "the bounds are roots of mean squares, as large as typical gradients"
    _check_number("low", low, mend)
    _check_number("high", high, mend)
    if not (0 <= low <= high and low < math.inf):
        raise ValueError(f"the range must be 0 <= low <= high with a finite low, got low={low}, high={high}: {mend}.")


def _check_number(name: str, value: Any, mend: str) -> None:
    if isinstance(value, bool | np.bool_) or not _numbers.is_static(value):
        raise TypeError(f"{name} must be a number, got {name}={value!r}: {mend}.")
