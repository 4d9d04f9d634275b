"""Other denominators: two links that replace ``scale_by_rms``."""

from math import inf
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _formats, _numbers, _tree
from rmsprop_optax._arguments import checked
from rmsprop_optax._numbers import OFF, Range
from rmsprop_optax._scale import bounded, denominator, mean_square, sides
from rmsprop_optax._types import Number, ScalarOrSchedule, Tree


class ScaleByMaxRmsState(NamedTuple):
    """The state of :func:`scale_by_max_rms`; both fields change with every update.

    Attributes:
      nu: real arrays of the parameters' shapes, float32 or wider: the mean square of the gradients.
      highest: arrays like ``nu``: the largest mean square so far.
    """

    nu: Tree
    highest: Tree


@checked()
def scale_by_max_rms(
    decay: Number = 0.9,
    eps: Number = 1e-8,
    initial_scale: Number = 0.0,
    eps_in_sqrt: bool | None = True,
    *,
    floor: Number | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Divide gradients by the root of the largest mean square so far.

    .. math::
      nu_t &= decay \cdot nu_{t-1} + (1 - decay) \cdot |g_t|^2, \qquad nu_0 = initial\_scale \\
      highest_t &= \max(highest_{t-1}, nu_t) \\
      u_t &= g_t / \max(\sqrt{highest_t + eps}, floor) \quad \text{or} \quad g_t / \max(\sqrt{highest_t} + eps, floor)

    Use this link instead of :func:`rmsprop_optax.scale_by_rms` in a chain. The denominator never shrinks, so many small
    gradients cannot outvote a rare large gradient. This costs 4 bytes a parameter, and the effective learning rate
    never recovers from an outlier.

    Args:
      decay: the weight of the old mean square, in [0, 1).
      eps: at least 0, in squared units of the gradient under the root, in its units beside the root.
      initial_scale: the mean square before the first step, at least 0.
      eps_in_sqrt: whether ``eps`` stands under the root or beside it; ``None`` is both.
      floor: the least denominator, at least 0, in units of the gradient; ``None`` is off.

    Returns:
      A transformation with a :class:`ScaleByMaxRmsState`. Every number may be a ``jax.Array``, traced or not.

    Raises:
      ValueError: a static number is out of its range, or updates and state do not fit.
      TypeError: an option is not a number, or the state is another transformation's.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = scale_by_max_rms(decay=0.0, eps=0.0)
      >>> state = tx.init(jnp.zeros(1))
      >>> for g in (3.0, 1.0):
      ...     updates, state = tx.update(jnp.array([g]), state)
      >>> round(float(updates[0]), 4)  # 1 / √9
      0.3333

    Source:
      Reddi, Kale and Kumar, arXiv:1904.09237, algorithm 2 with β₁ = 0: RMSprop with the maximum.
    """
    inside, outside = sides(eps, eps_in_sqrt)

    def init(params: optax.Params) -> ScaleByMaxRmsState:
        return ScaleByMaxRmsState(*(_tree.full(params, initial_scale, real=True) for _ in range(2)))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        _tree.state_of(ScaleByMaxRmsState, state)

        def one(g: jax.Array, *stored: jax.Array) -> tuple[Any, ...]:
            g, nu, highest = _formats.decode(g, *stored)
            x = bounded(g)
            nu = mean_square(x, nu, 1 - decay)
            highest = jnp.maximum(highest, nu)
            u = x / denominator(highest, inside, outside, floor).astype(x.dtype) + (g - g)  # infinite shows as NaN
            return u, nu.astype(stored[0].dtype), highest.astype(stored[1].dtype)

        updates, nu, highest = _tree.lift(one, updates, state.nu, state.highest)
        return updates, ScaleByMaxRmsState(nu, highest)

    return _tree.in_float32(optax.GradientTransformation(init, update))


class ScaleByPreviousRmsState(NamedTuple):
    """The state of :func:`scale_by_previous_rms`; both fields change with every update.

    Attributes:
      count: int32 scalar, the number of updates so far.
      nu: real arrays of the parameters' shapes, float32 or wider: the mean square of the gradients.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax's states
    nu: Tree


def fourth_root(count: jax.Array) -> jax.Array:
    """ADOPT's bound of a quotient, ``count^¼``, which grows as the mean square becomes reliable."""
    return jnp.asarray(count, jnp.result_type(float)) ** 0.25


@checked(bound=Range(0, inf, f"it bounds the absolute value of a quotient; {OFF}", optional=True, schedule=True))
def scale_by_previous_rms(
    decay: Number = 0.9999,
    eps: Number = 0.0,
    eps_in_sqrt: bool | None = True,
    *,
    floor: Number | None = 1e-6,
    bound: ScalarOrSchedule | None = fourth_root,
) -> optax.GradientTransformationExtraArgs:
    r"""Divide each gradient by the root of the previous mean square, then update the mean square.

    .. math::
      u_t &= \mathrm{clip}(g_t / \max(\sqrt{nu_{t-1}}, floor), \pm bound_t), \qquad u_0 = 0 \\
      nu_t &= decay \cdot nu_{t-1} + (1 - decay) \cdot |g_t|^2, \qquad nu_0 = |g_0|^2

    Use this link instead of :func:`rmsprop_optax.scale_by_rms` in a chain. Numerator and denominator are then
    independent, so the method converges for every decay. The first gradient only sets the mean square. ADOPT also
    averages the quotients: chain ``optax.ema(0.9, debias=False)`` after this link.
    ``optax.contrib.scale_by_adopt(b1=0)`` takes the same steps and needs 4 bytes a parameter more.

    Args:
      decay: the weight of the old mean square, in [0, 1).
      eps: at least 0, in squared units of the gradient under the root, in its units beside the root.
      eps_in_sqrt: whether ``eps`` stands under the root or beside it; ``None`` is both.
      floor: the least denominator, at least 0, in units of the gradient; ``None`` is off.
      bound: the largest absolute value of a quotient: a number, or a function of the number of previous updates.
        ``None`` or 0 is off. Without a bound, the first large gradient after small ones makes a step of any length.

    Returns:
      A transformation with a :class:`ScaleByPreviousRmsState`. Every number may be a ``jax.Array``, traced or not.

    Raises:
      ValueError: a static number is out of its range, or updates and state do not fit.
      TypeError: an option is not a number, or the state is another transformation's.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = scale_by_previous_rms(decay=0.5)
      >>> state = tx.init(jnp.zeros(1))
      >>> for g in (4.0, 2.0):
      ...     updates, state = tx.update(jnp.array([g]), state)
      ...     print(round(float(updates[0]), 4), float(state.nu[0]))
      0.0 16.0
      0.5 10.0

    Source:
      Taniguchi et al., arXiv:2411.02853, algorithm 2 with β₁ = 0 and its bound t^¼.
    """
    inside, outside = sides(eps, eps_in_sqrt)

    def init(params: optax.Params) -> ScaleByPreviousRmsState:
        return ScaleByPreviousRmsState(jnp.zeros([], jnp.int32), _tree.full(params, 0.0, real=True))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        count = _tree.state_of(ScaleByPreviousRmsState, state).count
        first, limit = count == 0, bound(count) if callable(bound) else bound

        def one(g: jax.Array, stored: jax.Array) -> tuple[Any, ...]:
            g, before = _formats.decode(g, stored)
            x = bounded(g)
            u = x / denominator(before, inside, outside, floor).astype(x.dtype)
            if limit is not None:
                size = jnp.abs(u)
                most = _numbers.cast(limit, size.dtype)
                u = u * jnp.where(size > most, most / jnp.where(size > most, size, 1), 1).astype(u.dtype)
            nu = mean_square(x, before, jnp.where(first, 1, 1 - _numbers.cast(decay, before.dtype)))
            return jnp.where(first, 0, u) + (g - g), nu.astype(stored.dtype)  # infinite shows as NaN

        updates, nu = _tree.lift(one, updates, state.nu)
        return updates, ScaleByPreviousRmsState(optax.safe_increment(count), nu)

    return _tree.in_float32(optax.GradientTransformation(init, update))
