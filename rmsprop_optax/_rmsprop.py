"""The whole optimizer: one chain of links, from the gradient to the update."""

from typing import Any

import jax
import optax

from rmsprop_optax import _numbers, _tree
from rmsprop_optax import storage as _storage
from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax._momentum import momentum_buffer
from rmsprop_optax._scale import scale_by_rms


def rmsprop(
    learning_rate: Any,
    decay: Any = 0.9,
    *,
    eps: Any = 0.0,
    eps_root: Any = 1e-8,
    floor: Any = None,
    centered: bool = False,
    initial_value: Any = 0.0,
    bias_correction: bool = False,
    momentum: Any = None,
    nesterov: bool = False,
    lr_in_momentum: bool = True,
    l2: Any = None,
    weight_decay: Any = None,
    weight_decay_mask: Any = None,
    storage: Any = "float32",
    momentum_storage: Any = "float32",
) -> optax.GradientTransformationExtraArgs:
    r"""RMSprop: divide the gradient by a running average of its recent magnitude.

    .. math::
      g_t &\leftarrow g_t + l2 \cdot p_t \\
      x_t &= g_t / \max(\sqrt{nu_t + eps\_root} + eps, floor) \qquad \text{(see scale\_by\_rms)} \\
      b_t &= momentum \cdot b_{t-1} + learning\_rate_t \cdot x_t \\
      p_{t+1} &= p_t - b_t - learning\_rate_t \cdot weight\_decay_t \cdot p_t

    With ``lr_in_momentum=False`` the learning rate multiplies the buffer instead, ``b = momentum·b + x`` and
    ``p − learning_rate·b``, which differs once the rate changes. The defaults equal those of ``optax.rmsprop``. For the
    RMSprop of a particular framework see :mod:`rmsprop_optax.dialects`.

    Args:
      learning_rate: at least 0; a number or a schedule of the step count.
      decay: the weight of the old mean square, in [0, 1).
      eps: added to the root, at least 0; the place of PyTorch's epsilon.
      eps_root: added under the root, at least 0; the place of TensorFlow's, Keras' and optax's epsilon.
      floor: what the denominator never falls below, at least 0; ``None`` or 0 is off.
      centered: divide by the standard deviation of the gradients instead.
      initial_value: what the mean square starts from, at least 0; TensorFlow 1 starts from 1.
      bias_correction: weigh the gradients seen so far as Adam does. Centered, the variance of a single gradient is 0,
        so that the first step is ``learning_rate·g / (sqrt(eps_root) + eps)``, 10,000 times ``g`` by default.
      momentum: in [0, 1); ``None`` or 0 has no buffer.
      nesterov: take the momentum step once more beyond the buffer, ``momentum·b + learning_rate·x``.
      lr_in_momentum: whether the learning rate comes before the buffer (TensorFlow, Keras,
        optax) or after it (PyTorch).
      l2: ``l2·p`` is added to the gradient, at least 0; the mean square sees it.
      weight_decay: ``learning_rate·weight_decay·p`` is subtracted, at least 0; a number or a schedule. No statistic
        sees it.
      weight_decay_mask: the parameters that ``weight_decay`` is for: a tree of bools, a prefix of one, or a function of
        the parameters that returns it.
      storage: how the mean square is kept, see :func:`scale_by_rms`.
      momentum_storage: how the momentum buffer is kept, likewise; "float32" or "bfloat16", which hold negative numbers.

    Returns:
      A transformation whose updates ``optax.apply_updates`` adds to the parameters, in the gradients' dtype. Its state
      holds a :class:`ScaleByRmsState`, and a :class:`MomentumState` with the buffer if there is momentum. Every number
      may be a ``jax.Array``, traced or not; only a Python or NumPy zero removes its link, and only ``None`` does so
      under ``optax.inject_hyperparams``, which makes arrays of numbers.

    Raises:
      ValueError: a static number is out of its range, or an option has no meaning without another; at ``update``,
        trees or shapes that do not fit, or no parameters where a decay needs them.
      TypeError: an option is not a number, or a parameter is neither floating-point nor complex.

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
    learning_rate = _numbers.check("learning_rate", learning_rate, schedule=True)
    _numbers.check_flags(nesterov=nesterov, lr_in_momentum=lr_in_momentum)
    _storage.check(momentum_storage, name="momentum_storage", signed=True)
    _numbers.needs("nesterov", nesterov, "momentum", momentum)
    _numbers.needs("momentum_storage", momentum_storage != "float32", "momentum", momentum)
    _numbers.needs("weight_decay_mask", weight_decay_mask is not None, "weight_decay", weight_decay)

    rate, buffer = scale_by_rate(learning_rate), momentum_buffer(momentum, nesterov=nesterov, storage=momentum_storage)
    return _tree.in_float32(
        optax.chain(
            add_weight_decay("l2", l2),
            scale_by_rms(
                decay,
                eps=eps,
                eps_root=eps_root,
                floor=floor,
                centered=centered,
                initial_value=initial_value,
                bias_correction=bias_correction,
                storage=storage,
            ),
            *((rate, buffer) if lr_in_momentum else (buffer, rate)),
            add_weight_decay("weight_decay", weight_decay, times=(learning_rate,), mask=weight_decay_mask),
            optax.scale(-1.0),
        )
    )


def scale_by_rate(learning_rate: Any) -> optax.GradientTransformation:
    """``optax.scale_by_learning_rate`` without the sign, and with a traced number under strict promotion."""
    if callable(learning_rate):
        return optax.scale_by_schedule(learning_rate)
    return optax.stateless(
        lambda updates, _: jax.tree.map(lambda u: _numbers.cast(learning_rate, u.dtype) * u, updates)
    )
