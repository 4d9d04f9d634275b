"""`dialects.TABLE` tells the truth: what its columns say is measured on the dialects."""

import inspect
import math
import re
from typing import Any

import jax.numpy as jnp
import optax
import pytest

from rmsprop_optax.dialects import NOT_REPRODUCED, TABLE

EPS, MU = 0.25, 0.5
WEIGHT_DECAY = ("weight_decay", "weightDecay", "wc", "wd")
each = pytest.mark.parametrize("name", TABLE)


def options_of(row):
    return inspect.signature(row.constructor).parameters


def make(name, rate=1.0, momentum=0.0, **options):
    """The dialect with a large epsilon, and momentum where it has any in its plain form."""
    row = TABLE[name]
    given = {row.arguments.learning_rate: rate}
    if row.arguments.eps:
        given[row.arguments.eps] = EPS
    if row.arguments.momentum and not row.momentum.startswith("no buffer"):
        given[row.arguments.momentum] = momentum
    return row.constructor(**given | options)


def steps(tx, gradients, param=1.0):
    param = jnp.array([param])
    state = tx.init(param)
    updates = []
    for g in gradients:
        update, state = tx.update(jnp.array([g]), state, param)
        updates.append(float(update[0]))
    return updates, state


def value(row, text, **names):
    """A formula of the table as a number."""
    defaults = {name: p.default for name, p in options_of(row).items()}
    names = {**defaults, row.arguments.eps or "": EPS, **names, "sqrt": math.sqrt, "max": max}
    return eval(re.sub(r"√(\w+)", r"sqrt(\1)", text).replace("√(", "sqrt("), names)


@each
@pytest.mark.parametrize("momentum", [0.0, MU])
@pytest.mark.parametrize("forgetful", [False, True])
def test_start_and_denominator(name, momentum, forgetful):
    """Where the start is forgotten at once, a small gradient shows the smallest epsilon."""
    row = TABLE[name]
    forget = forgetful and row.arguments.decay
    tx, g = make(name, momentum=momentum, **({row.arguments.decay: 0.0} if forget else {})), 1e-4 if forget else 0.5
    _, state = steps(tx, [])
    start = value(row, row.start)
    assert float(optax.tree.get(state, "nu")[0]) == pytest.approx(start)
    (update,), state = steps(tx, [g])
    plain, _, with_momentum = row.denominator.partition(", with momentum ")
    nu = float(optax.tree.get(state, "nu")[0])
    denominator = value(row, with_momentum if momentum and with_momentum else plain, nu=nu, var=nu)
    factor = 1 + momentum if row.momentum.endswith("Nesterov") else 1
    assert update == pytest.approx(-factor * g / denominator, rel=1e-6)


@each
def test_the_denominator_names_the_variance_where_centered_and_epsilon_where_it_is_an_argument(name):
    row = TABLE[name]
    _, state = steps(make(name), [])
    words = set(re.findall(r"[a-z]\w+", row.denominator))
    assert words & {"nu", "var"} == {"nu" if optax.tree.get(state, "mu") is None else "var"}
    named = words & options_of(row).keys() - {"momentum", "max_scaling"}
    assert named == ({row.arguments.eps} if row.arguments.eps else set())


def numbers_of(row):
    return [a for a, p in options_of(row).items() if p.annotation is Any and a != "weight_decay_mask"]


def having(name, made, **options):
    """The numbers of the dialect that alone, or beside the options, make a transformation of which this is true."""

    def has(argument):
        try:
            return made(lambda x: make(name, **options | {argument: x}))
        except ValueError:  # refused, or without meaning alone
            return False

    return [argument for argument in numbers_of(TABLE[name]) if has(argument)]


@each
def test_the_argument_that_weighs_the_old_mean_square(name):
    row, g = TABLE[name], 0.25
    mean_square = (value(row, row.start) + g * g) / 2

    def weighs(made):
        _, state = steps(made(0.5), [g], param=0.0)
        nu, mu = (optax.tree.get(state, key) for key in ("nu", "mu"))
        return float(nu[0] if mu is None else nu[0] + mu[0] ** 2) == pytest.approx(mean_square)

    assert having(name, weighs) == ([row.arguments.decay] if row.arguments.decay else [])


@each
def test_the_argument_that_makes_a_momentum_buffer(name):
    row = TABLE[name]

    def buffers(made):
        absent, present = (optax.tree.get(steps(made(m), [])[1], "trace") for m in (0.0, MU))
        return absent is None and present is not None

    names = {row.arguments.momentum} - {None}
    assert bool(names) == (row.momentum != "no buffer")
    others = {"step_adapt"} if name == "climin" else set()  # adapts by the last step
    assert set(having(name, buffers)) - others == (set() if row.momentum.startswith("no buffer") else names)
    if "centered" in row.momentum:
        assert set(having(name, buffers, centered=True)) == names


