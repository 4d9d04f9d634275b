"""ensmallen's RMSProp."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import beside_root, rate


def ensmallen(stepSize: Any = 0.01, *, alpha: Any = 0.99, epsilon: Any = 1e-8) -> optax.GradientTransformationExtraArgs:
    r"""``ens::RMSProp`` of mlpack's ensmallen under its own arguments.

    .. math::
      s_t &= alpha \cdot s_{t-1} + (1 - alpha) \cdot g_t^2 \\
      p_{t+1} &= p_t - stepSize_t \cdot g_t / (\sqrt{s_t} + epsilon)

    An ``epsilon`` that underflows in the matrix' element type becomes ten machine epsilons there; statistics are
    float32 or wider here. ``batchSize`` and the rest do not change the rule.

    Args:
      stepSize: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      epsilon: added to the root, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = ensmallen(stepSize=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -1.0

    Source:
      mlpack/ensmallen 3.11.1: include/ensmallen_bits/rmsprop/rmsprop_update.hpp.
    """
    return rmsprop(rate("stepSize", stepSize), check("decay", alpha, name="alpha"), **beside_root("epsilon", epsilon))
