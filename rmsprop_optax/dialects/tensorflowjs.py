"""TensorFlow.js' RMSProp."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax._momentum import momentum_buffer
from rmsprop_optax._numbers import cast, check, check_flags, real
from rmsprop_optax._rmsprop import rmsprop, scale_by_rate
from rmsprop_optax._scale import scale_by_rms
from rmsprop_optax._tree import in_float32
from rmsprop_optax.dialects._links import rate, under_root


def tensorflowjs(
    learningRate: Any, decay: Any = 0.9, momentum: Any = 0.0, epsilon: Any = 1e-7, centered: bool = False
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
      momentum: in [0, 1); 0 has no buffer.
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
    check_flags(centered=centered)
    learning_rate = rate("learningRate", learningRate)
    if not centered:
        return rmsprop(learning_rate, decay, **under_root("epsilon", epsilon), momentum=momentum)
    rms = _subtracting(check("eps_root", epsilon, name="epsilon"), scale_by_rms(decay, eps_root=0.0, centered=True))
    return in_float32(optax.chain(rms, scale_by_rate(learning_rate), momentum_buffer(momentum), optax.scale(-1.0)))


def _subtracting(epsilon: Any, inner: optax.GradientTransformationExtraArgs) -> optax.GradientTransformationExtraArgs:
    """``g / √(var − epsilon)`` from the ``x = g / √var`` of ``inner``; 0 where that has no root."""

    def one(x: Any, g: Any) -> Any:
        if x is None:
            return None
        share = cast(epsilon, real(x.dtype)) * jnp.abs(x / g) ** 2
        return jnp.where((x == 0) | (share >= 1), 0, x / jnp.sqrt(1 - share).astype(x.dtype))

    def update(updates, state, params=None, **extra_args):
        steps, state = inner.update(updates, state, params, **extra_args)
        return jax.tree.map(one, steps, updates, is_leaf=lambda x: x is None), state

    return optax.GradientTransformationExtraArgs(inner.init, update)
