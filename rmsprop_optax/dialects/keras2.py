"""Keras before it joined TensorFlow."""

from typing import Any

import optax

from rmsprop_optax._numbers import check, is_off
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import in_float32
from rmsprop_optax.dialects._links import beside_root, clip, inverse_time, parse, under_root


def keras2(
    lr: Any = 0.001,
    rho: Any = 0.9,
    epsilon: Any = None,
    decay: Any = 0.0,
    *,
    clipnorm: Any = None,
    clipvalue: Any = None,
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
    if (release < (1, 1) and not is_off(decay)) or (release < (0, 2) and not is_off(clipvalue)):
        raise ValueError(
            f"Keras {version} ignores decay up to 1.0.8 and clipvalue up to 0.1.3, got decay={decay} and "
            f"clipvalue={clipvalue}: drop them, or take a later version."
        )
    inside = release < (1, 0, 3)
    if epsilon is None:
        epsilon = 1e-6 if inside else 1e-8 if release < (2, 1, 3) else 1e-7
    rule = rmsprop(
        inverse_time("lr", lr, decay),
        check("decay", rho, name="rho"),
        **(under_root if inside else beside_root)("epsilon", epsilon),
    )
    return in_float32(
        optax.chain(
            clip("clipnorm", clipnorm, optax.clip_by_global_norm), clip("clipvalue", clipvalue, optax.clip), rule
        )
    )
