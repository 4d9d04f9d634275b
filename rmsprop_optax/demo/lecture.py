"""The argument of Hinton's lecture 6.5 for RMSprop, as experiments with numbers.

One function an experiment: each states the claim, takes what it depends on as arguments, and returns plain arrays.
``notebooks/1_why_rmsprop.ipynb`` draws them, ``tests/claims/why_rmsprop.py`` asserts what the notebook says about them.

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

from rmsprop_optax import nesterov_eval_params, rmsprop, scale_by_gains, scale_by_rms
from rmsprop_optax.dialects import hinton


def rprop(learning_rate: Any, **options: Any) -> optax.GradientTransformation:
    """``optax.rprop`` without its delay.

    A step size for each weight, multiplied by 1.2 while the gradient keeps its sign; when the sign changes it is
    halved, and that step left out. From 1e-6 to 50, as in the lecture. optax 0.2.8 returns the step that belonged to
    the batch before (github.com/google-deepmind/optax/pull/1725); the one that belongs to this batch is in its state.

    Args:
      learning_rate: the first step size of every weight.
      options: of ``optax.scale_by_rprop``.
    """
    inner = optax.scale_by_rprop(learning_rate, **options)

    def update(updates, state, params=None):
        _, state = inner.update(updates, state, params)
        return jax.tree.map(jnp.negative, state.prev_updates), state

    return optax.GradientTransformation(inner.init, update)


OPTIMIZERS: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "SGD": optax.sgd,
    "rprop": rprop,
    # optax starts the sum at 0.1, which makes SGD of Adagrad wherever the squares sum up to less than that.
    "Adagrad": functools.partial(optax.adagrad, initial_accumulator_value=0.0),
    "RMSprop": rmsprop,
}
"""The four that are compared, as functions of the learning rate, which is the first step size of rprop."""

MOMENTUM = 0.9


def jump_divided(learning_rate: Any, decay: Any = 0.9) -> optax.GradientTransformation:
    r"""RMSprop with Nesterov's momentum where the root divides the jump, and not the correction alone.

    .. math::
      b_t = momentum \cdot b_{t-1} + g_t, \qquad
      w_{t+1} = w_t - learning\_rate \cdot (momentum \cdot b_t + g_t) / \sqrt{nu_t}

    The weights are those after the jump, as in :func:`rmsprop_optax.dialects.hinton`, which divides each gradient by
    the root of its own time. Here what is left of an old gradient is divided by the root of today.

    Args:
      learning_rate: a number.
      decay: of the mean square.
    """
    squares = scale_by_rms(decay, eps_root=0.0)

    def init(params):
        return {"squares": squares.init(params), "trace": jax.tree.map(jnp.zeros_like, params)}

    def update(updates, state, params=None):
        divided, mean_squares = squares.update(updates, state["squares"], params)
        trace = jax.tree.map(lambda b, g: MOMENTUM * b + g, state["trace"], updates)
        updates = jax.tree.map(
            lambda u, b, nu: -learning_rate * (u + MOMENTUM * _over_root(b, nu)), divided, trace, mean_squares.nu
        )
        return updates, {"squares": mean_squares, "trace": trace}

    return optax.GradientTransformation(init, update)


def _over_root(x: jax.Array, nu: jax.Array) -> jax.Array:
    return jnp.where(nu > 0, x / jnp.sqrt(jnp.where(nu > 0, nu, 1)), 0)


EXTENSIONS: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "SGD, momentum": lambda rate: optax.sgd(rate, momentum=MOMENTUM),
    "momentum": lambda rate: hinton(rate, momentum=MOMENTUM),
    "Nesterov, correction divided": lambda rate: hinton(rate, momentum=MOMENTUM, nesterov=True),
    "Nesterov, jump divided": jump_divided,
    "gains": lambda rate: optax.chain(scale_by_rms(eps_root=0.0), scale_by_gains(), optax.scale_by_learning_rate(rate)),
}
"""The lecture's further developments of RMSprop, and what momentum does to SGD, as functions of the learning rate."""


