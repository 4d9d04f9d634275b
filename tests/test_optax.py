"""The same word means the same algorithm: every call of optax.rmsprop, with our import."""

import inspect
import itertools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rows import covering, long

from rmsprop_optax import dialects, rmsprop, scale_by_rms, scale_by_stddev

STEPS = 50
RATE = optax.piecewise_constant_schedule(0.1, {20: 0.1})
PAIRS = {
    "rmsprop": (rmsprop, optax.rmsprop),
    "dialects.optax": (dialects.optax, optax.rmsprop),
    "scale_by_rms": (scale_by_rms, optax.scale_by_rms),
    "scale_by_stddev": (scale_by_stddev, optax.scale_by_stddev),
}


def values():
    """Every combination of optax's arguments but the rate; an initial scale under bias correction raises.

    The first centered, corrected step, of variance 0 here and of rounding there, stays in a momentum buffer.
    """
    switches = [False, True]
    for decay, eps, scale, inside, centered, momentum, nesterov, corrected in itertools.product(
        (0.9, 0.99), (1e-8, 1e-2), (0.0, 1.0), switches, switches, (None, 0.9), switches, switches
    ):
        if not (scale and corrected) and not (centered and corrected and momentum):
            yield decay, eps, scale, inside, centered, momentum, nesterov, corrected


def calls():
    """As positional arguments, as keywords, with a schedule, and injected: arguments and keywords of each call."""
    names = list(inspect.signature(optax.rmsprop).parameters)
    for i, arguments in enumerate(values()):
        rate = RATE if i % 2 else 0.1
        yield (rate, *arguments), {}, False
        if i % 3 == 0:
            yield (rate,), dict(zip(names[1:], arguments, strict=True)), False
        if i % 5 == 0:
            yield (), dict(zip(names, (rate, *arguments), strict=True)), True


CALLS = list(calls())


def settings(args, kwargs, injected):
    given = inspect.signature(optax.rmsprop).bind(*args, **kwargs).arguments
    return given | {"scheduled": callable(given.pop("learning_rate")), "positional": len(args), "injected": injected}


# Any three arguments of a call.
CHOSEN = covering([settings(*call) for call in CALLS], 3)


def gradients(dtype=jnp.float32):
    """Noise about a mean, of sizes from 1e-3 to 10: a variance that float32 resolves in either form."""
    rng = np.random.default_rng(0)
    return jnp.asarray((1 + 2 * rng.standard_normal((STEPS, 8))) * np.geomspace(1e-3, 10, 8), dtype)


def updates(tx, stream):
    def step(state, g):
        u, state = tx.update({"w": g}, state, {"w": g})
        return state, u["w"]

    run = jax.jit(lambda stream: jax.lax.scan(step, tx.init({"w": stream[0]}), stream)[1])
    with jax.numpy_dtype_promotion("standard"):  # optax under traced numbers
        return np.asarray(run(stream), np.float64)


def assert_same(ours, theirs):
    """Within 1e-6 of the largest step of a weight; some ten roundings of 6e-8 were seen."""
    largest = np.abs(theirs).max(0)
    np.testing.assert_allclose(ours / largest, theirs / largest, rtol=0, atol=1e-6)


def test_there_are_enough_calls():
    assert len(CALLS) >= 200


@pytest.mark.parametrize("number", long(range(len(CALLS)), CHOSEN))
def test_every_call_means_the_same(number):
    args, kwargs, injected = CALLS[number]
    make = [optax.inject_hyperparams(f) if injected else f for f in (rmsprop, optax.rmsprop)]
    bound = settings(*CALLS[number])
    # After few corrected gradients optax's difference of two moments has few digits, so float64 it is.
    hard = bound["centered"] and bound["bias_correction"]
    with jax.enable_x64(hard):
        stream = gradients(jnp.float64 if hard else jnp.float32)
        ours, theirs = (updates(f(*args, **kwargs), stream) for f in make)
    assert np.isfinite(ours).all()
    assert_same(ours[int(hard) :], theirs[int(hard) :])


@pytest.mark.parametrize("name", PAIRS)
def test_signatures_begin_as_optaxs(name):
    ours, theirs = (list(inspect.signature(f).parameters.values()) for f in PAIRS[name])
    assert [(p.name, p.default, p.kind) for p in ours[: len(theirs)]] == [(p.name, p.default, p.kind) for p in theirs]
    assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(theirs) :])


@pytest.mark.parametrize("name", ["scale_by_rms", "scale_by_stddev"])
@pytest.mark.parametrize(
    "arguments", [(), (0.99, 1e-5), (0.9, 1e-3, 1.0, False), (0.9, 1e-2, 0.0, True, True)], ids=str
)
def test_the_links_mean_the_same(name, arguments):
    with jax.enable_x64(True):
        ours, theirs = (updates(f(*arguments), gradients(jnp.float64)) for f in PAIRS[name])
    first = int(name == "scale_by_stddev" and arguments[-1:] == (True,))
    assert_same(ours[first:], theirs[first:])


# Constructions of other people, with the import changed. Cleanba makes its optimizer under inject_hyperparams.
ELSEWHERE = {
    "dqn_zoo": lambda rmsprop: rmsprop(learning_rate=0.00025, decay=0.95, eps=0.01 / 32**2, centered=True),
    "Dopamine": lambda rmsprop: rmsprop(0.00025, decay=0.95, eps=1e-5, centered=True),
    "NetKet": lambda rmsprop: rmsprop(learning_rate=0.001, decay=0.9, eps=1e-7),
    "Cleanba": lambda rmsprop: optax.chain(
        optax.clip_by_global_norm(40.0),
        optax.inject_hyperparams(rmsprop)(learning_rate=optax.linear_schedule(0.0006, 0.0, 50), eps=0.01, decay=0.99),
    ),
}


