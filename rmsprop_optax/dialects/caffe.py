"""Caffe's RMSProp."""

from typing import Any

import optax

from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import in_float32
from rmsprop_optax.dialects._links import add_signs, beside_root, clip, rate


def caffe(
    base_lr: Any,
    *,
    rms_decay: Any = 0.99,
    delta: Any = 1e-8,
    weight_decay: Any = 0.0,
    regularization_type: str = "L2",
    clip_gradients: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""The solver type ``RMSProp`` of Caffe under the names of ``SolverParameter``.

    .. math::
      g_t &\leftarrow clip(g_t) + weight\_decay \cdot p_t \\
      h_t &= rms\_decay \cdot h_{t-1} + (1 - rms\_decay) \cdot g_t^2 \\
      p_{t+1} &= p_t - base\_lr_t \cdot g_t / (\sqrt{h_t} + delta)

    Caffe refuses momentum with this solver. ``lr_policy`` is a schedule here, and ``iter_size`` is ``optax.MultiSteps``
    around this, except that Caffe clips the sum of the gradients and not their mean.

    Args:
      base_lr: at least 0; a number or a schedule.
      rms_decay: the weight of the old mean square, in [0, 1).
      delta: added to the root, at least 0.
      weight_decay: added to the clipped gradient, at least 0: ``weight_decay·p``, or its sign for "L1".
      regularization_type: "L2" or "L1".
      clip_gradients: the largest Euclidean norm of all gradients together; Caffe's -1 is
        ``None`` here.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, after clipping and regularisation.

    Raises:
      ValueError: a number is out of its range, or the type of regularisation is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = caffe(base_lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -1.0

    Source:
      BVLC/caffe 9b89154: src/caffe/solvers/rmsprop_solver.cpp, src/caffe/solvers/sgd_solver.cpp,
      src/caffe/proto/caffe.proto.
    """
    if regularization_type not in ("L2", "L1"):
        raise ValueError(f'regularization_type must be "L2" or "L1", got {regularization_type!r}.')
    return in_float32(
        optax.chain(
            clip("clip_gradients", clip_gradients, optax.clip_by_global_norm),
            add_weight_decay("l2", weight_decay, name="weight_decay")
            if regularization_type == "L2"
            else add_signs("weight_decay", weight_decay),
            rmsprop(
                rate("base_lr", base_lr),
                check("decay", rms_decay, name="rms_decay"),
                **beside_root("delta", delta),
            ),
        )
    )
