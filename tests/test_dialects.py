"""Every dialect against three truths: a transcription, recorded traces and, where it is installed, the framework.

An error is relative to the largest absolute value that an entry of the truth reaches over the steps: a buffer that
passes through zero has no other scale. In float64, 1e-10 leaves the frameworks five digits for the cancellation in
E[g²] − E[g]²; in float32, 1e-5 is some hundred roundings.
"""

import functools
import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import references

from rmsprop_optax import dialects, rmsprop

DOUBLE, SINGLE = 1e-10, 1e-5
BUFFERS = ("mean_square", "mean", "momentum")


def product(*axes):
    return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*axes)]


def cases(options, dtype=np.float64, constant=None):
    """Rows as `references.recorded` yields them; a `constant` learning rate is given as a number, not as a schedule."""
    params, gradients, rates = references.stream(dtype=dtype)
    rates = rates if constant is None else constant
    return [{"options": o, "params": params, "gradients": gradients, "learning_rates": rates} for o in options]


DECAY = {"weight_decay": 2.0**-7}
MOMENTUM = {"momentum": 0.75}
CORRECTED = {"decoupled_decay": True, "corrected_weight_decay": True}
MASK = {"weight_decay_mask": {"kernel": True, "bias": False}}
OPTAX = [
    {},
    *product(
        [{"decay": 0.8, "eps": 2.0**-10}],
        [{}, MOMENTUM, {**MOMENTUM, "nesterov": True}],
        [{}, {"eps_in_sqrt": False}],
        [{}, {"centered": True}],
        [{}, {"initial_scale": 1.0}, {"bias_correction": True}],
    ),
]
KERAS = [
    {},
    MOMENTUM | DECAY | MASK,
    *product(
        [{"rho": 0.8, "epsilon": 2.0**-20}],
        [{}, MOMENTUM],
        [{}, {"centered": True}],
        [{}, DECAY],
        [{}, {"clipnorm": 64.0}, {"clipvalue": 16.0}, {"global_clipnorm": 64.0}],
    ),
]
# The recorded cases of PyTorch, TensorFlow 1 and timm are all combinations of their options.
CASES = {
    "hinton": cases([{}, {"decay": 0.5}]) + cases([{}], constant=2.0**-7),
    "graves": cases(product([{}, {"decay": 0.8, "eps": 2.0**-7}], [{}, {"momentum": 0.5}, {"momentum": 0.0}]))
    + cases([{}], constant=2.0**-7),
    "optax": cases(OPTAX)
    + cases(product([{}, MOMENTUM], [{}, {"centered": True}]), dtype=np.complex128)
    + cases([MOMENTUM], constant=2.0**-7),
    "pytorch": [*references.recorded("pytorch"), *cases([MOMENTUM | DECAY], constant=2.0**-7)],
    "keras": cases(KERAS) + cases([MOMENTUM | DECAY], constant=2.0**-7),
    "tf1": [*references.recorded("tf1"), *cases([{}]), *cases([MOMENTUM], constant=2.0**-7)],
    "timm": [*references.recorded("timm"), *cases([MOMENTUM | DECAY | CORRECTED], constant=2.0**-7)],
}


def label(options):
    return ",".join(k if v is True else f"{k}={v}" for k, v in options.items()) or "defaults"


def each_case(keep=lambda dialect, case: True):
    def kind(case):
        constant = "constant," if isinstance(case["learning_rates"], float) else ""
        return constant if np.isrealobj(case["params"]["bias"]) else "complex," + constant

    return pytest.mark.parametrize(
        ("dialect", "number"),
        [
            pytest.param(dialect, i, id=f"{dialect}:{kind(case)}{label(case['options'])}")
            for dialect, table in CASES.items()
            for i, case in enumerate(table)
            if keep(dialect, case)
        ],
    )


def buffers(state):
    """The values of the framework's buffers in our state; what is kept as two real parts is complex again."""
    nu, mu, trace = (optax.tree.get(state, name) for name in ("nu", "mu", "trace"))
    square = nu if mu is None else jax.tree.map(lambda v, m: v + jnp.abs(m) ** 2, nu, mu)

    def whole(tree):
        return tree and {name: jax.lax.complex(*x) if isinstance(x, tuple) else x for name, x in tree.items()}

    return dict(zip(BUFFERS, map(whole, (square, mu, trace)), strict=True))


def trajectories(constructor, table, read):
    """Every step of every case; compiling all cases at once takes a third of the time."""

    def run(case, params, gradients, rates):
        constant = isinstance(case["learning_rates"], float)
        tx = constructor(case["learning_rates"] if constant else lambda count: rates[count], **case["options"])

        def step(carry, grads):
            params, state = carry
            updates, state = tx.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), {"params": params, "updates": updates, **read(state)}

        return jax.lax.scan(step, (params, tx.init(params)), gradients)[1]

    inputs = [
        jax.tree.map(jnp.asarray, (case["params"], stack(case["gradients"]), case["learning_rates"])) for case in table
    ]
    every = jax.jit(lambda inputs: [run(case, *given) for case, given in zip(table, inputs, strict=True)])
    return jax.device_get(every(inputs))


