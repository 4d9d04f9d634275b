"""The same numbers under another dialect, as experiments.

Each experiment is one function that returns plain arrays. ``notebooks/2_which_rmsprop.ipynb`` draws them;
``tests/claims/which_rmsprop.py`` asserts the notebook's statements about them.

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

from experiments.lecture import Make, descend, parts
from rmsprop_optax import dialects, differences, rmsprop, scaling

Network = Callable[[jax.Array, jax.Array], jax.Array]


# 1. One stream of gradients, every dialect.


def streams(momentum: float = 0.0) -> dict[str, dict[str, np.ndarray]]:
    """Return how far each dialect moves each weight of :func:`rmsprop_optax.differences.stream`.

    All dialects get the same numbers. The learning rate drops to a tenth after 100 of 200 steps.

    Args:
      momentum: 0 runs all dialects; another number runs those that have a momentum buffer.

    Returns:
      Dialect → weight → its start minus its value after each step.
    """
    names = [name for name, row in dialects.TABLE.items() if not momentum or row.buffer == "option"]
    moved: dict[str, dict[str, np.ndarray]] = {name: {} for name in names}
    for row in differences.movements(names, momentum=momentum):
        moved[row["dialect"]][row["weight"]] = row["movement"]
    return moved


def alike(moved: Mapping[str, Mapping[str, np.ndarray]], tolerance: float = 1e-4) -> list[list[str]]:
    """Return groups of dialects that move every weight alike, the largest group first.

    Args:
      moved: of :func:`streams`.
      tolerance: the largest difference within a group, as a share of the weight's largest movement.
    """

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


def paths(steps: int = 100) -> dict[str, np.ndarray]:
    """Return the path of each dialect down a long valley, all with the same numbers.

    The loss is ``0.01·(x² + 20·y²)/2`` from (−1, 0.5): gradients along the valley are below the root of epsilon, and
    those across it above. The learning rate is 0.03, decay 0.9, epsilon 0.001, momentum 0.9 where there is a buffer.

    Args:
      steps: number of steps.

    Returns:
      Dialect → (steps + 1, 2).
    """
    slopes, start = jnp.asarray([0.01, 0.2], jnp.float32), jnp.asarray([-1.0, 0.5], jnp.float32)

    def run(name: str) -> jax.Array:
        row, [options] = dialects.TABLE[name], differences.settings([name]).values()
        rate = {} if row.arguments.learning_rate is None else {row.arguments.learning_rate: 0.03}
        way = descend(row.constructor(**{**options, **rate}), lambda p, _: slopes * p, start, jnp.arange(steps))
        return jnp.concatenate([start[None], way])

    found = jax.jit(lambda: {name: run(name) for name in dialects.TABLE})()
    return {name: np.asarray(path) for name, path in found.items()}


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
"""Recipe → epsilons. The first is the published one."""


def longer(places: Mapping[str, Place], roots: np.ndarray) -> dict[str, np.ndarray]:
    """Return the length of a step under each epsilon, as a multiple of the step under the first epsilon.

    Args:
      places: epsilons by name.
      roots: of the mean square.
    """

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
"""Rule → (a function of learning rate and epsilon, the epsilon)."""


def efficientnet(
    rates: tuple[float, ...] = tuple(0.002 * 2.0 ** np.arange(7)),
    *,
    seeds: int = 8,
    epochs: int = 12,
    batch: int = 32,
) -> dict[str, Any]:
    """Train on digits with EfficientNet's numbers under each rule of :data:`RULES`.

    The numbers are decay 0.9, momentum 0.9, epsilon 0.001 and the schedule of the learning rate: it rises to its peak
    in the first 5 of 350 parts and falls by the factor 0.97 every 2.4 parts, here continuously. There is no weight
    decay. A network of 64-32-10 units with relu starts from the same weights and sees the same orders of the images for
    each rule and rate.

    Args:
      rates: the peaks; EfficientNet's 0.016 for 256 images is 0.002 for 32.
      seeds: number of runs of each.
      epochs: number of passes over the images.
      batch: number of images in a mini-batch.

    Returns:
      ``rates`` (n,); by rule, ``train``, ``validation`` and ``test`` (n, seeds), the accuracies after the last step,
      ``roots`` (n, 3), the quartiles, over weights and seeds, of the root of the mean square after the last step, and
      ``best``, the index of the rate with the highest mean validation accuracy.
    """
    data = parts()
    images, labels = data["train"]
    rng = np.random.default_rng(5)
    orders = rng.permuted(np.tile(np.arange(len(images), dtype=np.int32), (seeds, epochs, 1)), axis=-1)
    rows = jnp.asarray(orders[..., : len(images) // batch * batch].reshape(seeds, -1, batch))
    start, network = dense(rng, seeds, (64, 32, 10))
    time = 350 * np.arange(1, rows.shape[1] + 1) / rows.shape[1]
    course = jnp.asarray(np.minimum(time / 5, 1) * 0.97 ** (time / 2.4), jnp.float32)

    def loss(p: jax.Array, rows: jax.Array) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(network(p, images[rows]), labels[rows]).mean()

    @functools.partial(jax.jit, static_argnums=0)
    def run(make: Callable[..., optax.GradientTransformation], eps: jax.Array, peaks: jax.Array) -> tuple[Any, Any]:
        def one(peak: jax.Array, p: jax.Array, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
            tx = make(lambda count: peak * course[count], eps)

            def step(carry: tuple[Any, Any], rows: jax.Array) -> tuple[tuple[Any, Any], None]:
                p, state = carry
                update, state = tx.update(jax.grad(loss)(p, rows), state, p)
                return (p + update, state), None

            (p, state), _ = jax.lax.scan(step, (p, tx.init(p)), rows)
            return p, optax.tree.get(state, "nu")

        return jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))(peaks, start, rows)

    @jax.jit
    def accuracies(p: jax.Array) -> dict[str, jax.Array]:
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


def dense(rng: np.random.Generator, copies: int, units: tuple[int, ...]) -> tuple[jax.Array, Network]:
    """Return a network with relu: its first weights, and a function of weights and inputs.

    Args:
      rng: draws the weights.
      copies: number of draws.
      units: of the layers, the input first.

    Returns:
      The weights (copies, weights), and a function of one row of them and inputs (n, units[0]).
    """
    layers = [
        array
        for n, m in itertools.pairwise(units)
        for array in (rng.normal(scale=np.sqrt(2 / n), size=(copies, n * m)), np.zeros((copies, m)))
    ]
    ends = np.cumsum([layer.shape[1] for layer in layers])[:-1].tolist()

    def network(p: jax.Array, x: jax.Array) -> jax.Array:
        flat = iter(jnp.split(p, ends))
        for k, (n, m) in enumerate(itertools.pairwise(units)):
            x = (jax.nn.relu(x) if k else x) @ next(flat).reshape(n, m) + next(flat)
        return x

    return jnp.asarray(np.concatenate(layers, axis=1), jnp.float32), network


# 3. The deep Q-network's optimizer on a game.

ROWS, COLUMNS = 7, 5
"""The size of the board."""


class Game(NamedTuple):
    """The position: a ball falls by one row in each step, a paddle stays on the lowest row.

    Attributes:
      row: row of the ball, int32 of any shape; 0 is the highest.
      ball: column of the ball, of the same shape.
      paddle: column of the paddle, of the same shape.
    """

    row: jax.Array
    ball: jax.Array
    paddle: jax.Array


def dropped(columns: jax.Array) -> Game:
    """Return a game with the ball on the highest row; the last axis has the columns of ball and paddle."""
    return Game(jnp.zeros_like(columns[..., 0]), columns[..., 0], columns[..., 1])


def move(game: Game, action: jax.Array) -> tuple[Game, jax.Array, jax.Array]:
    """Move the paddle left, not at all or right (0, 1, 2) within the board, and let the ball fall.

    Returns:
      The game; the reward, 1 if the paddle catches the ball, -1 if the ball reaches the lowest row elsewhere, otherwise
      0; and whether the ball is on the lowest row.
    """
    game = Game(game.row + 1, game.ball, jnp.clip(game.paddle + action - 1, 0, COLUMNS - 1))
    over = game.row == ROWS - 1
    won = (game.ball == game.paddle).astype(jnp.float32)
    return game, jnp.where(over, 2 * won - 1, 0.0), over


def seen(game: Game) -> jax.Array:
    """Return the input of the network, float32[..., 17]: three one-hot vectors."""
    sizes = zip(game, (ROWS, COLUMNS, COLUMNS), strict=True)
    return jnp.concatenate([jax.nn.one_hot(x, n, dtype=jnp.float32) for x, n in sizes], axis=-1)


def caught(values: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Return the share of balls that the greedy policy of ``values`` catches, from all 25 columns of ball and paddle.

    Args:
      values: maps inputs (n, 17) to the values of the three actions (n, 3).
    """
    columns = jnp.asarray(np.indices((COLUMNS, COLUMNS)).reshape(2, -1).T, jnp.int32)

    def step(game: Game, _: None) -> tuple[Game, jax.Array]:
        game, reward, _over = move(game, values(seen(game)).argmax(-1).astype(jnp.int32))
        return game, reward

    _, rewards = jax.lax.scan(step, dropped(columns), None, length=ROWS - 1)
    return jnp.mean((rewards[-1] > 0).astype(jnp.float32))


