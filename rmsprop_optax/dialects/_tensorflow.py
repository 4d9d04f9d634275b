"""TensorFlow 1's RMSprop and its relatives: epsilon under the root, the learning rate before the buffer."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers
from rmsprop_optax._momentum import momentum_buffer
from rmsprop_optax._rmsprop import rmsprop, scale_by_rate
from rmsprop_optax._scale import scale_by_rms
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import TORCH


@dialect("inside", initial="1", words={"epsilon": "eps"})
def tf1(
    learning_rate: ScalarOrSchedule,
    decay: Number = 0.9,
    momentum: Number | None = None,
    epsilon: Number = 1e-10,
    *,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``tf.compat.v1.train.RMSPropOptimizer`` with its own arguments.

    .. math::
      ms_t &= ms_{t-1} + (1 - decay) \cdot (g_t^2 - ms_{t-1}), \qquad ms_0 = 1 \\
      mom_t &= momentum \cdot mom_{t-1} + learning\_rate_t \cdot g_t / \sqrt{ms_t + epsilon} \\
      p_{t+1} &= p_t - mom_t

    The mean square starts from 1, so training begins as gradient descent. Deviations: without momentum there is no
    buffer (TensorFlow's holds the last step); the centered variance never turns negative; the mean square of a complex
    gradient is that of its absolute value (TensorFlow squares the complex number). TensorFlow does not update rows that
    a sparse gradient leaves out; here gradients are dense. ``use_locking`` and ``name`` do not change the rule and are
    no arguments here.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); ``None`` is off; TensorFlow writes 0.
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
        eps=epsilon,
        initial_scale=1.0,
        centered=centered,
        momentum=momentum,
    )


@dialect("inside", words={"epsilon": "eps"})
def sonnet(
    learning_rate: ScalarOrSchedule,
    decay: Number = 0.9,
    momentum: Number | None = None,
    epsilon: Number = 1e-10,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``sonnet.optimizers.RMSProp`` with its own arguments.

    The rule of :func:`tf1` with a mean square that starts from 0.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); ``None`` is off; Sonnet writes 0.
      epsilon: added to the mean square under the root, at least 0.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = sonnet(learning_rate=0.1, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      google-deepmind/sonnet 2.0.2: sonnet/src/optimizers/rmsprop.py.
    """
    return rmsprop(
        learning_rate,
        decay,
        eps=epsilon,
        centered=centered,
        momentum=momentum,
    )


