"""RMSprop in libraries written in C++, and in neon."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import add_signs, clip, parameters_within


@dialect(
    "outside",
    "L2",
    "L1",
    words={
        "base_lr": "learning_rate",
        "rms_decay": "decay",
        "delta": "eps",
        "weight_decay": "l2",
        "clip_gradients": "clip",
    },
)
def caffe(
    base_lr: ScalarOrSchedule,
    *,
    rms_decay: Number = 0.99,
    delta: Number = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    regularization_type: str = "L2",
    clip_gradients: Number | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The solver type ``RMSProp`` of Caffe with the arguments of ``SolverParameter``::

      g_t ← clip(g_t) + weight_decay · p_t
      h_t = rms_decay · h_{t-1} + (1 - rms_decay) · g_t²
      p_{t+1} = p_t - base_lr_t · g_t / (√h_t + delta)

    Caffe refuses momentum with this solver. ``lr_policy`` is a schedule here. ``iter_size`` is ``optax.MultiSteps``
    around this transformation, except that Caffe clips the sum of the gradients and not their mean.

    Args:
      weight_decay: at least 0; ``weight_decay·p`` is added to the clipped gradient, or ``weight_decay·sign(p)`` for
        "L1". ``None`` is off; Caffe writes 0.
      regularization_type: "L2" or "L1".
      clip_gradients: the largest Euclidean norm of all gradients together. ``None`` is off; Caffe writes -1.

    Raises:
      ValueError: a number is out of its range, or the type of regularisation is unknown.

    Example:
      caffe(base_lr=0.1) turns a first gradient of 2.0 into an update of -1.0.

    Source:
      BVLC/caffe 9b89154: src/caffe/solvers/rmsprop_solver.cpp, src/caffe/solvers/sgd_solver.cpp,
      src/caffe/proto/caffe.proto.
    """
    if regularization_type not in ("L2", "L1"):
        raise ValueError(f'regularization_type must be "L2" or "L1", got {regularization_type!r}.')
    return chain(
        clip(clip_gradients, optax.clip_by_global_norm),
        (add_weight_decay if regularization_type == "L2" else add_signs)(weight_decay),
        rmsprop(base_lr, rms_decay, eps=delta, eps_in_sqrt=False),
    )


