"""PFRL's RMSprop, for reproductions of A3C and DQN."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import penalty, rate, under_root


def pfrl(
    lr: Any = 1e-2, alpha: Any = 0.99, eps: Any = 1e-8, weight_decay: Any = 0, momentum: Any = 0, centered: bool = False
) -> optax.GradientTransformationExtraArgs:
    r"""``pfrl.optimizers.RMSpropEpsInsideSqrt`` under its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g_t^2 \\
      b_t &= momentum \cdot b_{t-1} + g_t / \sqrt{v_t + eps}, \qquad p_{t+1} = p_t - lr_t \cdot b_t

    PyTorch's, with epsilon under the root. Differs on purpose: the centered variance is computed without cancellation.
    ``SharedRMSpropEpsInsideSqrt`` is the same rule with statistics that several processes share.

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
      >>> tx = pfrl(lr=0.01, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.1

    Source:
      pfnet/pfrl 0.4.0: pfrl/optimizers/rmsprop_eps_inside_sqrt.py.
    """
    return rmsprop(
        rate("lr", lr),
        check("decay", alpha, name="alpha"),
        **under_root("eps", eps),
        centered=centered,
        momentum=momentum,
        lr_in_momentum=False,
        l2=penalty("weight_decay", weight_decay),
    )
