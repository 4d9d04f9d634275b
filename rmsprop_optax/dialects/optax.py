"""optax's RMSprop."""

from typing import Any

import optax as _optax

from rmsprop_optax._numbers import check, check_flags
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import beside_root, under_root


def optax(
    learning_rate: Any,
    decay: Any = 0.9,
    eps: Any = 1e-8,
    initial_scale: Any = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Any = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> _optax.GradientTransformationExtraArgs:
    r"""``optax.rmsprop`` under its own arguments.

    .. math::
      nu_t &= decay \cdot nu_{t-1} + (1 - decay) \cdot |g_t|^2, \qquad nu_0 = initial\_scale \\
      x_t &= g_t / \sqrt{nu_t + eps} \quad \text{or} \quad g_t / (\sqrt{nu_t} + eps) \\
      b_t &= momentum \cdot b_{t-1} + learning\_rate_t \cdot x_t, \qquad p_{t+1} = p_t - b_t

    Differs on purpose: the centered variance is computed without cancellation (optax's turns NaN, and with
    ``bias_correction`` divides the first update by pure rounding); statistics are float32 or wider; ``nesterov``
    without momentum and ``bias_correction`` with an ``initial_scale`` raise. The momentum buffer has the other sign;
    with ``bias_correction`` the statistics are kept corrected, where optax corrects them at every use.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      eps: at least 0, added where ``eps_in_sqrt`` says.
      initial_scale: what the mean square starts from, at least 0.
      eps_in_sqrt: under the root, or else to the root.
      centered: divide by the standard deviation of the gradients.
      momentum: in [0, 1), or ``None`` for no buffer.
      nesterov: take the momentum step once more beyond the buffer.
      bias_correction: weigh the gradients seen so far as Adam does; centered, the first variance is 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range, or an option has no meaning without another.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = optax(0.01, momentum=0.9, nesterov=True)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.06008

    Source:
      google-deepmind/optax 0.2.8: optax/_src/alias.py, optax/_src/transform.py.
    """
    check_flags(eps_in_sqrt=eps_in_sqrt)
    return rmsprop(
        learning_rate,
        decay,
        **(under_root if eps_in_sqrt else beside_root)("eps", eps),
        initial_value=check("initial_value", initial_scale, name="initial_scale"),
        centered=centered,
        momentum=momentum,
        nesterov=nesterov,
        bias_correction=bias_correction,
    )
