"""Runs of TensorFlow 1 and tf.keras, carried here and back; without TensorFlow, from what it wrote."""

import functools
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmsprop_optax import dialects, interop
from rmsprop_optax.interop import Slots, keras, layout, tensorflow

GOLDEN = Path(__file__).with_name("golden")
sys.path.append(str(GOLDEN))
from frameworks import interop_tensorflow as there  # noqa: E402

SCHEDULE = jnp.asarray(there.RATES, jnp.float32).__getitem__
BOUND = 1e-5  # 100 steps of float32, in another order of operations


def convert(p):
    """A tree of modules, with kernels of linear layers transposed and those of the recurrent layer in one array."""
    p = {name.removeprefix("net/"): array for name, array in p.items()}
    return {
        "conv": {"kernel": p["conv_kernel"], "bias": p["conv_bias"]},
        "norm": [p["norm_gamma"], p["norm_beta"]],
        "rnn": {"kernel": np.concatenate([p["rnn_kernel"], p["rnn_recurrent"]]), "bias": p["rnn_bias"]},
        "head": {"kernel": p["head_kernel"].T, "bias": p["head_bias"]},
    }


def dialect(case):
    name, options = there.CASES[case]
    decay = {"decay" if name == "tf1" else "rho": 0.875}
    return getattr(dialects, name)(SCHEDULE, **decay, epsilon=2.0**-20, **options)


def names(case):
    return [f"net/{name}" if case.startswith("tf1") else name for name in there.SHAPES]


def is_moving(case):
    return "momentum" in case


def slots(case, checkpoint):
    """As a user reads them: by the variables' names, or for Keras's newer optimizer by position."""
    if case.startswith("keras"):
        config = there.CASES[case][1] | {"is_legacy_optimizer": False}
        return keras.read(tensorflow.keras_variables(checkpoint), names(case), convert, config=config)
    momentum = is_moving(case) if case.startswith("tf1") else None
    return tensorflow.read(checkpoint, names(case), convert, momentum=momentum)


@functools.cache
def ours(case):
    tx = dialect(case)

    def step(carry, g):
        updates, state = tx.update(g, carry[1], carry[0])
        return (optax.apply_updates(carry[0], updates), state), None

    scan = jax.jit(lambda carry, gradients: jax.lax.scan(step, carry, gradients)[0])
    return tx, lambda *carry, gradients: scan(carry, jax.tree.map(lambda *g: np.stack(g), *map(convert, gradients)))


def pairs(a, b):
    return [tuple(map(np.asarray, pair)) for pair in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]


def error(found, expected):
    """The largest difference, relative to the largest entry of its array."""
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs(found, expected))


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


# Recorded


@pytest.mark.parametrize("case", there.CASES)
def test_a_recorded_run_goes_on_here_as_if_it_had_never_left(case):
    checkpoint, middle, gradients, after = there.recorded(case)
    tx, follow = ours(case)
    params = convert(middle)
    state = interop.write(tx.init(params), slots(case, checkpoint))
    found, state = follow(params, state, gradients=gradients)
    assert error(found, convert(after)) < 1e-6
    # The steps themselves, which a rate of the wrong step or a forgotten slot would change.
    moved = [np.concatenate([np.ravel(a - b) for a, b in pairs(x, params)]) for x in (found, convert(after))]
    assert error(*moved) < 1e-4
    assert interop.read(state).count == there.STEPS + there.MORE


@pytest.mark.parametrize("case", [case for case in there.CASES if not case.startswith("keras")])
def test_what_is_read_and_written_is_the_same_checkpoint(case):
    checkpoint, *_ = there.recorded(case)
    found = slots(case, checkpoint)
    empty = {
        key: np.zeros_like(array) if "RMSProp" in key or "SLOT" in key else array for key, array in checkpoint.items()
    }
    counter = "global_step" if case.startswith("tf1") else "optimizer/iter/.ATTRIBUTES/VARIABLE_VALUE"
    empty[counter] = np.zeros_like(checkpoint[counter])
    momentum = is_moving(case) if case.startswith("tf1") else None
    back = tensorflow.write(empty, found, names(case), convert, momentum=momentum)
    unmoved = [key for key in checkpoint if momentum is False and key.endswith("_2" if "centered" in case else "_1")]
    assert back.keys() == checkpoint.keys()
    same({k: v for k, v in back.items() if k not in unmoved}, {k: v for k, v in checkpoint.items() if k not in unmoved})
    assert all(back[key].dtype == array.dtype for key, array in checkpoint.items())
    assert not any(back[key].any() for key in unmoved)
    # Nobody else's names are needed.
    assert tensorflow.read(checkpoint, momentum=momentum).mean_square.keys() == set(names(case))


