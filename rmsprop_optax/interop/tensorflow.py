"""Checkpoints of TensorFlow, which name a slot after its variable.

================= ============================================ =============================================
slot              TensorFlow 1                                 TensorFlow 2, legacy optimizer of tf.keras
================= ============================================ =============================================
mean square       ``w/RMSProp``                                ``w/.OPTIMIZER_SLOT/optimizer/rms``
mean, if centered ``w/RMSProp_1``                              ``w/.OPTIMIZER_SLOT/optimizer/mg``
momentum          ``w/RMSProp_1``, if centered ``w/RMSProp_2`` ``w/.OPTIMIZER_SLOT/optimizer/momentum``
================= ============================================ =============================================

TensorFlow 1 has the momentum slot even without momentum. The names of TensorFlow 2 end in
``/.ATTRIBUTES/VARIABLE_VALUE``. For optimizers of Keras that are not legacy, use :func:`keras_variables`.

Sources: tensorflow 2.21.0 (tensorflow/python/training: rmsprop.py, slot_creator.py, checkpoint_utils.py), tf_keras
2.21.0 (tf_keras/src/optimizers: optimizer.py, legacy/rmsprop.py), keras 3.15.1 (keras/src/optimizers:
base_optimizer.py).
"""

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rmsprop_optax._numbers import check_flag
from rmsprop_optax._paths import some
from rmsprop_optax._types import Tree
from rmsprop_optax.interop import layout
from rmsprop_optax.interop._plausible import cast, count_of
from rmsprop_optax.interop._shared import check_fit, imported
from rmsprop_optax.interop.slots import Slots, rescaled

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_SLOTS = {"mean_square": "rms", "mean": "mg", "momentum": "momentum"}


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All variables of a checkpoint by name.

    Args:
      path: the prefix of the checkpoint's files, such as ``"run/model.ckpt-1000"``; or a folder, for its latest
        checkpoint.

    Raises:
      ValueError: the checkpoint is truncated, or the files are no checkpoint.
      ImportError: ``tensorflow`` is not installed.

    Example:
      >>> checkpoint = load("run/model.ckpt-1000")  # doctest: +SKIP
    """
    tf = imported("tensorflow", path, install="tensorflow-cpu")
    try:
        reader = tf.train.load_checkpoint(os.fspath(path))
        return {name: np.asarray(reader.get_tensor(name)) for name in sorted(reader.get_variable_to_shape_map())}
    except (tf.errors.OpError, ValueError, IndexError) as error:
        raise ValueError(
            f"{path} must be a whole checkpoint of TensorFlow, got {type(error).__name__}: {error}. Pass the "
            "prefix of its .index and .data files, and copy the files again if they are truncated."
        ) from error


def read(
    checkpoint: Mapping[str, npt.ArrayLike],
    names: layout.Names | None = None,
    convert: layout.Convert = dict,
    *,
    momentum: bool | None = None,
    optimizer: str | None = None,
) -> Slots:
    """The slots of ``tf.compat.v1.train.RMSPropOptimizer`` or of ``tf.keras.optimizers.legacy.RMSprop``.

    Args:
      checkpoint: arrays by name, as :func:`load` returns them, of one optimizer.
      names: the names of the trained variables, in any order, such as ``"layer_with_weights-0/kernel"`` in TensorFlow
        2. If a mapping gives arrays, their shapes are compared. ``None`` takes all variables that have a slot.
      convert: the function that makes the tree of parameters from ``{name: array}``.
      momentum: whether the optimizer has momentum. Needed for TensorFlow 1: without momentum, its momentum slot holds
        the last step.
      optimizer: in TensorFlow 1 the optimizer's name, by default ``"RMSProp"``; in TensorFlow 2 its place in the
        checkpoint, by default ``"optimizer"``, the place in ``model.compile``.

    Returns:
      The slots. ``count`` is ``global_step`` (TensorFlow 1) or the optimizer's ``iter``, and ``None`` if the checkpoint
      has neither. The arrays are views, unless ``convert`` copies.

    Raises:
      ValueError: a slot is missing or left over, a shape differs, or ``momentum`` is missing or wrong.

    Example:
      >>> checkpoint = {"w": np.ones(2), "w/RMSProp": np.array([4.0, 9.0]), "w/RMSProp_1": np.array([0.5, 0.0])}
      >>> slots = read(checkpoint | {"global_step": np.int64(100)}, momentum=True)
      >>> slots.mean_square, slots.momentum, slots.count
      ({'w': array([4., 9.])}, {'w': array([0.5, 0. ])}, 100)
    """
    places, counter = _places(checkpoint, names, momentum, optimizer)
    trees = {
        slot: layout.forward({name: np.asarray(checkpoint[key]) for name, key in keys.items()}, convert)
        for slot, keys in places.items()
        if slot != "momentum" or momentum is not False
    }
    count = checkpoint.get(counter)
    if count is not None:
        count = count_of(count, counter, "pass the checkpoint's own count, or none")
    return Slots(**trees, count=count, lr_in_momentum=True if "momentum" in trees else None)


def write(
    like: Mapping[str, npt.ArrayLike],
    slots: Slots,
    names: layout.Names | None = None,
    convert: layout.Convert = dict,
    *,
    momentum: bool | None = None,
    optimizer: str | None = None,
    learning_rate: float | Tree | None = None,
) -> dict[str, Any]:
    """A checkpoint's variables with the numbers of the slots, the inverse of :func:`read`.

    Args:
      like: the variables by name of the run that continues, as
        ``{v.op.name: session.run(v) for v in tf.compat.v1.global_variables()}``. Only the numbers of the slots are
        replaced.
      slots: trees of the structure that ``convert`` returns.
      names: the names of the trained variables, in any order; ``None`` takes all variables that have a slot.
      convert: the function that makes the tree from ``{name: array}``; it is inverted.
      momentum: whether the optimizer has momentum, needed for TensorFlow 1. Without momentum, its momentum slot is not
        changed.
      optimizer: as in :func:`read`.
      learning_rate: the rate of the last step, needed if the momentum buffer of the slots does not hold the rate.

    Returns:
      All of ``like``, with new arrays for slots and count in the dtypes of ``like``; ``variable.load(value, session)``
      takes an array.

    Raises:
      ValueError: the variables do not fit each other; the slots do not fit the optimizer; or the learning rate is
        missing or not needed.

    Example:
      >>> like = {"w": np.ones(2), "w/RMSProp": np.ones(2, np.float32), "w/RMSProp_1": np.zeros(2, np.float32)}
      >>> new = write(like, Slots({"w": np.array([4.0, 9.0])}), momentum=False)
      >>> new["w/RMSProp"]
      array([4., 9.], dtype=float32)
    """
    slots = rescaled(slots, True, learning_rate)
    places, counter = _places(like, names, momentum, optimizer)
    if momentum is False:
        places.pop("momentum", None)
    trees = {slot: tree for slot in _SLOTS if (tree := getattr(slots, slot)) is not None}
    check_fit("TensorFlow", trees, places, needs_count=slots.count is None and counter in like)
    new = dict(like)
    for slot, keys in places.items():
        shapes = {name: np.shape(like[key]) for name, key in keys.items()}
        for name, array in layout.backward(trees[slot], shapes, convert).items():
            new[keys[name]] = cast(slot, name, array, np.asarray(like[keys[name]]).dtype)
    if counter in like:
        new[counter] = np.asarray(count_of(slots.count), np.asarray(like[counter]).dtype)
    return new


def keras_variables(checkpoint: Mapping[str, npt.ArrayLike], optimizer: str = "optimizer") -> dict[str, npt.ArrayLike]:
    """The variables of an optimizer of Keras 3, or of tf.keras from 2.11 on, as ``interop.keras.read`` takes them.

    Args:
      checkpoint: arrays by name, as :func:`load` returns them for a checkpoint of TensorFlow 2.
      optimizer: the optimizer's place in the checkpoint, by default the place in ``model.compile``.

    Raises:
      ValueError: the checkpoint has no such optimizer at that place.

    Example:
      >>> keras_variables({f"optimizer/{v}/.ATTRIBUTES/VARIABLE_VALUE": 0 for v in ("_iterations", "_variables/1")})
      {'0': 0, '1': 0}
    """
    _check(checkpoint)
    pattern = re.compile(rf"{re.escape(optimizer)}/_variables/(\d+){re.escape(_VALUE)}")
    found = {match[1]: checkpoint[key] for key in checkpoint if (match := pattern.fullmatch(key))}
    heads = {"0": f"{optimizer}/_iterations{_VALUE}", "1": f"{optimizer}/_learning_rate{_VALUE}"}
    missing = {i: key for i, key in heads.items() if i not in found}
    if not found or ("0" in missing and heads["0"] not in checkpoint):
        raise ValueError(
            f"the checkpoint must have {heads['0']} and numbered variables, got none: pass the optimizer's place "
            "as optimizer=…, or use read for a legacy optimizer of tf.keras."
        )
    found |= {i: checkpoint[key] for i, key in missing.items() if key in checkpoint}
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def _check(checkpoint: Any) -> None:
    if not isinstance(checkpoint, Mapping):
        raise TypeError(
            f"a checkpoint must be a mapping from names to arrays, got {checkpoint!r:.80}: pass the result of load."
        )


def _places(
    checkpoint: Mapping[str, npt.ArrayLike], names: layout.Names | None, momentum: bool | None, optimizer: str | None
) -> tuple[dict[str, dict[str, str]], str]:
    """Slot → variable → key in the checkpoint, all checked; and the key of the step counter."""
    _check(checkpoint)
    if momentum is not None:
        check_flag("momentum", momentum)
    in_graph = any("/.OPTIMIZER_SLOT/" in key for key in checkpoint)
    if in_graph:
        optimizer = optimizer or "optimizer"
        suffixes = {kind: f"/.OPTIMIZER_SLOT/{optimizer}/{kind}{_VALUE}" for kind in _SLOTS.values()}
        counter = f"{optimizer}/iter{_VALUE}"
    else:
        optimizer = optimizer or "RMSProp"
        suffixes = {str(i): f"/{optimizer}{f'_{i}' if i else ''}" for i in range(4)}
        counter = "global_step"
    held = {
        kind: {key.removesuffix(suffix): key for key in checkpoint if key.endswith(suffix)}
        for kind, suffix in suffixes.items()
    }
    own = layout.names_of(held["rms" if in_graph else "0"] if names is None else names)
    if not own or not any(held.values()):
        raise ValueError(
            f"the checkpoint must have slots of {optimizer}, got {some(sorted(checkpoint))}: pass the optimizer's "
            "name as optimizer=…, or use keras_variables for an optimizer of Keras that is not legacy."
        )
    if not in_graph:
        if momentum is None:
            raise ValueError(
                "momentum must be given for TensorFlow 1, got None: pass whether the optimizer has momentum. "
                f"Without momentum, {own[0]}{suffixes['1']}, or _2 if centered, only holds the last step."
            )
        kinds = ["rms", "mg", "momentum"] if held["2"] else ["rms", "momentum"]
        if held["3"]:
            raise ValueError(
                f"each variable must have the slots of one optimizer, got {some(list(held['3'].values()))}: drop the "
                "slots of the others, and name those that remain RMSProp, RMSProp_1 and RMSProp_2."
            )
        held = dict(zip(kinds, held.values(), strict=False))
    elif momentum and not held["momentum"]:
        raise ValueError(
            f"the checkpoint must have momentum slots for momentum=True, got none of {optimizer}: drop momentum=True."
        )
    held = {kind: keys for kind, keys in held.items() if keys}
    wrong = [f"no {kind} of {name}" for kind, keys in held.items() for name in own if name not in keys]
    wrong += [f"a {kind} of {name}" for kind, keys in held.items() for name in keys if name not in own]
    for name in own:
        there = checkpoint.get(name + (_VALUE if in_graph else ""))
        given = names[name] if isinstance(names, Mapping) else there
        sizes = {kind: np.shape(checkpoint[keys[name]]) for kind, keys in held.items() if name in keys}
        shape = next(iter(sizes.values()), ()) if given is None else np.shape(given)
        wrong += [f"a {kind} of {name} with shape {size} for {shape}" for kind, size in sizes.items() if size != shape]
    if wrong:
        raise ValueError(
            f"each variable must have the same slots, in its shape, got {some(wrong)}: compare the names, and drop the "
            "slots of other optimizers."
        )
    return {slot: {name: held[kind][name] for name in own} for slot, kind in _SLOTS.items() if kind in held}, counter
