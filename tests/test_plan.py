"""The plan of a step against numbers worked out by hand, and against the TPU's compiler where libtpu is installed."""

import argparse
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jax
import optax
import pytest
from compiled import optimizer, step
from jax.sharding import PartitionSpec as P

import rmsprop_optax
from rmsprop_optax import plan
from rmsprop_optax.cli import main
from rmsprop_optax.cli import plan as command_line
from rmsprop_optax.cli._parser import UsageError
from rmsprop_optax.plan import compiler, hlo, table

ARRAYS = {(1024, 512): 2, (512,): 3}
COUNT = 2 * 1024 * 512 + 3 * 512


def command(*words):
    parser = argparse.ArgumentParser()
    command_line.add_arguments(parser)
    command_line.run(parser.parse_args(words))


def run_alone(code, **variables):
    """Run Python in a process of its own that sees this package."""
    environment = os.environ | {"PYTHONPATH": str(Path(rmsprop_optax.__file__).parents[1])} | variables
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def rows(arrays, topology, **options):
    return plan.plan(arrays, plan.topology_of(topology), **options)["rows"]


# Storage, options → bytes of state and bytes moved, a parameter. Moved: parameter and gradient are read and the
# parameter is written, 3·4 or 3·2 bytes, and each byte of state is read and written.
BY_HAND = [
    ("float32", "float32", {}, 4, 12 + 8),
    ("float32", "bfloat16", {}, 2, 12 + 4),
    ("float32", "uint8", {}, 1, 12 + 2),
    ("bfloat16", "float32", {}, 4, 6 + 8),
    ("bfloat16", "bfloat16", {}, 2, 6 + 4),
    ("bfloat16", "uint8", {}, 1, 6 + 2),
    ("float32", "float32", {"momentum": True}, 4 + 4, 12 + 16),
    ("float32", "uint8", {"momentum": True, "momentum_storage": "bfloat16"}, 1 + 2, 12 + 6),
    ("float32", "float32", {"centered": True}, 4 + 4, 12 + 16),
    ("float32", "uint8", {"centered": True}, 1 + 4, 12 + 10),
    ("bfloat16", "float32", {"remainder": True}, 4 + 2, 6 + 12),
    ("bfloat16", "uint8", {"remainder": True, "momentum": True}, 1 + 4 + 2, 6 + 14),
]


@pytest.mark.parametrize(("dtype", "storage", "options", "state", "moved"), BY_HAND, ids=str)
def test_bytes_by_hand(dtype, storage, options, state, moved):
    [row] = rows(ARRAYS, "v5e:4x4", dtype=dtype, storage=[storage], **options)
    assert row["state_per_parameter"] == state
    assert row["state"] == state * COUNT / 16
    assert row["parameters"] == COUNT / 16
    assert row["parameter_bytes"] == (4 if dtype == "float32" else 2) * COUNT / 16
    assert row["arithmetic"]["moved_per_parameter"] == moved
    assert row["arithmetic"]["moved"] == moved * COUNT / 16
    assert row["arithmetic"]["seconds"] == pytest.approx(moved * COUNT / 16 / 819e9)


@pytest.mark.parametrize(
    ("sharding", "topology", "parameters", "state", "moved"),
    [
        ("fsdp", "v5e:4x4", 2**17, 2**15, 14 * 2**15),
        # Read are the chip's parts of parameter and gradient, written is the whole parameter.
        ("zero1", "v5e:4x4", 2**21, 2**15, 2 * 2**17 + 2 * 2**15 + 2**21),
        ("replicated", "v5e:4x4", 2**21, 2**19, 14 * 2**19),
        ("fsdp", "v5p:2x2x4", 2**17, 2**15, 14 * 2**15),
        # Two devices a chip: what is in parts has twice as many, what is whole is there twice.
        ("fsdp", "tpu7x:2x2x4", 2**17, 2**15, 14 * 2**15),
        ("zero1", "tpu7x:2x2x4", 2**22, 2**15, 2 * 2**17 + 2 * 2**15 + 2**22),
        ("replicated", "tpu7x:2x2x4", 2**22, 2**20, 14 * 2**20),
    ],
)
def test_bytes_of_a_chip(sharding, topology, parameters, state, moved):
    [row] = rows({(1024, 512): 1}, topology, sharding=sharding, storage=["uint8"])
    assert (row["parameter_bytes"], row["state"], row["arithmetic"]["moved"]) == (parameters, state, moved)
    assert row["memory"] == 2 * parameters + state
    assert row["state_per_parameter"] == 1


