"""What becomes of the same numbers under another dialect, as experiments.

One function an experiment, which returns plain arrays. ``notebooks/2_which_rmsprop.ipynb`` draws them,
``tests/claims/which_rmsprop.py`` asserts what the notebook says about them.

Source:
  EfficientNet, IMPALA and DQN: the recipes of :mod:`rmsprop_optax.recipes`, with their sources.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import dialects, differences, rmsprop, scaling
from rmsprop_optax.demo.lecture import digits

Make = Callable[[Any], optax.GradientTransformation]


# 1. One stream of gradients, every dialect.


def streams(momentum: float = 0.0) -> dict[str, dict[str, np.ndarray]]:
    """How far each dialect moves each weight of :func:`rmsprop_optax.differences.stream` with the same numbers.

    Args:
      momentum: 0 for all dialects; anything else for those that have a momentum buffer, and only they run.

    Returns:
      Dialect → weight → its start minus its value after each of 200 steps. The learning rate drops to a tenth halfway.
    """
    names = [name for name, row in dialects.TABLE.items() if not (momentum and row.momentum.startswith("no buffer"))]
    moved: dict[str, dict[str, np.ndarray]] = {name: {} for name in names}
    for row in differences.movements(names, momentum=momentum):
        moved[row["dialect"]][row["weight"]] = row["movement"]
    return moved


def alike(moved: Mapping[str, Mapping[str, np.ndarray]], tolerance: float = 1e-4) -> list[list[str]]:
    """Groups of dialects that move every weight alike, up to a share of its largest movement; large groups first."""

    def same(a: str, b: str) -> bool:
        return all(np.abs(x - moved[b][w]).max() <= tolerance * np.abs(x).max() for w, x in moved[a].items())

    groups: list[list[str]] = []
    for name in moved:
        found = [group for group in groups if same(group[0], name)]
        if found:
            found[0].append(name)
        else:
            groups.append([name])
    return sorted(groups, key=len, reverse=True)


# 2. The right epsilon on the wrong side of the root.


class Place(NamedTuple):
    """An epsilon, and whether it is under the root or beside it."""

    value: float
    under: bool


PLACES = {
    "EfficientNet": {
        "TensorFlow, as published": Place(1e-3, under=True),
        "PyTorch, the same number": Place(1e-3, under=False),
        "PyTorch, carried over": Place(scaling.eps_outside_sqrt(1e-3).epsilon, under=False),
    },
    "IMPALA": {
        "TensorFlow, as published": Place(0.1, under=True),
        "PyTorch, the same number": Place(0.1, under=False),
        "PyTorch, carried over": Place(scaling.eps_outside_sqrt(0.1).epsilon, under=False),
        "PyTorch, TorchBeast": Place(0.01, under=False),
    },
}
"""Recipe → epsilons; the first is the published one."""


def longer(places: Mapping[str, Place], roots: np.ndarray) -> dict[str, np.ndarray]:
    """How many times longer than with the first epsilon a step is, where ``roots`` are those of the mean square."""

    def denominator(place: Place) -> np.ndarray:
        return np.sqrt(roots**2 + place.value) if place.under else roots + place.value

    published = denominator(next(iter(places.values())))
    return {name: published / denominator(place) for name, place in places.items()}


RULES: dict[str, tuple[Callable[..., optax.GradientTransformation], float]] = {
    "TensorFlow 1": (lambda lr, eps: dialects.tf1(lr, decay=0.9, momentum=0.9, epsilon=eps), 1e-3),
    "Keras, optax": (lambda lr, eps: dialects.keras(lr, rho=0.9, momentum=0.9, epsilon=eps), 1e-3),
    "PyTorch": (lambda lr, eps: dialects.pytorch(lr, alpha=0.9, momentum=0.9, eps=eps), 1e-3),
}
RULES["PyTorch, carried over"] = (RULES["PyTorch"][0], PLACES["EfficientNet"]["PyTorch, carried over"].value)
"""Rule → a function of learning rate and epsilon, and the epsilon."""


def efficientnet(
    rates: tuple[float, ...] = tuple(0.002 * 2.0 ** np.arange(7)),
    *,
    seeds: int = 8,
    epochs: int = 12,
    batch: int = 32,
) -> dict[str, Any]:
    """EfficientNet's numbers under the rules of :data:`RULES`, on digits.

    Decay 0.9, momentum 0.9, an epsilon of 0.001, and the course of the learning rate: up to its peak in the first 5 of
    350 parts, and down by the factor 0.97 every 2.4 parts, here without stairs. A network of 64-32-10 units with relu,
    from the same first weights and with the same orders of the images for each rule and rate; no weight decay.

    Args:
      rates: the peaks; EfficientNet's 0.016 for 256 images is 0.002 for 32.
      seeds: how many runs of each.
      epochs: how often each image comes.
      batch: how many images in a mini-batch.

    Returns:
      ``rates`` (n,); by rule, ``train``, ``validation`` and ``test`` (n, seeds), the accuracies after the last step,
      ``roots`` (n, 3), the quartiles then of the root of the mean square, over weights and seeds, and ``best``, the
      index of the rate with the highest mean validation accuracy.
    """
    data = digits()
    images, labels = data["train"]
    rng = np.random.default_rng(5)
    orders = rng.permuted(np.tile(np.arange(len(images), dtype=np.int32), (seeds, epochs, 1)), axis=-1)
    rows = jnp.asarray(orders[..., : len(images) // batch * batch].reshape(seeds, -1, batch))
    start, network = dense(rng, seeds, (64, 32, 10))
    parts = 350 * np.arange(1, rows.shape[1] + 1) / rows.shape[1]
    course = jnp.asarray(np.minimum(parts / 5, 1) * 0.97 ** (parts / 2.4), jnp.float32)

    def loss(p, rows):
        return optax.softmax_cross_entropy_with_integer_labels(network(p, images[rows]), labels[rows]).mean()

    @functools.partial(jax.jit, static_argnums=0)
    def run(make, eps, peaks):
        def one(peak, p, rows):
            tx = make(lambda count: peak * course[count], eps)

            def step(carry, rows):
                p, state = carry
                update, state = tx.update(jax.grad(loss)(p, rows), state, p)
                return (p + update, state), None

            (p, state), _ = jax.lax.scan(step, (p, tx.init(p)), rows)
            return p, optax.tree.get(state, "nu")

        return jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))(peaks, start, rows)

    @jax.jit
    def accuracies(p):
        predict = jnp.vectorize(lambda p, x: network(p, x).argmax(-1), signature="(n),(m,k)->(m)")
        return {part: (predict(p, x) == y).mean(-1) for part, (x, y) in data.items()}

    result: dict[str, Any] = {key: {} for key in (*data, "roots", "best")} | {"rates": np.asarray(rates)}
    for name, (make, eps) in RULES.items():
        p, nu = run(make, jnp.float32(eps), jnp.asarray(rates, jnp.float32))
        for part, accuracy in accuracies(p).items():
            result[part][name] = np.asarray(accuracy)
        result["roots"][name] = np.quantile(np.sqrt(nu), (0.25, 0.5, 0.75), axis=(1, 2)).T
        result["best"][name] = int(np.argmax(result["validation"][name].mean(-1)))
    return result


def dense(
    rng: np.random.Generator, copies: int, units: tuple[int, ...]
) -> tuple[jax.Array, Callable[[jax.Array, jax.Array], jax.Array]]:
    """A network with relu: ``copies`` of its first weights, each in one vector, and it as a function of that."""
    layers = [
        array
        for n, m in itertools.pairwise(units)
        for array in (rng.normal(scale=np.sqrt(2 / n), size=(copies, n * m)), np.zeros((copies, m)))
    ]
    ends = np.cumsum([layer.shape[1] for layer in layers])[:-1].tolist()

    def network(p, x):
        flat = iter(jnp.split(p, ends))
        for k, (n, m) in enumerate(itertools.pairwise(units)):
            x = (jax.nn.relu(x) if k else x) @ next(flat).reshape(n, m) + next(flat)
        return x

    return jnp.asarray(np.concatenate(layers, axis=1), jnp.float32), network


# 3. The deep Q-network's optimizer on a game.

ROWS, COLUMNS = 7, 5
"""Of the board."""


class Game(NamedTuple):
    """A ball falls by a row in each step; a paddle is on the lowest row. All int32, of one shape.

    Attributes:
      row: of the ball, 0 is the highest.
      ball: its column.
      paddle: its column.
    """

    row: jax.Array
    ball: jax.Array
    paddle: jax.Array


def dropped(columns: jax.Array) -> Game:
    """A ball on the highest row, it and the paddle in the two columns in the last axis."""
    return Game(jnp.zeros_like(columns[..., 0]), columns[..., 0], columns[..., 1])


def move(game: Game, action: jax.Array) -> tuple[Game, jax.Array, jax.Array]:
    """The paddle goes left, stays or goes right (0, 1, 2) within the board, and the ball falls.

    Returns:
      The game, the reward, and whether it is over: when the ball is on the lowest row, with a reward of 1 where the
      paddle is there and of -1 where it is not; 0 before.
    """
    game = Game(game.row + 1, game.ball, jnp.clip(game.paddle + action - 1, 0, COLUMNS - 1))
    over = game.row == ROWS - 1
    won = (game.ball == game.paddle).astype(jnp.float32)
    return game, jnp.where(over, 2 * won - 1, 0.0), over


def seen(game: Game) -> jax.Array:
    """What the network sees, float32[..., 17]: a one for each of the three numbers."""
    sizes = zip(game, (ROWS, COLUMNS, COLUMNS), strict=True)
    return jnp.concatenate([jax.nn.one_hot(x, n, dtype=jnp.float32) for x, n in sizes], axis=-1)


def caught(values: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """The share of balls that the action of the highest value catches, from all 25 columns of ball and paddle."""
    columns = jnp.asarray(np.indices((COLUMNS, COLUMNS)).reshape(2, -1).T, jnp.int32)

    def step(game, _):
        game, reward, _ = move(game, values(seen(game)).argmax(-1).astype(jnp.int32))
        return game, reward

    _, rewards = jax.lax.scan(step, dropped(columns), None, length=ROWS - 1)
    return jnp.mean((rewards[-1] > 0).astype(jnp.float32))


Q_LEARNERS: dict[str, Make] = {
    "as published": dialects.dqn,
    "optax, centered": lambda lr: optax.rmsprop(lr, decay=0.95, eps=0.01, centered=True),
    "PyTorch, centered": lambda lr: dialects.pytorch(lr, 0.95, 0.01, centered=True),
    "not centered": lambda lr: rmsprop(lr, 0.95, eps_root=0.01),
    "momentum 0.95": lambda lr: dialects.pytorch(lr, 0.95, 0.01, momentum=0.95),
    "mean of the batch": lambda lr: optax.chain(optax.scale(1 / 32), dialects.dqn(lr)),
}
"""The paper's decay of 0.95 and epsilon of 0.01 in six readings, as functions of the learning rate.

