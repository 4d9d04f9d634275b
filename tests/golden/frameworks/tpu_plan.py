"""Record what the TPU's compiler makes of a step, for the notebook `4_memory_and_scale`. No TPU is needed.

    JAX_PLATFORMS=cpu python tests/golden/frameworks/tpu_plan.py

writes `notebooks/data/tpu_plan.json`: the plans, the programs of the largest array in 8 bits, versions and the date. It
needs this package with the extras `demo` and `tpu`, and takes a minute.
"""

import datetime
import importlib.metadata
import json
import platform
import re
from pathlib import Path

from rmsprop_optax import plan
from rmsprop_optax.demo import memory

PATH = Path(__file__).parents[3] / "notebooks" / "data" / "tpu_plan.json"


def heart(hlo):
    """The instructions of a program that compute or move arrays, without layouts and attributes."""
    kinds = "|".join(("fusion", "copy", "copy-start", *plan.COLLECTIVES))
    lines = [line.strip() for line in hlo[hlo.index("\nENTRY") :].split("\n")]
    kept = [line for line in lines if re.search(rf"\[\d.* (?:{kinds})\(", line)]
    return [re.sub(r"\{[\d,]*(:[^}]*)?\}|/\*index=\d+\*/|(?<=\)), .*", "", line) for line in kept]


def record():
    programs, compiler, traffic = {}, memory.tpu_compiler(), plan.traffic

    def keep(tx, shape, dtype, sharding, topology):
        plan.traffic = lambda hlo: programs.update({(shape, sharding): hlo}) or traffic(hlo)  # uint8 comes last
        return compiler(tx, shape, dtype, sharding, topology)

    plans = memory.tpu_plans(compiler=keep)
    shape = max((shape for shape, _ in programs), key=lambda shape: shape[0] * shape[-1] * (len(shape) - 1))
    about = {package: importlib.metadata.version(package) for package in ("jax", "libtpu")}
    about |= {"python": platform.python_version(), "date": str(datetime.date.today())}
    hearts = {sharding: heart(programs[shape, sharding]) for sharding in plans}
    PATH.write_text(json.dumps({"about": about, "plans": plans, "shape": shape, "programs": hearts}, indent=1) + "\n")
    print(about, f"{PATH.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    record()