@pytest.mark.parametrize("make", ELSEWHERE.values(), ids=ELSEWHERE)
def test_programs_of_others_mean_the_same(make):
    ours, theirs = (updates(make(f), gradients()) for f in (rmsprop, optax.rmsprop))
    assert_same(ours, theirs)


def test_the_injected_state_is_the_plain_one_and_the_hyperparameters():
    params = {"w": jnp.ones((10, 100))}
    plain, injected = rmsprop(0.1).init(params), optax.inject_hyperparams(rmsprop)(0.1).init(params)
    assert jax.tree.structure(injected.inner_state) == jax.tree.structure(plain)
    assert set(injected.hyperparams) == {"learning_rate", "decay", "eps", "initial_scale"}
    theirs = optax.inject_hyperparams(optax.rmsprop)(0.1).init(params)
    assert set(injected.hyperparams) == set(theirs.hyperparams)


# Leaves that are not trained, as Equinox passes them


@pytest.mark.parametrize("untrained", [jnp.arange(3), jnp.array(True), jax.random.key(0)], ids=["int", "bool", "key"])
@pytest.mark.parametrize("gradient", ["None", "float0"])
def test_integers_and_keys_pass(untrained, gradient):
    if gradient == "float0" and not jnp.issubdtype(untrained.dtype, jnp.integer):
        return
    params = {"w": jnp.ones(2), "n": untrained}
    none = None if gradient == "None" else np.zeros(untrained.shape, jax.dtypes.float0)
    for tx in (rmsprop(0.1, centered=True, momentum=0.9, l2=0.1, weight_decay=0.1), dialects.pytorch(weight_decay=0.1)):
        state = tx.init(params)
        grads = {"w": jnp.ones(2), "n": none}
        found, after = tx.update(grads, state, params)
        assert found["n"] is none
        np.testing.assert_array_equal(
            found["w"], tx.update({"w": grads["w"]}, tx.init({"w": params["w"]}), {"w": params["w"]})[0]["w"]
        )
        assert jax.tree.structure(after) == jax.tree.structure(state)
        jax.jit(lambda g, s, tx=tx: tx.update({"w": g, "n": None}, s, params))(grads["w"], state)


# States that are another optimizer's


WRONG = {
    "optax.rmsprop": (lambda p: optax.rmsprop(0.1).init(p), rmsprop(0.1)),
    "optax.rmsprop with momentum": (lambda p: optax.rmsprop(0.1, momentum=0.9).init(p), rmsprop(0.1, momentum=0.9)),
    "optax.scale_by_rms": (lambda p: optax.scale_by_rms().init(p), scale_by_rms()),
    "momentum": (lambda p: rmsprop(0.1, momentum=0.9).init(p), rmsprop(0.1)),
    "a schedule": (lambda p: rmsprop(lambda t: 0.1).init(p), rmsprop(0.1)),
    "no schedule": (lambda p: rmsprop(0.1).init(p), rmsprop(lambda t: 0.1)),
    "a scheduled decay": (
        lambda p: rmsprop(0.1, weight_decay=lambda t: 0.1).init(p),
        rmsprop(0.1, weight_decay=0.1),
    ),
    "the centered form": (lambda p: rmsprop(0.1, centered=True).init(p), rmsprop(0.1)),
}


@pytest.mark.parametrize(("state", "tx"), WRONG.values(), ids=WRONG)
def test_a_state_of_other_options_or_of_another_package_is_refused_with_the_way_out(state, tx):
    params = {"w": jnp.ones(2)}
    with pytest.raises((TypeError, ValueError), match=r"the state must .*rmsprop_optax\.interop\.transfer"):
        tx.update(params, state(params), params)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint16", "bool", "float16"])
def test_a_state_in_a_dtype_without_a_format_is_refused(dtype):
    tx, params = rmsprop(0.1, storage="uint8"), jnp.ones(2)
    state = jax.tree.map(lambda x: x.astype(dtype) if x.dtype == jnp.uint8 else x, tx.init(params))
    with pytest.raises(TypeError, match=f"must be in float32.*got {dtype}: restore it in the dtype"):
        tx.update(params, state)


def test_what_raises_where_optax_computes():
    for call in (
        {"learning_rate": -0.1},
        {"decay": 1.0},
        {"momentum": 1.0},
        {"eps": -1e-8},
        {"initial_scale": 1.0, "bias_correction": True},
    ):
        arguments = {"learning_rate": 0.1, **call}
        optax.rmsprop(**arguments)
        with pytest.raises(ValueError, match=r" must be |drop one"):
            rmsprop(**arguments)


SAVED = """
import jax, jax.export, jax.numpy as jnp, numpy as np, optax
from rmsprop_optax import rmsprop, with_remainder

for state in (optax.EmptyState, optax.ScaleByScheduleState):  # optax leaves these to the program
    jax.export.register_namedtuple_serialization(state, serialized_name=f"optax.{state.__name__}")
params = {"w": jnp.ones(2, jnp.bfloat16)}
tx = with_remainder(rmsprop(0.1, momentum=0.9, centered=True, weight_decay=optax.constant_schedule(0.1)))
state = tx.init(params)
exported = jax.export.export(jax.jit(tx.update))(params, state, params)
again = jax.export.deserialize(exported.serialize())
found = again.call(params, state, params)
jax.tree.map(np.testing.assert_array_equal, found, jax.jit(tx.update)(params, state, params))
"""


def test_every_state_can_be_saved_inside_a_program():
    # In a process of its own: a type is registered once.
    subprocess.run([sys.executable, "-c", SAVED], check=True)
