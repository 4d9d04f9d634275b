"""Checkpoints: what is saved comes back bit for bit, wherever it is needed, whenever the process died."""

import gc
import hashlib
import json
import math
import os
import random
import re
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import processes
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from rmsprop_optax import interop, rmsprop
from rmsprop_optax.cli import main
from rmsprop_optax.cli._choices import choose
from rmsprop_optax.demo import checkpoints, data
from rmsprop_optax.demo.model import network
from rmsprop_optax.interop import _orbax
from rmsprop_optax.sharding import state_shardings


def mesh_of(shape):
    return jax.make_mesh(shape, ("data", "model"), (AxisType.Auto,) * 2, devices=jax.devices()[: math.prod(shape)])


def abstract(tx, shape=(2, 4)):
    """Parameters and state of an optimizer on a mesh, the state divided further."""
    mesh = mesh_of(shape)
    shapes = {"w": ((16, 24), P("model")), "b": ((8,), P()), "odd": ((3,), P())}
    at = lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)  # noqa: E731
    params = {
        name: jax.ShapeDtypeStruct(size, jnp.float32, sharding=NamedSharding(mesh, spec))
        for name, (size, spec) in shapes.items()
    }
    return params, jax.tree.map(at, jax.eval_shape(tx.init, params), state_shardings(tx, params, zero="data"))


def at_start(tx, shape=(2, 4)):
    params, state = abstract(tx, shape)
    rng = np.random.default_rng(0)
    params = {k: jax.device_put(rng.standard_normal(p.shape).astype(p.dtype), p.sharding) for k, p in params.items()}
    return params, jax.jit(tx.init, out_shardings=jax.tree.map(lambda x: x.sharding, state))(params)


def after(tx, steps=3):
    params, state = at_start(tx)
    for _ in range(steps):
        _, state = jax.jit(tx.update)(params, state, params)
    return params, state


def saved(folder, tree, steps=(1,)):
    with checkpoints.saver(folder) as save:
        for step in steps:
            save(step, tree, {"batch": step})
    return folder


def differing(tree, other):
    """The leaves that are not bit for bit the same."""
    pairs = zip(jax.tree.leaves_with_path(tree), jax.tree.leaves(other), strict=True)
    pairs = ((jax.tree_util.keystr(path), np.asarray(a), np.asarray(b)) for (path, a), b in pairs)
    return {name: (a, b) for name, a, b in pairs if a.dtype != b.dtype or a.tobytes() != b.tobytes()}


def contents(folder):
    return {path: path.is_file() and hashlib.sha256(path.read_bytes()).digest() for path in folder.rglob("*")}


OPTIONS = {
    "float32": {"momentum": 0.9},
    "uint8": {"storage": "uint8", "momentum": 0.9, "momentum_storage": "bfloat16"},
    "centered": {"centered": True, "bias_correction": True, "storage": "bfloat16"},
}


@pytest.mark.parametrize("options", OPTIONS)
def test_other_devices_and_another_mesh(options, tmp_path):
    tx = optax.apply_if_finite(rmsprop(optax.linear_schedule(0.1, 0.0, 9), **OPTIONS[options]), 3)
    tree = after(tx)
    saved(tmp_path, tree)
    for shape in ((2, 4), (8, 1), (1, 2), (1, 1)):
        like = abstract(tx, shape)
        step, found, position = checkpoints.restore(tmp_path, like)
        assert (step, position) == (1, {"batch": 1})
        assert differing(found, tree) == {}
        assert jax.tree.structure(found) == jax.tree.structure(like)
        assert jax.tree.map(lambda x: x.sharding, found) == jax.tree.map(lambda x: x.sharding, like)


CHANGES = {
    "momentum": {"momentum": 0.9},
    "storage": {"storage": "uint8"},
    "centered": {"centered": True},
    "schedule": {"learning_rate": optax.linear_schedule(0.1, 0.0, 100)},
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_options(change, tmp_path):
    old = rmsprop(0.1)
    new = optax.apply_if_finite(rmsprop(**{"learning_rate": 0.1} | CHANGES[change]), 3)
    params, state = after(old)
    saved(tmp_path, (params, state))
    (_, restored) = checkpoints.restore(tmp_path, abstract(old)).tree
    like = at_start(new, (4, 2))[1]
    found = interop.transfer(restored, like)
    assert jax.tree.map(jax.typeof, found) == jax.tree.map(jax.typeof, like)
    assert jax.tree.map(lambda x: x.sharding, found) == jax.tree.map(lambda x: x.sharding, like)
    slots, before = interop.read(found), interop.read(state)
    assert slots.count == before.count == 3
    assert {int(count) for _, count in optax.tree.get_all_with_path(found, "count")} == {3}
    # Of uint8 neighbours are up to a quarter apart.
    rtol = 1 / 8 if change == "storage" else 1e-6
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol), slots.mean_square, before.mean_square)
    assert slots.momentum is None or not any(np.any(x) for x in jax.tree.leaves(slots.momentum))


