"""The time of a step beside every peer that is installed: ``python -m tests.benchmarks update_time``.

Ours and a peer take steps in turn in one process, on the same gradients, with donated buffers. Each runs with all
cores. The ratio is the median over pairs of steps, with its quartiles: below 1 ours is the quicker one.
"""

import itertools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import rmsprop
from tests.benchmarks import peers, side_by_side

SECONDS = 8.0  # a pair of optimizers


def resnet50() -> list[tuple[int, ...]]:
    """The 161 arrays of a ResNet-50, 25.6 million parameters."""
    shapes = [(7, 7, 3, 64), (64,), (64,)]
    inputs = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            kernels = [(1, 1, inputs, width), (3, 3, width, width), (1, 1, width, 4 * width)]
            kernels += [(1, 1, inputs, 4 * width)] if block == 0 else []
            shapes += itertools.chain.from_iterable((k, k[-1:], k[-1:]) for k in kernels)
            inputs = 4 * width
    return [*shapes, (2048, 1000), (1000,)]


def gpt2() -> list[tuple[int, ...]]:
    """The 148 arrays of GPT-2 small, 124.4 million parameters."""
    layer = [(768,), (768,), (768, 2304), (2304,), (768, 768), (768,)]
    layer += [(768,), (768,), (768, 3072), (3072,), (3072, 768), (768,)]
    return [(50257, 768), (1024, 768), *layer * 12, (768,), (768,)]


TREES = {
    "1 array of 32 million": [(32_000_000,)],
    "300 arrays of 100,000": [(100_000,)] * 300,
    "ResNet-50": resnet50(),
    "GPT-2 small": gpt2(),
}


def tree(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def network(tx: optax.GradientTransformation, steps: int = 1000):
    """Steps of a network of 10,000 parameters in one scan, as reinforcement learning has them."""
    shapes = [(32, 80), (80,), (80, 80), (80,), (80, 12), (12,)]
    params = [jnp.asarray(p) / 10 for p in tree(shapes)]
    x, y = (jax.random.normal(jax.random.key(seed), (8, width)) for seed, width in ((0, 32), (1, 12)))

    def loss(p):
        return jnp.mean((jnp.tanh(jnp.tanh(x @ p[0] + p[1]) @ p[2] + p[3]) @ p[4] + p[5] - y) ** 2)

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    run = jax.jit(lambda carry: jax.lax.scan(step, carry, length=steps)[0], donate_argnums=0)
    carry = params, tx.init(params)

    def call():
        nonlocal carry
        carry = jax.block_until_ready(run(carry))

    return call


OPTIONS = {"momentum": {"momentum": 0.9}, "centered": {"centered": True}}


def pairs():
    """Peer or format, how ours is made and theirs."""
    ours = peers.OURS["rmsprop_optax"]
    for peer, make in {**peers.PEERS, **peers.OURS}.items():
        if make is not ours:
            yield peer, ours, make
    for name, options in OPTIONS.items():
        theirs = optax.rmsprop(1e-3, **options)
        yield f"optax.rmsprop, both {name}", peers.jitted(rmsprop(1e-3, **options)), peers.jitted(theirs)


def compare(pairs, trees: dict[str, list[tuple[int, ...]]]):
    """Tree, peer or format, and what was found."""
    for name, shapes in trees.items():
        gradients = tree(shapes)
        for peer, make, make_other in pairs():
            print(f"{name}, {peer} …", flush=True)
            ours, theirs = make(gradients), make_other(gradients)
            found = side_by_side.pairs(ours, theirs, seconds=SECONDS)
            yield {"tree": name, "size": sum(map(math.prod, shapes)), "peer": peer, **side_by_side.compared(found)}
            del ours, theirs


def rows():
    yield from compare(pairs, TREES)
    yield from in_a_scan()


def in_a_scan(compilations: int = 5):
    """The same of a network; one compilation is up to 4 % quicker than another of the same program."""
    for peer, tx in {"optax.rmsprop": optax.rmsprop(1e-3), "optax.adam": optax.adam(1e-3)}.items():
        found = [
            pair
            for _ in range(compilations)
            for pair in side_by_side.pairs(network(rmsprop(1e-3)), network(tx), seconds=SECONDS / 2)
        ]
        tree = "1,000 steps of a small network in a scan"
        yield {"tree": tree, "size": 10_000, "peer": peer, **side_by_side.compared(found)}


def markdown(found: list[dict], title: str = "Time of a step", about: str = __doc__) -> str:
    columns = ["beside", "ours (ms)", "theirs (ms)", "ours / theirs", "quartiles"]
    parts = []
    for name in dict.fromkeys(row["tree"] for row in found):
        cells = [
            [
                row["peer"],
                f"{1e3 * row['ours']:.3g}",
                f"{1e3 * row['theirs']:.3g}",
                f"{row['ratio']:.2f}",
                f"{row['low']:.2f} to {row['high']:.2f}",
            ]
            for row in found
            if row["tree"] == name
        ]
        parts.append(f"### {name}\n\n{side_by_side.table(columns, cells)}")
    return f"# {title}\n\n" + "\n\n".join(about.split("\n\n")[1:]) + "\n" + "\n\n".join(parts)


def figure(found: list[dict], path: Path) -> None:
    """Bars of the ratio, a panel a tree."""
    from matplotlib.figure import Figure

    trees = list(dict.fromkeys(row["tree"] for row in found if "scan" not in row["tree"]))
    picture = Figure(figsize=(11, 4.6), layout="constrained")
    panels = picture.subplots(1, len(trees), sharey=True)
    for axes, name in zip(panels, trees, strict=True):
        rows = [row for row in found if row["tree"] == name][::-1]
        ratios = [1 / row["ratio"] for row in rows]
        off = [[r - 1 / row["high"] for r, row in zip(ratios, rows, strict=True)]]
        off += [[1 / row["low"] - r for r, row in zip(ratios, rows, strict=True)]]
        axes.barh([row["peer"] for row in rows], ratios, xerr=off, color="#56B4E9", error_kw={"linewidth": 1})
        axes.axvline(1, color="#D55E00", linewidth=1.5)
        axes.set(title=name, xscale="log", xlabel="peer time ÷ ours")
        axes.set_xticks([0.5, 1, 2, 5, 10, 20], labels=["½", "1", "2", "5", "10", "20"])
        axes.minorticks_off()
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    title = "Time of a step on a CPU beside rmsprop_optax with a float32 state (right of the line: ours is faster)"
    picture.suptitle(title)
    picture.savefig(path, dpi=100)


def main() -> None:
    found = list(rows())
    path = Path(__file__)
    side_by_side.write(path, markdown(found), {"rows": found})
    figure(found, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
