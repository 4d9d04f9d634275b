"""Published results about RMSprop, run again: the problem of each paper, at the paper's size or smaller.

Each experiment is one function that returns plain arrays. ``notebooks/5_what_papers_found.ipynb`` draws them beside the
published numbers; ``tests/claims/what_papers_found.py`` asserts the notebook's statements.

Source:
  The docstring of each function names its paper.
"""

import csv
import gzip
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.lecture import Make, parts
from experiments.which import dense
from rmsprop_optax import dialects, links, rmsprop
from rmsprop_optax._batch_size import to_batch_size
from rmsprop_optax.measure import effective_rates, sharpness

# 1. A short average of squares fails.


def _falling(rate: float) -> optax.Schedule:
    return lambda count: rate / jnp.sqrt(jnp.asarray(count, jnp.float32) + 1)


REDDI: dict[str, Make] = {
    "RMSprop, decay 0.1": lambda rate: rmsprop(rate, 0.1, eps=0.0),
    "RMSprop, decay 0.9": lambda rate: rmsprop(rate, 0.9, eps=0.0),
    "RMSprop, decay 0.99": lambda rate: rmsprop(rate, 0.99, eps=0.0),
    "AMSGrad, decay 0.1": lambda rate: optax.chain(
        links.scale_by_max_rms(0.1, eps=0.0), optax.scale_by_learning_rate(rate)
    ),
    "ADOPT, decay 0.1": lambda rate: optax.chain(links.scale_by_previous_rms(0.1), optax.scale_by_learning_rate(rate)),
    "SGD": optax.sgd,
}
"""The optimizers of :func:`reddi`, as functions of a schedule."""


def _online(tx: optax.GradientTransformation, gradients: jax.Array) -> jax.Array:
    """Return the weight in [-1, 1], which starts at 0, after each gradient; no gradient depends on the weight."""

    def step(carry: Any, g: jax.Array) -> Any:
        x, state = carry
        u, state = tx.update(g, state, x)
        x = jnp.clip(x + u, -1.0, 1.0)
        return (x, state), x

    x = jnp.float32(0.0)
    return jax.lax.scan(step, (x, tx.init(x)), gradients)[1]


def reddi(steps: int = 20_001) -> dict[str, np.ndarray]:
    """Run the convex problem on which Adam without momentum ends at the worst point.

    The losses are ``3x, −x, −x, 3x, …`` on [−1, 1]: their mean falls with x, so −1 is the optimum. The learning rate is
    ``0.1/√t``. Theorem 1 has the decay ``1/(1 + C²) = 0.1`` for C = 3: RMSprop goes to +1.

    Source:
      Reddi, Kale and Kumar, arXiv:1904.09237, theorem 1 and algorithm 2; ADOPT: arXiv:2411.02853.

    Returns:
      By optimizer (steps,): the weight after each step.
    """
    gradients = jnp.asarray(np.resize([3.0, -1.0, -1.0], steps), jnp.float32)
    run = jax.jit(lambda: {name: _online(make(_falling(0.1)), gradients) for name, make in REDDI.items()})
    found = run()
    return {name: np.asarray(found[name]) for name in REDDI}


def transition(
    lone: tuple[int, ...] = (3, 11, 31, 101), decays: tuple[float, ...] = tuple(1 - 10 ** -np.linspace(0.05, 4, 17))
) -> dict[str, np.ndarray]:
    """Return RMSprop's final weight for rarer large gradients: the decay that RMSprop needs grows with the cycle.

    A cycle of n losses is ``n·x`` once and ``−x`` otherwise; the sum rises with x, so −1 is the optimum. The learning
    rate is ``0.5/√t``, 60,000 steps; the mean square is corrected for its start.

    Source:
      Shi et al., ICLR 2021, "RMSprop converges with proper hyper-parameter": a phase transition in the decay.

    Returns:
      ``decays`` (m,), ``lone`` (n,) and ``end`` (n, m): the mean weight over the last tenth of the steps.
    """

    def one(decay: jax.Array, gradients: jax.Array) -> jax.Array:
        return _online(rmsprop(_falling(0.5), decay, eps=0.0, bias_correction=True), gradients)[-6000:].mean()

    streams = [np.resize([n, *[-1.0] * (n - 1)], 60_000) for n in lone]
    run = jax.jit(jax.vmap(jax.vmap(one, (0, None)), (None, 0)))
    end = run(jnp.asarray(decays, jnp.float32), jnp.asarray(np.array(streams), jnp.float32))
    return {"decays": np.asarray(decays), "lone": np.asarray(lone), "end": np.asarray(end)}


