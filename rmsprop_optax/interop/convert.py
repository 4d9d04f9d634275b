"""Write a run from another framework's file as an Orbax checkpoint: ``rmsprop-optax convert``."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from rmsprop_optax._paths import some
from rmsprop_optax._types import Storage, Tree
from rmsprop_optax.interop import bitsandbytes, keras, layout, pytorch
from rmsprop_optax.interop._pytorch_groups import Dialect
from rmsprop_optax.interop.slots import Slots, write
from rmsprop_optax.storage import with_storage


class Run(NamedTuple):
    """The run in a file.

    Attributes:
      tx: the transformation that continues the run.
      calls: the dialects that ``tx`` is made of, as Python code, one for each parameter group.
      slots: the state of the optimizer.
      params: the tree of parameters; ``None`` if the file does not have them under their names.
      buffers: the other arrays of the model, by name.
    """

    tx: optax.GradientTransformation
    calls: list[str]
    slots: Slots
    params: Tree
    buffers: dict[str, Any]


def read(
    path: str | os.PathLike[str],
    *,
    names: Iterable[str] | None = None,
    convert: layout.Convert = dict,
    dialect: Dialect | None = None,
    optimizer: str | None = None,
    model: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> Run:
    """Read a file of Keras, if its suffix is ``.keras`` or ``.h5``, or else of PyTorch, timm and their relatives.

    Args:
      path: the file; no code in it runs.
      names: the names of the parameters in the optimizer's order. For PyTorch, ``None`` takes the names in the file or
        else those of the model, without the buffers of normalisation layers. For Keras, the names are the paths of the
        weights in the file.
      convert: the function that makes the tree of parameters from ``{name: array}``.
      dialect: the framework that wrote the optimizer of a PyTorch file, if the file does not tell.
      optimizer: the place of the optimizer in a PyTorch file, its keys joined by dots, if there are several.
      model: the place of the model in a PyTorch file, its keys joined by dots, if there are several.
      config: the hyperparameters, if a Keras file has none.

    Raises:
      ValueError: the file is truncated, holds another optimizer, or does not fit ``names`` and ``convert``.
      ImportError: a package that reads the file is not installed.
    """
    if Path(path).suffix in (".keras", ".h5"):
        return _read_keras(path, names, convert, config)
    checkpoint = pytorch.load(path)
    state = pytorch.find_optimizer(checkpoint, optimizer)
    if dialect == "bitsandbytes":
        state = bitsandbytes.to_pytorch(state)
    known = [name for group in state["param_groups"] for name in group.get("param_names", ())]
    ordered = list(names if names is not None else known)
    try:
        arrays = pytorch.find_model(checkpoint, model)
    except ValueError:
        if model is not None or not ordered:
            raise
        arrays = {}
    held = {name: arrays[name] for name in ordered if name in arrays} if ordered else pytorch.parameters(arrays)
    of = held if len(held) == len(ordered) or not ordered else ordered
    slots = pytorch.read(state, of, convert)
    tx = pytorch.optimizer(state, of, convert, dialect=dialect)
    return _run(tx, pytorch.calls(state, dialect=dialect), slots, of, arrays, convert)


def _read_keras(
    path: str | os.PathLike[str],
    names: Iterable[str] | None,
    convert: layout.Convert,
    config: Mapping[str, Any] | None,
) -> Run:
    file = keras.load(path)
    config = file["config"] if config is None else config
    if config is None:
        raise ValueError(f"{path} has no config of its optimizer: pass its hyperparameters as config={{…}} (--set).")
    arrays = file["weights"]
    ordered = list(names or ())
    held = {name: arrays[name] for name in ordered if name in arrays}
    of = held if len(held) == len(ordered) > 0 else ordered or None
    slots = keras.read(file, of, convert, config=config)
    return _run(keras.optimizer(config), [keras.call(config)], slots, of, arrays, convert)


def _run(
    tx: optax.GradientTransformation,
    calls: list[str],
    slots: Slots,
    of: Mapping[str, Any] | Sequence[str] | None,
    arrays: Mapping[str, Any],
    convert: layout.Convert,
) -> Run:
    """The run whose parameters are ``of``, if these are arrays by name."""
    if not isinstance(of, Mapping):
        return Run(tx, calls, slots, None, dict(arrays))
    return Run(tx, calls, slots, layout.forward(of, convert), {n: x for n, x in arrays.items() if n not in of})


def claimed(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """The absolute path of a folder that may be written.

    Raises:
      FileExistsError: ``path`` exists and ``overwrite`` is false.
    """
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f"{path} exists: choose another folder, or replace it with overwrite=True (--overwrite).")
    return Path(path).absolute()


def save(
    path: str | os.PathLike[str],
    run: Run,
    *,
    storage: Storage = None,
    momentum_storage: Storage = None,
    overwrite: bool = False,
    progress: Callable[[int], Any] | None = None,
) -> dict[str, Any]:
    """Write an Orbax checkpoint of a run: ``params``, ``opt_state``, ``step`` and, if there are any, ``buffers``.

    Args:
      path: a new folder.
      run: the run that :func:`read` returns.
      storage: the format of the mean square from now on, as :func:`rmsprop_optax.with_storage` takes it.
      momentum_storage: the format of the momentum buffer from now on.
      overwrite: whether to replace what is at ``path``.
      progress: called with the bytes of each array of the state once it is converted.

    Returns:
      The tree that was written, of ``jax.ShapeDtypeStruct``: the abstract tree that restores it.

    Raises:
      FileExistsError: ``path`` exists and ``overwrite`` is false.
      ValueError: the slots do not fit. Nothing is written.
    """
    import orbax.checkpoint as ocp

    path = claimed(path, overwrite=overwrite)
    tx = with_storage(run.tx, storage, momentum_storage=momentum_storage)
    like = jax.eval_shape(tx.init, _abstract(run.slots.mean_square if run.params is None else run.params))
    tree = {"opt_state": write(like, run.slots, progress=progress), "step": np.int64(run.slots.count or 0)}
    tree |= {} if run.params is None else {"params": jax.tree.map(np.asarray, run.params)}
    tree |= {"buffers": {name: np.asarray(x) for name, x in run.buffers.items()}} if run.buffers else {}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree, force=overwrite)
    return {part: _abstract(node) for part, node in tree.items()}


def _abstract(tree: Tree) -> Tree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def nbytes(run: Run) -> int:
    """The bytes of the slots, as they are read."""
    slots = (run.slots.mean_square, run.slots.mean, run.slots.momentum)
    return sum(int(np.size(x)) * np.dtype(x.dtype).itemsize for x in jax.tree.leaves(slots))


def report(run: Run) -> str:
    """What was read, in a few lines."""
    leaves = jax.tree.leaves(run.slots.mean_square)
    kept = [slot for slot in ("mean_square", "mean", "momentum") if getattr(run.slots, slot) is not None]
    if run.slots.momentum is not None:
        kept[-1] += " with the learning rate in it" if run.slots.lr_in_momentum else " before the learning rate"
    lines = {
        "parameters": f"{len(leaves)} arrays, {sum(int(np.size(x)) for x in leaves):,} entries",
        "buffers": f"{len(run.buffers)} arrays" if run.buffers else "none",
        "slots": f"{', '.join(kept)}; {nbytes(run) / 1e6:,.1f} MB",
        "step": f"{run.slots.count:,}" if run.slots.count is not None else "unknown",
        "optimizer": "\n            ".join(run.calls),
    }
    if run.params is None:
        lines["parameters"] += f"; no weights of these names in the file (found: {some(list(run.buffers)) or 'none'})"
        lines["parameters"] += ": pass --names" * bool(run.buffers)
    return "\n".join(f"{name:10}  {text}" for name, text in lines.items())
