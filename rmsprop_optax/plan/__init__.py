"""The costs of a training step on TPUs, and the optimizer's share: bytes of state, bytes moved, collectives, time.

Call :func:`step` for any training step; ``rmsprop-optax plan`` prints its result. With libtpu installed the TPU's
own compiler compiles the step, on any machine. Nothing is executed.

======== ===================================================================
chips    generations of TPUs, and the grids in which they are wired
shapes   arrays of a model that is not written yet
costs    the step with each optimizer, with and without ZeRO-1
compiler the step compiled by libtpu
hlo      bytes moved and collectives in the text of a program
table    the plan as text
======== ===================================================================
"""

from rmsprop_optax.plan.chips import ALIASES, CHIPS, Chip, Topology, topology_of
from rmsprop_optax.plan.compiler import LIBTPU, devices
from rmsprop_optax.plan.costs import Make, Plan, Row, arrays, step, storages
from rmsprop_optax.plan.hlo import COLLECTIVES, collectives, traffic
from rmsprop_optax.plan.shapes import arrays_of, parse_count, size_of, transformer
from rmsprop_optax.plan.table import markdown, text

__all__ = [
    "ALIASES",
    "CHIPS",
    "COLLECTIVES",
    "LIBTPU",
    "Chip",
    "Make",
    "Plan",
    "Row",
    "Topology",
    "arrays",
    "arrays_of",
    "collectives",
    "devices",
    "markdown",
    "parse_count",
    "size_of",
    "step",
    "storages",
    "text",
    "topology_of",
    "traffic",
    "transformer",
]