@pytest.mark.parametrize("sharding", ["fsdp", "zero1"])
def test_what_does_not_divide_is_whole_everywhere(sharding):
    found = plan.plan({(7, 30): 2, (32, 3): 1}, plan.topology_of("v5e:4x4"), sharding=sharding, storage=["float32"])
    assert found["undivided"] == {"arrays": 2, "parameters": 420}
    assert found["rows"][0]["state"] == 4 * (420 + 96 / 16)
    assert "whole on every chip: 2 arrays, 420 parameters;" in plan.text(found)


@pytest.mark.parametrize(
    ("sharding", "count", "fits"), [("replicated", 1, True), ("replicated", 2, False), ("fsdp", 2, True)]
)
def test_what_fits(sharding, count, fits):
    # 2^30 parameters: 4 GiB each of parameters, gradients and state, where a v5e has 15.75.
    [row] = rows({(2**15, 2**15): count}, "v5e:2x2", sharding=sharding, storage=["float32"])
    assert row["memory"] == 12 * 2**30 * count / (4 if sharding == "fsdp" else 1)
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


def test_options_that_do_not_fit():
    with pytest.raises(ValueError, match="only with momentum"):
        rows(ARRAYS, "v5e:2x2", momentum_storage="bfloat16")
    with pytest.raises(ValueError, match="needs bfloat16 parameters, got dtype=float32"):
        rows(ARRAYS, "v5e:2x2", remainder=True)


def invented(step, shape, topology):
    """A compiler with numbers that are easy to add."""
    return {"moved": 10 * math.prod(shape), "kernels": 2, "temporary": 1000, "all-gather": 1}


def test_what_is_compiled_is_summed_over_the_arrays():
    [row] = rows(ARRAYS, "v5e:4x4", storage=["uint8"], compiler=invented)
    assert row["compiled"] == {
        "moved": 10 * COUNT,
        "moved_per_parameter": 160,
        "seconds": 10 * COUNT / 819e9,
        "kernels": 10,
        "collectives": {"all-gather": 5},
        "temporary": 5000,
    }
    assert row["memory"] == 9 * COUNT / 16 + 5000


def test_what_the_compiler_has_no_memory_for_does_not_fit():
    def full(*_):
        raise MemoryError

    [row] = rows(ARRAYS, "v5e:4x4", storage=["uint8"], compiler=full)
    assert row["compiled"] is None
    assert not row["fits"]


@pytest.mark.parametrize(("sharding", "said"), [("zero1", True), ("fsdp", False)])
def test_zero_was_compiled_array_by_array(sharding, said):
    options = {"sharding": sharding, "storage": ["uint8"]}
    arithmetic, found = (
        plan.text(plan.plan(ARRAYS, plan.topology_of("v5e:4x4"), compiler=c, **options)) for c in (None, invented)
    )
    assert ("Each array is compiled alone." in found) == said
    assert "compiled alone" not in arithmetic


def test_a_terminal_is_told_which_array_is_compiled(monkeypatch, tmp_path, capsys):
    path = tmp_path / "shapes.json"
    path.write_text("[[1024, 512], [512]]")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(plan.Compiler, "__call__", lambda _, *request: invented(*request))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    command("--shapes", str(path), "--topology", "v5e:4x4", "--storage", "uint8", "--json")
    output, errors = capsys.readouterr()
    assert [line.rstrip() for line in errors.split("\r")] == [
        "compiling 1 of 2 for v5e:4x4: 1024x512",
        "compiling 2 of 2 for v5e:4x4: 512",
        "",
    ]
    assert len(set(map(len, errors.split("\r")[:-1]))) == 1  # a line hides the one before
    assert json.loads(output)["rows"][0]["compiled"]["kernels"] == 4


