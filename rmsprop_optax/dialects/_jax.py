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
    r"""``optax.rmsprop`` with its own arguments.

    .. math::
      nu_t &= decay \cdot nu_{t-1} + (1 - decay) \cdot |g_t|^2, \qquad nu_0 = initial\_scale \\
      x_t &= g_t / \sqrt{nu_t + eps} \quad \text{or} \quad g_t / (\sqrt{nu_t} + eps) \\
      b_t &= momentum \cdot b_{t-1} + learning\_rate_t \cdot x_t, \qquad p_{t+1} = p_t - b_t

    :func:`rmsprop_optax.rmsprop` with optax's arguments alone. Deviations: the centered variance never turns negative
    (optax's does, the update becomes NaN, and with ``bias_correction`` the first update is divided by rounding errors);
    statistics are float32 or wider; ``bias_correction`` with an ``initial_scale`` raises. The momentum buffer has the
    other sign. With ``bias_correction`` the state holds corrected statistics, where optax corrects them at every use.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      eps: at least 0, added where ``eps_in_sqrt`` says.
      initial_scale: what the mean square starts from, at least 0.
      eps_in_sqrt: whether ``eps`` stands under the root or beside it.
      centered: divide by the standard deviation of the gradients.
      momentum: in [0, 1); ``None`` or 0 is off.
      nesterov: take the momentum step once more beyond the buffer. Without momentum it changes nothing.
      bias_correction: weigh the gradients seen so far as Adam does; centered, the first variance is 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range, or ``bias_correction`` comes with an ``initial_scale``.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = optax(0.01, momentum=0.9, nesterov=True)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.06008

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
    r"""``jax.example_libraries.optimizers.rmsprop`` with its own arguments.

    .. math::
      s_t &= gamma \cdot s_{t-1} + (1 - gamma) \cdot g_t^2 \\
      p_{t+1} &= p_t - step\_size_t \cdot g_t / \sqrt{s_t + eps}

    The mean square started from 1 until July 2019, and epsilon stood beside the root until October 2019.

    Args:
      step_size: at least 0; a number or a schedule.
      gamma: the weight of the old mean square, in [0, 1).
      eps: added to the mean square under the root, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = jax_example(step_size=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      jax-ml/jax 0.10.2: jax/example_libraries/optimizers.py.
    """
    return rmsprop(step_size, gamma, eps=eps)


@dialect("inside", words={"step_size": "learning_rate", "gamma": "decay"})
def jax_example_momentum(
    step_size: ScalarOrSchedule, gamma: Number = 0.9, eps: Number = 1e-8, momentum: Number | None = 0.9
) -> _optax.GradientTransformationExtraArgs:
    r"""``jax.example_libraries.optimizers.rmsprop_momentum`` with its own arguments.

    .. math::
      s_t &= gamma \cdot s_{t-1} + (1 - gamma) \cdot g_t^2 \\
      m_t &= momentum \cdot m_{t-1} + step\_size_t \cdot g_t / \sqrt{s_t + eps}, \qquad p_{t+1} = p_t - m_t

    Args:
      step_size: at least 0; a number or a schedule.
      gamma: the weight of the old mean square, in [0, 1).
      eps: added to the mean square under the root, at least 0.
      momentum: in [0, 1); ``None`` or 0 is off.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = jax_example_momentum(step_size=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      jax-ml/jax 0.10.2: jax/example_libraries/optimizers.py.
    """
    return rmsprop(step_size, gamma, eps=eps, momentum=momentum)


@dialect("outside", words={"beta2": "decay"})
def flax_optim(
    learning_rate: ScalarOrSchedule, beta2: Number = 0.9, eps: Number = 1e-8, centered: bool = False
) -> _optax.GradientTransformationExtraArgs:
    r"""``flax.optim.RMSProp``, which Flax 0.6.0 removed, with its own arguments.

    .. math::
      v_t &= beta2 \cdot v_{t-1} + (1 - beta2) \cdot g_t^2 \\
      p_{t+1} &= p_t - learning\_rate_t \cdot g_t / (\sqrt{v_t} + eps)

    Deviations: the centered variance never turns negative; a learning rate is required, where Flax's ``None`` takes one
    at every step.

    Args:
      learning_rate: at least 0; a number or a schedule.
      beta2: the weight of the old mean square, in [0, 1).
      eps: added to the root, at least 0.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = flax_optim(learning_rate=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.31623

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
    r"""``trax.optimizers.RMSProp`` with its own arguments.

    .. math::
      v_t &= gamma \cdot v_{t-1} + (1 - gamma) \cdot g_t^2, \qquad v_0 = 1 \\
      p_{t+1} &= p_t - learning\_rate_t \cdot g_t / (\sqrt{v_t} + eps)

    No other dialect starts from 1 and adds epsilon beside the root.

    Args:
      learning_rate: at least 0; a number or a schedule.
      gamma: the weight of the old mean square, in [0, 1).
      eps: added to the root, at least 0.
      clip_grad_norm: the largest Euclidean norm of all gradients together; ``None`` is off.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, after the clipping.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = trax(learning_rate=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.17541

    Source:
      google/trax 1.4.1: trax/optimizers/rms_prop.py.
    """
    return chain(
        clip(clip_grad_norm, _optax.clip_by_global_norm),
        rmsprop(learning_rate, gamma, eps=eps, eps_in_sqrt=False, initial_scale=1.0),
    )
