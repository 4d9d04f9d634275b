"""Keras' RMSprops."""

from math import inf

import optax

from rmsprop_optax._numbers import OFF, Range
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Mask, Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import KERAS, by_norm_of_each, clip, inverse_time, parse

_TIME_DECAY = Range(0, inf, f"the learning rate is divided by 1 + decay·step; {OFF}", optional=True)


@dialect("inside", "decoupled", words=KERAS)
def keras(
    learning_rate: ScalarOrSchedule = 0.001,
    rho: Number = 0.9,
    momentum: Number | None = None,
    epsilon: Number = 1e-7,
    centered: bool = False,
    weight_decay: ScalarOrSchedule | None = None,
    clipnorm: Number | None = None,
    clipvalue: Number | None = None,
    global_clipnorm: Number | None = None,
    *,
    weight_decay_mask: Mask = None,
) -> optax.GradientTransformationExtraArgs:
    """``keras.optimizers.RMSprop`` with its own arguments::

      p_t ← p_t - learning_rate_t · weight_decay · p_t
      v_t = rho · v_{t-1} + (1 - rho) · clip(g_t)²
      b_t = momentum · b_{t-1} + learning_rate_t · clip(g_t) / √(v_t + epsilon)
      p_{t+1} = p_t - b_t

    Arguments that act outside the rule are omitted: ``use_ema`` averages parameters, ``loss_scale_factor`` and
    ``gradient_accumulation_steps`` (here ``optax.MultiSteps``) act on gradients before the rule, and ``name`` does
    nothing.

    Args:
      weight_decay: at least 0, decoupled; ``None`` is off.
      clipnorm: the largest Euclidean norm of each gradient array.
      clipvalue: the largest absolute value of each entry.
      global_clipnorm: the largest Euclidean norm of all gradients together.
      weight_decay_mask: the parameters to decay, as in :func:`rmsprop_optax.rmsprop`. ``exclude_from_weight_decay`` in
        Keras names the parameters not to decay.

    Raises:
      ValueError: a number is out of its range, or more than one clipping is set.

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
            "chain optax's clipping before this dialect for more."
        )
    return chain(
        *(clip(*what) for what in clips.values()),
        rmsprop(
            learning_rate,
            rho,
            eps=epsilon,
            centered=centered,
            momentum=momentum,
            weight_decay=weight_decay,
            weight_decay_mask=weight_decay_mask,
        ),
    )


@dialect("outside, with momentum inside", words=KERAS | {"decay": _TIME_DECAY})
def tf_keras_legacy(
    learning_rate: ScalarOrSchedule = 0.001,
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
    """``tf.keras.optimizers.legacy.RMSprop`` (OptimizerV2) with its own arguments::

      rms_t = rho · rms_{t-1} + (1 - rho) · clip(g_t)²
      p_{t+1} = p_t - learning_rate_t · clip(g_t) / (√rms_t + epsilon)   without momentum
      mom_t = momentum · mom_{t-1} + learning_rate_t · clip(g_t) / √(rms_t + epsilon),
      p_{t+1} = p_t - mom_t   with momentum

    These are two rules: with momentum a fused kernel with epsilon under the root, without momentum Python code with
    epsilon beside it. TensorFlow's documentation calls epsilon the epsilon hat of Kingma and Ba, which stands beside
    the root. An ``epsilon`` of 0 raises (TensorFlow replaces it by 1e-7). Early releases clip by norm before they clip
    by value, and do not clip in ``apply_gradients``.

    Args:
      momentum: in [0, 1); ``None`` is off; TensorFlow writes 0. An array selects the kernel whatever its value, like a
        tensor in TensorFlow.
      epsilon: above 0, added under the root with momentum, beside it without.
      clipnorm: the largest Euclidean norm of each gradient array.
      clipvalue: the largest absolute value of each entry, before the norms.
      global_clipnorm: the largest Euclidean norm of all gradients together.
      decay: at least 0; the learning rate is divided by ``1 + decay·t``. ``None`` is off.

    Raises:
      ValueError: a number is out of its range, ``epsilon`` is 0, or both norms are clipped.

    Example:
      tf_keras_legacy(learning_rate=0.1) turns a first gradient of 2.0 into an update of -0.316228.

    Source:
      keras-team/keras 2.15.0: keras/optimizers/legacy/rmsprop.py, keras/optimizers/legacy/optimizer_v2.py.
    """
    if isinstance(epsilon, float) and epsilon == 0:
        raise ValueError(f"epsilon must be above 0, got epsilon={epsilon}: pass 1e-7, which TensorFlow takes for 0.")
    if clipnorm is not None and global_clipnorm is not None:
        raise ValueError(
            f"only one of clipnorm and global_clipnorm may be set, got {clipnorm} and {global_clipnorm}: drop one."
        )
    return chain(
        clip(clipvalue, optax.clip),
        clip(clipnorm, by_norm_of_each),
        clip(global_clipnorm, optax.clip_by_global_norm),
        rmsprop(
            inverse_time(learning_rate, decay),
            rho,
            eps=epsilon,
            eps_in_sqrt=momentum is not None,
            centered=centered,
            momentum=momentum,
        ),
    )


@dialect("outside", words=KERAS | {"lr": "learning_rate", "decay": _TIME_DECAY})
def keras2(
    lr: ScalarOrSchedule = 0.001,
    rho: Number = 0.9,
    epsilon: Number | None = None,
    decay: Number | None = None,
    *,
    clipnorm: Number | None = None,
    clipvalue: Number | None = None,
    version: str = "2.3.1",
) -> optax.GradientTransformationExtraArgs:
    """``keras.optimizers.RMSprop`` of multi-backend Keras, 0.1 to 2.3.1, with its own arguments::

      a_t = rho · a_{t-1} + (1 - rho) · clip(g_t)²
      p_{t+1} = p_t - lr/(1 + decay · t) · clip(g_t) / (√a_t + epsilon)

    Epsilon stood under the root up to 1.0.2 and was 1e-6; from 1.0.3 on it stands beside the root and is 1e-8 up to
    2.1.2, 1e-7 later. ``clipnorm`` bounds the norm of all gradients together, unlike in later Keras. 2.3 renames ``lr``
    to ``learning_rate``. ``clipvalue`` exists since 0.2.0 and ``decay`` since 1.1.0; older releases ignore them, and
    this dialect raises.

    Args:
      epsilon: at least 0; ``None`` is the version's default.
      decay: at least 0; the learning rate is divided by ``1 + decay·t``. ``None`` is off; Keras writes 0.
      clipnorm: the largest Euclidean norm of all gradients together.
      clipvalue: the largest absolute value of each entry, after ``clipnorm``.
      version: the release of Keras, in digits and dots.

    Raises:
      ValueError: a number or the version is out of its range, or the version has no such option.

    Example:
      keras2(lr=0.1) turns a first gradient of 2.0 into an update of -0.316228.

    Source:
      keras-team/keras 0.1.0 to 2.3.1: keras/optimizers.py.
    """
    release = parse(version, since=(0, 1), until=(2, 3, 1))
    if (release < (1, 1) and decay is not None) or (release < (0, 2) and clipvalue is not None):
        raise ValueError(
            f"Keras ignores decay up to 1.0.8 and clipvalue up to 0.1.3, got decay={decay}, clipvalue={clipvalue} and "
            f"version={version!r}: drop them, or pass a later version."
        )
    inside = release < (1, 0, 3)
    if epsilon is None:
        epsilon = 1e-6 if inside else 1e-8 if release < (2, 1, 3) else 1e-7
    return chain(
        clip(clipnorm, optax.clip_by_global_norm),
        clip(clipvalue, optax.clip),
        rmsprop(inverse_time(lr, decay), rho, eps=epsilon, eps_in_sqrt=inside),
    )
