"""Keras's RMSprop: that of Keras 3, that of tf.keras from 2.11 on, and tf.keras' legacy one.

An optimizer of Keras holds a list of variables; its files know their positions and not their names::

    iteration                the steps; iter in the legacy optimizer
    learning_rate            in Keras 3, unless it is a schedule
    average                  of each parameter, with use_ema
    gradient_accumulator     of each parameter, with gradient_accumulation_steps
    velocity                 of each parameter; rms in the legacy optimizer
    momentum                 of each parameter, with momentum above 0
    average_gradient         of each parameter, with centered; mg in the legacy optimizer

So what stands where follows from the optimizer's config, and names have to come from elsewhere. An order that is wrong
among parameters of the same shape cannot be noticed.
"""

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from rmsprop_optax import dialects
from rmsprop_optax.interop import layout
from rmsprop_optax.interop._keras_file import count_at, last_name, load, save
from rmsprop_optax.interop.slots import Slots, rescaled, some

__all__ = ["call", "load", "optimizer", "read", "save", "write"]

_KINDS = {
    "velocity": "mean_square",
    "rms": "mean_square",
    "momentum": "momentum",
    "average_gradient": "mean",
    "mg": "mean",
}


def read(
    checkpoint: Any,
    names: Iterable[str] | Mapping[str, Any] | None = None,
    convert: layout.Convert = dict,
    *,
    config: Mapping[str, Any] | None = None,
) -> Slots:
    """The slots of an optimizer's variables. Averages of weights, with ``use_ema``, are none and are passed over.

    Args:
      checkpoint: ``optimizer.variables`` (in tf.keras' legacy one ``optimizer.weights``); or the arrays in the same
        order, or under "0", "1", … as ``save_own_variables`` stores them; or what :func:`load` returns.
      names: of the parameters in the order in which the optimizer got them, that of ``model.trainable_variables``; with
        arrays, shapes are compared. ``None`` takes them from the variables where these have names, else "0", "1", ….
      convert: the function that makes the tree of parameters here of ``{name: array}``.
      config: ``optimizer.get_config()`` or a part of it, such as ``{"momentum": 0.9, "centered": True}``, where what
        is absent has Keras's default, and a number at "1" is the learning rate if there is one. Needed for arrays
        without names whose file has no config, and with ``gradient_accumulation_steps``.

    Returns:
      The slots, which are views where ``convert`` leaves them.

    Raises:
      ValueError: number, names or shapes of the variables are not what the config says, or part of a step's gradients
        has been gathered. The error says how they were understood.

    Example:
      >>> store = {"0": np.int32(100), "1": np.float32(0.1), "2": np.array([4.0, 9.0]), "3": np.array([0.5, 0.0])}
      >>> slots = read(store, ["dense/bias"], config={"momentum": 0.9})
      >>> slots.mean_square, slots.momentum, slots.count
      ({'dense/bias': array([4., 9.])}, {'dense/bias': array([0.5, 0. ])}, 100)

    Source:
      keras-team/keras 3.15.1: keras/src/optimizers/rmsprop.py, keras/src/optimizers/base_optimizer.py; tf_keras 2.21.0:
      tf_keras/src/optimizers/rmsprop.py, tf_keras/src/optimizers/legacy/rmsprop.py.
    """
    arrays, found = _understood(checkpoint, names, config)

    def tree(positions: Sequence[int]) -> Any:
        return layout.forward({name: arrays[i] for name, i in zip(found.names, positions, strict=True)}, convert)

    slots = {slot: tree(positions) for slot, positions in found.slots.items()}
    return Slots(**slots, count=found.count, lr_in_momentum=True if "momentum" in slots else None)


