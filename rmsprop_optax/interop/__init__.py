"""Carry a run from another framework here, and back; and between our own options.

Everything goes through :class:`Slots`: each file of this package reads one format into them, and :func:`write` makes a
state of them. Formats are plain mappings of arrays; a framework is imported only where one of its files is opened.
"""

from rmsprop_optax.interop import optax
from rmsprop_optax.interop.slots import Slots, named, read, transfer, write

__all__ = ["Slots", "named", "optax", "read", "transfer", "write"]
