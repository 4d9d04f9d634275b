"""The hub: states of ours and of optax's, read, written and moved between options."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from rows import covering, long

from rmsprop_optax import dialects, interop, rmsprop, with_remainder
from rmsprop_optax._paths import named
from rmsprop_optax.dialects import TABLE
from rmsprop_optax.interop import Slots, layout, slots
from rmsprop_optax.measure import measured, scalars

PARAMS = {"dense": {"kernel": jnp.ones((4, 3)), "bias": jnp.zeros(3)}, "out": [jnp.float32(2.0), jnp.ones((2, 2, 2))]}
RATE = optax.linear_schedule(0.1, 0.01, 100)


def gradients(params, step):
    keys = [np.random.default_rng((step, i)) for i in range(len(jax.tree.leaves(params)))]
    rows = zip(keys, jax.tree.leaves(params), strict=True)
    noise = [rng.standard_normal(p.shape) + 1j * rng.standard_normal(p.shape) for rng, p in rows]
    noise = [n if jnp.iscomplexobj(p) else n.real for n, p in zip(noise, jax.tree.leaves(params), strict=True)]
    grads = [jnp.asarray(1 + n).astype(p.dtype) for n, p in zip(noise, jax.tree.leaves(params), strict=True)]
    return jax.tree.unflatten(jax.tree.structure(params), grads)


def trained(tx, params, start=0, stop=6, state=None):
    """Parameters and state after the steps from ``start`` to ``stop``."""
    state, update = tx.init(params) if state is None else state, jax.jit(tx.update)
    for step in range(start, stop):
        with jax.numpy_dtype_promotion("standard"):  # optax's own transformations need it
            updates, state = update(gradients(params, step), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def filled(tx, params):
    """A state of ``tx`` after 5 steps, with other numbers in each array."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: jnp.asarray(rng.uniform(0.5, 2, x.shape), x.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else x + 5,
        tx.init(params),
    )


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


OPTIONS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "after": {"momentum": 0.9, "lr_in_momentum": False},
    "centered": {"centered": True, "momentum": 0.9},
    "corrected": {"bias_correction": True, "centered": True},
    "decay": {"weight_decay": optax.constant_schedule(0.01), "l2": 0.1},
    "uint8": {"storage": "uint8", "momentum": 0.9, "momentum_storage": "bfloat16"},
    "bfloat16": {"storage": "bfloat16", "centered": True},
}
PLACES = {
    "bare": lambda make: make(),
    "chain": lambda make: optax.chain(optax.clip_by_global_norm(1.0), optax.chain(make())),
    "masked": lambda make: optax.masked(make(), {"dense": True, "out": [False, True]}),
    "partition": lambda make: optax.partition({"a": make(), "b": make()}, {"dense": "a", "out": ["a", "b"]}),
    "frozen": lambda make: optax.partition({"a": make(), "b": optax.sgd(0.1)}, {"dense": "a", "out": "b"}),
    "MultiSteps": lambda make: optax.MultiSteps(make(), 2),
    "apply_if_finite": lambda make: optax.apply_if_finite(make(), 3),
    "remainder": lambda make: with_remainder(make()),
}


# Round trips


@pytest.mark.parametrize(
    ("place", "options"),
    [("bare", options) for options in OPTIONS] + [(p, o) for p in PLACES for o in ("centered", "uint8") if p != "bare"],
)
def test_what_is_read_and_written_is_the_same_state(place, options):
    tx = PLACES[place](functools.partial(rmsprop, RATE, **OPTIONS[options]))
    # Two wrappers have counters of their own, which stay as they are after 6 steps.
    state = trained(tx, PARAMS)[1] if place in ("MultiSteps", "apply_if_finite") else filled(tx, PARAMS)
    found = interop.read(state)
    same(interop.write(tx.init(PARAMS), found), state)
    assert found.count == {"MultiSteps": 3, "apply_if_finite": 6}.get(place, 5)
    if place in ("bare", "partition"):
        assert jax.tree.structure(found.mean_square) == jax.tree.structure(PARAMS)


def test_hyperparameters_that_are_injected_keep_their_schedule():
    make = optax.inject_hyperparams(rmsprop, hyperparam_dtype=jnp.float32)
    tx = make(RATE, decay=0.9, momentum=0.9)
    params, state = trained(tx, PARAMS)
    written = interop.write(tx.init(PARAMS), interop.read(state))
    same(trained(tx, params, 6, 9, written), trained(tx, params, 6, 9, state))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "complex64"])
@pytest.mark.parametrize("make", [rmsprop, dialects.pytorch])
def test_other_dtypes(make, dtype):
    params = jax.tree.map(lambda p: p.astype(dtype), PARAMS)
    tx = make(0.1, momentum=0.9, centered=True)
    _, state = trained(tx, params)
    same(interop.write(tx.init(params), interop.read(state)), state)


def test_a_complex_parameter_of_pytorch_has_a_mean_square_for_each_part():
    tx, g = dialects.pytorch(alpha=0.5), jnp.array([2 + 4j], jnp.complex64)
    _, state = tx.update(g, tx.init(jnp.zeros_like(g)))
    assert interop.read(state).mean_square[0] == 2 + 8j


