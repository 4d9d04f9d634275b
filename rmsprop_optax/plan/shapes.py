"""The arrays of a model: their shapes, and how many arrays have each shape."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

Shape: TypeAlias = tuple[int, ...]

UNITS = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
"""Letters behind a number of parameters, in either case."""


def parse_count(text: str) -> float:
    """Return the number of parameters that a text means.

    Args:
      text: a number, or a number and a letter of :data:`UNITS`.

    Raises:
      ValueError: the text is neither. The message suggests a number.

    Example:
      >>> parse_count("1.3B"), parse_count("350M"), parse_count("125k"), parse_count("1.3e9")
      (1300000000.0, 350000000.0, 125000.0, 1300000000.0)
    """
    units = {letter.lower(): size for letter, size in UNITS.items()}
    text = str(text)
    number, unit = text.strip(), 1.0
    if number[-1:].lower() in units:
        number, unit = number[:-1], units[number[-1].lower()]
    try:
        return float(number) * unit
    except ValueError:
        raise ValueError(f"must be a number such as 1.3e9, 1.3B, 350M or 125k, got {text!r}.{_meant(text)}") from None


def _meant(text: str) -> str:
    """A hint for texts such as ``1,3B``, ``1.3G`` and ``1.3 billion``."""
    found = re.fullmatch(r"(\d+)(?:[.,](\d{1,2}))?\s*([kmbgt])[a-z]*", text.strip().lower(), re.ASCII)
    if not found:
        return ""
    whole, part, letter = found.groups()
    unit = {letter.lower(): letter for letter in UNITS}.get(letter, "B")
    return f" Did you mean {whole}{f'.{part}' if part else ''}{unit}?"


def transformer(parameters: float, parts: int = 1) -> Counter[Shape]:
    """Return the arrays of a decoder-only transformer of about this many parameters.

    A layer has four matrices and two vectors; the model has an embedding and one more vector. The width is about 128
    times the number of layers. It is divisible by ``parts`` if the model is large enough for that, so that all arrays
    split evenly. The embedding has 32768 rows, fewer in a small model, plus the rest after the last layer.

    Args:
      parameters: 1e5 to 1e14.
      parts: devices that each array is split over.

    Returns:
      Shape → number of arrays.

    Raises:
      ValueError: ``parameters`` is out of range.

    Example:
      >>> transformer(1.3e9)[2304, 6912]
      19
    """
    text = parameters if isinstance(parameters, str) else f"{parameters:g}"
    if isinstance(parameters, str) or not 1e5 <= parameters <= 1e14:
        raise ValueError(f"parameters must be 1e5 to 1e14, got {text}; for another model give its shapes.")
    if parameters >= 1e6:
        width, least, most = (128 * parameters / 12) ** (1 / 3), 256, 2.0
    else:  # one layer, so the width decides the size alone
        width, least, most = (parameters / 16) ** 0.5, 16, 0.25
    unit = math.lcm(least, parts)
    unit = unit if unit <= most * width else least
    width = max(1, round(width / unit)) * unit
    layer = {(width, 3 * width): 1, (width, width): 1, (width, 4 * width): 1, (4 * width, width): 1, (width,): 2}
    size = size_of(layer)
    layers = max(1, int((parameters - min(32768 * width, parameters / 4)) / size))
    rows = max(1, round((parameters - layers * size) / width / unit)) * unit
    return Counter({shape: number * layers for shape, number in layer.items()}) + Counter(
        {(rows, width): 1, (width,): 1}
    )


def arrays_of(tree: Any) -> Counter[Shape]:
    """Return the arrays in a tree of shapes.

    Args:
      tree: dicts and lists, as JSON has them. A list of numbers is a shape; an empty list is the shape of a scalar.

    Returns:
      Shape → number of arrays.

    Raises:
      ValueError: the tree holds something else, or no shape.

    Example:
      >>> arrays_of({"embedding": [50257, 768], "layers": [[768, 3072], [768, 3072]]})
      Counter({(768, 3072): 2, (50257, 768): 1})
    """
    found: Counter[Shape] = Counter()

    def walk(node: Any, path: str) -> None:
        if isinstance(node, list) and not any(isinstance(child, dict | list) for child in node):
            if not all(type(size) is int and 0 < size < 2**31 for size in node):
                raise ValueError(f"a shape must be a list of positive integers, got {node!r} at {path or 'the top'}.")
            found[tuple(node)] += 1
        elif isinstance(node, dict | list):
            children: Iterable[tuple[Any, Any]] = node.items() if isinstance(node, dict) else enumerate(node)
            for key, child in children:
                walk(child, f"{path}[{key!r}]")
        else:
            raise ValueError(f"must be shapes in dicts and lists, got {node!r} at {path or 'the top'}.")

    walk(tree, "")
    if not found:
        raise ValueError("must hold a shape such as [768, 3072], got none.")
    return found


def size_of(arrays: Mapping[Shape, int]) -> int:
    """Return the number of parameters in all arrays."""
    return sum(math.prod(shape) * number for shape, number in arrays.items())
