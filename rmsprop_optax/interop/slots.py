"""The state of any RMSprop as :class:`Slots`, the hub between all formats.

Each format is read into slots and written from slots, so no format knows another.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import _formats, _numbers
from rmsprop_optax._complex import Components, is_components
from rmsprop_optax._decay import WeightDecayState
from rmsprop_optax._momentum import MomentumState
from rmsprop_optax._paths import name_of, named, nodes, some
from rmsprop_optax._scale import ScaleByRmsState
from rmsprop_optax._types import Tree
from rmsprop_optax.interop._shared import float64, is_masked


class Slots(NamedTuple):
    """The state of an optimizer in a form that belongs to no framework.

    A tree has the structure of the parameters; a leaf that the optimizer leaves out is ``optax.MaskedNode()``.

    Attributes:
      mean_square: the running mean of the squared gradients, centered or not, in real arrays. PyTorch treats a complex
        parameter as two real ones; their two mean squares are the parts of a complex array.
      mean: the running mean of the gradients, or ``None`` if the optimizer is not centered.
      momentum: the buffer that is subtracted from the parameters, or ``None`` without momentum. The buffers of optax,
        MXNet and Chainer's ``RMSpropGraves`` have the other sign in their checkpoints.
      count: the number of steps so far, or ``None`` if a checkpoint does not hold it.
      lr_in_momentum: ``True`` if the buffer holds the learning rate (TensorFlow, Keras, optax), ``False`` if the buffer
        is multiplied by the rate when it is used (PyTorch), ``None`` without a buffer. With ``None``, :func:`write`
        does not rescale.
    """

    mean_square: Any
    mean: Any = None
    momentum: Any = None
    count: Any = None
    lr_in_momentum: bool | None = None


def read(state: Any) -> Slots:
    r"""The slots of a state of this package, at any depth of a tree.

    .. math::
      mean\_square = nu + |mu|^2 \text{ if centered, else } nu

    Args:
      state: the state of :func:`rmsprop_optax.rmsprop`, of a dialect, or of a chain with one of them, also inside
        ``optax.masked``, ``partition``, ``MultiSteps``, ``inject_hyperparams`` or ``apply_if_finite``; or a whole
        ``nnx.Optimizer`` or ``TrainState``. The optimizers of a partition are merged.

    Returns:
      The slots, in float32 or wider for every storage. A float32 array is that of the state and not a copy. Centered
      moments are NumPy arrays in float64, so that ``mean_square − |mean|²`` is the variance again.

    Raises:
      ValueError: the state has no mean square of this package or has several for one parameter; or the counts, or the
        places of the learning rate, differ between its parts.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx = rmsprop(0.1, decay=0.5, centered=True, momentum=0.9)
      >>> _, state = tx.update(jnp.array([4.0]), tx.init(jnp.zeros(1)))
      >>> slots = read(state)
      >>> float(slots.mean_square[0]), float(slots.mean[0]), slots.count, slots.lr_in_momentum
      (8.0, 2.0, 1, True)
    """
    moments, buffers = nodes(state, ScaleByRmsState), nodes(state, MomentumState)
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
    mean_square, mean = (jax.tree.map(_hosted, _merged(*t)) for t in (("mean_square", squares), ("mean", means)))
    count = counts.pop() if counts else None
    return Slots(mean_square, mean, _merged("momentum", traces), count, lr_in_momentum(state))


def write(like: Any, slots: Slots, *, learning_rate: Any = None, progress: Callable[[int], Any] | None = None) -> Any:
    r"""A state with the numbers of the slots, and with the structure, dtypes, storage and shardings of ``like``.

    .. math::
      nu = \max(mean\_square - |mean|^2, 0) \text{ if centered, else } mean\_square

    Every count of steps, those of schedules included, becomes the count of the slots. All else stays as in ``like``.
    Everything is checked before anything is written.

    Args:
      like: ``tx.init(params)``; or a ``TrainState`` or ``nnx.Optimizer`` that holds such a state; or
        ``jax.eval_shape(tx.init, params)``, with or without shardings.
      slots: trees whose leaves have the names of the parameters. The containers may differ, such as a dict and an
        ``nnx.State``.
      learning_rate: the rate of the last step, above 0: a number, or a tree of numbers that is a prefix of the
        parameters. Needed if the momentum buffer of only one side holds the rate; else it is refused.
      progress: called with the bytes of each array of the slots after it is written, for a progress bar.

    Returns:
      A new tree like ``like``. It shares no memory with the slots.

    Raises:
      ValueError: a slot or a leaf is missing or left over, a shape differs, a mean square is negative, or the learning
        rate is missing or not needed. The error names the leaves.

    Example:
      >>> from rmsprop_optax import dialects
      >>> slots = Slots({"w": np.array([4.0])}, momentum={"w": np.array([0.5])}, count=100)
      >>> state = write(dialects.pytorch(momentum=0.9).init({"w": jnp.zeros(1)}), slots)
      >>> optax.tree.get(state, "trace"), read(state).count
      ({'w': Array([0.5], dtype=float32)}, 100)
    """
    momentum = rescaled(slots, lr_in_momentum(like), learning_rate)
    given = {"mean_square": named(slots.mean_square), "mean": named(slots.mean), "momentum": named(momentum)}

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
            moments = {"nu": tree(node.nu, _as_it_is, "mean_square")}
        elif isinstance(node, MomentumState):
            moments = {"trace": tree(node.trace, _as_it_is, "momentum")}
        else:
            return node
        return node._replace(**moments)

    with jax.enable_x64(True):
        _check(given, like)
        state = jax.tree.map(convert, like, is_leaf=lambda x: isinstance(x, ScaleByRmsState | MomentumState))
        state = state if slots.count is None else _counted(state, slots.count)
    empty = [name for name, x in named(state).items() if isinstance(x, jax.ShapeDtypeStruct)]
    if empty:
        raise ValueError(
            f"slots must fill an abstract state, got nothing for {some(empty)}: pass tx.init(params) as like."
        )
    return state


def transfer(state: Any, like: Any, *, learning_rate: Any = None) -> Any:
    """A state for other options: momentum, centering or bias correction added or dropped, another storage or dialect.

    A slot that the old optimizer did not keep starts as in ``like``.

    Args:
      state: the state of the old optimizer, at any depth of a tree.
      like: ``init(params)`` of the new optimizer.
      learning_rate: the rate of the last step, needed if the momentum buffer of only one of the optimizers holds it.

    Returns:
      A new tree like ``like``.

    Raises:
      ValueError: one of the states is not of this package, leaves or shapes differ, or the learning rate is missing or
        not needed.

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
    return write(like, slots, learning_rate=learning_rate)


