"""Weight decay, coupled or decoupled: where it stands in the chain is the difference."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers


class DecayState(NamedTuple):
    """The state of a scheduled decay.

    Attributes:
      count: int32 scalar, the number of updates so far.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax's states


def add_decay(name: str, decay: Any, *, times: Any = 1.0, mask: Any = None) -> optax.GradientTransformation:
    """``u + times(t)·decay(t)·p``; nothing at all where ``decay`` is off.

    Before the mean square it is L2 regularisation; after the learning rate, with that rate as ``times``, decoupled
    weight decay. ``optax.add_decayed_weights`` does the same for Python numbers; this one also takes a traced number
    under strict promotion.

    Args:
      name: what the user calls the decay.
      decay: at least 0; a number, traced or not, or a schedule of the step count.
      times: what the decay is multiplied by, likewise.
      mask: as in ``optax.masked``: a tree of bools or a function of the parameters that returns one.

    Raises:
      ValueError: a static number is out of its range; ``update`` is called without parameters.
    """
    if _numbers.is_off(decay):
        return optax.identity()
    rate = _numbers.product(times, _numbers.check(name, decay, schedule=True))

    def init(params):
        del params
        return DecayState(jnp.zeros([], jnp.int32)) if callable(rate) else optax.EmptyState()

    def update(updates, state, params=None):
        if params is None:
            raise ValueError(
                "weight decay needs the parameters, got params=None: call update(grads, state, params). (Under "
                "optax.inject_hyperparams a decay of 0 is an array like any other: turn it off with static_args.)"
            )
        now = _numbers.at(rate, state.count) if callable(rate) else rate
        updates = jax.tree.map(
            lambda u, p: None if u is None else u + _numbers.cast(now, u.dtype) * p.astype(u.dtype),
            updates,
            params,
            is_leaf=lambda u: u is None,
        )
        return updates, DecayState(optax.safe_increment(state.count)) if callable(rate) else state

    tx = optax.GradientTransformation(init, update)
    return tx if mask is None else optax.masked(tx, mask)
