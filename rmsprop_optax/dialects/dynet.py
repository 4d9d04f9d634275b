"""DyNet's RMSProp."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import in_float32
from rmsprop_optax.dialects._links import clip, under_root


def dynet(
    learning_rate: Any = 0.1, eps: Any = 1e-20, rho: Any = 0.95, *, clip_threshold: Any = 5.0
) -> optax.GradientTransformationExtraArgs:
    r"""``dynet::RMSPropTrainer`` under its own arguments.

    .. math::
      hmsg_t &= rho \cdot hmsg_{t-1} + (1 - rho) \cdot g_t^2 \\
      p_{t+1} &= p_t - learning\_rate_t \cdot g_t / \sqrt{hmsg_t + eps}

    Clipping is on by default. The defaults are those of C++; Python's are 0.001, 1e-8 and 0.9. DyNet keeps parameters
    under a global scale that its weight decay, off by default, shrinks at every step; that is not reproduced.

    Args:
      learning_rate: at least 0; a number or a schedule.
      eps: added to the mean square under the root, at least 0.
      rho: the weight of the old mean square, in [0, 1).
      clip_threshold: the largest Euclidean norm of all gradients together; 0 is off.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, after the clipping.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = dynet()
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.44721

    Source:
      clab/dynet 22b4495: dynet/training.cc, dynet/training.h.
    """
    rule = rmsprop(learning_rate, check("decay", rho, name="rho"), **under_root("eps", eps))
    return in_float32(optax.chain(clip("clip_threshold", clip_threshold, optax.clip_by_global_norm), rule))
