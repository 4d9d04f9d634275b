"""The float64 truth: each framework's RMSprop in NumPy, in the framework's own order of operations.

Every function is a generator, most by way of `rule`. It takes `params` (name to array), `gradients` (one such dict a
step) and the learning rates (one number a step), and yields `(params, slots)` after every step, as copies. `slots` has
`"mean_square"`, `"mean"` and `"momentum"`, each a dict of arrays, or None where there is no such buffer. Names and
defaults of options are the framework's. The package's own recurrences stand nowhere here: sharing them would hide a
mistake.
"""

import functools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
SLOTS = ("mean_square", "mean", "momentum")


def _full(params, value=0.0):
    return {name: np.full_like(p, value) for name, p in params.items()}


def _copy(arrays):
    return {name: a.copy() for name, a in arrays.items()}


def _result(params, mean_square, mean=None, momentum=None):
    slots = dict(zip(SLOTS, (mean_square, mean, momentum), strict=True))
    return _copy(params), {name: None if slot is None else _copy(slot) for name, slot in slots.items()}


def rule(v=0.0, clip=None):
    """A rule for one array, `step(p, g, lr, s, **options) -> new p`, as a generator.

    `s` holds the slots, `s.v`, `s.m` and `s.b` (mean square, mean, momentum), `s.t`, the number of the step (first: 1),
    and `s.name`. `v` is what the mean square starts from, or a function of the options that says it; the others start
    from zero. A slot that a rule never sets is one that is not kept. `clip(grads, **options)` sees the gradients of all
    arrays first.
    """

    def wrap(step):
        @functools.wraps(step)
        def run(params, gradients, learning_rate, **options):
            start = v(**options) if callable(v) else v
            params, zeros = _copy(params), _full(params)
            slots = {n: SimpleNamespace(v=np.full_like(p, start), m=zeros[n], b=zeros[n]) for n, p in params.items()}
            for t, (grads, lr) in enumerate(zip(gradients, learning_rate, strict=True), start=1):
                grads = clip(grads, **options) if clip else grads
                for name, s in slots.items():
                    s.t, s.name = t, name
                    params[name] = step(params[name], grads[name], lr, s, **options)
                kept = {key: {n: getattr(s, key) for n, s in slots.items()} for key in "vmb"}
                unset = {key: all(kept[key][n] is zeros[n] for n in zeros) for key in "mb"}
                yield _result(params, kept["v"], *(None if unset[key] else kept[key] for key in "mb"))

        return run

    return wrap


@rule()
def hinton(p, g, lr, s, *, decay=0.9, momentum=None, nesterov=False):
    """Hinton, Srivastava, Swersky: Neural Networks for Machine Learning, lecture 6.5 (2012), slides 26 to 31.

    The lecture has no epsilon. 0/0 is 0 here: a weight that never saw a gradient stays. With `nesterov`, `p` is the
    point after the jump: the correction is made there, and the next jump from where it leads.
    """
    s.v = decay * s.v + (1 - decay) * g**2
    root = np.sqrt(s.v)
    correction = lr * np.divide(g, root, out=np.zeros_like(g), where=root > 0)
    if not momentum:
        return p - correction
    before_jump = p + momentum * s.b
    s.b = momentum * s.b + correction
    return before_jump - s.b - momentum * s.b if nesterov else p - s.b


@rule()
def graves(p, g, lr, s, *, decay=0.95, momentum=0.9, eps=1e-4):
    """Graves: Generating sequences with recurrent neural networks, arXiv 1308.0850 (2013), equations 38 to 45."""
    s.v = decay * s.v + (1 - decay) * g**2
    s.m = decay * s.m + (1 - decay) * g
    delta = momentum * -s.b - lr * g / np.sqrt(s.v - s.m**2 + eps)
    s.b = -delta
    return p + delta


