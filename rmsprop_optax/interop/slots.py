"""The state of any RMSprop as :class:`Slots`, the hub between all formats.

Each format is read into slots and written from slots, so no format knows another.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import _formats, _nnx, _numbers
from rmsprop_optax._complex import Components, is_components
from rmsprop_optax._momentum import MomentumState
from rmsprop_optax._paths import name_of, named, nodes, some
from rmsprop_optax._scale import ScaleByRmsState
from rmsprop_optax._types import Tree
from rmsprop_optax.dialects._theano import AdaptiveStepsState
from rmsprop_optax.interop import _plausible
from rmsprop_optax.interop._counted import BUFFERS, KINDS, counted
from rmsprop_optax.interop._shared import abs_sq, float64, is_masked, sharding_of


class Slots(NamedTuple):
    """The state of an optimizer, independent of the framework.

    Each tree has the structure of the parameters; a leaf that the optimizer leaves out is ``optax.MaskedNode()``.

    Attributes:
      mean_square: the running mean of the squared gradients, centered or not, in real arrays. PyTorch treats a complex
        parameter as two real parameters; their mean squares are the two parts of a complex array.
      mean: the running mean of the gradients, or ``None`` if the optimizer is not centered.
      momentum: the buffer that is subtracted from the parameters, or ``None`` without momentum. Checkpoints of optax,
        MXNet and Chainer's ``RMSpropGraves`` hold the buffer with the opposite sign.
      count: the number of steps so far, or ``None`` if a checkpoint has no count.
      lr_in_momentum: ``True`` if the buffer holds the learning rate (TensorFlow, Keras, optax), ``False`` if the buffer
        is multiplied by the rate when it is used (PyTorch), ``None`` without a buffer or if :func:`write` must not
        rescale the buffer.
      gain: the factors of the step rates in ``dialects.climin(…, step_adapt=…)``, else ``None``. Other frameworks'
        formats leave the gains out.
    """

    mean_square: Tree
    mean: Tree = None
    momentum: Tree = None
    count: int | None = None  # type: ignore[assignment]  # hides tuple.count, as in optax's states
    lr_in_momentum: bool | None = None
    gain: Tree = None


def read(state: Tree) -> Slots:
    r"""The slots of a state of this package, at any depth of a tree.

    .. math::
      mean\_square = nu + |mu|^2 \text{ if centered, else } nu

    Args:
      state: the state of :func:`rmsprop_optax.rmsprop`, of a dialect, or of a chain with one of them, also inside
        ``optax.masked``, ``partition``, ``MultiSteps``, ``inject_hyperparams`` or ``apply_if_finite``; or a whole
        ``nnx.Optimizer`` or ``TrainState``; or ``nnx.state(optimizer)``, the same as ``nnx.split(optimizer)[1]``. The
        optimizers of a partition are merged. An ``nnx.State`` holds no types, so Adam's moments in it are read as those
        of a centered RMSprop.

    Returns:
      The slots, in float32 or wider for every storage. A float32 array is shared with the state, not copied. Centered
      moments are NumPy arrays in float64, so that ``mean_square − |mean|²`` restores the variance. The state of other
      links, such as :func:`rmsprop_optax.scale_by_gains`, is left out.

    Raises:
      ValueError: the state has no mean square of this package or has several for one parameter; or its parts differ in
        the count or in ``lr_in_momentum``.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx = rmsprop(0.1, decay=0.5, centered=True, momentum=0.9)
      >>> _, state = tx.update(jnp.array([4.0]), tx.init(jnp.zeros(1)))
      >>> slots = read(state)
      >>> float(slots.mean_square[0]), float(slots.mean[0]), slots.count, slots.lr_in_momentum
      (8.0, 2.0, 1, True)
    """
    state = _nnx.typed(state, *KINDS)
    moments, buffers = nodes(state, ScaleByRmsState), [x for kind in BUFFERS for x in nodes(state, kind)]
    if not moments:
        raise ValueError(
            "state must contain a state of this package, got none: pass the optimizer's state, or use "
            "interop.optax.read for a state of optax.rmsprop."
        )
    counts = {int(count) for s in moments for count in jax.tree.leaves(s.count)}
    if len(counts) > 1:
        raise ValueError(
            f"all parts of a state must have made the same number of steps, got {sorted(counts)}: read each part alone."
        )
    with jax.enable_x64(True):
        means = [_none_of(s.nu) if s.mu is None else _each(float64, s.mu) for s in moments]
        squares = [_each(_formats.decoded, s.nu) if s.mu is None else _each(_mean_square, s.nu, s.mu) for s in moments]
        traces = [_each(_formats.decoded, s.trace) for s in buffers]
        gains = [_each(_formats.decoded, s.gain) for s in nodes(state, AdaptiveStepsState)]
    mean_square, mean = (jax.tree.map(_hosted, _merged(*t)) for t in (("mean_square", squares), ("mean", means)))
    count = counts.pop() if counts else None
    momentum, gain = _merged("momentum", traces), _merged("gain", gains)
    return Slots(mean_square, mean, momentum, count, lr_in_momentum(state), gain)


def write(
    like: Tree,
    slots: Slots,
    *,
    learning_rate: float | Tree | None = None,
    repair: Literal["largest"] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Tree:
    r"""A state with the numbers of the slots, and with the structure, dtypes, storage and shardings of ``like``.

    .. math::
      nu = \max(mean\_square - |mean|^2, 0) \text{ if centered, else } mean\_square

    Every step counter, including those of schedules, gets the count of the slots. All other entries are those of
    ``like``. All slots are checked before the first is written.

    Args:
      like: ``tx.init(params)``; or a ``TrainState``, ``nnx.Optimizer`` or ``nnx.state(optimizer)`` that holds such a
        state; or ``jax.eval_shape(tx.init, params)``, with or without shardings.
      slots: trees whose leaves have the names of the parameters. The containers may differ, such as a dict and an
        ``nnx.State``.
      learning_rate: the rate of the last step, above 0: a number, or a tree of numbers that is a prefix of the
        parameters. Needed if the momentum buffer of only one side holds the rate, and only then.
      repair: ``"largest"`` replaces a mean square that is infinite or too large by the largest number of the format.
        In float32 and bfloat16 the weight then does not move for hundreds of steps at a decay of 0.9 (in optax, with
        an infinite ``nu``, it never moves again). In uint8, which ends at 14336, the weight moves. ``None`` raises.
      progress: called with the bytes of each array of the slots after it is written, for a progress bar.

    Returns:
      A new tree like ``like``, which shares no memory with the slots. An ``nnx.Optimizer`` is changed in place, as by
      its own ``update``, and returned.

    Raises:
      ValueError: a slot or a leaf is missing or left over; a shape differs; a number is NaN, infinite or larger than
        the format holds; a mean square is negative; the count is negative, not whole or larger than int32 holds; or
        the learning rate is missing or not needed. The error names the leaves.

    Example:
      >>> from rmsprop_optax import dialects
      >>> slots = Slots({"w": np.array([4.0])}, momentum={"w": np.array([0.5])}, count=100)
      >>> state = write(dialects.pytorch(momentum=0.9).init({"w": jnp.zeros(1)}), slots)
      >>> optax.tree.get(state, "trace"), read(state).count
      ({'w': Array([0.5], dtype=float32)}, 100)
    """
    if repair not in (None, "largest"):
        raise ValueError(f"repair must be None or 'largest', got {repair!r}.")
    return _nnx.written(lambda typed: _write(typed, slots, learning_rate, repair is not None, progress), like, *KINDS)


def _write(
    like: Tree, slots: Slots, learning_rate: float | Tree | None, repair: bool, progress: Callable[[int], object] | None
) -> Tree:
    slots = rescaled(slots, lr_in_momentum(like), learning_rate)
    count = None if slots.count is None else _plausible.count_of(slots.count)
    given = {slot: named(getattr(slots, slot)) for slot in ("mean_square", "mean", "momentum", "gain")}

    def tree(olds: Tree, function: Callable[..., jax.Array], *slots: str) -> Tree:
        def leaf(path: Any, old: Any) -> Any:
            values = [given[slot][name_of(path)] for slot in slots]
            if isinstance(old, Components):
                parts = ([getattr(v, part) for v in values] for part in Components._fields)
                new: Any = Components(*(_stored(function, o, part) for o, part in zip(old, parts, strict=True)))
            else:
                new = _stored(function, old, values)
            if progress is not None:
                progress(values[0].nbytes)
            return new

        return jax.tree.map_with_path(leaf, olds, is_leaf=is_components)

    def convert(node: Any) -> Any:
        if isinstance(node, ScaleByRmsState) and node.mu is not None:
            moments = {
                "nu": tree(node.nu, _variance, "mean_square", "mean"),
                "mu": tree(node.mu, _as_it_is, "mean"),
            }
        elif isinstance(node, ScaleByRmsState):
            moments = {"nu": tree(node.nu, _finite, "mean_square")}
        elif isinstance(node, AdaptiveStepsState):
            moments = {"trace": tree(node.trace, _as_it_is, "momentum"), "gain": tree(node.gain, _as_it_is, "gain")}
        elif isinstance(node, MomentumState):
            moments = {"trace": tree(node.trace, _as_it_is, "momentum")}
        else:
            return node
        return node._replace(**moments)

    with jax.enable_x64(True):
        _plausible.check(given, _places(like), repair=repair)
        state = jax.tree.map(convert, like, is_leaf=lambda x: isinstance(x, (ScaleByRmsState, *BUFFERS)))
        state = state if count is None else counted(state, count)
    empty = [name for name, x in named(state).items() if isinstance(x, jax.ShapeDtypeStruct)]
    if empty:
        raise ValueError(
            f"slots must fill an abstract state, got nothing for {some(empty)}: pass tx.init(params) as like."
        )
    return state


def _places(like: Any) -> dict[str, list[Tree]]:
    """The trees of a state by the slots that they are written from."""
    moments = nodes(like, ScaleByRmsState)
    if not moments:
        raise ValueError("like must contain a state of this package, got none: pass tx.init(params).")
    return {
        "mean_square": [s.nu for s in moments],
        "mean": [s.mu for s in moments if s.mu is not None],
        "momentum": [s.trace for kind in BUFFERS for s in nodes(like, kind)],
        "gain": [s.gain for s in nodes(like, AdaptiveStepsState)],
    }


def transfer(
    state: Tree,
    like: Tree,
    *,
    learning_rate: float | Tree | None = None,
    repair: Literal["largest"] | None = None,
) -> Tree:
    """Convert a state to other options: momentum, centering, bias correction, another storage or dialect.

    A slot that the old optimizer did not keep starts as in ``like``.

    Args:
      state: the state of the old optimizer, as :func:`read` takes it.
      like: ``init(params)`` of the new optimizer, in any form that :func:`write` takes.
      learning_rate: the rate of the last step, needed if the momentum buffer of only one optimizer holds the rate.
      repair: see :func:`write`.

    Returns:
      A new tree like ``like``; an ``nnx.Optimizer`` is changed in place and returned.

    Raises:
      ValueError: a state is not of this package; leaves or shapes differ; a number is too large for the new format; or
        the learning rate is missing or not needed.

    Example:
      >>> from rmsprop_optax import dialects, rmsprop
      >>> params = jnp.zeros(1)
      >>> _, old = rmsprop(0.1).update(jnp.array([2.0]), rmsprop(0.1).init(params))
      >>> new = transfer(old, dialects.keras(0.1, momentum=0.9).init(params))
      >>> [float(optax.tree.get(new, name)[0]) for name in ("nu", "trace")]
      [0.4000000059604645, 0.0]
    """
    slots, fresh = read(state), read(like)
    if fresh.momentum is None or slots.momentum is None:
        slots = slots._replace(momentum=fresh.momentum, lr_in_momentum=fresh.lr_in_momentum)
    if fresh.mean is None or slots.mean is None:
        slots = slots._replace(mean=fresh.mean)
    if fresh.gain is None or slots.gain is None:
        slots = slots._replace(gain=fresh.gain)
    return write(like, slots, learning_rate=learning_rate, repair=repair)


def _each(function: Callable[..., Any], *trees: Tree) -> Tree:
    """Map a function of real arrays over trees; join the results for the parts of a complex leaf."""

    def leaf(*xs: Any) -> Any:
        if is_components(xs[0]):
            return jax.lax.complex(*(function(*parts) for parts in zip(*xs, strict=True)))
        return function(*xs)

    return jax.tree.map(leaf, *trees, is_leaf=is_components)


def _none_of(tree: Any) -> Any:
    return jax.tree.map(lambda _: optax.MaskedNode(), tree, is_leaf=is_components)


def _hosted(x: jax.Array) -> Any:
    """A NumPy array if JAX needs ``enable_x64`` for the dtype, else the array itself."""
    stays = np.dtype(x.dtype).itemsize <= jnp.zeros((), complex if jnp.iscomplexobj(x) else float).itemsize
    return x if stays or not getattr(x, "is_fully_addressable", True) else np.asarray(x)


def _mean_square(nu: jax.Array, mu: jax.Array) -> jax.Array:
    return float64(_formats.decoded(nu)) + abs_sq(mu)


def _variance(mean_square: jax.Array, mean: jax.Array, _: Any) -> jax.Array:
    return _finite(_plausible.variance(mean_square, mean))


def _finite(mean_square: jax.Array, _: Any = None) -> jax.Array:
    """Replace infinity, which only ``repair`` lets through, by the largest finite number."""
    return jnp.minimum(mean_square, jnp.finfo(mean_square.dtype).max)


def _as_it_is(x: jax.Array, _: Any) -> jax.Array:
    return x


def _merged(name: str, trees: list[Tree]) -> Tree:
    """Merge trees that mask each other's leaves; ``None`` if there is no leaf."""
    if not jax.tree.leaves(trees):
        return None
    if len(trees) == 1:
        return trees[0]
    if all(isinstance(t, Mapping) for t in trees) and len({*map(jax.tree.structure, trees)}) > 1:
        trees = [_filled(t, trees) for t in trees]
    masked = [jax.tree.leaves_with_path(t, is_leaf=is_masked) for t in trees]
    cuts = {path for leaves in masked for path, x in leaves if is_masked(x)}

    def pick(path: tuple[Any, ...], *xs: Any) -> Any:
        kept = [x for x in xs if not is_masked(x)]
        if len(kept) > 1:
            raise ValueError(
                f"only one optimizer may hold the {name} of {name_of(path)}, got {len(kept)}: read each alone."
            )
        return kept[0] if kept else optax.MaskedNode()

    return jax.tree.map_with_path(pick, *trees, is_leaf=lambda path, x: path in cuts, is_leaf_takes_path=True)


