"""The published settings: steps against float64 NumPy, learning rates against numbers worked out from the sources."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import references

from rmsprop_optax import dialects, recipes


def to_norm(bound, rest=0.0):
    def clip(grads):
        norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
        return {name: g * min(1, bound / (norm + rest)) for name, g in grads.items()}

    return clip


def to_entries(bound):
    return lambda grads: {name: np.clip(g, -bound, bound) for name, g in grads.items()}


def falls(rate, factor, powers):
    return [rate * factor**k for k in powers]


class Row(NamedTuple):
    """A recipe with arguments so small that its learning rate changes within a few steps.

    Attributes:
      name: of the recipe.
      arguments: of the recipe.
      options: of its dialect's reference, by the names of the source.
      rates: the learning rate of every step.
      clip: what the gradients become first; PyTorch adds 1e-6 to a norm before it divides by it, and optax does not.
      l2: what is added to them then, times the parameter, for the kernel and the bias.
      bound: what the parameters stay within.
    """

    name: str
    arguments: dict[str, Any]
    options: dict[str, Any]
    rates: Sequence[float]
    clip: Callable[[dict], dict] = dict
    l2: tuple[float, float] = (0.0, 0.0)
    bound: float = np.inf


STEPS = 13
LINE = np.array([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0, 0, 0])
MOBILE = np.array([0, 0.2, 0.4, 0.6, 0.8, *falls(1, 0.97, (2, 2, 2, 3, 3, 4, 4, 5))])


def timm(peak):
    rising = [peak * share + 1e-6 * (1 - share) for share in (0, 1 / 3, 2 / 3)]
    return [*np.repeat(rising, 2), *falls(peak, 0.97, (1, 1, 1, 1, 2, 2, 2))]


KERNEL = {"weight_decay_mask": {"kernel": True, "bias": False}}
LARGE, SMALL = {"momentum": 0.9, "epsilon": 1.0}, {"momentum": 0.9, "epsilon": 0.001}

ROWS = [
    Row("dqn", {}, {}, [2.5e-4] * STEPS),
    Row("dqn_zoo", {}, {"decay": 0.95, "eps": 9.765625e-06, "centered": True}, [2.5e-4] * STEPS),
    Row("dopamine_dqn", {}, {"decay": 0.95, "eps": 1e-5, "centered": True}, [2.5e-4] * STEPS),
    Row("dopamine_tf_dqn", {}, {"decay": 0.95, "epsilon": 1e-5, "centered": True}, [2.5e-4] * STEPS),
    Row("a3c", {"steps": 10}, {"alpha": 0.99, "eps": 0.1}, 7e-4 * LINE, to_norm(40, rest=1e-6)),
    Row("a2c", {"steps": 10}, {"decay": 0.99, "epsilon": 1e-5}, 7e-4 * LINE, to_norm(0.5)),
    Row("impala", {"steps": 10}, {"decay": 0.99, "epsilon": 0.1}, 4.8e-4 * LINE),
    Row("impala_torch", {"steps": 10}, {"alpha": 0.99, "eps": 0.01}, 4.8e-4 * LINE, to_norm(40, rest=1e-6)),
    Row("pymarl", {}, {"alpha": 0.99, "eps": 1e-5}, [5e-4] * STEPS, to_norm(10, rest=1e-6)),
    Row("wgan", {}, {"alpha": 0.99, "eps": 1e-8}, [5e-5] * STEPS, bound=0.01),
    Row("wgan", {"clamp": None}, {"alpha": 0.99, "eps": 1e-8}, [5e-5] * STEPS),
    Row("efficientnet", {"steps_per_epoch": 1, **KERNEL}, SMALL, 0.128 * MOBILE, l2=(1e-5, 0)),
    Row("mnasnet", {"steps_per_epoch": 1, **KERNEL}, SMALL, 0.064 * MOBILE, l2=(1e-5, 0)),
    Row(
        "mobilenet_v2",
        {"steps_per_epoch": 1, "batch_size": 192, **KERNEL},
        LARGE,
        falls(0.09, 0.98, (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6)),
        l2=(4e-5, 0),
    ),
    Row(  # twice the source's batch
        "mobilenet_v2",
        {"steps_per_epoch": 1, "batch_size": 192, "batch_rule": "square root", **KERNEL},
        {"decay": 0.8, "momentum": 0.8, "epsilon": 0.5},
        falls(0.045 * 2**1.5, 0.98, (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6)),
        l2=(4e-5, 0),
    ),
    Row(
        "mobilenet_v3",
        {"steps_per_epoch": 3},
        {"alpha": 0.9, "eps": 0.0316, "momentum": 0.9},
        falls(0.064, 0.973, (0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2)),
        l2=(1e-5, 1e-5),
    ),
    Row(
        "timm_efficientnet",
        {"steps_per_epoch": 2, "batch_size": 768},
        {"alpha": 0.9, "eps": 0.001, "momentum": 0.9},
        timm(0.048),
        l2=(1e-5, 0),
    ),
    Row(  # three times timm's usual batch
        "timm_efficientnet",
        {"steps_per_epoch": 2, "batch_size": 768, "batch_rule": "square root"},
        {"alpha": 0.7, "eps": 0.001 / 3, "momentum": 0.7},
        timm(0.016 * 3**1.5),
        l2=(1e-5, 0),
    ),
    Row(
        "inception_v3",
        {"steps_per_epoch": 1, "weight_decay_mask": None},
        LARGE,
        falls(0.66, 0.94, (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4)),
        l2=(4e-5, 4e-5),
    ),
    Row(
        "char_rnn",
        {"steps_per_epoch": 1},
        {"alpha": 0.95},
        falls(2e-3, 0.97, (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3)),
        to_entries(5),
    ),
    Row("graves", {}, {"decay": 0.95, "momentum": 0.9, "eps": 1e-4}, [1e-4] * STEPS),
]

every_row = pytest.mark.parametrize("row", ROWS, ids=[f"{row.name}-{i}" for i, row in enumerate(ROWS)])


def make(name, arguments):
    return recipes.TABLE[name].constructor(**arguments)


def reference(name):
    return getattr(references, recipes.TABLE[name].dialect)


def expected(row, params, gradients):
    """The parameters after every step: the dialect's reference, with what the recipe does before and after it."""
    own = before = params

    def prepared():
        for grads in gradients:
            clipped = row.clip(grads)
            yield {name: clipped[name] + l2 * own[name] for name, l2 in zip(params, row.l2, strict=True)}

    for after, _ in reference(row.name)(params, prepared(), row.rates, **row.options):
        own = {name: np.clip(own[name] + after[name] - before[name], -row.bound, row.bound) for name in params}
        before = after
        yield own


