"""RMSprop for JAX: one core, and each framework's RMSprop a short composition on top of it."""

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

from jax import export as _export

from rmsprop_optax._create import create, names
from rmsprop_optax._decay import WeightDecayState
from rmsprop_optax._gains import ScaleByGainsState, scale_by_gains
from rmsprop_optax._momentum import MomentumState
from rmsprop_optax._nesterov import nesterov_eval_params
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._scale import ScaleByRmsState, scale_by_rms, scale_by_stddev
from rmsprop_optax.bfloat16 import RemainderState, float32_updates, with_remainder
from rmsprop_optax.dialects import AdaptiveStepsState
from rmsprop_optax.storage import with_storage

if TYPE_CHECKING:
    from rmsprop_optax import (
        bfloat16,
        dialects,
        differences,
        experimental,
        interop,
        links,
        measure,
        plan,
        plots,
        recipes,
        scaling,
        sharding,
        storage,
    )

__version__ = "0.2.0"
__all__ = [
    "AdaptiveStepsState",
    "MomentumState",
    "RemainderState",
    "ScaleByGainsState",
    "ScaleByRmsState",
    "WeightDecayState",
    "bfloat16",
    "create",
    "dialects",
    "differences",
    "experimental",
    "float32_updates",
    "interop",
    "links",
    "measure",
    "names",
    "nesterov_eval_params",
    "plan",
    "plots",
    "recipes",
    "rmsprop",
    "scale_by_gains",
    "scale_by_rms",
    "scale_by_stddev",
    "scaling",
    "sharding",
    "storage",
    "with_remainder",
    "with_storage",
]

# A program that jax.export saves may hold our states. After a reload of this module they are registered already.
for _name in __all__:
    if _name.endswith("State"):
        with contextlib.suppress(ValueError):
            _export.register_namedtuple_serialization(globals()[_name], serialized_name=f"rmsprop_optax.{_name}")


def __getattr__(name: str) -> Any:
    """Load a module on first use."""
    if name in __all__:
        return importlib.import_module(f"rmsprop_optax.{name}")
    raise AttributeError(f"module 'rmsprop_optax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
