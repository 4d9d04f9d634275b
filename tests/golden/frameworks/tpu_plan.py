"""Record how the TPU's compiler compiles a step, for the notebook `4_memory_and_scale`. No TPU is needed.

    JAX_PLATFORMS=cpu PYTHONPATH=notebooks python tests/golden/frameworks/tpu_plan.py

writes `notebooks/data/tpu_plan.json`: the plans, the programs of the largest array in 8 bits, versions and the date. It
needs this package with the extras `demo` and `tpu`, and takes a minute.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import re
from pathlib import Path

from experiments import memory
from rmsprop_optax import plan

PATH = Path(__file__).parents[3] / "notebooks" / "data" / "tpu_plan.json"


def heart(hlo):
    """The instructions of a program that compute or move arrays, without layouts and attributes."""
    kinds = "|".join(("fusion", "copy", "copy-start", *plan.COLLECTIVES))
    lines = [line.strip() for line in hlo[hlo.index("\nENTRY") :].split("\n")]
    kept = [line for line in lines if re.search(rf"\[\d.* (?:{kinds})\(", line)]
    return [re.sub(r"\{[\d,]*(:[^}]*)?\}|/\*index=\d+\*/|(?<=\)), .*", "", line) for line in kept]


def record():
    os.environ |= plan.LIBTPU
    plans = memory.tpu_plans(compiler=plan.compiled)
    topology = plan.topology_of("v5e:4x4")
    shape = max(plan.transformer(1.3e9, topology.devices), key=lambda shape: shape[0] * shape[-1] * (len(shape) - 1))
    about = {package: importlib.metadata.version(package) for package in ("jax", "libtpu")}
    about |= {"python": platform.python_version(), "date": str(datetime.date.today())}
    steps = {sharding: plan.Step("uint8", sharding=sharding) for sharding in plans}
    hearts = {sharding: heart(plan.program(step, shape, topology).as_text()) for sharding, step in steps.items()}
    PATH.write_text(json.dumps({"about": about, "plans": plans, "shape": shape, "programs": hearts}, indent=1) + "\n")
    print(about, f"{PATH.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    record()
