"""Runs of Keras carried here and back, live on its JAX backend, and its files read without it."""

import functools
import re
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rows import long

from rmsprop_optax import interop
from rmsprop_optax.interop import Slots, layout
from rmsprop_optax.interop import keras as format_

keras = pytest.importorskip("keras", reason="Keras is not installed")
h5py = pytest.importorskip("h5py", reason="h5py is not installed")
if keras.config.backend() != "jax":
    pytest.skip("Keras runs inside jit here, which needs its jax backend", allow_module_level=True)

# Keras 3.15 and NumPy 2 about Keras's own Variable.numpy().
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

STEPS = 100
BOUND = 1e-5  # 100 steps of float32, in another order of operations
SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.003, 20, 0.9)
CASES = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "centered": {"centered": True},
    "decay": {"weight_decay": 0.01},
    "momentum centered": {"momentum": 0.9, "centered": True},
    "momentum decay": {"momentum": 0.9, "weight_decay": 0.01},
    "centered decay": {"centered": True, "weight_decay": 0.01},
    "momentum centered decay": {"momentum": 0.9, "centered": True, "weight_decay": 0.01},
    "schedule": {"learning_rate": SCHEDULE, "momentum": 0.9, "weight_decay": 0.01, "global_clipnorm": 0.5},
    "accumulation": {"gradient_accumulation_steps": 2, "momentum": 0.9, "weight_decay": 0.01},
}


def rmsprop(**options):
    return keras.optimizers.RMSprop(**{"learning_rate": 0.001} | options)


@functools.cache
def network():
    """A convolution, a normalisation, a recurrent and a linear layer; some 2000 parameters."""
    layers, zeros = keras.layers, {"kernel_initializer": "zeros"}
    net = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(12, 3, strides=2, activation="relu", name="conv", **zeros),
            layers.BatchNormalization(name="norm"),
            layers.Reshape((3, 36)),
            layers.GRU(10, name="gru", recurrent_initializer="zeros", **zeros),
            layers.Dense(4, name="head", **zeros),
        ],
        name="net",
    )
    rng = np.random.default_rng(0)
    for variable in net.trainable_variables:
        if "kernel" in variable.name:  # drawn here, for Keras compiles a program for each
            variable.assign(rng.standard_normal(variable.shape) / np.prod(variable.shape[:-1]) ** 0.5)
    batches = rng.standard_normal((2 * STEPS, 8, 8, 8, 2)), rng.integers(0, 4, (2 * STEPS, 8))
    trained = [v.value for v in net.trainable_variables]

    def loss(trained, fixed, images, labels):
        logits, fixed = net.stateless_call(trained, fixed, images, training=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), fixed

    gradient = jax.jit(jax.grad(loss, has_aux=True))
    start = [v.value for v in net.non_trainable_variables]
    images, labels = (b.astype(d) for b, d in zip(batches, ("float32", "int32"), strict=True))
    return net, trained, gradient, start, (images, labels)


def names():
    return [v.path for v in network()[0].trainable_variables]


def convert(p):
    """As Flax has it: a tree of modules, and the three gates of the recurrent layer by themselves."""
    gates = {
        f"{side}{gate}": {"kernel": w}
        for side, key in (("i", "kernel"), ("h", "recurrent_kernel"))
        for gate, w in zip("zrn", np.split(p[f"net/gru/gru_cell/{key}"], 3, axis=1), strict=True)
    }
    return {
        "conv": {"kernel": p["net/conv/kernel"], "bias": p["net/conv/bias"]},
        "norm": {"scale": p["net/norm/gamma"], "bias": p["net/norm/beta"]},
        "gru": {**gates, "bias": p["net/gru/gru_cell/bias"]},
        "head": {"kernel": p["net/head/kernel"].T, "bias": p["net/head/bias"]},
    }


def here(arrays):
    return convert({n: np.asarray(a) for n, a in zip(names(), arrays, strict=True)})


def assigned(optimizer, values):
    for variable, value in zip(optimizer.variables, values, strict=True):
        variable.assign(value)
    return optimizer


