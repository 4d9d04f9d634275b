"""Assign the variables of a Keras optimizer to slots, by name or by position and config."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmsprop_optax._paths import some
from rmsprop_optax.interop import layout
from rmsprop_optax.interop._keras_config import hyperparameters
from rmsprop_optax.interop._keras_file import count_at, last_name

KINDS = {
    "velocity": "mean_square",
    "rms": "mean_square",
    "momentum": "momentum",
    "average_gradient": "mean",
    "mg": "mean",
}
"""Keras's name of a variable → our name of the slot."""

_NAMES = {
    "Keras 3": re.compile(
        r"(?:.*/)?(?P<name>.+)_(?P<kind>velocity|momentum|average_gradient|average|gradient_accumulator)"
    ),
    "tf.keras": re.compile(r"(?:.+?/)?(?P<kind>velocity|momentum|average_gradient|average)/(?P<name>.+):\d+"),
    "legacy": re.compile(r"(?P<name>.+)/(?P<kind>rms|momentum|mg):\d+"),
}


class Found(NamedTuple):
    """The layout of an optimizer's variables.

    Attributes:
      iteration: the position of the step counter.
      names: the names of the parameters.
      slots: slot → the positions of its variables, in the order of the names.
      every: the number of gradients in a step.
      steps: the number of steps.
    """

    iteration: int
    names: list[str]
    slots: dict[str, list[int]]
    every: int = 1
    steps: int = 0


def is_file(checkpoint: Any) -> bool:
    """Whether a checkpoint is a result of ``load``."""
    return isinstance(checkpoint, Mapping) and "optimizer" in checkpoint


def understood(
    checkpoint: Any, names: layout.Names | None, config: Mapping[str, Any] | None
) -> tuple[list[np.ndarray], Found]:
    """The arrays of the variables, and their layout.

    Raises:
      ValueError: number, names or shapes of the variables contradict each other, ``names`` or ``config``.
    """
    if is_file(checkpoint):
        config = checkpoint.get("config") if config is None else config
        checkpoint = checkpoint["optimizer"]
    variables = _listed(checkpoint)
    arrays = [np.asarray(v) for v in variables]
    given = None if names is None else layout.names_of(names)
    paths: list[Any] = [getattr(v, "path", None) or getattr(v, "name", None) for v in variables]
    arguments = None if config is None else hyperparameters(config)
    if paths and all(isinstance(path, str) for path in paths):
        found = _by_name(paths, given, arguments)
    else:
        found = _by_position([a.shape for a in arrays], given, arguments)
    _check_shapes(arrays, found, names)
    return arrays, found._replace(steps=_steps(arrays, found))


def _listed(checkpoint: Mapping[str, Any] | Iterable[Any]) -> list[Any]:
    """The variables in a list, from a list or from a dict with the keys "0", "1", …."""
    if not isinstance(checkpoint, Mapping):
        return list(checkpoint)
    missing = [str(i) for i in range(len(checkpoint)) if str(i) not in checkpoint]
    if missing:
        raise ValueError(
            f"the variables of an optimizer must have the keys 0 to {len(checkpoint) - 1}, got none at "
            f"{some(missing)}: pass optimizer.variables, or the result of load."
        )
    return [checkpoint[str(i)] for i in range(len(checkpoint))]


def _check_shapes(arrays: Sequence[np.ndarray], found: Found, names: layout.Names | None) -> None:
    """Compare the shapes of a parameter's slots with its mean square, and the mean square with the user's array."""
    shapes, first = [a.shape for a in arrays], found.slots["mean_square"]
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
            "model.trainable_variables."
        )


def _steps(arrays: Sequence[np.ndarray], found: Found) -> int:
    """The number of steps, each of ``found.every`` gradients."""
    iteration, every = arrays[found.iteration], found.every
    if iteration.shape or iteration.dtype.kind not in "iu" or iteration < 0:
        raise ValueError(
            f"the variable at position {found.iteration} must be the number of steps, an integer of at least 0, got "
            f"{iteration.dtype} with shape {iteration.shape}: pass all variables of an RMSprop."
        )
    if iteration % every:
        raise ValueError(
            f"iteration must be a multiple of gradient_accumulation_steps, got {iteration} for {every}: no slot holds "
            "accumulated gradients. Save after a whole step, or lower iteration to drop them."
        )
    return int(iteration) // every


