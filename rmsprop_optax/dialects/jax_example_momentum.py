"""The RMSProp with momentum of JAX's own examples."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import rate, under_root


def jax_example_momentum(
    step_size: Any, gamma: Any = 0.9, eps: Any = 1e-8, momentum: Any = 0.9
) -> optax.GradientTransformationExtraArgs:
    r"""``jax.example_libraries.optimizers.rmsprop_momentum`` under its own arguments.

    .. math::
      s_t &= gamma \cdot s_{t-1} + (1 - gamma) \cdot g_t^2 \\
      m_t &= momentum \cdot m_{t-1} + step\_size_t \cdot g_t / \sqrt{s_t + eps}, \qquad p_{t+1} = p_t - m_t

    Args:
      step_size: at least 0; a number or a schedule.
      gamma: the weight of the old mean square, in [0, 1).
      eps: added to the mean square under the root, at least 0.
      momentum: in [0, 1); 0 has no buffer.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = jax_example_momentum(step_size=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      jax-ml/jax 0.10.2: jax/example_libraries/optimizers.py.
    """
    return rmsprop(
        rate("step_size", step_size),
        check("decay", gamma, name="gamma"),
        **under_root("eps", eps),
        momentum=momentum,
    )
