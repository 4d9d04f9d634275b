"""Wrappers of a whole optimizer: float32 updates, and bfloat16 parameters with a remainder."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from rmsprop_optax import bfloat16, dialects, float32_updates, rmsprop, scale_by_gains, with_remainder, with_storage


def parameters(seed=0):
    """Over 14 decades, both signs, and zeros; bfloat16 beside what is left alone."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(2048) * np.exp(rng.normal(0, 4, 2048)) * (np.arange(2048) % 50 > 0)
    return {"short": jnp.asarray(values, jnp.bfloat16), "wide": jnp.ones(3), "absent": None}


@jax.jit
def apply_updates(params, updates):
    with jax.numpy_dtype_promotion("standard"):  # optax adds a float32 to a bfloat16
        return optax.apply_updates(params, updates)


@pytest.mark.parametrize("storage", ["float32", "uint8"])
def test_a_remainder_makes_bfloat16_parameters_float32_to_the_last_bit(storage):
    rule = rmsprop(1e-3, momentum=0.9, weight_decay=0.1, storage=storage)
    tx, params = with_remainder(rule), parameters()
    exact = jax.tree.map(lambda p: p.astype(jnp.float32), params)
    state, other = tx.init(params), rule.init(exact)
    update, truth = jax.jit(tx.update), jax.jit(rule.update)
    moved = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        grads = jax.tree.map(lambda p, rng=rng: jnp.asarray(rng.standard_normal(p.shape), p.dtype), params)
        updates, state = update(grads, state, params)
        before, params = params, apply_updates(params, updates)
        updates, other = truth(jax.tree.map(lambda g: g.astype(jnp.float32), grads), other, exact)
        exact = apply_updates(exact, updates)
        whole = params["short"].astype(jnp.float32).view(jnp.int32) + state.remainder["short"].astype(jnp.int32)
        np.testing.assert_array_equal(whole.view(jnp.float32), exact["short"])
        np.testing.assert_array_equal(params["wide"], exact["wide"])
        moved += int((params["short"] != before["short"]).sum())
    assert moved > 10_000
    # Half of a last place at most, 1/256 of the power of two below.
    near = np.abs(np.asarray(params["short"], np.float64) - np.asarray(exact["short"], np.float64))
    assert (near <= np.abs(np.asarray(exact["short"], np.float64)) / 256).all()
    assert state.remainder["wide"] is None
    assert params["short"].dtype == jnp.bfloat16


def test_without_a_remainder_small_steps_are_lost():
    params = jnp.ones(1, jnp.bfloat16)
    for tx, lands in ((rmsprop(1e-4, decay=0.0), 1.0), (with_remainder(rmsprop(1e-4, decay=0.0)), 0.9921875)):
        p, state = params, tx.init(params)
        for _ in range(80):
            updates, state = tx.update(jnp.ones(1, jnp.bfloat16), state, p)
            p = apply_updates(p, updates)
        assert float(p[0]) == lands


def test_signs_and_ends_survive_a_remainder():
    tx = with_remainder(optax.scale(1.0))  # the update is what it is given

    def land(start, *steps):
        p = jnp.asarray([start], jnp.bfloat16)
        state = tx.init(p)
        for step in steps:
            g = jnp.asarray([step], jnp.float32)
            updates, state = tx.update(g, state, p, value=0.0)  # scale takes no value
            p = apply_updates(p, updates)
        return float(p[0])

    assert land(1.0, -1.0, 1.0) == 1.0
    assert land(1.0, -1.0 - 2.0**-20, 2.0**-20) == 0.0
    assert land(-3.0, 6.0) == 3.0
    assert land(2.0**100, -(2.0**100), 1.0) == 1.0
    assert np.isnan(land(1.0, np.nan))
    assert land(1.0, np.inf) == np.inf


def test_a_remainder_leaves_wider_parameters_and_absent_gradients_alone():
    with jax.enable_x64(True):
        params = {"frozen": jnp.ones(2, jnp.bfloat16), "n": jnp.arange(2), "wide": jnp.array([1 / 3, 2.0], jnp.float64)}
        params["half"] = params["wide"].astype(jnp.float16)
        grads = {"frozen": None, "n": None, "wide": params["wide"] / 7, "half": params["half"] / 7}
        plain = rmsprop(0.1)
        tx = with_remainder(plain)
        updates, state = jax.jit(tx.update)(grads, tx.init(params), params)
        expected, _ = jax.jit(plain.update)(grads, plain.init(params), params)
        assert updates["frozen"] is updates["n"] is None
        np.testing.assert_array_equal(state.remainder["frozen"], 0)
        for name in ("wide", "half"):
            np.testing.assert_array_equal(updates[name], expected[name])
            assert updates[name].dtype == params[name].dtype


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "complex64"])
def test_float32_updates_are_those_of_float32_gradients(dtype):
    grads = {"w": jnp.asarray([0.1, -2.0, 3.0], dtype), "absent": None}
    tx = float32_updates(dialects.keras(momentum=0.9))
    updates, _ = tx.update(grads, tx.init(grads), grads)
    wide = jax.tree.map(lambda g: g.astype(np.promote_types(g.dtype, "float32")), grads)
    expected, _ = dialects.keras(momentum=0.9).update(wide, dialects.keras(momentum=0.9).init(wide), wide)
    jax.tree.map(np.testing.assert_array_equal, updates, expected)
    assert updates["w"].dtype == expected["w"].dtype
    theirs = float32_updates(optax.chain(optax.trace(0.9), optax.add_decayed_weights(0.1)))
    found = theirs.update(grads, theirs.init(grads), grads)
    assert {x.dtype for x in jax.tree.leaves(found)} == {wide["w"].dtype}


def test_an_abstract_array_is_widened_where_it_is():
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[1])
    short, wide, whole = (jax.ShapeDtypeStruct((2,), d, sharding=sharding) for d in ("bfloat16", "float32", "int32"))
    assert bfloat16._widened([short, whole]) == [wide, whole]


def test_a_short_state_is_saved_and_restored_to_the_bit(tmp_path):
    tx = with_remainder(
        optax.chain(
            with_storage(dialects.pytorch(momentum=0.9), "uint8", momentum_storage="bfloat16"), scale_by_gains()
        )
    )
    params = {"w": jnp.linspace(-1, 1, 64).reshape(8, 8).astype(jnp.bfloat16)}
    step = jax.jit(tx.update)
    _, state = step(params, tx.init(params), params)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", jax.eval_shape(tx.init, params))
    assert jax.tree.map(lambda x: x.dtype, restored) == jax.tree.map(lambda x: x.dtype, state)
    before, after = (jax.tree.leaves(step(params, s, params)) for s in (state, restored))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(np.asarray(a, np.float32), np.asarray(b, np.float32))


def test_a_storage_is_for_moments_alone():
    """What else a chain keeps, as the count of a schedule, is as with the option of that name."""
    options, params = {"learning_rate": optax.linear_schedule(0.1, 0.01, 10), "momentum": 0.9}, jnp.ones(3)
    whole = optax.chain(scale_by_gains(), rmsprop(**options))
    found = with_storage(whole, "uint8", momentum_storage="bfloat16").init(params)
    short = rmsprop(**options, storage="uint8", momentum_storage="bfloat16")
    expected = optax.chain(scale_by_gains(), short).init(params)
    assert jax.tree.map(lambda x: x.dtype, found) == jax.tree.map(lambda x: x.dtype, expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
