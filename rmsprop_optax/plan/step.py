"""The step that is planned: its options, and the arrays and shardings that follow from them."""

from typing import Any, Literal, NamedTuple, TypeAlias

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._types import FormatName
from rmsprop_optax.bfloat16 import float32_updates, with_remainder
from rmsprop_optax.plan.shapes import Shape
from rmsprop_optax.sharding import divided, state_shardings

Dtype: TypeAlias = Literal["float32", "bfloat16"]
Sharding: TypeAlias = Literal["fsdp", "zero1", "replicated"]

SHARDINGS: dict[Sharding, str] = {
    "fsdp": "parameters, gradients and state split over the chips",
    "zero1": "parameters and gradients whole on every chip, state split over the chips",
    "replicated": "parameters, gradients and state whole on every chip",
}

AXIS = "chips"
"""The only axis of the mesh."""


class Step(NamedTuple):
    """One step of RMSprop.

    Attributes:
      storage: format of the mean square.
      dtype: of parameters and gradients. Updates are float32.
      sharding: where the arrays are, see :data:`SHARDINGS`.
      momentum: whether there is a momentum buffer.
      momentum_storage: format of the momentum buffer.
      centered: whether there is a mean of the gradients.
      remainder: whether bfloat16 parameters have 16 more bits in the state, see :func:`rmsprop_optax.with_remainder`.
    """

    storage: FormatName = "float32"
    dtype: Dtype = "float32"
    sharding: Sharding = "fsdp"
    momentum: bool = False
    momentum_storage: FormatName = "float32"
    centered: bool = False
    remainder: bool = False

    def optimizer(self) -> Any:
        """Return the optax transformation."""
        buffer: Any = {"momentum": 0.9, "momentum_storage": self.momentum_storage} if self.momentum else {}
        tx = rmsprop(1e-3, storage=self.storage, centered=self.centered, **buffer)
        return with_remainder(tx) if self.remainder else float32_updates(tx)


def abstract_mesh(devices: int) -> AbstractMesh:
    """Return a mesh of so many devices, none of which has to exist."""
    return AbstractMesh((devices,), (AXIS,))


def split(shape: Shape, mesh: Mesh | AbstractMesh) -> NamedSharding:
    """Return the sharding that splits an array over all devices; if no dimension divides, the array stays whole."""
    return NamedSharding(mesh, divided(P(), shape, (AXIS,), mesh))


def abstract_arrays(step: Step, shape: Shape, mesh: Mesh | AbstractMesh) -> tuple[jax.ShapeDtypeStruct, Any]:
    """Return a parameter and its optimizer state, both as ``jax.ShapeDtypeStruct`` with shardings."""
    tx, whole = step.optimizer(), NamedSharding(mesh, P())
    sharding = split(shape, mesh) if step.sharding == "fsdp" else whole
    param = jax.ShapeDtypeStruct(shape, step.dtype, sharding=sharding)
    places = state_shardings(tx, param, zero=AXIS if step.sharding == "zero1" else None)
    state = jax.eval_shape(tx.init, param)
    return param, jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), state, places)
