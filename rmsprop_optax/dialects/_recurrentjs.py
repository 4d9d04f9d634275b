"""Karpathy's RMSprop for recurrent networks, in brain.js."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers
from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax._rmsprop import scale_by_learning_rate
from rmsprop_optax._scale import scale_by_rms
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import clip


@dialect(
    "inside",
    "decoupled, no lr",
    words={
        "learningRate": "learning_rate",
        "decayRate": "decay",
        "smoothEps": "eps",
        "regc": "weight_decay",
        "clipval": "clip",
    },
)
def brainjs(
    *,
    learningRate: ScalarOrSchedule = 0.01,
    decayRate: Number = 0.999,
    smoothEps: Number = 1e-8,
    regc: ScalarOrSchedule | None = 1e-6,
    clipval: Number | None = 5.0,
) -> optax.GradientTransformationExtraArgs:
    """The optimizer of ``brain.recurrent`` of brain.js with its own arguments::

      cache_t = decayRate · cache_{t-1} + (1 - decayRate) · g_t²
      p_{t+1} = p_t - learningRate_t · clip(g_t) / √(cache_t + smoothEps) - regc · p_t

    The mean square sees the gradients before they are clipped, and the weight decay is not multiplied by the learning
    rate.

    Args:
      regc: at least 0; a number or a schedule. ``regc·p`` is subtracted at every step; ``None`` or 0 is off.
      clipval: the largest absolute value of each entry in the numerator; ``None`` or 0 is off.

    Raises:
      ValueError: a number is out of its range; at ``update``, the weight decay needs the parameters.

    Example:
      brainjs(learningRate=0.1, decayRate=0.9) turns a first gradient of 10.0 into an update of -0.158114.

    Source:
      BrainJS/brain.js 088f118: src/recurrent/rnn.ts.
    """
    rms = scale_by_rms(decayRate, smoothEps)
    return chain(
        clip(clipval, lambda bound: _numerators_within(bound, rms)) or rms,
        scale_by_learning_rate(learningRate),
        add_weight_decay(regc, times=(-1.0,), name="regc"),
    )


def _numerators_within(bound: Any, inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """The steps of ``inner``, scaled as if the gradient had been clipped after the mean square saw it."""

    def one(x: jax.Array, g: jax.Array) -> jax.Array:
        size = jnp.abs(g)
        limit = _numbers.cast(bound, size.dtype)
        return x * jnp.where(size > limit, limit / size, 1).astype(x.dtype)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        steps, state = inner.update(updates, state, params)
        return jax.tree.map(one, steps, updates), state

    return optax.GradientTransformation(inner.init, update)
