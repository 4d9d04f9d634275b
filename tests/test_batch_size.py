"""The square-root rule: its numbers, and the same course of training at any batch size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmsprop_optax import rmsprop
from rmsprop_optax.scaling import to_batch_size

SETTING = {"learning_rate": 0.01, "decay": 0.99, "eps": 0.04, "floor": 0.2, "initial_scale": 1.0, "clip": 2.0}


def test_its_numbers():
    found = to_batch_size(32, 128, **SETTING, weight_decay=0.1)
    expected = {"learning_rate": 0.02, "decay": 0.96, "eps": 0.01, "floor": 0.1, "initial_scale": 0.25, "clip": 1.0}
    assert found == pytest.approx(expected | {"weight_decay": 0.2})
    assert to_batch_size(32, 128, eps=0.04, eps_in_sqrt=False) == pytest.approx({"eps": 0.02})
    with_momentum = to_batch_size(32, 128, learning_rate=0.01, momentum=0.9, weight_decay=0.1)
    assert with_momentum == pytest.approx({"learning_rate": 0.08, "momentum": 0.6, "weight_decay": 0.05})
    assert to_batch_size(8, 32, decay=0.0, momentum=0.0, learning_rate=1.0) == {
        "decay": 0.0,
        "momentum": 0.0,
        "learning_rate": 2.0,
    }


@pytest.mark.parametrize("new", [1, 8, 17, 128, 1600])
def test_the_way_back(new):
    there = to_batch_size(32, new, **SETTING, momentum=0.99, weight_decay=0.1)
    assert to_batch_size(new, 32, **there) == pytest.approx(SETTING | {"momentum": 0.99, "weight_decay": 0.1})


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"decay of 0.9 can follow a batch at most 10 times as large, got 16 times"):
        to_batch_size(8, 128, decay=0.9)
    with pytest.raises(ValueError, match="weight_decay follows the learning rate, got no learning_rate"):
        to_batch_size(8, 16, weight_decay=0.1)
    with pytest.raises(ValueError, match="old must be finite and at least 1, got old=0: it is the number"):
        to_batch_size(0, 16)
    with pytest.raises(TypeError, match="decay must be a Python or NumPy number"):
        to_batch_size(8, 16, decay="0.9")
    with pytest.raises(TypeError, match=r"learning_rate must be .*: to convert an array of learning rates, mult"):
        to_batch_size(8, 16, learning_rate=jnp.array([0.1, 0.2]))


OPTIONS = {"learning_rate": 2e-3, "decay": 0.995, "eps": 8.0, "momentum": 0.95, "initial_scale": 256.0}


def course(size, options, runs=4000, examples=8192):
    """Mean and deviation of a weight that starts at 2, over runs, after each quarter of the examples.

    The loss of an example is ``(w − noise)²/2``, with noise of deviation 16.
    """
    tx, steps = rmsprop(**options), examples // 8 // size

    def step(carry, key):
        w, state = carry
        g = w - 16 / np.sqrt(size) * jax.random.normal(key, w.shape)
        u, state = tx.update(g, state)
        return (w + u, state), w

    def run(key):
        start = jnp.full(runs, 2.0)
        return jax.lax.scan(step, (start, tx.init(start)), jax.random.split(key, steps))[1]

    w = jax.jit(run)(jax.random.key(size))[steps // 4 - 1 :: steps // 4]
    return np.asarray(w.mean(1)), np.asarray(w.std(1))


def test_training_takes_the_same_course():
    mean, deviation = course(1, OPTIONS)
    for size in (2, 4):  # the rule is exact for short steps; at 9 the buffer is 2 steps long, and means are 0.06 apart
        found, spread = course(size, to_batch_size(1, size, **OPTIONS))
        np.testing.assert_allclose(found, mean, atol=0.03)  # 3 standard errors of 4000 runs
        np.testing.assert_allclose(spread, deviation, rtol=0.05)
        linear, _ = course(size, OPTIONS | {"learning_rate": size * OPTIONS["learning_rate"]})
        same, _ = course(size, OPTIONS)
        assert abs(linear - mean).max() > 0.09  # three times the tolerance
        assert abs(same - mean).max() > 0.09