def test_a_save_is_of_its_moment(tmp_path):
    add = jax.jit(lambda tree: jax.tree.map(lambda x: x + 1, tree), donate_argnums=0)
    mesh = mesh_of((2, 4))
    tree = {
        k: jax.device_put(jnp.zeros(1_000_000), NamedSharding(mesh, spec))
        for k, spec in {"a": P("model"), "b": P()}.items()
    }
    with checkpoints.saver(tmp_path, keep=9) as save:
        for step in range(4):
            save(step, tree)
            for _ in range(5):
                tree = add(tree)
    for step in (3, 2, 1, 0):
        assert {float(x) for leaf in checkpoints.restore(tmp_path, tree).tree.values() for x in np.unique(leaf)} == {
            5.0 * step
        }
        shutil.rmtree(tmp_path / str(step))


def test_a_position_is_of_its_moment(tmp_path):
    rows = []
    with checkpoints.saver(tmp_path, keep=8) as save:
        for step in range(8):
            rows.append(step)
            save(step, {"w": jnp.ones(1000)}, {"rows": rows})
    for step in range(8):
        saved = json.loads((tmp_path / str(step) / "_CHECKPOINT_METADATA").read_text())
        assert saved["custom_metadata"]["position"] == {"rows": list(range(step + 1))}


@pytest.mark.parametrize("folder", ["saved", None])
def test_save_takes_its_arguments_by_name(folder, tmp_path):
    with checkpoints.saver(folder and tmp_path / folder) as save:
        save(step=3, tree={"w": jnp.ones(2)}, position={"batch": 1})
    assert [path.name for path in tmp_path.rglob("3")] == ["3"] * (folder is not None)


def test_what_is_not_complete_does_not_count(tmp_path):
    tree = {"w": jnp.ones((8, 8))}
    assert checkpoints.last(tmp_path / "none") is None
    with pytest.raises(checkpoints.CheckpointError, match=f"{re.escape(str(tmp_path))} holds no complete checkpoint"):
        checkpoints.restore(tmp_path, tree)
    saved(tmp_path, tree, (5, 9, 10))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "9"]
    # What a process leaves that dies as it writes one, and as it removes an old one.
    shutil.copytree(tmp_path / "10", tmp_path / "11.orbax-checkpoint-tmp")
    for path in (tmp_path / "9").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert checkpoints.last(tmp_path) == 10
    assert checkpoints.restore(tmp_path, tree).step == 10
    saved(tmp_path, tree, (12,))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "12"]


def forgetful(test):
    """Where one array cannot be read, Orbax forgets that it wanted to read the others; end the test by gc.collect()."""
    awaited = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
    return awaited(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")(test))


@forgetful
def test_a_damaged_checkpoint_is_named_and_left(tmp_path):
    tree = after(rmsprop(0.1, momentum=0.9, storage="uint8"))
    saved(tmp_path / "whole", tree)
    files = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file()]
    found = []
    for number, file in enumerate(files):
        size = (tmp_path / "whole" / file).stat().st_size
        for left in (None, 0, size // 2, size - 1):
            folder = tmp_path / f"{number} {left}"
            shutil.copytree(tmp_path / "whole", folder)
            if left is None:
                (folder / file).unlink()
            else:
                os.truncate(folder / file, left)
            before = contents(folder)
            try:
                restored, error = checkpoints.restore(folder, tree).tree, None
            except checkpoints.CheckpointError as raised:
                restored, error = None, str(raised)
            # Some files are notes for people alone, some are there twice.
            assert differing(restored, tree) == {} if error is None else f"{folder / '1'} is damaged" in error
            assert contents(folder) == before
            found += [file.name] * (error is not None)
    (tmp_path / "empty" / "1").mkdir(parents=True)
    with pytest.raises(checkpoints.CheckpointError, match="empty/1 is damaged"):
        checkpoints.restore(tmp_path / "empty", tree)
    gc.collect()
    assert {"_CHECKPOINT_METADATA", "_METADATA", "manifest.ocdbt"} < set(found)


DAMAGES = {
    "a flip": lambda data, at, bit: data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :],
    "a cut": lambda data, at, bit: data[:at],
}


