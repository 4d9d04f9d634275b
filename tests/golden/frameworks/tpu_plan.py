"""Record how the TPU's compiler compiles whole steps, for the notebook `4_memory_and_scale`. No TPU is needed.

    PYTHONPATH=notebooks python tests/golden/frameworks/tpu_plan.py

writes `notebooks/data/tpu_plan.json`: the plans of `experiments.memory.TPU_STEPS`, the kernels of two of their programs
in 8 bits, versions and the date. It needs this package with the extras `demo` and `tpu`, and takes some minutes.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import re
from pathlib import Path
from types import SimpleNamespace

import jax

from experiments import memory
from rmsprop_optax import plan
from rmsprop_optax.plan import compiler

PATH = Path(__file__).parents[3] / "notebooks" / "data" / "tpu_plan.json"


def heart(hlo):
    """The instructions of a program that compute arrays, or move them between chips, without layouts and attributes."""
    kinds = "|".join(("fusion", "copy", *plan.COLLECTIVES))
    lines = [line.strip() for line in hlo[hlo.index("\nENTRY") :].split("\n")]
    kept = [line for line in lines if re.search(rf"\[\d.* (?:{kinds})\(", line)]
    return [re.sub(r"\{[\d,]*(:[^}]*)?\}|/\*index=\d+\*/|(?<=\)), .*", "", line) for line in kept]


def record():
    os.environ |= plan.LIBTPU
    jax.config.update("jax_platforms", "cpu")
    compiled, names, programs = compiler.compiled, [], []

    def kept(lowered):
        program = lowered.compile()
        programs.append(heart(program.as_text()))
        return compiled(SimpleNamespace(compile=lambda: program))

    compiler.compiled = kept
    plans = memory.tpu_plans(compile=True, progress=names.append)
    about = {package: importlib.metadata.version(package) for package in ("jax", "libtpu")}
    about |= {"python": platform.python_version(), "date": str(datetime.date.today())}
    chosen = {"one chip": names.index("uint8"), "16 chips, ZeRO-1": names.index("uint8, ZeRO-1")}  # the first of each
    hearts = {name: programs[number] for name, number in chosen.items()}
    PATH.write_text(json.dumps({"about": about, "plans": plans, "programs": hearts}, indent=1) + "\n")
    print(about, f"{PATH.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    record()