def _each(function: Callable[..., Any], *trees: Tree) -> Tree:
    """Map a function of real arrays over trees; the two results of a split complex leaf become one complex array."""

    def leaf(*xs: Any) -> Any:
        if is_components(xs[0]):
            return jax.lax.complex(*(function(*parts) for parts in zip(*xs, strict=True)))
        return function(*xs)

    return jax.tree.map(leaf, *trees, is_leaf=is_components)


def _none_of(tree: Any) -> Any:
    return jax.tree.map(lambda _: optax.MaskedNode(), tree, is_leaf=is_components)


def _hosted(x: jax.Array) -> Any:
    """A NumPy array if JAX has no such dtype without ``enable_x64``, else the array itself."""
    stays = np.dtype(x.dtype).itemsize <= jnp.zeros((), complex if jnp.iscomplexobj(x) else float).itemsize
    return x if stays or not x.is_fully_addressable else np.asarray(x)


def _mean_square(nu: jax.Array, mu: jax.Array) -> jax.Array:
    return _formats.decoded(nu).astype(np.float64) + _abs_sq(float64(mu))


def _variance(mean_square: jax.Array, mean: jax.Array, _: Any) -> jax.Array:
    return jnp.maximum(mean_square.astype(np.float64) - _abs_sq(float64(mean)), 0)


def _as_it_is(x: jax.Array, _: Any) -> jax.Array:
    return x


def _abs_sq(x: jax.Array) -> jax.Array:
    return jnp.square(x.real) + jnp.square(x.imag) if jnp.iscomplexobj(x) else jnp.square(x)


def _merged(name: str, trees: list[Tree]) -> Tree:
    """One tree from several that have masked each other's leaves; ``None`` if there is no leaf."""
    if not jax.tree.leaves(trees):
        return None
    if len(trees) == 1:
        return trees[0]
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


def lr_in_momentum(state: Any) -> bool | None:
    """Whether the momentum buffers of a state hold the learning rate, or ``None`` without a buffer.

    In every chain of this package, only the learning rate can stand between the division and the buffer.
    """
    is_chain = lambda x: type(x) is tuple and any(isinstance(link, MomentumState) for link in x)  # noqa: E731
    found = set()
    for chain in filter(is_chain, jax.tree.leaves(state, is_leaf=is_chain)):
        kinds = [type(link) for link in chain]
        found.add(kinds.index(MomentumState) - kinds.index(ScaleByRmsState) > 1)
    if len(found) > 1:
        raise ValueError(
            "all momentum buffers must hold the learning rate, or none of them, got both kinds: read or write each "
            "part of the state alone."
        )
    return found.pop() if found else None


