"""The plan of a step against numbers worked out by hand, and against the TPU's compiler where libtpu is installed."""

import argparse
import functools
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest
from compiled import optimizer, step
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import rmsprop_optax
from rmsprop_optax import float32_updates, plan, rmsprop, with_remainder
from rmsprop_optax.cli import main
from rmsprop_optax.cli import plan as command_line
from rmsprop_optax.cli._parser import UsageError
from rmsprop_optax.demo.steps import STEPS
from rmsprop_optax.plan import compiler, hlo, table

ARRAYS = {(1024, 512): 2, (512,): 3}
COUNT = 2 * 1024 * 512 + 3 * 512


def command(*words):
    parser = argparse.ArgumentParser()
    command_line.add_arguments(parser)
    command_line.run(parser.parse_args(words))


def rows(make, topology, *storage, dtype="float32", wrap=lambda tx: tx, **options):
    """The rows of some storages by name and ZeRO-1, by arithmetic."""
    optimizers = {name: wrap(rmsprop(1e-3, storage=name, **options)) for name in storage}
    found = plan.step(make, plan.topology_of(topology), optimizers, compile=False)
    return {(row["optimizer"], row["zero"]): row for row in found["rows"]}


# Storage, options → bytes of state and of a step, a parameter. A step reads and writes the parameter, 2·4 or 2·2 bytes,
# and each byte of state.
BY_HAND = [
    ("float32", "float32", {}, 4, 8 + 8),
    ("float32", "bfloat16", {}, 2, 8 + 4),
    ("float32", "uint8", {}, 1, 8 + 2),
    ("bfloat16", "float32", {"wrap": float32_updates}, 4, 4 + 8),
    ("bfloat16", "uint8", {"wrap": float32_updates}, 1, 4 + 2),
    ("float32", "float32", {"momentum": 0.9}, 4 + 4, 8 + 16),
    ("float32", "uint8", {"momentum": 0.9, "momentum_storage": "bfloat16"}, 1 + 2, 8 + 6),
    ("float32", "uint8", {"centered": True}, 1 + 4, 8 + 10),
    ("bfloat16", "float32", {"wrap": with_remainder}, 4 + 2, 4 + 12),
]


@pytest.mark.parametrize(("dtype", "storage", "options", "state", "least"), BY_HAND, ids=range(len(BY_HAND)))
def test_bytes_by_hand(dtype, storage, options, state, least):
    row = rows(plan.arrays(ARRAYS, dtype=dtype), "v5e:4x4", storage, **options)[storage, False]
    assert row["state_per_parameter"] == state
    assert row["state"] == state * COUNT / 16
    assert row["least"] == least * COUNT / 16
    assert row["seconds"] == pytest.approx(least * COUNT / 16 / 819e9)
    assert row["share"] == pytest.approx(2 * state / least)
    assert (row["moved"], row["temporary"], row["collectives"]) == (None, None, None)


@pytest.mark.parametrize(
    ("split", "zero", "topology", "parameters", "state"),
    [
        (True, False, "v5e:4x4", 2**17, 2**15),
        (False, True, "v5e:4x4", 2**21, 2**15),
        (False, False, "v5e:4x4", 2**21, 2**19),
        (True, False, "v5p:2x2x4", 2**17, 2**15),
        # Two devices a chip: what is in parts has twice as many, what is whole is there twice.
        (True, False, "tpu7x:2x2x4", 2**17, 2**15),
        (False, True, "tpu7x:2x2x4", 2**22, 2**15),
        (False, False, "tpu7x:2x2x4", 2**22, 2**20),
    ],
)
def test_bytes_of_a_chip(split, zero, topology, parameters, state):
    row = rows(plan.arrays({(1024, 512): 1}, split=split), topology, "uint8")["uint8", zero]
    assert (row["state"], row["least"]) == (state, 2 * parameters + 2 * state)
    assert row["memory"] == 2 * parameters + state
    assert row["state_per_parameter"] == 1


def test_zero_has_a_row_only_where_it_divides():
    whole, split = (plan.arrays(ARRAYS, split=split) for split in (False, True))
    assert list(rows(whole, "v5e:4x4", "uint8")) == [("SGD", False), ("uint8", False), ("uint8", True)]
    assert list(rows(split, "v5e:4x4", "uint8")) == [("SGD", False), ("uint8", False)]
    assert list(rows(whole, "v5e:1x1", "uint8")) == [("SGD", False), ("uint8", False)]


def test_what_does_not_divide_is_whole_everywhere():
    found = rows(plan.arrays({(7, 30): 2, (32, 3): 1}), "v5e:4x4", "float32")["float32", False]
    assert found["state"] == 4 * (420 + 96 / 16)


@pytest.mark.parametrize(("split", "count", "fits"), [(False, 1, True), (False, 2, False), (True, 2, True)])
def test_what_fits(split, count, fits):
    # 2^30 parameters: 4 GiB each of parameters, gradients and state, where a v5e has 15.75.
    row = rows(plan.arrays({(2**15, 2**15): count}, split=split), "v5e:2x2", "float32")["float32", False]
    assert row["memory"] == 12 * 2**30 * count / (4 if split else 1)
    assert row["fits"] == fits


