"""The states of ``optax.rmsprop``, in all their shapes.

Each is seen as a state of ours, and the hub does the rest. The file is named after its format; optax itself is
``_optax`` in it.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax as _optax

from rmsprop_optax import _numbers
from rmsprop_optax._momentum import MomentumState
from rmsprop_optax._paths import nodes
from rmsprop_optax._scale import ScaleByRmsState
from rmsprop_optax._types import Tree
from rmsprop_optax.interop import slots as _slots
from rmsprop_optax.interop._shared import float64
from rmsprop_optax.interop.slots import Slots


def read(state: Any, *, decay: Any = None) -> Slots:
    r"""The slots of a state of ``optax.rmsprop``.

    .. math::
      mean\_square = nu / (1 - decay^{count}), \quad mean = mu / (1 - decay^{count}), \quad momentum = -trace

    without the powers where there is no bias correction, and without the sign where ``optax.trace`` stands before the
    learning rate in a chain of the user's.

    Args:
      state: of ``optax.rmsprop`` or of a chain with it, ``optax.scale_by_rms`` or ``scale_by_stddev``, wherever it
        sits: see :func:`rmsprop_optax.interop.read`.
      decay: that of the optimizer, in [0, 1); to be given if and only if it has ``bias_correction=True``.

    Returns:
      The slots. Their count is that of the bias correction or of a schedule, and ``None`` where there is neither, or
        they differ.

    Raises:
      ValueError: the state has no mean square of optax's, or ``decay`` is missing or without a use.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = _optax.rmsprop(0.1, decay=0.75, momentum=0.9)
      >>> _, state = tx.update(jnp.array([4.0]), tx.init(jnp.zeros(1)))
      >>> slots = read(state)
      >>> float(slots.mean_square[0]), round(float(slots.momentum[0]), 4), slots.lr_in_momentum
      (4.0, 0.2, True)

    Source:
      google-deepmind/optax 0.2.8: optax/_src/transform.py, optax/_src/alias.py.
    """
    return _slots.read(_ours(state, decay))


def write(like: Any, slots: Slots, *, decay: Any = None, learning_rate: Any = None) -> Any:
    """A state of ``optax.rmsprop`` with the slots' numbers, the inverse of :func:`read`.

    Args:
      like: ``optax.rmsprop(…).init(params)``, which decides structure, dtypes and shardings.
      slots: trees with the names of the parameters.
      decay: as in :func:`read`; the slots need a count then.
      learning_rate: as in :func:`rmsprop_optax.interop.write`.

    Returns:
      A new tree like ``like``.

    Raises:
      ValueError: as :func:`read` and :func:`rmsprop_optax.interop.write` do.

    Example:
      >>> import jax.numpy as jnp
      >>> slots = Slots({"w": np.array([4.0])}, momentum={"w": np.array([0.5])}, count=100)
      >>> write(_optax.rmsprop(0.1, momentum=0.9).init({"w": jnp.zeros(1)}), slots)[2]
      TraceState(trace={'w': Array([-0.5], dtype=float32)})

    Source:
      google-deepmind/optax 0.2.8: optax/_src/transform.py, optax/_src/alias.py.
    """
    if decay is not None and slots.count is None:
        raise ValueError(
            "bias correction needs the number of steps, got slots with count=None: slots._replace(count=…)."
        )
    decay = _check(like, decay)
    return _theirs(_slots.write(_shell(like), slots, learning_rate=learning_rate), like, decay, slots.count)


@functools.cache
def _kinds() -> tuple[type[Any], ...]:
    """The states of optax's mean squares, of which two have no public name."""
    options = [{"centered": c, "bias_correction": b} for c in (False, True) for b in (False, True)]
    return tuple(type(_optax.rmsprop(1.0, **option).init(np.zeros(1))[0]) for option in options)


