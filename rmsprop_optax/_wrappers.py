"""What turns a whole optimizer, a dialect or a chain, into one that keeps or returns its numbers otherwise."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers, _tree
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
    tx = optimizer(tx)
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
        return jax.tree.map(lambda u: u.astype(_numbers.wide(u.dtype)), updates)

    return optax.with_extra_args_support(optax.chain(optax.stateless(wide), optimizer(tx)))


def optimizer(tx: Any) -> optax.GradientTransformationExtraArgs:
    """What is to be wrapped, which takes extra arguments then.

    Raises:
      TypeError: it is no transformation.
    """
    if not isinstance(tx, optax.GradientTransformation):
        raise TypeError(
            f"what is wrapped must be an optax.GradientTransformation, got {tx!r}: call its constructor, as in "
            "rmsprop(0.1), or .gradient_transformation() of an optax.MultiSteps."
        )
    return optax.with_extra_args_support(tx)


class RemainderState(NamedTuple):
    """The state of :func:`with_remainder`.

    Attributes:
      remainder: int16 for each bfloat16 parameter, what its rounding dropped, in units of the last place of a float32;
        ``None`` for the others.
      inner: the optimizer's.
    """

    remainder: Any
    inner: Any


def with_remainder(tx: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    r"""Train bfloat16 parameters as if they were float32.

    A step that is less than half the last place of a bfloat16, 1/512 of the parameter, is lost when it is added. Here
    the parameter and 16 more bits beside it in the state make a float32 together:

    .. math::
      m_t = p_t + remainder_t, \qquad m_{t+1} = m_t + u_t(m_t), \qquad p_{t+1} = round(m_{t+1})

    That is 4 bytes a parameter where a float32 copy of them takes 6, and the gradients are those of the rounded
    parameters. Updates leave in float32, such that ``optax.apply_updates`` lands on the rounded ones; nothing may
    change them on the way. Parameters of another dtype are left to the optimizer.

    Args:
      tx: the optimizer; it sees gradients and parameters in float32.

    Returns:
      The transformation, with a :class:`RemainderState`.

    Raises:
      ValueError: ``update`` is called without parameters.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> params = jnp.ones(1, jnp.bfloat16)
      >>> tx = with_remainder(rmsprop(1e-4, decay=0.0))
      >>> state = tx.init(params)
      >>> for _ in range(20):  # each is a 20th of what moves a bfloat16 of 1
      ...     updates, state = tx.update(jnp.ones(1, jnp.bfloat16), state, params)
      ...     with jax.numpy_dtype_promotion("standard"):
      ...         params = optax.apply_updates(params, updates)
      >>> float(params[0])
      0.99609375

    Source:
      The split of a float32 into a bfloat16 and 16 bits is known from mixed precision training; the rounding half away
      from 0 makes the remainder fit an int16.
    """
    tx = optimizer(tx)

    def init(params):
        remainder = jax.tree.map(lambda p: jnp.zeros_like(p, dtype=jnp.int16) if _is_short(p) else None, params)
        return RemainderState(remainder, tx.init(params))

    def update(updates, state, params=None, **extra_args):
        if params is None:
            raise ValueError("a remainder needs the parameters, got params=None: call update(grads, state, params).")
        _tree.state_of(RemainderState, state)
        treedef: Any = jax.tree.structure(params)
        rests = _tree.alike(treedef, state.remainder)
        old = jax.tree.leaves(params)
        whole = [p if r is None else _whole(p, r) for p, r in zip(old, rests, strict=True)]
        wide = jax.tree.map(lambda g: g.astype(jnp.float32) if _is_short(g) else g, updates)
        steps, inner = tx.update(wide, state.inner, jax.tree.unflatten(treedef, whole), **extra_args)
        rows = zip(old, whole, treedef.flatten_up_to(steps), rests, strict=True)
        moved = [(u, r) if r is None or u is None else _split(p, m + u) for p, m, u, r in rows]
        updates, remainder = ([pair[i] for pair in moved] for i in range(2))
        return jax.tree.unflatten(treedef, updates), RemainderState(jax.tree.unflatten(treedef, remainder), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def _is_short(x: Any) -> bool:
    return getattr(x, "dtype", None) == jnp.bfloat16


_MAGNITUDE = 0x7FFFFFFF


def _bits(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.int32)


def _float(bits: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _whole(p: jax.Array, remainder: jax.Array) -> jax.Array:
    """The float32 of a bfloat16 and its remainder, which counts in magnitude."""
    return _float(_bits(p) + remainder.astype(jnp.int32))


def _split(p: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The update that takes ``p`` to ``m`` rounded, and what is left of ``m`` where it lands."""
    rounded = jnp.where(jnp.isnan(m), m, _float((_bits(m) + 0x8000) & -0x10000))
    u = rounded - p.astype(jnp.float32)
    landed = (p.astype(jnp.float32) + u).astype(p.dtype)
    rest = (_bits(m) & _MAGNITUDE) - (_bits(landed) & _MAGNITUDE)
    # By way of a float32, as in storage.py: XLA:TPU fuses this result with the others only so.
    shifted = jnp.clip(rest, -0x8000, 0x7FFF) + 0x8000
    return u, (_float(shifted | 0x4B000000) - (2.0**23 + 0x8000)).astype(jnp.int16)
