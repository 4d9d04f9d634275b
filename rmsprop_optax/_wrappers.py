"""What turns a whole optimizer, a dialect or a chain, into one that keeps or returns its numbers otherwise."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import storage as _storage
from rmsprop_optax._momentum import MomentumState
from rmsprop_optax._scale import ScaleByRmsState


def with_storage(
    tx: optax.GradientTransformation, storage: Any = "uint8", *, momentum_storage: Any = "float32"
) -> optax.GradientTransformationExtraArgs:
    """Let any optimizer of ours keep its mean squares, and its momentum, in fewer bytes.

    For a dialect, a recipe, or a chain with one; :func:`rmsprop` and :func:`scale_by_rms` have arguments for it. Only
    ``init`` differs: a state is recognised by its dtype from then on.

    Args:
      tx: the optimizer.
      storage: one of :data:`rmsprop_optax.storage.FORMATS`, or a tree of them, a prefix of the parameters', or a
        :class:`rmsprop_optax.storage.PerLeaf`.
      momentum_storage: likewise; what holds negative numbers.

    Returns:
      The transformation.

    Raises:
      ValueError: a format is unknown or does not fit; at ``init``, the optimizer has no mean square.

    Example:
      >>> from rmsprop_optax import dialects
      >>> tx = with_storage(dialects.pytorch(momentum=0.9), "uint8", momentum_storage="bfloat16")
      >>> state = tx.init(jnp.zeros(3))
      >>> str(optax.tree.get(state, "nu").dtype), str(optax.tree.get(state, "trace").dtype)
      ('uint8', 'bfloat16')
    """
    _storage.check(storage)
    _storage.check(momentum_storage, name="momentum_storage", signed=True)
    tx = optax.with_extra_args_support(tx)
    found: Any = (ScaleByRmsState, MomentumState)

    def convert(state):
        if isinstance(state, ScaleByRmsState):
            return state._replace(nu=_storage.coded(state.nu, storage))
        if isinstance(state, MomentumState):
            trace = _storage.coded(state.trace, momentum_storage, name="momentum_storage", signed=True)
            return state._replace(trace=trace)
        return state

    def init(params):
        state = tx.init(params)
        leaves = jax.tree.leaves(state, is_leaf=lambda s: isinstance(s, found))
        if not any(isinstance(s, ScaleByRmsState) for s in leaves):
            raise ValueError("the optimizer must hold a mean square of this package, got one without any.")
        return jax.tree.map(convert, state, is_leaf=lambda s: isinstance(s, found))

    return optax.GradientTransformationExtraArgs(init, tx.update)


def float32_updates(tx: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Let an optimizer return updates in float32 for gradients in bfloat16 or float16.

    ``optax.apply_updates`` adds them in float32 and rounds once, to the parameter's dtype, instead of twice. For
    bfloat16 parameters on a TPU it is also what makes the step a single pass: a v5e then moves 8 bytes a parameter with
    the mean square in uint8, 10 in bfloat16, where updates in bfloat16 take a second pass and 27 or 38.

    Args:
      tx: the optimizer; an update of ours has the dtype of the gradient that comes in.

    Returns:
      The transformation.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx = float32_updates(rmsprop(0.1))
      >>> updates, state = tx.update(jnp.ones(2, jnp.bfloat16), tx.init(jnp.ones(2, jnp.bfloat16)))
      >>> str(updates.dtype)
      'float32'
    """

    def wide(updates, params):
        del params
        return jax.tree.map(lambda u: u.astype(jnp.promote_types(u.dtype, jnp.float32)), updates)

    return optax.with_extra_args_support(optax.chain(optax.stateless(wide), tx))
