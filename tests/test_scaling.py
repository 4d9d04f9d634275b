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
from rmsprop_optax.scaling import eps_inside_sqrt, eps_outside_sqrt, mean_to_sum, rescaled, sum_to_mean

OPTIONS = {"eps": 0.1, "initial_scale": 0.5, "l2": 0.1}
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
@pytest.mark.parametrize("eps_in_sqrt", [True, False])
def test_rescaled_options_leave_every_step(factor, denominator, eps_in_sqrt):
    options, place = {"clip": 0.7, **OPTIONS, **denominator}, {"eps_in_sqrt": eps_in_sqrt}
    want, there = steps(1.0, **options, **place), rescaled(factor, **options, **place)
    np.testing.assert_allclose(steps(factor, **there, **place), want, rtol=1e-12)
    for name in options:  # every option matters here
        kept = there | {name: options[name]}
        assert not np.allclose(steps(factor, **kept, **place), want, rtol=1e-3, atol=0), name


def test_only_given_options_come_back():
    assert rescaled(2.0, eps=3) == {"eps": 12.0}
    assert rescaled(2.0, eps=3, eps_in_sqrt=False, initial_scale=0.0) == {"eps": 6.0, "initial_scale": 0.0}
    assert rescaled(2.0, floor=1, clip=None) == {"floor": 2.0}
    assert rescaled(2.0, eps_in_sqrt=False) == {}
    assert rescaled(1e160, eps=1e-300) == {"eps": pytest.approx(1e20)}  # the square of the factor overflows


@pytest.mark.parametrize("number", [np.float32(0.5), np.array(0.5), jnp.float32(0.5)])
def test_options_come_back_as_floats(number):
    [new] = rescaled(2, l2=number).values()
    assert (new, type(new)) == (1.0, float)


def test_the_mean_of_a_batch():
    assert sum_to_mean(32, eps=0.01) == {"eps": 0.01 / 32**2}
    assert sum_to_mean(8, eps=1.0, eps_in_sqrt=False, floor=2.0, clip=10.0, l2=8.0, initial_scale=1.0) == {
        "eps": 0.125,
        "floor": 0.25,
        "initial_scale": 1 / 64,
        "l2": 1.0,
        "clip": 1.25,
    }


@pytest.mark.parametrize("eps_in_sqrt", [True, False])
def test_the_sum_is_the_inverse_of_the_mean(eps_in_sqrt):
    options = {"clip": 0.3, "floor": 0.2, **OPTIONS}
    there = mean_to_sum(7, **options, eps_in_sqrt=eps_in_sqrt)
    assert there["eps"] == pytest.approx(4.9 if eps_in_sqrt else 0.7)
    assert sum_to_mean(7, **there, eps_in_sqrt=eps_in_sqrt) == pytest.approx(options, rel=1e-15)


def test_a_positive_option_is_never_zero_in_float32():
    """XLA on a CPU replaces float32 numbers below the smallest normal one by 0."""
    smallest = float(np.finfo(np.float32).tiny)
    assert rescaled(0.5, floor=2 * smallest) == {"floor": smallest}
    for name in ("eps", "floor", "initial_scale", "l2", "clip"):
        with pytest.raises(ValueError, match=f"too small: the new {name} would be 0 in float32"):
            rescaled(0.49, **{name: 2 * smallest}, eps_in_sqrt=False)
        with pytest.raises(ValueError, match=f"too large: the new {name} would be infinite in float32"):
            rescaled(2.0, **{name: 3e38}, eps_in_sqrt=False)


def disagreement(outside, inside, low, high):
    """By brute force; an infinite range ends where the ratio is constant."""
    scale = max(outside, math.sqrt(inside))
    low, high = max(low, 1e-6 * scale), min(high, max(low, scale) * 1e6)
    r = np.geomspace(low, max(low, high), 2001)
    return np.exp(np.abs(np.log(np.sqrt(r**2 + inside) / (r + outside))).max())


@pytest.mark.parametrize(("low", "high"), RANGES)
@pytest.mark.parametrize("epsilon", [1e-8, 1e-3, 1.0])
def test_no_epsilon_of_a_grid_is_nearer(epsilon, low, high):
    near = np.linspace(0.5, 2, 301)
    outside, claimed = eps_outside_sqrt(epsilon, low, high)
    assert claimed == pytest.approx(disagreement(outside, epsilon, low, high), rel=1e-5)
    assert claimed <= min(disagreement(outside * k, epsilon, low, high) for k in near) * (1 + 1e-5)
    inside, claimed = eps_inside_sqrt(epsilon, low, high)
    assert claimed == pytest.approx(disagreement(epsilon, inside, low, high), rel=1e-5)
    assert claimed <= min(disagreement(epsilon, inside * k, low, high) for k in near) * (1 + 1e-5)


def test_without_a_range_the_closed_form():
    assert eps_outside_sqrt(1e-3) == pytest.approx((C * math.sqrt(1e-3), 1 / C), rel=1e-14)
    assert eps_inside_sqrt(0.01) == pytest.approx(((0.01 / C) ** 2, 1 / C), rel=1e-14)
    assert disagreement(math.sqrt(1e-3), 1e-3, 0, math.inf) == pytest.approx(math.sqrt(2), rel=1e-5)


