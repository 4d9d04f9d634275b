"""Links of papers against their equations in float64, and their papers' numbers."""

import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rows import long

from rmsprop_optax import dialects, links, measure, rmsprop, scale_by_gains, scale_by_rms

CHOOSING = Path(__file__).parent.parent / "notebooks" / "guide" / "choosing.md"
PARAMS = {"a": jnp.linspace(-1.0, 1.0, 12).reshape(3, 4), "b": jnp.array([2.0, -3.0])}


def double(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), tree)


def stream(steps=30):
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-3, 3, (steps, 1))
    return [jax.tree.map(lambda p, s=s: jnp.asarray(rng.standard_normal(p.shape) * s), PARAMS) for s in scale]


def updates_of(tx, gradients, params=None, **extra):
    """The updates of all steps as float64 [steps, entries], the parameters staying where they are."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):  # optax adds integers and floats
        params = double(PARAMS if params is None else params)

        def step(state, now):
            g, extra = now
            u, state = tx.update(g, state, params, **extra)
            return state, u

        gradients = double(jax.tree.map(lambda *x: jnp.stack(x), *gradients))
        extra = {name: jnp.asarray(values) for name, values in extra.items()}
        _, found = jax.jit(lambda g, e: jax.lax.scan(step, tx.init(params), (g, e)))(gradients, extra)
        return np.concatenate([np.reshape(x, (len(x), -1)) for x in jax.tree.leaves(found)], axis=1)


def flat(tree):
    return np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in jax.tree.leaves(tree)])


# The equations


@pytest.mark.parametrize("place", [True, False, None])
def test_the_largest_mean_square_divides(place):
    nu = highest = np.full(14, 0.5)
    expected = []
    for g in map(flat, stream()):
        nu = 0.8 * nu + 0.2 * g**2
        highest = np.maximum(highest, nu)
        under, beside = (0.1 if place in sides else 0 for sides in ((True, None), (False, None)))
        expected.append(g / np.maximum(np.sqrt(highest + under) + beside, 2.0))
    found = updates_of(links.scale_by_max_rms(0.8, 0.1, 0.5, place, floor=2.0), stream())
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("bound", [links.fourth_root, 0.7, None])
def test_the_mean_square_before_divides(bound):
    expected, nu = [], np.full(14, np.inf)
    for t, g in enumerate(map(flat, stream())):
        u = g / np.maximum(np.sqrt(nu), 0.1)
        limit = {links.fourth_root: t**0.25, None: np.inf}.get(bound, bound)
        nu = 0.8 * nu + 0.2 * g**2 if t else g**2
        expected.append(np.clip(u, -limit, limit))
    found = updates_of(links.scale_by_previous_rms(0.8, floor=0.1, bound=bound), stream())
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_mean_square_before_is_adopts_order_in_optax():
    theirs = optax.contrib.scale_by_adopt(b1=0.0, b2=0.9)
    # Their bound is float32.
    np.testing.assert_allclose(
        updates_of(links.scale_by_previous_rms(0.9), stream()), updates_of(theirs, stream()), rtol=1e-6
    )


def test_an_average_behind_the_division_is_adopt():
    mine = optax.chain(links.scale_by_previous_rms(0.9), optax.ema(0.8, debias=False))
    theirs = optax.contrib.scale_by_adopt(b1=0.8, b2=0.9)
    np.testing.assert_allclose(updates_of(mine, stream()), updates_of(theirs, stream()), rtol=1e-6)


CHAINS = re.findall(r"^\| `(dialects\..*)` \| `(optax\.chain.*)` \|$", CHOOSING.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("dialect", "chain"), CHAINS, ids=[dialect for dialect, _ in CHAINS])
def test_the_chains_of_the_guide_are_dialects_but_for_the_maximum(dialect, chain):
    names = {"dialects": dialects, "links": links, "optax": optax, "scale_by_rms": scale_by_rms}
    want, largest = (updates_of(eval(text, names), stream()) for text in (dialect, chain))
    plain = updates_of(eval(chain.replace("links.scale_by_max_rms", "scale_by_rms"), names), stream())
    np.testing.assert_allclose(plain, want, rtol=1e-9)
    assert (abs(largest[-1]) < abs(want[-1])).any()


def test_the_cautious_mask_is_timms():
    options = {"lr": 0.1, "momentum": 0.9}
    mine, theirs = links.cautious(dialects.timm(**options)), dialects.timm(**options, caution=True)
    np.testing.assert_array_equal(updates_of(mine, stream()), updates_of(theirs, stream()))
    assert (updates_of(mine, stream()) == 0).any()


def test_without_momentum_or_decay_every_entry_descends():
    tx = rmsprop(0.01)
    np.testing.assert_allclose(updates_of(links.cautious(tx), stream()), updates_of(tx, stream()), rtol=1e-12)


def test_skipped_updates_are_whole_arrays_and_unbiased():
    tx = links.skip_updates(0.2)
    states = links.SkipUpdatesState(jnp.arange(1000, dtype=jnp.int32))
    found, _ = jax.jit(jax.vmap(lambda state: tx.update(jax.tree.map(jnp.ones_like, PARAMS), state)))(states)
    a, b = (np.reshape(found[name], (1000, -1)) for name in "ab")
    for factors in (a, b):
        np.testing.assert_array_equal(np.unique(factors), np.float32([0, 1.25]))
        assert (np.ptp(factors, axis=1) == 0).all()
        # Four standard errors of 1000 draws.
        assert factors[:, 0].mean() == pytest.approx(1, abs=4 * (0.25 / 1000) ** 0.5)
    assert (a[:, 0] != b[:, 0]).any()


def test_skipping_is_keyed_and_continues_after_a_restart():
    grads, tx = [PARAMS] * 20, links.skip_updates(0.5, key=3)
    whole = updates_of(tx, grads)
    assert (whole != updates_of(links.skip_updates(0.5, key=4), grads)).any()
    np.testing.assert_array_equal(whole, updates_of(links.skip_updates(0.5, key=jax.random.key(3)), grads))
    state = tx.init(PARAMS)._replace(count=jnp.asarray(7, jnp.int32))
    u, _ = tx.update(PARAMS, state)
    np.testing.assert_allclose(flat(u), whole[7], rtol=1e-6)


def test_magma_scales_by_agreement():
    inner = dialects.pytorch(0.1, momentum=0.9)
    grads = stream()
    found = updates_of(links.magma(inner, key=5), grads)
    dense, masks = updates_of(inner, grads), updates_of(links.skip_updates(0.5, key=5), [PARAMS] * 30) != 0
    parts = [slice(0, 12), slice(12, 14)]
    mu, score = np.zeros(14), np.zeros(2)
    for t, g in enumerate(map(flat, grads)):
        mu = 0.9 * mu + 0.1 * g
        for b, part in enumerate(parts):
            cosine = mu[part] @ g[part] / np.linalg.norm(mu[part]) / np.linalg.norm(g[part])
            score[b] = 0.9 * score[b] + 0.1 / (1 + np.exp(-cosine / 2))
            np.testing.assert_allclose(found[t, part], score[b] * masks[t, part] * dense[t, part], rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_decay_without_the_learning_rate(dtype):
    tx = optax.chain(
        dialects.pytorch(optax.constant_schedule(0.0)), links.decay_weights(0.01, mask={"a": True, "b": False})
    )
    with jax.enable_x64(dtype == "float64"):
        params = jax.tree.map(lambda p: jnp.asarray(p, dtype), PARAMS)
        state = tx.init(params)
        for _ in range(100):
            u, state = tx.update(params, state, params)
            params = optax.apply_updates(params, u)
        np.testing.assert_allclose(params["a"], 0.99**100 * PARAMS["a"], rtol=1e-5)
        np.testing.assert_array_equal(params["b"], PARAMS["b"])


# Resets


def wrapped(tx):
    return optax.chain(optax.clip_by_global_norm(1e9), tx)


RESETS = {
    "rmsprop": lambda: rmsprop(0.1, momentum=0.9, bias_correction=True, centered=True),
    "tf1": lambda: dialects.tf1(0.1, momentum=0.9),
    "uint8": lambda: rmsprop(0.1, momentum=0.9, storage="uint8"),
    "climin": lambda: dialects.climin(0.1, momentum=0.9, step_adapt=0.1),
    "adam": lambda: optax.adam(0.1),
    "max": lambda: optax.chain(links.scale_by_max_rms(), optax.scale(-0.1)),
}


@pytest.mark.parametrize("name", long(RESETS, ["rmsprop", "uint8"]))
def test_after_a_reset_an_optimizer_is_new(name):
    tx = links.resettable(wrapped(RESETS[name]()))
    step = jax.jit(lambda g, s, reset: tx.update(g, s, PARAMS, reset=reset))
    old, new = tx.init(PARAMS), tx.init(PARAMS)
    with jax.numpy_dtype_promotion("standard"):  # optax's clipping
        for g in stream(5):
            _, old = step(jax.tree.map(jnp.float32, g), old, False)
        assert any((a != b).any() for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True))
        g = jax.tree.map(jnp.float32, stream(1)[0])
        jax.tree.map(np.testing.assert_array_equal, step(g, old, True), step(g, new, False))
    assert step._cache_size() == 1


def test_a_reset_leaves_schedules_alone():
    schedule = optax.piecewise_constant_schedule(1.0, {3: 0.1})
    tx = links.resettable(rmsprop(schedule, decay=0.0, eps=0.0, weight_decay=schedule))
    found = updates_of(tx, [PARAMS] * 6, jax.tree.map(jnp.zeros_like, PARAMS), reset=[False, True] * 3)
    np.testing.assert_allclose(np.abs(found).max(1), [1, 1, 1, 0.1, 0.1, 0.1], rtol=1e-9)


def test_a_reset_needs_parameters():
    tx = links.resettable(rmsprop(0.1))
    with pytest.raises(ValueError, match="a reset needs the parameters, got params=None"):
        tx.update(PARAMS, tx.init(PARAMS), reset=True)


def test_the_age_is_the_bias_correction():
    aged = optax.chain(scale_by_rms(0.9, 0.0), links.scale_by_age(0.9))
    np.testing.assert_allclose(
        updates_of(aged, stream()), updates_of(scale_by_rms(0.9, 0.0, bias_correction=True), stream()), rtol=1e-10
    )


@pytest.mark.parametrize(("reset", "length"), [(False, 10**0.5), (True, 1.0)])
def test_with_its_age_reset_a_step_after_a_jump_is_one_rate_long(reset, length):
    """The paper's point: without, it is 1/√(1 − decay)."""
    tx = optax.chain(rmsprop(1.0, 0.9, eps=0.0), links.scale_by_age(0.9))
    params, jump = {"w": jnp.ones(1)}, 1e6
    grads = [params] * 300 + [{"w": jnp.full(1, jump)}]
    found = updates_of(tx, grads, params, reset=[False] * 300 + [reset])
    np.testing.assert_allclose(found[-2:, 0], [-1, -length], rtol=1e-6)


