"""Measures equal their definitions, in every wrapper of an optimizer."""

import functools
import gc
import weakref

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from rows import long

from rmsprop_optax import dialects, rmsprop, scale_by_rms, with_remainder
from rmsprop_optax.measure import Layer, MeasuredState, effective_rates, measured, report, scalars
from rmsprop_optax.storage import decoded

RATE = optax.linear_schedule(0.1, 0.01, 10)
PARAMS = {"a": {"w": jnp.linspace(-1.0, 2.0, 60).reshape(5, 12)}, "b": jnp.full(7, 0.5)}


def gradients(step):
    rng = np.random.default_rng(step)
    return {
        "a": {"w": jnp.asarray(10.0 ** rng.uniform(-4, 1, (5, 12)), jnp.float32)},
        "b": jnp.asarray(rng.standard_normal(7) * (np.arange(7) > 1), jnp.float32),
    }


def trained(tx, steps=5, params=PARAMS, make=gradients):
    state, update = tx.init(params), jax.jit(tx.update)
    for step in range(steps):
        with jax.numpy_dtype_promotion("standard"):  # optax's clipping and schedules
            updates, state = update(make(step), state, params)
    return updates, state


# Name → optimizer, effective learning rate at a mean square in step 5, and learning rate in step 5.
FIFTH = float(RATE(4))
CASES = {
    "optax": (rmsprop(0.1), lambda nu: 0.1 / np.sqrt(nu + 1e-8), 0.1),
    "both": (
        dialects.neon(learning_rate=0.1, decay_rate=0.9, epsilon=1e-2),
        lambda nu: 0.1 / (np.sqrt(nu + 1e-2) + 1e-2),
        0.1,
    ),
    "schedule": (rmsprop(RATE, momentum=0.9), lambda nu: FIFTH / np.sqrt(nu + 1e-8), FIFTH),
    "pytorch": (dialects.pytorch(0.1, momentum=0.9, eps=1e-3), lambda nu: 0.1 / (np.sqrt(nu) + 1e-3), 0.1),
    "decays": (rmsprop(0.1, l2=0.1, weight_decay=0.1), lambda nu: 0.1 / np.sqrt(nu + 1e-8), 0.1),
    "tf1": (dialects.tf1(0.1, epsilon=1e-2), lambda nu: 0.1 / np.sqrt(nu + 1e-2), 0.1),
    "centered": (rmsprop(0.1, centered=True, eps=1e-4), lambda nu: 0.1 / np.sqrt(nu + 1e-4), 0.1),
    "corrected": (rmsprop(0.1, bias_correction=True), lambda nu: 0.1 / np.sqrt(nu + 1e-8), 0.1),
    "floor": (rmsprop(0.1, floor=0.5), lambda nu: 0.1 / np.maximum(np.sqrt(nu + 1e-8), 0.5), 0.1),
    "clipped": (
        optax.chain(optax.clip_by_global_norm(1e-3), rmsprop(0.1)),
        lambda nu: 0.1 / np.sqrt(nu + 1e-8),
        0.1,
    ),
    "uint8": (rmsprop(0.1, storage="uint8"), lambda nu: 0.1 / np.sqrt(nu + 1e-8), 0.1),
    "injected": (
        optax.inject_hyperparams(rmsprop, hyperparam_dtype=jnp.float32)(RATE),
        lambda nu: FIFTH / np.sqrt(nu + 1e-8),
        FIFTH,
    ),
    "decay 0": (rmsprop(0.1, decay=0.0), lambda nu: 0.1 / np.sqrt(nu + 1e-8), 0.1),
}


@functools.cache
def with_measures(case):
    """Shared, so that its step is compiled once."""
    return measured(CASES[case][0])


@pytest.mark.parametrize("case", CASES)
def test_effective_learning_rates_are_those_of_the_rule(case):
    _, effective, rate = CASES[case]
    _, state = trained(with_measures(case))
    for name, nu in {"a/w": optax.tree.get(state, "nu")["a"]["w"], "b": optax.tree.get(state, "nu")["b"]}.items():
        nu = np.asarray(decoded(nu), np.float64)
        expected = effective(np.array([nu.max(), np.median(nu), nu.min()]))
        found = state.layers[name]
        # Some ten roundings of float32.
        np.testing.assert_allclose([found.lr_min, found.lr_median, found.lr_max], expected, rtol=1e-5)
        assert float(found.learning_rate) == pytest.approx(rate, rel=1e-5)


