"""What the TPU's own compiler makes of an update: one pass over the arrays, and no byte more than they have.

It compiles on any machine with libtpu installed; without, these are skipped. Nothing runs, so nothing is timed. How
bytes are counted, and why not by the compiler itself, is in test_plan.py. One run has a third of the tables, as rows.py
says.
"""

import itertools
import os
import re

import optax
import pytest
from compiled import SHAPES, STEP, collectives, optimizer, step
from jax.sharding import PartitionSpec as P
from rows import long

from rmsprop_optax import float32_updates, links, plan, rmsprop, with_remainder
from rmsprop_optax.storage import FORMATS

pytest.importorskip("libtpu", reason="libtpu is not installed")
os.environ |= plan.LIBTPU
TOPOLOGIES = {"v4": "v4:2x2x1", "v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2"}
LARGEST = ("v4:4x8x8", "v5e:16x16", "v5p:4x8x8", "v6e:16x16")
TREE = [(8192, 4096), (4096, 1024), (8192, 3, 512), (1_048_576,), (65536, 768)]  # parts of whole tiles on 256 chips


def devices(topology):
    return plan.devices(plan.topology_of(topology))


def compiled(tx, shape, dtype, chip="v5e", spec=None):
    program, entry, size = step(tx, [shape], dtype, devices(TOPOLOGIES[chip]), spec)
    return {
        "bytes": plan.traffic(program.as_text()) / size,
        "fusions": entry.count(" fusion("),
        "temporary": program.memory_analysis().temp_size_in_bytes / size,
        "collectives": collectives(entry),
    }


def check(found, expected):
    assert found["bytes"] == pytest.approx(expected, rel=1e-3)  # for the last tiles of an array
    assert found["fusions"] == 1
    assert found["temporary"] < 1e-3
    assert found["collectives"] == []


@pytest.mark.parametrize(("chip", "kind"), long(itertools.product(TOPOLOGIES, STEP)), ids=str)
def test_one_pass_on_every_chip(chip, kind):
    dtype, storage = kind
    check(compiled(optimizer(storage), (1024, 1024), dtype, chip), STEP[kind])


SHORT = [("float32", "uint8"), ("bfloat16", "uint8"), ("bfloat16", "bfloat16")]


@pytest.mark.parametrize(("shape", "kind"), long(itertools.product(SHAPES[1:], SHORT)), ids=str)
def test_one_pass_for_every_shape(shape, kind):
    dtype, storage = kind
    check(compiled(optimizer(storage), shape, dtype), STEP[kind])


def test_an_odd_shape_pays_for_its_tiles_alone():
    float32, uint8 = (compiled(optimizer(storage), (1000, 1003), "float32") for storage in ("float32", "uint8"))
    assert uint8["fusions"] == 1
    assert uint8["bytes"] / float32["bytes"] < 14 / 20 * 1.01


@pytest.mark.parametrize("storage", FORMATS)
@pytest.mark.parametrize("spec", [P("x"), P(None, "x")], ids=str)
def test_a_sharded_array_is_updated_where_it_is(spec, storage):
    check(compiled(optimizer(storage), (4096, 4096), "float32", spec=spec), STEP["float32", storage])


# Each chip: all storages on 256, and one on fewer.
SHARDED = [
    *((topology, storage) for topology in LARGEST for storage in FORMATS),
    *(("v4:2x2x4", "uint8"), ("v5e:2x2", "float32"), ("v5p:4x4x4", "bfloat16"), ("v6e:4x8", "uint8")),
]


@pytest.mark.parametrize(("topology", "storage"), long(SHARDED))
def test_a_sharded_tree_is_one_kernel_a_leaf(topology, storage):
    chips = devices(topology)
    program, entry, size = step(optimizer(storage), TREE, "float32", chips, P("x"))
    assert len(chips) == plan.topology_of(topology).chips
    assert plan.traffic(program.as_text()) / size == pytest.approx(STEP["float32", storage], rel=1e-3)
    assert entry.count(" fusion(") == len(TREE)
    assert re.findall(r"\[\d[^=]* copy\(", entry) == []
    assert collectives(program.as_text()) == []
    memory = program.memory_analysis()
    assert memory.temp_size_in_bytes == 0
    donated = memory.argument_size_in_bytes - 4 * size  # all but the gradients
    assert memory.alias_size_in_bytes == pytest.approx(donated, abs=4096)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"momentum": 0.9}, 22),
        ({"momentum": 0.9, "momentum_storage": "bfloat16"}, 18),
        ({"momentum": 0.9, "lr_in_momentum": False, "eps_in_sqrt": False, "l2": 1e-4}, 22),
        ({"floor": 1e-3, "weight_decay": 0.1}, 14),
        ({"centered": True}, 22),
    ],
    ids=str,
)
def test_options_add_their_own_arrays_alone(options, expected):
    check(compiled(optimizer("uint8", **options), (2048, 2048), "float32"), expected)


@pytest.mark.parametrize(("storage", "expected"), [("float32", 18), ("uint8", 12)])
def test_a_remainder_is_part_of_the_pass(storage, expected):
    tx = with_remainder(rmsprop(0.01, storage=storage))
    check(compiled(tx, (1024, 1024), "bfloat16"), expected)


def test_updates_in_bfloat16_take_a_second_pass():
    """Why `float32_updates` is there; when this fails, it no longer has to be."""
    found = compiled(rmsprop(0.01, storage="uint8"), (1024, 1024), "bfloat16")
    assert found["fusions"] == 2


LINKS = {
    "max": (lambda: optax.chain(links.scale_by_max_rms(), optax.scale(-0.01)), 28),
    "previous": (lambda: optax.chain(links.scale_by_previous_rms(), optax.scale(-0.01)), 20),
    "decay": (lambda: optax.chain(rmsprop(0.01), links.decay_weights(1e-4)), 20),
    "age": (lambda: optax.chain(rmsprop(0.01), links.scale_by_age(0.9)), 20),
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_part_of_the_pass(name):
    make, expected = LINKS[name]
    check(compiled(float32_updates(make()), (1024, 1024), "float32"), expected)
