"""``train``: a small network learns with dialects and other optimizers, which are compared."""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rmsprop_optax.cli import _words
from rmsprop_optax.cli._baselines import BASELINES
from rmsprop_optax.cli._choices import LEARNING_RATE, Choice, choose
from rmsprop_optax.cli._parser import UsageError, cannot_write, dialect, require, typed, usage_errors, whole

if TYPE_CHECKING:
    from rmsprop_optax.demo.data import Split

HELP = "train a small network with dialects and other optimizers, and compare them"
_DESCRIPTION = """Train a small network with one optimizer or several: the same examples in the
same order, the same first weights. Without --data a convolutional network
learns scikit-learn's handwritten digits, in half a minute on two cores.

The folder of --out gets results.json with all numbers, curves.png, for each
optimizer layers-NAME.png (gradients, updates, effective learning rates by
layer), and for each dialect rates-NAME.png (effective learning rates of single
weights). Ctrl-C stops after the epoch and leaves the results so far."""
_EXAMPLES = """examples:
  %(prog)s
  %(prog)s --dialect pytorch keras --set momentum=0.9
  %(prog)s --dialect tf1 --optimizer adam --seeds 5
  %(prog)s --data mine.npz --checkpoint runs/mine --resume

--data reads .npz with the arrays x and y:
  x  numbers [n, features], [n, height, width] or [n, height, width, channels]
  y  the class of each example [n], whole numbers or text
or .csv with an example in each line: the features, and the class in the last
column; a first line without a number names the columns. Numbers are
standardised, and a fifth of the examples is the test set. Images go to the
convolutional network, rows of numbers to a dense one with two hidden layers."""
_MODULES = ("flax", "matplotlib", "sklearn", "tqdm")
_LARGEST_SEED = 2**32 - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``train``."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument(
        "--dialect",
        nargs="+",
        action="extend",
        type=dialect,
        metavar="NAME",
        help="dialects; `dialects` lists them (default: keras, whose defaults suit the network)",
    )
    parser.add_argument(
        "--optimizer",
        nargs="+",
        action="extend",
        type=typed(_baseline),
        default=[],
        metavar="NAME",
        help=f"optimizers of optax beside the dialects: {', '.join(BASELINES)}",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="ARGUMENT=VALUE",
        help="arguments: momentum=0.9 centered=true for every dialect, pytorch.lr=0.01 or adam.b1=0.8 for one "
        f"optimizer; the learning rate of a dialect that has no default is {LEARNING_RATE}",
    )
    parser.add_argument("--data", type=Path, metavar="FILE", help="examples of your own, .npz or .csv, see below")
    parser.add_argument("--epochs", type=whole(1), default=20, metavar="N", help="default: %(default)s")
    parser.add_argument("--batch-size", type=whole(1), default=32, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--seed",
        type=whole(0, _LARGEST_SEED),
        default=0,
        metavar="N",
        help="decides the first weights and the order of the examples (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds",
        type=whole(1),
        default=1,
        metavar="N",
        help="train with N seeds from --seed on, and draw a band over them (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="the folder of the results (default: runs/digits, or runs/NAME for --data NAME.npz)",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FOLDER",
        help="save every epoch there, each optimizer in a folder of its own",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the last epoch in --checkpoint, if there is one"
    )


def _baseline(word: str) -> str:
    if word not in BASELINES:
        raise ValueError(_words.no_name("baseline", word, BASELINES))
    return word


class _Training(NamedTuple):
    """An optimizer and a seed.

    Attributes:
      name: of the optimizer.
      seed: of the first weights and the orders.
      label: the name, with the seed if there are several.
      checkpoint: the folder of the checkpoints, or ``None``.
      run: numbers that must be the same to continue from a checkpoint.
    """

    name: str
    seed: int
    label: str
    checkpoint: Path | None
    run: dict[str, Any]


_Runs: TypeAlias = dict[str, dict[int, list[dict[str, Any]]]]
"""Name of each optimizer → seed → rows, one an epoch."""


def run(args: argparse.Namespace) -> None:
    """Train, print a table, and write results and pictures.

    Raises:
      UsageError: an option or a file is wrong.
      KeyboardInterrupt: after Ctrl-C, once the results so far are written.
      OSError: the disk is full; the results so far are written if there is space for them.
    """
    require(*_MODULES, *(("orbax.checkpoint",) if args.checkpoint else ()), extra="demo")
    from rmsprop_optax.cli import _folders
    from rmsprop_optax.demo.checkpoints import CheckpointError

    if args.resume and args.checkpoint is None:
        raise UsageError("--resume: name the folder of the checkpoints with --checkpoint.")
    if args.seed + args.seeds - 1 > _LARGEST_SEED:
        raise UsageError(f"--seed {args.seed} --seeds {args.seeds}: the last seed must be at most {_LARGEST_SEED}.")
    args.out = args.out or Path("runs", args.data.stem if args.data else "digits")
    choices = choose(args.dialect or ["keras"], args.set, args.optimizer)
    _folders.claim(args.out, choices)
    trainings = _trainings(args, choices)
    for each in trainings:
        if each.checkpoint is not None:
            _folders.claim_checkpoints(each.checkpoint, each.run, epochs=args.epochs, resume=args.resume)
    data = _data(args)
    runs: _Runs = {}
    ended: KeyboardInterrupt | OSError | None = None
    try:
        with usage_errors(CheckpointError, about="--checkpoint: "):
            _train(args, trainings, choices, data, runs)
    except (KeyboardInterrupt, OSError) as error:
        ended = _stopped(error)
    written = False
    try:
        if runs:
            _write(args, choices, runs)
            written = True
    except (KeyboardInterrupt, OSError) as error:
        ended = ended or _stopped(error)
    if ended is not None:
        print(_stand(args, trainings, runs, written), file=sys.stderr)
        raise ended


