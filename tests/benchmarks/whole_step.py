"""What whole training steps move on TPUs: ``python -m tests.benchmarks whole_step``, which takes an hour of two cores.

It goes on where it was stopped; without `whole_step.json` it compiles everything again.

Bytes a parameter that a compiled step reads from a chip's memory and writes there in all: forward pass, gradients and
update, activations included. The models are in `rmsprop_optax/demo/steps.py`; `rmsprop-optax plan --step mlp --topology
v5e-16` prints one of them. On 16 chips the batch is divided and the parameters are whole; ZeRO-1 divides the state. The
states of optax have the parameters' dtype. Nothing was executed: these are programs of the TPUs' own compiler.

On one chip of v4 and v5e an optimizer moves its state, read and written, and nothing else. On 16 chips the summed
gradient passes through the large memory as well. The small models fit in on-chip memory, which holds weights, gradients
and copies between the passes; v5p keeps fewer of them there, and `wide` fits nowhere. ZeRO-1 gathers the new parameters
and copies each before and after. These copies are free in on-chip memory; in `wide`, and on v5p, they cost as much as
the divided state saves. On v6e without ZeRO-1 `mlp` in float32 moves more than twice SGD's bytes: XLA keeps the
gradients in another layout and converts parameters and state to that layout and back, for optax and for this package.
"""

import datetime
import json
import os
from importlib.metadata import version
from pathlib import Path

import jax
import optax

from rmsprop_optax import float32_updates, plan
from rmsprop_optax.demo import steps
from tests.benchmarks import side_by_side

PATH = Path(__file__)
TOPOLOGIES = {
    "v4": ("v4:1x1x1", "v4:2x2x4"),
    "v5e": ("v5e:1x1", "v5e:4x4"),
    "v5p": ("v5p:1x1x1", "v5p:2x2x4"),
    "v6e": ("v6e:1x1", "v6e:4x4"),
}
DTYPES = ("float32", "bfloat16")
OPTIMIZERS = ("SGD", "optax.rmsprop", "float32", "bfloat16", "uint8", "optax.adam")


def optimizers(dtype: str) -> dict[str, optax.GradientTransformation]:
    """Optax's keep their state in the parameters' dtype; ours have a format each."""
    ours = plan.storages()
    if dtype == "bfloat16":
        ours = {name: float32_updates(tx) for name, tx in ours.items()}
    return {"optax.rmsprop": optax.rmsprop(1e-3), **ours, "optax.adam": optax.adam(1e-3)}


def cases():
    """Model, dtype and topology; one model is only for what is different where nothing fits a chip's own memory."""
    for model in steps.STEPS:
        for dtype in DTYPES if model != "wide" else DTYPES[:1]:
            for topologies in TOPOLOGIES.values() if model != "wide" else [TOPOLOGIES["v5e"]]:
                for topology in topologies:
                    yield model, dtype, topology


def found(model: str, dtype: str, topology: str, *names: str):
    """A row for each of the named optimizers, and SGD."""
    chosen = {name: tx for name, tx in optimizers(dtype).items() if name in names}
    chips = plan.topology_of(topology)

    def make(tx, mesh):
        return steps.STEPS[model](tx, mesh, dtype)

    mesh = {"replica": chips.devices, "fsdp": 1}
    compiled = plan.step(make, chips, chosen, mesh=mesh, progress=lambda name: print(model, dtype, topology, name))
    for row in compiled["rows"]:
        moved = row["moved"] / compiled["parameters_of_a_chip"]
        kept = {name: row[name] for name in ("optimizer", "zero", "temporary", "collectives")}
        yield {"model": model, "dtype": dtype, "topology": topology, **kept, "moved_per_parameter": round(moved, 4)}


def markdown(rows: list[dict]) -> str:
    columns = ["", *(f"ours, {name}" if name in plan.storages() else name for name in OPTIMIZERS)]
    parts = []
    for model, function in steps.STEPS.items():
        for dtype in DTYPES:
            cells = []
            for topologies in TOPOLOGIES.values():
                for topology in topologies:
                    for zero in (False, True):
                        its = {
                            row["optimizer"]: f"{row['moved_per_parameter']:.2f}"
                            for row in rows
                            if (row["model"], row["dtype"], row["topology"], row["zero"])
                            == (model, dtype, topology, zero)
                        }
                        if its:
                            place = f"{topology}, ZeRO-1" if zero else topology
                            cells.append([place, *(its.get(name, "") for name in OPTIMIZERS)])
            if cells:
                parts.append(
                    f"### {model}, {dtype} parameters\n\n{function.__doc__}\n\n{side_by_side.table(columns, cells)}"
                )
    words = (__doc__ or "").split("\n\n", 2)[2]
    return f"# What a whole step moves\n\n{words}\n" + "\n\n".join(parts)


def about() -> dict[str, str]:
    packages = {name: version(name) for name in ("jax", "optax", "flax", "libtpu")}
    return {"date": datetime.date.today().isoformat(), **packages}


def read() -> dict:
    """What was found before; without the file everything is compiled again."""
    path = PATH.with_suffix(".json")
    return json.loads(path.read_text()) if path.exists() else {"about": {}, "rows": []}


def order(row: dict) -> tuple[int, ...]:
    place = [*cases()].index((row["model"], row["dtype"], row["topology"]))
    return place, OPTIMIZERS.index(row["optimizer"]), row["zero"]


def write(rows: list[dict], told: dict[str, str]) -> None:
    words = ", ".join(f"{name} {value}" for name, value in told.items())
    PATH.with_suffix(".md").write_text(f"{markdown(rows).strip()}\n\n{words}\n")
    lines = ",\n".join(json.dumps(row) for row in rows)
    PATH.with_suffix(".json").write_text(f'{{"about": {json.dumps(told)}, "rows": [\n{lines}\n]}}\n')


def main() -> None:
    os.environ |= plan.LIBTPU
    jax.config.update("jax_platforms", "cpu")  # the steps are compiled for TPUs that are not there
    rows = read()["rows"]
    for model, dtype, topology in cases():
        done = {
            row["optimizer"]
            for row in rows
            if (row["model"], row["dtype"], row["topology"]) == (model, dtype, topology)
        }
        if missing := set(OPTIMIZERS) - done:
            more = [row for row in found(model, dtype, topology, *missing) if row["optimizer"] in missing]
            rows = sorted([*rows, *more], key=order)
            write(rows, about())


if __name__ == "__main__":
    main()
