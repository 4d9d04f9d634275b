"""Docstrings and tables as plain text for a terminal."""

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable

_WIDTH = 116


def page(module: str, constructor: Callable[..., object], rule: str, facts: Iterable[str]) -> str:
    """The call of a constructor with its defaults, its rule, its arguments, and lines of facts."""
    signature = inspect.signature(constructor)
    bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    arguments = signature.replace(parameters=bare, return_annotation=signature.empty)
    call = f"{module}.{constructor.__name__}{arguments}"
    return "\n\n".join([fill(call), plain(rule), plain(sections(constructor)[1]), *map(fill, facts)])


def sections(constructor: Callable[..., object]) -> tuple[str, str]:
    """The rule in a docstring, and the entries of its arguments."""
    rule, _, arguments = (inspect.getdoc(constructor) or "").partition("\n\nArgs:\n")
    return rule, arguments.partition("\n\nReturns:")[0]


def plain(docstring: str) -> str:
    """A docstring as plain text: without roles, literals and the marks of blocks."""
    text = re.sub(r":\w+:`~?([^`]+)`|``([^`]+)``", lambda m: m[1] or m[2], docstring)
    return text.replace("::\n", ":\n")


def item(text: str) -> str:
    """An indented and wrapped line."""
    return textwrap.indent(fill(text), "  ")


def fill(text: str, indent: str = "  ") -> str:
    """Wrap a text to a terminal's width, with all lines but the first indented."""
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def number(value: object) -> str:
    """A number with four digits; everything else as Python writes it."""
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
