"""The statements of ``notebooks/4_memory_and_scale.ipynb`` about its numbers."""

import numpy as np
import pytest

NUMBERS = (
    "error",
    "bias",
    "loss",
    "state_bytes",
    "above",
    "runs",
    "held",
    "collectives",
    "differences",
    "recorded",
    "arithmetic",
)
DECAYS = (0.9, 0.99, 0.999)
STEADY = [(stream, decay) for stream in ("normal", "heavy tails") for decay in DECAYS]


def claim_rounded_at_random_there_is_noise_and_next_to_no_bias(n):
    for case in STEADY:
        assert n.error[*case, "float32"] < 1e-5
        assert 2e-3 < n.error[*case, "bfloat16"] < 0.03
        assert 0.09 < n.error[*case, "uint8"] < 0.16
        assert abs(n.bias[*case, "bfloat16"]) < 0.01
        assert abs(n.bias[*case, "uint8"]) < 0.02


def claim_rounded_to_the_nearest_the_average_is_wrong(n):
    for case in STEADY:
        assert n.error[*case, "optax in bfloat16"] > 2 * n.error[*case, "bfloat16"]
    for stream in ("normal", "heavy tails"):
        assert n.bias[stream, 0.99, "optax in bfloat16"] < -0.1
        assert n.bias[stream, 0.999, "optax in bfloat16"] > 0.8


def claim_8_bits_are_not_for_gradients_that_fall_by_decades(n):
    assert n.error["falling", 0.9, "uint8"] < 0.12
    assert n.error["falling", 0.999, "uint8"] > 0.25
    assert abs(n.bias["falling", 0.999, "uint8"]) > 0.02
    assert n.error["falling", 0.999, "bfloat16"] < 0.1


def claim_8_bits_train_like_float32(n):
    last = {name: run[:, -50:].mean(1) for name, run in n.loss.items()}
    seeds = np.ptp(last["float32"])
    assert (np.abs(last["8 bits"] - last["float32"]) < seeds / 2).all()
    assert abs(np.mean(last["8 bits"] - last["float32"])) < last["float32"].std(ddof=1) / 2
    for run in n.loss.values():
        assert run.shape == (4, 150)
        assert (run[:, :5].mean(1) > 3.5).all()
        assert (run[:, -50:].mean(1) < 2.6).all()
    assert not np.array_equal(last["8 bits"], last["float32"])


def claim_the_state_has_12_bytes_and_7_a_weight(n):
    assert n.state_bytes == {"float32": pytest.approx(12), "8 bits": pytest.approx(7)}


def claim_epsilon_does_not_hide_the_error(n):
    assert min(n.above.values()) > 0.6


def claim_where_the_state_is_changes_no_mean_square(n):
    whole, *divided = [run["nu"] for name, run in n.runs.items() if "8 bits" in name]
    for nu in divided:
        assert all(np.array_equal(nu[name], whole[name]) for name in whole)
    float32, *short = n.differences.values()
    assert max(short) < 1e-4 < float32  # one rounding of a momentum of 1e-2 to bfloat16, if its last place differs


def claim_only_zero1_communicates(n):
    assert list(n.collectives.values()) == [{}, {}, {"all-gather": 3}, {}]


def claim_the_bytes_on_a_device(n):
    float32, short, zero1, fsdp = n.held.values()
    parameters = float32["parameters"]
    assert [float32[part] for part in ("mean square", "momentum")] == [parameters, parameters]
    assert [short["mean square"], short["momentum"]] == [parameters / 4, parameters / 2]
    for divided in (zero1, fsdp):
        for part in ("mean square", "momentum"):
            assert 1 / 8 < divided[part] / short[part] < 0.127
    assert [zero1["parameters"], zero1["gradients"]] == [parameters, parameters]
    assert 1 / 8 < fsdp["parameters"] / parameters < 0.127


def claim_what_was_recorded_is_of_this_package(n):
    assert {"jax", "libtpu", "python", "date"} == set(n.recorded["about"])
    assert [*n.recorded["plans"]] == [*n.arithmetic]
    for name, now in n.arithmetic.items():
        then = n.recorded["plans"][name]
        assert then | {"rows": None} == now | {"rows": None}
        for kind in ("optimizer", "zero", "state", "least"):
            assert [row[kind] for row in then["rows"]] == [row[kind] for row in now["rows"]]


def moved(n, name):
    """Optimizer and ZeRO-1 → bytes a parameter that the compiled step moves, and the least."""
    plan = n.recorded["plans"][name]
    each = plan["parameters_of_a_chip"]
    return {(row["optimizer"], row["zero"]): (row["moved"] / each, row["least"] / each) for row in plan["rows"]}


def claim_on_one_chip_the_optimizer_moves_its_state_alone(n):
    found = {optimizer: bytes_ for (optimizer, _), (bytes_, _) in moved(n, "mlp, v5e-1").items()}
    assert found == pytest.approx({"SGD": 10, "float32": 18, "bfloat16": 14, "uint8": 12}, abs=0.01)
    rows = n.recorded["plans"]["mlp, v5e-1"]["rows"]
    assert [(row["temporary"], row["collectives"]) for row in rows] == [(0, {})] * 4
    lines = n.recorded["programs"]["one chip"]
    assert (
        sum(
            "(u8[2048,2048], f32[2048,2048]) fusion(" in x or "(f32[2048,2048], u8[2048,2048]) fusion(" in x
            for x in lines
        )
        == 3
    )


def claim_replicated_8_bits_save_6_bytes_everywhere(n):
    for name in n.recorded["plans"]:
        found = moved(n, name)
        assert found["float32", False][0] - found["uint8", False][0] == pytest.approx(6, abs=0.1)


def claim_zero1_reaches_its_least_where_copies_stay_in_the_chip(n):
    found = moved(n, "mlp, v5e-16")
    assert found["float32", True][0] < found["SGD", False][0] < found["float32", False][0]
    assert found["float32", True][0] == pytest.approx(found["float32", False][0] / 2, rel=0.02)


def claim_zero1_saves_memory_and_hardly_time_where_they_do_not(n):
    found = moved(n, "wide, v5e-16")
    assert found["SGD", False][0] < found["float32", True][0] < found["float32", False][0]
    assert found["float32", True][0] > 0.95 * found["float32", False][0]
    assert found["uint8", False][0] < found["uint8", True][0]
    assert found["float32", True][0] - found["uint8", True][0] < 0.5


def claim_zero1_gathers_each_parameter_once(n):
    for name in ("mlp, v5e-16", "wide, v5e-16"):
        plan = n.recorded["plans"][name]
        for row in plan["rows"]:
            gathered = {"number": 3, "bytes": plan["parameter_bytes"]} if row["zero"] else None
            assert row["collectives"].get("all-gather") == gathered
    assert sum(" copy(" in line for line in n.recorded["programs"]["16 chips, ZeRO-1"]) == 6