# The papers' numbers


def reddi(tx, steps=20_000):
    """Where the convex problem of Reddi et al., theorem 1 with C = 3, ends: the optimum is -1, the worst point +1."""

    def step(carry, t):
        x, state = carry
        u, state = tx.update(jnp.where(t % 3 == 0, 3.0, -1.0), state, x)
        return (jnp.clip(x + u, -1.0, 1.0), state), None

    start = jnp.float32(0.0)
    return float(jax.jit(lambda: jax.lax.scan(step, (start, tx.init(start)), jnp.arange(steps))[0][0])())


def falling(count):
    return 0.1 / jnp.sqrt(jnp.asarray(count, jnp.float32) + 1)


@pytest.mark.parametrize(
    ("link", "least", "most"),
    [
        (scale_by_rms(0.1, 0.0), 0.999, 1.0),
        (links.scale_by_max_rms(0.1, 0.0), -1.0, -0.99),
        (links.scale_by_previous_rms(0.1), -1.0, -0.99),
        (scale_by_rms(0.9, 0.0), -1.0, -0.99),
    ],
    ids=["RMSprop", "maximum", "previous", "RMSprop, 0.9"],
)
def test_reddis_problem(link, least, most):
    assert least <= reddi(optax.chain(link, optax.scale_by_learning_rate(falling))) <= most


