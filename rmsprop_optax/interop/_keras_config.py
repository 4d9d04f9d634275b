"""Make the optimizer that continues a run of Keras's RMSprop, from its config."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import optax

from rmsprop_optax import dialects
from rmsprop_optax.interop._call import Call, made, text

_NO_ARGUMENTS = {
    *("name", "use_ema", "ema_momentum", "ema_overwrite_frequency", "loss_scale_factor"),
    *("gradient_accumulation_steps", "jit_compile", "is_legacy_optimizer"),
}
"""Config keys that are not arguments of a dialect."""


def optimizer(config: Mapping[str, Any], **changes: Any) -> optax.GradientTransformationExtraArgs:
    """The transformation that continues the run of a Keras optimizer.

    Args:
      config: ``optimizer.get_config()``, or the config that :func:`load` returns. ``use_ema`` and the loss scale do not
        belong to the rule and are ignored. ``gradient_accumulation_steps`` becomes ``optax.MultiSteps``.
      **changes: arguments of :func:`rmsprop_optax.dialects.keras`, or of ``tf_keras_legacy`` for a legacy optimizer,
        that replace those of the config. Pass ``learning_rate``, a function of all steps from 0 on, if a callback
        changed the rate (otherwise the rate of the last step is kept) or if optax does not have the schedule. Pass
        ``weight_decay_mask`` if Keras excludes variables from weight decay: the config does not name these variables.

    Raises:
      ValueError: the config belongs to another optimizer, or has an option without a counterpart here: a schedule that
        optax does not have, a schedule with ``gradient_accumulation_steps`` (Keras counts gradients, optax counts
        steps), or ``ema_overwrite_frequency``.

    Example:
      >>> tx = optimizer({"learning_rate": 0.1, "momentum": 0.9, "rho": 0.9, "epsilon": 1e-7, "centered": False})
      >>> optax.tree.get(tx.init(np.zeros(2, np.float32)), "trace")
      Array([0., 0.], dtype=float32)

    Source:
      keras-team/keras 3.15.1: keras/src/optimizers/base_optimizer.py, optimizers/schedules/learning_rate_schedule.py.
    """
    tx = made(_call(config, changes))
    return tx.gradient_transformation() if isinstance(tx, optax.MultiSteps) else tx


def call(config: Mapping[str, Any], **changes: Any) -> str:
    """Return Python code for the optimizer of :func:`optimizer`, with the name of a schedule that the user passed.

    Args:
      config: ``optimizer.get_config()``, or the config that :func:`load` returns.
      **changes: arguments of the dialect that replace those of the config.

    Raises:
      ValueError: the config belongs to another optimizer, or has no counterpart here.

    Example:
      >>> schedule = {"initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.9, "staircase": False}
      >>> call({"learning_rate": {"class_name": "ExponentialDecay", "config": schedule}, "momentum": 0.9})
      'dialects.keras(learning_rate=optax.exponential_decay(init_value=0.1, transition_steps=100, decay_rate=0.9, \
staircase=False), momentum=0.9)'
    """
    return text(_call(config, changes))


def hyperparameters(config: Any) -> Mapping[str, Any]:
    """Return the arguments of RMSprop from the result of ``get_config`` or ``serialize``.

    Raises:
      ValueError: the config belongs to another optimizer.
    """
    if isinstance(config, Mapping) and isinstance(config.get("config"), Mapping):
        name, inner = str(config.get("class_name")).rpartition(">")[2], config["config"]
        if name != "RMSprop" and "inner_optimizer" not in inner:
            raise ValueError(f"the optimizer must be Keras's RMSprop, got {name}: other rules have other slots.")
        config = inner
    if isinstance(config, Mapping) and "inner_optimizer" in config:
        return hyperparameters(config["inner_optimizer"])
    if not isinstance(config, Mapping) or ("name" in config and not {"rho", "momentum", "centered"} <= config.keys()):
        raise ValueError(f"config must belong to an RMSprop, got {config!r}: pass optimizer.get_config().")
    for key, value in config.items():
        if key not in _NO_ARGUMENTS and key not in {*_taken("keras"), *_taken("tf_keras_legacy")}:
            try:
                dialects.keras(**{key: value})
            except TypeError as error:  # its text suggests the nearest argument
                raise ValueError(f"config must have the hyperparameters of Keras's RMSprop: {error}") from error
    rate: Any = config.get("learning_rate")
    if not hasattr(rate, "get_config"):
        return config
    # RMSprop.from_config replaces a schedule's config by the schedule.
    return {**config, "learning_rate": {"class_name": type(rate).__name__, "config": rate.get_config()}}


def _taken(dialect: str) -> Mapping[str, Any]:
    return inspect.signature(getattr(dialects, dialect)).parameters


def _call(config: Any, changes: Mapping[str, Any]) -> Call:
    config = hyperparameters(config)
    if config.get("use_ema") and config.get("ema_overwrite_frequency"):
        raise ValueError(
            f"ema_overwrite_frequency must be None, got {config['ema_overwrite_frequency']}: no RMSprop here replaces "
            "parameters by their averages. Set it to None in the config, and replace the parameters in the training "
            "loop."
        )
    name = "keras" if "weight_decay" in config or "decay" not in config else "tf_keras_legacy"
    given = {key: _short(config[key]) for key in _taken(name) if config.get(key) is not None} | dict(changes)
    every = config.get("gradient_accumulation_steps") or 1
    if isinstance(given.get("learning_rate"), Mapping):
        given["learning_rate"] = _schedule(given["learning_rate"], every)
    rule = Call(f"dialects.{name}", given)
    return rule if every == 1 else Call("optax.MultiSteps", {"opt": rule, "every_k_schedule": every})


def _schedule(serialized: Mapping[str, Any], every: int) -> Call:
    name, config = str(serialized.get("class_name")).rpartition(">")[2], serialized.get("config")
    if isinstance(config, Mapping) and every == 1:
        get = {key: _short(value) for key, value in config.items()}.get
        start, steps = get("initial_learning_rate"), get("decay_steps")
        if name == "ExponentialDecay":
            arguments = {"decay_rate": get("decay_rate"), "staircase": get("staircase", False)}
            return Call("optax.exponential_decay", {"init_value": start, "transition_steps": steps, **arguments})
        if name == "PolynomialDecay" and not get("cycle"):
            arguments = {"end_value": get("end_learning_rate"), "power": get("power"), "transition_steps": steps}
            return Call("optax.polynomial_schedule", {"init_value": start, **arguments})
        if name == "CosineDecay":
            target, warmup = get("warmup_target"), get("warmup_steps", 0)
            peak = start if target is None else target
            decay = Call(
                "optax.cosine_decay_schedule", {"init_value": peak, "decay_steps": steps, "alpha": get("alpha", 0.0)}
            )
            if target is None or not warmup:
                return decay
            rise = {"init_value": start, "end_value": target, "transition_steps": warmup}
            return _joined([Call("optax.linear_schedule", rise), decay], [warmup])
        if name == "PiecewiseConstantDecay":
            parts = [Call("optax.constant_schedule", {"value": _short(value)}) for value in config["values"]]
            return _joined(parts, [boundary + 1 for boundary in config["boundaries"]])
    why = "counts gradients, while optax.MultiSteps counts steps" if every > 1 else "has no counterpart in optax"
    raise ValueError(
        f"learning_rate must be given, got the schedule {name}, which {why}: pass a function of the number of steps."
    )


def _joined(schedules: list[Call], boundaries: list[int]) -> Call:
    return Call("optax.join_schedules", {"schedules": schedules, "boundaries": boundaries})


def _short(x: Any) -> Any:
    """Write a float32 number with its shortest digits: 0.1 for 0.10000000149011612."""
    x = x.item() if isinstance(x, np.generic) else x
    return float(str(np.float32(x))) if isinstance(x, float) and np.float32(x) == x else x
