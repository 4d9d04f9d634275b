"""Where dialects differ: in words, and in numbers on the same stream of gradients."""

import inspect
import math
import re
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax.dialects import TABLE, Dialect

__all__ = [
    "DECAY",
    "EPS",
    "LEARNING_RATE",
    "MOMENTUM",
    "NOTES",
    "REFUSED",
    "WEIGHTS",
    "movements",
    "settings",
    "stream",
    "words",
]

LEARNING_RATE, DECAY, EPS, MOMENTUM = 0.01, 0.9, 1e-3, 0.9
"""What :func:`settings` gives to every dialect alike; an epsilon as large as those of the image recipes shows."""

WEIGHTS = {
    "typical": "0.5 ± 1, noisy",
    "small": "0.0001 of the typical ones",
    "sparse": "1 at every 20th step, else 0",
    "constant": "always 0.1",
    "turning": "1 and -1, 20 steps each",
}
"""Weight → its gradients in :func:`stream`."""

NOTES = {"tensorflowjs": "Centered, tensorflowjs subtracts epsilon under the root."}
"""Dialect → what :data:`rmsprop_optax.dialects.TABLE` and the signatures do not say."""

REFUSED = {"bitsandbytes": ("momentum", "centered"), "oneflow": ("momentum",)}
"""Dialect → the arguments that it takes only to refuse them."""


def words(a: str, b: str) -> list[str]:
    """The differences between two dialects in sentences.

    Args:
      a: a row of :data:`rmsprop_optax.dialects.TABLE`.
      b: another one. Exchanging them changes no fact.

    Returns:
      What is divided by, the start, options that are on by default, momentum, weight decay, arguments, defaults: a
      sentence for each that differs, and one that says so where the rules are equal. What an argument is called makes
      no difference.

    Raises:
      KeyError: there is no such dialect.

    Example:
      >>> for sentence in words("tf1", "optax"):
      ...     print(sentence)
      The mean square starts from 1 in tf1, from 0 in optax.
      Only optax takes initial_scale, eps_in_sqrt, nesterov, bias_correction.
      Defaults: epsilon=1e-10 in tf1; eps=1e-08 in optax.

    Source:
      :data:`rmsprop_optax.dialects.TABLE`, the signatures of its constructors, and :data:`NOTES`.
    """
    one, two = TABLE[a], TABLE[b]
    sentences = []
    if _neutral(one, one.denominator) != _neutral(two, two.denominator):
        centered = [name for name, row in ((a, one), (b, two)) if "var" in row.denominator]
        note = "; var is the variance of the gradients, nu their mean square" if len(centered) == 1 else ""
        sentences.append(f"{a} divides by {one.denominator}, {b} by {two.denominator}{note}.")
    if _neutral(one, one.start) != _neutral(two, two.start):
        sentences.append(f"The mean square starts from {one.start} in {a}, from {two.start} in {b}.")
    if _active(one) != _active(two):
        sentences += [
            f"By default {name} has {_given(row, _active(row))}." for name, row in ((a, one), (b, two)) if _active(row)
        ]
    alike = not sentences
    parts = []
    if one.momentum != two.momentum:
        parts.append("momentum")
        sentences.append(_momentum(a, one, b, two))
    if one.weight_decay != two.weight_decay:
        parts.append("weight decay")
        sentences.append(_weight_decay(a, one, b, two))
    if alike:
        without = f"Without {' and '.join(parts)} the" if parts else "The"
        equal = "rules are equal for real parameters: the same numbers and no other option give the same steps."
        sentences.insert(0, f"{without} {equal}")
    sentences += [NOTES[name] for name in (a, b) if name in NOTES]
    return [*sentences, *_takes(a, one, b, two), *_takes(b, two, a, one), *_defaults(a, one, b, two)]


def _neutral(row: Dialect, rule: str) -> str:
    """The rule with epsilon called eps."""
    return re.sub(rf"\b{row.arguments.eps}\b", "eps", rule)


def _momentum(a: str, one: Dialect, b: str, two: Dialect) -> str:
    if {one.momentum, two.momentum} == {"before", "after"}:
        return (
            f"With momentum, the learning rate comes {one.momentum} the buffer in {a}, {two.momentum} it in {b}: "
            "they part when the rate changes."
        )
    return f"{a} has {_kind(one.momentum)}; {b} has {_kind(two.momentum)}."


def _kind(momentum: str) -> str:
    place, _, more = momentum.partition(", ")
    if place != "no buffer":
        return f"{more} momentum, with the learning rate {place} the buffer".lstrip()
    if more:
        return f"momentum only where centered, with the learning rate {more.removeprefix('centered ')} the buffer"
    return "no momentum"


def _has_momentum(row: Dialect) -> bool:
    """In the plain form, not the centered one alone."""
    return not row.momentum.startswith("no buffer")


def _weight_decay(a: str, one: Dialect, b: str, two: Dialect) -> str:
    if "none" not in (one.weight_decay, two.weight_decay):
        return f"Weight decay is {one.weight_decay} in {a}, {two.weight_decay} in {b}."
    name, row = (b, two) if one.weight_decay == "none" else (a, one)
    return f"Only {name} has weight decay: {row.weight_decay}."


def _takes(a: str, one: Dialect, b: str, two: Dialect) -> list[str]:
    """The arguments that the other has not, but for those that the other sentences speak of."""
    spoken = {"weight_decay", "weightDecay", "wc", "wd", *_active(one), *_options(b, two)}
    only = [
        f"{name} (not that of {b})" if name in two.arguments else name
        for name in _options(a, one)
        if name not in spoken
    ]
    return [f"Only {a} takes {', '.join(only)}."] if only else []