@functools.cache
def run(case):
    """200 steps in Keras: the optimizer in the middle, its step, the parameters on the way, and all gradients."""
    net, trained, gradient, fixed, batches = network()
    optimizer = rmsprop(**CASES[case])
    optimizer.build(net.trainable_variables)
    apply = jax.jit(optimizer.stateless_apply)
    state, gradients, on_the_way = [v.value for v in optimizer.variables], [], [trained]
    for step, batch in enumerate(zip(*batches, strict=True), 1):
        g, fixed = gradient(trained, fixed, *batch)
        trained, state = apply(state, g, trained)
        gradients.append(g)
        if step % STEPS == 0:
            on_the_way.append(trained)
        if step == STEPS:
            assigned(optimizer, state)
    return optimizer, apply, on_the_way, gradients


@functools.cache
def ours(case):
    """The optimizer here, and the steps that gradients lead to."""
    tx = format_.optimizer(run(case)[0].get_config())

    def step(carry, g):
        updates, state = tx.update(g, carry[1], carry[0])
        return (optax.apply_updates(carry[0], updates), state), None

    scan = jax.jit(lambda *carry_and_gradients: jax.lax.scan(step, *carry_and_gradients)[0])

    def follow(*carry, gradients):
        with jax.numpy_dtype_promotion("standard"):  # optax.MultiSteps needs it
            return scan(carry, jax.tree.map(lambda *g: np.stack(g), *map(here, gradients)))

    return tx, follow


def error(found, expected):
    """The largest difference, relative to the largest entry of its array."""
    return max(
        float(np.max(np.abs(np.asarray(a) - np.asarray(b))) / np.max(np.abs(np.asarray(b))))
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    )


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


# Never having left


def goes_on_here(case):
    optimizer, _, (_, middle, after), gradients = run(case)
    tx, follow = ours(case)
    params, config = here(middle), optimizer.get_config() if case == "accumulation" else None
    state = interop.write(tx.init(params), format_.read(optimizer.variables, names(), convert, config=config))
    found, _ = follow(params, state, gradients=gradients[STEPS:])
    return found, here(after)


def goes_on_there(case):
    _, apply, (before, middle, after), gradients = run(case)
    tx, follow = ours(case)
    params, state = follow(here(before), tx.init(here(before)), gradients=gradients[:STEPS])

    shapes = {name: a.shape for name, a in zip(names(), middle, strict=True)}
    trained = [jnp.asarray(a) for a in layout.backward(params, shapes, convert).values()]
    fresh = rmsprop(**CASES[case])
    fresh.build(network()[0].trainable_variables)
    slots, config = interop.read(state), fresh.get_config() if case == "accumulation" else None
    fresh.load_own_variables(format_.write(fresh.variables, slots, names(), convert, config=config))
    state = [v.value for v in fresh.variables]
    for g in gradients[STEPS:]:
        trained, state = apply(state, g, trained)
    assert int(state[0]) == 2 * STEPS
    return trained, after


@pytest.mark.parametrize("way", ["here", "there"])
@pytest.mark.parametrize("case", long(CASES, ["momentum centered decay", "schedule", "accumulation"]))
def test_a_run_goes_on_as_if_it_had_never_left(case, way):
    found, after = goes_on_here(case) if way == "here" else goes_on_there(case)
    assert error(found, after) < BOUND


# Files


def filled(optimizer, dtype="float32", seed=0):
    """A small model with this optimizer, whose variables all hold other numbers."""
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, dtype=dtype), keras.layers.Dense(2, dtype=dtype)])
    net.compile(optimizer, loss=keras.losses.MeanSquaredError())
    net.optimizer.build(net.trainable_variables)
    rng = np.random.default_rng(seed)
    for variable in [*net.optimizer.variables, *net.variables]:
        is_count = variable.path.endswith("iteration")
        variable.assign(12 if is_count else np.abs(rng.standard_normal(variable.shape)).astype("float32"))
    return net


def mixed(**options):
    return keras.optimizers.LossScaleOptimizer(rmsprop(**options))


OPTIMIZERS = {
    "plain": lambda: filled(rmsprop()),
    "by its name": lambda: filled("rmsprop"),
    "momentum centered": lambda: filled(rmsprop(momentum=0.9, centered=True)),
    "schedule": lambda: filled(rmsprop(learning_rate=SCHEDULE, centered=True)),
    "averages and accumulation": lambda: filled(rmsprop(use_ema=True, gradient_accumulation_steps=4, momentum=0.9)),
    "mixed precision": lambda: filled(mixed(momentum=0.9)),
    "bfloat16": lambda: filled(rmsprop(momentum=0.9), dtype="bfloat16"),
}
SUFFIXES = ".keras", ".weights.h5", ".h5"


