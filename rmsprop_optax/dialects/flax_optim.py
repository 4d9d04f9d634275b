"""RMSProp of flax.optim."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import beside_root


def flax_optim(
    learning_rate: Any, beta2: Any = 0.9, eps: Any = 1e-8, centered: bool = False
) -> optax.GradientTransformationExtraArgs:
    r"""``flax.optim.RMSProp``, which Flax 0.6.0 removed, under its own arguments.

    .. math::
      v_t &= beta2 \cdot v_{t-1} + (1 - beta2) \cdot g_t^2 \\
      p_{t+1} &= p_t - learning\_rate_t \cdot g_t / (\sqrt{v_t} + eps)

    Differs on purpose: the centered variance is computed without cancellation. Flax's ``learning_rate=None`` waits for
    one at every step; here it is required.

    Args:
      learning_rate: at least 0; a number or a schedule.
      beta2: the weight of the old mean square, in [0, 1).
      eps: added to the root, at least 0.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = flax_optim(learning_rate=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      google/flax 0.5.3: flax/optim/rmsprop.py.
    """
    return rmsprop(learning_rate, check("decay", beta2, name="beta2"), **beside_root("eps", eps), centered=centered)
