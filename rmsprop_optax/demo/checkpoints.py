"""A folder of checkpoints, written with Orbax while the training continues; each checkpoint is complete or absent.

Orbax is imported where it is used: the import takes a second, and most runs save nothing.
"""

import contextlib
import copy
import errno
import os
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax

from rmsprop_optax._paths import some

StrPath: TypeAlias = str | os.PathLike[str]


class CheckpointError(ValueError):
    """A folder holds no checkpoint that can be restored. The folder is left unchanged."""


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
      OSError: the disk is full; the checkpoints before stay complete. Other errors are those of Orbax.
    """
    if folder is None:
        yield lambda *checkpoint: None
        return
    from orbax.checkpoint import v1 as ocp

    with (
        _full_disk(folder),
        ocp.training.Checkpointer(
            Path(folder).absolute(),
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),
            cleanup_tmp_directories=True,
        ) as checkpointer,
    ):
        yield lambda step, tree, position=None: checkpointer.save_async(
            step, tree, custom_metadata={"position": copy.deepcopy(position)}, force=True
        )


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
    if not Path(folder).is_dir():
        return None
    from orbax.checkpoint import v1 as ocp

    found = ocp.path.step.standard_name_format().find_all(Path(folder).absolute())
    return max((checkpoint.step for checkpoint in found), default=None)


def position(folder: StrPath) -> Any:
    """Return the position that was saved with the last complete checkpoint.

    Raises:
      CheckpointError: there is no complete checkpoint, or it cannot be read.
    """
    return _metadata(_last(folder)).custom_metadata["position"]


def restore(folder: StrPath, like: Any) -> Checkpoint:
    """Restore the last complete checkpoint bit for bit, with the shardings of ``like``.

    The devices and processes may differ from those that saved it. To continue with other options of the optimizer,
    restore the state of the old optimizer and convert it with :func:`rmsprop_optax.interop.transfer`.

    Args:
      folder: of a :func:`saver`.
      like: a tree of arrays, or of ``jax.ShapeDtypeStruct`` with shardings.

    Raises:
      CheckpointError: there is no complete checkpoint, it cannot be read, or it has another tree. The message names the
        folder and the leaves that differ.
    """
    path = _last(folder)
    saved = _metadata(path)
    # For some damaged checkpoints Orbax returns no metadata and raises no error; reading the arrays then raises one.
    if saved.metadata is not None and (wrong := _differences(saved.metadata, like)):
        raise CheckpointError(f"{path} is from another tree: {'; '.join(wrong)}.")
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
    with _readable(path) as ocp:
        return Checkpoint(int(path.name), ocp.load(path, like), saved.custom_metadata["position"])


def _last(folder: StrPath) -> Path:
    step = last(folder)
    if step is None:
        raise CheckpointError(f"{folder} holds no complete checkpoint.")
    return Path(folder).absolute() / str(step)


def _metadata(path: Path) -> Any:
    with _readable(path) as ocp:
        found = ocp.metadata(path)
        if "position" not in (found.custom_metadata or {}):
            raise ValueError("there is no position in _CHECKPOINT_METADATA")
        return found


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[Any]:
    from orbax.checkpoint import v1 as ocp

    try:
        yield ocp
    except Exception as error:  # Orbax and TensorStore raise about a dozen types
        reason = str(error).partition("[tensorstore_spec")[0].replace(f"{path}/", "")
        raise CheckpointError(
            f"{path} is damaged, or none of these checkpoints ({type(error).__name__}: "
            f"{textwrap.shorten(reason, 300, placeholder='…')}): without this folder the one before it is the last."
        ) from error


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