def stored(net, path):
    (net.save_weights if path.name.endswith(".weights.h5") else net.save)(path)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_file_holds_what_the_optimizer_held(tmp_path, name, suffix):
    net = OPTIMIZERS[name]()
    config = keras.optimizers.serialize(net.optimizer)
    file = format_.load(stored(net, tmp_path / f"run{suffix}"))
    if suffix == ".weights.h5":
        assert file["config"] is None
    else:
        assert format_.call(file["config"]) == format_.call(config)
    names = [v.path for v in net.trainable_variables]
    live = format_.read(net.optimizer.variables, names, config=config)
    assert live.count == (3 if "accumulation" in name else 12)
    same(format_.read(file, names, config=None if file["config"] else config), live)
    by_position = format_.read(file, config=config)
    same(list(by_position.mean_square.values()), list(live.mean_square.values()))
    assert sorted(map(str, file["weights"].values())) == sorted(str(v.numpy()) for v in net.variables)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_keras_takes_a_file_that_was_written_here(tmp_path, name, suffix):
    net = OPTIMIZERS[name]()
    config = keras.optimizers.serialize(net.optimizer)
    old, new = stored(net, tmp_path / f"old{suffix}"), tmp_path / f"new{suffix}"
    before, file = old.read_bytes(), format_.load(old)
    slots = format_.read(file, config=config)
    trees = {slot: jax.tree.map(lambda x: 2 * x, getattr(slots, slot)) for slot in ("mean_square", "mean", "momentum")}
    slots = slots._replace(**trees, count=40)
    file = format_.write(file, slots, config=config)
    file["weights"] = {place: x + 1 for place, x in file["weights"].items()}
    format_.save(new, file, old)
    assert old.read_bytes() == before
    same(format_.load(new), file)
    if suffix == ".h5":
        return  # of which Keras 3.15 does not restore the optimizer

    if suffix == ".keras":
        found = keras.saving.load_model(new)
    else:
        found = OPTIMIZERS[name]()
        found.load_weights(new)
    same([v.numpy() for v in found.trainable_variables], [v.numpy() + 1 for v in net.trainable_variables])
    same(format_.read(found.optimizer.variables, list("0123"), config=config), slots)


def everything():
    """A model with a layer of each kind whose variables have other names or another order than a dense one."""
    layers, x, y = keras.layers, keras.Input((8, 6)), keras.Input((3,))
    z = layers.Bidirectional(layers.GRU(4, return_sequences=True))(x)
    z = layers.Dropout(0.2)(layers.MultiHeadAttention(2, 3)(z, z))
    z = layers.LSTM(4, return_sequences=True, use_bias=False, name="mine")(layers.LayerNormalization(scale=False)(z))
    z = layers.RNN([layers.GRUCell(3), layers.SimpleRNNCell(5)], return_sequences=True)(z)
    z = keras.ops.relu(layers.TimeDistributed(layers.Dense(4))(z))
    z = layers.Dense(3, use_bias=False, trainable=False)(z)
    z = layers.BatchNormalization(center=False)(layers.SeparableConv1D(4, 2)(z))
    z = layers.RMSNormalization()(layers.GroupNormalization(2)(layers.DepthwiseConv1D(2)(layers.PReLU()(z))))
    inner = [keras.Input((4,)), layers.Dense(4, name="d1"), layers.BatchNormalization(), layers.Dense(4, name="d2")]
    z = keras.Sequential(inner, name="inner")(layers.GlobalAveragePooling1D()(z))
    w = layers.Dense(4, name="d3")(layers.Flatten()(layers.Embedding(9, 4)(y)))
    return keras.Model([x, y], layers.Dense(1, name="d4")(layers.Add()([z, w])))


def few():
    layers = keras.layers
    parts = [layers.Conv2D(2, 3), layers.BatchNormalization(), layers.Flatten(), layers.Dense(2, trainable=False)]
    inner = [keras.Input((2,)), layers.Dense(4, name="d1"), layers.BatchNormalization(scale=False)]
    return keras.Sequential([keras.Input((3, 3, 1)), *parts, keras.Sequential(inner, name="inner"), layers.Dense(1)])