def before_jump(name: str, rate: Any, params: Any, state: Any) -> Any:
    """The weights that an optimizer stands at: of Nesterov's two forms those before the last jump."""
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
    """Take one step of ``tx`` a batch, along ``gradient(params, batch)``, and stack what ``look`` sees after each."""

    def step(carry, batch):
        params, state = carry
        g = gradient(params, batch)
        update, state = tx.update(g, state, params)
        params = optax.apply_updates(params, update)
        return (params, state), look(params, g, update, state)

    return jax.lax.scan(step, (params, tx.init(params)), batches)[1]


def steps_until(error: np.ndarray, target: float) -> np.ndarray:
    """How many steps, along the last axis, until ``error`` stays below ``target``; infinite where it does not."""
    above = ~(np.asarray(error) < target)
    steps = above.shape[-1] - np.argmax(above[..., ::-1], axis=-1)
    return np.where(above[..., -1], np.inf, np.where(above.any(-1), steps, 0) + 1.0)


def _float32(x: Any) -> jax.Array:
    return jnp.asarray(x, jnp.float32)


def full_batch(*, turned: bool = False, weights: int = 20, steps: int = 6000, target: float = 0.01) -> dict[str, Any]:
    """Full-batch rprop is quick where gradients have very different magnitudes, and gradient descent is slow.

    Slide "rprop: Using only the sign of the gradient": the magnitude of the gradient can be very different for
    different weights, which makes it hard to choose a single global learning rate; for full-batch learning the sign
    will do.

    A linear regression of 500 rows without noise. The features are in units from 1 to 0.03; every weight starts between
    0.5 and 2 from its optimum, on either side. Every optimizer is tried with the same 16 rates over five decades.

    Args:
      turned: turn the coordinates at random, so that no weight has a scale of its own any more.
      weights: how many.
      steps: how many, each with the exact gradient.
      target: how near to its optimum every weight has to come.

    Returns:
      ``rates`` (16,); by optimizer, ``error`` (16, steps), the largest distance of a weight from its optimum, and
      ``needed`` (16,), the steps until it stays below the target; ``gradient`` (weights,), the magnitudes of the
      first gradient; ``bound``, the steps that gradient descent needs at least, whatever its rate: above the rate 2 /
      (largest curvature) it diverges, and below that the error in the flattest direction keeps more than 1 -
      2·(smallest curvature) / (largest curvature) of itself in every step.
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

    def gradient(w, batch):
        del batch
        return h @ (w - best)

    def error(w, *others):
        del others
        return jnp.max(jnp.abs(w - best))

    def run(make):
        def one(rate):
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
    """``count`` times the gradients of :data:`CYCLE`, in rows: nine first; one first; each time shuffled anew."""
    nine_first = np.tile(CYCLE, (1, count, 1))
    shuffled = np.random.default_rng(1).permuted(np.tile(CYCLE, (shuffles, count, 1)), axis=2)
    return _float32(np.concatenate([nine_first, nine_first[:, :, ::-1], shuffled]).reshape(-1, 10 * count))


def _own(w: Any, g: jax.Array) -> jax.Array:
    """A gradient that comes whatever the weight does."""
    del w
    return g


def walk(*, count: int = 100, shuffles: int = 100, rate: float = 0.01) -> dict[str, Any]:
    """On mini-batches, rprop walks away from where the gradients sum to zero; RMSprop and SGD stay about there.

    Slide "Why rprop does not work with mini-batches": a weight that gets nine gradients of +0.1 and one of -0.9
    should stay roughly where it is; rprop increments it nine times and decrements it once by about the same amount,
    if its step sizes adapt slowly.

    One weight, ``count`` cycles of the ten gradients, whatever the weight does. "rprop, held" keeps its first step
    size, which is the lecture's argument; "rprop, bounded" adapts it, but not above the first; "rprop" is the real
    one. RMSprop has the same rate, and SGD the one at which its root mean square step equals that.

    Args:
      count: how many cycles.
      shuffles: how many random orders.
      rate: the first step size, and the learning rate.

    Returns:
      ``walk``, by optimizer (2 + shuffles, 10·count): where the weight is after each step, in units of ``rate``; the
      rows are those of :func:`streams`. ``drift``, by optimizer (2 + shuffles,): the way made in a cycle, the mean
      over the second half. ``step_size`` (10·count,): rprop's, nine first.
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
    def run(gradients):
        return {name: descend(tx, _own, _float32(0.0), gradients) for name, tx in transformations.items()}

    def step_size(params, gradient, update, state):
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
    r"""RMSprop drifts over the lecture's ten gradients too, but by ever less as the average gets longer.

    With decay 0 RMSprop *is* the sign of the gradient, and drifts 8 learning rates a cycle. With a long average the
    divisor is nearly constant. To first order in ``1 - decay`` what is left is, for a cycle of n that sums to zero,

    .. math::
      drift / rate = -\frac{1 - decay}{2\, ms^{3/2}} \sum_t g_t \sum_{s \le t} (g_s^2 - ms), \qquad
      ms = \frac{1}{n} \sum_t g_t^2,

    which is ``20/3 · (1 - decay)`` here, wherever in the cycle the lone gradient is: it is divided by a mean square
    that it has just raised.

    Args:
      decays: of RMSprop; no epsilon, and the mean square starts from that of the cycle.
      count: how many cycles; the drift is taken from the second half.

    Returns:
      ``decays`` (n,); ``drift`` (n, 3), the way made in a cycle, along the descent of the nine, in learning rates, for
      the three orders of :func:`streams`; ``theory`` (n,), the first order.
    """
    g = np.asarray(CYCLE)
    ms = float(np.mean(g**2))
    slope = -np.sum(g * np.cumsum(g**2 - ms)) / (2 * ms**1.5)
    half = 10 * (count // 2)

    def one(decay, gradients):
        tx = rmsprop(1.0, decay, eps_root=0.0, initial_value=ms)
        w = descend(tx, _own, _float32(0.0), gradients)
        return (w[half - 1] - w[-1]) / (count - count // 2)

    rows = streams(count, 1)
    drifts = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(_float32(decays), rows)
    return {"decays": np.asarray(decays), "drift": np.asarray(drifts), "theory": slope * (1 - np.asarray(decays))}


def digits() -> dict[str, tuple[jax.Array, jax.Array]]:
    """scikit-learn's 1797 images of digits, 8 by 8, in [0, 1]: "train" (1010), "validation" (337) and "test" (450)."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    rest, test, rest_labels, test_labels = train_test_split(
        images, labels, test_size=0.25, random_state=0, stratify=labels
    )
    train, validation, train_labels, validation_labels = train_test_split(
        rest, rest_labels, test_size=0.25, random_state=0, stratify=rest_labels
    )
    return {
        "train": (jnp.asarray(train), jnp.asarray(train_labels)),
        "validation": (jnp.asarray(validation), jnp.asarray(validation_labels)),
        "test": (jnp.asarray(test), jnp.asarray(test_labels)),
    }


def _batches(rng: np.random.Generator, rows: int, size: int, epochs: int) -> np.ndarray:
    """Indices of the rows of every mini-batch: each epoch its own order, an incomplete batch left out."""
    orders = rng.permuted(np.tile(np.arange(rows, dtype=np.int32), (epochs, 1)), axis=1)
    return orders[:, : rows // size * size].reshape(-1, size)


def mini_batch_gradients(*, batch: int = 32, epochs: int = 40, steps: int = 100) -> np.ndarray:
    """Gradients of one softmax regression on mini-batches of digits, the weights held where training has brought them.

    Args:
      batch: how many images in a mini-batch.
      epochs: how often each image comes.
      steps: of full-batch gradient descent at rate 1, from zero, before the weights are held.

    Returns:
      (mini-batches, weights): of the weights whose gradient is never 0, which leaves out pixels that are mostly blank.
    """
    images, labels = digits()["train"]

    def loss(w, rows):
        return optax.softmax_cross_entropy_with_integer_labels(images[rows] @ w, labels[rows]).mean()

    gradient = jax.grad(loss)
    everything = jnp.broadcast_to(jnp.arange(len(images)), (steps, len(images)))
    zeros = jnp.zeros((images.shape[1], 10), jnp.float32)
    w = descend(optax.sgd(1.0), gradient, zeros, everything)[-1]
    rows = _batches(np.random.default_rng(2), len(images), batch, epochs)
    gradients = np.asarray(jax.jit(jax.vmap(lambda r: gradient(w, r).reshape(-1)))(rows))
    return gradients[:, (gradients != 0).all(0)]


def divisors(gradients: np.ndarray, decays: tuple[float, ...] = (0.9, 0.99)) -> dict[str, np.ndarray]:
    """What RMSprop changes: it divides successive mini-batches by nearly the same number.

    Slide "rmsprop: A mini-batch version of rprop": rprop is equivalent to using the gradient but also dividing by its
    size; the trouble is that it divides by a different number for each mini-batch; so force the number to be very
    similar for adjacent mini-batches.

    The root of the mean square falls to ``sqrt(decay)`` of itself in a step at most, and it falls whenever a gradient
    is below it. Its rise has no such bound.

    Args:
      gradients: (mini-batches, weights), none of them 0.
      decays: of RMSprop, no epsilon.

    Returns:
      By divisor, "|g|" and "RMSprop" with its decay, (mini-batches, weights): what each gradient is divided by.
    """

    def roots(decay):
        def look(params, gradient, update, state):
            del params, gradient, update
            return jnp.sqrt(optax.tree.get(state, "nu"))

        tx = scale_by_rms(decay, eps_root=0.0)
        return np.asarray(descend(tx, _own, jnp.zeros_like(gradients[0]), jnp.asarray(gradients), look))

    return {"|g|": np.abs(gradients)} | {f"RMSprop {decay}": roots(decay) for decay in decays}


def changing(scales: tuple[float, ...] = (1.0, 0.1, 0.01), *, steps: int = 1000, seeds: int = 16) -> dict[str, Any]:
    """Adagrad's effective learning rate only ever falls, so a changing objective leaves it behind; RMSprop's recovers.

    Adagrad divides by the root of the sum of all squares since the start; the mean square forgets.

    One weight on the mini-batch losses ``scale/2·(w − optimum − noise)²``, with normal noise of standard deviation 0.1.
    Half way the optimum jumps from 1 to 0 and ``scale`` from 1 to each of ``scales``, as if the loss were measured in
    other units from there on. All four optimizers are tried with the same 19 rates over six decades.

    Args:
      scales: of the loss after the jump.
      steps: before the jump, and again after it.
      seeds: of the noise, the same for all.

    Returns:
      ``scales`` (n,) and ``rates`` (19,); by optimizer, ``error`` (n, 19, 2·steps), the distance of the weight from the
      optimum, the mean over seeds, and ``effective`` (n, 19, seeds, 2·steps), what the gradient is multiplied by;
      ``blind``, by optimizer: the index of the rate with the least error before the jump, as nobody knows of it yet;
      ``hindsight``, by optimizer (n,): that with the least error over all steps.
    """
    rates = np.logspace(-4, 2, 19)
    noise = _float32(np.random.default_rng(3).normal(scale=0.1, size=(seeds, 2 * steps)))
    before = jnp.arange(2 * steps) < steps
    optimum = jnp.where(before, _float32(1.0), _float32(0.0))

    def gradient(w, batch):
        noise, optimum, scale = batch
        return scale * (w - optimum - noise)

    def look(w, g, update, state):
        del state
        return w, -update / g

    def run(make):
        def one(scale, rate, noise):
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
    """In a long valley, does momentum help RMSprop as it helps gradient descent? And a gain for each weight?

    Slide "Further developments of rmsprop": combined with standard momentum it does not help as much as momentum
    normally does; with Nesterov momentum it works best if the root divides the correction rather than the jump; an
    adaptive learning rate for each connection needs more investigation.

    The loss is ``½ (u² + curvature·v²)`` with u and v the coordinates along the valley and across it, which is turned,
    so that no weight has a scale of its own; the start is at u = 3, v = 0.6. Every optimizer is tried with the same 25
    rates over six decades.

    Args:
      steps: how many, each with the exact gradient.
      target: how small the loss has to become and stay, as a share of the first one.
      curvature: across the valley; along it is 1.
      angle: of the valley with the axis of the first weight, in degrees.

    Returns:
      ``rates`` (25,); by optimizer, ``needed`` (25,), the steps until the loss stays below the target, ``best``, the
      index of the rate with which that is soonest, and ``path`` (steps + 1, 2), the way of the weights with it, those
      before the jump; ``hessian`` (2, 2), of the loss, whose optimum is 0.
    """
    turn = np.deg2rad(angle)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    hessian = np.eye(2) + (curvature - 1) * np.outer(across, across)
    h, start = _float32(hessian), _float32(3 * along + 0.6 * across)
    rates = np.logspace(-5, 1, 25)

    def gradient(w, batch):
        del batch
        return h @ w

    def run(name, make):
        def one(rate):
            def look(w, g, update, state):
                del g, update
                return before_jump(name, rate, w, state)

            return descend(make(rate), gradient, start, jnp.arange(steps), look)

        return jax.vmap(one)(_float32(rates))

    names = {name: OPTIMIZERS[name] for name in ("SGD", "RMSprop")} | EXTENSIONS
    paths = jax.jit(lambda: {name: run(name, make) for name, make in names.items()})()
    paths = {name: np.asarray(path, float) for name, path in paths.items()}
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
    """All four on a real mini-batch problem, their learning rates tuned on the same budget.

    A network of 64-32-10 units with relu learns :func:`digits` from mini-batches. Every optimizer is tried with the
    same rates, half a decade apart by default, from the same first weights and with the same orders of the images.

    Args:
      names: which of :data:`OPTIMIZERS` and :data:`EXTENSIONS`; of Nesterov's the weights before the jump are scored.
      rates: the grid.
      seeds: how many runs of each rate.
      epochs: how often each image comes.
      batch: how many images in a mini-batch.

    Returns:
      ``rates`` (n,); by optimizer, ``validation`` and ``test`` (n, seeds), the accuracies after the last step, ``loss``
      (n, seeds, steps), that of each mini-batch before its step, and ``best``, the index of the rate with the highest
      mean validation accuracy; ``test_images``: how many.
    """
    data = digits()
    images, labels = data["train"]

    rng = np.random.default_rng(4)
    start = {
        "w1": _float32(rng.normal(scale=np.sqrt(2 / 64), size=(seeds, 64, 32))),
        "b1": jnp.zeros((seeds, 32), jnp.float32),
        "w2": _float32(rng.normal(scale=np.sqrt(2 / 32), size=(seeds, 32, 10))),
        "b2": jnp.zeros((seeds, 10), jnp.float32),
    }
    mini_batches = np.stack([_batches(rng, len(images), batch, epochs) for _ in range(seeds)])

    def logits(p, x):
        return jax.nn.relu(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]

    def loss(p, rows):
        return optax.softmax_cross_entropy_with_integer_labels(logits(p, images[rows]), labels[rows]).mean()

    def accuracy(p, part):
        x, y = data[part]
        return jnp.mean((logits(p, x).argmax(-1) == y).astype(jnp.float32))

    def run(name):
        def one(rate, p, rows):
            tx = (OPTIMIZERS | EXTENSIONS)[name](rate)

            def step(carry, rows):
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
    return {"rates": np.asarray(rates), **columns, "best": best, "test_images": len(data["test"][1])}
