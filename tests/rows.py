"""The rows of the contract: every dialect as its framework has it, then the core and dialects with options.

Of the longest tables a part is in the default run, so that it takes minutes: a third, the rows that cover all pairs of
settings, or one row of each program. The rest is marked ``slow`` and runs with ``pytest --slow``, the contract with
every storage, too.
"""

import functools
import inspect
import itertools
import random
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import optax
import pytest

from rmsprop_optax import dialects, links, rmsprop, scale_by_gains, scale_by_rms, storage, with_storage

SHORT = tuple(name for name in storage.FORMATS if name != "float32")


class Asked(dict):
    """A table whose missing row, of a format that is new, is asked for by a failure in words.

    Attributes:
      name: of the table.
      says: what a row says about its format.
    """

    def __init__(self, name: str, says: str, rows: Any) -> None:
        super().__init__(rows)
        self.name, self.says = name, says

    def asks(self, *keys: Any) -> list[str]:
        return [f"add a row {key!r} to {self.name}: {self.says}" for key in keys if key not in self]

    def __missing__(self, key: Any) -> Any:
        [line] = self.asks(key)
        pytest.fail(line)


class Row(NamedTuple):
    """A transformation under contract; what is special about it stands here and not in a test.

    Attributes:
      name: for pytest.
      make: returns the transformation.
      complex: whether its rule is defined for complex parameters.
      elementwise: whether no entry sees another; a norm or a mean over an array does.
      decays: whether it moves parameters that get no gradient.
      differentiable: whether updates are smooth in the gradients before; rounding to a short format is not.
      formats: the dtypes that a state is kept in, besides its own.
      scalars: whether its state has numbers for whole arrays, which belong to the arrays.
    """

    name: str
    make: Callable[..., optax.GradientTransformationExtraArgs]
    complex: bool = True
    elementwise: bool = True
    decays: bool = False
    differentiable: bool = True
    formats: tuple[str, ...] = ()
    scalars: bool = False

    def __call__(self, **kwargs: Any) -> optax.GradientTransformationExtraArgs:
        return self.make(**kwargs)


# What is special about a dialect with its defaults.
SPECIAL = {
    "dynet": {"complex": False, "elementwise": False},  # clips by norm
    "brainjs": {"decays": True},
    "dreamerv3": {"complex": False, "elementwise": False},
    "levanter": {"complex": False, "elementwise": False, "decays": True},
}


def plain(name):
    """A dialect with its framework's defaults, and a learning rate where those have none."""
    constructor = dialects.TABLE[name].constructor
    arguments = inspect.signature(constructor).parameters.values()
    required = {p.name: 0.01 for p in arguments if p.default is p.empty}
    return Row(name, partial(constructor, **required), **SPECIAL.get(name, {}))


def gains(learning_rate, increase=0.05):
    return optax.chain(scale_by_rms(), scale_by_gains(increase), optax.scale_by_learning_rate(learning_rate))


def row(dialect, **options):
    return partial(dialects.TABLE[dialect].constructor, **options)


def stored(row, storage, momentum_storage=None):
    """A row that keeps its state in a shorter format."""
    make, given = getattr(row.make, "func", row.make), getattr(row.make, "keywords", {})

    @functools.wraps(make)
    def short(**options):
        return with_storage(make(**options), storage, momentum_storage=momentum_storage)

    return row._replace(
        name=f"{row.name}-{storage}",
        make=partial(short, **given),
        complex=row.complex and (momentum_storage is None or row.name.startswith("pytorch")),
        differentiable=False,
        formats=tuple(filter(None, (storage, momentum_storage))),
    )


def third(table):
    """The rows of a long table that are in the default run, of all kinds: every third row may be alike in a column."""
    table = list(table)
    order = random.Random(0).sample(range(len(table)), len(table))
    return [table[i] for i in sorted(order[::3])]


def covering(table, strength=2):
    """The numbers of the rows of options in the default run: any two settings that go together do so in one of them.

    Or any ``strength`` settings; an absent option counts as one. Greedy: next is the row with the most new pairs.
    """
    names = sorted({name for options in table for name in options})
    pairs = [set(itertools.combinations([(name, repr(o.get(name))) for name in names], strength)) for o in table]
    chosen, left = [], set().union(*pairs)
    while left:
        chosen.append(max(range(len(table)), key=lambda i: len(pairs[i] & left)))
        left -= pairs[chosen[-1]]
    return sorted(chosen)


def long(table, chosen=None):
    """A long table as parameters for pytest: those that are chosen, by default a third, and the rest marked slow."""
    table = list(table)
    chosen = third(table) if chosen is None else chosen
    return [
        pytest.param(
            *(row if type(row) is tuple else (row,)),
            id=getattr(row, "name", None),
            marks=[] if row in chosen else [pytest.mark.slow],
        )
        for row in table
    ]


