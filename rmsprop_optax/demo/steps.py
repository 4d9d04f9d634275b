"""Training steps for ``rmsprop-optax plan --step NAME``: models of a size that TPUs have kernels for.

Each function takes an optimizer and a mesh and returns a step and its abstract arguments, as
:func:`rmsprop_optax.plan.step` wants them: parameters whole on every device, the batch split over all of them.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rmsprop_optax.demo.scale import LENGTH, Transformer

Training = tuple[Any, ...]


def mlp(tx: Any, mesh: Mesh | AbstractMesh, dtype: str = "float32", width: int = 2048) -> Training:
    """Three matrices of 2048 by 2048, 12.6 million parameters; a batch of 512 rows."""

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        *hidden, last = params
        for w in hidden:
            x = jax.nn.relu(x @ w)
        return jnp.mean(jnp.square(x @ last - y).astype(jnp.float32))

    rows = jax.ShapeDtypeStruct((512, width), dtype)
    return _training(tx, mesh, loss, [jax.ShapeDtypeStruct((width, width), dtype)] * 3, rows, rows)


def wide(tx: Any, mesh: Mesh | AbstractMesh, dtype: str = "float32") -> Training:
    """Three matrices of 8192 by 8192, 201.3 million parameters, none of which fits a chip's own memory; 512 rows."""
    return mlp(tx, mesh, dtype, width=8192)


def conv(tx: Any, mesh: Mesh | AbstractMesh, dtype: str = "float32") -> Training:
    """Three convolutions of 3 by 3 and a dense layer, 4.4 million parameters; 16 images of 16 by 16 by 128."""

    def loss(params: Any, x: jax.Array, labels: jax.Array) -> jax.Array:
        *kernels, dense = params
        for kernel, stride in zip(kernels, (2, 2, 1), strict=True):
            convolved = jax.lax.conv_general_dilated(
                x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(convolved)
        return _entropy(x.mean((1, 2)) @ dense, labels)

    shapes = [(3, 3, 128, 256), (3, 3, 256, 512), (3, 3, 512, 512), (512, 1024)]
    images, labels = jax.ShapeDtypeStruct((16, 16, 16, 128), dtype), jax.ShapeDtypeStruct((16,), "int32")
    return _training(tx, mesh, loss, [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes], images, labels)


def transformer(tx: Any, mesh: Mesh | AbstractMesh, dtype: str = "float32") -> Training:
    """A transformer block of demo/scale.py, width 512, 3.2 million parameters; 16 sequences of 32 tokens."""
    graph, state = nnx.split(nnx.eval_shape(lambda: Transformer(512, 8, 1, rngs=nnx.Rngs(0))), nnx.Param)
    params = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), state)

    def loss(params: Any, tokens: jax.Array) -> jax.Array:
        return _entropy(nnx.merge(graph, params)(tokens[:, :-1]), tokens[:, 1:])

    return _training(tx, mesh, loss, params, jax.ShapeDtypeStruct((16, LENGTH + 1), "int32"))


def _entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    errors: jax.Array = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), labels)
    return errors.mean()


def _training(tx: Any, mesh: Mesh | AbstractMesh, loss: Callable[..., jax.Array], params: Any, *batch: Any) -> Training:
    def step(params: Any, state: Any, *batch: Any) -> tuple[Any, Any, jax.Array]:
        value, grads = jax.value_and_grad(loss)(params, *batch)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    def put(spec: P, x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, spec))

    whole, split = (functools.partial(put, spec) for spec in (P(), P(mesh.axis_names)))
    return step, jax.tree.map(whole, params), *(jax.tree.map(split, x) for x in batch)


STEPS = {"mlp": mlp, "wide": wide, "conv": conv, "transformer": transformer}
"""Name → function."""