def test_float64():
    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: p.astype(np.float64), PARAMS)
        tx = rmsprop(RATE, momentum=0.9)
        _, state = trained(tx, params)
        slots = interop.read(state)
        same(interop.write(tx.init(params), slots), state)
        large = slots._replace(mean_square=jax.tree.map(lambda nu: nu + 1e300, slots.mean_square))
        same(interop.read(interop.write(tx.init(params), large)), large)


@pytest.mark.parametrize("ratio", [1e2, 1e4])
def test_a_variance_far_below_the_squared_mean_survives(ratio):
    tx, params = rmsprop(0.1, centered=True), jnp.zeros(1000)
    state, rng = tx.init(params), np.random.default_rng(0)
    for _ in range(50):
        _, state = tx.update(jnp.asarray(ratio + rng.standard_normal(1000), jnp.float32), state)
    written = interop.write(tx.init(params), interop.read(state))
    same(written, state)


def variants():
    """Every dialect, with and without a schedule, a momentum and centering."""
    for name, row in TABLE.items():
        parameters = inspect.signature(row.constructor).parameters
        required = {p.name for p in parameters.values() if p.default is p.empty}
        own, centered = row.arguments, next(iter({"centred", "use_first"} & {*parameters}), "centered")
        options = [{}] + [{own.momentum: 0.9}] * bool(own.momentum)
        options += [o | {centered: True} for o in options if row.centered == "option"]
        options += [o | {"step_adapt": 0.1} for o in options if "step_adapt" in parameters]
        for option in options:
            yield name, dict.fromkeys(required, 0.1) | option
            if own.learning_rate:
                yield name, dict.fromkeys(required, 0.1) | option | {own.learning_rate: RATE}


def test_the_state_of_every_dialect_is_the_same_after_a_round_trip():
    params = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
    found = list(variants())
    assert {name for name, _ in found} == TABLE.keys()
    for name, options in found:
        tx = TABLE[name].constructor(**options)
        state = filled(tx, params)
        for new in (interop.write(tx.init(params), interop.read(state)), interop.transfer(state, tx.init(params))):
            jax.tree.map(functools.partial(np.testing.assert_array_equal, err_msg=f"{name} {options}"), new, state)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_climin_keeps_its_last_step_and_its_gains(dtype):
    params = {"w": jnp.ones((2, 3), dtype), "b": jnp.ones(3, dtype)}
    tx = dialects.climin(RATE, momentum=0.9, step_adapt=0.1)
    _, state = trained(tx, params, stop=5)
    found = interop.read(state)
    assert (found.count, found.lr_in_momentum) == (5, True)
    assert {x.dtype for x in jax.tree.leaves((found.momentum, found.gain))} == {jnp.dtype(dtype)}
    same(interop.write(tx.init(params), found), state)
    # Other options start without gains, and the buffer stays.
    plain = dialects.climin(RATE, momentum=0.9)
    if dtype == "float32":
        same(optax.tree.get(interop.transfer(state, plain.init(params)), "trace"), found.momentum)
        back = interop.transfer(trained(plain, params)[1], tx.init(params))
        assert all((gain == 1).all() for gain in jax.tree.leaves(optax.tree.get(back, "gain")))
    with pytest.raises(ValueError, match="a gain of b, w that the state has no place for"):
        interop.write(plain.init(jax.tree.map(jnp.real, params)), found._replace(momentum=found.mean_square))


NNX_OPTIONS = {
    "plain": lambda: rmsprop(0.1),
    "momentum": lambda: rmsprop(RATE, momentum=0.9),
    "after": lambda: rmsprop(RATE, momentum=0.9, lr_in_momentum=False),
    "centered": lambda: rmsprop(RATE, centered=True, momentum=0.9, weight_decay=RATE),
    "uint8": lambda: rmsprop(RATE, storage="uint8", momentum=0.9, momentum_storage="bfloat16"),
    "bare": lambda: optax.chain(optax.clip(1.0), rmsprop(RATE, momentum=0.9)),
    "adapted": lambda: dialects.climin(RATE, step_adapt=0.1),
    "injected": lambda: optax.inject_hyperparams(rmsprop)(RATE, momentum=0.9),
    "MultiSteps": lambda: optax.MultiSteps(rmsprop(RATE, momentum=0.9), 2),
    "partition": lambda: optax.partition(
        {"a": rmsprop(RATE, momentum=0.9), "b": rmsprop(0.1, momentum=0.9)},
        lambda params: jax.tree.map_with_path(lambda path, _: "a" if "bias" in str(path) else "b", params),
    ),
    "measured": lambda: measured(rmsprop(RATE, momentum=0.9)),
}


nnx_update = nnx.jit(nnx.Optimizer.update)


def nnx_run(tx, steps=2):
    model = nnx.Sequential(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), nnx.LayerNorm(3, rngs=nnx.Rngs(0)))
    optimizer = nnx.Optimizer(model, tx=tx, wrt=nnx.Param)
    for step in range(steps):
        with jax.numpy_dtype_promotion("standard"):  # optax's own transformations need it
            nnx_update(optimizer, model, gradients(nnx.state(model, nnx.Param), step))
    return optimizer


