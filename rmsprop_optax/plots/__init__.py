"""Draw figures from rows of numbers.

Neither JAX nor an optimizer is needed; matplotlib is imported when the first figure is drawn. A figure belongs to its
caller: ``figure.savefig(path)`` writes it, and pyplot does not keep it open.
"""

from rmsprop_optax.plots._layers import layers, rates
from rmsprop_optax.plots._runs import bands, curves
from rmsprop_optax.plots._weights import movements, trajectories

__all__ = ["bands", "curves", "layers", "movements", "rates", "trajectories"]
