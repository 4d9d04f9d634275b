"""``rmsprop-optax convert``: files of other frameworks become Orbax checkpoints."""

import json
import os
import pickle
import random
import runpy
import sys
import textwrap
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import orbax.checkpoint as ocp
import processes
import pytest
from safetensors.numpy import load_file, save_file

from rmsprop_optax import dialects, interop, storage
from rmsprop_optax.cli import main
from rmsprop_optax.cli._parser import function_of
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


def with_frozen_bias():
    """The same run with a bias that no gradient has reached."""
    return {name: array for name, array in arrays().items() if not name.startswith("optimizer.state.1.")}


def written(folder, found):
    groups = json.dumps([GROUP | {"params": [0, 1, 2], "param_names": NAMES}])
    save_file(found, folder / "run.safetensors", metadata={"optimizer.param_groups": groups})


@pytest.fixture
def checkpoint(tmp_path):
    written(tmp_path, arrays())
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


def printed_code(printed):
    """What the printed lines make, run as they are printed: what was restored, and the optimizer."""
    told = {}
    exec(textwrap.dedent(printed.partition("Restore it with\n")[2]), told)
    return told["run"], told["tx"]


def test_what_is_written_is_restored_as_printed(checkpoint, capsys):
    assert convert(checkpoint) == 0
    printed = capsys.readouterr().out
    assert "3 arrays, 132 entries" in printed
    assert "mean_square, momentum before the learning rate" in printed
    assert "step        100" in printed
    assert "rate        constant from here on" in printed
    found, tx = printed_code(printed)
    params = {"conv": {"kernel": jnp.zeros((2, 2, 3, 4)), "bias": jnp.zeros(4)}, "fc": {"kernel": jnp.zeros((16, 5))}}
    raw = restored(checkpoint, tx, params, buffers={"norm.running_mean": jnp.zeros(4)})
    jax.tree.map(np.testing.assert_array_equal, found._asdict(), raw)  # as Orbax alone restores it
    found = raw
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


@pytest.mark.parametrize("folder", ["first", "second"])
def test_a_module_is_found_in_the_current_folder(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"layout_of_the_{folder}.py").write_text(LAYOUT)
    assert callable(function_of("--layout", f"layout_of_the_{folder}:to_flax"))


def test_a_frozen_layer_starts_from_the_scale_that_is_passed(checkpoint, capsys):
    written(checkpoint, with_frozen_bias())
    assert convert(checkpoint, "--initial-scale", "0.5") == 0
    slots = interop.read(printed_code(capsys.readouterr().out)[0].opt_state)
    np.testing.assert_array_equal(slots.mean_square["conv"]["bias"], np.full(4, 0.5))
    np.testing.assert_array_equal(slots.momentum["conv"]["bias"], np.zeros(4))
    np.testing.assert_array_equal(slots.mean_square["fc"]["kernel"], arrays()["optimizer.state.2.square_avg"].T)
    assert slots.count == 100


