"""The pieces of ``experiments/papers.py``; ``claims/what_papers_found.py`` asserts the results."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import papers


def pole(*x):
    return papers.Pole(jnp.asarray(x, jnp.float32), jnp.asarray(7, jnp.int32))


def test_a_push_is_gymnasiums():
    """From rest: 10 N on 1.1 kg, and the pole's inertia; then both as Newton's equations have them."""
    new, fell = papers.push(pole(0.0, 0.0, 0.0, 0.0), jnp.asarray(1))
    turn = -(10 / 1.1) / (0.5 * (4 / 3 - 0.1 / 1.1))
    np.testing.assert_allclose(new.x, [0, 0.02 * (10 / 1.1 - 0.05 * turn / 1.1), 0, 0.02 * turn], rtol=1e-6)
    assert not fell
    assert int(new.steps) == 8
    x = np.array([0.1, -0.5, 0.15, 1.2])
    new, _ = papers.push(pole(*x), jnp.asarray(0))
    speed, spin = np.array(new.x[1] - x[1], float) / 0.02, np.array(new.x[3] - x[3], float) / 0.02
    sin, cos = np.sin(x[2]), np.cos(x[2])
    # The force moves cart and pole; gravity and the cart's acceleration turn the pole.
    assert 1.1 * speed + 0.05 * (spin * cos - x[3] ** 2 * sin) == pytest.approx(-10, rel=1e-4)
    assert 4 / 3 * 0.5 * spin == pytest.approx(9.8 * sin - speed * cos, rel=1e-4)


@pytest.mark.parametrize(
    ("x", "falls"), [((2.399, 1.0, 0, 0), True), ((0, 0, 0.2094, 0.1), True), ((2.3, 0, 0.2, 0), False)]
)
def test_a_pole_falls_at_the_rail_and_at_twelve_degrees(x, falls):
    assert bool(papers.push(pole(*x), jnp.asarray(0))[1]) == falls


def test_an_episode_begins_near_the_middle():
    np.testing.assert_allclose(papers.begun(jnp.asarray([0.0, 0.5, 1.0, 0.25])).x, [-0.05, 0, 0.05, -0.025], atol=1e-8)


def test_two_steps_of_the_first_problem():
    """Steps of 0.1/√t·g/√(0.9·g² + 0.1·old), between -1 and 1."""
    x = papers.reddi(2)["RMSprop, decay 0.1"]
    first = -0.1 / np.sqrt(0.9)
    np.testing.assert_allclose(x, [first, first + 0.1 / 2**0.5 / np.sqrt(0.9 + 0.1 * 8.1)], rtol=1e-5)
