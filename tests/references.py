"""The float64 truth: each framework's RMSprop in NumPy, in the framework's own order of operations.

Every function is a generator. It takes `params` (name to array), `gradients` (one such dict a step) and the learning
rates (one number a step), and yields `(params, slots)` after every step, as copies. `slots` has `"mean_square"`,
`"mean"` and `"momentum"`, each a dict of arrays, or None where the framework keeps no such buffer. Names and defaults
of options are the framework's. The package's own recurrences stand nowhere here: sharing them would hide a mistake.
"""

import json
from pathlib import Path

import numpy as np


def _full(params, value=0.0):
    return {name: np.full_like(p, value) for name, p in params.items()}


def _copy(arrays):
    return {name: a.copy() for name, a in arrays.items()}


def _result(params, mean_square, mean=None, momentum=None):
    slots = {"mean_square": mean_square, "mean": mean, "momentum": momentum}
    return _copy(params), {name: None if slot is None else _copy(slot) for name, slot in slots.items()}


def hinton(params, gradients, learning_rate, *, decay=0.9):
    """Hinton, Srivastava, Swersky: Neural Networks for Machine Learning, lecture 6.5 (2012), slides 26 to 31.

    The lecture has no epsilon. 0/0 is 0 here: a weight that never saw a gradient stays.
    """
    params, mean_square = _copy(params), _full(params)
    for grads, lr in zip(gradients, learning_rate, strict=True):
        for name, g in grads.items():
            mean_square[name] = decay * mean_square[name] + (1 - decay) * g**2
            root = np.sqrt(mean_square[name])
            params[name] = params[name] - lr * np.divide(g, root, out=np.zeros_like(g), where=root > 0)
        yield _result(params, mean_square)


def graves(params, gradients, learning_rate, *, decay=0.95, momentum=0.9, eps=1e-4):
    """Graves: Generating sequences with recurrent neural networks, arXiv 1308.0850 (2013), equations 38 to 45."""
    params, n, mean, delta = _copy(params), _full(params), _full(params), _full(params)
    for grads, lr in zip(gradients, learning_rate, strict=True):
        for name, g in grads.items():
            n[name] = decay * n[name] + (1 - decay) * g**2
            mean[name] = decay * mean[name] + (1 - decay) * g
            delta[name] = momentum * delta[name] - lr * g / np.sqrt(n[name] - mean[name] ** 2 + eps)
            params[name] = params[name] + delta[name]
        yield _result(params, n, mean, {name: -d for name, d in delta.items()})


def optax(
    params,
    gradients,
    learning_rate,
    *,
    decay=0.9,
    eps=1e-8,
    initial_scale=0.0,
    eps_in_sqrt=True,
    centered=False,
    momentum=None,
    nesterov=False,
    bias_correction=False,
):
    """optax/_src/alias.py `rmsprop`, optax/_src/transform.py `scale_by_rms` and `scale_by_stddev`, optax 0.2.8.

    The trace holds the negative step, as in optax. One departure: at the first step of `centered` with
    `bias_correction` the variance of the single gradient is exactly 0, where optax divides by its rounding error.
    """
    params, nu, trace = _copy(params), _full(params, initial_scale), _full(params)
    mu = _full(params)
    for t, (grads, lr) in enumerate(zip(gradients, learning_rate, strict=True), start=1):
        for name, g in grads.items():
            nu[name] = (1 - decay) * (g * np.conj(g)) + decay * nu[name]
            mu[name] = (1 - decay) * g + decay * mu[name]
            correction = 1 - decay**t if bias_correction else 1.0
            second, first = nu[name].real / correction, mu[name] / correction
            if centered:
                second = second - (first * np.conj(first)).real
                second = np.zeros_like(second) if bias_correction and t == 1 else second
            scaling = 1 / np.sqrt(second + eps) if eps_in_sqrt else 1 / (np.sqrt(second) + eps)
            update = -lr * (scaling * g)
            if momentum is not None:
                trace[name] = update + momentum * trace[name]
                update = update + momentum * trace[name] if nesterov else trace[name]
            params[name] = params[name] + update
        yield _result(params, nu, mu if centered else None, None if momentum is None else trace)


