"""Chainer's RMSprop."""

from typing import Any

import optax

from rmsprop_optax._numbers import check, check_flags
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import beside_root, rate, under_root


def chainer(
    lr: Any = 0.01, alpha: Any = 0.99, eps: Any = 1e-8, eps_inside_sqrt: bool = False
) -> optax.GradientTransformationExtraArgs:
    r"""``chainer.optimizers.RMSprop`` under its own arguments.

    .. math::
      ms_t &= alpha \cdot ms_{t-1} + (1 - alpha) \cdot g_t^2 \\
      p_{t+1} &= p_t - lr_t \cdot g_t / (\sqrt{ms_t} + eps) \quad \text{or} \quad
      p_t - lr_t \cdot g_t / \sqrt{ms_t + eps}

    Weight decay is a hook in Chainer, ``optax.add_decayed_weights`` before this.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: at least 0, added where ``eps_inside_sqrt`` says.
      eps_inside_sqrt: under the root, or else to the root.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = chainer(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -1.0

    Source:
      chainer/chainer 7.8.1: chainer/optimizers/rmsprop.py.
    """
    check_flags(eps_inside_sqrt=eps_inside_sqrt)
    return rmsprop(
        rate("lr", lr),
        check("decay", alpha, name="alpha"),
        **(under_root if eps_inside_sqrt else beside_root)("eps", eps),
    )