def test_a_model_of_tf_keras_with_its_legacy_optimizer(tmp_path):
    pytest.importorskip("h5py")
    path = GOLDEN / "interop_tensorflow.h5"
    file = keras.load(path)
    assert keras.call(file["config"]) == (
        "dialects.tf_keras_legacy(learning_rate=0.01, rho=0.9, momentum=0.75, epsilon=1e-07, centered=True, decay=0.5)"
    )
    names = ["hidden/kernel", "hidden/bias", "out/kernel", "out/bias"]
    found = keras.read(file, names)
    assert found.count == 10
    assert [x.shape for x in found.mean.values()] == [(3, 4), (4,), (4, 2), (2,)]
    assert all((x > 0).all() for x in found.mean_square.values())
    tx = keras.optimizer(file["config"])
    state = interop.write(tx.init(found.mean), found)
    file = keras.write(file, interop.read(state)._replace(count=7), names)
    keras.save(tmp_path / "new.h5", file, path)
    assert keras.load(tmp_path / "new.h5")["optimizer"]["0"] == 7


# Live


@pytest.fixture
def tf():
    return pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


live = pytest.mark.filterwarnings("ignore")  # TensorFlow warns of itself


@functools.cache
def run(case):
    """200 steps in TensorFlow: the checkpoint in the middle, the parameters on the way, and all gradients."""
    import tempfile

    runner = there.runner(case, there.start())
    gradients = there.train(runner, 0, there.STEPS)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = tensorflow.load(runner.checkpoint(folder))
    middle = runner.params()
    gradients += there.train(runner, there.STEPS, 2 * there.STEPS)
    return checkpoint, (there.start(), middle, runner.params()), gradients


@live
@pytest.mark.parametrize("case", there.CASES)
def test_a_run_goes_on_here_as_if_it_had_never_left(tf, case):
    checkpoint, (_, middle, after), gradients = run(case)
    tx, follow = ours(case)
    state = interop.write(tx.init(convert(middle)), slots(case, checkpoint))
    found, _ = follow(convert(middle), state, gradients=gradients[there.STEPS :])
    print(case, "here", error(found, convert(after)))
    assert error(found, convert(after)) < BOUND


@live
@pytest.mark.parametrize("case", there.CASES)
def test_a_run_goes_on_there_as_if_it_had_never_left(tf, case):
    _, (before, _, after), gradients = run(case)
    tx, follow = ours(case)
    params, state = follow(convert(before), tx.init(convert(before)), gradients=gradients[: there.STEPS])
    params = layout.backward(params, there.SHAPES, convert)

    runner, found = there.runner(case, before), interop.read(state)
    if case.startswith("tf1"):
        new = tensorflow.write(runner.entries(), found, names(case), convert, momentum=is_moving(case))
    else:
        new = list(keras.write(runner.weights(), found, names(case), convert).values())
    runner.restore(params, new)
    for step, g in enumerate(gradients[there.STEPS :], there.STEPS):
        runner.step(g, there.RATES[step])
    print(case, "there", error(runner.params(), after))
    assert error(runner.params(), after) < BOUND


@live
@pytest.mark.parametrize("legacy", [False, True], ids=["keras", "legacy"])
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5"])
def test_files_of_tf_keras(tf, tmp_path, suffix, legacy):
    tf_keras = pytest.importorskip("tf_keras")
    path = tmp_path / f"run{suffix}"
    net = there.keras_file(path, legacy)
    if legacy and suffix != ".h5":
        with pytest.raises(ValueError, match=r"tf\.keras saves a legacy optimizer only in \.h5 files"):
            keras.load(path)
        return
    optimizer = net.optimizer
    config, theirs = optimizer.get_config(), optimizer.weights if legacy else optimizer.variables
    file = keras.load(path)
    names = [v.name for v in net.trainable_variables]
    expected = keras.read(theirs, names)
    same(keras.read(file, names, config=config), expected)
    doubled = {
        slot: jax.tree.map(lambda x: 2 * x, getattr(expected, slot)) for slot in ("mean_square", "mean", "momentum")
    }
    expected = expected._replace(**doubled, count=40)
    keras.save(tmp_path / f"new{suffix}", keras.write(file, expected, names, config=config), path)
    if suffix == ".weights.h5":
        net.load_weights(tmp_path / f"new{suffix}")
    else:
        net = tf_keras.models.load_model(tmp_path / f"new{suffix}")
    same(keras.read(net.optimizer.weights if legacy else net.optimizer.variables, names), expected)


@live
def test_a_broken_checkpoint_is_refused(tf, tmp_path):
    path = there.runner("tf1", there.start()).checkpoint(tmp_path)
    for part in (".index", ".data-00000-of-00001"):
        file = Path(path + part)
        whole = file.read_bytes()
        for size in (0, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:size])
            with pytest.raises(ValueError, match=f"{re.escape(path)} must be a whole checkpoint"):
                tensorflow.load(path)
        file.write_bytes(whole)
    assert tensorflow.load(path)["global_step"] == 0
    with pytest.raises(ValueError, match="nothing must be a whole checkpoint"):
        tensorflow.load(tmp_path / "nothing")


# What is not understood is refused


ONES = {"w": np.ones((2, 3)), "b": np.ones(3)}
PLAIN = {f"{name}{end}": x for name, x in ONES.items() for end in ("", "/RMSProp", "/RMSProp_1")}
CENTERED = PLAIN | {f"{name}/RMSProp_2": x for name, x in ONES.items()}
GRAPH = {
    f"{name}{end}/.ATTRIBUTES/VARIABLE_VALUE": x
    for name, x in ONES.items()
    for end in ("", "/.OPTIMIZER_SLOT/optimizer/rms")
}