# What optax has


def test_update_clipping_is_adafactors():
    tx = optax.chain(dialects.keras(0.1), optax.clip_by_block_rms(0.01))
    plain, found = updates_of(dialects.keras(0.1), stream()), updates_of(tx, stream())
    for part in (slice(0, 12), slice(12, 14)):
        rms = np.sqrt(np.mean(plain[:, part] ** 2, axis=1, keepdims=True))
        np.testing.assert_allclose(found[:, part], plain[:, part] / np.maximum(1, rms / 0.01), rtol=1e-10)


def test_adaptive_clipping_stands_before():
    tx = optax.chain(optax.adaptive_grad_clip(0.3), dialects.pytorch(0.1))
    grads = [{"w": 10.0 * s * jnp.ones(4)} for s in (1, 2, 3)]
    params = {"w": jnp.full(4, 2.0)}
    clipped = [{"w": jnp.full(4, 0.3 * 2.0)}] * 3
    np.testing.assert_allclose(
        updates_of(tx, grads, params), updates_of(dialects.pytorch(0.1), clipped, params), rtol=1e-10
    )


def test_momentum_as_a_corrected_average():
    tx = optax.chain(scale_by_rms(0.9), optax.ema(0.8), optax.scale(-0.1))
    divided, average, expected = updates_of(scale_by_rms(0.9), stream()), 0.0, []
    for t, x in enumerate(divided, 1):
        average = 0.8 * average + 0.2 * x
        expected.append(-0.1 * average / (1 - 0.8**t))
    np.testing.assert_allclose(updates_of(tx, stream()), expected, rtol=1e-9)


