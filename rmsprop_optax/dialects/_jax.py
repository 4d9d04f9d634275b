"""RMSprop in JAX's own libraries."""

import optax as _optax

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import clip


@dialect("inside")
def optax(
    learning_rate: ScalarOrSchedule,
    decay: Number = 0.9,
    eps: Number = 1e-8,
    initial_scale: Number = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Number | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> _optax.GradientTransformationExtraArgs:
    """``optax.rmsprop`` with its own arguments::

      nu_t = decay · nu_{t-1} + (1 - decay) · |g_t|²,   nu_0 = initial_scale
      x_t = g_t / √(nu_t + eps)   or   g_t / (√nu_t + eps)
      b_t = momentum · b_{t-1} + learning_rate_t · x_t,   p_{t+1} = p_t - b_t

    :func:`rmsprop_optax.rmsprop` with optax's arguments alone. Deviations: optax's centered variance can turn negative
    and the update NaN, and optax divides the first centered update with ``bias_correction`` by rounding errors.
    ``bias_correction`` with an ``initial_scale`` raises here. The momentum buffer has the opposite sign. With
    ``bias_correction`` the state holds corrected statistics; optax corrects them at every use.

    Args:
      eps: at least 0; ``eps_in_sqrt`` is its place.
      eps_in_sqrt: add ``eps`` under the root (true) or beside it (false).
      nesterov: take the momentum step once more beyond the buffer. Without momentum this option changes nothing.
      bias_correction: weigh the gradients seen so far as Adam does; centered, the first variance is 0.

    Raises:
      ValueError: a number is out of its range, or ``bias_correction`` comes with an ``initial_scale``.

    Example:
      optax(0.01, momentum=0.9, nesterov=True) turns a first gradient of 2.0 into an update of -0.060083.

    Source:
      google-deepmind/optax 0.2.8: optax/_src/alias.py, optax/_src/transform.py.
    """
    return rmsprop(
        learning_rate,
        decay,
        eps=eps,
        eps_in_sqrt=eps_in_sqrt,
        initial_scale=initial_scale,
        centered=centered,
        momentum=momentum,
        nesterov=nesterov,
        bias_correction=bias_correction,
    )


@dialect("inside", words={"step_size": "learning_rate", "gamma": "decay"})
def jax_example(
    step_size: ScalarOrSchedule, gamma: Number = 0.9, eps: Number = 1e-8
) -> _optax.GradientTransformationExtraArgs:
    """``jax.example_libraries.optimizers.rmsprop`` with its own arguments::

      s_t = gamma · s_{t-1} + (1 - gamma) · g_t²
      p_{t+1} = p_t - step_size_t · g_t / √(s_t + eps)

    The mean square started from 1 until July 2019, and epsilon stood beside the root until October 2019.

    Example:
      jax_example(step_size=0.1) turns a first gradient of 2.0 into an update of -0.316228.

    Source:
      jax-ml/jax 0.10.2: jax/example_libraries/optimizers.py.
    """
    return rmsprop(step_size, gamma, eps=eps)


@dialect("inside", words={"step_size": "learning_rate", "gamma": "decay"})
def jax_example_momentum(
    step_size: ScalarOrSchedule, gamma: Number = 0.9, eps: Number = 1e-8, momentum: Number | None = 0.9
) -> _optax.GradientTransformationExtraArgs:
    """``jax.example_libraries.optimizers.rmsprop_momentum`` with its own arguments::

      s_t = gamma · s_{t-1} + (1 - gamma) · g_t²
      m_t = momentum · m_{t-1} + step_size_t · g_t / √(s_t + eps),   p_{t+1} = p_t - m_t

    Example:
      jax_example_momentum(step_size=0.1) turns a first gradient of 2.0 into an update of -0.316228.

    Source:
      jax-ml/jax 0.10.2: jax/example_libraries/optimizers.py.
    """
    return rmsprop(step_size, gamma, eps=eps, momentum=momentum)


@dialect("outside", words={"beta2": "decay"})
def flax_optim(
    learning_rate: ScalarOrSchedule, beta2: Number = 0.9, eps: Number = 1e-8, centered: bool = False
) -> _optax.GradientTransformationExtraArgs:
    """``flax.optim.RMSProp``, which Flax 0.6.0 removed, with its own arguments::

      v_t = beta2 · v_{t-1} + (1 - beta2) · g_t²
      p_{t+1} = p_t - learning_rate_t · g_t / (√v_t + eps)

    A learning rate is required. Flax also accepts ``None`` and then takes a rate at every step.

    Example:
      flax_optim(learning_rate=0.1) turns a first gradient of 2.0 into an update of -0.316228.

    Source:
      google/flax 0.5.3: flax/optim/rmsprop.py.
    """
    return rmsprop(learning_rate, beta2, eps=eps, eps_in_sqrt=False, centered=centered)


@dialect("outside", initial="1", words={"gamma": "decay", "clip_grad_norm": "clip"})
def trax(
    learning_rate: ScalarOrSchedule = 0.001,
    gamma: Number = 0.9,
    eps: Number = 1e-8,
    clip_grad_norm: Number | None = None,
) -> _optax.GradientTransformationExtraArgs:
    """``trax.optimizers.RMSProp`` with its own arguments::

      v_t = gamma · v_{t-1} + (1 - gamma) · g_t²,   v_0 = 1
      p_{t+1} = p_t - learning_rate_t · g_t / (√v_t + eps)

    No other dialect starts from 1 and adds epsilon beside the root.

    Args:
      clip_grad_norm: the largest Euclidean norm of all gradients together; ``None`` is off.

    Example:
      trax(learning_rate=0.1) turns a first gradient of 2.0 into an update of -0.175412.

    Source:
      google/trax 1.4.1: trax/optimizers/rms_prop.py.
    """
    return chain(
        clip(clip_grad_norm, _optax.clip_by_global_norm),
        rmsprop(learning_rate, gamma, eps=eps, eps_in_sqrt=False, initial_scale=1.0),
    )
