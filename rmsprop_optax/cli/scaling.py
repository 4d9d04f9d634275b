"""``scaling``: options for the other side of the square root, for another loss, or for another batch size."""

import argparse
import math

from rmsprop_optax import scaling
from rmsprop_optax._columns import aligned
from rmsprop_optax.cli._parser import UsageError, usage_errors, whole

HELP = "convert epsilon to the other side of the root, and options to another loss or batch size"
_DESCRIPTION = """Convert options of RMSprop, in the words of optax.

--to-outside and --to-inside print the nearest epsilon on the other side of the
square root, and the largest ratio of the two denominators. --sum-to-mean and
--mean-to-sum print the options that give the same steps for the other loss.
--batch-size prints the options for another batch size by the square-root rule:
the loss over examples seen follows the same curve. It is for a loss that is a
mean: convert the options of a sum with --sum-to-mean first, by the old size."""
_EXAMPLES = """examples:
  %(prog)s --to-outside --eps 1e-3
      the epsilon for PyTorch that is nearest to TensorFlow's 0.001
  %(prog)s --to-inside --eps 1e-8 --range 1e-4 1
      the epsilon for optax that is nearest to PyTorch's 1e-8, where the root
      mean squares of the gradients are 0.0001 to 1
  %(prog)s --sum-to-mean 32 --eps 0.01 --clip 1
      the options for a mean of 32 terms, given those for their sum
  %(prog)s --mean-to-sum 32 --eps 1e-8 --no-eps-in-sqrt
      the epsilon of PyTorch for a sum of 32 terms, given the one for their mean
  %(prog)s --batch-size 4096 1024 --learning-rate 0.2
      the rate for batches of 1024, given the one for 4096"""

_OPTIONS = {
    "eps": "epsilon",
    "floor": "smallest denominator",
    "initial_scale": "first mean square: 1 in TensorFlow 1",
    "clip": "largest norm or absolute value of a gradient",
    "l2": "factor of the L2 penalty",
}
_OF_BATCH_SIZE = {
    "learning_rate": "learning rate",
    "decay": "weight of the old mean square",
    "momentum": "weight of the old buffer",
    "weight_decay": "factor of decoupled weight decay, with --learning-rate",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``scaling``."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    conversions = parser.add_argument_group("conversion, one of").add_mutually_exclusive_group(required=True)
    conversions.add_argument(
        "--to-outside",
        action="store_true",
        help="epsilon from inside the square root (optax, TensorFlow, Keras) to outside (PyTorch)",
    )
    conversions.add_argument("--to-inside", action="store_true", help="epsilon from outside to inside")
    conversions.add_argument(
        "--sum-to-mean", type=whole(1), metavar="N", help="from a loss that is a sum of N terms to their mean"
    )
    conversions.add_argument(
        "--mean-to-sum", type=whole(1), metavar="N", help="from a loss that is a mean of N terms to their sum"
    )
    conversions.add_argument(
        "--batch-size", nargs=2, type=whole(1), metavar=("OLD", "NEW"), help="from one batch size to another"
    )
    for title, names in (("options to convert", _OPTIONS), ("options for --batch-size alone", _OF_BATCH_SIZE)):
        options = parser.add_argument_group(title)
        for name, text in names.items():
            options.add_argument(_option(name), type=float, metavar="NUMBER", help=text)
    parser.add_argument(
        "--eps-in-sqrt",
        action=argparse.BooleanOptionalAction,
        help="the side of --eps for the other conversions: inside the square root (the default), or outside",
    )
    parser.add_argument(
        "--range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="root mean squares of gradients that matter to --to-outside and --to-inside (default: all)",
    )


def run(args: argparse.Namespace) -> None:
    """Print the converted options.

    Raises:
      UsageError: an option does not belong to the conversion, or is out of its range.
    """
    names = (*_OPTIONS, *_OF_BATCH_SIZE)
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    with usage_errors(TypeError, ValueError):
        print(_other_side(args, given) if args.to_outside or args.to_inside else _other_loss(args, given))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _other_side(args: argparse.Namespace, given: dict[str, float]) -> str:
    if given.keys() != {"eps"}:
        raise UsageError("--to-outside and --to-inside convert an epsilon: give --eps, and no other option to convert")
    if args.eps_in_sqrt is not None:
        raise UsageError("--to-outside and --to-inside say the side of --eps: drop --eps-in-sqrt")
    low, high = args.range or (0.0, math.inf)
    eps = given["eps"]
    if args.to_outside:
        found, usual = scaling.eps_outside_sqrt(eps, low, high), math.sqrt(eps)
        pair = f"√(nu + {eps:g}) is nearest to √nu + {found.epsilon:.5g}"
    else:
        found, usual = scaling.eps_inside_sqrt(eps, low, high), eps**2
        pair = f"√nu + {eps:g} is nearest to √(nu + {found.epsilon:.5g})"
    bound = f"The two differ by a factor of at most {found.disagreement:.5g}"
    if eps and (low, high) == (0, math.inf):
        return f"{pair}.\n{bound}; with the usual epsilon, {usual:.5g}, by up to {math.sqrt(2):.5g}."
    return f"{pair}.\n{bound} for √nu from {low:g} to {high:g}."


def _other_loss(args: argparse.Namespace, given: dict[str, float]) -> str:
    rest = {name for name in _OPTIONS if name != "l2"} | {*_OF_BATCH_SIZE} if args.batch_size else {*_OPTIONS}
    if wrong := [name for name in given if name not in rest]:
        raise UsageError(f"{_option(wrong[0])} does not change in this conversion: drop it")
    if not given:
        words = ", ".join(_option(name) for name in (*_OPTIONS, *_OF_BATCH_SIZE) if name in rest)
        raise UsageError(f"nothing to convert: give one or more of {words}")
    if args.range:
        raise UsageError("--range belongs to --to-outside and --to-inside: drop it")
    inside = args.eps_in_sqrt is not False
    if args.batch_size:
        old_size, new_size = args.batch_size
        new = scaling.to_batch_size(old_size, new_size, eps_in_sqrt=inside, **given)
    else:
        convert = scaling.sum_to_mean if args.sum_to_mean else scaling.mean_to_sum
        new = convert(args.sum_to_mean or args.mean_to_sum, eps_in_sqrt=inside, **given)
    return aligned([(name, f"{value:.7g}", "→", f"{new[name]:.7g}") for name, value in given.items()])
