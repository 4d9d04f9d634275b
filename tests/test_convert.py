"""``rmsprop-optax convert``: files of other frameworks become Orbax checkpoints."""

import json
import pickle
import textwrap

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from safetensors.numpy import save_file

from rmsprop_optax import dialects, interop, storage
from rmsprop_optax.cli import main
from rmsprop_optax.interop import convert as conversion

GROUP = {
    "lr": 0.01,
    "alpha": 0.99,
    "eps": 1e-8,
    "weight_decay": 0,
    "momentum": 0.9,
    "centered": False,
    "maximize": False,
}
NAMES = ["conv.weight", "conv.bias", "fc.weight"]
SHAPES = [(4, 3, 2, 2), (4,), (5, 16)]
LAYOUT = """
def to_flax(arrays):
    kernel = arrays["conv.weight"].transpose(2, 3, 1, 0)
    return {"conv": {"kernel": kernel, "bias": arrays["conv.bias"]}, "fc": {"kernel": arrays["fc.weight"].T}}
"""


def arrays():
    """A model, its optimizer's state and its buffers, as PyTorch names them."""
    rng = np.random.default_rng(0)
    found = {f"model.{n}": rng.standard_normal(s).astype(np.float32) for n, s in zip(NAMES, SHAPES, strict=True)}
    found["model.norm.running_mean"] = np.ones(4, np.float32)
    for i, shape in enumerate(SHAPES):
        found[f"optimizer.state.{i}.square_avg"] = rng.random(shape).astype(np.float32)
        found[f"optimizer.state.{i}.momentum_buffer"] = rng.standard_normal(shape).astype(np.float32)
        found[f"optimizer.state.{i}.step"] = np.array(100, np.float32)
    return found


@pytest.fixture
def checkpoint(tmp_path):
    groups = json.dumps([GROUP | {"params": [0, 1, 2], "param_names": NAMES}])
    save_file(arrays(), tmp_path / "run.safetensors", metadata={"optimizer.param_groups": groups})
    (tmp_path / "layout.py").write_text(LAYOUT)
    return tmp_path


def convert(folder, *arguments, file="run.safetensors"):
    layout = ("--layout", f"{folder / 'layout.py'}:to_flax")
    return main(
        ["convert", str(folder / file), "--to", str(folder / "out"), *layout, "--dialect", "pytorch", *arguments]
    )


def restored(folder, tx, params, **others):
    like = {"params": params, "opt_state": jax.eval_shape(tx.init, params), "step": 0} | others
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(folder / "out", like)