@pytest.mark.parametrize(
    ("name", "chips", "devices"), [("v5e:16x16", 256, 256), ("v4:2x2x1", 4, 4), ("tpu7x:2x2x1", 4, 8)]
)
def test_topologies(name, chips, devices):
    found = plan.topology_of(name)
    assert (found.name, found.chips, found.devices) == (name, chips, devices)


@pytest.mark.parametrize(
    ("name", "grid"),
    # Google Cloud's pages v4, v5e, v5p and v6e, and MaxText's accelerator_to_spec_map.py for the larger ones.
    [
        ("v5litepod-16", "v5e:4x4"),
        ("v5e-1", "v5e:1x1"),
        ("v5e-8", "v5e:2x4"),
        ("V5E-128", "v5e:8x16"),
        ("v6e-256", "v6e:16x16"),
        ("v4-8", "v4:2x2x1"),
        ("v4-1024", "v4:8x8x8"),
        ("v5p-16", "v5p:2x2x2"),
        ("v5p-32", "v5p:2x2x4"),
        ("v5p-64", "v5p:2x4x4"),
        ("v5p-128", "v5p:4x4x4"),
        ("v5p-512", "v5p:4x8x8"),
        ("v5p-1152", "v5p:4x12x12"),
        ("v5p-9216", "v5p:12x16x24"),
        ("v5p-17920", "v5p:16x20x28"),
        ("tpu7x-128", "tpu7x:4x4x4"),
        ("v5lite:4x4", "v5e:4x4"),
    ],
)
def test_names_of_google_cloud(name, grid):
    assert plan.topology_of(name) == plan.topology_of(grid)
    assert plan.topology_of(name).name == grid


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("v7:4x4", r"a chip, v4, v5e, v5p, v6e, tpu7x, as in v5e:4x4 or v5e-16\.$"),
        ("4x4", "must begin with a chip"),
        ("", "must begin with a chip"),
        ("v6:4x4", r"mean v6e:4x4\?"),
        ("v5-16", r"mean v5p-16 or v5e-16\?"),
        ("v5litpod-16", "mean v5litepod-16"),
        ("v5e", "write v5e:AxB, or v5e-N as Google Cloud does. Did you mean v5e:4x4, which Cloud calls v5e-16"),
        ("v5e:16", "mean v5e:4x4"),
        ("v5e-4x4", "mean v5e:4x4"),
        ("v5e-12", "mean v5e:2x4, which Cloud calls v5e-8"),
        ("v5p-7", "mean v5p:2x2x1, which Cloud calls v5p-8"),
        ("v5e-99999999999999999999", "mean v5e:16x16"),
        ("v5e:4x4x4", "write v5e:AxB, .* mean v5e:8x8"),
        ("v5p:4x4", "write v5p:AxBxC, .* mean v5p:2x2x4, which Cloud calls v5p-32"),
        ("v5e:0x4", "write v5e:AxB"),
        ("v5e:4x٤", "write v5e:AxB"),
        ("v5e:3x3", "1 or even. Did you mean v5e:2x4"),
        ("v6e:32x32", "a pod of v6e has 256 chips, got 1024. Did you mean v6e:16x16"),
    ],
)
def test_no_such_topology(name, said):
    with pytest.raises(ValueError, match=said):
        plan.topology_of(name)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.3B", 1.3e9),
        ("350M", 3.5e8),
        ("125k", 1.25e5),
        ("70b", 7e10),
        (" 1 T ", 1e12),
        ("1.3e9", 1.3e9),
        ("7_000", 7e3),
    ],
)
def test_numbers_of_parameters(text, number):
    assert plan.parse_count(text) == number


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1.3G", r"got '1.3G'. Did you mean 1.3B\?"),
        ("1,3B", "mean 1.3B"),
        ("1.3 billion", "mean 1.3B"),
        ("350mil", "mean 350M"),
        ("", "such as 1.3e9, 1.3B, 350M or 125k, got ''.$"),
        ("many", "got 'many'.$"),
        ("1,300,000,000", "got '1,300,000,000'.$"),
    ],
)
def test_no_number_of_parameters(text, said):
    with pytest.raises(ValueError, match=said):
        plan.parse_count(text)


@pytest.mark.parametrize("parameters", [1e5, 1.25e5, 3.5e5, 1e6, 3e7, 1.24e8, 1.3e9, 7e10, 1e12])
@pytest.mark.parametrize("parts", [1, 16, 256])
def test_a_transformer_has_the_size_and_divides(parameters, parts):
    found = plan.transformer(parameters, parts)
    assert plan.size_of(found) == pytest.approx(parameters, rel=0.02)
    assert all(max(shape) % parts == 0 for shape in found) or (parameters < 1e6 and parts > 16)
    width = min(size for shape in found for size in shape if len(shape) == 2)
    if parameters >= 1e8:
        assert 32 < width / found[width, 4 * width] < 512


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ([8, 128], {(8, 128): 1}),
        ([], {(): 1}),
        ({"a": [[2, 3], [2, 3]], "b": {"c": [3]}}, {(2, 3): 2, (3,): 1}),
    ],
)
def test_trees_of_shapes(tree, expected):
    assert plan.arrays_of(tree) == expected


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"w": [8, 0]}, r"got \[8, 0\] at \['w'\]"),
        ({"w": [8, 1.5]}, "positive integers"),
        ({"w": [[True]]}, "positive integers"),
        ({"w": [["8"]]}, "positive integers"),
        ({"w": 8}, r"got 8 at \['w'\]"),
        ({"w": [[8], 8]}, r"got 8 at \['w'\]\[1\]"),
        ({}, "got none"),
    ],
)
def test_what_is_no_tree_of_shapes(tree, said):
    with pytest.raises(ValueError, match=said):
        plan.arrays_of(tree)


