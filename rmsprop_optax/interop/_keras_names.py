"""Name the variables of a Keras model from its config, because a file only numbers its weights."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

_SCALES = ("gamma", "beta", "moving_mean", "moving_variance", "moving_stddev", "renorm_mean", "renorm_stddev")
_VARIABLES: dict[str, tuple[str, ...]] = {
    "BatchNormalization": _SCALES,
    "LayerNormalization": _SCALES,
    "GroupNormalization": _SCALES,
    "RMSNormalization": ("scale",),
    "Normalization": ("mean", "variance", "count"),
    "Embedding": ("embeddings",),
    "SeparableConv1D": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "PReLU": ("alpha",),
    "Dense": ("kernel", "bias"),
    "cell": ("kernel", "recurrent_kernel", "bias"),
    "seed_generator": ("seed_generator_state",),
}
"""Class of a layer → its variables in order. Any other class has the variables of ``Dense``, or the first of them."""

_FIXED = {*_SCALES[2:], *_VARIABLES["Normalization"], *_VARIABLES["seed_generator"]}
_CHILDREN = (
    "forward_layer",
    "backward_layer",
    "cell",
    "cells",
    "query_dense",
    "key_dense",
    "value_dense",
    "output_dense",
)
"""The order in which Keras lists the layers inside a layer."""


class Variable(NamedTuple):
    """A variable of a model.

    Attributes:
      path: its place in the file.
      trained: whether the optimizer has slots for it.
    """

    path: str
    trained: bool


def names(model: Any, paths: Collection[str], name_at: Callable[[str], str | None]) -> dict[str, Variable]:
    """Name → variable of a model, in Keras's order; empty if the config does not list the layers.

    A name is ``variable.path`` without the model's name, such as ``"conv/kernel"``.

    Args:
      model: the config of a ``Sequential`` or functional model.
      paths: the paths of the variables in the file.
      name_at: path of a layer in the file → its name, or ``None`` for a list of layers.
    """
    below: dict[str, dict[str, None]] = {}
    for path in paths:
        parts = path.split("/")
        for i in range(len(parts)):
            below.setdefault("/".join(parts[:i]), {})[parts[i]] = None

    def of(layer: Mapping[str, Any], at: str, name: str, trained: bool) -> Iterator[tuple[str, Variable]]:
        config: Mapping[str, Any] = layer.get("config") or {}
        trained = trained and config.get("trainable", True)
        known = _VARIABLES.get(str(layer.get("class_name")), _VARIABLES["Dense"])
        off = [scale for scale, option in (("gamma", "scale"), ("beta", "center")) if config.get(option) is False]
        own = [variable for variable in known if variable not in off]
        for i, key in enumerate(sorted(below.get(f"{at}/vars".lstrip("/"), {}), key=int)):
            variable = own[i] if i < len(own) else key
            yield f"{name}/{variable}", Variable(f"{at}/vars/{key}", trained and variable not in _FIXED)
        used: dict[str, int] = {}
        for child in config.get("layers") or ():
            short = _snake(child["class_name"])
            used[short] = used.get(short, -1) + 1
            group = f"{at}/layers/{short}{f'_{used[short]}' if used[short] else ''}".lstrip("/")
            yield from of(child, group, f"{name}/{child['config']['name']}", trained)
        parts = [] if config.get("layers") else [part for part in below.get(at, {}) if part != "vars"]
        for part in sorted(parts, key=lambda part: _CHILDREN.index(part) if part in _CHILDREN else len(_CHILDREN)):
            wrapped = config.get("layer") if part.endswith("layer") else None
            kind = next((kind for kind in ("cell", "seed_generator") if kind in part), "Dense")
            inner = "/".join(filter(None, (name, name_at(f"{at}/{part}"))))
            yield from of(wrapped or {"class_name": kind}, f"{at}/{part}", inner, trained)

    if not isinstance(model, Mapping) or not model.get("config", {}).get("layers"):
        return {}
    return {name.lstrip("/"): variable for name, variable in of(model, "", "", True) if variable.path in paths}


def _snake(name: str) -> str:
    """The name of a class in snake case, as Keras writes it in paths."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
