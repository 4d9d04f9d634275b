"""Burn's RmsProp."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import beside_root, penalty, rate


def burn(
    lr: Any,
    alpha: Any = 0.99,
    momentum: Any = 0.9,
    epsilon: Any = 1e-5,
    centered: bool = False,
    weight_decay: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""``burn::optim::RmsProp`` under the names of its configuration.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g_t^2 \\
      b_t &= momentum \cdot b_{t-1} + g_t / (\sqrt{v_t} + epsilon), \qquad p_{t+1} = p_t - lr_t \cdot b_t

    PyTorch's rule with other defaults: momentum is 0.9, where PyTorch's is 0. Differs on purpose: the centered
    variance is computed without cancellation. ``grad_clipping`` is a link before this one.

    Args:
      lr: at least 0; a number or a schedule. Burn takes it at every step.
      alpha: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); 0 has no buffer.
      epsilon: added to the root, at least 0.
      centered: divide by the standard deviation of the gradients.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0. ``None`` is off.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = burn(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.99995

    Source:
      tracel-ai/burn 0.22.0-pre.2: crates/burn-optim/src/optim/rmsprop.rs.
    """
    return rmsprop(
        rate("lr", lr),
        check("decay", alpha, name="alpha"),
        **beside_root("epsilon", epsilon),
        centered=centered,
        momentum=momentum,
        lr_in_momentum=False,
        l2=penalty("weight_decay", weight_decay),
    )
