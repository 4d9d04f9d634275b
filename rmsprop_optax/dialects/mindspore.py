"""MindSpore's RMSProp."""

from typing import Any

import optax

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import penalty, under_root


def mindspore(
    learning_rate: Any = 0.1,
    decay: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-10,
    *,
    centered: bool = False,
    weight_decay: Any = 0.0,
) -> optax.GradientTransformationExtraArgs:
    r"""``mindspore.nn.RMSProp`` under its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      s_t &= decay \cdot s_{t-1} + (1 - decay) \cdot g_t^2, \qquad s_0 = 1 \\
      m_t &= momentum \cdot m_{t-1} + learning\_rate_t \cdot g_t / \sqrt{s_t + epsilon}, \qquad p_{t+1} = p_t - m_t

    TensorFlow 1's rule with a weight decay. MindSpore leaves parameters with ``beta`` or ``gamma`` in their names
    undecayed unless told otherwise: chain :func:`optax.add_decayed_weights` with a mask for that. Differs on purpose:
    the centered variance is computed without cancellation. ``use_locking`` and ``loss_scale`` do not change the rule.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); 0 has no buffer.
      epsilon: added to the mean square under the root, at least 0.
      centered: divide by the standard deviation of the gradients.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = mindspore(momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.17541

    Source:
      mindspore-ai/mindspore 2.10.0: mindspore/python/mindspore/nn/optim/rmsprop.py.
    """
    return rmsprop(
        learning_rate,
        decay,
        **under_root("epsilon", epsilon),
        initial_value=1.0,
        centered=centered,
        momentum=momentum,
        l2=penalty("weight_decay", weight_decay),
    )
