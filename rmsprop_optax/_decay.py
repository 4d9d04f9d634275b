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
    """
    if weight_decay is None:
        return None
    # optax.inject_hyperparams calls a mask function as if it were a schedule and passes the result.
    if isinstance(mask, int | float | jax.Array):
        raise TypeError(
            f"{name}_mask must be a tree of bools or a function of the parameters, got {mask!r}: leave it out to decay "
            "all, and name a function in static_args of optax.inject_hyperparams."
        )

    def decayed(updates: Any, params: Any, *factors: Any) -> Any:
        if params is None:
            raise ValueError("weight decay needs the parameters, got params=None: call update(grads, state, params).")

        def one(u: jax.Array, p: Any) -> tuple[Any, ...]:
            return u + math.prod(_numbers.cast(factor, u.dtype) for factor in factors) * jnp.asarray(p, u.dtype), p

        chosen = mask(params) if callable(mask) else mask
        if chosen is None:
            return _tree.lift(one, updates, params)[0]
        _check_mask(f"{name}_mask", chosen, params)
        return jax.tree.map(lambda yes, u, p: _tree.lift(one, u, p)[0] if yes else u, chosen, updates, params)

    return _tree.scheduled((weight_decay, *times), WeightDecayState, decayed)


def _check_mask(name: str, mask: Any, params: optax.Params) -> None:
    mend = "give a tree of bools that is a prefix of the parameters, or a function of them that returns one"
    for leaf in jax.tree.leaves(mask):
        if not isinstance(leaf, bool | np.bool_):
            raise TypeError(f"{name} must be made of bools, got {leaf!r} in it: {mend}.")
    try:
        jax.tree.map(lambda yes, p: None, mask, params)
    except ValueError as error:
        raise ValueError(f"{name} must fit the parameters, got: {str(error).splitlines()[0]}; {mend}.") from error
