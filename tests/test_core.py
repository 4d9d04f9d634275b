"""The equations of the core: against float64, by their properties, and at the ends of their ranges."""

import itertools
import re
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import step as compiled_step
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from rows import PLAIN, PROGRAMS, long

import rmsprop_optax
from rmsprop_optax import (
    ScaleByRmsState,
    _complex,
    _paths,
    _scale,
    _tree,
    dialects,
    nesterov_eval_params,
    rmsprop,
    scale_by_gains,
    scale_by_rms,
)


def updates_of(tx, gradients, jit=True):
    """The update and the mean square after every step of a stream, as float64 arrays."""
    state = tx.init(jnp.zeros_like(gradients[0]))

    def step(state, g):
        u, state = tx.update(g, state, g)
        return state, (u, optax.tree.get(state, "nu"))

    if jit:
        out = jax.jit(lambda s, g: jax.lax.scan(step, s, g)[1])(state, gradients)
    else:
        out = []
        for g in gradients:
            state, row = step(state, g)
            out.append([np.asarray(x) for x in row])
        out = [np.stack(column) for column in zip(*out, strict=True)]
    return [np.asarray(x, np.float64) for x in out]


# Against float64


@pytest.mark.parametrize("decay", [0.9, 0.99, 0.999])
def test_centered_recurrence_is_the_difference_of_the_moments(decay):
    with jax.enable_x64(True):
        gradients = 1 + np.random.default_rng(0).standard_normal((200, 5))
        for initial_scale, bias_correction in ((0.0, False), (1.0, False), (0.0, True)):
            tx = scale_by_rms(decay, centered=True, initial_scale=initial_scale, bias_correction=bias_correction)
            _, nu = updates_of(tx, jnp.asarray(gradients))
            v, m = np.full(5, initial_scale), np.zeros(5)
            for t, g in enumerate(gradients, start=1):
                v, m = decay * v + (1 - decay) * g**2, decay * m + (1 - decay) * g
                weight = 1 - decay**t if bias_correction else 1.0
                np.testing.assert_allclose(nu[t - 1], v / weight - (m / weight) ** 2, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999, 0.999999])