@pytest.mark.parametrize("make", [few, pytest.param(everything, marks=pytest.mark.slow)])
def test_a_keras_file_tells_the_names_of_its_weights(make, tmp_path):
    net = make()
    net.compile(rmsprop(), "mse")
    net.optimizer.build(net.trainable_variables)
    net.save(tmp_path / "run.keras")
    file = format_.load(tmp_path / "run.keras")
    assert [v.path.removeprefix(f"{net.name}/") for v in net.trainable_variables] == [*file["parameters"]]
    for variable, place in zip(net.trainable_variables, file["parameters"].values(), strict=True):
        np.testing.assert_array_equal(file["weights"][place], variable.numpy())
    assert len(file["parameters"]) + len(file["buffers"]) == len(file["weights"])
    assert sum("moving_" in name for name in file["buffers"]) == 4
    assert format_.load(stored(net, tmp_path / "run.weights.h5"))["parameters"] == {}


WORDS = {
    "lr": "keras calls it learning_rate",
    "learning_rat": "did you mean learning_rate?",
    "typo": "it takes learning_",
}


@pytest.mark.parametrize("word", WORDS)
def test_an_unknown_word_in_a_config_is_refused(word):
    for function in (format_.call, format_.optimizer, lambda config: format_.read(STORE, config=config)):
        with pytest.raises(ValueError, match=f"got an unexpected keyword argument '{word}': {re.escape(WORDS[word])}"):
            function(RMSPROP | {word: 0.1})


def test_a_config_that_from_config_has_changed():
    net, config = filled(rmsprop(learning_rate=SCHEDULE)), rmsprop(learning_rate=SCHEDULE).get_config()
    text = format_.call(config)
    assert "exponential_decay" in text
    rmsprop().from_config(config)  # puts the schedule in place of its config
    assert config["learning_rate"].__class__.__name__ == "ExponentialDecay"
    arrays, names = [np.asarray(v) for v in net.optimizer.variables], [v.path for v in net.trainable_variables]
    slots = format_.read(arrays, names, config=config)
    same([*format_.write(arrays, slots, names, config=config).values()], arrays)
    assert format_.call(config) == text


# What is not understood is refused


STORE = {str(i): x for i, x in enumerate([np.int32(100), np.float32(0.1), np.ones((2, 3)), np.ones(3)])}
MOMENTUM = STORE | {"4": np.ones((2, 3)), "5": np.ones(3)}
ADAM = {"name": "adam", "learning_rate": 0.1, "beta_1": 0.9}
RMSPROP = {"rho": 0.9, "momentum": 0.0, "centered": False}


class Variable:
    """An array with the names that it has in Keras."""

    def __init__(self, array, **names):
        self.array = np.asarray(array)
        vars(self).update(names)

    def __array__(self, dtype=None, copy=None):
        return self.array


def live(*paths):
    return [Variable(np.int32(100) if "iter" in path.split("/")[-1] else np.ones(3), path=path) for path in paths]


