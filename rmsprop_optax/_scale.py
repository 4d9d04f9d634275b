"""Gradients divided by the root of their mean square, and the state that holds it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import xlog1py

from rmsprop_optax import _formats, _tree
from rmsprop_optax._arguments import checked
from rmsprop_optax._numbers import cast
from rmsprop_optax._types import Number, Storage, Tree


class ScaleByRmsState(NamedTuple):
    """The state of :func:`scale_by_rms`, the same for all its options.

    Attributes:
      count: int32 scalar, the number of updates so far; stops at its maximum.
      nu: real arrays of the parameters' shapes, float32 or wider unless stored shorter: the mean square of the
        gradients, or their variance where centered; with bias correction the corrected one. Changes with every update.
      mu: arrays like the parameters, float32 or wider: the mean of the gradients. ``None`` unless centered.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax's states
    nu: Tree
    mu: Tree = None


def mean_square(g: jax.Array, nu: jax.Array, rate: Any) -> jax.Array:
    """``nu = (1 − rate)·nu + rate·|g|²``.

    ``decay·nu`` in float32 is off by 6e-8 a step, 6e-5 in all at a decay of 0.999; ``nu − rate·nu`` is not.
    """
    share = cast(rate, nu.dtype)
    return nu - share * nu + share * _abs_sq(g)


def variance(g: jax.Array, nu: jax.Array, mu: jax.Array, rate: Any) -> tuple[jax.Array, jax.Array]:
    """``mu += rate·(g − mu);  e = g − mu;  nu = (1 − rate)·nu + rate/(1 − rate)·|e|²``.

    In exact arithmetic this is E[g²] − E[g]²; it is never negative. At a rate of 1 the old moments have no weight, and
    the variance of one gradient is 0.
    """
    mu = mu + cast(rate, mu.dtype) * (g - mu)
    return nu - cast(rate, nu.dtype) * nu + cast(_odds(rate), nu.dtype) * _abs_sq(g - mu), mu


def variance_of_old_mean(g: jax.Array, nu: jax.Array, mu: jax.Array, rate: Any) -> tuple[jax.Array, jax.Array]:
    """``d = g − mu;  nu = (1 − rate)·nu + rate·(1 − rate)·|d|²;  mu += rate·d``: :func:`variance` of the old mean.

    XLA:TPU fuses the encoding of a short ``nu`` only with this form; XLA:CPU copies the mean for it.
    """
    d, share = g - mu, cast(rate, nu.dtype)
    return nu - share * nu + share * (1 - share) * _abs_sq(d), mu + cast(rate, mu.dtype) * d


def denominator(nu: jax.Array, inside: Any, outside: Any, floor: Any) -> jax.Array:
    """``max(sqrt(nu + inside) + outside, floor)``, with the smallest normal number added under the root.

    A weight whose gradients were all 0 then keeps its value even without an epsilon, and no quotient overflows.
    """
    tiny = float(jnp.finfo(nu.dtype).tiny)
    d = jnp.sqrt(nu + (cast(inside, nu.dtype) + tiny))
    if outside is not None:
        d = d + cast(outside, nu.dtype)
    if floor is None:
        return d
    lowest = cast(floor, nu.dtype)
    return jnp.where(d < lowest, lowest, d)  # XLA:CPU does not vectorise jnp.maximum


def sides(eps: Any, eps_in_sqrt: bool | None) -> tuple[Any, Any]:
    """The epsilon inside the root and the one outside; ``None`` for none outside."""
    return eps if eps_in_sqrt in (True, None) else 0.0, eps if eps_in_sqrt in (False, None) else None


def bounded(g: jax.Array) -> jax.Array:
    """The gradient clamped to numbers whose squares are finite, ±1.2e18 in float32; NaN stays NaN."""
    if jnp.iscomplexobj(g):
        return jax.lax.complex(bounded(g.real), bounded(g.imag))
    most = jnp.finfo(g.dtype).max ** 0.5 / 16
    return jax.lax.clamp(-most, g, most)  # for two comparisons XLA:CPU needs another kernel and array


