"""An adaptive learning rate for each connection: a gain that grows while a weight keeps its direction."""

from math import inf
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _formats, _numbers, _tree
from rmsprop_optax._arguments import checked
from rmsprop_optax._complex import per_component
from rmsprop_optax._numbers import Range
from rmsprop_optax._types import Number, Tree

_LIMIT = Range(0, inf, "it limits the gains; 0.1 to 10 and 0.01 to 100 are usual")


class ScaleByGainsState(NamedTuple):
    """The state of :func:`scale_by_gains`; both fields change with every update.

    Attributes:
      gain: real arrays of the parameters' shapes, float32 or wider: the factor of each entry; 1 at first.
      sign: int8 arrays of the parameters' shapes: the sign of the update before; 0 at first.
    """

    gain: Tree
    sign: Tree


def adapted(gain: jax.Array, agreement: jax.Array, increase: Any, growth: Any, shrink: Any) -> jax.Array:
    """``gain·growth + increase`` where ``agreement`` is positive, ``gain·shrink`` where it is negative."""
    increase, growth, shrink = (_numbers.cast(x, gain.dtype) for x in (increase, growth, shrink))
    return jnp.select([agreement > 0, agreement < 0], [gain * growth + increase, gain * shrink], gain)


def within(gain: jax.Array, minimum: Any, maximum: Any) -> jax.Array:
    """``gain`` between its limits."""
    return jnp.clip(gain, _numbers.cast(minimum, gain.dtype), _numbers.cast(maximum, gain.dtype))


@checked(
    increase=Range(0, inf, "it is added to a gain while signs agree; 0.05 is usual"),
    growth=Range(1, inf, "it multiplies a gain while signs agree; 1 turns it off"),
    shrink=Range(0, 1, "it multiplies a gain where signs differ; 0.95 is usual"),
    minimum=_LIMIT,
    maximum=_LIMIT,
)
def scale_by_gains(
    increase: Number = 0.05,
    *,
    growth: Number = 1.0,
    shrink: Number = 0.95,
    minimum: Number = 0.1,
    maximum: Number = 10.0,
) -> optax.GradientTransformationExtraArgs:
    r"""Multiply each entry by a gain of its own: more where its sign persists, less where it flips.

    .. math::
      gain_t &= gain_{t-1} \cdot growth + increase \quad \text{where } u_t \cdot u_{t-1} > 0 \\
      gain_t &= gain_{t-1} \cdot shrink \quad \text{where } u_t \cdot u_{t-1} < 0 \\
      gain_t &\leftarrow \min(\max(gain_t, minimum), maximum), \qquad u_t \leftarrow gain_t \cdot u_t

    Gains grow by addition and shrink by multiplication, so that a weight slows down as soon as it oscillates;
    ``increase=0, growth=1 + a, shrink=1 − a`` is the multiplicative form of climin and others. Use full batches or
    large mini-batches, because sampling noise also flips signs. A gain does not change where the product is 0, as at
    the first step or for a weight that is rarely active.

    Chain this link after :func:`~rmsprop_optax.scale_by_rms`, which would cancel gains before it, and before a momentum
    buffer, whose sign is that of the velocity. The parts of a complex number have separate gains.

    Args:
      increase: added to a gain where signs agree, at least 0.
      growth: the factor of a gain where signs agree, at least 1.
      shrink: the factor of a gain where signs differ, in [0, 1).
      minimum: the smallest gain, at least 0; the lecture names 0.1 to 10 and 0.01 to 100 as reasonable limits.
      maximum: the largest gain.

    Returns:
      A transformation with a :class:`ScaleByGainsState`. Every number may be a ``jax.Array``, traced or not.

    Raises:
      ValueError: a static number is out of its range; updates have another tree or other shapes than the parameters.
      TypeError: an option is not a number, or a parameter is neither floating-point nor complex.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from rmsprop_optax import scale_by_rms
      >>> tx = optax.chain(scale_by_rms(), scale_by_gains(), optax.scale_by_learning_rate(0.01), optax.trace(0.9))
      >>> state = tx.init(jnp.zeros(2))
      >>> for g in (jnp.array([1.0, 1.0]), jnp.array([1.0, -1.0])):
      ...     updates, state = tx.update(g, state)
      >>> [round(float(gain), 2) for gain in optax.tree.get(state, "gain")]
      [1.05, 0.95]

    Source:
      Hinton, Neural Networks for Machine Learning, lecture 6.4, "Adaptive learning rates for each connection", also
      named by lecture 6.5 as a further development of rmsprop; Jacobs, Neural Networks 1, 295 (1988).
    """
    if isinstance(minimum, float) and isinstance(maximum, float) and not minimum <= 1 <= maximum:
        raise ValueError(
            f"1 must lie between minimum and maximum, because gains start from 1, got minimum={minimum} and "
            f"maximum={maximum}: scale the learning rate instead."
        )

    def init(params: optax.Params) -> ScaleByGainsState:
        return ScaleByGainsState(_tree.full(params, 1.0), _tree.full(params, 0, dtype=jnp.int8))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        _tree.state_of(ScaleByGainsState, state)

        def one(u: jax.Array, stored: jax.Array, before: jax.Array) -> tuple[Any, ...]:
            u, gain = _formats.decode(u, stored)
            sign = (u > 0).astype(jnp.int8) - (u < 0).astype(jnp.int8)
            gain = within(adapted(gain, sign * before, increase, growth, shrink), minimum, maximum)
            return gain * u, gain.astype(stored.dtype), sign

        updates, gain, sign = _tree.lift(one, updates, state.gain, state.sign)
        return updates, ScaleByGainsState(gain, sign)

    return _tree.in_float32(per_component(optax.GradientTransformation(init, update)))
