"""The command line: ``rmsprop-optax COMMAND``, and ``python -m rmsprop_optax`` for the same.

Each command is a file with ``HELP``, ``add_arguments`` and ``run``. A new command is such a file, a name in
``_words.COMMANDS`` and an entry of ``_COMMANDS`` below. This package may import everything; nothing imports it.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

import jax
import optax

from rmsprop_optax import __version__
from rmsprop_optax.cli import _words, convert, dialects, plan, recipes, scaling, train
from rmsprop_optax.cli._parser import Parser, UsageError, cannot_write

__all__ = ["main"]

_DESCRIPTION = """RMSprop for JAX: the RMSprop of every framework as an optax transformation.
Train with them, compare their rules, convert settings and runs between them."""


class Command(Protocol):
    """The contents of a command's file.

    Attributes:
      HELP: one line that says what the command does.
    """

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the description, the options and examples."""

    def run(self, args: argparse.Namespace) -> None:
        """Run the command.

        Raises:
          UsageError: the user made a mistake.
        """


_COMMANDS: dict[str, Command] = dict(
    zip(_words.COMMANDS, (train, dialects, recipes, scaling, convert, plan), strict=True)
)


def main(argv: Sequence[str] | None = None, prog: str = "rmsprop-optax") -> int:
    """Run a command line and return its exit status.

    Args:
      argv: the words after the name of the program; ``None`` takes those of this process.
      prog: the name of the program, for messages.

    Returns:
      0, also for an empty command line, which prints the help; 1 if the disk is full; 130 after Ctrl-C.

    Raises:
      SystemExit: with status 2 after a mistake of the user, which is printed in one line; with status 0 after
        ``--help`` and ``--version``.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser, commands = _parsers(prog)
    try:
        if not words:
            parser.print_help()
        else:
            _run(words, parser, commands)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has seen enough, as in `| head`
        _close_stdout()
    except OSError as error:
        if not cannot_write(error):
            raise
        print(f"{prog}: {error.filename or 'the output'} could not be written: {error.strerror}.", file=sys.stderr)
        _close_stdout()
        return 1
    return 0


def _run(words: Sequence[str], parser: Parser, commands: Mapping[str, Parser]) -> None:
    _check(words, parser, commands)
    args, rest = parser.parse_known_args(words)
    command = commands[args.command]
    if rest:
        command.error(_words.no_argument(rest[0], args.command))
    args.line = f"{parser.prog} {shlex.join(words)}"
    try:
        _COMMANDS[args.command].run(args)
    except UsageError as error:
        command.error(str(error))


def _check(words: Sequence[str], parser: Parser, commands: Mapping[str, Parser]) -> None:
    """Exit with a hint if there is no such command or option. The errors of argparse have no hints."""
    options = {name: command.options for name, command in commands.items()}
    first, *others = words
    if first in commands:
        for word in others[: others.index("--")] if "--" in others else others:
            option = word.partition("=")[0]
            if option.startswith("--") and option not in options[first]:
                commands[first].error(_words.no_option(option, first, options))
    elif not first.startswith("-"):
        parser.error(_words.no_command(first))
    elif first.startswith("--") and first not in parser.options:
        parser.error(_words.no_option(first.partition("=")[0], None, options))


def _parsers(prog: str) -> tuple[Parser, dict[str, Parser]]:
    """The parser of the program, and those of the commands."""
    parser = Parser(prog=prog, description=_DESCRIPTION, epilog=f"`{prog} COMMAND --help` explains a command.")
    version = f"rmsprop-optax {__version__} (jax {jax.__version__}, optax {optax.__version__})"
    parser.add_argument("--version", action="version", version=version)
    added = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    commands: dict[str, Parser] = {}
    for name, command in _COMMANDS.items():
        commands[name] = added.add_parser(name, help=command.HELP)
        command.add_arguments(commands[name])
    return parser, commands


def _close_stdout() -> None:
    """Discard the rest of the output if it cannot be written, because Python would try again when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
