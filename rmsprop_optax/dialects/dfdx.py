"""dfdx's RMSprop."""

from typing import Any

import optax

from rmsprop_optax._numbers import check, check_flags, needs
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import penalty, rate, under_root


def dfdx(
    lr: Any = 1e-2,
    alpha: Any = 0.9,
    eps: Any = 1e-8,
    momentum: Any = None,
    centered: bool = False,
    weight_decay: Any = None,
    *,
    decoupled: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``dfdx::nn::optim::RMSprop`` under the names of ``RMSpropConfig``.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \qquad \text{(L2)} \\
      v_t &= v_{t-1} + (1 - alpha) \cdot (g_t^2 - v_{t-1}), \qquad v_0 = 1 \\
      b_t &= momentum \cdot b_{t-1} + g_t / \sqrt{v_t + eps} \\
      p_{t+1} &= p_t - lr_t \cdot b_t - lr_t \cdot weight\_decay \cdot p_t \qquad \text{(decoupled)}

    TensorFlow's initial value and place of epsilon with PyTorch's momentum. In dfdx the mean square of an array that
    gets its first gradient later than others starts from 0, a slip that is not reproduced. Differs on purpose: the
    centered variance is computed without cancellation.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: added to the mean square under the root, at least 0.
      momentum: in [0, 1); ``None`` or 0 has no buffer.
      centered: divide by the standard deviation of the gradients.
      weight_decay: at least 0; ``None`` is off.
      decoupled: ``WeightDecay::Decoupled`` instead of ``WeightDecay::L2``.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range, or ``decoupled`` comes without ``weight_decay``.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = dfdx(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.17541

    Source:
      coreylowman/dfdx 0.13.0: dfdx/src/nn/optim/rmsprop.rs, dfdx-core/src/tensor_ops/rmsprop/.
    """
    check_flags(decoupled=decoupled)
    needs("decoupled", decoupled, "weight_decay", weight_decay)
    return rmsprop(
        rate("lr", lr),
        check("decay", alpha, name="alpha"),
        **under_root("eps", eps),
        initial_value=1.0,
        centered=centered,
        momentum=momentum,
        lr_in_momentum=False,
        **({"weight_decay": weight_decay} if decoupled else {"l2": penalty("weight_decay", weight_decay)}),
    )