def without(tree, key):
    return {k: v for k, v in tree.items() if k != key}


REFUSED = {
    "momentum untold": (lambda: tensorflow.read(PLAIN), "momentum must be given for TensorFlow 1"),
    "no momentum there": (lambda: tensorflow.read(GRAPH, momentum=True), "must have momentum slots for momentum=True"),
    "no slots": (lambda: tensorflow.read(ONES, momentum=True), "must have slots of RMSProp, got b, w"),
    "slots of another": (lambda: tensorflow.read(PLAIN, momentum=True, optimizer="Adam"), "must have slots of Adam"),
    "elsewhere in the graph": (lambda: tensorflow.read(GRAPH, optimizer="model/optimizer"), "slots of model/optimizer"),
    "a slot missing": (
        lambda: tensorflow.read(without(PLAIN, "b/RMSProp_1"), momentum=True),
        "no momentum of b",
    ),
    "a mean missing": (lambda: tensorflow.read(without(CENTERED, "b/RMSProp_2"), momentum=True), "no momentum of b"),
    "a slot left over": (lambda: tensorflow.read(PLAIN, ["w"], momentum=True), "a rms of b"),
    "a name without slots": (lambda: tensorflow.read(PLAIN, ["w", "b", "c"], momentum=True), "no rms of c"),
    "two of a name": (lambda: tensorflow.read(PLAIN, ["w", "w"], momentum=True), "w more than once"),
    "another shape": (
        lambda: tensorflow.read(PLAIN | {"b/RMSProp": np.ones(4)}, momentum=True),
        r"a rms of b with shape \(4,\) for \(3,\)",
    ),
    "shapes of names": (
        lambda: tensorflow.read(PLAIN, ONES | {"b": np.ones(4)}, momentum=True),
        r"a rms of b with shape \(3,\) for \(4,\)",
    ),
    "slots of two": (
        lambda: tensorflow.read(CENTERED | {"w/RMSProp_3": ONES["w"]}, momentum=True),
        "slots of one optimizer, got w/RMSProp_3",
    ),
    "Keras's variables in a checkpoint without": (
        lambda: tensorflow.keras_variables(PLAIN),
        "numbered variables, got none",
    ),
    "nothing to write a mean to": (
        lambda: tensorflow.write(PLAIN, Slots(ONES, mean=ONES), momentum=False),
        "a mean that it has no variables for",
    ),
    "no momentum to write": (lambda: tensorflow.write(PLAIN, Slots(ONES), momentum=True), "got no momentum"),
    "no count to write": (
        lambda: tensorflow.write(PLAIN | {"global_step": np.int64(0)}, Slots(ONES), momentum=False),
        "no count",
    ),
    "a rate outside": (
        lambda: tensorflow.write(PLAIN, Slots(ONES, momentum=ONES, lr_in_momentum=False), momentum=True),
        "give the learning_rate",
    ),
    "a negative mean square": (
        lambda: tensorflow.write(PLAIN, Slots(ONES | {"b": -np.ones(3)}), momentum=False),
        "a mean_square of b with negative entries, -1: take a state from before the run diverged",
    ),
    "a momentum that is not finite": (
        lambda: tensorflow.write(PLAIN, Slots(ONES, None, ONES | {"b": np.full(3, np.inf)}, None, True), momentum=True),
        "a momentum of b with inf for float64",
    ),
    "a mean square beyond the dtype": (
        lambda: tensorflow.write(
            PLAIN | {"b/RMSProp": np.ones(3, np.float16)}, Slots(ONES | {"b": np.full(3, 1e6)}), momentum=False
        ),
        r"a mean_square of b with 1e\+06 for float16 up to 65504",
    ),
    "half a step": (
        lambda: tensorflow.read(PLAIN | {"global_step": np.float32(2.5)}, momentum=False),
        "global_step must be a whole number of steps from 0 to 2147483647, got 2.5",
    ),
    "masked": (
        lambda: tensorflow.write(PLAIN, Slots(ONES | {"b": optax.MaskedNode()}), momentum=False),
        "masked parameters",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_understood_is_refused(case):
    function, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        function()


def test_slots_of_another_name():
    renamed = {key.replace("RMSProp", "critic"): x for key, x in PLAIN.items()}
    same(tensorflow.read(renamed, momentum=False, optimizer="critic"), Slots(ONES))


def test_a_buffer_without_the_rate_gets_it():
    found = Slots(ONES, momentum=ONES, lr_in_momentum=False)
    new = tensorflow.write(PLAIN, found, momentum=True, learning_rate=0.25)
    np.testing.assert_array_equal(new["b/RMSProp_1"], np.full(3, 0.25))
    assert new["b"] is PLAIN["b"]


def test_without_tensorflow_its_name_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r"run/model\.ckpt needs the package tensorflow"):
        tensorflow.load("run/model.ckpt")
