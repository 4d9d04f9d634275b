"""What the TPU's own compiler makes of an update: one pass over the arrays, and no byte more than they have.

It compiles on any machine with libtpu installed; without, these are skipped. Nothing runs, so nothing is timed.
"""

import os

import pytest
from compiled import SHAPES, STEP, collectives, optimizer, step
from jax.sharding import PartitionSpec as P

from rmsprop_optax import rmsprop, with_remainder

pytest.importorskip("libtpu", reason="libtpu is not installed")
os.environ |= {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
}
TOPOLOGIES = {"v4": "v4:2x2x1", "v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2"}


def compiled(tx, shape, dtype, chip="v5e", spec=None):
    from jax.experimental import topologies

    devices = topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES[chip]).devices
    program, entry, size = step(tx, [shape], dtype, devices, spec)
    return {
        "size": size,
        "bytes": program.cost_analysis()["bytes accessed"] / size,
        "fusions": entry.count(" fusion("),
        "temporary": program.memory_analysis().temp_size_in_bytes / size,
        "collectives": collectives(entry),
    }


def check(found, expected):
    # A thousandth for the last tiles of an array; scalars count as tiles too, some 19 kB together.
    assert found["bytes"] == pytest.approx(expected, rel=1e-3, abs=20_000 / found["size"])
    assert found["fusions"] == 1
    assert found["temporary"] < 1e-3
    assert found["collectives"] == []


@pytest.mark.parametrize(("dtype", "storage"), STEP, ids=str)
@pytest.mark.parametrize("chip", TOPOLOGIES)
def test_one_pass_on_every_chip(chip, dtype, storage):
    check(compiled(optimizer(storage), (4096, 4096), dtype, chip), STEP[dtype, storage])


@pytest.mark.parametrize(("dtype", "storage"), [("float32", "uint8"), ("bfloat16", "uint8"), ("bfloat16", "bfloat16")])
@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_one_pass_for_every_shape(shape, dtype, storage):
    check(compiled(optimizer(storage), shape, dtype), STEP[dtype, storage])


def test_an_odd_shape_pays_for_its_tiles_alone():
    float32, uint8 = (compiled(optimizer(storage), (1000, 1003), "float32") for storage in ("float32", "uint8"))
    assert uint8["fusions"] == 1
    assert uint8["bytes"] / float32["bytes"] < 14 / 20 * 1.01


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "uint8"])
@pytest.mark.parametrize("spec", [P("x"), P(None, "x")], ids=str)
def test_a_sharded_array_is_updated_where_it_is(spec, storage):
    check(compiled(optimizer(storage), (4096, 4096), "float32", spec=spec), STEP["float32", storage])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"momentum": 0.9}, 22),
        ({"momentum": 0.9, "momentum_storage": "bfloat16"}, 18),
        ({"momentum": 0.9, "lr_in_momentum": False, "eps": 1e-8, "eps_root": 0.0, "l2": 1e-4}, 22),
        ({"floor": 1e-3, "weight_decay": 0.1}, 14),
        ({"centered": True}, 30),
    ],
    ids=str,
)
def test_options_add_their_own_arrays_alone(options, expected):
    check(compiled(optimizer("uint8", **options), (4096, 4096), "float32"), expected)


@pytest.mark.parametrize(("storage", "expected"), [("float32", 18), ("uint8", 12)])
def test_a_remainder_is_part_of_the_pass(storage, expected):
    tx = with_remainder(rmsprop(0.01, storage=storage))
    check(compiled(tx, (4096, 4096), "bfloat16"), expected)


def test_updates_in_bfloat16_take_a_second_pass():
    """Why `float32_updates` is there; when this fails, it no longer has to be."""
    found = compiled(rmsprop(0.01, storage="uint8"), (4096, 4096), "bfloat16")
    assert found["fusions"] == 2
