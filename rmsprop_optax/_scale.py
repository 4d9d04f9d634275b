"""The heart: gradients divided by the root of their mean square, and the state that carries it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import xlog1py

from rmsprop_optax import _numbers, _tree
from rmsprop_optax import storage as _storage


class ScaleByRmsState(NamedTuple):
    """What :func:`scale_by_rms` carries from step to step, the same for all its options.

    Attributes:
      count: int32 scalar, the number of updates so far; stops at its maximum.
      nu: the tree of the parameters, real, in float32 or wider unless stored shorter: the mean square of the gradients,
        or their variance where centered; with bias correction, the corrected one. Changes with every update.
      mu: the tree of the parameters, float32 or wider: the mean of the gradients. ``None`` unless centered.
      mu_rest: the tree of the parameters: the mean of what rounding dropped from ``mu``, so that the mean is
        ``mu + mu_rest``, with some 40 bits. ``None`` unless centered.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax's states
    nu: Any
    mu: Any = None
    mu_rest: Any = None


def mean_square(g: jax.Array, nu: jax.Array, rate: Any) -> jax.Array:
    """``(1 − rate)·nu + rate·|g|²``."""
    return _saturate(_forget(nu, rate) + _numbers.cast(rate, nu.dtype) * _abs_sq(g))


def variance(g: jax.Array, nu: jax.Array, mu: jax.Array, rest: jax.Array, rate: Any) -> tuple:
    """``d = g − mu;  nu = (1 − rate)·nu + rate·(1 − rate)·|d|²;  mu += rate·d``.

    Equal to E[g²] − E[g]² in exact arithmetic, and never negative. The mean is the sum ``mu + rest``, where ``rest``
    averages what rounding drops from ``mu``: with float32's 24 bits alone it stops short of a constant gradient, and
    noise of a millionth of the mean drowns in it.
    """
    d = (g - mu) - rest
    weight = _numbers.cast(rate, nu.dtype)
    fresh = weight * (1 - weight)
    # Where the bias correction makes the rate 1, nothing is left of a square, also of one that overflowed.
    nu = _saturate(_forget(nu, rate) + jnp.where(fresh == 0, 0, fresh * _abs_sq(d)))
    step = _numbers.cast(rate, mu.dtype) * _within_half(g - mu)
    rest = _forget(rest, rate) + (_after(nu, step) - ((mu + step) - mu))
    return nu, mu + _after(rest, step), rest


def _after(first: jax.Array, x: jax.Array) -> jax.Array:
    """``x``, which on a CPU is not there before ``first``.

    XLA:CPU writes each array by a kernel of its own, in place of its old value, which it copies where a later kernel
    needs it. It does not order kernels to need no copies, but what needs ``first`` comes after it.
    """

    def wait(first, x):
        return x + 0 * first.astype(x.dtype)

    return jax.lax.platform_dependent(first, x, cpu=wait, default=lambda first, x: x)


def denominator(nu: jax.Array, eps: Any, eps_root: Any, floor: Any = None) -> jax.Array:
    """``max(sqrt(nu + eps_root) + eps, floor)``."""
    d = jnp.sqrt(nu + _numbers.cast(eps_root, nu.dtype)) + _numbers.cast(eps, nu.dtype)
    if floor is None:
        return d
    floor = _numbers.cast(floor, d.dtype)
    return jnp.where(d < floor, floor, d)


def _forget(x: jax.Array, rate: Any) -> jax.Array:
    """``(1 − rate)·x``. In float32 ``decay·x`` is off by 6e-8 a step, which a decay of 0.999 adds up to 6e-5."""
    return x - _numbers.cast(rate, x.dtype) * x


def _abs_sq(g: jax.Array) -> jax.Array:
    return g.real * g.real + g.imag * g.imag if jnp.iscomplexobj(g) else g * g


def _saturate(nu: jax.Array) -> jax.Array:
    """A quarter of the largest number at most, so that a square that overflowed is forgotten in time."""
    # XLA:CPU does not vectorise jnp.minimum, which looks after NaN; a comparison lets NaN pass and costs nothing.
    most = float(jnp.finfo(nu.dtype).max) / 4
    return jnp.where(nu > most, most, nu)


def _within_half(d: jax.Array) -> jax.Array:
    """Half of the largest number at most: two finite numbers may be further apart, and the mean be lost for ever."""
    if jnp.iscomplexobj(d):
        return jax.lax.complex(_within_half(d.real), _within_half(d.imag))
    most = float(jnp.finfo(d.dtype).max) / 2
    return jnp.where(d > most, most, jnp.where(d < -most, -most, d))


def _divide(g: jax.Array, d: jax.Array, *, positive: bool) -> jax.Array:
    """``g / d`` by a real ``d``, and no step where ``d`` is 0 or the root of a saturated mean square.

    A weight that never saw a gradient stays, also without an epsilon; a finite gradient whose square overflows does not
    leap. What is infinite or NaN becomes NaN, to be seen in the update. What is ``positive`` is not compared with 0: on
    a CPU each comparison is a hundredth of a small network's step.
    """
    stop = d > float(jnp.finfo(d.dtype).max) ** 0.5 / 3
    d = jnp.where(stop if positive else stop | (d == 0), jnp.inf, d)
    return jax.lax.complex(g.real / d, g.imag / d) if jnp.iscomplexobj(g) else g / d