The first three are centered; in "momentum 0.95" the decay of the mean gradient, the paper's gradient momentum, is taken
for a momentum buffer; "mean of the batch" is as published, but the loss is not the sum over the batch.
"""


def q_learning(
    rates: tuple[float, ...] = (2.5e-4, 2e-3, 1.6e-2, 0.128),
    *,
    seeds: int = 8,
    steps: int = 1600,
    every: int = 100,
) -> dict[str, Any]:
    """A small deep Q-network learns to catch the ball, with each optimizer of :data:`Q_LEARNERS`.

    17-32-3 units with relu, and the same luck for all. A step is a move, a random one with a probability that falls
    from 1 to 0.05 in 500 steps, and an update on 32 moves from the memory of all so far. The loss is the sum of the
    errors by Huber, which clips their gradients as the paper does; their target has a discount of 0.99 and weights that
    are renewed every 100 steps.

    Args:
      rates: the learning rates; the first is the paper's.
      seeds: how many runs of each.
      steps: of a run.
      every: after how many steps the network is tested; divides ``steps``.

    Returns:
      ``rates`` (n,), ``steps`` (m,), after which the network was tested; by optimizer (n, seeds, m), ``caught``, as
      :func:`caught` says, and ``finite``, whether all weights were.
    """
    rng = np.random.default_rng(6)
    start, network = dense(rng, seeds, (ROWS + 2 * COLUMNS, 32, 3))
    makes, learning_rates = tuple(Q_LEARNERS.values()), jnp.asarray(rates, jnp.float32)
    t = np.arange(steps, dtype=np.int32)
    drawn = {
        "t": t,
        "explores": rng.random((steps, seeds)) < np.maximum(1 - t / 500, 0.05)[:, None],
        "action": rng.integers(0, 3, (steps, seeds), dtype=np.int32),
        "columns": rng.integers(0, COLUMNS, (steps, seeds, 2), dtype=np.int32),
        "batch": (rng.random((steps, seeds, 32)) * (1 + t[:, None, None])).astype(np.int32),
    }
    luck = {name: jnp.asarray(x.reshape(-1, every, *x.shape[1:])) for name, x in drawn.items()}

    def loss(p, target, memory, batch):
        before, action = jax.tree.map(lambda x: x[batch], memory)
        after, reward, over = move(before, action)
        best = jax.lax.stop_gradient(network(target, seen(after)).max(-1))
        value = jnp.take_along_axis(network(p, seen(before)), action[:, None], -1)[:, 0]
        return optax.huber_loss(value, reward + jnp.where(over, 0.0, 0.99 * best)).sum()

    def play(p, target, memory, game, luck):
        """A move, into the memory, and the gradient on a batch from there."""
        action = jnp.where(luck["explores"], luck["action"], network(p, seen(game)).argmax(-1).astype(jnp.int32))
        memory = jax.tree.map(lambda x, now: x.at[luck["t"]].set(now), memory, (game, action))
        game, _, over = move(game, action)
        game = jax.tree.map(lambda new, on: jnp.where(over, new, on), dropped(luck["columns"]), game)
        return jax.grad(loss)(p, target, memory, luck["batch"]), memory, game

    of_seed = {name: None if name == "t" else 0 for name in luck}
    over_seeds = jax.vmap(play, (0, 0, 0, 0, of_seed))
    over_all = jax.vmap(jax.vmap(over_seeds, (0, 0, 0, 0, None)), (0, 0, 0, 0, None))

    def optimize(f, k, *arrays):
        """``f`` of the optimizer number ``k`` and arrays [rates, seeds, …]."""
        return jax.vmap(lambda rate, *a: jax.vmap(functools.partial(f, makes[k](rate)))(*a))(learning_rates, *arrays)

    def step(carry, luck):
        p, target, memory, game, states = carry
        target = jnp.where(luck["t"] % 100 == 0, p, target)
        gradients, memory, game = over_all(p, target, memory, game, luck)
        pairs = [optimize(lambda tx, g, s: tx.update(g, s), k, gradients[k], s) for k, s in enumerate(states)]
        return (p + jnp.stack([update for update, _ in pairs]), target, memory, game, [s for _, s in pairs]), None

    def period(carry, luck):
        carry, _ = jax.lax.scan(step, carry, luck)
        test = jnp.vectorize(lambda p: caught(functools.partial(network, p)), signature="(n)->()")
        return carry, (test(carry[0]), jnp.isfinite(carry[0]).all(-1))

    @jax.jit
    def run(start):
        shape = len(makes), len(rates), seeds
        p = jnp.broadcast_to(start, (*shape, start.shape[-1]))
        states = [optimize(lambda tx, p: tx.init(p), k, p[k]) for k in range(len(makes))]
        nothing = jnp.zeros((*shape, steps), jnp.int32)
        carry = p, p, (Game(nothing, nothing, nothing), nothing), dropped(jnp.zeros((*shape, 2), jnp.int32)), states
        return jax.lax.scan(period, carry, luck)[1]

    share, finite = (dict(zip(Q_LEARNERS, np.moveaxis(np.asarray(x), 0, -1), strict=True)) for x in run(start))
    return {"rates": np.asarray(rates), "steps": np.arange(every, steps + 1, every), "caught": share, "finite": finite}


# 4. NaN of the centered form.

WAYS = ("op by op", "a jit a step", "a jit of all steps")
"""How a program may be compiled."""


def centered(name: str, decay: float, eps: float) -> optax.GradientTransformation:
    """The centered form at DQN's rate, "optax" or "ours": ours is :func:`rmsprop_optax.rmsprop`."""
    if name == "optax":
        return optax.rmsprop(2.5e-4, decay=decay, eps=eps, centered=True)
    return rmsprop(2.5e-4, decay, eps_root=eps, centered=True)


