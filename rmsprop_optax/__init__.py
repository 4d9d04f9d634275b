"""RMSprop for JAX: one core, and each framework's RMSprop a short composition on top of it."""

from rmsprop_optax import dialects, storage
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._scale import ScaleByRmsState, scale_by_rms

__version__ = "0.1.0"
__all__ = ["ScaleByRmsState", "dialects", "rmsprop", "scale_by_rms", "storage"]
