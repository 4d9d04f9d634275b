"""What every transformation promises, as one table: tests × rows."""

import functools
import inspect
import itertools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads
from rows import CORE, NEIGHBOURS, PLAIN, PROGRAMS, ROWS

from rmsprop_optax import dialects
from rmsprop_optax._arguments import roles_of


def rows(condition):
    return pytest.mark.parametrize("row", [row for row in ROWS if condition(row.values[0])])


all_rows = rows(lambda row: True)
_turn = itertools.count()


def rows_in_turn(condition=lambda row: True):
    """All rows, for a test that compiles a program for each: by default the core's largest and a third of the others.

    The next test begins with the next third, so that the default run takes each row through a third of these tests and
    each of these tests through rows of all kinds.
    """
    found = [row for row in ROWS if condition(row.values[0])]
    others = [row.id for row in found if not row.marks and row.values[0] is not CORE[-1]]
    left = set(others) - set(others[next(_turn) % 3 :: 3])
    marked = [pytest.param(*row.values, id=row.id, marks=pytest.mark.slow) if row.id in left else row for row in found]
    return pytest.mark.parametrize("row", marked)


def tree(row, seed=0):
    """Parameters or gradients of every kind that a row knows, in few shapes: outside jit each is compiled anew."""
    rng = np.random.default_rng(seed)

    def leaf(*shape, dtype=jnp.float32):
        values = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if dtype == jnp.complex64 else 0)
        return jnp.asarray(values, dtype)

    return {
        "kernel": leaf(8, 4),
        "half": (leaf(4, dtype=jnp.float16), [leaf(8, 4, dtype=jnp.bfloat16)]),
        "scalar": leaf(),
        "empty": leaf(0, 3),
        "absent": None,
        "complex": leaf(4, dtype=jnp.complex64) if row.complex else None,
    }


def float32(seed=0):
    rng = np.random.default_rng(seed)
    return {"kernel": jnp.asarray(rng.standard_normal((8, 4)), jnp.float32), "bias": jnp.full(4, 0.1 + seed)}


def kind(tree):
    """Everything of a tree but its values."""
    return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type, x.sharding), tree)


def assert_close(a, b, formats=()):
    """Equal but for the order of roundings: some thirty of float32 (6e-8 each), one of bfloat16 or float16.

    Where terms of a sum cancel, their roundings stay: two of the array's largest entry. Where the state is kept in
    ``formats``, the last bit of a gradient may also send a number to its other neighbour.
    """
    steps = [NEIGHBOURS[form] for form in formats]
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), y in zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True):
        last_place = float(jnp.finfo(x.dtype).eps) if jnp.issubdtype(x.dtype, jnp.inexact) else 0
        wide = np.complex128 if jnp.iscomplexobj(x) else np.float64
        size = np.abs(np.asarray(y, wide))
        np.testing.assert_allclose(
            np.asarray(x, wide),
            np.asarray(y, wide),
            rtol=max(2e-6, last_place, *steps),
            atol=1 if x.dtype == jnp.uint8 else 1e-7 * size.max(initial=1, where=np.isfinite(size)),
            err_msg=str(path),
        )


def run(tx, params, gradients, state=None):
    state = tx.init(params) if state is None else state
    for g in gradients:
        updates, state = tx.update(g, state, params)
    return updates, state


def jitted(tx):
    return optax.GradientTransformation(tx.init, jax.jit(tx.update))


@functools.cache
def compiled(row):
    """A row's transformation, the same jitted, and a mark for each trace of it; shared, for compiling is slow."""
    tx, traces = row(), []

    def update(*args):
        traces.append(1)
        return tx.update(*args)

    return tx, jitted(optax.GradientTransformation(tx.init, update)), traces


@all_rows
def test_update_keeps_the_kind_of_everything(row):
    params, grads = tree(row), tree(row, 1)
    tx, fast, _ = compiled(row)
    state = tx.init(params)
    updates, after = fast.update(grads, state, params)
    assert kind(after) == kind(state)
    assert kind(updates) == kind(grads)
    assert isinstance(tx, optax.GradientTransformationExtraArgs)
    tx.update(grads, state, params, value=1.0)