def test_json_holds_the_plan(tmp_path, capsys):
    path = tmp_path / "shapes.json"
    path.write_text(json.dumps({"layers": [[1024, 512], [1024, 512]], "norms": [[512], [512], [512]]}))
    options = ["--topology", "v6e:2x4", "--sharding", "zero1", "--dtype", "bfloat16", "--remainder", "--momentum"]
    command("--shapes", str(path), *options, "--storage", "uint8", "float32", "--no-compile", "--json")
    expected = plan.plan(
        ARRAYS,
        plan.topology_of("v6e:2x4"),
        sharding="zero1",
        dtype="bfloat16",
        remainder=True,
        momentum=True,
        storage=("uint8", "float32"),
    )
    assert json.loads(capsys.readouterr().out) == expected


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_tables(form, capsys):
    command("--params", "1.3B", "--topology", "v5e-16", "--no-compile", *(["--markdown"] if form == "markdown" else []))
    output, errors = capsys.readouterr()
    assert errors == ""
    head, share, chip, *lines = output.splitlines()
    assert head == "1,300,061,952 parameters in 116 arrays; 16 chips, v5e:4x4"
    assert share.startswith("fsdp: parameters, gradients and state split over the chips; float32")
    assert chip == (
        "each chip: 325 MB of parameters, 325 MB of gradients; "
        "a program can use 16.91 GB (15.75 GiB) of HBM at 819 GB/s"
    )
    table = [line for line in lines if line.lstrip("| ").startswith(("storage", "float32", "bfloat16", "uint8"))]
    split = [
        [cell.strip() for cell in line.strip("|").split("|" if form == "markdown" else "  ") if cell.strip()]
        for line in table
    ]
    assert split == [
        ["storage", "state", "moved", "at least", "kernels", "collectives", "temporary", "time", "memory"],
        ["float32", "4 B, 325 MB", "20 B, 1.63 GB", "20 B", "-", "-", "-", "1.98 ms", "5.77 %"],
        ["bfloat16", "2 B, 163 MB", "16 B, 1.3 GB", "16 B", "-", "-", "-", "1.59 ms", "4.8 %"],
        ["uint8", "1 B, 81.3 MB", "14 B, 1.14 GB", "14 B", "-", "-", "-", "1.39 ms", "4.32 %"],
    ]
    if form == "text":
        assert len({len(line) for line in table}) == 1
    assert max(map(len, output.splitlines())) <= 120


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 B"), (999, "999 B"), (999.7, "1 kB"), (1536, "1.54 kB"), (3.2e12, "3.2 TB"), (5e15, "5e+03 TB")],
)
def test_bytes_are_written_in_three_digits(number, said):
    assert table.bytes_text(number) == said


def test_memory_has_the_units_of_all_else():
    found = plan.text(plan.plan(ARRAYS, plan.topology_of("v5p-8"), storage=["uint8"]))
    assert "102.8 GB (95.74 GiB) of HBM at 2765 GB/s" in found


@pytest.mark.parametrize("sharding", plan.SHARDINGS)
def test_tables_are_narrow(sharding):
    found = plan.plan({(7, 30): 2} | ARRAYS, plan.topology_of("tpu7x:16x24x24"), sharding=sharding, compiler=invented)
    assert max(map(len, plan.text(found).splitlines())) <= 120


def test_without_libtpu_it_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    command("--params", "1e8", "--topology", "v4:2x2x1", "--storage", "uint8")
    output, errors = capsys.readouterr()
    assert errors == "libtpu is not installed: the numbers are arithmetic. To compile, pip install 'jax[tpu]'\n"
    assert "14 B" in output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--params", "1e3", "--topology", "v5e:4x4"], "1e5 to 1e14, got 1000;"),
        (["--params", "nan", "--topology", "v5e:4x4"], "1e5 to 1e14"),
        (["--params", "1e9", "--topology", "v5e:4x4", "--remainder"], "bfloat16"),
        (["--params", "1e9", "--topology", "v5e:4x4", "--momentum-storage", "bfloat16"], "only with momentum"),
        (["--shapes", "no such file", "--topology", "v5e:4x4"], "no such file"),
        (["--shapes", __file__, "--topology", "v5e:4x4"], r"--shapes .*test_plan.py: Extra data"),
    ],
)
def test_what_a_user_has_to_change(words, said):
    with pytest.raises(UsageError, match=said):
        command(*words, "--no-compile")