def test_what_is_written_is_restored_with_an_abstract_tree(checkpoint, capsys):
    assert convert(checkpoint) == 0
    printed = capsys.readouterr().out
    assert "3 arrays, 132 entries" in printed
    assert "mean_square, momentum before the learning rate" in printed
    assert "step        100" in printed
    call = next(line.partition("optimizer")[2].strip() for line in printed.splitlines() if line.startswith("optimizer"))
    tx = eval(call, {"dialects": dialects})
    params = {
        "conv": {
            "kernel": jax.ShapeDtypeStruct((2, 2, 3, 4), "float32"),
            "bias": jax.ShapeDtypeStruct((4,), "float32"),
        },
        "fc": {"kernel": jax.ShapeDtypeStruct((16, 5), "float32")},
    }
    told = {"params": params, "tx": tx}
    exec(textwrap.dedent(printed.partition(" of your program:\n")[2]), told)
    found = told["restored"]
    source = arrays()
    np.testing.assert_array_equal(found["params"]["fc"]["kernel"], source["model.fc.weight"].T)
    slots = interop.read(found["opt_state"])
    np.testing.assert_array_equal(slots.mean_square["fc"]["kernel"], source["optimizer.state.2.square_avg"].T)
    kernel = source["optimizer.state.0.momentum_buffer"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(slots.momentum["conv"]["kernel"], kernel)
    assert slots.count == found["step"] == 100
    np.testing.assert_array_equal(found["buffers"]["norm.running_mean"], np.ones(4))
    updates, _ = tx.update(found["params"], found["opt_state"], found["params"])
    assert jax.tree.all(jax.tree.map(lambda u: jnp.isfinite(u).all(), updates))


def test_in_fewer_bytes(checkpoint):
    assert convert(checkpoint, "--storage", "uint8", "--momentum-storage", "bfloat16") == 0
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(checkpoint / "out")["opt_state"]
    nu = next(leaf for path, leaf in jax.tree.leaves_with_path(state) if "nu" in str(path) and leaf.shape == (16, 5))
    assert nu.dtype == jnp.uint8
    exact = arrays()["optimizer.state.2.square_avg"].T
    np.testing.assert_allclose(storage.decoded(nu), exact, rtol=1 / 8)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_a_keras_file(tmp_path, capsys):
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, name="a")])
    model.compile(keras.optimizers.RMSprop(0.1, momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "run.keras")
    (tmp_path / "names").write_text("layers/dense/vars/0\nlayers/dense/vars/1\n")
    arguments = [
        "convert",
        str(tmp_path / "run.keras"),
        "--to",
        str(tmp_path / "out"),
        "--names",
        str(tmp_path / "names"),
    ]
    assert main(arguments) == 0
    assert "dialects.keras(learning_rate=0.1" in capsys.readouterr().out
    params = {f"layers/dense/vars/{i}": jnp.asarray(v) for i, v in enumerate(model.get_weights())}
    found = restored(tmp_path, dialects.keras(0.1, momentum=0.9), params)
    jax.tree.map(np.testing.assert_array_equal, found["params"], params)
    assert jax.tree.all(jax.tree.map(lambda x: (x == 0).all(), optax.tree.get(found["opt_state"], "trace")))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_a_keras_file_without_a_config_needs_the_hyperparameters(tmp_path):
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.RMSprop(0.1, momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    model.save_weights(tmp_path / "run.weights.h5")
    with pytest.raises(ValueError, match=r"run\.weights\.h5 has no config of its optimizer: pass its hyperparameters"):
        conversion.read(tmp_path / "run.weights.h5")
    run = conversion.read(tmp_path / "run.weights.h5", config={"momentum": 0.9})
    assert run.calls == ["dialects.keras(momentum=0.9)"]
    assert [x.shape for x in run.slots.momentum.values()] == [(3, 2), (2,)]


def test_a_file_of_bitsandbytes_that_has_the_optimizer_alone(tmp_path):
    held = {"state.0.state1": np.full((2, 3), 4.0, np.float32), "state.0.step": np.array(100)}
    group = {"params": [0], "param_names": ["fc.weight"], "lr": 0.01, "betas": [0.99, 0.0], "eps": 1e-8}
    save_file(held, tmp_path / "run.safetensors", metadata={"param_groups": json.dumps([group])})
    run = conversion.read(tmp_path / "run.safetensors", dialect="bitsandbytes")
    assert run.params is None
    assert run.slots.mean_square["fc.weight"].tolist() == [[4.0] * 3] * 2
    assert conversion.report(run).splitlines() == [
        "parameters  1 arrays, 6 entries; no weights of these names in the file (found: none)",
        "buffers     none",
        "slots       mean_square; 0.0 MB",
        "step        100",
        "optimizer   dialects.bitsandbytes(lr=0.01, alpha=0.99, eps=1e-08, momentum=0, centered=False)",
    ]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


BAD = {
    "a folder that is there": (
        (),
        "replace it with overwrite=True (--overwrite)",
        lambda folder: (folder / "out").mkdir(),
    ),
    "no file": ((), "No such file", lambda folder: (folder / "run.safetensors").rename(folder / "other")),
    "truncated": ((), "run.safetensors", lambda folder: (folder / "run.safetensors").write_bytes(b"x" * 99)),
    "a function that is not there": (("--layout", "nowhere:f"), "--layout nowhere:f", None),
    "another dialect": (("--dialect", "hinton"), "hinton", None),
    "names that do not fit": (("--names", "NAMES"), "names must be those of the 3 parameters", None),
    "no number": (("--set", "momentum=0.9", "centered=yes"), "--set centered=yes: write argument=value, ", None),
    "no such place": (("--model", "ema"), "ema", None),
}


@pytest.mark.parametrize("case", BAD)
def test_what_goes_wrong_is_said_in_one_line_and_nothing_is_written(case, checkpoint, capsys):
    arguments, message, prepare = BAD[case]
    (checkpoint / "names").write_text("a\nb\n")
    if prepare:
        prepare(checkpoint)
    before = files(checkpoint)
    with pytest.raises(SystemExit) as stop:
        convert(checkpoint, *(str(checkpoint / "names") if a == "NAMES" else a for a in arguments))
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert files(checkpoint) == before
    assert not (checkpoint / "out").exists() or not any((checkpoint / "out").iterdir())


def test_what_is_there_is_replaced_when_told(checkpoint):
    assert convert(checkpoint) == 0
    assert convert(checkpoint, "--overwrite", "--storage", "bfloat16") == 0


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_code_in_a_file_is_not_run(checkpoint, capsys):
    pytest.importorskip("torch")
    with open(checkpoint / "run.pt", "wb") as file:
        pickle.dump({"optimizer": Evil(checkpoint / "evil")}, file)
    with pytest.raises(SystemExit):
        convert(checkpoint, file="run.pt")
    assert "code" in capsys.readouterr().err
    assert not (checkpoint / "evil").exists()