# 2. Adaptive methods can fail to generalise.

WILSON: dict[str, tuple[Make, float]] = {
    "SGD": (optax.sgd, 0.1),
    "RMSprop": (lambda rate: rmsprop(rate, 0.9, eps=1e-30), 1e-3),
    "Adam": (lambda rate: optax.adam(rate, eps=1e-15), 1e-3),
    "Adagrad": (lambda rate: optax.adagrad(rate, initial_accumulator_value=0.0, eps=1e-30), 1e-2),
}


def wilson(train: int = 100, test: int = 100, steps: int = 1500) -> dict[str, Any]:
    """Train on separable data in which only the first feature predicts the labels of new points.

    Point i has its label in the first feature, 1 in the next two, and 1 (label +1) or 5 (label −1) ones in features of
    its own. The loss is the mean square error. Seven of ten labels are +1.

    Source:
      Wilson et al., arXiv:1705.08292, section 3.3: adaptive methods from 0 end at weights proportional to
      ``sign(Xᵀy)``, and call every new point positive. SGD ends at the solution of least norm, and is right.

    Returns:
      ``positives``, their share in the test; by optimizer ``accuracy``, ``loss``, ``spread``, the standard deviation of
      the weights' ratio to ``sign(Xᵀy)`` over its mean, and ``scores`` (test,), the predictions times the labels.
    """
    n = train + test
    rng = np.random.default_rng(0)
    labels = np.where(rng.permutation(n) < 0.7 * n, 1.0, -1.0)
    features = np.zeros((n, 3 + 5 * n), np.float32)
    features[:, 0], features[:, 1:3] = labels, 1
    for i, label in enumerate(labels):
        features[i, 3 + 5 * i : 3 + 5 * i + (1 if label > 0 else 5)] = 1
    x, y = jnp.asarray(features[:train]), jnp.asarray(labels[:train], jnp.float32)
    direction = np.sign(features[:train].T @ labels[:train])
    found: dict[str, Any] = {key: {} for key in ("accuracy", "loss", "spread", "scores")}
    found["positives"] = float(np.mean(labels[train:] > 0))
    for name, (make, rate) in WILSON.items():
        tx = make(rate)

        def step(carry: Any, _: None, tx: optax.GradientTransformation = tx) -> Any:
            w, state = carry
            u, state = tx.update((x @ w - y) @ x / train, state, w)
            return (w + u, state), None

        start = jnp.zeros(x.shape[1])
        (w, _), _ = jax.jit(
            lambda step=step, tx=tx, start=start: jax.lax.scan(step, (start, tx.init(start)), None, steps)
        )()
        scores = features[train:] @ np.asarray(w) * labels[train:]
        ratio = np.asarray(w)[direction != 0] * direction[direction != 0]
        found["accuracy"][name] = float(np.mean(scores > 0))
        found["loss"][name] = float(jnp.mean((x @ w - y) ** 2))
        found["spread"][name] = float(ratio.std() / ratio.mean())
        found["scores"][name] = scores
    return found


# 3. RMSprop adapts to the curvature.


