"""The formats of the state: exact where they promise it, unbiased, and as accurate as when they were chosen."""

import functools
from pathlib import Path
from typing import get_args

import compiled
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from rows import NEIGHBOURS, SHORT, Asked
from streams import STEPS, compare, runner, summary

from rmsprop_optax import _formats, dialects, interop, rmsprop, scale_by_rms, storage, with_storage
from rmsprop_optax._paths import named
from rmsprop_optax._types import FormatName

SIGNED = [name for name in SHORT if storage.FORMATS[name].signed]
CODES = jnp.arange(256).astype(jnp.uint8)
NUMBERS = Asked(
    "test_storage.NUMBERS",
    "positive numbers that the format holds, ascending",
    {
        "uint8": storage.FORMATS["uint8"].decode(CODES),
        "bfloat16": jnp.asarray(np.geomspace(1e-37, 1e37, 1000)).astype(jnp.bfloat16).astype(jnp.float32),
    },
)


def noise(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 2**32, shape, dtype=np.uint32))


# The formats themselves


def test_a_format_is_asked_for_its_numbers_its_words_and_its_bytes():
    guide = (Path(__file__).parent.parent / "notebooks" / "guide" / "low_precision.md").read_text()
    asked = [f"add {name!r} to _types.FormatName" for name in storage.FORMATS if name not in get_args(FormatName)]
    for name in SHORT:
        asked += [line for table in (NEIGHBOURS, NUMBERS, ENDS, OF_NAN, JUMPS) for line in table.asks(name)]
        asked += [line for table in (BARS, FALLING) for line in table.asks(*((name, decay) for decay in STEPS))]
        asked += OTHERS.asks(*((name, stream) for stream in OTHER_STREAMS))
        asked += compiled.STEP.asks(*((params, name) for params in ("float32", "bfloat16")))
        asked += [f"add a row {name} to the docstring of storage.py"] * (f"\n{name} " not in storage.__doc__)
        asked += [f"add a row {name} to the table of guide/low_precision.md"] * (f'| `"{name}"` |' not in guide)
    assert not asked, "\n".join(asked)
    assert set(get_args(FormatName)) == storage.FORMATS.keys()


@pytest.mark.parametrize("name", SHORT)
def test_what_is_stored_is_stored_again_whatever_the_noise(name):
    form, numbers = storage.FORMATS[name], NUMBERS[name]
    for bits in (np.uint32(0), np.uint32(2**31), np.uint32(2**32 - 1), noise(numbers.shape)):
        stored = form.encode(numbers, bits)
        assert stored.dtype == name
        np.testing.assert_array_equal(form.decode(stored), numbers)


def test_the_codes_of_8_bits():
    numbers = np.asarray(storage.FORMATS["uint8"].decode(CODES))
    np.testing.assert_array_equal(numbers[[0, 1, 255]], [2.0**-50, 1.25 * 2.0**-50, 14336.0])
    ratios = numbers[1:] / numbers[:-1]
    assert (ratios.min(), ratios.max()) == (8 / 7, 1.25)


