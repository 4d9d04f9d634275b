"""Knet.jl's Rmsprop."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import in_float32
from rmsprop_optax.dialects._links import by_norm_of_each, clip, rate, under_root


def knet(*, lr: Any = 0.01, gclip: Any = 0, rho: Any = 0.9, eps: Any = 1e-6) -> optax.GradientTransformationExtraArgs:
    r"""``Knet.Rmsprop`` under its own arguments.

    .. math::
      G_t &= rho \cdot G_{t-1} + (1 - rho) \cdot g_t^2 \\
      p_{t+1} &= p_t - lr_t \cdot g_t / \sqrt{G_t + eps}

    Args:
      lr: at least 0; a number or a schedule.
      gclip: the largest Euclidean norm of each gradient array; 0 is off.
      rho: the weight of the old mean square, in [0, 1).
      eps: added to the mean square under the root, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, after the clipping.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = knet(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      denizyuret/Knet.jl 1.4.10: src/train20/update.jl.
    """
    rule = rmsprop(rate("lr", lr), check("decay", rho, name="rho"), **under_root("eps", eps))
    return in_float32(optax.chain(clip("gclip", gclip, by_norm_of_each), rule))
