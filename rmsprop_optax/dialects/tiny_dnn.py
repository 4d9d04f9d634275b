"""tiny-dnn's RMSprop."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import rate


def tiny_dnn(alpha: Any = 1e-4, mu: Any = 0.99) -> optax.GradientTransformationExtraArgs:
    r"""``tiny_dnn::RMSprop`` under its own names: ``alpha`` is the learning rate, ``mu`` the decay.

    .. math::
      g2_t &= mu \cdot g2_{t-1} + (1 - mu) \cdot g_t^2 \\
      p_{t+1} &= p_t - alpha_t \cdot g_t / \sqrt{g2_t + 10^{-8}}

    Args:
      alpha: the learning rate, at least 0; a number or a schedule.
      mu: the weight of the old mean square, in [0, 1).

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = tiny_dnn(alpha=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -1.0

    Source:
      tiny-dnn/tiny-dnn c0f576f: tiny_dnn/optimizers/optimizer.h.
    """
    return rmsprop(rate("alpha", alpha), check("decay", mu, name="mu"), eps_root=1e-8)
