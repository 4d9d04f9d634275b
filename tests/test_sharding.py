"""A state keeps the sharding of its parameters, or a further division of it."""

import doctest
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import collectives
from flax import linen, nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from rmsprop_optax import ScaleByRmsState, dialects, rmsprop, sharding, with_remainder

TYPES = {"auto": AxisType.Auto, "explicit": AxisType.Explicit}
MESHES = {"8": (8,), "2x4": (2, 4), "4x2": (4, 2)}
OPTIONS = {
    "float32": {"momentum": 0.9},
    "bfloat16": {"storage": "bfloat16", "momentum": 0.9, "momentum_storage": "bfloat16"},
    "uint8": {"storage": "uint8", "l2": 0.1, "weight_decay": 0.1},
    "centered": {"centered": True, "bias_correction": True, "storage": "uint8"},
}


def mesh_of(shape, axis_type):
    return jax.make_mesh(shape, ("data", "model")[: len(shape)], axis_types=(TYPES[axis_type],) * len(shape))


def parameters(mesh, dtype="float32"):
    """Parameters, sharded over all devices unless their shape does not divide."""
    both = mesh.axis_names
    specs = {
        "matrix": ((16, 8), P(*both)),
        "joint": ((16, 3), P(both)),
        "last": ((5, 1, 8), P(None, None, both[-1])),
        "odd": ((7, 3), P()),
        "scalar": ((), P()),
    }
    rng = np.random.default_rng(0)
    return {
        name: jax.device_put(jnp.asarray(rng.standard_normal(shape)).astype(dtype), NamedSharding(mesh, spec))
        for name, (shape, spec) in specs.items()
    }


def as_told(tree, shardings):
    return jax.tree.all(jax.tree.map(lambda x, s: x.sharding.is_equivalent_to(s, x.ndim), tree, shardings))


def nu_of(state):
    """The mean squares in a state of one optimizer, or their shardings."""

    def is_rms(x):
        return isinstance(x, ScaleByRmsState)

    [found] = filter(is_rms, jax.tree.leaves(state, is_leaf=is_rms))
    return found.nu


@pytest.mark.parametrize(
    ("axis_type", "shape", "options"),
    [("auto", "2x4", options) for options in OPTIONS]
    + [("explicit", "8", "uint8"), ("explicit", "4x2", "centered"), ("explicit", "2x4", "bfloat16")],
)
def test_a_state_stays_where_it_started(shape, axis_type, options):
    mesh, tx = mesh_of(MESHES[shape], axis_type), rmsprop(0.1, **OPTIONS[options])
    with jax.set_mesh(mesh):
        params = parameters(mesh)
        places = jax.tree.map(lambda p: p.sharding, params)
        shardings = sharding.state_shardings(tx, params)
        told = jax.jit(tx.init, out_shardings=shardings)(params)
        assert as_told(told, shardings)
        eager = tx.init(params)
        after = [jax.jit(tx.update)(params, state, params) for state in (told, eager)]
        for state in (told, eager, *(state for _, state in after)):
            for name in ("nu", "mu", "trace"):
                for _, tree in optax.tree.get_all_with_path(state, name):
                    assert tree is None or as_told(tree, places), name
            if axis_type == "explicit":
                # The types are equal except for scalars, which a jitted function places on the whole mesh.
                types = [jax.tree.map(lambda x: jax.typeof(x) if x.ndim else None, s) for s in (state, told)]
                assert types[0] == types[1]
        assert all(as_told(updates, places) for updates, _ in after)


@pytest.mark.parametrize("axis_type", TYPES)
def test_outside_jit_a_state_stays_where_it_started(axis_type):
    mesh, tx = mesh_of((2, 4), axis_type), rmsprop(0.1, **OPTIONS["uint8"])
    with jax.set_mesh(mesh):
        params = {name: x for name, x in parameters(mesh).items() if name in ("matrix", "scalar")}
        updates, state = tx.update(params, tx.init(params), params)
    places = jax.tree.map(lambda p: p.sharding, params)
    assert as_told(nu_of(state), places)
    assert as_told(updates, places)


@pytest.mark.parametrize("options", OPTIONS)
def test_an_update_of_sharded_parameters_has_no_collective(options):
    mesh, tx = mesh_of((2, 4), "auto"), rmsprop(0.1, **OPTIONS[options])
    params = parameters(mesh)
    shardings = sharding.state_shardings(tx, params)

    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    places = jax.tree.map(lambda p: p.sharding, params)
    state = jax.jit(tx.init, out_shardings=shardings)(params)
    program = jax.jit(step, out_shardings=(places, shardings)).lower(params, state, params).compile()
    assert collectives(program.as_text()) == []
    whole = jax.jit(step, out_shardings=NamedSharding(mesh, P())).lower(params, state, params).compile()
    assert "all-gather" in collectives(whole.as_text())


