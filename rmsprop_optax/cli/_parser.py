"""The parser of a command: its errors, and the types of its arguments."""

import argparse
import contextlib
import errno
import importlib
import importlib.util
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from rmsprop_optax.cli import _words
from rmsprop_optax.dialects import TABLE

T = TypeVar("T")

_PACKAGES = {"sklearn": "scikit-learn", "orbax.checkpoint": "orbax-checkpoint"}
"""Module → the package that has it, where the names differ."""

_CANNOT_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class UsageError(Exception):
    """A mistake of the user; the message says what to change."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)

    @property
    def options(self) -> list[str]:
        """All option strings, ``--help`` among them."""
        return list(self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        """Print a line on the standard error and exit with the status 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")


def cannot_write(error: BaseException) -> bool:
    """Return whether an error is that of a full or read-only disk, which is no mistake in the command line."""
    return isinstance(error, OSError) and error.errno in _CANNOT_WRITE


@contextlib.contextmanager
def usage_errors(*kinds: type[Exception], about: str = "") -> Iterator[None]:
    """Turn errors into a :class:`UsageError`, except those of :func:`cannot_write`.

    Args:
      *kinds: errors whose message says what to change.
      about: text before the message; without it, an OSError has the name of its file there.
    """
    try:
        yield
    except kinds as error:
        message = str(error)
        if isinstance(error, OSError) and error.strerror:
            if cannot_write(error):
                error.filename = error.filename or about.removesuffix(": ")
                raise
            about, message = about or (f"{error.filename}: " if error.filename else ""), error.strerror
        raise UsageError(f"{about}{message}") from error


def function_of(option: str, words: str) -> Callable[..., Any]:
    """The function that ``file.py:function`` or ``module:function`` names, the value of ``option``."""
    place, _, name = words.rpartition(":")
    if not place:
        raise UsageError(f"{option} must be file.py:function or module:function, got {words!r}")
    # A file finds its neighbours, and a console script the modules in the current folder.
    sys.path.insert(0, str(Path(place).absolute().parent))
    with usage_errors(ImportError, OSError, SyntaxError, about=f"{option} {words}: "):
        found = runpy.run_path(place) if place.endswith(".py") else vars(importlib.import_module(place))
    if not callable(found.get(name)):
        functions = [word for word, value in found.items() if callable(value)]
        raise UsageError(f"{option} {words}: {place} has no function {name!r}{_words.hint(name, functions)}")
    function: Callable[..., Any] = found[name]
    return function


def require(*modules: str, extra: str) -> None:
    """Check that modules are installed.

    Args:
      *modules: names for ``import``.
      extra: the extra of this package that installs them.

    Raises:
      UsageError: one is not; the message has the command that installs it.
    """
    missing = [m for m in modules if importlib.util.find_spec(m.partition(".")[0]) is None]
    if missing:
        names = ", ".join(_PACKAGES.get(module, module) for module in missing)
        verb = "is" if len(missing) == 1 else "are"
        raise UsageError(f"{names} {verb} not installed: run pip install '.[{extra}]' in a clone of the repository")


def typed(read: Callable[[str], T]) -> Callable[[str], T]:
    """Make ``read`` a type of argparse, which hides the message of a ValueError."""

    def parse(word: str) -> T:
        try:
            return read(word)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse


def whole(least: int, most: int = 10**6) -> Callable[[str], int]:
    """Return the type of a whole number from ``least`` to ``most``."""

    def read(word: str) -> int:
        number = int(word) if word.lstrip("+-").isdecimal() else None
        if number is None or not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, got {word!r}")
        return number

    return typed(read)


def dialect(word: str) -> str:
    """The type of a dialect's name."""
    if word not in TABLE:
        raise argparse.ArgumentTypeError(_words.no_name("dialect", word, TABLE))
    return word
