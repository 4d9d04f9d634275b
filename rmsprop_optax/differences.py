"""Compare dialects: in sentences, and in numbers on the same stream of gradients."""

import difflib
import inspect
from collections.abc import Iterable
from typing import Any, TypedDict, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax._arguments import roles_of
from rmsprop_optax._numbers import Range, check, check_flag, range_of
from rmsprop_optax.dialects import TABLE, Dialect

__all__ = ["DECAY", "EPS", "LEARNING_RATE", "MOMENTUM", "WEIGHTS", "movements", "settings", "stream", "words"]

LEARNING_RATE, DECAY, EPS, MOMENTUM = 0.01, 0.9, 1e-3, 0.9
"""The numbers of :func:`settings`; epsilon is as large as in the image recipes, so that its place matters."""

WEIGHTS = {
    "typical": "0.5 ± 1, noisy",
    "small": "0.0001 of the typical ones",
    "sparse": "1 at every 20th step, else 0",
    "constant": "always 0.1",
    "turning": "1 and -1, 20 steps each",
}
"""Weight → its gradients in :func:`stream`."""


class Movement(TypedDict):
    """A row of :func:`movements`: the movement of one weight by one dialect."""

    weight: str
    dialect: str
    movement: np.ndarray


def words(a: str, b: str) -> list[str]:
    """The differences between two dialects in sentences.

    Args:
      a: a key of :data:`rmsprop_optax.dialects.TABLE`.
      b: another key. The order does not matter.

    Returns:
      A sentence for each difference: denominator, initial value, bias correction, options that are on by default,
      momentum, weight decay, arguments, defaults. Names of arguments are not compared. If the rules are equal, a
      sentence says so.

    Raises:
      ValueError: there is no such dialect.

    Example:
      >>> for sentence in words("tf1", "optax"):
      ...     print(sentence)
      The mean square starts from 1 in tf1, from 0 in optax.
      Only optax takes initial_scale, eps_in_sqrt, nesterov, bias_correction.
      Defaults: epsilon=1e-10 in tf1; eps=1e-08 in optax.

    Source:
      :data:`rmsprop_optax.dialects.TABLE` and the signatures of its constructors.
    """
    one, two = _row(a), _row(b)
    rule = _rule(a, one, b, two)
    parts, options = [], []
    if _kind(one) != _kind(two):
        parts.append("momentum")
        options.append(_momentum(a, one, b, two))
    if one.decays != two.decays:
        parts.append("weight decay")
        options.append(_weight_decay(a, one, b, two))
    if not rule:
        without = f"Without {' and '.join(parts)} the" if parts else "The"
        equal = "rules are equal for real parameters: the same numbers and no other option give the same steps."
        rule = [f"{without} {equal}"]
    notes = [row.note for row in (one, two) if row.note]
    return [*rule, *options, *notes, *_takes(a, one, b, two), *_takes(b, two, a, one), *_defaults(a, one, b, two)]


def _rule(a: str, one: Dialect, b: str, two: Dialect) -> list[str]:
    """The differences between the rules without options."""
    sentences = []
    if one.divisors() != two.divisors():
        centered = {one.centered == "always", two.centered == "always"}
        note = "; var is the variance of the gradients, nu their mean square" if len(centered) == 2 else ""
        sentences.append(f"{a} divides by {one.denominator}, {b} by {two.denominator}{note}.")
    if one.starts_from() != two.starts_from():
        sentences.append(f"The mean square starts from {one.start} in {a}, from {two.start} in {b}.")
    if (one.bias_correction == "always") != (two.bias_correction == "always"):
        corrected, other = (a, b) if one.bias_correction == "always" else (b, a)
        sentences.append(f"{corrected} corrects its averages for their start, {other} does not.")
    if _active(one) != _active(two):
        sentences += [
            f"By default {name} has {_given(row, _active(row))}." for name, row in ((a, one), (b, two)) if _active(row)
        ]
    return sentences


def _momentum(a: str, one: Dialect, b: str, two: Dialect) -> str:
    if (one.buffer, one.nesterov, one.smooths) == (two.buffer, two.nesterov, two.smooths):
        place, other = ("before" if row.lr_in_momentum else "after" for row in (one, two))
        return (
            f"With momentum, the learning rate comes {place} the buffer in {a}, {other} it in {b}: their steps differ "
            "when the rate changes."
        )
    return f"{a} has {_kind(one)}; {b} has {_kind(two)}."


def _kind(row: Dialect) -> str:
    if row.buffer == "never":
        return "no momentum"
    of = "" if row.smooths == "steps" else f" of {row.smooths}"
    place = f"{of}, with the learning rate {'before' if row.lr_in_momentum else 'after'} the buffer"
    if row.buffer == "if centered":
        return f"momentum only if centered{place}"
    return f"Nesterov momentum{place}" if row.nesterov else f"momentum{place}"


def _weight_decay(a: str, one: Dialect, b: str, two: Dialect) -> str:
    if one.decays and two.decays:
        return f"Weight decay is {one.weight_decay} in {a}, {two.weight_decay} in {b}."
    name, row = (a, one) if one.decays else (b, two)
    return f"Only {name} has weight decay: {row.weight_decay}."


def _takes(a: str, one: Dialect, b: str, two: Dialect) -> list[str]:
    """The arguments that only ``a`` has, except those in other sentences."""
    options = _options(two)
    only = [
        f"{name} (not that of {b})" if name in two.arguments else name
        for name, role in _options(one).items()
        if name not in options and name not in _active(one) and role not in ("l2", "weight_decay")
    ]
    return [f"Only {a} takes {', '.join(only)}."] if only else []