def compiled(
    way: str,
    tx: optax.GradientTransformation,
    gradient: Callable[[jax.Array, Any], jax.Array],
    params: jax.Array,
    batches: jax.Array,
) -> dict[str, np.ndarray]:
    """A training in one of :data:`WAYS`.

    Returns:
      After each step: ``params``, and of the state ``nu`` and ``mu``.
    """
    gradient = jax.jit(gradient)

    def step(carry, batch):
        p, state = carry
        update, state = tx.update(gradient(p, batch), state, p)
        p = p + update
        return (p, state), {"params": p, "nu": optax.tree.get(state, "nu"), "mu": optax.tree.get(state, "mu")}

    carry = params, tx.init(params)
    if way == "a jit of all steps":
        return jax.tree.map(np.asarray, jax.jit(lambda: jax.lax.scan(step, carry, batches)[1])())
    one = step if way == "op by op" else jax.jit(step)
    rows = []
    for batch in np.asarray(batches):
        carry, row = one(carry, batch)
        rows.append(row)
    return jax.tree.map(lambda *x: np.stack(x), *rows)


def constants(decay: float, eps: float = 1e-8, *, steps: int = 400) -> dict[str, Any]:
    """Constant gradients, centered: those of a bias whose loss is a sum of n saturated terms, ±n, for n from 1 to 512.

    Args:
      decay: of both averages.
      eps: under the root.
      steps: with the same gradients.

    Returns:
      ``n`` (512,); by implementation and way ``first`` (512,), the step after which the weight is NaN, 0 if there is
      none.
    """
    n = np.arange(1, 513)
    batches = jnp.broadcast_to(jnp.asarray(n, jnp.float32), (steps, n.size))
    first = {}
    for name, way in (*(("optax", way) for way in WAYS), ("ours", WAYS[-1])):
        run = compiled(way, centered(name, decay, eps), lambda p, g: g, jnp.zeros_like(batches[0]), batches)
        broken = ~np.isfinite(run["params"])
        first[name, way] = np.where(broken.any(0), 1 + broken.argmax(0), 0)
    return {"n": n, "first": first}


