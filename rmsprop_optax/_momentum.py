"""Heavy-ball and Nesterov momentum, with the buffer in float32 or wider."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers, _tree, storage


def momentum_buffer(momentum: Any, *, nesterov: bool = False) -> optax.GradientTransformation:
    """``b = momentum·b + x``, and ``momentum·b + x`` once more for Nesterov; ``b`` is kept in an ``optax.TraceState``.

    ``optax.trace`` is the same for a Python number and a float32 parameter; this one also takes a traced number under
    strict promotion, and keeps the buffer's dtype whatever the gradient's. Nothing at all where ``momentum`` is off.
    """
    if _numbers.is_off(momentum):
        return optax.identity()
    momentum = _numbers.check("momentum", momentum)

    def init(params: optax.Params) -> optax.TraceState:
        return optax.TraceState(_tree.full(params, 0.0))

    def update(updates, state, params=None):
        del params

        def one(x, stored):
            x, b = storage.decode(x, stored)
            b = _heavy_ball(b, x, momentum)
            return (_heavy_ball(b, x, momentum) if nesterov else b), *storage.encode((b,), (stored,))

        updates, trace = _tree.lift(one, updates, state.trace)
        return updates, optax.TraceState(trace)

    return optax.GradientTransformation(init, update)


def _heavy_ball(b: jax.Array, x: jax.Array, momentum: Any) -> jax.Array:
    return _numbers.cast(momentum, jnp.result_type(b)) * b + x