Q_LEARNERS: dict[str, Make] = {
    "as published": dialects.dqn,
    "optax, centered": lambda lr: optax.rmsprop(lr, decay=0.95, eps=0.01, centered=True),
    "PyTorch, centered": lambda lr: dialects.pytorch(lr, 0.95, 0.01, centered=True),
    "not centered": lambda lr: rmsprop(lr, 0.95, 0.01),
    "momentum 0.95": lambda lr: dialects.pytorch(lr, 0.95, 0.01, momentum=0.95),
    "mean of the batch": lambda lr: optax.chain(optax.scale(1 / 32), dialects.dqn(lr)),
}
"""The paper's decay of 0.95 and epsilon of 0.01 in six readings, as functions of the learning rate.

The first three are centered. "momentum 0.95" reads the decay of the mean gradient, which the paper calls gradient
momentum, as the decay of a momentum buffer. "mean of the batch" is the published optimizer with a loss that is the mean
over the batch instead of the sum.
"""


def q_learning(
    rates: tuple[float, ...] = (2.5e-4, 2e-3, 1.6e-2, 0.128),
    *,
    seeds: int = 8,
    steps: int = 1600,
    every: int = 100,
) -> dict[str, Any]:
    """Train a small deep Q-network to catch the ball with each optimizer of :data:`Q_LEARNERS`.

    The network has 17-32-3 units with relu. All optimizers get the same random numbers. A step is a move and an update.
    The move is random with a probability that falls from 1 to 0.05 in 500 steps. The update uses 32 earlier moves. The
    loss is the sum of the Huber losses of the errors, which clips their gradients as the paper does. The target has a
    discount of 0.99 and weights that are copied every 100 steps.

    Args:
      rates: the learning rates; the first is the paper's.
      seeds: number of runs of each.
      steps: of a run.
      every: number of steps between tests of the network; divides ``steps``.

    Returns:
      ``rates`` (n,); ``steps`` (m,), the steps of the tests; by optimizer (n, seeds, m), ``caught``, the result of
      :func:`caught`, and ``finite``, whether all weights are finite.
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

    def loss(p: jax.Array, target: jax.Array, memory: Any, batch: jax.Array) -> jax.Array:
        before, action = jax.tree.map(lambda x: x[batch], memory)
        after, reward, over = move(before, action)
        best = jax.lax.stop_gradient(network(target, seen(after)).max(-1))
        value = jnp.take_along_axis(network(p, seen(before)), action[:, None], -1)[:, 0]
        return optax.huber_loss(value, reward + jnp.where(over, 0.0, 0.99 * best)).sum()

    def play(p: jax.Array, target: jax.Array, memory: Any, game: Game, luck: Any) -> tuple[jax.Array, Any, Game]:
        """Make a move, store it in the memory, and return the gradient of a batch from the memory."""
        action = jnp.where(luck["explores"], luck["action"], network(p, seen(game)).argmax(-1).astype(jnp.int32))
        memory = jax.tree.map(lambda x, now: x.at[luck["t"]].set(now), memory, (game, action))
        game, _, over = move(game, action)
        game = jax.tree.map(lambda new, on: jnp.where(over, new, on), dropped(luck["columns"]), game)
        return jax.grad(loss)(p, target, memory, luck["batch"]), memory, game

    of_seed = {name: None if name == "t" else 0 for name in luck}
    over_seeds = jax.vmap(play, (0, 0, 0, 0, of_seed))
    over_all = jax.vmap(jax.vmap(over_seeds, (0, 0, 0, 0, None)), (0, 0, 0, 0, None))

    def optimize(f: Callable[..., Any], k: int, *arrays: Any) -> Any:
        """Map ``f`` of optimizer number ``k`` over arrays [rates, seeds, …]."""
        return jax.vmap(lambda rate, *a: jax.vmap(functools.partial(f, makes[k](rate)))(*a))(learning_rates, *arrays)

    def step(carry: Any, luck: Any) -> tuple[Any, None]:
        p, target, memory, game, states = carry
        target = jnp.where(luck["t"] % 100 == 0, p, target)
        gradients, memory, game = over_all(p, target, memory, game, luck)
        pairs = [optimize(lambda tx, g, s: tx.update(g, s), k, gradients[k], s) for k, s in enumerate(states)]
        return (p + jnp.stack([update for update, _ in pairs]), target, memory, game, [s for _, s in pairs]), None

    def period(carry: Any, luck: Any) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        carry, _ = jax.lax.scan(step, carry, luck)
        test = jnp.vectorize(lambda p: caught(functools.partial(network, p)), signature="(n)->()")
        return carry, (test(carry[0]), jnp.isfinite(carry[0]).all(-1))

    @jax.jit
    def run(start: jax.Array) -> tuple[jax.Array, jax.Array]:
        shape = len(makes), len(rates), seeds
        p = jnp.broadcast_to(start, (*shape, start.shape[-1]))
        states = [optimize(lambda tx, p: tx.init(p), k, p[k]) for k in range(len(makes))]
        nothing = jnp.zeros((*shape, steps), jnp.int32)
        carry = p, p, (Game(nothing, nothing, nothing), nothing), dropped(jnp.zeros((*shape, 2), jnp.int32)), states
        return jax.lax.scan(period, carry, luck)[1]

    share, finite = (dict(zip(Q_LEARNERS, np.moveaxis(np.asarray(x), 0, -1), strict=True)) for x in run(start))
    return {"rates": np.asarray(rates), "steps": np.arange(every, steps + 1, every), "caught": share, "finite": finite}


# 4. NaN of the centered form.

WAYS = ("op by op", "jit of one step", "jit of all steps")
"""Three ways to compile a training."""


def centered(name: str, decay: float, eps: float) -> optax.GradientTransformation:
    """Return the centered form at DQN's rate: of optax for "optax", otherwise :func:`rmsprop_optax.rmsprop`."""
    if name == "optax":
        return optax.rmsprop(2.5e-4, decay=decay, eps=eps, centered=True)
    return rmsprop(2.5e-4, decay, eps, centered=True)


