"""Convert a run in another framework's file to an Orbax checkpoint: ``rmsprop-optax convert``."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
import optax

from rmsprop_optax._paths import name_of, named, nodes, some
from rmsprop_optax._types import Storage, Tree
from rmsprop_optax.interop import _orbax, bitsandbytes, keras, layout, pytorch
from rmsprop_optax.interop._converter import Array
from rmsprop_optax.interop._keras_config import hyperparameters
from rmsprop_optax.interop._pytorch_groups import Dialect, Rates
from rmsprop_optax.interop._shared import is_masked, sharding_of
from rmsprop_optax.interop.slots import Slots, transfer, write
from rmsprop_optax.storage import with_storage

StrPath: TypeAlias = str | os.PathLike[str]


class Run(NamedTuple):
    """The run in a file.

    Attributes:
      tx: the transformation that continues the run.
      calls: the dialects that ``tx`` is made of, as Python code, one for each parameter group.
      slots: the state of the optimizer.
      params: the tree of parameters; ``None`` if the file has no weights.
      buffers: the other arrays of the model, by name.
    """

    tx: optax.GradientTransformation
    calls: list[str]
    slots: Slots
    params: Tree
    buffers: dict[str, Array]


class Restored(NamedTuple):
    """The result of :func:`restore`.

    Attributes:
      params: the parameters.
      opt_state: the state for the optimizer that was passed.
      step: the number of steps so far.
      buffers: the other arrays of the model, by name.
    """

    params: Tree
    opt_state: optax.OptState
    step: int
    buffers: dict[str, Array]


def read(
    path: StrPath,
    *,
    names: Iterable[str] | None = None,
    convert: layout.Convert = dict,
    dialect: Dialect | None = None,
    optimizer: str | None = None,
    model: str | None = None,
    config: Mapping[str, Any] | None = None,
    learning_rate: Rates | None = None,
    initial_scale: float | None = None,
) -> Run:
    """Read a run from a file of Keras, PyTorch, timm or their relatives, without running code in the file.

    Args:
      path: the file; the suffixes ``.keras`` and ``.h5`` mean Keras.
      names: the names of the parameters in the optimizer's order. For PyTorch, ``None`` takes the names in the
        optimizer or else in the model, without the buffers of normalisation layers. For Keras, ``None`` takes the names
        in the config of a ``.keras`` file, such as ``"conv/kernel"``; a name may also be a path in the file.
      convert: the function that makes the tree of parameters from ``{name: array}``.
      dialect: the framework that wrote a PyTorch file, if the file does not show it; see
        :func:`rmsprop_optax.interop.pytorch.arguments`.
      optimizer: the place of the optimizer in the file, its keys joined by dots, if there are several.
      model: the place of the model in a PyTorch file, its keys joined by dots, if there are several.
      config: hyperparameters that a Keras file lacks, or that replace those in the file.
      learning_rate: a schedule of all steps from 0 on, or what else :func:`rmsprop_optax.interop.pytorch.optimizer`
        takes. ``None`` takes the schedule in a Keras file if optax has it, and otherwise keeps the rate of the last
        step. Files of PyTorch hold no schedule.
      initial_scale: the mean square before the first step, for parameters of a PyTorch file that no gradient has
        reached, as :func:`rmsprop_optax.interop.pytorch.read` takes it.

    Raises:
      ValueError: the file is truncated, holds another optimizer, or does not fit ``names`` and ``convert``. The message
        names the file.
      OSError: the file cannot be opened.
      ImportError: a package that reads the file is not installed.
    """
    with _about(path):
        if os.path.exists(path) and not os.path.isfile(path):
            raise ValueError(f"{path} must be a file, got a folder or a device.")
        if Path(path).suffix in (".keras", ".h5"):
            for name, value in {"dialect": dialect, "model": model, "initial_scale": initial_scale}.items():
                if value is not None:
                    option = f"--{name.replace('_', '-')}"
                    raise ValueError(f"{name} must be None for a file of Keras, got {value!r} ({option}): drop it.")
            return _read_keras(path, names, convert, optimizer, config or {}, learning_rate)
        if config:
            raise ValueError(
                f"config must be None, got {some(list(config))} (--set): {path} is no file of Keras; pass an optimizer "
                "with other options to restore."
            )
        return _read_pytorch(path, names, convert, dialect, optimizer, model, learning_rate, initial_scale)


def _read_pytorch(
    path: StrPath,
    names: Iterable[str] | None,
    convert: layout.Convert,
    dialect: Dialect | None,
    optimizer: str | None,
    model: str | None,
    learning_rate: Rates | None,
    initial_scale: float | None,
) -> Run:
    checkpoint = pytorch.load(path)
    state = pytorch.find_optimizer(checkpoint, optimizer)
    if dialect == "bitsandbytes":
        state = bitsandbytes.to_pytorch(state)
    known = [name for group in state["param_groups"] for name in group.get("param_names", ())]
    ordered = list(names if names is not None else known)
    arrays = pytorch.find_model(checkpoint, model) if model or not ordered or _has_model(checkpoint) else {}
    of = _held(path, arrays, ordered) if ordered else pytorch.parameters(arrays)
    slots = pytorch.read(state, of, convert, initial_scale=initial_scale)
    tx = pytorch.optimizer(state, of, convert, dialect=dialect, learning_rate=learning_rate)
    calls = pytorch.calls(state, dialect=dialect, learning_rate=learning_rate)
    return _run(tx, calls, slots, of, arrays, convert)


def _has_model(node: Any) -> bool:
    """Whether a checkpoint has an array outside its optimizers."""
    if isinstance(node, Mapping) and "param_groups" not in node:
        return any(map(_has_model, node.values()))
    return any(map(_has_model, node)) if isinstance(node, list | tuple) else hasattr(node, "shape")


def _read_keras(
    path: StrPath,
    names: Iterable[str] | None,
    convert: layout.Convert,
    optimizer: str | None,
    config: Mapping[str, Any],
    learning_rate: Rates | None,
) -> Run:
    file = keras.load(path, (optimizer or "optimizer").replace(".", "/"))
    if file["config"] is None and not config:
        raise ValueError(f"{path} has no config of its optimizer: pass its hyperparameters as config={{…}} (--set).")
    config = {**hyperparameters(file["config"] or {}), **hyperparameters(config)}
    rate = file["optimizer"].get("1")
    if "learning_rate" not in config and rate is not None and not rate.shape:
        config["learning_rate"] = float(rate)
    changes = {} if learning_rate is None else {"learning_rate": learning_rate}
    places = {**file["parameters"], **file["buffers"]}
    arrays = {name: file["weights"].pop(place) for name, place in places.items()} | file["weights"]
    by_place = {place: name for name, place in places.items()}
    of = _held(path, arrays, [by_place.get(name, name) for name in names or file["parameters"]])
    slots = keras.read(file, of, convert, config=config)
    return _run(keras.optimizer(config, **changes), [keras.call(config, **changes)], slots, of, arrays, convert)


def _held(path: StrPath, arrays: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any] | Sequence[str]:
    """The parameters by name, or their names alone if the file has no weights."""
    missing = [name for name in names if name not in arrays]
    if arrays and (missing or not names):
        raise ValueError(
            f"{path} has {f'no weights named {some(missing)}' if missing else 'no names of its weights'} (found: "
            f"{some(list(arrays))}): pass the names of the trained weights in the file, in the optimizer's order "
            "(--names)."
        )
    return {name: arrays[name] for name in names} if arrays else names


def _run(
    tx: optax.GradientTransformation,
    calls: list[str],
    slots: Slots,
    of: Mapping[str, Any] | Sequence[str],
    arrays: Mapping[str, Any],
    convert: layout.Convert,
) -> Run:
    """Make a run; if ``of`` has arrays, they are its parameters, and the other arrays its buffers."""
    if not isinstance(of, Mapping):
        return Run(tx, calls, slots, None, {})
    return Run(tx, calls, slots, layout.forward(of, convert), {n: x for n, x in arrays.items() if n not in of})


@contextlib.contextmanager
def _about(path: StrPath) -> Iterator[None]:
    """Name the file in each error about its contents."""
    try:
        yield
    except (OSError, ImportError):
        raise
    except Exception as error:  # a broken file, or the user's function, can raise anything
        if os.fspath(path) in str(error):
            raise
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"{path}: {kind}{error}") from error


def save(
    path: StrPath,
    run: Run,
    *,
    storage: Storage = None,
    momentum_storage: Storage = None,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Tree]:
    """Write an Orbax checkpoint of a run: ``params``, ``opt_state``, ``step`` and, if there are any, ``buffers``.

    The checkpoint is written beside ``path`` and takes its place once it is complete.

    Args:
      path: a new folder.
      run: a result of :func:`read`.
      storage: the format of the mean square from now on, as :func:`rmsprop_optax.with_storage` takes it.
      momentum_storage: the format of the momentum buffer from now on.
      overwrite: whether to replace an earlier checkpoint of this function at ``path``.
      progress: called with the bytes of each array of the state once it is converted.

    Returns:
      The tree that was written, of ``jax.ShapeDtypeStruct``: the abstract tree that restores it.

    Raises:
      FileExistsError: ``path`` exists, and ``overwrite`` is false or ``path`` is not a checkpoint of this function.
      ValueError: the slots do not fit. Nothing is written.
    """
    path = _orbax.claimed(path, overwrite=overwrite)
    tx = with_storage(run.tx, storage, momentum_storage=momentum_storage)
    like = jax.eval_shape(tx.init, _abstract(_params(run)))
    tree = {"opt_state": write(like, run.slots, progress=progress), "step": np.int64(run.slots.count or 0)}
    tree |= {} if run.params is None else {"params": jax.tree.map(np.asarray, run.params)}
    tree |= {"buffers": {name: np.asarray(x) for name, x in run.buffers.items()}} if run.buffers else {}
    _orbax.save(path, tree)
    return {part: _abstract(node) for part, node in tree.items()}


def restore(
    path: StrPath, tx: optax.GradientTransformation, params: Tree = None, *, learning_rate: float | Tree | None = None
) -> Restored:
    """Restore a checkpoint of :func:`save` for an optimizer, also with other options than in the file.

    Args:
      path: the folder.
      tx: the optimizer that continues the run, such as the one of the file with schedules:
        ``optax.inject_hyperparams(dialects.pytorch)(lr=…, momentum=…)``.
      params: the tree of parameters to fill: arrays or ``jax.ShapeDtypeStruct``, whose dtypes and shardings are kept.
        The names must be those of the checkpoint; the containers may differ. ``None`` takes the dicts and lists of the
        checkpoint.
      learning_rate: the rate of the last step, needed if the momentum buffer of only one optimizer holds the rate.

    Returns:
      The parameters, the state for ``tx``, the number of steps and the other arrays. A state of another structure is
      converted by :func:`rmsprop_optax.interop.transfer`.

    Raises:
      ValueError: the checkpoint is damaged, or does not fit ``params`` or ``tx``.
    """
    found = _orbax.load(path)
    with _about(path):
        saved = found.get("params")
        if params is None and saved is None:
            raise ValueError("params must be given, because the file that was converted had no weights.")
        params = params if saved is None else _filled(saved if params is None else params, saved)
        like, state = tx.init(params), found["opt_state"]
        if learning_rate is None and _abstract(named(state)) == _abstract(named(like)):
            state = _filled(like, state)
        else:
            state = transfer(state, like, learning_rate=learning_rate)
        return Restored(params, state, int(found["step"]), found.get("buffers", {}))


def _filled(like: Tree, saved: Tree) -> Tree:
    """The tree ``like`` with the arrays of ``saved``, found by name."""
    there, wanted = named(saved), named(like)
    wrong = [f"no {name}" for name in wanted if name not in there]
    wrong += [f"{name}, which params lacks" for name in there if name not in wanted]
    wrong += [
        f"{name} with shape {there[name].shape} for {x.shape}"
        for name, x in wanted.items()
        if name in there and there[name].shape != x.shape
    ]
    if wrong:
        raise ValueError(f"params must have the names and shapes of the checkpoint, got {some(wrong)}.")

    def one(at: Any, x: Any) -> jax.Array:
        placed: jax.Array = jax.device_put(np.asarray(there[name_of(at)]).astype(x.dtype), sharding_of(x))
        return placed

    return jax.tree.map_with_path(one, like)


def _params(run: Run) -> Tree:
    return run.slots.mean_square if run.params is None else run.params


def _abstract(tree: Tree) -> Tree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def nbytes(run: Run) -> int:
    """The number of bytes of the slots, in the dtypes of the file."""
    slots = (run.slots.mean_square, run.slots.mean, run.slots.momentum)
    return sum(int(np.size(x)) * np.dtype(x.dtype).itemsize for x in jax.tree.leaves(slots))


def code(run: Run) -> str:
    """The transformation of a run, as Python code.

    Raises:
      ValueError: two groups differ only in schedules of the same name.
    """
    state = jax.eval_shape(run.tx.init, _abstract(_params(run)))
    if not isinstance(state, optax.transforms.PartitionState):
        return str(run.calls[0])
    squares = {label: optax.tree.get(inner, "nu") for label, inner in state.inner_states.items()}

    def label(*leaves: Any) -> str:
        return str(next(name for name, leaf in zip(squares, leaves, strict=True) if not is_masked(leaf)))

    labels = jax.tree.map(label, *squares.values(), is_leaf=is_masked)
    calls = dict.fromkeys(run.calls)
    if len(calls) < len(squares):
        raise ValueError(
            f"learning_rate must hold functions with names of their own, got {', '.join(calls)} for {len(squares)} "
            "groups that differ: define each schedule with def."
        )
    made = dict(zip(squares, calls, strict=True))
    return f"optax.partition({{{', '.join(f'{name!r}: {call}' for name, call in made.items())}}}, {labels})"


def report(run: Run) -> str:
    """A summary of a run in a few lines."""
    leaves = jax.tree.leaves(run.slots.mean_square)
    kept = [slot for slot in ("mean_square", "mean", "momentum") if getattr(run.slots, slot) is not None]
    if run.slots.momentum is not None:
        kept[-1] += " with the learning rate in it" if run.slots.lr_in_momentum else " before the learning rate"
    scheduled = nodes(jax.eval_shape(run.tx.init, _abstract(_params(run))), optax.ScaleByScheduleState)
    lines = {
        "parameters": f"{len(leaves)} arrays, {sum(int(np.size(x)) for x in leaves):,} entries",
        "buffers": f"{len(run.buffers)} arrays" if run.buffers else "none",
        "slots": f"{', '.join(kept)}; {nbytes(run) / 1e6:,.1f} MB",
        "step": f"{run.slots.count:,}" if run.slots.count is not None else "unknown",
        "optimizer": "\n            ".join(run.calls),
        "rate": "of a schedule"
        if scheduled
        else "constant from here on, unless you give a schedule of all steps: learning_rate=… (--learning-rate)",
    }
    lines["parameters"] += "; the file has no weights" * (run.params is None)
    return "\n".join(f"{name:10}  {text}" for name, text in lines.items())
