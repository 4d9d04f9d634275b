"""A step of an optimizer, compiled; in test_gpu.py and test_tpu.py by the compiler of a machine that is not there."""

import math

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from rows import Asked

from rmsprop_optax import float32_updates, rmsprop

SHAPES = [(4096, 4096), (16_777_216,), (50257, 768), (3, 3, 256, 512), (8, 1024, 1536)]
STEP = Asked(
    "compiled.STEP",
    "bytes a parameter that a step moves: parameter and gradient read, parameter written, state read and written",
    {
        ("float32", "float32"): 20,
        ("float32", "bfloat16"): 16,
        ("float32", "uint8"): 14,
        ("bfloat16", "float32"): 14,
        ("bfloat16", "bfloat16"): 10,
        ("bfloat16", "uint8"): 8,
    },
)


def optimizer(storage, **options):
    return float32_updates(rmsprop(0.01, storage=storage, **options))


def collectives(entry):
    ops = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
    return [op for op in ops if op in entry]


def step(tx, shapes, dtype, devices, spec=None, options=None):
    """The update of some arrays, and its addition, on the first of the devices or sharded over all.

    Returns:
      The compiled program, its entry computation's text and the number of parameters on a device.
    """
    mesh = Mesh(np.array(devices if spec else devices[:1]), ("x",))
    sharding, whole = NamedSharding(mesh, spec or P()), NamedSharding(mesh, P())

    def update(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params = [jax.ShapeDtypeStruct(shape, dtype, sharding=sharding) for shape in shapes]
    state = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding if x.ndim else whole),
        jax.eval_shape(tx.init, params),
    )
    with jax.numpy_dtype_promotion("standard"):  # optax adds a float32 update to a bfloat16 parameter
        program = jax.jit(update, donate_argnums=(0, 1)).lower(params, state, params).compile(compiler_options=options)
    text = program.as_text()
    return program, text[text.index("ENTRY") :], sum(map(math.prod, shapes)) // mesh.size