@dialect(
    "inside",
    note="Centered, tensorflowjs subtracts epsilon under the root.",
    words={"learningRate": "learning_rate", "epsilon": "eps"},
)
def tensorflowjs(
    learningRate: ScalarOrSchedule,
    decay: Number = 0.9,
    momentum: Number | None = None,
    epsilon: Number = 1e-7,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``tf.train.rmsprop`` of TensorFlow.js with its own arguments.

    .. math::
      ms_t &= decay \cdot ms_{t-1} + (1 - decay) \cdot g_t^2 \\
      mom_t &= momentum \cdot mom_{t-1} + learningRate_t \cdot g_t / \sqrt{ms_t + epsilon}, \qquad p_{t+1} = p_t - mom_t

    Centered, TensorFlow.js divides by the root of ``ms − mean² − epsilon``: it subtracts epsilon, a bug that its tests
    expect and that this dialect reproduces. :func:`sonnet` is the rule that was meant. Deviation: where nothing is left
    under the root, as at every zero gradient, this dialect makes no step, and TensorFlow.js turns NaN for good.

    Args:
      learningRate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); ``None`` is off; TensorFlow.js writes 0.
      epsilon: added to the mean square under the root, at least 0. TensorFlow.js takes the backend's: 1e-7, or 1e-4
        on a 16-bit GPU.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = tensorflowjs(learningRate=0.1, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      tensorflow/tfjs 4.22.0: tfjs-core/src/optimizers/rmsprop_optimizer.ts.
    """
    if not centered:
        return rmsprop(learningRate, decay, eps=epsilon, momentum=momentum)
    return chain(
        _subtracting(epsilon, scale_by_rms(decay, centered=True, eps=0.0)),
        scale_by_rate(learningRate),
        momentum_buffer(momentum),
        optax.scale(-1.0),
    )


def _subtracting(epsilon: Any, inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """``g / √(var − epsilon)`` from the ``x = g / √var`` of ``inner``; 0 where ``var`` is at most ``epsilon``."""

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
    lr: ScalarOrSchedule, decay: Number = 0.9, momentum: Number | None = None, epsilon: Number = 1e-5
) -> optax.GradientTransformationExtraArgs:
    r"""The operator ``RmsProp`` of Caffe2 with its own arguments.

    The rule of :func:`tf1` with a mean square that starts from 0. ``RmsPropOptimizer`` of Caffe2's Python wrapper
    writes ``lr·mom`` back over the operator's buffer, so that its momentum is ``momentum·lr``, a bug that is not
    reproduced.

    Args:
      lr: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); ``None`` is off; Caffe2 writes 0.
      epsilon: added to the mean square under the root, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = caffe2(lr=0.1, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.31622

    Source:
      pytorch/pytorch 00bff7a: caffe2/sgd/rmsprop_op.h, caffe2/sgd/rmsprop_op.cc.
    """
    return rmsprop(lr, decay, eps=epsilon, momentum=momentum)


@dialect("inside", "L2", initial="1", words={"epsilon": "eps", "weight_decay": "l2"})
def mindspore(
    learning_rate: ScalarOrSchedule = 0.1,
    decay: Number = 0.9,
    momentum: Number | None = None,
    epsilon: Number = 1e-10,
    *,
    centered: bool = False,
    weight_decay: ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""``mindspore.nn.RMSProp`` with its own arguments.

    The rule of :func:`tf1` with weight decay, which is added to the gradient. MindSpore does not decay parameters with
    ``beta`` or ``gamma`` in their names by default: chain :func:`optax.add_decayed_weights` with a mask for that.
    ``use_locking`` and ``loss_scale`` do not change the rule.

    Args:
      learning_rate: at least 0; a number or a schedule.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); ``None`` is off; MindSpore writes 0.
      epsilon: added to the mean square under the root, at least 0.
      centered: divide by the standard deviation of the gradients.
      weight_decay: at least 0; ``weight_decay·p`` is added to the gradient (L2). ``None`` is off.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = mindspore(momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.17541

    Source:
      mindspore-ai/mindspore 2.10.0: mindspore/python/mindspore/nn/optim/rmsprop.py.
    """
    return rmsprop(
        learning_rate,
        decay,
        eps=epsilon,
        initial_scale=1.0,
        centered=centered,
        momentum=momentum,
        l2=weight_decay,
    )


@dialect("inside", "L2", words={"rho": "decay", "epsilon": "eps", "weight_decay": "l2"})
def paddle(
    learning_rate: ScalarOrSchedule,
    rho: Number = 0.95,
    epsilon: Number = 1e-6,
    momentum: Number | None = None,
    centered: bool = False,
    *,
    weight_decay: ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""``paddle.optimizer.RMSProp`` with its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      r_t &= rho \cdot r_{t-1} + (1 - rho) \cdot g_t^2 \\
      v_t &= momentum \cdot v_{t-1} + learning\_rate_t \cdot g_t / \sqrt{r_t + epsilon}, \qquad p_{t+1} = p_t - v_t

    Paddle's documentation describes Nesterov's momentum, but its kernel is the heavy ball. ``grad_clip`` is a link
    before this transformation: ``optax.clip_by_global_norm`` for ``ClipGradByGlobalNorm``. ``parameters`` and ``name``
    do not change the rule.

    Args:
      learning_rate: at least 0; a number or a schedule.
      rho: the weight of the old mean square, in [0, 1).
      epsilon: added to the mean square under the root, at least 0.
      momentum: in [0, 1); ``None`` is off; Paddle writes 0.
      centered: divide by the standard deviation of the gradients.
      weight_decay: at least 0; ``weight_decay·p`` is added to the gradient, Paddle's ``L2Decay``. ``None`` is off.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = paddle(learning_rate=0.1, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.44721

    Source:
      PaddlePaddle/Paddle 3.3.1: python/paddle/optimizer/rmsprop.py, paddle/phi/kernels/impl/rmsprop_kernel_impl.h.
    """
    return rmsprop(
        learning_rate,
        rho,
        eps=epsilon,
        centered=centered,
        momentum=momentum,
        l2=weight_decay,
    )


@dialect("inside", "L2", refused=("momentum",), words=TORCH)
def oneflow(
    lr: ScalarOrSchedule = 1e-3,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``oneflow.optim.RMSprop`` with its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      s_t &= alpha \cdot s_{t-1} + (1 - alpha) \cdot g_t^2 \\
      p_{t+1} &= p_t - lr_t \cdot g_t / \sqrt{s_t + eps}

    OneFlow refuses ``momentum``, and so does this dialect.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: added to the mean square under the root, at least 0.
      weight_decay: at least 0; ``weight_decay·p`` is added to the gradient (L2). ``None`` is off; OneFlow writes 0.
      momentum: ``None``.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range, or ``momentum`` is set.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = oneflow(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -1.0

    Source:
      Oneflow-Inc/oneflow 25c8978: python/oneflow/nn/optimizer/rmsprop.py.
    """
    return rmsprop(lr, alpha, eps=eps, centered=centered, l2=weight_decay)
