"""Lasagne's RMSprop."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import under_root


def lasagne(learning_rate: Any = 1.0, rho: Any = 0.9, epsilon: Any = 1e-6) -> optax.GradientTransformationExtraArgs:
    r"""``lasagne.updates.rmsprop`` under its own arguments.

    .. math::
      r_t &= rho \cdot r_{t-1} + (1 - rho) \cdot g_t^2 \\
      p_{t+1} &= p_t - learning\_rate_t \cdot g_t / \sqrt{r_t + epsilon}

    Args:
      learning_rate: at least 0; a number or a schedule.
      rho: the weight of the old mean square, in [0, 1).
      epsilon: added to the mean square under the root, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = lasagne(learning_rate=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      Lasagne/Lasagne 5d3c63c: lasagne/updates.py.
    """
    return rmsprop(learning_rate, check("decay", rho, name="rho"), **under_root("epsilon", epsilon))