@pytest.mark.parametrize("traced", [False, True], ids=["static", "traced"])
def test_bias_correction_as_a_decay_is_adams(decay, traced):
    gradients = np.random.default_rng(0).standard_normal((300, 5)).astype(np.float32)
    # A decay that float32 holds exactly gives both sides the same 1 - decay.
    decay = float(np.float32(decay))
    tx = scale_by_rms(jnp.float32(decay) if traced else decay, eps=1e-8, eps_in_sqrt=False, bias_correction=True)
    ours, _ = updates_of(tx, jnp.asarray(gradients))
    v = np.zeros(5)
    for t, (g, u) in enumerate(zip(gradients.astype(np.float64), ours, strict=True)):
        v = decay * v + (1 - decay) * g**2
        np.testing.assert_allclose(u, g / (np.sqrt(v / (1 - decay ** (t + 1))) + 1e-8), rtol=2e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("centered", [False, True])
def test_low_precision_does_not_stall(dtype, centered):
    # optax keeps nu in the parameter's dtype and stops at half of it in bfloat16.
    gradients = jnp.full((20_000, 1), 0.5, dtype)
    _, nu = updates_of(scale_by_rms(0.999, centered=centered), gradients)
    np.testing.assert_allclose(nu[-1], 0.0 if centered else 0.25, rtol=0.01, atol=1e-6)


@pytest.mark.parametrize("row", long(PLAIN, PROGRAMS))
def test_low_precision_follows_float32(row):
    tx = row()
    normal = np.random.default_rng(0).standard_normal((50, 6)) * 1e-3
    low = {dtype: jnp.asarray(normal, dtype) for dtype in ("bfloat16", "float16")}
    params = {dtype: g[0] for dtype, g in low.items()}

    def step(states, g):
        wide = jax.tree.map(lambda x: x.astype(jnp.float32), g)
        pairs = [tx.update(g, state, g) for g, state in zip((g, wide), states, strict=True)]
        return tuple(state for _, state in pairs), tuple(updates for updates, _ in pairs)

    wide = jax.tree.map(lambda x: x.astype(jnp.float32), params)
    _, (found, expected) = jax.jit(lambda s: jax.lax.scan(step, s, low))((tx.init(params), tx.init(wide)))
    # The one rounding is that of the update: half a unit in the last place, or of the smallest subnormal number.
    for dtype in low:
        info = jnp.finfo(dtype)
        np.testing.assert_allclose(
            np.float64(found[dtype]),
            np.float64(expected[dtype]),
            rtol=float(info.eps) / 2,
            atol=float(info.smallest_subnormal),
        )


# Properties

finite = npst.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.sampled_from([1, 4])),  # outside jit each number of entries is compiled anew
    elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-6),
)
huge = npst.arrays(np.float32, (4, 4), elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
quick = settings(max_examples=30, deadline=None, derandomize=True)


@quick
@given(finite | huge, st.sampled_from([0.0, 0.9, 0.999]))
def test_an_update_is_at_most_the_root_of_the_newest_weight(gradients, decay):
    updates, _ = updates_of(scale_by_rms(decay, eps=0.0), jnp.asarray(gradients), jit=False)
    assert (np.abs(updates) <= (1 - decay) ** -0.5 * (1 + 1e-6)).all()


@quick
@given(finite, st.integers(-20, 20), st.booleans())
def test_without_epsilon_the_scale_of_the_gradients_does_not_matter(gradients, power, bias_correction):
    tx = scale_by_rms(0.9, eps=0.0, bias_correction=bias_correction)
    updates, _ = updates_of(tx, jnp.asarray(gradients), jit=False)
    scaled, _ = updates_of(tx, jnp.asarray(gradients * 2.0**power, jnp.float32), jit=False)
    # Powers of two scale every operation exactly.
    np.testing.assert_array_equal(updates, scaled)


@quick
@given(finite, st.booleans())
def test_each_entry_is_alone(gradients, centered):
    tx = scale_by_rms(0.9, centered=centered)
    updates, _ = updates_of(tx, jnp.asarray(gradients), jit=False)
    for i in range(gradients.shape[1]):
        alone, _ = updates_of(tx, jnp.asarray(gradients[:, i]), jit=False)
        np.testing.assert_array_equal(updates[:, i], alone)


@quick
@given(finite, st.sampled_from([0.0, 0.5, 0.999]), st.booleans())
def test_the_variance_is_never_negative(gradients, decay, bias_correction):
    tx = scale_by_rms(decay, eps=0.0, centered=True, bias_correction=bias_correction)
    updates, nu = updates_of(tx, jnp.asarray(gradients), jit=False)
    assert (nu >= 0).all()
    assert np.isfinite(updates).all()


@quick
@given(finite)
def test_momentum_order_matters_only_when_the_rate_changes(gradients):
    gradients = jnp.asarray(gradients)
    before, _ = updates_of(rmsprop(0.25, momentum=0.5), gradients, jit=False)
    after, _ = updates_of(rmsprop(0.25, momentum=0.5, lr_in_momentum=False), gradients, jit=False)
    np.testing.assert_array_equal(before, after)


def test_momentum_order_matters_when_the_rate_changes():
    gradients, rate = jnp.ones((5, 1)), optax.exponential_decay(1.0, 1, 0.5)
    with jax.numpy_dtype_promotion("standard"):  # the schedule divides a count
        before, _ = updates_of(rmsprop(rate, momentum=0.5), gradients)
        after, _ = updates_of(rmsprop(rate, momentum=0.5, lr_in_momentum=False), gradients)
    assert (np.abs(after[1:]) < np.abs(before[1:])).all()


# The ends of the ranges


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("huge", [1e20, 3e38])
def test_a_gradient_whose_square_overflows_neither_leaps_nor_silences_its_weight_for_ever(centered, huge):
    gradients = jnp.ones((3000, 1)).at[10].set(huge)
    updates, nu = updates_of(scale_by_rms(0.9, eps=1.0, centered=centered), gradients)
    assert np.isfinite(nu).all()
    # |g| / √nu is at most 1 / √(1 − decay); about a mean, a single far point makes it 1 / √(decay·(1 − decay)).
    assert np.abs(updates[10]) <= (0.09**-0.5 if centered else 0.1**-0.5) * (1 + 1e-6)
    np.testing.assert_allclose(np.abs(updates[-1]), 1.0 if centered else 0.5**0.5, rtol=1e-4)


@pytest.mark.parametrize("eps", [1e-8, 1e-45, 0.0])
@pytest.mark.parametrize("in_sqrt", [True, False])
def test_a_first_centered_corrected_step_divides_by_epsilon_alone_and_stays_finite(eps, in_sqrt):
    tx = rmsprop(1.0, eps=eps, eps_in_sqrt=in_sqrt, centered=True, bias_correction=True, momentum=0.9)
    for g in (1.0, 1e10, 1e35, 3e38):
        state = tx.init(jnp.zeros(1))
        updates, state = tx.update(jnp.array([g]), state)
        assert float(optax.tree.get(state, "nu")[0]) == 0
        for _ in range(20):
            assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves((updates, state)))
            updates, state = tx.update(jnp.array([-g]), state)
    np.testing.assert_allclose(
        scale_by_rms(centered=True, bias_correction=True).update(
            jnp.array([3.0]), scale_by_rms(centered=True).init(jnp.zeros(1))
        )[0],
        3e4,
        rtol=1e-6,
    )


