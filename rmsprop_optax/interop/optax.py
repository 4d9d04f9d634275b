"""The states of ``optax.rmsprop``, with any of its options.

A state of optax is converted to a state of this package, which :mod:`rmsprop_optax.interop.slots` reads and writes.
This module is named optax, so it imports the package as ``_optax``.

Source: optax 0.2.8 (optax/_src/transform.py, alias.py).
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax as _optax

from rmsprop_optax import _nnx, _numbers
from rmsprop_optax._momentum import MomentumState
from rmsprop_optax._paths import name_of, nodes
from rmsprop_optax._scale import ScaleByRmsState
from rmsprop_optax._types import Number, Tree
from rmsprop_optax.interop import slots as _slots
from rmsprop_optax.interop._counted import KINDS
from rmsprop_optax.interop._shared import abs_sq, float64, sharding_of
from rmsprop_optax.interop.slots import Slots


def read(state: Tree, *, decay: Number | None = None) -> Slots:
    r"""The slots of a state of ``optax.rmsprop``.

    .. math::
      mean\_square = nu / (1 - decay^{count}), \quad mean = mu / (1 - decay^{count}), \quad momentum = -trace

    Without bias correction, the divisors are 1. The sign is positive if ``optax.trace`` precedes the learning rate in
    your own chain.

    Args:
      state: the state of ``optax.rmsprop``, ``optax.scale_by_rms`` or ``optax.scale_by_stddev``, or of a chain with one
        of them, at any depth of a tree; also an ``nnx.Optimizer`` or its ``nnx.state``, which holds no types: Adam's
        moments in it look like those of a centered RMSprop.
      decay: the optimizer's, in [0, 1): needed with ``bias_correction=True``, and only then.

    Returns:
      The slots. ``count`` is the count of the bias correction or of a schedule; ``None`` if the state has no count, or
      several that differ.

    Raises:
      ValueError: the state has no mean square of optax, or ``decay`` is missing or not needed.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = _optax.rmsprop(0.1, decay=0.75, momentum=0.9)
      >>> _, state = tx.update(jnp.array([4.0]), tx.init(jnp.zeros(1)))
      >>> slots = read(state)
      >>> float(slots.mean_square[0]), round(float(slots.momentum[0]), 4), slots.lr_in_momentum
      (4.0, 0.2, True)
    """
    return _slots.read(_ours(_nnx.typed(state, *_states()), decay))


def write(like: Tree, slots: Slots, *, decay: Number | None = None, learning_rate: float | Tree | None = None) -> Tree:
    """A state of ``optax.rmsprop`` with the numbers of the slots, the inverse of :func:`read`.

    Args:
      like: ``optax.rmsprop(…).init(params)``, which gives structure, dtypes and shardings; also an ``nnx.Optimizer``
        or its ``nnx.state``.
      slots: trees whose leaves have the names of the parameters.
      decay: the optimizer's, in [0, 1): needed with ``bias_correction=True``, and only then. The slots must then have a
        count.
      learning_rate: the rate of the last step, needed if the momentum buffer of only one side holds the rate.

    Returns:
      A new tree like ``like``; an ``nnx.Optimizer`` is changed in place and returned.

    Raises:
      ValueError: ``like`` has no mean square of optax; a slot or a leaf is missing or left over; a shape differs; or
        ``decay``, the count or the learning rate is missing or not needed.

    Example:
      >>> import jax.numpy as jnp
      >>> slots = Slots({"w": np.array([4.0])}, momentum={"w": np.array([0.5])}, count=100)
      >>> write(_optax.rmsprop(0.1, momentum=0.9).init({"w": jnp.zeros(1)}), slots)[2]
      TraceState(trace={'w': Array([-0.5], dtype=float32)})
    """
    if decay is not None and slots.count is None:
        raise ValueError(
            "slots must have a count for bias correction, got count=None: set it with slots._replace(count=…)."
        )

    def convert(like: Any) -> Any:
        checked = _check(like, decay)
        ours = _slots.write(_shell(like), slots, learning_rate=learning_rate)
        return _theirs(ours, like, checked, slots.count)

    return _nnx.written(convert, like, *_states())


@functools.cache
def _kinds() -> tuple[type[Any], ...]:
    """The types of optax's states with a mean square; two of them have no public name."""
    options = [{"centered": c, "bias_correction": b} for c in (False, True) for b in (False, True)]
    return tuple(type(_optax.rmsprop(1.0, **option).init(np.zeros(1))[0]) for option in options)


def _states() -> tuple[Any, ...]:
    """State types to look for in an ``nnx.State``."""
    return (*_kinds(), _optax.TraceState, *KINDS)


def _map(moments: Any, trace: Any, state: Any, *others: Any) -> Any:
    """Replace optax's states in a tree: mean squares by ``moments(state)``, buffers by ``trace(state)``."""

    def one(node: Any, *rest: Any) -> Any:
        if type(node) in _kinds():
            return moments(node, *rest)
        return trace(node, *rest) if type(node) is _optax.TraceState else (node, *rest)[-1]

    return jax.tree.map(one, state, *others, is_leaf=lambda x: type(x) in (*_kinds(), _optax.TraceState))


