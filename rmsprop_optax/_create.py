"""Optimizers by name, for configuration files."""

import ast
import difflib
import fnmatch
from collections.abc import Callable
from typing import Any

import optax

from rmsprop_optax import dialects, recipes
from rmsprop_optax._arguments import roles_of

_COMMON = dialects.Arguments._fields


def names(pattern: str = "*") -> list[str]:
    """The names that :func:`create` knows and that match a pattern.

    Args:
      pattern: with the wildcards ``*``, ``?`` and ``[…]``, in lower case.

    Returns:
      Names of dialects, then of their aliases, then of recipes; a recipe with the name of a dialect as
      ``"recipes.NAME"``.

    Example:
      >>> names("tf*")
      ['tf1', 'tf_keras_legacy', 'tf', 'tf.train', 'tf.compat.v1', 'tf.keras', 'tf.keras.legacy', 'tfjs']
    """
    return [name for name in _constructors() if fnmatch.fnmatchcase(name, pattern)]


def create(name: str, /, **options: Any) -> optax.GradientTransformationExtraArgs:
    """A dialect or a recipe by name, with options in common words or in the framework's own.

    Args:
      name: a name of :func:`names`, in any case, or a call of one: ``"pytorch(lr=0.01, momentum=0.9)"``, whose
        arguments are Python literals. ``"dialects.NAME"`` and ``"recipes.NAME"`` are understood, too.
      **options: arguments of the dialect or recipe. A dialect also takes ``learning_rate``, ``decay``, ``eps`` and
        ``momentum``, whatever its framework calls them.

    Returns:
      The optimizer.

    Raises:
      ValueError: there is no such name (the error has the nearest), a word is given twice or means something else to
        the framework, or a number is out of its range.
      TypeError: there is no such option (the error has the right word), or a value is no number.

    Example:
      >>> import jax.numpy as jnp
      >>> for tx in (create("pytorch(lr=0.1)"), create("torch", learning_rate=0.1), create("keras", learning_rate=0.1)):
      ...     updates, _ = tx.update(jnp.ones(1), tx.init(jnp.ones(1)))
      ...     print(round(float(updates[0]), 4))
      -1.0
      -1.0
      -0.3162
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}: create('pytorch', learning_rate=0.1).")
    written = name
    if "(" in name:
        name, literals = _parsed(name)
        twice = literals.keys() & options.keys()
        if twice:
            raise ValueError(f"an option must be given once, got {', '.join(sorted(twice))} twice: drop one.")
        options = literals | options
    known = _constructors()
    key = name.strip().lower().removeprefix("dialects.")
    if key not in known and key.removeprefix("recipes.") in recipes.TABLE:
        key = key.removeprefix("recipes.")
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        mend = f"did you mean {near[0]!r}?" if near else "names() lists them."
        raise ValueError(f"name must be a dialect, an alias or a recipe, got {written!r}: {mend}")
    constructor, defaults, row = known[key]
    given = options if row is None else _translated(key, row, options)
    transformation: optax.GradientTransformationExtraArgs = constructor(**{**defaults, **given})
    return transformation


_Known = tuple[Callable[..., Any], dict[str, Any], dialects.Dialect | None]


def _constructors() -> dict[str, _Known]:
    """Name → constructor, its defaults, and its row where it is a dialect."""
    known: dict[str, _Known] = {name: (row.constructor, {}, row) for name, row in dialects.TABLE.items()}
    for name, alias in dialects.ALIASES.items():
        row = dialects.TABLE[alias.dialect]
        known[name] = row.constructor, alias.defaults or {}, row
    for name, recipe in recipes.TABLE.items():
        known[f"recipes.{name}" if name in known else name] = recipe.constructor, {}, None
    return known


def _translated(name: str, row: dialects.Dialect, options: dict[str, Any]) -> dict[str, Any]:
    """Options in the framework's words."""
    roles = roles_of(row.constructor)
    out: dict[str, Any] = {}
    for word, value in options.items():
        own = word
        if word in _COMMON:
            named = getattr(row.arguments, word)
            if named is None and word not in roles:
                raise TypeError(f"{name} has no {word}: {row.constructor.__name__} takes {', '.join(roles)}.")
            if roles.get(word, word) != word:
                raise ValueError(
                    f"{word} of {name} is not the {word} of other dialects, which {name} calls {named}: "
                    f"write {named}, or call rmsprop_optax.dialects.{row.constructor.__name__} itself."
                )
            own = named or word
        if own in out:
            raise ValueError(f"an option must be given once, got {word} and {own}, which mean the same: drop one.")
        out[own] = value
    return out


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    """The name and the literals of a call such as ``"pytorch(lr=0.01)"``; nothing is evaluated."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
            raise ValueError("it is not a call with keyword arguments alone")
        return ast.unparse(call.func), {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f'name must be a name or a call with literals, as "pytorch(lr=0.01, momentum=0.9)", got {text!r}: {error}.'
        ) from error
