"""What a step of RMSprop costs on TPUs: bytes of state, bytes moved, kernels, collectives, and a lower bound of time.

``rmsprop-optax plan`` prints the table. The sizes of the arrays give the bytes. With libtpu installed the
TPU's own compiler compiles the update, on any machine, and gives the rest. Nothing is executed.

========== =============================================================
chips      generations of TPUs, and the grids in which they are wired
shapes     arrays of a model
step       what is planned: options, arrays and shardings of the update
arithmetic bytes that the arrays need, and the plan itself
compiler   the update compiled by libtpu
hlo        kernels, collectives and bytes in the text of a program
table      the plan as text
========== =============================================================
"""

from rmsprop_optax.plan.arithmetic import Compile, Moved, Plan, Row, least, plan
from rmsprop_optax.plan.chips import ALIASES, CHIPS, Chip, Topology, topology_of
from rmsprop_optax.plan.compiler import LIBTPU, Compiler, compiled, devices, program
from rmsprop_optax.plan.hlo import COLLECTIVES, collectives, kernels, traffic
from rmsprop_optax.plan.shapes import arrays_of, parse_count, size_of, transformer
from rmsprop_optax.plan.step import SHARDINGS, Step
from rmsprop_optax.plan.table import markdown, text

__all__ = [
    "ALIASES",
    "CHIPS",
    "COLLECTIVES",
    "LIBTPU",
    "SHARDINGS",
    "Chip",
    "Compile",
    "Compiler",
    "Moved",
    "Plan",
    "Row",
    "Step",
    "Topology",
    "arrays_of",
    "collectives",
    "compiled",
    "devices",
    "kernels",
    "least",
    "markdown",
    "parse_count",
    "plan",
    "program",
    "size_of",
    "text",
    "topology_of",
    "traffic",
    "transformer",
]
