"""What a step of the optimizer costs on TPUs: bytes of state and of traffic, kernels, collectives, and the least time.

``python -m rmsprop_optax plan``. The sizes of the arrays give the bytes; with libtpu installed the TPU's own compiler
says, on any machine, what it makes of the update. Nothing runs: the time is the one that the memory's bandwidth allows.
"""

import argparse
import functools
import importlib.util
import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rmsprop_optax import _numbers
from rmsprop_optax._columns import aligned
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._traffic import traffic
from rmsprop_optax.bfloat16 import float32_updates, with_remainder
from rmsprop_optax.sharding import _divided, state_shardings
from rmsprop_optax.storage import FORMATS

SHARDINGS = {
    "fsdp": "parameters, gradients and state in parts, one a chip",
    "zero1": "parameters and gradients whole on every chip, the state in parts",
    "replicated": "all whole on every chip",
}


class Chip(NamedTuple):
    """A generation of TPUs.

    Attributes:
      memory: GiB of its HBM.
      usable: GiB of it that the compiler, libtpu 0.0.42, leaves to a program.
      bandwidth: of the HBM, in 10⁹ bytes a second.
      dimensions: of the torus that chips are wired as.
      pod: the most chips of one.
      devices: what JAX sees of a chip.
    """

    memory: float
    usable: float
    bandwidth: float
    dimensions: int
    pod: int
    devices: int = 1


CHIPS = {
    "v4": Chip(32, 30.75, 1200, 3, 4096),
    "v5e": Chip(16, 15.75, 819, 2, 256),
    "v5p": Chip(95, 95.74, 2765, 3, 8960),
    "v6e": Chip(32, 31.25, 1638, 2, 256),
    "tpu7x": Chip(192, 189.5, 7380, 3, 9216, devices=2),
}
"""Name → :class:`Chip`. Source: Google Cloud's documentation, cloud.google.com/tpu/docs, pages v4, v5e, v5p and tpu7x;
the last has v6e too, whose own page rounds its bandwidth to 1600."""


class Topology(NamedTuple):
    """Chips wired together.

    Attributes:
      name: as in ``v5e:4x4``.
      chip: their kind.
      sizes: how many there are in each dimension.
    """

    name: str
    chip: Chip
    sizes: tuple[int, ...]

    @property
    def chips(self) -> int:
        return math.prod(self.sizes)

    @property
    def devices(self) -> int:
        return self.chips * self.chip.devices


def topology_of(name: str) -> Topology:
    """The topology of a name.

    Raises:
      ValueError: there is none.

    Example:
      >>> topology_of("v5p:2x2x4").chips
      16
    """
    kind, _, sizes = name.partition(":")
    if kind not in CHIPS:
        raise ValueError(f"topology {name!r}: there are {', '.join(CHIPS)}, written as v5e:4x4 or v5p:2x2x4.")
    chip = CHIPS[kind]
    if not re.fullmatch("x".join([r"[1-9]\d{0,3}"] * chip.dimensions), sizes):
        example = "4x4" if chip.dimensions == 2 else "2x2x4"
        raise ValueError(f"topology {name!r}: {kind} is wired in {chip.dimensions} dimensions, as {kind}:{example}.")
    found = Topology(name, chip, tuple(map(int, sizes.split("x"))))
    if any(size % 2 and size > 1 for size in found.sizes):
        raise ValueError(f"topology {name!r}: sizes are 1 or even.")
    if found.chips > chip.pod:
        raise ValueError(f"topology {name!r}: a pod of {kind} has {chip.pod} chips, got {found.chips}.")
    return found


def transformer(parameters: float, parts: int = 1) -> Counter[tuple[int, ...]]:
    """The arrays of a decoder of about so many parameters: layers of four matrices and two vectors, and an embedding.

    The width is near 128 times the number of layers and a multiple of ``parts`` and of 256, so that all arrays divide;
    the embedding has 32768 rows, fewer in a small model, and those that no further layer could be made of.

    Returns:
      Shapes, and how many arrays have each.

    Raises:
      ValueError: there is no such model.

    Example:
      >>> transformer(1.3e9)[2304, 6912]
      19
    """
    if not 1e6 <= parameters <= 1e14:
        raise ValueError(f"a model of 1e6 to 1e14 parameters, got {parameters:g}: of others give the shapes.")
    width = (128 * parameters / 12) ** (1 / 3)
    unit = math.lcm(256, parts)
    unit = unit if unit <= 2 * width else 256
    width = max(1, round(width / unit)) * unit
    layer = {(width, 3 * width): 1, (width, width): 1, (width, 4 * width): 1, (4 * width, width): 1, (width,): 2}
    size = sum(math.prod(shape) * count for shape, count in layer.items())
    layers = max(1, int((parameters - min(32768 * width, parameters / 4)) / size))
    rows = max(1, round((parameters - layers * size) / width / unit)) * unit
    return Counter({shape: count * layers for shape, count in layer.items()}) + Counter({(rows, width): 1, (width,): 1})


