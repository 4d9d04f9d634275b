"""What other processes do for the tests; each is forked from one that has imported JAX and Orbax already."""

import multiprocessing
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from rmsprop_optax import rmsprop
from rmsprop_optax.cli import main
from rmsprop_optax.demo import checkpoints, scale
from rmsprop_optax.sharding import state_shardings

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["flax.nnx", "optax", "orbax.checkpoint"])


# To compile takes most of the time.
QUICK = "--xla_backend_optimization_level=0"


def start(function, *arguments):
    """A process that runs a function of this module, and the end of a pipe whose other end is its last argument."""
    here, there = _context.Pipe()
    process = _context.Process(target=function, args=(*arguments, there), daemon=True)
    process.start()
    there.close()
    return process, here


def convert(words, pipe):
    """Converts again and again, and sends before each time."""
    while True:
        pipe.send(None)
        main(["convert", *words])


def train(folder, steps, pipe):
    """Sends the step that it started from once it is made, and in the end all arrays; every step is saved."""
    os.environ["XLA_FLAGS"] += f" {QUICK}"
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    tx = optax.apply_if_finite(rmsprop(optax.linear_schedule(0.1, 0.01, 100), momentum=0.9, storage="uint8"), 3)
    params = jax.device_put({"w": jnp.ones((16, 64)), "b": jnp.zeros(64)}, NamedSharding(mesh, P()))
    places = state_shardings(tx, params, zero="data", mesh=mesh)
    state = params, jax.jit(tx.init, out_shardings=places)(params)

    def step(state, number):
        params, opt_state = state
        x = jax.random.normal(jax.random.fold_in(jax.random.key(0), number), (8, 16))
        grads = jax.grad(lambda p: jnp.mean(jnp.sin(x @ p["w"] + p["b"])))(params)
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    step = jax.jit(step, out_shardings=(jax.tree.map(lambda p: p.sharding, params), places), donate_argnums=0)
    first = 0
    if folder is not None and checkpoints.last(folder) is not None:
        _, state, first = checkpoints.restore(folder, state)
    with checkpoints.saver(folder) as save:
        for number in range(first, steps):
            state = step(state, number)
            if number == first:
                pipe.send(first)
            save(number + 1, state, number + 1)
    pipe.send([np.asarray(x) for x in jax.tree.leaves(state)])


def train_together(number, port, steps, folder, pipe):
    """One of two processes with four devices each; trains as :func:`scale.train` does, and takes a checkpoint over."""
    os.environ["XLA_FLAGS"] = QUICK
    jax.config.update("jax_num_cpu_devices", 4)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=number)
    state, losses = scale.train(scale.make_mesh(replica=2), steps, folder / "two")
    pipe.recv()
    with checkpoints.saver(folder / "one again") as save:
        save(steps, checkpoints.restore(folder / "one", state).tree)
    pipe.send(losses)
    jax.distributed.shutdown()  # waits for the other: a process whose coordinator is gone aborts