def _options(name: str, row: Dialect) -> list[str]:
    """The arguments that not every RMSprop has and that have an effect."""
    return [k for k in _parameters(row) if k not in row.arguments and k not in REFUSED.get(name, ())]


def _active(row: Dialect) -> dict[str, float]:
    """The options that are numbers and not off by default, but for those in the denominator."""
    options = {k: p.default for k, p in _parameters(row).items() if k not in row.arguments and k not in row.denominator}
    return {k: v for k, v in options.items() if type(v) in (int, float) and v and math.isfinite(v)}


def _defaults(a: str, one: Dialect, b: str, two: Dialect) -> list[str]:
    names = [(x, y) for x, y in zip(one.arguments, two.arguments, strict=True) if x and y]
    differing = [(x, y) for x, y in names if (_default(one, x) or 0) != (_default(two, y) or 0)]
    if not differing:
        return []
    sides = zip((a, b), (one, two), zip(*differing, strict=True), strict=True)
    return ["Defaults: " + "; ".join(f"{_given(row, roles)} in {name}" for name, row, roles in sides) + "."]


def _given(row: Dialect, arguments: Iterable[str]) -> str:
    return ", ".join(
        f"{name} (none)" if _default(row, name) is inspect.Parameter.empty else f"{name}={_default(row, name)}"
        for name in arguments
    )


def _parameters(row: Dialect) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(row.constructor).parameters)


def _default(row: Dialect, argument: str) -> Any:
    """What an argument is by default; ``inspect.Parameter.empty`` where it must be given."""
    return _parameters(row)[argument].default


def stream() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Gradients that bring out what the rules differ in, the same at every call.

    Returns:
      Weight → its gradients at 200 steps, as :data:`WEIGHTS` describes them, and the factors of the learning rate: 1
      for the first half, 0.1 for the second.
    """
    step = np.arange(1, 201)
    noisy = np.random.default_rng(0).normal(0.5, 1.0, len(step))
    gradients = {
        "typical": noisy,
        "small": 1e-4 * noisy,
        "sparse": np.where(step % 20 == 0, 1.0, 0.0),
        "constant": np.full(len(step), 0.1),
        "turning": np.where((step - 1) // 20 % 2 == 0, 1.0, -1.0),
    }
    return gradients, np.where(step <= 100, 1.0, 0.1)


def _bufferless(names: Iterable[str]) -> list[str]:
    """Those of the dialects that have no momentum unless centered."""
    return [name for name in names if not _has_momentum(TABLE[name])]


def settings(names: Iterable[str], *, same: bool = True, momentum: float = MOMENTUM) -> dict[str, dict[str, Any]]:
    """The arguments that :func:`movements` gives to each dialect.

    Args:
      names: rows of :data:`rmsprop_optax.dialects.TABLE`.
      same: the same learning rate, decay, epsilon and momentum for every dialect that has them, so that nothing but the
        rule differs; or else its own defaults, and a learning rate only where it has none.
      momentum: in [0, 1), with ``same``; none at all where one of the dialects has none unless centered.

    Returns:
      Dialect → argument → number.

    Raises:
      KeyError: there is no such dialect.
    """
    names = list(names)
    common = (LEARNING_RATE, DECAY, EPS, 0.0 if _bufferless(names) else momentum)

    def one(row: Dialect) -> dict[str, Any]:
        roles = zip(row.arguments, common, strict=True)
        given = {name: value for name, value in roles if name is not None}
        if not same:
            defaults = {name: _default(row, name) for name in given}
            return given | {name: value for name, value in defaults.items() if value is not inspect.Parameter.empty}
        return {k: v for k, v in given.items() if k != row.arguments.momentum or _has_momentum(row)}

    return {name: one(TABLE[name]) for name in names}


def movements(names: Iterable[str], *, same: bool = True, momentum: float = MOMENTUM) -> list[dict[str, Any]]:
    """How far each dialect moves each weight of :func:`stream`.

    Args:
      names: rows of :data:`rmsprop_optax.dialects.TABLE`.
      same: as in :func:`settings`. With the same numbers the learning rate drops to a tenth halfway; a dialect's own
        stays.
      momentum: as in :func:`settings`.

    Returns:
      One row for each weight and dialect: ``weight``, ``dialect`` and ``movement``, its start minus its value after
      every step, float64[200].

    Raises:
      KeyError: there is no such dialect.
      ValueError: ``momentum`` is out of its range.

    Example:
      >>> first, *_ = movements(["tf1"], momentum=0.0)
      >>> first["dialect"], first["weight"], [round(float(m), 4) for m in first["movement"][:2]]
      ('tf1', 'typical', [0.0065, 0.0104])
    """
    given = settings(names, same=same, momentum=momentum)
    gradients, factors = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), stream())
    rates = LEARNING_RATE * factors

    def schedule(count: jax.Array) -> jax.Array:
        return rates[count]

    def run(name: str) -> dict[str, jax.Array]:
        rate = TABLE[name].arguments.learning_rate if same else None
        tx = TABLE[name].constructor(**{k: schedule if k == rate else v for k, v in given[name].items()})

        def step(carry, gradient):
            params, state = carry
            updates, state = tx.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        params = jax.tree.map(lambda g: jnp.zeros((), g.dtype), gradients)
        return jax.lax.scan(step, (params, tx.init(params)), gradients)[1]

    positions = jax.device_get(jax.jit(lambda: {name: run(name) for name in given})())
    return [
        {"weight": weight, "dialect": name, "movement": 0.0 - positions[name][weight].astype(float)}
        for weight in WEIGHTS
        for name in given
    ]
