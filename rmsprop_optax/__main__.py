"""``python -m rmsprop_optax``: train a small network with one dialect or several, and see how they differ.

``… dialects`` compares them without training, ``… epsilon`` converts epsilons and thresholds, ``… convert`` a run of
another framework into a checkpoint, ``… plan`` says what a step costs on a TPU.
"""

import argparse
import difflib
import importlib.util
import json
import math
import os
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rmsprop_optax import _text, differences, scaling
from rmsprop_optax.demo.options import LEARNING_RATE, Choice, UsageError, choose
from rmsprop_optax.dialects import TABLE
from rmsprop_optax.plan import _cli as plan
from rmsprop_optax.storage import FORMATS

_DEMO = ("flax", "matplotlib", "sklearn", "tqdm")
_EXTRA = {name: name for name in _DEMO} | {"sklearn": "scikit-learn", "orbax.checkpoint": "orbax-checkpoint"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
    except UsageError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # somebody has seen enough, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _train(args: argparse.Namespace) -> None:
    _require(*_DEMO)
    from rmsprop_optax.demo import checkpoints, data, progress, report, training

    choices = choose(args.dialect, args.set)
    report.claim(args.out, choices)
    saved = _checkpoints(args, choices)
    train, test = data.digits()
    if args.batch_size > len(train.labels):
        raise UsageError(f"--batch-size {args.batch_size}: there are {len(train.labels)} training images.")
    sizes = {"epochs": args.epochs, "batch_size": args.batch_size, "seed": args.seed}
    width = max(map(len, choices))
    runs = {}
    try:
        for name, choice in choices.items():
            rows = training.fit(choice.tx, train, test, **sizes, **saved[name])
            runs[name] = list(progress.show(name.ljust(width), rows, args.epochs))
    except checkpoints.CheckpointError as error:
        raise UsageError(f"--checkpoint: {error}") from error
    print(f"\n{report.table(runs)}\n")
    report.write(args.out / "results.json", {k: v for k, v in vars(args).items() if k != "run"}, choices, runs)
    for path, figure in zip(report.pictures(args.out, runs).values(), _figures(runs), strict=True):
        figure.savefig(path, dpi=150)
    print(f"results.json, and pictures of the curves, the layers and their rates are in {args.out}")


def _figures(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Any]:
    """In the order of ``report.pictures``."""
    from rmsprop_optax import plots

    yield plots.curves(runs, title="A small network learns handwritten digits with RMSprop: one line a dialect")
    for name, rows in runs.items():
        moments = [{"step": row["step"], **row["rates"]} for row in rows if "rates" in row]
        yield plots.layers(rows[1:], title=f"{name}: what each layer gets, as of the last measure in every epoch")
        yield plots.rates(moments, title=f"{name}: effective learning rates of single weights after every epoch")


def _checkpoints(args: argparse.Namespace, choices: Mapping[str, Choice]) -> dict[str, dict[str, Any]]:
    """For each dialect what the training is told about checkpoints."""
    from rmsprop_optax.demo import report

    if args.checkpoint is None:
        if args.resume:
            raise UsageError("--resume: name the folder of the checkpoints with --checkpoint.")
        return {name: {} for name in choices}
    _require("orbax.checkpoint")
    numbers = {"batch_size": args.batch_size, "seed": args.seed}
    saved = {n: {"checkpoint": args.checkpoint / n, "run": numbers | c.arguments} for n, c in choices.items()}
    for told in saved.values():
        report.claim_checkpoints(told["checkpoint"], told["run"], epochs=args.epochs, resume=args.resume)
    return saved


def _dialects(args: argparse.Namespace) -> None:
    names, same = list(dict.fromkeys(args.name)), not args.own_defaults
    if len(names) < 2:
        if args.plot or args.own_defaults or args.momentum is not None:
            raise UsageError("--plot, --own-defaults and --momentum compare: name two dialects or more.")
        print(_text.page(*names) if names else _text.overview())
        return
    without = differences._bufferless(names)
    if args.momentum and without:
        raise UsageError(f"--momentum {args.momentum}: there is none in {', '.join(without)}.")
    if args.plot:
        _require("matplotlib")
        _check_plot(args.plot)
    momentum = differences.MOMENTUM if args.momentum is None else args.momentum
    try:
        settings = differences.settings(names, same=same, momentum=momentum)
        rows = differences.movements(names, same=same, momentum=momentum)
    except ValueError as error:
        raise UsageError(str(error)) from error
    print(_text.comparison(names, settings, rows, same=same))
    if args.plot:
        _plot(rows, args.plot, same)


def _check_plot(path: Path) -> None:
    from matplotlib.backend_bases import FigureCanvasBase

    suffixes = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.is_dir():
        raise UsageError(f"--plot {path}: this is a folder; name a file in it, as {path / 'plot.png'}.")
    if path.suffix.lower().removeprefix(".") not in suffixes:
        raise UsageError(f"--plot {path}: the suffix says the format; it must be one of .{', .'.join(suffixes)}.")
    if not path.parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {path.parent}.")


def _plot(rows: list[dict], path: Path, same: bool) -> None:
    from rmsprop_optax import plots

    settings = "settings; the learning rate drops to a tenth after step 100" if same else "each with its own defaults"
    title = f"Weights under the same gradients{' and' if same else ','} {settings}"
    try:
        plots.movements(rows, title=title, notes=differences.WEIGHTS).savefig(path, dpi=150)
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: no TeX for .pgf
        raise UsageError(f"--plot {path}: {getattr(error, 'strerror', None) or error}") from error
    print(f"\nThe plot is in {path}")


def _epsilon(args: argparse.Namespace) -> None:
    in_sqrt = args.outside is None
    options = {
        "eps": args.inside if in_sqrt else args.outside,
        "clip": args.clip,
        "l2": args.l2,
        "initial_scale": args.start,
    }
    given = {name: value for name, value in options.items() if value is not None}
    convert = scaling.sum_to_mean if args.sum_to_mean else scaling.mean_to_sum
    batch_size = args.sum_to_mean or args.mean_to_sum
    try:
        if batch_size:
            if args.range or not given:
                raise UsageError("between a sum and a mean: name what to convert, and no --range.")
            print(_text.converted(given, convert(batch_size, eps_in_sqrt=in_sqrt, **given)))
        else:
            if given.keys() != {"eps"}:
                raise UsageError("for the other side of the root: name --inside or --outside, and no other option.")
            print(_text.nearest(given["eps"], in_sqrt, *args.range or (0.0, math.inf)))
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error


def _convert(args: argparse.Namespace) -> None:
    _require("orbax.checkpoint", "tqdm", extra="interop")
    from tqdm import tqdm

    from rmsprop_optax.interop import convert

    short = {"storage": args.storage, "momentum_storage": args.momentum_storage}
    try:
        convert.claimed(args.to, overwrite=args.overwrite)
        names = None if args.names is None else args.names.read_text().split("\n")
        run = convert.read(
            args.file,
            names=None if names is None else [name.strip() for name in names if name.strip()],
            convert=_function(args.layout),
            dialect=args.dialect,
            optimizer=args.optimizer,
            model=args.model,
            config=_config(args.set),
        )
        print(convert.report(run))
        total = convert.nbytes(run)
        with tqdm(total=total, unit="B", unit_scale=True, desc="converted ", disable=None, leave=False) as bar:
            tree = convert.save(args.to, run, **short, overwrite=args.overwrite, progress=bar.update)
    except (OSError, TypeError, ValueError, ImportError) as error:
        raise UsageError(str(error)) from error
    print(f"\n{args.to} holds {', '.join(tree)}; {_RESTORE}")


_RESTORE = """it is restored with
  checkpointer = orbax.checkpoint.StandardCheckpointer()
  saved = checkpointer.restore(path)  # an absolute path; an optimizer's state comes as dicts and lists
  like = saved | {"params": params, "opt_state": jax.eval_shape(tx.init, params)}
  restored = checkpointer.restore(path, like)"""


def _function(name: str | None) -> Callable[[dict], Any]:
    """The function that ``module:function`` or ``file.py:function`` names."""
    if name is None:
        return dict
    module, _, function = name.rpartition(":")
    try:
        if module.endswith(".py"):
            return runpy.run_path(module)[function]
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, KeyError, OSError, ValueError) as error:
        raise UsageError(f"--layout {name}: module:function or file.py:function; {error!r}") from error


