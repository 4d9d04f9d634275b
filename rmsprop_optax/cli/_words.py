"""The names that a command line may hold, and hints for unknown words."""

import difflib
import inspect
from collections.abc import Iterable, Mapping

from rmsprop_optax import recipes
from rmsprop_optax.cli._baselines import BASELINES
from rmsprop_optax.dialects import ALIASES, TABLE

COMMANDS = ("train", "dialects", "recipes", "scaling", "convert", "plan")

_COMMANDS_ELSEWHERE = {
    "compare": "dialects",
    "diff": "dialects",
    "eps": "scaling",
    "epsilon": "scaling",
    "fit": "train",
    "import": "convert",
    "memory": "plan",
    "run": "train",
}
"""A word that people try → the command that does it."""


def no_command(word: str) -> str:
    """Say that a word is no command, and name the command that is probably meant."""
    key = word.lower()
    known = None if key in COMMANDS else _known(key)
    if known is None and (meant := _COMMANDS_ELSEWHERE.get(key) or nearest(key, COMMANDS)):
        return f"there is no command {word!r}; did you mean `{meant}`?"
    return f"there is no command {word!r}; {known or f'there are {_listed(COMMANDS)}'}"


def no_option(word: str, command: str | None, options: Mapping[str, Iterable[str]]) -> str:
    """Say that a command has no such option, and name the option or the command that is probably meant.

    Args:
      word: ``--option``.
      command: the command, ``None`` in front of all commands.
      options: command → its options.
    """
    there_is_none = f"there is no option {word}" if command is None else f"{command} has no option {word}"
    own = options.get(command, ()) if command else ()
    argument = word.lstrip("-").replace("-", "_")
    if command == "train" and any(argument in inspect.signature(row.constructor).parameters for row in TABLE.values()):
        return f"{there_is_none}; did you mean --set {argument}=…?"
    others = [name for name, theirs in options.items() if word in theirs]
    if others and not nearest(word, own, 0.9):
        where = " and ".join(others)
        return f"{there_is_none}; it is an option of {where}: `{others[0]} {word} …`"
    if near := nearest(word, own):
        return f"{there_is_none}; did you mean {near}?"
    for name, theirs in options.items() if command is None else ():
        if near := nearest(word, theirs):
            return f"{there_is_none}; did you mean `{name} {near} …`?"
    return f"{there_is_none}; --help names the options"


def no_argument(word: str, command: str) -> str:
    """Say that a command takes no such word."""
    option = {"dialect": "--dialect", "baseline": "--optimizer"}.get(_kind(word.lower()) or "")
    if command == "train" and option:
        return f"{word!r} needs its option: `train {option} {word}`"
    return f"{command} takes no argument {word!r}; {_known(word.lower()) or '--help names what it takes'}"


def no_name(kind: str, word: str, names: Iterable[str]) -> str:
    """Say that there is no dialect, recipe or baseline of a name, and what is probably meant.

    Args:
      kind: ``dialect``, ``recipe`` or ``baseline``.
      word: the name.
      names: all names of this kind.
    """
    key, names = word.lower(), list(names)
    if key in names:
        return f"there is no {kind} {word!r}; did you mean {key}?"
    aliases = ALIASES if kind == "dialect" else {}
    if (alias := aliases.get(key)) is None and (known := _known(key)):
        return f"there is no {kind} {word!r}; {known}"
    if alias is None and (near := nearest(key, [*names, *aliases])):
        alias = aliases.get(near)
        if alias is None:
            return f"there is no {kind} {word!r}; did you mean {near}?"
    if alias is None:
        return f"there is no {kind} {word!r}; there are {_listed(names)}"
    defaults = ", ".join(f"{name}={value}" for name, value in (alias.defaults or {}).items())
    return f"there is no {kind} {word!r}; did you mean {alias.dialect}{f', with {defaults}' if defaults else ''}?"


def nearest(word: str, names: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the name that is most like a word, or ``None`` if none is.

    Example:
      >>> nearest("pytroch", ["keras", "pytorch"])
      'pytorch'
    """
    return next(iter(difflib.get_close_matches(word, names, n=1, cutoff=likeness)), None)


def hint(word: str, names: Iterable[str]) -> str:
    """Return ``; did you mean NAME?`` with the nearest name, or an empty text if none is near."""
    near = nearest(word, names)
    return f"; did you mean {near}?" if near else ""


def _kind(key: str) -> str | None:
    kinds: dict[str, Iterable[str]] = {
        "command": COMMANDS,
        "baseline": BASELINES,
        "dialect": TABLE,
        "recipe": recipes.TABLE,
    }
    return next((kind for kind, names in kinds.items() if key in names), None)


def _known(key: str) -> str | None:
    """Say what a name is and how to use it; ``None`` for an unknown name."""
    alias = ALIASES.get(key)
    kind = "dialect" if alias else _kind(key)
    if kind is None:
        return None
    call = {
        "command": "{} …",
        "baseline": "train --optimizer {}",
        "dialect": "dialects {}",
        "recipe": "recipes {}",
    }[kind].format(alias.dialect if alias else key)
    return f"{key} is a {kind}: `{call}`"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
