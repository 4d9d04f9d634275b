"""The argument of Hinton's lecture 6.5 for RMSprop, as experiments with numbers.

Each experiment is one function: its docstring states the claim, its arguments are the conditions of the claim, and it
returns plain arrays. ``notebooks/1_why_rmsprop.ipynb`` draws them; ``tests/claims/why_rmsprop.py`` asserts the
notebook's statements about them.

Source:
  Hinton, Srivastava, Swersky: Neural Networks for Machine Learning, lecture 6.5, "rmsprop: Divide the gradient by a
  running average of its recent magnitude", 2012, slides 26 to 31; the docstrings name a slide by its title. Adagrad is
  not in the lecture: Duchi, Hazan, Singer, JMLR 12 (2011).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import dialects, nesterov_eval_params, rmsprop, scale_by_gains, scale_by_rms
from rmsprop_optax.demo.data import Split, digits

Rate = float | jax.Array
Make = Callable[[Rate], optax.GradientTransformation]


def rprop(learning_rate: Rate, **options: Any) -> optax.GradientTransformation:
    """Return ``optax.rprop`` without its delay of one batch.

    Each weight has its own step size, from 1e-6 to 50 as in the lecture. The step size is multiplied by 1.2 while the
    gradient keeps its sign. When the sign changes, the step size is halved and the weight makes no step. optax 0.2.8
    returns the step of the batch before (github.com/google-deepmind/optax/pull/1725); its state holds the step of this
    batch.

    Args:
      learning_rate: the first step size of every weight.
      options: of ``optax.scale_by_rprop``.
    """
    inner = optax.scale_by_rprop(learning_rate, **options)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        _, state = inner.update(updates, state, params)
        return jax.tree.map(jnp.negative, state.prev_updates), state

    return optax.GradientTransformation(inner.init, update)


OPTIMIZERS: dict[str, Make] = {
    "SGD": optax.sgd,
    "rprop": rprop,
    # optax starts the sum at 0.1: Adagrad is SGD as long as the sum of squares is far below that.
    "Adagrad": functools.partial(optax.adagrad, initial_accumulator_value=0.0),
    "RMSprop": rmsprop,
}
"""The four optimizers of the comparison, as functions of the learning rate, which is the first step size of rprop."""

MOMENTUM = 0.9


def jump_divided(learning_rate: Rate, decay: Rate = 0.9) -> optax.GradientTransformation:
    r"""Return RMSprop with Nesterov's momentum whose root divides the jump, not the correction alone.

    .. math::
      b_t = momentum \cdot b_{t-1} + g_t, \qquad
      w_{t+1} = w_t - learning\_rate \cdot (momentum \cdot b_t + g_t) / \sqrt{nu_t}

    The weights are those after the jump, as in :func:`rmsprop_optax.dialects.hinton`. That dialect divides each
    gradient by the root at the gradient's own step; this optimizer divides the whole buffer by the newest root.

    Args:
      learning_rate: a number.
      decay: of the mean square.
    """
    squares = scale_by_rms(decay, eps=0.0)

    def init(params: Any) -> dict[str, Any]:
        return {"squares": squares.init(params), "trace": jax.tree.map(jnp.zeros_like, params)}

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, dict[str, Any]]:
        divided, mean_squares = squares.update(updates, state["squares"], params)
        trace = jax.tree.map(lambda b, g: MOMENTUM * b + g, state["trace"], updates)
        updates = jax.tree.map(
            lambda u, b, nu: -learning_rate * (u + MOMENTUM * _over_root(b, nu)), divided, trace, mean_squares.nu
        )
        return updates, {"squares": mean_squares, "trace": trace}

    return optax.GradientTransformation(init, update)


def _over_root(x: jax.Array, nu: jax.Array) -> jax.Array:
    return jnp.where(nu > 0, x / jnp.sqrt(jnp.where(nu > 0, nu, 1)), 0)


EXTENSIONS: dict[str, Make] = {
    "SGD, momentum": lambda rate: optax.sgd(rate, momentum=MOMENTUM),
    "RMSprop, momentum": lambda rate: dialects.hinton(rate, momentum=MOMENTUM),
    "Nesterov, correction divided": lambda rate: dialects.hinton(rate, momentum=MOMENTUM, nesterov=True),
    "Nesterov, jump divided": jump_divided,
    "RMSprop, gains": lambda rate: optax.chain(
        scale_by_rms(eps=0.0), scale_by_gains(), optax.scale_by_learning_rate(rate)
    ),
}
"""The lecture's further developments of RMSprop, and SGD with momentum, as functions of the learning rate."""

