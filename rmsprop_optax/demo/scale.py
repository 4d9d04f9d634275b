"""A training on many devices, to copy from. It uses only JAX, Flax, optax, Orbax and this package.

One mesh has two axes. ``fsdp`` splits the parameters, which are gathered where they are used. ``replica`` keeps the
parameters whole and splits the optimizer's state (ZeRO-1). Both split the batch. One replica is FSDP, ``fsdp=1`` is
ZeRO-1, and one device is neither: the program is the same, and its numbers differ only by the order of sums. With
several processes, each runs this program after ``jax.distributed.initialize()``.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rmsprop_optax import rmsprop
from rmsprop_optax.demo import checkpoints
from rmsprop_optax.sharding import state_shardings

VOCABULARY, LENGTH = 64, 32
MICROBATCHES, MICROBATCH = 2, 16
AXES = ("replica", "fsdp")


def make_mesh(replica: int = 1) -> Mesh:
    """Return a mesh of all devices of all processes. Parts of one parameter are on neighbours, with fast links."""
    if type(replica) is not int or replica < 1 or jax.device_count() % replica:
        raise ValueError(
            f"replica must divide the {jax.device_count()} devices, got {replica!r}: choose another number."
        )
    return jax.make_mesh((replica, jax.device_count() // replica), AXES, axis_types=(AxisType.Auto,) * 2)


class Block(nnx.Module):
    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        linear = functools.partial(nnx.Linear, use_bias=False, rngs=rngs)
        self.heads = heads
        self.norm1, self.qkv, self.out = nnx.RMSNorm(width, rngs=rngs), linear(width, 3 * width), linear(width, width)
        self.norm2, self.up, self.down = (
            nnx.RMSNorm(width, rngs=rngs),
            linear(width, 4 * width),
            linear(4 * width, width),
        )

    # The backward pass gathers the weights again; without remat the forward pass would keep all of them.
    @nnx.remat
    def __call__(self, x: jax.Array) -> jax.Array:
        q, k, v = jnp.unstack(self.qkv(self.norm1(x)).reshape(*x.shape[:2], 3, self.heads, -1), axis=2)
        x = x + self.out(jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape))
        return x + self.down(nnx.gelu(self.up(self.norm2(x))))


class Transformer(nnx.Module):
    """Tokens int32[n, length] → logits float32[n, length, vocabulary]."""

    def __init__(self, width: int = 32, heads: int = 2, blocks: int = 2, *, rngs: nnx.Rngs):
        self.tokens, self.positions = nnx.Embed(VOCABULARY, width, rngs=rngs), nnx.Embed(LENGTH, width, rngs=rngs)
        self.blocks = nnx.List([Block(width, heads, rngs=rngs) for _ in range(blocks)])
        self.norm = nnx.RMSNorm(width, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        # Without this constraint the compiler gathers the activations for the gradient of the look-up.
        table = jax.lax.with_sharding_constraint(self.tokens.embedding[...], P())
        x = table[tokens] + self.positions(jnp.arange(tokens.shape[1]))
        for block in self.blocks:
            # Activations stay with their part of the batch; the weights are gathered.
            x = block(jax.lax.with_sharding_constraint(x, P(AXES)))
        logits: jax.Array = self.norm(x) @ table.T
        return logits


def optimizer() -> optax.GradientTransformation:
    """Return an optimizer for long runs. Each array of its state can be split, also in 8-bit ``storage``."""
    up, down = optax.linear_schedule(0.0, 3e-3, 5), optax.linear_schedule(3e-3, 0.0, 1000)
    rate = optax.join_schedules([up, down], [5])
    tx = optax.chain(optax.clip_by_global_norm(1.0), rmsprop(rate, decay=0.99, bias_correction=True, momentum=0.9))
    # Outermost, so that a step with gradients that are not finite changes nothing, neither momentum nor schedule.
    return optax.apply_if_finite(tx, max_consecutive_errors=5)


class Training(NamedTuple):
    """The content of a checkpoint. ``step`` is also the position in the data: a batch is a function of its number."""

    step: Any
    params: Any
    opt_state: Any


class Program(NamedTuple):
    """Compiled functions, to be called within the mesh.

    Attributes:
      init: returns the first state.
      batch: returns the batch of a number.
      step: returns the next state and the loss.
      like: shapes, dtypes and shardings of the state, to restore a checkpoint.
    """

    init: Callable[[], Training]
    batch: Callable[[int], dict[str, jax.Array]]
    step: Callable[[Training, dict[str, jax.Array]], tuple[Training, jax.Array]]
    like: Training


def program(mesh: Mesh, tx: optax.GradientTransformation, *, seed: int = 0) -> Program:
    """Return the training as compiled functions. ``seed`` determines weights and batches."""
    graph = nnx.graphdef(nnx.eval_shape(lambda: Transformer(rngs=nnx.Rngs(seed))))

    def init() -> Training:
        params = nnx.state(Transformer(rngs=nnx.Rngs(seed)), nnx.Param)
        return Training(jnp.zeros((), jnp.int32), params, tx.init(params))

    def at(x: Any, sharding: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    def split(x: Any) -> jax.ShapeDtypeStruct:  # vectors stay whole: they are too short to be worth a gather
        return at(x, NamedSharding(mesh, P(*(None,) * (x.ndim - 1), "fsdp") if x.ndim > 1 else P()))

    shapes, whole = jax.eval_shape(init), NamedSharding(mesh, P())
    params = jax.tree.map(split, shapes.params)
    opt_state = jax.tree.map(at, shapes.opt_state, state_shardings(tx, params, zero=AXES))
    like = Training(at(shapes.step, whole), params, opt_state)
    places = jax.tree.map(lambda x: x.sharding, like)

    def batch(number: int) -> dict[str, jax.Array]:
        """Return sequences that count in random strides; ``weights`` are 0 after the end of a sequence."""
        key = jax.random.fold_in(jax.random.key(seed), number)
        first, stride, length = jax.random.bits(key, (3, MICROBATCHES, MICROBATCH, 1)).astype(jnp.int32)
        tokens = (first + (1 + stride % 7) * jnp.arange(LENGTH + 1)) % VOCABULARY
        ended = jnp.arange(LENGTH) > LENGTH // 2 + length % (LENGTH // 2)
        return {"tokens": tokens, "weights": jnp.where(ended, 0.0, 1.0)}

    def loss(params: Any, part: dict[str, jax.Array]) -> jax.Array:
        logits = nnx.merge(graph, params)(part["tokens"][:, :-1])
        errors = optax.softmax_cross_entropy_with_integer_labels(logits, part["tokens"][:, 1:])
        return jnp.sum(errors * part["weights"])

    def step(state: Training, batch: dict[str, jax.Array]) -> tuple[Training, jax.Array]:
        # Sums are divided once at the end: a mean of the microbatches' means would give short sequences more weight.
        def accumulate(sums: Any, part: dict[str, jax.Array]) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, sums, jax.value_and_grad(loss)(state.params, part)), None

        sums, _ = jax.lax.scan(accumulate, (jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.params)), batch)
        mean, grads = jax.tree.map(lambda x: x / jnp.sum(batch["weights"]), sums)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        return Training(state.step + 1, optax.apply_updates(state.params, updates), opt_state), mean

    return Program(
        # The state is created in parts: no device ever holds all of it.
        init=jax.jit(init, out_shardings=places),
        # Every process computes its own part. For data in files, see jax.make_array_from_process_local_data.
        batch=jax.jit(batch, out_shardings=NamedSharding(mesh, P(None, AXES))),
        # The new state has the shardings of the old one, so it takes the memory of the donated old one.
        step=jax.jit(step, out_shardings=(places, whole), donate_argnums=0),
        like=like,
    )


def train(mesh: Mesh, steps: int, folder: Path | None = None, *, every: int = 10) -> tuple[Training, list[float]]:
    """Train up to a step, and return the state and the losses of the steps taken.

    Args:
      mesh: of :func:`make_mesh`.
      steps: the number of the last step.
      folder: for checkpoints; the training continues from the last one in it.
      every: number of steps between checkpoints.
    """
    run, losses = program(mesh, optimizer()), []
    with jax.set_mesh(mesh), checkpoints.saver(folder) as save:
        if folder is None or checkpoints.last(folder) is None:
            state = run.init()
        else:
            state = checkpoints.restore(folder, run.like).tree
        for number in range(int(state.step), steps):
            state, loss = run.step(state, run.batch(number))
            losses.append(loss)
            if (number + 1) % every == 0 or number + 1 == steps:
                save(number + 1, state)
    # Losses are read at the end: reading one in every step would keep the devices waiting.
    return state, [float(loss) for loss in losses]