def test_a_large_epsilon_is_a_denominator_like_any_other():
    tx = rmsprop(1e19, eps=1e19, eps_in_sqrt=False)
    updates, _ = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
    np.testing.assert_allclose(updates, -2.0, rtol=1e-6)


@pytest.mark.parametrize("centered", [False, True])
def test_an_infinite_gradient_is_seen_in_the_update_and_spares_the_state(centered):
    for g in (jnp.array([jnp.inf]), jnp.array([complex(0, -jnp.inf)]), jnp.array([jnp.nan])):
        tx = scale_by_rms(centered=centered)
        updates, state = tx.update(g, tx.init(g))
        assert bool(jnp.isnan(updates).all())
        assert bool(jnp.isfinite(state.nu).all()) == (not jnp.isnan(g).any())


def test_the_count_stops_at_its_maximum():
    tx = scale_by_rms(0.9, bias_correction=True)
    last = np.iinfo(np.int32).max
    state = tx.init(jnp.ones(1))._replace(count=jnp.int32(last))
    updates, state = tx.update(jnp.ones(1), state)
    assert int(state.count) == last
    assert bool(jnp.isfinite(updates).all())


def test_complex_moments_do_not_follow_the_gradients_dtype():
    with jax.enable_x64(True):
        params, tx = jnp.ones(2, jnp.complex64), rmsprop(0.1, centered=True, momentum=0.9)
        state = tx.init(params)
        _, after = jax.eval_shape(tx.update, params.astype(jnp.complex128), state)
        assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)


def test_none_gradients_leave_their_state_alone():
    params = {"used": jnp.ones(2), "frozen": jnp.ones(3)}
    tx = rmsprop(0.1, centered=True, momentum=0.9, l2=0.1, weight_decay=0.1)
    _, state = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
    updates, after = tx.update({"used": jnp.ones(2), "frozen": None}, state, params)
    assert updates["frozen"] is None
    for name in ("nu", "mu", "trace"):
        before, now = optax.tree.get(state, name), optax.tree.get(after, name)
        assert before["frozen"].all()
        np.testing.assert_array_equal(now["frozen"], before["frozen"])
        assert (now["used"] != before["used"]).all()


def test_a_static_zero_removes_a_link_and_a_dynamic_one_keeps_it():
    def program(tx):
        x = jnp.ones(1)
        return str(jax.make_jaxpr(tx.update)(x, tx.init(x), x)), jax.tree.structure(tx.init(x))

    plain = program(rmsprop(0.1))
    for name in ("momentum", "floor", "l2", "weight_decay"):
        assert all(program(rmsprop(0.1, **{name: off})) == plain for off in (None, 0, np.float32(0)))
        assert program(rmsprop(0.1, **{name: jnp.float32(0)})) != plain
    assert program(dialects.keras(epsilon=1e-8))[1] == plain[1]


@pytest.mark.parametrize("links", [1, 2])
def test_a_chain_rounds_once_at_its_end(links):
    tx, g = _tree.chain(None, *[optax.scale(0.3)] * links), jnp.full(1, 3, jnp.bfloat16)
    np.testing.assert_array_equal(tx.update(g, tx.init(g))[0], jnp.asarray([3 * 0.3**links], jnp.bfloat16))


