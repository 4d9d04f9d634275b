"""What a docstring knows and a table shows."""

import inspect
from collections.abc import Callable


def source(function: Callable) -> str:
    """The end of a docstring in one line: where its rule was read, with the version."""
    text = (inspect.getdoc(function) or "").rpartition("Source:\n")[2]
    return " ".join(text.split()).removesuffix(".")
