"""Optimizers by name, for configuration files."""

import ast
import difflib
import fnmatch
from collections.abc import Callable
from typing import Any, NamedTuple

import optax

from rmsprop_optax import dialects, recipes
from rmsprop_optax._arguments import roles_of


def names(pattern: str = "*") -> list[str]:
    """The names for :func:`create` that match a pattern.

    Args:
      pattern: a name with the wildcards ``*``, ``?`` and ``[…]``, in any case.

    Returns:
      Names of dialects, then of their aliases, then of recipes. A recipe with the name of a dialect is
      ``"recipes.NAME"``.

    Example:
      >>> names("tf*")
      ['tf1', 'tf_keras_legacy', 'tf', 'tf.train', 'tf.compat.v1', 'tf.keras', 'tf.keras.legacy', 'tfjs', 'tff']
    """
    if not isinstance(pattern, str):
        raise TypeError(f"pattern must be a text with wildcards, got {pattern!r}: names('tf*').")
    shown = [_shown(kind, name) for kind, table in _tables().items() for name in table]
    return [name for name in shown if fnmatch.fnmatchcase(name, pattern.lower())]


def create(name: str, **options: Any) -> optax.GradientTransformationExtraArgs:
    """Make a dialect or a recipe by name, with options in common words or in the framework's own.

    Args:
      name: a name of :func:`names`, in any case, or a call of one: ``"pytorch(lr=0.01, momentum=0.9)"``, whose
        arguments are Python literals with names. ``"dialects.NAME"`` and ``"recipes.NAME"`` are also names.
      **options: arguments of the dialect or recipe. A dialect also takes ``learning_rate``, ``decay``, ``eps`` and
        ``momentum``, whatever its framework calls them.

    Returns:
      The optimizer.

    Raises:
      ValueError: there is no such name (the error suggests the nearest), an argument in ``name`` is not a literal, an
        option is given twice or means something else to the framework, or a number is out of its range.
      TypeError: there is no such option (the error suggests the right word), or a value is not a number.

    Example:
      >>> import jax.numpy as jnp
      >>> for tx in (create("pytorch(lr=0.1)"), create("torch", learning_rate=0.1), create("keras", learning_rate=0.1)):
      ...     updates, _ = tx.update(jnp.ones(1), tx.init(jnp.ones(1)))
      ...     print(round(float(updates[0]), 4))
      -1.0
      -1.0
      -0.3162

      A configuration file may hold the name and the options side by side:

      >>> config = {"name": "efficientnet", "steps_per_epoch": 625, "weight_decay_mask": None}
      >>> tx = create(**config)
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}: create('pytorch', learning_rate=0.1).")
    if "(" in name:
        name, literals = _parsed(name)
        for word in literals.keys() & options.keys():
            raise ValueError(f"an option must be given once, got {word} in the name and beside it: drop one.")
        options = literals | options
    known = _find(name)
    given = options if known.row is None else _translated(name, known.row, options)
    transformation: optax.GradientTransformationExtraArgs = known.constructor(**known.defaults | given)
    return transformation


class _Known(NamedTuple):
    """A constructor, defaults that replace its own, and the row of a dialect (``None`` for a recipe)."""

    constructor: Callable[..., Any]
    defaults: dict[str, Any]
    row: dialects.Dialect | None


def _tables() -> dict[str, dict[str, _Known]]:
    named = {name: _Known(row.constructor, {}, row) for name, row in dialects.TABLE.items()}
    for name, alias in dialects.ALIASES.items():
        row = dialects.TABLE[alias.dialect]
        named[name] = _Known(row.constructor, alias.defaults or {}, row)
    published = {name: _Known(recipe.constructor, {}, None) for name, recipe in recipes.TABLE.items()}
    return {"dialects": named, "recipes": published}


def _shown(kind: str, name: str) -> str:
    return f"recipes.{name}" if kind == "recipes" and name in dialects.TABLE else name


def _find(name: str) -> _Known:
    """Find a dialect, an alias or a recipe, in this order unless the name has a prefix.

    Raises:
      ValueError: there is no such name; the error suggests the nearest.
    """
    key, tables = name.strip().lower(), _tables()
    kind = key.partition(".")[0]
    if kind in tables:
        key, tables = key.removeprefix(f"{kind}."), {kind: tables[kind]}
    for table in tables.values():
        if key in table:
            return table[key]
    shown = {name: _shown(kind, name) for kind, table in reversed(tables.items()) for name in table}
    near = difflib.get_close_matches(key, shown, n=1)
    mend = f"did you mean {shown[near[0]]!r}?" if near else "names() lists them."
    if key == "rmsprop":
        mend = "each framework has its own; name one, such as 'pytorch', 'keras' or 'optax'."
    raise ValueError(f"name must be a dialect, an alias or a recipe, got {name!r}: {mend}")


def _translated(name: str, row: dialects.Dialect, options: dict[str, Any]) -> dict[str, Any]:
    """Translate options into the framework's words.

    Raises:
      TypeError: the framework has no such option.
      ValueError: an option is given twice, or means something else to the framework.
    """
    roles, constructor = roles_of(row.constructor), row.constructor.__name__
    words: dict[str, str] = {}
    for word in options:
        own = getattr(row.arguments, word, None) if word in row.arguments._fields else word
        if own is None and word not in roles:
            raise TypeError(f"{name} has no {word}: {constructor} takes {', '.join(roles)}.")
        if own is not None and own != word and word in roles:
            raise ValueError(
                f"{word} has two meanings for {name}: other dialects' {word} is its {own}, and its own {word} is "
                f"another option. Write {own}, or call rmsprop_optax.dialects.{constructor}(…, {word}=…)."
            )
        own = own or word
        if own in words:
            raise ValueError(
                f"an option must be given once, got {words[own]} and {word}, which are both the {own} of {name}: "
                "drop one."
            )
        words[own] = word
    return {own: options[word] for own, word in words.items()}


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    """The name and the literals of a call such as ``"pytorch(lr=0.01)"``; nothing is evaluated.

    Raises:
      ValueError: it is not a call, or an argument has no name, is not a literal, or is given twice.
    """
    name, _, arguments = text.partition("(")
    must = 'name must be a name or a call with literals, as "pytorch(lr=0.01, momentum=0.9)"'
    try:
        call = ast.parse(f"_({arguments}", mode="eval").body  # names of aliases have dots and spaces
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{must}, got {text!r}: {getattr(error, 'msg', error)}.") from error
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(f"{must}, got {text!r}: write one call.")
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        raise ValueError(f"{must}, got {text!r}: write every argument with its name.")
    literals: dict[str, Any] = {}
    for keyword in call.keywords:
        word = str(keyword.arg)
        if word in literals:
            raise ValueError(f"an option must be given once, got {word} twice in {text!r}: drop one.")
        try:
            literals[word] = ast.literal_eval(keyword.value)
        except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"{must}, got {text!r}: {word} is not a literal.") from error
    return name, literals
