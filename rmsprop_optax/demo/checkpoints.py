"""A folder of checkpoints, written with Orbax while the training continues; each checkpoint is complete or absent.

A digest of the arrays is saved with them and compared when they are restored, because Orbax restores a changed bit as
another number. Orbax is imported where it is used: the import takes a second, and most runs save nothing.
"""

import contextlib
import copy
import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import numpy as np

from rmsprop_optax._paths import some
from rmsprop_optax.interop._orbax import attempt, check, digest

StrPath: TypeAlias = str | os.PathLike[str]
T = TypeVar("T")


class CheckpointError(ValueError):
    """A folder holds no checkpoint that can be restored. The folder is left unchanged."""


class _DamagedError(CheckpointError):
    pass


class Checkpoint(NamedTuple):
    """A restored checkpoint.

    Attributes:
      step: number of the step.
      tree: arrays, in the structure and with the shardings of the tree ``like``.
      position: the JSON value that was saved with the arrays.
    """

    step: int
    tree: Any
    position: Any


@contextlib.contextmanager
def saver(folder: StrPath | None, *, keep: int = 2) -> Iterator[Callable[..., Any]]:
    """Return a context with a function ``save(step, tree, position=None)`` that writes in the background.

    ``save`` returns as soon as the next step may take the arrays' memory (donation) and the caller may change the
    position. The next call, and the end of the context, wait for the write and raise its error. A checkpoint gets its
    name once it is complete: a process that dies leaves complete checkpoints and a temporary folder, which the next
    saver removes. With several processes, each calls ``save``, with one folder that all of them see.

    Args:
      folder: gets one folder a step, named by the step; ``None`` saves nothing.
      keep: number of checkpoints to keep, the latest ones.

    Raises:
      CheckpointError: a checkpoint in the folder is damaged.
      OSError: the disk is full; the checkpoints before stay complete. Other errors are those of Orbax.
    """
    if folder is None:
        yield lambda step, tree, position=None: None
        return
    from orbax.checkpoint import v1 as ocp

    # A process that dies as it removes an old checkpoint leaves one without metadata, which Orbax removes.
    written = [path for path in _complete(folder) if (path / "_CHECKPOINT_METADATA").exists()]
    if damaged := [str(path) for path in written if not _is_whole(path, _metadata)]:
        raise CheckpointError(f"{some(damaged)} must be whole checkpoints: remove them, or name another folder.")
    with (
        _full_disk(folder),
        ocp.training.Checkpointer(
            Path(folder).absolute(),
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),
            cleanup_tmp_directories=True,
        ) as checkpointer,
    ):

        def save(step: int, tree: Any, position: Any = None) -> None:
            saved = digest({"arrays": tree, "position": _bytes(position)})
            metadata = {"position": copy.deepcopy(position), "digest": saved}
            checkpointer.save_async(step, tree, custom_metadata=metadata, force=True)

        yield save


@contextlib.contextmanager
def _full_disk(folder: StrPath) -> Iterator[None]:
    """Raise an OSError about the folder for a full disk, which Orbax and TensorStore report in several ways."""
    try:
        yield
    except Exception as error:
        for code in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(code) in str(error):
                raise OSError(code, os.strerror(code), str(folder)) from error
        raise


def last(folder: StrPath) -> int | None:
    """Return the step of the last complete checkpoint, or ``None`` if there is none."""
    return next((int(path.name) for path in _complete(folder)), None)


def position(folder: StrPath) -> Any:
    """Return the position that was saved with the last complete checkpoint.

    Raises:
      CheckpointError: there is no complete checkpoint, or the last one is damaged.
    """
    return _of_last(folder, lambda path: _metadata(path).custom_metadata["position"])


def restore(folder: StrPath, like: Any) -> Checkpoint:
    """Restore the last complete checkpoint bit for bit, with the shardings of ``like``.

    The devices and processes may differ from those that saved it. To continue with other options of the optimizer,
    restore the state of the old optimizer and convert it with :func:`rmsprop_optax.interop.transfer`.

    Args:
      folder: of a :func:`saver`.
      like: a tree of arrays, or of ``jax.ShapeDtypeStruct`` with shardings.

    Raises:
      CheckpointError: there is no complete checkpoint, the last one is damaged, or it has another tree. The message
        names the folder, and the leaves that differ or a checkpoint before it that is whole.
    """
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
    return _of_last(folder, lambda path: _restored(path, like))


def _restored(path: Path, like: Any) -> Checkpoint:
    saved = _metadata(path)
    if wrong := _differences(saved.metadata, like):
        raise CheckpointError(f"{path} is from another tree: {'; '.join(wrong)}.")
    position = saved.custom_metadata["position"]

    def load(ocp: Any) -> Any:
        tree = ocp.load(path, like)
        check({"arrays": tree, "position": _bytes(position)}, saved.custom_metadata["digest"])
        return tree

    return Checkpoint(int(path.name), _read(path, load), position)


def _complete(folder: StrPath) -> list[Path]:
    """The complete checkpoints, the last one first."""
    found = Path(folder).absolute().iterdir() if Path(folder).is_dir() else ()
    return sorted((path for path in found if path.name.isdecimal()), key=lambda path: int(path.name), reverse=True)


def _of_last(folder: StrPath, read: Callable[[Path], T]) -> T:
    """Read the last checkpoint; if it is damaged, the error names the last whole one."""
    paths = _complete(folder)
    if not paths:
        raise CheckpointError(f"{folder} holds no complete checkpoint.")
    try:
        return read(paths[0])
    except _DamagedError as error:
        whole = next((path for path in paths[1:] if _is_whole(path, read)), None)
        mend = f"remove {paths[0]} to continue from {whole}, which is whole." if whole else "no other one is whole."
        raise CheckpointError(f"{error}: {mend}") from error


def _is_whole(path: Path, read: Callable[[Path], Any]) -> bool:
    try:
        read(path)
    except CheckpointError:
        return False
    return True


def _metadata(path: Path) -> Any:
    def load(ocp: Any) -> Any:
        found = ocp.metadata(path)
        custom = found.custom_metadata or {}
        if found.metadata is None or "position" not in custom or "digest" not in custom:
            raise ValueError("there are no arrays, no position or no digest")
        check({"position": _bytes(custom["position"])}, {"position": custom["digest"].get("position")})
        return found

    return _read(path, load)


def _read(path: Path, load: Callable[[Any], T]) -> T:
    from orbax.checkpoint import v1 as ocp

    try:
        return attempt(lambda: load(ocp), path)
    except ValueError as error:
        raise _DamagedError(f"{path} is damaged, or none of these checkpoints ({error})") from error


def _bytes(position: Any) -> np.ndarray:
    return np.frombuffer(json.dumps(position, sort_keys=True).encode(), np.uint8)


def _differences(saved: Any, like: Any) -> list[str]:
    there, wanted = map(_described, (saved, like))
    return [
        f"{what} {some(names)}"
        for what, names in {
            "it has no": [name for name in wanted if name not in there],
            "it has a superfluous": [name for name in there if name not in wanted],
            "it has": [f"{n} as {there[n]}, not {wanted[n]}" for n in wanted if there.get(n, wanted[n]) != wanted[n]],
        }.items()
        if names
    ]


def _described(tree: Any) -> dict[str, str]:
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(k, simple=True, separator="/"): f"{x.dtype}{list(x.shape)}" for k, x in leaves}