def network(tx, mesh, *, loop=1, returned=lambda params, state: (params, state, 0.0)):
    """A step of one matrix on a batch, with weights that the axis "model" divides where the mesh has one."""
    spec = P(None, "model") if "model" in mesh.axis_names else P()
    params = {"w": jax.ShapeDtypeStruct((256, 512), "float32", sharding=NamedSharding(mesh, spec))}
    batch = jax.ShapeDtypeStruct((loop, 64, 256), "float32", sharding=NamedSharding(mesh, P(None, mesh.axis_names[0])))

    def step(params, state, batch):
        def loss(params):
            return jax.lax.scan(lambda sum, x: (sum + jnp.square(x @ params["w"]).mean(), None), 0.0, batch)[0]

        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return returned(optax.apply_updates(params, updates), state)

    return step, params, batch


@pytest.mark.parametrize("loop", [1, 3])
def test_a_step_by_hand(loop):
    chips, axes = plan.topology_of("v5e:4x4"), {"data": 4, "model": 4}
    make = functools.partial(network, loop=loop)
    found = plan.step(make, chips, {"uint8": rmsprop(0.1, storage="uint8")}, mesh=axes, compile=False)
    size, batch = 256 * 512, 4 * loop * 64 * 256
    assert (found["parameters"], found["parameters_of_a_chip"]) == (size, size / 4)
    assert found["operations"] == 2 * 2 * loop * 64 * size / 16  # forward, and the gradient of the weights
    assert found["seconds"] == found["operations"] / 197e12
    sgd, whole, zero = found["rows"]
    assert sgd["least"] == 2 * size + batch / 4
    assert whole["least"] - sgd["least"] == 2 * size / 4
    assert zero["least"] - sgd["least"] == 2 * size / 16  # ZeRO-1 divides what "model" has divided over "data" too
    assert whole["share"] == pytest.approx(1 - sgd["least"] / whole["least"])


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_models_have_a_step(name, dtype):
    chips = plan.topology_of("v5e:4x4")
    with jax.numpy_dtype_promotion("standard"):  # optax adds a float32 update to a bfloat16 parameter
        found = plan.step(
            functools.partial(STEPS[name], dtype=dtype),
            chips,
            {"uint8": float32_updates(rmsprop(0.1, storage="uint8"))},
            mesh={"replica": 16, "fsdp": 1},
            compile=False,
        )
    assert name in command_line._MODELS
    said = re.search(r"([\d.]+) million parameters", STEPS[name].__doc__)
    assert f"{found['parameters'] / 1e6:.1f}" == said[1]
    assert found["parameter_bytes"] == (4 if dtype == "float32" else 2) * found["parameters"]
    assert found["operations"] > 0


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda params, state: (state, params), "must return parameters and state as they came, then others, got"),
        (lambda params, state: (params["w"], state), "as they came"),
        (lambda params, state: params["w"], "as they came"),
        (lambda params, state: (jax.tree.map(jnp.bfloat16, params), state), "as they came"),
    ],
)
def test_a_step_that_returns_something_else(returned, said):
    with pytest.raises(TypeError, match=said):
        plan.step(functools.partial(network, returned=returned), plan.topology_of("v5e:2x2"), compile=False)


@pytest.mark.parametrize(
    ("made", "got"),
    [
        (lambda step, params, batch: (params, step, batch), "got ({'w'"),
        (lambda step, params, batch: step, "got <function network"),
        (lambda step, params, batch: (step, {"w": jnp.ones((256, 512))}, batch), "Array"),
    ],
)
def test_a_make_that_returns_something_else(made, got):
    with pytest.raises(TypeError, match=r"make\(tx, mesh\) must return \(step, params, \*batch\)") as error:
        plan.step(lambda *given: made(*network(*given)), plan.topology_of("v5e:2x2"), compile=False)
    assert got in str(error.value)


def test_a_mesh_of_other_chips():
    with pytest.raises(ValueError, match=r"the 4 devices of v5e:2x2, got {'data': 8}"):
        plan.step(network, plan.topology_of("v5e:2x2"), mesh={"data": 8}, compile=False)


@pytest.fixture
def invented(monkeypatch):
    """A compiler with numbers that are easy to see again."""
    gather = {"all-gather": {"number": 3, "bytes": 5000}}
    numbers = {"moved": 2_097_152, "temporary": 1000, "memory": 3_000_000, "collectives": gather}
    monkeypatch.setattr(compiler, "devices", lambda topology: jax.devices()[: topology.devices])
    monkeypatch.setattr(compiler, "compiled", lambda lowered: dict(numbers))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: name)
    return numbers


def test_what_is_compiled_is_in_the_rows(invented):
    told = []
    found = plan.step(network, plan.topology_of("tpu7x:2x2x1"), {"mine": rmsprop(0.1)}, progress=told.append)
    assert told == ["SGD", "mine", "mine, ZeRO-1"]
    for row in found["rows"]:
        assert row["moved"] == 2 * invented["moved"]  # two devices a chip
        assert (row["temporary"], row["memory"]) == (2000, 6_000_000)
        assert row["collectives"] == invented["collectives"]
        assert (row["seconds"], row["share"]) == (row["moved"] / 7380e9, 0)