def write(
    like: Any,
    slots: Slots,
    names: Iterable[str] | Mapping[str, Any] | None = None,
    convert: layout.Convert = dict,
    *,
    config: Mapping[str, Any] | None = None,
    learning_rate: Any = None,
) -> dict[str, Any]:
    """An optimizer's variables with the slots' numbers, the inverse of :func:`read`.

    Args:
      like: the variables of the optimizer that is to go on, as for :func:`read`; of a fresh one after
        ``optimizer.build(model.trainable_variables)``. What is in no slot stays as it is there: Keras's own learning
        rate, averages of weights, and the scale of the loss.
      slots: trees like the one that ``convert`` makes.
      names: as for :func:`read`.
      convert: the function that makes the tree of ``{name: array}``; it is followed backwards.
      config: as for :func:`read`.
      learning_rate: as in :func:`rmsprop_optax.interop.write`.

    Returns:
      ``{"0": …, "1": …}`` with the dtypes of ``like``, for ``optimizer.load_own_variables``; where ``like`` comes from
      :func:`load`, all of it with these, for :func:`save`.

    Raises:
      ValueError: as :func:`read` does; or the slots are not those of the optimizer, or have no count, or the learning
        rate is missing or without a use.

    Example:
      >>> like = [np.int32(0), np.float32(0.1), np.zeros(2, np.float32)]
      >>> write(like, Slots({"dense/bias": np.array([4.0, 9.0])}, count=100), ["dense/bias"], config={})
      {'0': array(100, dtype=int32), '1': array(0.1, dtype=float32), '2': array([4., 9.], dtype=float32)}

    Source:
      As :func:`read`.
    """
    arrays, found = _understood(like, names, config)
    trees = {slot: tree for slot in dict.fromkeys(_KINDS.values()) if (tree := getattr(slots, slot)) is not None}
    wrong = [f"no {slot}" for slot in found.slots if slot not in trees]
    wrong += [f"a {slot}, for which it has no variables" for slot in trees if slot not in found.slots]
    wrong += ["no count, which slots._replace(count=…) sets"] if slots.count is None else []
    is_masked = lambda x: isinstance(x, optax.MaskedNode)  # noqa: E731
    wrong += ["parameters that are left alone"] * any(map(is_masked, jax.tree.leaves(trees, is_leaf=is_masked)))
    if wrong:
        raise ValueError(
            f"slots must be those of the optimizer in Keras, got {some(wrong)}: make it with the options of the run, "
            "or change the options of the run with interop.transfer."
        )
    trees["momentum"] = rescaled(slots, True, learning_rate)
    new = list(arrays)
    new[found.iteration] = np.asarray(slots.count * found.every)
    shapes = {name: arrays[i].shape for name, i in zip(found.names, found.slots["mean_square"], strict=True)}
    for slot, positions in found.slots.items():
        for i, array in zip(positions, layout.backward(trees[slot], shapes, convert).values(), strict=True):
            new[i] = array
    variables = {str(i): x.astype(old.dtype, copy=False) for i, (x, old) in enumerate(zip(new, arrays, strict=True))}
    return {**like, "optimizer": variables} if _is_file(like) else variables


def optimizer(config: Mapping[str, Any], **changes: Any) -> optax.GradientTransformationExtraArgs:
    """The transformation that goes on as the optimizer would.

    Args:
      config: ``optimizer.get_config()``, or that of :func:`load`. Its ``use_ema`` and the factors of the loss are
        outside the rule and are passed over; with ``gradient_accumulation_steps`` it is ``optax.MultiSteps``.
      **changes: arguments of :func:`rmsprop_optax.dialects.keras`, or of ``tf_keras_legacy`` where the config is of
        that, that replace those of the config: a schedule, or a ``weight_decay_mask``, since what Keras excludes from
        weight decay is not in the config.

    Raises:
      ValueError: the config is not RMSprop's; or it has a schedule without a counterpart in optax, or one with
        ``gradient_accumulation_steps``, where Keras counts gradients and optax steps; or ``ema_overwrite_frequency``.

    Example:
      >>> tx = optimizer({"learning_rate": 0.1, "momentum": 0.9, "rho": 0.9, "epsilon": 1e-7, "centered": False})
      >>> optax.tree.get(tx.init(np.zeros(2, np.float32)), "trace")
      Array([0., 0.], dtype=float32)

    Source:
      keras-team/keras 3.15.1: keras/src/optimizers/base_optimizer.py, optimizers/schedules/learning_rate_schedule.py.
    """
    tx = _made(_call(config, changes))
    return tx.gradient_transformation() if isinstance(tx, optax.MultiSteps) else tx


def call(config: Mapping[str, Any], **changes: Any) -> str:
    """The call that makes :func:`optimizer`, as text; a schedule of the user's is shown by its name.

    Args:
      config: as for :func:`optimizer`.
      **changes: likewise.

    Raises:
      ValueError: likewise.

    Example:
      >>> schedule = {"initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.9, "staircase": False}
      >>> call({"learning_rate": {"class_name": "ExponentialDecay", "config": schedule}, "momentum": 0.9})
      'dialects.keras(learning_rate=optax.exponential_decay(init_value=0.1, transition_steps=100, decay_rate=0.9, \
staircase=False), momentum=0.9)'
    """
    return _text(_call(config, changes))


