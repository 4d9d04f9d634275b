"""Trax's RMSProp."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import in_float32
from rmsprop_optax.dialects._links import beside_root, clip


def trax(
    learning_rate: Any = 0.001, gamma: Any = 0.9, eps: Any = 1e-8, clip_grad_norm: Any = None
) -> optax.GradientTransformationExtraArgs:
    r"""``trax.optimizers.RMSProp`` under its own arguments.

    .. math::
      v_t &= gamma \cdot v_{t-1} + (1 - gamma) \cdot g_t^2, \qquad v_0 = 1 \\
      p_{t+1} &= p_t - learning\_rate_t \cdot g_t / (\sqrt{v_t} + eps)

    Today the only one that starts from 1 and adds epsilon to the root.

    Args:
      learning_rate: at least 0; a number or a schedule.
      gamma: the weight of the old mean square, in [0, 1).
      eps: added to the root, at least 0.
      clip_grad_norm: the largest Euclidean norm of all gradients together.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, after the clipping.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = trax(learning_rate=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.17541

    Source:
      google/trax 1.4.1: trax/optimizers/rms_prop.py.
    """
    rule = rmsprop(learning_rate, check("decay", gamma, name="gamma"), **beside_root("eps", eps), initial_value=1.0)
    return in_float32(optax.chain(clip("clip_grad_norm", clip_grad_norm, optax.clip_by_global_norm), rule))
