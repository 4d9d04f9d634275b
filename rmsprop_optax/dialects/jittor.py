"""Jittor's RMSprop."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import beside_root, rate


def jittor(lr: Any = 1e-2, eps: Any = 1e-8, alpha: Any = 0.99) -> optax.GradientTransformationExtraArgs:
    r"""``jittor.optim.RMSprop`` under its own arguments.

    .. math::
      v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g_t^2 \\
      p_{t+1} &= p_t - lr_t \cdot g_t / (\sqrt{v_t} + eps)

    Args:
      lr: at least 0; a number or a schedule.
      eps: added to the root, at least 0.
      alpha: the weight of the old mean square, in [0, 1).

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = jittor(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -1.0

    Source:
      Jittor/jittor 1.3.11.0: python/jittor/optim.py.
    """
    return rmsprop(rate("lr", lr), check("decay", alpha, name="alpha"), **beside_root("eps", eps))