@pytest.mark.parametrize("name", long(["pytorch", "keras", "tf1"], ["tf1"]))
def test_schedule_free_trains_any_dialect(name):
    tx = optax.contrib.schedule_free(dialects.TABLE[name].constructor(0.03), 0.03, b1=0.9)
    loss = lambda p: 0.5 * jnp.sum((p - 1.0) ** 2 * jnp.array([1.0, 30.0]))  # noqa: E731

    @jax.jit
    def step(params, state):
        with jax.numpy_dtype_promotion("standard"):
            u, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, u), state

    params = jnp.zeros(2)
    state = tx.init(params)
    for _ in range(300):
        params, state = step(params, state)
    assert loss(optax.contrib.schedule_free_eval_params(state, params)) < 1e-2


def test_the_average_of_the_parameters():
    average = PARAMS
    for step in range(1, 4):
        average = optax.incremental_update(jax.tree.map(lambda p, s=step: s * p, PARAMS), average, 0.25)
    np.testing.assert_allclose(flat(average), flat(PARAMS) * (1 * 0.75**3 + 0.25 * (0.75**2 + 2 * 0.75 + 3)), rtol=1e-6)


# Together


def test_effective_rates_are_measured_through_links_after_the_division():
    tx = links.resettable(optax.chain(dialects.pytorch(0.1), links.decay_weights(0.01)))
    state = tx.init(PARAMS)
    for g in stream(3):
        _, state = tx.update(jax.tree.map(jnp.float32, g), state, PARAMS)
    rates = measure.effective_rates(tx, state, PARAMS)
    nu = optax.tree.get(state, "nu")["b"]
    np.testing.assert_allclose(rates["b"], 0.1 / (np.sqrt(nu) + 1e-8), rtol=1e-5)


MAGMA = partial(links.magma, rmsprop(0.1))
# A link's own option → its constructor, a number on either side of the range, and the numbers at its ends.
OWN = {
    "increase": (scale_by_gains, (-1e-3, np.inf), (0.0, 1e6)),
    "growth": (scale_by_gains, (0.999, np.inf), (1.0, 1e6)),
    "shrink": (scale_by_gains, (-1e-3, 1.0), (0.0, 0.999)),
    "minimum": (scale_by_gains, (-1e-3, np.inf), (0.0, 1.0)),
    "maximum": (scale_by_gains, (-1e-3, np.inf), (1.0, 1e6)),
    "skip": (links.skip_updates, (-1e-3, 1.0), (0.0, 0.999)),
    "skip of magma": (MAGMA, (-1e-3, 1.0), (0.0, 0.999)),
    "temperature": (MAGMA, (0.0, np.inf), (1e-30, 1e6)),
    "smoothing": (MAGMA, (-1e-3, 1.0), (0.0, 0.999)),
    "bound": (links.scale_by_previous_rms, (-1e-3, np.inf), (0.0, 1e6)),
    "weight_decay": (links.decay_weights, (-1e-3, 1.0), (0.0, 0.999)),
}


@pytest.mark.parametrize("option", OWN)
def test_the_range_of_a_links_own_option(option):
    constructor, outside, ends = OWN[option]
    name = option.partition(" ")[0]
    for value in outside:
        with pytest.raises(ValueError, match=rf"^{name} must be .*, got {name}={value}: "):
            constructor(**{name: value})
    for value in ends:
        constructor(**{name: value})