def test_the_parameters_of_the_documented_step_stay_where_they_were():
    """On eight devices; without ``out_shardings`` XLA divides the parameters like the state."""
    [example] = doctest.DocTestFinder().find(sharding.state_shardings, "", globs=vars(sharding).copy())
    ran = doctest.DocTestRunner().run(example, out=str, clear_globs=False)
    assert (ran.failed, ran.attempted) == (0, 10)
    step, params, state = (example.globs[name] for name in ("step", "params", "state"))
    assert params["w"].sharding.is_fully_replicated
    assert [x.data.shape for x in nu_of(state)["w"].addressable_shards] == [(128, 64)] * 8
    moved, _ = jax.jit(step.__wrapped__)(params, state)
    assert not moved["w"].sharding.is_fully_replicated  # the reason for the option


@pytest.mark.parametrize(
    ("axis_type", "options"),
    [("auto", "float32"), ("auto", "centered"), ("explicit", "bfloat16"), ("explicit", "uint8")],
)
def test_zero_divides_the_state_and_changes_no_result(axis_type, options):
    mesh, tx = mesh_of((8,), axis_type), rmsprop(0.1, **OPTIONS[options])
    rng = np.random.default_rng(0)
    shapes = {"matrix": (24, 64), "wide": (3, 256), "vector": (128,), "odd": (7, 3)}
    whole = NamedSharding(mesh, P())
    params = {k: jax.device_put(jnp.asarray(rng.standard_normal(s), jnp.float32), whole) for k, s in shapes.items()}
    with jax.set_mesh(mesh):
        shardings = sharding.state_shardings(tx, params, zero="data")
        nu = nu_of(shardings)
        assert [tuple(nu[k].spec) for k in shapes] == [(None, "data"), (None, "data"), ("data",), ()]
        run = {}
        for name, places in {"whole": None, "divided": shardings}.items():
            state = jax.jit(tx.init, out_shardings=places)(params)
            update = jax.jit(tx.update, out_shardings=(whole, places))
            new = params
            for _ in range(3):
                updates, state = update(new, state, new)
                new = optax.apply_updates(new, updates)
            run[name] = new, state
        assert as_told(run["divided"][1], shardings)
    # A step is at most 0.32. On a CPU the place in a vector decides its last bit, as it does with optax; the bits of a
    # parameter, here the gradient too, decide how a short state is rounded.
    few = 0.01 if "storage" in OPTIONS[options] else 0
    for a, b in zip(*(jax.tree.leaves(new) for new, _ in run.values()), strict=True):
        assert (~np.isclose(a, b, rtol=1e-6, atol=3e-7)).mean() <= few

    def on_a_device(tree):
        return sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(tree))

    odd = sum(x.nbytes for x in jax.tree.leaves(run["whole"][1]) if x.shape in ((7, 3), ()))
    whole_bytes = sum(x.nbytes for x in jax.tree.leaves(run["whole"][1]))
    assert on_a_device(run["divided"][1]) == (whole_bytes - odd) / 8 + odd


@pytest.mark.parametrize(
    ("shape", "spec", "zero", "expected"),
    [
        ((64, 8), P("model"), "data", (("model", "data"), None)),
        ((8, 64), P("model"), "data", ("model", "data")),
        ((8, 64), P("data"), "data", ("data", None)),
        ((7, 6), P(), "data", (None, "data")),
        ((7, 5), P("data"), "model", ("data", None)),
        ((64, 8), P(), ("data", "model"), (("data", "model"), None)),
        ((0, 8), P(), "data", (None, "data")),
        ((0,), P(), "data", (None,)),
        ((64, 8), P(("data", "model")), "data", (("data", "model"), None)),
    ],
)
def test_what_zero_divides(shape, spec, zero, expected):
    mesh = mesh_of((2, 4), "auto")
    leaf = jax.ShapeDtypeStruct(shape, "float32", sharding=NamedSharding(mesh, spec))
    found = nu_of(sharding.state_shardings(rmsprop(0.1), {"w": leaf}, zero=zero))["w"].spec
    assert tuple(found) + (None,) * (len(shape) - len(found)) == expected


def test_an_array_that_belongs_to_no_parameter_is_whole():
    place = NamedSharding(mesh_of((8,), "auto"), P("data"))
    tx = optax.GradientTransformation(lambda params: {"w": jnp.zeros(16), "history": jnp.zeros(8)}, None)
    found = sharding.state_shardings(tx, {"w": jax.ShapeDtypeStruct((8, 2), "float32", sharding=place)}, zero="data")
    assert {name: s.spec for name, s in found.items()} == {"w": P(), "history": P()}


