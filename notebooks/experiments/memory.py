"""The size of an optimizer's state, and the cost of a smaller one, as experiments.

Each experiment is one function that returns plain arrays. ``notebooks/4_memory_and_scale.ipynb`` draws them;
``tests/claims/memory_and_scale.py`` asserts the notebook's statements about them.
"""

import functools
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from experiments import text
from rmsprop_optax import plan, rmsprop, scale_by_rms, storage
from rmsprop_optax.demo import steps
from rmsprop_optax.sharding import state_shardings

STREAMS = ("normal", "heavy tails", "falling")
KEPT = (*storage.FORMATS, "optax in bfloat16")


def gradients(stream: str, *, steps: int = 6000, entries: int = 256) -> np.ndarray:
    """Return random gradients float32[steps, entries].

    Args:
      stream: "normal" has a standard deviation of 0.001; "heavy tails" is 0.001 times Student's t with 3 degrees of
        freedom; "falling" is normal with a standard deviation that falls from 10 to 1e-5.
      steps: number of steps.
      entries: number of weights.
    """
    rng = np.random.default_rng(0)
    if stream == "heavy tails":
        return (1e-3 * rng.standard_t(3, (steps, entries))).astype(np.float32)
    scale = 10.0 ** np.linspace(1, -5, steps)[:, None] if stream == "falling" else 1e-3
    return (scale * rng.standard_normal((steps, entries))).astype(np.float32)


@functools.partial(jax.jit, static_argnames="decay")
def _kept(g: jax.Array, *, decay: float) -> dict[str, jax.Array]:
    def follow(tx: optax.GradientTransformation, g: jax.Array) -> jax.Array:
        def step(state: Any, g: jax.Array) -> tuple[Any, jax.Array]:
            _, state = tx.update(g, state)
            return state, jnp.sqrt(storage.decoded(state.nu))

        return jax.lax.scan(step, tx.init(g[0]), g)[1]

    ours = {form: follow(scale_by_rms(decay, storage=form), g) for form in storage.FORMATS}
    return ours | {"optax in bfloat16": follow(optax.scale_by_rms(decay), g.astype(jnp.bfloat16))}


def roots(g: np.ndarray, decay: float) -> dict[str, np.ndarray]:
    """Return the root of the mean square in each format, and in float64.

    Args:
      g: gradients (steps, entries).
      decay: of RMSprop.

    Returns:
      (steps, entries) for each name of :data:`KEPT` and for "exact", which is computed in float64.
    """
    nu, exact = np.zeros(g.shape[1]), np.empty(g.shape)
    for t, square in enumerate(np.square(g, dtype=np.float64)):
        nu = decay * nu + (1 - decay) * square
        exact[t] = np.sqrt(nu)
    kept = _kept(jnp.asarray(g), decay=decay)
    return {"exact": exact} | {name: np.asarray(root) for name, root in kept.items()}