@pytest.mark.parametrize("case", long(["both", "schedule", "decay 0", "uint8"], ["both", "uint8"]))
def test_effective_learning_rates_of_single_entries(case):
    tx, effective, _ = CASES[case]
    _, state = trained(tx, 4)
    tx_measured = with_measures(case)
    with jax.numpy_dtype_promotion("standard"):
        found = effective_rates(tx, state, PARAMS)
        some = effective_rates(tx_measured, tx_measured.init(PARAMS)._replace(inner=state), PARAMS, entries=40)
    nu = optax.tree.get(state, "nu")
    for name, stored in {"a/w": nu["a"]["w"], "b": nu["b"]}.items():
        expected = effective(np.asarray(decoded(stored), np.float64).ravel())
        np.testing.assert_allclose(found[name], expected, rtol=1e-5)
        assert len(some[name]) == min(expected.size, 40)
        np.testing.assert_array_less(np.abs(some[name][:, None] / expected - 1).min(1), 1e-5)


def test_the_median_of_many_entries_is_not_that_of_a_column():
    # With rows and columns of a power of two, even steps would sample one column.
    params = {"w": jnp.ones((256, 64))}
    size = np.broadcast_to(10.0 ** np.arange(-2, 2, 1 / 16), (256, 64))
    for scales in (size, size.reshape(64, 256).T):
        _, state = trained(measured(rmsprop(0.1)), 1, params, lambda step, scales=scales: {"w": jnp.asarray(scales)})
        found = effective_rates(rmsprop(0.1), state.inner, params, entries=256)["w"]
        expected = 0.1 / np.sqrt(0.1) / np.quantile(scales, [0.6, 0.5, 0.4])
        # Of 128 entries an error of a tenth is two and a half standard deviations if they are random.
        assert expected[0] < float(state.layers["w"].lr_median) < expected[2]
        assert expected[0] < np.median(found) < expected[2]


def test_the_state_can_be_donated():
    tx = measured(rmsprop(0.1))
    params = jax.tree.map(jnp.copy, PARAMS)
    update = jax.jit(lambda state: tx.update(params, state, params)[1], donate_argnums=0)
    assert int(update(update(tx.init(params))).step) == 2


@pytest.mark.parametrize("case", ["schedule", "corrected", "clipped", "uint8"])
def test_the_updates_are_those_without_measures(case):
    tx = CASES[case][0]
    (updates, state), (expected, inner) = trained(with_measures(case)), trained(tx)
    # XLA may fuse the two programs differently: the last bit may differ.
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), (updates, state.inner), (expected, inner))


def test_sizes_and_shares():
    tx = measured(rmsprop(0.1, eps=1e-2))
    updates, state = trained(tx, 3)
    layer, grads = state.layers["b"], gradients(2)["b"]
    for x, found in ((grads, layer.gradient), (updates["b"], layer.update), (PARAMS["b"], layer.parameter)):
        assert float(found) == pytest.approx(float(np.sqrt(np.mean(np.square(x)))), rel=1e-6)
    assert float(layer.silent) == pytest.approx(2 / 7)
    nus = optax.tree.get(state, "nu")
    for name, nu in {"a/w": nus["a"]["w"], "b": nus["b"]}.items():
        assert float(state.layers[name].below_eps) == pytest.approx(float((nu < 1e-2).mean()))
    assert 0 < float(state.layers["a/w"].below_eps) < 1


@pytest.mark.parametrize(("options", "expected"), [({"decay": 0.99}, 0.99**7), ({"bias_correction": True}, 0.0)])
@pytest.mark.parametrize("every", [1, 3])
def test_warm_up(options, expected, every):
    _, state = trained(measured(rmsprop(0.1, **options), every=every), 7)
    assert float(state.layers["b"].warm_up) == pytest.approx(expected, rel=1e-5)


def test_measures_stay_between():
    tx = measured(rmsprop(0.1), every=3)
    found = [float(trained(tx, steps)[1].layers["b"].gradient) for steps in range(1, 8)]
    assert found[0] == found[1] == found[2] != found[3] == found[4] == found[5] != found[6]


def test_in_a_scan():
    tx = measured(rmsprop(RATE, momentum=0.9), every=2)

    def step(state, scale):
        _, state = tx.update(jax.tree.map(lambda p: scale * p, PARAMS), state, PARAMS)
        return state, state.layers["b"].update

    state, history = jax.jit(lambda state: jax.lax.scan(step, state, jnp.arange(1.0, 7.0)))(tx.init(PARAMS))
    assert int(state.step) == 6
    assert history.shape == (6,)
    assert len(set(history.tolist())) == 3


