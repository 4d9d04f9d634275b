"""Files of ``torch.save`` and safetensors, read without running code in them."""

import argparse
import importlib
import json
import os
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np


def load(path: str | os.PathLike) -> dict[str, Any]:
    """What a file holds, with NumPy arrays for tensors; no code in it is run.

    Args:
      path: a file of ``torch.save``, opened with ``weights_only=True``, which needs PyTorch 2.6 or later; or one that
        ends in ``.safetensors``, with the dicts' keys joined by dots (``optimizer.state.0.square_avg``), and each
        ``param_groups`` as JSON under such a key in the file's metadata. It sorts its arrays, so that the groups must
        have ``param_names``.

    Returns:
      The dicts and lists of the file. Arrays of ``torch.save`` are read from the disk when they are used.

    Raises:
      ValueError: the file is truncated, is none of them, or holds objects that only their own code can make.
      ImportError: ``torch`` or ``safetensors`` is not installed, or is too old.

    Example:
      >>> state_dict = find_optimizer(load("run.pt"))  # doctest: +SKIP

    Source:
      PyTorch 2.13.0: torch/serialization.py; safetensors 0.8.0.
    """
    path = os.fspath(path)
    return _load_safetensors(path) if path.endswith(".safetensors") else _load_torch(path)


def to_numpy(x: Any) -> np.ndarray:
    """A view of an array or a tensor."""
    if not type(x).__module__.startswith("torch"):
        return np.asarray(x)
    import torch

    x = x.detach().cpu().resolve_conj().resolve_neg()
    return x.view(torch.uint16).numpy().view(jnp.bfloat16) if x.dtype == torch.bfloat16 else x.numpy()


def _load_torch(path: str) -> Any:
    torch = imported("torch")
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):
        raise ImportError(
            f"{path} needs PyTorch 2.6 or later, got {torch.__version__}: before, weights_only=True did not keep code "
            "in a file from being run (CVE-2025-32434)."
        )
    try:
        # The arguments of a program, which timm saves with its checkpoints, are data.
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of any kind, from a file of any kind
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        if name:
            raise ValueError(
                f"{path} must hold tensors, numbers and text, got {name[1]}, which only code can make; none was run: "
                "save the state_dicts of the model and of the optimizer, or name what is harmless to "
                "torch.serialization.add_safe_globals."
            ) from error
        reason = f"{type(error).__name__}: {error}".split(". ")[0]
        raise ValueError(
            f"{path} must be a whole file of torch.save, got what PyTorch cannot read ({reason}): copy it again, or "
            "save the state_dicts of the model and of the optimizer."
        ) from error
    return _plain(found)


def _plain(node: Any) -> Any:
    if isinstance(node, argparse.Namespace):
        node = vars(node)
    if isinstance(node, Mapping):
        return {key: _plain(child) for key, child in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(map(_plain, node))
    return to_numpy(node) if hasattr(node, "detach") else node


def _load_safetensors(path: str) -> dict[str, Any]:
    safetensors = imported("safetensors")
    try:
        with safetensors.safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        groups = {name: json.loads(text) for name, text in metadata.items() if name.split(".")[-1] == "param_groups"}
        return _nested(arrays, groups)
    except (safetensors.SafetensorError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must be a whole file of safetensors, with groups as JSON in its metadata and param_names in them, "
            f"got {type(error).__name__}: {error}: copy or save it again."
        ) from error


def _nested(arrays: dict[str, np.ndarray], groups: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Dicts of what has their keys joined by dots; the names of parameters may have dots of their own."""
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


def imported(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"this needs the package {package}, got none: pip install {package}.") from error
