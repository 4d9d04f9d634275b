"""Weight decay, coupled or decoupled: its place in the chain is the difference."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import _numbers, _tree
from rmsprop_optax._types import Mask


class WeightDecayState(NamedTuple):
    """The state of a scheduled decay.

    Attributes:
      count: int32 scalar, the number of updates so far.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax's states


def add_weight_decay(
    weight_decay: Any, *, times: tuple[Any, ...] = (), mask: Mask = None, name: str = "weight_decay"
) -> optax.GradientTransformation | None:
    """``u + weight_decay(t)·times(t)·p``; ``None`` where ``weight_decay`` is.

    Before the mean square it is L2 regularisation; after the learning rate, times that rate, decoupled weight decay.
    ``optax.add_decayed_weights`` does the same for Python numbers; this one also takes traced numbers under strict
    promotion, and its mask sees the parameters as they are.

    ``weight_decay`` and its factors ``times`` are numbers or schedules of the step count, checked before.
    """
    if weight_decay is None:
        return None
    # A function that optax.inject_hyperparams takes for a schedule arrives as its value, too.
    if isinstance(mask, int | float | jax.Array):
        raise TypeError(
            f"{name}_mask must be a tree of bools or a function of the parameters, got {mask!r}: leave it out to decay "
            "all, and name a function in static_args of optax.inject_hyperparams."
        )
    factors = (weight_decay, *times)
    scheduled = any(map(callable, factors))

    def init(params: Any) -> Any:
        del params
        return WeightDecayState(jnp.zeros([], jnp.int32)) if scheduled else optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        _tree.state_of(WeightDecayState if scheduled else optax.EmptyState, state)
        if params is None:
            raise ValueError("weight decay needs the parameters, got params=None: call update(grads, state, params).")
        rates = [f(state.count) if callable(f) else f for f in factors]

        def one(u: jax.Array, p: Any) -> tuple[Any, ...]:
            return u + math.prod(_numbers.cast(rate, u.dtype) for rate in rates) * jnp.asarray(p, u.dtype), p

        def decayed(u: Any, p: Any) -> Any:
            return _tree.lift(one, u, p)[0]

        if mask is None:
            updates = decayed(updates, params)
        else:
            chosen = mask(params) if callable(mask) else mask
            _check_mask(f"{name}_mask", chosen, params)
            updates = jax.tree.map(lambda yes, u, p: decayed(u, p) if yes else u, chosen, updates, params)
        return updates, WeightDecayState(optax.safe_increment(state.count)) if scheduled else state

    return optax.GradientTransformation(init, update)


def _check_mask(name: str, mask: Any, params: optax.Params) -> None:
    mend = "give a tree of bools that is a prefix of the parameters, or a function of them that returns one"
    for leaf in jax.tree.leaves(mask):
        if not isinstance(leaf, bool | np.bool_):
            raise TypeError(f"{name} must be made of bools, got {leaf!r} in it: {mend}.")
    try:
        jax.tree.map(lambda yes, p: None, mask, params)
    except ValueError as error:
        raise ValueError(f"{name} must fit the parameters, got: {str(error).splitlines()[0]}; {mend}.") from error
