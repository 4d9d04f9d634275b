"""Place the state of an optimizer: with the parameters, or divided over more devices (ZeRO-1).

For each parameter, the states of this package hold arrays of the parameter's shape, in any storage format. Each array
takes the sharding of its parameter.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import optax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rmsprop_optax._paths import parameters_of

__all__ = ["divided", "state_shardings"]

_Path = tuple[Any, ...]


def state_shardings(
    tx: optax.GradientTransformation | optax.MultiSteps,
    params: optax.Params,
    *,
    zero: str | tuple[str, ...] | None = None,
    mesh: Mesh | AbstractMesh | None = None,
) -> optax.OptState:
    """Return the shardings of ``tx.init(params)``.

    An array of the state that belongs to a parameter takes the parameter's sharding. Other arrays, such as counts, are
    replicated. Use the result for ``jax.jit(tx.init, out_shardings=…)``, for the shardings of a training step, and in
    the template of a checkpoint to restore.

    With ``zero`` (ZeRO-1), each array is divided further, over the devices of these mesh axes. The largest dimension
    that those devices divide evenly is split. An array without such a dimension keeps the parameter's sharding. Give
    the ``out_shardings`` of a step also for the parameters: otherwise XLA returns them divided like the state.

    Args:
      tx: an optimizer with ``init``, also a chain, ``optax.masked``, ``optax.partition`` or ``optax.MultiSteps``.
      params: a tree of arrays, or of ``jax.ShapeDtypeStruct`` with shardings; also an ``nnx.State`` or boxes of Linen.
      zero: the mesh axis, or axes, to divide the state over.
      mesh: the mesh of the result. By default the mesh of the first parameter with a ``NamedSharding``.

    Returns:
      A tree like the state, with a ``NamedSharding`` for each array.

    Raises:
      ValueError: there is no mesh, ``zero`` names an axis twice or an axis that the mesh lacks, or an abstract
        parameter has no sharding.
      TypeError: ``tx`` has no ``init``, ``mesh`` is not a mesh, or ``zero`` is not a name or a tuple of names.

    Example:
      A training step whose parameters stay whole on every device, beside a divided state:

      >>> import functools
      >>> from rmsprop_optax import rmsprop
      >>> mesh = jax.make_mesh((jax.device_count(),), ("data",))
      >>> params = jax.device_put({"w": jax.numpy.ones((1024, 64))}, NamedSharding(mesh, P()))
      >>> tx = rmsprop(0.1, storage="uint8")
      >>> places = jax.tree.map(lambda p: p.sharding, params), state_shardings(tx, params, zero="data")
      >>> state = jax.jit(tx.init, out_shardings=places[1])(params)
      >>> @functools.partial(jax.jit, out_shardings=places)
      ... def step(params, state):
      ...     grads = jax.grad(lambda p: (p["w"] ** 2).sum())(params)
      ...     updates, state = tx.update(grads, state, params)
      ...     return optax.apply_updates(params, updates), state
      >>> for _ in range(3):
      ...     params, state = step(params, state)
      >>> params["w"].sharding.spec, state[0].nu["w"].sharding.spec
      (P(), P('data', None))

    Source:
      Rajbhandari et al.: ZeRO: Memory Optimizations Toward Training Trillion Parameter Models, arXiv:1910.02054, 5.1.
    """
    if not callable(getattr(tx, "init", None)):
        raise TypeError(
            f"tx must be an optimizer with init, got {type(tx).__name__}: call state_shardings(tx, params) with the "
            "optimizer, not with its constructor or state."
        )
    of_params = dict(jax.tree.leaves_with_path(params))
    mesh = _mesh(mesh, of_params)
    axes = _axes(zero, mesh)
    unplaced = [path for path, leaf in of_params.items() if getattr(leaf, "sharding", leaf) is None]
    if unplaced:
        raise ValueError(
            f"each parameter must have a sharding, got none of {jax.tree_util.keystr(unplaced[0])}: give arrays, or "
            "jax.ShapeDtypeStruct(shape, dtype, sharding=…). For boxes of Linen, flax.linen.get_sharding makes them."
        )

    def one(path: _Path, leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        param = _parameter(path, leaf, of_params)
        sharding = getattr(param, "sharding", None)
        spec = sharding.spec if isinstance(sharding, NamedSharding) else P()
        return NamedSharding(mesh, spec if param is None else divided(spec, leaf.shape, axes, mesh))

    return jax.tree.map_with_path(one, jax.eval_shape(tx.init, params))


def _mesh(mesh: Any, of_params: Mapping[_Path, Any]) -> Mesh | AbstractMesh:
    meshes = (getattr(getattr(leaf, "sharding", None), "mesh", None) for leaf in of_params.values())
    mesh = mesh or next(filter(None, meshes), None)
    if mesh is None:
        raise ValueError("state_shardings needs a mesh, got parameters without a NamedSharding: pass mesh=….")
    if not isinstance(mesh, Mesh | AbstractMesh):
        raise TypeError(
            f"mesh must be a jax.sharding.Mesh, got mesh={mesh!r}: make one with jax.make_mesh((8,), ('data',)), and "
            "name its axes in zero."
        )
    return mesh


def _axes(zero: Any, mesh: Mesh | AbstractMesh, name: str = "zero") -> tuple[str, ...]:
    names = [zero] if isinstance(zero, str) else [] if zero is None else zero
    if not isinstance(names, list | tuple) or not all(isinstance(axis, str) for axis in names):
        raise TypeError(
            f"{name} must be the name of a mesh axis or a tuple of names, got {name}={zero!r}: name an axis."
        )
    if unknown := [axis for axis in names if axis not in mesh.shape]:
        raise ValueError(
            f"{name} must name axes of the mesh, {', '.join(mesh.axis_names)}, got {', '.join(unknown)}: pick one."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"{name} must name each mesh axis once, got {name}={zero!r}: drop the repeated name.")
    return tuple(names)


def _parameter(path: _Path, leaf: jax.ShapeDtypeStruct, of_params: Mapping[_Path, Any]) -> Any:
    """The parameter of an array of a state: the path of the array ends with the parameter's, and the shapes agree."""
    found = (of_params[key] for key in parameters_of(path, of_params))
    return next((param for param in found if jax.numpy.shape(param) == leaf.shape), None)