def stack(trees):
    return None if trees[0] is None else {name: np.stack([tree[name] for tree in trees]) for name in trees[0]}


@functools.cache
def ours(dialect, x64):
    with jax.enable_x64(x64):
        return trajectories(dialects.TABLE[dialect].constructor, CASES[dialect], buffers)


@functools.cache
def truth(dialect):
    def run(case):
        rates = np.broadcast_to(case["learning_rates"], len(case["gradients"]))
        steps = getattr(references, dialect)(case["params"], case["gradients"], rates, **case["options"])
        params, slots = zip(*steps, strict=True)
        params = stack(params)
        updates = {name: np.diff(p, axis=0, prepend=case["params"][name][None]) for name, p in params.items()}
        return {"params": params, "updates": updates, **{name: stack([s[name] for s in slots]) for name in BUFFERS}}

    return [kept(dialect, case["options"], run(case)) for case in CASES[dialect]]


def kept(dialect, options, slots):
    """The framework's buffers, as we keep them."""
    slots, rule = dict(slots), inspect.signature(getattr(references, dialect)).bind(0, 0, 0, **options)
    rule.apply_defaults()
    if not rule.arguments.get("momentum"):
        slots["momentum"] = None  # TensorFlow has one all the same; it repeats the last step
    elif dialect == "optax":
        slots["momentum"] = {name: -trace for name, trace in slots["momentum"].items()}
    if options.get("bias_correction"):
        # Our averages are the corrected ones, where optax corrects them on every use.
        for what in ("mean_square", "mean"):
            slots[what] = slots[what] and {name: correct(a, options["decay"]) for name, a in slots[what].items()}
    return slots


def correct(average, decay):
    steps = np.arange(1, 1 + len(average))
    return average / (1 - decay ** steps.reshape(-1, *[1] * (average.ndim - 1)))


def error(got, want):
    """The largest error of any entry at any step; infinite where the truth is always 0 and we are not."""
    if got is None or want is None:
        return 0.0 if got is want else np.inf

    def one(got, want):
        scale, off = np.abs(want).max(axis=0), np.abs(got - want).max(axis=0)
        return np.divide(off, scale, out=np.where(off == 0, 0.0, np.inf), where=scale > 0).max()

    return np.max([one(got[name], want[name]) for name in want])  # NaN stays NaN, and fails


def errors_above(tolerance, got, want, names=("params", *BUFFERS)):
    return {what: e for what in names if not (e := error(got[what], want[what])) <= tolerance}


def test_every_dialect_has_its_truth():
    assert dialects.TABLE.keys() == CASES.keys() == SIGNATURES.keys()


@each_case()
def test_equals_the_transcription_in_float64(dialect, number):
    assert errors_above(DOUBLE, ours(dialect, True)[number], truth(dialect)[number]) == {}


@each_case(lambda dialect, case: "trace" in case)
def test_equals_the_recorded_framework(dialect, number):
    case, got = CASES[dialect][number], ours(dialect, True)[number]
    steps = [step - 1 for step in case["trace"]]
    last = {what: got[what] and {name: a[-1:] for name, a in got[what].items()} for what in BUFFERS}
    want = kept(dialect, case["options"], {what: stack([case["slots"][what]]) for what in BUFFERS})
    got = last | {"params": {name: p[steps] for name, p in got["params"].items()}}
    assert errors_above(DOUBLE, got, want | {"params": stack(list(case["trace"].values()))}) == {}


@each_case()
def test_updates_are_accurate_in_float32(dialect, number):
    got = ours(dialect, False)[number]["updates"]
    assert {u.dtype.itemsize for u in got.values()} == {8 if np.iscomplexobj(got["bias"]) else 4}
    assert error(got, truth(dialect)[number]["updates"]) <= SINGLE


# With both, optax divides the first update by the rounding error of a variance that is 0; the transcription has the 0.
OPTAX_DEFINED = [o for o in OPTAX if not ("centered" in o and "bias_correction" in o)]


@functools.cache
def live_optax():
    def read(state):
        return {what: optax.tree.get(state, key) for what, key in zip(BUFFERS, ("nu", "mu", "trace"), strict=True)}

    # optax raises a Python number to an integer power for its bias correction, which strict promotion refuses.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        return trajectories(optax.rmsprop, cases(OPTAX_DEFINED), read)


@pytest.mark.parametrize("number", range(len(OPTAX_DEFINED)), ids=lambda i: label(OPTAX_DEFINED[i]))
def test_equals_live_optax(number):
    options = OPTAX_DEFINED[number]
    want = kept("optax", options, live_optax()[number])
    assert errors_above(DOUBLE, ours("optax", True)[OPTAX.index(options)], want, ("updates", "params", *BUFFERS)) == {}


def test_rmsprop_equals_optax_rmsprop_where_nothing_but_the_import_changes():
    table = cases([{}], constant=2.0**-7) + cases([{}])
    for got, want in zip(*(trajectories(f, table, lambda _: {}) for f in (rmsprop, optax.rmsprop)), strict=True):
        assert error(got["updates"], want["updates"]) <= 1e-6
        assert error(got["params"], want["params"]) <= 1e-6


