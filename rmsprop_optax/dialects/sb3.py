"""Stable-Baselines3's RMSprop that is like TensorFlow's."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import penalty, rate, under_root


def sb3(
    lr: Any = 1e-2, alpha: Any = 0.99, eps: Any = 1e-8, weight_decay: Any = 0, momentum: Any = 0, centered: bool = False
) -> optax.GradientTransformationExtraArgs:
    r"""``stable_baselines3.common.sb2_compat.rmsprop_tf_like.RMSpropTFLike`` under its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g_t^2, \qquad v_0 = 1 \\
      b_t &= momentum \cdot b_{t-1} + g_t / \sqrt{v_t + eps}, \qquad p_{t+1} = p_t - lr_t \cdot b_t

    TensorFlow's initial value and place of epsilon in PyTorch's optimizer. The learning rate stays behind the buffer,
    so with momentum and a schedule it is neither TensorFlow's nor timm's. Differs on purpose: the centered variance is
    computed without cancellation.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: added to the mean square under the root, at least 0.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0.
      momentum: in [0, 1); 0 has no buffer.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = sb3(lr=0.01, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.01971

    Source:
      DLR-RM/stable-baselines3 2.9.2: stable_baselines3/common/sb2_compat/rmsprop_tf_like.py.
    """
    return rmsprop(
        rate("lr", lr),
        check("decay", alpha, name="alpha"),
        **under_root("eps", eps),
        initial_value=1.0,
        centered=centered,
        momentum=momentum,
        lr_in_momentum=False,
        l2=penalty("weight_decay", weight_decay),
    )
