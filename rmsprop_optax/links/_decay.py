"""Weight decay that does not follow the learning rate."""

import optax

from rmsprop_optax import _tree
from rmsprop_optax._arguments import checked
from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax._numbers import OFF, Range
from rmsprop_optax._types import Mask, ScalarOrSchedule


@checked(
    weight_decay=Range(
        0, 1, f"it times the parameter is subtracted, whatever the learning rate; {OFF}", optional=True, schedule=True
    )
)
def decay_weights(weight_decay: ScalarOrSchedule | None, mask: Mask = None) -> optax.GradientTransformationExtraArgs:
    r"""Shrink parameters by a share of themselves at each step, whatever the learning rate.

    .. math::
      u_t \leftarrow u_t - weight\_decay_t \cdot p_t

    Chain this link last: ``optax.chain(dialects.pytorch(), decay_weights(1e-4))``. The ``weight_decay`` of
    :func:`rmsprop_optax.rmsprop` subtracts ``learning_rate·weight_decay·p`` instead, which falls with the schedule.

    Args:
      weight_decay: the share, in [0, 1); a number or a schedule of the step count. ``None`` or 0 is off.
      mask: the parameters that decay: a tree of bools that is a prefix of the parameters, or a function from the
        parameters to such a tree. ``None`` is all.

    Returns:
      A transformation whose state is empty, or a :class:`rmsprop_optax.WeightDecayState` with a schedule.

    Raises:
      ValueError: ``weight_decay`` is out of its range; at ``update``, there are no parameters or the mask does not fit.
      TypeError: ``weight_decay`` is not a number, or the mask is not made of bools.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx, params = decay_weights(0.1), jnp.array([2.0])
      >>> updates, _ = tx.update(jnp.zeros(1), tx.init(params), params)
      >>> round(float(updates[0]), 4)
      -0.2

    Source:
      Loshchilov and Hutter, arXiv:1711.05101, algorithm 1, with a schedule multiplier of 1; Flashlight 0.4:
      flashlight/fl/optim/RMSPropOptimizer.cpp.
    """
    link = add_weight_decay(weight_decay, times=(-1.0,), mask=mask)
    return _tree.in_float32(optax.identity() if link is None else link)
