"""MXNet's RMSProp: five rules in its releases."""

from typing import Any

import optax

from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax._momentum import momentum_buffer
from rmsprop_optax._numbers import needs
from rmsprop_optax._rmsprop import rmsprop, scale_by_learning_rate
from rmsprop_optax._scale import scale_by_rms
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import clip, parameters_within, parse


@dialect(
    "inside",
    "L2",
    buffer="if centered",
    words={
        "gamma1": "decay",
        "gamma2": "momentum",
        "epsilon": "eps",
        "wd": "l2",
        "clip_weights": "clip",
        "clip_gradient": "clip",
    },
)
def mxnet(
    learning_rate: ScalarOrSchedule | None = None,
    gamma1: Number | None = None,
    gamma2: Number | None = 0.9,
    epsilon: Number | None = None,
    centered: bool | None = None,
    clip_weights: Number | None = None,
    *,
    wd: ScalarOrSchedule | None = None,
    clip_gradient: Number | None = None,
    version: str = "1.9.1",
) -> optax.GradientTransformationExtraArgs:
    """``mxnet.optimizer.RMSProp`` with its own arguments::

      g_t ← clip(g_t + wd · p_t)
      n_t = gamma1 · n_{t-1} + (1 - gamma1) · g_t²
      p_{t+1} = p_t - learning_rate_t · g_t / √(n_t + epsilon)
      delta_t = gamma2 · delta_{t-1} - learning_rate_t · g_t / √(n_t - m_t² + epsilon),
      p_{t+1} = p_t + delta_t   (centered)

    This is the rule of 0.10 to 1.9. The plain form has no momentum in any version. Other versions differ:

    - Up to 0.9.3 there is only the centered form. ``epsilon`` is fixed: 1e-4 under the root up to 0.9.1, 1e-8 beside it
      in 0.9.2 and 0.9.3. ``wd·p`` is added after the division, to the term that enters ``delta``.
    - 0.9.5 has epsilon beside the root in both forms.
    - From 2.0 on epsilon stands beside the root in the plain form and under it in the centered one. Gradients are
      clipped before ``wd·p`` is added. ``gamma1`` and ``gamma2`` are called ``rho`` and ``momentum``.

    Our buffer is the negative of ``delta``. Without ``centered``, MXNet ignores ``gamma2``; here a ``gamma2`` other
    than 0.9 raises. ``rescale_grad`` is ``optax.scale`` before this transformation.

    Args:
      learning_rate: at least 0; a number or a schedule. ``None`` is 0.001, or 0.01 up to 0.9.3.
      gamma1: the weight of the old mean square, in [0, 1). ``None`` is 0.9, or 0.95 up to 0.9.3.
      gamma2: the momentum of the centered form, in [0, 1); ``None`` or 0 is off.
      epsilon: at least 0. ``None`` is 1e-8; up to 0.9.3 it cannot be set.
      centered: divide by the standard deviation of the gradients, and have momentum; the variance never turns negative.
        ``None`` is False, or True up to 0.9.3.
      clip_weights: the largest absolute value of a parameter, since 0.9.5; ``None`` is off.
      clip_gradient: the largest absolute value of a gradient's entry; ``None`` is off.
      version: the release of MXNet, in digits and dots.

    Raises:
      ValueError: a number or the version is out of its range, the version has no such option, or ``gamma2`` is set
        without ``centered``.

    Example:
      >>> import jax.numpy as jnp
      >>> updates = {}
      >>> for version in ("0.9.5", "1.9.1", "2.0"):
      ...     tx = mxnet(0.1, epsilon=1e-4, version=version)
      ...     updates[version], _ = tx.update(jnp.array([1e-2]), tx.init(jnp.zeros(1)))
      >>> {version: round(float(u[0]), 4) for version, u in updates.items()}
      {'0.9.5': -0.3065, '1.9.1': -0.0953, '2.0': -0.3065}

    Source:
      apache/mxnet 0.7.0 to 2.0.0.beta1: python/mxnet/optimizer.py, src/operator/optimizer_op-inl.h.
    """
    release = parse(version, since=(0, 7), until=(2,))
    if (0, 9, 3) < release < (0, 9, 5):
        raise ValueError(f"MXNet 0.9.4 was never released, got version={version!r}: pass 0.9.3 or 0.9.5.")
    gradients = clip(clip_gradient, optax.clip)
    weights = add_weight_decay(wd, name="wd")
    if release < (0, 9, 5):
        if not (epsilon is None and clip_weights is None and centered in (None, True)):
            raise ValueError(
                f"MXNet {version} knows neither epsilon nor clip_weights nor a plain form, got epsilon={epsilon}, "
                f"clip_weights={clip_weights}, centered={centered}: drop them, or pass a later version."
            )
        under = release < (0, 9, 2)
        return chain(
            gradients,
            scale_by_rms(_or(gamma1, 0.95), eps=1e-4 if under else 1e-8, eps_in_sqrt=under, centered=True),
            weights,
            scale_by_learning_rate(_or(learning_rate, 0.01), flip_sign=False),
            momentum_buffer(gamma2),
            optax.scale(-1.0),
        )
    centered = False if centered is None else centered
    needs("gamma2", isinstance(gamma2, float) and gamma2 != 0.9, "centered", centered)
    under = release >= (0, 10) if release < (2,) else centered
    tx = rmsprop(
        _or(learning_rate, 0.001),
        _or(gamma1, 0.9),
        eps=_or(epsilon, 1e-8),
        eps_in_sqrt=under,
        centered=centered,
        momentum=gamma2 if centered else None,
    )
    before = (weights, gradients) if release < (2,) else (gradients, weights)
    return chain(*before, tx, clip(clip_weights, parameters_within))


def _or(value: Any, default: float) -> Any:
    return default if value is None else value