def test_only_what_is_scheduled_counts():
    def counts(tx):
        return len(optax.tree.get_all_with_path(tx.init(jnp.ones(1)), "count"))

    assert counts(rmsprop(0.1, l2=0.1, weight_decay=0.1)) == 1
    assert counts(rmsprop(0.1, weight_decay=lambda count: 0.1)) == counts(rmsprop(0.1, l2=lambda count: 0.1)) == 2


def test_every_count_is_that_of_the_steps():
    tx, params = rmsprop(lambda count: 0.1, momentum=0.5, weight_decay=lambda count: 0.1), jnp.ones(1)
    state = tx.init(params)
    for _ in range(2):
        _, state = tx.update(params, state, params)
    assert [int(count) for _, count in optax.tree.get_all_with_path(state, "count")] == [2] * 4


@pytest.mark.parametrize("limit", ["minimum", "maximum"])
def test_a_traced_limit_of_gains_is_not_looked_at(limit):
    assert jax.eval_shape(lambda x: scale_by_gains(**{limit: x}).init(x), 0.5).gain.shape == ()


@pytest.mark.parametrize("of", [np.float32, np.float64, np.array], ids=lambda of: of.__name__)
def test_a_number_of_numpys_is_a_python_number(of):
    options = {"decay": 0.5, "eps": 0.25, "l2": 0.25, "momentum": 0.5, "weight_decay": 0.5}
    plain, numpys = rmsprop(0.5, **options), rmsprop(of(0.5), **{name: of(x) for name, x in options.items()})
    grads = jnp.array([1.0, -2.0])
    jax.tree.map(np.testing.assert_array_equal, *(tx.update(grads, tx.init(grads), grads) for tx in (plain, numpys)))


@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize(("of", "dtype"), [("float32", "float64"), ("float64", "float32"), ("float64", "float64")])
def test_a_dynamic_number_may_be_shorter_or_wider_than_the_parameters(of, dtype, correction):
    numbers = {
        "learning_rate": 0.25,
        "decay": 0.5,
        "eps": 0.25,
        "floor": 0.5,
        "momentum": 0.5,
        "l2": 0.25,
        "weight_decay": 0.5,
    }
    gains = {"increase": 0.25, "growth": 1.25, "shrink": 0.5, "minimum": 0.5, "maximum": 2.0}

    def steps(convert):
        options = {name: convert(x) for name, x in numbers.items()}
        options |= {"eps_in_sqrt": None, "centered": not correction, "bias_correction": correction}
        tx = rmsprop(**options, nesterov=True)
        tx = optax.chain(scale_by_gains(**{name: convert(x) for name, x in gains.items()}), tx)
        params = jnp.array([1.0, -2.0], dtype)
        state = tx.init(params)
        for g in (params, -params, params):
            updates, state = tx.update(g, state, params)
        return updates, state, nesterov_eval_params(state, params, options["momentum"])

    with jax.enable_x64(True):
        found, expected = steps(lambda x: jnp.asarray(x, of)), steps(float)
        jax.tree.map(np.testing.assert_array_equal, found, expected)  # a float32 holds all these numbers
        assert jax.tree.map(lambda x: x.dtype, found) == jax.tree.map(lambda x: x.dtype, expected)


def test_the_public_state_is_what_the_docs_say():
    state = scale_by_rms().init(jnp.ones(2))
    assert isinstance(state, ScaleByRmsState)
    assert state._fields == ("count", "nu", "mu")
    assert state.mu is None
    assert rmsprop_optax.__all__ == sorted(rmsprop_optax.__all__)
    np.testing.assert_array_equal(optax.tree.get(rmsprop(0.1).init(jnp.ones(2)), "nu"), jnp.zeros(2))


def test_weight_decay_reaches_only_what_its_mask_names_and_no_statistic():
    params, grads = {"w": jnp.array([1.0, -3.0]), "b": jnp.ones(2)}, {"w": jnp.full(2, 0.5), "b": jnp.full(2, 0.5)}
    plain, decayed = rmsprop(0.1), rmsprop(0.1, weight_decay=0.01, weight_decay_mask={"w": True, "b": False})
    (u, state), (v, other) = (tx.update(grads, tx.init(params), params) for tx in (plain, decayed))
    np.testing.assert_allclose(v["w"] - u["w"], -0.1 * 0.01 * params["w"], rtol=1e-4)
    np.testing.assert_array_equal(v["b"], u["b"])
    np.testing.assert_array_equal(optax.tree.get(state, "nu")["w"], optax.tree.get(other, "nu")["w"])


