"""What a person tuning RMSprop looks at, kept beside the state, array by array."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import _complex, _formats, _numbers, _paths
from rmsprop_optax._columns import aligned
from rmsprop_optax._scale import ScaleByRmsState
from rmsprop_optax._tree import optimizer


class Layer(NamedTuple):
    """The measures of one array of parameters, float32 scalars; NaN where there is nothing to measure.

    Attributes:
      gradient: root mean square of the gradient that came in.
      update: root mean square of the update that went out.
      parameter: root mean square of the parameter before the update.
      learning_rate: what multiplies a normalised gradient in this step; ``1 + momentum`` times that with Nesterov's.
      lr_min: the least effective learning rate of its entries, ``learning_rate / denominator``.
      lr_median: their median, of 128 entries at most, evenly spread.
      lr_max: the largest.
      below_eps: the share of entries whose root mean square is less than the epsilons, 0 to 1.
      silent: the share of entries that no gradient has reached, 0 to 1.
      warm_up: what the initial value still weighs in the mean square, ``decay^t``, 1 to 0.
    """

    gradient: Any
    update: Any
    parameter: Any
    learning_rate: Any
    lr_min: Any
    lr_median: Any
    lr_max: Any
    below_eps: Any
    silent: Any
    warm_up: Any


class MeasuredState(NamedTuple):
    """The state of :func:`measured`.

    Attributes:
      step: int32 scalar, the updates so far.
      layers: name of an array → :class:`Layer`, as of the last measured step.
      inner: the optimizer's.
    """

    step: Any
    layers: dict[str, Layer]
    inner: Any


_SAMPLE = 128  # to sort more takes longer than all else
# Gradients that no clipping touches, and mean squares between which float32 has room.
_TINY, _HUGE = 1e-12, 1e20


def measured(tx: optax.GradientTransformation, *, every: int = 1) -> optax.GradientTransformationExtraArgs:
    """Let an optimizer keep measures of its gradients, updates, parameters and effective learning rates.

    The updates are those of the optimizer. The effective learning rates come from the optimizer itself: it
    is asked for the update of a tiny gradient at the least, the median and the largest mean square of each array, with
    its buffers empty; so they hold for every dialect, epsilon and schedule.

    A step of the demo's training, 5 ms on a CPU, takes up to 3 % longer with measures at every step, 7 % on a busy
    machine, and less than 5 % longer with measures at every fifth (``tests/benchmarks/measured.md``).

    Args:
      tx: an optimizer of ours or a chain that holds one. Inside ``optax.MultiSteps``, which passes on every k-th
        gradient, and not around it.
      every: measure at every so many steps, from the first on; between them the measures stay.

    Returns:
      The transformation, with a :class:`MeasuredState` of which :func:`scalars` and :func:`report` make something to
      read.

    Raises:
      ValueError: ``every`` is no whole number above 0.
      TypeError: ``tx`` is no transformation.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx = measured(rmsprop(0.1, eps=0.0))
      >>> params = {"w": jnp.array([3.0, 4.0])}
      >>> _, state = tx.update({"w": jnp.array([1.0, 10.0])}, tx.init(params), params)
      >>> layer = state.layers["w"]
      >>> [round(float(x), 4) for x in (layer.update, layer.learning_rate, layer.lr_min, layer.lr_max)]
      [0.3162, 0.1, 0.0316, 0.3162]
    """
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"every must be a whole number above 0, got every={every!r}.")
    tx = optimizer(tx)

    def init(params):
        return MeasuredState(jnp.zeros([], jnp.int32), _nothing(_paths.named(params)), tx.init(params))

    def update(updates, state, params=None, **extra_args):
        new, inner = tx.update(updates, state.inner, params, **extra_args)

        def measure(layers):
            sizes = {"gradient": updates, "update": new, "parameter": params}
            rms = {name: {k: _rms(x) for k, x in _paths.named(tree).items()} for name, tree in sizes.items()}
            rates = _rates(tx, updates, state.inner, inner, extra_args)
            none = {"warm_up": jnp.full((), jnp.nan, jnp.float32)}  # an array without a mean square
            found = {k: {name: of[k] for name, of in rms.items() if k in of} | rates.get(k, none) for k in layers}
            for k in rates:
                steps = jnp.where(state.step > 0, every, 1)
                found[k]["warm_up"] = layers[k].warm_up * found[k]["warm_up"] ** steps
            return {k: nothing._replace(**found[k]) for k, nothing in _nothing(layers).items()}

        layers = jax.lax.cond(state.step % every == 0, measure, lambda layers: layers, state.layers)
        return new, MeasuredState(optax.safe_increment(state.step), layers, inner)

    return optax.GradientTransformationExtraArgs(init, update)


def scalars(state: Any) -> dict[str, float]:
    """The measures as a flat dict of numbers, for TensorBoard, W&B, clu and their like.

    Args:
      state: any that holds a :class:`MeasuredState`, an ``nnx.Optimizer`` or a ``TrainState`` too.

    Returns:
      ``"gradient/encoder/kernel"`` and so on → a number, with ``update_ratio``, the update over the parameter,
      besides the fields of :class:`Layer`; and ``step``. What could not be measured is left out.

    Raises:
      ValueError: there is no such state in it.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx = measured(rmsprop(0.1))
      >>> _, state = tx.update({"w": jnp.ones(2)}, tx.init({"w": jnp.ones(2)}), {"w": jnp.ones(2)})
      >>> found = scalars(state)
      >>> found["step"], round(found["update_ratio/w"], 3)
      (1, 0.316)
    """
    states = _paths.nodes(state, MeasuredState)
    if not states:
        raise ValueError("measures are kept by measured(tx), got a state without them: wrap the optimizer.")
    found: dict[str, Any] = {"step": int(jax.tree.leaves(states[0].step)[0])}
    for measured_state in states:
        for name, layer in measured_state.layers.items():
            values = {field: float(jax.tree.leaves(x)[0]) for field, x in layer._asdict().items()}
            if values["parameter"] > 0:
                values["update_ratio"] = values["update"] / values["parameter"]
            found |= {f"{field}/{name}": x for field, x in values.items() if not math.isnan(x)}
    return found


def effective_rates(
    tx: optax.GradientTransformation, state: Any, params: optax.Params, *, entries: int = 1024, **extra_args: Any
) -> dict[str, np.ndarray]:
    """The effective learning rates of single entries in the next step, for a histogram of each array.

    They come from the optimizer, as :func:`measured` has them, and cost no more than a few steps; call it now and then,
    outside of the training step.

    Args:
      tx: an optimizer of ours or a chain that holds one, measured or not.
      state: its state.
      params: the parameters, of which only names and dtypes count.
      entries: of an array at most, evenly spread; of a complex one both parts.
      extra_args: for ``tx.update``.

    Returns:
      Name of an array with a mean square → float32 [entries]. Above 1e10 where neither a gradient nor an epsilon bounds
      it.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx = rmsprop(0.1, decay=0.75, eps=0.0)
      >>> params = {"w": jnp.array([3.0, 4.0])}
      >>> _, state = tx.update({"w": jnp.array([1.0, 10.0])}, tx.init(params), params)
      >>> effective_rates(tx, state, params)["w"]
      array([0.2 , 0.02], dtype=float32)
    """
    found, sizes = _effective_rates(state, params, extra_args, tx=tx, entries=entries)
    return {name: np.asarray(rates)[: sizes[name].shape[0]] for name, rates in found.items()}


@functools.partial(jax.jit, static_argnames=("tx", "entries"))
def _effective_rates(state, params, extra_args, *, tx, entries):
    values, _, at = _asked(optimizer(tx), params, state, state, extra_args)
    samples = {name: _sampled(nu, entries) for name, nu in values.items()}
    most = max((x.size for x in samples.values()), default=0)
    return _vmap(at, {name: jnp.resize(x, (most,)) for name, x in samples.items()}), samples


_COLUMNS = {
    "gradient": "gradient",
    "update": "update",
    "parameter": "parameter",
    "update_ratio": "ratio",
    "learning_rate": "rate",
    "lr_min": "eff. min",
    "lr_median": "median",
    "lr_max": "max",
    "below_eps": "below eps",
    "silent": "silent",
    "warm_up": "warm-up",
}


def report(state: Any) -> str:
    """The measures as a table, a line for each array, widths of a terminal.

    Args:
      state: as for :func:`scalars`.

    Returns:
      Root mean squares of gradient, update and parameter, and the ratio of the last two; the learning rate, and the
      effective one of the entries; shares in percent.

    Raises:
      ValueError: as :func:`scalars`.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx = measured(rmsprop(0.1))
      >>> _, state = tx.update({"w": jnp.ones(2)}, tx.init({"w": jnp.ones(2)}), {"w": jnp.ones(2)})
      >>> print(report(state))
      step 1  gradient  update  parameter  ratio  rate  eff. min  median    max  below eps  silent  warm-up
      w              1   0.316          1  0.316   0.1     0.316   0.316  0.316         0%      0%      90%
    """
    found = scalars(state)
    names = dict.fromkeys(key.partition("/")[2] for key in found if "/" in key)
    rows = [[f"step {found['step']}", *_COLUMNS.values()]]
    for name in names:
        values = {field: found.get(f"{field}/{name}") for field in _COLUMNS}
        rows.append([name, *(_cell(field, x) for field, x in values.items())])
    return aligned(rows)


def _cell(field: str, x: float | None) -> str:
    if x is None:
        return "-"
    return f"{x:.0%}" if field in ("below_eps", "silent", "warm_up") else f"{x:.3g}"


def _nothing(names: Any) -> dict[str, Layer]:
    # An array of its own for each, for what is one and the same cannot be donated.
    start = dict.fromkeys(Layer._fields, math.nan) | {"warm_up": 1.0}
    return {name: Layer(*(jnp.full((), x, jnp.float32) for x in start.values())) for name in names}


def _rms(x: jax.Array) -> jax.Array:
    square = jnp.square(jnp.abs(x).astype(jnp.float32))
    return jnp.sqrt(square.mean()) if x.size else jnp.full((), jnp.nan, jnp.float32)


def _rates(tx: Any, updates: Any, before: Any, after: Any, extra_args: dict) -> dict[str, dict[str, jax.Array]]:
    """What the optimizer does to a tiny gradient at a few mean squares, array by array."""
    values, kept, at = _asked(tx, updates, before, after, extra_args)
    # The largest mean square has the least rate.
    points = {
        name: jnp.stack([_HUGE, _TINY**2, nu.max(), jnp.median(_sampled(nu)), nu.min()]) for name, nu in values.items()
    }
    found = {}
    for name, (huge, tiny, least, median, most) in _vmap(at, points).items():
        rate, nu = huge * _HUGE**0.5, values[name]
        found[name] = {
            "learning_rate": rate,
            "lr_min": least,
            "lr_median": median,
            "lr_max": most,
            "below_eps": (nu < (rate / tiny) ** 2).mean(dtype=jnp.float32),
            "silent": (nu == 0).mean(dtype=jnp.float32),
            "warm_up": kept[name],
        }
    return found


def _asked(tx: Any, updates: Any, before: Any, after: Any, extra_args: dict) -> tuple[dict, dict, Any]:
    """The mean squares of ``after``, what of an old one is kept, and what gives effective rates at other ones."""
    stored = {name: nu for state in _paths.nodes(after, ScaleByRmsState) for name, nu in _paths.named(state.nu).items()}
    values = {name: _values(nu) for name, nu in stored.items()}
    values = {name: nu for name, nu in values.items() if nu.size}
    tiny = jax.tree.map(lambda u: jnp.full((), _TINY, _numbers.wide(u.dtype)), updates)
    scalars = jax.tree.map(jnp.zeros_like, tiny)
    fresh, paths = tx.init(scalars), {path for path, _ in jax.tree.leaves_with_path(scalars)}

    def ask(nus: dict[str, Any], gradients: Any = tiny) -> tuple[dict, dict]:
        """Mean squares after an update from ``nus``, and the sizes of the updates."""
        state = _with(nus, fresh, before, paths)
        u, state = tx.update(gradients, state, scalars, **extra_args)
        moments = [_paths.named(node.nu) for node in _paths.nodes(state, ScaleByRmsState)]
        nu = {name: _values(x).ravel()[0] for found in moments for name, x in found.items()}
        return nu, {name: jnp.abs(x) for name, x in _paths.named(u).items()}

    nu, _ = ask(dict.fromkeys(stored, _HUGE))
    # A decay of 0 keeps nothing but the tiny gradient's square.
    kept = {name: jnp.where(nu[name] < 1, 0.0, nu[name] / _HUGE) for name in values}

    def at(nus):
        """Effective learning rates at a mean square of each array, which is what becomes of an old one or of g²."""
        old = {k: jnp.where(kept[k] > 0, x / jnp.where(kept[k] > 0, kept[k], 1), 0.0) for k, x in nus.items()}
        sizes = {k: jnp.where(kept[k] > 0, _TINY, jnp.maximum(jnp.sqrt(x), _TINY)) for k, x in nus.items()}
        gradients = jax.tree.map_with_path(
            lambda path, g: jnp.asarray(sizes.get(_paths.name_of(path), g), g.dtype), tiny
        )
        _, u = ask(dict.fromkeys(stored, 0.0) | old, gradients)
        return {name: u[name] / sizes[name] for name in values}

    return values, kept, at


def _vmap(function: Any, named: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return jax.vmap(function)(named) if named else {}


def _values(nu: Any) -> jax.Array:
    """A mean square in float32, both parts of a complex one together."""
    return jnp.stack([jnp.asarray(_formats.decoded(x), jnp.float32) for x in jax.tree.leaves(nu)])


def _sampled(x: jax.Array, most: int = _SAMPLE) -> jax.Array:
    x = x.ravel()
    if x.size <= most:
        return x
    # Steps of the golden ratio, which fall in with no row and no column.
    return x[(np.arange(most) * (5**0.5 - 1) / 2 % 1 * x.size).astype(int)]


def _with(nus: dict[str, Any], fresh: Any, old: Any, paths: set) -> Any:
    """A state for scalar parameters: fresh but for the mean squares, and for what is no parameter's, as counts."""

    def moments(node):
        if not isinstance(node, ScaleByRmsState):
            return node

        def leaf(path, x):
            nu = jnp.asarray(nus[_paths.name_of(path)], jnp.float32)
            return _complex.Components(nu, nu) if _complex.is_components(x) else nu

        return node._replace(nu=jax.tree.map_with_path(leaf, node.nu, is_leaf=_complex.is_components))

    def of_parameter(path):
        return next(_paths.parameters_of(path, paths), None) is not None

    state = jax.tree.map_with_path(lambda path, new, x: new if of_parameter(path) else x, fresh, old)
    return jax.tree.map(moments, state, is_leaf=lambda x: isinstance(x, ScaleByRmsState))