def test_shapes_nested_too_deeply(tmp_path):
    path = tmp_path / "shapes.json"
    path.write_text("[" * 100_000)
    with pytest.raises(UsageError, match=r"--shapes .*shapes\.json: "):
        command("--shapes", str(path), "--topology", "v5e:4x4", "--no-compile")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--params", "1.3G", "--topology", "v5e:4x4"], "argument --params: must be .* Did you mean 1.3B?"),
        (["--params", "1e9", "--topology", "v5e:16"], "argument --topology: .* Did you mean v5e:4x4, "),
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
def test_a_lack_of_memory_is_told_from_a_bug_of_the_compiler(said, raised, monkeypatch):
    def fails(*_):
        raise jax.errors.JaxRuntimeError(said)

    monkeypatch.setattr(compiler, "devices", lambda _: jax.devices()[:4])
    monkeypatch.setattr(optax, "apply_updates", fails)
    with pytest.raises(raised, match=said):
        plan.compiled(plan.Step(), (8, 8), plan.topology_of("v5e:2x2"))


def test_what_the_compiler_says_is_told(monkeypatch):
    def fails(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: a bug")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(plan.Compiler, "__call__", fails)
    with pytest.raises(UsageError, match=r"--no-compile does without it\. It says: INTERNAL: a bug"):
        command("--params", "1e8", "--topology", "v5e:4x4")


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="libtpu is installed")
def test_an_error_passes_from_the_other_process():
    with plan.Compiler() as compile_, pytest.raises(RuntimeError, match="TPU support not installed"):
        compile_(plan.Step(), (8, 8), plan.topology_of("v5e:2x2"))


def test_the_end_of_the_other_process_is_told(capfd):
    with plan.Compiler() as compile_:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="ended with status 1"):
                compile_(["no step"] * 9, (8, 8), plan.topology_of("v5e:2x2"))
    assert "TypeError" in capfd.readouterr().err


# No backend of JAX has this name, so that a process which starts one fails.
NO_BACKEND = {"JAX_PLATFORMS": "none_may_start"}
UNCHANGED = """
import os
import jax
def settings():
    return dict(os.environ), dict(jax.config.values)
before = settings()
from rmsprop_optax import plan
from rmsprop_optax.cli import plan as command_line
assert settings() == before, "import"
import argparse
parser = argparse.ArgumentParser()
command_line.add_arguments(parser)
words = "--params 1M --topology v5e:2x2 --storage uint8 --momentum"
command_line.run(parser.parse_args(words.split()))
assert settings() == before, "run"
"""


def test_no_setting_of_the_caller_changes():
    """Environment, configuration and backends stay; the compiler runs too where libtpu is installed."""
    found = run_alone(UNCHANGED, **NO_BACKEND)
    assert found.returncode == 0, found.stderr
    [row] = [line for line in found.stdout.splitlines() if line.startswith("uint8")]
    assert ("-" in row.split()) == (importlib.util.find_spec("libtpu") is None)


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
    ("topology", "storage", "kernels"),
    # A v6e's compiler has one kernel for the two arrays that are alike, and small.
    [("v4:2x2x4", "float32", 4), ("v5e:4x4", "uint8", 4), ("v6e:2x4", "bfloat16", 3)],
)
def test_arrays_compile_as_the_tree_of_them_does(topology, storage, kernels):
    topology = plan.topology_of(topology)
    alone = Counter()
    for shape in TREE:
        alone += Counter(plan.compiled(plan.Step(storage), shape, topology))
    program, entry, _ = step(optimizer(storage), TREE, "float32", plan.devices(topology), P("x"))
    assert alone == {"moved": plan.traffic(program.as_text()), "kernels": 4}
    assert entry.count(" fusion(") == kernels
    assert program.memory_analysis().temp_size_in_bytes == 0


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
@pytest.mark.parametrize("topology", ["v4:2x2x1", "v5e:1x1", "v5p:2x2x1", "v6e:16x16", "tpu7x:2x2x1"])
def test_the_compiler_needs_what_the_arrays_do(topology):
    options = {"storage": ["uint8"], "momentum": True, "momentum_storage": "bfloat16", "compiler": plan.compiled}
    [row] = rows({(4096, 1024): 3}, topology, **options)
    found = row["compiled"]
    assert found["moved"] == row["arithmetic"]["moved"]
    assert found["moved_per_parameter"] == 12 + 2 + 4
    assert (found["kernels"], found["collectives"], found["temporary"]) == (3, {}, 0)