def _check(state: Any, decay: Any) -> Any:
    moments = [node for kind in _kinds() for node in nodes(state, kind)]
    if not moments:
        raise ValueError(
            "the tree must contain a state of optax.rmsprop, got none: use interop.read and interop.write for states "
            "of this package."
        )
    corrected = any(map(_is_corrected, moments))
    if corrected != (decay is not None):
        raise ValueError(
            "decay must be given if and only if the state has bias correction, got "
            f"decay={decay} for a state {'with' if corrected else 'without'} it: {'give' if corrected else 'drop'} it."
        )
    return None if decay is None else _numbers.check("decay", decay)


def _is_corrected(node: Any) -> bool:
    return "count" in node._fields  # hasattr finds tuple.count


def _weight(decay: Any, count: Any) -> float:
    """``1 − decay^count``, the sum of the gradients' weights; 1 without bias correction and before the first step."""
    steps = 0 if count is None else int(count)  # an nnx.Variable has no truth value
    return -math.expm1(steps * math.log(decay)) if decay and steps else 1.0


def _sign(state: Any) -> float:
    """The sign of the buffers: −1, or 1 if ``optax.scale_by_learning_rate`` follows them and turns the sign."""
    return 1.0 if _slots.lr_in_momentum(_shell(state)) is False else -1.0


def _ours(state: Any, decay: Any) -> Any:
    """A state of this package with the numbers of optax's state."""
    decay, sign = _check(state, decay), _sign(state)
    counts = {int(count) for _, count in _optax.tree.get_all_with_path(state, "count")}
    agreed: Any = counts.pop() if len(counts) == 1 else None

    def moments(node: Any) -> ScaleByRmsState:
        count: Any = node.count if _is_corrected(node) else agreed
        weight = _weight(decay, count)
        nu = jax.tree.map(lambda x: float64(x.real) / weight, node.nu)
        if not hasattr(node, "mu"):
            exact = jax.tree.map(lambda x: x.real.astype(_numbers.real(_numbers.wide(x.dtype))), node.nu)
            return ScaleByRmsState(count, nu if _is_corrected(node) else exact)
        mu = jax.tree.map(lambda x: float64(x) / weight, node.mu)
        variance = jax.tree.map(lambda n, m: n - abs_sq(m), nu, mu)
        return ScaleByRmsState(count, variance, mu)

    def trace(node: Any) -> MomentumState:
        return MomentumState(agreed, jax.tree.map(lambda b: sign * b, node.trace))

    with jax.enable_x64(True):
        return _map(moments, trace, state)


def _shell(like: Any) -> Any:
    """A state of this package with the shapes and shardings of optax's state, in float64."""

    def empty(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, np.promote_types(x.dtype, np.float64), sharding=sharding_of(x))

    def moments(node: Any) -> ScaleByRmsState:
        nu = jax.tree.map(lambda x: empty(x).update(dtype=np.float64), node.nu)
        mu = jax.tree.map(empty, node.mu) if hasattr(node, "mu") else None
        return ScaleByRmsState(node.count if _is_corrected(node) else none, nu, mu)

    none: Any = None
    return _map(moments, lambda node: MomentumState(none, jax.tree.map(empty, node.trace)), like)


def _theirs(ours: Any, like: Any, decay: Any, count: Any) -> Any:
    """A state of optax with the numbers of a state of this package."""
    sign, weight = _sign(like), _weight(decay, count)

    def cast(slot: str, function: Callable[..., Any], olds: Tree, *news: Tree) -> Tree:
        def leaf(path: Any, old: Any, *x: Any) -> Any:
            new = function(*x).astype(old.dtype)
            if not np.isfinite(new).all():  # the numbers were checked against float64
                raise ValueError(
                    f"the {slot} of {name_of(path)} must fit into {old.dtype}, got numbers above "
                    f"{jnp.finfo(old.dtype).max:g}: create the state from parameters in a wider dtype."
                )
            return new

        return jax.tree.map_with_path(leaf, olds, *news)

    def moments(old: Any, new: Any) -> Any:
        changed = {"count": new.count} if _is_corrected(old) else {}
        if hasattr(old, "mu"):
            changed["mu"] = cast("mean", lambda m: m * weight, old.mu, new.mu)
            changed["nu"] = cast("mean_square", lambda n, m: (n + abs_sq(m)) * weight, old.nu, new.nu, new.mu)
        else:
            changed["nu"] = cast("mean_square", lambda n: n * weight, old.nu, new.nu)
        return old._replace(**changed)

    def trace(old: Any, new: Any) -> Any:
        return old._replace(trace=cast("momentum", lambda b: sign * b, old.trace, new.trace))

    with jax.enable_x64(True):
        return _map(moments, trace, like, ours)
