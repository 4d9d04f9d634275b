"""Checkpoints with Orbax, while the training goes on: a folder of them, each complete or not there.

Orbax is imported where it is used: it takes a second, and most runs save nothing.
"""

import contextlib
import copy
import os
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from rmsprop_optax.interop.slots import some


class CheckpointError(ValueError):
    """What is in a folder is not what was asked for; it stays as it is."""


class Checkpoint(NamedTuple):
    """What was saved.

    Attributes:
      step: its number.
      tree: arrays, in the structure and with the shardings of what it was restored like.
      position: what else was saved with it, as JSON has it.
    """

    step: int
    tree: Any
    position: Any


@contextlib.contextmanager
def saver(folder: str | os.PathLike | None, *, keep: int = 2) -> Iterator[Callable[..., Any]]:
    """A function ``save(step, tree, position=None)`` that writes in the background.

    It returns as soon as the arrays may be donated to the next step, and the position be changed; the next call waits
    for it, and raises what went wrong, and so does leaving the context. A checkpoint gets its name when all of it is
    written: a process that dies leaves complete ones, and a temporary folder that the next saver removes. Every process
    calls it, with one folder that all of them see.

    Args:
      folder: where a folder for each step goes, whose name is the step; ``None`` saves nothing.
      keep: how many of the last ones stay.
    """
    if folder is None:
        yield lambda *checkpoint: None
        return
    from orbax.checkpoint import v1 as ocp

    with ocp.training.Checkpointer(
        Path(folder).absolute(),
        preservation_policy=ocp.training.preservation_policies.LatestN(keep),
        cleanup_tmp_directories=True,
    ) as checkpointer:
        yield lambda step, tree, position=None: checkpointer.save_async(
            step, tree, custom_metadata={"position": copy.deepcopy(position)}, force=True
        )


def last(folder: str | os.PathLike) -> int | None:
    """The step of the last complete checkpoint, or ``None`` if there is none."""
    if not Path(folder).is_dir():
        return None
    from orbax.checkpoint import v1 as ocp

    found = ocp.path.step.standard_name_format().find_all(Path(folder).absolute())
    return max((checkpoint.step for checkpoint in found), default=None)


def position(folder: str | os.PathLike) -> Any:
    """What was saved beside the arrays of the last complete checkpoint.

    Raises:
      CheckpointError: there is none, or it cannot be read.
    """
    return _metadata(_last(folder)).custom_metadata["position"]


def restore(folder: str | os.PathLike, like: Any) -> Checkpoint:
    """The last complete checkpoint, bit for bit, on the devices and processes of ``like``, whatever it was saved from.

    To go on with other options of the optimizer, restore the state of the old one, and hand it with the new one's to
    :func:`rmsprop_optax.interop.transfer`.

    Args:
      folder: that of a :func:`saver`.
      like: a tree of arrays, or of ``jax.ShapeDtypeStruct`` with shardings.

    Raises:
      CheckpointError: there is none, it cannot be read, or it is of another tree. The error names the folder and the
        leaves that differ.
    """
    path = _last(folder)
    saved = _metadata(path)
    # Of some damages Orbax makes no metadata and no error; reading the arrays gives the reason.
    if saved.metadata is not None and (wrong := _differences(saved.metadata, like)):
        raise CheckpointError(f"{path} is from another tree: {'; '.join(wrong)}.")
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
    with _readable(path) as ocp:
        return Checkpoint(int(path.name), ocp.load(path, like), saved.custom_metadata["position"])


def _last(folder: str | os.PathLike) -> Path:
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
    except Exception as error:  # Orbax and TensorStore raise a dozen kinds
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