@pytest.mark.parametrize(
    "mask",
    [
        lambda params: jax.tree.map(lambda p: p.dtype == jnp.bfloat16, params),
        {"low": True, "full": {"w": False, "b": False}},
        {"low": True, "full": False},
    ],
    ids=["function of the dtype", "tree", "prefix"],
)
@pytest.mark.parametrize("make", [rmsprop, dialects.keras], ids=["rmsprop", "keras"])
def test_a_mask_sees_the_parameters_as_they_are(make, mask):
    params = {"low": jnp.ones(2, jnp.bfloat16), "full": {"w": jnp.ones(2), "b": jnp.ones(2)}}
    tx = make(0.5, weight_decay=0.5, weight_decay_mask=mask)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(zeros, tx.init(params), params)
    np.testing.assert_array_equal(np.asarray(updates["low"], np.float32), -0.25)
    assert not any(u.any() for u in jax.tree.leaves(updates["full"]))


def test_a_function_as_mask_goes_through_inject_hyperparams_as_a_static_argument():
    params, mask = {"w": jnp.ones(2)}, lambda params: jax.tree.map(lambda p: p.ndim > 0, params)
    plain = optax.inject_hyperparams(rmsprop)
    with pytest.raises(TypeError, match="static_args"):
        plain(0.5, weight_decay=0.5, weight_decay_mask=mask).init(params)
    named = optax.inject_hyperparams(rmsprop, static_args="weight_decay_mask")
    tx = named(0.5, weight_decay=0.5, weight_decay_mask=mask)
    updates, _ = tx.update({"w": jnp.zeros(2)}, tx.init(params), params)
    np.testing.assert_array_equal(updates["w"], -0.25)


def test_numpy_and_python_leaves_are_arrays_of_the_default_dtype():
    params = {"numpy": np.ones(3), "python": 1.0}  # float64, where x64 is off
    tx = rmsprop(0.1, l2=0.1)
    updates, state = tx.update(params, tx.init(params), params)
    assert {u.dtype for u in jax.tree.leaves(updates)} == {jnp.dtype(jnp.float32)}
    assert {nu.dtype for nu in jax.tree.leaves(optax.tree.get(state, "nu"))} == {jnp.dtype(jnp.float32)}


def test_complex_norms_and_signs():
    g = {"w": jnp.array([3 + 4j, 0])}
    tx = dialects.keras(1.0, rho=0.0, epsilon=1e20, clipnorm=1.0)
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0]["w"] * 1e10, [-0.6 - 0.8j, 0], rtol=1e-6)
    # The first step of any rule goes against every entry of the gradient, so caution leaves it as it is.
    z = jnp.array([1j, 1, 1 + 1j, 1 - 1j])
    bold, cautious = (dialects.timm(momentum=0.9, caution=caution) for caution in (False, True))
    np.testing.assert_allclose(cautious.update(z, cautious.init(z))[0], bold.update(z, bold.init(z))[0], rtol=1e-6)


def test_schedules_of_rate_and_decay_multiply():
    rate, decay = optax.constant_schedule(0.1), lambda count: jnp.where(count < 1, 0.5, 0.25)
    tx = rmsprop(rate, weight_decay=decay)
    state, zero = tx.init(jnp.ones(1)), jnp.zeros(1)
    for expected in (-0.05, -0.025):
        updates, state = tx.update(zero, state, jnp.ones(1))
        np.testing.assert_allclose(updates, expected, rtol=1e-6)


# The lecture's further developments


@pytest.mark.parametrize("short", [None, "bfloat16", "uint8"])
@pytest.mark.parametrize("centered", [False, True])
def test_debuggers_find_nothing_in_finite_gradients(centered, short):
    tx = scale_by_rms(eps=0.0, centered=centered, bias_correction=True, storage=short)
    with jax.debug_nans(True), jax.debug_infs(True), jax.numpy_rank_promotion("raise"):
        state = tx.init(jnp.zeros((1, 4)))
        for g in (jnp.array([[0.0, 1e-30, 1.0, -3e38]]), jnp.zeros((1, 4))):
            _, state = tx.update(g, state)  # outside jit each operation is looked at