@pytest.mark.parametrize("name", SHORT)
def test_rounding_leaves_the_mean_as_it_is(name):
    x = np.geomspace(1e-14, 1e4, 500).astype(np.float32)
    form, draws = storage.FORMATS[name], 20_000
    total = np.zeros(len(x))
    for seed in range(20):
        bits = noise((draws // 20, len(x)), seed)
        total += np.asarray(form.decode(form.encode(jnp.broadcast_to(x, bits.shape), bits)), np.float64).sum(axis=0)
    errors = total / draws / x - 1
    # Of the distance of two neighbours half deviates, and 20,000 draws leave 1/141 of it.
    spread = NEIGHBOURS[name] / 2 / np.sqrt(draws)
    assert np.abs(errors).max() < 5 * spread
    assert abs(errors.mean()) < 5 * spread / np.sqrt(len(x))


NAN, CUDAS_NAN = np.array([0xFFC00000, 0x7FFFFFFF], np.uint32).view(np.float32)  # noise could reach the sign of CUDA's
# What is stored of a number. Below the range of 8 bits it is rounded up, so that the update is smaller and not huge.
ENDS = Asked(
    "test_storage.ENDS",
    "pairs of a number at the end of the range, 0, infinity or NaN, and what is stored of it",
    {
        "bfloat16": [(0.0, 0.0), (np.inf, np.inf), (-np.inf, -np.inf), (NAN, np.nan), (CUDAS_NAN, np.nan)],
        "uint8": [(0.0, 2.0**-50), (1e-30, 2.0**-50), *((x, 14336.0) for x in (3.4e38, np.inf, NAN, CUDAS_NAN))],
    },
)


@pytest.mark.parametrize("name", SHORT)
def test_the_ends_of_the_range(name):
    form = storage.FORMATS[name]
    assert NUMBERS[name].max() <= form.top
    for x, expected in [(form.top, form.top), *ENDS[name]]:
        for bits in (noise((1000,)), np.uint32(0), np.uint32(2**32 - 1)):
            stored = form.decode(form.encode(jnp.full(1000, x, jnp.float32), bits))
            np.testing.assert_array_equal(stored, np.full(1000, expected, np.float32))


@pytest.mark.parametrize("name", SIGNED)
def test_a_signed_format_holds_both_signs_alike(name):
    form, x = storage.FORMATS[name], np.float32(np.pi)
    bits = noise((1000,))
    up, down = (form.decode(form.encode(jnp.full(1000, s * x), bits)) for s in (1, -1))
    np.testing.assert_array_equal(up, -down)


# Streams, against exact arithmetic


short = functools.cache(functools.partial(scale_by_rms, eps=0.0))


@functools.cache
def measured(stream, decay, n=1024, steps=None):
    """What all short formats make of a stream, which is drawn once for them."""
    updates = {name: runner(short(decay, storage=name), jnp.zeros((n // 64, 64))) for name in SHORT}
    return compare(stream, decay, updates, n, steps)


# The measured values are a tenth to nine tenths of the bars.
BARS = Asked(
    "test_storage.BARS",
    "at this decay, bias, root and update at most, size between",
    {
        ("uint8", 0.9): (0.01, 0.095, 0.085, (1.00, 1.02)),
        ("uint8", 0.99): (0.01, 0.145, 0.150, (1.02, 1.04)),
        ("uint8", 0.999): (0.02, 0.155, 0.170, (1.02, 1.045)),
        ("bfloat16", 0.9): (0.002, 0.004, 0.004, (0.999, 1.001)),
        ("bfloat16", 0.99): (0.002, 0.012, 0.012, (0.999, 1.002)),
        ("bfloat16", 0.999): (0.002, 0.030, 0.030, (0.998, 1.004)),
    },
)


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("stream", ["normal 1e-6", "normal 1e-3", "normal 30"])
@pytest.mark.parametrize("decay", STEPS)
def test_stationary_streams_reach_every_bar(stream, decay, name):
    found, (bias, root, update, size) = summary(measured(stream, decay)[name]), BARS[name, decay]
    assert abs(found["bias"]) <= bias
    assert found["root"] <= root
    assert found["update"] <= update
    assert size[0] <= found["size"] <= size[1]


# Sparse gradients jitter more, since nu moves between them.
OTHER_STREAMS = ("constant", "student", "sparse .1", "sparse .01")
OTHERS = Asked(
    "test_storage.OTHERS",
    "what this stream may cost: bias and root at most",
    {
        ("uint8", "constant"): (0.02, 0.05),
        ("uint8", "student"): (0.02, 0.17),
        ("uint8", "sparse .1"): (0.03, 0.2),
        ("uint8", "sparse .01"): (0.03, 0.18),
        ("bfloat16", "constant"): (0.002, 0.004),
        ("bfloat16", "student"): (0.002, 0.03),
        ("bfloat16", "sparse .1"): (0.002, 0.03),
        ("bfloat16", "sparse .01"): (0.002, 0.03),
    },
)


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("stream", OTHER_STREAMS)
@pytest.mark.parametrize("decay", STEPS)
def test_other_streams_have_no_bias(stream, decay, name):
    found, (bias, root) = summary(measured(stream, decay)[name]), OTHERS[name, stream]
    assert abs(found["bias"]) <= bias
    assert found["root"] <= root


# When the formats were chosen the roots were .157, .587 and .513 in 8 bits and .004, .038 and .087 in 16, the sizes
# 1.03, 1.54 and 1.34 and about 1; the rest is for the scatter of 4096 entries.
FALLING = Asked(
    "test_storage.FALLING",
    "at this decay, bias, root and size at most while gradients fall",
    {
        ("uint8", 0.9): (0.02, 0.165, 1.05),
        ("uint8", 0.99): (0.08, 0.63, 1.60),
        ("uint8", 0.999): (0.08, 0.56, 1.41),
        ("bfloat16", 0.9): (0.002, 0.005, 1.002),
        ("bfloat16", 0.99): (0.01, 0.042, 1.01),
        ("bfloat16", 0.999): (0.01, 0.095, 1.02),
    },
)


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("decay", STEPS)
def test_gradients_that_fall_as_fast_as_the_average_forgets(decay, name):
    found, (bias, root, size) = summary(measured("six decades down", decay, 4096)[name]), FALLING[name, decay]
    assert abs(found["bias"]) <= bias
    assert found["root"] <= root
    assert found["size"] <= size


JUMPS = Asked("test_storage.JUMPS", "bias at most after a jump", {"uint8": 0.08, "bfloat16": 0.01})


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("jump", ["jump up", "jump down"])
@pytest.mark.parametrize("decay", STEPS)
def test_the_mean_square_follows_jumps(jump, decay, name):
    """After a jump of the scale by 1000, up or down, from one to fourteen times the memory of the average."""
    memory = round(1 / (1 - decay))
    count, ratio, *_ = measured(jump, decay, 2048, 16 * memory)[name][:, 3 * memory :]
    assert np.abs(ratio / count - 1).max() <= JUMPS[name]


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("decay", STEPS)
def test_a_steady_gradient_makes_the_step_of_float32_at_most(decay, name):
    """Also where its square is below the format's range or above."""
    size = 10.0 ** np.arange(-9, 10)
    gradients = np.broadcast_to(np.repeat(size, 256).astype(np.float32), (STEPS[decay] // 4, 256 * len(size)))
    update = runner(short(decay, storage=name), jnp.zeros((len(size), 256)))
    exact = np.sqrt(1 - decay ** np.arange(1, 1 + len(gradients)))[:, None, None]
    steps = np.asarray(update(gradients)).reshape(len(gradients), len(size), 256) * exact
    assert steps.mean(2).max() <= 1.1
    assert steps[-1, size**2 > storage.FORMATS[name].top].max(initial=0) <= 1


# In a state


OF_NAN = Asked("test_storage.OF_NAN", "what NaN is stored as", {"bfloat16": np.nan, "uint8": 14336.0})


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_stored_for_nothing_and_an_entry_that_is_not_finite_marks_itself_alone(name):
    tx = scale_by_rms(storage=name)
    update = jax.jit(tx.update)
    g = jnp.zeros((4, 4)).at[0, 0].set(jnp.nan).at[1, 1].set(0.5)
    state = tx.init(g)
    for _ in range(50):
        updates, state = update(g, state)
    nu = storage.decoded(state.nu)
    assert jnp.isnan(updates[0, 0])
    np.testing.assert_array_equal(nu[0, 0], OF_NAN[name])
    assert int((nu != storage.decoded(tx.init(g).nu)).sum()) == 2
    # The first gradient after zeros makes the step that it makes in float32.
    first, _ = tx.update(jnp.where(g == 0, 0.3, g), state)
    exact, _ = scale_by_rms().update(jnp.float32(0.3), scale_by_rms().init(jnp.float32(0)))
    assert first[2, 2] == exact


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def test_the_bits_do_not_depend_on_the_sharding(name, axis_type):
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(axis_type,) * 2)
    params = jnp.asarray(np.random.default_rng(0).standard_normal((3, 8, 16)), jnp.float32)
    tx = rmsprop(0.1, momentum=0.9, storage=name, momentum_storage="bfloat16")

    def three(params):
        state = tx.init(params)
        for scale in (1.0, 0.1, 0.3):
            _, state = jax.jit(tx.update)(scale * params, state, params)
        return state

    with jax.set_mesh(mesh):
        sharded = three(jax.device_put(params, NamedSharding(mesh, P(None, "data", "model"))))
    jax.tree.map(np.testing.assert_array_equal, sharded, three(params))
    assert optax.tree.get(sharded, "nu").sharding.spec == P(None, "data", "model")


def rounded_up(name, g=0.3, code=0, count=1, shape=(200, 500)):
    """Which entries of an array are, where all lie halfway between two numbers of the format."""
    numbers = np.asarray(NUMBERS[name])[100:]
    return np.asarray(_rounded_up(name, shape, numbers[code], (numbers[0] + numbers[1]) / 2, g, count))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _rounded_up(name, shape, code, halfway, g, count):
    old, value, g = (jnp.full(shape, x) for x in (code, halfway, g))
    old = _formats.nearest(old, name)
    (stored,) = _formats.encode((value,), (old,), g, count)
    return storage.decoded(stored) > value


def correlation(one, two):
    return abs(np.corrcoef(one.ravel(), two.ravel())[0, 1])


OTHER = {
    "step": ({}, {"count": 2}),
    "gradient": ({}, {"g": 0.31}),
    "sign": ({}, {"g": -0.3}),
    "real part": ({"g": 0.3 + 0.3j}, {"g": 0.31 + 0.3j}),
    "imaginary part": ({"g": 0.3 + 0.3j}, {"g": 0.3 + 0.31j}),
    "code": ({}, {"code": 1}),
}


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("pair", OTHER.values(), ids=OTHER)
def test_another_step_gradient_or_code_rounds_another_way(name, pair):
    one, two = (rounded_up(name, **options) for options in pair)
    # Six standard errors of 100,000 coins.
    np.testing.assert_allclose([one.mean(), two.mean()], 0.5, atol=0.01)
    assert correlation(one, two) < 0.02


# A vector, a matrix, stacked layers, and convolution kernels of experts.
SHAPES = [(100_000,), (200, 500), (64, 40, 40), (12, 3, 3, 32, 32)]


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equal_entries_do_not_round_together_along_any_axis(name, shape):
    for g in (0.0, 0.3):
        up = rounded_up(name, g, shape=shape)
        for axis, size in enumerate(shape):
            for lag in {1, 2, 3, 8, 16, 64, 256}:
                if lag <= size // 2 or lag < size < 4:
                    one, two = (np.take(up, range(start, size - lag + start), axis) for start in (0, lag))
                    assert correlation(one, two) < max(0.02, 6 / one.size**0.5), (axis, lag)
            # Six standard errors of coins.
            np.testing.assert_allclose(
                np.moveaxis(up, axis, 0).reshape(size, -1).mean(1), 0.5, atol=3 / (up.size // size) ** 0.5
            )


@pytest.mark.parametrize("name", SHORT)
def test_arrays_round_alike_under_another_name_and_in_another_order(name):
    tx = scale_by_rms(storage=name)
    one, two = (jnp.full((20, 50), g) for g in (0.3, 0.31))

    def stored(grads):
        return jax.jit(tx.update)(grads, tx.init(grads))[1].nu

    before, after = stored({"a": one, "b": two}), stored({"y": two, "z": one})
    np.testing.assert_array_equal(before["a"], after["z"])
    np.testing.assert_array_equal(before["b"], after["y"])


@pytest.mark.parametrize("name", SHORT)
def test_under_shard_map_each_part_rounds_as_an_array_of_its_own(name):
    tx = scale_by_rms(storage=name)
    g = jnp.full((16, 50), 0.3)

    @jax.jit
    def stored(g):
        return tx.update(g, tx.init(g))[1].nu

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    parts = jax.jit(jax.shard_map(stored, mesh=mesh, in_specs=P("data"), out_specs=P("data")))(g)
    np.testing.assert_array_equal(parts, jnp.concatenate([stored(part) for part in jnp.split(g, 8)]))
    assert (parts != stored(g)).any()


@pytest.mark.parametrize("name", SHORT)
def test_another_order_of_summation_hardly_changes_the_noise(name):
    g = jnp.asarray(np.random.default_rng(0).standard_normal((64, 64)), jnp.float32)
    tx = scale_by_rms(storage=name)
    one, other = (tx.update(x, tx.init(g))[1].nu for x in (g, jnp.nextafter(g, 2 * g)))
    # A carry into the upper 20 bits has a chance of 1 in 4096, for each of 4096 entries.
    assert int((one != other).sum()) <= 10


MAKERS = {
    "rmsprop": lambda **formats: rmsprop(0.1, momentum=0.9, **formats),
    "dialect": lambda storage=None, **formats: with_storage(dialects.pytorch(0.1, momentum=0.9), storage, **formats),
    "injected": lambda **formats: optax.inject_hyperparams(rmsprop)(0.1, momentum=0.9, **formats),
}


def by_size(params):
    return jax.tree.map(lambda p: "short" if p.size >= 32 else "full", params)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_partition_keeps_some_leaves_in_another_format(make):
    """Leaf by leaf its numbers are those of the optimizer with that format; a training moves there and back."""
    rng = np.random.default_rng(0)
    zeros = {"embedding": np.zeros((8, 4)), "norm": {"bias": np.zeros(4), "scale": np.zeros(4)}}
    params, *grads = (
        jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape), jnp.float32), zeros) for _ in range(4)
    )
    labels = named(by_size(params))
    parts = {"short": make(storage="uint8", momentum_storage="bfloat16"), "full": make()}
    both = optax.partition(parts, by_size)

    def trained(tx):
        state, updates, update = tx.init(params), [], jax.jit(tx.update)
        for g in grads:
            u, state = update(g, state, params)
            updates.append(u)
        return updates, state

    def assert_same(label, one, two):
        one, two = (
            {name: x for name, x in named(trees).items() if labels[name.partition("/")[2]] == label}
            for trees in (one, two)
        )
        jax.tree.map(np.testing.assert_array_equal, one, two)

    def moments(state):
        slots = interop.read(state)
        return [slots.mean_square, slots.momentum]

    updates, state = trained(both)
    for label, tx in parts.items():
        expected, alone = trained(tx)
        assert_same(label, updates, expected)
        there, back = interop.transfer(alone, both.init(params)), interop.transfer(state, tx.init(params))
        for other in (state, there, back):
            assert_same(label, moments(other), moments(alone))
        formats = {x.dtype.name for x in jax.tree.leaves(optax.tree.get(state.inner_states[label], "nu"))}
        assert formats == {"short": {"uint8"}, "full": {"float32"}}[label]


def test_an_initial_scale_is_rounded_to_nearest():
    for tx in (dialects.tf1(0.1), scale_by_rms(initial_scale=1.0, storage="uint8")):
        for name in storage.FORMATS:  # of a state that is short already, the numbers and not the codes
            nu = optax.tree.get(with_storage(tx, name).init(jnp.zeros(1)), "nu")
            assert (nu.dtype, storage.decoded(nu)) == (name, 1.0)
    assert with_storage(dialects.dl4j(epsilon=1e-8)).init(jnp.zeros(1)) is not None


def test_with_storage_is_the_argument():
    params = {"w": jnp.linspace(-1.0, 1.0, 12).reshape(3, 4)}
    wrapped = with_storage(rmsprop(0.1, momentum=0.9), "uint8", momentum_storage="bfloat16")
    direct = rmsprop(0.1, momentum=0.9, storage="uint8", momentum_storage="bfloat16")
    for tx in (wrapped, optax.chain(optax.clip(10.0), wrapped)):
        state, other = tx.init(params), direct.init(params)
        for _ in range(3):
            updates, state = tx.update(params, state, params)
            expected, other = direct.update(params, other, params)
        jax.tree.map(np.testing.assert_array_equal, updates, expected)
