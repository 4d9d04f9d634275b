"""Build a function that converts all arrays of a model, from a table of its layers."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

from rmsprop_optax._types import Tree
from rmsprop_optax.interop._pytorch_file import to_numpy

Array: TypeAlias = jax.Array | np.ndarray
Arrays: TypeAlias = Mapping[str, Array]
Layer: TypeAlias = Callable[[dict[str, Array]], Tree]


def converter(table: Mapping[str, str | tuple[str, Layer]]) -> Callable[[Arrays], dict[str | int, Any]]:
    """Return a function that converts all parameters, from a table of the layers.

    Args:
      table: a row ``place: (name, function)`` for each layer. ``place`` is the path in Flax's tree, such as
        ``"encoder/Dense_0"``; a number in the path indexes a list of nnx, and ``""`` is the whole tree. ``name`` is the
        layer's name in the framework, as :func:`prefixed` takes it. ``function`` converts the layer's arrays: a
        function of :mod:`rmsprop_optax.interop.layers`, your own, or another converter for a block of layers. A row
        ``place: name`` puts one array at a place unchanged.

    Returns:
      A function ``{name: array} → tree``, the ``convert`` of the other modules; it also converts the weights. The
      function raises ``ValueError`` if a layer has no arrays, an array has no layer, or a layer rejects its arrays.

    Example:
      >>> from rmsprop_optax.interop.layers import linear, norm
      >>> block = converter({"Dense_0": ("fc", linear), "LayerNorm_0": ("norm", norm)})
      >>> convert = converter({"scale": "gain", "Block_0": ("blocks.0", block), "Block_1": ("blocks.1", block)})
      >>> layers = {"fc.weight": np.zeros((2, 3)), "norm.weight": np.ones(2)}
      >>> tree = convert({"gain": np.ones(1)} | {f"blocks.{i}.{n}": a for i in range(2) for n, a in layers.items()})
      >>> tree["scale"], list(tree), list(tree["Block_1"]), tree["Block_1"]["Dense_0"]["kernel"].shape
      (array([1.]), ['scale', 'Block_0', 'Block_1'], ['Dense_0', 'LayerNorm_0'], (3, 2))
    """
    if not isinstance(table, Mapping) or not all(map(_is_row, table.items())):
        raise TypeError(
            "table must have rows place: (name, function) or place: name, with strings for place and name, got "
            f"{table!r:.80}: for example {{'Dense_0': ('fc', linear)}}."
        )
    rows = [(place, row, None) if isinstance(row, str) else (place, *row) for place, row in table.items()]

    def convert(arrays: Arrays) -> dict[str | int, Any]:
        arrays = {name: to_numpy(a) if hasattr(a, "detach") else a for name, a in _mapping(arrays).items()}
        found = [_within(arrays, name) if layer else {n: n for n in arrays if n == name} for _, name, layer in rows]
        absent = [name for (_, name, _), names in zip(rows, found, strict=True) if not names]
        taken = {name for names in found for name in names}
        over = [name for name in arrays if name not in taken]
        wrong = [f"{kind} {', '.join(n)}" for kind, n in (("no arrays of", absent), ("no layer for", over)) if n]
        if wrong:
            raise ValueError(
                f"each layer of the table must have arrays and each array a layer, got {' and '.join(wrong)}: leave "
                "out buffers, such as running means, and frozen layers, because they have no slots."
            )
        tree: dict[str | int, Any] = {}
        for (place, name, layer), names in zip(rows, found, strict=True):
            try:
                part: Any = layer({short: arrays[n] for n, short in names.items()}) if layer else arrays[name]
                for key in reversed([int(k) if k.isdigit() else k for k in place.split("/") if k]):
                    part = {key: part}
                _merge(tree, part)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}: {error}") from error
        return tree

    return convert


def prefixed(arrays: Arrays, layer: str) -> dict[str, Array]:
    """Return the arrays of one layer, by their names within the layer.

    Args:
      arrays: by their full names.
      layer: the part of the full name before the last dot or slash, such as ``"layer1.0"``; or a pattern in which ``*``
        stands for the name within the layer.

    Example:
      >>> arrays = {"fc.weight": 1, "fc.bias": 2, "fc2.bias": 3, "rnn.bias_hh_l0": 4, "rnn.bias_hh_l0_reverse": 5}
      >>> prefixed(arrays, "fc"), prefixed(arrays, "rnn.*_l0")
      ({'weight': 1, 'bias': 2}, {'bias_hh': 4})
    """
    if not isinstance(layer, str):
        raise TypeError(f"layer must be a name or a pattern, got {layer!r}: for example 'layer1.0' or 'lstm.*_l0'.")
    return {short: arrays[name] for name, short in _within(_mapping(arrays), layer).items()}


def _is_row(row: tuple[Any, Any]) -> bool:
    place, layer = row
    name, function = layer if isinstance(layer, tuple) and len(layer) == 2 else (layer, str)
    return isinstance(place, str) and isinstance(name, str) and callable(function)


def _mapping(arrays: Any) -> Arrays:
    if not isinstance(arrays, Mapping):
        raise TypeError(f"arrays must be a mapping from names to arrays, got {arrays!r:.80}: pass a state_dict.")
    return arrays


def _within(arrays: Arrays, layer: str) -> dict[str, str]:
    """Full name → name within the layer, of a layer's arrays."""
    pattern = re.escape(layer).replace(r"\*", "(.*)") if "*" in layer else re.escape(layer) + "[./](.*)"
    match = re.compile(pattern).fullmatch
    return {name: found[1] for name in arrays if (found := match(name))}


def _merge(tree: dict[str | int, Any], part: Mapping[str | int, Any]) -> None:
    for key, value in part.items():
        if isinstance(tree.get(key), dict) and isinstance(value, dict):
            _merge(tree[key], value)
        elif key in tree:
            raise ValueError(f"each place must be filled once, got {key} from two rows of the table: drop one.")
        else:
            tree[key] = value