@pytest.mark.parametrize("traced", [False, True], ids=["static", "traced"])
def test_the_denominator_never_falls_below_its_floor(traced):
    g = jnp.array([1e-3, 0.5, 0.0, jnp.nan])
    tx = scale_by_rms(0.0, eps=0.0, floor=jnp.float32(0.1) if traced else 0.1)
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0], [0.01, 1.0, 0.0, np.nan], rtol=1e-6)


@pytest.mark.parametrize("eps", [1e-8, 0.0])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"eps_in_sqrt": False},
        {"centered": True},
        {"bias_correction": True},
        {"centered": True, "bias_correction": True},
    ],
    ids=str,
)
def test_derivatives_are_finite_where_no_gradient_came(options, eps):
    def second(g, decay):
        tx = scale_by_rms(decay, eps, **options)
        state = tx.update(g, tx.init(g))[1]
        return tx.update(g, state)[0].sum()

    for derivative in jax.jit(jax.grad(second, (0, 1)))(jnp.zeros(3), jnp.float32(0.9)):
        assert np.isfinite(derivative).all()


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"eps": 1e-45},
        {"eps": 1e-45, "eps_in_sqrt": False},
        {"floor": 1e-45},
        {"eps": jnp.float32},
        {"floor": jnp.float32},
    ],
    ids=str,
)
def test_a_weight_that_never_saw_a_gradient_stays_also_where_epsilon_is_nothing_in_float32(options, jit):
    options = {"eps": 0.0} | {k: v if isinstance(v, float | bool) else v(0) for k, v in options.items()}
    tx, g = scale_by_rms(0.9, **options), jnp.zeros(3)
    update = jax.jit(tx.update) if jit else tx.update
    np.testing.assert_array_equal(update(g, tx.init(g))[0], g)


def gains_by_hand(updates, increase=0.05, growth=1.0, shrink=0.95, minimum=0.1, maximum=10.0):
    gain, before = np.ones(updates.shape[1]), np.zeros(updates.shape[1])
    for u in updates:
        agreement, before = u * before, np.where(np.isnan(u), 0, u)
        gain = np.where(agreement > 0, gain * growth + increase, np.where(agreement < 0, gain * shrink, gain))
        gain = np.clip(gain, minimum, maximum)
        yield gain * u


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"increase": 0.0, "growth": 1.1, "shrink": 0.9},
        {"minimum": 0.9, "maximum": 1.2},
        {"minimum": 1.0, "maximum": 1.0},
    ],
    ids=["additive", "multiplicative", "limits", "off"],
)
def test_gains_grow_while_signs_agree_and_shrink_where_they_do_not(options):
    rng = np.random.default_rng(0)
    # Entries that keep their sign, that alternate, that are noise, that are mostly 0; and one NaN, which is forgotten.
    steps = np.stack([np.ones(400), (-1.0) ** np.arange(400), rng.standard_normal(400), np.arange(400) % 3 == 0], 1)
    steps[7, 2] = np.nan
    tx = scale_by_gains(**options)
    state, out = tx.init(jnp.zeros(4)), []
    for u in steps:
        updates, state = tx.update(jnp.asarray(u, jnp.float32), state)
        out.append(updates)
    np.testing.assert_allclose(out, np.stack(list(gains_by_hand(steps, **options))), rtol=1e-5)
    if not options:
        np.testing.assert_allclose(state.gain[:2], [10.0, 0.1], rtol=1e-6)


def test_the_parts_of_a_complex_number_have_gains_of_their_own():
    tx = scale_by_gains()
    state = tx.init(jnp.zeros(1, jnp.complex64))
    for u in (1 + 1j, 1 - 1j):
        updates, state = tx.update(jnp.array([u], jnp.complex64), state)
    np.testing.assert_allclose(updates, [1.05 - 0.95j], rtol=1e-6)


@pytest.mark.parametrize("lr_in_momentum", [True, False], ids=["before", "after"])
def test_nesterov_is_sutskevers_jump_and_correction(lr_in_momentum):
    """The gradient of a quadratic is taken after the jump, and divided by its own root; the jump is not."""
    curvature, lr, mu = np.array([1.0, 10.0, 100.0]), 0.01, 0.9
    theta, jump_of, nu = np.array([3.0, -2.0, 1.0]), np.zeros(3), np.zeros(3)
    with jax.enable_x64(True):
        tx = rmsprop(lr, momentum=mu, nesterov=True, lr_in_momentum=lr_in_momentum)
        params = jnp.asarray(theta)
        state = tx.init(params)
        for _ in range(30):
            jump = mu * jump_of
            g = curvature * (theta - jump)
            nu = 0.9 * nu + 0.1 * g**2
            jump_of = jump + lr * g / np.sqrt(nu + 1e-8)
            theta = theta - jump_of
            updates, state = tx.update(curvature * params, state, params)
            params = optax.apply_updates(params, updates)
            read = nesterov_eval_params(state, params, mu if lr_in_momentum else mu * lr)
            # Steps of the size of the rate around the minimum amplify roundings.
            np.testing.assert_allclose(read, theta, rtol=1e-9, atol=1e-9)