def _options(row: Dialect) -> dict[str, str | Range | None]:
    """Argument → role or range (``None`` if it is not a number), without common and refused arguments."""
    roles = roles_of(row.constructor)
    return {name: roles.get(name) for name in _parameters(row) if name not in (*row.arguments, *row.refused)}


def _active(row: Dialect) -> dict[str, object]:
    """The options that are on by default."""
    optional = [name for name, role in _options(row).items() if role and range_of(role).optional]
    return {name: _default(row, name) for name in optional if _default(row, name) is not None}


def _defaults(a: str, one: Dialect, b: str, two: Dialect) -> list[str]:
    names = [(x, y) for x, y in zip(one.arguments, two.arguments, strict=True) if x and y]
    differing = [(x, y) for x, y in names if _default(one, x) != _default(two, y)]
    if not differing:
        return []
    sides = zip((a, b), (one, two), zip(*differing, strict=True), strict=True)
    return ["Defaults: " + "; ".join(f"{_given(row, roles)} in {name}" for name, row, roles in sides) + "."]


def _given(row: Dialect, arguments: Iterable[str]) -> str:
    return ", ".join(
        f"{name} (required)" if _default(row, name) is inspect.Parameter.empty else f"{name}={_default(row, name)}"
        for name in arguments
    )


def _parameters(row: Dialect) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(row.constructor).parameters)


def _default(row: Dialect, argument: str) -> object:
    """The default of an argument; ``inspect.Parameter.empty`` if the argument is required."""
    default: object = _parameters(row)[argument].default
    return default


def stream() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Gradients that show the differences between rules, the same at every call.

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


def without_momentum(names: Iterable[str]) -> list[str]:
    """The dialects without momentum, or with momentum only if centered."""
    return [name for name in names if _row(name).buffer != "option"]


def _row(name: str) -> Dialect:
    """A row of the table.

    Raises:
      ValueError: there is no such dialect.
    """
    if not isinstance(name, str) or name not in TABLE:
        near = difflib.get_close_matches(str(name), TABLE, n=1)
        raise ValueError(
            f"names must be of dialects.TABLE, got {name!r}: did you mean {near[0] if near else 'pytorch'}?"
        )
    return TABLE[name]


def settings(
    names: Iterable[str], *, same: bool = True, momentum: float = MOMENTUM
) -> dict[str, dict[str, float | None]]:
    """The arguments that :func:`movements` gives to each dialect.

    Args:
      names: keys of :data:`rmsprop_optax.dialects.TABLE`.
      same: give all dialects the same learning rate, decay, epsilon and momentum, so that only the rules differ. False
        gives each dialect its own defaults, and a learning rate if it has no default.
      momentum: in [0, 1), used with ``same``; 0 for all if a dialect is one of :func:`without_momentum`.

    Returns:
      Dialect → argument → number.

    Raises:
      ValueError: there is no such dialect, or ``momentum`` is out of its range.
    """
    names = [names] if isinstance(names, str) or names is None else list(names)
    check_flag("same", same)
    share = check("momentum", momentum) or 0.0
    common = (LEARNING_RATE, DECAY, EPS, 0.0 if without_momentum(names) else share)

    def one(name: str) -> dict[str, float | None]:
        row = TABLE[name]
        given = {word: value for word, value in zip(row.arguments, common, strict=True) if word is not None}
        if same:
            return {word: x for word, x in given.items() if word != row.arguments.momentum or row.buffer == "option"}
        own = {word: _default(row, word) for word in given}
        return {word: x if own[word] is inspect.Parameter.empty else cast(Any, own[word]) for word, x in given.items()}

    return {name: one(name) for name in names}


def movements(names: Iterable[str], *, same: bool = True, momentum: float = MOMENTUM) -> list[Movement]:
    """The movement of each weight of :func:`stream` by each dialect.

    Args:
      names: keys of :data:`rmsprop_optax.dialects.TABLE`.
      same: as in :func:`settings`. With the same numbers the learning rate drops to a tenth halfway; with a dialect's
        own defaults it stays.
      momentum: as in :func:`settings`.

    Returns:
      One row for each weight and dialect: ``weight``, ``dialect`` and ``movement``, its start minus its value after
      every step, float64[200].

    Raises:
      ValueError: there is no such dialect, or ``momentum`` is out of its range.

    Example:
      >>> first, *_ = movements(["tf1"], momentum=0.0)
      >>> first["dialect"], first["weight"], [round(float(m), 4) for m in first["movement"][:2]]
      ('tf1', 'typical', [0.0065, 0.0104])
    """
    given = settings(names, same=same, momentum=momentum)
    gradients, factors = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), stream())
    rates = LEARNING_RATE * factors

    def schedule(count: jax.Array) -> Any:
        return rates[count]

    def run(name: str) -> dict[str, jax.Array]:
        rate = TABLE[name].arguments.learning_rate if same else None
        tx = TABLE[name].constructor(**{k: schedule if k == rate else v for k, v in given[name].items()})

        def step(carry: tuple[Any, Any], gradient: dict[str, jax.Array]) -> tuple[tuple[Any, Any], Any]:
            params, state = carry
            updates, state = tx.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        params = jax.tree.map(lambda g: jnp.zeros((), g.dtype), gradients)
        path: dict[str, jax.Array] = jax.lax.scan(step, (params, tx.init(params)), gradients)[1]
        return path

    positions = jax.device_get(jax.jit(lambda: {name: run(name) for name in given})())
    return [
        Movement(weight=weight, dialect=name, movement=0.0 - positions[name][weight].astype(float))
        for weight in WEIGHTS
        for name in given
    ]
