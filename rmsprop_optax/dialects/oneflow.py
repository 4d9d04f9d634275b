"""OneFlow's RMSprop."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import penalty, rate, refuse, under_root


def oneflow(
    lr: Any = 1e-3,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0,
    momentum: Any = 0.0,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``oneflow.optim.RMSprop`` under its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      s_t &= alpha \cdot s_{t-1} + (1 - alpha) \cdot g_t^2 \\
      p_{t+1} &= p_t - lr_t \cdot g_t / \sqrt{s_t + eps}

    OneFlow refuses ``momentum``, and so does this. Differs on purpose: the centered variance is computed without
    cancellation.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: added to the mean square under the root, at least 0.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0.
      momentum: 0; OneFlow has no buffer for it.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range, or ``momentum`` is asked for.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = oneflow(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -1.0

    Source:
      Oneflow-Inc/oneflow 25c8978: python/oneflow/nn/optimizer/rmsprop.py.
    """
    refuse("OneFlow", momentum=momentum)
    return rmsprop(
        rate("lr", lr),
        check("decay", alpha, name="alpha"),
        **under_root("eps", eps),
        centered=centered,
        l2=penalty("weight_decay", weight_decay),
    )