NEIGHBOURS = Asked(
    "rows.NEIGHBOURS",
    "the largest distance of neighbours, relative",
    {"uint8": 0.25, "bfloat16": 2.0**-7},
)
PLAIN = [plain(name) for name in dialects.TABLE]
# Of the dialects whose defaults make the same program, but for its numbers, one; the first two stand for most.
PROGRAMS = [
    row
    for row in PLAIN
    if row.name
    in (
        *("pytorch", "optax", "graves", "dqn", "jax_example_momentum", "burn", "heavyball", "pyro", "blocks"),
        *("dynet", "brainjs", "dreamerv3", "levanter", "sparsecore"),
    )
]
CORE = [
    Row("scale_by_rms", scale_by_rms),
    Row("scale_by_rms-centered-corrected", partial(scale_by_rms, centered=True, bias_correction=True)),
    Row("scale_by_gains", partial(gains, learning_rate=0.01)),
    Row("rmsprop", partial(rmsprop, learning_rate=0.01)),
    Row(
        "rmsprop-all",
        partial(
            rmsprop,
            learning_rate=0.01,
            eps=1e-6,
            floor=1e-3,
            centered=True,
            bias_correction=True,
            momentum=0.9,
            nesterov=True,
            l2=0.01,
            weight_decay=0.1,
        ),
        decays=True,
    ),
]
OPTIONS = [
    Row(
        "optax-all",
        row(
            "optax",
            learning_rate=0.01,
            eps_in_sqrt=False,
            initial_scale=0.5,
            centered=True,
            momentum=0.9,
            nesterov=True,
        ),
    ),
    Row(
        "pytorch-all",
        row("pytorch", weight_decay=0.1, momentum=0.9, centered=True, maximize=True),
        decays=True,
    ),
    Row(
        "keras-all",
        row("keras", momentum=0.9, centered=True, weight_decay=0.1, global_clipnorm=1.0),
        complex=False,
        elementwise=False,
        decays=True,
    ),
    Row("keras-clipvalue", row("keras", clipvalue=0.5), complex=False),
    Row("keras-clipnorm", row("keras", clipnorm=0.5), elementwise=False),
    Row("keras2-decay", row("keras2", decay=0.1, clipvalue=0.5), complex=False),
    Row("tf1-all", row("tf1", learning_rate=0.01, momentum=0.9, centered=True)),
    Row("timm-l2", row("timm", weight_decay=0.1, momentum=0.9, centered=True, lr_in_momentum=False), decays=True),
    Row(
        "timm-all",
        row(
            "timm",
            weight_decay=0.1,
            momentum=0.9,
            centered=True,
            decoupled_decay=True,
            corrected_weight_decay=True,
            caution=True,
            max_lr=0.02,
        ),
        elementwise=False,
        decays=True,
    ),
    Row("tensorflowjs-centered", row("tensorflowjs", learningRate=0.01, centered=True, momentum=0.9)),
    Row("neon-clips", row("neon", gradient_clip_norm=1.0, param_clip_value=3.0), elementwise=False),
    Row("climin-adapt", row("climin", step_rate=0.01, momentum=0.9, step_adapt=0.1)),
    Row("caffe-l1", row("caffe", base_lr=0.01, weight_decay=0.1, regularization_type="L1"), decays=True),
    Row(
        "mxnet-first",
        row("mxnet", wd=0.1, clip_gradient=0.5, version="0.9.3"),
        complex=False,
        decays=True,
    ),
    Row(
        "mxnet-all",
        row("mxnet", centered=True, clip_weights=1.0, wd=0.1, clip_gradient=0.5, version="2.0"),
        complex=False,
        decays=True,
    ),
]

RATE = optax.scale_by_learning_rate
LINKS = [
    Row("links-max", lambda learning_rate=0.01: optax.chain(links.scale_by_max_rms(), RATE(learning_rate))),
    Row("links-previous", lambda learning_rate=0.01: optax.chain(links.scale_by_previous_rms(), RATE(learning_rate))),
    Row(
        "links-cautious",
        lambda learning_rate=0.01: links.cautious(dialects.pytorch(learning_rate, momentum=0.9)),
        elementwise=False,
        differentiable=False,
    ),
    Row("links-skip", lambda learning_rate=0.01: optax.chain(dialects.keras(learning_rate), links.skip_updates(0.3))),
    Row(
        "links-magma",
        lambda learning_rate=0.01: links.magma(dialects.tf1(learning_rate, momentum=0.9), skip=0.3),
        elementwise=False,
        scalars=True,
    ),
    Row(
        "links-decay",
        lambda rate=0.01: optax.chain(dialects.timm(rate), links.decay_weights(0.01)),  # a rate of 0 stops no decay
        decays=True,
    ),
    Row(
        "links-resettable",
        lambda learning_rate=0.01: links.resettable(rmsprop(learning_rate, momentum=0.9, bias_correction=True)),
    ),
    Row("links-age", lambda learning_rate=0.01: optax.chain(dialects.pytorch(learning_rate), links.scale_by_age(0.99))),
]
NAMED = {row.name: row for row in (*CORE, *OPTIONS)}
# What is special about a format is not special about a dialect: these stand for all.
STORED = [
    stored(NAMED["scale_by_rms-centered-corrected"], "uint8"),
    stored(NAMED["rmsprop-all"], "uint8", "bfloat16"),
    stored(NAMED["rmsprop"], "bfloat16"),
    stored(NAMED["pytorch-all"], "uint8", "bfloat16"),
    stored(NAMED["keras-all"], "bfloat16", "bfloat16"),
]
_ALL_STORED = [stored(row, form) for row in (*PLAIN, *CORE, *OPTIONS) for form in SHORT]
ROWS = [
    *long(CORE, CORE),
    *long(PLAIN, PROGRAMS),
    *long(OPTIONS),
    *long(LINKS, [row for row in LINKS if row.name == "links-magma"]),
    *long(STORED, [row for row in STORED if row.name == "pytorch-all-uint8"]),
    *long((row for row in _ALL_STORED if row.name not in {row.name for row in STORED}), []),
]