@all_rows
def test_jit_equals_eager_and_compiles_once(row):
    params, stream = tree(row), [tree(row, seed) for seed in (1, 2, 3)]
    tx, fast, traces = compiled(row)
    result = run(fast, params, stream)
    assert len(traces) == 1
    assert_close(result, run(tx, params, stream), row.formats)


@rows_in_turn()
def test_scan_cond_and_vmap(row):
    params, stream = float32(), [float32(seed) for seed in (1, 2, 3)]
    tx = row()
    expected = run(tx, params, stream)

    def step(state, g):
        updates, state = jax.lax.cond(True, tx.update, lambda g, s, p: (g, s), g, state, params)
        return state, updates

    state, updates = jax.lax.scan(step, tx.init(params), jax.tree.map(lambda *x: jnp.stack(x), *stream))
    assert_close((jax.tree.map(lambda u: u[-1], updates), state), expected)

    batch = jax.tree.map(lambda *x: jnp.stack(x), params, *stream)
    states = jax.vmap(tx.init)(batch)
    updates, _ = jax.vmap(tx.update)(batch, states, batch)
    for i, one in enumerate([params, *stream]):
        assert_close(jax.tree.map(lambda u, i=i: u[i], updates), tx.update(one, tx.init(one), one)[0])


@rows_in_turn(lambda row: row.differentiable)
def test_derivatives_through_updates(row):
    with jax.enable_x64(True):
        double = lambda tree: jax.tree.map(lambda x: x.astype(jnp.float64), tree)  # noqa: E731
        params, stream = double(float32()), [double(float32(seed)) for seed in (1, 2)]
        check_grads(jax.jit(lambda *stream: run(row(), params, stream)[0]), stream, order=1)


@all_rows
def test_zero_gradients_stay_finite_and_keep_the_parameters_of_a_rule_without_decay(row):
    params = tree(row)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, state = run(row(), params, [zeros] * 3)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves((updates, state)))
    if not row.decays:
        assert all(not x.any() for x in jax.tree.leaves(updates))


@rows(lambda row: row.elementwise)
def test_one_bad_entry_harms_no_other(row):
    params, tx = float32(), row()
    bad = float32(1)
    bad["kernel"] = bad["kernel"].at[0, 0].set(jnp.nan).at[1, 1].set(jnp.inf)
    good = float32(1)
    (updates, state), (expected, clean) = run(tx, params, [bad, good]), run(tx, params, [good, good])
    for (path, x), y in zip(
        jax.tree.leaves_with_path((updates, state)), jax.tree.leaves((expected, clean)), strict=True
    ):
        if x.shape == (8, 4):
            x, y = x.at[0, 0].set(0).at[1, 1].set(0), y.at[0, 0].set(0).at[1, 1].set(0)
        np.testing.assert_array_equal(x, y, err_msg=str(path))
    marked = run(tx, params, [bad])[0]  # the state in 8 bits holds no NaN
    assert bool(jnp.isnan(marked["kernel"][0, 0]))


@all_rows
def test_init_takes_shapes_alone(row):
    params = tree(row)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    assert_close(row().init(shapes), row().init(params))
    assert kind(jax.eval_shape(row().init, params)) == kind(jax.eval_shape(row().init, shapes))


@rows_in_turn()
def test_donated_buffers_are_reused(row):
    params, grads = float32(), float32(1)
    tx = row()
    expected, _ = tx.update(grads, tx.init(params), params)
    state = tx.init(params)
    updates, _ = jax.jit(tx.update, donate_argnums=1)(grads, state, params)
    assert all(x.is_deleted() for x in jax.tree.leaves(state))
    assert_close(updates, expected)


@pytest.mark.parametrize(
    ("row", "dtype"),
    [
        pytest.param(row.values[0], dtype, id=f"{row.id}-{dtype}", marks=row.marks)
        for row in ROWS
        for dtype in ("bfloat16", "float16", "float32", "float64", *["complex64", "complex128"] * row.values[0].complex)
    ],
)
def test_update_has_the_dtype_of_the_gradient(row, dtype):
    with jax.enable_x64(True):
        params = {"w": jnp.asarray([1.0, -2.0, 0.5, 0.1], dtype)}
        updates, state = run(row(), params, [params, params])
        assert updates["w"].dtype == dtype
        wide = {"bfloat16": "float32", "float16": "float32"}.get(dtype, dtype)
        real = {"complex64": "float32", "complex128": "float64"}.get(wide, wide)
        assert {str(x.dtype) for x in jax.tree.leaves(state)} <= {"int8", "int32", *row.formats, wide, real}


