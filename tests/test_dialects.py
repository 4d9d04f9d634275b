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
from jax.example_libraries import optimizers
from rows import covering

from rmsprop_optax import dialects, rmsprop
from rmsprop_optax._arguments import roles_of

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
    {"nesterov": True},
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
CENTERED = {"centered": True}
INSIDE = {"alpha": 0.8, "eps": 2.0**-20}
EACH = product([{}, INSIDE], [{}, CENTERED], [{}, MOMENTUM], [{}, DECAY])
CLIPS = {"clipnorm": 64.0}, {"clipvalue": 16.0}, {"global_clipnorm": 64.0}
# Cases beside the recorded ones; a dialect that is not here has those of `usual`.
OPTIONS = {
    "hinton": [{}, {"decay": 0.5}, {"nesterov": True}, MOMENTUM, MOMENTUM | {"nesterov": True}],
    "graves": product([{}, {"decay": 0.8, "eps": 2.0**-7}], [{}, {"momentum": 0.5}, {"momentum": 0.0}]),
    "optax": OPTAX,
    "pytorch": [],
    "keras": KERAS,
    "tf1": [{}],
    "timm": [],
    "keras2": [
        *product(
            [{"version": v} for v in ("2.3.1", "2.1.3", "2.1.2", "1.1.0")],
            [{}, {"rho": 0.5, "epsilon": 0.25}],
            [{}, {"decay": 0.25}],
        ),
        {"version": "1.0.3"},
        {"version": "1.0.2"},
        {"version": "1.1", "decay": 0.25},
        {"version": "0.1.3"},
        {"version": "0.2", "clipvalue": 16.0},
    ],
    "tf_keras_legacy": [{}, *({**CLIPS[1], **clip} for clip in CLIPS)],
    "sonnet": product([{}], [{}, CENTERED], [{}, MOMENTUM]),
    "tensorflowjs": product([{}, {"epsilon": 2.0**-40}], [{}, CENTERED], [{}, MOMENTUM]),
    "trax": [{}],
    "flax_optim": product([{}, {"beta2": 0.5, "eps": 0.25}], [{}, CENTERED]),
    "jax_example": [{}, {"gamma": 0.5, "eps": 0.25}],
    "jax_example_momentum": [{}, {"gamma": 0.5, "eps": 0.25, "momentum": 0.5}, {"momentum": 0.0}],
    "sb3": [],
    "pfrl": [],
    "torchopt": [{}, {"nesterov": True}],
    "bitsandbytes": [{}, INSIDE | DECAY],
    "torch7": product([{}, {"alpha": 0.8, "epsilon": 2.0**-7}], [{}, {"initialMean": 1}, {"weightDecay": 2.0**-7}]),
    "dqn": [{}, {"wc": 2.0**-7}],
    "mxnet": [
        *product(
            [{"version": version} for version in ("0.9.1", "0.9.2", "0.9.3", "0.9.5", "0.10", "1.9.1", "2.0")],
            [{}, {"gamma1": 0.8, "gamma2": 0.5, "centered": True}],
            [{}, {"wd": 2.0**-7, "clip_gradient": 16.0}],
        ),
        {"epsilon": 0.25, "clip_weights": 1.75, "version": "2.0"},
        {"gamma2": 0.0, "centered": True},
    ],
    "paddle": [{}],
    "mindspore": product([{}], [{}, CENTERED], [{}, MOMENTUM], [{}, DECAY]),
    "oneflow": [{}, CENTERED],
    "jittor": [{}],
    "mlx": [{}],
    "chainer": [],
    "chainer_graves": [],
    "caffe": product(
        [{}, {"rms_decay": 0.8, "delta": 2.0**-7}],
        [{}, {"clip_gradients": 64.0}],
        [{}, DECAY, DECAY | {"regularization_type": "L1"}, {"regularization_type": "L1"}],
    ),
    "caffe2": product([{}, {"decay": 0.8, "epsilon": 2.0**-7}], [{}, MOMENTUM]),
    "lasagne": [],
    "blocks": [{}, {"decay_rate": 0.5, "max_scaling": 8.0}],
    "neon": [
        *product(
            [{}, {"decay_rate": 0.8, "epsilon": 2.0**-7}],
            [{}, {"gradient_clip_norm": 64.0}],
            [{}, {"gradient_clip_value": 16.0}],
        ),
        {"param_clip_value": 1.75},
    ],
    "climin": product(
        [{"step_adapt": 0.25}], [{}, MOMENTUM], [{}, {"step_rate_min": 2.0**-7, "step_rate_max": 2.0**-6}]
    ),
    "dynet": [{}, {"rho": 0.5, "eps": 0.25, "clip_threshold": 0}],
    "tiny_dnn": [{}, {"mu": 0.5}],
    "ensmallen": [{}, {"alpha": 0.5, "epsilon": 0.25}],
    "optimisers_jl": product([{}, {"rho": 0.5, "epsilon": 0.25}], [{}, {"centred": True}]),
    "knet": product([{}, {"rho": 0.5, "eps": 0.25}], [{}, {"gclip": 64.0}]),
    "dl4j": [{}, {"rmsDecay": 0.5, "epsilon": 0.25}],
    "burn": product([{}, {"alpha": 0.8, "epsilon": 2.0**-7}], [{}, CENTERED], [{}, {"momentum": 0.0}], [{}, DECAY]),
    "candle_optimisers": EACH,
    "dfdx": product([{}, INSIDE], [{}, CENTERED], [{}, MOMENTUM], [{}, DECAY, DECAY | {"decoupled": True}]),
    "fastai": product(
        [{}, {"sqr_mom": 0.8, "eps": 2.0**-20}], [{}, {"mom": 0.75}], [{}, {"wd": 2.0**-7, "decouple_wd": False}]
    ),
    "heavyball": product([{}, {"beta2": 0.8, "eps": 2.0**-7}], [{}, DECAY]),
    "pyro": [{}, {"delta": 0.125, "t": 0.25}],
    "flashlight": product(
        [{}, {"rho": 0.8, "epsilon": 2.0**-7}], [{}, {"use_first": True}], [{}, {"weightDecay": 2.0**-7}]
    ),
    "brainjs": [
        {},
        {"decayRate": 0.8, "smoothEps": 2.0**-7, "regc": 2.0**-7, "clipval": 16.0},
        {"regc": None, "clipval": None},
    ],
    "dreamerv3": product(
        [{}, {"beta2": 0.8, "eps": 2.0**-7}],
        [{}, {"agc": None}, {"agc": 2.0**-4, "parameter_norm_min": 64.0}],
        [{}, {"beta1": 0.0}],
    ),
    "levanter": product(
        [{}, {"beta1": 0.5, "beta2": 0.8, "eps": 2.0**-7}],
        [{}, {"max_grad_norm": None}],
        [{}, MASK, {"weight_decay": None}],
    ),
    "sparsecore": product([{}, {"b2": 0.8, "eps": 2.0**-40}], [{}, {"b1": 0.5}, {"b1": 0.0}]),
}
USUAL = {"decay": 0.5, "eps": 0.25, "momentum": 0.5, "l2": 2.0**-7, "weight_decay": 2.0**-7}


