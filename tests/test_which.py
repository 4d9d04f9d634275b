"""The pieces of ``experiments/which.py``; ``claims/which_rmsprop.py`` asserts the results."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import which
from rmsprop_optax import dialects


def game(row, ball, paddle):
    return which.Game(*(jnp.asarray(x, jnp.int32) for x in (row, ball, paddle)))


@pytest.mark.parametrize(
    ("before", "action", "after", "reward", "over"),
    [
        ((0, 2, 2), 0, (1, 2, 1), 0, False),
        ((1, 2, 2), 1, (2, 2, 2), 0, False),
        ((1, 2, 2), 2, (2, 2, 3), 0, False),
        ((1, 3, 0), 0, (2, 3, 0), 0, False),  # the wall
        ((1, 3, 4), 2, (2, 3, 4), 0, False),
        ((5, 3, 2), 2, (6, 3, 3), 1, True),
        ((5, 3, 2), 1, (6, 3, 2), -1, True),
    ],
)
def test_rules(before, action, after, reward, over):
    state, got, ended = which.move(game(*before), jnp.asarray(action, jnp.int32))
    assert (tuple(map(int, state)), float(got), bool(ended)) == (after, reward, over)


def test_every_position_looks_different():
    positions = np.indices((which.ROWS, which.COLUMNS, which.COLUMNS)).reshape(3, -1)
    looks = np.asarray(which.seen(game(*positions)))
    assert len(np.unique(looks, axis=0)) == positions.shape[1]
    assert (looks.sum(1) == 3).all()


def test_going_towards_the_ball_catches_it_and_away_does_not():
    def towards(seen):
        _, ball, paddle = (x.argmax(-1) for x in jnp.split(seen, [which.ROWS, which.ROWS + which.COLUMNS], axis=-1))
        return jnp.stack([paddle > ball, paddle == ball, paddle < ball], axis=-1).astype(jnp.float32)

    assert which.caught(towards) == 1
    stays = which.caught(lambda seen: jnp.broadcast_to(jnp.array([0.0, 1.0, 0.0], jnp.float32), (len(seen), 3)))
    assert np.isclose(stays, 1 / which.COLUMNS)


def test_network_is_relu_between_affine_maps():
    (p, _), network = which.dense(np.random.default_rng(0), 2, (3, 4, 2))
    p = p + 0.1
    x = np.array([[1.0, -2.0, 0.5]], np.float32)
    w1, b1, w2, b2 = np.split(np.asarray(p), [12, 16, 24])
    expected = np.maximum(x @ w1.reshape(3, 4) + b1, 0) @ w2.reshape(4, 2) + b2
    assert np.allclose(network(p, jnp.asarray(x)), expected, rtol=1e-5)


def test_groups():
    moved = {"a": [1.0, 2.0], "b": [2.0, 2.0], "c": [2.0, 2.0001], "d": [2.0, 2.1]}
    assert which.alike({name: {"w": np.array(path)} for name, path in moved.items()}) == [["b", "c"], ["a"], ["d"]]


def test_steps_under_another_epsilon():
    places = {"under": which.Place(0.01, under=True), "beside": which.Place(0.01, under=False)}
    longer = which.longer(places, np.array([0.0, 100.0]))
    assert (longer["under"] == 1).all()
    assert np.allclose(longer["beside"], [10, 1], rtol=1e-3)


@pytest.mark.parametrize("way", which.WAYS)
def test_ways_of_compiling_take_the_same_steps(way):
    tx = which.centered("ours", 0.9, 1e-8)
    start = jnp.array([1.0, -1.0], jnp.float32)
    run = which.compiled(way, tx, lambda p, batch: p + batch, start, jnp.array([0.1, -0.1, 0.2], jnp.float32))
    rows = which.compiled(
        which.WAYS[0], tx, lambda p, batch: p + batch, start, jnp.array([0.1, -0.1, 0.2], jnp.float32)
    )
    assert run["params"].shape == (3, 2)
    for name, values in rows.items():
        assert np.allclose(run[name], values, rtol=1e-5)


def test_every_dialect_has_its_path():
    paths = which.paths(5)
    assert sorted(paths) == sorted(dialects.TABLE)
    for path in paths.values():
        assert path.shape == (6, 2)
        np.testing.assert_array_equal(path[0], np.float32([-1, 0.5]))
        assert (np.abs(path[-1]) < np.abs(path[0])).all()