@dialect(
    "outside",
    "decoupled, no lr",
    words={"learningRate": "learning_rate", "rho": "decay", "epsilon": "eps", "weightDecay": "weight_decay"},
)
def flashlight(
    learningRate: ScalarOrSchedule,
    rho: Number = 0.99,
    epsilon: Number = 1e-8,
    weightDecay: ScalarOrSchedule | None = None,
    use_first: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """``fl::RMSPropOptimizer`` of Flashlight with its own arguments::

      p_t ← p_t - weightDecay · p_t
      second_t = rho · second_{t-1} + (1 - rho) · g_t²
      p_{t+1} = p_t - learningRate_t · g_t / (√second_t + epsilon)

    Args:
      weightDecay: at least 0; a number or a schedule. ``weightDecay·p`` is subtracted at every step, not multiplied by
        the learning rate; ``None`` or 0 is off.

    Example:
      flashlight(learningRate=0.1) turns a first gradient of 2.0 into an update of -1.0.

    Source:
      flashlight/flashlight 15b2159: flashlight/fl/optim/RMSPropOptimizer.cpp.
    """
    return chain(
        rmsprop(learningRate, rho, eps=epsilon, eps_in_sqrt=False, centered=use_first),
        add_weight_decay(weightDecay, times=(-1.0,), name="weightDecay"),
    )


@dialect("inside", words={"rho": "decay", "clip_threshold": "clip"})
def dynet(
    learning_rate: ScalarOrSchedule = 0.1,
    eps: Number = 1e-20,
    rho: Number = 0.95,
    *,
    clip_threshold: Number | None = 5.0,
) -> optax.GradientTransformationExtraArgs:
    """``dynet::RMSPropTrainer`` with its own arguments::

      hmsg_t = rho · hmsg_{t-1} + (1 - rho) · g_t²
      p_{t+1} = p_t - learning_rate_t · g_t / √(hmsg_t + eps)

    Clipping is on by default. The defaults are those of C++; Python's are 0.001, 1e-8 and 0.9. DyNet's weight decay,
    which is off by default, shrinks a global scale of all parameters at every step; it is not reproduced.

    Args:
      clip_threshold: the largest Euclidean norm of all gradients together; ``None`` or 0 is off.

    Example:
      dynet() turns a first gradient of 2.0 into an update of -0.447214.

    Source:
      clab/dynet 22b4495: dynet/training.cc, dynet/training.h.
    """
    return chain(clip(clip_threshold, optax.clip_by_global_norm), rmsprop(learning_rate, rho, eps=eps))


@dialect("inside", constant="1e-8", words={"alpha": "learning_rate", "mu": "decay"})
def tiny_dnn(alpha: ScalarOrSchedule = 1e-4, mu: Number = 0.99) -> optax.GradientTransformationExtraArgs:
    """``tiny_dnn::RMSprop`` with its own arguments: ``alpha`` is the learning rate, ``mu`` the decay::

      g2_t = mu · g2_{t-1} + (1 - mu) · g_t²
      p_{t+1} = p_t - alpha_t · g_t / √(g2_t + 1e-8)

    Example:
      tiny_dnn(alpha=0.1) turns a first gradient of 2.0 into an update of -1.0.

    Source:
      tiny-dnn/tiny-dnn c0f576f: tiny_dnn/optimizers/optimizer.h.
    """
    return rmsprop(alpha, mu, eps=1e-8)


@dialect("outside", words={"stepSize": "learning_rate", "alpha": "decay", "epsilon": "eps"})
def ensmallen(
    stepSize: ScalarOrSchedule = 0.01, *, alpha: Number = 0.99, epsilon: Number = 1e-8
) -> optax.GradientTransformationExtraArgs:
    """``ens::RMSProp`` of mlpack's ensmallen with its own arguments::

      s_t = alpha · s_{t-1} + (1 - alpha) · g_t²
      p_{t+1} = p_t - stepSize_t · g_t / (√s_t + epsilon)

    ensmallen replaces an ``epsilon`` that underflows in the matrix' element type by ten machine epsilons; here
    statistics are float32 or wider. ``batchSize`` and the other arguments do not change the rule.

    Example:
      ensmallen(stepSize=0.1) turns a first gradient of 2.0 into an update of -1.0.

    Source:
      mlpack/ensmallen 3.11.1: include/ensmallen_bits/rmsprop/rmsprop_update.hpp.
    """
    return rmsprop(stepSize, alpha, eps=epsilon, eps_in_sqrt=False)


@dialect(
    "both",
    words={
        "decay_rate": "decay",
        "epsilon": "eps",
        "gradient_clip_norm": "clip",
        "gradient_clip_value": "clip",
        "param_clip_value": "clip",
    },
)
def neon(
    *,
    decay_rate: Number = 0.95,
    learning_rate: ScalarOrSchedule = 2e-3,
    epsilon: Number = 1e-6,
    gradient_clip_norm: Number | None = None,
    gradient_clip_value: Number | None = None,
    param_clip_value: Number | None = None,
) -> optax.GradientTransformationExtraArgs:
    """``neon.optimizers.RMSProp`` with its own arguments::

      s_t = decay_rate · s_{t-1} + (1 - decay_rate) · g_t²
      p_{t+1} = p_t - learning_rate_t · g_t / (√(s_t + epsilon) + epsilon)

    Epsilon stands in both places. ``gradient_clip_norm`` compares the norm of the unclipped gradients and scales the
    step; the mean square never sees it. neon divides gradients by the batch size and, with ``stochastic_round``, rounds
    stochastically; both are left to the caller. ``schedule`` is a learning rate here; ``name`` does nothing.

    Args:
      epsilon: added to the mean square under the root, and to the root, at least 0.
      gradient_clip_norm: a Euclidean norm of all gradients together; steps are scaled by ``gradient_clip_norm / norm``
        if the norm is larger. ``None`` is off.
      gradient_clip_value: the largest absolute value of each entry that the rule sees; ``None`` is off.
      param_clip_value: the largest absolute value of a parameter; ``None`` is off.

    Example:
      neon(learning_rate=0.1) turns a first gradient of 2.0 into an update of -0.447211.

    Source:
      NervanaSystems/neon 2.6.0: neon/optimizers/optimizer.py.
    """
    tx = chain(clip(gradient_clip_value, optax.clip), rmsprop(learning_rate, decay_rate, eps=epsilon, eps_in_sqrt=None))
    return chain(
        clip(gradient_clip_norm, lambda bound: _steps_by_norm(bound, tx)) or tx,
        clip(param_clip_value, parameters_within),
    )


def _steps_by_norm(bound: Any, inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """The steps of ``inner``, scaled by ``bound / norm`` if the norm of all gradients is larger than ``bound``."""
    inner = optax.with_extra_args_support(inner)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        norm = optax.tree.norm(updates)
        limit = jnp.asarray(bound, norm.dtype)
        steps, state = inner.update(updates, state, params, **extra_args)
        return jax.tree.map(lambda u: u * (limit / jnp.maximum(norm, limit)).astype(u.dtype), steps), state

    return optax.GradientTransformationExtraArgs(inner.init, update)
