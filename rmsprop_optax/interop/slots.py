"""The hub: what every RMSprop keeps, whoever keeps it.

A checkpoint becomes :class:`Slots`, and slots become a state; no two formats know each other.
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
    """What an optimizer keeps for its parameters, in nobody's format.

    Attributes:
      mean_square: the running mean of the squared gradients, also where centered; a tree like the parameters, of real
        arrays. A complex parameter that is treated as two real ones (PyTorch) has both in a complex array.
      mean: the running mean of the gradients where centered, or ``None``.
      momentum: the buffer that is subtracted from the parameters, or ``None`` without momentum. (optax's, MXNet's and
        Chainer's ``RMSpropGraves`` have the other sign in their checkpoints.)
      count: the number of steps so far, or ``None`` where a checkpoint does not say.
      lr_in_momentum: whether the buffer holds steps (TensorFlow, Keras, optax) or is multiplied by the learning rate
        when it is used (PyTorch); ``None`` where there is none, or where it is as in what it is written to.

    Entries that an optimizer leaves alone are ``optax.MaskedNode()``.
    """

    mean_square: Any
    mean: Any = None
    momentum: Any = None
    count: Any = None
    lr_in_momentum: bool | None = None


def read(state: Any) -> Slots:
    r"""The slots of a state of ours, wherever it sits.

    .. math::
      mean\_square = nu + |mu|^2 \text{ where centered, else } nu

    Args:
      state: a state of :func:`rmsprop_optax.rmsprop`, of a dialect or of a chain with one of them; also inside
        ``optax.masked``, ``partition``, ``MultiSteps``, ``inject_hyperparams``, ``apply_if_finite``, and an
        ``nnx.Optimizer`` or ``TrainState`` as a whole. The optimizers of a partition are put together.

    Returns:
      The slots, in float32 or wider whatever the storage. Arrays in float32 are those of the state and no copies;
      centered moments are NumPy arrays in float64, such that their difference is the variance again.

    Raises:
      ValueError: the state has no mean square of ours, or several of one parameter, or counts or momentums that differ.

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
            "a state of this package must be somewhere in what is read, got none: pass the optimizer's state; "
            "interop.optax.read takes that of optax.rmsprop."
        )
    counts = {int(count) for s in moments for count in jax.tree.leaves(s.count)}
    if len(counts) > 1:
        raise ValueError(
            f"all parts of a state must have made as many steps, got {sorted(counts)}: read each by itself."
        )
    with jax.enable_x64(True):
        means = [_none_of(s.nu) if s.mu is None else _each(float64, s.mu) for s in moments]
        squares = [_each(_formats.decoded, s.nu) if s.mu is None else _each(_mean_square, s.nu, s.mu) for s in moments]
        traces = [_each(_formats.decoded, s.trace) for s in buffers]
    mean_square, mean = (jax.tree.map(_hosted, _merged(*t)) for t in (("mean_square", squares), ("mean", means)))
    count = counts.pop() if counts else None
    return Slots(mean_square, mean, _merged("momentum", traces), count, lr_in_momentum(state))


def write(like: Any, slots: Slots, *, learning_rate: Any = None, progress: Callable[[int], Any] | None = None) -> Any:
    r"""A state with the slots' numbers: the structure, dtypes, storage and shardings are those of ``like``.

    .. math::
      nu = \max(mean\_square - |mean|^2, 0) \text{ where centered, else } mean\_square

    Every count of steps, a schedule's too, becomes that of the slots. What slots do not hold stays as it is in
    ``like``. Nothing is written unless all of it fits.

    Args:
      like: ``tx.init(params)``, or a ``TrainState`` or ``nnx.Optimizer`` that holds one; or
        ``jax.eval_shape(tx.init, params)``, with shardings or without.
      slots: trees with the names of the parameters; containers may differ, as a dict and an ``nnx.State`` do.
      learning_rate: the rate of the last step, above 0, a number or a tree of them like the parameters; to be given if
        and only if the momentum buffer holds the rate on one side alone.
      progress: called with the bytes of each array of the slots once it is written, for a progress bar.

    Returns:
      A new tree like ``like``, which shares no memory with the slots.

    Raises:
      ValueError: a slot or a leaf is missing or left over, a shape does not fit, a mean square is negative, or the
        learning rate is missing or without a use. The error names the leaves.

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
            f"slots must hold all of an abstract state, got no {some(empty)}: pass tx.init(params) as like."
        )
    return state


def transfer(state: Any, like: Any, *, learning_rate: Any = None) -> Any:
    """A state for other options: momentum, centering or bias correction added or dropped, another storage or dialect.

    :func:`read` and :func:`write`, where what the old options did not keep starts as it does in ``like``.

    Args:
      state: the old optimizer's.
      like: the new optimizer's ``init(params)``.
      learning_rate: as in :func:`write`.

    Returns:
      A new tree like ``like``.

    Raises:
      ValueError: as :func:`read` and :func:`write` do.

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
    """A function of real arrays over trees, with both parts of what is complex to be put together."""

    def leaf(*xs: Any) -> Any:
        if is_components(xs[0]):
            return jax.lax.complex(*(function(*parts) for parts in zip(*xs, strict=True)))
        return function(*xs)

    return jax.tree.map(leaf, *trees, is_leaf=is_components)


