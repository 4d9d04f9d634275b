"""bitsandbytes' RMSprop with a 32-bit state."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import beside_root, penalty, rate, refuse


def bitsandbytes(
    lr: Any = 1e-2, alpha: Any = 0.99, eps: Any = 1e-8, weight_decay: Any = 0, momentum: Any = 0, centered: bool = False
) -> optax.GradientTransformationExtraArgs:
    r"""``bitsandbytes.optim.RMSprop32bit`` under its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g_t^2 \\
      p_{t+1} &= p_t - lr_t \cdot g_t / (\sqrt{v_t} + eps)

    bitsandbytes accepts ``momentum`` and silently ignores it; this raises, as both do for ``centered``. Its 8-bit
    kernel for CUDA lets the weight decay into the mean square alone, a bug that is not reproduced. The arguments of its
    storage and ``args`` do not change the rule and are not taken.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1). bitsandbytes refuses 0.
      eps: added to the root, at least 0.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0.
      momentum: 0; bitsandbytes has no buffer for it.
      centered: False; bitsandbytes has no centered form.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range, or ``momentum`` or ``centered`` is asked for.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = bitsandbytes(lr=0.01)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.1

    Source:
      bitsandbytes-foundation/bitsandbytes 0.50.2: bitsandbytes/optim/rmsprop.py, bitsandbytes/optim/optimizer.py.
    """
    refuse("bitsandbytes", momentum=momentum, centered=centered)
    return rmsprop(
        rate("lr", lr),
        check("decay", alpha, name="alpha"),
        **beside_root("eps", eps),
        l2=penalty("weight_decay", weight_decay),
    )
