"""TensorFlow 1's RMSprop and its relatives: epsilon under the root, the learning rate before the buffer."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers
from rmsprop_optax._momentum import momentum_buffer
from rmsprop_optax._rmsprop import rule, scale_by_rate
from rmsprop_optax._scale import rms
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Number
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import (
    TORCH,
    refuse,
)


@dialect("inside", initial="1", words={"epsilon": "eps"})
def tf1(
    learning_rate: optax.ScalarOrSchedule,
    decay: Number = 0.9,
    momentum: Number | None = None,
    epsilon: Number = 1e-10,
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
      momentum: in [0, 1); ``None`` or 0 has no buffer.
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
    return rule(
        learning_rate,
        decay,
        eps_root=epsilon,
        initial_scale=1.0,
        centered=centered,
        momentum=momentum,
    )


@dialect("inside", words={"epsilon": "eps"})
def sonnet(
    learning_rate: optax.ScalarOrSchedule,
    decay: Number = 0.9,
    momentum: Number | None = None,
    epsilon: Number = 1e-10,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``sonnet.optimizers.RMSProp`` under its own arguments.

    .. math::
      ms_t &= decay \cdot ms_{t-1} + (1 - decay) \cdot g_t^2 \\
      mom_t &= momentum \cdot mom_{t-1} + learning\_rate_t \cdot g_t / \sqrt{ms_t + epsilon} \\
      p_{t+1} &= p_t - mom_t

    TensorFlow 1's rule, except that the mean square starts from 0. Differs on purpose: the centered variance is
    computed without cancellation. Gradients are dense: Sonnet leaves rows that a sparse gradient does not name as they
    are.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); ``None`` or 0 has no buffer.
      epsilon: added to the mean square under the root, at least 0.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = sonnet(learning_rate=0.1, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      google-deepmind/sonnet 2.0.2: sonnet/src/optimizers/rmsprop.py.
    """
    return rule(
        learning_rate,
        decay,
        eps_root=epsilon,
        centered=centered,
        momentum=momentum,
    )


