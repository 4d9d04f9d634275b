"""The benchmarks count and compare what they say; they are not run here."""

import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from rmsprop_optax import rmsprop

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.benchmarks import compile_time, memory, peers, side_by_side, update_time


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