def rescaled(slots: Slots, lr_in_momentum: bool | None, learning_rate: Any) -> Any:
    """The momentum buffer of the slots for a state whose buffer holds the learning rate, or does not."""
    sides = {slots.lr_in_momentum, lr_in_momentum} if slots.momentum is not None else set()
    if sides != {True, False}:
        if learning_rate is None:
            return slots.momentum
        raise ValueError(
            f"learning_rate must be None if no momentum buffer is rescaled, got {learning_rate}: drop it. A buffer is "
            "rescaled if only one side's holds the rate."
        )
    if learning_rate is None:
        holds, other = ("slots", "state") if slots.lr_in_momentum else ("state", "slots")
        raise ValueError(
            f"the momentum buffer of the {holds} holds the learning rate and that of the {other} does not: give the "
            "learning_rate of the last step."
        )
    if not all(0 < rate < float("inf") for rate in jax.tree.leaves(learning_rate)):
        raise ValueError(f"learning_rate must be finite and above 0 to rescale a buffer, got {learning_rate}.")
    factor = (lambda rate: 1 / float(rate)) if slots.lr_in_momentum else float
    return jax.tree.map(
        lambda rate, part: jax.tree.map(lambda b: b * factor(rate), part), learning_rate, slots.momentum
    )


def _check(given: dict[str, dict[str, Any]], like: Any) -> None:
    """Compare the slots with the places in ``like``, and report all misfits at once."""
    moments, buffers = nodes(like, ScaleByRmsState), nodes(like, MomentumState)
    if not moments:
        raise ValueError("like must contain a state of this package, got none: pass tx.init(params).")
    trees = {
        "mean_square": [s.nu for s in moments],
        "mean": [s.mu for s in moments if s.mu is not None],
        "momentum": [s.trace for s in buffers],
    }
    wrong = []
    for slot, values in given.items():
        places = {name: old for tree in trees[slot] for name, old in named(tree).items()}
        missing, over = ([name for name in a if name not in b] for a, b in ((places, values), (values, places)))
        wrong += [f"no {slot} of {some(missing)}"] * bool(missing)
        wrong += [f"a {slot} of {some(over)} that the state has no place for"] * bool(over)
        wrong += [why for n, old in places.items() if n in values for why in _misfits(slot, n, values[n], old)]
    if wrong:
        raise ValueError(
            f"slots must fit the state, got {'; '.join(wrong)}: convert names and shapes as those of the parameters, "
            "and create the state with the options of the run. Change options with interop.transfer."
        )


def _misfits(slot: str, name: str, value: Any, old: Any) -> list[str]:
    is_split = is_components(old)
    shape = old.real.shape if is_split else old.shape
    if np.shape(value) != shape:
        return [f"a {slot} of {name} with shape {np.shape(value)} for {shape}"]
    if jnp.iscomplexobj(value) != (is_split or jnp.iscomplexobj(old)):
        return [f"a {slot} of {name} in {value.dtype} for {'pairs of real numbers' if is_split else old.dtype}"]
    parts = (value.real, value.imag) if is_split else (value,)
    if slot == "mean_square" and any((part < 0).any() for part in parts):
        return [f"a {slot} of {name} with negative entries"]
    return []


def _stored(function: Callable[..., jax.Array], old: Any, values: list[Any]) -> jax.Array:
    return _formats.nearest(function(*(_placed(v, old) for v in values), old), old)


def _placed(value: Any, old: Any) -> jax.Array:
    """A copy of an array, in float32 or wider, on the devices of ``old``."""
    copy: Any = value.copy() if isinstance(value, jax.Array) else np.array(value)  # device_put may share NumPy's memory
    sharding = old.sharding if getattr(old, "committed", True) else None
    placed: jax.Array = jax.device_put(copy.astype(_numbers.wide(value.dtype)), sharding)
    return placed


def _counted(tree: Any, count: Any) -> Any:
    """``tree`` with ``count`` in every counter of steps, except those of other optimizers, such as Adam's."""

    def new(old: Any) -> Any:
        return jax.tree.map(lambda x: int(count) if isinstance(x, int) else jnp.full_like(x, count), old)

    def one(node: Any) -> Any:
        if isinstance(node, optax.MultiStepsState):
            inner = _counted(node.inner_opt_state, count)
            return node._replace(gradient_step=new(node.gradient_step), inner_opt_state=inner)
        if isinstance(node, optax.InjectStatefulHyperparamsState):
            node = node._replace(hyperparams_states=new(node.hyperparams_states))
        if isinstance(node, _INJECTED):
            return node._replace(count=new(node.count), inner_state=_counted(node.inner_state, count))
        return node._replace(count=new(node.count)) if isinstance(node, _COUNTING) else node

    tree = jax.tree.map(one, tree, is_leaf=lambda x: isinstance(x, (*_COUNTING, *_INJECTED, optax.MultiStepsState)))
    # An nnx.Optimizer and a TrainState count in a ``step`` of their own.
    step = jax.tree_util.GetAttrKey("step")
    return jax.tree.map_with_path(lambda path, x: new(x) if path[:1] == (step,) else x, tree)


_COUNTING = (ScaleByRmsState, MomentumState, WeightDecayState, optax.ScaleByScheduleState)
_INJECTED = (optax.InjectHyperparamsState, optax.InjectStatefulHyperparamsState)
