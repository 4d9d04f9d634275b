"""Continue a run of another framework here, or a run of ours there or with other options.

Everything goes through :class:`Slots`: each file of this package reads one format into slots, and :func:`write` makes a
state from slots. Formats are plain mappings of arrays; a framework is imported only to open one of its files.
"""

from rmsprop_optax._paths import named
from rmsprop_optax.interop import optax
from rmsprop_optax.interop.slots import Slots, read, transfer, write

__all__ = ["Slots", "named", "optax", "read", "transfer", "write"]
