"""Facts from docstrings."""

import inspect
from collections.abc import Callable
from typing import Any


def source(function: Callable[..., Any]) -> str:
    """Return the source of a rule, with its version: the last section of the docstring, in one line."""
    text = (inspect.getdoc(function) or "").rpartition("Source:\n")[2]
    return " ".join(text.split()).removesuffix(".")
