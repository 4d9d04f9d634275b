"""Read files of ``torch.save`` and safetensors without running code in them."""

import argparse
import json
import os
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from rmsprop_optax.interop._shared import imported


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a file, with NumPy arrays for tensors, without running code in the file.

    Args:
      path: a file of ``torch.save``, which is opened with ``weights_only=True`` and needs PyTorch 2.6 or later; or a
        file that ends in ``.safetensors``. The name of an array in safetensors is its keys joined by dots
        (``optimizer.state.0.square_avg``); the metadata has each ``param_groups`` as JSON under such a name. The groups
        must have ``param_names``, because safetensors sorts its arrays.

    Returns:
      The dicts and lists of the file. Arrays of ``torch.save`` are memory-mapped.

    Raises:
      ValueError: the file is truncated, has another format, or holds objects that only their own code can make.
      ImportError: ``torch`` or ``safetensors`` is not installed, or is too old.

    Example:
      >>> state_dict = find_optimizer(load("run.pt"))  # doctest: +SKIP

    Source:
      PyTorch 2.13.0: torch/serialization.py; safetensors 0.8.0.
    """
    path = os.fspath(path)
    with open(path, "rb"):  # its errors name the file
        pass
    return _load_safetensors(path) if path.endswith(".safetensors") else _load_torch(path)


def to_numpy(x: Any) -> np.ndarray:
    """Convert an array or a tensor to a NumPy array, without a copy if possible."""
    if not type(x).__module__.startswith("torch"):
        return np.asarray(x)
    import torch

    x = x.detach().cpu().resolve_conj().resolve_neg()
    bits = {torch.bfloat16: torch.uint16, torch.float8_e4m3fn: torch.uint8, torch.float8_e5m2: torch.uint8}.get(x.dtype)
    array: np.ndarray = x.numpy() if bits is None else x.view(bits).numpy().view(str(x.dtype).removeprefix("torch."))
    return array


def _load_torch(path: str) -> Any:
    torch = imported("torch", path)
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):
        raise ImportError(
            f"{path} needs PyTorch 2.6 or later, got {torch.__version__}: an older version can run code in a file in "
            "spite of weights_only=True (CVE-2025-32434)."
        )
    try:
        # timm saves the arguments of its program as a Namespace.
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True)
        return _plain(found)
    except _UnreadableError as error:
        raise ValueError(f"{path} must hold dense tensors with numbers, got {error}") from error
    except Exception as error:  # a broken file can raise anything
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        if name:
            raise ValueError(
                f"{path} must hold tensors, numbers and text, got {name[1]}, which only code can make; no code was "
                "run: save the state_dicts of the model and of the optimizer, or allow a harmless class with "
                "torch.serialization.add_safe_globals."
            ) from error
        reason = f"{type(error).__name__}: {error}".split(". ")[0]
        raise ValueError(
            f"{path} must be a whole file of torch.save, got a file that PyTorch cannot read ({reason}): copy it "
            "again, or save the state_dicts of the model and of the optimizer."
        ) from error


class _UnreadableError(Exception):
    pass


def _plain(node: Any, place: str = "") -> Any:
    """Dicts and lists with NumPy arrays for tensors."""
    if isinstance(node, argparse.Namespace):
        node = vars(node)
    if isinstance(node, Mapping):
        return {key: _plain(child, f"{place}.{key}") for key, child in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(_plain(child, f"{place}.{i}") for i, child in enumerate(node))
    if not hasattr(node, "detach"):
        return node
    try:
        return to_numpy(node)
    except (NotImplementedError, RuntimeError, TypeError) as error:  # meta, sparse or quantized
        kind = f"{str(node.layout).removeprefix('torch.')} {str(node.dtype).removeprefix('torch.')}"
        raise _UnreadableError(f"a {kind} tensor on {node.device} at {place.lstrip('.')}") from error


def _load_safetensors(path: str) -> dict[str, Any]:
    safetensors = imported("safetensors", path)
    try:
        with safetensors.safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        groups = {name: json.loads(text) for name, text in metadata.items() if name.split(".")[-1] == "param_groups"}
        return _nested(arrays, groups)
    except Exception as error:  # a broken file can raise anything
        raise ValueError(
            f"{path} must be a whole file of safetensors whose metadata has the groups as JSON, with param_names, got "
            f"{type(error).__name__}: {error}: copy or save the file again."
        ) from error


def _nested(arrays: dict[str, np.ndarray], groups: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Nested dicts from keys joined by dots; the names of parameters may themselves contain dots."""
    tree: dict[str, Any] = {}
    for name, value in groups.items():
        prefix = f"{name.removesuffix('param_groups')}state."
        positions = {str(i): i for group in value for i in group["params"]}
        named = [len(group.get("param_names", ())) == len(group["params"]) for group in value]
        if not (all(named) or all(isinstance(i, str) for i in positions.values())):
            raise ValueError(f"{name} has no param_names")
        state: dict[Any, dict[str, Any]] = {}
        for long in [n for n in arrays if n.startswith(prefix)]:
            position, _, key = long.removeprefix(prefix).rpartition(".")
            state.setdefault(positions.get(position, position), {})[key] = arrays.pop(long)
        _put(tree, name, value)
        _put(tree, prefix[:-1], state)
    for name, array in arrays.items():
        _put(tree, name, array)
    return tree


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    for key in path:
        tree = tree.setdefault(key, {})
    if last in tree:
        raise ValueError(f"{name} is an array and a dict of arrays")
    tree[last] = value
