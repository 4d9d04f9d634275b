"""RMSprop for JAX: one core, and each framework's RMSprop a short composition on top of it."""

from rmsprop_optax import dialects, differences, recipes, scaling, storage
from rmsprop_optax._gains import ScaleByGainsState, scale_by_gains
from rmsprop_optax._momentum import MomentumState, nesterov_eval_params
from rmsprop_optax._one_pass import one_pass
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._scale import ScaleByRmsState, scale_by_rms
from rmsprop_optax._wrappers import RemainderState, float32_updates, with_remainder, with_storage

__version__ = "0.1.0"
__all__ = [
    "MomentumState",
    "RemainderState",
    "ScaleByGainsState",
    "ScaleByRmsState",
    "dialects",
    "differences",
    "float32_updates",
    "nesterov_eval_params",
    "one_pass",
    "recipes",
    "rmsprop",
    "scale_by_gains",
    "scale_by_rms",
    "scaling",
    "storage",
    "with_remainder",
    "with_storage",
]
