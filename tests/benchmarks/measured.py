"""What ``measured`` costs in the demo's training: ``python -m tests.benchmarks measured``.

Every optimizer trains the demo's network for the same epochs in turn, arguments donated, so that what else the machine
does meets all; a ratio is the median of those of the turns. Seconds are those of all threads of the process.
"""

import datetime
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import jax
from flax import nnx

from rmsprop_optax import dialects
from rmsprop_optax.demo import data, training
from rmsprop_optax.demo.model import ConvNet
from rmsprop_optax.measure import measured

TURNS, BATCH = 20, 32
EVERY = (1, 2, 5, 10)
DIALECTS = {"keras": dialects.keras(), "pytorch, momentum, centered": dialects.pytorch(momentum=0.9, centered=True)}


class Runner:
    """One optimizer with its parameters and state, timed an epoch at a time."""

    def __init__(self, tx, train):
        self.graph, params = nnx.split(ConvNet(rngs=nnx.Rngs(0)))
        self.carry = params, tx.init(params)
        self.told = {"tx": tx, "batch_size": BATCH}
        self.train, self.steps = train, len(train.labels) // BATCH
        self.seconds(0)

    def seconds(self, epoch):
        """What a step takes."""
        start = time.process_time()
        key = jax.random.fold_in(jax.random.key(0), epoch)
        self.carry = training.train_epoch(*self.carry, self.train, key, graph=self.graph, **self.told)
        jax.block_until_ready(self.carry)
        return (time.process_time() - start) / self.steps


def main():
    train, _ = data.digits()
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "optax", "flax"))
    where = f"Python {platform.python_version()}, {versions}, {jax.devices()[0].device_kind}"
    lines = [
        f"{datetime.date.today()}, {where}; medians of {TURNS} turns of an epoch, time of the processor.",
        "",
        "| dialect | step (ms) | " + " | ".join(f"every {k}" for k in EVERY) + " |",
        "|---|" + "---:|" * (1 + len(EVERY)),
    ]
    for name, tx in DIALECTS.items():
        choices = {0: tx} | {k: measured(tx, every=k) for k in EVERY}
        runners = {k: Runner(tx, train) for k, tx in choices.items()}
        turns = [{k: runner.seconds(epoch) for k, runner in runners.items()} for epoch in range(1, 1 + TURNS)]
        more = [statistics.median(turn[k] / turn[0] for turn in turns) - 1 for k in EVERY]
        step = 1e3 * statistics.median(turn[0] for turn in turns)
        lines.append(f"| {name} | {step:.2f} | " + " | ".join(f"{x:+.1%}" for x in more) + " |")
    text = "\n".join(lines)
    print(text)
    Path(__file__).with_suffix(".md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