class _Found(NamedTuple):
    """How a list of variables was understood."""

    iteration: int
    names: list[str]
    slots: dict[str, list[int]]
    every: int = 1
    count: Any = 0


def _is_file(checkpoint: Any) -> bool:
    return isinstance(checkpoint, Mapping) and "optimizer" in checkpoint


def _understood(checkpoint: Any, names: Any, config: Any) -> tuple[list[np.ndarray], _Found]:
    if _is_file(checkpoint):
        config = checkpoint.get("config") if config is None else config
        checkpoint = checkpoint["optimizer"]
    if isinstance(checkpoint, Mapping):
        missing = [str(i) for i in range(len(checkpoint)) if str(i) not in checkpoint]
        if missing:
            raise ValueError(
                f"an optimizer's variables must be under 0 to {len(checkpoint) - 1}, got none under {some(missing)}: "
                "pass optimizer.variables, or what load returns."
            )
        checkpoint = [checkpoint[str(i)] for i in range(len(checkpoint))]
    variables = list(checkpoint)
    arrays = [np.asarray(v) for v in variables]
    shapes = [a.shape for a in arrays]
    given = None if names is None else layout.names_of(names)
    paths: list[Any] = [getattr(v, "path", None) or getattr(v, "name", None) for v in variables]
    hyperparameters = None if config is None else _hyperparameters(config)
    if paths and all(isinstance(path, str) for path in paths):
        found = _by_name(paths, given, hyperparameters)
    else:
        found = _by_position(shapes, given, hyperparameters)
    first = found.slots["mean_square"]
    wrong = [
        f"a {slot} of {name} with shape {shapes[i]} for {shapes[j]}"
        for slot, positions in found.slots.items()
        for name, i, j in zip(found.names, positions, first, strict=True)
        if shapes[i] != shapes[j]
    ]
    if isinstance(names, Mapping):
        sizes = [(name, np.shape(x), shapes[i]) for (name, x), i in zip(names.items(), first, strict=True)]
        wrong += [
            f"a mean_square of {name} with shape {size} for {shape}" for name, shape, size in sizes if shape != size
        ]
    if wrong:
        raise ValueError(
            f"slots must have the shapes of the parameters, got {some(wrong)}: compare the order of the names with "
            "that of model.trainable_variables."
        )
    iteration, every = arrays[found.iteration], found.every
    if iteration.shape or iteration.dtype.kind not in "iu" or iteration < 0:
        raise ValueError(
            f"the variables of an optimizer must begin with the number of steps, got {iteration.dtype} with shape "
            f"{iteration.shape} at {found.iteration}: pass all of them, of an RMSprop."
        )
    if iteration % every:
        raise ValueError(
            f"iteration must be a multiple of gradient_accumulation_steps, got {iteration} for {every}: the gradients "
            "that have been gathered are in no slot. Save after a whole step, or lower iteration to give them up."
        )
    return arrays, found._replace(count=int(iteration) // every)


_NAMES = {
    "Keras 3": re.compile(
        r"(?:.*/)?(?P<name>.+)_(?P<kind>velocity|momentum|average_gradient|average|gradient_accumulator)"
    ),
    "tf.keras": re.compile(r"(?:.+?/)?(?P<kind>velocity|momentum|average_gradient|average)/(?P<name>.+):\d+"),
    "legacy": re.compile(r"(?P<name>.+)/(?P<kind>rms|momentum|mg):\d+"),
}


def _by_name(paths: list[str], names: list[str] | None, config: Mapping[str, Any] | None) -> _Found:
    start = count_at(paths)
    pattern = _NAMES["legacy" if last_name(paths[start]) == "iter" else "tf.keras" if ":" in paths[-1] else "Keras 3"]
    prefix = paths[start].rpartition("/")[0] + "/"
    held: dict[str, dict[str, int]] = {}
    for i, path in enumerate(paths[start + 1 :], start + 1):
        match = pattern.fullmatch(path)
        if match:
            # tf.keras sets the optimizer's name before those of all its variables, or of none.
            of_kind, name = held.setdefault(match["kind"], {}), match["name"].removeprefix(prefix)
            if name in of_kind:
                raise ValueError(
                    f"two variables are named {path}, which leaves open whose they are: pass [np.asarray(v) for v in "
                    "optimizer.variables] with names and optimizer.get_config()."
                )
            of_kind[name] = i
        elif (i, last_name(path)) != (start + 1, "learning_rate"):
            raise ValueError(f"the variables must be those of RMSprop, got {path}: pass the optimizer's own.")
    every = (config or {}).get("gradient_accumulation_steps") or 1
    if ("gradient_accumulator" in held) != (every > 1):
        raise ValueError(
            "config must have the gradient_accumulation_steps of the optimizer, got "
            f"{every} for variables with{'' if 'gradient_accumulator' in held else 'out'} gradient_accumulator: pass "
            "config=optimizer.get_config()."
        )
    slots = {_KINDS[kind]: of_kind for kind, of_kind in held.items() if kind in _KINDS}
    own = list(slots.get("mean_square", ()))
    wrong = [f"no {slot} of {name}" for slot, of_kind in slots.items() for name in own if name not in of_kind]
    wrong += [f"a {slot} of {name} alone" for slot, of_kind in slots.items() for name in of_kind if name not in own]
    # Adam has variables of the same names, momentum first.
    if wrong or not own or start < 0 or next(iter(slots)) != "mean_square":
        raise ValueError(
            "the variables must be iteration, then velocity of each parameter, then momentum or average_gradient of "
            f"each, got {some(wrong or paths)}: pass all variables of a built RMSprop."
        )
    if names is not None:
        plain = [re.sub("[/:]", "_", name.removesuffix(":0")) for name in names]
        known = [name.replace("/", "_") for name in own]
        if len(names) != len(own) or (plain != known and sorted(plain) == sorted(known)):
            raise ValueError(
                f"names must be those of the {len(own)} parameters of the optimizer, in its order, {some(own)}, got "
                f"{len(names)}, {some(names)}: pass the names of model.trainable_variables."
            )
    positions = {slot: [of_kind[name] for name in own] for slot, of_kind in slots.items()}
    return _Found(start, own if names is None else names, positions, every)


def _by_position(shapes: list[tuple], names: list[str] | None, config: Mapping[str, Any] | None) -> _Found:
    if config is None:
        raise ValueError(
            "config must be given for variables without names, got none: pass optimizer.get_config(), or "
            "{'momentum': …, 'centered': …} as the optimizer was made."
        )
    every = config.get("gradient_accumulation_steps") or 1
    passed = ["average"] * bool(config.get("use_ema")) + ["gradient_accumulator"] * (every > 1)
    kinds = [
        "velocity",
        *["momentum"] * bool(config.get("momentum", 0) > 0),
        *["average_gradient"] * bool(config.get("centered", False)),
    ]
    groups = len(passed) + len(kinds)
    # tf.keras keeps its learning rate elsewhere, and says is_legacy_optimizer, or decay, in the config.
    is_elsewhere = isinstance(config.get("learning_rate"), Mapping) or {"is_legacy_optimizer", "decay"} & config.keys()
    heads = ["iteration"] if is_elsewhere else ["iteration", "learning_rate"]
    if "learning_rate" not in config and any(shapes[1:2]):
        heads = ["iteration"]
    first = len(heads)
    number, rest = divmod(len(shapes) - first, groups)
    parts = [shapes[first + i * number : first + (i + 1) * number] for i in range(len(passed), groups)]
    is_other = names is not None and len(names) != number
    if number < 1 or rest or is_other or any(shapes[:first]) or any(part != parts[0] for part in parts):
        of = "the parameters" if names is None else f"{len(names)} parameters"
        raise ValueError(
            f"an optimizer's variables must be {', '.join(heads)}, then {', '.join([*passed, *kinds])} of {of}, as the "
            f"config says, got {len(shapes)} with the shapes {some([str(shape) for shape in shapes])}: compare "
            "momentum, centered, use_ema, gradient_accumulation_steps, whether learning_rate is a schedule, and the "
            "number of names, with those of the run."
        )
    starts = {kind: first + i * number for i, kind in enumerate(kinds, len(passed))}
    positions = {_KINDS[kind]: list(range(i, i + number)) for kind, i in starts.items()}
    return _Found(0, [str(i) for i in range(number)] if names is None else names, positions, every)


def _hyperparameters(config: Any) -> Mapping[str, Any]:
    """The arguments of the RMSprop in what ``get_config`` or ``serialize`` gave."""
    if isinstance(config, Mapping) and isinstance(config.get("config"), Mapping):
        name, inner = str(config.get("class_name")).rpartition(">")[2], config["config"]
        if name != "RMSprop" and "inner_optimizer" not in inner:
            raise ValueError(f"the optimizer must be Keras's RMSprop, got {name}: other rules have other slots.")
        config = inner
    if isinstance(config, Mapping) and "inner_optimizer" in config:
        return _hyperparameters(config["inner_optimizer"])
    if not isinstance(config, Mapping) or ("name" in config and not {"rho", "momentum", "centered"} <= config.keys()):
        raise ValueError(f"config must be what an RMSprop's get_config() returns, got {config!r}.")
    return config


class _Call(NamedTuple):
    """A function of this package or of optax and its arguments, among which there may be such again."""

    function: str
    arguments: dict[str, Any]


def _made(x: Any) -> Any:
    if isinstance(x, _Call):
        module, name = x.function.split(".")
        return getattr({"dialects": dialects, "optax": optax}[module], name)(
            **{k: _made(v) for k, v in x.arguments.items()}
        )
    return [_made(v) for v in x] if isinstance(x, list) else x


def _text(x: Any) -> str:
    if isinstance(x, _Call):
        return f"{x.function}({', '.join(f'{k}={_text(v)}' for k, v in x.arguments.items())})"
    if isinstance(x, list):
        return f"[{', '.join(map(_text, x))}]"
    if callable(x):
        name = getattr(x, "__name__", "")
        return name if name.isidentifier() else "schedule"
    return repr(x)


def _call(config: Any, changes: Mapping[str, Any]) -> _Call:
    config = _hyperparameters(config)
    if config.get("use_ema") and config.get("ema_overwrite_frequency"):
        raise ValueError(
            f"ema_overwrite_frequency must be off, got {config['ema_overwrite_frequency']}: averages that replace "
            "parameters are no part of RMSprop here. Set it to None in the config, and replace them in the training "
            "loop."
        )
    name = "keras" if "weight_decay" in config or "decay" not in config else "tf_keras_legacy"
    taken = inspect.signature(getattr(dialects, name)).parameters
    given = {key: _short(config[key]) for key in taken if config.get(key) is not None} | dict(changes)
    every = config.get("gradient_accumulation_steps") or 1
    if isinstance(given.get("learning_rate"), Mapping):
        given["learning_rate"] = _schedule(given["learning_rate"], every)
    rule = _Call(f"dialects.{name}", given)
    return rule if every == 1 else _Call("optax.MultiSteps", {"opt": rule, "every_k_schedule": every})


def _schedule(serialized: Mapping[str, Any], every: int) -> _Call:
    name, config = str(serialized.get("class_name")).rpartition(">")[2], serialized.get("config")
    if isinstance(config, Mapping) and every == 1:
        get = {key: _short(value) for key, value in config.items()}.get
        start, steps = get("initial_learning_rate"), get("decay_steps")
        if name == "ExponentialDecay":
            arguments = {"decay_rate": get("decay_rate"), "staircase": get("staircase", False)}
            return _Call("optax.exponential_decay", {"init_value": start, "transition_steps": steps, **arguments})
        if name == "PolynomialDecay" and not get("cycle"):
            arguments = {"end_value": get("end_learning_rate"), "power": get("power"), "transition_steps": steps}
            return _Call("optax.polynomial_schedule", {"init_value": start, **arguments})
        if name == "CosineDecay":
            target, warmup = get("warmup_target"), get("warmup_steps", 0)
            peak = start if target is None else target
            decay = _Call(
                "optax.cosine_decay_schedule", {"init_value": peak, "decay_steps": steps, "alpha": get("alpha", 0.0)}
            )
            if target is None or not warmup:
                return decay
            rise = {"init_value": start, "end_value": target, "transition_steps": warmup}
            return _joined([_Call("optax.linear_schedule", rise), decay], [warmup])
        if name == "PiecewiseConstantDecay":
            parts = [_Call("optax.constant_schedule", {"value": _short(value)}) for value in config["values"]]
            return _joined(parts, [boundary + 1 for boundary in config["boundaries"]])
    raise ValueError(
        f"learning_rate must be given instead of {name}"
        + (", which counts gradients in Keras where optax.MultiSteps counts steps" if every > 1 else "")
        + ": a function of the number of steps so far."
    )


def _joined(schedules: list[_Call], boundaries: list[int]) -> _Call:
    return _Call("optax.join_schedules", {"schedules": schedules, "boundaries": boundaries})


def _short(x: Any) -> Any:
    """A number that was in float32, as it was typed."""
    x = x.item() if isinstance(x, np.generic) else x
    return float(str(np.float32(x))) if isinstance(x, float) and np.float32(x) == x else x
