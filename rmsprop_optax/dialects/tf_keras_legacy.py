"""RMSprop of TensorFlow 2.0 to 2.10."""

from typing import Any

import optax

from rmsprop_optax._numbers import check, is_off
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import in_float32
from rmsprop_optax.dialects._links import beside_root, by_norm_of_each, clip, inverse_time, under_root


def tf_keras_legacy(
    learning_rate: Any = 0.001,
    rho: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-7,
    centered: bool = False,
    *,
    clipnorm: Any = None,
    clipvalue: Any = None,
    global_clipnorm: Any = None,
    decay: Any = 0.0,
) -> optax.GradientTransformationExtraArgs:
    r"""``tf.keras.optimizers.legacy.RMSprop`` (OptimizerV2) under its own arguments.

    .. math::
      rms_t &= rho \cdot rms_{t-1} + (1 - rho) \cdot clip(g_t)^2 \\
      p_{t+1} &= p_t - learning\_rate_t \cdot clip(g_t) / (\sqrt{rms_t} + epsilon) \qquad \text{without momentum} \\
      mom_t &= momentum \cdot mom_{t-1} + learning\_rate_t \cdot clip(g_t) / \sqrt{rms_t + epsilon}, \qquad
      p_{t+1} = p_t - mom_t \qquad \text{with momentum}

    Two rules in one: a fused kernel with epsilon under the root where there is momentum, and Python code with epsilon
    beside it where there is none. TensorFlow's documentation calls it the epsilon hat of Kingma and Ba, which is the
    one beside the root. Differs on purpose: the centered variance is computed without cancellation. TensorFlow replaces
    an ``epsilon`` of 0 by 1e-7; this raises. The early releases clip by norm before by value, and not in
    ``apply_gradients``.

    Args:
      learning_rate: at least 0; a number or a schedule.
      rho: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); 0 has no buffer. An array, as from ``optax.inject_hyperparams``, takes the kernel whatever
        its value, as a tensor does in TensorFlow: name ``momentum`` in ``static_args`` where it is 0.
      epsilon: above 0, added beside the root, or under it where there is momentum.
      centered: divide by the standard deviation of the gradients.
      clipnorm: the largest Euclidean norm of each gradient array.
      clipvalue: the largest absolute value of each entry, before the norms.
      global_clipnorm: the largest Euclidean norm of all gradients together.
      decay: of the learning rate, at least 0: it is divided by ``1 + decay·t``.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, after the clipping.

    Raises:
      ValueError: a number is out of its range, or ``epsilon`` is 0, or both norms are clipped.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = tf_keras_legacy(learning_rate=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      keras-team/keras 2.15.0: keras/optimizers/legacy/rmsprop.py, keras/optimizers/legacy/optimizer_v2.py.
    """
    if is_off(epsilon):
        raise ValueError(f"epsilon must be above 0, got epsilon={epsilon}: TensorFlow takes 1e-7 then, say so.")
    if not (is_off(clipnorm) or is_off(global_clipnorm)):
        raise ValueError(
            f"only one of clipnorm and global_clipnorm may be set, got {clipnorm} and {global_clipnorm}: drop one."
        )
    rule = rmsprop(
        inverse_time("learning_rate", learning_rate, decay),
        check("decay", rho, name="rho"),
        **(beside_root if is_off(momentum) else under_root)("epsilon", epsilon),
        centered=centered,
        momentum=momentum,
    )
    return in_float32(
        optax.chain(
            clip("clipvalue", clipvalue, optax.clip),
            clip("clipnorm", clipnorm, by_norm_of_each),
            clip("global_clipnorm", global_clipnorm, optax.clip_by_global_norm),
            rule,
        )
    )