@rule(v=lambda initial_scale=0.0, **_: initial_scale)
def optax(
    p,
    g,
    lr,
    s,
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
    s.v = (1 - decay) * (g * np.conj(g)) + decay * s.v
    correction = 1 - decay**s.t if bias_correction else 1.0
    second = s.v.real / correction
    if centered:
        s.m = (1 - decay) * g + decay * s.m
        first = s.m / correction
        second = second - (first * np.conj(first)).real
        second = np.zeros_like(second) if bias_correction and s.t == 1 else second
    scaling = 1 / np.sqrt(second + eps) if eps_in_sqrt else 1 / (np.sqrt(second) + eps)
    update = -lr * (scaling * g)
    if momentum is not None:
        s.b = update + momentum * s.b
        update = update + momentum * s.b if nesterov else s.b
    return p + update


@rule()
def pytorch(p, grad, lr, s, *, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False, maximize=False):
    """torch/optim/rmsprop.py `_single_tensor_rmsprop`, PyTorch 2.13.0.

    A complex array is viewed as pairs of real numbers; `view(float)` leaves a real one as it is.
    """
    grad = -grad if maximize else grad
    grad = (grad + weight_decay * p).view(float)
    v = alpha * s.v.view(float) + (1 - alpha) * grad * grad
    s.v = v.view(p.dtype)
    if centered:
        m = s.m.view(float) + (1 - alpha) * (grad - s.m.view(float))
        s.m = m.view(p.dtype)
        avg = np.sqrt(v - m * m) + eps
    else:
        avg = np.sqrt(v) + eps
    if momentum > 0:
        s.b = (momentum * s.b.view(float) + grad / avg).view(p.dtype)
        return p - lr * s.b
    return p - (lr * grad / avg).view(p.dtype)


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


@rule(v=1.0)
def tf1(p, g, lr, s, *, decay=0.9, momentum=0.0, epsilon=1e-10, centered=False):
    """tensorflow/core/kernels/training_ops.cc `ApplyRMSProp` and `ApplyCenteredRMSProp`, TensorFlow 2.21.0.

    tensorflow/python/training/rmsprop.py starts the mean square at one and always makes the momentum slot; without
    momentum it holds the last step.
    """
    s.v = s.v + (g**2 - s.v) * (1 - decay)
    denom = s.v + epsilon
    if centered:
        s.m = s.m + (g - s.m) * (1 - decay)
        denom = (s.v - s.m**2) + epsilon
    s.b = s.b * momentum + (g * lr) / np.sqrt(denom)
    return p - s.b


@rule(v=1.0)
def timm(
    p,
    grad,
    lr,
    s,
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

    `max_lr` is the rate the optimizer was constructed with; only `corrected_weight_decay` reads it.
    """
    if decoupled_decay:
        p = p * (1 - (lr**2 / max_lr if corrected_weight_decay else lr) * weight_decay)
    else:
        grad = grad + weight_decay * p
    s.v = s.v + (1 - alpha) * (grad**2 - s.v)
    avg = np.sqrt(s.v + eps)
    if centered:
        s.m = s.m + (1 - alpha) * (grad - s.m)
        avg = np.sqrt(s.v - s.m**2 + eps)
    if momentum == 0:
        return p - lr * grad / avg
    s.b = step = momentum * s.b + (lr * grad / avg if lr_in_momentum else grad / avg)
    if caution:
        mask = (s.b * grad > 0).astype(float)
        step = s.b * (mask / max(mask.mean(), 1e-3))
    return p - (step if lr_in_momentum else lr * step)


def _release(version):
    return tuple(map(int, version.split(".")))


def _global_norm(grads):
    return np.sqrt(sum(np.sum(g**2) for g in grads.values()))


def _keras2_clip(grads, *, clipnorm=None, clipvalue=None, **_):
    norm = _global_norm(grads)
    if clipnorm and norm >= clipnorm:
        grads = {name: g * clipnorm / norm for name, g in grads.items()}
    if clipvalue:
        grads = {name: np.clip(g, -clipvalue, clipvalue) for name, g in grads.items()}
    return grads


@rule(clip=_keras2_clip)
def keras2(p, g, lr, s, *, rho=0.9, epsilon=None, decay=0.0, clipnorm=None, clipvalue=None, version="2.3.1"):
    """keras/optimizers.py `RMSprop.get_updates` and `Optimizer.get_gradients`, Keras 0.1.0 to 2.3.1.

    Up to 1.0.2 epsilon is in the root. `clipnorm` bounds the norm of all gradients together, and comes before
    `clipvalue`. `decay` exists from 1.1.0 on, `clipvalue` from 0.2.0 on.
    """
    release = _release(version)
    if epsilon is None:
        epsilon = 1e-6 if release <= (1, 0, 2) else 1e-8 if release <= (2, 1, 2) else 1e-7
    lr = lr * (1 / (1 + decay * (s.t - 1)))
    s.v = rho * s.v + (1 - rho) * g**2
    return p - lr * g / (np.sqrt(s.v + epsilon) if release <= (1, 0, 2) else np.sqrt(s.v) + epsilon)


def _tf_keras_legacy_clip(grads, *, clipnorm=None, clipvalue=None, global_clipnorm=None, **_):
    if clipvalue is not None:
        grads = {name: np.clip(g, -clipvalue, clipvalue) for name, g in grads.items()}
    if clipnorm is not None:
        grads = {name: g * clipnorm / max(np.sqrt(np.sum(g * g)), clipnorm) for name, g in grads.items()}
    elif global_clipnorm is not None and _global_norm(grads) > 0:
        scale = global_clipnorm * min(1 / _global_norm(grads), 1 / global_clipnorm)
        grads = {name: g * scale for name, g in grads.items()}
    return grads


@rule(clip=_tf_keras_legacy_clip)
def tf_keras_legacy(
    p,
    g,
    lr,
    s,
    *,
    rho=0.9,
    momentum=0.0,
    epsilon=1e-7,
    centered=False,
    decay=0.0,
    clipnorm=None,
    clipvalue=None,
    global_clipnorm=None,
):
    """keras/optimizers/legacy: rmsprop.py `_resource_apply_dense`, optimizer_v2.py `_transform_gradients`, Keras 2.15.

    With momentum the kernels of TensorFlow 1 do the step, epsilon in the root; without, Python does, epsilon outside.
    An epsilon of 0 or None is 1e-7. `clipvalue` comes before the other clip, which may be either, not both.
    """
    epsilon = epsilon or 1e-7
    lr = lr / (1 + decay * (s.t - 1))
    if momentum > 0:
        s.v = s.v + (g**2 - s.v) * (1 - rho)
        denominator = s.v + epsilon
        if centered:
            s.m = s.m + (g - s.m) * (1 - rho)
            denominator = (s.v - s.m**2) + epsilon
        s.b = s.b * momentum + (g * lr) / np.sqrt(denominator)
        return p - s.b
    s.v = rho * s.v + (1 - rho) * g**2
    denominator = s.v
    if centered:
        s.m = rho * s.m + (1 - rho) * g
        denominator = s.v - s.m**2
    return p - lr * g / (np.sqrt(denominator) + epsilon)


@rule(v=1.0)
def sb3(p, g, lr, s, *, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False):
    """stable_baselines3/common/sb2_compat/rmsprop_tf_like.py `RMSpropTFLike.step`, Stable-Baselines3 2.8.0.

    The docstring's formula has eps outside the root; the code has it inside.
    """
    g = g + weight_decay * p
    s.v = alpha * s.v + (1 - alpha) * g * g
    avg = np.sqrt(s.v + eps)
    if centered:
        s.m = alpha * s.m + (1 - alpha) * g
        avg = np.sqrt(s.v - s.m * s.m + eps)
    if momentum > 0:
        s.b = momentum * s.b + g / avg
        return p - lr * s.b
    return p - lr * g / avg


@rule()
def pfrl(p, g, lr, s, *, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False):
    """pfrl/optimizers/rmsprop_eps_inside_sqrt.py `RMSpropEpsInsideSqrt.step`, PFRL 0.4.0 (c8cb332).

    The constructor is torch.optim.RMSprop's; `maximize` of a newer PyTorch would be taken and ignored.
    """
    g = g + weight_decay * p
    s.v = alpha * s.v + (1 - alpha) * g * g
    avg = np.sqrt(s.v + eps)
    if centered:
        s.m = alpha * s.m + (1 - alpha) * g
        avg = np.sqrt(s.v - s.m * s.m + eps)
    if momentum > 0:
        s.b = momentum * s.b + g / avg
        return p - lr * s.b
    return p - lr * g / avg


@rule(v=lambda initialMean=0, **_: initialMean)
def torch7(p, g, lr, s, *, alpha=0.99, epsilon=1e-8, weightDecay=0, initialMean=0):
    """rmsprop.lua `optim.rmsprop`, torch/optim a5ceed7 (rule of 0154acd, September 2016).

    `initialMean` is what the mean square starts from; the documentation says so of `epsilon`, wrongly.
    """
    g = g + weightDecay * p
    s.v = alpha * s.v + (1 - alpha) * g * g
    return p - lr * g / (np.sqrt(s.v) + epsilon)


@rule()
def dqn(p, g, lr, s, *, wc=0):
    """dqn/NeuralQLearner.lua `qLearnMinibatch`, DQN 3.0 (Mnih et al. 2015).

    Works with the ascending direction `dw`, the negative gradient, so that the mean kept is that of `-g`. The buffer
    `deltas` is multiplied by zero at every step.
    """
    dw = -g - wc * p
    s.m = 0.95 * s.m + 0.05 * dw
    s.v = 0.95 * s.v + 0.05 * (dw * dw)
    return p + lr * dw / np.sqrt(-(s.m * s.m) + s.v + 0.01)


@rule()
def chainer(p, g, lr, s, *, alpha=0.99, eps=1e-8, eps_inside_sqrt=False):
    """chainer/optimizers/rmsprop.py `RMSpropRule.update_core_cpu`, Chainer 7.8.1."""
    s.v = s.v * alpha + (1 - alpha) * g * g
    return p - lr * g / (np.sqrt(s.v + eps) if eps_inside_sqrt else np.sqrt(s.v) + eps)


@rule()
def chainer_graves(p, g, lr, s, *, alpha=0.95, momentum=0.9, eps=1e-4):
    """chainer/optimizers/rmsprop_graves.py `RMSpropGravesRule.update_core_cpu`, Chainer 7.8.1.

    The buffer `delta` is the negative step, added to the parameter.
    """
    s.v = s.v * alpha + (1 - alpha) * g * g
    s.m = s.m * alpha + (1 - alpha) * g
    delta = s.b * momentum - lr * g / np.sqrt(s.v - s.m * s.m + eps)
    if momentum:
        s.b = delta
    return p + delta


def _caffe_clip(grads, *, clip_gradients=None, **_):
    norm = _global_norm(grads)
    if clip_gradients is None or norm <= clip_gradients:
        return grads
    return {name: g * (clip_gradients / norm) for name, g in grads.items()}


@rule(clip=_caffe_clip)
def caffe(p, g, lr, s, *, rms_decay=0.99, delta=1e-8, weight_decay=0, regularization_type="L2", clip_gradients=None):
    """src/caffe/solvers/rmsprop_solver.cpp `ComputeUpdateValue`, sgd_solver.cpp `ApplyUpdate`, BVLC Caffe 9b89154.

    First the clip by the norm of all gradients together, then the regularisation, then the rule.
    """
    g = g + weight_decay * {"L2": p, "L1": np.sign(p)}[regularization_type]
    s.v = (1 - rms_decay) * g**2 + rms_decay * s.v
    return p - lr * (g / (np.sqrt(s.v) + delta))


@rule()
def caffe2(p, g, lr, s, *, decay=0.9, momentum=0.0, epsilon=1e-5):
    """caffe2/sgd/rmsprop_op.cc `rmsprop_update`, the operator RmsProp of Caffe2 (pytorch/pytorch 00bff7a).

    Its output is the step, here subtracted from the parameter. Its Python wrapper `RmsPropOptimizer` does otherwise:
    there the effective momentum is `momentum * lr`.
    """
    s.v = s.v + (1 - decay) * (g * g - s.v)
    step = s.b * momentum + lr * g / np.sqrt(epsilon + s.v)
    if momentum:
        s.b = step
    return p - step


@rule()
def mxnet(
    p,
    g,
    lr,
    s,
    *,
    gamma1=None,
    gamma2=0.9,
    epsilon=None,
    centered=None,
    clip_weights=None,
    wd=0.0,
    clip_gradient=None,
    version="1.9.1",
):
    """python/mxnet/optimizer and src/operator/optimizer_op-inl.h, `RMSProp` of MXNet 0.7 to 2.0.

    Before 0.9.5 it is python/mxnet/optimizer.py alone, always centered, epsilon fixed: 1e-4 in the root, from 0.9.2 on
    1e-8 outside. The buffer `delta` is the negative step, added to the parameter; only the centered rule has one.
    """
    release = _release(version)
    gamma1 = (0.95 if release < (0, 9, 5) else 0.9) if gamma1 is None else gamma1
    epsilon = (1e-4 if release < (0, 9, 2) else 1e-8) if epsilon is None else epsilon
    centered = release < (0, 9, 5) if centered is None else centered

    if (0, 9, 5) <= release < (2,):
        g = g + wd * p
    if clip_gradient:
        g = np.clip(g, -clip_gradient, clip_gradient)
    if release >= (2,):
        g = g + wd * p

    s.v = (1 - gamma1) * (g * g) + gamma1 * s.v
    variance = s.v
    if centered:
        s.m = (1 - gamma1) * g + gamma1 * s.m
        variance = s.v - s.m * s.m
    outside = (0, 9, 2) <= release < (0, 10) or (release >= (2,) and not centered)
    u = g / (np.sqrt(variance) + epsilon if outside else np.sqrt(variance + epsilon))
    if release < (0, 9, 5):
        u = u + wd * p

    delta = gamma2 * s.b - lr * u if centered else -lr * u
    if centered and gamma2:
        s.b = delta
    p = p + delta
    return np.clip(p, -clip_weights, clip_weights) if clip_weights else p


@rule(v=lambda initial_scale=0.0, **_: initial_scale)
def torchopt(
    p,
    g,
    lr,
    s,
    *,
    alpha=0.99,
    eps=1e-8,
    weight_decay=0.0,
    momentum=0.0,
    centered=False,
    initial_scale=0.0,
    nesterov=False,
    maximize=False,
):
    """torchopt/alias/rmsprop.py `rmsprop` and torchopt/transform, TorchOpt 0.7.3."""
    g = (-g if maximize else g) + weight_decay * p
    variance = s.v = alpha * s.v + (1 - alpha) * g * g
    if centered:
        s.m = alpha * s.m + (1 - alpha) * g
        variance = s.v - s.m * s.m
    u = g / (np.sqrt(variance) + eps)
    if momentum:
        s.b = momentum * s.b + u
        u = u + momentum * s.b if nesterov else s.b
    return p - lr * u


@rule()
def bitsandbytes(p, g, lr, s, *, alpha=0.99, eps=1e-8, weight_decay=0):
    """csrc/kernels.cu `kOptimizer32bit1State`, what `RMSprop32bit` runs, bitsandbytes 0.50.1.

    The kernel computes in float32. `momentum` is taken and ignored.
    """
    g = g + p * weight_decay
    s.v = s.v * alpha + (1 - alpha) * g * g
    return p - lr * (g / (np.sqrt(s.v) + eps))


@rule()
def candle_optimisers(p, g, lr, s, *, alpha=0.99, eps=1e-8, weight_decay=None, momentum=None, centered=False):
    """src/rmsprop.rs `inner_step`, candle-optimisers 0.6.0."""
    g = g if weight_decay is None else g + weight_decay * p
    variance = s.v = alpha * s.v + (1 - alpha) * g**2
    if centered:
        s.m = alpha * s.m + (1 - alpha) * g
        variance = s.v - s.m**2
    delta = g / (np.sqrt(variance) + eps)
    if momentum:
        delta = s.b = momentum * s.b + delta
    return p - lr * delta


@rule()
def jittor(p, g, lr, s, *, eps=1e-8, alpha=0.99):
    """python/jittor/optim.py `RMSprop.step`, Jittor 1.3.11.0 (06f5d3d)."""
    s.v = alpha * s.v + (1 - alpha) * g * g
    return p - lr * g / (np.sqrt(s.v) + eps)


@rule()
def oneflow(p, g, lr, s, *, alpha=0.99, eps=1e-8, weight_decay=0, centered=False):
    """oneflow/user/kernels/model_update_kernel_util.h `RmsPropUpdateFunctor`, OneFlow 25c8978 (August 2025).

    python/oneflow/nn/optimizer/rmsprop.py hands `weight_decay` to it as `l2`.
    """
    g = g + weight_decay * p
    variance = s.v = (1 - alpha) * g * g + alpha * s.v
    if centered:
        s.m = (1 - alpha) * g + alpha * s.m
        variance = s.v - s.m * s.m
    return p - lr * g * (1 / np.sqrt(variance + eps))


@rule()
def paddle(p, g, lr, s, *, rho=0.95, epsilon=1e-6, momentum=0.0, centered=False, weight_decay=None):
    """paddle/phi/kernels/impl/rmsprop_kernel_impl.h, python/paddle/optimizer/rmsprop.py, PaddlePaddle 3.3.1.

    A float `weight_decay` is `L2Decay`, added to the gradient. The documentation says Nesterov; the kernel has none.
    """
    g = g if weight_decay is None else g + weight_decay * p
    s.v = rho * s.v + (1 - rho) * g * g
    root = np.sqrt(s.v + epsilon)
    if centered:
        s.m = rho * s.m + (1 - rho) * g
        root = np.sqrt(s.v - s.m**2 + epsilon)
    step = momentum * s.b + lr * g / root
    s.b = step if momentum else s.b
    return p - step


@rule(v=1.0)
def mindspore(p, g, lr, s, *, decay=0.9, momentum=0.0, epsilon=1e-10, centered=False, weight_decay=0.0):
    """mindspore/nn/optim/rmsprop.py, rmsprop_cpu_kernel.cc `RMSPropCpuKernelMod`, MindSpore 2.10.0.

    Without parameter groups the weight decay passes by every parameter with "beta" or "gamma" in its name. On the CPU
    a centered entry stays, buffer and all, where the root would be of zero or less.
    """
    g = p * weight_decay + g if weight_decay > 0 else g
    s.v = s.v + (g * g - s.v) * (1 - decay)
    square = s.v + epsilon
    if centered:
        s.m = s.m + (g - s.m) * (1 - decay)
        square = (s.v - s.m * s.m) + epsilon
    moves = square > 0
    step = np.where(moves, s.b * momentum + g * lr / np.sqrt(np.where(moves, square, 1)), s.b)
    s.b = step if momentum else s.b
    return np.where(moves, p - step, p)


@rule()
def lasagne(p, g, lr, s, *, rho=0.9, epsilon=1e-6):
    """lasagne/updates.py `rmsprop`, Lasagne 0.2.dev1 (5d3c63c)."""
    s.v = rho * s.v + (1 - rho) * g**2
    return p - lr * g / np.sqrt(s.v + epsilon)


@rule()
def blocks(p, g, lr, s, *, decay_rate=0.9, max_scaling=1e5):
    """blocks/algorithms/__init__.py `BasicRMSProp` and then `Scale`, Blocks 0.2.0 (c69c2dc)."""
    s.v = decay_rate * s.v + (1 - decay_rate) * g**2
    return p - lr * (g / np.maximum(np.sqrt(s.v), 1 / max_scaling))


def _neon_scale(grads, *, gradient_clip_norm=None, **_):
    scale = 1.0
    if gradient_clip_norm:
        norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
        scale = gradient_clip_norm / max(norm, gradient_clip_norm)
    return {name: (g, scale) for name, g in grads.items()}


@rule(clip=_neon_scale)
def neon(
    p,
    g,
    lr,
    s,
    *,
    decay_rate=0.95,
    epsilon=1e-6,
    gradient_clip_norm=None,
    gradient_clip_value=None,
    param_clip_value=None,
):
    """neon/optimizers/optimizer.py `RMSProp`, neon 2.6.0 (8c3fb8a).

    The global norm is that of the gradients as they come, and scales the step only: the mean square never sees it.
    """
    g, scale = g
    if gradient_clip_value:
        g = np.clip(g, -abs(gradient_clip_value), abs(gradient_clip_value))
    s.v = decay_rate * s.v + g**2 * (1 - decay_rate)
    p = p - (scale * g * lr) / (np.sqrt(s.v + epsilon) + epsilon)
    return np.clip(p, -abs(param_clip_value), abs(param_clip_value)) if param_clip_value else p


@rule()
def sonnet(p, g, lr, s, *, decay=0.9, momentum=0.0, epsilon=1e-10, centered=False):
    """sonnet/src/optimizers/rmsprop.py `rmsprop_update`, Sonnet 2.0.2."""
    s.v = g**2 * (1 - decay) + s.v * decay
    denominator = s.v + epsilon
    if centered:
        s.m = g * (1 - decay) + s.m * decay
        denominator = s.v - s.m**2 + epsilon
    step = momentum * s.b + lr * g * (1 / np.sqrt(denominator))
    s.b = step if momentum else s.b
    return p - step


def _trax_clip(grads, *, clip_grad_norm=None, **_):
    if clip_grad_norm is None:
        return grads
    norm = np.sqrt(sum(np.vdot(g, g) for g in grads.values()))
    return grads if norm < clip_grad_norm else {name: g * (clip_grad_norm / norm) for name, g in grads.items()}


@rule(v=1.0, clip=_trax_clip)
def trax(p, g, lr, s, *, gamma=0.9, eps=1e-8, clip_grad_norm=None):
    """trax/optimizers/rms_prop.py and base.py `tree_update`, Trax 1.4.1 (7c189c2). The norm is global."""
    s.v = s.v * gamma + g**2 * (1 - gamma)
    return p - lr * g / (np.sqrt(s.v) + eps)


@rule()
def flax_optim(p, g, lr, s, *, beta2=0.9, eps=1e-8, centered=False):
    """flax/optim/rmsprop.py, Flax 0.5.3, the last with `flax.optim`."""
    s.v = beta2 * s.v + (1 - beta2) * g**2
    square = s.v
    if centered:
        s.m = beta2 * s.m + (1 - beta2) * g
        square = s.v - s.m**2
    return p - lr * g / (np.sqrt(square) + eps)


@rule()
def jax_example(p, g, lr, s, *, gamma=0.9, eps=1e-8):
    """jax/example_libraries/optimizers.py `rmsprop`, JAX 0.10.2."""
    s.v = s.v * gamma + g**2 * (1 - gamma)
    return p - lr * g / np.sqrt(s.v + eps)


@rule()
def jax_example_momentum(p, g, lr, s, *, gamma=0.9, eps=1e-8, momentum=0.9):
    """jax/example_libraries/optimizers.py `rmsprop_momentum`, JAX 0.10.2."""
    s.v = s.v * gamma + g**2 * (1 - gamma)
    step = momentum * s.b + lr * g / np.sqrt(s.v + eps)
    s.b = step if momentum else s.b
    return p - step


@rule()
def mlx(p, g, lr, s, *, alpha=0.99, eps=1e-8):
    """mlx/optimizers/optimizers.py `RMSprop`, MLX 0.32.4."""
    s.v = alpha * s.v + (1 - alpha) * g**2
    return p - lr * g / (np.sqrt(s.v) + eps)


@rule()
def optimisers_jl(p, g, lr, s, *, rho=0.9, epsilon=1e-8, centred=False):
    """src/rules.jl `RMSProp`, Optimisers.jl 0.4.8 (b3595f5). Where the variance is negative, Julia throws."""
    s.v = rho * s.v + (1 - rho) * abs(g) ** 2
    square = s.v
    if centred:
        s.m = rho * s.m + (1 - rho) * g
        square = s.v - abs(s.m) ** 2
    return p - g * lr / (np.sqrt(square) + epsilon)


@rule()
def knet(p, g, lr, s, *, gclip=0, rho=0.9, eps=1e-6):
    """src/train20/update.jl `gclip!` and `_update!`, Knet.jl 1.4.10 (0c3d855). The norm is of one array."""
    if gclip != 0:
        norm = np.sqrt(np.sum(g**2))
        g = g if norm <= gclip else gclip / norm * g
    s.v = s.v * rho + (1 - rho) * (g * g)
    return p - lr * (g / np.sqrt(s.v + eps))


@rule()
def ensmallen(p, g, lr, s, *, alpha=0.99, epsilon=1e-8):
    """include/ensmallen_bits/rmsprop/rmsprop_update.hpp `RMSPropUpdate`, ensmallen 3.11.1 (f65354c)."""
    s.v = s.v * alpha + (1 - alpha) * (g * g)
    return p - lr * g / (np.sqrt(s.v) + epsilon)


@rule(v=lambda epsilon=1e-8, **_: epsilon)
def dl4j(p, g, lr, s, *, rmsDecay=0.95, epsilon=1e-8, l2=0.0, weightDecay=0.0):
    """learning/RmsPropUpdater.java, libnd4j updaterRmsProp.cpp, nn/updater/UpdaterBlock.java, Deeplearning4j (1373917).

    The mean square starts at epsilon. `l2` goes into the gradient, `weightDecay` (times the rate: `applyLR`) past it.
    """
    g = g + l2 * p if l2 else g
    s.v = s.v * rmsDecay + g * g * (1 - rmsDecay)
    update = (lr * g) / (np.sqrt(s.v) + epsilon)
    update = update + lr * weightDecay * p if weightDecay else update
    return p - update


@rule()
def burn(p, g, lr, s, *, alpha=0.99, momentum=0.9, epsilon=1e-5, centered=False, weight_decay=None):
    """crates/burn-optim/src/optim/rmsprop.rs `RmsProp`, Burn 0.22.0-pre.2 (2c06be3)."""
    g = g if weight_decay is None else p * weight_decay + g
    s.v = s.v * alpha + g**2 * (1 - alpha)
    square = s.v
    if centered:
        s.m = s.m * alpha + g * (1 - alpha)
        square = s.v - s.m**2
    step = g / (np.sqrt(square) + epsilon)
    if momentum > 0:
        s.b = step = s.b * momentum + step
    return p - step * lr


@rule(v=1.0)
def dfdx(p, g, lr, s, *, alpha=0.9, eps=1e-8, momentum=None, centered=False, weight_decay=None, decoupled=False):
    """dfdx-core/src/tensor_ops/rmsprop/cpu_kernel.rs, dfdx/src/nn/optim/rmsprop.rs, dfdx 0.13.0 (4722a99).

    `weight_decay` and `decoupled` are upstream's `Option<WeightDecay>`, either `L2` or `Decoupled`.
    """
    if weight_decay is not None and not decoupled:
        g = g + weight_decay * p
    s.v = s.v + (1 - alpha) * (g * g - s.v)
    square = s.v + eps
    if centered:
        s.m = s.m + (1 - alpha) * (g - s.m)
        square = s.v - s.m**2 + eps
    step = g / np.sqrt(square)
    if momentum:
        s.b = step = s.b * momentum + step
    step = step * lr
    if weight_decay is not None and decoupled:
        step = step + (weight_decay * lr) * p
    return p - step


@rule()
def tiny_dnn(p, g, lr, s, *, mu=0.99, eps=1e-8):
    """tiny_dnn/optimizers/optimizer.h `RMSprop`, tiny-dnn after 1.0.0a3 (c0f576f). `eps` is private there."""
    s.v = mu * s.v + (1 - mu) * g * g
    return p - lr * g / np.sqrt(s.v + eps)


def _dynet_clip(grads, *, clip_threshold=5.0, **_):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
    if clip_threshold <= 0 or norm <= clip_threshold:
        return grads
    return {name: g * (clip_threshold / norm) for name, g in grads.items()}


@rule(clip=_dynet_clip)
def dynet(p, g, lr, s, *, eps=1e-20, rho=0.95, clip_threshold=5.0):
    """dynet/training.cc `RMSPropTrainer` and `Trainer::clip_gradients`, DyNet after 2.1.2 (22b4495), its C++ defaults.

    Every DyNet trainer clips the global norm unless `set_clip_threshold(0)`. Without its global weight decay.
    """
    s.v = s.v * rho + g**2 * (1 - rho)
    return p + lr * (-g / np.sqrt(s.v + eps))


@rule()
def tensorflowjs(p, g, lr, s, *, decay=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    """tfjs-core/src/optimizers/rmsprop_optimizer.ts `RMSPropOptimizer`, TensorFlow.js 4.22.0.

    `epsilon` is the backend's unless given, 1e-7 in float32. With `centered` it is subtracted. One departure: where
    that leaves nothing under the root there is no step, while TensorFlow.js turns NaN for good.
    """
    s.v = s.v * decay + g**2 * (1 - decay)
    square = s.v + epsilon
    if centered:
        s.m = s.m * decay + g * (1 - decay)
        square = s.v - (s.m**2 + epsilon)
    some = square > 0
    step = s.b * momentum + np.where(some, g * lr / np.sqrt(np.where(some, square, 1)), 0)
    s.b = step if momentum else s.b
    return p - step


@rule()
def fastai(p, g, lr, s, *, mom=0.0, sqr_mom=0.99, eps=1e-8, wd=0.0, decouple_wd=True):
    """fastai/optimizer.py `RMSProp`, `weight_decay`, `l2_reg`, `average_grad` and `rms_prop_step`, fastai 2.8.12."""
    if wd and decouple_wd:
        p = p * (1 - lr * wd)
    elif wd:
        g = g + wd * p
    if mom:
        s.b = s.b * mom + g
    s.v = s.v * sqr_mom + (1 - sqr_mom) * g * g
    return p - lr * (s.b if mom else g) / (np.sqrt(s.v) + eps)


@rule()
def heavyball(p, g, lr, s, *, beta2=0.99, eps=1e-6, weight_decay=0):
    """heavyball/utils.py `beta_debias`, `eps_sqrt` and `_compilable_update_`, HeavyBall 3.2.1."""
    beta = 1 - (1 - beta2) / (1 - beta2**s.t)
    s.v = s.v * beta + g * g * (1 - beta)
    return p * (1 - weight_decay * lr) - lr * (g / np.maximum(np.sqrt(s.v), eps))


@rule()
def pyro(p, g, lr, s, *, delta=1e-16, t=0.1):
    """pyro/optim/adagrad_rmsprop.py `AdagradRMSProp`, Pyro 1.9.2; with a delta of 0, stan/variational/advi.hpp."""
    s.v = g * g if s.t == 1 else (1.0 - t) * s.v + t * g * g
    return p - lr * s.t ** (-0.5 + delta) * g / (1.0 + np.sqrt(s.v))


@rule()
def flashlight(p, g, lr, s, *, rho=0.99, epsilon=1e-8, weightDecay=0, use_first=False):
    """flashlight/fl/optim/RMSPropOptimizer.cpp, Flashlight 15b2159."""
    p = p - weightDecay * p
    moments = s.v = rho * s.v + (1 - rho) * g * g
    if use_first:
        s.m = rho * s.m + (1 - rho) * g
        moments = moments - s.m * s.m
    return p - (lr * g) / (np.sqrt(moments) + epsilon)


@rule()
def brainjs(p, g, lr, s, *, decayRate=0.999, smoothEps=1e-8, regc=1e-6, clipval=5.0):
    """src/recurrent/rnn.ts `adjustWeights`, brain.js 088f118."""
    s.v = s.v * decayRate + (1 - decayRate) * g * g
    g = g if clipval is None else np.clip(g, -clipval, clipval)
    return p + (-lr * g) / np.sqrt(s.v + smoothEps) - (regc or 0) * p


@rule()
def dreamerv3(p, g, lr, s, *, agc=0.3, parameter_norm_min=1e-3, beta1=0.9, beta2=0.999, eps=1e-20):
    """torchrl/trainers/algorithms/dreamer_v3.py `DreamerV3Optimizer`, TorchRL 0.14.1, with `warmup_steps=0`."""
    if agc:
        most = max(np.linalg.norm(p), parameter_norm_min) * agc
        g = g * (most / max(np.linalg.norm(g), most))
    s.v = s.v * beta2 + (1 - beta2) * g * g
    normalized = g / (np.sqrt(s.v / (1 - beta2**s.t)) + eps)
    s.b = s.b * beta1 + (1 - beta1) * normalized
    return p - lr * (s.b / (1 - beta1**s.t))


def _levanter_clip(grads, *, max_grad_norm=1.0, **_):
    norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
    if max_grad_norm is None or norm < max_grad_norm:
        return grads
    return {name: g / norm * max_grad_norm for name, g in grads.items()}


@rule(clip=_levanter_clip)
def levanter(
    p,
    g,
    lr,
    s,
    *,
    beta1=0.9,
    beta2=0.99,
    eps=1e-30,
    max_grad_norm=1.0,
    weight_decay=0.1,
    weight_decay_mask=None,
):
    """src/levanter/optim/rmsprop.py `scale_by_rmsprop_momentum` and `build`, Levanter 9263f81."""
    s.v = beta2 * s.v + (1.0 - beta2) * g**2
    scaled = g / (np.sqrt(s.v / (1 - beta2**s.t)) + eps)
    s.b = beta1 * s.b + (1 - beta1) * scaled
    decays = weight_decay_mask is None or weight_decay_mask[s.name]
    return p - lr * (s.b / (1 - beta1**s.t) + (weight_decay or 0) * decays * p)


@rule()
def sparsecore(p, g, lr, s, *, b1=0.9, b2=0.95, eps=1e-30):
    """sparsecore/lib/nn/embedding_spec.py `get_decay_rate`, sparse_dense_matmul_grad_with_laprop.py, 0158202 (2026)."""
    decay = b2 * (1 - b2 ** (s.t - 1)) / (1 - b2**s.t)
    s.v = s.v * decay + (1 - decay) * (g * g + eps)
    s.b = b1 * s.b + (1 - b1**2) ** 0.5 * (g / np.sqrt(s.v))
    return p - lr * s.b


def climin(
    params,
    gradients,
    step_rate,
    *,
    decay=0.9,
    momentum=0.0,
    step_adapt=False,
    step_rate_min=0.0,
    step_rate_max=np.inf,
):
    """climin/rmsprop.py `RmsProp`, climin 0.1a1 (2215b1a), asked for gradients at the point after the jump.

    `params` is that point, here as in the package; climin itself keeps `params + momentum * step`. The gradients are
    those at the point, as they are given. The mean square starts at one; the step is to be subtracted.
    """
    theta, v = _copy(params), _full(params, 1.0)
    step, gain = _full(params), _full(params, 1.0)
    for grads, lr in zip(gradients, step_rate, strict=True):
        look = {}
        for name, g in grads.items():
            jump = step[name] * momentum
            theta[name] = theta[name] - jump
            v[name] = decay * v[name] + (1 - decay) * g**2
            correction = lr * gain[name] * g / np.sqrt(v[name] + 1e-8)
            theta[name] = theta[name] - correction
            before, step[name] = step[name], jump + correction
            if step_adapt:
                agree = ((step[name] > 0) == (before > 0)).astype(float)
                rate = lr * gain[name] * (1 + agree * step_adapt * 2 - step_adapt)
                gain[name] = np.clip(rate, step_rate_min, step_rate_max) / lr
            look[name] = theta[name] - momentum * step[name]
        yield _result(look, v, None, step if momentum or step_adapt else None)


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
    """The cases of `golden/<framework>.npz`: what the real framework did on `stream`; `golden/record.py` wrote them.

    Yields one dict a case: `options`, `params`, `gradients` and `learning_rates` as `stream` returns them, `trace`
    (step to params, the first step being 1) and `slots` after the last step, as the functions above yield them. The
    dtype of the last two is the one that the framework computed in, float32 where it has nothing wider.
    """
    with np.load(GOLDEN / f"{framework}.npz") as file:
        arrays = dict(file)
    for family, cases in json.loads(arrays["cases"].item()).items():
        params, gradients, rates = stream(dtype=np.result_type(family, float))
        found = {what: {n: arrays[f"{family}/{what}/{n}"] for n in params} for what in ("trace", *SLOTS)}
        for i, options in enumerate(cases):
            slots = {what: {n: a[i] for n, a in found[what].items()} for what in SLOTS}
            yield {
                "options": options,
                "params": params,
                "gradients": gradients,
                "learning_rates": rates,
                "trace": {
                    int(s): {n: a[i, j] for n, a in found["trace"].items()} for j, s in enumerate(arrays["steps"])
                },
                "slots": {what: None if np.isnan(slot["bias"]).all() else slot for what, slot in slots.items()},
            }
