"""``python -m rmsprop_optax``: train a small network with one dialect or several, and see how they differ."""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from rmsprop_optax.demo.options import LEARNING_RATE, UsageError, choose
from rmsprop_optax.dialects import TABLE

_EXTRA = {"flax": "flax", "matplotlib": "matplotlib", "sklearn": "scikit-learn", "tqdm": "tqdm"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        args.run(args)
    except UsageError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return 130
    return 0


def _train(args: argparse.Namespace) -> None:
    missing = [package for module, package in _EXTRA.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} is not installed: pip install 'rmsprop-optax[demo]'")
    from rmsprop_optax import plots
    from rmsprop_optax.demo import data, progress, report, training

    choices = choose(args.dialect, args.set)
    report.claim(args.out)
    train, test = data.digits()
    if args.batch_size > len(train.labels):
        raise UsageError(f"--batch-size {args.batch_size}: there are {len(train.labels)} training images.")
    width = max(map(len, choices))
    runs = {}
    for name, choice in choices.items():
        rows = training.fit(choice.tx, train, test, epochs=args.epochs, batch_size=args.batch_size, seed=args.seed)
        runs[name] = list(progress.show(name.ljust(width), rows, args.epochs))
    print(f"\n{report.table(runs)}\n")
    report.write(args.out / "results.json", {k: v for k, v in vars(args).items() if k != "run"}, choices, runs)
    title = "A small network learns handwritten digits with RMSprop: one line a dialect"
    plots.curves(runs, title=title).savefig(args.out / "curves.png", dpi=150)
    print(f"curves.png and results.json are in {args.out}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m rmsprop_optax",
        description="Train a small convolutional network on handwritten digits with RMSprop as the frameworks have it, "
        "and compare them: the same images in the same order, the same first weights.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=_train)
    parser.add_argument(
        "--dialect",
        nargs="+",
        choices=TABLE,
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
        help="where curves.png and results.json go (default: %(default)s)",
    )
    return parser


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
