"""RMSProp of Blocks."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop


def blocks(
    learning_rate: Any = 1.0, decay_rate: Any = 0.9, max_scaling: Any = 1e5
) -> optax.GradientTransformationExtraArgs:
    r"""``blocks.algorithms.RMSProp`` under its own arguments.

    .. math::
      s_t &= decay\_rate \cdot s_{t-1} + (1 - decay\_rate) \cdot g_t^2 \\
      p_{t+1} &= p_t - learning\_rate_t \cdot g_t / \max(\sqrt{s_t}, 1 / max\_scaling)

    No epsilon is added anywhere: the root is bounded from below. ``BasicRMSProp`` is the same with a learning rate of
    1, and pylearn2's ``RMSProp(decay, max_scaling)`` has this rule too.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay_rate: the weight of the old mean square, in [0, 1).
      max_scaling: the most that a gradient may be multiplied by, above 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = blocks(learning_rate=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      mila-iqia/blocks 0.2.0: blocks/algorithms/__init__.py.
    """
    floor = 1.0 / check("max_scaling", max_scaling)
    return rmsprop(learning_rate, check("decay", decay_rate, name="decay_rate"), eps_root=0.0, floor=floor)