def assert_steps_equal_float64(row, tx, scale=1.0, steps=STEPS, close=1e-9, set_rate=None):
    """The parameters follow ``row``, whose losses are ``scale`` times as large as those that ``tx`` sees."""
    params, gradients, _ = references.stream(steps=steps)
    moves = [jax.tree.map(np.subtract, truth, params) for truth in expected(row, params, gradients)]
    reach = {name: np.max([np.abs(move[name]) for move in moves], axis=0) for name in params}
    with jax.enable_x64(True):
        ours = jax.tree.map(jnp.asarray, params)
        state, update = tx.init(ours), jax.jit(tx.update)
        for t, (grads, move) in enumerate(zip(gradients, moves, strict=True)):
            state = state if set_rate is None else set_rate(state, t)
            updates, state = update(jax.tree.map(lambda g: jnp.asarray(g / scale), grads), state, ours)
            ours = optax.apply_updates(ours, updates)
            for name, p in params.items():
                error = np.abs(np.asarray(ours[name]) - p - move[name])
                # A step rounds parameters around 1 by 1e-16.
                assert (error <= close * reach[name] + 1e-14).all(), f"{name} at step {t}"


def closeness(row):
    """What PyTorch adds to a norm of 10 is 1e-7 of it."""
    return 2e-7 if recipes.TABLE[row.name].dialect in ("pytorch", "pfrl") else 1e-9


@every_row
def test_steps_equal_float64(row):
    assert_steps_equal_float64(row, make(row.name, row.arguments), close=closeness(row))


