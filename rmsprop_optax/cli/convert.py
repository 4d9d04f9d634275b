"""``convert``: a run of another framework becomes an Orbax checkpoint."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmsprop_optax.cli._parser import UsageError, dialect, function_of, require, usage_errors
from rmsprop_optax.storage import FORMATS

HELP = "turn a run of PyTorch, timm or Keras into an Orbax checkpoint"
_DESCRIPTION = """Read a checkpoint of another framework, print its contents, and write
parameters, optimizer state and step as an Orbax checkpoint. No code in the file
runs."""
_EXAMPLES = """examples:
  %(prog)s run.pt --to converted/ --layout my_layout.py:to_flax
  %(prog)s run.keras --to converted/ --learning-rate rates.py:rate

my_layout.py has a function that makes the tree of parameters:
  def to_flax(arrays):  # {name: array}
      return {"Dense_0": {"kernel": arrays["fc.weight"].T}}"""
_RESTORE = """{to} holds {parts}. Restore it with
  {lines}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``convert``."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("file", type=Path, help=".pt, .pth, .safetensors, .keras or .weights.h5")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="the checkpoint, a new folder")
    parser.add_argument(
        "--layout",
        metavar="MODULE:FUNCTION",
        help="the function that makes the tree of parameters from {name: array}; module:function or file.py:function "
        "(default: keep names and layouts)",
    )
    parser.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="the names of the parameters in the optimizer's order, one a line, if the file lacks them or has more; "
        "for a Keras file without names, the paths of the weights in the file",
    )
    parser.add_argument(
        "--dialect", type=dialect, metavar="NAME", help="the dialect of the optimizer, if the file does not name it"
    )
    parser.add_argument(
        "--optimizer", metavar="KEYS", help="the place of the optimizer in the file, if there are several: a.b.0"
    )
    parser.add_argument(
        "--model", metavar="KEYS", help="the place of the model in the file, if there are several: a.b.0"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="ARGUMENT=VALUE",
        help="hyperparameters that the Keras file lacks: momentum=0.9 centered=true",
    )
    parser.add_argument(
        "--learning-rate",
        metavar="MODULE:FUNCTION",
        help="the schedule, a function of the step count since the start of the run, named as for --layout (default: "
        "the rate in the file, constant from here on)",
    )
    parser.add_argument(
        "--initial-scale",
        type=float,
        metavar="NUMBER",
        help="the mean square before the first step, for parameters of PyTorch or timm that no gradient has reached",
    )
    signed = [name for name, form in FORMATS.items() if form.signed]
    for option, choices, of in (
        ("--storage", list(FORMATS), "the mean square"),
        ("--momentum-storage", signed, "the momentum buffer"),
    ):
        parser.add_argument(option, choices=choices, help=f"format of {of} (default: that of the arithmetic)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier checkpoint of convert")


def run(args: argparse.Namespace) -> None:
    """Convert the file, and print its contents.

    Raises:
      UsageError: the file, the layout or an option is wrong, or the folder exists.
    """
    require("orbax.checkpoint", "tqdm", extra="interop")
    from tqdm import tqdm

    from rmsprop_optax.interop import convert
    from rmsprop_optax.interop._call import text
    from rmsprop_optax.interop._orbax import claimed, quiet

    with usage_errors(OSError, TypeError, ValueError, ImportError):
        claimed(args.to, overwrite=args.overwrite)
        rate = args.learning_rate and function_of("--learning-rate", args.learning_rate)
        found = convert.read(
            args.file,
            names=_names(args.names),
            convert=function_of("--layout", args.layout) if args.layout else dict,
            dialect=args.dialect,
            optimizer=args.optimizer,
            model=args.model,
            config=_config(args.set),
            learning_rate=rate,
            initial_scale=args.initial_scale,
        )
    print(convert.report(found))
    formats = {"storage": args.storage, "momentum_storage": args.momentum_storage}
    total = convert.nbytes(found)
    with (
        tqdm(total=total, unit="B", unit_scale=True, desc="converted ", disable=None, leave=False) as bar,
        usage_errors(OSError),
        usage_errors(TypeError, ValueError, about=f"{args.file}: "),
        quiet(),
    ):
        tree = convert.save(args.to, found, **formats, overwrite=args.overwrite, progress=bar.update)
    lines = [
        "import runpy" * (".py:" in (args.learning_rate or "")),
        "import optax",
        "from rmsprop_optax import dialects, with_storage",
        "from rmsprop_optax.interop import convert",
        _imported(args.learning_rate, text(rate)) if rate else "",
        f"tx = {convert.code(found)}",
        f"tx = with_storage(tx, {args.storage!r}, momentum_storage={args.momentum_storage!r})" * any(formats.values()),
        f"run = convert.restore({str(args.to.absolute())!r}, tx)  # or restore(…, tx, params): in the tree of params",
    ]
    print("\n" + _RESTORE.format(to=args.to, parts=", ".join(tree), lines="\n  ".join(filter(None, lines))))


def _names(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    return [name.strip() for name in path.read_text().split("\n") if name.strip()]


def _imported(name: str, known_as: str) -> str:
    """The line that imports what :func:`function_of` returns."""
    module, _, function = name.rpartition(":")
    if module.endswith(".py"):
        return f"{known_as} = runpy.run_path({module!r})[{function!r}]"
    return f"from {module} import {function} as {known_as}"


def _config(settings: Sequence[str]) -> dict[str, Any] | None:
    config = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        try:
            config[name] = json.loads(value)
        except ValueError as error:
            raise UsageError(f"--set {setting}: write argument=value, the value in JSON: 0.9, true, null.") from error
    return config or None