def _abs_sq(g: jax.Array) -> jax.Array:
    return g.real * g.real + g.imag * g.imag if jnp.iscomplexobj(g) else g * g


def _divide(g: jax.Array, d: jax.Array) -> jax.Array:
    return jax.lax.complex(g.real / d, g.imag / d) if jnp.iscomplexobj(g) else g / d


def _odds(rate: Any) -> Any:
    """``rate / (1 − rate)``, and 0 at a rate of 1."""
    if isinstance(rate, float):
        return rate / (1 - rate) if rate < 1 else 0.0
    return jnp.where(rate < 1, rate / jnp.where(rate < 1, 1 - rate, 1), 0)


def _corrected(rate: Any, count: jax.Array) -> jax.Array:
    """``rate / (1 − decay^t)`` at step ``t``, exactly 1 at the first.

    Dividing a moving average by ``1 − decay^t`` is the same as averaging with this rate: Adam's bias correction is a
    decay that warms up. ``1 − decay^t = rate + decay·(1 − decay^(t−1))``, and the power in terms of ``rate`` keeps its
    digits when the decay is close to 1.
    """
    dtype = jnp.result_type(float)
    rate = jnp.asarray(rate, dtype)
    corrected: jax.Array = rate / (rate - (1 - rate) * jnp.expm1(xlog1py(count.astype(dtype) - 1, -rate)))
    return corrected


