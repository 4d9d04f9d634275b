"""The optimizers and the data of ``experiments/lecture.py``; ``claims/why_rmsprop.py`` asserts the results."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import lecture
from rmsprop_optax import rmsprop

ULP = float(np.finfo(np.float32).eps)


def updates(tx, gradients):
    return np.asarray(
        lecture.descend(tx, lambda w, g: g, jnp.float32(0), jnp.asarray(gradients, jnp.float32), lambda p, g, u, s: u)
    )


# The optimizers


def test_rprop_is_the_papers_with_no_delay():
    steps = updates(lecture.rprop(0.1), [1, 1, 1, -1, -1, -1, 1, -2])
    # The factor is 1.2 while the sign stays, 0.5 without a step when it changes, and 1 after that (iRprop-).
    expected = [-0.1, -0.12, -0.144, 0, 0.072, 0.0864, 0, 0.0432]
    np.testing.assert_allclose(steps, expected, rtol=4 * ULP, atol=0)


@pytest.mark.parametrize(("start", "bound", "sign"), [(20.0, 50.0, 1), (1e-5, 1e-6, -1)])
def test_rprops_step_stays_within_the_lectures_bounds(start, bound, sign):
    gradients = np.ones(100) if sign > 0 else np.resize([1, -1, 1], 300)
    sizes = np.abs(updates(lecture.rprop(start), gradients))
    assert (sizes.max() if sign > 0 else sizes[sizes > 0].min()) == pytest.approx(bound, rel=ULP)


def test_steps_until():
    error = [[3.0, 0.5, 2.0, 0.5, 0.4], [0.1] * 5, [0.1] * 4 + [2.0], [np.nan] * 5]
    np.testing.assert_array_equal(lecture.steps_until(error, 1.0), [4, 1, np.inf, np.inf])


def test_the_ten_gradients_sum_to_zero():
    assert sum(lecture.CYCLE) == pytest.approx(0, abs=1e-15)
    nine_first, one_first, *shuffled = np.asarray(lecture.streams(3, 2)).reshape(4, 3, 10)
    np.testing.assert_array_equal(nine_first, one_first[:, ::-1])
    for stream in (nine_first, *shuffled):
        np.testing.assert_array_equal(np.sort(stream), np.sort(np.tile(np.float32(lecture.CYCLE), (3, 1))))


def test_with_decay_zero_rmsprop_is_the_sign():
    gradients = np.random.default_rng(0).normal(size=100)
    np.testing.assert_allclose(updates(rmsprop(0.5, 0.0, eps=0.0), gradients), -0.5 * np.sign(gradients), rtol=ULP)


def test_digits_are_split_without_overlap():
    parts = lecture.parts()
    assert {name: len(labels) for name, (_, labels) in parts.items()} == {"train": 1010, "validation": 337, "test": 450}
    images = np.concatenate([np.asarray(x) for x, _ in parts.values()])
    assert len(np.unique(images, axis=0)) == len(images) == 1797
    assert images.min() == 0
    assert images.max() == 1


def test_optimizers_are_the_public_ones():
    g = jnp.asarray([1.0, -2.0], jnp.float32)
    for name, other in (("SGD", optax.sgd(0.1)), ("RMSprop", rmsprop(0.1))):
        tx = lecture.OPTIMIZERS[name](0.1)
        np.testing.assert_array_equal(tx.update(g, tx.init(g))[0], other.update(g, other.init(g))[0])
    # Adagrad starts from a sum of 0, so its first step is one rate long for every gradient.
    tx = lecture.OPTIMIZERS["Adagrad"](0.1)
    np.testing.assert_allclose(tx.update(1e-2 * g, tx.init(g))[0], [-0.1, 0.1], rtol=1e-3)


def test_the_jump_divided_and_its_way_back():
    tx, params = lecture.jump_divided(0.1), {"w": jnp.zeros(3)}
    gradients = np.random.default_rng(0).normal(size=(5, 3)) * [1.0, 10.0, 0.0]
    state, w, b, nu, at = tx.init(params), np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    for g in gradients:
        updates, state = tx.update({"w": jnp.asarray(g, jnp.float32)}, state, params)
        params = optax.apply_updates(params, updates)
        b, nu = 0.9 * b + g, 0.9 * nu + 0.1 * g**2
        root = np.where(nu > 0, np.sqrt(nu), 1.0)
        w, at = w - 0.1 * (0.9 * b + g) / root, w - 0.1 * (0.9 * b + g) / root + 0.1 * 0.9 * b / root
        np.testing.assert_allclose(params["w"], w, rtol=1e-5)
    found = lecture.before_jump("Nesterov, jump divided", 0.1, params, state)
    np.testing.assert_allclose(found["w"], at, rtol=1e-5)


@pytest.mark.parametrize("name", ["RMSprop, momentum", "Nesterov, correction divided", "Nesterov, jump divided"])
def test_momentum_with_one_gradient_all_along(name):
    # Once the mean square is constant, the root divides correction and jump alike: each step is ten rates long.
    tx = lecture.EXTENSIONS[name](0.1)

    def look(w, g, update, state):
        return w, lecture.before_jump(name, 0.1, w, state), update

    w, at, update = lecture.descend(tx, lambda w, g: g, jnp.float32(0), jnp.full(300, 2, jnp.float32), look)
    np.testing.assert_allclose(np.diff(at)[-10:], -1, rtol=1e-3)
    np.testing.assert_allclose(update[-10:], -1, rtol=1e-3)
    np.testing.assert_allclose((at - w)[-10:], 0.0 if name == "RMSprop, momentum" else 0.9, rtol=1e-3)
