"""Where the arrays of an optimizer's state live: with their parameters, or divided further (ZeRO-1).

A state of ours has, for each parameter, arrays of its shape, whatever the storage; so it takes the parameter's
sharding, and ``jax.jit`` does the rest.
"""

import math
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rmsprop_optax._paths import parameters_of


def state_shardings(
    tx: Any, params: Any, *, zero: str | tuple[str, ...] | None = None, mesh: Mesh | AbstractMesh | None = None
) -> Any:
    """The shardings of ``tx.init(params)``: each array's that of its parameter, all else replicated.

    For ``jax.jit(tx.init, out_shardings=…)``, for the shardings of a training step, and as the template of a restored
    checkpoint. With ``zero`` each array of the state is split over more devices than its parameter, ZeRO-1: along its
    largest dimension that the devices of these mesh axes divide, on top of the parameter's own sharding. An array
    without such a dimension stays as its parameter is.

    Args:
      tx: any optimizer with ``init``, a chain, ``optax.masked``, ``partition`` or ``MultiSteps`` with one of ours too.
      params: a tree of arrays, or of ``jax.ShapeDtypeStruct`` with shardings; an ``nnx.State`` and boxes of Linen's
        alike.
      zero: the mesh axis, or axes, that the state is divided over.
      mesh: of the shardings, if no parameter has a ``NamedSharding`` to take it from.

    Returns:
      A tree like the state, with a ``NamedSharding`` for each array.

    Raises:
      ValueError: there is no mesh, or it has no such axis, or an abstract parameter has no sharding.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> mesh = jax.make_mesh((1,), ("data",))
      >>> params = {"w": jax.ShapeDtypeStruct((8, 128), "float32", sharding=NamedSharding(mesh, P()))}
      >>> tx = rmsprop(0.1, storage="uint8")
      >>> shardings = state_shardings(tx, params, zero="data")
      >>> tuple(shardings[1].nu["w"].spec)
      (None, 'data')
      >>> state = jax.jit(tx.init, out_shardings=shardings)({"w": jax.numpy.ones((8, 128))})

    Source:
      Rajbhandari et al.: ZeRO: Memory Optimizations Toward Training Trillion Parameter Models, arXiv:1910.02054, 5.1.
    """
    of_params = dict(jax.tree.leaves_with_path(params))
    meshes = (getattr(getattr(leaf, "sharding", None), "mesh", None) for leaf in of_params.values())
    mesh = mesh or next(filter(None, meshes), None)
    axes = (zero,) if isinstance(zero, str) else tuple(zero or ())
    if mesh is None:
        raise ValueError("state_shardings needs a mesh, got parameters without a NamedSharding: pass mesh=….")
    if unknown := [axis for axis in axes if axis not in mesh.shape]:
        raise ValueError(f"zero must name axes of the mesh, {', '.join(mesh.axis_names)}, got {', '.join(unknown)}.")

    unplaced = [path for path, leaf in of_params.items() if getattr(leaf, "sharding", leaf) is None]
    if unplaced:
        raise ValueError(
            f"each parameter must have a sharding, got none of {jax.tree_util.keystr(unplaced[0])}: give arrays, or "
            "jax.ShapeDtypeStruct(shape, dtype, sharding=…); flax.linen.get_sharding makes them of Linen's boxes."
        )

    def one(path, leaf):
        sharding = getattr(_parameter(path, leaf, of_params), "sharding", None)
        spec = sharding.spec if isinstance(sharding, NamedSharding) else P()
        return NamedSharding(mesh, spec if sharding is None else divided(spec, leaf.shape, axes, mesh))

    return jax.tree.map_with_path(one, jax.eval_shape(tx.init, params))


def _parameter(path: tuple, leaf: Any, of_params: dict) -> Any:
    """The parameter that an array of a state belongs to: its path ends as that one's, and the shape is the same."""
    found = (of_params[key] for key in parameters_of(path, of_params))
    return next((param for param in found if jax.numpy.shape(param) == leaf.shape), None)


def divided(spec: P, shape: tuple[int, ...], axes: tuple[str, ...], mesh: Mesh | AbstractMesh) -> P:
    """Return ``spec`` with the largest dimension that ``axes`` divide split along them too.

    Args:
      spec: how the array is sharded already.
      shape: of the whole array.
      axes: mesh axes to add. Those that ``spec`` uses already are left out.
      mesh: has the sizes of the axes.

    Returns:
      ``spec`` itself if no dimension can be divided.
    """
    names = [(name,) if isinstance(name, str) else tuple(name or ()) for name in spec]
    names += [()] * (len(shape) - len(names))
    axes = tuple(axis for axis in axes if not any(axis in name for name in names))
    parts = math.prod(mesh.shape[axis] for axis in axes)
    left = [size // math.prod(mesh.shape[axis] for axis in name) for size, name in zip(shape, names, strict=True)]
    fitting = [d for d, size in enumerate(left) if size and size % parts == 0]
    if not axes or not fitting:
        return spec
    largest = max(fitting, key=left.__getitem__)
    names[largest] += axes
    return P(*(name[0] if len(name) == 1 else name or None for name in names))
