"""RmsProp of Deeplearning4j."""

from typing import Any

import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import beside_root, rate


def dl4j(learningRate: Any = 0.1, rmsDecay: Any = 0.95, epsilon: Any = 1e-8) -> optax.GradientTransformationExtraArgs:
    r"""``org.nd4j.linalg.learning.config.RmsProp`` under its own arguments.

    .. math::
      G_t &= rmsDecay \cdot G_{t-1} + (1 - rmsDecay) \cdot g_t^2, \qquad G_0 = epsilon \\
      p_{t+1} &= p_t - learningRate_t \cdot g_t / (\sqrt{G_t} + epsilon)

    Args:
      learningRate: at least 0; a number or a schedule.
      rmsDecay: the weight of the old mean square, in [0, 1).
      epsilon: added to the root, at least 0. The mean square starts from it.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = dl4j()
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.44721

    Source:
      deeplearning4j/deeplearning4j 1373917: RmsPropUpdater.java of nd4j, updaterRmsProp.cpp of libnd4j.
    """
    return rmsprop(
        rate("learningRate", learningRate),
        check("decay", rmsDecay, name="rmsDecay"),
        **beside_root("epsilon", epsilon),
        initial_value=epsilon,
    )
