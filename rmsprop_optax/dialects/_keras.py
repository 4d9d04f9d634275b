"""Keras' RMSprops."""

import optax

from rmsprop_optax._rmsprop import rule
from rmsprop_optax._scale import epsilons
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Mask, Number
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import KERAS, by_norm_of_each, clip, inverse_time, parse


@dialect("inside", "decoupled", words=KERAS)
def keras(
    learning_rate: optax.ScalarOrSchedule = 0.001,
    rho: Number = 0.9,
    momentum: Number | None = None,
    epsilon: Number = 1e-7,
    centered: bool = False,
    weight_decay: optax.ScalarOrSchedule | None = None,
    clipnorm: Number | None = None,
    clipvalue: Number | None = None,
    global_clipnorm: Number | None = None,
    *,
    weight_decay_mask: Mask = None,
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
      momentum: in [0, 1); ``None`` or 0 has no buffer.
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
    given = [name for name, (bound, _) in clips.items() if bound is not None]
    if len(given) > 1:
        raise ValueError(
            f"only one of clipnorm, clipvalue and global_clipnorm may be set, got {' and '.join(given)}: "
            "chain optax's clipping before for more."
        )
    return chain(
        *(clip(*what) for what in clips.values()),
        rule(
            learning_rate,
            rho,
            eps_root=epsilon,
            centered=centered,
            momentum=momentum,
            weight_decay=weight_decay,
            weight_decay_mask=weight_decay_mask,
        ),
    )


@dialect("outside, with momentum inside", words=KERAS | {"decay": "time_decay"})
def tf_keras_legacy(
    learning_rate: optax.ScalarOrSchedule = 0.001,
    rho: Number = 0.9,
    momentum: Number | None = None,
    epsilon: Number = 1e-7,
    centered: bool = False,
    *,
    clipnorm: Number | None = None,
    clipvalue: Number | None = None,
    global_clipnorm: Number | None = None,
    decay: Number | None = None,
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
      momentum: in [0, 1); ``None`` or 0 has no buffer. An array takes the kernel whatever its value, as a tensor in
        TensorFlow.
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
    if epsilon == 0.0 and isinstance(epsilon, float):
        raise ValueError(f"epsilon must be above 0, got epsilon={epsilon}: TensorFlow takes 1e-7 then, say so.")
    if clipnorm is not None and global_clipnorm is not None:
        raise ValueError(
            f"only one of clipnorm and global_clipnorm may be set, got {clipnorm} and {global_clipnorm}: drop one."
        )
    return chain(
        clip(clipvalue, optax.clip),
        clip(clipnorm, by_norm_of_each),
        clip(global_clipnorm, optax.clip_by_global_norm),
        rule(
            inverse_time(learning_rate, decay),
            rho,
            **epsilons(epsilon, momentum is not None),
            centered=centered,
            momentum=momentum,
        ),
    )


@dialect("outside", words=KERAS | {"lr": "learning_rate", "decay": "time_decay"})
def keras2(
    lr: optax.ScalarOrSchedule = 0.001,
    rho: Number = 0.9,
    epsilon: Number | None = None,
    decay: Number | None = None,
    *,
    clipnorm: Number | None = None,
    clipvalue: Number | None = None,
    version: str = "2.3.1",
) -> optax.GradientTransformationExtraArgs:
    r"""``keras.optimizers.RMSprop`` of multi-backend Keras, 0.1 to 2.3.1, under its own arguments.

    .. math::
      a_t &= rho \cdot a_{t-1} + (1 - rho) \cdot clip(g_t)^2 \\
      p_{t+1} &= p_t - \frac{lr}{1 + decay \cdot t} \cdot clip(g_t) / (\sqrt{a_t} + epsilon)

    Up to 1.0.2 epsilon stood under the root and was 1e-6; from 1.0.3 on it is added to the root, 1e-8 up to 2.1.2 and
    1e-7 after. ``clipnorm`` is of all gradients together, unlike later. 2.3 calls ``lr`` ``learning_rate``. ``decay``
    came with 1.1.0 and ``clipvalue`` with 0.2.0; Keras ignores what came later; this raises.

    Args:
      lr: at least 0; a number or a schedule.
      rho: the weight of the old mean square, in [0, 1).
      epsilon: at least 0; ``None`` is the version's own.
      decay: of the learning rate, at least 0, not of the mean square.
      clipnorm: the largest Euclidean norm of all gradients together.
      clipvalue: the largest absolute value of each entry, after ``clipnorm``.
      version: of Keras: digits and dots.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, after the clipping.

    Raises:
      ValueError: a number is out of its range, or the version is not one.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = keras2(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      keras-team/keras 0.1.0 to 2.3.1: keras/optimizers.py.
    """
    release = parse(version, since=(0, 1), until=(2, 3, 1))
    if (release < (1, 1) and decay is not None) or (release < (0, 2) and clipvalue is not None):
        raise ValueError(
            f"Keras {version} ignores decay up to 1.0.8 and clipvalue up to 0.1.3, got decay={decay} and "
            f"clipvalue={clipvalue}: drop them, or take a later version."
        )
    inside = release < (1, 0, 3)
    if epsilon is None:
        epsilon = 1e-6 if inside else 1e-8 if release < (2, 1, 3) else 1e-7
    return chain(
        clip(clipnorm, optax.clip_by_global_norm),
        clip(clipvalue, optax.clip),
        rule(inverse_time(lr, decay), rho, **epsilons(epsilon, inside)),
    )