def compiled(
    way: str,
    tx: optax.GradientTransformation,
    gradient: Callable[[jax.Array, Any], jax.Array],
    params: jax.Array,
    batches: jax.Array,
) -> dict[str, np.ndarray]:
    """Train in one of :data:`WAYS`.

    Args:
      way: of :data:`WAYS`.
      tx: the optimizer, with a centered state.
      gradient: a function of parameters and batch.
      params: one array.
      batches: along the first axis.

    Returns:
      ``params``, ``nu`` and ``mu`` after each step.
    """
    gradient = jax.jit(gradient)

    def step(carry: tuple[Any, Any], batch: Any) -> tuple[tuple[Any, Any], dict[str, Any]]:
        p, state = carry
        update, state = tx.update(gradient(p, batch), state, p)
        p = p + update
        return (p, state), {"params": p, "nu": optax.tree.get(state, "nu"), "mu": optax.tree.get(state, "mu")}

    carry = params, tx.init(params)
    if way == "jit of all steps":
        return jax.tree.map(np.asarray, jax.jit(lambda: jax.lax.scan(step, carry, batches)[1])())
    one = step if way == "op by op" else jax.jit(step)
    rows = []
    for batch in np.asarray(batches):
        carry, row = one(carry, batch)
        rows.append(row)
    return jax.tree.map(lambda *x: np.stack(x), *rows)