def _filled(tree: Any, others: list[Any]) -> Any:
    """Add masks for the keys that only other trees have, because an ``nnx.State`` drops masked leaves."""
    others = [other for other in others if isinstance(other, Mapping)]
    if not others or not isinstance(tree, Mapping):
        return tree
    keys = dict.fromkeys(key for other in others for key in other)
    below = {key: [other[key] for other in others if key in other] for key in keys}
    return {key: _filled(tree[key], below[key]) if key in tree else optax.MaskedNode() for key in keys}


def lr_in_momentum(state: Tree) -> bool | None:
    """Whether the momentum buffers of a state hold the learning rate, or ``None`` without a buffer.

    In every chain of this package, only the learning rate can stand between the division and the buffer.
    """
    is_chain = lambda x: type(x) is tuple and any(isinstance(link, MomentumState) for link in x)  # noqa: E731
    found = {True for _ in nodes(state, AdaptiveStepsState)}
    for chain in filter(is_chain, jax.tree.leaves(state, is_leaf=is_chain)):
        kinds = [type(link) for link in chain]
        found.add(kinds.index(MomentumState) - kinds.index(ScaleByRmsState) > 1)
    if len(found) > 1:
        raise ValueError(
            "all momentum buffers must hold the learning rate, or none of them, got both kinds: read or write each "
            "part of the state alone."
        )
    return found.pop() if found else None


