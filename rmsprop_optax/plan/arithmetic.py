"""Bytes of state and bytes moved in a step, from the sizes of the arrays, and the plan that holds them."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NotRequired, TypedDict, get_args

import jax

from rmsprop_optax import _numbers
from rmsprop_optax._types import FormatName
from rmsprop_optax.plan.chips import Topology
from rmsprop_optax.plan.hlo import COLLECTIVES
from rmsprop_optax.plan.shapes import Shape, size_of
from rmsprop_optax.plan.step import Dtype, Sharding, Step, abstract_arrays, abstract_mesh, split


class Moved(TypedDict):
    """Bytes that one step reads from a chip's memory and writes there.

    ``seconds`` is ``moved`` ÷ the memory's bandwidth. What a compiler found comes with the number of ``kernels``, the
    number of ``collectives`` of each kind, and the bytes of ``temporary`` memory.
    """

    moved: int
    moved_per_parameter: float
    seconds: float
    kernels: NotRequired[int]
    collectives: NotRequired[dict[str, int]]
    temporary: NotRequired[int]


class Row(TypedDict):
    """A step with one storage. All bytes and parameters are those of one chip.

    ``arithmetic`` is what the arrays need at least: the step reads the parameter and the gradient where their state is,
    reads and writes the state, and writes the new parameter. ``compiled`` sums the programs of all arrays; it is None
    without a compiler, and if an array does not fit. ``memory`` is the sum of parameters, gradients, state and
    temporary memory, and ``fits`` says whether a chip has that much.
    """

    storage: FormatName
    parameters: int
    parameter_bytes: int
    state: int
    state_per_parameter: float
    arithmetic: Moved
    compiled: Moved | None
    memory: int
    fits: bool


class Plan(TypedDict):
    """What :func:`plan` returns. JSON can hold it.

    ``bandwidth`` is in bytes a second and ``usable_memory`` in bytes, both of one chip. ``undivided`` counts the arrays
    that no dimension of theirs splits over the devices.
    """

    topology: str
    chips: int
    bandwidth: float
    usable_memory: int
    sharding: Sharding
    dtype: Dtype
    momentum_storage: FormatName | None
    centered: bool
    remainder: bool
    arrays: int
    parameters: int
    undivided: dict[str, int]
    rows: list[Row]


Compile = Callable[[Step, Shape, Topology], Mapping[str, int]]
"""A compiler: :class:`rmsprop_optax.plan.Compiler` or :func:`rmsprop_optax.plan.compiled`."""


def plan(
    arrays: Mapping[Shape, int],
    topology: Topology,
    *,
    dtype: Dtype = "float32",
    storage: Iterable[FormatName] = get_args(FormatName),
    sharding: Sharding = "fsdp",
    momentum: bool = False,
    momentum_storage: FormatName = "float32",
    centered: bool = False,
    remainder: bool = False,
    compiler: Compile | None = None,
) -> Plan:
    """Return what a step of RMSprop needs and moves on these chips, with a row for each storage.

    Args:
      arrays: shape → number of parameter arrays.
      topology: the chips, see :func:`rmsprop_optax.plan.topology_of`.
      dtype: of parameters and gradients. Updates are float32.
      storage: formats of the mean square, names of :data:`rmsprop_optax.storage.FORMATS`.
      sharding: a name of :data:`rmsprop_optax.plan.SHARDINGS`. An array that the devices do not divide stays whole.
      momentum: whether there is a momentum buffer.
      momentum_storage: format of that buffer.
      centered: whether there is a mean of the gradients.
      remainder: whether bfloat16 parameters have 16 more bits in the state, see :func:`rmsprop_optax.with_remainder`.
      compiler: compiles one program for each distinct shape. In one program for all arrays the compilers of v6e and
        tpu7x have fewer kernels: one for several small arrays that are alike.

    Raises:
      ValueError: options contradict each other.

    Example:
      >>> from rmsprop_optax.plan import topology_of
      >>> found = plan({(4096, 4096): 2}, topology_of("v5e:4x4"), storage=["uint8"])
      >>> found["rows"][0]["state"], found["rows"][0]["arithmetic"]["moved_per_parameter"]
      (2097152, 14.0)
    """
    _numbers.needs("momentum_storage", momentum_storage != "float32", "momentum", momentum)
    if remainder and dtype != "bfloat16":
        raise ValueError(f"remainder needs bfloat16 parameters, got dtype={dtype}.")
    steps = [Step(form, dtype, sharding, momentum, momentum_storage, centered, remainder) for form in storage]
    mesh = abstract_mesh(topology.devices)
    whole = {}
    if sharding != "replicated" and topology.devices > 1:
        whole = {shape: arrays[shape] for shape in arrays if split(shape, mesh).is_fully_replicated}
    return {
        "topology": topology.name,
        "chips": topology.chips,
        "bandwidth": topology.chip.bandwidth * 1e9,
        "usable_memory": int(topology.chip.usable * 2**30),
        "sharding": sharding,
        "dtype": dtype,
        "momentum_storage": momentum_storage if momentum else None,
        "centered": centered,
        "remainder": remainder,
        "arrays": sum(arrays.values()),
        "parameters": size_of(arrays),
        "undivided": {"arrays": sum(whole.values()), "parameters": size_of(whole)},
        "rows": [_row(step, arrays, topology, compiler) for step in steps],
    }


def least(step: Step, shape: Shape, topology: Topology) -> dict[str, int]:
    """Return what one array holds and moves at least, in bytes on each device.

    Returns:
      "parameters", their number; "parameter_bytes"; "state"; "state_of_all", the sum over all devices with each part
      counted once; "moved".
    """
    mesh = abstract_mesh(topology.devices)
    param, state = abstract_arrays(step, shape, mesh)
    arrays = [x for x in jax.tree.leaves(state) if x.shape == shape]

    def on_device(x: Any) -> int:
        part: Shape = x.sharding.shard_shape(shape)
        itemsize: int = x.dtype.itemsize
        return math.prod(part) * itemsize

    held, size = sum(map(on_device, arrays)), on_device(param)
    read = size
    if step.sharding == "zero1":  # each device needs only the part that its state belongs to
        read = math.prod(split(shape, mesh).shard_shape(shape)) * param.dtype.itemsize
    return {
        "parameters": size // param.dtype.itemsize,
        "parameter_bytes": size,
        "state": held,
        "state_of_all": sum(math.prod(shape) * x.dtype.itemsize for x in arrays),
        "moved": 2 * read + 2 * held + size,
    }


def _row(step: Step, arrays: Mapping[Shape, int], topology: Topology, compiler: Compile | None) -> Row:
    devices = topology.chip.devices
    need = _total(least, step, arrays, topology)
    parameters, state = devices * need["parameters"], devices * need["state"]
    memory, fits = devices * (2 * need["parameter_bytes"] + need["state"]), True
    compiled: Moved | None = None
    if compiler is not None:
        try:
            found = _total(compiler, step, arrays, topology)
        except MemoryError:
            fits = False
        else:
            compiled = _moved(devices * found["moved"], parameters, topology)
            compiled["kernels"] = found["kernels"]
            compiled["collectives"] = {kind: found[kind] for kind in COLLECTIVES if found[kind]}
            compiled["temporary"] = devices * found["temporary"]
            memory += compiled["temporary"]
    return {
        "storage": step.storage,
        "parameters": parameters,
        "parameter_bytes": devices * need["parameter_bytes"],
        "state": state,
        "state_per_parameter": need["state_of_all"] / size_of(arrays),
        "arithmetic": _moved(devices * need["moved"], parameters, topology),
        "compiled": compiled,
        "memory": memory,
        "fits": fits and memory <= topology.chip.usable * 2**30,
    }


def _total(measure: Compile, step: Step, arrays: Mapping[Shape, int], topology: Topology) -> Counter[str]:
    """The numbers that ``measure`` returns for each shape, summed over all arrays."""
    total: Counter[str] = Counter()
    for shape, number in arrays.items():
        for name, value in measure(step, shape, topology).items():
            total[name] += value * number
    return total


def _moved(moved: int, parameters: int, topology: Topology) -> Moved:
    seconds = moved / (topology.chip.bandwidth * 1e9)
    return {"moved": moved, "moved_per_parameter": moved / parameters, "seconds": seconds}
