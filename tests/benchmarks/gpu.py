"""The update and a whole training step on a GPU: ``python -m tests.benchmarks gpu``, in at most eight minutes.

Of an update, bytes are those that it has to move: parameter, gradient and state read, parameter and state written.
Their rate is told beside that of a copy of one large array, which reads and writes it once, measured in turn with each.
Where PyTorch is installed with its GPU, its RMSprop moves the bytes of ours in float32. A training step is that of a
transformer of 12 layers of 768 on 16 sequences of 256 tokens. Times are medians. What is not reached within seven
minutes is left out. This has not run on a GPU yet (November 2026): its programs compile for an H100, and a dry run on a
CPU passes.
"""

import argparse
import datetime
import math
import os
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from rmsprop_optax import rmsprop
from rmsprop_optax.demo.scale import Block
from tests.benchmarks import peers, side_by_side
from tests.benchmarks.update_time import gpt2

SECONDS, TURNS, CALLS = 420.0, 10, 10
STORAGES = {"float32": 4, "bfloat16": 2, "uint8": 1}
TREES = {"1 array of 1 GB": [(250_000_000,)], "GPT-2 small": gpt2()}
TRAINING = {"width": 768, "layers": 12, "batch": 16}


def optimizers() -> dict[str, optax.GradientTransformation]:
    ours = {f"rmsprop, storage {name}": rmsprop(1e-3, storage=name) for name in STORAGES}
    return {**ours, "optax.rmsprop": optax.rmsprop(1e-3)}


def update(tx, shapes):
    """A step with its parameters and gradients, abstract."""

    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    return step, params, params


def training(tx, width: int, layers: int, batch: int):
    """A step of a transformer with its parameters and tokens, abstract."""

    class Model(nnx.Module):
        def __init__(self, rngs):
            self.embed = nnx.Embed(256, width, rngs=rngs)
            self.blocks = nnx.List([Block(width, width // 32, rngs=rngs) for _ in range(layers)])
            self.head = nnx.Linear(width, 256, rngs=rngs)

        def __call__(self, x):
            x = self.embed(x)
            for block in self.blocks:
                x = block(x)
            return self.head(x)

    graph, params = nnx.split(nnx.eval_shape(lambda: Model(nnx.Rngs(0))), nnx.Param)

    def step(params, state, tokens):
        def loss(params):
            logits = nnx.merge(graph, params)(tokens[:, :-1])
            return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    return step, params, jax.ShapeDtypeStruct((batch, 257), "int32")


def on_jax(tx, step, params, batch):
    """Calls of a step on arrays that are made here."""
    rng = np.random.default_rng(0)

    def filled(x):
        return jnp.asarray(0.02 * rng.standard_normal(x.shape, np.float32)).astype(x.dtype)  # tokens are 0

    params, batch = jax.tree.map(filled, (params, batch))
    carry, jitted = (params, tx.init(params)), jax.jit(step, donate_argnums=(0, 1))

    def calls():
        nonlocal carry
        for _ in range(CALLS):
            carry = jitted(*carry, batch)
        jax.block_until_ready(carry)

    return calls


def on_torch(shapes, kind: str):
    import torch

    params = [torch.nn.Parameter(torch.randn(shape, device="cuda")) for shape in shapes]
    for p in params:
        p.grad = torch.randn_like(p)
    optimizer = peers.rmsprop_of_torch(params, foreach=kind != "single")
    step = torch.compile(optimizer.step) if kind == "torch.compile" else optimizer.step

    def calls():
        for _ in range(CALLS):
            step()
        torch.cuda.synchronize()

    return calls


def copy(size: int):
    jitted, x = jax.jit(lambda x: -x, donate_argnums=0), jnp.ones(size)

    def calls():
        nonlocal x
        for _ in range(CALLS):
            x = jitted(x)
        jax.block_until_ready(x)

    return calls


def medians(*runs) -> list[float]:
    """Seconds of a call of each, in turn."""
    turns = [[_seconds(run) for run in runs] for _ in range(1 + TURNS)]
    return [statistics.median(column) / CALLS for column in zip(*turns[1:], strict=True)]  # the first compiles


def _seconds(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def has_torch() -> bool:
    if not peers.available("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def cases(trees, sizes):
    """What is timed, the bytes that it moves in a step (``None`` if unknown), and how it is made."""
    for name, shapes in trees.items():
        size = sum(map(math.prod, shapes))
        for storage, tx in optimizers().items():
            moved = (12 + 2 * STORAGES.get(storage.rpartition(" ")[2], 4)) * size
            yield f"{name}: {storage}", moved, lambda tx=tx, shapes=shapes: on_jax(tx, *update(tx, shapes))
        for kind in ("single", "foreach", "torch.compile") if has_torch() else ():
            yield f"{name}: PyTorch, {kind}", 20 * size, lambda kind=kind, shapes=shapes: on_torch(shapes, kind)
    for storage, tx in {"SGD": optax.sgd(1e-3), **optimizers()}.items():
        yield f"training step: {storage}", None, lambda tx=tx: on_jax(tx, *training(tx, **sizes))


def rows(trees, sizes, copied: int):
    start = time.monotonic()
    beside = copy(copied)
    for name, moved, make in cases(trees, sizes):
        if time.monotonic() - start > SECONDS:
            return
        print(f"{name} …", flush=True)
        seconds, of_copy = medians(make(), beside)
        row = {"name": name, "seconds": seconds}
        if moved is not None:
            row |= {"rate": moved / seconds, "copy": 8 * copied / of_copy}
        yield row


def table(found: list[dict]) -> str:
    cells = []
    for row in found:
        rate = [f"{row['rate'] / 1e9:.0f}", f"{row['rate'] / row['copy']:.0%}"] if "rate" in row else ["", ""]
        cells.append([row["name"], f"{1e3 * row['seconds']:.3g}", *rate])
    return side_by_side.table(["", "ms", "GB/s", "of the copy's"], cells)


def main(words=None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true", help="small arrays on any device, to see that it runs")
    small = parser.parse_args(words).small
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # leaves memory to PyTorch; JAX has not started
    if small:
        found = list(rows({"1 array": [(10_000,)]}, {"width": 32, "layers": 1, "batch": 1}, 10_000))
        print(f"{table(found)}\n\n{datetime.date.today()}, {jax.devices()[0].device_kind}: a dry run")
        return
    if jax.devices()[0].platform != "gpu":
        sys.exit("there is no GPU that JAX knows: pip install 'jax[cuda13]'")
    found = list(rows(TREES, TRAINING, 250_000_000))
    text = f"# The update and a training step on a GPU\n\n{__doc__.partition(chr(10) * 2)[2]}\n{table(found)}"
    side_by_side.write(Path(__file__), text, {"rows": found})


if __name__ == "__main__":
    main()
