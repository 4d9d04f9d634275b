"""What an optimizer's state takes, and what it costs to take less: the experiments of the fourth notebook.

One function an experiment; each returns plain arrays. ``tests/claims/memory_and_scale.py`` asserts what the notebook
says about them.
"""

import functools
import importlib.util
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from rmsprop_optax import plan, rmsprop, scale_by_rms, storage
from rmsprop_optax.demo import text
from rmsprop_optax.sharding import state_shardings

STREAMS = ("normal", "heavy tails", "falling")
KEPT = (*storage.FORMATS, "optax in bfloat16")


def gradients(stream: str, *, steps: int = 6000, entries: int = 256) -> np.ndarray:
    """Random gradients float32[steps, entries].

    Args:
      stream: "normal", with a standard deviation of 0.001; "heavy tails", Student's with 3 degrees of freedom, in the
        same unit; "falling", normal, by six decades from the first step to the last.
      steps: how many.
      entries: how many weights.
    """
    rng = np.random.default_rng(0)
    if stream == "heavy tails":
        return (1e-3 * rng.standard_t(3, (steps, entries))).astype(np.float32)
    scale = 10.0 ** np.linspace(1, -5, steps)[:, None] if stream == "falling" else 1e-3
    return (scale * rng.standard_normal((steps, entries))).astype(np.float32)


@functools.partial(jax.jit, static_argnames="decay")
def _kept(g: jax.Array, *, decay: float) -> dict[str, jax.Array]:
    def follow(tx, g):
        def step(state, g):
            _, state = tx.update(g, state)
            return state, jnp.sqrt(storage.decoded(state.nu))

        return jax.lax.scan(step, tx.init(g[0]), g)[1]

    ours = {form: follow(scale_by_rms(decay, storage=form), g) for form in storage.FORMATS}
    return ours | {"optax in bfloat16": follow(optax.scale_by_rms(decay), g.astype(jnp.bfloat16))}


def roots(g: np.ndarray, decay: float) -> dict[str, np.ndarray]:
    """The roots of the mean squares as each format keeps them, and the exact ones.

    Args:
      g: (steps, entries).
      decay: of RMSprop.

    Returns:
      By name of :data:`KEPT`, and "exact", which is in float64: (steps, entries).
    """
    nu, exact = np.zeros(g.shape[1]), np.empty(g.shape)
    for t, square in enumerate(np.square(g, dtype=np.float64)):
        nu = decay * nu + (1 - decay) * square
        exact[t] = np.sqrt(nu)
    kept = _kept(jnp.asarray(g), decay=decay)
    return {"exact": exact} | {name: np.asarray(root) for name, root in kept.items()}