def _config(settings: Sequence[str]) -> dict[str, Any] | None:
    pairs = [setting.partition("=") for setting in settings]
    try:
        return {name: json.loads(value) for name, _, value in pairs} or None
    except ValueError as error:
        raise UsageError(f"--set {' '.join(settings)}: momentum=0.9, centered=true; {error}") from error


def _require(*modules: str, extra: str = "demo") -> None:
    missing = [_EXTRA[module] for module in modules if importlib.util.find_spec(module.partition(".")[0]) is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} is not installed: pip install 'rmsprop-optax[{extra}]'")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m rmsprop_optax",
        description="Train a small convolutional network on handwritten digits with RMSprop as the frameworks have it, "
        "and compare them: the same images in the same order, the same first weights.",
        allow_abbrev=False,
    )
    _add_commands(parser.add_subparsers(title="without training", metavar="COMMAND"))
    parser.set_defaults(run=_train)
    parser.add_argument(
        "--dialect",
        nargs="+",
        type=_dialect,
        default=["keras"],
        metavar="NAME",
        help=f"any of {', '.join(TABLE)} (default: keras, whose defaults suit the network)",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="ARGUMENT=VALUE",
        help="a dialect's own arguments: momentum=0.9 centered=true for every dialect, pytorch.lr=0.01 for one; where "
        f"the dialect has no learning rate of its own, it is {LEARNING_RATE}",
    )
    parser.add_argument("--epochs", type=_whole(1), default=20, metavar="N", help="default: %(default)s")
    parser.add_argument("--batch-size", type=_whole(1), default=32, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--seed",
        type=_whole(0, 2**32 - 1),
        default=0,
        metavar="N",
        help="decides the first weights and the order of the images (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs", "digits"),
        metavar="FOLDER",
        help="where results.json and the pictures go (default: %(default)s)",
    )
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FOLDER", help="save every epoch there, each dialect in a folder of its own"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last epoch in --checkpoint, if there is one"
    )
    return parser