@pytest.mark.parametrize("options", long(NNX_OPTIONS, ["centered", "uint8", "adapted", "MultiSteps", "partition"]))
def test_the_state_of_an_nnx_optimizer(options):
    tx = NNX_OPTIONS[options]()
    optimizer, fresh = nnx_run(tx), nnx_run(tx, 0)
    whole = interop.read(optimizer)
    assert whole.count == (1 if options == "MultiSteps" else 2)
    states = {"state": nnx.state(optimizer), "split": nnx.split(optimizer)[1]}
    states["pure"] = nnx.to_pure_dict(states["state"])
    for name, state in states.items():
        found = interop.read(state)
        for slot in ("mean_square", "mean", "momentum", "gain"):
            same(*(dict(sorted(named(getattr(s, slot)).items())) for s in (found, whole)))
        assert (found.count, found.lr_in_momentum) == (whole.count, whole.lr_in_momentum), name
    like = nnx.state(fresh)
    before = jax.tree.map(jnp.copy, like)
    for new in (interop.write(like, whole), interop.transfer(states["split"], like)):
        assert jax.tree.structure(new) == jax.tree.structure(like)
        assert isinstance(new, nnx.State)
        places = nodes_of_slots(new)
        same(places, nodes_of_slots(states["state"]))
        assert places
    same(like, before)


def nodes_of_slots(state):
    """The leaves of a State that slots hold, by path."""
    leaves = {jax.tree_util.keystr(path): x for path, x in jax.tree.leaves_with_path(state)}
    return {p: x for p, x in leaves.items() if any(f"'{key}'" in p for key in ("nu", "mu", "trace", "gain"))}


def test_an_nnx_optimizer_is_changed_in_place():
    tx = rmsprop(RATE, momentum=0.9)
    optimizer = nnx_run(tx)
    for write in (interop.write, lambda like, found: interop.transfer(optimizer, like)):
        fresh = nnx_run(tx, 0)
        assert write(fresh, interop.read(optimizer)) is fresh
        same(jax.tree.leaves(fresh), jax.tree.leaves(optimizer))
        assert int(fresh.step[...]) == 2
    # A misfit changes nothing.
    fresh = nnx_run(tx, 0)
    with pytest.raises(ValueError, match="no momentum"):
        interop.write(fresh, interop.read(optimizer)._replace(momentum=None))
    same(jax.tree.leaves(fresh), jax.tree.leaves(nnx_run(tx, 0)))


def test_the_measures_of_an_nnx_state():
    optimizer = nnx_run(measured(rmsprop(0.1)))
    expected = scalars(optimizer)
    assert expected["step"] == 2
    assert scalars(nnx.state(optimizer)) == scalars(nnx.to_pure_dict(nnx.split(optimizer)[1])) == expected


def test_flax_optimizers_as_a_whole():
    model = nnx.Sequential(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), nnx.LayerNorm(3, rngs=nnx.Rngs(0)))
    new = functools.partial(nnx.Optimizer, tx=rmsprop(RATE, momentum=0.9), wrt=nnx.Param)
    optimizer = new(model)
    for _ in range(3):
        optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    found = interop.read(optimizer)
    assert (found.count, found.lr_in_momentum) == (3, True)
    written = interop.write(new(model), found)
    assert isinstance(written, nnx.Optimizer)
    same(jax.tree.leaves(written), jax.tree.leaves(optimizer))
    # Names count and not containers: a plain dict has the same leaves.
    plain = jax.tree.map(np.abs, nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    again = interop.write(new(model), Slots(plain, None, plain, 3))
    same(named(interop.read(again).momentum), named(plain))


def test_train_state_as_a_whole():
    start = TrainState.create(apply_fn=None, params=PARAMS, tx=rmsprop(RATE, momentum=0.9))
    state = start
    for step in range(3):
        state = state.apply_gradients(grads=gradients(PARAMS, step))
    written = interop.write(start, interop.read(state))
    assert written.step == 3
    same(written.opt_state, state.opt_state)


# What is written to


def test_what_is_written_is_a_copy():
    tx, params = rmsprop(0.1, momentum=0.9), {"w": jnp.zeros(1000)}
    source = np.ones(1000, np.float32)
    state = interop.write(tx.init(params), Slots({"w": source}, momentum={"w": source}))
    source[:] = 7
    assert optax.tree.get(state, "nu")["w"][0] == optax.tree.get(state, "trace")["w"][0] == 1
    other = interop.write(tx.init(params), interop.read(state))
    pointers = {x.unsafe_buffer_pointer() for s in (state, other) for x in jax.tree.leaves(s) if x.ndim}
    assert len(pointers) == 4


def test_the_template_decides_the_sharding():
    mesh = jax.make_mesh((8,), ("x",))
    sharding = NamedSharding(mesh, P("x"))
    params = {"w": jax.device_put(jnp.ones((16, 4)), sharding), "b": jax.device_put(jnp.ones(8), sharding)}
    tx = rmsprop(RATE, momentum=0.9, storage="uint8")
    like = tx.init(params)
    _, state = trained(tx, jax.tree.map(np.asarray, params))
    for template in (like, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)):
        written = interop.write(template, interop.read(state))
        same(written, state)
        assert all(x.sharding.is_equivalent_to(sharding, x.ndim) for x in jax.tree.leaves(written) if x.ndim)
        same(interop.write(template, interop.read(written)), state)
    # On one device a state stays free to go wherever the parameters are.
    given = Slots({"w": np.ones(2)}, None, {"w": np.ones(2)})
    written = interop.write(tx.init({"w": jnp.ones(2)}), given)
    assert not optax.tree.get(written, "nu")["w"].committed


