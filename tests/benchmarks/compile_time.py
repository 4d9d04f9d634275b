"""The time until the first step of many arrays beside optax: ``python -m tests.benchmarks compile_time``.

A step of ``update`` and ``apply_updates`` is traced, lowered and compiled, ours and optax's in turn, in fresh
functions. The exponent says how the sum has grown with the number of arrays since the table before: 1 is in proportion.

What grows faster than the number of arrays is XLA's: from 300 to 1,200 arrays of ``optax.rmsprop`` its pass for copies
of donated arrays took 9 times as long, the one for layouts 7 times. Short storage, which XLA:CPU copies for,
has more of it, and all of its passes go by the number of instructions.
"""

import math
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import dialects, rmsprop
from tests.benchmarks import side_by_side

LEAVES = (100, 1000, 3000)
TURNS = {100: 5, 1000: 3, 3000: 1}
STAGES = ("trace", "lower", "compile")
CHOICES = {
    "optax.rmsprop": optax.rmsprop(1e-3),
    "rmsprop": rmsprop(1e-3),
    "optax.rmsprop, momentum": optax.rmsprop(1e-3, momentum=0.9),
    "rmsprop, momentum": rmsprop(1e-3, momentum=0.9),
    "dialects.pytorch, momentum": dialects.pytorch(lr=1e-3, momentum=0.9),
    "optax.rmsprop, centered": optax.rmsprop(1e-3, centered=True),
    "rmsprop, centered": rmsprop(1e-3, centered=True),
    "rmsprop, storage uint8": rmsprop(1e-3, storage="uint8"),
}


def stages(tx: optax.GradientTransformation, leaves: int) -> dict[str, float]:
    """The seconds of each stage."""
    params = [jax.ShapeDtypeStruct((64, 8 + i % 3), jnp.float32) for i in range(leaves)]
    state = jax.eval_shape(tx.init, params)

    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    start = time.perf_counter()
    traced = jax.jit(step, donate_argnums=(0, 1)).trace(params, state, params)
    after_trace = time.perf_counter()
    lowered = traced.lower()
    after_lower = time.perf_counter()
    lowered.compile()
    return dict(
        zip(STAGES, (after_trace - start, after_lower - after_trace, time.perf_counter() - after_lower), strict=True)
    )


def rows():
    for tx in CHOICES.values():
        stages(tx, 3)  # what is traced once for all
    before: dict[str, tuple[int, float]] = {}
    for leaves in LEAVES:
        turns = [{name: stages(tx, leaves) for name, tx in CHOICES.items()} for _ in range(TURNS[leaves])]
        for name in CHOICES:
            found = {stage: statistics.median(turn[name][stage] for turn in turns) for stage in STAGES}
            total = sum(found.values())
            exponent = None
            if name in before:
                fewer, seconds = before[name]
                exponent = math.log(total / seconds) / math.log(leaves / fewer)
            before[name] = leaves, total
            yield {"leaves": leaves, "name": name, **found, "total": total, "exponent": exponent}


def markdown(found: list[dict]) -> str:
    columns = ["", *(f"{stage} (s)" for stage in STAGES), "sum (s)", "beside optax", "exponent"]
    parts = []
    for leaves in LEAVES:
        cells = []
        rows = {row["name"]: row for row in found if row["leaves"] == leaves}
        for name, row in rows.items():
            options = name.partition(",")[1:]
            theirs = rows.get("optax.rmsprop" + "".join(options), rows["optax.rmsprop"])
            exponent = "" if row["exponent"] is None else f"{row['exponent']:.2f}"
            cells.append(
                [
                    name,
                    *(f"{row[stage]:.2f}" for stage in STAGES),
                    f"{row['total']:.2f}",
                    f"{row['total'] / theirs['total']:.2f}",
                    exponent,
                ]
            )
        parts.append(f"### {leaves:,} arrays\n\n{side_by_side.table(columns, cells)}")
    return "# Time to compile\n\n" + __doc__.partition("\n\n")[2] + "\n" + "\n\n".join(parts)


def main() -> None:
    found = list(rows())
    side_by_side.write(Path(__file__), markdown(found), {"rows": found})


if __name__ == "__main__":
    main()
