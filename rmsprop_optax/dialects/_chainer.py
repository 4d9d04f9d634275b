"""Chainer's RMSprops."""

import optax

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._types import Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect


@dialect("outside", words={"lr": "learning_rate", "alpha": "decay"})
def chainer(
    lr: ScalarOrSchedule = 0.01, alpha: Number = 0.99, eps: Number = 1e-8, eps_inside_sqrt: bool = False
) -> optax.GradientTransformationExtraArgs:
    r"""``chainer.optimizers.RMSprop`` with its own arguments.

    .. math::
      ms_t &= alpha \cdot ms_{t-1} + (1 - alpha) \cdot g_t^2 \\
      p_{t+1} &= p_t - lr_t \cdot g_t / (\sqrt{ms_t} + eps) \quad \text{or} \quad
      p_t - lr_t \cdot g_t / \sqrt{ms_t + eps}

    Chainer's weight decay is a hook: chain ``optax.add_decayed_weights`` before this transformation.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: at least 0, added where ``eps_inside_sqrt`` says.
      eps_inside_sqrt: whether ``eps`` stands under the root or beside it.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = chainer(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -1.0

    Source:
      chainer/chainer 7.8.1: chainer/optimizers/rmsprop.py.
    """
    return rmsprop(lr, alpha, eps=eps, eps_in_sqrt=eps_inside_sqrt)


@dialect("inside", centered="always", words={"lr": "learning_rate", "alpha": "decay"})
def chainer_graves(
    lr: ScalarOrSchedule = 1e-4, alpha: Number = 0.95, momentum: Number | None = 0.9, eps: Number = 1e-4
) -> optax.GradientTransformationExtraArgs:
    r"""``chainer.optimizers.RMSpropGraves`` with its own arguments.

    .. math::
      n_t &= alpha \cdot n_{t-1} + (1 - alpha) \cdot g_t^2, \qquad m_t = alpha \cdot m_{t-1} + (1 - alpha) \cdot g_t \\
      delta_t &= momentum \cdot delta_{t-1} - lr_t \cdot g_t / \sqrt{n_t - m_t^2 + eps}, \qquad p_{t+1} = p_t + delta_t

    The rule of :func:`rmsprop_optax.dialects.graves`; the order and the names of the arguments differ. Our buffer is
    the negative of ``delta``. Deviation: the centered variance never turns negative.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean and mean square, in [0, 1).
      momentum: in [0, 1); ``None`` or 0 is off.
      eps: added to the variance under the root, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = chainer_graves()
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.00046

    Source:
      chainer/chainer 7.8.1: chainer/optimizers/rmsprop_graves.py.
    """
    return rmsprop(lr, alpha, eps=eps, centered=True, momentum=momentum)
