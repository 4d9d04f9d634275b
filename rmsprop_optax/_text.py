"""The text that the command line prints."""

import inspect
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

from rmsprop_optax import differences
from rmsprop_optax._columns import aligned
from rmsprop_optax.dialects import NOT_REPRODUCED, TABLE, Dialect
from rmsprop_optax.scaling import eps_inside_sqrt, eps_outside_sqrt

_WIDTH = 116
_STEPS = (1, 10, 100, 110, 200)
_LEGEND = (
    "nu is the running mean of g², var that of (g - mean)². rate, buffer: the learning rate comes before the momentum "
    "buffer; buffer, rate: after it. The last four columns are defaults; -: there is no such argument."
)


def overview() -> str:
    """All dialects with rules and defaults, then their sources, then the rules that have no dialect."""
    rules: list[Sequence[str]] = [
        ("dialect", "divides by", "nu from", "momentum", "weight decay", "rate", "decay", "eps", "mom.")
    ]
    for name, row in TABLE.items():
        divisor, *others = row.divisors()
        rules.append((name, divisor, row.starts_from(), _place(row), row.weight_decay, *_defaults(row)))
        rules += [("", f"with momentum {other}", *[""] * 7) for other in others]
    width = max(map(len, TABLE)) + 2
    sources = [_fill(f"{name:{width}}{row.source}", " " * width) for name, row in TABLE.items()]
    missing = [_fill(f"{name}: {why}") for name, why in NOT_REPRODUCED.items()]
    return "\n".join([aligned(rules, left=9), "", _fill(_LEGEND, ""), "", *sources, "", "Not reproduced:", *missing])


def _place(row: Dialect) -> str:
    """The order of learning rate and momentum buffer."""
    if row.buffer == "never":
        return "no buffer"
    if row.buffer == "if centered":
        return "if centered"
    return "Nesterov" if row.nesterov else "rate, buffer" if row.lr_in_momentum else "buffer, rate"


def _defaults(row: Dialect) -> list[str]:
    defaults = ["-" if name is None else differences._default(row, name) for name in row.arguments]
    return ["required" if value is inspect.Parameter.empty else _number(value) for value in defaults]


def page(name: str) -> str:
    """One dialect: its call, its rule, its arguments and its source."""
    constructor = TABLE[name].constructor
    signature = inspect.signature(constructor)
    bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    call = f"dialects.{name}{signature.replace(parameters=bare, return_annotation=signature.empty)}"
    rule, arguments = _sections(constructor)
    if _MATH not in rule and (relative := re.search(r":func:`(\w+)`", rule)):
        theirs, _ = _sections(TABLE[relative[1]].constructor)
        equations = theirs.partition(_MATH)[2].partition("\n\n")[0]
        rule = f"{rule}\n\n{relative[1]}:\n\n{_MATH}{equations}"
    return "\n\n".join([_fill(call), _plain(rule), _plain(arguments), _fill(f"Source: {TABLE[name].source}")])


_MATH = ".. math::\n"


def _sections(constructor: Callable[..., object]) -> tuple[str, str]:
    """Of a docstring the rule, and the entries of the arguments."""
    rule, _, arguments = (inspect.getdoc(constructor) or "").partition("\n\nArgs:\n")
    return rule, arguments.partition("\n\nReturns:")[0]


def _plain(docstring: str) -> str:
    """A docstring as plain text: without roles, literals and LaTeX commands."""
    docstring = re.sub(r":\w+:`~?([^`]+)`|``([^`]+)``", lambda m: m[1] or m[2], docstring)
    inner = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
    text = docstring.replace(_MATH, "").replace("&", "").replace("\\\\\n", "\n").replace(r"\_", "_")
    text = re.sub(r"\\sqrt" + inner, lambda m: f"√{m[1]}" if re.fullmatch(r"\w+", m[1]) else f"√({m[1]})", text)
    text = re.sub(r"\\frac" + inner * 2, r"\1/(\2)", text)
    text = re.sub(r"\\text" + inner, r"\1", text)
    for command, sign in (("cdot", "·"), ("leftarrow", "←"), ("pm", "±"), ("qquad", " "), ("quad", " "), ("", "")):
        text = text.replace(f"\\{command}", sign)
    return re.sub(r" +\n", "\n", text)


def comparison(
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
      same: the argument that both got.
    """
    first, *others = names
    lines: list[str] = []
    for name in others:
        lines += [f"{first} and {name}", *map(_item, differences.words(first, name)), ""]
    lines.append(f"The same gradients for {'the same' if same else 'their own'} numbers:")
    lines += [_item(f"{name}({', '.join(f'{k}={v}' for k, v in given.items())})") for name, given in settings.items()]
    if same:
        lines.append("The learning rate drops to a tenth after step 100.")
        if without := differences._bufferless(names):
            lines.append(
                _fill(f"Momentum is 0: {', '.join(without)} {'has' if len(without) == 1 else 'have'} none.", "")
            )
    table: list[Sequence[str]] = [("", "after step", *map(str, _STEPS))]
    for row in rows:
        gradients = f"{row['weight']}: {differences.WEIGHTS[row['weight']]}" if row["dialect"] == first else ""
        table.append((gradients, row["dialect"], *(_number(row["movement"][step - 1]) for step in _STEPS)))
    return "\n".join([*lines, "", "Movement of a weight against its gradients", aligned(table, left=2)])


def nearest(eps: float, eps_in_sqrt: bool, low: float, high: float) -> str:
    """The nearest epsilon on the other side of the square root."""
    if eps_in_sqrt:
        found, usual = eps_outside_sqrt(eps, low, high), math.sqrt(eps)
        pair = f"√(nu + {eps:g}) is nearest to √nu + {found.epsilon:.5g}"
    else:
        found, usual = eps_inside_sqrt(eps, low, high), eps**2
        pair = f"√nu + {eps:g} is nearest to √(nu + {found.epsilon:.5g})"
    bound = f"At most a factor of {found.disagreement:.5g} lies between them"
    if eps and (low, high) == (0, math.inf):
        return f"{pair}.\n{bound}; with the usual {usual:.5g} it is {math.sqrt(2):.5g}."
    return f"{pair}.\n{bound} where √nu is from {low:g} to {high:g}."


def converted(given: Mapping[str, float], new: Mapping[str, float]) -> str:
    """Options before and after, one a line."""
    return aligned([(name, f"{value:.7g}", "→", f"{new[name]:.7g}") for name, value in given.items()])


def _item(text: str) -> str:
    return textwrap.indent(_fill(text), "  ")


def _fill(text: str, indent: str = "  ") -> str:
    """Lines that fit a terminal; all but the first are indented."""
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
