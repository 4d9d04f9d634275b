"""RMSprop in the libraries of Theano's users: Lasagne, Blocks and climin."""

from math import inf
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _formats, _numbers, _tree
from rmsprop_optax._complex import per_component
from rmsprop_optax._gains import adapted, within
from rmsprop_optax._numbers import OFF, Range, needs
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._scale import scale_by_rms
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Number, ScalarOrSchedule, Tree
from rmsprop_optax.dialects._dialect import dialect

_LIMIT = Range(0, inf, "it limits the step rates that adapt; None is no limit", optional=True)


@dialect("inside", words={"rho": "decay", "epsilon": "eps"})
def lasagne(
    learning_rate: ScalarOrSchedule = 1.0, rho: Number = 0.9, epsilon: Number = 1e-6
) -> optax.GradientTransformationExtraArgs:
    """``lasagne.updates.rmsprop`` with its own arguments::

      r_t = rho · r_{t-1} + (1 - rho) · g_t²
      p_{t+1} = p_t - learning_rate_t · g_t / √(r_t + epsilon)

    Example:
      lasagne(learning_rate=0.1) turns a first gradient of 2.0 into an update of -0.316227.

    Source:
      Lasagne/Lasagne 5d3c63c: lasagne/updates.py.
    """
    return rmsprop(learning_rate, rho, eps=epsilon)


@dialect(
    "floor",
    constant="1/max_scaling",
    words={
        "decay_rate": "decay",
        "max_scaling": Range(1e-30, inf, "a gradient is multiplied by it at most; 1e5 is usual"),
    },
)
def blocks(
    learning_rate: ScalarOrSchedule = 1.0, decay_rate: Number = 0.9, max_scaling: Number = 1e5
) -> optax.GradientTransformationExtraArgs:
    """``blocks.algorithms.RMSProp`` with its own arguments::

      s_t = decay_rate · s_{t-1} + (1 - decay_rate) · g_t²
      p_{t+1} = p_t - learning_rate_t · g_t / max(√s_t, 1 / max_scaling)

    There is no epsilon; the root is bounded from below. ``BasicRMSProp`` is this rule with a learning rate of 1, and
    pylearn2's ``RMSProp(decay, max_scaling)`` has the same rule.

    Args:
      max_scaling: the largest factor of a gradient, above 0.

    Example:
      blocks(learning_rate=0.1) turns a first gradient of 2.0 into an update of -0.316228.

    Source:
      mila-iqia/blocks 0.2.0: blocks/algorithms/__init__.py.
    """
    return rmsprop(learning_rate, decay_rate, floor=1.0 / max_scaling, eps=0.0)