def test_counters_are_set_and_those_of_other_optimizers_are_not():
    tx = optax.partition({"a": rmsprop(RATE, momentum=0.9), "b": optax.adam(RATE)}, {"dense": "a", "out": "b"})
    like = tx.init(PARAMS)
    found = interop.read(trained(tx, PARAMS, stop=1)[1])._replace(count=100)
    counts = optax.tree.get_all_with_path(interop.write(like, found), "count")
    by_owner = {str(path[-1]) for path, _ in counts}
    assert {int(c) for path, c in counts if "ScaleByAdamState" in str(path)} == {0}, by_owner
    assert sorted(int(c) for _, c in counts) == [0, 100, 100, 100, 100]


# Misfits: what is wrong, and what the error must name

W, B = np.ones((2, 3), np.float32), np.ones(3, np.float32)
FULL = Slots({"w": W, "b": B}, {"w": W, "b": B}, {"w": W, "b": B}, 3, True)
BAD = {
    "no momentum": (FULL._replace(momentum=None), {}, "no momentum of b, w"),
    "no mean": (FULL._replace(mean=None), {}, "no mean of b, w"),
    "a leaf missing": (FULL._replace(mean_square={"w": W}), {}, "no mean_square of b"),
    "a leaf left over": (FULL._replace(momentum={"w": W, "b": B, "c": B}), {}, "a momentum of c that the state"),
    "a shape": (FULL._replace(mean={"w": W.T, "b": B}), {}, r"a mean of w with shape \(3, 2\) for \(2, 3\)"),
    "negative": (FULL._replace(mean_square={"w": -W, "b": B}), {}, "a mean_square of w with negative"),
    "complex": (FULL._replace(momentum={"w": W + 1j, "b": B}), {}, "a momentum of w in complex64 for float32"),
    "two of a name": (FULL._replace(mean={"w": W, "b": B, "x": {"y": B}, "x/y": B}), {}, "two of x/y"),
    "all at once": (FULL._replace(momentum=None, mean={"w": W.T, "b": B}), {}, "a mean of w.*no momentum of b, w"),
    "a rate to spare": (FULL, {"learning_rate": 0.1}, "must be None if no momentum buffer is rescaled"),
    "no rate": (FULL._replace(lr_in_momentum=False), {}, "give the learning_rate of the last step"),
    "a rate of 0": (FULL._replace(lr_in_momentum=False), {"learning_rate": 0.0}, "finite and above 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_named(case):
    given, arguments, message = BAD[case]
    like = rmsprop(0.1, centered=True, momentum=0.9).init({"w": jnp.zeros((2, 3)), "b": jnp.zeros(3)})
    with pytest.raises(ValueError, match=message):
        interop.write(like, given, **arguments)


HUGE, INF, NAN = np.float64(1e300), np.inf, np.nan
VALUES = {
    "infinite": ({}, {"mean_square": INF}, "a mean_square of w with inf for float32.*repair='largest'"),
    "NaN": ({}, {"mean_square": NAN}, "a mean_square of w with nan for float32"),
    "below": ({}, {"mean_square": -INF}, "a mean_square of w with negative entries, -inf"),
    "mean": ({"centered": True}, {"mean": NAN}, "a mean of w with nan"),
    "infinite mean": ({"centered": True}, {"mean": -INF}, "a mean of w with -inf"),
    "momentum": ({"momentum": 0.9}, {"momentum": INF}, "a momentum of w with inf"),
    "a large mean square": ({}, {"mean_square": HUGE}, r"with 1e\+300 for float32 up to 3.40282e\+38"),
    "a large variance": ({"centered": True}, {"mean_square": HUGE}, r"a mean_square of w with 1e\+300"),
    "a large mean": ({"centered": True}, {"mean": HUGE, "mean_square": HUGE}, r"a mean of w with 1e\+300"),
    "a large momentum": ({"momentum": 0.9}, {"momentum": -HUGE}, r"a momentum of w with -1e\+300"),
    "uint8": ({"storage": "uint8"}, {"mean_square": 1e9}, r"with 1e\+09 for uint8 up to 14336"),
    "bfloat16": ({"storage": "bfloat16"}, {"mean_square": 3.4e38}, r"with 3.4e\+38 for bfloat16 up to"),
    "2**31": ({}, {"count": 2**31}, "must be a whole number of steps from 0 to 2147483647, got 2147483648"),
    "2**40": ({}, {"count": np.int64(2**40)}, "got 1099511627776"),
    "count NaN": ({}, {"count": NAN}, "got nan: set it with"),
    "count inf": ({}, {"count": INF}, "got inf"),
    "not whole": ({}, {"count": np.float32(2.7)}, "got 2.7"),
    "negative": ({}, {"count": -1}, "got -1"),
    "no number": ({}, {"count": "5,"}, "got 5,"),
}


@pytest.mark.parametrize("case", VALUES)
def test_numbers_that_no_optimizer_has_are_refused(case):
    options, changed, message = VALUES[case]
    tx = rmsprop(RATE, **options)
    params = {"b": jnp.zeros(2), "w": jnp.zeros(2)}
    good = {slot: {"b": np.ones(2), "w": np.ones(2)} for slot in ("mean_square", *options) if slot in Slots._fields}
    good |= {"mean": {"b": np.ones(2), "w": np.ones(2)}} if "centered" in options else {}
    arrays = {slot: {"b": np.ones(2), "w": np.array([1.0, x])} for slot, x in changed.items() if slot != "count"}
    given = Slots(**good | arrays, count=changed.get("count", 5.0))
    for cast in (np.asarray, jnp.asarray):
        if case in ("a large mean square", "a large variance", "a large mean", "a large momentum", "bfloat16"):
            cast = np.asarray  # JAX's arrays are in float32 here
        with pytest.raises(ValueError, match=message):
            interop.write(tx.init(params), given._replace(mean_square=jax.tree.map(cast, given.mean_square)))
    fine = interop.write(tx.init(params), given._replace(**good, count=5.0))
    assert interop.read(fine).count == 5


def test_numbers_at_the_ends_are_taken():
    top = np.finfo(np.float32).max
    for options, least, most in (({}, 0, top), ({"storage": "uint8"}, 2.0**-50, 14336), ({"momentum": 0.9}, 0, top)):
        momentum = {"w": np.float32([-top, 0, top])} if "momentum" in options else None
        given = Slots({"w": np.float32([least, 1, most])}, None, momentum, 2**31 - 1)
        found = interop.read(interop.write(rmsprop(RATE, **options).init({"w": jnp.zeros(3)}), given))
        same((found.mean_square, found.momentum, found.count), (given.mean_square, given.momentum, 2**31 - 1))
    # A mean square above the top of the format has a place if its variance has.
    given = Slots({"w": np.array([1e40])}, {"w": np.array([1e20])}, count=1)
    assert interop.read(interop.write(rmsprop(0.1, centered=True).init({"w": jnp.zeros(1)}), given)).mean[
        "w"
    ] == np.float32(1e20)


def test_float16_of_optax_is_not_overflowed():
    like = optax.rmsprop(0.1).init({"w": jnp.zeros(1, jnp.float16)})
    with pytest.raises(ValueError, match="mean_square of w must fit into float16, got numbers above 65504"):
        interop.optax.write(like, Slots({"w": np.array([1e5])}))


@pytest.mark.parametrize("options", [{}, {"storage": "bfloat16"}, {"centered": True}, {"storage": "uint8"}])
def test_an_overflowed_mean_square_of_optax_can_be_repaired(options):
    theirs, ours = optax.rmsprop(0.1), rmsprop(0.1, **options)
    params = {"w": jnp.ones(2)}
    _, state = theirs.update({"w": jnp.array([1e30, 1.0])}, theirs.init(params))
    found = interop.optax.read(state)._replace(mean={"w": jnp.zeros(2)} if "centered" in options else None)
    assert found.mean_square["w"][0] == np.inf
    with pytest.raises(ValueError, match="a mean_square of w with inf"):
        interop.write(ours.init(params), found)
    state = interop.write(ours.init(params), found, repair="largest")
    for other in ({"repair": "smallest"}, {"repair": True}):
        with pytest.raises(ValueError, match="repair must be None or 'largest'"):
            interop.write(ours.init(params), found, **other)
    update = jax.jit(ours.update)
    if options == {"storage": "uint8"}:
        assert interop.read(state).mean_square["w"][0] == 14336
    for _ in range(100):
        updates, state = update({"w": jnp.ones(2)}, state, params)
        assert abs(updates["w"][0]) < 1e-15 or options == {"storage": "uint8"}
        assert abs(updates["w"][1]) > 0.01 or options == {"centered": True}
    bad = found._replace(mean_square={"w": np.array([np.nan, 1])})
    with pytest.raises(ValueError, match="a mean_square of w with nan"):
        interop.write(ours.init(params), bad, repair="largest")


def test_more_slots_than_places():
    like = rmsprop(0.1).init({"w": jnp.zeros((2, 3)), "b": jnp.zeros(3)})
    with pytest.raises(ValueError, match="a mean of b, w that the state has no place for; a momentum of b, w"):
        interop.write(like, FULL)


@pytest.mark.parametrize("centered", [False, True])
def test_a_pickled_state_of_numpy_arrays(centered):
    tx = rmsprop(0.1, momentum=0.9, centered=centered, storage="uint8")
    _, state = trained(tx, PARAMS)
    hosted = jax.device_get(state)
    same(interop.write(tx.init(PARAMS), interop.read(hosted)), interop.write(tx.init(PARAMS), interop.read(state)))
    same(interop.write(hosted, interop.read(state)), interop.write(state, interop.read(state)))


@pytest.mark.parametrize("function", [interop.read, lambda state: interop.write(state, FULL), interop.optax.read])
def test_a_state_of_another_optimizer_is_refused(function):
    with pytest.raises(ValueError, match="must contain a state of"):
        function(optax.adam(0.1).init({"w": W, "b": B}))


def test_two_optimizers_of_one_parameter_are_not_mixed():
    tx = optax.chain(rmsprop(0.1), rmsprop(0.1))
    with pytest.raises(ValueError, match="only one optimizer may hold the mean_square of w, got 2"):
        interop.read(tx.init({"w": W}))
    mixed = optax.partition(
        {"a": dialects.pytorch(momentum=0.9), "b": dialects.keras(momentum=0.9)}, {"w": "a", "b": "b"}
    )
    with pytest.raises(ValueError, match="or none of them, got both kinds"):
        interop.read(mixed.init({"w": W, "b": B}))


def test_parts_that_made_other_numbers_of_steps_are_not_mixed():
    tx = optax.partition({"a": rmsprop(0.1), "b": rmsprop(0.2)}, {"w": "a", "b": "b"})
    state = tx.init({"w": W, "b": B})
    one = state.inner_states["a"]
    ahead = jax.tree.map(lambda x: x + 5 if x.dtype == jnp.int32 else x, one)
    with pytest.raises(ValueError, match=r"same number of steps, got \[0, 5\]: read each part alone"):
        interop.read(state._replace(inner_states=state.inner_states | {"a": ahead}))


def test_nothing_abstract_is_left_in_a_state():
    like = jax.eval_shape(rmsprop(RATE).init, {"w": W})
    with pytest.raises(ValueError, match=r"got nothing for .*count"):
        interop.write(like, Slots({"w": W}))
    assert int(optax.tree.get(interop.write(like, Slots({"w": W}, count=3))[1], "count")) == 3


# Between options


def test_where_the_learning_rate_stands_in_every_dialect():
    for name, row in TABLE.items():
        parameters = inspect.signature(row.constructor).parameters
        options = {p.name: 0.1 for p in parameters.values() if p.default is p.empty}
        options |= {row.arguments.momentum: 0.9} if row.arguments.momentum else {}
        options |= {"centered": True} if name == "mxnet" else {}
        found = slots.lr_in_momentum(row.constructor(**options).init(jnp.zeros(1)))
        assert found == {"b": True, "a": False, "n": None}[row.momentum.removeprefix("no buffer, centered ")[0]], name


TRANSFERS = {
    "momentum added": ({"centered": True}, {"centered": True, "momentum": 0.9}),
    "momentum dropped": ({"momentum": 0.9}, {}),
    "centered dropped": ({"centered": True, "momentum": 0.9}, {"momentum": 0.9}),
    "centered added": ({}, {"centered": True}),
    "shorter": ({"momentum": 0.9}, {"momentum": 0.9, "storage": "uint8", "momentum_storage": "bfloat16"}),
    "longer": ({"storage": "uint8"}, {}),
    "a schedule": ({}, {"learning_rate": RATE}),
    "all": ({"storage": "bfloat16"}, {"centered": True, "momentum": 0.9, "weight_decay": RATE}),
}


@pytest.mark.parametrize("case", TRANSFERS)
def test_options_may_change(case):
    before, after = (rmsprop(**({"learning_rate": 0.1} | options)) for options in TRANSFERS[case])
    params, state = trained(before, PARAMS)
    moved = interop.transfer(state, after.init(params))
    same(
        jax.tree.map(lambda x: (x.shape, x.dtype), moved),
        jax.tree.map(lambda x: (x.shape, x.dtype), after.init(params)),
    )
    old, new = interop.read(state), interop.read(moved)
    # An eighth of a number at most is between neighbours in 8 bits, 2⁻⁸ in 16.
    bound = {"shorter": 1 / 8}.get(case, 1e-6)
    close = functools.partial(np.testing.assert_allclose, rtol=bound)
    jax.tree.map(close, new.mean_square, jax.tree.map(np.asarray, old.mean_square))
    assert new.count == 6
    if old.mean is not None and new.mean is not None:
        same(new.mean, old.mean)
    if old.momentum is not None and new.momentum is not None:
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2.0**-8), new.momentum, old.momentum)
    trained(after, params, 6, 8, moved)