@every_row
def test_low_precision_follows_float32_under_jit(row):
    params, gradients, _ = references.stream(steps=3)
    low, *gradients = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), [params, *gradients])
    tx = make(row.name, row.arguments)
    traced = []

    @jax.jit
    def both(*args):
        traced.append(args)
        return [tx.update(*each) for each in args]

    high = jax.tree.map(lambda p: p.astype(jnp.float32), low)
    low_state, high_state = tx.init(low), tx.init(high)
    for grads in gradients:
        wide = jax.tree.map(lambda g: g.astype(jnp.float32), grads)
        (updates, low_state), (exact, high_state) = both((grads, low_state, low), (wide, high_state, high))
        for name, u in updates.items():
            assert u.dtype == jnp.bfloat16
            assert jnp.isfinite(u).all()
            # The one rounding is that of the update: half a unit in the last place.
            np.testing.assert_allclose(u.astype(jnp.float32), exact[name], rtol=float(jnp.finfo(jnp.bfloat16).eps) / 2)
    assert len(traced) == 1


def test_the_table_is_complete():
    assert {row.name for row in ROWS} == set(recipes.TABLE)
    assert {name for name in dir(recipes) if not name.startswith("_")} == {*recipes.TABLE, "TABLE", "Recipe"}
    assert {*recipes.__all__} == {*recipes.TABLE, "TABLE", "Recipe"}
    for name, recipe in recipes.TABLE.items():
        assert recipe.constructor is getattr(recipes, name)
        assert recipe.dialect in dialects.TABLE
        assert recipe.settings.startswith("lr ")
        assert "/" in recipe.source
        assert "\n" not in recipe.settings + recipe.source


# Losses


SUMS = [row for row in ROWS if "mean_of" in inspect.signature(recipes.TABLE[row.name].constructor).parameters]


def test_the_recipes_whose_loss_is_a_sum():
    assert [row.name for row in SUMS] == ["dqn", "a3c", "impala", "impala_torch", "char_rnn"]


@pytest.mark.parametrize("row", SUMS, ids=lambda row: row.name)
@pytest.mark.parametrize("terms", [1, 50])
def test_the_mean_of_a_loss_trains_as_its_sum(row, terms):
    tx = make(row.name, row.arguments | {"mean_of": terms})
    assert_steps_equal_float64(row, tx, scale=terms, close=1e-6)
    if terms > 1:
        with pytest.raises(AssertionError, match="at step"):
            assert_steps_equal_float64(row, make(row.name, row.arguments), scale=terms, close=0.02)


# Learning rates


RATES = [
    ("a3c", {"steps": 16_000_000}, {0: 7e-4, 8_000_000: 3.5e-4, 16_000_000: 0, 20_000_000: 0}),
    ("a2c", {"steps": 1_000_000}, {250_000: 5.25e-4, 1_000_000: 0}),
    ("impala", {"steps": 1e9 / 800}, {312_500: 3.6e-4, 1_250_000: 0}),
    ("impala_torch", {"steps": 100_000 / 640}, {125: 9.6e-5, 157: 0}),
    (  # 3127 steps of warm-up, and stairs of 1501.37
        "efficientnet",
        {"steps_per_epoch": 1281167 / 2048},
        {0: 0, 1: 4.0933802e-05, 3126: 0.12795907, 3127: 0.1204352, 4504: 0.1204352, 4505: 0.116822144},
    ),
    (  # 6255 steps of warm-up, and stairs of 3002.74
        "mnasnet",
        {"steps_per_epoch": 1281167 / 1024},
        {6254: 0.063989768, 6255: 0.0602176, 9008: 0.0602176, 9009: 0.058411072},
    ),
    ("mobilenet_v2", {"steps_per_epoch": 1281167 / 96}, {33362: 0.045, 33363: 0.0441, 66726: 0.043218}),
    ("mobilenet_v3", {"steps_per_epoch": 1252}, {2503: 0.064, 2504: 0.062272, 5008: 0.060590656}),
    (  # in epochs: 0, 1, 2, 3, 35 and 36, which is 15 times 2.4
        "timm_efficientnet",
        {"steps_per_epoch": 5004},
        {5003: 1e-6, 5004: 0.005334, 15011: 0.010667, 15012: 0.01552, 180143: 0.01044538, 180144: 0.010132019},
    ),
    (
        "timm_efficientnet",
        {"steps_per_epoch": 10, "batch_size": 1024, "warmup_epochs": 5},
        {49: 0.0512002, 50: 0.0602176},
    ),
    (  # 0.94 to the 148th and 149th, either side of the least rate
        "inception_v3",
        {"steps_per_epoch": 1251},
        {3752: 0.66, 3753: 0.6204, 555444: 6.9577091e-05, 559197: 6.6e-05},
    ),
    ("char_rnn", {"steps_per_epoch": 423}, {4229: 0.002, 4230: 0.00194, 4652: 0.00194, 4653: 0.0018818}),
]