def arrays_of(tree: Any) -> Counter[tuple[int, ...]]:
    """The shapes in a tree of dicts and lists, where a list of numbers is one, and how many arrays have each.

    Raises:
      ValueError: something else is in it, or nothing.

    Example:
      >>> arrays_of({"embedding": [50257, 768], "layers": [[768, 3072], [768, 3072]]})
      Counter({(768, 3072): 2, (50257, 768): 1})
    """
    found: Counter[tuple[int, ...]] = Counter()

    def walk(node, path):
        if isinstance(node, list) and not any(isinstance(child, dict | list) for child in node):
            if not all(type(size) is int and 0 < size < 2**31 for size in node):
                raise ValueError(f"a shape is a list of whole numbers above 0, got {node!r} at {path or 'the top'}.")
            found[tuple(node)] += 1
        elif isinstance(node, dict | list):
            for key, child in node.items() if isinstance(node, dict) else enumerate(node):
                walk(child, f"{path}[{key!r}]")
        else:
            raise ValueError(f"shapes are lists in dicts and lists, got {node!r} at {path or 'the top'}.")

    walk(tree, "")
    if not found:
        raise ValueError("there is no shape in it.")
    return found


def plan(
    arrays: Mapping[tuple[int, ...], int],
    topology: Topology,
    *,
    dtype: str = "float32",
    storage: Iterable[str] = tuple(FORMATS),
    sharding: str = "fsdp",
    momentum: bool = False,
    momentum_storage: str = "float32",
    centered: bool = False,
    remainder: bool = False,
    compiler: Callable[..., Mapping[str, int]] | None = None,
) -> dict[str, Any]:
    """A step of RMSprop on these arrays and chips, with a row for each storage.

    Args:
      arrays: shapes of the parameters, and how many have each.
      topology: the chips.
      dtype: of the parameters and their gradients, float32 or bfloat16; updates are in float32.
      storage: names of :data:`rmsprop_optax.storage.FORMATS`.
      sharding: a name of :data:`SHARDINGS`. An array without a dimension that the chips divide is whole on each.
      momentum: whether there is a buffer.
      momentum_storage: how it is kept.
      centered: whether the mean is kept too.
      remainder: whether bfloat16 parameters have one, see :func:`rmsprop_optax.with_remainder`.
      compiler: :func:`compiled`, or nothing for the arithmetic alone.

    Returns:
      What JSON can hold. All bytes are those of a chip. The ``arithmetic`` ones are what the arrays need at least: the
      parameter and the gradient read where their state is, the state read and written, the new parameter written. Those
      of ``compiled`` are the compiled program's: one is compiled for each distinct shape. In one program for all arrays
      the compilers of v6e and tpu7x have fewer kernels, one for small arrays that are alike.

    Raises:
      ValueError: options do not fit together.

    Example:
      >>> found = plan({(4096, 4096): 2}, topology_of("v5e:4x4"), storage=["uint8"])
      >>> found["rows"][0]["state"], found["rows"][0]["arithmetic"]["moved_per_parameter"]
      (2097152, 14.0)
    """
    _numbers.needs("momentum_storage", momentum_storage != "float32", "momentum", momentum)
    if remainder and dtype != "bfloat16":
        raise ValueError(f"remainder is for parameters in bfloat16, got dtype={dtype}.")
    buffer: Any = {"momentum": 0.9 if momentum else None, "momentum_storage": momentum_storage}
    rows = []
    for form in storage:
        tx = rmsprop(1e-3, storage=form, centered=centered, **buffer)
        tx = with_remainder(tx) if remainder else float32_updates(tx)
        rows.append({"storage": form} | _row(tx, arrays, topology, dtype, sharding, compiler))

    mesh = _abstract(topology)
    split = sharding != "replicated" and topology.devices > 1
    parts = {shape: _places(shape, sharding, mesh).state.shard_shape(shape) for shape in arrays if split}
    whole = {shape: arrays[shape] for shape, part in parts.items() if part == shape}
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
        "parameters": _count(arrays),
        "undivided": {"arrays": sum(whole.values()), "parameters": _count(whole)},
        "rows": rows,
    }


