"""Chainer's RMSprop after Graves."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import rate, under_root


def chainer_graves(
    lr: Any = 1e-4, alpha: Any = 0.95, momentum: Any = 0.9, eps: Any = 1e-4
) -> optax.GradientTransformationExtraArgs:
    r"""``chainer.optimizers.RMSpropGraves`` under its own arguments.

    .. math::
      n_t &= alpha \cdot n_{t-1} + (1 - alpha) \cdot g_t^2, \qquad m_t = alpha \cdot m_{t-1} + (1 - alpha) \cdot g_t \\
      delta_t &= momentum \cdot delta_{t-1} - lr_t \cdot g_t / \sqrt{n_t - m_t^2 + eps}, \qquad p_{t+1} = p_t + delta_t

    Graves' rule with arguments in another order. Our buffer is the negative of ``delta``. Differs on purpose: the
    centered variance is computed without cancellation.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean and mean square, in [0, 1).
      momentum: in [0, 1); 0 has no buffer.
      eps: added to the variance under the root, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = chainer_graves()
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.00046

    Source:
      chainer/chainer 7.8.1: chainer/optimizers/rmsprop_graves.py.
    """
    return rmsprop(
        rate("lr", lr),
        check("decay", alpha, name="alpha"),
        **under_root("eps", eps),
        centered=True,
        momentum=momentum,
    )