@all_rows
@pytest.mark.parametrize(
    ("of_params", "of_grads"),
    [("float32", "bfloat16"), ("bfloat16", "float32"), ("float32", "float64"), ("float64", "float32")],
)
def test_the_state_does_not_follow_the_gradients_dtype(row, of_params, of_grads):
    with jax.enable_x64(True):
        params = {"w": jnp.asarray([1.0, -2.0, 0.5, 0.1], of_params)}
        grads = {"w": jnp.asarray([0.1, 0.2, -0.3, 0.4], of_grads)}
        tx = row()
        updates, state = run(tx, params, [grads, grads])
        assert updates["w"].dtype == of_grads
        assert kind(state) == kind(tx.init(params))


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
@rows_in_turn()
def test_state_is_sharded_as_its_parameter(row, axis_type):
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(axis_type,) * 2)
    shardings = {"kernel": NamedSharding(mesh, P("data", "model")), "bias": NamedSharding(mesh, P("model"))}
    params, grads = (jax.tree.map(jax.device_put, float32(seed), shardings) for seed in (0, 1))
    tx = row()
    with jax.set_mesh(mesh):
        state = tx.init(params)
        updates, after = jax.jit(tx.update)(grads, state, params)
    expected, _ = tx.update(float32(1), tx.init(float32()), float32())
    assert_close(jax.device_get(updates), jax.device_get(expected))
    for of_state in (state, after):
        for x in jax.tree.leaves(of_state):
            if x.ndim:
                of_param = shardings["kernel" if x.ndim == 2 else "bias"]
                assert x.sharding.is_equivalent_to(of_param, x.ndim)
    assert jax.tree.map(lambda u: u.sharding.spec, updates) == jax.tree.map(lambda s: s.spec, shardings)


# Inside the wrappers of optax and Flax


@rows_in_turn()
def test_masked_and_partition(row):
    params, grads = float32(), float32(1)
    tx = row()
    expected, _ = tx.update(
        {"kernel": grads["kernel"]}, tx.init({"kernel": params["kernel"]}), {"kernel": params["kernel"]}
    )
    labels = {"kernel": "rms", "bias": "sgd"}
    for wrapped in (
        optax.masked(tx, {"kernel": True, "bias": False}),
        optax.partition({"rms": tx, "sgd": optax.sgd(1.0)}, labels),
    ):
        updates, state = jax.jit(wrapped.update)(grads, wrapped.init(params), params)
        assert_close(updates["kernel"], expected["kernel"])
        assert kind(state) == kind(wrapped.init(params))


@rows_in_turn()
def test_multi_steps(row):
    params, grads = float32(), [float32(1), float32(2)]
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *grads)
    wrapped = optax.MultiSteps(row(), 2)
    with jax.numpy_dtype_promotion("standard"):  # optax itself divides a float32 by an int32 there
        updates, _ = run(jitted(wrapped), params, grads)
    assert_close(updates, run(row(), params, [mean])[0])


def injected(row):
    """A row with its numbers injected, and one with the same decay: 1 - 0.999 in float32 is off by 1e-5."""
    make, kwargs = getattr(row.make, "func", row.make), getattr(row.make, "keywords", {})
    bound = inspect.signature(make).bind(**kwargs)
    bound.apply_defaults()
    decays = [name for name, role in roles_of(make).items() if role == "decay" and bound.arguments[name] is not None]
    same = {name: float(np.float32(bound.arguments[name])) for name in decays}
    return optax.inject_hyperparams(make)(**kwargs), make(**kwargs | same)


