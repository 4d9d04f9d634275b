"""Reset an optimizer when its target jumps, as at a change of a target network."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import xlog1py

from rmsprop_optax import _tree
from rmsprop_optax._arguments import checked, optimizer
from rmsprop_optax._types import Number

_MOMENTS = {"nu", "mu", "trace", "ema", "gain", "highest", "age"}


def resettable(tx: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Reset an optimizer's memory of gradients on request: ``tx.update(grads, state, params, reset=condition)``.

    If ``reset`` is true, states with moments, buffers or gains, including their counts, are set to those of ``init``
    before the step. The counts of schedules and hyperparameters continue. ``reset`` may be traced, so one compiled step
    serves both cases: ``reset=step % 8000 == 0``.

    Args:
      tx: an optimizer of this package or of optax.

    Returns:
      A transformation with the state of ``tx``. ``update`` needs the parameters if ``reset`` is given.

    Raises:
      TypeError: ``tx`` is not a transformation.
      ValueError: at ``update``, there is a ``reset`` and there are no parameters.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from rmsprop_optax import rmsprop
      >>> tx, params = resettable(rmsprop(0.1, decay=0.75, eps=0.0)), jnp.zeros(1)
      >>> state = tx.init(params)
      >>> for reset in (False, False, True):
      ...     updates, state = tx.update(jnp.ones(1), state, params, reset=reset)
      ...     print(round(float(updates[0]), 4))
      -0.2
      -0.1512
      -0.2

    Source:
      Asadi, Fakoor and Sabach, arXiv:2306.17833: Rainbow with its moments reset at each change of the target network.
    """
    tx = optimizer(tx)

    def update(
        updates: Any, state: Any, params: Any = None, *, reset: Any = False, **extra_args: Any
    ) -> tuple[Any, Any]:
        if reset is not False:
            if params is None:
                raise ValueError(
                    "a reset needs the parameters, got params=None: call update(grads, state, params, reset=…)."
                )
            state = jax.tree.map(lambda new, old: _chosen(reset, new, old), tx.init(params), state, is_leaf=_is_node)
        updates, state = tx.update(updates, state, params, reset=reset, **extra_args)
        return updates, state

    return optax.GradientTransformationExtraArgs(tx.init, update)


def _is_node(x: Any) -> bool:
    return bool(_MOMENTS & set(getattr(x, "_fields", ())))


def _chosen(reset: Any, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(reset, a, b), new, old) if _is_node(new) else old


class ScaleByAgeState(NamedTuple):
    """The state of :func:`scale_by_age`.

    Attributes:
      age: int32 scalar, the number of updates since the start or the last reset.
    """

    age: jax.Array


@checked()
def scale_by_age(decay: Number) -> optax.GradientTransformationExtraArgs:
    r"""Multiply updates by the bias correction of a mean square, with an age that can be reset alone.

    .. math::
      age \leftarrow age + 1 \quad (\text{from 0 with } reset), \qquad u \leftarrow \sqrt{1 - decay^{age}} \cdot u

    ``optax.chain(dialects.pytorch(lr, 0.99), scale_by_age(0.99))`` divides by ``√(nu / (1 − decay^age))`` if epsilon is
    negligible. ``tx.update(grads, state, params, reset=True)`` resets the age and keeps the mean square. If gradients
    then jump up by any factor, the next step has the length of the learning rate, and not ``1/√(1 − decay)`` times this
    length as in RMSprop. If gradients do not jump, steps become shorter and recover. The ``bias_correction`` of
    :func:`rmsprop_optax.rmsprop` is a decay that warms up: setting its count to 0 also forgets the mean square.

    Args:
      decay: the decay of the mean square, in [0, 1).

    Returns:
      A transformation with a :class:`ScaleByAgeState`.

    Raises:
      ValueError: ``decay`` is out of its range.
      TypeError: ``decay`` is not a number.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from rmsprop_optax import rmsprop
      >>> tx = optax.chain(rmsprop(0.1, decay=0.99, eps=0.0), scale_by_age(0.99))
      >>> state = tx.init(jnp.zeros(1))
      >>> for g in (*[1.0] * 500, 1e6):
      ...     updates, state = tx.update(jnp.array([g]), state, reset=g > 1)
      >>> round(float(updates[0]), 4)  # without the reset -1.0
      -0.1

    Source:
      Ellis et al., arXiv:2412.17113: Adam with relative timesteps, here without Adam's momentum.
    """

    def init(params: optax.Params) -> ScaleByAgeState:
        del params
        return ScaleByAgeState(jnp.zeros([], jnp.int32))

    def update(
        updates: Any, state: Any, params: Any = None, *, reset: Any = False, **extra_args: Any
    ) -> tuple[Any, Any]:
        del params, extra_args
        age = optax.safe_increment(jnp.where(reset, 0, _tree.state_of(ScaleByAgeState, state).age))
        dtype = jnp.result_type(float)
        seen = -jnp.expm1(xlog1py(age.astype(dtype), -jnp.asarray(1 - decay, dtype)))
        return jax.tree.map(lambda u: jnp.sqrt(seen).astype(u.dtype) * u, updates), ScaleByAgeState(age)

    return _tree.in_float32(optax.GradientTransformationExtraArgs(init, update))
