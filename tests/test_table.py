"""`dialects.TABLE` is true: its facts, and the words made of them, are measured on the dialects."""

import inspect
import math
import re

import jax
import jax.numpy as jnp
import optax
import pytest
from rows import long

from rmsprop_optax import recipes
from rmsprop_optax._arguments import roles_of
from rmsprop_optax._numbers import range_of
from rmsprop_optax.dialects import NOT_REPRODUCED, TABLE, Arguments

EPS, MU = 0.25, 0.5
each = pytest.mark.parametrize("name", TABLE)


def parameters(row):
    return inspect.signature(row.constructor).parameters


def numbers(row, *roles):
    """The arguments that are numbers, of all roles or of some."""
    found = {name: role for name, role in roles_of(row.constructor).items() if name not in row.refused}
    return [name for name, role in found.items() if role in roles or not roles]


def required(name):
    return {p.name: 0.01 for p in parameters(TABLE[name]).values() if p.default is p.empty}


def make(name, rate=1.0, momentum=0.0, **options):
    """The dialect with a large epsilon, momentum if its plain form has any, and neither clipping nor weight decay."""
    row = TABLE[name]
    given = {a: None for a in numbers(row, "clip", "l2", "weight_decay") if parameters(row)[a].default is not None}
    given |= {row.arguments.learning_rate: rate}
    if row.arguments.eps:
        given[row.arguments.eps] = EPS
    if row.buffer == "option":
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


def moment(state):
    """The mean square of the gradients, also of a centered state."""
    nu, mu = (optax.tree.get(state, key) for key in ("nu", "mu"))
    return float(nu[0] if mu is None else nu[0] + mu[0] ** 2)


def value(row, text, **names):
    """A formula of the table as a number."""
    defaults = {name: p.default for name, p in parameters(row).items()}
    names = {**defaults, row.arguments.eps or "": EPS, **names, "sqrt": math.sqrt, "max": max}
    return eval(re.sub(r"√(\w+)", r"sqrt(\1)", text).replace("√(", "sqrt("), names)


@each
@pytest.mark.parametrize("momentum", [0.0, MU])
@pytest.mark.parametrize("forgetful", [False, True])
def test_start_and_denominator(name, momentum, forgetful):
    """With a decay of 0 nothing is left of the start, and a small gradient shows the smallest epsilon."""
    row = TABLE[name]
    forget = forgetful and row.arguments.decay
    tx, g = make(name, momentum=momentum, **({row.arguments.decay: 0.0} if forget else {})), 1e-4 if forget else 0.5
    _, state = steps(tx, [])
    assert float(optax.tree.get(state, "nu")[0]) == pytest.approx(value(row, row.start))
    (update,), state = steps(tx, [g])
    nu = float(optax.tree.get(state, "nu")[0])
    formulas = row.divisors(row.arguments.eps)
    denominator = value(row, formulas[-1 if momentum else 0], nu=nu, var=nu)
    factor = 1 + momentum if row.nesterov else math.sqrt(1 - momentum**2) if row.smooths == "damped steps" else 1
    assert update == pytest.approx(-factor * g / denominator, rel=1e-6)


@each
def test_the_denominator_names_the_variance_where_centered_and_epsilon_where_it_is_an_argument(name):
    row = TABLE[name]
    _, state = steps(make(name), [])
    words = set(re.findall(r"[a-z]\w+", row.denominator))
    assert words & {"nu", "var"} == {"nu" if optax.tree.get(state, "mu") is None else "var"}
    named = words & parameters(row).keys() - {"momentum", "max_scaling"}
    assert named == ({row.arguments.eps} if row.arguments.eps else set())


@each
def test_what_is_centered(name):
    row = TABLE[name]
    flags = parameters(row).keys() & {"centered", "centred", "use_first"} - {*row.refused}
    means = {
        given: optax.tree.get(steps(make(name, **dict.fromkeys(flags, given)), [])[1], "mu") is not None
        for given in (False, True)
    }
    assert means == {"never": {False: False, True: False}, "option": {False: False, True: True}}.get(
        row.centered, {False: True, True: True}
    )
    assert bool(flags) == (row.centered == "option")


def having(name, made, **options):
    """The numbers of the dialect that alone, or beside the options, make a transformation of which this is true."""

    def has(argument):
        try:
            return made(lambda x: make(name, **options | {argument: x}))
        except ValueError:  # refused, or without meaning alone
            return False

    return [argument for argument in numbers(TABLE[name]) if has(argument)]


