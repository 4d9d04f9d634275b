"""Chainer's RMSprops."""

import optax

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._types import Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect


@dialect("outside", words={"lr": "learning_rate", "alpha": "decay"})
def chainer(
    lr: ScalarOrSchedule = 0.01, alpha: Number = 0.99, eps: Number = 1e-8, eps_inside_sqrt: bool = False
) -> optax.GradientTransformationExtraArgs:
    """``chainer.optimizers.RMSprop`` with its own arguments::

      ms_t = alpha · ms_{t-1} + (1 - alpha) · g_t²
      p_{t+1} = p_t - lr_t · g_t / (√ms_t + eps)   or
      p_t - lr_t · g_t / √(ms_t + eps)

    Chainer's weight decay is a hook: chain ``optax.add_decayed_weights`` before this transformation.

    Args:
      eps: at least 0; ``eps_inside_sqrt`` is its place.
      eps_inside_sqrt: add ``eps`` under the root (true) or beside it (false).

    Example:
      chainer(lr=0.1) turns a first gradient of 2.0 into an update of -1.0.

    Source:
      chainer/chainer 7.8.1: chainer/optimizers/rmsprop.py.
    """
    return rmsprop(lr, alpha, eps=eps, eps_in_sqrt=eps_inside_sqrt)


@dialect("inside", centered="always", words={"lr": "learning_rate", "alpha": "decay"})
def chainer_graves(
    lr: ScalarOrSchedule = 1e-4, alpha: Number = 0.95, momentum: Number | None = 0.9, eps: Number = 1e-4
) -> optax.GradientTransformationExtraArgs:
    """``chainer.optimizers.RMSpropGraves`` with its own arguments::

      n_t = alpha · n_{t-1} + (1 - alpha) · g_t²,   m_t = alpha · m_{t-1} + (1 - alpha) · g_t
      delta_t = momentum · delta_{t-1} - lr_t · g_t / √(n_t - m_t² + eps),   p_{t+1} = p_t + delta_t

    The rule of :func:`rmsprop_optax.dialects.graves`; the order and the names of the arguments differ. Our buffer is
    the negative of ``delta``.

    Example:
      chainer_graves() turns a first gradient of 2.0 into an update of -0.000459.

    Source:
      chainer/chainer 7.8.1: chainer/optimizers/rmsprop_graves.py.
    """
    return rmsprop(lr, alpha, eps=eps, centered=True, momentum=momentum)
