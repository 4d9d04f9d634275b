"""PaddlePaddle's RMSProp."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import penalty, under_root


def paddle(
    learning_rate: Any,
    rho: Any = 0.95,
    epsilon: Any = 1e-6,
    momentum: Any = 0.0,
    centered: bool = False,
    *,
    weight_decay: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""``paddle.optimizer.RMSProp`` under its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      r_t &= rho \cdot r_{t-1} + (1 - rho) \cdot g_t^2 \\
      v_t &= momentum \cdot v_{t-1} + learning\_rate_t \cdot g_t / \sqrt{r_t + epsilon}, \qquad p_{t+1} = p_t - v_t

    Its documentation speaks of Nesterov's momentum; its kernel is the heavy ball. Differs on purpose: the centered
    variance is computed without cancellation. ``grad_clip`` is a link before this one, ``optax.clip_by_global_norm``
    for ``ClipGradByGlobalNorm``; ``parameters`` and ``name`` do not change the rule.

    Args:
      learning_rate: at least 0; a number or a schedule.
      rho: the weight of the old mean square, in [0, 1).
      epsilon: added to the mean square under the root, at least 0.
      momentum: in [0, 1); 0 has no buffer.
      centered: divide by the standard deviation of the gradients.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0. A number is Paddle's
        ``L2Decay``.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = paddle(learning_rate=0.1, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.44721

    Source:
      PaddlePaddle/Paddle 3.3.1: python/paddle/optimizer/rmsprop.py, paddle/phi/kernels/impl/rmsprop_kernel_impl.h.
    """
    return rmsprop(
        learning_rate,
        check("decay", rho, name="rho"),
        **under_root("epsilon", epsilon),
        centered=centered,
        momentum=momentum,
        l2=penalty("weight_decay", weight_decay),
    )
