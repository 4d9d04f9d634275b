"""A file of another framework becomes an Orbax checkpoint: ``python -m rmsprop_optax convert``."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from rmsprop_optax.interop import bitsandbytes, keras, layout, pytorch
from rmsprop_optax.interop.slots import Slots, write
from rmsprop_optax.storage import with_storage


class Run(NamedTuple):
    """What a file says of a run.

    Attributes:
      tx: the transformation that goes on as the optimizer would.
      calls: the dialects that it is made of, as text, one for each parameter group.
      slots: what the optimizer kept.
      params: the tree of parameters, ``None`` where the file has none under their names.
      buffers: what else the model keeps, by name.
    """

    tx: optax.GradientTransformation
    calls: list[str]
    slots: Slots
    params: Any
    buffers: dict[str, Any]


def read(
    path: str | os.PathLike,
    *,
    names: Iterable[str] | None = None,
    convert: layout.Convert = dict,
    dialect: str | None = None,
    optimizer: str | None = None,
    model: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> Run:
    """Read a run of PyTorch's, timm's and their like, or of Keras's if the suffix is ``.keras`` or ``.h5``.

    Args:
      path: the file; no code in it is run.
      names: of the parameters in the optimizer's order. PyTorch's may be in the file, and are those of the model
        otherwise, without the buffers of normalisation layers; Keras's are the paths of the weights in the file.
      convert: the function that makes the tree of parameters of ``{name: array}``.
      dialect: whose the optimizer was, where a PyTorch file leaves that open.
      optimizer: where it is in a PyTorch file, keys joined by dots, if there are several.
      model: likewise.
      config: hyperparameters, where a Keras file has none.

    Raises:
      ValueError: the file is not whole, is of another optimizer, or does not fit names and ``convert``.
      ImportError: a library to read it is not installed.
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
    of: Any = held if len(held) == len(ordered) or not ordered else ordered
    slots = pytorch.read(state, of, convert)
    tx = pytorch.optimizer(state, of, convert, dialect=dialect)
    return _run(tx, pytorch.calls(state, dialect=dialect), slots, of, arrays, convert)


def _read_keras(path: Any, names: Any, convert: layout.Convert, config: Any) -> Run:
    file = keras.load(path)
    config = file["config"] if config is None else config
    if config is None:
        raise ValueError(f"{path} has no config of its optimizer: give the hyperparameters.")
    arrays = file["weights"]
    ordered = list(names or ())
    held = {name: arrays[name] for name in ordered if name in arrays}
    of: Any = held if len(held) == len(ordered) > 0 else ordered or None
    slots = keras.read(file, of, convert, config=config)
    return _run(keras.optimizer(config), [keras.call(config)], slots, of, arrays, convert)


def _run(tx: Any, calls: list[str], slots: Slots, of: Any, arrays: Mapping[str, Any], convert: layout.Convert) -> Run:
    held = isinstance(of, Mapping)
    params = layout.forward(of, convert) if held else None
    return Run(tx, calls, slots, params, {n: x for n, x in arrays.items() if not held or n not in of})


def claimed(path: str | os.PathLike, *, overwrite: bool) -> Path:
    """The absolute path of a folder that may be written.

    Raises:
      FileExistsError: it is there already.
    """
    if Path(path).exists() and not overwrite:
        raise FileExistsError(
            f"{path} is there already: name another folder, or overwrite it with --overwrite (overwrite=True)."
        )
    return Path(path).absolute()


def save(
    path: str | os.PathLike,
    run: Run,
    *,
    storage: Any = "float32",
    momentum_storage: Any = "float32",
    overwrite: bool = False,
    progress: Callable[[int], Any] | None = None,
) -> dict[str, Any]:
    """Write an Orbax checkpoint of a run: ``params``, ``opt_state``, ``step`` and, if there are any, ``buffers``.

    Args:
      path: a folder that is not there yet.
      run: as :func:`read` returns it.
      storage: how the mean square is kept from now on, see :func:`rmsprop_optax.with_storage`.
      momentum_storage: likewise.
      overwrite: whether what is at ``path`` may be replaced.
      progress: called with the bytes of each array of the state once it is converted.

    Returns:
      The tree that was written, of ``jax.ShapeDtypeStruct``: the abstract tree that restores it.

    Raises:
      FileExistsError: ``path`` is there already.
      ValueError: the slots do not fit. Nothing is written then.
    """
    import orbax.checkpoint as ocp

    path = claimed(path, overwrite=overwrite)
    short = storage != "float32" or momentum_storage != "float32"
    tx = with_storage(run.tx, storage, momentum_storage=momentum_storage) if short else run.tx
    template = run.slots.mean_square if run.params is None else run.params
    like = jax.eval_shape(tx.init, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), template))
    tree = {"opt_state": write(like, run.slots, progress=progress), "step": np.int64(run.slots.count or 0)}
    tree |= {} if run.params is None else {"params": jax.tree.map(np.asarray, run.params)}
    tree |= {"buffers": {name: np.asarray(x) for name, x in run.buffers.items()}} if run.buffers else {}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree, force=overwrite)
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
        "parameters": f"{len(leaves)} arrays, {sum(int(np.size(x)) for x in leaves):,} entries"
        + ("" if run.params is not None else "; their values are not in the file under these names"),
        "buffers": f"{len(run.buffers)} arrays" if run.buffers else "none",
        "slots": f"{', '.join(kept)}; {nbytes(run) / 1e6:,.1f} MB",
        "step": f"{run.slots.count:,}" if run.slots.count is not None else "unknown",
        "optimizer": "\n            ".join(run.calls),
    }
    return "\n".join(f"{name:10}  {text}" for name, text in lines.items())
