"""How a state array is kept between steps.

A format is chosen when the state is made and recognised by the dtype of the array from then on. Sharding, checkpoints
and tree utilities see an ordinary array of the parameter's shape.

========== ===== ================== ================= =====================================================
format     bytes numbers            between neighbours for
========== ===== ================== ================= =====================================================
None       4, 8  all                that of the maths the default: float32, float64 for float64 parameters
float32    4     all                6e-8              float64 parameters with a shorter state
bfloat16   2     all                0.4 to 0.8 %      everything: about 2 % of noise at decay 0.999
uint8      1     9e-16 to 14336     12 to 25 %        mean squares: about 15 % of noise, no bias
========== ===== ================== ================= =====================================================

The short formats round stochastically, up or down with the probabilities that keep the mean. Rounding to nearest stops
a moving average once its change is smaller than half a step of the format: at decay 0.999 in bfloat16, at half its
value. The probabilities come from a hash of the step, the gradient, the old code and the position in the array: no
random key is carried. Rounding is reproducible, and independent of automatic sharding and of the names and order of the
arrays. Under ``jax.shard_map`` positions count from 0 in each part, so other entries round up, with the same
probabilities. Entries of two arrays with equal position, gradient and code round together.

A mean square above the range of ``uint8``, of gradients above 120, is taken to be at least the square of the present
gradient: a steady gradient makes the step that it makes in float32. Below the range, of gradients under 3e-8, steps are
smaller. ``uint8`` holds no NaN: the update shows it, the mean square becomes the largest number.
"""

from typing import Any

import jax
import optax

from rmsprop_optax import _formats
from rmsprop_optax._arguments import optimizer
from rmsprop_optax._formats import FORMATS, Format, decoded
from rmsprop_optax._momentum import MomentumState
from rmsprop_optax._paths import nodes
from rmsprop_optax._scale import ScaleByRmsState
from rmsprop_optax._types import Storage

__all__ = ["FORMATS", "Format", "decoded", "with_storage"]


def with_storage(
    tx: optax.GradientTransformation, storage: Storage = "uint8", *, momentum_storage: Storage = None
) -> optax.GradientTransformationExtraArgs:
    """Let any optimizer of this package keep its mean squares, and its momentum, in fewer bytes.

    It is for a dialect, a recipe, or a chain with one; :func:`rmsprop_optax.rmsprop` and
    :func:`rmsprop_optax.scale_by_rms` have arguments for it. Only ``init`` differs.

    Args:
      tx: the optimizer.
      storage: of the mean squares: ``None``, or a name of :data:`FORMATS`.
      momentum_storage: of the momentum buffer; a format that holds negative numbers.

    Returns:
      The transformation.

    Raises:
      ValueError: a format is unknown or does not fit; at ``init``, the optimizer has no mean square.
      TypeError: ``tx`` is no transformation.

    Example:
      >>> import jax.numpy as jnp
      >>> from rmsprop_optax import dialects
      >>> tx = with_storage(dialects.pytorch(momentum=0.9), "uint8", momentum_storage="bfloat16")
      >>> state = tx.init(jnp.zeros(3))
      >>> str(optax.tree.get(state, "nu").dtype), str(optax.tree.get(state, "trace").dtype)
      ('uint8', 'bfloat16')
    """
    _formats.check(storage)
    _formats.check(momentum_storage, signed=True)
    tx = optimizer(tx)

    def convert(state: Any) -> Any:
        if isinstance(state, ScaleByRmsState):
            return state._replace(nu=_formats.coded(state.nu, storage))
        if isinstance(state, MomentumState):
            return state._replace(trace=_formats.coded(state.trace, momentum_storage))
        return state

    def init(params: optax.Params) -> optax.OptState:
        state = tx.init(params)
        if not nodes(state, ScaleByRmsState):
            raise ValueError("the optimizer must hold a mean square of this package, got one without any.")
        return jax.tree.map(convert, state, is_leaf=lambda x: isinstance(x, ScaleByRmsState | MomentumState))

    return optax.GradientTransformationExtraArgs(init, tx.update)
