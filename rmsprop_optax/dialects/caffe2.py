"""Caffe2's RmsProp operator."""

from typing import Any

import optax

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import rate, under_root


def caffe2(
    lr: Any, decay: Any = 0.9, momentum: Any = 0.0, epsilon: Any = 1e-5
) -> optax.GradientTransformationExtraArgs:
    r"""The operator ``RmsProp`` of Caffe2 under the names of its arguments.

    .. math::
      ms_t &= ms_{t-1} + (1 - decay) \cdot (g_t^2 - ms_{t-1}) \\
      mom_t &= momentum \cdot mom_{t-1} + lr_t \cdot g_t / \sqrt{ms_t + epsilon}, \qquad p_{t+1} = p_t - mom_t

    ``RmsPropOptimizer`` of Caffe2's Python wrapper writes ``lr·mom`` back over the operator's buffer, so that its
    momentum is ``momentum·lr`` in truth; that bug is not reproduced.

    Args:
      lr: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); 0 has no buffer.
      epsilon: added to the mean square under the root, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = caffe2(lr=0.1, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.31622

    Source:
      pytorch/pytorch 00bff7a: caffe2/sgd/rmsprop_op.h, caffe2/sgd/rmsprop_op.cc.
    """
    return rmsprop(rate("lr", lr), decay, **under_root("epsilon", epsilon), momentum=momentum)
