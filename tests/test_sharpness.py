"""The sharpness against a dense eigen-decomposition: for every dialect, on trees, sharded."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from rows import long

from rmsprop_optax import dialects, links, rmsprop
from rmsprop_optax.measure import effective_rates, measured, sharpness

RNG = np.random.default_rng(0)
X, Y = (jnp.asarray(RNG.standard_normal(shape), jnp.float32) for shape in ((64, 4), (64, 2)))
PARAMS = {
    "hidden": {"w": jnp.asarray(RNG.standard_normal((4, 8)), jnp.float32), "b": jnp.zeros(8)},
    "out": (jnp.asarray(RNG.standard_normal((8, 2)), jnp.float32),),
}


def loss(p, x, y):
    return jnp.mean((jnp.tanh(x @ p["hidden"]["w"] + p["hidden"]["b"]) @ p["out"][0] - y) ** 2)


@functools.cache
def hessian():
    flat, tree = ravel_pytree(PARAMS)
    return np.asarray(jax.jit(jax.hessian(lambda flat: loss(tree(flat), X, Y)))(flat))


gradient = jax.jit(jax.grad(lambda params, scale: scale * loss(params, X, Y)))


def after(tx, steps=3, params=PARAMS):
    state, update = tx.init(params), jax.jit(tx.update)
    with jax.numpy_dtype_promotion("standard"):  # optax's schedules
        for scale in range(1, steps + 1):
            _, state = update(gradient(params, scale), state, params)
    return state


def largest(rates):
    """By a dense decomposition; ``rates`` in the order of the leaves."""
    root = np.sqrt(np.concatenate([np.ravel(r) for r in rates]).astype(np.float64))
    return np.linalg.eigvalsh(root[:, None] * hessian() * root)[-1]


CASES = {
    "optax": (rmsprop(0.1), lambda nu: 0.1 / np.sqrt(nu + 1e-8)),
    "pytorch": (dialects.pytorch(0.1, eps=1e-2), lambda nu: 0.1 / (np.sqrt(nu) + 1e-2)),
    "floor, decays": (rmsprop(0.1, floor=0.3, weight_decay=0.1), lambda nu: 0.1 / np.maximum(np.sqrt(nu + 1e-8), 0.3)),
    "nesterov": (rmsprop(0.1, momentum=0.9, nesterov=True), lambda nu: 1.9 * 0.1 / np.sqrt(nu + 1e-8)),
    "measured": (measured(rmsprop(0.1)), lambda nu: 0.1 / np.sqrt(nu + 1e-8)),
    "decay 0": (rmsprop(0.1, decay=0.0), lambda nu: 0.1 / np.sqrt(nu + 1e-8)),
    "clipped": (optax.chain(optax.clip_by_global_norm(1e-2), rmsprop(0.1)), lambda nu: 0.1 / np.sqrt(nu + 1e-8)),
    "resettable": (links.resettable(rmsprop(0.1)), lambda nu: 0.1 / np.sqrt(nu + 1e-8)),
}


@pytest.mark.parametrize("case", long(CASES, ["pytorch", "measured", "decay 0"]))
def test_it_is_the_largest_eigenvalue(case):
    tx, effective = CASES[case]
    state = after(tx)
    nus = [np.asarray(nu, np.float64) for nu in jax.tree.leaves(optax.tree.get(state, "nu"))]
    with jax.numpy_dtype_promotion("standard"):
        found = sharpness(tx, state, PARAMS, loss, X, Y)
    assert found.value == pytest.approx(largest(map(effective, nus)), rel=1e-3)
    assert 5 < found.products <= 60


@pytest.mark.parametrize("name", long(dialects.TABLE, ["tf1", "graves"]))
def test_for_every_dialect(name):
    constructor = dialects.TABLE[name].constructor
    required = [p.name for p in inspect.signature(constructor).parameters.values() if p.default is p.empty]
    tx = constructor(**dict.fromkeys(required, 0.01))
    state = after(tx)
    rates = effective_rates(tx, state, PARAMS)
    expected = largest(rates[key] for key in ("hidden/b", "hidden/w", "out/0"))
    assert sharpness(tx, state, PARAMS, loss, X, Y).value == pytest.approx(expected, rel=1e-3)


def test_sharded_parameters():
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    shard = lambda p: jax.device_put(p, NamedSharding(mesh, P(*(["x"] if p.shape[0] == 8 else [None, "x"]))))  # noqa: E731
    params, tx = jax.tree.map(shard, PARAMS), rmsprop(0.1)
    expected = sharpness(tx, after(tx), PARAMS, loss, X, Y)
    assert sharpness(tx, after(tx, params=params), params, loss, X, Y).value == pytest.approx(expected.value, rel=1e-3)


def test_arrays_that_are_not_trained_are_constant():
    tx = optax.masked(rmsprop(0.1), {"hidden": False, "out": True})
    state = after(tx)
    nu = np.asarray(optax.tree.get(state, "nu")["out"][0], np.float64)
    rates = [np.zeros(8), np.zeros(32), 0.1 / np.sqrt(nu + 1e-8)]
    assert sharpness(tx, state, PARAMS, loss, X, Y).value == pytest.approx(largest(rates), rel=1e-3)


def test_what_it_needs():
    with pytest.raises(ValueError, match=r"needs a state with a ScaleByRmsState, got none"):
        sharpness(optax.sgd(0.1), optax.sgd(0.1).init(PARAMS), PARAMS, loss, X, Y)
    for params, error in (({"w": jnp.ones(3, jnp.complex64)}, "real parameters"), ({"w": jnp.ones(1)}, "got 1")):
        with pytest.raises(ValueError, match=error):
            sharpness(rmsprop(0.1), rmsprop(0.1).init(params), params, lambda p: jnp.sum(jnp.abs(p["w"])))
