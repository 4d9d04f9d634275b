"""``recipes``: the table of all recipes, and the page of one."""

import argparse

from rmsprop_optax.cli import _text, _words
from rmsprop_optax.cli._parser import typed
from rmsprop_optax.recipes import TABLE

HELP = "list the published settings, or explain one"
_DESCRIPTION = """Without a name: all recipes, which are settings from papers and their code,
with dialects and sources. With a name: the arguments of a recipe, its settings
and its source."""
_EXAMPLES = """examples:
  %(prog)s
  %(prog)s efficientnet"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``recipes``."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("name", nargs="?", type=typed(_recipe), metavar="NAME", help="a recipe")


def run(args: argparse.Namespace) -> None:
    """Print the table or a page."""
    print(_page(args.name) if args.name else _overview())


def _recipe(word: str) -> str:
    if word not in TABLE:
        raise ValueError(_words.no_name("recipe", word, TABLE))
    return word


def _overview() -> str:
    """All recipes with their settings, then their sources."""
    width, dialects = (max(map(len, names)) + 2 for names in (TABLE, [row.dialect for row in TABLE.values()]))
    head = f"{'recipe':{width}}{'dialect':{dialects}}settings"
    settings = [
        _text.fill(f"{name:{width}}{row.dialect:{dialects}}{row.settings}", " " * (width + dialects))
        for name, row in TABLE.items()
    ]
    sources = [_text.fill(f"{name:{width}}{row.source}", " " * width) for name, row in TABLE.items()]
    return "\n".join([head, *settings, "", "Sources:", *sources])


def _page(name: str) -> str:
    """One recipe: its call, its rule, its arguments, its dialect with the settings, and its source."""
    row = TABLE[name]
    rule, _ = _text.sections(row.constructor)
    facts = [f"Dialect: {row.dialect}", f"Settings: {row.settings}", f"Source: {row.source}"]
    return _text.page("recipes", row.constructor, rule, facts)
