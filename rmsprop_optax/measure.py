"""Measure what an optimizer does to each array: sizes of gradients and updates, effective learning rates, shares."""

import contextlib
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import export

from rmsprop_optax import _checks, _nnx
from rmsprop_optax._arguments import optimizer
from rmsprop_optax._columns import aligned
from rmsprop_optax._paths import named, nodes, some
from rmsprop_optax._probe import HUGE, TINY, mean_squares, probe, rates_at, sample, samples
from rmsprop_optax._scale import ScaleByRmsState
from rmsprop_optax._sharpness import Sharpness, sharpness
from rmsprop_optax._tree import state_of

__all__ = ["Layer", "MeasuredState", "Sharpness", "effective_rates", "measured", "report", "scalars", "sharpness"]


class Layer(NamedTuple):
    """The measures of one array of parameters: float32 scalars, NaN if a measure does not exist.

    The effective learning rate of an entry is the learning rate divided by the denominator of RMSprop.

    Attributes:
      gradient: root mean square of the incoming gradient.
      update: root mean square of the outgoing update.
      parameter: root mean square of the parameter before the update.
      learning_rate: factor of a normalised gradient in this step, times ``1 + momentum`` with Nesterov momentum.
      lr_min: smallest effective learning rate of the entries.
      lr_median: median effective learning rate of the entries, from a sample of at most 128.
      lr_max: largest effective learning rate of the entries.
      below_eps: share of entries whose root mean square is smaller than epsilon, 0 to 1.
      silent: share of entries whose mean square is 0 (no gradient yet), 0 to 1.
      warm_up: weight of the initial value in the mean square, ``decay^t``, from 1 down to 0.
    """

    gradient: jax.Array
    update: jax.Array
    parameter: jax.Array
    learning_rate: jax.Array
    lr_min: jax.Array
    lr_median: jax.Array
    lr_max: jax.Array
    below_eps: jax.Array
    silent: jax.Array
    warm_up: jax.Array


class MeasuredState(NamedTuple):
    """The state of :func:`measured`. A program of ``jax.export`` with it needs ``import rmsprop_optax.measure``.

    Attributes:
      step: int32 scalar, the number of updates so far.
      layers: name of each array → its :class:`Layer` at the last measured step.
      inner: the state of the measured optimizer.
    """

    step: jax.Array
    layers: dict[str, Layer]
    inner: optax.OptState


# After a reload of this module they are registered already.
for _kind in (Layer, MeasuredState):
    with contextlib.suppress(ValueError):
        export.register_namedtuple_serialization(_kind, serialized_name=f"rmsprop_optax.{_kind.__name__}")

_SAMPLE = 128  # sorting more entries would dominate the cost


