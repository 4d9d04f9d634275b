"""Steps per second of a jitted, donated update against ``optax.rmsprop``: ``python tests/benchmarks/update_time.py``.

Both run in turn in one process, so that what else the machine does meets both; the ratio is the median of the pairs.
"""

import platform
import statistics
import time
from importlib.metadata import version

import jax
import jax.numpy as jnp
import optax

import rmsprop_optax

PAIRS, STEPS = 60, 3
SHAPES = {"1 leaf of 4,000,000": [(4_000_000,)], "300 leaves of 10,000": [(10_000,)] * 300}
OPTIONS = {"defaults": {}, "momentum": {"momentum": 0.9}, "centered": {"centered": True}}
# What optax has no counterpart to, against its defaults.
OURS = {"storage bfloat16": {"storage": "bfloat16"}, "storage uint8": {"storage": "uint8"}}


class Runner:
    """One optimizer with its parameters and state, timed a few steps at a time."""

    def __init__(self, tx, grads):
        def step(params, state, grads):
            updates, state = tx.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        self.step, self.grads = jax.jit(step, donate_argnums=(0, 1)), grads
        params = jax.tree.map(jnp.copy, grads)
        self.carry = params, tx.init(params)
        self.seconds()

    def seconds(self):
        start = time.perf_counter()
        for _ in range(STEPS):
            self.carry = self.step(*self.carry, self.grads)
        jax.block_until_ready(self.carry)
        return (time.perf_counter() - start) / STEPS


def main():
    device = jax.devices()[0].device_kind
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "optax"))
    print(f"Python {platform.python_version()}, {versions}, {device}; medians of {PAIRS} interleaved pairs\n")
    print("| tree | options | ours (ms) | optax (ms) | ours / optax, steps per second |\n|---|---|---|---|---|")
    for tree, shapes in SHAPES.items():
        grads = [jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(shapes)]
        for name, options in (OPTIONS | OURS).items():
            ours = Runner(rmsprop_optax.rmsprop(1e-3, **options), grads)
            theirs = Runner(optax.rmsprop(1e-3, **OPTIONS.get(name, {})), grads)
            pairs = []
            for turn in range(PAIRS):
                first, second = (ours, theirs) if turn % 2 else (theirs, ours)
                seconds = {first: first.seconds(), second: second.seconds()}
                pairs.append((seconds[ours], seconds[theirs]))
            a, b = (1e3 * statistics.median(column) for column in zip(*pairs, strict=True))
            print(f"| {tree} | {name} | {a:.2f} | {b:.2f} | {statistics.median(y / x for x, y in pairs):.2f} |")


if __name__ == "__main__":
    main()
