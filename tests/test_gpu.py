"""What XLA's GPU compiler makes of an update for an H100: one kernel an array, and no byte more than they have.

It compiles on any machine with jax-cuda13-plugin installed; without, these are skipped. Nothing runs, so nothing is
timed.
"""

import functools
import itertools
import math
import re
import sys
from pathlib import Path

import jax
import optax
import pytest
from compiled import SHAPES, STEP, collectives, optimizer, step
from jax.sharding import PartitionSpec as P
from rows import long

from rmsprop_optax import rmsprop, with_remainder
from rmsprop_optax.storage import FORMATS

pytest.importorskip("jax_plugins.xla_cuda13", reason="jax-cuda13-plugin is not installed")
sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.benchmarks import gpu

TARGET = Path(__file__).parent / "golden" / "h100.pbtxt"
INSTRUCTION = re.compile(r"%(\S+) = (.+?) ([\w-]+)\((.*?)\)")
ARRAY = re.compile(r"[a-z]+(\d*)\w*\[([\d,]+)\]")
NOT_A_KERNEL = {"bitcast", "constant", "get-tuple-element", "parameter", "partition-id", "tuple"}


@functools.cache
def devices():
    from jax.experimental import topologies

    return topologies.get_topology_desc(
        platform="cuda", topology_name="h100", target_config=TARGET.read_text(), topology="1x1x4"
    ).devices


def kernels(entry):
    """For each kernel the bytes of the arrays that it reads and writes; scalars are none."""
    types, traffic = {}, []
    for name, result, kind, operands in INSTRUCTION.findall(entry):
        types[name] = result
        if kind not in NOT_A_KERNEL:
            touched = [result, *(types[operand] for operand in re.findall(r"%([\w.-]+)", operands))]
            traffic.append(sum(map(nbytes, touched)))
    return traffic


def nbytes(types):
    return sum(int(bits or 8) // 8 * math.prod(map(int, dims.split(","))) for bits, dims in ARRAY.findall(types))


def compiled(tx, *shapes, dtype="float32", spec=None):
    program, entry, size = step(tx, shapes, dtype, devices(), spec)
    traffic, memory = kernels(entry), program.memory_analysis()
    return {
        "bytes": sum(traffic) / size,
        "kernels": sum(map(bool, traffic)),
        "scalar kernels": traffic.count(0),
        "more memory": memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "collectives": collectives(entry),
    }


def check(found, expected, leaves=1):
    assert found["bytes"] == expected
    assert found["kernels"] == leaves
    assert found["scalar kernels"] <= 2  # the count and what is derived from it, once for all leaves; the momentum's
    assert found["more memory"] < 4096  # those scalars and a table of the results; all else is donated or the gradient
    assert found["collectives"] == []


@pytest.mark.parametrize("shape", [*SHAPES, (1000, 1003), (3,)], ids=str)
@pytest.mark.parametrize(("dtype", "storage"), STEP, ids=str)
def test_one_kernel_for_every_shape(dtype, storage, shape):
    check(compiled(optimizer(storage), shape, dtype=dtype), STEP[dtype, storage])


@pytest.mark.parametrize(("dtype", "storage"), STEP, ids=str)
def test_one_kernel_a_leaf(dtype, storage):
    shapes = [*SHAPES, (1000, 1003), (64,)]
    check(compiled(optimizer(storage), *shapes, dtype=dtype), STEP[dtype, storage], len(shapes))


@pytest.mark.parametrize(("dtype", "storage"), STEP, ids=str)
@pytest.mark.parametrize("spec", [P("x"), P(None, "x")], ids=str)
def test_a_sharded_array_is_updated_where_it_is(spec, dtype, storage):
    check(compiled(optimizer(storage), (4096, 4096), dtype=dtype, spec=spec), STEP[dtype, storage])


@pytest.mark.parametrize("storage", FORMATS)
@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({"momentum": 0.9}, 8),
        ({"momentum": 0.9, "momentum_storage": "bfloat16"}, 4),
        ({"momentum": 0.9, "lr_in_momentum": False, "eps_in_sqrt": False, "l2": 1e-4}, 8),
        ({"momentum": 0.9, "nesterov": True}, 8),
        ({"floor": 1e-3, "weight_decay": 0.1}, 0),
        ({"bias_correction": True}, 0),
        ({"centered": True}, 8),
    ],
    ids=str,
)
def test_options_add_their_own_arrays_alone(options, more, storage):
    check(compiled(optimizer(storage, **options), (4096, 4096)), STEP["float32", storage] + more)


@pytest.mark.parametrize("storage", FORMATS)
def test_a_remainder_is_part_of_the_pass(storage):
    tx = with_remainder(rmsprop(0.01, storage=storage))
    check(compiled(tx, (4096, 4096), dtype="bfloat16"), STEP["bfloat16", storage] + 4)


@pytest.mark.parametrize("storage", FORMATS)
def test_updates_in_bfloat16_are_part_of_the_pass(storage):
    """Unlike on a TPU: here `float32_updates` spares a rounding, and no byte."""
    check(compiled(rmsprop(0.01, storage=storage), (4096, 4096), dtype="bfloat16"), STEP["bfloat16", storage])


BENCHMARK = {
    "1 array of 1 GB": lambda tx: gpu.update(tx, gpu.TREES["1 array of 1 GB"]),
    "GPT-2 small": lambda tx: gpu.update(tx, gpu.TREES["GPT-2 small"]),
    "training": lambda tx: gpu.training(tx, **gpu.TRAINING | {"layers": 1}),
}


@pytest.mark.parametrize(
    ("program", "name"), long(itertools.product(BENCHMARK, gpu.optimizers()), [("1 array of 1 GB", "optax.rmsprop")])
)
def test_the_programs_of_the_benchmark_compile(program, name):
    tx = gpu.optimizers()[name]
    function, params, batch = BENCHMARK[program](tx)
    arguments = params, jax.eval_shape(tx.init, params), batch
    place = jax.sharding.SingleDeviceSharding(devices()[0])
    placed = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), arguments)
    found = jax.jit(function, donate_argnums=(0, 1)).lower(*placed).compile()
    traffic = sum(kernels(found.as_text()[found.as_text().index("ENTRY") :]))
    size = sum(math.prod(x.shape) for x in jax.tree.leaves(params))
    least = 12 + 2 * gpu.STORAGES.get(name.rpartition(" ")[2], 4)
    if program == "training":
        assert traffic / size > least
    else:
        assert traffic / size == least


def test_a_second_pass_is_seen():
    found = compiled(optax.chain(optax.clip_by_global_norm(1.0), optimizer("float32")), (4096, 4096))
    assert found["bytes"] == pytest.approx(20 + 4, rel=1e-3)  # the norm reads the gradient
    assert found["kernels"] > 1