def relative_errors(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the relative errors of :func:`roots` in the second half of the stream, by name of :data:`KEPT`."""
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
    """Train the recurrent network of :mod:`experiments.text` with each optimizer on the same mini-batches.

    The loss is a sum over the 64 characters of a window, as in Graves' paper, and a mean over the windows.

    Args:
      optimizers: by name.
      seeds: number of seeds; each has its own first weights and mini-batches.
      steps: number of mini-batches.
      width: of the network.
      batch: number of windows in a mini-batch.

    Returns:
      ``loss``, by name (seeds, steps), the loss of each mini-batch before its step in nats a character;
      ``mean_square``, by name (weights,), of the first seed after the last step; ``bytes``, by name, the size of the
      state in bytes a parameter; ``parameters``, their number.
    """
    data = [jnp.asarray(x) for x in text.text()[0]]
    graph, shapes = nnx.split(nnx.eval_shape(lambda: text.GRU(width, rngs=nnx.Rngs(0))), nnx.Param)
    rng = np.random.default_rng(0)

    def first(x: Any) -> np.ndarray:
        # Flax draws some weights orthogonal, which takes longer to compile than the training takes.
        size = x.shape[0] ** -0.5 if x.ndim > 1 else 0.0
        return size * rng.standard_normal((seeds, *x.shape), np.float32)

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        entropy = optax.softmax_cross_entropy_with_integer_labels(nnx.merge(graph, params)(x), y.astype(jnp.int32))
        return entropy.sum(1).mean()

    @jax.jit
    @jax.vmap
    def gradient(params: Any, rows: jax.Array) -> tuple[jax.Array, Any]:
        return jax.value_and_grad(loss)(params, *(array[rows] for array in data))

    start = jax.tree.map(first, shapes)
    batches = rng.integers(0, len(data[0]), (steps, seeds, batch))
    count = sum(x.size for x in jax.tree.leaves(start)) // seeds
    result: dict[str, Any] = {"loss": {}, "mean_square": {}, "bytes": {}, "parameters": count}
    for name, tx in optimizers.items():

        @jax.jit
        @jax.vmap
        def update(grads: Any, state: Any, params: Any, tx: Any = tx) -> tuple[Any, Any]:
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
"""The arrays of the third experiment. Eight devices cannot divide ``odd`` evenly."""
PLACES = ("replicated", "ZeRO-1", "FSDP")


def divided(place: str, *, short: bool, steps: int = 10) -> dict[str, Any]:
    """Take steps of RMSprop with momentum on :data:`SHAPES`, with random gradients, on all devices.

    Args:
      place: "replicated" keeps everything whole on each device; "ZeRO-1" divides the state; "FSDP" divides the state,
        the parameters and the gradients.
      short: keep the mean square in 8 bits and the momentum in 16, instead of both in 32.
      steps: number of steps.

    Returns:
      ``bytes``, the bytes of "parameters", "gradients", "mean square" and "momentum" on the first device;
      ``collectives``, their number in the compiled step, by kind; ``params`` and ``nu``, by name, after the last step.
    """
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    whole, parts = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
    kept: Any = {"storage": "uint8", "momentum_storage": "bfloat16"} if short else {}
    tx = rmsprop(1e-3, decay=0.99, momentum=0.9, **kept)

    def sharding(shape: tuple[int, ...]) -> NamedSharding:
        return parts if place == "FSDP" and shape[0] % jax.device_count() == 0 else whole

    def draw(number: int) -> dict[str, jax.Array]:
        rng = np.random.default_rng(number)
        return {
            name: jax.device_put(rng.standard_normal(shape, np.float32), sharding(shape))
            for name, shape in SHAPES.items()
        }

    params = draw(0)
    shardings = state_shardings(tx, params, zero=None if place == "replicated" else "data")
    state = jax.jit(tx.init, out_shardings=shardings)(params)
    of_params = jax.tree.map(lambda x: x.sharding, params)

    def step(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    program = jax.jit(step, out_shardings=(of_params, shardings)).lower(params, state, draw(1)).compile()
    for number in range(steps):
        params, state = program(params, state, draw(1 + number))

    def held(tree: Any) -> int:
        return sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(tree))

    nu, trace = optax.tree.get(state, "nu"), optax.tree.get(state, "trace")
    trees = {"parameters": params, "gradients": draw(1), "mean square": nu, "momentum": trace}
    collectives = re.findall(rf" ({'|'.join(plan.COLLECTIVES)})(?:-start)?\(", program.as_text() or "")
    return {
        "bytes": {name: held(tree) for name, tree in trees.items()},
        "collectives": dict(Counter(collectives)),
        "params": jax.tree.map(np.asarray, params),
        "nu": jax.tree.map(np.asarray, nu),
    }


TPU_STEPS = (("mlp", "v5e-1"), ("mlp", "v5e-16"), ("wide", "v5e-16"))
"""Model of :mod:`rmsprop_optax.demo.steps` and chips of the fourth experiment."""


def tpu_plans(**options: Any) -> dict[str, plan.Plan]:
    """Return the costs of the steps of :data:`TPU_STEPS`, by :func:`rmsprop_optax.plan.step`.

    Args:
      **options: of that function; arithmetic alone by default.
    """
    plans = {}
    for model, name in TPU_STEPS:
        chips = plan.topology_of(name)
        mesh = {"replica": chips.devices, "fsdp": 1}
        plans[f"{model}, {name}"] = plan.step(steps.STEPS[model], chips, mesh=mesh, **{"compile": False} | options)
    return plans