def measured(tx: optax.GradientTransformation, *, every: int = 1) -> optax.GradientTransformationExtraArgs:
    """Measure the gradients, updates, parameters and effective learning rates of an optimizer.

    The updates stay the same. The effective learning rates come from the optimizer itself, so they hold for every
    dialect, epsilon and schedule: for each array, the optimizer updates a tiny gradient at the smallest, median and
    largest mean square, with empty momentum buffers.

    Cost in the demo's training (5 ms a step on a CPU): up to 3 % with measures at every step (7 % on a busy machine),
    less than 5 % with measures at every fifth step (``tests/benchmarks/measured.md``).

    Args:
      tx: an optimizer of this package or a chain with one. With ``optax.MultiSteps``, which calls its optimizer every
        k-th gradient, measure inside: ``optax.MultiSteps(measured(tx), k)``.
      every: number of steps between measures, at least 1. The first step is measured.

    Returns:
      A transformation with a :class:`MeasuredState`. Read the state with :func:`scalars` or :func:`report`.

    Raises:
      ValueError: ``every`` is not a whole number above 0.
      TypeError: ``tx`` is not a transformation.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx = measured(rmsprop(0.1, eps=0.0))
      >>> params = {"w": jnp.array([3.0, 4.0])}
      >>> _, state = tx.update({"w": jnp.array([1.0, 10.0])}, tx.init(params), params)
      >>> layer = state.layers["w"]
      >>> [round(float(x), 4) for x in (layer.update, layer.learning_rate, layer.lr_min, layer.lr_max)]
      [0.3162, 0.1, 0.0316, 0.3162]
    """
    _checks.whole("every", every)
    tx = optimizer(tx)

    def init(params: optax.Params) -> MeasuredState:
        return MeasuredState(jnp.zeros([], jnp.int32), _unmeasured(named(params)), tx.init(params))

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None, **extra_args: Any
    ) -> tuple[optax.Updates, MeasuredState]:
        state = state_of(MeasuredState, state)
        new, inner = tx.update(updates, state.inner, params, **extra_args)

        def measure(layers: dict[str, Layer]) -> dict[str, Layer]:
            trees = {"gradient": updates, "update": new, "parameter": params}
            sizes = {field: {name: _rms(x) for name, x in named(tree).items()} for field, tree in trees.items()}
            rates = _rates(tx, updates, state.inner, inner, extra_args)
            steps = jnp.where(state.step > 0, every, 1)
            measures = _unmeasured(layers)
            for name, layer in measures.items():
                found = {field: of[name] for field, of in sizes.items() if name in of} | rates.get(name, {})
                # The probe returns the share of a mean square that one step keeps. Other arrays have no warm-up.
                found["warm_up"] = layers[name].warm_up * found["warm_up"] ** steps if name in rates else _nan()
                measures[name] = layer._replace(**found)
            return measures

        layers = jax.lax.cond(state.step % every == 0, measure, lambda layers: layers, state.layers)
        return new, MeasuredState(optax.safe_increment(state.step), layers, inner)

    return optax.GradientTransformationExtraArgs(init, update)


def scalars(state: optax.OptState) -> dict[str, float]:
    """Return the measures as a flat dict of numbers, for loggers such as TensorBoard, W&B or clu.

    Args:
      state: a tree with a :class:`MeasuredState`, such as a ``TrainState``, an ``nnx.Optimizer`` or its ``nnx.state``.

    Returns:
      ``step``, and a number for each measure and array under ``"gradient/encoder/kernel"`` and so on: the fields of
      :class:`Layer`, and ``update_ratio``, the update divided by the parameter. Measures that are NaN are left out.

    Raises:
      ValueError: ``state`` has no :class:`MeasuredState`.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx = measured(rmsprop(0.1))
      >>> _, state = tx.update({"w": jnp.ones(2)}, tx.init({"w": jnp.ones(2)}), {"w": jnp.ones(2)})
      >>> found = scalars(state)
      >>> found["step"], round(found["update_ratio/w"], 3)
      (1, 0.316)
    """
    states = nodes(_nnx.typed(state, MeasuredState, Layer), MeasuredState)
    if not states:
        raise ValueError("the state must hold a MeasuredState, got none: wrap the optimizer, measured(tx).")
    found: dict[str, float] = {"step": int(jax.tree.leaves(states[0].step)[0])}
    for measured_state in states:
        for name, layer in measured_state.layers.items():
            values = {field: float(jax.tree.leaves(x)[0]) for field, x in layer._asdict().items()}
            if values["parameter"] > 0:
                values["update_ratio"] = values["update"] / values["parameter"]
            found |= {f"{field}/{name}": x for field, x in values.items() if not math.isnan(x)}
    return found