def pytorch(params, gradients, lr, *, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False, maximize=False):
    """torch/optim/rmsprop.py `_single_tensor_rmsprop`, PyTorch 2.13.0.

    A complex array is viewed as pairs of real numbers; `view(float)` leaves a real one as it is.
    """
    params, square_avg, grad_avg, momentum_buffer = _copy(params), _full(params), _full(params), _full(params)
    for grads, lr_t in zip(gradients, lr, strict=True):
        for name, grad in grads.items():
            grad = -grad if maximize else grad
            grad = (grad + weight_decay * params[name]).view(float)
            param, v = params[name].view(float), square_avg[name].view(float)
            m, buf = grad_avg[name].view(float), momentum_buffer[name].view(float)
            v[...] = alpha * v + (1 - alpha) * grad * grad
            if centered:
                m[...] = m + (1 - alpha) * (grad - m)
                avg = np.sqrt(v - m * m) + eps
            else:
                avg = np.sqrt(v) + eps
            if momentum > 0:
                buf[...] = momentum * buf + grad / avg
                param[...] = param - lr_t * buf
            else:
                param[...] = param - lr_t * grad / avg
        yield _result(params, square_avg, grad_avg if centered else None, momentum_buffer if momentum > 0 else None)


def keras(
    params,
    gradients,
    learning_rate,
    *,
    rho=0.9,
    momentum=0.0,
    epsilon=1e-7,
    centered=False,
    weight_decay=None,
    clipnorm=None,
    clipvalue=None,
    global_clipnorm=None,
    weight_decay_mask=None,
):
    """keras/src/optimizers/rmsprop.py `update_step` and base_optimizer.py `_backend_apply_gradients`, Keras 3.15.1.

    `weight_decay_mask` says by name what decays; Keras has `exclude_from_weight_decay` for the others.
    """
    decays = weight_decay_mask or dict.fromkeys(params, True)
    params, velocity, average_gradient, momentums = _copy(params), _full(params), _full(params), _full(params)
    for grads, lr in zip(gradients, learning_rate, strict=True):
        if clipnorm is not None:
            grads = {name: g * clipnorm / max(np.sqrt(np.sum(g**2)), clipnorm) for name, g in grads.items()}
        elif global_clipnorm is not None:
            norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
            grads = {name: g * global_clipnorm * min(1 / norm, 1 / global_clipnorm) for name, g in grads.items()}
        elif clipvalue is not None:
            grads = {name: np.clip(g, -clipvalue, clipvalue) for name, g in grads.items()}
        if weight_decay is not None:
            params = {name: p - p * weight_decay * lr * decays[name] for name, p in params.items()}
        for name, g in grads.items():
            velocity[name] = rho * velocity[name] + (1 - rho) * g**2
            denominator = velocity[name] + epsilon
            if centered:
                average_gradient[name] = rho * average_gradient[name] + (1 - rho) * g
                denominator = velocity[name] - average_gradient[name] ** 2 + epsilon
            increment = lr * g / np.sqrt(denominator)
            if momentum > 0:
                momentums[name] = momentum * momentums[name] + increment
                params[name] = params[name] - momentums[name]
            else:
                params[name] = params[name] - increment
        yield _result(params, velocity, average_gradient if centered else None, momentums if momentum > 0 else None)


def tf1(params, gradients, learning_rate, *, decay=0.9, momentum=0.0, epsilon=1e-10, centered=False):
    """tensorflow/core/kernels/training_ops.cc `ApplyRMSProp` and `ApplyCenteredRMSProp`, TensorFlow 2.21.0.

    tensorflow/python/training/rmsprop.py starts the mean square at one and always makes the momentum slot; without
    momentum it holds the last step.
    """
    params, ms, mg, mom = _copy(params), _full(params, 1.0), _full(params), _full(params)
    for grads, lr in zip(gradients, learning_rate, strict=True):
        for name, grad in grads.items():
            ms[name] = ms[name] + (grad**2 - ms[name]) * (1 - decay)
            denom = ms[name] + epsilon
            if centered:
                mg[name] = mg[name] + (grad - mg[name]) * (1 - decay)
                denom = (ms[name] - mg[name] ** 2) + epsilon
            mom[name] = mom[name] * momentum + (grad * lr) / np.sqrt(denom)
            params[name] = params[name] - mom[name]
        yield _result(params, ms, mg if centered else None, mom)


