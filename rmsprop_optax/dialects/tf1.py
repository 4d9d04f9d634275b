"""TensorFlow 1's RMSprop."""

from typing import Any

import optax

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import under_root


def tf1(
    learning_rate: Any,
    decay: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-10,
    *,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``tf.compat.v1.train.RMSPropOptimizer`` under its own arguments.

    .. math::
      ms_t &= ms_{t-1} + (1 - decay) \cdot (g_t^2 - ms_{t-1}), \qquad ms_0 = 1 \\
      mom_t &= momentum \cdot mom_{t-1} + learning\_rate_t \cdot g_t / \sqrt{ms_t + epsilon} \\
      p_{t+1} &= p_t - mom_t

    The mean square starts from 1, so training begins as gradient descent. Differs on purpose: with ``momentum=0`` there
    is no buffer, where TensorFlow's holds the last step; the centered variance is computed without cancellation; the
    mean square of a complex number is of its absolute value, where TensorFlow squares the complex number. Gradients are
    dense: TensorFlow leaves rows that a sparse gradient does not name as they are. ``use_locking`` and ``name`` do not
    change the rule and are not taken.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); 0 has no buffer.
      epsilon: added to the mean square under the root, at least 0.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = tf1(2.0, epsilon=1.0)
      >>> updates, state = tx.update(jnp.array([0.1]), tx.init(jnp.ones(1)))
      >>> round(float(updates[0]), 4)  # 2·0.1 / √(0.901 + 1)
      -0.1451

    Source:
      tensorflow/tensorflow 2.21.0: tensorflow/python/training/rmsprop.py, tensorflow/core/kernels/training_ops.cc.
    """
    return rmsprop(
        learning_rate,
        decay,
        **under_root("epsilon", epsilon),
        initial_value=1.0,
        centered=centered,
        momentum=momentum,
    )