def rescaled(slots: Slots, lr_in_momentum: bool | None, learning_rate: float | Tree | None) -> Slots:
    """The slots, with the momentum buffer multiplied or divided by the learning rate if the state needs it."""
    if not isinstance(slots, Slots) or slots.lr_in_momentum not in (None, True, False):
        raise TypeError(
            f"slots must be interop.Slots with lr_in_momentum True, False or None, got {slots!r:.80}: pass the result "
            "of read, after the state to write to."
        )
    sides = {slots.lr_in_momentum, lr_in_momentum} if slots.momentum is not None else set()
    if sides != {True, False}:
        if learning_rate is None:
            return slots
        raise ValueError(
            f"learning_rate must be None if no momentum buffer is rescaled, got {learning_rate}: drop it. A buffer is "
            "rescaled if the buffer of only one side holds the rate."
        )
    if learning_rate is None:
        holds, other = ("slots", "state") if slots.lr_in_momentum else ("state", "slots")
        raise ValueError(
            f"the momentum buffer of the {holds} holds the learning rate and that of the {other} does not: give the "
            "learning_rate of the last step."
        )
    factor = (lambda rate: 1 / float(rate)) if slots.lr_in_momentum else float
    try:
        if not all(0 < rate < float("inf") for rate in jax.tree.leaves(learning_rate)):
            raise ValueError("a rate that is not above 0")
        return slots._replace(
            momentum=jax.tree.map(
                lambda rate, part: jax.tree.map(lambda b: b * factor(rate), part), learning_rate, slots.momentum
            )
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            "learning_rate must be finite and above 0, a number or a tree that is a prefix of the parameters, got "
            f"{learning_rate!r} ({str(error).splitlines()[0]}): give the rate of the last step."
        ) from error


def _stored(function: Callable[..., jax.Array], old: Any, values: list[Any]) -> Any:
    return _formats.nearest(function(*(_placed(v, old) for v in values), old), str(old.dtype))


def _placed(value: Any, old: Any) -> jax.Array:
    """A copy of an array, in float32 or wider, on the devices of ``old``."""
    copy: Any = value.copy() if isinstance(value, jax.Array) else np.array(value)  # device_put may share NumPy's memory
    placed: jax.Array = jax.device_put(copy.astype(_numbers.wide(value.dtype)), sharding_of(old))
    return placed