@dialect("inside", words={"learningRate": "learning_rate", "epsilon": "eps"})
def tensorflowjs(
    learningRate: optax.ScalarOrSchedule,
    decay: Number = 0.9,
    momentum: Number | None = None,
    epsilon: Number = 1e-7,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``tf.train.rmsprop`` of TensorFlow.js under its own arguments.

    .. math::
      ms_t &= decay \cdot ms_{t-1} + (1 - decay) \cdot g_t^2 \\
      mom_t &= momentum \cdot mom_{t-1} + learningRate_t \cdot g_t / \sqrt{ms_t + epsilon}, \qquad p_{t+1} = p_t - mom_t

    Centered, TensorFlow.js subtracts epsilon, a bug that its tests hold and that this reproduces: the denominator is
    the root of ``ms − mean² − epsilon``. Where that leaves nothing under the root, as at every zero gradient,
    TensorFlow.js turns NaN for good, and this makes no step; :func:`sonnet` is the rule that was meant. The variance is
    computed without cancellation.

    Args:
      learningRate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); ``None`` or 0 has no buffer.
      epsilon: added to the mean square under the root, at least 0. The backend's own in TensorFlow.js: 1e-7, or 1e-4 on
        a 16-bit GPU.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = tensorflowjs(learningRate=0.1, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      tensorflow/tfjs 4.22.0: tfjs-core/src/optimizers/rmsprop_optimizer.ts.
    """
    if not centered:
        return rule(learningRate, decay, eps_root=epsilon, momentum=momentum)
    return chain(
        _subtracting(epsilon, rms(decay, centered=True)),
        scale_by_rate(learningRate),
        momentum_buffer(momentum),
        optax.scale(-1.0),
    )


def _subtracting(epsilon: Any, inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """``g / √(var − epsilon)`` from the ``x = g / √var`` of ``inner``; 0 where that has no root."""

    def one(x: Any, g: Any) -> Any:
        if x is None:
            return None
        share = _numbers.cast(epsilon, _numbers.real(x.dtype)) * jnp.abs(x / g.astype(x.dtype)) ** 2
        return jnp.where((x == 0) | (share >= 1), 0, x / jnp.sqrt(1 - share).astype(x.dtype))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        del extra_args
        steps, state = inner.update(updates, state, params)
        return jax.tree.map(one, steps, updates, is_leaf=lambda x: x is None), state

    return optax.GradientTransformationExtraArgs(inner.init, update)


@dialect("inside", words={"lr": "learning_rate", "epsilon": "eps"})
def caffe2(
    lr: optax.ScalarOrSchedule, decay: Number = 0.9, momentum: Number | None = None, epsilon: Number = 1e-5
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
      momentum: in [0, 1); ``None`` or 0 has no buffer.
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
    return rule(lr, decay, eps_root=epsilon, momentum=momentum)


@dialect("inside", "L2", initial="1", words={"epsilon": "eps", "weight_decay": "l2"})
def mindspore(
    learning_rate: optax.ScalarOrSchedule = 0.1,
    decay: Number = 0.9,
    momentum: Number | None = None,
    epsilon: Number = 1e-10,
    *,
    centered: bool = False,
    weight_decay: optax.ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""``mindspore.nn.RMSProp`` under its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      s_t &= decay \cdot s_{t-1} + (1 - decay) \cdot g_t^2, \qquad s_0 = 1 \\
      m_t &= momentum \cdot m_{t-1} + learning\_rate_t \cdot g_t / \sqrt{s_t + epsilon}, \qquad p_{t+1} = p_t - m_t

    TensorFlow 1's rule with a weight decay. MindSpore leaves parameters with ``beta`` or ``gamma`` in their names
    undecayed unless told otherwise: chain :func:`optax.add_decayed_weights` with a mask for that. Differs on purpose:
    the centered variance is computed without cancellation. ``use_locking`` and ``loss_scale`` do not change the rule.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); ``None`` or 0 has no buffer.
      epsilon: added to the mean square under the root, at least 0.
      centered: divide by the standard deviation of the gradients.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = mindspore(momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.17541

    Source:
      mindspore-ai/mindspore 2.10.0: mindspore/python/mindspore/nn/optim/rmsprop.py.
    """
    return rule(
        learning_rate,
        decay,
        eps_root=epsilon,
        initial_scale=1.0,
        centered=centered,
        momentum=momentum,
        l2=weight_decay,
    )


@dialect("inside", "L2", words={"rho": "decay", "epsilon": "eps", "weight_decay": "l2"})
def paddle(
    learning_rate: optax.ScalarOrSchedule,
    rho: Number = 0.95,
    epsilon: Number = 1e-6,
    momentum: Number | None = None,
    centered: bool = False,
    *,
    weight_decay: optax.ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""``paddle.optimizer.RMSProp`` under its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      r_t &= rho \cdot r_{t-1} + (1 - rho) \cdot g_t^2 \\
      v_t &= momentum \cdot v_{t-1} + learning\_rate_t \cdot g_t / \sqrt{r_t + epsilon}, \qquad p_{t+1} = p_t - v_t

    Its documentation speaks of Nesterov's momentum; its kernel is the heavy ball. Differs on purpose: the centered
    variance is computed without cancellation. ``grad_clip`` is a link before this one, ``optax.clip_by_global_norm``
    for ``ClipGradByGlobalNorm``; ``parameters`` and ``name`` do not change the rule.

    Args:
      learning_rate: at least 0; a number or a schedule.
      rho: the weight of the old mean square, in [0, 1).
      epsilon: added to the mean square under the root, at least 0.
      momentum: in [0, 1); ``None`` or 0 has no buffer.
      centered: divide by the standard deviation of the gradients.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0. A number is Paddle's
        ``L2Decay``.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = paddle(learning_rate=0.1, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.44721

    Source:
      PaddlePaddle/Paddle 3.3.1: python/paddle/optimizer/rmsprop.py, paddle/phi/kernels/impl/rmsprop_kernel_impl.h.
    """
    return rule(
        learning_rate,
        rho,
        eps_root=epsilon,
        centered=centered,
        momentum=momentum,
        l2=weight_decay,
    )


@dialect("inside", "L2", buffer="never", words=TORCH)
def oneflow(
    lr: optax.ScalarOrSchedule = 1e-3,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: optax.ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``oneflow.optim.RMSprop`` under its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      s_t &= alpha \cdot s_{t-1} + (1 - alpha) \cdot g_t^2 \\
      p_{t+1} &= p_t - lr_t \cdot g_t / \sqrt{s_t + eps}

    OneFlow refuses ``momentum``, and so does this. Differs on purpose: the centered variance is computed without
    cancellation.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: added to the mean square under the root, at least 0.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0.
      momentum: 0; OneFlow has no buffer for it.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range, or ``momentum`` is asked for.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = oneflow(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -1.0

    Source:
      Oneflow-Inc/oneflow 25c8978: python/oneflow/nn/optimizer/rmsprop.py.
    """
    refuse("OneFlow", momentum=momentum)
    return rule(
        lr,
        alpha,
        eps_root=eps,
        centered=centered,
        l2=weight_decay,
    )