def usual(dialect):
    """The defaults, and another value for every number that most dialects have."""
    row = dialects.TABLE[dialect]
    roles = {name: role for name, role in roles_of(row.constructor).items() if name not in row.refused}
    return [{}, {name: USUAL[role] for name, role in roles.items() if role in USUAL}]


RECORDED = sorted(file.stem for file in references.GOLDEN.glob("*.npz"))
# Besides the schedule of the stream, one rate given as a number.
CONSTANT = {
    "pytorch": MOMENTUM | DECAY,
    "keras": MOMENTUM | DECAY,
    "optax": MOMENTUM,
    "tf1": MOMENTUM,
    "timm": MOMENTUM | DECAY | CORRECTED | {"max_lr": 2.0**-7},
    "keras2": {"decay": 0.25},
    "climin": MOMENTUM | {"step_adapt": 0.25, "step_rate_min": 2.0**-7},
}
CASES = {
    dialect: [
        *(references.recorded(dialect) if dialect in RECORDED else []),
        *cases(OPTIONS[dialect] if dialect in OPTIONS else usual(dialect)),
        *cases([CONSTANT.get(dialect, {})], constant=2.0**-7),
    ]
    for dialect in dialects.TABLE
}
CASES["optax"] += cases(product([{}, MOMENTUM], [{}, CENTERED]), dtype=np.complex128)


def label(options):
    return ",".join(k if v is True else f"{k}={v}" for k, v in options.items()) or "defaults"


def is_constant(case):
    return isinstance(case["learning_rates"], float)


@functools.cache
def of_default_run(dialect):
    """The numbers of the cases that are not slow: any two settings that go together do so in one of them."""
    return covering(
        [
            {"constant": is_constant(case), "complex": np.iscomplexobj(case["params"]["bias"])} | case["options"]
            for case in CASES[dialect]
        ]
    )


