"""LaProp, RMSprop with a momentum of divided gradients: DreamerV3, Levanter and SparseCore."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers
from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax._momentum import momentum_buffer
from rmsprop_optax._rmsprop import scale_by_learning_rate
from rmsprop_optax._scale import scale_by_rms
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Mask, Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import clip, to_share_of_parameters

_BETAS = {"beta1": "momentum", "beta2": "decay"}


@dialect(
    "outside",
    bias_correction="always",
    lr_in_momentum=False,
    smooths="averages of steps",
    words=_BETAS | {"lr": "learning_rate", "agc": "clip", "parameter_norm_min": "floor"},
)
def dreamerv3(
    *,
    lr: ScalarOrSchedule = 4e-5,
    agc: Number | None = 0.3,
    parameter_norm_min: Number = 1e-3,
    beta1: Number | None = 0.9,
    beta2: Number = 0.999,
    eps: Number = 1e-20,
) -> optax.GradientTransformationExtraArgs:
    """``DreamerV3Optimizer`` of TorchRL with its own arguments, the optimizer of DreamerV3::

      g_t ← g_t · min(1, agc · max(‖p_t‖, parameter_norm_min) / ‖g_t‖)   each array
      v_t = beta2 · v_{t-1} + (1 - beta2) · g_t²
      m_t = beta1 · m_{t-1} + (1 - beta1) · g_t / (√(v_t/(1 - beta2^t)) + eps)
      p_{t+1} = p_t - lr_t · m_t/(1 - beta1^t)

    Our buffer is ``m/(1 - beta1)``. ``warmup_steps``, 1000 by default, is a schedule here:
    ``optax.linear_schedule(0.0, 4e-5, 1000)``.

    Args:
      agc: the largest Euclidean norm of each gradient array, as a share of its parameter's; ``None`` or 0 is off.
      parameter_norm_min: the smallest norm of a parameter that the clipping sees, above 0.

    Raises:
      ValueError: a number is out of its range; at ``update``, the clipping needs the parameters.

    Example:
      dreamerv3(lr=0.1, agc=None) turns a first gradient of 2.0 into an update of -0.1.

    Source:
      pytorch/rl 0.14.1: torchrl/trainers/algorithms/dreamer_v3.py; danijar/dreamerv3 f8817c4: embodied/jax/opt.py.
    """
    return chain(
        clip(agc, lambda share: to_share_of_parameters(share, parameter_norm_min)),
        scale_by_rms(beta2, eps, eps_in_sqrt=False, bias_correction=True),
        *_averaged(beta1),
        scale_by_learning_rate(lr),
    )


@dialect(
    "outside",
    "decoupled",
    bias_correction="always",
    lr_in_momentum=False,
    smooths="averages of steps",
    words=_BETAS | {"max_grad_norm": "clip"},
)
def levanter(
    *,
    learning_rate: ScalarOrSchedule = 6e-4,
    beta1: Number | None = 0.9,
    beta2: Number = 0.99,
    eps: Number = 1e-30,
    max_grad_norm: Number | None = 1.0,
    weight_decay: ScalarOrSchedule | None = 0.1,
    weight_decay_mask: Mask = None,
) -> optax.GradientTransformationExtraArgs:
    """``RMSPropMomentumConfig`` of Levanter, the optimizer "rmsprop", with its own arguments::

      v_t = beta2 · v_{t-1} + (1 - beta2) · clip(g_t)²
      m_t = beta1 · m_{t-1} + (1 - beta1) · clip(g_t) / (√(v_t/(1 - beta2^t)) + eps)
      p_{t+1} = p_t - learning_rate_t · (m_t/(1 - beta1^t) + weight_decay · p_t)

    The rule of :func:`dreamerv3` with another clipping. Our buffer is ``m/(1 - beta1)``. Levanter's documentation
    puts epsilon under the root and has a momentum without average or correction; this dialect follows the code.

    Args:
      max_grad_norm: the largest Euclidean norm of all gradients together; ``None`` or 0 is off.
      weight_decay: at least 0, decoupled; ``None`` or 0 is off.
      weight_decay_mask: the parameters to decay, as in :func:`rmsprop_optax.rmsprop`.

    Example:
      levanter(learning_rate=0.1) turns a first gradient of 2.0 into an update of -0.1.

    Source:
      stanford-crfm/levanter 9263f81: src/levanter/optim/rmsprop.py, src/levanter/optim/config.py.
    """
    _numbers.needs("weight_decay_mask", weight_decay_mask is not None, "weight_decay", weight_decay)
    return chain(
        clip(max_grad_norm, optax.clip_by_global_norm),
        scale_by_rms(beta2, eps, eps_in_sqrt=False, bias_correction=True),
        *_averaged(beta1),
        add_weight_decay(weight_decay, mask=weight_decay_mask),
        scale_by_learning_rate(learning_rate),
    )


def _averaged(beta: Any) -> tuple[optax.GradientTransformation | None, ...]:
    """``m_t/(1 − beta^t)`` of ``m_t = beta·m_{t-1} + (1 − beta)·x``: a momentum buffer times a falling rate."""
    if beta is None:
        return ()

    def rate(count: jax.Array) -> jax.Array:
        b = jnp.asarray(beta, jnp.result_type(float))
        fraction: jax.Array = (1 - b) / -jnp.expm1((count.astype(b.dtype) + 1) * jnp.log(b))
        return fraction

    return momentum_buffer(beta), scale_by_learning_rate(rate, flip_sign=False)


@dialect(
    "inside",
    bias_correction="always",
    lr_in_momentum=False,
    smooths="damped steps",
    words={"b1": "momentum", "b2": "decay"},
)
def sparsecore(
    learning_rate: ScalarOrSchedule = 0.001,
    b1: Number | None = 0.9,
    b2: Number = 0.95,
    eps: Number = 1e-30,
) -> optax.GradientTransformationExtraArgs:
    """``LaPropOptimizerSpec`` of JAX TPU Embedding (SparseCore) with its own arguments::

      d_t = b2 · (1 - b2^(t-1)) / (1 - b2^t)
      nu_t = d_t · nu_{t-1} + (1 - d_t) · (g_t² + eps)
      mu_t = b1 · mu_{t-1} + √(1 - b1²) · g_t / √nu_t
      p_{t+1} = p_t - learning_rate_t · mu_t

    The average of ``g² + eps`` with these decays is the corrected average of ``g²``, plus epsilon, so epsilon stands
    under the root; our mean square is ``nu - eps``. SparseCore updates the rows of a batch only; here gradients are
    dense. JAX TPU Embedding does not support ``rms_clip_threshold``, and ``initial_slot_value`` has no weight after the
    first step.

    Example:
      sparsecore(learning_rate=0.1) turns a first gradient of 2.0 into an update of -0.043589.

    Source:
      jax-ml/jax-tpu-embedding 0158202: jax_tpu_embedding/sparsecore/lib/nn/embedding_spec.py,
      jax_tpu_embedding/sparsecore/lib/core/primitives/sparse_dense_matmul_grad_with_laprop.py.
    """
    return chain(
        scale_by_rms(b2, eps, bias_correction=True),
        _damped_buffer(b1),
        scale_by_learning_rate(learning_rate),
    )


def _damped_buffer(momentum: Any) -> optax.GradientTransformation | None:
    """``b = momentum·b + √(1 - momentum²)·x``."""
    buffer = momentum_buffer(momentum)
    if buffer is None:
        return None
    damped = scale_by_learning_rate((1 - momentum * momentum) ** 0.5, flip_sign=False)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, _ = damped.update(updates, optax.EmptyState())
        updates, state = buffer.update(updates, state, params)
        return updates, state

    return optax.GradientTransformation(buffer.init, update)
