"""A step compiled for TPUs by their own compiler, libtpu, which runs on any machine. Nothing is executed.

:class:`Compiler` leaves the caller's process as it is. :func:`compiled` and :func:`program` compile in the caller's
process: set the environment variables of :data:`LIBTPU` before the first call.
"""

import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from rmsprop_optax.plan import hlo
from rmsprop_optax.plan.chips import Chip, Topology
from rmsprop_optax.plan.shapes import Shape
from rmsprop_optax.plan.step import AXIS, Step, abstract_arrays

LIBTPU = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # otherwise a lock admits one process at a time
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",  # this and the host's name would be asked of the TPU that is not there
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

    # Without these libtpu has two devices on a chip of v4, and four chips on each host whatever the topology.
    hosts = (*(min(2, size) for size in topology.sizes[:2]), 1)
    config = {"chip_config_name": "megacore"} if topology.name.startswith("v4") else {}
    try:
        return topologies.get_topology_desc(
            platform="tpu", topology_name=topology.name, chips_per_host_bounds=hosts, **config
        ).devices
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"topology {topology.name!r}: {error}") from error


def program(step: Step, shape: Shape, topology: Topology) -> jax.stages.Compiled:
    """Return the compiled update of one array and its addition to the parameter, with parameter and state donated.

    Raises:
      ValueError: libtpu knows no such topology.
      MemoryError: the arrays do not fit.
    """
    tx = step.optimizer()
    param, state = abstract_arrays(step, shape, Mesh(np.array(devices(topology)), (AXIS,)))

    def update(param: Any, state: Any, grad: Any) -> tuple[Any, Any]:
        updates, state = tx.update(grad, state, param)
        return optax.apply_updates(param, updates), state

    places = jax.tree.map(lambda x: x.sharding, (param, state))
    jitted = jax.jit(update, donate_argnums=(0, 1), out_shardings=places)
    try:
        with jax.numpy_dtype_promotion("standard"):  # optax adds a float32 update to a bfloat16 parameter
            return jitted.lower(param, state, param).compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise MemoryError(str(error)) from error
        raise


def compiled(step: Step, shape: Shape, topology: Topology) -> dict[str, int]:
    """Return the "moved" and "temporary" bytes, "kernels" and collectives of :func:`program`, on each device.

    Raises:
      ValueError: libtpu knows no such topology.
      MemoryError: the arrays do not fit.
    """
    found = program(step, shape, topology)
    text: Any = found.as_text()
    memory: Any = found.memory_analysis()
    return {
        "moved": hlo.traffic(text),
        "kernels": hlo.kernels(text),
        "temporary": memory.temp_size_in_bytes,
        **hlo.collectives(text),
    }


class Compiler:
    """:func:`compiled` in a process of its own.

    libtpu keeps the environment in which it was loaded, and compiling starts JAX's default backend; neither can be
    undone. In another process they leave the caller's ``os.environ``, ``jax.config`` and devices alone. That process
    starts with the first call and ends with the ``with`` block, with :meth:`close` or with the caller.

    Example:
      >>> from rmsprop_optax.plan import plan, topology_of
      >>> with Compiler() as compiler:  # doctest: +SKIP
      ...     plan({(4096, 4096): 2}, topology_of("v5e:4x4"), compiler=compiler)
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, step: Step, shape: Shape, topology: Topology) -> dict[str, int]:
        """Return what :func:`compiled` returns.

        Raises:
          ValueError: libtpu knows no such topology.
          MemoryError: the arrays do not fit.
          jax.errors.JaxRuntimeError: libtpu failed.
          RuntimeError: libtpu is not installed, or the process ended and has said why on the standard error.
        """
        if self._process is None:
            self._process = _start()
        requests: Any = self._process.stdin
        answers: Any = self._process.stdout
        try:
            print(json.dumps([step, shape, topology]), file=requests, flush=True)
            answer = answers.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            status = self._process.wait()
            self.close()
            raise RuntimeError(f"the process that compiles for TPUs ended with status {status}.")
        found: dict[str, int]
        kind, message, found = json.loads(answer)
        if kind is not None:
            raise _ERRORS[kind](message)
        return found

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError), self._process as process:  # of a request that nobody read
                process.kill()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


_ERRORS: tuple[type[Exception], ...] = (MemoryError, ValueError, jax.errors.JaxRuntimeError, RuntimeError)


def _start() -> subprocess.Popen[str]:
    """Start :func:`serve` in a process that imports from the same folders, and that Ctrl-C does not reach."""
    environment = LIBTPU | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import serve; serve()"],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def serve() -> None:
    """Answer the requests of a :class:`Compiler`, one line of JSON each, until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libtpu prints goes to the standard error
    for line in sys.stdin:
        step, shape, (name, chip, sizes) = json.loads(line)
        answer: list[Any] = [None, None, None]
        try:
            answer[2] = compiled(Step(*step), tuple(shape), Topology(name, Chip(*chip), tuple(sizes)))
        except _ERRORS as error:
            answer[:2] = next(i for i, kind in enumerate(_ERRORS) if isinstance(error, kind)), str(error)
        print(json.dumps(answer), file=answers, flush=True)