def test_from_one_place_of_the_rate_to_the_other_with_the_rate():
    """Without epsilons and with a constant rate the two are one rule, in other units of the buffer."""
    inside, outside = (rmsprop(0.03, eps=0.0, momentum=0.9, lr_in_momentum=first) for first in (True, False))
    for before, after in ((inside, outside), (outside, inside)):
        params, state = trained(before, PARAMS)
        stayed, _ = trained(before, params, 6, 12, state)
        rates = jax.tree.map(lambda _: 0.03, params)
        for rate in (0.03, rates):
            moved = interop.transfer(state, after.init(params), learning_rate=rate)
            went, _ = trained(after, params, 6, 12, moved)
            jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), went, stayed)
        with pytest.raises(ValueError, match="give the learning_rate"):
            interop.transfer(state, after.init(params))


# optax's own states

SHAPES = [
    {"centered": centered, "bias_correction": corrected, "momentum": momentum, "learning_rate": rate}
    for centered in (False, True)
    for corrected in (False, True)
    for momentum in (None, 0.9)
    for rate in (0.01, RATE)
]


@pytest.mark.parametrize(
    "options",
    long(SHAPES, [SHAPES[i] for i in covering(SHAPES)]),
    ids=lambda o: "-".join("rate" if callable(x) else str(x) for x in o.values()),
)
def test_a_run_of_optax_goes_on_here_and_back(options):
    theirs, ours = optax.rmsprop(**options), dialects.optax(**options)
    decay = {"decay": 0.9} if options["bias_correction"] else {}
    params, state = trained(theirs, PARAMS)
    found = interop.optax.read(state, **decay)
    assert found.count == (6 if options["bias_correction"] or options["learning_rate"] is RATE else None)
    same(interop.optax.write(theirs.init(params), found, **decay), state)
    stayed, end = trained(theirs, params, 6, 12, state)
    # Two float32 runs of one rule on parameters of order 1; centered, optax loses digits in its difference of squares.
    close = functools.partial(np.testing.assert_allclose, rtol=2e-5 if options["centered"] else 2e-6, atol=5e-7)
    here = interop.write(ours.init(params), found._replace(count=6))
    went, mine = trained(ours, params, 6, 12, here)
    jax.tree.map(close, went, stayed)
    back = interop.optax.write(theirs.init(params), interop.read(mine), **decay)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-7), back, end)