PLACES = {
    "masked": lambda make: optax.masked(make(), {"a": True, "b": {"c": False}}),
    "partition": lambda make: optax.partition({"x": make(), "y": optax.adam(0.1)}, {"a": "x", "b": "y"}),
    "MultiSteps": lambda make: optax.MultiSteps(make(), 2),
    "inject": lambda make: optax.inject_hyperparams(make, hyperparam_dtype=jnp.float32)(),
    "remainder": lambda make: with_remainder(make()),
    "pytorch": lambda make: dialects.pytorch(momentum=0.9, centered=True),
    "chain": lambda make: optax.chain(optax.clip_by_global_norm(1.0), make(), optax.ema(0.9)),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_array_is_found_in_wrappers(place):
    mesh = mesh_of((8,), "auto")
    tx = PLACES[place](functools.partial(rmsprop, 0.1, momentum=0.9))
    a = jax.device_put(jnp.ones((8, 2), jnp.bfloat16), NamedSharding(mesh, P("data")))
    c = jax.device_put(jnp.ones((3, 8), jnp.complex64), NamedSharding(mesh, P(None, "data")))
    shardings = sharding.state_shardings(tx, {"a": a, "b": {"c": c}})
    expected = {(8, 2): a.sharding, (3, 8): c.sharding}
    state = jax.eval_shape(tx.init, {"a": a, "b": {"c": c}})
    pairs = list(zip(jax.tree.leaves(state), jax.tree.leaves(shardings), strict=True))
    assert sum(bool(x.ndim) for x, _ in pairs) >= 2
    for x, found in pairs:
        assert found.is_equivalent_to(expected.get(x.shape, NamedSharding(mesh, P())), x.ndim)


@pytest.mark.parametrize("axis_type", TYPES)
def test_parameters_of_nnx_with_metadata(axis_type):
    mesh, tx = mesh_of((8,), axis_type), rmsprop(0.1, momentum=0.9, storage="uint8")
    with jax.set_mesh(mesh):
        model = nnx.Linear(
            16, 8, rngs=nnx.Rngs(0), kernel_init=nnx.with_partitioning(nnx.initializers.ones, ("data", None))
        )
        params = nnx.state(model, nnx.Param)
        shardings = sharding.state_shardings(tx, params, zero="data")
        state = jax.jit(tx.init, out_shardings=shardings)(params)
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        nnx.jit(nnx.Optimizer.update)(optimizer, model, jax.tree.map(jnp.ones_like, params))
    assert tuple(nu_of(state)["kernel"].get_value().sharding.spec) == ("data", None)
    assert tuple(nu_of(state)["bias"].get_value().sharding.spec) == ("data",)
    place = nu_of(state)["kernel"].get_value().sharding
    assert nu_of(optimizer.opt_state)["kernel"].get_value().sharding.is_equivalent_to(place, 2)


def test_parameters_in_boxes_of_linen():
    mesh, tx = mesh_of((8,), "auto"), rmsprop(0.1, momentum=0.9)
    dense = linen.Dense(8, kernel_init=linen.with_partitioning(linen.initializers.ones, ("data", None)))
    init = functools.partial(dense.init, jax.random.key(0), jnp.ones((1, 16)))
    with jax.set_mesh(mesh):
        boxes = jax.eval_shape(init)
        params = jax.jit(init, out_shardings=linen.get_sharding(boxes, mesh))()
        shardings = sharding.state_shardings(tx, params)
        state = jax.jit(tx.init, out_shardings=shardings)(params)
    assert tuple(nu_of(state)["params"]["kernel"].value.sharding.spec) == ("data", None)
    with pytest.raises(ValueError, match=r"each parameter must have a sharding, got none of .'params'"):
        sharding.state_shardings(tx, boxes, mesh=mesh)


def test_without_a_mesh_or_an_axis():
    with pytest.raises(ValueError, match="needs a mesh, got parameters without a NamedSharding"):
        sharding.state_shardings(rmsprop(0.1), {"w": jnp.ones(8)})
    mesh = mesh_of((2, 4), "auto")
    with pytest.raises(ValueError, match="axes of the mesh, data, model, got batch"):
        sharding.state_shardings(rmsprop(0.1), parameters(mesh), zero=("data", "batch"))
    found = sharding.state_shardings(rmsprop(0.1), {"w": jnp.ones(8)}, mesh=mesh, zero="data")
    assert tuple(nu_of(found)["w"].spec) == ("data",)


@pytest.mark.parametrize("tx", [rmsprop(0.1).init({"w": jnp.ones(8)}), rmsprop, None], ids=type)
def test_tx_must_be_an_optimizer(tx):
    with pytest.raises(TypeError, match=rf"tx must be an optimizer with init, got {type(tx).__name__}: call .*state"):
        sharding.state_shardings(tx, parameters(mesh_of((8,), "auto")))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mesh": "data"}, TypeError, r"mesh must be a jax.sharding.Mesh, got mesh='data': make one with .*make_mesh"),
        ({"zero": ("data", "data")}, ValueError, r"each mesh axis once, got zero=\('data', 'data'\): drop the"),
        ({"zero": True}, TypeError, "zero must be the name of a mesh axis or a tuple of names, got zero=True"),
        ({"zero": ("data", 2)}, TypeError, r"a tuple of names, got zero=\('data', 2\)"),
    ],
)
def test_mesh_and_zero_are_checked(options, error, message):
    with pytest.raises(error, match=message):
        sharding.state_shardings(rmsprop(0.1), parameters(mesh_of((8,), "auto")), **options)


def test_an_abstract_mesh():
    mesh = mesh_of((8,), "auto").abstract_mesh
    found = sharding.state_shardings(rmsprop(0.1), {"w": jnp.ones(8)}, mesh=mesh, zero="data")
    assert nu_of(found)["w"] == NamedSharding(mesh, P("data"))