def _count(arrays: Mapping[tuple[int, ...], int]) -> int:
    return sum(math.prod(shape) * count for shape, count in arrays.items())


def _row(tx, arrays, topology, dtype, sharding, compiler) -> dict[str, Any]:
    def total(function):
        sums: Counter[str] = Counter()
        for shape, count in arrays.items():
            for name, number in function(tx, shape, dtype, sharding, topology).items():
                sums[name] += number * count
        return sums

    def in_time(moved):
        seconds = moved / (topology.chip.bandwidth * 1e9)
        return {"moved": moved, "moved_per_parameter": moved / parameters, "seconds": seconds}

    devices, least = topology.chip.devices, total(arithmetic)
    parameters = least["parameters"] * devices
    row = {
        "parameters": parameters,
        "parameter_bytes": least["parameter_bytes"] * devices,
        "state": least["state"] * devices,
        "state_per_parameter": least["state_of_all"] / _count(arrays),
        "arithmetic": in_time(least["moved"] * devices),
        "compiled": None,
    }
    memory, fits = 2 * row["parameter_bytes"] + row["state"], True
    if compiler is not None:
        try:
            found = total(compiler)
            row["compiled"] = in_time(found["moved"] * devices) | {
                "kernels": found["kernels"],
                "collectives": {kind: found[kind] for kind in COLLECTIVES if found[kind]},
                "temporary": found["temporary"] * devices,
            }
            memory += found["temporary"] * devices
        except MemoryError:
            fits = False
    return row | {"memory": memory, "fits": fits and memory <= topology.chip.usable * 2**30}


class _Places(NamedTuple):
    """Where a parameter with its gradient lives, and where its state."""

    parameter: NamedSharding
    state: NamedSharding


def _abstract(topology: Topology) -> Any:
    return AbstractMesh((topology.devices,), ("chips",))


def _places(shape: tuple[int, ...], sharding: str, mesh: Any) -> _Places:
    whole, parts = NamedSharding(mesh, P()), NamedSharding(mesh, _divided(P(), shape, mesh.axis_names, mesh))
    return _Places(parts if sharding == "fsdp" else whole, whole if sharding == "replicated" else parts)


def _abstractly(tx: Any, shape: tuple[int, ...], dtype: str, sharding: str, mesh: Any) -> tuple[Any, Any]:
    """A parameter and its state, with their shardings."""
    param = jax.ShapeDtypeStruct(shape, dtype, sharding=_places(shape, sharding, mesh).parameter)
    shardings = state_shardings(tx, param, zero="chips" if sharding == "zero1" else None)
    state = jax.eval_shape(tx.init, param)
    return param, jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), state, shardings)


def arithmetic(
    tx: optax.GradientTransformation, shape: tuple[int, ...], dtype: str, sharding: str, topology: Topology
) -> dict[str, int]:
    """What an array holds and moves in a step, in bytes and on each device; see :func:`plan`."""

    def size(x, place=None):
        return math.prod((place or x.sharding).shard_shape(x.shape)) * x.dtype.itemsize

    mesh = _abstract(topology)
    param, state = _abstractly(tx, shape, dtype, sharding, mesh)
    arrays = [x for x in jax.tree.leaves(state) if x.shape == shape]
    held = sum(map(size, arrays))
    read = size(param, _places(shape, sharding, mesh).state)
    return {
        "parameters": size(param) // param.dtype.itemsize,
        "parameter_bytes": size(param),
        "state": held,
        "state_of_all": sum(math.prod(shape) * x.dtype.itemsize for x in arrays),
        "moved": 2 * read + 2 * held + size(param),
    }