@pytest.mark.parametrize("place", [p for p in PLACES if p != "remainder"])
def test_optax_is_found_wherever_it_sits(place):
    tx = PLACES[place](functools.partial(optax.rmsprop, RATE, momentum=0.9))
    _, state = trained(tx, PARAMS)
    same(interop.optax.write(tx.init(PARAMS), interop.optax.read(state)), state)
    same(interop.optax.write(tx.init(PARAMS), interop.optax.read(jax.device_get(state))), state)


@pytest.mark.parametrize("options", SHAPES[::2], ids=lambda o: "-".join(map(str, list(o.values())[:3])))
def test_optax_in_an_nnx_optimizer(options):
    tx, decay = optax.rmsprop(**options), {"decay": 0.9} if options["bias_correction"] else {}
    optimizer, fresh = nnx_run(tx), nnx_run(tx, 0)
    found = interop.optax.read(optimizer, **decay)
    for state in (nnx.state(optimizer), nnx.to_pure_dict(nnx.state(optimizer))):
        again = interop.optax.read(state, **decay)
        for slot in ("mean_square", "mean", "momentum"):
            same(*(dict(sorted(named(getattr(s, slot)).items())) for s in (again, found)))
    new = interop.optax.write(nnx.state(fresh), found, **decay)
    assert isinstance(new, nnx.State)
    same(nodes_of_slots(new), nodes_of_slots(nnx.state(optimizer)))
    assert interop.optax.write(fresh, found, **decay) is fresh
    same(nodes_of_slots(nnx.state(fresh)), nodes_of_slots(nnx.state(optimizer)))


