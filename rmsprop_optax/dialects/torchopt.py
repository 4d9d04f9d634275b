"""TorchOpt's RMSprop."""

from typing import Any

import optax

from rmsprop_optax._numbers import check, check_flags
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import in_float32
from rmsprop_optax.dialects._links import beside_root, penalty, rate


def torchopt(
    lr: Any = 1e-2,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    momentum: Any = 0.0,
    centered: bool = False,
    *,
    initial_scale: Any = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``torchopt.RMSProp`` and ``torchopt.rmsprop`` under their own arguments.

    .. math::
      g_t &\leftarrow \pm g_t + weight\_decay \cdot p_t \\
      nu_t &= alpha \cdot nu_{t-1} + (1 - alpha) \cdot g_t^2, \qquad nu_0 = initial\_scale \\
      b_t &= momentum \cdot b_{t-1} + g_t / (\sqrt{nu_t} + eps), \qquad p_{t+1} = p_t - lr_t \cdot b_t

    PyTorch's, with an initial value and Nesterov's momentum from optax. Differs on purpose: the centered variance is
    computed without cancellation. ``nesterov`` without momentum raises.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: added to the root, at least 0.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0.
      momentum: in [0, 1); 0 has no buffer.
      centered: divide by the standard deviation of the gradients.
      initial_scale: what the mean square starts from, at least 0.
      nesterov: take the momentum step once more beyond the buffer.
      maximize: ascend, by negating the gradient before the weight decay.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range, or an option has no meaning without another.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = torchopt(lr=0.01, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.1

    Source:
      metaopt/torchopt 0.7.3: torchopt/alias/rmsprop.py, torchopt/transform/.
    """
    check_flags(maximize=maximize)
    rule = rmsprop(
        rate("lr", lr),
        check("decay", alpha, name="alpha"),
        **beside_root("eps", eps),
        centered=centered,
        initial_value=check("initial_value", initial_scale, name="initial_scale"),
        momentum=momentum,
        nesterov=nesterov,
        lr_in_momentum=False,
        l2=penalty("weight_decay", weight_decay),
    )
    return in_float32(optax.chain(optax.scale(-1.0), rule)) if maximize else rule