@pytest.mark.parametrize(("name", "arguments", "rates"), RATES, ids=[name for name, *_ in RATES])
def test_learning_rates_at_named_steps(name, arguments, rates):
    masked = name in ("efficientnet", "mnasnet", "mobilenet_v2", "inception_v3")
    tx = make(name, arguments | {"weight_decay_mask": None} if masked else arguments)
    options = next(row.options for row in ROWS if row.name == name)
    gradient = {"w": np.array([0.125])}  # exact in float32, and not clipped
    ((moved, _),) = reference(name)({"w": np.zeros(1)}, [gradient], [1.0], **options)
    params = {"w": jnp.zeros(1)}
    for step, rate in rates.items():
        state = optax.tree.set(tx.init(params), count=jnp.int32(step))
        updates, _ = tx.update({"w": jnp.array([0.125])}, state, params)
        np.testing.assert_allclose(updates["w"] / moved["w"], rate, rtol=5e-6, err_msg=f"step {step}")


# A learning rate of the user's


OF_SCHEDULES = {"steps", "steps_per_epoch", "batch_size", "warmup_epochs"}
OWN = [0.01, 0.02, 0.005]


def without_schedule(row):
    """The arguments that may come with a learning rate; a batch by the square-root rule is not for the rate alone."""
    ours = OF_SCHEDULES - {"batch_size"} if "batch_rule" in row.arguments else OF_SCHEDULES
    return {name: value for name, value in row.arguments.items() if name not in ours}


@every_row
def test_a_schedule_replaces_the_source(row):
    tx = make(row.name, without_schedule(row) | {"learning_rate": lambda count: jnp.asarray(OWN)[count]})
    assert_steps_equal_float64(row._replace(rates=OWN), tx, steps=len(OWN), close=closeness(row))


@every_row
def test_an_injected_learning_rate_replaces_the_source(row):
    constructor = recipes.TABLE[row.name].constructor
    arguments = without_schedule(row)
    static = {"batch_size"} & arguments.keys()
    tx = optax.inject_hyperparams(constructor, static_args=static)(**arguments, learning_rate=1.0)

    def set_rate(state, t):
        return optax.tree.set(state, learning_rate=jnp.asarray(OWN[t]))

    assert_steps_equal_float64(
        row._replace(rates=OWN), tx, steps=len(OWN), close=max(closeness(row), 1e-7), set_rate=set_rate
    )


@pytest.mark.parametrize("name", recipes.TABLE)
def test_a_learning_rate_or_the_numbers_of_the_schedule(name):
    constructor = recipes.TABLE[name].constructor
    parameters = inspect.signature(constructor).parameters
    arguments = {"weight_decay_mask": None} if "weight_decay_mask" in parameters else {}
    if parameters["learning_rate"].default is not None:
        assert not OF_SCHEDULES & parameters.keys()
        constructor(**arguments)
        return
    needed = "steps" if "steps" in parameters else "steps_per_epoch"
    with pytest.raises(TypeError, match=f"{needed} or learning_rate must be given, got neither: {needed} is"):
        constructor(**arguments)
    constructor(**arguments, learning_rate=0)
    constructor(**arguments, learning_rate=0.1, **dict.fromkeys(OF_SCHEDULES & parameters.keys()))
    for option in OF_SCHEDULES & parameters.keys():
        with pytest.raises(ValueError, match=f"{option} is for, got both, {option}=10: drop one"):
            constructor(**arguments, learning_rate=0.1, **{option: 10})


# Arguments


