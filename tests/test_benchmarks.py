"""The benchmarks count and compare what they say; they are not run here."""

import math
import os
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from rows import long

from rmsprop_optax import plan, rmsprop

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.benchmarks import compile_time, gpu, memory, peers, side_by_side, update_time, whole_step


def test_the_trees_are_those_of_the_models():
    assert sum(map(math.prod, update_time.resnet50())) == 25_557_032
    assert len(update_time.resnet50()) == 161
    assert sum(map(math.prod, update_time.gpt2())) == 124_439_808
    assert len(update_time.gpt2()) == 148


def test_a_ratio_is_the_median_of_pairs():
    found = side_by_side.compared([(1.0, 2.0), (3.0, 3.0), (9.0, 4.0)])
    assert (found["ours"], found["theirs"], found["ratio"], found["pairs"]) == (3.0, 3.0, 1.0, 3)
    assert found["low"] == pytest.approx(0.75)
    assert found["high"] == pytest.approx(1.625)


def test_both_take_the_same_number_of_steps_in_turn():
    calls = []
    found = side_by_side.pairs(lambda: calls.append("ours"), lambda: calls.append("theirs"), seconds=0.0)
    assert len(found) == 10
    assert calls.count("ours") == calls.count("theirs")


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_loop_in_c_is_rmsprop():
    gradients = [np.random.default_rng(0).standard_normal((3, 5), np.float32)]
    [(params, _, _)] = peers.floor(gradients)()
    expected = gradients[0] - 1e-3 * gradients[0] / np.sqrt(0.1 * gradients[0] ** 2 + 1e-8)
    np.testing.assert_allclose(params, expected, rtol=1e-5)


def test_bytes_of_state():
    for storage, size in {"float32": 4, "bfloat16": 2, "uint8": 1}.items():
        found = memory.of_transformation(rmsprop(1e-3, storage=storage))
        assert found["state"] == pytest.approx(size, abs=1e-4)
        assert found["peak"] >= 8 + size - 1e-4


def test_compiling_takes_time():
    found = compile_time.stages(rmsprop(1e-3), 2)
    assert set(found) == set(compile_time.STAGES)
    assert all(seconds > 0 for seconds in found.values())


@pytest.mark.slow
def test_the_benchmark_of_a_gpu_runs_dry(capsys):
    gpu.main(["--small"])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("| training step: ") for line in lines) == 5
    assert lines[-1].endswith(": a dry run")


WHOLE = whole_step.read()
MOVED: dict = {}
for row in WHOLE["rows"]:
    place = row["model"], row["dtype"], row["topology"], row["zero"]
    MOVED.setdefault(place, {})[row["optimizer"]] = row["moved_per_parameter"]
# Where ours moves more than optax's with the same state, and why: the rest of the step, not the update.
ABOVE = {
    ("transformer", "bfloat16", "v5e:4x4", False): 0.17,  # XLA fetches one matrix of the forward pass twice
    ("transformer", "bfloat16", "v4:2x2x4", False): 0.17,  # so it does here
    ("transformer", "bfloat16", "v5p:2x2x4", True): 0.15,  # another layout of the table of positions, and its copy
    ("transformer", "bfloat16", "v5p:1x1x1", False): 0.02,  # prefetches two of softmax's arrays of 16 KiB, not three
    (
        "conv",
        "float32",
        "v5p:2x2x4",
        True,
    ): 1.22,  # another layout of one kernel, whose 32 of 512 channels fill 128 lanes
}


def test_the_table_of_whole_steps_is_written():
    expected = {(*case, zero) for case in whole_step.cases() for zero in (False, True)[: 1 + (":1x1" not in case[2])]}
    assert expected == {*MOVED}
    for place in expected:
        assert {*whole_step.OPTIMIZERS[place[-1] :]} == {*MOVED[place]}
    assert WHOLE["rows"] == sorted(WHOLE["rows"], key=whole_step.order)
    told = ", ".join(f"{name} {value}" for name, value in WHOLE["about"].items())
    text = whole_step.PATH.with_suffix(".md").read_text()
    assert text == f"{whole_step.markdown(WHOLE['rows']).strip()}\n\n{told}\n"


@pytest.mark.parametrize("place", MOVED, ids=str)
def test_a_whole_step_moves_no_more_than_with_optax(place):
    """In the storage that optax has, its parameters' dtype."""
    if place[1] in MOVED[place]:
        assert MOVED[place][place[1]] <= MOVED[place]["optax.rmsprop"] + ABOVE.get(place, 0) + 0.01


@pytest.mark.parametrize("place", [place for place in MOVED if place[2] in ("v4:1x1x1", "v5e:1x1")], ids=str)
def test_the_optimizer_moves_its_state_on_one_chip(place):
    found = MOVED[place]
    for storage, state in {"float32": 4, "bfloat16": 2, "uint8": 1}.items():
        if storage in found:
            more = 0.3 if place[0] == "wide" else 0.01  # a part of a gradient that does not fit the chip's own memory
            assert found[storage] - found["SGD"] == pytest.approx(2 * state, abs=more)


def test_8_bits_move_two_thirds():
    found = MOVED["mlp", "float32", "v5e:1x1", False]
    assert found["uint8"] <= 2 / 3 * found["float32"] + 1e-3


@pytest.mark.parametrize(
    ("model", "dtype", "topology", "zero", "name"),
    long([(*place, name) for place, found in MOVED.items() for name in found if name != "SGD"], []),
    ids=str,
)
def test_a_whole_step_compiles_to_what_was_recorded(model, dtype, topology, zero, name):
    pytest.importorskip("libtpu", reason="libtpu is not installed")
    os.environ |= plan.LIBTPU
    with jax.numpy_dtype_promotion("standard"):  # optax adds a float32 update to a bfloat16 parameter
        found = {row["zero"]: row["moved_per_parameter"] for row in whole_step.found(model, dtype, topology, name)}
    assert found[zero] == MOVED[model, dtype, topology, zero][name]
