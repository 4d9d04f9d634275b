"""``plan``: what a step of RMSprop costs on TPUs."""

import argparse
import contextlib
import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rmsprop_optax.cli._parser import typed, usage_errors
from rmsprop_optax.plan.arithmetic import Compile, plan
from rmsprop_optax.plan.chips import CHIPS, Topology, topology_of
from rmsprop_optax.plan.compiler import Compiler
from rmsprop_optax.plan.shapes import Shape, arrays_of, parse_count, transformer
from rmsprop_optax.plan.step import SHARDINGS, Step
from rmsprop_optax.plan.table import markdown, text
from rmsprop_optax.storage import FORMATS

HELP = "print the cost of a step on TPUs: bytes of state, bytes moved, kernels, collectives, time"
_DESCRIPTION = """Print the cost of a step of RMSprop on TPUs: bytes of state, bytes moved,
kernels, collectives, and a lower bound of its time. With libtpu installed the
update is compiled for the TPUs; otherwise the numbers are arithmetic. No TPU is
needed or used."""
_EXAMPLES = """examples:
  %(prog)s --params 1.3B --topology v5e-16
  %(prog)s --shapes model.json --topology v5p:2x2x4 --sharding zero1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``plan``."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument(
        "--params",
        type=typed(parse_count),
        metavar="NUMBER",
        help="a transformer of about this size: 1.3B, 350M, 3e9",
    )
    model.add_argument(
        "--shapes",
        type=Path,
        metavar="FILE",
        help='JSON, shapes in dicts and lists: {"embedding": [50257, 768], "layers": [[768, 3072], [768]]}',
    )
    parser.add_argument(
        "--topology",
        type=typed(topology_of),
        required=True,
        metavar="NAME",
        help="the chips: v5e:4x4, v5p:2x2x4, or Google Cloud's v5e-16, v5litepod-16, v5p-32; "
        f"there are {', '.join(CHIPS)}",
    )
    kinds = "; ".join(f"{name}: {what}" for name, what in SHARDINGS.items())
    parser.add_argument("--sharding", choices=SHARDINGS, default="fsdp", help=f"{kinds} (default: fsdp)")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="dtype of parameters and gradients (default: float32)",
    )
    parser.add_argument(
        "--storage", nargs="+", choices=FORMATS, default=list(FORMATS), help="formats of the mean square (default: all)"
    )
    parser.add_argument("--momentum", action="store_true", help="add a momentum buffer")
    signed = [name for name, form in FORMATS.items() if form.signed]
    parser.add_argument(
        "--momentum-storage", choices=signed, default="float32", help="format of that buffer (default: float32)"
    )
    parser.add_argument("--centered", action="store_true", help="add a mean of the gradients")
    parser.add_argument("--remainder", action="store_true", help="add 16 bits to each bfloat16 parameter")
    parser.add_argument("--no-compile", action="store_true", help="arithmetic only, which is immediate")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    form.add_argument("--json", action="store_true", help="print all numbers as JSON")


def run(args: argparse.Namespace) -> None:
    """Print the plan for parsed options.

    Raises:
      UsageError: the options ask for something that does not exist.
    """
    names = ("dtype", "storage", "sharding", "momentum", "momentum_storage", "centered", "remainder")
    options = {name: getattr(args, name) for name in names}
    compiler_failed = "the TPU compiler failed; --no-compile does without it. It says: "
    with usage_errors(OSError, ValueError), usage_errors(RuntimeError, about=compiler_failed):
        arrays = _read(args.shapes) if args.shapes else transformer(args.params, args.topology.devices)
        with _compiler(args, arrays) as compiler:
            found = plan(arrays, args.topology, **options, compiler=compiler)
    print(json.dumps(found, indent=2) if args.json else markdown(found) if args.markdown else text(found))


def _read(path: Path) -> Counter[Shape]:
    with usage_errors(RecursionError, ValueError, about=f"--shapes {path}: "):
        return arrays_of(json.loads(path.read_text()))


@contextlib.contextmanager
def _compiler(args: argparse.Namespace, arrays: Counter[Shape]) -> Iterator[Compile | None]:
    """A compiler that reports its progress on the standard error, or None if there is none or none is wanted."""
    if args.no_compile:
        yield None
        return
    if importlib.util.find_spec("libtpu") is None:
        print(
            "libtpu is not installed: the numbers are arithmetic. To compile, pip install 'jax[tpu]'",
            file=sys.stderr,
        )
        yield None
        return
    done, total, name = 0, len(arrays) * len(args.storage), args.topology.name
    if not sys.stderr.isatty():
        print(f"programs to compile for {name}: {total}", file=sys.stderr)
    with Compiler() as compiler:

        def reporting(step: Step, shape: Shape, topology: Topology) -> dict[str, int]:
            nonlocal done
            done += 1
            if sys.stderr.isatty():
                line = f"compiling {done} of {total} for {name}: {'x'.join(map(str, shape))}"
                print(f"{line:<79}", end="\r", file=sys.stderr, flush=True)
            return compiler(step, shape, topology)

        yield reporting