def test_the_jump_is_taken_back_wherever_there_is_one():
    params = {"w": jnp.array([1.0 + 2.0j, -1.0j]), "frozen": [jnp.ones(2), jnp.ones(1)]}
    for tx, wrap in itertools.product(
        (rmsprop(0.1, momentum=0.5, nesterov=True), dialects.climin(0.1, momentum=0.5, step_adapt=0.1)),
        (
            lambda tx: optax.masked(tx, {"w": True, "frozen": False}),
            lambda tx: optax.masked(tx, {"w": True, "frozen": [False, False]}),
            lambda tx: optax.partition({"a": tx, "b": optax.set_to_zero()}, {"w": "a", "frozen": "b"}),
        ),
    ):
        wrapped = wrap(tx)
        state = wrapped.init(params)
        updates, state = wrapped.update(params, state, params)
        moved = jax.tree.map(lambda p, u: p + u, params, updates)
        read = nesterov_eval_params(state, moved, 0.5)
        # The first step is b with momentum 0.5: what moved is 1.5·b, and what is read out b.
        np.testing.assert_allclose(params["w"] - read["w"], (params["w"] - moved["w"]) / 1.5, rtol=1e-5)
        jax.tree.map(np.testing.assert_array_equal, read["frozen"], moved["frozen"])
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\)"):
        nesterov_eval_params(state, params, 5.0)


def test_the_jumps_of_a_partition_are_taken_back_one_after_another():
    params, tx = {"w": jnp.ones(2), "b": [jnp.ones(3)]}, rmsprop(0.1, momentum=0.5, nesterov=True)
    parts = optax.partition({"one": tx, "other": tx}, {"w": "one", "b": "other"})
    (updates, whole), (_, state) = (each.update(params, each.init(params), params) for each in (tx, parts))
    moved = optax.apply_updates(params, updates)
    with pytest.raises(ValueError, match=r"got 2: .*; of an optax.partition, pass one of its inner_states after"):
        nesterov_eval_params(state, moved, 0.5)
    read = moved
    for inner in state.inner_states.values():
        read = nesterov_eval_params(inner, read, 0.5)
    jax.tree.map(np.testing.assert_array_equal, read, nesterov_eval_params(whole, moved, 0.5))
    jax.tree.map(np.testing.assert_array_equal, moved, nesterov_eval_params(whole, moved, 0))


def test_what_the_jump_is_taken_back_from_keeps_its_dtype_and_digits():
    params = {"w": jnp.ones(2, jnp.bfloat16), "absent": None, "wide": jnp.full(2, 1 + 2**-20), "number": 1.0}
    tx = rmsprop(0.1, momentum=0.5, nesterov=True, momentum_storage="bfloat16")
    read = nesterov_eval_params(tx.init(params), params, 0.5)
    jax.tree.map(np.testing.assert_array_equal, read, params)  # the buffers are 0
    assert read["w"].dtype == jnp.bfloat16


def test_parameters_stay_within_their_bound_and_move_freely_inside_it():
    params = jnp.array([0.5, 0.999, -0.999, 3.0])
    grads = jnp.array([1e-9, -1.0, 1.0, 0.0])
    tx = dialects.neon(learning_rate=0.1, param_clip_value=1.0)
    free = dialects.neon(learning_rate=0.1)
    updates, _ = tx.update(grads, tx.init(params), params)
    np.testing.assert_allclose(params + updates, [0.5, 1.0, -1.0, 1.0], rtol=1e-6)
    assert updates[0] == free.update(grads, free.init(params), params)[0][0] != 0


