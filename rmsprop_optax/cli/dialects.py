"""``dialects``: the table of all dialects, the page of one, and the differences between several."""

import argparse
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rmsprop_optax import differences
from rmsprop_optax._columns import aligned
from rmsprop_optax.cli import _text
from rmsprop_optax.cli._parser import UsageError, dialect, require, usage_errors
from rmsprop_optax.dialects import NOT_REPRODUCED, TABLE, Dialect

HELP = "list all dialects, explain one, or compare several"
_DESCRIPTION = """Without a name: all dialects with rules, defaults and sources. With one name:
its rule, its arguments and its source. With two or more: the differences from
the first in words, and the movement of weights under the same gradients."""
_EXAMPLES = """examples:
  %(prog)s
  %(prog)s tensorflowjs
  %(prog)s pytorch keras --plot two.png"""

_STEPS = (1, 10, 100, 110, 200)
_LEGEND = (
    "nu is the running mean of g², var that of (g - mean)². rate, buffer: the learning rate comes before the momentum "
    "buffer; buffer, rate: after it. The last four columns are defaults; -: there is no such argument."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``dialects``."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("names", nargs="*", type=dialect, metavar="NAME", help="dialects")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the movements; the suffix of FILE gives the format"
    )
    numbers = parser.add_mutually_exclusive_group()
    numbers.add_argument(
        "--own-defaults",
        action="store_true",
        help="compare each dialect with its own defaults (default: the same numbers for all)",
    )
    numbers.add_argument(
        "--momentum",
        type=float,
        metavar="NUMBER",
        help=f"momentum of all (default: {differences.MOMENTUM}, or 0 if one of the dialects has no momentum)",
    )


def run(args: argparse.Namespace) -> None:
    """Print the table, a page or a comparison, and draw the plot.

    Raises:
      UsageError: an option does not fit the dialects, or the plot cannot be written.
    """
    names, same = list(dict.fromkeys(args.names)), not args.own_defaults
    if len(names) < 2:
        if args.plot or args.own_defaults or args.momentum is not None:
            raise UsageError("--plot, --own-defaults and --momentum compare dialects: name two or more.")
        print(_page(*names) if names else _overview())
        return
    without = differences.without_momentum(names)
    if args.momentum and without:
        raise UsageError(f"--momentum {args.momentum}: there is none in {', '.join(without)}.")
    if args.plot:
        require("matplotlib", extra="demo")
        _check_plot(args.plot)
    momentum = differences.MOMENTUM if args.momentum is None else args.momentum
    with usage_errors(ValueError):
        settings = differences.settings(names, same=same, momentum=momentum)
        rows = differences.movements(names, same=same, momentum=momentum)
    print(_comparison(names, settings, rows, same=same))
    if args.plot:
        _plot(rows, args.plot, same)


def _overview() -> str:
    """All dialects with rules and defaults, then their sources, then the rules that have no dialect."""
    rules: list[Sequence[str]] = [
        ("dialect", "divides by", "nu from", "momentum", "weight decay", "rate", "decay", "eps", "mom.")
    ]
    for name, row in TABLE.items():
        divisor, *others = row.divisors()
        rules.append((name, divisor, row.starts_from(), _place(row), row.weight_decay, *_defaults(row)))
        rules += [("", f"with momentum {other}", *[""] * 7) for other in others]
    width = max(map(len, TABLE)) + 2
    sources = [_text.fill(f"{name:{width}}{row.source}", " " * width) for name, row in TABLE.items()]
    missing = [_text.fill(f"{name}: {why}") for name, why in NOT_REPRODUCED.items()]
    return "\n".join(
        [aligned(rules, left=9), "", _text.fill(_LEGEND, ""), "", *sources, "", "Not reproduced:", *missing]
    )


def _place(row: Dialect) -> str:
    """The order of learning rate and momentum buffer."""
    if row.buffer == "never":
        return "no buffer"
    if row.buffer == "if centered":
        return "if centered"
    return "Nesterov" if row.nesterov else "rate, buffer" if row.lr_in_momentum else "buffer, rate"


def _defaults(row: Dialect) -> list[str]:
    parameters = inspect.signature(row.constructor).parameters
    defaults = ["-" if name is None else parameters[name].default for name in row.arguments]
    return ["required" if value is inspect.Parameter.empty else _text.number(value) for value in defaults]


def _page(name: str) -> str:
    """One dialect: its call, its rule, its arguments and its source."""
    row = TABLE[name]
    rule, _ = _text.sections(row.constructor)
    if "::\n" not in rule and (relative := re.search(r":func:`(\w+)`", rule)):
        theirs, _ = _text.sections(TABLE[relative[1]].constructor)
        equations = theirs.partition("::\n\n")[2].partition("\n\n")[0]
        rule = f"{rule}\n\n{relative[1]}:\n\n{equations}"
    return _text.page("dialects", row.constructor, rule, [f"Source: {row.source}"])


def _comparison(
    names: Sequence[str],
    settings: Mapping[str, Mapping[str, object]],
    rows: Iterable[differences.Movement],
    *,
    same: bool,
) -> str:
    """Two dialects or more: each against the first in words, and all in numbers.

    Args:
      names: rows of the table.
      settings: from :func:`rmsprop_optax.differences.settings`.
      rows: from :func:`rmsprop_optax.differences.movements`.
      same: the argument of both functions.
    """
    first, *others = names
    lines: list[str] = []
    for name in others:
        lines += [f"{first} and {name}", *map(_text.item, differences.words(first, name)), ""]
    lines.append(f"The same gradients for {'the same' if same else 'their own'} numbers:")
    lines += [
        _text.item(f"{name}({', '.join(f'{k}={v}' for k, v in given.items())})") for name, given in settings.items()
    ]
    if same:
        lines.append("The learning rate drops to a tenth after step 100.")
        if without := differences.without_momentum(names):
            verb = "has" if len(without) == 1 else "have"
            lines.append(_text.fill(f"Momentum is 0: {', '.join(without)} {verb} none.", ""))
    table: list[Sequence[str]] = [("", "after step", *map(str, _STEPS))]
    for row in rows:
        gradients = f"{row['weight']}: {differences.WEIGHTS[row['weight']]}" if row["dialect"] == first else ""
        table.append((gradients, row["dialect"], *(_text.number(row["movement"][step - 1]) for step in _STEPS)))
    return "\n".join([*lines, "", "Movement of a weight against its gradients", aligned(table, left=2)])


def _check_plot(path: Path) -> None:
    from matplotlib.backend_bases import FigureCanvasBase

    suffixes = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.is_dir():
        raise UsageError(f"--plot {path}: this is a folder; name a file in it, such as {path / 'plot.png'}.")
    if path.suffix.lower().removeprefix(".") not in suffixes:
        raise UsageError(f"--plot {path}: the suffix must be one of .{', .'.join(suffixes)}.")
    if not path.parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {path.parent}.")


def _plot(rows: Sequence[differences.Movement], path: Path, same: bool) -> None:
    from rmsprop_optax import plots

    settings = "settings; the learning rate drops to a tenth after step 100" if same else "each with its own defaults"
    title = f"Weights under the same gradients{' and' if same else ','} {settings}"
    figure = plots.movements(rows, title=title, notes=differences.WEIGHTS)
    # Without TeX, a .pgf raises a RuntimeError.
    with usage_errors(OSError, RuntimeError, ValueError, about=f"--plot {path}: "):
        figure.savefig(path, dpi=150)
    print(f"\nThe plot is in {path}")