def compiled(
    tx: optax.GradientTransformation, shape: tuple[int, ...], dtype: str, sharding: str, topology: Topology
) -> dict[str, int]:
    """What the TPU's compiler makes of an array's update and its addition, on each device, the old arrays donated.

    Raises:
      ValueError: the compiler knows no such topology.
      MemoryError: it does not fit.
    """
    mesh = Mesh(np.array(_devices(topology)), ("chips",))
    param, state = _abstractly(tx, shape, dtype, sharding, mesh)
    places = jax.tree.map(lambda x: x.sharding, (param, state))

    def step(param, state, grad):
        updates, state = tx.update(grad, state, param)
        return optax.apply_updates(param, updates), state

    jitted = jax.jit(step, donate_argnums=(0, 1), out_shardings=places)
    try:
        with jax.numpy_dtype_promotion("standard"):  # optax adds a float32 update to a bfloat16 parameter
            program = jitted.lower(param, state, param).compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise MemoryError from error
        raise
    hlo: Any = program.as_text()
    memory: Any = program.memory_analysis()
    found = Counter(re.findall(rf" ({'|'.join(COLLECTIVES)})(?:-start)?\(", hlo))
    return {
        "moved": traffic(hlo),
        "kernels": hlo[hlo.index("\nENTRY") :].count(" fusion("),
        "temporary": memory.temp_size_in_bytes,
        **found,
    }


@functools.cache
def _devices(topology: Topology) -> Sequence[Any]:
    from jax.experimental import topologies

    # Of v4 the compiler would see two devices on a chip, and hosts of four chips everywhere.
    hosts = (*(min(2, size) for size in topology.sizes[:2]), 1)
    config = {"chip_config_name": "megacore"} if topology.name.startswith("v4") else {}
    try:
        return topologies.get_topology_desc(
            platform="tpu", topology_name=topology.name, chips_per_host_bounds=hosts, **config
        ).devices
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"topology {topology.name!r}: {error}") from error


# Without a TPU there is no machine to ask for these; several processes may compile at a time.
LIBTPU = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
}
COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")


def text(plan: Mapping[str, Any]) -> str:
    """A plan as a table that lines up."""
    return "\n".join([*_head(plan), "", aligned(_table(plan)), "", *_legend(plan)])


def markdown(plan: Mapping[str, Any]) -> str:
    """A plan as a table in Markdown."""
    head, *rows = _table(plan)
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join([*_head(plan), "", *(f"| {' | '.join(line)} |" for line in lines), "", *_legend(plan)])


def _head(plan: Mapping[str, Any]) -> list[str]:
    row = plan["rows"][0]
    extras = {
        f"momentum in {plan['momentum_storage']}": plan["momentum_storage"],
        "centered": plan["centered"],
        "with a remainder": plan["remainder"],
    }
    kind = ", ".join([f"{plan['dtype']} parameters and gradients", *(name for name, on in extras.items() if on)])
    share = f"{_bytes(row['parameter_bytes'])} of parameters, as much of gradients"
    lines = [
        f"{plan['parameters']:,} parameters in {plan['arrays']:,} arrays; {plan['chips']:,} chips, {plan['topology']}",
        f"{plan['sharding']}: {SHARDINGS[plan['sharding']]}; {kind}",
        f"a chip: {share}, {plan['usable_memory'] / 2**30:g} GiB of HBM at {plan['bandwidth'] / 1e9:g} GB/s",
    ]
    if plan["undivided"]["arrays"]:
        arrays, count = plan["undivided"].values()
        lines.append(f"whole on every chip: {arrays:,} arrays, {count:,} parameters, none of whose dimensions divides")
    return lines


def _table(plan: Mapping[str, Any]) -> list[list[str]]:
    rows = [["storage", "state", "moved", "at least", "kernels", "collectives", "temporary", "time", "memory"]]
    for row in plan["rows"]:
        found, least = row["compiled"], row["arithmetic"]
        best = found or least
        rows.append(
            [
                row["storage"],
                f"{row['state_per_parameter']:.3g} B, {_bytes(row['state'])}",
                f"{best['moved_per_parameter']:.4g} B, {_bytes(best['moved'])}",
                f"{least['moved_per_parameter']:.4g} B",
                f"{found['kernels']:,}" if found else "-",
                ", ".join(f"{n:,} {kind}" for kind, n in found["collectives"].items()) or "none" if found else "-",
                _bytes(found["temporary"]) if found else "-",
                _unit(best["seconds"], {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}),
                f"{100 * row['memory'] / plan['usable_memory']:.3g} %{'' if row['fits'] else ', too much'}",
            ]
        )
    return rows


def _legend(plan: Mapping[str, Any]) -> list[str]:
    lines = [
        "state, moved: for a parameter, and on a chip; moved is what a step reads and writes, at least for the arrays",
        "alone. time: of the bytes moved, at the memory's bandwidth, without collectives. memory: what parameters,",
        "gradients, state and temporaries take of it.",
    ]
    if plan["sharding"] == "zero1" and any(row["compiled"] for row in plan["rows"]):
        lines.append("Compiled array by array: in one program they share the chip's own memory and move somewhat more.")
    return lines


