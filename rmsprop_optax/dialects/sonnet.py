"""Sonnet 2's RMSProp."""

from typing import Any

import optax

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import under_root


def sonnet(
    learning_rate: Any, decay: Any = 0.9, momentum: Any = 0.0, epsilon: Any = 1e-10, centered: bool = False
) -> optax.GradientTransformationExtraArgs:
    r"""``sonnet.optimizers.RMSProp`` under its own arguments.

    .. math::
      ms_t &= decay \cdot ms_{t-1} + (1 - decay) \cdot g_t^2 \\
      mom_t &= momentum \cdot mom_{t-1} + learning\_rate_t \cdot g_t / \sqrt{ms_t + epsilon} \\
      p_{t+1} &= p_t - mom_t

    TensorFlow 1's rule, except that the mean square starts from 0. Differs on purpose: the centered variance is
    computed without cancellation. Gradients are dense: Sonnet leaves rows that a sparse gradient does not name as they
    are.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); 0 has no buffer.
      epsilon: added to the mean square under the root, at least 0.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = sonnet(learning_rate=0.1, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      google-deepmind/sonnet 2.0.2: sonnet/src/optimizers/rmsprop.py.
    """
    return rmsprop(
        learning_rate,
        decay,
        **under_root("epsilon", epsilon),
        centered=centered,
        momentum=momentum,
    )