SUCCESSORS: dict[str, Make] = {"Adam": optax.adam}
"""Optimizers that grew out of RMSprop, as functions of the learning rate."""


def before_jump(name: str, rate: Rate, params: Any, state: Any) -> Any:
    """Return the weights before the last jump for the two Nesterov forms, and ``params`` for the other optimizers."""
    if name == "Nesterov, correction divided":
        return nesterov_eval_params(state, params, MOMENTUM)
    if name == "Nesterov, jump divided":
        back = jax.tree.map(_over_root, state["trace"], state["squares"].nu)
        return jax.tree.map(lambda p, u: p + rate * MOMENTUM * u, params, back)
    return params


CYCLE = (0.1,) * 9 + (-0.9,)
"""The lecture's ten mini-batch gradients of one weight: their sum is 0."""


def descend(
    tx: optax.GradientTransformation,
    gradient: Callable[[Any, Any], Any],
    params: Any,
    batches: Any,
    look: Callable[..., Any] = lambda params, gradient, update, state: params,
) -> Any:
    """Take one step of ``tx`` for each batch along ``gradient(params, batch)``; stack the results of ``look``."""

    def step(carry: tuple[Any, Any], batch: Any) -> tuple[tuple[Any, Any], Any]:
        params, state = carry
        g = gradient(params, batch)
        update, state = tx.update(g, state, params)
        params = optax.apply_updates(params, update)
        return (params, state), look(params, g, update, state)

    return jax.lax.scan(step, (params, tx.init(params)), batches)[1]


def steps_until(error: np.ndarray, target: float) -> np.ndarray:
    """Return the number of steps, along the last axis, until ``error`` stays below ``target``; infinity if never."""
    above = ~(np.asarray(error) < target)
    steps = above.shape[-1] - np.argmax(above[..., ::-1], axis=-1)
    return np.where(above[..., -1], np.inf, np.where(above.any(-1), steps, 0) + 1.0)


def _float32(x: Any) -> jax.Array:
    return jnp.asarray(x, jnp.float32)


