"""Save and restore Orbax checkpoints with a digest, short errors, a quiet log and a safe replacement.

Orbax restores corrupted arrays without an error. Its ``force=True`` deletes the old checkpoint before it writes.
"""

import contextlib
import gc
import json
import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from rmsprop_optax._paths import some
from rmsprop_optax._types import Tree

T = TypeVar("T")

_AUTHOR = "rmsprop-optax convert"
_MARK = "_CHECKPOINT_METADATA"
_BLOCK = 1 << 20


def digest(tree: Tree) -> dict[str, int]:
    r"""Path → digest of each array, independent of the sharding.

    .. math::
      digest = \sum_i mix(bits_i, i) \bmod 2^{32}

    ``mix`` is one-to-one in the bits, so a change in one number always changes the digest.

    Example:
      >>> digest({"w": np.array([1.0, 2.0])}) == digest({"w": np.array([2.0, 1.0])})
      False
    """
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): _of(x) for path, x in leaves}


def check(tree: Tree, saved: Any) -> None:
    """Compare arrays with their saved digests.

    Raises:
      ValueError: a digest differs, is missing or is left over.
    """
    there, known = digest(tree), saved if isinstance(saved, dict) else {}
    wrong = [name for name in {**known, **there} if there.get(name) != known.get(name)]
    if wrong:
        raise ValueError(f"arrays must have the digests that were saved with them, got other digests of {some(wrong)}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard the tracebacks that Orbax and its threads print for each error."""
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    before, hooks = [logger.level for logger in loggers], (sys.excepthook, sys.unraisablehook)
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        sys.excepthook = lambda *error: None
        sys.unraisablehook = lambda error: None
        yield
    finally:
        sys.excepthook, sys.unraisablehook = hooks
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def attempt(function: Callable[[], T], path: str | os.PathLike[str]) -> T:
    """Call a function that reads ``path`` with Orbax.

    Raises:
      ValueError: Orbax or TensorStore raised an error of any type; the message has its first words.
    """
    with quiet():
        try:
            return function()
        except Exception as error:
            words = str(error).partition("[tensorstore_spec")[0].replace(f"{path}/", "")
            reason = f"{type(error).__name__}: {textwrap.shorten(words, 300, placeholder='…')}"
        gc.collect(1)  # arrays that failed beside the first one log their errors when they are collected
    raise ValueError(reason)


def _of(x: Any) -> int:
    if not getattr(x, "is_fully_addressable", True):
        return int(_shared(x))
    flat = np.ascontiguousarray(x).reshape(-1)
    bits = flat.view(f"u{min(flat.dtype.itemsize, 4)}")
    parts = ((start, bits[start : start + _BLOCK]) for start in range(0, bits.size, _BLOCK))
    mixed = (_mix(part, np.arange(part.size, dtype=np.uint32) + np.uint32(start % 2**32)) for start, part in parts)
    return sum(map(int, mixed)) % 2**32


@jax.jit
def _shared(x: jax.Array) -> jax.Array:
    """The digest of an array that is sharded over processes."""
    parts = jnp.stack([x.real, x.imag], -1) if jnp.iscomplexobj(x) else x
    wide = np.dtype(f"u{min(parts.dtype.itemsize, 4)}")
    bits = parts if parts.dtype == bool else jax.lax.bitcast_convert_type(parts, wide)
    index = jnp.zeros((), jnp.uint32)
    for axis, size in enumerate(bits.shape):
        index = index * np.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis)
    mixed: jax.Array = _mix(bits, index)
    return mixed


def _mix(bits: Any, index: Any) -> Any:
    h = bits.astype(np.uint32) ^ (index * np.uint32(0x9E3779B9))
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    return (h ^ (h >> np.uint32(16))).sum(dtype=np.uint32)


def claimed(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """The absolute path of a folder that :func:`save` may write.

    Raises:
      FileExistsError: ``path`` exists, and ``overwrite`` is false or it is neither empty nor a checkpoint of ``save``.
    """
    path = _settled(path)
    if not os.path.lexists(path) or (overwrite and _is_ours(path)):
        return path
    if overwrite:
        raise FileExistsError(f"{path} must be a checkpoint of {_AUTHOR} to be replaced: choose another folder.")
    raise FileExistsError(f"{path} exists: choose another folder, or replace it with overwrite=True (--overwrite).")


def save(path: Path, tree: Tree) -> None:
    """Write a checkpoint beside ``path``, a result of :func:`claimed`, and move the complete checkpoint there.

    Raises:
      FileExistsError: an earlier checkpoint at ``path`` also holds other files, which would be lost.
    """
    import orbax.checkpoint as ocp

    path.parent.mkdir(parents=True, exist_ok=True)
    new, old = _beside(path)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(new, tree, force=True, custom_metadata={"written_by": _AUTHOR, "digest": digest(tree)})
    if path.exists():
        foreign = sorted({each.name for each in path.iterdir()} - {each.name for each in new.iterdir()})
        if foreign:
            shutil.rmtree(new)
            raise FileExistsError(f"{path} also holds {some(foreign)}, which would be lost: choose another folder.")
        os.replace(path, old)
    os.replace(new, path)
    _discard(old)


def load(path: str | os.PathLike[str]) -> Any:
    """Restore a checkpoint of :func:`save`, as dicts and tuples.

    Raises:
      ValueError: the checkpoint is damaged, or :func:`save` did not write it.
    """
    import orbax.checkpoint as ocp

    path = _settled(path)

    def restore() -> Any:
        with ocp.StandardCheckpointer() as checkpointer:
            found = checkpointer.restore(path)
            check(found, (checkpointer.metadata(path).custom_metadata or {}).get("digest"))
            return _tuples(found)

    try:
        return attempt(restore, path)
    except ValueError as error:
        raise ValueError(f"{path} must be a whole checkpoint of {_AUTHOR}, got {error}.") from error


def _tuples(node: Any) -> Any:
    """Convert lists to tuples: Orbax restores the tuple of a chain as a list."""
    if isinstance(node, Mapping):
        return {key: _tuples(value) for key, value in node.items()}
    return tuple(map(_tuples, node)) if isinstance(node, list) else node


def _is_ours(path: Path) -> bool:
    """Whether a folder is empty or a checkpoint of :func:`save`."""
    if not path.is_dir():
        return False
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return bool(json.loads((path / _MARK).read_text())["custom_metadata"]["written_by"] == _AUTHOR)
    return not any(path.iterdir())


def _beside(path: Path) -> tuple[Path, Path]:
    """Temporary paths: of the new checkpoint while it is written, and of the old checkpoint until it is removed."""
    return path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")


def _settled(path: str | os.PathLike[str]) -> Path:
    """The absolute path, after completing a replacement that a killed process left unfinished."""
    path = Path(os.path.realpath(path))
    new, old = _beside(path)
    if not path.exists() and _is_ours(new) and _is_ours(old):
        os.replace(new, path)
    if path.exists():
        _discard(old)
    return path


def _discard(path: Path) -> None:
    """Remove a checkpoint, its mark last, so that :func:`_is_ours` recognises a partly removed checkpoint."""
    if _is_ours(path):
        for each in path.iterdir():
            if each.name != _MARK:
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        shutil.rmtree(path)
