"""Hinton's RMSprop, as the lecture has it."""

from typing import Any

import optax

from rmsprop_optax._rmsprop import rmsprop


def hinton(
    learning_rate: Any, decay: Any = 0.9, *, momentum: Any = None, nesterov: bool = False
) -> optax.GradientTransformationExtraArgs:
    r"""RMSprop of the lecture: no epsilon, a mean square that starts from 0, momentum if asked for.

    .. math::
      nu_t &= decay \cdot nu_{t-1} + (1 - decay) \cdot g_t^2 \\
      b_t &= momentum \cdot b_{t-1} + learning\_rate_t \cdot g_t / \sqrt{nu_t}, \qquad p_{t+1} = p_t - b_t

    The lecture gives neither a learning rate nor an initial value; 0 is everyone's reading. The first step is then
    ``learning_rate / sqrt(1 - decay)`` in every weight. A weight that never saw a gradient stays, though 0/0 is not
    defined.

    Its further developments: standard momentum, which "does not help as much as momentum normally does"; Nesterov's,
    which works best where the root divides the correction and not the jump, as it does here; and an adaptive learning
    rate for each connection, which is :func:`rmsprop_optax.scale_by_gains` in a chain.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); ``None`` or 0 has no buffer.
      nesterov: jump by the momentum first and correct there; the parameters are those after the jump, and
        :func:`rmsprop_optax.nesterov_eval_params` takes it back.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range, or ``nesterov`` comes without momentum.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = hinton(0.01)
      >>> updates, state = tx.update(jnp.array([2.0, 0.0]), tx.init(jnp.zeros(2)))
      >>> [round(float(u), 4) for u in updates]
      [-0.0316, -0.0]

    Source:
      Hinton, Srivastava, Swersky: Neural Networks for Machine Learning, lecture 6.5, 2012, slides 26 to 31.
    """
    return rmsprop(learning_rate, decay, eps=0.0, eps_root=0.0, momentum=momentum, nesterov=nesterov)