class AdaptiveStepsState(NamedTuple):
    """The second state of ``climin(…, step_adapt=…)``, after the state of the mean square.

    Attributes:
      count: int32 scalar, the number of updates so far.
      gain: real arrays of the parameters' shapes, float32 or wider: the factor of each step rate. It starts from 1 and
        changes with every update.
      trace: arrays like the parameters, float32 or wider: the last step.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax's states
    gain: Tree
    trace: Tree


@dialect(
    "inside",
    constant="1e-8",
    initial="1",
    nesterov=True,
    words={
        "step_rate": "learning_rate",
        "step_rate_min": _LIMIT,
        "step_rate_max": _LIMIT,
        "step_adapt": Range(0, 1, f"step rates are multiplied by one plus or minus it; {OFF}", optional=True),
    },
)
def climin(
    step_rate: ScalarOrSchedule,
    decay: Number = 0.9,
    momentum: Number | None = None,
    step_adapt: Number | None = None,
    step_rate_min: Number | None = None,
    step_rate_max: Number | None = None,
) -> optax.GradientTransformationExtraArgs:
    """``climin.RmsProp`` with its own arguments::

      jump_t = momentum · step_{t-1},   g_t = f'(p_t - jump_t)
      v_t = decay · v_{t-1} + (1 - decay) · g_t²,   v_0 = 1
      step_t = jump_t + step_rate_t · g_t / √(v_t + 1e-8),   p_{t+1} = p_t - step_t
      step_rate_{t+1} = step_rate_t · (1 ± step_adapt)

    The sign is plus where ``step_t`` and ``step_{t-1}`` are both positive or both not positive; step rates stay within
    their limits. The parameters trained here are those after the jump, ``p_t − jump_t``, where climin takes the
    gradient; :func:`rmsprop_optax.nesterov_eval_params` returns ``p_t``. climin's documentation differs from its code;
    this dialect follows the code. The parts of a complex number adapt separately.

    Args:
      step_rate: at least 0; a number, or a schedule that multiplies the adapted rates.
      momentum: in [0, 1); ``None`` is off; climin writes 0. Adaptive steps need a buffer even without momentum.
      step_adapt: in [0, 1); ``None`` is off; climin writes ``False``.
      step_rate_min: the smallest adapted step rate, at least 0; ``None`` is no limit.
      step_rate_max: the largest adapted step rate, above 0; ``None`` is no limit.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it; with ``step_adapt`` its state holds an
      :class:`AdaptiveStepsState`.

    Raises:
      ValueError: a number is out of its range, or a limit is set without ``step_adapt``.

    Example:
      >>> from rmsprop_optax import nesterov_eval_params
      >>> tx = climin(0.1, momentum=0.5)
      >>> params = jnp.array([1.0])
      >>> updates, state = tx.update(params, tx.init(params))
      >>> params = optax.apply_updates(params, updates)
      >>> [round(float(p[0]), 3) for p in (params, nesterov_eval_params(state, params, 0.5))]
      [0.85, 0.9]

    Source:
      BRML/climin 2215b1a: climin/rmsprop.py.
    """
    if step_adapt is None:
        needs("step_rate_min", step_rate_min is not None, "step_adapt", step_adapt)
        needs("step_rate_max", step_rate_max is not None, "step_adapt", step_adapt)
        return rmsprop(step_rate, decay, eps=1e-8, initial_scale=1.0, momentum=momentum, nesterov=True)
    low, high = (default if x is None else x for x, default in ((step_rate_min, 0.0), (step_rate_max, inf)))
    if isinstance(low, float) and isinstance(high, float) and not low <= high:
        raise ValueError(
            f"step_rate_min must be at most step_rate_max, got {step_rate_min} and {step_rate_max}: exchange them."
        )
    steps = _adaptive_steps(
        step_rate if callable(step_rate) else lambda _: step_rate,
        0.0 if momentum is None else momentum,
        step_adapt,
        low,
        high,
    )
    return chain(scale_by_rms(decay, eps=1e-8, initial_scale=1.0), per_component(steps), optax.scale(-1.0))


def _adaptive_steps(
    schedule: Any, momentum: Any, adapt: Any, minimum: Any, maximum: Any
) -> optax.GradientTransformation:
    def init(params: optax.Params) -> AdaptiveStepsState:
        return AdaptiveStepsState(jnp.zeros([], jnp.int32), _tree.full(params, 1.0), _tree.full(params, 0.0))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        _tree.state_of(AdaptiveStepsState, state)

        def one(u: jax.Array, *stored: jax.Array) -> tuple[Any, ...]:
            u, gain, before = _formats.decode(u, *stored)
            rate, mu = (_numbers.cast(x, u.dtype) for x in (schedule(state.count), momentum))
            correction = rate * gain * u
            step = mu * before + correction
            agreement = jnp.where((step > 0) == (before > 0), 1, -1)
            limited = within(rate * adapted(gain, agreement, 0.0, 1 + adapt, 1 - adapt), minimum, maximum)
            gain = jnp.where(rate == 0, gain, limited / rate)
            return correction + mu * step, *(x.astype(s.dtype) for x, s in zip((gain, step), stored, strict=True))

        updates, *kept = _tree.lift(one, updates, state.gain, state.trace)
        return updates, AdaptiveStepsState(optax.safe_increment(state.count), *kept)

    return optax.GradientTransformation(init, update)
