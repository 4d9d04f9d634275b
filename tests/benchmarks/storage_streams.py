"""What short states cost in accuracy, ours and others': ``python tests/benchmarks/storage_streams.py``.

bitsandbytes, which needs torch, is optional: without it its columns are left out. What this printed is kept in
``storage_streams.md``.
"""

import contextlib
import datetime
import functools
import importlib.util
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import jax.numpy as jnp
import numpy as np
import optax

import rmsprop_optax

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from streams import STEPS, STREAMS, compare, runner, summary

SHAPE = (64, 64)  # bitsandbytes leaves fewer than 4096 entries in 32 bits
TEXT = """\
# Short states on streams of gradients

Bias of the mean square / error of its root / mean size of the updates, by what it should be: over 4096 entries and the
last two thirds of 400, 2000 and 12000 steps, against float64. The jumps are by 1000, at an eighth of the stream; mixed
scales differ by factors of some e^1.5, each the same for its entry all along.

The first three columns are our `storage`. optax is `optax.rmsprop` with bfloat16 parameters and gradients. bitsandbytes
is `RMSprop8bit` on a CPU: 256 entries share a scale, and what is less than 1.5e-5 of the largest, even 0, is stored as
2e-5 of it. Its kernel for CUDA looks for the nearest number instead, which the last column does, too.
"""

ours = functools.cache(functools.partial(rmsprop_optax.scale_by_rms, eps=0.0))
theirs = functools.cache(functools.partial(optax.scale_by_rms, eps=0.0))


def bitsandbytes(decay, rounding=contextlib.nullcontext):
    import torch
    from bitsandbytes.optim import RMSprop8bit

    p = torch.zeros(SHAPE, requires_grad=True)
    optimizer = RMSprop8bit([p], lr=1.0, alpha=decay, eps=0.0)

    def step(gradient):
        p.data.zero_()
        p.grad = torch.from_numpy(gradient.reshape(SHAPE))
        with rounding():
            optimizer.step()
        assert optimizer.state[p]["state1"].dtype == torch.uint8
        return -p.detach().numpy().ravel()

    return lambda gradients: np.stack([step(g) for g in gradients])


def nearest():
    """Has bitsandbytes round to the nearest number of a block, also the small ones."""
    import torch
    from bitsandbytes.backends.cpu import ops

    def quantize(values, codes, largest, out, size):
        blocks = values.reshape(-1, size)
        largest.copy_(blocks.abs().amax(1))
        between = (codes[1:] + codes[:-1]) / 2
        out.copy_(torch.searchsorted(between, blocks / largest[:, None].clamp_min(1e-38)).reshape(out.shape))

    return mock.patch.object(ops, "_quant_blockwise_fp32_direct", quantize)


COLUMNS = {
    "float32": lambda decay: runner(ours(decay, storage="float32"), jnp.zeros(SHAPE)),
    "bfloat16": lambda decay: runner(ours(decay, storage="bfloat16"), jnp.zeros(SHAPE)),
    "uint8": lambda decay: runner(ours(decay, storage="uint8"), jnp.zeros(SHAPE)),
    "optax, bfloat16": lambda decay: runner(theirs(decay), jnp.zeros(SHAPE, jnp.bfloat16)),
    "bitsandbytes": bitsandbytes,
    "bitsandbytes, nearest": functools.partial(bitsandbytes, rounding=nearest),
}


def percent(x, sign=""):
    return f"{100 * x:{sign}z.1f} %" if x < 10 else f"{x:,.0f} ×"


def row(*cells):
    return f"| {' | '.join(map(str, cells))} |"


def main():
    columns, packages = dict(COLUMNS), ["jax", "optax", "torch", "bitsandbytes"]
    print(TEXT)
    if not importlib.util.find_spec("bitsandbytes"):
        print("bitsandbytes is not installed, and left out.\n")
        del columns["bitsandbytes"], columns["bitsandbytes, nearest"], packages[2:]
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    print(f"{datetime.date.today()}, Python {platform.python_version()}, {versions}.\n")
    print(row("stream", "decay", *columns))
    print(row(*["---"] * (2 + len(columns))))
    for stream in STREAMS:
        for decay in STEPS:
            sums = compare(stream, decay, {name: make(decay) for name, make in columns.items()}, np.prod(SHAPE))
            found = map(summary, sums.values())
            cells = [f"{percent(x['bias'], '+')} / {percent(x['root'])} / {x['size']:.2f}" for x in found]
            print(row(stream, decay, *cells), flush=True)


if __name__ == "__main__":
    main()