def test_a_trace_before_the_learning_rate_has_our_sign():
    tx = optax.chain(optax.scale_by_rms(), optax.trace(0.9), optax.scale_by_learning_rate(0.1))
    _, state = trained(tx, PARAMS)
    found = interop.optax.read(state)
    assert not found.lr_in_momentum
    same(found.momentum, state[1].trace)
    same(interop.optax.write(tx.init(PARAMS), found), state)


def test_bias_correction_of_optax_needs_its_decay():
    params, corrected, plain = {"w": W}, optax.rmsprop(0.1, bias_correction=True), optax.rmsprop(0.1)
    for tx, given, message in ((corrected, {}, "give it"), (plain, {"decay": 0.9}, "drop it")):
        with pytest.raises(ValueError, match=message):
            interop.optax.read(tx.init(params), **given)
    with pytest.raises(ValueError, match="must have a count"):
        interop.optax.write(corrected.init(params), Slots({"w": W}), decay=0.9)


# The user's function that converts weights


def convert(arrays):
    """Layouts as they change in practice: transposed, reshaped, split, joined, renamed."""
    q, k = np.split(arrays["attention.qk"], 2)
    joined = jnp.concatenate([arrays["a"], arrays["b"]])
    return {
        "conv": arrays["conv.weight"].transpose(2, 3, 1, 0),
        "heads": {"q": q.T.reshape(4, 2, 2), "k": k.T},
        "ab": joined,
    }


