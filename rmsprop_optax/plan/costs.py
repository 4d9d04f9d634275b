"""The memory and the traffic of a whole training step on each chip, and the optimizer's share of both."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypedDict, get_args

import jax
import numpy as np
import optax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._types import FormatName
from rmsprop_optax.plan import compiler
from rmsprop_optax.plan.chips import Topology
from rmsprop_optax.plan.shapes import Shape
from rmsprop_optax.sharding import divided, state_shardings

Make: TypeAlias = Callable[[Any, Any], tuple[Any, ...]]
"""``make(tx, mesh) -> (step, params, *batch)``, with ``step(params, state, *batch) -> (params, state, …)``.

Parameters and batch are trees of ``jax.ShapeDtypeStruct`` with shardings of the mesh. ``state`` is ``tx.init(params)``.
Without a step, ``None``, costs are arithmetic."""


class Row(TypedDict):
    """A step with one optimizer. Bytes are those of one chip.

    Attributes:
      optimizer: its name.
      zero: whether the state is divided further than the parameters (ZeRO-1).
      state: bytes of state; ``state_per_parameter`` counts each part once for all chips.
      least: bytes if each argument is read once and each result written once.
      moved: bytes that the compiled step reads and writes, ``None`` if it was not compiled.
      temporary: bytes of memory besides arguments and results, or ``None``.
      collectives: kind → "number" and "bytes", or ``None``.
      seconds: ``moved``, or ``least``, ÷ the memory's bandwidth.
      share: the part of ``moved`` (or ``least``) that the same step with SGD does not move; below 0 if ZeRO-1 moves
        less than that step.
      memory: arguments, results without a donated argument, and temporary memory; if not compiled, parameters,
        gradients and state.
      fits: whether this memory fits a chip.
    """

    optimizer: str
    zero: bool
    state: int
    state_per_parameter: float
    least: int
    moved: int | None
    temporary: int | None
    collectives: dict[str, dict[str, int]] | None
    seconds: float
    share: float
    memory: int
    fits: bool


class Plan(TypedDict):
    """The result of :func:`step`, which JSON can hold.

    Attributes:
      topology: its name.
      chips: their number.
      bandwidth: of a chip's memory, in bytes a second.
      usable_memory: in bytes, of a chip.
      mesh: axis → size.
      arrays: the number of parameter arrays.
      parameters: their number.
      parameters_of_a_chip: their number on a chip.
      parameter_bytes: of a chip.
      operations: of the matrix products and convolutions of a step on a chip; ``None`` without a step. A loop without a
        fixed length counts once.
      seconds: ``operations`` ÷ the chip's peak in bfloat16.
      rows: a row for each optimizer, SGD first, and one more if ZeRO-1 divides its state further.
    """

    topology: str
    chips: int
    bandwidth: float
    usable_memory: int
    mesh: dict[str, int]
    arrays: int
    parameters: int
    parameters_of_a_chip: int
    parameter_bytes: int
    operations: int | None
    seconds: float | None
    rows: list[Row]


def storages(**options: Any) -> dict[str, optax.GradientTransformation]:
    """Return :func:`rmsprop_optax.rmsprop` with each storage format, by name."""
    return {name: rmsprop(1e-3, storage=name, **options) for name in get_args(FormatName)}


def arrays(shapes: Mapping[Shape, int], *, dtype: str = "float32", split: bool = True) -> Make:
    """Return the ``make`` of :func:`step` for arrays without a model.

    Args:
      shapes: shape → number of parameter arrays.
      dtype: of the parameters.
      split: whether the chips divide each array (FSDP); an array that they do not divide stays whole.
    """

    def make(tx: Any, mesh: Any) -> tuple[Any, ...]:
        del tx
        specs = {shape: divided(P(), shape, mesh.axis_names, mesh) if split else P() for shape in shapes}
        each = {s: jax.ShapeDtypeStruct(s, dtype, sharding=NamedSharding(mesh, spec)) for s, spec in specs.items()}
        return None, [each[shape] for shape, number in shapes.items() for _ in range(number)]

    return make


def step(
    make: Make,
    topology: Topology,
    optimizers: Mapping[str, optax.GradientTransformation] | None = None,
    *,
    mesh: Mapping[str, int] | None = None,
    compile: bool = True,
    progress: Callable[[str], object] = lambda name: None,
) -> Plan:
    """Return the costs of a training step with each optimizer, with and without ZeRO-1.

    Args:
      make: returns the step and its abstract arguments, see :data:`Make`.
      topology: the chips, see :func:`rmsprop_optax.plan.topology_of`.
      optimizers: by name; by default :func:`storages`. SGD is added.
      mesh: axis → size, in all the number of devices; by default one axis "data". ZeRO-1 divides over all axes.
      compile: compile the steps with libtpu in this process; set the environment variables of
        :data:`rmsprop_optax.plan.LIBTPU` before. Otherwise, and without a step, the numbers are arithmetic: they know
        neither activations nor temporary memory.
      progress: called with the name of each step before the step is compiled.

    Raises:
      ValueError: the mesh has another number of devices, or libtpu does not know the topology.
      TypeError: ``make`` does not return a step and abstract arrays, or the step does not return parameters and state
        as they came.

    Example:
      >>> from rmsprop_optax.plan import topology_of
      >>> found = step(arrays({(4096, 4096): 2}), topology_of("v5e:4x4"), compile=False)
      >>> [(row["optimizer"], row["state"], row["least"]) for row in found["rows"][::3]]
      [('SGD', 0, 16777216), ('uint8', 2097152, 20971520)]
    """
    mesh = {"data": topology.devices} if mesh is None else dict(mesh)
    if math.prod(mesh.values()) != topology.devices:
        raise ValueError(f"the mesh must have the {topology.devices} devices of {topology.name}, got {mesh}.")
    compile = compile and _made(make(optax.identity(), _abstract(mesh)))[0] is not None
    of_devices = _concrete(mesh, topology) if compile else _abstract(mesh)
    chosen = {"SGD": optax.sgd(1e-3), **(storages() if optimizers is None else optimizers)}
    rows: list[Row] = []
    for name, tx in chosen.items():
        function, params, *batch = _made(make(tx, of_devices))
        places = [state_shardings(tx, params, zero=axes, mesh=of_devices) for axes in (None, tuple(mesh))]
        for zero in (False, True)[: 1 + (places[0] != places[1] and topology.devices > 1)]:
            state = jax.tree.map(_placed, jax.eval_shape(tx.init, params), places[zero])
            row = _arithmetic(topology, params, state, batch, optimizer=name, zero=zero)
            traced = None if function is None else _traced(of_devices, function, params, state, batch)
            if compile and traced is not None:
                progress(f"{name}, ZeRO-1" if zero else name)
                row |= _compiled(topology, traced)
            row["seconds"] = (row["moved"] or row["least"]) / (topology.chip.bandwidth * 1e9)
            row["fits"] &= row["memory"] <= _usable(topology)
            rows.append(row)
    for row in rows:
        least, sgd = row["moved"] is None or rows[0]["moved"] is None, rows[0]
        row["share"] = 1 - (sgd["least"] / row["least"] if least else (sgd["moved"] or 0) / (row["moved"] or 1))
    operations = None if traced is None else _operations(traced.jaxpr) // topology.chips
    return {
        "topology": topology.name,
        "chips": topology.chips,
        "bandwidth": topology.chip.bandwidth * 1e9,
        "usable_memory": _usable(topology),
        "mesh": mesh,
        "arrays": len(jax.tree.leaves(params)),
        "parameters": _count(params),
        "parameters_of_a_chip": topology.chip.devices * sum(math.prod(_part(x)) for x in jax.tree.leaves(params)),
        "parameter_bytes": topology.chip.devices * _size(params),
        "operations": operations,
        "seconds": None if operations is None else operations / (topology.chip.operations * 1e12),
        "rows": rows,
    }


def _arithmetic(topology: Topology, params: Any, state: Any, batch: Any, **names: Any) -> Any:
    each, size, held = topology.chip.devices, _size(params), _size(state)
    return {
        **names,
        "state": each * held,
        "state_per_parameter": _size(state, whole=True) / _count(params),
        "least": each * (2 * size + 2 * held + _size(batch)),
        **dict.fromkeys(("moved", "temporary", "collectives")),
        "memory": each * (2 * size + held),
        "fits": True,
    }


def _compiled(topology: Topology, traced: jax.stages.Traced) -> dict[str, Any]:
    try:
        found = compiler.compiled(traced.lower())
    except MemoryError:
        return {"fits": False}
    return {name: n if name == "collectives" else topology.chip.devices * n for name, n in found.items()}


def _usable(topology: Topology) -> int:
    return int(topology.chip.usable * 2**30)


def _abstract(mesh: Mapping[str, int]) -> AbstractMesh:
    return AbstractMesh(tuple(mesh.values()), tuple(mesh), axis_types=(AxisType.Auto,) * len(mesh))


def _concrete(mesh: Mapping[str, int], topology: Topology) -> Mesh:
    grid = np.array(compiler.devices(topology)).reshape(*mesh.values())
    return Mesh(grid, tuple(mesh), axis_types=(AxisType.Auto,) * len(mesh))


def _made(made: Any) -> tuple[Any, ...]:
    """The tuple from ``make``; raise unless it begins with a step (or ``None``) and abstract parameters."""
    step, params, *_ = made if isinstance(made, tuple | list) and len(made) > 1 else (made, None)
    abstract = [isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(params)]
    if not (step is None or callable(step)) or not abstract or not all(abstract):
        raise TypeError(
            "make(tx, mesh) must return (step, params, *batch), params and batch of jax.ShapeDtypeStruct(shape, dtype, "
            f"sharding=NamedSharding(mesh, …)), got {made!r:.300}."
        )
    return tuple(made)


def _placed(x: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)


def _traced(mesh: Any, function: Any, params: Any, state: Any, batch: Any) -> jax.stages.Traced:
    carry = params, state
    # Within the mesh the step can name its axes in constraints.
    with jax.set_mesh(mesh) if isinstance(mesh, Mesh) else jax.sharding.use_abstract_mesh(mesh):
        out = jax.eval_shape(function, *carry, *batch)
        kept = tuple(out)[:2] if isinstance(out, tuple | list) else out
        like = [jax.tree.map(lambda x: (x.shape, x.dtype), tree) for tree in (carry, kept)]
        if like[0] != like[1]:
            raise TypeError(f"the step must return parameters and state as they came, then others, got {out!r:.300}.")
        places = jax.tree.map(lambda x: x.sharding, carry)
        jitted = jax.jit(function, donate_argnums=(0, 1), out_shardings=(*places, *[None] * (len(out) - 2)))
        traced: jax.stages.Traced = jitted.trace(*carry, *batch)
        return traced


def _part(x: Any) -> tuple[int, ...]:
    part: tuple[int, ...] = x.sharding.shard_shape(x.shape)
    return part


def _size(tree: Any, *, whole: bool = False) -> int:
    """The bytes of all arrays on one device, or of the ``whole`` arrays; scalars count for nothing."""
    return sum(math.prod(x.shape if whole else _part(x)) * x.dtype.itemsize for x in jax.tree.leaves(tree) if x.ndim)


def _count(tree: Any) -> int:
    return sum(x.size for x in jax.tree.leaves(tree))


def _operations(jaxpr: Any) -> int:
    """Multiplications and additions of all matrix products and convolutions."""
    total = 0
    for equation in jaxpr.eqns:
        inner = jax.tree.leaves([*equation.params.values()], is_leaf=lambda x: hasattr(x, "eqns"))
        total += equation.params.get("length", 1) * sum(_operations(x) for x in inner if hasattr(x, "eqns"))
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            kernel, out = equation.invars[1].aval, equation.outvars[0].aval
            features = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
            total += 2 * out.size * kernel.size // features
    return total
