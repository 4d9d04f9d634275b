"""TensorFlow 1's RMSprop and its relatives: epsilon under the root, the learning rate before the buffer."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers
from rmsprop_optax._momentum import momentum_buffer
from rmsprop_optax._rmsprop import rmsprop, scale_by_learning_rate
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
    """``tf.compat.v1.train.RMSPropOptimizer`` with its own arguments::

      ms_t = ms_{t-1} + (1 - decay) · (g_t² - ms_{t-1}),   ms_0 = 1
      mom_t = momentum · mom_{t-1} + learning_rate_t · g_t / √(ms_t + epsilon)
      p_{t+1} = p_t - mom_t

    The mean square starts from 1, so training begins as gradient descent. Deviations: without momentum there is no
    buffer (TensorFlow's holds the last step); the mean square of a complex gradient averages |g|² (TensorFlow squares
    the complex number). TensorFlow does not update rows that a sparse gradient leaves out; here gradients are dense.
    ``use_locking`` and ``name``, which do not change the rule, are omitted.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = tf1(2.0, epsilon=1.0)
      >>> updates, state = tx.update(jnp.array([0.1]), tx.init(jnp.ones(1)))
      >>> round(float(updates[0]), 4)  # 2·0.1 / √(0.901 + 1)
      -0.1451

    Source:
      tensorflow/tensorflow 2.21.0: tensorflow/python/training/rmsprop.py, tensorflow/core/kernels/training_ops.cc.
    """
    return rmsprop(learning_rate, decay, eps=epsilon, initial_scale=1.0, centered=centered, momentum=momentum)


@dialect("inside", words={"epsilon": "eps"})
def sonnet(
    learning_rate: ScalarOrSchedule,
    decay: Number = 0.9,
    momentum: Number | None = None,
    epsilon: Number = 1e-10,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """``sonnet.optimizers.RMSProp`` with its own arguments.

    The rule of :func:`tf1` with a mean square that starts from 0.

    Example:
      sonnet(learning_rate=0.1, momentum=0.9) turns a first gradient of 2.0 into an update of -0.316228.

    Source:
      google-deepmind/sonnet 2.0.2: sonnet/src/optimizers/rmsprop.py.
    """
    return rmsprop(learning_rate, decay, eps=epsilon, centered=centered, momentum=momentum)


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
    """``tf.train.rmsprop`` of TensorFlow.js with its own arguments::

      ms_t = decay · ms_{t-1} + (1 - decay) · g_t²
      mom_t = momentum · mom_{t-1} + learningRate_t · g_t / √(ms_t + epsilon),   p_{t+1} = p_t - mom_t

    Centered, TensorFlow.js divides by the root of ``ms − mean² − epsilon``: it subtracts epsilon, a bug that its tests
    expect and that this dialect reproduces. :func:`sonnet` is the intended rule. Deviation: if the term under the root
    is not above 0, as at every zero gradient, this dialect makes no step; TensorFlow.js gives NaN for good.

    Args:
      epsilon: added to the mean square under the root, at least 0. The default of TensorFlow.js is 1e-7, or 1e-4 on a
        16-bit GPU.

    Example:
      tensorflowjs(learningRate=0.1, momentum=0.9) turns a first gradient of 2.0 into an update of -0.316228.

    Source:
      tensorflow/tfjs 4.22.0: tfjs-core/src/optimizers/rmsprop_optimizer.ts.
    """
    if not centered:
        return rmsprop(learningRate, decay, eps=epsilon, momentum=momentum)
    return chain(
        _subtracting(epsilon, scale_by_rms(decay, centered=True, eps=0.0)),
        scale_by_learning_rate(learningRate, flip_sign=False),
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
    """The operator ``RmsProp`` of Caffe2 with its own arguments.

    The rule of :func:`tf1` with a mean square that starts from 0. ``RmsPropOptimizer`` of Caffe2's Python wrapper
    writes ``lr·mom`` back over the operator's buffer, so that its momentum is ``momentum·lr``, a bug that is not
    reproduced.

    Example:
      caffe2(lr=0.1, momentum=0.9) turns a first gradient of 2.0 into an update of -0.316224.

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
    """``mindspore.nn.RMSProp`` with its own arguments.

    The rule of :func:`tf1` with weight decay, which is added to the gradient. MindSpore does not decay parameters with
    ``beta`` or ``gamma`` in their names by default: chain :func:`optax.add_decayed_weights` with a mask for that.
    ``use_locking`` and ``loss_scale`` do not change the rule.

    Example:
      mindspore(momentum=0.9) turns a first gradient of 2.0 into an update of -0.175412.

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
    """``paddle.optimizer.RMSProp`` with its own arguments::

      g_t ← g_t + weight_decay · p_t
      r_t = rho · r_{t-1} + (1 - rho) · g_t²
      v_t = momentum · v_{t-1} + learning_rate_t · g_t / √(r_t + epsilon),   p_{t+1} = p_t - v_t

    Paddle's documentation describes Nesterov's momentum, but its kernel is the heavy ball. ``grad_clip`` is a link
    before this transformation: ``optax.clip_by_global_norm`` for ``ClipGradByGlobalNorm``. ``parameters`` and ``name``
    do not change the rule.

    Args:
      weight_decay: at least 0; ``weight_decay·p`` is added to the gradient, Paddle's ``L2Decay``. ``None`` is off.

    Example:
      paddle(learning_rate=0.1, momentum=0.9) turns a first gradient of 2.0 into an update of -0.447212.

    Source:
      PaddlePaddle/Paddle 3.3.1: python/paddle/optimizer/rmsprop.py, paddle/phi/kernels/impl/rmsprop_kernel_impl.h.
    """
    return rmsprop(learning_rate, rho, eps=epsilon, centered=centered, momentum=momentum, l2=weight_decay)


@dialect("inside", "L2", refused=("momentum",), words=TORCH)
def oneflow(
    lr: ScalarOrSchedule = 1e-3,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """``oneflow.optim.RMSprop`` with its own arguments::

      g_t ← g_t + weight_decay · p_t
      s_t = alpha · s_{t-1} + (1 - alpha) · g_t²
      p_{t+1} = p_t - lr_t · g_t / √(s_t + eps)

    OneFlow refuses ``momentum``, and so does this dialect.

    Example:
      oneflow(lr=0.1) turns a first gradient of 2.0 into an update of -1.0.

    Source:
      Oneflow-Inc/oneflow 25c8978: python/oneflow/nn/optimizer/rmsprop.py.
    """
    return rmsprop(lr, alpha, eps=eps, centered=centered, l2=weight_decay)