def layers(state):
    [found] = [x for x in jax.tree.leaves(state, is_leaf=is_measured) if is_measured(x)]
    return found.layers


def is_measured(x):
    return isinstance(x, MeasuredState)


PLACES = {
    "MultiSteps": lambda tx: optax.MultiSteps(measured(tx), 2),
    "in masked": lambda tx: optax.masked(measured(tx), {"a": True, "b": False}),
    "around masked": lambda tx: measured(optax.masked(tx, {"a": True, "b": False})),
    "partition": lambda tx: optax.partition({"x": measured(tx), "y": optax.sgd(0.1)}, {"a": "x", "b": "y"}),
    "around partition": lambda tx: measured(optax.partition({"x": tx, "y": optax.adam(0.1)}, {"a": "x", "b": "y"})),
    "apply_if_finite": lambda tx: optax.apply_if_finite(measured(tx), 3),
    "remainder": lambda tx: with_remainder(measured(tx)),
}


@pytest.mark.parametrize("place", PLACES)
def test_wherever_an_optimizer_stands(place):
    _, state = trained(PLACES[place](rmsprop(0.1, momentum=0.9)), 4)
    found = layers(state)
    assert float(found["a/w"].learning_rate) == pytest.approx(0.1, rel=1e-5)
    if place in ("around masked", "around partition"):
        assert np.isnan(found["b"].lr_max)
        assert found["b"].gradient > 0


nnx_update = nnx.jit(nnx.Optimizer.update)


def test_flax_optimizers():
    model = nnx.Linear(5, 12, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, measured(rmsprop(0.1)), wrt=nnx.Param)
    nnx_update(optimizer, model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    assert scalars(optimizer)["learning_rate/kernel"] == pytest.approx(0.1, rel=1e-5)
    state = TrainState.create(apply_fn=None, params=PARAMS, tx=measured(rmsprop(0.1)))
    state = jax.jit(TrainState.apply_gradients)(state, grads=gradients(0))
    assert scalars(state)["learning_rate/a/w"] == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "complex64"])
@pytest.mark.parametrize("make", [rmsprop, dialects.pytorch])
def test_other_dtypes(make, dtype):
    params = {"w": jnp.ones((4, 3), dtype), "empty": jnp.zeros((0, 3), dtype), "scalar": jnp.ones((), dtype)}
    _, state = trained(measured(make(0.1)), 2, params, lambda step: params)
    assert float(state.layers["w"].learning_rate) == pytest.approx(0.1, rel=1e-5)
    assert float(state.layers["scalar"].learning_rate) == pytest.approx(0.1, rel=1e-5)
    assert np.isnan(state.layers["empty"].lr_max)
    with jax.numpy_dtype_promotion("standard"):
        assert "empty" not in "".join(key for key in scalars(state) if key.startswith("lr"))


DOUBLE = [
    *(("float64", {}), ("complex128", {"storage": "float32"}), ("float64", {"storage": "float32"})),
    *(("float64", {"centered": True}), ("complex128", {}), ("complex128", {"centered": True})),
    *(("complex128", {"storage": "uint8"}), ("float64", {"storage": "uint8"})),
]


@pytest.mark.parametrize(("dtype", "options"), long(DOUBLE, DOUBLE[1::2]), ids=str)
def test_double_precision(dtype, options):
    with jax.enable_x64(True):
        params = {"w": jnp.linspace(1e-3, 1, 12, dtype=dtype).reshape(4, 3)}
        tx = measured(rmsprop(0.1, momentum=0.9, **options))
        _, state = trained(tx, 3, params, lambda step: params)
        found = effective_rates(tx, state, params)["w"]
        nu = np.ravel([decoded(x) for x in jax.tree.leaves(optax.tree.get(state, "nu"))])
        layer = state.layers["w"]
    np.testing.assert_allclose(found, 0.1 / np.sqrt(nu + 1e-8), rtol=1e-5)
    ends = 0.1 / np.sqrt(np.array([nu.max(), np.median(nu), nu.min()]) + 1e-8)
    np.testing.assert_allclose([layer.lr_min, layer.lr_median, layer.lr_max], ends, rtol=1e-5)
    assert {x.dtype for x in (*layer, found)} == {np.dtype("float32")}


