"""Graves' RMSprop, the first centered one."""

from typing import Any

import optax

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import under_root


def graves(
    learning_rate: Any = 1e-4, decay: Any = 0.95, momentum: Any = 0.9, eps: Any = 1e-4
) -> optax.GradientTransformationExtraArgs:
    r"""RMSprop of "Generating sequences with recurrent neural networks": centered, with momentum.

    .. math::
      n_t &= decay \cdot n_{t-1} + (1 - decay) \cdot g_t^2 \\
      m_t &= decay \cdot m_{t-1} + (1 - decay) \cdot g_t \\
      b_t &= momentum \cdot b_{t-1} + learning\_rate \cdot g_t / \sqrt{n_t - m_t^2 + eps} \\
      p_{t+1} &= p_t - b_t

    The paper's symbols in the order of the arguments: gimel, aleph, beth, daleth. Its buffer has the other sign.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay: the weight of the old mean and mean square, in [0, 1).
      momentum: the weight of the old buffer, in [0, 1).
      eps: added to the variance under the root, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = graves()
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 7)
      -0.0004587

    Source:
      Graves, arXiv:1308.0850, equations 38 to 45; read through chainer/chainer: chainer/optimizers/rmsprop_graves.py.
    """
    return rmsprop(learning_rate, decay, **under_root("eps", eps), centered=True, momentum=momentum)
