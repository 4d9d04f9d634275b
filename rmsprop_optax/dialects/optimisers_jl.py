"""RMSProp of Julia's Optimisers.jl and Flux."""

from typing import Any

import optax

from rmsprop_optax._numbers import check, check_flags
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import beside_root, rate


def optimisers_jl(
    eta: Any = 0.001, rho: Any = 0.9, epsilon: Any = 1e-8, *, centred: bool = False
) -> optax.GradientTransformationExtraArgs:
    r"""``Optimisers.RMSProp`` under its own arguments; ``epsilon`` is ``ϵ`` in older releases.

    .. math::
      quad_t &= rho \cdot quad_{t-1} + (1 - rho) \cdot g_t^2 \\
      p_{t+1} &= p_t - eta_t \cdot g_t / (\sqrt{quad_t} + epsilon)

    Differs on purpose: the centered variance is computed without cancellation.

    Args:
      eta: at least 0; a number or a schedule.
      rho: the weight of the old mean square, in [0, 1).
      epsilon: added to the root, at least 0.
      centred: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = optimisers_jl(eta=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      FluxML/Optimisers.jl 0.4.8: src/rules.jl.
    """
    check_flags(centred=centred)
    return rmsprop(
        rate("eta", eta),
        check("decay", rho, name="rho"),
        **beside_root("epsilon", epsilon),
        centered=centred,
    )
