"""``plan``: what a training step costs on TPUs."""

import argparse
import functools
import importlib
import importlib.util
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from rmsprop_optax import plan
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.bfloat16 import float32_updates, with_remainder
from rmsprop_optax.cli._parser import UsageError, function_of, require, typed, usage_errors
from rmsprop_optax.cli._words import hint
from rmsprop_optax.plan import CHIPS, arrays_of, parse_count, topology_of, transformer
from rmsprop_optax.plan.shapes import Shape
from rmsprop_optax.storage import FORMATS

HELP = "print the cost of a training step on TPUs: bytes of state, bytes moved, collectives, time"
_DESCRIPTION = """Print the cost of a training step on TPUs with each storage of the mean
square, with ZeRO-1 and without, beside SGD: bytes of state, bytes moved,
collectives and a lower bound of its time. With libtpu installed a --step is
compiled for the TPUs; otherwise the numbers are arithmetic. No TPU is needed
or used."""
_EXAMPLES = """examples:
  %(prog)s --params 1.3B --topology v5e-16
  %(prog)s --step transformer --topology v5e-16
  %(prog)s --step my_training.py:make --topology v5e-16 --mesh a=4,b=4

make(tx, mesh) returns (step, params, *batch): params and batch are trees of
jax.ShapeDtypeStruct with shardings of the mesh, and the step is
step(params, tx.init(params), *batch) -> (params, state, ...). It needs no jit:
plan compiles it with parameters and state donated and sharded as they came."""
_MODELS = ("mlp", "wide", "conv", "transformer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``plan``."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument(
        "--params",
        type=typed(parse_count),
        metavar="NUMBER",
        help="the arrays of a transformer of about this size, without its step: 1.3B, 350M, 3e9",
    )
    model.add_argument(
        "--shapes",
        type=Path,
        metavar="FILE",
        help='arrays without a step, as JSON: {"embedding": [50257, 768], "layers": [[768, 3072], [768]]}',
    )
    model.add_argument(
        "--step",
        metavar="FILE:NAME",
        help=f"a function make(tx, mesh) in a file or module, see below; or a model: {', '.join(_MODELS)}",
    )
    parser.add_argument(
        "--topology",
        type=typed(topology_of),
        required=True,
        metavar="NAME",
        help="the chips: v5e:4x4, v5p:2x2x4, or Google Cloud's v5e-16, v5litepod-16, v5p-32; "
        f"there are {', '.join(CHIPS)}",
    )
    parser.add_argument("--mesh", type=typed(_mesh), metavar="AXES", help="axes and sizes (default: data=ALL)")
    parser.add_argument(
        "--sharding",
        choices=("fsdp", "replicated"),
        default="fsdp",
        help="of the arrays of --params and --shapes: fsdp divides them and their state over the chips; replicated "
        "leaves them whole, and ZeRO-1 divides the state (default: fsdp)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="dtype of parameters, except those of a file's step (default: float32)",
    )
    parser.add_argument(
        "--storage", nargs="+", choices=FORMATS, default=list(FORMATS), help="formats of the mean square (default: all)"
    )
    parser.add_argument("--momentum", action="store_true", help="add a momentum buffer")
    signed = [name for name, form in FORMATS.items() if form.signed]
    parser.add_argument(
        "--momentum-storage", choices=signed, default=None, help="format of that buffer (default: float32)"
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
    compiles = _compiles(args)
    compiler_failed = "the TPU compiler failed; drop the compiler with --no-compile. The compiler says: "
    with usage_errors(OSError, ValueError, TypeError), usage_errors(RuntimeError, about=compiler_failed):
        mesh = args.mesh or ({"replica": args.topology.devices, "fsdp": 1} if args.step in _MODELS else None)
        tell = functools.partial(_tell, args)
        found = plan.step(_make(args), args.topology, _optimizers(args), mesh=mesh, compile=compiles, progress=tell)
    print(json.dumps(found, indent=2) if args.json else plan.markdown(found) if args.markdown else plan.text(found))


def _compiles(args: argparse.Namespace) -> bool:
    """Whether libtpu compiles the step in this process, prepared for that."""
    if args.step is None or args.no_compile:
        return False
    if importlib.util.find_spec("libtpu") is None:
        print(
            "libtpu is not installed: the numbers are arithmetic. To compile, pip install 'jax[tpu]'", file=sys.stderr
        )
        return False
    os.environ |= plan.LIBTPU
    jax.config.update("jax_platforms", "cpu")  # the step is compiled for TPUs that are not there
    return True


def _tell(args: argparse.Namespace, name: str) -> None:
    print(f"compiling for {args.topology.name}: {name}", file=sys.stderr, flush=True)


def _optimizers(args: argparse.Namespace) -> dict[str, Any]:
    if args.momentum_storage and not args.momentum:
        raise ValueError("--momentum-storage needs --momentum: add --momentum, or drop --momentum-storage.")
    if args.remainder and args.dtype != "bfloat16":
        raise ValueError(f"--remainder needs bfloat16 parameters, got --dtype {args.dtype}.")
    wrapped = with_remainder if args.remainder else float32_updates if args.dtype == "bfloat16" else lambda tx: tx
    options: dict[str, Any] = {"momentum": 0.9, "momentum_storage": args.momentum_storage} if args.momentum else {}
    return {name: wrapped(rmsprop(1e-3, storage=name, centered=args.centered, **options)) for name in args.storage}


def _make(args: argparse.Namespace) -> Callable[..., Any]:
    if args.step in _MODELS:
        require("flax", extra="demo")
        from rmsprop_optax.demo.steps import STEPS

        return functools.partial(STEPS[args.step], dtype=args.dtype)
    if args.step is not None:
        if ":" not in args.step:
            must = f"--step must be FILE:NAME, MODULE:NAME or one of {', '.join(_MODELS)}"
            raise UsageError(f"{must}, got {args.step!r}{hint(args.step, _MODELS)}")
        return function_of("--step", args.step)
    shapes = _read(args.shapes) if args.shapes else transformer(args.params, args.topology.devices)
    return plan.arrays(shapes, dtype=args.dtype, split=args.sharding == "fsdp")


def _mesh(text: str) -> dict[str, int]:
    axes = dict(part.partition("=")[::2] for part in text.split(","))
    if not all(name.isidentifier() and size.isdecimal() and int(size) for name, size in axes.items()):
        raise ValueError(f"must be axes and their sizes, as in replica=4,fsdp=4, got {text!r}")
    return {name: int(size) for name, size in axes.items()}


def _read(path: Path) -> Counter[Shape]:
    with usage_errors(RecursionError, ValueError, about=f"--shapes {path}: "):
        return arrays_of(json.loads(path.read_text()))