def _by_name(paths: list[str], names: list[str] | None, config: Mapping[str, Any] | None) -> Found:
    start = count_at(paths)
    pattern = _NAMES["legacy" if last_name(paths[start]) == "iter" else "tf.keras" if ":" in paths[-1] else "Keras 3"]
    prefix = paths[start].rpartition("/")[0] + "/"
    held: dict[str, dict[str, int]] = {}
    for i, path in enumerate(paths[start + 1 :], start + 1):
        match = pattern.fullmatch(path)
        if match:
            # tf.keras puts the optimizer's name before the names of all variables, or of none.
            of_kind, name = held.setdefault(match["kind"], {}), match["name"].removeprefix(prefix)
            if name in of_kind:
                raise ValueError(
                    f"each variable must have a name of its own, got {path} twice: pass [np.asarray(v) for v in "
                    "optimizer.variables] with names and optimizer.get_config()."
                )
            of_kind[name] = i
        elif (i, last_name(path)) != (start + 1, "learning_rate"):
            raise ValueError(f"the variables must belong to an RMSprop, got {path}: pass optimizer.variables.")
    every = (config or {}).get("gradient_accumulation_steps") or 1
    if ("gradient_accumulator" in held) != (every > 1):
        raise ValueError(
            "config must have the gradient_accumulation_steps of the optimizer, got "
            f"{every} for variables with{'' if 'gradient_accumulator' in held else 'out'} gradient_accumulator: pass "
            "config=optimizer.get_config()."
        )
    slots = {KINDS[kind]: of_kind for kind, of_kind in held.items() if kind in KINDS}
    own = list(slots.get("mean_square", ()))
    wrong = [f"no {slot} of {name}" for slot, of_kind in slots.items() for name in own if name not in of_kind]
    wrong += [f"a {slot} of {name} alone" for slot, of_kind in slots.items() for name in of_kind if name not in own]
    # Adam's variables have the same names; its momentum comes first.
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
                f"names must be those of the optimizer's {len(own)} parameters, in its order ({some(own)}), got "
                f"{len(names)} ({some(names)}): pass the names of model.trainable_variables."
            )
    positions = {slot: [of_kind[name] for name in own] for slot, of_kind in slots.items()}
    return Found(start, own if names is None else names, positions, every)


def _by_position(shapes: list[tuple[int, ...]], names: list[str] | None, config: Mapping[str, Any] | None) -> Found:
    if config is None:
        raise ValueError(
            "config must be given for variables without names, got none: pass optimizer.get_config(), or "
            "{'momentum': …, 'centered': …} with the optimizer's values."
        )
    every = config.get("gradient_accumulation_steps") or 1
    passed = ["average"] * bool(config.get("use_ema")) + ["gradient_accumulator"] * (every > 1)
    kinds = [
        "velocity",
        *["momentum"] * bool(config.get("momentum", 0) > 0),
        *["average_gradient"] * bool(config.get("centered", False)),
    ]
    groups = len(passed) + len(kinds)
    # tf.keras has no variable for its learning rate. Its config has is_legacy_optimizer, or decay.
    rate = config.get("learning_rate")
    is_elsewhere = isinstance(rate, Mapping) or callable(rate) or {"is_legacy_optimizer", "decay"} & config.keys()
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
            f"by the config, the variables must be {', '.join(heads)}, then {', '.join([*passed, *kinds])} of {of}, "
            f"got {len(shapes)} variables of the shapes {some([str(shape) for shape in shapes])}: compare momentum, "
            "centered, use_ema, gradient_accumulation_steps, whether learning_rate is a schedule, and the number of "
            "names, with the run."
        )
    starts = {kind: first + i * number for i, kind in enumerate(kinds, len(passed))}
    positions = {KINDS[kind]: list(range(i, i + number)) for kind, i in starts.items()}
    return Found(0, [str(i) for i in range(number)] if names is None else names, positions, every)