def effective_rates(
    tx: optax.GradientTransformation,
    state: optax.OptState,
    params: optax.Params,
    *,
    entries: int = 1024,
    **extra_args: Any,
) -> dict[str, np.ndarray]:
    """Return the effective learning rates of single entries in the next step, for a histogram of each array.

    The rates come from the optimizer, as in :func:`measured`. A call costs as much as a few steps. Call it outside the
    jitted training step, for example once an epoch.

    Args:
      tx: an optimizer of this package or a chain with one, measured or not.
      state: the state of ``tx``; or a ``TrainState``, an ``nnx.Optimizer`` or its ``nnx.state`` with it.
      params: the parameters; in nnx ``nnx.state(model, nnx.Param)``. Only their names and dtypes matter.
      entries: largest number of entries of an array, at least 1. A larger array is sampled; the real and imaginary
        parts of a complex entry are sampled as two.
      extra_args: further arguments of ``tx.update``.

    Returns:
      Name of each array with a mean square → float32 [entries]. A rate above 1e10 means that neither a gradient nor an
      epsilon bounds it.

    Raises:
      ValueError: ``entries`` is not a whole number above 0, ``state`` has no mean square or belongs to another
        optimizer, or ``params`` do not match ``state``.
      TypeError: ``tx`` is not a transformation.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx = rmsprop(0.1, decay=0.75, eps=0.0)
      >>> params = {"w": jnp.array([3.0, 4.0])}
      >>> _, state = tx.update({"w": jnp.array([1.0, 10.0])}, tx.init(params), params)
      >>> effective_rates(tx, state, params)["w"]
      array([0.2 , 0.02], dtype=float32)
    """
    _checks.whole("entries", entries)
    tx = optimizer(tx)
    state = _nnx.typed(state, ScaleByRmsState, _nnx.Whole)
    state = getattr(state, "opt_state", state)
    if not nodes(state, ScaleByRmsState):
        raise ValueError(
            "effective_rates needs a state with a ScaleByRmsState, got none: give the state of an optimizer of "
            "rmsprop_optax, such as rmsprop(0.1).init(params)."
        )
    nus = samples(state, entries)
    if missing := [name for name in nus if name not in named(params)]:
        raise ValueError(
            f"params must be those of the state, got none of {some(missing)}: call effective_rates(tx, state, params)."
        )
    # jax.jit keeps only a weak reference to tx.update: a second call compiles nothing, and tx can be freed.
    _, rate = probe(tx._replace(update=jax.jit(tx.update)), params, state, nus, extra_args)
    most = max((nu.size for nu in nus.values()), default=0)
    rates = rates_at(rate, {name: jnp.resize(nu, (most,)) for name, nu in nus.items()})
    return {name: np.asarray(found)[: nus[name].size] for name, found in rates.items()}


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


def report(state: optax.OptState) -> str:
    """Return the measures as a table for a terminal, one line for each array.

    Args:
      state: a tree with a :class:`MeasuredState`, such as a ``TrainState``, an ``nnx.Optimizer`` or its ``nnx.state``.

    Returns:
      Root mean squares of gradient, update and parameter; the ratio of update and parameter; the learning rate and the
      effective learning rates; shares in percent. ``-`` stands for a measure that does not exist.

    Raises:
      ValueError: ``state`` has no :class:`MeasuredState`.

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


def _unmeasured(names: Iterable[str]) -> dict[str, Layer]:
    # Each field is an array of its own: one array in two fields could not be donated.
    start = dict.fromkeys(Layer._fields, math.nan) | {"warm_up": 1.0}
    return {name: Layer(**{field: jnp.full((), x, jnp.float32) for field, x in start.items()}) for name in names}


def _nan() -> jax.Array:
    return jnp.full((), jnp.nan, jnp.float32)


def _rms(x: jax.Array) -> jax.Array:
    square = jnp.square(jnp.abs(x).astype(jnp.float32))
    return jnp.sqrt(square.mean()) if x.size else _nan()


def _rates(
    tx: optax.GradientTransformationExtraArgs,
    updates: optax.Updates,
    before: optax.OptState,
    after: optax.OptState,
    extra_args: Mapping[str, Any],
) -> dict[str, dict[str, jax.Array]]:
    """Name of each array → the measures that depend on the mean square ``after`` the update."""
    nus = mean_squares(after)
    kept, rate_of = probe(tx, updates, before, nus, extra_args)
    # The largest mean square has the smallest rate.
    points = {
        name: jnp.stack([HUGE, TINY**2, nu.max(), jnp.median(sample(nu, _SAMPLE)), nu.min()])
        for name, nu in nus.items()
    }
    found = {}
    for name, (huge, tiny, least, median, most) in rates_at(rate_of, points).items():
        rate, nu = huge * HUGE**0.5, nus[name]
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