def relative_errors(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of :func:`roots`, in the second half of the stream: what is kept, divided by what is exact, minus 1."""
    half = len(found["exact"]) // 2
    return {name: found[name][half:] / found["exact"][half:] - 1 for name in KEPT}


def training(
    optimizers: Mapping[str, optax.GradientTransformation],
    *,
    seeds: int = 4,
    steps: int = 150,
    width: int = 32,
    batch: int = 16,
) -> dict[str, Any]:
    """Train the recurrent network of :mod:`rmsprop_optax.demo.text` with each optimizer on the same mini-batches.

    The loss is summed over the 64 characters of a window, as in Graves' paper, and a mean over the windows.

    Args:
      optimizers: by name.
      seeds: how many, each with first weights and mini-batches of its own.
      steps: how many mini-batches.
      width: of the network.
      batch: how many windows in a mini-batch.

    Returns:
      ``loss``, by name (seeds, steps), in nats a character, of each mini-batch before its step; ``mean_square``, by
      name (weights,), of the first seed at the end; ``bytes``, by name, that the optimizer keeps for a parameter;
      ``parameters``, how many.
    """
    data = [jnp.asarray(x) for x in text.text()[0]]
    graph, shapes = nnx.split(nnx.eval_shape(lambda: text.GRU(width, rngs=nnx.Rngs(0))), nnx.Param)
    rng = np.random.default_rng(0)

    def first(x):
        """Flax's own are orthogonal in part, which takes longer to compile than to train."""
        size = x.shape[0] ** -0.5 if x.ndim > 1 else 0.0
        return size * rng.standard_normal((seeds, *x.shape), np.float32)

    def loss(params, x, y):
        entropy = optax.softmax_cross_entropy_with_integer_labels(nnx.merge(graph, params)(x), y.astype(jnp.int32))
        return entropy.sum(1).mean()

    @jax.jit
    @jax.vmap
    def gradient(params, rows):
        return jax.value_and_grad(loss)(params, *(array[rows] for array in data))

    start = jax.tree.map(first, shapes)
    batches = rng.integers(0, len(data[0]), (steps, seeds, batch))
    count = sum(x.size for x in jax.tree.leaves(start)) // seeds
    result: dict[str, Any] = {"loss": {}, "mean_square": {}, "bytes": {}, "parameters": count}
    for name, tx in optimizers.items():

        @jax.jit
        @jax.vmap
        def update(grads, state, params, tx=tx):
            updates, state = tx.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        params, state, losses = start, jax.jit(jax.vmap(tx.init))(start), []
        for rows in batches:
            value, grads = gradient(params, rows)
            params, state = update(grads, state, params)
            losses.append(value)
        result["loss"][name] = np.array(losses).T / text.CONTEXT
        stored = [np.asarray(nu[0]).ravel() for nu in jax.device_get(jax.tree.leaves(optax.tree.get(state, "nu")))]
        result["mean_square"][name] = np.asarray(storage.decoded(jnp.asarray(np.concatenate(stored))))
        arrays = [x for x in jax.tree.leaves(state) if x.ndim > 1]
        result["bytes"][name] = sum(x.nbytes for x in arrays) / (seeds * count)
    return result


SHAPES = {"embedding": (1024, 256), "up": (256, 1024), "bias": (1024,), "odd": (7, 30)}
"""What is divided in the third experiment. Eight devices do not divide ``odd``."""
PLACES = ("replicated", "ZeRO-1", "FSDP")


def divided(place: str, *, short: bool, steps: int = 10) -> dict[str, Any]:
    """Steps of RMSprop with momentum on :data:`SHAPES`, with random gradients, on all devices.

    Args:
      place: "replicated", all is whole on each device; "ZeRO-1", the state is divided; "FSDP", parameters and gradients
        too.
      short: keep the mean square in 8 bits and the momentum in 16, and not both in 32.
      steps: how many.

    Returns:
      ``bytes``, on the first device of "parameters", "gradients", "mean square" and "momentum"; ``collectives``, by
      kind, in the compiled step; ``params``, by name, after the last step.
    """
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    whole, parts = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
    kept: Any = {"storage": "uint8", "momentum_storage": "bfloat16"} if short else {}
    tx = rmsprop(1e-3, decay=0.99, momentum=0.9, **kept)

    def sharding(shape):
        return parts if place == "FSDP" and shape[0] % jax.device_count() == 0 else whole

    def draw(number):
        rng = np.random.default_rng(number)
        return {
            name: jax.device_put(rng.standard_normal(shape, np.float32), sharding(shape))
            for name, shape in SHAPES.items()
        }

    params = draw(0)
    shardings = state_shardings(tx, params, zero=None if place == "replicated" else "data")
    state = jax.jit(tx.init, out_shardings=shardings)(params)
    of_params = jax.tree.map(lambda x: x.sharding, params)

    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    program = jax.jit(step, out_shardings=(of_params, shardings)).lower(params, state, draw(1)).compile()
    for number in range(steps):
        params, state = program(params, state, draw(1 + number))

    def held(tree):
        return sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(tree))

    nu, trace = optax.tree.get(state, "nu"), optax.tree.get(state, "trace")
    trees = {"parameters": params, "gradients": draw(1), "mean square": nu, "momentum": trace}
    collectives = re.findall(rf" ({'|'.join(plan.COLLECTIVES)})(?:-start)?\(", program.as_text() or "")
    return {
        "bytes": {name: held(tree) for name, tree in trees.items()},
        "collectives": dict(Counter(collectives)),
        "params": jax.tree.map(np.asarray, params),
    }


def tpu_compiler() -> plan.Compiler | None:
    """Return the compiler for :func:`tpu_plans`, or None if libtpu is not installed. No TPU is needed."""
    return None if importlib.util.find_spec("libtpu") is None else plan.Compiler()


def tpu_plans(
    arrays: Mapping[tuple[int, ...], int] | None = None,
    *,
    formats: Sequence[Any] = tuple(storage.FORMATS),
    compiler: plan.Compile | None = None,
) -> dict[str, Any]:
    """A step on 16 chips of TPU v5e, see :func:`rmsprop_optax.plan.plan`.

    Args:
      arrays: shapes, and how many parameters have each; a transformer of 1.3 billion parameters by default.
      formats: of the mean square.
      compiler: from :func:`tpu_compiler`, or None for arithmetic only.

    Returns:
      By sharding, "fsdp" and "zero1", a plan.
    """
    topology = plan.topology_of("v5e:4x4")
    arrays = arrays or plan.transformer(1.3e9, topology.devices)
    return {
        kind: plan.plan(arrays, topology, storage=formats, sharding=kind, compiler=compiler)
        for kind in ("fsdp", "zero1")
    }