def edge(decay: float = 0.99, rate: float = 2e-4, *, steps: int = 2000, every: int = 100) -> dict[str, np.ndarray]:
    """Train on all digits at once and measure the preconditioned sharpness.

    A network of 64-32-32-10 units with tanh learns :func:`experiments.lecture.parts` by the mean cross-entropy.

    Source:
      Cohen et al., arXiv:2410.24206 (central flows) and arXiv:2207.14484: once training oscillates, the sharpness
      settles at 2.

    Returns:
      ``step`` (m,), and at these steps ``sharpness``, ``plain``, the largest eigenvalue of the Hessian itself,
      ``rate``, the median effective rate, and ``products``, the Hessian-vector products of a measurement; ``loss``
      (steps,).
    """
    images, labels = (jnp.asarray(x) for x in parts()["train"])
    rng = np.random.default_rng(9)
    sizes = (64, 32, 32, 10)
    params = [
        {"w": jnp.asarray(rng.normal(scale=n**-0.5, size=(n, m)), jnp.float32), "b": jnp.zeros(m)}
        for n, m in itertools.pairwise(sizes)
    ]

    def loss(p: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        for layer in p[:-1]:
            x = jnp.tanh(x @ layer["w"] + layer["b"])
        logits = x @ p[-1]["w"] + p[-1]["b"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    tx = rmsprop(rate, decay, eps=1e-10)
    same = rmsprop(1.0, 0.0, eps=1.0, initial_scale=0.0)  # with no gradients every effective rate is 1

    @jax.jit
    def train(carry: Any) -> Any:
        def step(carry: Any, _: None) -> Any:
            p, state = carry
            value, g = jax.value_and_grad(loss)(p, images, labels)
            u, state = tx.update(g, state, p)
            return (optax.apply_updates(p, u), state), value

        return jax.lax.scan(step, carry, None, every)

    carry, losses, rows = (params, tx.init(params)), [], []
    for _ in range(steps // every):
        carry, values = train(carry)
        losses.append(values)
        p, state = carry
        found = sharpness(tx, state, p, loss, images, labels)
        rates = np.concatenate(list(effective_rates(tx, state, p).values()))
        plain = sharpness(same, same.init(p), p, loss, images, labels)
        rows.append((found.value, plain.value, np.median(rates), found.products))
    sharp, plain_value, median, products = np.array(rows).T
    return {
        "step": np.arange(every, steps + 1, every),
        "sharpness": sharp,
        "plain": plain_value,
        "rate": median,
        "products": products,
        "loss": np.concatenate(losses),
    }


# 4. Another batch size.

RULES = ("square root", "linear", "unchanged")


def batch_sizes(
    sizes: tuple[int, ...] = (1, 4, 16),
    rates: tuple[float, ...] = (1e-4, 2e-4, 4e-4),
    *,
    decay: float = 0.999,
    seeds: int = 8,
    epochs: int = 6,
    period: int = 112,
) -> dict[str, Any]:
    """Carry the setting of the smallest batch to larger batches by three rules, and train on the same examples.

    A network of 64-32-10 units with relu learns digits; epsilon is 1e-8 under the root, and the mean square is
    corrected for its start. The linear rule multiplies the learning rate by the ratio of the sizes and keeps the rest.

    Args:
      sizes: of the batches; the numbers are those of the first, which divides the others.
      rates: learning rates of the first size.
      decay: of the first size.
      seeds: number of runs of each.
      epochs: number of passes over the images.
      period: number of examples between measurements of the loss; all sizes divide it.

    Source:
      Malladi et al., arXiv:2205.10287: under the square-root rule the losses over examples seen coincide.

    Returns:
      ``sizes``, ``rates``; by size ``examples`` (m,), and ``loss`` (rules, rates, seeds, m): the loss of all training
      images, at the same examples seen for all sizes.
    """
    images, labels = (jnp.asarray(x) for x in parts()["train"])
    rng = np.random.default_rng(10)
    total = len(labels) // period * period
    orders = rng.permuted(np.tile(np.arange(len(labels), dtype=np.int32), (seeds, epochs, 1)), axis=-1)[..., :total]
    start, network = dense(rng, seeds, (64, 32, 10))

    def loss(p: jax.Array, rows: jax.Array) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(network(p, images[rows]), labels[rows]).mean()

    found: dict[str, Any] = {"sizes": sizes, "rates": np.asarray(rates), "loss": {}}
    for size in sizes:
        batches = jnp.asarray(orders.reshape(seeds, -1, period // size, size))
        k = size / sizes[0]
        root = [to_batch_size(sizes[0], size, learning_rate=r, decay=decay, eps=1e-8) for r in rates]
        options = np.array(
            [
                [tuple(o.values()) for o in root],
                [(k * r, decay, 1e-8) for r in rates],
                [(r, decay, 1e-8) for r in rates],
            ],
            np.float32,
        )

        def one(option: jax.Array, p: jax.Array, rows: jax.Array) -> jax.Array:
            tx = rmsprop(*option, bias_correction=True)

            def step(carry: Any, rows: jax.Array) -> Any:
                p, state = carry
                u, state = tx.update(jax.grad(loss)(p, rows), state, p)
                return (p + u, state), None

            def period(carry: Any, rows: jax.Array) -> Any:
                carry, _ = jax.lax.scan(step, carry, rows)
                return carry, loss(carry[0], jnp.arange(len(labels)))

            return jax.lax.scan(period, (p, tx.init(p)), rows)[1]

        over = jax.vmap(jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None)), (0, None, None))
        found["loss"][size] = np.asarray(jax.jit(over)(jnp.asarray(options), start, batches))
    found["examples"] = period * np.arange(1, found["loss"][sizes[0]].shape[-1] + 1)
    return found


# 5. A score in a library's documentation.


def phishing(path: str = "data/phishing.csv.gz") -> dict[str, Any]:
    """Return the F1 score of a logistic regression that predicts each row, then learns it, as river does.

    Features are standardised by what was seen so far, the row itself included. The weights are trained by RMSprop with
    river's numbers (rate 0.1, decay 0.9, epsilon 1e-8 under the root), the intercept by SGD at 0.01. Float64.

    Source:
      river 0.26.1: river/optim/rms_prop.py prints ``F1: 87.24%``. The data are of the UCI repository, "Website
      Phishing" by Abdelhamid (CC BY 4.0), as river ships them.

    Returns:
      ``f1``, ``rows``, and ``probability`` (rows,).
    """
    with gzip.open(Path(path), "rt") as file:
        table = [list(map(float, row.values())) for row in csv.DictReader(file)]
    data = np.array(table)
    x, y = data[:, :-1], data[:, -1]
    seen = np.arange(1, len(x) + 1)[:, None]
    mean = np.cumsum(x, 0) / seen
    deviation = np.sqrt(np.maximum(np.cumsum(x**2, 0) / seen - mean**2, 0))

    def standardised(rows: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        return np.where(deviation > 1e-9, (rows - mean) / np.where(deviation > 1e-9, deviation, 1), 0)

    before = [np.concatenate([np.zeros_like(a[:1]), a[:-1]]) for a in (mean, deviation)]
    with jax.enable_x64(True):
        tx = rmsprop(0.1, 0.9, 1e-8)

        def step(carry: Any, row: Any) -> Any:
            w, intercept, state = carry
            asked, learned, label = row
            probability = jax.nn.sigmoid(asked @ w + intercept)
            error = jax.nn.sigmoid(learned @ w + intercept) - label
            u, state = tx.update(error * learned, state, w)
            return (w + u, intercept - 0.01 * error, state), probability

        w = jnp.zeros(x.shape[1])
        rows = (standardised(x, *before), standardised(x, mean, deviation), y)
        start = (w, jnp.zeros(()), tx.init(w))
        probability = np.asarray(jax.jit(lambda r: jax.lax.scan(step, start, r)[1])(jax.tree.map(jnp.asarray, rows)))
    said = probability > 0.5
    hits = np.sum(said & (y == 1))
    return {"f1": 2 * hits / (said.sum() + y.sum()), "rows": len(y), "probability": probability}


# 6. Actor and critic on a pole.


class Pole(NamedTuple):
    """CartPole-v1, as in Gymnasium: position, velocity, angle, angular velocity; and the steps of the episode."""

    x: jax.Array
    steps: jax.Array


def push(pole: Pole, action: jax.Array) -> tuple[Pole, jax.Array]:
    """Push the cart left or right (0, 1) by 10 N for 0.02 s; return the pole and whether it fell."""
    x, v, angle, turn = pole.x
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    force = jnp.where(action == 1, 10.0, -10.0)
    pull = (force + 0.05 * turn**2 * sin) / 1.1
    twist = (9.8 * sin - cos * pull) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    push = pull - 0.05 * twist * cos / 1.1
    new = jnp.stack([x + 0.02 * v, v + 0.02 * push, angle + 0.02 * turn, turn + 0.02 * twist])
    fell = (jnp.abs(new[0]) > 2.4) | (jnp.abs(new[2]) > 12 * 2 * np.pi / 360)
    return Pole(new, pole.steps + 1), fell


def begun(draws: jax.Array) -> Pole:
    """A pole at the start of an episode, from four uniform numbers in [0, 1)."""
    return Pole(0.1 * draws - 0.05, jnp.zeros([], jnp.int32))


EPSILONS = {"1e-5, the zoo's": 1e-5, "0.1, IMPALA's": 0.1}
"""Epsilons beside the root: that of the zoo's A2C, and a number that IMPALA has under the root."""


def a2c(*, updates: int = 3200, seeds: int = 3, tests: int = 8) -> dict[str, Any]:
    """Train an actor and a critic on CartPole with the zoo's numbers and two epsilons.

    8 poles, 5 steps to an update: 3,200 updates are 128,000 steps, where the zoo has 500,000. Two networks of
    4-64-64 units with tanh and orthogonal first weights; discount 0.99, returns of 5 steps with the critic's value
    behind, half the critic's square error, gradients clipped to a norm of 0.5, PyTorch's RMSprop at 0.0007 with decay
    0.99. The score is the length of an episode with the likeliest actions, at most 500, the mean of 20.

    Source:
      DLR-RM/rl-baselines3-zoo: hyperparams/a2c.yml (n_envs 8, ent_coef 0), the rest the defaults of A2C in Stable
      Baselines3; benchmark.md: 500.0 ± 0.0 after 500k steps.

    Returns:
      ``steps`` (tests,), and by epsilon ``score`` (seeds, tests).
    """
    orthogonal = jax.nn.initializers.orthogonal

    def network(key: jax.Array, out: int, gain: float) -> list[Any]:
        layers = zip(jax.random.split(key, 3), ((4, 64), (64, 64), (64, out)), (2**0.5, 2**0.5, gain), strict=True)
        return [(orthogonal(g)(k, shape, jnp.float32), jnp.zeros(shape[1])) for k, shape, g in layers]

    def apply(layers: list[Any], x: jax.Array) -> jax.Array:
        for w, b in layers[:-1]:
            x = jnp.tanh(x @ w + b)
        return x @ layers[-1][0] + layers[-1][1]

    def right(p: Any, seen: jax.Array) -> jax.Array:
        """The logarithm of the odds of a push to the right."""
        logits = apply(p["actor"], seen)
        return logits[..., 1] - logits[..., 0]

    def loss(p: Any, seen: jax.Array, actions: jax.Array, returns: jax.Array) -> jax.Array:
        values = apply(p["critic"], seen)[..., 0]
        chosen = jax.nn.log_sigmoid(jnp.where(actions == 1, 1.0, -1.0) * right(p, seen))
        advantage = jax.lax.stop_gradient(returns - values)
        return -jnp.mean(chosen * advantage) + 0.5 * jnp.mean((returns - values) ** 2)

    def score(p: Any, draws: jax.Array) -> jax.Array:
        def step(carry: Any, _: None) -> Any:
            poles, alive = carry
            poles, fell = jax.vmap(push)(poles, (right(p, poles.x) > 0).astype(jnp.int32))
            return (poles, alive & ~fell), alive & ~fell

        _, alive = jax.lax.scan(step, (jax.vmap(begun)(draws), jnp.ones(20, bool)), None, 500)
        return jnp.minimum(alive.sum(0) + 1, 500).mean()

    def run(eps: jax.Array, key: jax.Array) -> jax.Array:
        tx = optax.chain(optax.clip_by_global_norm(0.5), dialects.pytorch(7e-4, alpha=0.99, eps=eps))
        keys = jax.random.split(key, 4)
        p = {"actor": network(keys[0], 2, 0.01), "critic": network(keys[1], 1, 1.0)}
        poles = jax.vmap(begun)(jax.random.uniform(keys[2], (8, 4), jnp.float32))

        def move(poles: Pole, draws: jax.Array, p: Any) -> Any:
            action = (draws[:, 0] < jax.nn.sigmoid(right(p, poles.x))).astype(jnp.int32)
            new, fell = jax.vmap(push)(poles, action)
            late = (new.steps >= 500) & ~fell
            # An episode that ends by its length is no failure: its last value counts.
            reward = 1.0 + 0.99 * jnp.where(late, apply(p["critic"], new.x)[..., 0], 0.0)
            over = fell | late
            again = jax.vmap(begun)(draws[:, 1:])
            new = Pole(jnp.where(over[:, None], again.x, new.x), jnp.where(over, 0, new.steps))
            return new, (poles.x, action, reward, over)

        def update(carry: Any, draws: jax.Array) -> Any:
            p, state, poles = carry
            poles, rows = jax.lax.scan(lambda poles, d: move(poles, d, p), poles, draws, unroll=True)
            seen, actions, rewards, over = rows
            value, returns = apply(p["critic"], poles.x)[..., 0], []
            for t in reversed(range(5)):
                value = rewards[t] + 0.99 * jnp.where(over[t], 0.0, value)
                returns.insert(0, value)
            u, state = tx.update(jax.grad(loss)(p, seen, actions, jnp.stack(returns)), state, p)
            return (optax.apply_updates(p, u), state, poles), None

        def period(carry: Any, key: jax.Array) -> Any:
            play, test = jax.random.split(key)
            carry, _ = jax.lax.scan(update, carry, jax.random.uniform(play, (updates // tests, 5, 8, 5), jnp.float32))
            return carry, score(carry[0], jax.random.uniform(test, (20, 4), jnp.float32))

        return jax.lax.scan(period, (p, tx.init(p), poles), jax.random.split(keys[3], tests))[1]

    keys = jax.random.split(jax.random.key(11), seeds)
    over = jax.vmap(jax.vmap(run, (None, 0)), (0, None))
    scores = np.asarray(jax.jit(over)(jnp.asarray(list(EPSILONS.values()), jnp.float32), keys))
    return {
        "steps": 40 * (updates // tests) * np.arange(1, tests + 1),
        "score": dict(zip(EPSILONS, scores, strict=True)),
    }