def _add_commands(commands: Any) -> None:
    planner = commands.add_parser("plan", help=plan.HELP, description=plan.DESCRIPTION, allow_abbrev=False)
    planner.set_defaults(run=plan.run)
    plan.add_arguments(planner)

    dialects = commands.add_parser(
        "dialects",
        help="the table of all dialects, the page of one, or where several differ",
        description="All dialects as a table; of one its rule, its arguments and its source; of two or more where they "
        "differ from the first, in words, and in numbers on the same gradients.",
        allow_abbrev=False,
    )
    dialects.set_defaults(run=_dialects)
    dialects.add_argument("name", nargs="*", type=_dialect, metavar="NAME", help=f"any of {', '.join(TABLE)}")
    dialects.add_argument("--plot", type=Path, metavar="FILE", help="draw the numbers; the suffix says the format")
    numbers = dialects.add_mutually_exclusive_group()
    numbers.add_argument(
        "--own-defaults",
        action="store_true",
        help="each dialect with its own defaults, instead of the same numbers for all",
    )
    numbers.add_argument(
        "--momentum",
        type=float,
        metavar="NUMBER",
        help=f"for all (default: {differences.MOMENTUM}, or 0 where a dialect has none)",
    )

    converter = commands.add_parser(
        "epsilon",
        help="an epsilon for the other side of the root, or options between the sum and the mean of a loss",
        description="Without --sum-to-mean and --mean-to-sum: the nearest epsilon for the other side of the root, and "
        "how far the denominators are from each other. With one of them: the same steps for the other loss.",
        allow_abbrev=False,
    )
    converter.set_defaults(run=_epsilon)
    side = converter.add_mutually_exclusive_group()
    for option, text in {
        "--inside": "epsilon inside the square root: optax, TensorFlow, Keras",
        "--outside": "epsilon outside the square root: PyTorch, optax with eps_in_sqrt=False",
    }.items():
        side.add_argument(option, type=float, metavar="NUMBER", help=text)
    for option, text in {
        "--clip": "threshold of a norm or an absolute value of gradients",
        "--l2": "L2 penalty",
        "--start": "what the mean square starts from; 1 in TensorFlow 1",
    }.items():
        converter.add_argument(option, type=float, metavar="NUMBER", help=text)
    converter.add_argument(
        "--range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="the root mean squares of the gradients that matter (default: all)",
    )
    loss = converter.add_mutually_exclusive_group()
    loss.add_argument(
        "--sum-to-mean", type=_whole(1), metavar="N", help="from a loss that is a sum of N terms to its mean"
    )
    loss.add_argument("--mean-to-sum", type=_whole(1), metavar="N", help="from a mean of N terms to their sum")

    interop = commands.add_parser(
        "convert",
        help="a run of PyTorch, timm or Keras becomes an Orbax checkpoint",
        description="Read a checkpoint of another framework, say what is in it, and write parameters, optimizer state "
        "and step as an Orbax checkpoint. No code in the file is run.",
        allow_abbrev=False,
    )
    interop.set_defaults(run=_convert)
    interop.add_argument("file", type=Path, help=".pt, .pth, .safetensors, .keras or .weights.h5")
    interop.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="the checkpoint, a new folder")
    interop.add_argument(
        "--layout",
        metavar="MODULE:FUNCTION",
        help="the function that converts the weights, {name: array} to a tree of parameters; module:function or "
        "file.py:function (default: names and layouts stay)",
    )
    interop.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="the parameters in the optimizer's order, a line each; of Keras the paths of weights in the file",
    )
    interop.add_argument("--dialect", type=_dialect, metavar="NAME", help="where the file leaves open whose it is")
    interop.add_argument("--optimizer", metavar="KEYS", help="where it is in the file, if there are several: a.b.0")
    interop.add_argument("--model", metavar="KEYS", help="likewise")
    interop.add_argument(
        "--set", nargs="+", default=[], metavar="ARGUMENT=VALUE", help="hyperparameters that a Keras file does not have"
    )
    for option in ("--storage", "--momentum-storage"):
        interop.add_argument(
            option, choices=list(FORMATS), help="how it is kept (default: as precise as the arithmetic)"
        )
    interop.add_argument("--overwrite", action="store_true", help="replace what is in the folder")


def _dialect(name: str) -> str:
    if name not in TABLE:
        near = difflib.get_close_matches(name, TABLE, n=1)
        there_are = f"did you mean {near[0]}?" if near else f"there are {', '.join(TABLE)}"
        raise argparse.ArgumentTypeError(f"there is no dialect {name!r}; {there_are}")
    return name


def _whole(least: int, most: int = 10**6) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}, got {text!r}")
        return number

    return parse


class _Parser(argparse.ArgumentParser):
    """Errors in one line: what is wrong and what there is, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")


if __name__ == "__main__":
    sys.exit(main())