@pytest.mark.usefixtures("libtpu")
def test_a_chip_that_libtpu_does_not_know():
    unknown = plan.Topology("v9:4x4", plan.CHIPS["v5e"], (4, 4))  # as a new one to an old libtpu
    with pytest.raises(ValueError, match=r"topology 'v9:4x4': .*v9"):
        plan.devices(unknown)
    with plan.Compiler() as compile_, pytest.raises(ValueError, match=r"topology 'v9:4x4': .*v9"):
        compile_(plan.Step(), (8, 8), unknown)


@pytest.mark.usefixtures("libtpu")
def test_another_process_compiles_the_same():
    request = plan.Step("uint8", "bfloat16", "zero1", momentum=True), (1024, 512), plan.topology_of("v5e:2x2")
    with plan.Compiler() as compile_:
        assert compile_(*request) == plan.compiled(*request)
        with pytest.raises(MemoryError, match="RESOURCE_EXHAUSTED"):
            compile_(plan.Step(sharding="replicated"), (2**17, 2**16), plan.topology_of("v5e:2x2"))
        assert compile_(*request)["moved"] > 0


@pytest.mark.usefixtures("libtpu")
@pytest.mark.parametrize("name", plan.CHIPS)
def test_the_memory_that_a_program_can_use(name):
    """The compiler names it, in GiB, when a program does not fit."""
    topology = plan.topology_of(f"{name}:{'x'.join('221'[: plan.CHIPS[name].dimensions])}")
    with pytest.raises(MemoryError) as caught:
        plan.program(plan.Step(sharding="replicated"), (2**18, 2**18), topology)
    found = re.search(r"(?:available HBM \(|of )([\d.]+)G", str(caught.value))
    assert found is not None
    assert float(found[1]) * topology.chip.devices == topology.chip.usable, str(caught.value)


@pytest.mark.usefixtures("libtpu")
def test_zero_gathers_the_parameters():
    [row] = rows({(2048, 1024): 2}, "v5e:2x2", sharding="zero1", storage=["float32"], compiler=plan.compiled)
    assert row["compiled"]["collectives"] == {"all-gather": 2}
    assert row["compiled"]["moved"] > row["arithmetic"]["moved"]


@pytest.mark.usefixtures("libtpu")
def test_an_array_that_is_larger_than_a_chip(capsys):
    [row] = rows({(2**17, 2**16): 1}, "v5e:2x2", sharding="replicated", storage=["uint8"], compiler=plan.compiled)
    assert row["compiled"] is None
    assert not row["fits"]


@pytest.mark.usefixtures("libtpu")
def test_the_command_compiles(tmp_path, capsys):
    path = tmp_path / "shapes.json"
    path.write_text("[[2048, 1024], [2048, 1024]]")
    command("--shapes", str(path), "--topology", "v5e:2x2", "--storage", "uint8")
    output, errors = capsys.readouterr()
    assert errors == "programs to compile for v5e:2x2: 1\n"
    [line] = [line for line in output.splitlines() if line.startswith("uint8")]
    assert re.split("  +", line) == [
        "uint8",
        "1 B, 1.05 MB",
        "14 B, 14.7 MB",
        "14 B",
        "2",
        "none",
        "0 B",
        "17.9 µs",
        "0.0558 %",
    ]
