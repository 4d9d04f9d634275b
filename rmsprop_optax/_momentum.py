"""Heavy-ball and Nesterov momentum."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _formats, _numbers, _tree
from rmsprop_optax._types import Storage, Tree


class MomentumState(NamedTuple):
    """The state of a momentum buffer.

    Attributes:
      count: int32 scalar, the number of updates so far.
      trace: arrays like the parameters, float32 or wider unless stored shorter: the buffer. Changes with every update.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax's states
    trace: Tree


def momentum_buffer(
    momentum: Any, *, nesterov: bool = False, storage: Storage = None
) -> optax.GradientTransformation | None:
    """``b = momentum·b + x``, and ``momentum·b + x`` once more for Nesterov; ``None`` where ``momentum`` is.

    ``optax.trace`` is the same for a Python number and a float32 parameter; this one also takes a traced number under
    strict promotion, and keeps the dtype of the buffer whatever the dtype of the gradient.
    """
    _formats.check(storage, signed=True)
    if momentum is None:
        return None

    def init(params: optax.Params) -> MomentumState:
        return MomentumState(jnp.zeros([], jnp.int32), _formats.coded(_tree.full(params, 0.0), storage))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        count = optax.safe_increment(_tree.state_of(MomentumState, state).count)

        def one(x: jax.Array, stored: jax.Array) -> tuple[Any, ...]:
            x, b = _formats.decode(x, stored)
            share = _numbers.cast(momentum, b.dtype)
            b = share * b + x
            return (share * b + x if nesterov else b), *_formats.encode((b,), (stored,), x, count)

        updates, trace = _tree.lift(one, updates, state.trace)
        return updates, MomentumState(count, trace)

    return optax.GradientTransformation(init, update)
