"""The training loop: one compiled call an epoch, one row of numbers for each.

``nnx.split`` takes the model apart once: ``graph`` is what it is made of, ``params`` a tree of arrays. From there on it
is JAX and optax alone, and a step maps ``(params, opt_state)`` to the next ones.
"""

import functools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from rmsprop_optax import measure
from rmsprop_optax.demo import checkpoints
from rmsprop_optax.demo.data import Split
from rmsprop_optax.demo.model import ConvNet


def fit(
    tx: optax.GradientTransformation,
    train: Split,
    test: Split,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    checkpoint: Path | None = None,
    run: Any = None,
) -> Iterator[dict[str, Any]]:
    """Train from scratch or from a checkpoint; the seed alone decides the first weights and the order of the images.

    Args:
      tx: the optimizer, a :func:`rmsprop_optax.measure.measured` one.
      train: what is learnt.
      test: what is looked at after every epoch.
      epochs: how many in all, with those before a checkpoint.
      batch_size: how many images a step takes.
      seed: of all that is random.
      checkpoint: a folder for a checkpoint after every epoch; the training goes on from the last one in it.
      run: anything in JSON that is saved with them.

    Yields:
      ``train_loss``, ``train_accuracy``, ``test_loss`` and ``test_accuracy``, as :func:`evaluate` has them, with the
      ``epoch`` and the ``seconds`` that its training took, and what :func:`rmsprop_optax.measure.scalars` has. The
      first row is epoch 0, before training; those of later epochs also have ``rates``, the effective learning rates of
      some entries of each array. Rows before a checkpoint come first. Ends early when a loss is no longer finite, for
      nothing mends that.

    Raises:
      rmsprop_optax.demo.checkpoints.CheckpointError: what is in the folder is of another optimizer, or damaged.
    """
    graph, params = nnx.split(ConvNet(rngs=nnx.Rngs(seed)))
    opt_state = tx.init(params)
    key = jax.random.key(seed)
    rows: list[dict[str, Any]]
    if checkpoint is None or checkpoints.last(checkpoint) is None:
        scores = _scores(params, graph, train=train, test=test)
        rows = [{"epoch": 0, **scores, "seconds": 0.0, **measure.scalars(opt_state)}]
    else:
        _, (params, opt_state), position = checkpoints.restore(checkpoint, (params, opt_state))
        rows = position["rows"]
    yield from rows
    with checkpoints.saver(checkpoint) as save:
        for epoch in range(len(rows), epochs + 1):
            if not math.isfinite(rows[-1]["train_loss"] + rows[-1]["test_loss"]):
                return
            start = time.perf_counter()
            params, opt_state = train_epoch(
                params, opt_state, train, jax.random.fold_in(key, epoch), graph=graph, tx=tx, batch_size=batch_size
            )
            jax.block_until_ready(params)
            seconds = time.perf_counter() - start
            scores = _scores(params, graph, train=train, test=test)
            measures = measure.scalars(opt_state)
            rates = _rates(tx, opt_state, params)
            rows.append({"epoch": epoch, **scores, "seconds": seconds, **measures, "rates": rates})
            save(epoch, (params, opt_state), {"run": run, "rows": rows})
            yield rows[-1]


@functools.partial(jax.jit, static_argnames=("tx", "batch_size"), donate_argnames=("params", "opt_state"))
def train_epoch(
    params: nnx.State,
    opt_state: optax.OptState,
    data: Split,
    key: jax.Array,
    *,
    graph: nnx.GraphDef,
    tx: optax.GradientTransformation,
    batch_size: int,
) -> tuple[nnx.State, optax.OptState]:
    """One pass over the data in a random order; images that fill no batch sit this epoch out."""
    steps = len(data.labels) // batch_size
    order = jax.random.permutation(key, len(data.labels))[: steps * batch_size]

    def step(carry, batch):
        params, opt_state = carry
        grads = jax.grad(loss)(params, graph, data.images[batch], data.labels[batch])
        updates, opt_state = tx.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    carry, _ = jax.lax.scan(step, (params, opt_state), order.reshape(steps, batch_size))
    return carry


def loss(params: nnx.State, graph: nnx.GraphDef, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean cross-entropy in nats; ln 10 ≈ 2.3 is guessing."""
    logits = nnx.merge(graph, params)(images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@jax.jit
def evaluate(params: nnx.State, graph: nnx.GraphDef, data: Split) -> dict[str, jax.Array]:
    """The ``loss``, and as ``accuracy`` the share of images whose largest logit is their label's."""
    logits = nnx.merge(graph, params)(data.images)
    return {
        "loss": optax.softmax_cross_entropy_with_integer_labels(logits, data.labels).mean(),
        "accuracy": jnp.mean(logits.argmax(-1) == data.labels),
    }


def _rates(tx: Any, opt_state: Any, params: nnx.State) -> dict[str, list[float]]:
    """As a checkpoint's position can have them, with three digits."""
    found = measure.effective_rates(tx, opt_state, params, entries=256)
    return {name: [float(f"{x:.3g}") for x in rates] for name, rates in found.items()}


def _scores(params: nnx.State, graph: nnx.GraphDef, **splits: Split) -> dict[str, float]:
    return {
        f"{name}_{key}": float(value)
        for name, split in splits.items()
        for key, value in evaluate(params, graph, split).items()
    }