@pytest.mark.parametrize(
    ("name", "arguments", "error", "match"),
    [
        ("a3c", {"steps": 0}, ValueError, "steps must be finite and at least 1, got steps=0: it is the number of"),
        ("a2c", {"steps": -5}, ValueError, "steps must be .* got steps=-5"),
        ("impala", {"steps": np.inf}, ValueError, "steps must be finite .* got steps=inf"),
        ("impala_torch", {"steps": np.nan}, ValueError, "got steps=nan"),
        ("efficientnet", {"steps_per_epoch": 0.5, **KERNEL}, ValueError, "steps_per_epoch must be .* in a pass over"),
        (
            "efficientnet",
            {"steps_per_epoch": 9, "weight_decay_mask": jnp.array(True)},
            TypeError,
            "weight_decay_mask must be a tree",
        ),
        (
            "mnasnet",
            {"steps_per_epoch": 9, "batch_size": -256, **KERNEL},
            ValueError,
            "batch_size must be .* all devices",
        ),
        ("mobilenet_v2", {"steps_per_epoch": 9, "batch_size": 0, **KERNEL}, ValueError, "got batch_size=0"),
        (
            "mnasnet",
            {"learning_rate": 0.1, "batch_size": 256, **KERNEL},
            ValueError,
            'got both, batch_size=256: drop one, or set batch_rule="square root" to convert decay',
        ),
        (
            "mobilenet_v2",
            {"steps_per_epoch": 9, "batch_rule": "sqrt", **KERNEL},
            ValueError,
            'batch_rule must be "linear" or "square root", got batch_rule=.sqrt.',
        ),
        (
            "inception_v3",
            {"steps_per_epoch": 9, "batch_size": 16384, "batch_rule": "square root", **KERNEL},
            ValueError,
            "a decay of 0.9 can follow a batch at most 10 times as large, got 16 times",
        ),
        ("mobilenet_v3", {"steps_per_epoch": True}, TypeError, "be a Python or NumPy number, got steps_.*True"),
        (
            "timm_efficientnet",
            {"steps_per_epoch": 9, "warmup_epochs": 0},
            ValueError,
            "warmup_epochs must be .* defaults",
        ),
        ("timm_efficientnet", {"steps_per_epoch": 0}, ValueError, "steps_per_epoch must be"),
        ("inception_v3", {"steps_per_epoch": 9, "batch_size": -1, **KERNEL}, ValueError, "got batch_size=-1"),
        ("char_rnn", {"steps_per_epoch": "9"}, TypeError, "must be a Python or NumPy number, got steps_per_epoch='9'"),
        ("wgan", {"clamp": -0.01}, ValueError, "clamp must be .* got clamp=-0.01"),
        ("dqn", {"mean_of": 0}, ValueError, "mean_of must be finite and at least 1, got mean_of=0: .* your loss"),
        ("impala", {"steps": 9, "mean_of": 1.5}, ValueError, "mean_of must be a whole number, got mean_of=1.5"),
        ("char_rnn", {"steps_per_epoch": 9, "mean_of": True}, TypeError, "Python or NumPy number, got mean_of=True"),
        ("graves", {"learning_rate": -1e-4}, ValueError, "learning_rate must be .* got learning_rate=-0.0001"),
        ("impala", {"learning_rate": -1}, ValueError, "learning_rate must be .* got learning_rate=-1"),
        ("impala_torch", {"lr": 0.1}, TypeError, "unexpected keyword argument 'lr': impala_torch calls it learning_r"),
        ("a2c", {"step": 9}, TypeError, "unexpected keyword argument 'step': did you mean steps?"),
        ("a2c", {"steps": 9, "mean_of": 5}, TypeError, "argument 'mean_of': it takes steps, learning_rate."),
        ("efficientnet", {"steps_per_epoch": 9}, TypeError, "missing a required .*'weight_decay_mask'; it takes steps"),
    ],
)
def test_bad_arguments(name, arguments, error, match):
    with pytest.raises(error, match=match):
        make(name, arguments)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.l2 != (0, 0) or row.bound < np.inf], ids=lambda row: row.name
)
def test_the_parameters_are_needed(row):
    params = {"kernel": jnp.ones((1, 1)), "bias": jnp.ones(1)}
    tx = make(row.name, row.arguments)
    with pytest.raises(ValueError, match="params=None: call update"):
        tx.update(params, tx.init(params))


def test_numpy_numbers_are_numbers():
    params = {"w": jnp.ones(3)}
    for name, number in (("impala", np.int64), ("timm_efficientnet", np.float32), ("mobilenet_v3", np.int32)):
        argument = "steps" if name == "impala" else "steps_per_epoch"
        tx, plain = make(name, {argument: number(7)}), make(name, {argument: 7})
        state = optax.tree.set(tx.init(params), count=jnp.int32(20))
        assert tx.update(params, state, params)[0]["w"][0] == plain.update(params, state, params)[0]["w"][0]
