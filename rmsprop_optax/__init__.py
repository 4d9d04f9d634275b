"""RMSprop for JAX: one core, and each framework's RMSprop a short composition on top of it."""

from rmsprop_optax import dialects, differences, epsilon, recipes, storage
from rmsprop_optax._gains import ScaleByGainsState, scale_by_gains
from rmsprop_optax._momentum import nesterov_eval_params
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._scale import ScaleByRmsState, scale_by_rms

__version__ = "0.1.0"
__all__ = [
    "ScaleByGainsState",
    "ScaleByRmsState",
    "dialects",
    "differences",
    "epsilon",
    "nesterov_eval_params",
    "recipes",
    "rmsprop",
    "scale_by_gains",
    "scale_by_rms",
    "storage",
]