@rows_in_turn()
def test_inject_hyperparams(row):
    params, stream = float32(), [float32(seed) for seed in (1, 2)]
    wrapped, plain = injected(row)
    state = wrapped.init(params)
    updates, after = run(jitted(wrapped), params, stream, state)
    assert_close(updates, run(plain, params, stream)[0], row.formats)
    assert kind(after) == kind(state)
    for name in {"learning_rate", "lr"} & state.hyperparams.keys():
        state.hyperparams[name] = jnp.float32(0)
        still, _ = run(wrapped, params, stream, state)
        assert not any(u.any() for u in jax.tree.leaves(still))


@rows_in_turn(lambda row: row.complex)
def test_inject_hyperparams_with_complex_parameters(row):
    params, grads = {"w": jnp.array([1 + 2j, -3j, 1.0, 0])}, {"w": jnp.array([0.1j, 0.2 - 0.3j, 0.3, 0])}
    wrapped, plain = injected(row)  # which makes every number complex
    updates, _ = run(wrapped, params, [grads, grads])
    assert_close(updates, run(plain, params, [grads, grads])[0])


@rows_in_turn()
def test_apply_if_finite(row):
    params, grads = float32(), float32(1)
    wrapped = jitted(optax.apply_if_finite(row(), 3))
    _, state = run(wrapped, params, [grads])
    updates, after = run(wrapped, params, [jax.tree.map(lambda g: g * jnp.nan, grads)], state)
    assert not any(u.any() for u in jax.tree.leaves(updates))
    jax.tree.map(np.testing.assert_array_equal, after.inner_state, state.inner_state)


@all_rows
def test_map_params_finds_the_moments_and_leaves_counts_alone(row):
    params = float32()
    state = row().init(params)
    mapped = optax.tree.map_params(row(), lambda x: x + 1, state)
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(mapped), strict=True):
        if before.ndim or not row.scalars:
            np.testing.assert_array_equal(after - before, 1 if before.ndim else 0)


class Model(nnx.Module):
    def __init__(self):
        self.linear = nnx.Linear(8, 4, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.linear(x)


@rows_in_turn()
def test_nnx_optimizer(row):
    model, x = Model(), jnp.ones((4, 8))
    optimizer = nnx.Optimizer(model, row(), wrt=nnx.Param)
    grads = nnx.grad(lambda m: jnp.mean(m(x) ** 2))(model)
    params = nnx.state(model, nnx.Param)
    expected, _ = row().update(nnx.to_pure_dict(grads), row().init(nnx.to_pure_dict(params)), nnx.to_pure_dict(params))
    before = nnx.to_pure_dict(params)

    @nnx.jit
    def step(model, optimizer, grads):
        optimizer.update(model, grads)

    step(model, optimizer, grads)
    after = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    assert_close(after, jax.tree.map(lambda p, u: p + u, before, expected))


@rows_in_turn()
def test_linen_train_state(row):
    model, x = nn.Dense(4), jnp.ones((4, 8))
    params = model.init(jax.random.key(0), x)["params"]
    state = TrainState.create(apply_fn=model.apply, params=params, tx=row())
    grads = jax.grad(lambda p: jnp.mean(state.apply_fn({"params": p}, x) ** 2))(params)
    expected, _ = row().update(grads, row().init(params), params)
    after = jax.jit(lambda s, g: s.apply_gradients(grads=g))(state, grads)
    assert_close(after.params, optax.apply_updates(params, expected))


def program(row):
    """The update of a row as JAX traces it, without its numbers."""
    tx, params = row(), {"w": jnp.ones((2, 3))}
    traced = jax.make_jaxpr(tx.update)(params, tx.init(params), params)
    return re.sub(r"\b\d[\d.e+-]*", "", str(traced))


def test_every_dialect_is_in_the_tables_and_one_of_each_program_in_the_default_run():
    assert [row.name for row in PLAIN] == list(dialects.TABLE)
    names = [row.id for row in ROWS]
    assert len(names) == len(set(names))
    default = [row.id for row in ROWS if not row.marks]
    assert {row.name for row in PROGRAMS} < set(default)
    assert 20 < len(default) < len(names) / 3
    chosen = [program(row) for row in PROGRAMS]
    assert len(chosen) == len(set(chosen)), "PROGRAMS has two dialects that make the same program"
    missing = [row.name for row in PLAIN if program(row) not in chosen]
    assert missing == [], "add one of these to PROGRAMS in rows.py"