def test_leaves_that_are_alike_are_traced_once(monkeypatch):
    seen, mean_square = [], _scale.mean_square
    monkeypatch.setattr(_scale, "mean_square", lambda g, *rest: seen.append(g.shape) or mean_square(g, *rest))
    params, tx = [jnp.ones(3)] * 5 + [jnp.ones(2)] * 5, rmsprop(0.1)
    jax.jit(tx.update).trace(params, tx.init(params))
    assert seen == [(3,), (2,)]


@pytest.mark.parametrize(
    "transform", [jax.vmap, lambda f: jax.jacobian(lambda *args: f(*args)[0])], ids=["vmap", "jacobian"]
)
def test_transforms_without_jit_compile_nothing_at_a_second_call(transform, caplog):
    params, tx = {"w": jnp.ones((3, 2)), "b": jnp.ones(3)}, rmsprop(0.1, centered=True, momentum=0.9)
    state = jax.vmap(tx.init)(params)
    for call in range(2):
        caplog.clear()
        with jax.log_compiles():
            transform(tx.update)(params, state, params)
        compiled = [record.message for record in caplog.records if "Finished XLA compilation" in record.message]
        assert bool(compiled) == (call == 0)


CENTERED = {
    "rmsprop": partial(rmsprop, 0.1, centered=True),
    "momentum, bias correction": partial(rmsprop, 0.1, centered=True, momentum=0.9, bias_correction=True),
    "numbers that change": lambda: rmsprop(jnp.array(0.1), jnp.array(0.9), centered=True),
    "dialects.pytorch": partial(dialects.pytorch, centered=True, momentum=0.9),
    "dialects.graves": partial(dialects.graves, 0.1),
}


@pytest.mark.parametrize("make", CENTERED.values(), ids=CENTERED)
def test_on_a_cpu_a_centered_step_writes_its_state_in_place(make):
    program, entry, _ = compiled_step(make(), [(1000, 3), (3001,)], "float32", jax.devices())
    assert not re.findall(r"\[(?:1000,3|3001)\]\S* copy\(", entry)
    assert program.memory_analysis().temp_size_in_bytes < 100  # numbers


def test_one_program_for_several_platforms():
    params, tx = {"w": jnp.ones(3)}, rmsprop(0.1, centered=True)
    args = (params, tx.init(params), params)
    program = jax.export.export(jax.jit(tx.update), platforms=("cpu", "cuda", "tpu"))(*args)
    for there, here in zip(*map(jax.tree.leaves, (program.call(*args), jax.jit(tx.update)(*args))), strict=True):
        np.testing.assert_array_equal(there, here)


def test_names_of_parameters_and_of_what_belongs_to_them():
    assert _paths.named(jnp.ones(1)).keys() == {"the parameter"}
    assert _paths.named({"a": [jnp.ones(1)], "b": _complex.Components(1, 2)}).keys() == {"a/0", "b"}
    assert _paths.some(list("abcde")) == "a, b, c, d, e"
    assert _paths.some(list("abcdef")) == "a, b, c, d, e and 1 more"
    paths = [path for path, _ in jax.tree.leaves_with_path({"w": {"b": 0}, "b": 0})]
    state = ScaleByRmsState(0, {"w": {"b": _complex.Components(0, 0)}, "b": 0, "c": 0})
    found = [list(_paths.parameters_of(path, paths)) for path, _ in jax.tree.leaves_with_path(state)]
    both = [(jax.tree_util.DictKey("w"), jax.tree_util.DictKey("b")), (jax.tree_util.DictKey("b"),)]
    assert found == [[], both[1:], [], both, both]  # the count, and of nu: b, c, w/b's real part and its other one
    assert list(_paths.parameters_of((), [()])) == [()]


@pytest.mark.parametrize("params", [{}, (), {"a": None, "b": ()}], ids=str)
def test_a_tree_without_arrays_has_nothing_to_do(params):
    tx = rmsprop(0.1, centered=True, momentum=0.9, l2=0.1, weight_decay=0.1)
    updates, state = tx.update(params, tx.init(params), params)
    assert updates == params
    assert jax.tree.leaves(optax.tree.get(state, "nu")) == []


def test_the_parts_of_an_abstract_complex_array_stay_where_it_is():
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[1])
    part = jax.ShapeDtypeStruct((2,), jnp.float32, sharding=sharding)
    assert _complex._split(jax.ShapeDtypeStruct((2,), jnp.complex64, sharding=sharding)) == (part, part)