def _map(moments: Any, trace: Any, state: Any, *others: Any) -> Any:
    """The tree with ``moments`` and ``trace`` called for optax's states."""

    def one(node: Any, *rest: Any) -> Any:
        if type(node) in _kinds():
            return moments(node, *rest)
        return trace(node, *rest) if type(node) is _optax.TraceState else (node, *rest)[-1]

    return jax.tree.map(one, state, *others, is_leaf=lambda x: type(x) in (*_kinds(), _optax.TraceState))


def _check(state: Any, decay: Any) -> Any:
    moments = [node for kind in _kinds() for node in nodes(state, kind)]
    if not moments:
        raise ValueError(
            "a state of optax.rmsprop must be somewhere in it, got none: interop.read and interop.write are for states "
            "of this package."
        )
    corrected = any(map(_is_corrected, moments))
    if corrected != (decay is not None):
        raise ValueError(
            "decay belongs to bias_correction=True, where moments are divided by 1 - decay^count, got "
            f"decay={decay} for a state {'with' if corrected else 'without'} it: {'give' if corrected else 'drop'} it."
        )
    return None if decay is None else _numbers.check("decay", decay)


def _is_corrected(node: Any) -> bool:
    return "count" in node._fields  # hasattr finds tuple.count


def _weight(decay: Any, count: Any) -> float:
    """What the gradients seen so far weigh together; before the first one moments are 0, whatever divides them."""
    return -math.expm1(int(count) * math.log(decay)) if decay and count else 1.0


def _sign(state: Any) -> float:
    """The sign of the buffers: ``optax.scale_by_learning_rate``, which turns it, mostly stands before them."""
    return 1.0 if _slots.lr_in_momentum(_shell(state)) is False else -1.0


def _ours(state: Any, decay: Any) -> Any:
    """A state of ours with the numbers of optax's."""
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
        variance = jax.tree.map(lambda n, m: n - abs(m) ** 2, nu, mu)
        return ScaleByRmsState(count, variance, mu)

    def trace(node: Any) -> MomentumState:
        return MomentumState(agreed, jax.tree.map(lambda b: sign * b, node.trace))

    with jax.enable_x64(True):
        return _map(moments, trace, state)


def _shell(like: Any) -> Any:
    """A state of ours with the shapes and shardings of optax's, in float64."""

    def empty(x: Any) -> jax.ShapeDtypeStruct:
        sharding = x.sharding if getattr(x, "committed", True) else None
        return jax.ShapeDtypeStruct(x.shape, np.promote_types(x.dtype, np.float64), sharding=sharding)

    def moments(node: Any) -> ScaleByRmsState:
        nu = jax.tree.map(lambda x: empty(x).update(dtype=np.float64), node.nu)
        mu = jax.tree.map(empty, node.mu) if hasattr(node, "mu") else None
        return ScaleByRmsState(node.count if _is_corrected(node) else none, nu, mu)

    none: Any = None
    return _map(moments, lambda node: MomentumState(none, jax.tree.map(empty, node.trace)), like)


def _theirs(ours: Any, like: Any, decay: Any, count: Any) -> Any:
    """A state of optax's with the numbers of ours."""
    sign, weight = _sign(like), _weight(decay, count)

    def cast(function: Callable[..., Any], olds: Tree, *news: Tree) -> Tree:
        return jax.tree.map(lambda old, *x: function(*x).astype(old.dtype), olds, *news)

    def moments(old: Any, new: Any) -> Any:
        changed = {"count": new.count} if _is_corrected(old) else {}
        if hasattr(old, "mu"):
            changed["mu"] = cast(lambda m: m * weight, old.mu, new.mu)
            changed["nu"] = cast(lambda n, m: (n + abs(m) ** 2) * weight, old.nu, new.nu, new.mu)
        else:
            changed["nu"] = cast(lambda n: n * weight, old.nu, new.nu)
        return old._replace(**changed)

    def trace(old: Any, new: Any) -> Any:
        return old._replace(trace=cast(lambda b: sign * b, old.trace, new.trace))

    with jax.enable_x64(True):
        return _map(moments, trace, like, ours)