@each
def test_the_argument_that_weighs_the_old_mean_square_and_the_correction_for_its_start(name):
    row, g, h = TABLE[name], 0.25, 0.5
    plain = value(row, row.start) / 4 + g * g / 4 + h * h / 2
    corrected = (g * g + 2 * h * h) / 3

    def weighs(made):
        _, state = steps(made(0.5), [g, h], param=0.0)
        return moment(state) == pytest.approx(corrected if row.bias_correction == "always" else plain)

    assert having(name, weighs) == ([row.arguments.decay] if row.arguments.decay else [])
    if row.bias_correction == "option":
        _, state = steps(make(name, bias_correction=True, **{row.arguments.decay: 0.5}), [g, h], param=0.0)
        assert moment(state) == pytest.approx(corrected)


@each
def test_the_argument_that_makes_a_momentum_buffer(name):
    row = TABLE[name]

    def buffers(made):
        absent, present = (optax.tree.get(steps(made(m), [])[1], "trace") for m in (0.0, MU))
        return absent is None and present is not None

    names = {row.arguments.momentum} - {None}
    assert bool(names) == (row.buffer != "never")
    others = {"step_adapt"} if name == "climin" else set()  # it adapts by the last step
    assert set(having(name, buffers)) - others == (names if row.buffer == "option" else set())
    if row.buffer == "if centered":
        assert set(having(name, buffers, centered=True)) == names


@each
def test_where_the_learning_rate_stands(name):
    row, gradients = TABLE[name], (0.5, 0.3)
    centered = {"centered": True, row.arguments.momentum: MU} if row.buffer == "if centered" else {}
    fall = jnp.array([1.0, 0.1])
    (first, second), state = steps(make(name, rate=lambda count: fall[count], momentum=MU, **centered), gradients)
    (_, plain), _ = steps(make(name, rate=1.0, momentum=MU, **centered), gradients)
    if row.buffer == "never":
        assert optax.tree.get(state, "trace") is None
        assert second == pytest.approx(0.1 * plain)
        return
    if row.nesterov:
        first = first / (1 + MU)
    # With a constant rate the second step is MU·first + x, or with Nesterov MU²·first + (1 + MU)·x.
    kept = (MU * MU if row.nesterov else MU) * first
    x = plain - kept
    assert second == pytest.approx(kept + 0.1 * x if row.lr_in_momentum else 0.1 * (kept + x), rel=1e-5)


# The options that choose a kind of weight decay.
KINDS = {
    "L2": {"decouple_wd": False},
    "L1": {"regularization_type": "L1"},
    "decoupled": {"decoupled": True, "decoupled_decay": True},
}


@each
def test_weight_decay(name):
    row = TABLE[name]
    arguments = numbers(row, "l2", "weight_decay")
    assert len(arguments) == bool(row.decays)
    if not arguments:
        return

    def moved(decay, rate=1.0, **options):
        (update,), state = steps(make(name, rate, **{arguments[0]: decay}, **options), [0.5], param=2.0)
        (none,), clean = steps(make(name, rate), [0.5], param=2.0)
        nu, before = (float(optax.tree.get(s, "nu")[0]) for s in (state, clean))
        return nu != before, update - none

    def chosen(kind):
        return {option: x for option, x in KINDS.get(kind, {}).items() if option in parameters(row)}

    assert list(row.decays[1:]) == [kind for kind in KINDS if chosen(kind)]
    for kind in row.decays:
        options = chosen(kind)
        seen, further = moved(0.5, **options)
        if kind != "L1":
            assert moved(lambda count: 0.5, **options) == (seen, further)
        assert seen == (not kind.startswith("decoupled"))
        if not seen:
            assert further == pytest.approx(-0.5 * 2.0, rel=1e-5)
            slow = -0.5 * 2.0 * (1 if kind == "decoupled, no lr" else 0.125)
            assert moved(0.5, rate=0.125, **options)[1] == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize("row", [*TABLE.values(), *recipes.TABLE.values()], ids=lambda row: row.constructor.__name__)
def test_the_docstring_stands_alone(row):
    """Every section is there, in order, every argument has its entry, and the example is code, which pytest runs."""
    text = inspect.getdoc(row.constructor)
    assert re.findall(r"^(\w+):$", text, re.MULTILINE) == ["Args", "Returns", "Raises", "Example", "Source"]
    arguments = text.partition("Args:\n")[2].partition("\n\nReturns:")[0]
    assert re.findall(r"^  (\w+):", arguments, re.MULTILINE) == [*parameters(row)]
    example = text.partition("\n\nExample:\n")[2].partition("\n\nSource:")[0]
    assert example.startswith("  >>> "), "write code, or: NAME(…) turns a first gradient of G into an update of U."
    assert re.search(r"\d", row.source)  # a version or a commit


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
    for argument in roles_of(row.constructor):
        with pytest.raises(ValueError, match=f"^{argument} must be "):
            row.constructor(**{row.arguments.learning_rate: 0.1, **options, argument: -1.0})


