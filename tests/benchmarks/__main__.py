"""``python -m tests.benchmarks [NAME …]``: run benchmarks, all or some.

Each benchmark writes its results beside its file; storage_streams and trainings, which take long, print them. Peers
that are not installed are left out. Timings need a quiet machine.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

NAMES = ("update_time", "one_pass", "memory", "compile_time", "measured", "storage_streams", "trainings")
ELSEWHERE = ("whole_step", "gpu")  # with libtpu, on a GPU
ALL = (*NAMES, *ELSEWHERE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.split(":")[1])
    words = f"any of {', '.join(ALL)} (default: all but {' and '.join(ELSEWHERE)})"
    parser.add_argument("names", nargs="*", metavar="NAME", help=words)
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(ALL))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(ALL)}")
    notebooks = str(Path(__file__).parents[2] / "notebooks")  # has the package experiments
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (notebooks, os.environ.get("PYTHONPATH"))))}
    for name in args.names or NAMES:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=True, env=env)


if __name__ == "__main__":
    main()