def test_what_the_compiler_has_no_memory_for_does_not_fit(invented, monkeypatch):
    def full(_):
        raise MemoryError

    monkeypatch.setattr(compiler, "compiled", full)
    found = plan.step(network, plan.topology_of("v5e:2x2"))
    assert not any(row["fits"] for row in found["rows"])
    assert {row["moved"] for row in found["rows"]} == {None}
    assert plan.text(found).count("does not fit") == 7


FILE = """
import jax
import optax
from jax.sharding import NamedSharding, PartitionSpec as P

def make(tx, mesh):
    def step(params, state, x):
        updates, state = tx.update(jax.grad(lambda w: (x @ w).sum())(params), state, params)
        return optax.apply_updates(params, updates), state

    params, x = (
        jax.ShapeDtypeStruct(shape, "float32", sharding=NamedSharding(mesh, P()))
        for shape in ((256, 512), (64, 256))
    )
    return step, params, x
"""


@pytest.fixture
def training(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])  # which the command adds the file's folder to
    path = tmp_path / "my_training.py"
    path.write_text(FILE)
    return f"{path}:make"


@pytest.mark.usefixtures("invented")
def test_a_terminal_is_told_which_step_is_compiled(training, capsys, monkeypatch):
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    command("--step", training, "--topology", "v5e:2x2", "--storage", "uint8")
    output, errors = capsys.readouterr()
    names = ("SGD", "uint8", "uint8, ZeRO-1")
    assert errors.splitlines() == [f"compiling for v5e:2x2: {name}" for name in names]
    [line] = [line for line in output.splitlines() if line.startswith("uint8, ZeRO-1")]
    assert re.split("  +", line) == [
        *("uint8, ZeRO-1", "1 B, 32.8 kB", "16 B, 2.1 MB", "3 all-gather 5 kB", "1 kB", "9 B", "0 %", "2.56 µs"),
        "0.0177 %",
    ]
    assert "activations included" in output


def test_json_holds_the_plan(tmp_path, capsys):
    path = tmp_path / "shapes.json"
    path.write_text(json.dumps({"layers": [[1024, 512], [1024, 512]], "norms": [[512], [512], [512]]}))
    options = ["--topology", "v6e:2x4", "--sharding", "replicated", "--dtype", "bfloat16", "--remainder", "--momentum"]
    command("--shapes", str(path), *options, "--storage", "uint8", "float32", "--mesh", "a=2,b=4", "--json")
    optimizers = {name: with_remainder(rmsprop(1, storage=name, momentum=0.9)) for name in ("uint8", "float32")}
    make = plan.arrays(ARRAYS, dtype="bfloat16", split=False)
    expected = plan.step(make, plan.topology_of("v6e:2x4"), optimizers, mesh={"a": 2, "b": 4}, compile=False)
    assert json.loads(capsys.readouterr().out) == expected


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_tables(form, capsys):
    command("--params", "1.3B", "--topology", "v5e-16", *(["--markdown"] if form == "markdown" else []))
    output, errors = capsys.readouterr()
    assert errors == ""
    head, chip, *lines = output.splitlines()
    assert head == "1,300,061,952 parameters in 116 arrays; 16 chips, v5e:4x4 (data 16)"
    assert chip == ("each chip: 325 MB of parameters; a program can use 16.91 GB (15.75 GiB) of HBM at 819 GB/s")
    table = [
        line for line in lines if line.lstrip("| ").startswith(("optimizer ", "SGD", "float32", "bfloat16", "uint8"))
    ]
    split = [
        [cell.strip() for cell in line.strip("|").split("|" if form == "markdown" else "  ") if cell.strip()]
        for line in table
    ]
    assert split == [
        ["optimizer", "state", "moved", "collectives", "temporary", "at least", "optimizer's", "time", "memory"],
        ["SGD", "0 B, 0 B", "-", "-", "-", "8 B", "0 %", "794 µs", "3.84 %"],
        ["float32", "4 B, 325 MB", "-", "-", "-", "16 B", "50 %", "1.59 ms", "5.77 %"],
        ["bfloat16", "2 B, 163 MB", "-", "-", "-", "12 B", "33 %", "1.19 ms", "4.8 %"],
        ["uint8", "1 B, 81.3 MB", "-", "-", "-", "10 B", "20 %", "992 µs", "4.32 %"],
    ]
    assert "Arithmetic, not compiled" in output
    assert "without activations" in output
    assert "No row has ZeRO-1" in output
    if form == "text":
        assert len({len(line) for line in table}) == 1
    assert max(map(len, output.splitlines())) <= 120


def test_the_legend_tells_what_the_rows_have():
    found = plan.step(plan.arrays(ARRAYS, split=False), plan.topology_of("v5e:4x4"))
    assert "No row has ZeRO-1" not in plan.text(found)
    assert "Below 0 %" not in plan.text(found)
    found["rows"][-1]["share"] = -0.05
    assert "Below 0 %: the step with ZeRO-1" in plan.text(found)
    assert "ZeRO-1" not in plan.text(plan.step(plan.arrays(ARRAYS), plan.topology_of("v5e:1x1")))


