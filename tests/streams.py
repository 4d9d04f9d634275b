"""Streams of gradients, and how far an optimizer's mean square is from exact arithmetic on them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

STEPS = {0.9: 400, 0.99: 2000, 0.999: 12000}  # 40, 20 and 12 times the memory of the average
CHUNK = 80  # steps that are drawn and compared at a time


def normal(scale):
    """Normal gradients of a scale that may change with time, 0 at the start of the stream and 1 at its end."""
    return lambda rng, time, n: scale(time) * rng.standard_normal((len(time), n))


def sparse(share):
    return lambda rng, time, n: rng.standard_normal((len(time), n)) * (rng.random((len(time), n)) < share)


def mixed(rng, time, n):
    """Normal gradients whose scale differs from entry to entry by a factor of some e^1.5."""
    return 1e-3 * np.exp(1.5 * np.random.default_rng(1).standard_normal(n)) * rng.standard_normal((len(time), n))


STREAMS = {
    "normal 1e-6": normal(lambda time: 1e-6),
    "normal 1e-3": normal(lambda time: 1e-3),
    "normal 30": normal(lambda time: 30.0),
    "constant": lambda rng, time, n: np.full((len(time), n), 0.1),
    "student": lambda rng, time, n: 1e-3 * rng.standard_t(3, (len(time), n)),
    "sparse .1": sparse(0.1),
    "sparse .01": sparse(0.01),
    "jump up": normal(lambda time: np.where(time < 1 / 8, 1e-2, 10.0)),
    "jump down": normal(lambda time: np.where(time < 1 / 8, 1e-2, 1e-5)),
    "mixed scales": mixed,
    "six decades down": normal(lambda time: 10.0 ** (-6 * time)),
}


def runner(tx, like):
    """A transformation with its state, as a function from the gradients of some steps, flat, to their updates."""
    state = tx.init(like)

    def update(gradients):
        nonlocal state
        state, updates = _scan(tx, state, jnp.asarray(gradients, like.dtype).reshape(-1, *like.shape))
        return updates.reshape(gradients.shape)

    return update


@functools.partial(jax.jit, static_argnums=0)
def _scan(tx, state, gradients):
    return jax.lax.scan(lambda state, g: tx.update(g, state)[::-1], state, gradients)


def compare(stream, decay, updates, n, steps=None):
    """For each name in ``updates`` the sums that :func:`summary` takes, of each step.

    ``updates`` maps names to functions from gradients (steps × entries) to gradients divided by the root.
    """
    rng, nu, steps = np.random.default_rng(0), 0.0, steps or STEPS[decay]
    sums = {name: [] for name in updates}
    for start in range(0, steps, CHUNK):
        gradients = STREAMS[stream](rng, np.arange(start, start + CHUNK)[:, None] / steps, n).astype(np.float32)
        means = gradients.astype(np.float64) ** 2
        for row in means:
            row[:] = nu = decay * nu + (1 - decay) * row
        roots = np.sqrt(means.astype(np.float32))
        for name, update in updates.items():
            sums[name].append(_sums(gradients, roots, update(gradients)))
    return {name: np.concatenate(rows, axis=1, dtype=np.float64) for name, rows in sums.items()}


@jax.jit
def _sums(g, root, u):
    exact = g / root
    ratio = exact / u  # what was divided by to the exact root
    summands = jnp.ones_like(g), ratio**2, (ratio - 1) ** 2, (u - exact) ** 2, exact**2, jnp.abs(u), jnp.abs(exact)
    return jnp.stack([jnp.where(g == 0, 0, x).sum(axis=1) for x in summands])


def summary(sums):
    """After a third of the stream, over all entries with a gradient: the bias of the mean square, the root of the mean
    squared error of its root, both relative, the relative error of the updates, and their size by what it should be.
    """
    count, square, root, error, exact, size, exact_size = sums[:, sums.shape[1] // 3 :].sum(axis=1)
    return {
        "bias": square / count - 1,
        "root": np.sqrt(root / count),
        "update": np.sqrt(error / exact),
        "size": size / exact_size,
    }