@pytest.fixture(scope="module")
def keras():
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    if (backend := keras.config.backend()) != "jax":
        pytest.skip(f"Keras runs inside jit here, which needs its jax backend, got KERAS_BACKEND={backend}")
    floatx = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield keras
    keras.config.set_floatx(floatx)


@pytest.fixture(scope="module")
def live_keras(keras):
    class Rates(keras.optimizers.schedules.LearningRateSchedule):
        def __init__(self, rates):
            self.rates = rates

        def __call__(self, step):
            return jnp.asarray(self.rates)[keras.ops.convert_to_tensor(step)]

    def run(case):
        options = dict(case["options"])
        mask = options.pop("weight_decay_mask", {})
        optimizer = keras.optimizers.RMSprop(Rates(case["learning_rates"]), **options)
        variables = [keras.Variable(p, name=name) for name, p in case["params"].items()]
        optimizer.exclude_from_weight_decay(var_names=[name for name, decays in mask.items() if not decays])
        optimizer.build(variables)
        names = list(case["params"])
        keys = dict(zip(BUFFERS, ("velocity", "average_gradient", "momentum"), strict=True))

        def step(carry, grads):
            params, state = optimizer.stateless_apply(carry[1], [grads[name] for name in names], carry[0])
            found = {
                what: [s for s, v in zip(state, optimizer.variables, strict=True) if v.name.endswith(key)]
                for what, key in keys.items()
            }
            found = {what: dict(zip(names, slot, strict=True)) if slot else None for what, slot in found.items()}
            return (params, state), {"params": dict(zip(names, params, strict=True)), **found}

        start = [v.value for v in variables], [v.value for v in optimizer.variables]
        return jax.lax.scan(step, start, stack(case["gradients"]))[1]

    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        return jax.device_get(jax.jit(lambda: [run(case) for case in cases(KERAS)])())


@pytest.mark.parametrize("number", range(len(KERAS)), ids=lambda i: label(KERAS[i]))
def test_equals_live_keras(live_keras, number):
    assert errors_above(DOUBLE, ours("keras", True)[number], live_keras[number]) == {}


SIGNATURES = {
    "hinton": "(learning_rate, decay=0.9)",
    "graves": "(learning_rate=0.0001, decay=0.95, momentum=0.9, eps=0.0001)",
    "optax": "(learning_rate, decay=0.9, eps=1e-08, initial_scale=0.0, eps_in_sqrt=True, centered=False, "
    "momentum=None, nesterov=False, bias_correction=False)",
    "pytorch": "(lr=0.01, alpha=0.99, eps=1e-08, weight_decay=0, momentum=0, centered=False, *, maximize=False)",
    "keras": "(learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-07, centered=False, weight_decay=None, "
    "clipnorm=None, clipvalue=None, global_clipnorm=None, *, weight_decay_mask=None)",
    "tf1": "(learning_rate, decay=0.9, momentum=0.0, epsilon=1e-10, *, centered=False)",
    "timm": "(lr=0.01, alpha=0.9, eps=1e-10, weight_decay=0, momentum=0.0, centered=False, decoupled_decay=False, "
    "corrected_weight_decay=False, lr_in_momentum=True, caution=False, *, max_lr=None)",
}


def signature(function, without=()):
    full = inspect.signature(function)
    bare = [p.replace(annotation=p.empty) for name, p in full.parameters.items() if name not in without]
    return str(full.replace(parameters=bare, return_annotation=full.empty))


@pytest.mark.parametrize(("dialect", "documented"), SIGNATURES.items())
def test_arguments_are_the_frameworks(dialect, documented):
    """Names, order and defaults as documented, without the options that leave the rule alone.

    What stands behind an omitted one is keyword-only, so no positional call means something else. `weight_decay_mask`
    and `max_lr` are what the framework takes by a method and from its constructor's `lr`.
    """
    assert signature(dialects.TABLE[dialect].constructor) == documented


def test_arguments_are_live_optax_and_keras(keras):
    beside = ("use_ema", "ema_momentum", "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps")
    assert signature(dialects.optax) == signature(optax.rmsprop)
    theirs = signature(keras.optimizers.RMSprop, without=(*beside, "name", "kwargs"))
    assert signature(dialects.keras, without=("weight_decay_mask",)) == theirs


@pytest.mark.parametrize(
    ("dialect", "options", "message"),
    [
        ("optax", {"nesterov": True}, "nesterov"),
        ("optax", {"bias_correction": True, "initial_scale": 1.0}, "bias_correction"),
        ("keras", {"clipnorm": 1.0, "clipvalue": 1.0}, "only one of clipnorm, clipvalue and global_clipnorm"),
        ("keras", MASK, "weight_decay_mask"),
        ("timm", {"caution": True}, "caution"),
        ("timm", {"corrected_weight_decay": True}, "decoupled_decay"),
        ("timm", DECAY | CORRECTED, "max_lr"),
    ],
    ids=str,
)
def test_a_combination_without_meaning_raises(dialect, options, message):
    with pytest.raises(ValueError, match=message):
        dialects.TABLE[dialect].constructor(lambda count: 0.1, **options)