@each
def test_where_the_learning_rate_stands(name):
    row, gradients = TABLE[name], (0.5, 0.3)
    fall = jnp.array([1.0, 0.1])
    (first, second), state = steps(make(name, rate=lambda count: fall[count], momentum=MU), gradients)
    (_, plain), _ = steps(make(name, rate=1.0, momentum=MU), gradients)
    if row.momentum.startswith("no buffer"):
        assert optax.tree.get(state, "trace") is None
        assert second == pytest.approx(0.1 * plain)
        return
    if row.momentum.endswith("Nesterov"):
        first = first / (1 + MU)
    # With a constant rate the second step is MU·first + x, or with Nesterov MU²·first + (1 + MU)·x.
    kept = (MU * MU if row.momentum.endswith("Nesterov") else MU) * first
    x = plain - kept
    expected = {"before": kept + 0.1 * x, "after": 0.1 * (kept + x)}
    assert second == pytest.approx(expected[row.momentum.partition(",")[0]], rel=1e-5)


@each
def test_weight_decay(name):
    row = TABLE[name]
    arguments = [a for a in WEIGHT_DECAY if a in options_of(row)]
    assert len(arguments) == (row.weight_decay != "none")
    if not arguments:
        return

    def moved(decay, **options):
        (update,), state = steps(make(name, **{arguments[0]: decay}, **options), [0.5], param=2.0)
        (none,), clean = steps(make(name), [0.5], param=2.0)
        nu, before = (float(optax.tree.get(s, "nu")[0]) for s in (state, clean))
        return nu != before, update - none

    kinds = row.weight_decay.split(" or ")
    chosen = {"regularization_type": "L1", "decoupled": "decoupled", "decoupled_decay": "decoupled"}
    assert kinds[1:] == [kind for option, kind in chosen.items() if option in options_of(row)]
    for kind in kinds:
        options = {
            "L1": {"regularization_type": "L1"},
            "L2": {},
            "decoupled": {o: True for o in ("decoupled", "decoupled_decay") if len(kinds) > 1 and o in options_of(row)},
        }[kind]
        seen, further = moved(0.5, **options)
        if kind != "L1":
            assert moved(lambda count: 0.5, **options) == (seen, further)
        assert seen == (kind != "decoupled")
        if kind == "decoupled":
            assert further == pytest.approx(-0.5 * 2.0, rel=1e-5)


@each
def test_arguments_exist_and_the_source_is_told(name):
    row = TABLE[name]
    assert {a for a in row.arguments if a} <= options_of(row).keys()
    assert name == row.constructor.__name__
    assert len(row.source) > 10
    assert "\n" not in row.source


# Each dialect as it is, and where options lead to other checks.
BRANCHES = [
    *((name, {}) for name in TABLE),
    ("caffe", {"regularization_type": "L1"}),
    ("climin", {"step_adapt": 0.5}),
    ("dfdx", {"weight_decay": 0.5, "decoupled": True}),
    ("mxnet", {"centered": True}),
    ("mxnet", {"version": "0.9.3"}),
    ("tensorflowjs", {"centered": True}),
    ("timm", {"decoupled_decay": True, "corrected_weight_decay": True}),
]


@pytest.mark.parametrize(("name", "options"), BRANCHES, ids=str)
def test_a_wrong_number_is_told_under_the_frameworks_name(name, options):
    row = TABLE[name]
    assert {a for a in row.arguments if a} <= set(numbers_of(row))
    for argument in numbers_of(row):
        told = f"^{argument} (must be|has a meaning only with)| (no|neither|nor) {argument} "
        with pytest.raises(ValueError, match=told):
            row.constructor(**{row.arguments.learning_rate: 0.1, **options, argument: -1.0})


@each
def test_a_number_for_a_bool_is_told_under_the_frameworks_name(name):
    row = TABLE[name]
    for argument in (a for a, p in options_of(row).items() if p.annotation in (bool, bool | None)):
        told = f"^{argument} must be True or False, got {argument}=1| has no {argument} "
        with pytest.raises((TypeError, ValueError), match=told):
            row.constructor(**{row.arguments.learning_rate: 0.1, argument: 1})


def test_what_is_not_reproduced_is_not_in_the_table():
    assert not NOT_REPRODUCED.keys() & TABLE.keys()
    assert all(why and not why.endswith(".") for why in NOT_REPRODUCED.values())


def test_complex_parts_are_two_parameters_in_pytorch_alone():
    g = jnp.array([0.3 + 0.4j])

    def step(name):
        tx = make(name)
        return complex(tx.update(g, tx.init(g), g)[0][0])

    assert step("pytorch").real != pytest.approx(step("pytorch").imag * 0.75)
    assert step("torch7").real == pytest.approx(step("torch7").imag * 0.75)