@given(positive, positive, st.floats(1, 1e6), positive)
def test_units_do_not_matter(epsilon, low, width, unit):
    high = low * width
    outside, claimed = eps_outside_sqrt(epsilon, low, high)
    assert eps_outside_sqrt(epsilon * unit**2, low * unit, high * unit) == pytest.approx(
        (outside * unit, claimed), rel=1e-6
    )
    inside, claimed = eps_inside_sqrt(epsilon, low, high)
    scaled = eps_inside_sqrt(epsilon * unit, low * unit, high * unit)
    assert scaled == pytest.approx((inside * unit**2, claimed), rel=1e-6)


@given(positive, positive)
def test_at_one_point_they_agree(epsilon, r):
    inside = epsilon**2 + 2 * epsilon * r
    assert eps_outside_sqrt(inside, r, r) == pytest.approx((epsilon, 1.0), rel=1e-6)
    assert eps_inside_sqrt(epsilon, r, r) == pytest.approx((inside, 1.0), rel=1e-6)


@given(positive, positive, st.floats(1, 1e6))
def test_a_wider_range_leaves_more(epsilon, low, width):
    at, narrow, half, full = (
        eps_outside_sqrt(epsilon, *bounds).disagreement
        for bounds in ((low, low), (low, low * width), (low, math.inf), (0, math.inf))
    )
    assert 1 <= at <= narrow * (1 + 1e-12)
    assert narrow <= half * (1 + 1e-12)
    assert half <= full * (1 + 1e-12)
    assert full == pytest.approx(1 / C)


def test_no_epsilon_needs_none():
    assert eps_outside_sqrt(0.0) == eps_inside_sqrt(0.0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: rescaled(0.0, eps=1.0), ValueError, ["factor", "above 0", "factor=0.0", "1/32"]),
        (lambda: rescaled(math.nan, eps=1.0), ValueError, ["factor=nan"]),
        (lambda: rescaled(math.inf, eps=1.0), ValueError, ["factor=inf"]),
        (lambda: rescaled(1.0, eps=-1.0), ValueError, ["eps=-1.0", "at least 0"]),
        (lambda: rescaled(1.0, eps="1"), TypeError, ["eps='1'", "number"]),
        (lambda: rescaled("a", eps=1.0), TypeError, ["factor='a'", "number"]),
        (lambda: rescaled(None, eps=1.0), TypeError, ["factor=None", "number"]),
        (lambda: rescaled(10**400, eps=1.0), ValueError, ["factor=1000"]),
        (lambda: rescaled(1e200, eps=1.0), ValueError, ["factor=1e+200", "too large", "eps=1.0"]),
        (lambda: rescaled(1e200, eps=1e200), ValueError, ["too large", "eps=1e+200"]),
        (lambda: rescaled(1.0, eps=1.0, eps_in_sqrt="no"), TypeError, ["eps_in_sqrt='no'", "True or False"]),
        (lambda: sum_to_mean(10**6, eps=1e-320), ValueError, ["eps=1e-320", "factor=1e-06", "too small", "by hand"]),
        (lambda: sum_to_mean(65536, eps=1e-30), ValueError, ["eps=1e-30", "too small", "float32"]),
        (lambda: sum_to_mean("32", eps=1.0), TypeError, ["batch_size='32'", "number"]),
        (lambda: sum_to_mean(True, eps=1.0), TypeError, ["batch_size=True", "number"]),
        (lambda: sum_to_mean(10**400, eps=1.0), ValueError, ["batch_size=1000"]),
        (lambda: eps_outside_sqrt(1.0, "a"), TypeError, ["low='a'", "number"]),
        (lambda: eps_outside_sqrt(1.0, 0.0, None), TypeError, ["high=None", "number"]),
        (lambda: eps_inside_sqrt(1e300), ValueError, ["eps=1e+300", "too large"]),
        (lambda: eps_inside_sqrt(1e100, 1e250), ValueError, ["eps=1e+100", "low=1e+250", "too large"]),
        (lambda: eps_inside_sqrt(1e-20), ValueError, ["eps=1e-20", "too small", "inside would be 0"]),
        (lambda: eps_outside_sqrt(1e-3, 1e37), ValueError, ["eps=0.001", "low=1e+37", "too small", "outside"]),
        (lambda: sum_to_mean(0, eps=1.0), ValueError, ["batch_size=0", "at least 1"]),
        (lambda: sum_to_mean(2.5, eps=1.0), ValueError, ["batch_size=2.5", "whole"]),
        (lambda: mean_to_sum(math.inf, eps=1.0), ValueError, ["batch_size=inf", "whole"]),
        (lambda: mean_to_sum(8, decay=0.9), TypeError, ["decay"]),
        (lambda: eps_outside_sqrt(-1e-3), ValueError, ["eps=-0.001"]),
        (lambda: eps_inside_sqrt(math.inf), ValueError, ["eps=inf"]),
        (lambda: eps_outside_sqrt(1e-3, 2.0, 1.0), ValueError, ["low <= high", "low=2.0", "high=1.0"]),
        (lambda: eps_outside_sqrt(1e-3, -1.0), ValueError, ["low=-1.0"]),
        (lambda: eps_inside_sqrt(1e-3, math.inf), ValueError, ["low=inf", "finite"]),
        (lambda: eps_inside_sqrt(1e-3, 0.0, math.nan), ValueError, ["high=nan"]),
    ],
)
def test_an_error_says_what_came(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert [word for word in words if word not in str(raised.value)] == []
