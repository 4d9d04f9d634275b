"""Keras's RMSprop: of Keras 3, of tf.keras since 2.11, and the legacy optimizer of tf.keras.

A Keras optimizer holds a list of variables; its files store their positions and no names::

    iteration                the number of steps; iter in the legacy optimizer
    learning_rate            in Keras 3, unless it is a schedule
    average                  of each parameter, with use_ema
    gradient_accumulator     of each parameter, with gradient_accumulation_steps
    velocity                 of each parameter; rms in the legacy optimizer
    momentum                 of each parameter, with momentum above 0
    average_gradient         of each parameter, with centered; mg in the legacy optimizer

The optimizer's config therefore determines the slot of each variable, and you pass the names of the parameters. A
wrong order among parameters of the same shape cannot be detected.

Sources: keras 3.15.1 (keras/src/optimizers/rmsprop.py, base_optimizer.py), tf_keras 2.21.0
(tf_keras/src/optimizers/rmsprop.py, legacy/rmsprop.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rmsprop_optax._types import Tree
from rmsprop_optax.interop import layout
from rmsprop_optax.interop._keras_config import call, optimizer
from rmsprop_optax.interop._keras_file import load, save
from rmsprop_optax.interop._keras_variables import KINDS, is_file, understood
from rmsprop_optax.interop._plausible import cast, count_of
from rmsprop_optax.interop._shared import check_fit
from rmsprop_optax.interop.slots import Slots, rescaled

__all__ = ["call", "load", "optimizer", "read", "save", "write"]


def read(
    checkpoint: Iterable[Any] | Mapping[str, Any],
    names: layout.Names | None = None,
    convert: layout.Convert = dict,
    *,
    config: Mapping[str, Any] | None = None,
) -> Slots:
    """The slots of an optimizer's variables. The weight averages of ``use_ema`` are no slots and are ignored.

    Args:
      checkpoint: ``optimizer.variables`` (``optimizer.weights`` of the legacy optimizer); or arrays in the same order;
        or a dict with the keys "0", "1", …, as ``save_own_variables`` writes; or a result of :func:`load`.
      names: the names of the parameters in the order of ``model.trainable_variables``. If a mapping gives arrays, their
        shapes are compared. ``None`` takes the names of the variables or, if they have no names, "0", "1", ….
      convert: the function that makes the tree of parameters from ``{name: array}``.
      config: ``optimizer.get_config()`` or a part of it, such as ``{"momentum": 0.9, "centered": True}``. A missing
        entry has Keras's default. Without ``learning_rate``, a scalar at position 1 is the learning rate. ``config`` is
        needed with ``gradient_accumulation_steps``, and for arrays without names, except from a file with a config.

    Returns:
      The slots. The arrays are views of the variables, unless ``convert`` copies.

    Raises:
      ValueError: number, names or shapes of the variables contradict the config, or gradients of an unfinished step are
        accumulated. The error says how the variables were understood.

    Example:
      >>> store = {"0": np.int32(100), "1": np.float32(0.1), "2": np.array([4.0, 9.0]), "3": np.array([0.5, 0.0])}
      >>> slots = read(store, ["dense/bias"], config={"momentum": 0.9})
      >>> slots.mean_square, slots.momentum, slots.count
      ({'dense/bias': array([4., 9.])}, {'dense/bias': array([0.5, 0. ])}, 100)
    """
    arrays, found = understood(checkpoint, names, config)

    def tree(positions: Sequence[int]) -> Tree:
        return layout.forward({name: arrays[i] for name, i in zip(found.names, positions, strict=True)}, convert)

    slots = {slot: tree(positions) for slot, positions in found.slots.items()}
    return Slots(**slots, count=found.steps, lr_in_momentum=True if "momentum" in slots else None)


def write(
    like: Iterable[Any] | Mapping[str, Any],
    slots: Slots,
    names: layout.Names | None = None,
    convert: layout.Convert = dict,
    *,
    config: Mapping[str, Any] | None = None,
    learning_rate: float | Tree | None = None,
) -> dict[str, Any]:
    """An optimizer's variables with the numbers of the slots, the inverse of :func:`read`.

    Args:
      like: the variables of the optimizer that continues the run, in any form that :func:`read` takes. A new optimizer
        has them after ``optimizer.build(model.trainable_variables)``. Variables that are not slots keep their values:
        the learning rate, averages of weights, the loss scale.
      slots: trees of the structure that ``convert`` returns.
      names: the names of the parameters in the optimizer's order, or ``None`` for the names of the variables.
      convert: the function that makes the tree from ``{name: array}``; it is inverted.
      config: ``optimizer.get_config()`` or a part of it, as for :func:`read`.
      learning_rate: the rate of the last step, needed if the momentum buffer of the slots does not hold the rate.

    Returns:
      ``{"0": …, "1": …}`` in the dtypes of ``like``, for ``optimizer.load_own_variables``. If ``like`` is a result of
      :func:`load`, a copy of this dict with the new variables, for :func:`save`.

    Raises:
      ValueError: the variables contradict the config; the slots do not fit the optimizer or have no count; or the
        learning rate is missing or not needed.

    Example:
      >>> like = [np.int32(0), np.float32(0.1), np.zeros(2, np.float32)]
      >>> write(like, Slots({"dense/bias": np.array([4.0, 9.0])}, count=100), ["dense/bias"], config={})
      {'0': array(100, dtype=int32), '1': array(0.1, dtype=float32), '2': array([4., 9.], dtype=float32)}
    """
    slots = rescaled(slots, True, learning_rate)
    arrays, found = understood(like, names, config)
    trees = {slot: tree for slot in dict.fromkeys(KINDS.values()) if (tree := getattr(slots, slot)) is not None}
    check_fit("Keras", trees, found.slots, needs_count=slots.count is None)
    new = list(arrays)
    new[found.iteration] = np.asarray(count_of(slots.count) * found.every)
    shapes = {name: arrays[i].shape for name, i in zip(found.names, found.slots["mean_square"], strict=True)}
    for slot, positions in found.slots.items():
        for i, (name, array) in zip(positions, layout.backward(trees[slot], shapes, convert).items(), strict=True):
            new[i] = cast(slot, name, array, arrays[i].dtype)
    variables = {str(i): x.astype(old.dtype, copy=False) for i, (x, old) in enumerate(zip(new, arrays, strict=True))}
    return {**like, "optimizer": variables} if isinstance(like, Mapping) and is_file(like) else variables
