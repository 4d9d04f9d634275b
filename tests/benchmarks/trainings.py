"""Three small trainings with every storage: ``python -m tests.benchmarks trainings``.

A seed determines the first weights and the batches for every storage, so losses are compared in pairs. The losses of a
pair also differ by chance, because training amplifies rounding; "float32, nudged", whose epsilon is 0.1 % larger, shows
how much. ``PYTHONPATH=notebooks python -m tests.benchmarks.trainings --json FILE`` writes the rows to FILE and the
table beside it, and keeps the rows of FILE that this run does not repeat; ``--help`` lists the options.
"""

import argparse
import datetime
import itertools
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.text import CHARACTERS, CONTEXT, GRU, text
from rmsprop_optax import rmsprop
from rmsprop_optax.demo.data import digits
from rmsprop_optax.demo.model import ConvNet

STORAGES = {
    "float32": {},
    "float32, nudged": {"eps": 1.001e-8},
    "bfloat16": {"storage": "bfloat16"},
    "uint8": {"storage": "uint8"},
    "uint8, momentum bfloat16": {"storage": "uint8", "momentum_storage": "bfloat16"},
}
LEGEND = (
    "Validation losses in nats, means over the seeds ± their standard errors. A difference is between runs of the same "
    "seed; it is within if its mean is at most the standard error of float32's loss. Nudged is float32 with an epsilon "
    "0.1 % larger: what chance alone does."
)
WARMUP = 20