@pytest.mark.parametrize(("operations", "said"), [(2.15e8, "0.215·10⁹"), (1.0e12, "1·10¹²"), (1.03e13, "10.3·10¹²")])
def test_operations_are_written_in_three_digits(operations, said):
    found = plan.step(network, plan.topology_of("v5e:2x2"), compile=False)
    assert f": {said} operations a chip" in plan.text({**found, "operations": operations})


def test_a_step_tells_its_operations(capsys):
    command("--step", "mlp", "--topology", "v5e-16", "--storage", "uint8", "--no-compile")
    output, errors = capsys.readouterr()
    assert "products and convolutions: 2.15·10⁹ operations a chip, at least 10.9 µs at its peak in bfloat16" in output
    assert errors == ""


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 B"), (999, "999 B"), (999.7, "1 kB"), (1536, "1.54 kB"), (3.2e12, "3.2 TB"), (5e15, "5e+03 TB")],
)
def test_bytes_are_written_in_three_digits(number, said):
    assert table.bytes_text(number) == said


def test_without_libtpu_it_says_what_is_missing(training, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    command("--step", training, "--topology", "v4:2x2x1", "--storage", "uint8")
    output, errors = capsys.readouterr()
    assert errors == "libtpu is not installed: the numbers are arithmetic. To compile, pip install 'jax[tpu]'\n"
    assert "Arithmetic, not compiled" in output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--params", "1e3", "--topology", "v5e:4x4"], "1e5 to 1e14, got 1000;"),
        (["--params", "nan", "--topology", "v5e:4x4"], "1e5 to 1e14"),
        (["--params", "1e9", "--topology", "v5e:4x4", "--remainder"], "needs bfloat16 parameters, got --dtype float32"),
        (["--params", "1e9", "--topology", "v5e:4x4", "--momentum-storage", "bfloat16"], "needs --momentum"),
        (["--params", "1e9", "--topology", "v5e:4x4", "--mesh", "data=4"], "the 16 devices of v5e:4x4, got"),
        (["--shapes", "no such file", "--topology", "v5e:4x4"], "no such file"),
        (["--shapes", __file__, "--topology", "v5e:4x4"], r"--shapes .*test_plan.py: Extra data"),
        (
            ["--step", "resnet", "--topology", "v5e:4x4"],
            "must be FILE:NAME, MODULE:NAME or one of mlp, wide, conv, transf",
        ),
        (["--step", "mpl", "--topology", "v5e:4x4"], "got 'mpl'; did you mean mlp?"),
        (["--step", "math:sqr", "--topology", "v5e:4x4"], "math has no function 'sqr'; did you mean sqrt?"),
        (["--step", "no_such.py:make", "--topology", "v5e:4x4"], r"--step no_such.py:make: "),
        (["--step", "no_such:make", "--topology", "v5e:4x4"], "--step no_such:make: No module named 'no_such'"),
        (["--step", "math:pi", "--topology", "v5e:4x4"], "--step math:pi: math has no function 'pi'"),
    ],
)
def test_what_a_user_has_to_change(words, said, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(UsageError, match=said):
        command(*words, "--no-compile")


def test_shapes_nested_too_deeply(tmp_path):
    path = tmp_path / "shapes.json"
    path.write_text("[" * 100_000)
    with pytest.raises(UsageError, match=r"--shapes .*shapes\.json: "):
        command("--shapes", str(path), "--topology", "v5e:4x4")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--params", "1.3G", "--topology", "v5e:4x4"], "argument --params: must be .* Did you mean 1.3B?"),
        (["--params", "1e9", "--topology", "v5e:16"], "argument --topology: .* Did you mean v5e:4x4, "),
        (["--params", "1e9", "--topology", "v5e-16", "--mesh", "4x4"], "argument --mesh: must be axes and their sizes"),
    ],
)
def test_a_misspelt_word_is_named_in_one_line(words, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["plan", *words])
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(said, line)


@pytest.mark.parametrize(
    ("said", "raised"),
    [("RESOURCE_EXHAUSTED: 20 GiB", MemoryError), ("INTERNAL: a bug", jax.errors.JaxRuntimeError)],
)
def test_a_lack_of_memory_is_told_from_a_bug_of_the_compiler(said, raised):
    class Lowered:
        def compile(self):
            raise jax.errors.JaxRuntimeError(said)

    with pytest.raises(raised, match=said):
        compiler.compiled(Lowered())


@pytest.mark.usefixtures("invented")
def test_what_the_compiler_says_is_told(training, monkeypatch):
    def fails(_):
        raise jax.errors.JaxRuntimeError("INTERNAL: a bug")

    monkeypatch.setattr(compiler, "compiled", fails)
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(UsageError, match=r"drop the compiler with --no-compile\. The compiler says: INTERNAL: a bug"):
        command("--step", training, "--topology", "v5e:2x2")


UNCHANGED = """
import os
import jax
def settings():
    return dict(os.environ), dict(jax.config.values)
before = settings()
from rmsprop_optax import plan
from rmsprop_optax.cli import plan as command_line
plan.text(plan.step(plan.arrays({(8, 8): 1}), plan.topology_of("v5e:2x2")))
assert settings() == before
"""