def full_batch(*, turned: bool = False, weights: int = 20, steps: int = 6000, target: float = 0.01) -> dict[str, Any]:
    """Full-batch rprop is fast where gradients have very different magnitudes; gradient descent is slow there.

    Slide "rprop: Using only the sign of the gradient": the magnitude of the gradient can be very different for
    different weights, which makes it hard to choose a single global learning rate; for full-batch learning the sign
    will do.

    The problem is a linear regression of 500 rows without noise. The units of the features range from 1 to 0.03. Every
    weight starts between 0.5 and 2 from its optimum, on either side. Every optimizer gets the same 16 rates over five
    decades.

    Args:
      turned: rotate the coordinates at random, so that no weight has a scale of its own.
      weights: number of weights.
      steps: number of steps, each with the exact gradient.
      target: the distance from its optimum that every weight must reach.

    Returns:
      ``rates`` (16,); by optimizer, ``error`` (16, steps), the largest distance of a weight from its optimum, and
      ``needed`` (16,), the steps until the error stays below the target; ``gradient`` (weights,), the magnitudes of
      the first gradient; ``bound``, a lower bound of the steps of gradient descent at any rate. Gradient descent
      diverges above the rate 2 / (largest curvature). Below it, each step keeps more than 1 -
      2·(smallest curvature) / (largest curvature) of the error in the flattest direction.
    """
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, weights)) * np.logspace(0, -1.5, weights)
    optimum = rng.uniform(0.5, 2.0, weights) * rng.choice([-1.0, 1.0], weights)
    if turned:
        rotation = np.linalg.qr(rng.normal(size=(weights, weights)))[0]
        features, optimum = features @ rotation, rotation.T @ optimum
    hessian = features.T @ features / 500
    curvature, directions = np.linalg.eigh(hessian)
    # The part of the error along the flattest direction is at most sqrt(weights) times its largest entry.
    shrinkage = abs(directions[:, 0] @ optimum) / (np.sqrt(weights) * target)
    bound = np.log(shrinkage) / -np.log1p(-2 * curvature[0] / curvature[-1])
    first_gradient = np.abs(hessian @ optimum)
    h, best = _float32(hessian), _float32(optimum)
    rates = np.logspace(-4, 1, 16)

    def gradient(w: jax.Array, batch: Any) -> jax.Array:
        del batch
        return h @ (w - best)

    def error(w: jax.Array, *others: Any) -> jax.Array:
        del others
        return jnp.max(jnp.abs(w - best))

    def run(make: Make) -> np.ndarray:
        def one(rate: jax.Array) -> Any:
            return descend(make(rate), gradient, jnp.zeros_like(best), jnp.arange(steps), error)

        return np.asarray(jax.jit(jax.vmap(one))(_float32(rates)))

    errors = {name: run(make) for name, make in OPTIMIZERS.items()}
    return {
        "rates": rates,
        "error": errors,
        "needed": {name: steps_until(error, target) for name, error in errors.items()},
        "gradient": first_gradient,
        "bound": bound,
    }


def streams(count: int, shuffles: int) -> jax.Array:
    """Return rows of ``count`` times :data:`CYCLE`: the nine first, the one first, then ``shuffles`` random orders."""
    nine_first = np.tile(CYCLE, (1, count, 1))
    shuffled = np.random.default_rng(1).permuted(np.tile(CYCLE, (shuffles, count, 1)), axis=2)
    return _float32(np.concatenate([nine_first, nine_first[:, :, ::-1], shuffled]).reshape(-1, 10 * count))


def _own(w: Any, g: jax.Array) -> jax.Array:
    """Return ``g``: the gradient does not depend on the weight."""
    del w
    return g