def _bytes(number: float) -> str:
    return _unit(number, {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3, "B": 1})


def _unit(number: float, units: Mapping[str, float]) -> str:
    """Three digits, in the largest unit that is not above the number."""
    unit = next((name for name, size in units.items() if number >= 0.9995 * size), [*units][-1])
    return f"{number / units[unit]:.3g} {unit}"


def add_command(commands: Any) -> None:
    """Add ``plan`` to the commands of a parser."""
    parser = commands.add_parser(
        "plan",
        help="bytes of state, bytes moved, kernels and collectives of a step on TPUs",
        description="What a step of RMSprop costs on TPUs, compiled ahead for them where libtpu is installed: bytes of "
        "state and bytes moved, kernels, collectives, and the time that the memory's bandwidth allows.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--params", type=float, metavar="NUMBER", help="of a transformer of about this size: 1.3e9")
    model.add_argument(
        "--shapes",
        type=Path,
        metavar="FILE",
        help='a tree of shapes in JSON, dicts and lists: {"embedding": [50257, 768], "layers": [[768, 3072], [768]]}',
    )
    parser.add_argument(
        "--topology",
        required=True,
        metavar="NAME",
        help=f"chips and how they are wired: v5e:4x4, v5p:2x2x4; there are {', '.join(CHIPS)}",
    )
    kinds = "; ".join(f"{name}: {what}" for name, what in SHARDINGS.items())
    parser.add_argument("--sharding", choices=SHARDINGS, default="fsdp", help=f"{kinds} (default: fsdp)")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of the parameters and their gradients (default: float32)",
    )
    parser.add_argument("--storage", nargs="+", choices=FORMATS, default=list(FORMATS), help="default: all")
    parser.add_argument("--momentum", action="store_true", help="with a momentum buffer")
    signed = [name for name, form in FORMATS.items() if form.signed]
    parser.add_argument("--momentum-storage", choices=signed, default="float32", help="default: float32")
    parser.add_argument("--centered", action="store_true", help="with the mean of the gradients")
    parser.add_argument("--remainder", action="store_true", help="bfloat16 parameters with 16 bits more beside them")
    parser.add_argument("--no-compile", action="store_true", help="the arithmetic alone, which takes no time")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="a table in Markdown")
    form.add_argument("--json", action="store_true", help="all numbers")


def run(args: argparse.Namespace) -> None:
    """Print the plan that a command line asks for."""
    from rmsprop_optax.demo.options import UsageError

    jax.config.update("jax_platforms", "cpu")  # nothing is to run on, or wait for, a TPU that is there
    names = ("dtype", "storage", "sharding", "momentum", "momentum_storage", "centered", "remainder")
    options = {name: getattr(args, name) for name in names}
    try:
        topology = topology_of(args.topology)
        arrays = _read(args.shapes) if args.shapes else transformer(args.params, topology.devices)
        found = plan(arrays, topology, **options, compiler=_compiler(args, topology, arrays))
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    except jax.errors.JaxRuntimeError as error:
        raise UsageError(f"the TPU's compiler: {error}; --no-compile leaves it out.") from error
    print(json.dumps(found, indent=2) if args.json else markdown(found) if args.markdown else text(found))


def _read(path: Path) -> Counter[tuple[int, ...]]:
    try:
        return arrays_of(json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f"--shapes {path}: {error}") from error


def _compiler(args: argparse.Namespace, topology: Topology, arrays: Mapping) -> Callable[..., dict[str, int]] | None:
    """:func:`compiled`, which says how far it is, if it can be had and is wanted."""
    if args.no_compile:
        return None
    if importlib.util.find_spec("libtpu") is None:
        print("By arithmetic alone; to compile it: pip install 'rmsprop-optax[tpu]'", file=sys.stderr)
        return None
    os.environ |= LIBTPU
    _devices(topology)
    done, total = 0, len(arrays) * len(args.storage)
    if not sys.stderr.isatty():
        print(f"programs to compile for {topology.name}: {total}", file=sys.stderr)

    def step(tx, shape, *rest):
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            line = f"compiling {done} of {total} for {topology.name}: {'x'.join(map(str, shape))}"
            print(f"{line:<79}", end="\r", file=sys.stderr, flush=True)
        return compiled(tx, shape, *rest)

    return step
