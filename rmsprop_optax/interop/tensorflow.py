"""Checkpoints of TensorFlow, which keep an optimizer's slots beside the variables, by name.

TensorFlow 1 calls them ``<variable>/RMSProp`` (mean square), ``/RMSProp_1`` (mean, if centered) and ``/RMSProp_1`` or
``/RMSProp_2`` (momentum, with and without momentum). tf.keras' legacy optimizers keep, in checkpoints of TensorFlow 2,
``<variable>/.OPTIMIZER_SLOT/optimizer/rms/.ATTRIBUTES/VARIABLE_VALUE``, likewise ``mg`` if centered and ``momentum`` if
there is one. Other optimizers of Keras keep a list there, which :func:`keras_variables` finds.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from rmsprop_optax.interop import layout
from rmsprop_optax.interop.slots import Slots, rescaled, some

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_SLOTS = {"mean_square": "rms", "mean": "mg", "momentum": "momentum"}


def load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All variables of a checkpoint by name.

    Args:
      path: what the names of its files begin with, as ``"run/model.ckpt-1000"``, or a folder for the latest in it.

    Raises:
      ValueError: the checkpoint is truncated or is none.
      ImportError: ``tensorflow`` is not installed.

    Example:
      >>> checkpoint = load("run/model.ckpt-1000")  # doctest: +SKIP

    Source:
      tensorflow/tensorflow 2.21.0: tensorflow/python/training/checkpoint_utils.py.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            f"{path} needs the package tensorflow, which is not installed: pip install tensorflow-cpu."
        ) from error
    try:
        reader = tf.train.load_checkpoint(os.fspath(path))
        return {name: np.asarray(reader.get_tensor(name)) for name in sorted(reader.get_variable_to_shape_map())}
    except (tf.errors.OpError, ValueError, IndexError) as error:
        raise ValueError(
            f"{path} must be a whole checkpoint of TensorFlow, got {type(error).__name__}: {error}. Give what the "
            "names of its .index and .data files begin with, and copy them again if they were truncated."
        ) from error


def read(
    checkpoint: Mapping[str, Any],
    names: Iterable[str] | Mapping[str, Any] | None = None,
    convert: layout.Convert = dict,
    *,
    momentum: bool | None = None,
    optimizer: str | None = None,
) -> Slots:
    """The slots of ``tf.compat.v1.train.RMSPropOptimizer`` or of ``tf.keras.optimizers.legacy.RMSprop``.

    Args:
      checkpoint: arrays by name, as from :func:`load`. With several optimizers in it, the entries of one.
      names: of the variables that are trained, in any order; with arrays, shapes are compared. ``None`` takes all that
        have a slot. In a checkpoint of TensorFlow 2 they are such as ``"layer_with_weights-0/kernel"``.
      convert: the function that makes the tree of parameters here of ``{name: array}``.
      momentum: whether the optimizer has momentum. To be given for TensorFlow 1, whose slot is always there, and
        without momentum holds the last step.
      optimizer: its name, by default ``"RMSProp"`` in TensorFlow 1 and ``"optimizer"``, where it hangs on the model, in
        TensorFlow 2.

    Returns:
      The slots; ``count`` is ``global_step``, or the optimizer's ``iter``, where the checkpoint has it. Arrays are
      views where ``convert`` leaves them.

    Raises:
      ValueError: a slot is missing or left over, shapes do not fit, or ``momentum`` is missing or wrong.

    Example:
      >>> checkpoint = {"w": np.ones(2), "w/RMSProp": np.array([4.0, 9.0]), "w/RMSProp_1": np.array([0.5, 0.0])}
      >>> slots = read(checkpoint | {"global_step": np.int64(100)}, momentum=True)
      >>> slots.mean_square, slots.momentum, slots.count
      ({'w': array([4., 9.])}, {'w': array([0.5, 0. ])}, 100)

    Source:
      tensorflow/tensorflow 2.21.0: tensorflow/python/training/rmsprop.py, tensorflow/python/training/slot_creator.py;
      tf_keras 2.21.0: tf_keras/src/optimizers/legacy/rmsprop.py.
    """
    places, counter = _places(checkpoint, names, momentum, optimizer)
    trees = {
        slot: layout.forward({name: np.asarray(checkpoint[key]) for name, key in keys.items()}, convert)
        for slot, keys in places.items()
        if slot != "momentum" or momentum is not False
    }
    count = int(checkpoint[counter]) if counter in checkpoint else None
    return Slots(**trees, count=count, lr_in_momentum=True if "momentum" in trees else None)


def write(
    like: Mapping[str, Any],
    slots: Slots,
    names: Iterable[str] | Mapping[str, Any] | None = None,
    convert: layout.Convert = dict,
    *,
    momentum: bool | None = None,
    optimizer: str | None = None,
    learning_rate: Any = None,
) -> dict[str, Any]:
    """A checkpoint's variables with the slots' numbers, the inverse of :func:`read`.

    Args:
      like: the variables by name of the run that is to go on, of which only shapes, dtypes and what is in no slot
        matter; as ``{v.op.name: session.run(v) for v in tf.compat.v1.global_variables()}``.
      slots: trees like the one that ``convert`` makes.
      names: as for :func:`read`.
      convert: the function that makes the tree of ``{name: array}``; it is followed backwards.
      momentum: as for :func:`read`; where it is false, the buffer of TensorFlow 1 is left as it is in ``like``.
      optimizer: as for :func:`read`.
      learning_rate: as in :func:`rmsprop_optax.interop.write`.

    Returns:
      All of ``like``, with new arrays for slots and count, in the dtypes of ``like``; ``variable.load(value, session)``
      takes them.

    Raises:
      ValueError: as :func:`read` does; or the slots are not those of the optimizer, or the learning rate is missing or
        without a use.

    Example:
      >>> like = {"w": np.ones(2), "w/RMSProp": np.ones(2, np.float32), "w/RMSProp_1": np.zeros(2, np.float32)}
      >>> new = write(like, Slots({"w": np.array([4.0, 9.0])}), momentum=False)
      >>> new["w/RMSProp"]
      array([4., 9.], dtype=float32)

    Source:
      As :func:`read`.
    """
    places, counter = _places(like, names, momentum, optimizer)
    if momentum is False:
        places.pop("momentum", None)
    trees = {slot: tree for slot in _SLOTS if (tree := getattr(slots, slot)) is not None}
    wrong = [f"no {slot}" for slot in places if slot not in trees]
    wrong += [f"a {slot}, for which it has no variables" for slot in trees if slot not in places]
    is_masked = lambda x: isinstance(x, optax.MaskedNode)  # noqa: E731
    wrong += ["parameters that are left alone"] * any(map(is_masked, jax.tree.leaves(trees, is_leaf=is_masked)))
    wrong += ["no count, which slots._replace(count=…) sets"] if slots.count is None and counter in like else []
    if wrong:
        raise ValueError(
            f"slots must be those of the optimizer in TensorFlow, got {some(wrong)}: make it with the options of the "
            "run, or change the options of the run with interop.transfer."
        )
    trees["momentum"] = rescaled(slots, True, learning_rate)
    new = dict(like)
    for slot, keys in places.items():
        shapes = {name: np.shape(like[key]) for name, key in keys.items()}
        for name, array in layout.backward(trees[slot], shapes, convert).items():
            new[keys[name]] = array.astype(np.asarray(like[keys[name]]).dtype, copy=False)
    if counter in like:
        new[counter] = np.asarray(slots.count, np.asarray(like[counter]).dtype)
    return new


def keras_variables(checkpoint: Mapping[str, Any], optimizer: str = "optimizer") -> dict[str, Any]:
    """The variables of an optimizer of Keras 3, or of tf.keras from 2.11 on, as ``interop.keras.read`` takes them.

    Args:
      checkpoint: arrays by name, as from :func:`load`, of a checkpoint of TensorFlow 2.
      optimizer: where it hangs in the checkpoint.

    Raises:
      ValueError: there is none.

    Example:
      >>> keras_variables({f"optimizer/{v}/.ATTRIBUTES/VARIABLE_VALUE": 0 for v in ("_iterations", "_variables/1")})
      {'0': 0, '1': 0}

    Source:
      tf_keras 2.21.0: tf_keras/src/optimizers/optimizer.py; keras-team/keras 3.15.1:
      keras/src/optimizers/base_optimizer.py.
    """
    pattern = re.compile(rf"{re.escape(optimizer)}/_variables/(\d+){re.escape(_VALUE)}")
    found = {match[1]: checkpoint[key] for key in checkpoint if (match := pattern.fullmatch(key))}
    heads = {"0": f"{optimizer}/_iterations{_VALUE}", "1": f"{optimizer}/_learning_rate{_VALUE}"}
    missing = {i: key for i, key in heads.items() if i not in found}
    if not found or ("0" in missing and heads["0"] not in checkpoint):
        raise ValueError(
            f"the checkpoint must have {heads['0']} and numbered variables, got none: give the optimizer's place in "
            "it; read is for a legacy optimizer of tf.keras."
        )
    found |= {i: checkpoint[key] for i, key in missing.items() if key in checkpoint}
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def _places(
    checkpoint: Mapping[str, Any], names: Any, momentum: bool | None, optimizer: str | None
) -> tuple[dict[str, dict[str, str]], str]:
    """For each slot the entries by name of the variable, all checked, and the entry that counts steps."""
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
            f"the checkpoint must have slots of {optimizer}, got {some(sorted(checkpoint))}: give the optimizer's "
            "name; keras_variables is for other optimizers of Keras."
        )
    if not in_graph:
        if momentum is None:
            raise ValueError(
                f"momentum must be given for TensorFlow 1, got None: True if the optimizer has momentum, False if "
                f"{own[0]}{suffixes['1']} or _2 holds nothing but its last step."
            )
        kinds = ["rms", "mg", "momentum"] if held["2"] else ["rms", "momentum"]
        if held["3"]:
            raise ValueError(
                f"each variable must have the slots of one optimizer, got {some(list(held['3'].values()))}: rename "
                "those of the one that is read as RMSProp, RMSProp_1 and RMSProp_2, and drop the others."
            )
        held = dict(zip(kinds, held.values(), strict=False))
    elif momentum and not held["momentum"]:
        raise ValueError(
            f"there must be momentum in the checkpoint for momentum=True, got none in {optimizer}: drop it."
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
            f"each variable must have the same slots, of its shape, got {some(wrong)}: compare the names, and drop "
            "the entries of other optimizers."
        )
    return {slot: {name: held[kind][name] for name in own} for slot, kind in _SLOTS.items() if kind in held}, counter