def walk(*, count: int = 100, shuffles: int = 100, rate: float = 0.01) -> dict[str, Any]:
    """On mini-batches whose gradients sum to zero, rprop moves the weight away; RMSprop and SGD hardly move it.

    Slide "Why rprop does not work with mini-batches": a weight that gets nine gradients of +0.1 and one of -0.9
    should stay roughly where it is; rprop increments it nine times and decrements it once by about the same amount,
    if its step sizes adapt slowly.

    One weight gets ``count`` cycles of the ten gradients, wherever the weight is. "rprop, held" keeps its first step
    size, which is the lecture's argument; "rprop, bounded" adapts the step size, but not above the first; "rprop" is
    the complete algorithm. RMSprop has the same rate. The rate of SGD makes its root mean square step equal to that
    rate.

    Args:
      count: number of cycles.
      shuffles: number of random orders.
      rate: the first step size of rprop and the learning rate of RMSprop.

    Returns:
      ``walk``, by optimizer (2 + shuffles, 10·count): the position of the weight after each step, in units of
      ``rate``, for the rows of :func:`streams`. ``drift``, by optimizer (2 + shuffles,): the movement in a cycle, the
      mean over the second half. ``step_size`` (10·count,): the step size of rprop, nine first.
    """
    rms = float(np.sqrt(np.mean(np.square(CYCLE))))
    transformations = {
        "rprop": rprop(rate),
        "rprop, held": rprop(rate, eta_minus=1.0, eta_plus=1.0),
        "rprop, bounded": rprop(rate, max_step_size=rate),
        "RMSprop 0.9": rmsprop(rate, 0.9),
        "RMSprop 0.99": rmsprop(rate, 0.99),
        "RMSprop 0.99, corrected": rmsprop(rate, 0.99, bias_correction=True),
        "SGD": optax.sgd(rate / rms),
    }
    rows = streams(count, shuffles)

    @jax.jit
    @jax.vmap
    def run(gradients: jax.Array) -> dict[str, jax.Array]:
        return {name: descend(tx, _own, _float32(0.0), gradients) for name, tx in transformations.items()}

    def step_size(params: Any, gradient: Any, update: Any, state: Any) -> jax.Array:
        del params, gradient, update
        return optax.tree.get(state, "step_sizes")

    walks = {name: np.asarray(w) / np.float32(rate) for name, w in run(rows).items()}
    half = 10 * (count // 2)
    return {
        "walk": walks,
        "drift": {name: (w[:, -1] - w[:, half - 1]) / (count - count // 2) for name, w in walks.items()},
        "step_size": np.asarray(descend(transformations["rprop"], _own, _float32(0.0), rows[0], step_size)),
    }


def drift(decays: tuple[float, ...] = (0.0, 0.5, 0.7, 0.9, 0.95, 0.99, 0.995), *, count: int = 600) -> dict[str, Any]:
    r"""RMSprop also drifts over the lecture's ten gradients; a longer average drifts less.

    With decay 0 RMSprop *is* the sign of the gradient, and drifts 8 learning rates a cycle. With a long average the
    divisor is nearly constant. For a cycle of n gradients that sums to zero, the drift to first order in ``1 - decay``
    is

    .. math::
      drift / rate = -\frac{1 - decay}{2\, ms^{3/2}} \sum_t g_t \sum_{s \le t} (g_s^2 - ms), \qquad
      ms = \frac{1}{n} \sum_t g_t^2.

    Here this is ``20/3 · (1 - decay)`` for every position of the lone gradient in the cycle: the lone gradient is
    divided by a mean square that it has just raised.

    Args:
      decays: of RMSprop; epsilon is 0, and the mean square starts from that of the cycle.
      count: number of cycles; the drift is measured in the second half.

    Returns:
      ``decays`` (n,); ``drift`` (n, 3), the movement in a cycle, along the descent of the nine, in learning rates, for
      the three orders of :func:`streams`; ``theory`` (n,), the first order.
    """
    g = np.asarray(CYCLE)
    ms = float(np.mean(g**2))
    slope = -np.sum(g * np.cumsum(g**2 - ms)) / (2 * ms**1.5)
    half = 10 * (count // 2)

    def one(decay: jax.Array, gradients: jax.Array) -> jax.Array:
        tx = rmsprop(1.0, decay, eps=0.0, initial_scale=ms)
        w = descend(tx, _own, _float32(0.0), gradients)
        return (w[half - 1] - w[-1]) / (count - count // 2)

    rows = streams(count, 1)
    drifts = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(_float32(decays), rows)
    return {"decays": np.asarray(decays), "drift": np.asarray(drifts), "theory": slope * (1 - np.asarray(decays))}


def parts() -> dict[str, Split]:
    """Return the digits as rows of 64 pixels in [0, 1]: "train" (1010), "validation" (337) and "test" (450)."""
    splits = digits((0.25, 0.25), standardise=False)
    rows = (Split(images.reshape(-1, 64), labels) for images, labels in splits)
    return dict(zip(("train", "validation", "test"), rows, strict=True))


def _batches(rng: np.random.Generator, rows: int, size: int, epochs: int) -> np.ndarray:
    """Return the indices of the rows of every mini-batch: a new order in each epoch, without an incomplete batch."""
    orders = rng.permuted(np.tile(np.arange(rows, dtype=np.int32), (epochs, 1)), axis=1)
    return orders[:, : rows // size * size].reshape(-1, size)


def mini_batch_gradients(*, batch: int = 32, epochs: int = 40, steps: int = 100) -> np.ndarray:
    """Return gradients of a softmax regression on mini-batches of digits, at constant weights.

    Args:
      batch: number of images in a mini-batch.
      epochs: number of passes over the images.
      steps: of full-batch gradient descent at rate 1 from zero, which lead to the constant weights.

    Returns:
      (mini-batches, weights), for the weights whose gradient is never 0. Pixels that are mostly blank are left out.
    """
    images, labels = parts()["train"]

    def loss(w: jax.Array, rows: jax.Array) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(images[rows] @ w, labels[rows]).mean()

    gradient = jax.grad(loss)
    everything = jnp.broadcast_to(jnp.arange(len(images)), (steps, len(images)))
    zeros = jnp.zeros((images.shape[1], 10), jnp.float32)
    w = descend(optax.sgd(1.0), gradient, zeros, everything)[-1]
    rows = _batches(np.random.default_rng(2), len(images), batch, epochs)
    gradients = np.asarray(jax.jit(jax.vmap(lambda r: gradient(w, r).reshape(-1)))(rows))
    return gradients[:, (gradients != 0).all(0)]


def divisors(gradients: np.ndarray, decays: tuple[float, ...] = (0.9, 0.99)) -> dict[str, np.ndarray]:
    """RMSprop divides successive mini-batches by nearly the same number.

    Slide "rmsprop: A mini-batch version of rprop": rprop is equivalent to using the gradient but also dividing by its
    size; the trouble is that it divides by a different number for each mini-batch; so force the number to be very
    similar for adjacent mini-batches.

    In one step the root of the mean square falls to ``sqrt(decay)`` of itself at most. It falls whenever the gradient
    is smaller than the root. Its rise has no such bound.

    Args:
      gradients: (mini-batches, weights), none of them 0.
      decays: of RMSprop; epsilon is 0.

    Returns:
      By divisor, "|g|" and "RMSprop" with its decay, (mini-batches, weights): the divisor of each gradient.
    """

    def roots(decay: float) -> np.ndarray:
        def look(params: Any, gradient: Any, update: Any, state: Any) -> jax.Array:
            del params, gradient, update
            return jnp.sqrt(optax.tree.get(state, "nu"))

        tx = scale_by_rms(decay, eps=0.0)
        return np.asarray(descend(tx, _own, jnp.zeros_like(gradients[0]), jnp.asarray(gradients), look))

    return {"|g|": np.abs(gradients)} | {f"RMSprop {decay}": roots(decay) for decay in decays}


def changing(scales: tuple[float, ...] = (1.0, 0.1, 0.01), *, steps: int = 1000, seeds: int = 16) -> dict[str, Any]:
    """When the objective changes, the effective learning rate of Adagrad stays low; that of RMSprop recovers.

    Adagrad divides by the root of the sum of all squares since the start; the mean square forgets.

    One weight has the mini-batch losses ``scale/2·(w − optimum − noise)²``, with normal noise of standard deviation
    0.1. After half of the steps the optimum jumps from 1 to 0 and ``scale`` from 1 to one of ``scales``, as if the loss
    had new units. All four optimizers get the same 19 rates over six decades.

    Args:
      scales: of the loss after the jump.
      steps: before the jump, and again after it.
      seeds: number of noise sequences, the same for all optimizers.

    Returns:
      ``scales`` (n,) and ``rates`` (19,); by optimizer, ``error`` (n, 19, 2·steps), the distance of the weight from the
      optimum, the mean over seeds, and ``effective`` (n, 19, seeds, 2·steps), the factor between gradient and step;
      ``blind``, by optimizer: the index of the rate with the least error before the jump, a choice without knowledge of
      the jump; ``hindsight``, by optimizer (n,): the index of the rate with the least error over all steps.
    """
    rates = np.logspace(-4, 2, 19)
    noise = _float32(np.random.default_rng(3).normal(scale=0.1, size=(seeds, 2 * steps)))
    before = jnp.arange(2 * steps) < steps
    optimum = jnp.where(before, _float32(1.0), _float32(0.0))

    def gradient(w: jax.Array, batch: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        noise, optimum, scale = batch
        return scale * (w - optimum - noise)

    def look(w: jax.Array, g: jax.Array, update: jax.Array, state: Any) -> tuple[jax.Array, jax.Array]:
        del state
        return w, -update / g

    def run(make: Make) -> tuple[np.ndarray, np.ndarray]:
        def one(scale: jax.Array, rate: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
            scale = jnp.where(before, _float32(1.0), scale)
            w, effective = descend(make(rate), gradient, _float32(0.0), (noise, optimum, scale), look)
            return jnp.abs(w - optimum), effective

        over = jax.vmap(jax.vmap(jax.vmap(one, (None, None, 0)), (None, 0, None)), (0, None, None))
        error, effective = jax.jit(over)(_float32(scales), _float32(rates), noise)
        return np.asarray(error.mean(2), np.float64), np.asarray(effective)

    results = {name: run(make) for name, make in OPTIMIZERS.items()}
    errors = {name: error for name, (error, _) in results.items()}
    return {
        "scales": np.asarray(scales),
        "rates": rates,
        "error": errors,
        "effective": {name: effective for name, (_, effective) in results.items()},
        "blind": {name: int(np.nanargmin(error[0, :, :steps].mean(-1))) for name, error in errors.items()},
        "hindsight": {name: np.nanargmin(error.mean(-1), axis=-1) for name, error in errors.items()},
    }


def valley(*, steps: int = 1000, target: float = 1e-3, curvature: float = 100.0, angle: float = 30.0) -> dict[str, Any]:
    """In a long valley, compare the effect of momentum on RMSprop and on gradient descent, and the effect of gains.

    Slide "Further developments of rmsprop": combined with standard momentum it does not help as much as momentum
    normally does; with Nesterov momentum it works best if the root divides the correction rather than the jump; an
    adaptive learning rate for each connection needs more investigation.

    The loss is ``½ (u² + curvature·v²)`` with the coordinates u along the valley and v across it. The valley is
    rotated, so that no weight has a scale of its own. The start is at u = 3, v = 0.6. Every optimizer gets the same 25
    rates over six decades.

    Args:
      steps: number of steps, each with the exact gradient.
      target: the share of the first loss that the loss must reach and stay below.
      curvature: across the valley; the curvature along it is 1.
      angle: between the valley and the axis of the first weight, in degrees.

    Returns:
      ``rates`` (25,); by optimizer, ``needed`` (25,), the steps until the loss stays below the target, ``best``, the
      index of the rate that needs the fewest steps, and ``path`` (steps + 1, 2), the weights with that rate, before the
      jump for Nesterov's forms; ``hessian`` (2, 2), of the loss, whose optimum is 0.
    """
    turn = np.deg2rad(angle)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    hessian = np.eye(2) + (curvature - 1) * np.outer(across, across)
    h, start = _float32(hessian), _float32(3 * along + 0.6 * across)
    rates = np.logspace(-5, 1, 25)

    def gradient(w: jax.Array, batch: Any) -> jax.Array:
        del batch
        return h @ w

    def run(name: str, make: Make) -> jax.Array:
        def one(rate: jax.Array) -> Any:
            def look(w: Any, g: Any, update: Any, state: Any) -> Any:
                del g, update
                return before_jump(name, rate, w, state)

            return descend(make(rate), gradient, start, jnp.arange(steps), look)

        return jax.vmap(one)(_float32(rates))

    names = {name: OPTIMIZERS[name] for name in ("SGD", "RMSprop")} | EXTENSIONS
    found = jax.jit(lambda: {name: run(name, make) for name, make in names.items()})()
    paths = {name: np.asarray(found[name], float) for name in names}
    first = np.asarray(start, float)
    losses = {name: np.einsum("rsi,ij,rsj->rs", path, hessian, path) for name, path in paths.items()}
    needed = {name: steps_until(loss, target * first @ hessian @ first) for name, loss in losses.items()}
    best = {name: int(needed[name].argmin()) for name in names}
    return {
        "rates": rates,
        "needed": needed,
        "best": best,
        "path": {name: np.concatenate([first[None], path[best[name]]]) for name, path in paths.items()},
        "hessian": hessian,
    }


def training(
    names: tuple[str, ...] = tuple(OPTIMIZERS),
    *,
    rates: tuple[float, ...] = tuple(np.logspace(-3, 1, 9)),
    seeds: int = 8,
    epochs: int = 20,
    batch: int = 32,
) -> dict[str, Any]:
    """Train a network with each optimizer on a real mini-batch problem, with the same budget for tuning.

    A network of 64-32-10 units with relu learns :func:`parts` from mini-batches. Every optimizer gets the same rates,
    half a decade apart by default, the same first weights and the same orders of the images.

    Args:
      names: of :data:`OPTIMIZERS`, :data:`EXTENSIONS` and :data:`SUCCESSORS`. For Nesterov's forms the weights before
        the jump are scored.
      rates: the grid.
      seeds: number of runs at each rate.
      epochs: number of passes over the images.
      batch: number of images in a mini-batch.

    Returns:
      ``rates`` (n,); by optimizer, ``validation`` and ``test`` (n, seeds), the accuracies after the last step, ``loss``
      (n, seeds, steps), the loss of each mini-batch before its step, and ``best``, the index of the rate with the
      highest mean validation accuracy; ``test_images``, their number.
    """
    data = parts()
    images, labels = data["train"]

    rng = np.random.default_rng(4)
    start = {
        "w1": _float32(rng.normal(scale=np.sqrt(2 / 64), size=(seeds, 64, 32))),
        "b1": jnp.zeros((seeds, 32), jnp.float32),
        "w2": _float32(rng.normal(scale=np.sqrt(2 / 32), size=(seeds, 32, 10))),
        "b2": jnp.zeros((seeds, 10), jnp.float32),
    }
    mini_batches = np.stack([_batches(rng, len(images), batch, epochs) for _ in range(seeds)])

    def logits(p: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        return jax.nn.relu(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]

    def loss(p: dict[str, jax.Array], rows: jax.Array) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(logits(p, images[rows]), labels[rows]).mean()

    def accuracy(p: dict[str, jax.Array], part: str) -> jax.Array:
        x, y = data[part]
        return jnp.mean((logits(p, x).argmax(-1) == y).astype(jnp.float32))

    def run(name: str) -> dict[str, np.ndarray]:
        def one(rate: jax.Array, p: dict[str, jax.Array], rows: jax.Array) -> dict[str, jax.Array]:
            tx = (OPTIMIZERS | EXTENSIONS | SUCCESSORS)[name](rate)

            def step(carry: tuple[Any, Any], rows: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
                p, state = carry
                value, g = jax.value_and_grad(loss)(p, rows)
                update, state = tx.update(g, state, p)
                return (optax.apply_updates(p, update), state), value

            (p, state), values = jax.lax.scan(step, (p, tx.init(p)), rows)
            p = before_jump(name, rate, p, state)
            return {"validation": accuracy(p, "validation"), "test": accuracy(p, "test"), "loss": values}

        over = jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))
        return jax.tree.map(np.asarray, jax.jit(over)(_float32(rates), start, mini_batches))

    results = {name: run(name) for name in names}
    columns = {key: {name: r[key] for name, r in results.items()} for key in ("validation", "test", "loss")}
    best = {name: int(np.argmax(r["validation"].mean(-1))) for name, r in results.items()}
    return {"rates": np.asarray(rates), **columns, "best": best, "test_images": len(data["test"].labels)}
