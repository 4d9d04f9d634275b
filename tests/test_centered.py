"""The variance of the centered form against float64, within the bound that is documented, and for constant gradients.

The mean is one float32. Its last place limits how well noise about a mean m is measured: √nu is off by at most

    1e-5·√nu + 3e-7·m + min(x, x²)·√nu,  x = 6e-8·m/(rate·√nu)

The second term is the rounding of the distances from the mean. The third is the distance at which the mean stops,
because rate times that distance is below half the last place of the mean.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmsprop_optax import _scale, scale_by_rms
from rmsprop_optax.storage import FORMATS, decoded

NOISE = (1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
DECAYS = (0.9, 0.99, 0.999, 0.9999)
STEPS, LANES = 10_000, 16


def noisy():
    """Means of 1e-3 to 1e3 with noise of one to a millionth part of them: steps × noises × means."""
    normal = np.random.default_rng(0).standard_normal((STEPS, len(NOISE), LANES))
    return (np.geomspace(1e-3, 1e3, LANES) * (1 + np.reshape(NOISE, (-1, 1)) * normal)).astype(np.float32)


def exact(gradients, rates):
    """√nu and the size of the mean after every step, in float64."""
    nu = mu = np.zeros(gradients.shape[1:])
    roots, means = np.empty(gradients.shape), np.empty(gradients.shape)
    for t, (g, rate) in enumerate(zip(gradients.astype(np.float64), rates, strict=True)):
        d = g - mu
        mu = mu + rate * d
        nu = (1 - rate) * (nu + rate * d**2)
        roots[t], means[t] = np.sqrt(nu), np.abs(mu)
    return roots, means


def measured(moments, gradients, decay, bias_correction):
    """The variance after every step, of a function of one array."""

    def step(state, g):
        count, nu, mu = state
        rate = _scale._corrected(1 - decay, count) if bias_correction else 1 - decay
        nu, mu = moments(g, nu, mu, rate)
        return (count + 1, nu, mu), nu

    start = jnp.int32(1), *[jnp.zeros(gradients.shape[1:])] * 2
    return np.asarray(jax.jit(lambda g: jax.lax.scan(step, start, g)[1])(jnp.asarray(gradients)), np.float64)


def off_by(moments, decay, bias_correction):
    """The error of √nu by its bound, the largest for each noise."""
    gradients, t = noisy(), np.arange(1, STEPS + 1)
    rates = (1 - decay) / (1 - decay**t) if bias_correction else np.full(STEPS, 1 - decay)
    root, mean = exact(gradients, rates)
    nu = measured(moments, gradients, decay, bias_correction)
    assert np.isfinite(nu).all()
    assert (nu >= 0).all()
    still = 6e-8 * mean / (1 - decay)  # x·√nu
    # The first corrected variance is 0.
    bound = 1e-5 * root + 3e-7 * mean + still * np.minimum(1, still / np.where(root > 0, root, np.inf))
    return (np.abs(np.sqrt(nu) - root) / bound).max((0, 2))


# Without bias correction the start from a mean of 0 hides small noise for more than 10/(1 − decay) steps.
@pytest.mark.parametrize("bias_correction", [False, True], ids=["from 0", "corrected"])
@pytest.mark.parametrize("moments", [_scale.variance, _scale.variance_of_old_mean], ids=lambda f: f.__name__)
@pytest.mark.parametrize("decay", DECAYS)
def test_the_deviation_is_within_its_bound_of_float64_over_ten_thousand_steps(decay, moments, bias_correction):
    assert (off_by(moments, decay, bias_correction) <= 1).all()


@pytest.mark.parametrize(
    ("decay", "eps", "steps", "jit"),
    [*itertools.product(DECAYS[:3], (1e-8, 0.0), (100_000,), (True,)), (0.9, 0.0, 2_000, False)],
)
def test_constant_gradients_stay_finite(decay, eps, steps, jit):
    g = jnp.geomspace(0.1, 100, 16)
    formats = FORMATS if jit else ("float32",)
    txs = {name: scale_by_rms(decay, eps, centered=True, storage=name) for name in formats}

    def step(carry, _):
        states, fine = carry
        for name, tx in txs.items():
            updates, state = tx.update(g, states[name])
            nu = decoded(state.nu)
            fine &= (nu >= 0).all() & jnp.isfinite(jnp.stack([updates, state.mu, nu])).all()
            states = states | {name: state}
        return (states, fine), None

    carry = {name: tx.init(g) for name, tx in txs.items()}, jnp.array(True)
    if jit:
        carry, _ = jax.lax.scan(step, carry, length=steps)
    else:
        for _ in range(steps):
            carry, _ = step(carry, None)
    assert bool(carry[1])


@pytest.mark.parametrize(
    "options",
    [{"decay": 0.0}, {"decay": jnp.float32(0)}, {"bias_correction": True}, {"decay": 0.0, "storage": "uint8"}],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize(("eps", "below"), [(1e-8, 1e-4), (0.0, float(jnp.finfo("float32").tiny) ** 0.5)])
def test_at_a_rate_of_one_the_variance_is_zero_and_epsilon_divides_alone(options, dtype, eps, below):
    """Also a gradient whose square overflows stays finite; it counts as the largest whose square does not."""
    tx = scale_by_rms(**{"eps": eps} | options, centered=True)
    gradients = jnp.asarray([[1e-3, 0.0, -7.0, 3e38], [5.0, 1e-30, 0.1, -3e38]], dtype)
    gradients = gradients * jnp.asarray(-1j, dtype) if dtype == "complex64" else gradients
    state, most = tx.init(gradients[0]), float(jnp.finfo("float32").max) ** 0.5 / 16
    for g in gradients[:1] if "bias_correction" in options else gradients:
        updates, state = tx.update(g, state)
        np.testing.assert_array_equal(decoded(state.nu), 2.0**-50 if "storage" in options else 0.0)
        expected = np.asarray(g, np.complex128) / np.maximum(1, np.abs(np.asarray(g, np.complex128)) / most) / below
        np.testing.assert_allclose(updates, expected, rtol=1e-6)
