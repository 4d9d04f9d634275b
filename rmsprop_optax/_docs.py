"""Complete the docstrings of dialects and recipes with the text that they share."""

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

_SECTIONS = "Args", "Returns", "Raises", "Example", "Source"


def complete(constructor: Callable[..., Any], args: Mapping[str, str], returns: str, raises: str) -> None:
    """Add the missing entries and sections to a docstring.

    Args:
      constructor: has a docstring with some of the sections, in their order. Its example may be a sentence,
        "NAME(…) turns a first gradient of G into an update of U", which becomes code.
      args: argument → its entry.
      returns: the section.
      raises: the section.
    """
    head, *rest = re.split(rf"\n\n({'|'.join(_SECTIONS)}):\n", inspect.getdoc(constructor) or "")
    written = dict(zip(rest[::2], rest[1::2], strict=True))
    entries = {**args, **dict(re.findall(r"^  (\w+): (.*(?:\n    .*)*)", written.get("Args", ""), re.MULTILINE))}
    parameters = inspect.signature(constructor).parameters
    usual = {
        "Args": "\n".join(_entry(name, entries[name]) for name in parameters if name in entries),
        "Returns": f"  {returns}",
        "Raises": "\n".join(_entry(*error.split(": ", 1)) for error in raises.splitlines()),
    }
    written = usual | written | {"Args": usual["Args"], "Example": _code(written.get("Example", ""))}
    constructor.__doc__ = "\n\n".join([head, *(f"{name}:\n{written[name]}" for name in _SECTIONS if name in written)])


def source(constructor: Callable[..., Any]) -> str:
    """Return the source of a rule, with its version: the last section of the docstring, in one line."""
    text = (inspect.getdoc(constructor) or "").rpartition("Source:\n")[2]
    return " ".join(text.split()).removesuffix(".")


def _entry(name: str, text: str) -> str:
    """An entry of a section, wrapped with a hanging indent."""
    words = " ".join(f"{name}: {text}".split())
    return textwrap.fill(words, 116, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _code(example: str) -> str:
    """Convert an example sentence to code; text after "=" in the sentence becomes a comment."""
    sentence = " ".join(example.split())
    found = re.fullmatch(r"(.+) turns a first gradient of (.+) into an update of (\S+?)( = .+)?\.", sentence)
    if found is None:
        return example
    call, gradient, update, derived = found.groups()
    comment = f"  # {derived.removeprefix(' = ')}" if derived else ""
    return f"""\
  >>> import jax.numpy as jnp
  >>> tx, weight = {call}, jnp.zeros(1)
  >>> updates, state = tx.update(jnp.array([{gradient}]), tx.init(weight), weight)
  >>> round(float(updates[0]), 6){comment}
  {update}"""
