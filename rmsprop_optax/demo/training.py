"""The training loop: one compiled call and one row of numbers for each epoch.

``nnx.split`` separates the model into ``graph``, its structure, and ``params``, a tree of arrays. The rest is JAX and
optax: a step maps ``(params, opt_state)`` to the next pair.
"""

import functools
import math
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from rmsprop_optax import measure
from rmsprop_optax.demo import checkpoints
from rmsprop_optax.demo.data import Split
from rmsprop_optax.demo.model import network

Params: TypeAlias = nnx.State[Any, Any]
Graph: TypeAlias = nnx.GraphDef[Any]


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
) -> Generator[dict[str, Any], None, None]:
    """Train from the start or from a checkpoint, and yield one row an epoch.

    The seed alone determines the first weights and the order of the examples.

    Args:
      tx: the optimizer, a :func:`rmsprop_optax.measure.measured` one.
      train: the examples to learn.
      test: the examples to evaluate after every epoch.
      epochs: number of epochs, including those before a checkpoint.
      batch_size: number of examples in a step.
      seed: of the weights and the orders.
      checkpoint: a folder that gets a checkpoint after every epoch; the training continues from the last one in it.
      run: a JSON value that is saved with each checkpoint.

    Yields:
      ``train_loss``, ``train_accuracy``, ``test_loss`` and ``test_accuracy`` of :func:`evaluate`, the ``epoch``, the
      ``seconds`` of its training, and the numbers of :func:`rmsprop_optax.measure.scalars`. The first row is epoch 0,
      before training. If the optimizer has a mean square of this package, later rows also have ``rates``, the effective
      learning rates of some entries of each array. Rows before a checkpoint are yielded again. The training ends early
      once a loss is not finite.

    Raises:
      rmsprop_optax.demo.checkpoints.CheckpointError: the checkpoint is damaged or belongs to another optimizer.
    """
    classes = 1 + int(max(split.labels.max() for split in (train, test)))
    graph, params = nnx.split(network(train.images.shape[1:], classes, rngs=nnx.Rngs(seed)))
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
            rows.append({"epoch": epoch, **scores, "seconds": seconds, **measures})
            if any(name.startswith("lr_median/") for name in measures):
                rows[-1]["rates"] = _rates(tx, opt_state, params)
            save(epoch, (params, opt_state), {"run": run, "rows": rows})
            yield rows[-1]


@functools.partial(jax.jit, static_argnames=("tx", "batch_size"), donate_argnames=("params", "opt_state"))
def train_epoch(
    params: Params,
    opt_state: optax.OptState,
    data: Split,
    key: jax.Array,
    *,
    graph: Graph,
    tx: optax.GradientTransformation,
    batch_size: int,
) -> tuple[Params, optax.OptState]:
    """Train for one pass over the data in a random order; an incomplete last batch is left out."""
    steps = len(data.labels) // batch_size
    order = jax.random.permutation(key, len(data.labels))[: steps * batch_size]

    def step(carry: tuple[Params, optax.OptState], batch: jax.Array) -> tuple[tuple[Params, optax.OptState], None]:
        params, opt_state = carry
        grads = jax.grad(loss)(params, graph, data.images[batch], data.labels[batch])
        updates, opt_state = tx.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    carry, _ = jax.lax.scan(step, (params, opt_state), order.reshape(steps, batch_size))
    return carry


def loss(params: Params, graph: Graph, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean cross-entropy in nats; random guessing among 10 classes gives ln 10 ≈ 2.3."""
    logits = nnx.merge(graph, params)(images)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


@jax.jit
def evaluate(params: Params, graph: Graph, data: Split) -> dict[str, jax.Array]:
    """Return the ``loss``, and the ``accuracy``: the share of examples whose largest logit is that of their label."""
    logits = nnx.merge(graph, params)(data.images)
    return {
        "loss": optax.softmax_cross_entropy_with_integer_labels(logits, data.labels).mean(),
        "accuracy": jnp.mean(logits.argmax(-1) == data.labels),
    }


def _rates(tx: Any, opt_state: Any, params: Params) -> dict[str, list[float]]:
    """Return effective learning rates rounded to three digits, as lists, because checkpoints save them as JSON."""
    found = measure.effective_rates(tx, opt_state, params, entries=256)
    return {name: [float(f"{x:.3g}") for x in rates] for name, rates in found.items()}


def _scores(params: Params, graph: Graph, **splits: Split) -> dict[str, float]:
    return {
        f"{name}_{key}": float(value)
        for name, split in splits.items()
        for key, value in evaluate(params, graph, split).items()
    }