@checked()
def scale_by_rms(
    decay: Number = 0.9,
    eps: Number = 1e-8,
    initial_scale: Number = 0.0,
    eps_in_sqrt: bool | None = True,
    bias_correction: bool = False,
    *,
    centered: bool = False,
    floor: Number | None = None,
    storage: Storage = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Divide gradients by the root of a running mean of their squares.

    .. math::
      nu_t &= decay \cdot nu_{t-1} + (1 - decay) \cdot |g_t|^2, \qquad nu_0 = initial\_scale \\
      u_t &= g_t / \max(\sqrt{nu_t + eps}, floor) \quad \text{or} \quad g_t / \max(\sqrt{nu_t} + eps, floor)

    Centered, ``nu`` is the variance of the gradients about their running mean ``mu``:

    .. math::
      mu_t = decay \cdot mu_{t-1} + (1 - decay) \cdot g_t, \qquad
      nu_t = decay \cdot (nu_{t-1} + (1 - decay) \cdot |g_t - mu_{t-1}|^2)

    The computation is in float32 or wider; the update has the dtype of the gradient. A weight whose gradients are all 0
    keeps its value. Gradients beyond ±1.2e18 count as ±1.2e18 (in float32), so a finite gradient never makes the state
    infinite; an infinite gradient makes the update NaN. Centered, noise of a thousandth of the mean is measured to four
    digits, and noise below 1e-7 of the mean is lost. First-order derivatives through an update are finite, except at a
    variance of 0 without epsilon and with respect to a decay of 0 under bias correction.

    Args:
      decay: the weight of the old mean square, in [0, 1).
      eps: at least 0, in squared units of the gradient under the root, in its units beside the root.
      initial_scale: what every entry of the mean square starts from, at least 0; TensorFlow 1 starts from 1.
      eps_in_sqrt: whether ``eps`` stands under the root (TensorFlow, Keras) or beside it (PyTorch); ``None`` is both.
      bias_correction: weigh the gradients seen so far as Adam does. The first centered update has variance 0 and is
        divided by epsilon alone.
      centered: divide by the standard deviation instead.
      floor: the least denominator, at least 0, in units of the gradient; ``None`` is off.
      storage: how ``nu`` is kept: ``None`` in the precision of the maths, or a name of
        :data:`rmsprop_optax.storage.FORMATS`. ``mu`` stays in float32.

    Returns:
      A transformation with a :class:`ScaleByRmsState`. Every number may be a ``jax.Array``, traced or not. Integers,
      bools and keys among the parameters have no state.

    Raises:
      ValueError: a static number is out of its range, ``bias_correction`` comes with an ``initial_scale``, or updates
        and state do not fit.
      TypeError: an option is not a number, a leaf is no array, or the state is another transformation's.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = scale_by_rms(decay=0.9, eps=0.0)
      >>> updates, state = tx.update(jnp.array([3.0, -0.2]), tx.init(jnp.zeros(2)))
      >>> [round(float(u), 4) for u in updates]
      [3.1623, -3.1623]
      >>> [round(float(nu), 4) for nu in state.nu]
      [0.9, 0.004]

    Source:
      Hinton, Neural Networks for Machine Learning, lecture 6.5; centered: Graves, arXiv:1308.0850, equations 38 to 45.
      The first five arguments are those of ``optax.scale_by_rms`` 0.2.8.
    """
    _formats.check(storage)
    if bias_correction and isinstance(initial_scale, float) and initial_scale:
        raise ValueError(
            "bias_correction leaves no weight to an initial_scale, so only one of them has a meaning, got "
            f"bias_correction=True with initial_scale={initial_scale}: drop one."
        )
    inside, outside = sides(eps, eps_in_sqrt)

    def init(params: optax.Params) -> ScaleByRmsState:
        nu = _formats.coded(_tree.full(params, initial_scale, real=True), storage)
        return ScaleByRmsState(jnp.zeros([], jnp.int32), nu, _tree.full(params, 0.0) if centered else None)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        _tree.state_of(ScaleByRmsState, state)
        if centered != (state.mu is not None):
            raise ValueError(
                f"the state must come from the same options, got one that is {'not ' * centered}centered for "
                f"centered={centered}: {_tree.OTHER}."
            )
        count = optax.safe_increment(state.count)
        rate = _corrected(1 - decay, count) if bias_correction else 1 - decay

        def one(g: jax.Array, *stored: Any) -> tuple[Any, ...]:
            x, nu, mu = _formats.decode(bounded(g), *stored)
            if centered:
                moments = variance_of_old_mean if _formats.is_short(stored[0]) else variance
                nu, mu = moments(x, nu, mu, rate)
            else:
                nu = mean_square(x, nu, rate)
            u = _divide(x, denominator(nu, inside, outside, floor)) + (g - g).astype(x.dtype)  # infinite shows as NaN
            return u, *_formats.encode((nu, mu), stored, x, count)

        updates, nu, mu = _tree.lift(one, updates, state.nu, state.mu)
        return updates, ScaleByRmsState(count, nu, mu)

    return _tree.in_float32(optax.GradientTransformation(init, update))


@checked()
def scale_by_stddev(
    decay: Number = 0.9,
    eps: Number = 1e-8,
    initial_scale: Number = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """:func:`scale_by_rms` with ``centered=True``, under the name and the arguments of ``optax.scale_by_stddev``.

    Args:
      decay: the weight of the old mean and variance, in [0, 1).
      eps: at least 0, in squared units of the gradient under the root, in its units beside the root.
      initial_scale: what every entry of the variance starts from, at least 0.
      eps_in_sqrt: whether ``eps`` stands under the root or beside it.
      bias_correction: weigh the gradients seen so far as Adam does.

    Returns:
      A transformation with a :class:`ScaleByRmsState`.

    Raises:
      ValueError: a static number is out of its range, or ``bias_correction`` comes with an ``initial_scale``.
      TypeError: an option is not a number.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = scale_by_stddev(decay=0.5, eps=0.0)
      >>> updates, _ = tx.update(jnp.array([3.0]), tx.init(jnp.zeros(1)))
      >>> float(updates[0])  # 3 / √(0.5·0.5·3²)
      2.0

    Source:
      ``optax.scale_by_stddev`` 0.2.8.
    """
    return scale_by_rms(decay, eps, initial_scale, eps_in_sqrt, bias_correction, centered=True)