@functools.cache
def of_float32(dialect):
    """Of those the cases with the most options, an eighth and one at least: float32 is the same rule, rounded."""
    most = sorted(of_default_run(dialect), key=lambda i: -len(CASES[dialect][i]["options"]))
    return most[: 1 + len(most) // 8]


def together(dialect, number, keep=lambda dialect, case: True, chosen=of_default_run):
    """The numbers of the cases that are compiled in one program: those of the default run, or the slow ones."""
    numbers, fast = [i for i, case in enumerate(CASES[dialect]) if keep(dialect, case)], chosen(dialect)
    return tuple(i for i in numbers if (i in fast) == (number in fast))


def each_case(keep=lambda dialect, case: True, chosen=of_default_run):
    def kind(case):
        constant = "constant," if is_constant(case) else ""
        return constant if np.isrealobj(case["params"]["bias"]) else "complex," + constant

    return pytest.mark.parametrize(
        ("dialect", "number"),
        [
            pytest.param(
                dialect,
                i,
                id=f"{dialect}:{kind(case)}{label(case['options'])}",
                marks=[] if i in chosen(dialect) else [pytest.mark.slow],
            )
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


def trajectories(rows):
    """Every step of every row: what its ``read`` keeps of a case's parameters, updates and state.

    Compiling all rows at once takes a third of the time, and each array that is kept takes some.
    """

    def run(row, params, gradients, rates):
        make, read, case = row
        tx = make(case["learning_rates"] if is_constant(case) else lambda count: rates[count], case["options"])

        def step(carry, grads):
            params, state = carry
            updates, state = tx.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), read(params, updates, state)

        return jax.lax.scan(step, (params, tx.init(params)), gradients)[1]

    inputs = [
        jax.tree.map(jnp.asarray, (case["params"], stack(case["gradients"]), case["learning_rates"]))
        for *_, case in rows
    ]
    every = jax.jit(lambda inputs: [run(row, *given) for row, given in zip(rows, inputs, strict=True)])
    return jax.device_get(every(inputs))


def called(constructor, rate="learning_rate"):
    """A constructor as a function of the learning rate and the other options."""
    return lambda learning_rate, options: constructor(**{rate: learning_rate}, **options)


def stack(trees):
    return None if trees[0] is None else {name: np.stack([tree[name] for tree in trees]) for name in trees[0]}


def ours(dialect, number, x64=True):
    """The trajectory of a case, in float64 or float32; two dozen cases of the default run are in one program."""
    chosen = of_default_run if x64 else of_float32
    cases = [(dialect, i) for i in together(dialect, number, chosen=chosen)]
    if number in chosen(dialect):
        every = [(name, i) for name in dialects.TABLE for i in chosen(name)]
        start = every.index((dialect, number)) // 24 * 24
        cases = every[start : start + 24]
    return _ours(x64, tuple(cases))[dialect, number]


@functools.cache
def _ours(x64, cases):
    def row(dialect, number):
        row = dialects.TABLE[dialect]

        def read(params, updates, state):
            compared = {"updates": updates} if not x64 or dialect == "optax" else {}
            return compared | ({"params": params, **buffers(state)} if x64 else {})

        return called(row.constructor, row.arguments.learning_rate), read, CASES[dialect][number]

    with jax.enable_x64(x64):
        return dict(zip(cases, trajectories([row(*case) for case in cases]), strict=True))


@functools.cache
def truth(dialect, number):
    case = CASES[dialect][number]
    rates = np.broadcast_to(case["learning_rates"], len(case["gradients"]))
    steps = getattr(references, dialect)(case["params"], case["gradients"], rates, **case["options"])
    params, slots = zip(*steps, strict=True)
    params = stack(params)
    updates = {name: np.diff(p, axis=0, prepend=case["params"][name][None]) for name, p in params.items()}
    return {"params": params, "updates": updates, **{name: stack([s[name] for s in slots]) for name in BUFFERS}}


# Whose buffer holds the negative step, and whose mean that of the negative gradient.
NEGATIVE = {"momentum": ("optax", "chainer_graves", "mxnet"), "mean": ("dqn",)}

# Whose averages are the corrected ones, as ours; the others correct them on every use.
KEPT_CORRECTED = "heavyball", "sparsecore"


def kept(dialect, options, slots, ours, steps=None):
    """The framework's buffers after the steps, all by default, as we keep them."""
    row, arguments = dialects.TABLE[dialect], dialects.TABLE[dialect].arguments
    options = {p.name: p.default for p in inspect.signature(getattr(references, dialect)).parameters.values()} | options
    slots = dict(slots)

    def changed(what, change):
        slots[what] = slots[what] and {name: change(a) for name, a in slots[what].items()}

    for what in ("momentum", "mean"):
        if ours[what] is None:
            slots[what] = None  # many frameworks have one all the same; without momentum it repeats the last step
        elif dialect in NEGATIVE[what]:
            changed(what, lambda a: -a)
    corrects = row.bias_correction == "always" or options.get("bias_correction")
    if corrects and dialect not in KEPT_CORRECTED:
        for what in ("mean_square", "mean"):
            changed(what, lambda a: correct(a, options[arguments.decay], steps))
    if row.smooths == "averages of steps":  # ours is a sum
        changed("momentum", lambda a: a / (1 - options[arguments.momentum]))
    if dialect == "sparsecore":  # ours has no epsilon in it
        changed("mean_square", lambda a: a - options["eps"])
    return slots


def correct(average, decay, steps=None):
    steps = np.arange(1, 1 + len(average)) if steps is None else np.asarray(steps)
    return average / (1 - decay ** steps.reshape(-1, *[1] * (average.ndim - 1)))


def error(got, want, truth=None):
    """The largest error of any entry at any step; infinite where the truth is always 0 and we are not.

    `truth` holds all steps where `want` holds some.
    """
    if got is None or want is None:
        return 0.0 if got is want else np.inf

    def one(got, want, truth):
        scale, off = np.abs(truth).max(axis=0), np.abs(got - want).max(axis=0)
        return np.divide(off, scale, out=np.where(off == 0, 0.0, np.inf), where=scale > 0).max()

    truth = truth or want
    return np.max([one(got[name], want[name], truth[name]) for name in want])  # NaN stays NaN, and fails


def errors_above(tolerance, got, want, truth=None, names=("params", *BUFFERS)):
    return {what: e for what in names if not (e := error(got[what], want[what], truth and truth[what])) <= tolerance}


@pytest.mark.parametrize("dialect", dialects.TABLE)
def test_every_dialect_has_a_transcription_with_its_options(dialect):
    """The transcription may have more options, and writes 0 where the framework does for an option that is off."""
    row = dialects.TABLE[dialect]
    transcription = getattr(references, dialect, None)
    assert transcription, f"references.py has no transcription of {dialect}: write its rule in NumPy"
    theirs = {name: p.default for name, p in inspect.signature(transcription).parameters.items()}
    for name, p in inspect.signature(row.constructor).parameters.items():
        if name != row.arguments.learning_rate and name not in row.refused:
            assert p.default == theirs[name] or (p.default, theirs[name]) in ((None, 0), (None, np.inf)), name


@each_case()
def test_equals_the_transcription_in_float64(dialect, number):
    got, want = ours(dialect, number), truth(dialect, number)
    assert errors_above(DOUBLE, got, kept(dialect, CASES[dialect][number]["options"], want, got)) == {}


@each_case(lambda dialect, case: "trace" in case)
def test_equals_the_recorded_framework(dialect, number):
    case, got = CASES[dialect][number], ours(dialect, number)
    steps = [step - 1 for step in case["trace"]]
    last = {what: got[what] and {name: a[-1:] for name, a in got[what].items()} for what in BUFFERS}
    last_slots = {what: stack([case["slots"][what]]) for what in BUFFERS}
    want = kept(dialect, case["options"], last_slots, got, steps=[len(case["gradients"])])
    params = looked_back(got, case["options"]) if dialect == "climin" else got["params"]
    got = last | {"params": {name: p[steps] for name, p in params.items()}}
    want |= {"params": stack(list(case["trace"].values()))}
    tolerance = DOUBLE if want["params"]["bias"].itemsize >= 8 else SINGLE
    if dialect == "tensorflowjs" and case["options"].get("centered"):
        want = where_finite(want, got)
    every = kept(dialect, case["options"], truth(dialect, number), got)
    assert errors_above(tolerance, got, want, every) == {}


def looked_back(run, options):
    """The parameters of climin itself, which are before the jump."""
    jumps = run["momentum"] or dict.fromkeys(run["params"], 0.0)
    return {name: p + options.get("momentum", 0.0) * jumps[name] for name, p in run["params"].items()}


def where_finite(want, got):
    """TensorFlow.js' parameters before they turn NaN, and of the others nothing."""
    nan = [np.isnan(p) for p in want["params"].values()]
    assert any(n.any() for n in nan)
    assert not all(n.all() for n in nan)
    fill = lambda w, g: w and {name: np.where(np.isnan(w[name]), g[name], w[name]) for name in w}  # noqa: E731
    return {what: fill(want[what], got[what]) for what in want}


@each_case(chosen=of_float32)
def test_updates_are_accurate_in_float32(dialect, number):
    got = ours(dialect, number, x64=False)["updates"]
    assert {u.dtype.itemsize for u in got.values()} == {8 if np.iscomplexobj(got["bias"]) else 4}
    assert error(got, truth(dialect, number)["updates"]) <= SINGLE


def of_live_optax(dialect, case):
    # With both, optax divides the first update by the rounding of a variance that is 0; the transcription has the 0.
    usual = np.isrealobj(case["params"]["bias"]) and not is_constant(case)
    return dialect == "optax" and usual and not {"centered", "bias_correction"} <= case["options"].keys()


@functools.cache
def live_optax(numbers):
    def read(params, updates, state):
        slots = [optax.tree.get(state, key) for key in ("nu", "mu", "trace")]
        return {"params": params, "updates": updates, **dict(zip(BUFFERS, slots, strict=True))}

    # optax raises a Python number to an integer power for its bias correction, which strict promotion refuses.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        runs = trajectories([(called(optax.rmsprop), read, CASES["optax"][i]) for i in numbers])
    return dict(zip(numbers, runs, strict=True))


@each_case(of_live_optax)
def test_equals_live_optax(dialect, number):
    got, theirs = ours(dialect, number), live_optax(together(dialect, number, of_live_optax))[number]
    want = kept(dialect, CASES[dialect][number]["options"], theirs, got)
    assert errors_above(DOUBLE, got, want, names=("updates", "params", *BUFFERS)) == {}


def test_rmsprop_equals_optax_rmsprop_where_nothing_but_the_import_changes():
    table = cases([{}], constant=2.0**-7) + cases([{}])
    read = lambda params, updates, _: {"params": params, "updates": updates}  # noqa: E731
    runs = [trajectories([(called(f), read, case) for case in table]) for f in (rmsprop, optax.rmsprop)]
    for got, want in zip(*runs, strict=True):
        assert error(got["updates"], want["updates"]) <= 1e-6
        assert error(got["params"], want["params"]) <= 1e-6


@pytest.mark.parametrize(
    ("dialect", "theirs"), [("jax_example", "rmsprop"), ("jax_example_momentum", "rmsprop_momentum")]
)
def test_equals_live_jax_examples(dialect, theirs):
    def constructor(step_size, **options):
        init, update, get_params = getattr(optimizers, theirs)(step_size, **options)

        def updates(grads, state, params):
            count, inner = state
            inner = update(count, grads, inner)
            return jax.tree.map(jnp.subtract, get_params(inner), params), (count + 1, inner)

        return optax.GradientTransformation(lambda params: (0, init(params)), updates)

    with jax.enable_x64(True):
        table = [case for case in CASES[dialect] if "trace" not in case]
        rows = [(called(constructor, "step_size"), lambda params, *_: params, case) for case in table]
        for i, want in enumerate(trajectories(rows)):
            assert error(ours(dialect, i)["params"], want) <= DOUBLE


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

    @functools.cache
    def runs(numbers):
        with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
            found = jax.device_get(jax.jit(lambda: [run(CASES["keras"][i]) for i in numbers])())
        return dict(zip(numbers, found, strict=True))

    return runs


def of_live_keras(dialect, case):
    return dialect == "keras" and not is_constant(case)


@each_case(of_live_keras)
def test_equals_live_keras(live_keras, dialect, number):
    want = live_keras(together(dialect, number, of_live_keras))[number]
    assert errors_above(DOUBLE, ours(dialect, number), want) == {}


# As the frameworks document them, in the order of the arguments; names and defaults are held by the transcriptions too.
SIGNATURES = {
    "hinton": "(learning_rate, decay=0.9, *, momentum=None, nesterov=False)",
    "graves": "(learning_rate=0.0001, decay=0.95, momentum=0.9, eps=0.0001)",
    "dqn": "(lr=0.01, wc=None)",
    "optax": "(learning_rate, decay=0.9, eps=1e-08, initial_scale=0.0, eps_in_sqrt=True, centered=False, momentum=None,"
    " nesterov=False, bias_correction=False)",
    "jax_example": "(step_size, gamma=0.9, eps=1e-08)",
    "jax_example_momentum": "(step_size, gamma=0.9, eps=1e-08, momentum=0.9)",
    "flax_optim": "(learning_rate, beta2=0.9, eps=1e-08, centered=False)",
    "trax": "(learning_rate=0.001, gamma=0.9, eps=1e-08, clip_grad_norm=None)",
    "pytorch": "(lr=0.01, alpha=0.99, eps=1e-08, weight_decay=None, momentum=None, centered=False, *, maximize=False)",
    "timm": "(lr=0.01, alpha=0.9, eps=1e-10, weight_decay=None, momentum=None, centered=False, decoupled_decay=False, "
    "corrected_weight_decay=False, lr_in_momentum=True, caution=False, *, max_lr=None)",
    "sb3": "(lr=0.01, alpha=0.99, eps=1e-08, weight_decay=None, momentum=None, centered=False)",
    "pfrl": "(lr=0.01, alpha=0.99, eps=1e-08, weight_decay=None, momentum=None, centered=False)",
    "torchopt": "(lr=0.01, alpha=0.99, eps=1e-08, weight_decay=None, momentum=None, centered=False, *, "
    "initial_scale=0.0, nesterov=False, maximize=False)",
    "bitsandbytes": "(lr=0.01, alpha=0.99, eps=1e-08, weight_decay=None, momentum=None, centered=False)",
    "torch7": "(learningRate=0.01, alpha=0.99, epsilon=1e-08, weightDecay=None, initialMean=0)",
    "tf1": "(learning_rate, decay=0.9, momentum=None, epsilon=1e-10, *, centered=False)",
    "tf_keras_legacy": "(learning_rate=0.001, rho=0.9, momentum=None, epsilon=1e-07, centered=False, *, clipnorm=None, "
    "clipvalue=None, global_clipnorm=None, decay=None)",
    "keras2": "(lr=0.001, rho=0.9, epsilon=None, decay=None, *, clipnorm=None, clipvalue=None, version='2.3.1')",
    "keras": "(learning_rate=0.001, rho=0.9, momentum=None, epsilon=1e-07, centered=False, weight_decay=None, "
    "clipnorm=None, clipvalue=None, global_clipnorm=None, *, weight_decay_mask=None)",
    "sonnet": "(learning_rate, decay=0.9, momentum=None, epsilon=1e-10, centered=False)",
    "tensorflowjs": "(learningRate, decay=0.9, momentum=None, epsilon=1e-07, centered=False)",
    "mxnet": "(learning_rate=None, gamma1=None, gamma2=0.9, epsilon=None, centered=None, clip_weights=None, *, wd=None,"
    " clip_gradient=None, version='1.9.1')",
    "paddle": "(learning_rate, rho=0.95, epsilon=1e-06, momentum=None, centered=False, *, weight_decay=None)",
    "mindspore": "(learning_rate=0.1, decay=0.9, momentum=None, epsilon=1e-10, *, centered=False, weight_decay=None)",
    "oneflow": "(lr=0.001, alpha=0.99, eps=1e-08, weight_decay=None, momentum=None, centered=False)",
    "jittor": "(lr=0.01, eps=1e-08, alpha=0.99)",
    "mlx": "(learning_rate, alpha=0.99, eps=1e-08)",
    "chainer": "(lr=0.01, alpha=0.99, eps=1e-08, eps_inside_sqrt=False)",
    "chainer_graves": "(lr=0.0001, alpha=0.95, momentum=0.9, eps=0.0001)",
    "caffe": "(base_lr, *, rms_decay=0.99, delta=1e-08, weight_decay=None, regularization_type='L2', "
    "clip_gradients=None)",
    "caffe2": "(lr, decay=0.9, momentum=None, epsilon=1e-05)",
    "lasagne": "(learning_rate=1.0, rho=0.9, epsilon=1e-06)",
    "blocks": "(learning_rate=1.0, decay_rate=0.9, max_scaling=100000.0)",
    "neon": "(*, decay_rate=0.95, learning_rate=0.002, epsilon=1e-06, gradient_clip_norm=None, "
    "gradient_clip_value=None, param_clip_value=None)",
    "climin": "(step_rate, decay=0.9, momentum=None, step_adapt=None, step_rate_min=None, step_rate_max=None)",
    "dynet": "(learning_rate=0.1, eps=1e-20, rho=0.95, *, clip_threshold=5.0)",
    "tiny_dnn": "(alpha=0.0001, mu=0.99)",
    "ensmallen": "(stepSize=0.01, *, alpha=0.99, epsilon=1e-08)",
    "optimisers_jl": "(eta=0.001, rho=0.9, epsilon=1e-08, *, centred=False)",
    "knet": "(*, lr=0.01, gclip=None, rho=0.9, eps=1e-06)",
    "dl4j": "(learningRate=0.1, rmsDecay=0.95, epsilon=1e-08)",
    "fastai": "(lr, mom=None, sqr_mom=0.99, eps=1e-08, wd=None, decouple_wd=True)",
    "heavyball": "(lr=0.0025, beta2=0.99, eps=1e-06, weight_decay=None)",
    "pyro": "(eta=1.0, delta=1e-16, t=0.1)",
    "flashlight": "(learningRate, rho=0.99, epsilon=1e-08, weightDecay=None, use_first=False)",
    "brainjs": "(*, learningRate=0.01, decayRate=0.999, smoothEps=1e-08, regc=1e-06, clipval=5.0)",
    "dreamerv3": "(*, lr=4e-05, agc=0.3, parameter_norm_min=0.001, beta1=0.9, beta2=0.999, eps=1e-20)",
    "levanter": "(*, learning_rate=0.0006, beta1=0.9, beta2=0.99, eps=1e-30, max_grad_norm=1.0, weight_decay=0.1, "
    "weight_decay_mask=None)",
    "sparsecore": "(learning_rate=0.001, b1=0.9, b2=0.95, eps=1e-30)",
    "burn": "(lr, alpha=0.99, momentum=0.9, epsilon=1e-05, centered=False, weight_decay=None)",
    "candle_optimisers": "(lr=0.01, alpha=0.99, eps=1e-08, weight_decay=None, momentum=None, centered=False)",
    "dfdx": "(lr=0.01, alpha=0.9, eps=1e-08, momentum=None, centered=False, weight_decay=None, *, decoupled=False)",
}


def signature(function, without=()):
    full = inspect.signature(function)
    bare = [p.replace(annotation=p.empty) for name, p in full.parameters.items() if name not in without]
    return str(full.replace(parameters=bare, return_annotation=full.empty))


@pytest.mark.parametrize(("dialect", "documented"), SIGNATURES.items())
def test_arguments_are_the_frameworks(dialect, documented):
    """Names, order and defaults as documented, without the options that do not change the rule.

    Arguments after an omitted one are keyword-only, so no positional call means something else. None is an option that
    is off, also where the framework writes 0. `weight_decay_mask` and `max_lr` are what the framework takes by a method
    and from its constructor's `lr`; `version` is our own.
    """
    assert signature(dialects.TABLE[dialect].constructor) == documented


def test_arguments_are_live_optax_and_keras(keras):
    beside = ("use_ema", "ema_momentum", "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps")
    assert signature(dialects.optax) == signature(optax.rmsprop)
    theirs = signature(keras.optimizers.RMSprop, without=(*beside, "name", "kwargs"))
    ours = signature(dialects.keras, without=("weight_decay_mask",))
    assert ours.replace("momentum=None", "momentum=0.0") == theirs


@pytest.mark.parametrize(
    ("dialect", "options", "message"),
    [
        ("optax", {"bias_correction": True, "initial_scale": 1.0}, "bias_correction"),
        ("keras", {"clipnorm": 1.0, "clipvalue": 1.0}, "only one of clipnorm, clipvalue and global_clipnorm"),
        ("keras", MASK, "weight_decay_mask"),
        ("timm", {"caution": True}, "caution"),
        ("timm", {"corrected_weight_decay": True}, "decoupled_decay"),
        ("timm", DECAY | CORRECTED, "max_lr"),
        ("tf_keras_legacy", {"epsilon": 0.0}, "epsilon must be above 0"),
        ("tf_keras_legacy", {"clipnorm": 1.0, "global_clipnorm": 1.0}, "only one of clipnorm and global_clipnorm"),
        ("keras2", {"version": "two"}, "version must be digits"),
        ("keras2", {"version": "2.4"}, 'from "0.1" to "2.3.1", got \'2.4\''),
        ("keras2", {"version": "1.0.8", "decay": 0.1}, "ignores decay up to 1.0.8"),
        ("keras2", {"version": "0.1.3", "clipvalue": 0.1}, "clipvalue up to 0.1.3"),
        ("mxnet", {"version": "0.5"}, "version must be digits"),
        ("mxnet", {"version": "0.9.4"}, "0.9.4 was never released"),
        ("mxnet", {"clip_weights": 0.5, "version": "0.9.3"}, "clip_weights=0.5"),
        ("mxnet", {"centered": False, "version": "0.9.3"}, "centered=False"),
        ("mxnet", {"gamma2": 0.5}, "gamma2 has a meaning only with centered"),
        ("mxnet", {"epsilon": 0.5, "version": "0.9.3"}, "knows neither epsilon"),
        ("caffe", {"regularization_type": "L3"}, "regularization_type"),
        ("caffe", {"clip_gradients": -1}, "clip_gradients must be"),
        ("blocks", {"max_scaling": 0.0}, "max_scaling must be"),
        ("dfdx", {"decoupled": True}, "decoupled has a meaning only with weight_decay"),
        ("climin", {"step_rate_min": 0.1}, "step_rate_min has a meaning only with step_adapt"),
        ("climin", {"step_adapt": 1.5}, r"step_adapt must be in \[0, 1\), .* one plus or minus"),
        ("climin", {"step_adapt": 0.1, "step_rate_max": -1.0}, "step_rate_max must be .* limits the step rates"),
        ("climin", {"step_adapt": 0.1, "step_rate_min": 2.0, "step_rate_max": 1.0}, "at most step_rate_max"),
    ],
    ids=str,
)
def test_a_combination_without_meaning_raises(dialect, options, message):
    constructor, arguments = dialects.TABLE[dialect].constructor, dialects.TABLE[dialect].arguments
    rate = {arguments.learning_rate: lambda count: 0.1}
    with pytest.raises(ValueError, match=message):
        constructor(**rate, **options)


@pytest.mark.parametrize(("version", "rate"), [("0.7", 0.01), ("0.9.3", 0.01), ("0.9.5", 0.001), ("2.0", 0.001)])
def test_mxnets_rate_is_its_versions(version, rate):
    g = jnp.array([0.5])
    own, same = (dialects.mxnet(*given, version=version) for given in ((), (rate,)))
    np.testing.assert_array_equal(own.update(g, own.init(g), g)[0], same.update(g, same.init(g), g)[0])


@pytest.mark.parametrize("bound", [0.0, 2.0])
@pytest.mark.parametrize(
    ("dialect", "argument"),
    [
        ("knet", "gclip"),
        ("dynet", "clip_threshold"),
        ("keras", "clipvalue"),
        ("keras", "clipnorm"),
        ("caffe", "clip_gradients"),
        ("neon", "gradient_clip_norm"),
    ],
)
def test_a_traced_bound_bounds_as_the_number_does_and_0_nothing(dialect, argument, bound):
    constructor, gradients = dialects.TABLE[dialect].constructor, [jnp.array([1.0, 1.0]), jnp.array([50.0, 1.0])]
    rate = {dialects.TABLE[dialect].arguments.learning_rate: 0.1}

    def step(bound):
        return second_step(constructor(**rate, **{argument: bound}), gradients)

    np.testing.assert_allclose(jax.jit(step)(bound), step(bound), rtol=1e-6)
    assert (np.abs(step(bound) - step(0)).max() > 1e-2) == (bound > 0)


def test_a_traced_momentum_takes_tensorflows_kernel():
    g = jnp.array([1e-3])

    def step(momentum):
        tx = dialects.tf_keras_legacy(0.1, momentum=momentum, epsilon=1e-3)
        return float(tx.update(g, tx.init(g), g)[0][0])

    assert step(0.0) == pytest.approx(-0.1 * 1e-3 / (np.sqrt(1e-7) + 1e-3), rel=1e-5)
    assert step(jnp.zeros(())) == pytest.approx(-0.1 * 1e-3 / np.sqrt(1e-7 + 1e-3), rel=1e-5)


def second_step(tx, gradients):
    """The second update of an array."""
    state = tx.init(gradients[0])
    for g in gradients:
        updates, state = tx.update(g, state, gradients[0])
    return updates


def test_climins_bounds_may_be_equal_and_traced():
    gradients = [jnp.array([0.5])] * 2

    def bounded(low, high):
        return second_step(dialects.climin(0.1, step_adapt=0.5, step_rate_min=low, step_rate_max=high), gradients)

    want = second_step(dialects.climin(0.1), gradients)
    for got in (bounded(0.1, 0.1), jax.jit(bounded)(0.1, 0.1), jax.jit(lambda low: bounded(low, 0.1))(0.1)):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_climins_steps_adapt_from_where_they_were_after_a_rate_of_0():
    gradients = [jnp.array([0.5])] * 2
    warmup = lambda count: jnp.where(count < 1, 0.0, 0.1)  # noqa: E731
    adapting, plain = (second_step(dialects.climin(warmup, step_adapt=a), gradients) for a in (0.5, 0))
    np.testing.assert_allclose(adapting, plain, rtol=1e-6)


def test_the_parts_of_a_complex_number_adapt_one_by_one_in_climin():
    tx = dialects.climin(0.1, momentum=0.5, step_adapt=0.5)
    real, imaginary = (np.asarray(second_step(tx, [jnp.array([5.0]), jnp.array([g])])) for g in (5.0, -5.0))
    both = second_step(tx, [jnp.array([3 + 4j]), jnp.array([3 - 4j])])
    np.testing.assert_allclose(both, 0.6 * real + 0.8j * imaginary, rtol=1e-6)


@pytest.mark.parametrize(
    ("dialect", "options"),
    [("timm", MOMENTUM | {"caution": True}), ("tensorflowjs", MOMENTUM | CENTERED)],
    ids=str,
)
def test_updates_turn_with_complex_gradients(dialect, options):
    """The second gradient of one entry goes against what its momentum remembers."""
    tx = dialects.TABLE[dialect].constructor(0.1, **options)
    gradients = np.array([[1, 1], [-0.1, 1]], np.complex64)
    plain, turned = (np.asarray(second_step(tx, jnp.asarray(g))) for g in (gradients, np.complex64(1j) * gradients))
    assert np.abs(plain).max() > 0
    np.testing.assert_allclose(turned, 1j * plain, rtol=1e-6)


def test_tensorflowjs_takes_no_step_where_the_variance_is_epsilon():
    tx = dialects.tensorflowjs(0.1, decay=0.5, epsilon=0.25, centered=True)
    g = jnp.array([1.0])  # the variance of the first gradient is decay·(1 − decay)·g²
    np.testing.assert_array_equal(tx.update(g, tx.init(g), g)[0], [0.0])


@pytest.mark.parametrize(("kept", "entries"), [(0, 4), (1, 4), (1, 2000)])
def test_timms_caution_divides_by_the_share_of_entries_kept_and_a_thousandth_at_least(kept, entries):
    turned = jnp.where(jnp.arange(entries) < kept, 1.0, -0.1)  # the momentum goes on as before
    cautious, plain = (
        second_step(dialects.timm(0.1, momentum=0.9, caution=caution), [jnp.ones(entries), turned])
        for caution in (True, False)
    )
    want = np.where(turned > 0, plain, 0.0) / max(kept / entries, 1e-3)
    np.testing.assert_allclose(cautious, want, rtol=1e-6)


def test_caffes_l1_does_not_push_a_parameter_of_0():
    g, p = jnp.array([0.5, 0.5]), jnp.array([0.0, 1.0])
    penalised, plain = (dialects.caffe(0.1, delta=0.5, regularization_type="L1", weight_decay=w) for w in (0.25, 0.0))
    pushed, free = (tx.update(g, tx.init(p), p)[0] for tx in (penalised, plain))
    np.testing.assert_array_equal(pushed == free, p == 0)


@pytest.mark.parametrize("version", ["0.9.3", "1.9.1", "2.0"])
def test_mxnets_centered_form_has_a_momentum_of_nine_tenths_unless_told(version):
    grads = jnp.array([1.0, -2.0])
    told, untold = (dialects.mxnet(centered=True, version=version, **kw) for kw in ({"gamma2": 0.9}, {}))
    states = [tx.init(grads) for tx in (told, untold)]
    for _ in range(2):
        (u, a), (v, b) = (tx.update(grads, s, grads) for tx, s in zip((told, untold), states, strict=True))
        states = [a, b]
    np.testing.assert_array_equal(u, v)
