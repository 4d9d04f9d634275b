"""A training that another framework begins and this package continues.

Network and batches equal those of ``tests/golden/frameworks/half_way.py``, in PyTorch and Keras.
``notebooks/3_from_other_frameworks.ipynb`` draws the results; ``tests/claims/from_other_frameworks.py`` asserts the
notebook's statements about them.
"""

import functools
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from rmsprop_optax import interop
from rmsprop_optax.demo.data import digits

HALF, STEPS, BATCH = 100, 200, 32
CHANNELS, HIDDEN = (6, 12), 24
SLOTS = ("mean_square", "mean", "momentum")


class Net(nnx.Module):
    """Images float32[n, 8, 8, 1] → logits float32[n, 10]; 2146 parameters."""

    def __init__(self, *, rngs: nnx.Rngs):
        first, second = CHANNELS
        self.conv1 = nnx.Conv(1, first, kernel_size=(3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(first, second, kernel_size=(3, 3), rngs=rngs)
        self.hidden = nnx.Linear(2 * 2 * second, HIDDEN, rngs=rngs)
        self.logits = nnx.Linear(HIDDEN, 10, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = nnx.max_pool(nnx.relu(self.conv1(images)), window_shape=(2, 2), strides=(2, 2))
        x = nnx.max_pool(nnx.relu(self.conv2(x)), window_shape=(2, 2), strides=(2, 2))
        return self.logits(nnx.relu(self.hidden(x.reshape(len(x), -1))))


@functools.cache
def batches() -> tuple[np.ndarray, np.ndarray]:
    """Return all mini-batches of digits: images float32[200, 32, 8, 8, 1] and labels int32[200, 32]."""
    train, _ = digits()
    rows = np.random.default_rng(0).integers(0, len(train.labels), (STEPS, BATCH))
    return np.asarray(train.images)[rows], np.asarray(train.labels)[rows]


@jax.jit
def _gradients(params: Any, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, Any]:
    graph = nnx.graphdef(nnx.eval_shape(lambda: Net(rngs=nnx.Rngs(0))))

    def loss(params: Any) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(nnx.merge(graph, params)(images), labels).mean()

    return jax.value_and_grad(loss)(params)


@functools.partial(jax.jit, static_argnums=0)
def _update(tx: Any, grads: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
    updates, opt_state = tx.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def go_on(tx: optax.GradientTransformation, params: Any, opt_state: Any) -> dict[str, Any]:
    """Train :class:`Net` on the second half of :func:`batches`.

    Args:
      tx: the optimizer.
      params: of the network after the first half, a tree of arrays by the names of :class:`Net`.
      opt_state: the optimizer's state after the first half.

    Returns:
      ``loss`` (100,), of each mini-batch before its step; ``params`` and ``opt_state`` after the last step.
    """
    losses = []
    for batch in list(zip(*batches(), strict=True))[HALF:]:
        loss, grads = _gradients(params, *batch)
        params, opt_state = _update(tx, grads, opt_state, params)
        losses.append(loss)
    return {"loss": np.array(losses), "params": jax.tree.map(np.asarray, params), "opt_state": opt_state}


def nudged(params: Any, seed: int) -> Any:
    """Return the weights with the last bit of each changed, up or down at random, to measure the effect of rounding."""
    rng = np.random.default_rng(seed)

    def nudge(x: Any) -> np.ndarray:
        x = np.asarray(x)
        return np.nextafter(x, np.where(rng.random(x.shape) < 0.5, -np.inf, np.inf).astype(x.dtype))

    return jax.tree.map(nudge, params)


def furthest(one: Any, other: Any) -> float:
    """Return the largest difference between the entries of two trees of arrays."""
    return max(
        jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - np.asarray(b)).max()), one, other))
    )


def apart(run: dict[str, Any], end: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the distance between the ends of two runs.

    Args:
      run: of :func:`go_on`.
      end: ``loss``, ``params`` and ``slots`` of the other run, the slots as :mod:`rmsprop_optax.interop` reads them.

    Returns:
      For ``loss``, ``weight`` and each of the slots: the largest difference, and the largest entry of the other run.
    """
    slots = interop.read(run["opt_state"])
    pairs = {"loss": (run["loss"], end["loss"]), "weight": (run["params"], end["params"])}
    pairs |= {name: (getattr(slots, name), getattr(end["slots"], name)) for name in SLOTS}
    held = {name: pair for name, pair in pairs.items() if pair[1] is not None}
    zero = np.float32(0)
    return {
        name: (furthest(ours, theirs), furthest(theirs, jax.tree.map(lambda _: zero, theirs)))
        for name, (ours, theirs) in held.items()
    }