def _corrected(rate: Any, count: jax.Array) -> jax.Array:
    """``rate / (1 − decay^t)`` at step ``t``, exactly 1 at the first.

    Dividing a moving average by ``1 − decay^t`` is the same as averaging with this rate, so the bias correction of
    Adam is a decay that warms up. ``1 − decay^t = rate + decay·(1 − decay^(t−1))``, and the power in terms of ``rate``
    keeps its digits when the decay is close to 1.
    """
    dtype = jnp.result_type(float)
    rate = jnp.asarray(rate, dtype)
    return rate / (rate - (1 - rate) * jnp.expm1(xlog1py(count.astype(dtype) - 1, -rate)))


def scale_by_rms(
    decay: Any = 0.9,
    *,
    eps: Any = 0.0,
    eps_root: Any = 1e-8,
    floor: Any = None,
    centered: bool = False,
    initial_value: Any = 0.0,
    bias_correction: bool = False,
    storage: Any = "float32",
) -> optax.GradientTransformationExtraArgs:
    r"""Divide gradients by the root of a running mean of their squares.

    .. math::
      nu_t &= decay \cdot nu_{t-1} + (1 - decay) \cdot |g_t|^2 \\
      u_t &= g_t / \max(\sqrt{nu_t + eps\_root} + eps, floor)

    Centered, ``nu`` is the variance of the gradients about their running mean ``mu``:

    .. math::
      mu_t = decay \cdot mu_{t-1} + (1 - decay) \cdot g_t, \qquad
      nu_t = decay \cdot (nu_{t-1} + (1 - decay) \cdot |g_t - mu_{t-1}|^2)

    The maths is done in float32 or wider whatever the dtype of the gradients, and the update has their dtype. Where
    ``nu + eps_root`` is 0 the update is 0, and its derivative is not defined.

    Args:
      decay: the weight of the old mean square, in [0, 1).
      eps: added to the root, at least 0; the place of PyTorch's epsilon.
      eps_root: added under the root, at least 0; the place of TensorFlow's, Keras' and optax's epsilon.
      floor: what the denominator never falls below, at least 0; ``None`` or 0 is off. The place of Blocks' epsilon.
      centered: divide by the standard deviation instead; never NaN, since the variance has a recurrence of its own.
      initial_value: what every entry of the mean square starts from, at least 0; TensorFlow 1 starts from 1.
      bias_correction: weigh the gradients seen so far as Adam does; nothing is left of an initial value then. The first
        centered update has variance 0 and is ``g / (sqrt(eps_root) + eps)``.
      storage: how ``nu`` is kept: one of :data:`rmsprop_optax.storage.FORMATS`, or a tree of them, a prefix of the
        parameters', or a :class:`rmsprop_optax.storage.PerLeaf`. ``mu`` stays in float32, since a variance far below
        the squared mean would drown in the noise of a shorter one.

    Returns:
      A transformation with a :class:`ScaleByRmsState`. Every number may be a ``jax.Array``, traced or not.

    Raises:
      ValueError: a static number is out of its range; ``bias_correction`` comes with an ``initial_value``; updates have
        another tree or other shapes than the parameters given to ``init``, or the state is of another ``centered``.
      TypeError: an option is not a number, or a parameter is neither floating-point nor complex.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = scale_by_rms(decay=0.9, eps_root=0.0)
      >>> updates, state = tx.update(jnp.array([3.0, -0.2]), tx.init(jnp.zeros(2)))
      >>> [round(float(u), 4) for u in updates]
      [3.1623, -3.1623]
      >>> [round(float(nu), 4) for nu in state.nu]
      [0.9, 0.004]

    Source:
      Hinton, Neural Networks for Machine Learning, lecture 6.5; centered: Graves, arXiv:1308.0850, equations 38 to 45.
    """
    decay = _numbers.check("decay", decay)
    eps = _numbers.check("eps", eps)
    eps_root = _numbers.check("eps_root", eps_root)
    floor = _numbers.check_unless_off("floor", floor)
    initial_value = _numbers.check("initial_value", initial_value)
    _numbers.check_flags(centered=centered, bias_correction=bias_correction)
    _storage.check(storage)
    if bias_correction and _numbers.is_static(initial_value) and not _numbers.is_off(initial_value):
        raise ValueError(
            "bias_correction leaves no weight to an initial_value, so only one of them has a meaning, got "
            f"bias_correction=True with initial_value={initial_value}: drop one."
        )

    tiny = float(jnp.finfo(jnp.float32).tiny)
    positive = any(_numbers.is_static(x) and x >= tiny for x in (eps, eps_root, floor))

    def init(params: optax.Params) -> ScaleByRmsState:
        nu = _storage.coded(_tree.full(params, initial_value, real=True), storage)
        mu, rest = (_tree.full(params, 0.0), _tree.full(params, 0.0)) if centered else (None, None)
        return ScaleByRmsState(jnp.zeros([], jnp.int32), nu, mu, rest)

    def update(updates, state, params=None, **extra_args):
        del params, extra_args
        _tree.state_of(ScaleByRmsState, state)
        if centered != (state.mu is not None):
            raise ValueError(
                f"the state must come from the same options, got one that is {'not ' * centered}centered for "
                f"centered={centered}: start from init."
            )
        count = optax.safe_increment(state.count)
        rate = _corrected(1 - decay, count) if bias_correction else 1 - decay

        def one(g, *stored):
            g, nu, mu, rest = _storage.decode(g, *stored)
            if mu is None:
                nu = mean_square(g, nu, rate)
            else:
                nu, mu, rest = variance(g, nu, mu, rest, rate)
            u = _divide(g, denominator(nu, eps, eps_root, floor), positive=positive)
            return u, *_storage.encode((nu, mu, rest), stored, g, count)

        updates, *moments = _tree.lift(one, updates, state.nu, state.mu, state.mu_rest)
        return updates, ScaleByRmsState(count, *moments)

    return _tree.in_float32(optax.GradientTransformationExtraArgs(init, update))