def keras_model():
    layers = keras.layers
    net = [keras.Input((4, 4, 1)), layers.Conv2D(2, 3, name="a"), layers.BatchNormalization(name="n"), layers.Flatten()]
    model = keras.Sequential([*net, layers.Dense(2, name="b")])
    model.compile(keras.optimizers.RMSprop(0.25, momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    for i, variable in enumerate(model.optimizer.variables[2:]):
        variable.assign(variable + i)
    return model


KERAS_LAYOUT = """
from rmsprop_optax.interop import layers
table = {"Conv_0": ("a", layers.conv), "BatchNorm_0": ("n", layers.norm), "Dense_0": ("b", layers.linear)}
to_flax = layers.converter(table)
"""


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_a_keras_file_has_the_names_that_layers_take(tmp_path, capsys):
    model = keras_model()
    model.save(tmp_path / "run.keras")
    (tmp_path / "layout.py").write_text(KERAS_LAYOUT)
    run = ["convert", str(tmp_path / "run.keras"), "--layout", f"{tmp_path / 'layout.py'}:to_flax", "--to"]
    assert main([*run, str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "dialects.keras(learning_rate=0.25, rho=0.9, momentum=0.9" in printed
    found, _ = printed_code(printed)
    weights = {v.path.partition("/")[2]: np.asarray(v) for v in model.variables}
    np.testing.assert_array_equal(found.params["Conv_0"]["kernel"], weights["a/kernel"])
    np.testing.assert_array_equal(found.params["BatchNorm_0"]["scale"], weights["n/gamma"])
    slots = interop.read(found.opt_state)
    assert float(slots.mean_square["Conv_0"]["kernel"].min()) == 0.0
    assert [float(slots.mean_square["Dense_0"][n].min()) for n in ("kernel", "bias")] == [4.0, 5.0]
    assert float(slots.momentum["Dense_0"]["bias"].min()) == 11.0
    stats = interop.layers.batch_stats(interop.layers.prefixed(found.buffers, "n"))
    np.testing.assert_array_equal(stats["mean"], weights["n/moving_mean"])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_a_keras_file_without_a_config_needs_hyperparameters_and_names(tmp_path):
    path = tmp_path / "run.weights.h5"
    keras_model().save_weights(path)
    with pytest.raises(ValueError, match=r"run\.weights\.h5 has no config of its optimizer: pass its hyperparameters"):
        conversion.read(path)
    with pytest.raises(
        ValueError, match=r"run\.weights\.h5 has no names of its weights \(found: layers/batch_norm.*--names"
    ):
        conversion.read(path, config={"momentum": 0.9})
    names = [f"layers/{layer}/vars/{i}" for layer in ("conv2d", "batch_normalization", "dense") for i in (0, 1)]
    with pytest.raises(ValueError, match="has no weights named layers/lstm"):
        conversion.read(path, config={"momentum": 0.9}, names=["layers/lstm/vars/0", *names[1:]])
    with pytest.raises(ValueError, match=r"run\.weights\.h5: config must have.*'momentun': did you mean momentum\?"):
        conversion.read(path, config={"momentun": 0.9}, names=names)
    run = conversion.read(path, config={"momentum": 0.9}, names=names)
    assert run.calls == ["dialects.keras(learning_rate=0.25, momentum=0.9)"]  # the rate is a variable in the file
    assert [x.shape for x in run.slots.momentum.values()] == [(3, 3, 1, 2), (2,), (2,), (2,), (8, 2), (2,)]


GROUPS = [{"params": [0, 1], "param_names": NAMES[:2], "lr": 0.5}, {"params": [2], "param_names": NAMES[2:]}]


def with_groups(folder):
    metadata = {"optimizer.param_groups": json.dumps([GROUP | group for group in GROUPS])}
    save_file(arrays(), folder / "run.safetensors", metadata=metadata)
    return folder / "run.safetensors"


def test_schedules_of_groups_have_names_in_code(tmp_path):
    def head(count):
        return 0.5

    rates = [optax.constant_schedule(0.5), optax.constant_schedule(0.1)]
    run = conversion.read(with_groups(tmp_path), dialect="pytorch", learning_rate=rates)
    with pytest.raises(ValueError, match=r"names of their own, got dialects.pytorch\(lr=schedule.* for 2 groups"):
        conversion.code(run)
    run = conversion.read(with_groups(tmp_path), dialect="pytorch", learning_rate=[head, rates[1]])
    assert conversion.code(run).count("lr=head") == 1


def test_groups_are_restored_as_printed(checkpoint, capsys):
    with_groups(checkpoint)
    assert convert(checkpoint, "--storage", "uint8") == 0
    found, tx = printed_code(capsys.readouterr().out)
    updates, _ = tx.update(found.params, found.opt_state, found.params)
    states = optax.tree.get_all_with_path(found.opt_state, "nu")
    assert {leaf.dtype.name for _, nu in states for leaf in jax.tree.leaves(nu)} == {"uint8"}
    assert interop.read(found.opt_state).count == 100
    # The first group moves 50 times as far for the same state.
    assert max(float(jnp.abs(u).max()) for u in jax.tree.leaves(updates["conv"])) > 10 * float(
        jnp.abs(updates["fc"]["kernel"]).max()
    )


def test_groups_are_restored_for_one_optimizer(checkpoint):
    """The state of a partition comes without types, and with ``None`` where a group leaves a parameter to another."""
    with_groups(checkpoint)
    assert convert(checkpoint) == 0
    found = conversion.restore(checkpoint / "out", dialects.pytorch(0.01, momentum=0.9, centered=True))
    slots, run = interop.read(found.opt_state), arrays()
    for slot, name in ((slots.mean_square, "square_avg"), (slots.momentum, "momentum_buffer")):
        np.testing.assert_array_equal(slot["conv"]["bias"], run[f"optimizer.state.1.{name}"])
        np.testing.assert_array_equal(slot["fc"]["kernel"], run[f"optimizer.state.2.{name}"].T)


GOLDEN = Path(__file__).parent / "golden"
SCHEDULES = {
    "step": "import optax\nrate = optax.exponential_decay(0.01, 30, 0.5, staircase=True)",
    "cycle": "import jax.numpy as jnp\ndef rate(step):\n  return jnp.array({rates})[step]",
}


@pytest.mark.parametrize("way", ["command line", "Python"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_under_a_schedule_goes_on_half_way(name, way, tmp_path, capsys):
    path = GOLDEN / f"schedule_{name}.safetensors"
    told = load_file(path)
    layout = "from rmsprop_optax.interop import layers\n"
    layout += 'to_flax = layers.converter({"a": ("0", layers.linear), "b": ("2", layers.linear)})'
    (tmp_path / "layout.py").write_text(layout)
    (tmp_path / "schedule.py").write_text(SCHEDULES[name].format(rates=told["rates"].tolist()))
    rate = runpy.run_path(str(tmp_path / "schedule.py"))["rate"]
    momenta = jnp.array(told["momenta"], jnp.float32)
    tx = optax.inject_hyperparams(dialects.pytorch)(rate, momentum=lambda step: momenta[step])
    if way == "command line":
        words = ["--layout", f"{tmp_path}/layout.py:to_flax", "--learning-rate", f"{tmp_path}/schedule.py:rate"]
        assert main(["convert", str(path), "--to", str(tmp_path / "out"), *words]) == 0
        printed = capsys.readouterr().out
        assert "rate        of a schedule" in printed
        found, as_printed = printed_code(printed)
        assert {int(count) for _, count in optax.tree.get_all_with_path(found.opt_state, "count")} == {100}
        if name == "step":
            tx = as_printed
        else:  # the momentum, too
            found = conversion.restore(tmp_path / "out", tx, found.params)
        params, state = found.params, found.opt_state
    else:
        run = conversion.read(path, convert=runpy.run_path(str(tmp_path / "layout.py"))["to_flax"])
        params = jax.tree.map(jnp.asarray, run.params)
        state = interop.write(tx.init(params), run.slots)

    def loss(params, x, y):
        dense = lambda i, x: x @ params[i]["kernel"] + params[i]["bias"]  # noqa: E731
        return jnp.mean((dense("b", jnp.tanh(dense("a", x))) - y) ** 2)

    def step(carry, batch):
        value, grads = jax.value_and_grad(loss)(carry[0], *batch)
        updates, state = tx.update(grads, carry[1], carry[0])
        return (optax.apply_updates(carry[0], updates), state), value

    x, y = runpy.run_path(str(GOLDEN / "frameworks" / "schedules.py"))["batches"]()
    with jax.numpy_dtype_promotion("standard"):  # optax's own schedules need it
        _, losses = jax.jit(lambda *carry: jax.lax.scan(step, carry, (x[100:], y[100:])))(params, state)
    np.testing.assert_allclose(losses, told["losses"][100:], rtol=1e-5)


def test_restored_for_another_optimizer(checkpoint):
    """A buffer that holds the rate needs the rate, and starts afresh where there was none."""
    assert convert(checkpoint) == 0
    out = checkpoint / "out"
    params = conversion.restore(out, dialects.pytorch(0.01, momentum=0.9)).params
    with pytest.raises(ValueError, match="give the learning_rate of the last step"):
        conversion.restore(out, dialects.keras(0.01, momentum=0.9), params)
    state = conversion.restore(out, dialects.keras(0.01, momentum=0.9), params, learning_rate=0.5).opt_state
    expected = 0.5 * arrays()["optimizer.state.2.momentum_buffer"].T
    np.testing.assert_array_equal(interop.read(state).momentum["fc"]["kernel"], expected)
    state = conversion.restore(out, dialects.pytorch(optax.constant_schedule(0.1), centered=True), params).opt_state
    assert interop.read(state).momentum is None
    short = {"conv": params["conv"], "fc": {"kernel": jnp.zeros((2, 2))}, "more": jnp.zeros(1)}
    with pytest.raises(
        ValueError, match=r"out: params must .* got no more, fc/kernel with shape \(16, 5\) for \(2, 2\)"
    ):
        conversion.restore(out, dialects.pytorch(), short)


def test_a_file_of_bitsandbytes_that_has_the_optimizer_alone(tmp_path):
    held = {"state.0.state1": np.full((2, 3), 4.0, np.float32), "state.0.step": np.array(100)}
    group = {"params": [0], "param_names": ["fc.weight"], "lr": 0.01, "betas": [0.99, 0.0], "eps": 1e-8}
    save_file(held, tmp_path / "run.safetensors", metadata={"param_groups": json.dumps([group])})
    run = conversion.read(tmp_path / "run.safetensors", dialect="bitsandbytes")
    assert run.params is None
    assert run.slots.mean_square["fc.weight"].tolist() == [[4.0] * 3] * 2
    assert conversion.report(run).splitlines() == [
        "parameters  1 arrays, 6 entries; the file has no weights",
        "buffers     none",
        "slots       mean_square; 0.0 MB",
        "step        100",
        "optimizer   dialects.bitsandbytes(lr=0.01, alpha=0.99, eps=1e-08, momentum=0, centered=False)",
        "rate        constant from here on, unless you give a schedule of all steps: learning_rate=… (--learning-rate)",
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
    "names that do not fit": (
        ("--names", "NAMES"),
        "run.safetensors has no weights named a, b (found: conv.bias, conv.weight, fc.weight, norm",
        None,
    ),
    "no number": (("--set", "momentum=0.9", "centered=yes"), "--set centered=yes: write argument=value, ", None),
    "no such place": (("--model", "ema"), "run.safetensors: a checkpoint must have one dict of arrays at 'ema'", None),
    "no schedule": (
        ("--learning-rate", "json:nothing"),
        "json:nothing: json has no function 'nothing'",
        None,
    ),
    "a schedule that is none": (("--learning-rate", "json:__name__"), "json has no function '__name__'", None),
    "Keras' words for PyTorch": (("--set", "momentum=0.9"), "config must be None, got momentum (--set): ", None),
    "two models": (
        (),
        "choose one with at=… (model=… of convert.read, --model)",
        lambda folder: written(folder, arrays() | {"ema.fc.weight": np.ones(2, np.float32)}),
    ),
    "a frozen layer": (
        (),
        "got none of conv.bias, which no gradient has reached: pass initial_scale (--initial-scale)",
        lambda folder: written(folder, with_frozen_bias()),
    ),
    "a folder for a file": (
        (),
        "run.safetensors must be a file",
        lambda folder: ((folder / "run.safetensors").unlink(), (folder / "run.safetensors").mkdir()),
    ),
    "a dangling link": (
        (),
        "run.safetensors: No such file",
        lambda folder: ((folder / "run.safetensors").unlink(), (folder / "run.safetensors").symlink_to(folder / "x")),
    ),
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


def contents(path):
    return (
        {each: each.is_file() and each.read_bytes() for each in path.rglob("*")} if path.is_dir() else path.read_bytes()
    )


def home(folder):
    (folder / "out" / "documents").mkdir(parents=True)
    (folder / "out" / "documents" / "thesis").write_text("precious")


OTHERS = {
    "a home folder": home,
    "a file": lambda folder: (folder / "out").write_text("precious"),
    "another checkpoint": lambda folder: ocp.Checkpointer(ocp.StandardCheckpointHandler()).save(
        folder / "out", args=ocp.args.StandardSave({"a": np.ones(2)})
    ),
    "ours with a file in it": lambda folder: (convert(folder), (folder / "out" / "notes").write_text("precious")),
}


@pytest.mark.parametrize("other", OTHERS)
def test_nothing_of_others_is_replaced(other, checkpoint, capsys):
    OTHERS[other](checkpoint)
    before = contents(checkpoint / "out")
    with pytest.raises(SystemExit):
        convert(checkpoint, "--overwrite")
    message = capsys.readouterr().err
    assert "notes, which would be lost" in message or "out must be a checkpoint of rmsprop-optax convert" in message
    assert contents(checkpoint / "out") == before
    assert [path.name for path in checkpoint.iterdir() if path.name.startswith(".")] == []


def test_an_earlier_checkpoint_is_replaced_when_told(checkpoint):
    (checkpoint / "out").mkdir()
    for form in ("float32", "bfloat16"):
        assert convert(checkpoint, "--overwrite", "--storage", form) == 0
        tx = storage.with_storage(dialects.pytorch(0.01, momentum=0.9), form)
        nu = optax.tree.get(conversion.restore(checkpoint / "out", tx).opt_state, "nu")
        assert nu["fc"]["kernel"].dtype == form
    assert sorted(path.name for path in checkpoint.iterdir()) == ["layout.py", "out", "run.safetensors"]


def whole(folder):
    slots = interop.read(conversion.restore(folder / "out", dialects.pytorch(0.01, momentum=0.9)).opt_state)
    return np.array_equal(slots.mean_square["fc"]["kernel"], arrays()["optimizer.state.2.square_avg"].T)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, 40])
def test_killed_as_it_replaces(kills, checkpoint):
    assert convert(checkpoint) == 0
    rng, writing = random.Random(0), 0
    words = [
        str(checkpoint / "run.safetensors"),
        "--to",
        str(checkpoint / "out"),
        "--dialect",
        "pytorch",
        "--overwrite",
    ]
    words += ["--layout", f"{checkpoint / 'layout.py'}:to_flax"]
    for _ in range(kills):
        process, pipe = processes.start(processes.convert, words)
        pipe.recv()
        pipe.recv()  # it has compiled
        start = time.monotonic()
        pipe.recv()
        time.sleep(rng.uniform(0, time.monotonic() - start))
        assert process.is_alive()
        process.kill()
        process.join()
        writing += any(path.name.startswith(".") for path in checkpoint.iterdir())
        assert whole(checkpoint)
    print(f"{kills} kills, {writing} of them while it wrote")


@pytest.mark.parametrize("moment", [0, 1])
def test_killed_between_the_old_one_and_the_new_one(moment, checkpoint, monkeypatch):
    assert convert(checkpoint) == 0
    replace, done = os.replace, []

    def until(*paths):
        if len(done) > moment:
            raise KeyboardInterrupt
        done.append(replace(*paths))

    monkeypatch.setattr("rmsprop_optax.interop._orbax.os.replace", until)
    assert convert(checkpoint, "--overwrite") == 130 if moment == 0 else convert(checkpoint, "--overwrite") == 0
    monkeypatch.undo()
    assert (checkpoint / "out").exists() == (moment == 1)
    assert whole(checkpoint)  # it stands where it belongs again
    assert sorted(path.name for path in checkpoint.iterdir()) == ["layout.py", "out", "run.safetensors"]


def test_killed_as_it_removes_the_old_one(checkpoint, monkeypatch):
    assert convert(checkpoint) == 0
    unlink, left = Path.unlink, []

    def until(path):
        if left:
            raise KeyboardInterrupt
        left.append(unlink(path))

    monkeypatch.setattr(Path, "unlink", until)
    assert convert(checkpoint, "--overwrite") == 130
    monkeypatch.undo()
    assert (checkpoint / ".out.old").exists()
    assert convert(checkpoint, "--overwrite") == 0
    assert whole(checkpoint)
    assert sorted(path.name for path in checkpoint.iterdir()) == ["layout.py", "out", "run.safetensors"]


# Broken files


def torch_file(path):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(x) for name, x in arrays().items() if name.startswith("model.")}
    state = {
        i: {
            k: torch.from_numpy(arrays()[f"optimizer.state.{i}.{k}"]) for k in ("square_avg", "momentum_buffer", "step")
        }
        for i in range(3)
    }
    group = GROUP | {"params": [0, 1, 2], "param_names": NAMES, "capturable": False}
    model = {name.removeprefix("model."): x for name, x in tensors.items()}
    torch.save({"model": model, "optimizer": {"state": state, "param_groups": [group]}}, path)


def safetensors_file(path):
    groups = json.dumps([GROUP | {"params": [0, 1, 2], "param_names": NAMES}])
    save_file(arrays(), path, metadata={"optimizer.param_groups": groups})


WRITERS = {
    ".pt": torch_file,
    ".safetensors": safetensors_file,
    ".keras": lambda path: keras_model().save(path),
    ".weights.h5": lambda path: keras_model().save_weights(path),
}
DAMAGES = {
    "flip": lambda data, at, bit: data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :],
    "cut": lambda data, at, bit: data[:at],
}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
@pytest.mark.filterwarnings("ignore")  # of PyTorch and NumPy, about numbers in damaged files
@pytest.mark.parametrize("number", [40, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", WRITERS)
def test_a_damaged_file_is_named(suffix, damage, number, tmp_path):
    path, rng, told, silent = tmp_path / f"run{suffix}", random.Random(0), 0, 0
    WRITERS[suffix](path)
    data = path.read_bytes()
    options = {"dialect": "pytorch"} if suffix in (".pt", ".safetensors") else {"config": {"momentum": 0.9}}
    if suffix == ".weights.h5":
        places = ("conv2d", "batch_normalization", "dense")
        options["names"] = [f"layers/{place}/vars/{i}" for place in places for i in (0, 1)]
    leaves = lambda run: [np.asarray(x).tobytes() for x in jax.tree.leaves((run.slots, run.params, run.buffers))]  # noqa: E731
    right = leaves(conversion.read(path, **options))
    for turn in range(number):
        at = rng.randrange(min(len(data), 400) if turn % 2 else len(data))  # the header, every second time
        path.write_bytes(DAMAGES[damage](data, at, rng.randrange(8)))
        try:
            found, message = leaves(conversion.read(path, **options)), ""
        except (ValueError, OSError) as raised:
            found, message = None, f"{raised}"
        silent += found not in (None, right)
        told += found is None
        assert found or str(path) in message, (at, message)
    print(f"{suffix} {damage}: {number}, {told} told, {silent} silent")
    assert told == number if damage == "cut" and suffix != ".weights.h5" else told > 0
    assert silent == 0 if suffix == ".keras" else damage == "flip" or silent == 0  # only this one has a checksum


def edited(**entries):
    return lambda held, group: held.update({f"optimizer.state.0.{key}": value for key, value in entries.items()})


def grouped(**options):
    return lambda held, group: group.update(options)


HOSTILE = {
    "infinite step": edited(step=np.array(np.inf, np.float32)),
    "huge step": edited(step=np.array(1e30, np.float32)),
    "NaN step": edited(step=np.array(np.nan, np.float32)),
    "vector of steps": edited(step=np.ones(3, np.float32)),
    "NaN": edited(square_avg=np.full(SHAPES[0], np.nan, np.float32)),
    "complex": edited(square_avg=np.ones(SHAPES[0], np.complex64)),
    "rate that is a dict": grouped(lr={}),
    "rate that is nothing": grouped(lr=None),
    "infinite rate": grouped(lr=float("inf")),
    "momentum that is a list": grouped(momentum=[0.9]),
    "names that are a number": grouped(param_names=3),
    "names in lists": grouped(param_names=[["a"], ["b"], ["c"]]),
    "positions that are a number": grouped(params=3),
    "brackets": lambda held, group: "[" * 100_000,
    "a number for groups": lambda held, group: "3",
    "both an array and a dict": lambda held, group: held.update({"optimizer": np.ones(2)}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_named_in_one_line(case, tmp_path, capsys):
    held, group = arrays(), GROUP | {"params": [0, 1, 2], "param_names": NAMES}
    groups = HOSTILE[case](held, group)
    path = tmp_path / "run.safetensors"
    save_file(held, path, metadata={"optimizer.param_groups": groups or json.dumps([group])})
    with pytest.raises(SystemExit):
        main(["convert", str(path), "--to", str(tmp_path / "out"), "--dialect", "pytorch"])
    message = capsys.readouterr().err
    assert str(path) in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch, about its own layouts
@pytest.mark.parametrize("kind", ["meta", "sparse", "quantized", "float8"])
def test_a_tensor_without_plain_numbers_is_named(kind, tmp_path):
    torch = pytest.importorskip("torch")
    make = {
        "meta": lambda: torch.ones(2, device="meta"),
        "sparse": lambda: torch.ones(2).to_sparse(),
        "quantized": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8),
        "float8": lambda: torch.ones(2).to(torch.float8_e4m3fn),
    }[kind]
    torch.save({"a": [{"w": make()}]}, tmp_path / "run.pt")
    if kind == "float8":
        assert interop.pytorch.load(tmp_path / "run.pt")["a"][0]["w"].astype(np.float32).tolist() == [1.0, 1.0]
        return
    with pytest.raises(ValueError, match=r"run\.pt must hold dense tensors with numbers, got a .* at a\.0\.w"):
        interop.pytorch.load(tmp_path / "run.pt")


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
