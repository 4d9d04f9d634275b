"""With an XLA option, a step on a CPU is one kernel an array. A process of its own has the option."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmsprop_optax import dialects, rmsprop, scale_by_rms
from rmsprop_optax.experimental import one_pass

FLAGS = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion"
SHAPES = {"w": (512, 257), "b": (3001,)}
# With Nesterov or weight decay the compiler contracts other products and sums in one program than in the other.
ROWS = {
    "rmsprop": (partial(rmsprop, 1e-3), 0),
    "momentum": (partial(rmsprop, 1e-3, momentum=0.9), 0),
    "centered": (partial(rmsprop, 1e-3, centered=True), 0),
    "centered, momentum": (partial(rmsprop, 1e-3, centered=True, momentum=0.9), 0),
    "all but centered": (
        partial(rmsprop, 1e-3, momentum=0.9, nesterov=True, l2=1e-4, weight_decay=0.1, bias_correction=True),
        1e-5,
    ),
    "dialects.pytorch": (partial(dialects.pytorch, momentum=0.9, weight_decay=1e-4), 1e-5),
    "clipped": (lambda: optax.chain(optax.clip(1.0), scale_by_rms(), optax.scale(-1e-3)), 0),
    "optax.rmsprop": (partial(optax.rmsprop, 1e-3, momentum=0.9), 1e-5),
    "optax.adam": (partial(optax.adam, 1e-3), 1e-5),
}


def compiled(tx):
    """A step, its kernels that write arrays, and its copies of them."""
    params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in SHAPES.items()}

    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    program = jax.jit(step, donate_argnums=(0, 1)).lower(params, jax.eval_shape(tx.init, params), params).compile()
    entry = program.as_text().partition("ENTRY")[2]
    array = r"f32\[(?:512,257|3001)\]"
    kernels, copies = (
        len(re.findall(pattern, entry)) for pattern in (rf"= \(?{array}.* fusion\(", rf"= {array}\S* copy\(")
    )
    return program, kernels, copies


def after(program, tx, steps=5):
    rng = np.random.default_rng(0)
    params = {name: jnp.asarray(rng.standard_normal(shape), jnp.float32) for name, shape in SHAPES.items()}
    state = tx.init(params)
    for _ in range(steps):
        grads = {name: jnp.asarray(rng.standard_normal(shape), jnp.float32) for name, shape in SHAPES.items()}
        params, state = program(params, state, grads)
    return jax.tree.leaves((params, state))


def found():
    for name, (make, _) in ROWS.items():
        plain, joined = make(), one_pass(make())
        (program, kernels, copies), (other, of_two, _) = compiled(joined), compiled(plain)
        pairs = zip(after(program, joined), after(other, plain), strict=True)
        off = max(float(np.max(np.abs(a - b) / (1 + np.abs(b)))) for a, b in pairs)
        yield name, {"kernels": kernels, "copies": copies, "off": off, "of two": of_two}


@pytest.fixture(scope="module")
def programs():
    code = "import json, test_one_pass; print(json.dumps(dict(test_one_pass.found())))"
    env = os.environ | {"XLA_FLAGS": FLAGS}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, env=env, capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", ROWS)
def test_a_step_is_one_kernel_an_array(programs, name):
    assert programs[name]["kernels"] == len(SHAPES) < programs[name]["of two"]
    assert programs[name]["copies"] == 0


@pytest.mark.parametrize("name", ROWS)
def test_it_is_the_step_of_the_optimizer(programs, name):
    assert programs[name]["off"] <= ROWS[name][1]


@pytest.fixture
def option(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"{os.environ['XLA_FLAGS']} {FLAGS}")


PARAMS = {"w": jnp.ones((2, 3)), "b": None, "key": (jnp.zeros([]),)}
KEPT = optax.GradientTransformation(lambda params: jax.random.key(0), lambda updates, key, params=None: (updates, key))


@pytest.mark.usefixtures("option")
@pytest.mark.parametrize(
    "make",
    [
        partial(rmsprop, 0.1, momentum=0.9, storage="uint8"),
        lambda: optax.masked(rmsprop(optax.linear_schedule(0.1, 0.0, 10)), {"w": True, "b": None, "key": (False,)}),
        lambda: optax.chain(KEPT, rmsprop(0.1)),
    ],
    ids=["short storage", "masked, scheduled", "a random key"],
)
def test_without_the_option_in_force_the_numbers_are_the_same(make):
    plain, joined = make(), one_pass(make())
    steps = [jax.jit(tx.update)(PARAMS, tx.init(PARAMS), PARAMS) for tx in (plain, joined)]
    for a, b in zip(*map(jax.tree.leaves, steps), strict=True):
        assert a.dtype == b.dtype
        assert jnp.all(a == b)


@pytest.mark.usefixtures("option")
def test_extra_arguments_reach_the_optimizer():
    def update(updates, state, params=None, *, value):
        return jax.tree.map(lambda u: u * value, updates), state

    tx = one_pass(optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update))
    updates, _ = jax.jit(tx.update)(PARAMS, tx.init(PARAMS), PARAMS, value=2.0)
    assert jnp.all(updates["w"] == 2)


@pytest.mark.usefixtures("option")
def test_all_arrays_of_a_tree_are_computed_in_one_go():
    tx, calls = rmsprop(0.1, momentum=0.9), []

    def update(*args, **extra_args):
        calls.append(args)
        return tx.update(*args, **extra_args)

    params = {"w": [jnp.ones(2), jnp.ones(3)], "b": jnp.ones(2)}
    jax.jit(one_pass(optax.GradientTransformation(tx.init, update)).update)(params, tx.init(params), params)
    assert len(calls) == 1 + 4  # the updates; two counts, a mean square and a buffer


@pytest.mark.usefixtures("option")
def test_outside_jit_numbers_are_arrays():
    tx, params = one_pass(rmsprop(0.1)), {"w": 2.0}
    updates, state = tx.update(params, tx.init(params), params)
    assert updates == rmsprop(0.1).update(params, tx.init(params))[0]
    assert float(optax.tree.get(state, "nu")["w"]) == pytest.approx(0.4)


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion=false",  # XLA obeys the name and ignores the value
        "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion_x",
        "--xla_backend_extra_options=xla_other=xla_cpu_use_multi_output_fusion",
        "--xla_dump_to=xla_cpu_use_multi_output_fusion",
    ],
)
def test_it_asks_for_the_option(flags, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", flags)
    with pytest.raises(ValueError, match=r"needs XLA_FLAGS=--xla_backend_extra_options=xla_cpu_use_.* before JAX"):
        one_pass(rmsprop(0.1))


@pytest.mark.parametrize(
    "flags",
    [
        f"--xla_dump_to=/tmp {FLAGS}",
        f"{FLAGS}=true",
        f"{FLAGS},xla_other",
        f"--xla_backend_extra_options=xla_other=1 {FLAGS}",
        '--xla_backend_extra_options="xla_other,xla_cpu_use_multi_output_fusion"',
    ],
)
def test_the_option_is_found_among_others(flags, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", flags)
    one_pass(rmsprop(0.1))


@pytest.mark.usefixtures("option")
def test_it_asks_for_an_optimizer():
    with pytest.raises(TypeError, match=r"must be an optax.GradientTransformation, got <function rmsprop"):
        one_pass(rmsprop)
