"""The converters against the optimizer itself and against a search over a grid."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmsprop_optax import rmsprop
from rmsprop_optax.epsilon import mean_to_sum, nearest_eps, nearest_eps_root, rescaled, sum_to_mean

OPTIONS = {"eps": 0.01, "eps_root": 0.1, "initial_value": 0.5, "l2": 0.1}
C = math.sqrt((math.sqrt(5) - 1) / 2)
RANGES = [(0.0, math.inf), (0.0, 1.0), (0.0, 1e-3), (0.01, 1.0), (0.02, 0.03), (0.1, math.inf), (1.0, 1.0), (1e3, 1e4)]
positive = st.floats(-8, 8).map(lambda power: 10**power)


def steps(factor, clip, **options):
    """Ten steps on gradients that are `factor` times as large."""
    tx = optax.chain(optax.clip(clip), rmsprop(0.1, momentum=0.5, **options))
    with jax.enable_x64(True):
        params = jnp.array([1.0, -2.0, 3.0])
        gradients = factor * jnp.asarray(np.random.default_rng(0).standard_normal((10, 3)) * [0.01, 1, 100])

        def step(carry, gradient):
            params, state = carry
            updates, state = tx.update(gradient, state, params)
            return (params + updates, state), updates

        return jax.lax.scan(step, (params, tx.init(params)), gradients)[1]


@pytest.mark.parametrize("factor", [1 / 32, 3.0, 1e4])
@pytest.mark.parametrize("denominator", [{}, {"floor": 0.6}])
def test_rescaled_options_leave_every_step(factor, denominator):
    options = {"clip": 0.7, **OPTIONS, **denominator}
    want = steps(1.0, **options)
    np.testing.assert_allclose(steps(factor, **rescaled(factor, **options)), want, rtol=1e-12)
    for name in options:  # every option matters here
        kept = rescaled(factor, **options) | {name: options[name]}
        assert not np.allclose(steps(factor, **kept), want, rtol=1e-3, atol=0), name


def test_only_what_was_given_comes_back():
    assert rescaled(2.0, eps=0.0, eps_root=3) == {"eps": 0.0, "eps_root": 12.0}
    assert rescaled(2.0, eps=1, clip=None) == {"eps": 2.0}
    assert rescaled(1e200, eps_root=1e-300) == {"eps_root": pytest.approx(1e100)}


def test_the_mean_of_a_batch():
    assert sum_to_mean(32, eps_root=0.01) == {"eps_root": 0.01 / 32**2}
    assert sum_to_mean(8, eps=1.0, clip=10.0, l2=8.0, initial_value=1.0) == {
        "eps": 0.125,
        "initial_value": 1 / 64,
        "l2": 1.0,
        "clip": 1.25,
    }
    there = mean_to_sum(7, clip=0.3, **OPTIONS)
    assert sum_to_mean(7, **there) == pytest.approx({"clip": 0.3, **OPTIONS}, rel=1e-15)


def disagreement(eps, eps_root, low, high):
    """By brute force; an infinite range ends where nothing happens any more."""
    scale = max(eps, math.sqrt(eps_root))
    low, high = max(low, 1e-6 * scale), min(high, max(low, scale) * 1e6)
    r = np.geomspace(low, max(low, high), 2001)
    return np.exp(np.abs(np.log(np.sqrt(r**2 + eps_root) / (r + eps))).max())


@pytest.mark.parametrize(("low", "high"), RANGES)
@pytest.mark.parametrize("epsilon", [1e-8, 1e-3, 1.0])
def test_no_epsilon_of_a_grid_is_nearer(epsilon, low, high):
    near = np.linspace(0.5, 2, 301)
    eps, claimed = nearest_eps(epsilon, low, high)
    assert claimed == pytest.approx(disagreement(eps, epsilon, low, high), rel=1e-5)
    assert claimed <= min(disagreement(eps * k, epsilon, low, high) for k in near) * (1 + 1e-5)
    eps_root, claimed = nearest_eps_root(epsilon, low, high)
    assert claimed == pytest.approx(disagreement(epsilon, eps_root, low, high), rel=1e-5)
    assert claimed <= min(disagreement(epsilon, eps_root * k, low, high) for k in near) * (1 + 1e-5)


def test_without_a_range_the_closed_form():
    assert nearest_eps(1e-3) == pytest.approx((C * math.sqrt(1e-3), 1 / C), rel=1e-14)
    assert nearest_eps_root(0.01) == pytest.approx(((0.01 / C) ** 2, 1 / C), rel=1e-14)
    assert disagreement(math.sqrt(1e-3), 1e-3, 0, math.inf) == pytest.approx(math.sqrt(2), rel=1e-5)


@given(positive, positive, st.floats(1, 1e6), positive)
def test_units_do_not_matter(epsilon, low, width, unit):
    high = low * width
    eps, claimed = nearest_eps(epsilon, low, high)
    assert nearest_eps(epsilon * unit**2, low * unit, high * unit) == pytest.approx((eps * unit, claimed), rel=1e-6)
    eps_root, claimed = nearest_eps_root(epsilon, low, high)
    scaled = nearest_eps_root(epsilon * unit, low * unit, high * unit)
    assert scaled == pytest.approx((eps_root * unit**2, claimed), rel=1e-6)


@given(positive, positive)
def test_at_one_point_they_agree(epsilon, r):
    eps_root = epsilon**2 + 2 * epsilon * r
    assert nearest_eps(eps_root, r, r) == pytest.approx((epsilon, 1.0), rel=1e-6)
    assert nearest_eps_root(epsilon, r, r) == pytest.approx((eps_root, 1.0), rel=1e-6)


@given(positive, positive, st.floats(1, 1e6))
def test_a_wider_range_leaves_more(epsilon, low, width):
    at, narrow, half, full = (
        nearest_eps(epsilon, *bounds).disagreement
        for bounds in ((low, low), (low, low * width), (low, math.inf), (0, math.inf))
    )
    assert 1 <= at <= narrow * (1 + 1e-12)
    assert narrow <= half * (1 + 1e-12)
    assert half <= full * (1 + 1e-12)
    assert full == pytest.approx(1 / C)


def test_no_epsilon_needs_none():
    assert nearest_eps(0.0) == nearest_eps_root(0.0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: rescaled(0.0, eps=1.0), ValueError, ["factor", "above 0", "factor=0.0", "1/32"]),
        (lambda: rescaled(math.nan, eps=1.0), ValueError, ["factor=nan"]),
        (lambda: rescaled(math.inf, eps=1.0), ValueError, ["factor=inf"]),
        (lambda: rescaled(1.0, eps=-1.0), ValueError, ["eps=-1.0", "at least 0"]),
        (lambda: rescaled(1.0, eps_root="1"), TypeError, ["eps_root='1'", "number"]),
        (lambda: rescaled("a", eps=1.0), TypeError, ["factor='a'", "number"]),
        (lambda: rescaled(None, eps=1.0), TypeError, ["factor=None", "number"]),
        (lambda: rescaled(10**400, eps=1.0), ValueError, ["factor=1000"]),
        (lambda: rescaled(1e200, eps_root=1.0), ValueError, ["factor=1e+200", "too large", "eps_root=1.0"]),
        (lambda: rescaled(1e200, eps=1e200), ValueError, ["too large", "eps=1e+200"]),
        (lambda: sum_to_mean("32", eps=1.0), TypeError, ["batch_size='32'", "number"]),
        (lambda: sum_to_mean(True, eps=1.0), TypeError, ["batch_size=True", "number"]),
        (lambda: sum_to_mean(10**400, eps=1.0), ValueError, ["batch_size=1000"]),
        (lambda: nearest_eps(1.0, "a"), TypeError, ["low='a'", "number"]),
        (lambda: nearest_eps(1.0, 0.0, None), TypeError, ["high=None", "number"]),
        (lambda: nearest_eps_root(1e300), ValueError, ["eps=1e+300", "too large"]),
        (lambda: nearest_eps_root(1e100, 1e250), ValueError, ["eps=1e+100", "low=1e+250", "too large"]),
        (lambda: sum_to_mean(0, eps=1.0), ValueError, ["batch_size=0", "at least 1"]),
        (lambda: sum_to_mean(2.5, eps=1.0), ValueError, ["batch_size=2.5", "whole"]),
        (lambda: mean_to_sum(math.inf, eps=1.0), ValueError, ["batch_size=inf", "whole"]),
        (lambda: mean_to_sum(8, decay=0.9), TypeError, ["decay"]),
        (lambda: nearest_eps(-1e-3), ValueError, ["eps_root=-0.001"]),
        (lambda: nearest_eps_root(math.inf), ValueError, ["eps=inf"]),
        (lambda: nearest_eps(1e-3, 2.0, 1.0), ValueError, ["low <= high", "low=2.0", "high=1.0"]),
        (lambda: nearest_eps(1e-3, -1.0), ValueError, ["low=-1.0"]),
        (lambda: nearest_eps_root(1e-3, math.inf), ValueError, ["low=inf", "finite"]),
        (lambda: nearest_eps_root(1e-3, 0.0, math.nan), ValueError, ["high=nan"]),
    ],
)
def test_an_error_says_what_came(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert [word for word in words if word not in str(raised.value)] == []