def _none_of(tree: Any) -> Any:
    return jax.tree.map(lambda _: optax.MaskedNode(), tree, is_leaf=is_components)


def _hosted(x: jax.Array) -> Any:
    """Away from JAX, where it would not go on with float64."""
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
    """One tree of several, each of which has the leaves that the others leave alone; ``None`` if there is no leaf."""
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
                f"only one optimizer may hold the {name} of {name_of(path)}, got {len(kept)}: read each by itself."
            )
        return kept[0] if kept else optax.MaskedNode()

    return jax.tree.map_with_path(pick, *trees, is_leaf=lambda path, x: path in cuts, is_leaf_takes_path=True)


def lr_in_momentum(state: Any) -> bool | None:
    """Whether something stands between the division and the buffer: it is the learning rate, in each of our chains."""
    is_chain = lambda x: type(x) is tuple and any(isinstance(link, MomentumState) for link in x)  # noqa: E731
    found = set()
    for chain in filter(is_chain, jax.tree.leaves(state, is_leaf=is_chain)):
        kinds = [type(link) for link in chain]
        found.add(kinds.index(MomentumState) - kinds.index(ScaleByRmsState) > 1)
    if len(found) > 1:
        raise ValueError(
            "all momentum buffers must hold the learning rate, or none of them, got some of each: read or write the "
            "parts of the state by themselves."
        )
    return found.pop() if found else None


def rescaled(slots: Slots, lr_in_momentum: bool | None, learning_rate: Any) -> Any:
    """The momentum buffer as it is where the learning rate stands elsewhere."""
    sides = {slots.lr_in_momentum, lr_in_momentum} if slots.momentum is not None else set()
    if sides != {True, False}:
        if learning_rate is None:
            return slots.momentum
        raise ValueError(
            "a learning rate is for momentum buffers that hold it on one side alone, got "
            f"learning_rate={learning_rate} where nothing is to be rescaled: drop it."
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
    """Compare the slots with what ``like`` has a place for, and say all that is wrong at once."""
    moments, buffers = nodes(like, ScaleByRmsState), nodes(like, MomentumState)
    if not moments:
        raise ValueError("a state of this package must be somewhere in like, got none: pass tx.init(params).")
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
        wrong += [f"a {slot} of {some(over)}, for which the state has no place"] * bool(over)
        wrong += [why for n, old in places.items() if n in values for why in _misfits(slot, n, values[n], old)]
    if wrong:
        raise ValueError(
            f"slots must fit the state, got {'; '.join(wrong)}: convert names and shapes as those of the parameters, "
            "and make the state with the options of the run; interop.transfer changes options."
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
    """A copy of an array, in float32 or wider, where ``old`` is."""
    copy: Any = value.copy() if isinstance(value, jax.Array) else np.array(value)  # device_put may keep NumPy's memory
    sharding = old.sharding if getattr(old, "committed", True) else None
    placed: jax.Array = jax.device_put(copy.astype(_numbers.wide(value.dtype)), sharding)
    return placed


def _counted(tree: Any, count: Any) -> Any:
    """``tree`` with ``count`` in all that counts steps, but for what an average of others needs, as Adam's."""

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