def _trainings(args: argparse.Namespace, choices: Mapping[str, Choice]) -> list[_Training]:
    found = []
    for name, choice in choices.items():
        for seed in range(args.seed, args.seed + args.seeds):
            own = name if seed == args.seed else f"{name}-seed-{seed}"
            run = {"batch_size": args.batch_size, "seed": seed, "data": args.data and args.data.name} | choice.arguments
            label = name if args.seeds == 1 else f"{name}, seed {seed}"
            found.append(_Training(name, seed, label, args.checkpoint and args.checkpoint / own, run))
    return found


def _data(args: argparse.Namespace) -> "tuple[Split, Split]":
    from rmsprop_optax.demo import data

    with usage_errors(OSError, ValueError, about=f"--data {args.data}: "):
        train, test = data.digits() if args.data is None else data.read(args.data)
    if args.batch_size > len(train.labels):
        raise UsageError(f"--batch-size {args.batch_size}: there are {len(train.labels)} training examples.")
    return train, test


def _train(
    args: argparse.Namespace,
    trainings: Sequence[_Training],
    choices: Mapping[str, Choice],
    data: "tuple[Split, Split]",
    runs: _Runs,
) -> None:
    """Train, show each row, and add it to ``runs``, so that an interrupt leaves all finished epochs there."""
    from rmsprop_optax.demo import checkpoints, progress, training
    from rmsprop_optax.interop._orbax import quiet

    width = max(len(each.label) for each in trainings)
    train, test = data
    with _stop_after_epoch() as asked, quiet():
        for each in trainings:
            fit = training.fit(
                choices[each.name].tx,
                train,
                test,
                epochs=args.epochs,
                batch_size=args.batch_size,
                seed=each.seed,
                checkpoint=each.checkpoint,
                run=each.run,
            )
            if each.checkpoint is not None and (last := checkpoints.last(each.checkpoint)) is not None:
                print(f"{each.label:{width}}  epochs up to {last} are restored from {each.checkpoint}", flush=True)
            shown = progress.show(each.label.ljust(width), fit, args.epochs)
            with contextlib.closing(fit), contextlib.closing(shown):  # which completes the last checkpoint
                for row in shown:
                    runs.setdefault(each.name, {}).setdefault(each.seed, []).append(row)
                    if asked():
                        raise KeyboardInterrupt


@contextlib.contextmanager
def _stop_after_epoch() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request, which the yielded function reports, and the second into an interrupt.

    An interrupt while jax compiles can crash the process.
    """
    wished = False

    def wish(*_: object) -> None:
        nonlocal wished
        if wished:
            raise KeyboardInterrupt
        wished = True
        # A print in a signal handler fails if it interrupts another print.
        os.write(2, b"\nstopping after this epoch; Ctrl-C again stops at once\n")

    if threading.current_thread() is not threading.main_thread():  # only it may set a handler
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, wish)
    try:
        yield lambda: wished
    finally:
        signal.signal(signal.SIGINT, before)


def _stopped(error: KeyboardInterrupt | OSError) -> KeyboardInterrupt | OSError:
    """Return the error if the results so far are worth writing, or else raise it."""
    if isinstance(error, OSError) and not cannot_write(error):
        raise error
    return error


def _write(args: argparse.Namespace, choices: Mapping[str, Choice], runs: _Runs) -> None:
    from rmsprop_optax.demo import report

    print(f"\n{report.table(runs)}\n", flush=True)
    arguments = {name: value for name, value in vars(args).items() if name not in ("command", "line")}
    optimizers = {name: choice.arguments for name, choice in choices.items()}
    report.write(args.out / "results.json", arguments, optimizers, runs)
    what = "handwritten digits" if args.data is None else args.data.name
    report.draw(args.out, runs, title=f"A small network learns {what}, a line for each optimizer")
    print(f"results.json, and pictures of the curves, the layers and their rates are in {args.out}")


def _stand(args: argparse.Namespace, trainings: Sequence[_Training], runs: _Runs, written: bool) -> str:
    """Where a run stopped, and how to continue it."""
    started = [each for each in trainings if each.seed in runs.get(each.name, {})]
    lines = ["Stopped before the first epoch."]
    if started:
        epoch, number = runs[started[-1].name][started[-1].seed][-1]["epoch"], f"{len(started)} of {len(trainings)}"
        of = started[-1].label + (f", training {number}" if len(trainings) > 1 else "")
        lines = [f"Stopped after epoch {epoch} of {args.epochs} of {of}."]
    if written:
        lines.append(f"Results and pictures of the epochs so far are in {args.out}.")
    if args.checkpoint is None:
        lines.append("This run cannot be continued; --checkpoint FOLDER saves every epoch.")
    else:
        lines.append(f"Continue with: {args.line}{'' if args.resume else ' --resume'}")
    return "\n".join(lines)
