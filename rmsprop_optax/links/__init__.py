"""Links of papers, to chain with any dialect; each has one function, one equation and one source.

Two links replace :func:`rmsprop_optax.scale_by_rms`, because they change the denominator: :func:`scale_by_max_rms`
(AMSGrad) and :func:`scale_by_previous_rms` (ADOPT). Four follow or wrap a whole optimizer: :func:`cautious`,
:func:`skip_updates`, :func:`magma`, :func:`decay_weights`. Two are for targets that jump, as in reinforcement learning:
:func:`resettable` and :func:`scale_by_age`.

For other ideas optax is enough; ``tests/test_links.py`` checks each composition against its equation:

- clip the update by its root mean square, as Adafactor does: ``optax.chain(tx, optax.clip_by_block_rms(0.01))``;
- clip the gradient by the size of its parameter: ``optax.chain(optax.adaptive_grad_clip(0.3), tx)``;
- bias-corrected average momentum, after the division:
  ``optax.chain(scale_by_rms(0.999), optax.ema(0.9), optax.scale_by_learning_rate(1e-3))``;
- train without a schedule: ``optax.contrib.schedule_free(tx, learning_rate, b1=0.9)``, evaluated at
  ``optax.contrib.schedule_free_eval_params(state, params)``;
- average the parameters: ``average = optax.incremental_update(params, average, 0.001)`` after each step.

Example:
  >>> import jax.numpy as jnp, optax
  >>> from rmsprop_optax import dialects, links
  >>> tx = links.cautious(optax.chain(dialects.pytorch(momentum=0.9), links.decay_weights(1e-4)))
  >>> params = jnp.array([1.0, -2.0])
  >>> updates, state = tx.update(params, tx.init(params), params)
  >>> [round(float(u), 4) for u in updates]
  [-0.1001, 0.1002]
"""

import contextlib

from jax import export as _export

from rmsprop_optax.links._decay import decay_weights
from rmsprop_optax.links._division import (
    ScaleByMaxRmsState,
    ScaleByPreviousRmsState,
    fourth_root,
    scale_by_max_rms,
    scale_by_previous_rms,
)
from rmsprop_optax.links._masks import MagmaState, SkipUpdatesState, cautious, magma, skip_updates
from rmsprop_optax.links._resets import ScaleByAgeState, resettable, scale_by_age

__all__ = [
    "MagmaState",
    "ScaleByAgeState",
    "ScaleByMaxRmsState",
    "ScaleByPreviousRmsState",
    "SkipUpdatesState",
    "cautious",
    "decay_weights",
    "fourth_root",
    "magma",
    "resettable",
    "scale_by_age",
    "scale_by_max_rms",
    "scale_by_previous_rms",
    "skip_updates",
]

for _state in (MagmaState, ScaleByAgeState, ScaleByMaxRmsState, ScaleByPreviousRmsState, SkipUpdatesState):
    with contextlib.suppress(ValueError):
        _export.register_namedtuple_serialization(_state, serialized_name=f"rmsprop_optax.links.{_state.__name__}")