def divided(spec: P, shape: tuple[int, ...], axes: tuple[str, ...], mesh: Mesh | AbstractMesh) -> P:
    """Return ``spec`` with ``axes`` added to the largest dimension that they divide evenly.

    Args:
      spec: the present sharding of the array.
      shape: the shape of the whole array.
      axes: mesh axes to add; axes that ``spec`` already uses are left out.
      mesh: the mesh of the axes.

    Returns:
      ``spec`` itself if no dimension can be divided.

    Raises:
      ValueError: ``axes`` names an axis twice or an axis that the mesh lacks, or ``spec`` is longer than ``shape``.
      TypeError: ``axes`` is not a name or a tuple of names.
    """
    names = [(name,) if isinstance(name, str) else tuple(name or ()) for name in spec]
    if len(names) > len(shape):
        raise ValueError(f"spec must have at most {len(shape)} entries for the shape {shape}, got {spec}: drop one.")
    names += [()] * (len(shape) - len(names))
    axes = tuple(axis for axis in _axes(axes, mesh, "axes") if not any(axis in name for name in names))
    parts = math.prod(mesh.shape[axis] for axis in axes)
    left = [size // math.prod(mesh.shape[axis] for axis in name) for size, name in zip(shape, names, strict=True)]
    fitting = [d for d, size in enumerate(left) if size and size % parts == 0]
    if not axes or not fitting:
        return spec
    largest = max(fitting, key=left.__getitem__)
    names[largest] += axes
    return P(*(name[0] if len(name) == 1 else name or None for name in names))