def test_no_setting_of_the_caller_changes():
    """Nor does a backend start: no backend of JAX has this name, so that a process which starts one fails."""
    package = str(Path(rmsprop_optax.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": package, "JAX_PLATFORMS": "none_may_start"}
    found = subprocess.run([sys.executable, "-c", UNCHANGED], env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


PROGRAM = """HloModule jit_step

%sliced (param_0.1: f32[1024,256], param_1.1: s32[], param_2.1: bf16[64,256]) -> (f32[64,256], bf16[64,256]) {
  %param_0.1 = f32[1024,256]{1,0:T(8,128)} parameter(0)
  %param_1.1 = s32[]{:T(128)S(6)} parameter(1)
  %dynamic-slice.1 = f32[64,256]{1,0:T(8,128)} dynamic-slice(%param_0.1, %param_1.1, %c), dynamic_slice_sizes={64,256}
  %param_2.1 = bf16[64,256]{1,0:T(8,128)(2,1)} parameter(2)
  ROOT %tuple.1 = (f32[64,256]{1,0:T(8,128)}, bf16[64,256]{1,0:T(8,128)(2,1)}) tuple(%dynamic-slice.1, %param_2.1)
}

ENTRY %main (p: f32[1024,256], q: bf16[64,256], r: s32[], t: u8[3,100]) -> f32[1024,256] {
  %p = f32[1024,256]{1,0:T(8,128)} parameter(0), sharding={replicated}
  %q = bf16[64,256]{1,0:T(8,128)(2,1)} parameter(1), metadata={op_name="state[0]"}
  %r = s32[]{:T(128)} parameter(2)
  %t = u8[3,100]{1,0:T(8,128)(4,1)} parameter(3)
  %start = (bf16[64,256]{1,0:T(8,128)(2,1)S(1)}, bf16[64,256]{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) copy-start(%q)
  %done = bf16[64,256]{1,0:T(8,128)(2,1)S(1)} copy-done(%start)
  %both = (f32[64,256]{1,0:T(8,128)}, bf16[64,256]{1,0:T(8,128)(2,1)S(1)}) fusion(%p, %r, %done), calls=%sliced
  %new = f32[64,256]{1,0:T(8,128)} get-tuple-element(%both), index=0
  %copy = u8[3,100]{1,0:T(8,128)(4,1)} copy(%t)
  %rows = f32[16,256]{1,0:T(8,128)} slice(%p), slice={[0:16], [0:256]}
  %part = ((f32[1024,256]{1,0:T(8,128)}), f32[8,256]{1,0:T(8,128)S(1)}, s32[]{:S(2)}) slice-start(%p)
  ROOT %whole = f32[1024,256]{1,0:T(8,128)} all-gather(%new), channel_id=1, dimensions={0}
}
"""


# A loop of three turns, in which a fusion writes a row of a buffer in place and an all-reduce is fused with a slice.
LOOP = """HloModule jit_step

%row (param_0: f32[64,8,128], param_1: f32[8,128], param_2: s32[]) -> f32[64,8,128] {
  %param_0 = f32[64,8,128]{2,1,0:T(8,128)} parameter(0)
  %param_1 = f32[8,128]{1,0:T(8,128)} parameter(1)
  %param_2 = s32[]{:T(128)} parameter(2)
  %one = f32[1,8,128]{2,1,0:T(8,128)} bitcast(%param_1)
  ROOT %into = f32[64,8,128]{2,1,0:T(8,128)} dynamic-update-slice(%param_0, %one, %param_2, %zero, %zero)
}

%scatter (param_0: f32[32,128]) -> f32[8,128] {
  %param_0 = f32[32,128]{1,0:T(8,128)} parameter(0)
  %all-reduce.1 = f32[32,128]{1,0:T(8,128)} all-reduce(%param_0), to_apply=%add
  ROOT %own = f32[8,128]{1,0:T(8,128)} dynamic-slice(%all-reduce.1, %zero, %zero), dynamic_slice_sizes={8,128}
}

%body (arg: (s32[], f32[64,8,128], f32[32,128])) -> (s32[], f32[64,8,128], f32[32,128]) {
  %arg = (s32[]{:T(128)}, f32[64,8,128]{2,1,0:T(8,128)}, f32[32,128]{1,0:T(8,128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%arg), index=0
  %buffer = f32[64,8,128]{2,1,0:T(8,128)} get-tuple-element(%arg), index=1
  %sums = f32[32,128]{1,0:T(8,128)} get-tuple-element(%arg), index=2
  %mine = f32[8,128]{1,0:T(8,128)} fusion(%sums), kind=kCustom, calls=%scatter
  %new = f32[64,8,128]{2,1,0:T(8,128)} fusion(%buffer, %mine, %i), kind=kLoop, calls=%row
  ROOT %next = (s32[]{:T(128)}, f32[64,8,128]{2,1,0:T(8,128)}, f32[32,128]{1,0:T(8,128)}) tuple(%i, %new, %sums)
}

%condition (arg: (s32[], f32[64,8,128], f32[32,128])) -> pred[] {
  %arg = (s32[]{:T(128)}, f32[64,8,128]{2,1,0:T(8,128)}, f32[32,128]{1,0:T(8,128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%arg), index=0
  %three = s32[]{:T(128)} constant(3)
  ROOT %less = pred[]{:T(512)} compare(%i, %three), direction=LT
}

ENTRY %main (p: f32[64,8,128], q: f32[32,128]) -> f32[64,8,128] {
  %p = f32[64,8,128]{2,1,0:T(8,128)} parameter(0)
  %q = f32[32,128]{1,0:T(8,128)} parameter(1)
  %zero = s32[]{:T(128)} constant(0)
  %first = (s32[]{:T(128)}, f32[64,8,128]{2,1,0:T(8,128)}, f32[32,128]{1,0:T(8,128)}) tuple(%zero, %p, %q)
  %loop = (s32[]{:T(128)}, f32[64,8,128]{2,1,0:T(8,128)}) while(%first), condition=%condition, body=%body
  %result = f32[64,8,128]{2,1,0:T(8,128)} get-tuple-element(%loop), index=1
  %part = f32[8,128]{1,0:T(8,128)S(1)} slice(%q), slice={[0:8], [0:128]}
  %start = (f32[8,128]{1,0:T(8,128)S(1)}, f32[32,128]{1,0:T(8,128)}) all-gather-start(%part), dimensions={0}
  ROOT %copy = f32[64,8,128]{2,1,0:T(8,128)} copy(%result)
}
"""


def test_a_loop_counts_as_often_as_it_turns():
    row, sums, buffer = 4 * 8 * 128, 4 * 32 * 128, 4 * 64 * 8 * 128
    turn = sums + row + row + row  # the sums, the part of them, read again and written to its place in the buffer
    outside = row + sums + 2 * buffer  # a slice, what is gathered of it, and the copy
    assert plan.traffic(LOOP) == 3 * turn + outside
    assert plan.traffic(LOOP.replace("constant(3)", "parameter(1)")) == turn + outside
    assert plan.collectives(LOOP) == {
        "all-gather": {"number": 1, "bytes": sums},
        "all-reduce": {"number": 3, "bytes": 3 * sums},
    }


# An asynchronous all-gather: one fusion starts it, one computes meanwhile, one ends it. Its buffer passes through.
ASYNCHRONOUS = """HloModule jit_step

%begin (param_0: f32[16,128]) -> (f32[16,128], f32[64,128], u32[]) {
  %param_0 = f32[16,128]{1,0:T(8,128)} parameter(0)
  %gather.1 = f32[64,128]{1,0:T(8,128)} all-gather(%param_0), channel_id=9, dimensions={0}
  %flag = u32[]{:S(2)} constant(0)
  ROOT %started = (f32[16,128]{1,0:T(8,128)}, f32[64,128]{1,0:T(8,128)}, u32[]{:S(2)}) tuple(%param_0, %gather.1, %flag)
}

%meanwhile (param_0: f32[16,128], param_1: f32[64,128], param_2: f32[32,128]) -> (f32[32,128], f32[64,128], f32[64,128]) {
  %param_2 = f32[32,128]{1,0:T(8,128)} parameter(2)
  %computed = f32[32,128]{1,0:T(8,128)} exponential(%param_2)
  %param_0 = f32[16,128]{1,0:T(8,128)} parameter(0)
  %param_1 = f32[64,128]{1,0:T(8,128)} parameter(1)
  %gather.2 = f32[64,128]{1,0:T(8,128)} all-gather(%param_0), channel_id=9, dimensions={0}
  ROOT %all = (f32[32,128]{1,0:T(8,128)}, f32[64,128]{1,0:T(8,128)}, f32[64,128]{1,0:T(8,128)}) tuple(%computed, %param_1, %gather.2)
}

%end (param_0: f32[16,128], param_1: f32[64,128]) -> f32[64,128] {
  %param_0 = f32[16,128]{1,0:T(8,128)} parameter(0)
  %param_1 = f32[64,128]{1,0:T(8,128)} parameter(1)
  ROOT %gather.3 = f32[64,128]{1,0:T(8,128)} all-gather(%param_0), channel_id=9, dimensions={0}
}

ENTRY %main (p: f32[16,128], q: f32[32,128]) -> f32[64,128] {
  %p = f32[16,128]{1,0:T(8,128)} parameter(0)
  %q = f32[32,128]{1,0:T(8,128)} parameter(1)
  %start = (f32[16,128]{1,0:T(8,128)}, f32[64,128]{1,0:T(8,128)}, u32[]{:S(2)}) fusion(%p), kind=kCustom, output_to_operand_aliasing={{0}: (0, {})}, calls=%begin
  %own = f32[16,128]{1,0:T(8,128)} get-tuple-element(%start), index=0
  %whole = f32[64,128]{1,0:T(8,128)} get-tuple-element(%start), index=1
  %both = (f32[32,128]{1,0:T(8,128)}, f32[64,128]{1,0:T(8,128)}, f32[64,128]{1,0:T(8,128)}) fusion(%own, %whole, %q), kind=kOutput, output_to_operand_aliasing={{1}: (1, {}), {2}: (1, {})}, calls=%meanwhile
  %later = f32[64,128]{1,0:T(8,128)} get-tuple-element(%both), index=2
  ROOT %done = f32[64,128]{1,0:T(8,128)} fusion(%own, %later), kind=kCustom, output_to_operand_aliasing={{}: (1, {})}, calls=%end
}
"""  # noqa: E501


def test_an_asynchronous_collective_counts_once():
    part, computed, whole = 4 * 16 * 128, 4 * 32 * 128, 4 * 64 * 128
    assert plan.collectives(ASYNCHRONOUS) == {"all-gather": {"number": 1, "bytes": whole}}
    # The part is read by the fusions that do not pass it on, and the whole written once.
    assert plan.traffic(ASYNCHRONOUS) == whole + 2 * computed + 2 * part


def test_collectives_of_a_program():
    assert plan.collectives(PROGRAM) == {"all-gather": {"number": 1, "bytes": 4 * 1024 * 256}}


def test_traffic_is_what_passes_the_memory():
    fetched = 2 * 64 * 256
    slice_and_result = 2 * 4 * 64 * 256
    tiles = 2 * 8 * 128  # 3 by 100 bytes take a whole tile, read and written
    rows = 2 * 4 * 16 * 256
    prefetched_slice = 4 * 8 * 256
    gathered = 4 * 64 * 256 + 4 * 1024 * 256
    assert plan.traffic(PROGRAM) == fetched + slice_and_result + tiles + rows + prefetched_slice + gathered


@pytest.mark.parametrize(
    ("array", "size"),
    [
        ("f32[3,8,100]{2,1,0:T(8,128)}", 4 * 3 * 8 * 128),
        ("bf16[100,8]{0,1:T(8,128)(2,1)}", 2 * 8 * 128),  # the first dimension is the one that lies together
        ("f32[300]{0:T(8,128)}", 4 * 8 * 384),  # tiles of more dimensions than the array
        ("pred[10]{0}", 10),
    ],
)
def test_arrays_are_padded_to_whole_tiles(array, size):
    assert hlo._sizes(array) == [(size, True)]


@pytest.fixture
def libtpu():
    pytest.importorskip("libtpu", reason="libtpu is not installed")
    os.environ |= plan.LIBTPU


TREE = [(2048, 1024), (8192, 1024), (2048, 1024), (16384,)]


@pytest.mark.usefixtures("libtpu")
@pytest.mark.parametrize(
    ("topology", "storage"),
    [("v4:2x2x1", "float32"), ("v5e:2x2", "bfloat16"), ("v5p:2x2x1", "bfloat16"), ("v6e:2x2", "float32")],
)
def test_the_compiler_counts_the_same_bytes(topology, storage):
    """It does where it fetches nothing ahead, which it counts too; of uint8 libtpu 0.0.50 counts the codes twice."""
    devices, options = plan.devices(plan.topology_of(topology)), {"xla_msa_enable": False}
    program, _, _ = step(optimizer(storage), TREE, "float32", devices, P("x"), options)
    scalars = 50_000
    assert program.cost_analysis()["bytes accessed"] == pytest.approx(plan.traffic(program.as_text()), abs=scalars)


@pytest.mark.usefixtures("libtpu")
def test_a_chip_that_libtpu_does_not_know():
    unknown = plan.Topology("v9:4x4", plan.CHIPS["v5e"], (4, 4))  # as a new one to an old libtpu
    with pytest.raises(ValueError, match=r"topology 'v9:4x4': .*v9"):
        plan.devices(unknown)


@pytest.mark.usefixtures("libtpu")
@pytest.mark.parametrize("name", plan.CHIPS)
def test_the_memory_that_a_program_can_use(name):
    """The compiler names it, in GiB, when a program does not fit."""
    topology = plan.topology_of(f"{name}:{'x'.join('221'[: plan.CHIPS[name].dimensions])}")
    [device, *_] = plan.devices(topology)
    x = jax.ShapeDtypeStruct((2**19, 2**18), "float32", sharding=jax.sharding.SingleDeviceSharding(device))
    with pytest.raises(MemoryError) as caught:
        compiler.compiled(jax.jit(jnp.exp).lower(x))
    found = re.search(r"(?:available HBM \(|of )([\d.]+)G", str(caught.value))
    assert found is not None
    assert float(found[1]) * topology.chip.devices == topology.chip.usable, str(caught.value)


@pytest.mark.usefixtures("libtpu")
def test_the_compiled_step_of_a_matrix():
    found = plan.step(network, plan.topology_of("v5e:2x2"), {"uint8": rmsprop(0.1, storage="uint8")})
    sgd, whole, zero = found["rows"]
    for row in (sgd, whole, zero):
        assert row["collectives"]["all-reduce"]["number"] >= 1
        assert row["least"] <= row["moved"] < 2 * row["least"]
        assert row["fits"]
    assert whole["moved"] - sgd["moved"] == pytest.approx(2 * 256 * 512, rel=0.02)  # a code read and written
    assert sgd["collectives"].get("all-gather") is None
    assert zero["collectives"]["all-gather"] == {"number": 1, "bytes": 4 * 256 * 512}


@pytest.mark.usefixtures("libtpu")
def test_the_command_compiles(training):
    package = str(Path(rmsprop_optax.__file__).parents[1])
    words = ["plan", "--step", training, "--topology", "v5e-1", "--storage", "uint8", "--json"]
    line = [sys.executable, "-m", "rmsprop_optax", *words]
    found = subprocess.run(line, env=os.environ | {"PYTHONPATH": package}, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    sgd, uint8, *_ = json.loads(found.stdout)["rows"]
    assert uint8["moved"] - sgd["moved"] == pytest.approx(2 * 256 * 512, rel=0.02)
