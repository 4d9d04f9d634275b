"""neon's RMSProp."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax._numbers import check
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import in_float32
from rmsprop_optax.dialects._links import clip, parameters_within


def neon(
    *,
    decay_rate: Any = 0.95,
    learning_rate: Any = 2e-3,
    epsilon: Any = 1e-6,
    gradient_clip_norm: Any = None,
    gradient_clip_value: Any = None,
    param_clip_value: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""``neon.optimizers.RMSProp`` under its own arguments.

    .. math::
      s_t &= decay\_rate \cdot s_{t-1} + (1 - decay\_rate) \cdot g_t^2 \\
      p_{t+1} &= p_t - learning\_rate_t \cdot g_t / (\sqrt{s_t + epsilon} + epsilon)

    Epsilon stands in both places. The norm that is clipped is that of the gradients as they come; the mean square never
    sees it, so it bounds the step. neon divides gradients by the batch size and rounds stochastically where
    ``stochastic_round`` says so; ``schedule`` is a learning rate here; ``name`` does nothing.

    Args:
      decay_rate: the weight of the old mean square, in [0, 1).
      learning_rate: at least 0; a number or a schedule.
      epsilon: added to the mean square under the root, and to the root, at least 0.
      gradient_clip_norm: where the Euclidean norm of all gradients together is larger, steps shrink by their ratio.
      gradient_clip_value: the largest absolute value of each entry that the rule sees.
      param_clip_value: the largest absolute value of a parameter.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, between the clippings.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = neon(learning_rate=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.44721

    Source:
      NervanaSystems/neon 2.6.0: neon/optimizers/optimizer.py.
    """
    epsilon = check("eps", epsilon, name="epsilon")
    rule = optax.chain(
        clip("gradient_clip_value", gradient_clip_value, optax.clip),
        rmsprop(learning_rate, check("decay", decay_rate, name="decay_rate"), eps=epsilon, eps_root=epsilon),
    )
    return in_float32(
        optax.chain(
            clip("gradient_clip_norm", gradient_clip_norm, lambda bound: _steps_by_norm(bound, rule), rule),
            clip("param_clip_value", param_clip_value, parameters_within),
        )
    )


def _steps_by_norm(bound: Any, inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """The steps of ``inner``, shorter where the norm of all gradients is larger than ``bound``."""
    inner = optax.with_extra_args_support(inner)

    def update(updates, state, params=None, **extra_args):
        norm = optax.tree.norm(updates)
        limit = jnp.asarray(bound, norm.dtype)
        steps, state = inner.update(updates, state, params, **extra_args)
        return jax.tree.map(lambda u: u * (limit / jnp.maximum(norm, limit)).astype(u.dtype), steps), state

    return optax.GradientTransformationExtraArgs(inner.init, update)
