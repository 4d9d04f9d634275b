"""Torch7's RMSprop."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import beside_root, penalty, rate


def torch7(
    learningRate: Any = 1e-2, alpha: Any = 0.99, epsilon: Any = 1e-8, weightDecay: Any = 0, initialMean: Any = 0
) -> optax.GradientTransformationExtraArgs:
    r"""``optim.rmsprop`` of Lua's Torch7 under the names of its configuration.

    .. math::
      g_t &\leftarrow g_t + weightDecay \cdot p_t \\
      m_t &= alpha \cdot m_{t-1} + (1 - alpha) \cdot g_t^2, \qquad m_0 = initialMean \\
      p_{t+1} &= p_t - learningRate_t \cdot g_t / (\sqrt{m_t} + epsilon)

    From June to September 2016 the mean square started from 1: ``initialMean=1``.

    Args:
      learningRate: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      epsilon: added to the root, at least 0.
      weightDecay: L2 penalty, added to the gradient as ``weightDecay·p``, at least 0.
      initialMean: what the mean square starts from, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = torch7(learningRate=0.01)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.1

    Source:
      torch/optim a5ceed7: rmsprop.lua.
    """
    return rmsprop(
        rate("learningRate", learningRate),
        check("decay", alpha, name="alpha"),
        **beside_root("epsilon", epsilon),
        initial_value=check("initial_value", initialMean, name="initialMean"),
        l2=penalty("weightDecay", weightDecay),
    )
