"""Steps compiled for TPUs by their own compiler, libtpu, which runs on any machine. Nothing is executed.

libtpu is loaded into the caller's process: set the environment variables of :data:`LIBTPU` before.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax

from rmsprop_optax.plan import hlo
from rmsprop_optax.plan.chips import Topology

LIBTPU = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # otherwise a lock admits one process at a time
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",  # libtpu would ask a TPU for this and for the host's name
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
}
"""Environment variables with which libtpu compiles for TPUs that are not there. libtpu reads them when it is loaded."""


@functools.cache
def devices(topology: Topology) -> Sequence[jax.Device]:
    """Return the devices of a topology, to compile for.

    Raises:
      ValueError: libtpu knows no such topology.
    """
    from jax.experimental import topologies

    # Without these settings libtpu has two devices a chip on v4, and four chips a host on every topology.
    hosts = (*(min(2, size) for size in topology.sizes[:2]), 1)
    config = {"chip_config_name": "megacore"} if topology.name.startswith("v4") else {}
    try:
        return topologies.get_topology_desc(
            platform="tpu", topology_name=topology.name, chips_per_host_bounds=hosts, **config
        ).devices
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"topology {topology.name!r}: {error}") from error


def compiled(lowered: jax.stages.Lowered) -> dict[str, Any]:
    """Return the bytes "moved", of "temporary" memory and of all "memory" on each device, and the "collectives".

    Raises:
      MemoryError: the arrays do not fit.
    """
    try:
        program = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise MemoryError(str(error)) from error
        raise
    text: Any = program.as_text()
    memory: Any = program.memory_analysis()
    new = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return {
        "moved": hlo.traffic(text),
        "temporary": memory.temp_size_in_bytes,
        "memory": memory.argument_size_in_bytes + new + memory.temp_size_in_bytes,
        "collectives": hlo.collectives(text),
    }