def test_effective_rates_in_flax():
    """The same as for a plain state and plain parameters, from each container that holds the state."""
    tx = measured(rmsprop(lambda count: jnp.where(count > 0, 0.1, 0.2), centered=True, momentum=0.9))
    model = nnx.Linear(5, 12, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    params = nnx.state(model, nnx.Param)
    nnx_update(optimizer, model, jax.tree.map(jnp.ones_like, params))
    plain = nnx.to_pure_dict(params)
    _, state = jax.jit(tx.update)(jax.tree.map(jnp.ones_like, plain), tx.init(plain), plain)
    expected = effective_rates(tx, state, plain)
    state = nnx.state(optimizer)
    for found in (optimizer, optimizer.opt_state, state, state["opt_state"], nnx.to_pure_dict(state)):
        jax.tree.map(np.testing.assert_array_equal, effective_rates(tx, found, params), expected)


def test_a_measured_state_is_exported():
    tx = measured(scale_by_rms())
    state = tx.init(jnp.ones(2))
    exported = jax.export.export(jax.jit(tx.update))(jnp.ones(2), state, jnp.ones(2))
    again = jax.export.deserialize(exported.serialize())
    same = functools.partial(jax.tree.map, np.testing.assert_array_equal)
    same(again.call(jnp.ones(2), state, jnp.ones(2)), tx.update(jnp.ones(2), state, jnp.ones(2)))


def test_effective_rates_compile_once_and_free_the_optimizer():
    tx, count = rmsprop(0.1, momentum=0.9), []

    def update(*args, **extra_args):
        count.append(1)
        return tx.update(*args, **extra_args)

    watched = optax.GradientTransformationExtraArgs(tx.init, update)
    state = tx.init(PARAMS)
    first = effective_rates(watched, state, PARAMS)
    traces = len(count)
    jax.tree.map(np.testing.assert_array_equal, effective_rates(watched, state, PARAMS), first)
    assert len(count) == traces
    alive = weakref.ref(update)
    del watched, update
    gc.collect()
    assert alive() is None


def test_other_optimizers_have_sizes_alone():
    tx = measured(optax.sgd(0.1))
    _, state = trained(tx, 1)
    names = {key.partition("/")[0] for key in scalars(state)}
    assert names == {"step", "gradient", "update", "parameter", "update_ratio"}


@pytest.mark.parametrize("tx", [optax.adam(0.1), measured(optax.sgd(0.1))])
def test_effective_rates_need_a_mean_square(tx):
    with pytest.raises(ValueError, match=r"needs a state with a ScaleByRmsState, got none: .*rmsprop"):
        effective_rates(tx, tx.init(PARAMS), PARAMS)


def test_an_optimizer_without_parameters_has_no_effective_rates():
    tx = rmsprop(0.1)
    assert effective_rates(tx, tx.init({}), {}) == {}
    assert effective_rates(tx, tx.init({"w": jnp.ones((0, 3))}), {"w": jnp.ones((0, 3))}) == {}


def test_no_parameters_no_ratio():
    tx = measured(rmsprop(0.1))
    _, state = tx.update(PARAMS, tx.init(PARAMS))
    assert not any(key.startswith(("parameter", "update_ratio")) for key in scalars(state))


def test_the_report_has_a_line_for_each_array():
    _, state = trained(measured(rmsprop(0.1)), 3)
    lines = report(state).splitlines()
    assert [line.split()[0] for line in lines] == ["step", "a/w", "b"]
    assert len({len(line) for line in lines}) == 1
    assert all(len(line) <= 116 for line in lines)
    assert len(lines[1].split()) == 1 + len(Layer._fields) + 1


def test_the_report_of_what_cannot_be_measured():
    tx, zeros = measured(optax.sgd(0.1)), {"w": jnp.zeros(2)}
    _, state = tx.update({"w": jnp.ones(2)}, tx.init(zeros), zeros)
    assert report(state).splitlines()[1].split() == ["w", "1", "0.1", "0", *8 * ["-"]]


@pytest.mark.parametrize("number", [0, -3, 1.5, True, "2"])
def test_numbers_of_steps_and_entries_are_whole(number):
    tx = rmsprop(0.1)
    with pytest.raises(ValueError, match=f"every must be a whole number above 0, got every={number!r}"):
        measured(tx, every=number)
    with pytest.raises(ValueError, match=f"entries must be a whole number above 0, got entries={number!r}"):
        effective_rates(tx, tx.init(PARAMS), PARAMS, entries=number)


def test_a_state_without_measures():
    with pytest.raises(ValueError, match="wrap the optimizer"):
        scalars(rmsprop(0.1).init(PARAMS))