REFUSED = {
    "no config": (lambda: format_.read(STORE), "config must be given"),
    "momentum that config lacks": (
        lambda: format_.read(MOMENTUM, list("ab"), config={}),
        "velocity of 2 parameters.*got 6",
    ),
    "momentum that config has": (
        lambda: format_.read(STORE, list("ab"), config={"momentum": 0.9}),
        "velocity, momentum of 2",
    ),
    "too few names": (lambda: format_.read(STORE, ["a"], config={}), "of 1 parameters.*number of names"),
    "too many names": (lambda: format_.read(STORE, list("abc"), config={}), "of 3 parameters"),
    "two of a name": (lambda: format_.read(STORE, ["a", "a"], config={}), "a more than once"),
    "names in another order": (
        lambda: format_.read(STORE, {"bias": np.ones(3), "kernel": np.ones((2, 3))}, config={}),
        r"mean_square of bias with shape \(2, 3\) for \(3,\)",
    ),
    "a gap": (lambda: format_.read({k: v for k, v in STORE.items() if k != "2"}, config={}), "none at 2"),
    "no parameters": (lambda: format_.read([np.int32(3), np.float32(0.1)], config={}), "velocity of the parameters"),
    "shapes that do not repeat": (
        lambda: format_.read(MOMENTUM | {"5": np.ones(4)}, list("ab"), config={"momentum": 0.9}),
        "velocity, momentum of 2 parameters",
    ),
    "no count first": (
        lambda: format_.read(STORE | {"0": np.float32(3.0)}, config={}),
        "position 0 must be the number of steps",
    ),
    "within a step": (
        lambda: format_.read(MOMENTUM, list("ab"), config={"gradient_accumulation_steps": 3}),
        "multiple of gradient_accumulation_steps, got 100 for 3",
    ),
    "config of Adam": (lambda: format_.read(STORE, config=ADAM), "config must belong to an RMSprop"),
    "serialized Adam": (lambda: format_.read(STORE, config={"class_name": "Adam", "config": ADAM}), "got Adam"),
    "config as text": (lambda: format_.read(STORE, config="rmsprop"), "config must belong to an RMSprop"),
    "Adam": (
        lambda: format_.read(live("adam/iteration", "adam/a_momentum", "adam/a_velocity")),
        "then velocity of each",
    ),
    "Adagrad": (lambda: format_.read(live("a/iteration", "a/b_accumulator")), "got a/b_accumulator"),
    "unbuilt": (lambda: format_.read(live("r/iteration", "r/learning_rate")), "of a built RMSprop"),
    "without iteration": (lambda: format_.read(live("r/a_velocity")), "must be iteration, then"),
    "a slot of one alone": (
        lambda: format_.read(live("r/iteration", "r/a_velocity", "r/b_velocity", "r/a_momentum")),
        "got no momentum of b",
    ),
    "two variables of a name": (
        lambda: format_.read(live("r/iteration", "r/a_velocity", "r/a_velocity")),
        "own, got r/a_velocity twice",
    ),
    "names of others": (
        lambda: format_.read(live("r/iteration", "r/a_velocity"), list("ab")),
        r"1 parameters.*got 2 \(a, b\)",
    ),
    "names swapped": (
        lambda: format_.read(live("r/iteration", "r/m_a_velocity", "r/m_b_velocity"), ["m/b", "m/a"]),
        r"in its order \(m_a, m_b\), got 2 \(m/b, m/a\)",
    ),
    "accumulation unknown": (
        lambda: format_.read(live("r/iteration", "r/a_gradient_accumulator", "r/a_velocity")),
        "config must have the gradient_accumulation_steps",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_understood_is_refused(case):
    function, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        function()


SLOTS = Slots({"a": np.ones((2, 3)), "b": np.ones(3)}, count=100)
BUFFER = SLOTS._replace(momentum=SLOTS.mean_square)
UNWRITTEN = {
    "a momentum too many": (STORE, BUFFER, "a momentum that it has no variables for"),
    "no momentum": (MOMENTUM, SLOTS, "got no momentum"),
    "no count": (STORE, SLOTS._replace(count=None), "no count"),
    "a mean too many": (STORE, SLOTS._replace(mean=SLOTS.mean_square), "a mean that it has"),
    "a rate outside": (MOMENTUM, BUFFER._replace(lr_in_momentum=False), "give the learning_rate"),
    "another shape": (STORE, SLOTS._replace(mean_square={"a": np.ones(6), "b": np.ones(3)}), r"\(2, 3\) for \(6,\)"),
    "masked": (STORE, SLOTS._replace(mean_square={"a": optax.MaskedNode(), "b": np.ones(3)}), "masked parameters"),
}


@pytest.mark.parametrize("case", UNWRITTEN)
def test_slots_that_do_not_fit_are_not_written(case):
    like, slots, message = UNWRITTEN[case]
    with pytest.raises(ValueError, match=message):
        format_.write(like, slots, list("ab"), config={"momentum": 0.9 * (len(like) > 4)})


def test_a_buffer_without_the_rate_gets_it():
    slots = BUFFER._replace(lr_in_momentum=False)
    found = format_.write(MOMENTUM, slots, list("ab"), config={"momentum": 0.9}, learning_rate=0.25)
    np.testing.assert_array_equal(found["5"], np.full(3, 0.25))


# Names and positions of tf.keras


NEW = (
    "iteration:0",
    "RMSprop/velocity/c/kernel:0",
    "RMSprop/velocity/c/bias:0",
    "RMSprop/momentum/c/kernel:0",
    "RMSprop/momentum/c/bias:0",
)
LEGACY = (
    "RMSprop/iter:0",
    *(f"RMSprop/c/{name}/{kind}:0" for kind in ("rms", "momentum") for name in ("kernel", "bias")),
)


@pytest.mark.parametrize("prefix", ["RMSprop/", "", "training/RMSprop/"])
@pytest.mark.parametrize("paths", [NEW, LEGACY], ids=["new", "legacy"])
def test_variables_of_tf_keras(paths, prefix):
    paths = [path.replace("RMSprop/", prefix) for path in paths]
    arrays = [np.int64(100), *(np.full((2, 3), 1.0), np.full(3, 2.0)), *(np.full((2, 3), 3.0), np.full(3, 4.0))]
    variables = [Variable(a, name=path) for a, path in zip(arrays, paths, strict=True)]
    want = Slots(
        {"c/kernel": arrays[1], "c/bias": arrays[2]}, None, {"c/kernel": arrays[3], "c/bias": arrays[4]}, 100, True
    )
    same(format_.read(variables), want)
    assert format_.read(variables, ["c/kernel:0", "c/bias:0"]).count == 100
    for config in ({"learning_rate": 0.1, "is_legacy_optimizer": False}, {"learning_rate": 0.1, "decay": 0.0}):
        same(format_.read(arrays, ["c/kernel", "c/bias"], config=config | {"momentum": 0.9}), want)
    assert {k: v.dtype for k, v in format_.write(variables, want).items()}["0"] == np.int64


def test_a_scalar_parameter_is_no_learning_rate():
    arrays = [np.int32(100), np.float32(4.0), np.ones(3)]
    schedule = {"learning_rate": {"class_name": "ExponentialDecay", "config": {}}}
    assert list(format_.read(arrays, config=schedule).mean_square) == ["0", "1"]
    assert list(format_.read(arrays, config={"learning_rate": 0.1}).mean_square) == ["0"]
    with pytest.raises(ValueError, match="iteration, learning_rate, then velocity of 2 parameters"):
        format_.read(arrays, list("ab"), config={})


def test_arrays_are_no_copies():
    store = dict(STORE)
    assert np.shares_memory(format_.read(store, list("ab"), config={}).mean_square["a"], store["2"])


# Broken and foreign files


def small(folder, suffix):
    path = folder / f"small{suffix}"
    return path if path.exists() else stored(OPTIMIZERS["momentum centered"](), path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_file_is_refused(tmp_path, suffix):
    whole = small(tmp_path, suffix).read_bytes()
    for part in (0, 1, 7, 100, len(whole) // 2, len(whole) - 2000, len(whole) - 1):
        path = tmp_path / f"part{suffix}"
        path.write_bytes(whole[:part])
        with pytest.raises(ValueError, match=f"part{suffix} must be a whole .keras"):
            format_.load(path)


def test_a_changed_byte_in_an_archive_is_noticed(tmp_path):
    whole = bytearray(small(tmp_path, ".keras").read_bytes())
    whole[len(whole) // 2] ^= 1
    (tmp_path / "changed.keras").write_bytes(whole)
    with pytest.raises(ValueError, match="Bad CRC-32"):
        format_.load(tmp_path / "changed.keras")


def archive(path, **members):
    with zipfile.ZipFile(path, "w") as new:
        for name, text in members.items():
            new.writestr(name.replace("_", "."), text)


def hdf5(path, make):
    with h5py.File(path, "w") as file:
        make(file)


def empty_giant(file):
    file.create_dataset("optimizer/vars/0", (1 << 33,), "f4", chunks=(1 << 20,), compression="gzip")


def virtual(file):
    layout = h5py.VirtualLayout((1,), "f4")
    layout[0] = h5py.VirtualSource("/etc/hostname", "0", (1,))[0]
    file.create_virtual_dataset("optimizer/vars/0", layout)


FOREIGN = {
    "text": (lambda p: p.write_text("hello"), "must be a whole .keras"),
    "NumPy's": (lambda p: archive(p, a_npy="hello"), "model.weights.h5"),
    "archive without weights": (lambda p: archive(p, config_json="{}"), "model.weights.h5"),
    "weights that are none": (
        lambda p: archive(p, config_json="{}", model_weights_h5="hello"),
        "must be a whole .keras",
    ),
    "no optimizer": (lambda p: hdf5(p, lambda f: f.create_group("layers")), "must hold the variables of an optimizer"),
    "config in no JSON": (
        lambda p: hdf5(p, lambda f: f.attrs.update(training_config="{")),
        "must be JSON",
    ),
    "soft link": (lambda p: hdf5(p, lambda f: f.update({"optimizer": h5py.SoftLink("/x")})), "a link at optimizer"),
    "link to a file": (
        lambda p: hdf5(p, lambda f: f.create_group("optimizer").update({"vars": h5py.ExternalLink("/etc/x", "/")})),
        "a link at optimizer/vars",
    ),
    "bytes of a file": (
        lambda p: hdf5(
            p, lambda f: f.create_dataset("optimizer/vars/0", (1,), "i1", external=[("/etc/hostname", 0, 1)])
        ),
        "a link at optimizer/vars/0",
    ),
    "parts of a file": (lambda p: hdf5(p, virtual), "a link at optimizer/vars/0"),
    "an empty giant": (lambda p: hdf5(p, empty_giant), "got 0 bytes for an array of 34359738368 bytes"),
    "a circle": (lambda p: hdf5(p, lambda f: f.create_group("a").update({"b": f["a"]})), "RecursionError"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_file_is_refused(tmp_path, case):
    path = tmp_path / "foreign"
    make, message = FOREIGN[case]
    make(path)
    with pytest.raises(ValueError, match=message) as error:
        format_.load(path)
    assert str(path) in str(error.value)


def test_a_packed_archive_is_read(tmp_path):
    path = small(tmp_path, ".keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "packed.keras", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    file = format_.load(path)
    same(format_.load(tmp_path / "packed.keras"), file)
    format_.save(tmp_path / "again.keras", file, tmp_path / "packed.keras")
    same(format_.load(tmp_path / "again.keras"), file)


def test_words_in_a_file_are_no_weights(tmp_path):
    path = small(tmp_path, ".weights.h5")
    file = format_.load(path)
    with h5py.File(path, "r+") as new:
        new["layers/lookup/vars/0"] = np.array([b"a", b"b"])  # as of keras.layers.StringLookup
    same(format_.load(path), file)


def test_the_optimizers_of_an_adversary(tmp_path):
    class Pair(keras.Model):
        def build(self, shape):
            self.d_optimizer, self.g_optimizer = rmsprop(centered=True), mixed()
            self.dense = keras.layers.Dense(2)
            self.dense.build(shape)
            for optimizer in (self.d_optimizer, self.g_optimizer):
                optimizer.build(self.dense.trainable_variables)
            self.d_optimizer.variables[0].assign(5)

        def call(self, x):
            return self.dense(x)

    net = Pair()
    net.build((3,))
    net.save_weights(tmp_path / "pair.weights.h5")
    file = format_.load(tmp_path / "pair.weights.h5", "d_optimizer")
    names = [v.path for v in net.trainable_variables]
    same(format_.read(file, names, config={"centered": True}), format_.read(net.d_optimizer.variables, names))
    assert format_.read(format_.load(tmp_path / "pair.weights.h5", "g_optimizer"), config={}).count == 0
    with pytest.raises(ValueError, match=r"at optimizer, got none \(other optimizers: d_optimizer, g_optimizer"):
        format_.load(tmp_path / "pair.weights.h5")
    format_.save(
        tmp_path / "new.weights.h5",
        format_.write(file, SLOTS_OF_PAIR, config={"centered": True}),
        tmp_path / "pair.weights.h5",
        "d_optimizer",
    )
    net.load_weights(tmp_path / "new.weights.h5")
    same(format_.read(net.d_optimizer.variables, list("01")), SLOTS_OF_PAIR)


SLOTS_OF_PAIR = Slots(*[{"0": np.full((3, 2), x, "f4"), "1": np.full(2, x, "f4")} for x in (2, 1)], count=9)


def test_nothing_is_overwritten_unasked(tmp_path):
    path, new = small(tmp_path, ".keras"), tmp_path / "new.keras"
    file = format_.load(path)
    new.write_text("precious")
    with pytest.raises(FileExistsError, match=r"new.keras exists: choose another name"):
        format_.save(new, file, path)
    assert new.read_text() == "precious"
    format_.save(new, file, path, overwrite=True)
    same(format_.load(new), file)
    with pytest.raises(FileExistsError, match=r"small.keras exists: choose another name"):
        format_.save(path, file, path, overwrite=True)


def test_nothing_is_written_unless_all_fits(tmp_path):
    path = small(tmp_path, ".keras")
    file = format_.load(path)
    for part, key, array, message in (
        ("optimizer", "2", np.ones(7), r"vars/2 with shape \(7,\) for \(3, 4\)"),
        ("optimizer", "99", np.ones(7), "optimizer 99, which the file lacks"),
        ("weights", "layers/x/vars/0", np.ones(7), "weights layers/x/vars/0, which the file lacks"),
    ):
        with pytest.raises(ValueError, match=message):
            format_.save(tmp_path / "new.keras", file | {part: file[part] | {key: array}}, path)
    del file["weights"]["layers/dense/vars/0"]
    with pytest.raises(ValueError, match="no weights layers/dense/vars/0"):
        format_.save(tmp_path / "new.keras", file, path)
    assert [p.name for p in tmp_path.iterdir()] == ["small.keras"]


def test_without_h5py_its_name_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"run\.keras needs the package h5py"):
        format_.load(tmp_path / "run.keras")


# The call that goes on


SCHEDULES = {
    "ExponentialDecay": SCHEDULE,
    "staircase": keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5, staircase=True),
    "PolynomialDecay": keras.optimizers.schedules.PolynomialDecay(0.1, 20, 0.01, power=2.0),
    "CosineDecay": keras.optimizers.schedules.CosineDecay(0.1, 20, 0.1),
    "warm-up": keras.optimizers.schedules.CosineDecay(0.0, 10, 0.1, warmup_target=0.2, warmup_steps=7),
    "PiecewiseConstantDecay": keras.optimizers.schedules.PiecewiseConstantDecay([3, 10], [0.1, 0.05, 0.02]),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_has_its_counterpart(name):
    config = rmsprop(learning_rate=SCHEDULES[name]).get_config()
    text = format_.call(config)
    schedule = eval(text[text.index("=") + 1 : text.index(", rho=")], {"optax": optax})
    steps = np.array([0, 1, 3, 4, 6, 7, 8, 10, 11, 17, 20, 29])
    with jax.numpy_dtype_promotion("standard"):  # optax's own schedules need it
        found = [schedule(jnp.int32(step)) for step in steps]
    np.testing.assert_allclose(found, [SCHEDULES[name](step) for step in steps], rtol=1e-6)


def test_the_call_as_text():
    made = rmsprop(learning_rate=0.01, momentum=0.9, weight_decay=0.1, clipnorm=1.0)
    text = (
        "dialects.keras(learning_rate=0.01, rho=0.9, momentum=0.9, epsilon=1e-07, centered=False, weight_decay=0.1, "
        "clipnorm=1.0)"
    )
    assert format_.call(made.get_config()) == text
    assert format_.call(keras.optimizers.serialize(keras.optimizers.LossScaleOptimizer(made))) == text
    accumulating = rmsprop(gradient_accumulation_steps=4).get_config()
    assert format_.call(accumulating).startswith("optax.MultiSteps(opt=dialects.keras(learning_rate=0.001, ")
    legacy = {"name": "RMSprop", "learning_rate": float(np.float32(0.01)), "decay": 0.0} | RMSPROP
    assert format_.call(legacy) == (
        "dialects.tf_keras_legacy(learning_rate=0.01, rho=0.9, momentum=0.0, centered=False, decay=0.0)"
    )


def test_arguments_may_be_changed():
    text = format_.call(RMSPROP | {"learning_rate": 0.1}, learning_rate=optax.constant_schedule(0.2), weight_decay=0.5)
    assert text == "dialects.keras(learning_rate=schedule, rho=0.9, momentum=0.0, centered=False, weight_decay=0.5)"
    tx = format_.optimizer(RMSPROP, learning_rate=0.0, weight_decay_mask={"a": True, "b": False}, weight_decay=0.5)
    assert optax.tree.get(tx.init({"a": jnp.ones(2), "b": jnp.ones(2)}), "count") is not None


NO_CALL = {
    "InverseTimeDecay": (
        {"learning_rate": keras.optimizers.schedules.InverseTimeDecay(0.1, 10, 0.5)},
        "learning_rate must be given, got the schedule InverseTimeDecay",
    ),
    "cycle": (
        {"learning_rate": keras.optimizers.schedules.PolynomialDecay(0.1, 10, cycle=True)},
        "PolynomialDecay, which has no counterpart",
    ),
    "steps that count otherwise": (
        {"learning_rate": SCHEDULE, "gradient_accumulation_steps": 2},
        "ExponentialDecay, which counts gradients",
    ),
    "averages for parameters": (
        {"use_ema": True, "ema_overwrite_frequency": 10},
        "ema_overwrite_frequency must be None",
    ),
}


@pytest.mark.parametrize("case", NO_CALL)
def test_what_has_no_counterpart_is_told(case):
    options, message = NO_CALL[case]
    with pytest.raises(ValueError, match=message):
        format_.optimizer(rmsprop(**options).get_config())