@each
def test_a_number_for_a_bool_is_told_under_the_frameworks_name(name):
    row = TABLE[name]
    for argument in (a for a, p in parameters(row).items() if p.annotation in (bool, bool | None)):
        with pytest.raises(TypeError, match=f"^{argument} must be True or False, got {argument}=1"):
            row.constructor(**{row.arguments.learning_rate: 0.1, argument: 1})


@pytest.mark.parametrize(("name", "argument"), [(name, a) for name, row in TABLE.items() for a in row.refused])
def test_what_the_framework_ignores_must_be_off(name, argument):
    constructor = TABLE[name].constructor
    constructor(**{argument: {"momentum": 0.0, "centered": False}[argument]})
    with pytest.raises(ValueError, match=f"^{argument} must be off, got {argument}=.*: {name} has "):
        constructor(**{argument: {"momentum": 0.9, "centered": True}[argument]})


WRONG = [(name, word) for name, row in TABLE.items() for word in Arguments._fields if word not in parameters(row)]


@pytest.mark.parametrize(("name", "word"), WRONG)
def test_a_common_word_names_the_frameworks(name, word):
    row = TABLE[name]
    own = getattr(row.arguments, word)
    mend = f"{name} calls it {own}" if own else "it takes|did you mean"
    with pytest.raises(TypeError, match=f"^{name} got an unexpected keyword argument '{word}': ({mend})"):
        row.constructor(**{word: 0.1})


def shapes(state):
    leaves, tree = jax.tree.flatten(state)
    return tree, [(leaf.shape, leaf.dtype) for leaf in leaves]


NEED_PARAMETERS = ("brainjs", "dreamerv3", "levanter")  # by default


@pytest.mark.parametrize("name", long(TABLE))
def test_injection_adds_the_hyperparameters_alone(name):
    constructor, given = TABLE[name].constructor, required(name)
    plain, injected = constructor(**given), optax.inject_hyperparams(constructor)(**given)
    params = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
    state, own = injected.init(params), plain.init(params)
    assert shapes(state.inner_state) == shapes(own)
    assert {*state.hyperparams} >= {*given}
    grads = jax.tree.map(jnp.ones_like, params)
    given = () if name not in NEED_PARAMETERS else (params,)
    for update, before in ((plain.update, own), (jax.jit(injected.update), state)):
        updates, after = update(grads, before, *given)
        assert shapes(after) == shapes(before)
        assert shapes(updates) == shapes(params)


@each
def test_an_injected_decay_needs_the_parameters(name):
    row, g = TABLE[name], jnp.ones(3)
    for argument in numbers(row, "l2", "weight_decay"):
        tx = optax.inject_hyperparams(row.constructor)(**required(name) | {argument: 0.1})
        state = tx.init(g)
        with pytest.raises(ValueError, match="call update\\(grads, state, params\\)"):
            tx.update(g, state)
        tx.update(g, state, g)


# Refused unless another option is set.
DEPENDENT = {("mxnet", "gamma2"), ("timm", "max_lr")}


def integers():
    """Each bound of a norm or a value alone, and all other numbers of a dialect together."""
    for name, row in TABLE.items():
        clips = numbers(row, "clip")
        roles = roles_of(row.constructor)
        others = {a: int(range_of(roles[a]).high > 1) for a in numbers(row) if a not in clips}
        yield name, {a: x for a, x in others.items() if (name, a) not in DEPENDENT}
        # A decay of 0.999 is another one in float32.
        yield from ((name, {clip: 1, row.arguments.decay: 0.5}) for clip in clips)


@pytest.mark.parametrize(("name", "given"), long(integers()), ids=lambda x: "-".join(x) if isinstance(x, dict) else x)
def test_integers_are_numbers_when_injected(name, given):
    constructor = TABLE[name].constructor
    params, grads = jnp.array([2.0, -3.0]), jnp.array([3.0, -4.0])

    def step(numbers):
        tx = optax.inject_hyperparams(constructor)(**required(name) | numbers)
        return jax.jit(lambda: tx.update(grads, tx.init(params), params)[0])()

    want = step({argument: float(x) for argument, x in given.items()})
    assert jnp.all(jnp.isfinite(want))
    assert jnp.array_equal(step(given), want)
    if roles_of(constructor)[next(iter(given))] == "clip":
        plain = constructor(**required(name) | given)
        assert jnp.allclose(want, plain.update(grads, plain.init(params), params)[0], rtol=1e-6)


def test_reasons_are_clauses():
    assert all(why and not why.endswith(".") for why in NOT_REPRODUCED.values())


def test_complex_parts_are_two_parameters_in_pytorch_alone():
    g = jnp.array([0.3 + 0.4j])

    def step(name):
        tx = make(name)
        return complex(tx.update(g, tx.init(g), g)[0][0])

    assert step("pytorch").real != pytest.approx(step("pytorch").imag * 0.75)
    assert step("torch7").real == pytest.approx(step("torch7").imag * 0.75)