@forgetful
@pytest.mark.parametrize("number", [10, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damage_restores_other_numbers(damage, number, tmp_path, capfd):
    rng, told = random.Random(0), 0
    tree = {"w": jnp.linspace(-1, 1, 999), "nu": jnp.arange(256, dtype=jnp.uint8), "count": jnp.int32(3)}
    saved(tmp_path / "whole", tree, (1, 2))
    files = sorted(p for p in (tmp_path / "whole" / "2").rglob("*") if p.is_file() and p.stat().st_size)
    for turn in range(number):
        # A file, every second time one of many bytes, where the arrays are.
        file = rng.choices(files, [p.stat().st_size ** (turn % 2) for p in files])[0]
        shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
        path = tmp_path / "damaged" / file.relative_to(tmp_path / "whole")
        path.write_bytes(DAMAGES[damage](file.read_bytes(), rng.randrange(file.stat().st_size), rng.randrange(8)))
        try:
            found, error = checkpoints.restore(tmp_path / "damaged", tree), None
        except checkpoints.CheckpointError as raised:
            found, error = None, str(raised)
        if found:
            assert (found.position, differing(found.tree, tree)) == ({"batch": 2}, {}), path
        else:
            told += 1
            assert f"remove {tmp_path}/damaged/2 to continue from {tmp_path}/damaged/1, which is whole" in error
        shutil.rmtree(tmp_path / "damaged")
    assert told > number / 3
    assert capfd.readouterr().err == ""
    gc.collect()


def test_a_saver_names_a_damaged_checkpoint(tmp_path):
    tree = {"w": jnp.ones(2)}
    path = saved(tmp_path, tree, (1, 2)) / "1" / "_CHECKPOINT_METADATA"
    path.write_text(path.read_text().replace("commit_timestamp_nsecs", "commit_timestamp_nsecz"))
    assert checkpoints.restore(tmp_path, tree).step == 2
    with pytest.raises(checkpoints.CheckpointError, match=f"{tmp_path}/1 must be whole checkpoints: remove"):
        saved(tmp_path, tree, (3,))


def test_the_digest_is_the_same_wherever_an_array_is():
    rng, mesh = np.random.default_rng(0), mesh_of((2, 4))
    for dtype in ("bfloat16", "complex64"):
        x = jnp.asarray(rng.standard_normal((16, 24)) * 99).astype(dtype)
        for spec in (P("data", "model"), P(None, "data")):
            at = jax.device_put(x, NamedSharding(mesh, spec))
            assert int(_orbax._shared(at)) == _orbax.digest(at)[""] == _orbax.digest(np.asarray(x))[""], (dtype, spec)


TREES = {
    "shape": ({"w": (8, 4), "b": (3,)}, {}, "it has 0/b as float32[8], not float32[3], 0/w as float32[16, 24], not"),
    "names": (
        {"w": (16, 24), "c": (8,), "odd": (3,)},
        {},
        "it has no 0/c, 1/0/nu/c; it has a superfluous 0/b, 1/0/nu/b.",
    ),
    "storage": (None, {"storage": "uint8"}, "it has 1/0/nu/b as float32[8], not uint8[8], 1/0/nu/odd as float32"),
    "momentum": (None, {"momentum": 0.9}, "it has no 1/2/count, 1/2/trace/b, 1/2/trace/odd, 1/2/trace/w"),
}


@pytest.mark.parametrize("tree", TREES)
def test_another_tree_is_named_and_left(tree, tmp_path):
    shapes, options, message = TREES[tree]
    saved(tmp_path, at_start(rmsprop(0.1)))
    before = contents(tmp_path)
    like = abstract(rmsprop(0.1, **options))
    if shapes:
        params = {name: jnp.zeros(shape) for name, shape in shapes.items()}
        like = params, jax.eval_shape(rmsprop(0.1).init, params)
    with pytest.raises(checkpoints.CheckpointError, match=re.escape(message)) as error:
        checkpoints.restore(tmp_path, like)
    assert f"{tmp_path / '1'} is from another tree" in str(error.value)
    assert contents(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("kills", [4, 40])
def test_killed_at_any_moment(kills, tmp_path):
    moments, writing = random.Random(0), 0
    for kill in range(kills):
        before = checkpoints.last(tmp_path)
        process, pipe = processes.start(processes.train, tmp_path, 10**6)
        if kill % 4 == 3:
            time.sleep(moments.uniform(0, 3))  # as it starts
        else:
            assert pipe.recv() == (before or 0)
            while kill == 0 and process.is_alive() and checkpoints.last(tmp_path) is None:
                time.sleep(0.01)  # until there is a step to go on from
            time.sleep(moments.uniform(0, 0.5))
        process.kill()
        process.join()
        writing += any(path.name.endswith("tmp") for path in tmp_path.iterdir())
    steps = (checkpoints.last(tmp_path) or 0) + 3
    ends = []
    for folder in (tmp_path, None):
        process, pipe = processes.start(processes.train, folder, steps)
        first, end = pipe.recv(), pipe.recv()
        process.join()
        ends.append(end)
    assert first == 0
    assert differing(*ends) == {}
    assert checkpoints.last(tmp_path) == steps > 3
    print(f"{kills} kills, {writing} of them during a save; {steps} steps")


def results(folder):
    """Every epoch of every run, without the times."""
    runs = json.loads((folder / "results.json").read_text())["runs"]
    return {name: [row | {"seconds": None} for row in run["seeds"][0]["epochs"]] for name, run in runs.items()}


def test_the_demo_goes_on_as_if_it_had_never_stopped(small, undrawn, tmp_path, capsys):
    whole, part, keras = tmp_path / "whole", tmp_path / "part", tmp_path / "part" / "keras"
    run = ["train", "--dialect", "climin", "keras", "--set", "climin.step_rate=1e38", *small, "--epochs", "2"]
    assert main([*run, "--out", str(whole), "--checkpoint", str(whole)]) == 0
    shutil.copytree(whole, part)
    shutil.rmtree(keras / "2")
    to = ["--out", str(part), "--checkpoint", str(part)]
    assert "restored" not in capsys.readouterr().out
    assert main([*run, *to, "--resume"]) == 0
    restored = [line for line in capsys.readouterr().out.splitlines() if "restored" in line]
    assert restored == [
        f"{name}  epochs up to 1 are restored from {part / name.strip()}" for name in ("climin", "keras ")
    ]
    assert results(part) == results(whole)
    epochs = {name: [row["epoch"] for row in run] for name, run in results(part).items()}
    assert epochs == {"climin": [0, 1], "keras": [0, 1, 2]}  # climin's losses are not finite after the first
    params = nnx.state(network((3,), 3, rngs=nnx.Rngs(0)))
    for name, choice in choose(["keras", "climin"], ["climin.step_rate=1e38"]).items():
        trees = [checkpoints.restore(folder / name, (params, choice.tx.init(params))).tree for folder in (part, whole)]
        assert differing(*trees) == {}

    before = contents(keras)
    for more, words in {
        "": f"{keras}: it holds a run; continue it with --resume",
        "--resume --seed 1": f"{keras}: it holds a run with seed 0, not 1;",
        "--resume --set momentum=0.9": f"{keras}: it holds a run with momentum None, not 0.9;",
        "--resume --epochs 1": f"--epochs 1: {keras} has 2 epochs already",
        "--resume --out elsewhere --checkpoint": "expected one argument",
        f"--checkpoint {part / 'results.json'}": "results.json/keras: Not a directory",
    }.items():
        with pytest.raises(SystemExit):
            main(["train", *small, "--epochs", "2", *to, *more.split()])
        assert words in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", *small, "--resume"])
    assert "name the folder of the checkpoints with --checkpoint" in capsys.readouterr().err
    assert contents(keras) == before

    with checkpoints.saver(keras) as save:
        save(3, {"w": jnp.ones(2)}, checkpoints.position(keras))
    with pytest.raises(SystemExit):
        main(["train", *small, "--epochs", "3", *to, "--resume"])
    assert f"--checkpoint: {keras / '3'} is from another tree" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_told_before_the_demo_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "digits", None)
    (tmp_path / "keras" / "1").mkdir(parents=True)
    with pytest.raises(SystemExit):
        main(["train", "--resume", "--checkpoint", str(tmp_path), "--out", str(tmp_path)])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"rmsprop-optax train: --checkpoint: {tmp_path / 'keras' / '1'} is damaged")
    assert err.count("\n") == 1
