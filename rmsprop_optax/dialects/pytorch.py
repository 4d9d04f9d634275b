"""PyTorch's RMSprop."""

from typing import Any

import optax

from rmsprop_optax import _tree
from rmsprop_optax._numbers import check, check_flags
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import beside_root, penalty, rate


def pytorch(
    lr: Any = 1e-2,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0,
    momentum: Any = 0,
    centered: bool = False,
    *,
    maximize: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``torch.optim.RMSprop`` under its own arguments.

    .. math::
      g_t &\leftarrow \pm g_t + weight\_decay \cdot p_t \\
      v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g_t^2 \\
      b_t &= momentum \cdot b_{t-1} + g_t / (\sqrt{v_t} + eps) \\
      p_{t+1} &= p_t - lr_t \cdot b_t

    The real and the imaginary part of a complex parameter are two parameters, each with a mean square of its own.
    Differs on purpose: the centered variance is computed without cancellation (PyTorch's turns NaN), and statistics are
    float32 or wider. ``foreach``, ``capturable`` and ``differentiable`` do not change the rule and are not taken.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: added to the root, at least 0.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0.
      momentum: in [0, 1); 0 has no buffer.
      centered: divide by the standard deviation of the gradients.
      maximize: ascend, by negating the gradient before the weight decay.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, with a pair of arrays in the state of a
      complex parameter.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = pytorch(lr=0.01, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 4)
      -0.1

    Source:
      pytorch/pytorch 2.13.0: torch/optim/rmsprop.py.
    """
    check_flags(maximize=maximize)
    rule = rmsprop(
        rate("lr", lr),
        check("decay", alpha, name="alpha"),
        **beside_root("eps", eps),
        centered=centered,
        momentum=momentum,
        lr_in_momentum=False,
        l2=penalty("weight_decay", weight_decay),
    )
    return optax.chain(optax.scale(-1.0) if maximize else optax.identity(), _tree.per_component(rule))