def far_off(batch: int, *, eps: float = 1e-8, value: float = 100.0, steps: int = 500) -> dict[str, Any]:
    """A critic learns a value that is far off: as long as all errors are clipped, the gradient of its last bias is -n.

    17-32-1 units, decay 0.95, DQN's rate and a sum of Huber's losses. The other gradients change from batch to batch.

    Args:
      batch: n, how many random positions of the game, all of the same value.
      eps: under the root.
      value: of every position.
      steps: of a run.

    Returns:
      By implementation and way, ``value`` (steps,), the mean of the critic's values of the last batch, ``variance``
      (steps,), that of the last bias, by the subtraction in optax; ``exact`` (steps,), the variance as
      long as the gradient is -n.
    """
    rng = np.random.default_rng(8)
    (start,), network = dense(rng, 1, (ROWS + 2 * COLUMNS, 32, 1))
    batches = jnp.asarray(rng.integers(0, (ROWS, COLUMNS, COLUMNS), (steps, batch, 3), dtype=np.int32))

    def values(p, positions):
        return network(p, seen(Game(*jnp.moveaxis(positions, -1, 0))))[:, 0]

    def gradient(p, positions):
        return jax.grad(lambda p: optax.huber_loss(values(p, positions), jnp.float32(value)).sum())(p)

    keys = ("optax", WAYS[0]), ("optax", WAYS[-1]), ("ours", WAYS[-1])
    runs = {key: compiled(key[1], centered(key[0], 0.95, eps), gradient, start, batches) for key in keys}
    mean = jax.jit(jax.vmap(lambda p: values(p, batches[-1]).mean()))
    rho = 0.95 ** np.arange(1.0, steps + 1)
    return {
        "value": {key: np.asarray(mean(run["params"])) for key, run in runs.items()},
        "variance": {
            key: run["nu"][:, -1] - (run["mu"][:, -1] ** 2 if key[0] == "optax" else 0) for key, run in runs.items()
        },
        "exact": batch**2 * rho * (1 - rho),
    }
