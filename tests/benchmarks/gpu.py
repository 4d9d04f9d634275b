"""The update on a GPU against a copy on the same device: ``python -m tests.benchmarks gpu``, where there is one.

Bytes are those that a step has to move: parameter, gradient and state read, parameter and state written. Their rate is
told beside that of a copy of one large array, which reads and writes it once, measured in turn. Of PyTorch, where it is
installed with its GPU, the same bytes as float32's.
"""

import argparse
import math
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from rmsprop_optax import rmsprop
from tests.benchmarks import peers, side_by_side
from tests.benchmarks.update_time import gpt2

TURNS, CALLS = 30, 10
STORAGES = {"float32": 4, "bfloat16": 2, "uint8": 1}


def on_jax(tx: optax.GradientTransformation, shapes: list[tuple[int, ...]]):
    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    jitted = jax.jit(step, donate_argnums=(0, 1))
    grads = [jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(shapes)]
    params = jax.tree.map(jnp.copy, grads)
    carry = params, tx.init(params)

    def calls():
        nonlocal carry
        for _ in range(CALLS):
            carry = jitted(*carry, grads)
        jax.block_until_ready(carry)

    return calls


def on_torch(shapes: list[tuple[int, ...]], *, compile: bool):
    import torch

    params = [torch.nn.Parameter(torch.randn(shape, device="cuda")) for shape in shapes]
    for p in params:
        p.grad = torch.randn_like(p)
    optimizer = peers.rmsprop_of_torch(params, foreach=True)
    step = torch.compile(optimizer.step) if compile else optimizer.step

    def calls():
        for _ in range(CALLS):
            step()
        torch.cuda.synchronize()

    return calls


def copy(size: int):
    jitted = jax.jit(lambda x: -x, donate_argnums=0)
    x = jnp.ones(size)

    def calls():
        nonlocal x
        for _ in range(CALLS):
            x = jitted(x)
        jax.block_until_ready(x)

    return calls


def medians(runs: dict) -> dict[str, float]:
    """Seconds of a call of each, all in turn."""
    for run in runs.values():
        run()
    turns = []
    for _ in range(TURNS):
        turn = {}
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            turn[name] = (time.perf_counter() - start) / CALLS
        turns.append(turn)
    return {name: statistics.median(turn[name] for turn in turns) for name in runs}


def has_torch() -> bool:
    if not peers.available("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def updates(name: str, shapes: list[tuple[int, ...]]):
    size = sum(map(math.prod, shapes))
    runs = {"copy": copy(size)}
    bytes_moved = {"copy": 8}
    for storage, state in STORAGES.items():
        runs[f"rmsprop, storage {storage}"] = on_jax(rmsprop(1e-3, storage=storage), shapes)
        bytes_moved[f"rmsprop, storage {storage}"] = 12 + 2 * state
    runs["optax.rmsprop"], bytes_moved["optax.rmsprop"] = on_jax(optax.rmsprop(1e-3), shapes), 20
    if has_torch():
        for kind in ("foreach", "torch.compile"):
            runs[f"PyTorch, {kind}"] = on_torch(shapes, compile=kind == "torch.compile")
            bytes_moved[f"PyTorch, {kind}"] = 20
    for peer, seconds in medians(runs).items():
        yield {"tree": name, "size": size, "name": peer, "seconds": seconds, "rate": bytes_moved[peer] * size / seconds}


def trainings(width: int, layers: int, batch: int):
    """A whole step of a transformer with a state of 32 bits and of 8."""
    from rmsprop_optax.demo.scale import Block

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

    tokens = jax.random.randint(jax.random.key(0), (batch, 257), 0, 256)

    def run_of(tx):
        graph, params = nnx.split(Model(nnx.Rngs(0)), nnx.Param)
        carry = params, tx.init(params)

        def step(carry):
            def loss(params):
                logits = nnx.merge(graph, params)(tokens[:, :-1])
                return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

            params, state = carry
            updates, state = tx.update(jax.grad(loss)(params), state, params)
            return optax.apply_updates(params, updates), state

        jitted = jax.jit(step, donate_argnums=0)

        def calls():
            nonlocal carry
            for _ in range(CALLS):
                carry = jitted(carry)
            jax.block_until_ready(carry)

        return calls

    runs = {f"rmsprop, storage {storage}": run_of(rmsprop(1e-3, storage=storage)) for storage in ("float32", "uint8")}
    for name, seconds in medians(runs).items():
        yield {"tree": f"transformer, {layers} layers of {width}", "name": name, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true", help="small arrays on any device, to see that it runs")
    small = parser.parse_args(sys.argv[1:]).small
    if jax.devices()[0].platform != "gpu" and not small:
        sys.exit("there is no GPU that JAX knows: pip install 'jax[cuda13]'")
    trees = {"1 array": [(250_000,)]} if small else {"1 array of 1 GB": [(250_000_000,)], "GPT-2 small": gpt2()}
    found = [row for name, shapes in trees.items() for row in updates(name, shapes)]
    found += trainings(64, 1, 2) if small else trainings(768, 12, 16)
    copies = {row["tree"]: row["rate"] for row in found if row["name"] == "copy"}
    cells = [
        [
            f"{row['tree']}: {row['name']}",
            f"{1e3 * row['seconds']:.3g}",
            f"{row['rate'] / 1e9:.0f}" if "rate" in row else "",
            f"{row['rate'] / copies[row['tree']]:.0%}" if "rate" in row else "",
        ]
        for row in found
    ]
    text = side_by_side.table(["", "ms", "GB/s", "of the copy's"], cells)
    if small:
        print(text)
    else:
        words = __doc__.partition("\n\n")[2]
        side_by_side.write(Path(__file__), f"# The update on a GPU\n\n{words}\n{text}", {"rows": found})


if __name__ == "__main__":
    main()
