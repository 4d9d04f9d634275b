"""Keras 3's RMSprop, also that of tf.keras from TensorFlow 2.11 on."""

from typing import Any

import optax

from rmsprop_optax._numbers import check, is_off
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import in_float32
from rmsprop_optax.dialects._links import by_norm_of_each, clip, under_root


def keras(
    learning_rate: Any = 0.001,
    rho: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-7,
    centered: bool = False,
    weight_decay: Any = None,
    clipnorm: Any = None,
    clipvalue: Any = None,
    global_clipnorm: Any = None,
    *,
    weight_decay_mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""``keras.optimizers.RMSprop`` under its own arguments.

    .. math::
      p_t &\leftarrow p_t - learning\_rate_t \cdot weight\_decay \cdot p_t \\
      v_t &= rho \cdot v_{t-1} + (1 - rho) \cdot clip(g_t)^2 \\
      b_t &= momentum \cdot b_{t-1} + learning\_rate_t \cdot clip(g_t) / \sqrt{v_t + epsilon} \\
      p_{t+1} &= p_t - b_t

    Differs on purpose: the centered variance is computed without cancellation, and statistics are float32 or wider.
    ``use_ema`` averages parameters outside the rule, ``loss_scale_factor`` and ``gradient_accumulation_steps`` (here
    ``optax.MultiSteps``) act before it, ``name`` does nothing to it; these are not taken.

    Args:
      learning_rate: at least 0; a number or a schedule.
      rho: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); 0 has no buffer.
      epsilon: added to the mean square under the root, at least 0.
      centered: divide by the standard deviation of the gradients.
      weight_decay: decoupled, at least 0; ``None`` or 0 is off.
      clipnorm: the largest Euclidean norm of each gradient array.
      clipvalue: the largest absolute value of each entry.
      global_clipnorm: the largest Euclidean norm of all gradients together.
      weight_decay_mask: the parameters to decay, as in :func:`rmsprop_optax.rmsprop`; Keras says which not, with
        ``exclude_from_weight_decay``.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, after the clipping.

    Raises:
      ValueError: a number is out of its range, or more than one clipping is asked for.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = keras(learning_rate=0.1)
      >>> updates, state = tx.update(jnp.array([10.0]), tx.init(jnp.array([10.0])))
      >>> round(10 + float(updates[0]), 4)
      9.6838

    Source:
      keras-team/keras 3.15.1: keras/src/optimizers/rmsprop.py, keras/src/optimizers/base_optimizer.py.
    """
    clips = {
        "clipnorm": (clipnorm, by_norm_of_each),
        "clipvalue": (clipvalue, optax.clip),
        "global_clipnorm": (global_clipnorm, optax.clip_by_global_norm),
    }
    given = [name for name, (bound, _) in clips.items() if not is_off(bound)]
    if len(given) > 1:
        raise ValueError(
            f"only one of clipnorm, clipvalue and global_clipnorm may be set, got {' and '.join(given)}: "
            "chain optax's clipping before for more."
        )
    rule = rmsprop(
        learning_rate,
        check("decay", rho, name="rho"),
        **under_root("epsilon", epsilon),
        centered=centered,
        momentum=momentum,
        weight_decay=weight_decay,
        weight_decay_mask=weight_decay_mask,
    )
    return in_float32(optax.chain(*(clip(name, *what) for name, what in clips.items()), rule))