def constants(decay: float, eps: float = 1e-8, *, steps: int = 400) -> dict[str, Any]:
    """Train with the centered form on constant gradients n from 1 to 512.

    A bias has such a gradient, ±n, if its loss is a sum of n saturated terms.

    Args:
      decay: of both averages.
      eps: under the root.
      steps: number of steps.

    Returns:
      ``n`` (512,); by implementation and way ``first`` (512,), the first step after which the weight is NaN, 0 if the
      weight stays finite.
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
    """Train a critic on a value that is far from its first estimate, with the centered form.

    As long as all errors are clipped, the gradient of the last bias is -n. The other gradients change from batch to
    batch. The critic has 17-32-1 units; decay 0.95, DQN's rate, and a sum of Huber losses.

    Args:
      batch: n, the number of random positions of the game, all of the same value.
      eps: under the root.
      value: of every position.
      steps: of a run.

    Returns:
      By implementation and way, ``value`` (steps,), the mean of the critic's values of the last batch, and ``variance``
      (steps,), of the gradient of the last bias (in optax the difference of two averages); ``exact`` (steps,), that
      variance while the gradient is -n.
    """
    rng = np.random.default_rng(8)
    (start,), network = dense(rng, 1, (ROWS + 2 * COLUMNS, 32, 1))
    batches = jnp.asarray(rng.integers(0, (ROWS, COLUMNS, COLUMNS), (steps, batch, 3), dtype=np.int32))

    def values(p: jax.Array, positions: jax.Array) -> jax.Array:
        return network(p, seen(Game(*jnp.moveaxis(positions, -1, 0))))[:, 0]

    def gradient(p: jax.Array, positions: jax.Array) -> jax.Array:
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