def timm(
    params,
    gradients,
    lr,
    *,
    alpha=0.9,
    eps=1e-10,
    weight_decay=0,
    momentum=0.0,
    centered=False,
    decoupled_decay=False,
    corrected_weight_decay=False,
    lr_in_momentum=True,
    caution=False,
    max_lr=None,
):
    """timm/optim/rmsprop_tf.py `_single_tensor_rmsprop_tf`, timm 1.0.31.

    `max_lr` is the rate the optimizer was constructed with, the first one unless given; only `corrected_weight_decay`
    reads it.
    """
    max_lr = lr[0] if max_lr is None else max_lr

    def cautious(m, g):
        mask = (m * g > 0).astype(float)
        return m * (mask / max(mask.mean(), 1e-3))

    params, square_avg, grad_avg, momentum_buffer = _copy(params), _full(params, 1.0), _full(params), _full(params)
    for grads, lr_t in zip(gradients, lr, strict=True):
        for name, grad in grads.items():
            if decoupled_decay:
                wd_scale = lr_t**2 / max_lr if corrected_weight_decay else lr_t
                params[name] = params[name] * (1 - wd_scale * weight_decay)
            else:
                grad = grad + weight_decay * params[name]
            square_avg[name] = square_avg[name] + (1 - alpha) * (grad**2 - square_avg[name])
            avg = np.sqrt(square_avg[name] + eps)
            if centered:
                grad_avg[name] = grad_avg[name] + (1 - alpha) * (grad - grad_avg[name])
                avg = np.sqrt(square_avg[name] - grad_avg[name] ** 2 + eps)
            if momentum > 0:
                step = lr_t * grad / avg if lr_in_momentum else grad / avg
                buf = momentum_buffer[name] = momentum * momentum_buffer[name] + step
                buf = cautious(buf, grad) if caution else buf
                params[name] = params[name] - (buf if lr_in_momentum else lr_t * buf)
            else:
                params[name] = params[name] - lr_t * grad / avg
        yield _result(params, square_avg, grad_avg if centered else None, momentum_buffer if momentum > 0 else None)


def stream(seed=0, steps=50, dtype=np.float64):
    """`(params, gradients, learning_rates)`: hard on an epsilon, on zeros, and on a learning rate in the wrong place.

    Gradients of an entry keep their scale, between 1e-6 and 1e2; a tenth are zero; `bias[0]` never has one and
    `bias[1]` none for five steps. The rates fall at every step. All numbers are exact in float32, so that float32 and
    float64 see the same ones. A complex `dtype` draws both parts independently.
    """
    rng = np.random.default_rng(seed)

    def leaf(shape):
        param = rng.uniform(1, 3, shape) * rng.choice([-1, 1], shape)
        scale = rng.permutation(np.geomspace(1e-6, 1e2, param.size)).reshape(shape)
        gradient = scale * rng.standard_normal((steps, *shape)) * (rng.random((steps, *shape)) > 0.1)
        return param, gradient

    params, gradients = {}, {}
    for name, shape in {"kernel": (3, 5), "bias": (12,)}.items():
        parts = [leaf(shape) for _ in range(2 if np.issubdtype(dtype, np.complexfloating) else 1)]
        units = [1, 1j][: len(parts)]
        narrow = np.complex64 if len(parts) == 2 else np.float32
        params[name] = sum(u * p for u, (p, _) in zip(units, parts, strict=True)).astype(narrow).astype(dtype)
        gradients[name] = sum(u * g for u, (_, g) in zip(units, parts, strict=True)).astype(narrow).astype(dtype)
    gradients["bias"][:, 0] = 0
    gradients["bias"][:5, 1] = 0
    cosine = (1 + np.cos(np.pi * np.arange(steps) / max(steps - 1, 1))) / 2
    rates = (1e-3 + 9e-3 * cosine).astype(np.float32).astype(float)
    return params, [{name: g[t] for name, g in gradients.items()} for t in range(steps)], rates


def recorded(framework):
    """The cases of `golden/<framework>.npz`: what the real framework did; `golden/record.py` wrote them.

    Yields one dict a case: `options`, `params`, `gradients` and `learning_rates` as `stream` returns them, `trace`
    (step to params, the first step being 1) and `slots` after the last step, as the functions above yield them.
    """
    with np.load(Path(__file__).parent / "golden" / f"{framework}.npz") as file:
        arrays = dict(file)
    names = ("kernel", "bias")
    for family, cases in json.loads(arrays["cases"].item()).items():

        def get(key, family=family):
            return {name: arrays[f"{family}/{key}/{name}"] for name in names}

        gradients, trace = get("gradients"), get("trace")
        for i, options in enumerate(cases):
            slots = {slot: {n: a[i] for n, a in get(slot).items()} for slot in ("mean_square", "mean", "momentum")}
            yield {
                "options": options,
                "params": get("params"),
                "gradients": [{n: g[t] for n, g in gradients.items()} for t in range(len(gradients["bias"]))],
                "learning_rates": arrays["learning_rates"],
                "trace": {int(s): {n: a[i, j] for n, a in trace.items()} for j, s in enumerate(arrays["steps"])},
                "slots": {k: None if np.isnan(v["bias"]).all() else v for k, v in slots.items()},
            }