NAMED = {"conv.weight": (2, 3, 5, 5), "attention.qk": (8, 4), "a": (3,), "b": (2,)}


def test_the_function_that_converts_weights_is_followed_both_ways():
    arrays = {name: np.random.default_rng(0).standard_normal(shape).astype(np.float32) for name, shape in NAMED.items()}
    tree = layout.forward(arrays, convert)
    same(tree, convert(arrays))
    same(layout.backward(tree, NAMED, convert), arrays)
    same(layout.backward(nnx.State(tree), NAMED, convert), arrays)
    with pytest.raises(ValueError, match="got ab, which the slots lack"):
        layout.backward({name: x for name, x in tree.items() if name != "ab"}, NAMED, convert)
    with pytest.raises(ValueError, match=r"got \(5,\) for \(5, 1\) at ab"):
        layout.backward(tree | {"ab": tree["ab"][:, None]}, NAMED, convert)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda a: {"conv": a["conv.weight"]}, "several for attention.qk, a, b"),
        (lambda a: {k: x for k, x in convert(a).items() if k != "conv"}, "several for conv.weight"),
        (lambda a: convert(a) | {"again": a["b"]}, "several for b"),
        (lambda a: convert(a) | {"ab": 2 * np.concatenate([a["a"], a["b"]])}, "must only move entries"),
        (lambda a: convert(a) | {"x": a["bn.running_mean"]}, "a KeyError of .bn.running_mean"),
    ],
    ids=["left out", "left out of copies", "twice", "arithmetic", "a buffer"],
)
@pytest.mark.parametrize("way", ["forward", "backward"])
def test_a_function_that_loses_or_changes_entries_is_refused(broken, message, way):
    arrays = {name: np.ones(shape, np.float32) for name, shape in NAMED.items()}
    if way == "backward":
        tree = broken(arrays | {"bn.running_mean": np.ones(1)})
        message = message if "KeyError" in message else "only move entries|each entry in one place"
    follow = {
        "forward": lambda: layout.forward(arrays, broken),
        "backward": lambda: layout.backward(tree, NAMED, broken),
    }
    with pytest.raises(ValueError, match=message):
        follow[way]()


@pytest.mark.parametrize("copied", [np.asarray, np.copy], ids=["views", "copies"])
def test_an_entry_used_twice_in_place_of_another_is_refused(copied):
    tree = {"a": np.ones(1, np.float32), "b": np.ones(1, np.float32)}
    with pytest.raises(ValueError, match=r"only move entries, got entries that were .*used twice"):
        layout.backward(tree, {"w": (2,)}, lambda p: {"a": copied(p["w"][:1]), "b": copied(p["w"][:1])})


def test_a_function_may_state_the_dtype():
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    same(layout.backward({"w": w.T}, {"w": (2, 3)}, lambda p: {"w": np.asarray(p["w"], np.float32).T}), {"w": w})


CHANGES = {
    "root": np.sqrt,
    "square": np.square,
    "abs": np.abs,
    "relu": lambda x: np.maximum(x, 0),
    "negative": np.negative,
    "clip": lambda x: np.clip(x, -1e6, 1e6),
    "epsilon": lambda x: x + np.float32(1e-8),
    "int": lambda x: x.astype(np.int32),
    "float16": lambda x: x.astype(np.float16),
    "bfloat16": lambda x: jnp.asarray(x).astype(jnp.bfloat16),
    "float16 and back": lambda x: x.astype(np.float16).astype(np.float32),
    "scale": lambda x: x * np.float32(1 + 2**-20),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("changed", [1, 2, 300])
def test_a_function_that_changes_numbers_is_refused(change, changed):
    """Also of few arrays, of which one is changed, and in copies and views."""
    arrays = {f"w{i}": np.ones((2, 3), np.float32) for i in range(changed)}
    for others in (lambda x: x.T, lambda x: x.T.copy()):

        def broken(a, others=others):
            return {name: others(CHANGES[change](x) if name == f"w{changed - 1}" else x) for name, x in a.items()}

        with pytest.raises(ValueError, match=f"only move entries, got changed numbers in w{changed - 1}"):
            layout.forward(arrays, broken)
        tree = {name: others(x) for name, x in arrays.items()}
        with pytest.raises(ValueError, match=f"only move entries, got changed numbers in w{changed - 1}"):
            layout.backward(tree, {name: x.shape for name, x in arrays.items()}, broken)
    wider = layout.forward(arrays, lambda a: {name: x.astype(np.float64) for name, x in a.items()})
    same(wider, arrays)


def test_labels_follow_the_parameters():
    labels = dict.fromkeys(NAMED, "fast") | {"conv.weight": "slow"}
    tree = layout.labelled(labels, NAMED, convert)
    assert tree == {"conv": "slow", "heads": {"q": "fast", "k": "fast"}, "ab": "fast"}
    with pytest.raises(ValueError, match=r"'ab'.*one parameter group, got \['slow', 'fast'\]"):
        layout.labelled(labels | {"b": "slow"}, NAMED, convert)
    with pytest.raises(ValueError, match="got a more than once"):
        layout.names_of(["a", "b", "a"])