class Block(nnx.Module):
    """A layer of the transformer: attention to what came before, and two dense layers."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(2)])
        self.attention = nnx.MultiHeadAttention(4, width, decode=False, rngs=rngs)
        up, down = nnx.Linear(width, 4 * width, rngs=rngs), nnx.Linear(4 * width, width, rngs=rngs)
        self.dense = nnx.Sequential(up, nnx.relu, down)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.attention(self.norms[0](x), mask=nnx.make_causal_mask(x[..., 0]))
        return x + self.dense(self.norms[1](x))


class Transformer(nnx.Module):
    """Characters int[n, time] → logits float32[n, time, characters] of the next characters."""

    def __init__(self, width: int = 48, depth: int = 2, *, rngs: nnx.Rngs):
        self.embed = nnx.Embed(len(CHARACTERS), width, rngs=rngs)
        self.position = nnx.Embed(CONTEXT, width, rngs=rngs)
        self.blocks = nnx.List([Block(width, rngs=rngs) for _ in range(depth)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.logits = nnx.Linear(width, len(CHARACTERS), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        h = self.embed(x) + self.position(jnp.arange(x.shape[-1]))
        for block in self.blocks:
            h = block(h)
        return self.logits(self.norm(h))


class Task(NamedTuple):
    """What is trained.

    Attributes:
      model: makes one, from ``rngs``.
      data: returns inputs and labels, to train and to validate.
      batch: how many examples a step sees.
      steps: how many there are.
      rates: (decay, momentum) → the peak learning rate, in float32 the best among factors of 2.
    """

    model: Callable[..., nnx.Module]
    data: Callable[[], tuple[tuple, tuple]]
    batch: int
    steps: int
    rates: dict[tuple[float, float | None], float]


TASKS = {
    "digits": Task(ConvNet, digits, 32, 600, {(0.9, None): 4e-3, (0.99, 0.9): 4e-4, (0.999, 0.9): 2e-4}),
    "gru": Task(GRU, text, 16, 600, {(0.9, None): 1.6e-2, (0.99, 0.9): 1e-3, (0.999, 0.9): 1e-3}),
    "transformer": Task(Transformer, text, 16, 600, {(0.9, None): 8e-3, (0.99, 0.9): 1e-3, (0.999, 0.9): 2.5e-4}),
}


def train(task: Task, seeds: range, *, rate: float, **options: Any) -> tuple[list[float], list[float]]:
    """Train once for every seed; return the validation losses, in nats, and accuracies."""
    tx = rmsprop(optax.warmup_cosine_decay_schedule(0.0, rate, WARMUP, task.steps), **options)

    def one(key, data, validation):
        weights, batches = jax.random.split(key)
        graph, params, rest = nnx.split(task.model(rngs=nnx.Rngs(weights)), nnx.Param, ...)

        def loss(params, x, y):
            logits, y = nnx.merge(graph, params, rest)(x), y.astype(jnp.int32)
            entropy = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
            return entropy, jnp.mean(logits.argmax(-1) == y)

        def step(carry, batch):
            params, state = carry
            grads, _ = jax.grad(loss, has_aux=True)(params, *(array[batch] for array in data))
            updates, state = tx.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        batches = jax.random.randint(batches, (task.steps, task.batch), 0, len(data[0]))
        (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), batches)
        return loss(params, *validation)

    @jax.jit
    def run(seeds, *data):  # one after the other: on a CPU that is 1.2 to 3 times as fast as jax.vmap
        return jax.lax.map(lambda seed: one(jax.random.key(seed), *data), seeds)

    losses, accuracies = run(jnp.asarray(seeds), *jax.tree.map(jnp.asarray, task.data()))
    return losses.tolist(), accuracies.tolist()


def trained(tasks: dict[str, Task], seeds: range, decays: Sequence[float], storages: Sequence[str]) -> Iterator[dict]:
    """The rows of the table; those of float32 always, and momentum in 16 bits where there is one."""
    for name, task in tasks.items():
        for ((decay, momentum), rate), storage in itertools.product(task.rates.items(), STORAGES):
            fits = momentum is not None or "momentum_storage" not in STORAGES[storage]
            if fits and decay in decays and storage in ("float32", *storages):
                setting = {"decay": decay, "momentum": momentum, "rate": rate}
                losses, accuracies = train(task, seeds, **setting, **STORAGES[storage])
                about = {"task": name, **setting, "seeds": [seeds.start, seeds.stop], "storage": storage}
                yield about | {"loss": losses, "accuracy": accuracies}


def key(row: dict) -> tuple:
    """What a row is the result of, in the order of the table."""
    return row["task"], row["decay"], *row["seeds"], list(STORAGES).index(row["storage"])


def compared(rows: Sequence[dict]) -> Iterator[dict]:
    """Add the mean and the standard error of the losses, and those of the differences, each between equal seeds."""

    def mean(x):
        return float(np.mean(x)), float(np.std(x, ddof=1) / np.sqrt(len(x)))

    float32 = {key(row)[:-1]: row["loss"] for row in rows if row["storage"] == "float32"}
    for row in rows:
        base = float32[key(row)[:-1]]
        difference = mean(np.subtract(row["loss"], base))
        yield row | {"mean": mean(row["loss"]), "difference": difference, "within": abs(difference[0]) <= mean(base)[1]}


def markdown(results: dict) -> str:
    """The table, under a line that says how to read it."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    lines = [
        f"{results['date']}, {versions}. {LEGEND}\n",
        "| task | decay | momentum | rate | seeds | storage | loss | difference to float32 | within | accuracy |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in compared(results["rows"]):
        (first, end), (difference, error) = row["seeds"], row["difference"]
        cells = [row["task"], row["decay"], row["momentum"] or "none", f"{row['rate']:g}", f"{first} to {end - 1}"]
        cells += [row["storage"], "{:.4f} ± {:.4f}".format(*row["mean"])]
        other = [f"{difference:+.4f} ± {error:.4f}", "yes" if row["within"] else "no"]
        cells += ["", ""] if row["storage"] == "float32" else other
        lines.append("| " + " | ".join(map(str, [*cells, f"{np.mean(row['accuracy']):.1%}"])) + " |")
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    decays = sorted({decay for task in TASKS.values() for decay, _ in task.rates})
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--decay", nargs="+", type=float, choices=decays, default=decays)
    parser.add_argument("--storage", nargs="+", choices=STORAGES, default=list(STORAGES), help="besides float32")
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 5), metavar=("FIRST", "END"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the rows here, and the Markdown beside it")
    args = parser.parse_args(arguments)

    versions = {"Python": platform.python_version(), **{name: version(name) for name in ("jax", "optax", "flax")}}
    results = {"date": str(datetime.date.today()), "versions": versions, "rows": []}
    if args.json and args.json.exists():
        results["rows"] = json.loads(args.json.read_text())["rows"]
    for row in trained({name: TASKS[name] for name in args.task}, range(*args.seeds), args.decay, args.storage):
        results["rows"] = sorted([*(old for old in results["rows"] if key(old) != key(row)), row], key=key)
        if args.json:
            args.json.write_text(json.dumps(results, indent=1) + "\n")
            args.json.with_suffix(".md").write_text(markdown(results))
    print(markdown(results), end="")


if __name__ == "__main__":
    main()
