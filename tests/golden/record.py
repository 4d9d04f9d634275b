"""Record what a real framework's RMSprop does on the stream of `references.py`.

    python tests/golden/record.py pytorch

writes `pytorch.npz` beside this file; `references.recorded` reads it. It needs the framework, which the tests do not;
`about` in the file says which one, with which Python and NumPy.
"""

import argparse
import datetime
import importlib.metadata
import json
import platform
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from frameworks import FRAMEWORKS
from references import stream

STEPS = (1, 2, 3, 10, 50)
SLOTS = ("mean_square", "mean", "momentum")


def record(name):
    framework, packages = FRAMEWORKS[name]
    rule, families = framework()
    arrays = {"cases": json.dumps(families), "steps": STEPS}
    for family, cases in families.items():
        params, gradients, rates = stream(dtype=np.dtype(family))
        steps = list(zip(gradients, rates.tolist(), strict=True))

        def read(found, params=params):
            absent = {leaf: np.full_like(p, np.nan) for leaf, p in params.items()}
            # NumPy 2 does not copy a tensor of PyTorch, which changes in place.
            return [{leaf: np.asarray((tree or absent)[leaf]).copy() for leaf in params} for tree in found]

        runs = [[read(found) for found in rule(params, steps, **options)] for options in cases]
        for leaf in params:
            trace = [[run[step - 1][0][leaf] for step in STEPS] for run in runs]
            slots = zip(*[[tree[leaf] for tree in run[-1][1:]] for run in runs], strict=True)
            for what, array in zip(("trace", *SLOTS), (trace, *slots), strict=True):
                arrays[f"{family}/{what}/{leaf}"] = np.stack(array)
                assert arrays[f"{family}/{what}/{leaf}"].dtype == family, f"{what} is {np.stack(array).dtype}"
    about = {package: importlib.metadata.version(package) for package in packages} | getattr(rule, "about", {})
    about |= {"numpy": np.__version__, "python": platform.python_version(), "date": str(datetime.date.today())}
    arrays["about"] = json.dumps(about)
    path = Path(__file__).with_name(f"{name}.npz")
    np.savez_compressed(path, **arrays)
    counts = {family: len(cases) for family, cases in families.items()}
    print(path.name, about, counts, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", choices=FRAMEWORKS)
    record(parser.parse_args().framework)
