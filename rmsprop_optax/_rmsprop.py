"""The whole optimizer: one chain of links, from the gradient to the update."""

from typing import Any

import jax
import optax

from rmsprop_optax import _numbers, _tree
from rmsprop_optax._arguments import checked
from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax._momentum import momentum_buffer
from rmsprop_optax._scale import scale_by_rms
from rmsprop_optax._types import Mask, Number, ScalarOrSchedule, Storage


@checked()
def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: Number = 0.9,
    eps: Number = 1e-8,
    initial_scale: Number = 0.0,
    eps_in_sqrt: bool | None = True,
    centered: bool = False,
    momentum: Number | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    *,
    floor: Number | None = None,
    lr_in_momentum: bool = True,
    l2: ScalarOrSchedule | None = None,
    weight_decay: ScalarOrSchedule | None = None,
    weight_decay_mask: Mask = None,
    storage: Storage = None,
    momentum_storage: Storage = None,
) -> optax.GradientTransformationExtraArgs:
    r"""RMSprop: divide the gradient by a running average of its recent magnitude.

    .. math::
      g_t &\leftarrow g_t + l2 \cdot p_t \\
      nu_t &= decay \cdot nu_{t-1} + (1 - decay) \cdot |g_t|^2, \qquad nu_0 = initial\_scale \\
      x_t &= g_t / \max(\sqrt{nu_t + eps}, floor) \quad \text{or} \quad g_t / \max(\sqrt{nu_t} + eps, floor) \\
      b_t &= momentum \cdot b_{t-1} + learning\_rate_t \cdot x_t \\
      p_{t+1} &= p_t - b_t - learning\_rate_t \cdot weight\_decay_t \cdot p_t

    With ``lr_in_momentum=False`` the learning rate multiplies the buffer instead, ``b = momentum·b + x`` and
    ``p − learning_rate·b``, which differs once the rate changes. The first nine arguments are those of
    ``optax.rmsprop`` and mean the same. For the RMSprop of another framework see :mod:`rmsprop_optax.dialects`.

    Args:
      learning_rate: at least 0; a number or a schedule of the step count.
      decay: the weight of the old mean square, in [0, 1).
      eps: at least 0, in squared units of the gradient under the root, in its units beside the root.
      initial_scale: what the mean square starts from, at least 0; TensorFlow 1 starts from 1.
      eps_in_sqrt: whether ``eps`` stands under the root (TensorFlow, Keras) or beside it (PyTorch); ``None`` is both.
      centered: divide by the standard deviation of the gradients instead.
      momentum: in [0, 1); ``None`` or 0 has no buffer.
      nesterov: take the momentum step once more beyond the buffer, ``momentum·b + learning_rate·x``; without momentum
        it changes nothing.
      bias_correction: weigh the gradients seen so far as Adam does. Centered, the first variance is 0, so that the
        first step is ``learning_rate·g / √eps``, 10,000 times ``learning_rate·g`` by default, as in optax.
      floor: the least denominator, at least 0, in units of the gradient; ``None`` or 0 is off.
      lr_in_momentum: whether the learning rate comes before the buffer (TensorFlow, optax) or after it (PyTorch).
      l2: ``l2·p`` is added to the gradient, at least 0; the mean square sees it. A number or a schedule.
      weight_decay: ``learning_rate·weight_decay·p`` is subtracted, at least 0; a number or a schedule. No statistic
        sees it.
      weight_decay_mask: the parameters that ``weight_decay`` is for: a tree of bools that is a prefix of the
        parameters, or a function of the parameters that returns one.
      storage: how the mean square is kept, see :func:`scale_by_rms`.
      momentum_storage: how the momentum buffer is kept: ``None``, "float32" or "bfloat16".

    Returns:
      A transformation whose updates ``optax.apply_updates`` adds to the parameters, in the gradients' dtype. Its state
      holds a :class:`ScaleByRmsState`, and a :class:`MomentumState` if there is momentum. Every number may be a
      ``jax.Array``, traced or not, so ``optax.inject_hyperparams`` may wrap it.

    Raises:
      ValueError: a static number is out of its range, a mask or storage has no decay or momentum to act on,
        ``bias_correction`` comes with an ``initial_scale``; at ``update``, trees or shapes do not fit, or a decay needs
        the parameters.
      TypeError: an option is not a number, a leaf is no array, or the state is another transformation's.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = optax.chain(optax.clip_by_global_norm(1.0), rmsprop(0.1, momentum=0.9))
      >>> params = {"w": jnp.array([1.0, -2.0])}
      >>> updates, state = tx.update(params, tx.init(params), params)
      >>> [round(float(w), 4) for w in optax.apply_updates(params, updates)["w"]]
      [0.6838, -1.6838]

    Source:
      Hinton, Neural Networks for Machine Learning, lecture 6.5; the chain follows ``optax.rmsprop`` 0.2.8.
    """
    _numbers.needs("momentum_storage", momentum_storage is not None, "momentum", momentum)
    _numbers.needs("weight_decay_mask", weight_decay_mask is not None, "weight_decay", weight_decay)
    rms = scale_by_rms(
        decay, eps, initial_scale, eps_in_sqrt, bias_correction, centered=centered, floor=floor, storage=storage
    )
    buffer = momentum_buffer(momentum, nesterov=nesterov, storage=momentum_storage)
    rate_last = buffer is None or not lr_in_momentum
    rate = scale_by_learning_rate(learning_rate, flip_sign=rate_last)
    return _tree.chain(
        add_weight_decay(l2),
        rms,
        *((buffer, rate) if rate_last else (rate, buffer, optax.scale(-1.0))),
        add_weight_decay(weight_decay, times=(-1.0, learning_rate), mask=weight_decay_mask),
    )


def scale_by_learning_rate(learning_rate: Any, *, flip_sign: bool = True) -> optax.GradientTransformation:
    """``optax.scale_by_learning_rate`` that also takes a traced number under strict promotion."""
    sign = -1 if flip_sign else 1

    def scaled(updates: Any, params: Any, rate: Any) -> Any:
        del params
        return jax.tree.map(lambda u: sign * _numbers.cast(rate, u.dtype) * u, updates)

    return _tree.scheduled((learning_rate,), optax.ScaleByScheduleState, scaled)
