"""Optimizers for bfloat16 parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers, _tree
from rmsprop_optax._arguments import optimizer
from rmsprop_optax._formats import from_bits, to_bits
from rmsprop_optax._types import Tree


def float32_updates(tx: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Let an optimizer return updates in float32 for gradients in bfloat16 or float16.

    ``optax.apply_updates`` then adds in float32 and rounds once, to the parameter's dtype, instead of twice. For
    bfloat16 parameters on a TPU the step also becomes a single pass: a v5e moves 8 bytes a parameter with the mean
    square in uint8 and 10 in bfloat16. Updates in bfloat16 need a second pass and 27 or 38 bytes.

    Args:
      tx: any optimizer; ``init`` and ``update`` pass it gradients and parameters in float32 or wider.

    Returns:
      The transformation.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx = float32_updates(rmsprop(0.1))
      >>> updates, state = tx.update(jnp.ones(2, jnp.bfloat16), tx.init(jnp.ones(2, jnp.bfloat16)))
      >>> str(updates.dtype)
      'float32'
    """
    tx = optimizer(tx)

    def init(params: optax.Params) -> optax.OptState:
        return tx.init(_widened(params))

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None, **extra_args: Any
    ) -> tuple[optax.Updates, optax.OptState]:
        updates, state = tx.update(_widened(updates), state, _widened(params), **extra_args)
        return updates, state

    return optax.GradientTransformationExtraArgs(init, update)


def _widened(tree: Tree, which: Callable[[Any], bool] = lambda x: True) -> Tree:
    """Widen floating-point and complex arrays, also abstract arrays, to float32 or wider; keep other leaves."""

    def leaf(x: Any) -> Any:
        if not hasattr(x, "dtype"):
            raise TypeError(
                f"parameters and gradients must be arrays, got {x!r:.80}: jnp.asarray makes one of a number."
            )
        if not (jnp.issubdtype(x.dtype, jnp.inexact) and which(x)):
            return x
        dtype = _numbers.wide(x.dtype)
        if isinstance(x, jax.ShapeDtypeStruct):
            return jax.ShapeDtypeStruct(x.shape, dtype, sharding=x.sharding)
        return x.astype(dtype)

    return jax.tree.map(leaf, tree)


class RemainderState(NamedTuple):
    """The state of :func:`with_remainder`.

    Attributes:
      remainder: int16 arrays of the shapes of the bfloat16 parameters, ``None`` for the others: the float32 parameter
        minus the bfloat16 parameter, in units of the last place of the float32. Changes with every update.
      inner: the optimizer's state.
    """

    remainder: Tree
    inner: Tree


def with_remainder(tx: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    r"""Train bfloat16 parameters as if they were float32.

    bfloat16 rounds away a step below half the last place, 1/512 of the parameter. This wrapper keeps 16 more bits in
    the state, which make a float32 together with the parameter:

    .. math::
      m_t = p_t + remainder_t, \qquad m_{t+1} = m_t + u_t(m_t), \qquad p_{t+1} = round(m_{t+1})

    Parameter and remainder take 4 bytes; a bfloat16 parameter and its float32 copy take 6. Gradients are those of the
    rounded parameters. Updates are float32, and ``optax.apply_updates`` turns them into the rounded parameters, so no
    other link may change them: this wrapper must be the outermost, ``with_remainder(optax.apply_if_finite(tx, 3))``.
    Parameters of other dtypes are trained without a remainder.

    Args:
      tx: any optimizer; ``init`` and ``update`` pass it float32 in place of bfloat16 gradients and parameters.

    Returns:
      The transformation, with a :class:`RemainderState`.

    Raises:
      ValueError: ``update`` is called without parameters.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> params = jnp.ones(1, jnp.bfloat16)
      >>> tx = with_remainder(rmsprop(1e-4, decay=0.0))
      >>> state = tx.init(params)
      >>> for _ in range(20):  # each step is 1/20 of the smallest that moves a bfloat16 of 1
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

    def init(params: optax.Params) -> RemainderState:
        remainder = jax.tree.map(lambda p: jnp.zeros_like(p, dtype=jnp.int16) if _is_short(p) else None, params)
        return RemainderState(remainder, tx.init(_widened(params, _is_short)))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("a remainder needs the parameters, got params=None: call update(grads, state, params).")
        _tree.state_of(RemainderState, state)
        treedef: Any = jax.tree.structure(params)
        rests = _tree.alike(treedef, state.remainder)
        old = jax.tree.leaves(params)
        whole = [p if r is None else _whole(p, r) for p, r in zip(old, rests, strict=True)]
        wide = _widened(updates, _is_short)
        steps, inner = tx.update(wide, state.inner, jax.tree.unflatten(treedef, whole), **extra_args)
        rows = zip(old, whole, treedef.flatten_up_to(steps), rests, strict=True)
        moved = [(u, r) if r is None or u is None else _split(p, m + u) for p, m, u, r in rows]
        updates, remainder = ([pair[i] for pair in moved] for i in range(2))
        return jax.tree.unflatten(treedef, updates), RemainderState(jax.tree.unflatten(treedef, remainder), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def _is_short(x: Any) -> bool:
    return bool(getattr(x, "dtype", None) == jnp.bfloat16)


_MAGNITUDE = 0x7FFFFFFF


def _whole(p: jax.Array, remainder: jax.Array) -> jax.Array:
    """The float32 of a bfloat16 and its remainder, which counts in magnitude."""
    return from_bits(to_bits(p, jnp.int32) + remainder.astype(jnp.int32))


def _split(p: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The update from ``p`` to the rounded ``m``, and the remainder of ``m``."""
    rounded = jnp.where(jnp.isnan(m), m, from_bits((to_bits(m, jnp.int32) + 0x8000) & -0x10000))
    u = rounded - p.astype(jnp.float32)
    landed = (p.astype(jnp.float32) + u).astype(p.dtype)
    rest = (to_bits(m, jnp.int32) & _MAGNITUDE) - (to_bits(landed, jnp.int32) & _MAGNITUDE)
    # Through a float32, as in _formats.py: otherwise XLA:TPU does not fuse this result with the others.
    shifted = jnp.clip(rest, -0x8000, 0x7FFF) + 0x8000
    return u, (from_bits(shifted | 0x4B000000) - (2.0**23 + 0x8000)).astype(jnp.int16)
