"""Weight decay, coupled or decoupled: where it stands in the chain is the difference."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import _numbers, _tree


class WeightDecayState(NamedTuple):
    """The state of a scheduled decay.

    Attributes:
      count: int32 scalar, the number of updates so far.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax's states


def add_weight_decay(
    option: str, weight_decay: Any, *, name: str | None = None, times: tuple = (), mask: Any = None
) -> optax.GradientTransformation:
    """``u + weight_decay(t)·times(t)·p``; nothing at all where ``weight_decay`` is off.

    Before the mean square it is L2 regularisation; after the learning rate, times that rate, decoupled weight decay.
    ``optax.add_decayed_weights`` does the same for Python numbers; this one also takes traced numbers under strict
    promotion, and its mask sees the parameters as they are.

    Args:
      option: ``"l2"`` or ``"weight_decay"``.
      name: what the user calls it, where that differs.
      weight_decay: at least 0; a number, traced or not, or a schedule of the step count.
      times: what the decay is multiplied by, numbers or schedules likewise.
      mask: a tree of bools, or a prefix of one, or a function of the parameters that returns it.

    Raises:
      ValueError: a static number is out of its range; ``update`` is called without parameters, or with others.
      TypeError: an option is of the wrong type.
    """
    if _numbers.is_off(weight_decay):
        return optax.identity()
    if isinstance(mask, int | float | jax.Array):
        raise TypeError(
            f"{name or option}_mask must be a tree of bools or a function of the parameters, got {mask!r}: "
            "optax.inject_hyperparams takes any function for a schedule, unless static_args names it."
        )
    factors = (_numbers.check(option, weight_decay, name=name, schedule=True), *times)
    scheduled = any(map(callable, factors))

    def init(params):
        del params
        return WeightDecayState(jnp.zeros([], jnp.int32)) if scheduled else optax.EmptyState()

    def update(updates, state, params=None):
        if params is None:
            raise ValueError(
                "weight decay needs the parameters, got params=None: call update(grads, state, params). (Under "
                "optax.inject_hyperparams a decay of 0 is an array like any other: turn it off with static_args.)"
            )
        rates = [f(state.count) if callable(f) else f for f in factors]

        def one(u, p):
            return u + math.prod(_numbers.cast(rate, u.dtype) for rate in rates) * jnp.asarray(p, u.dtype), p

        def decayed(u, p):
            return _tree.lift(one, u, p)[0]

        if mask is None:
            updates = decayed(updates, params)
        else:
            chosen = mask(params) if callable(mask) else mask
            _check_mask(f"{name or option}_mask", chosen, params)
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
