"""The RMSprop of the deep Q-network."""

from typing import Any

import optax

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import penalty, rate


def dqn(lr: Any = 0.01, wc: Any = 0) -> optax.GradientTransformationExtraArgs:
    r"""The optimizer of Mnih et al. 2015, ``NeuralQLearner``, under its own arguments.

    .. math::
      d_t &\leftarrow g_t + wc \cdot p_t \\
      m_t &= 0.95 \cdot m_{t-1} + 0.05 \cdot d_t, \qquad v_t = 0.95 \cdot v_{t-1} + 0.05 \cdot d_t^2 \\
      p_{t+1} &= p_t - lr_t \cdot d_t / \sqrt{v_t - m_t^2 + 0.01}

    Centered and without momentum: the "gradient momentum" 0.95 of the paper's table is the decay of the mean, and the
    "min squared gradient" 0.01 stands under the root; both are constants of the code. Its gradients ascend and are sums
    over a batch of 32; with a mean, 0.01 becomes 0.01/32². Differs on purpose: the centered variance is computed
    without cancellation.

    Args:
      lr: at least 0; a number or a schedule. The paper's is 2.5e-4; a schedule is of updates, while the code's
        goes by its agent's steps, four to an update.
      wc: L2 penalty, added to the gradient as ``wc·p``, at least 0. Weight cost.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = dqn(lr=2.5e-4)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.00112

    Source:
      Mnih et al., Nature 518, 529 (2015); its code, DQN 3.0: dqn/NeuralQLearner.lua, read in
      kuz/DeepMind-Atari-Deep-Q-Learner 54978fa.
    """
    return rmsprop(rate("lr", lr), 0.95, eps_root=0.01, centered=True, l2=penalty("wc", wc))
