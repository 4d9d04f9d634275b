"""climin's RMSprop: Nesterov's look-ahead and step rates that adapt."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers, _tree, storage
from rmsprop_optax._gains import adapted, within
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._scale import scale_by_rms
from rmsprop_optax.dialects._links import rate


class AdaptiveStepsState(NamedTuple):
    """The state of ``climin(…, step_adapt=…)`` behind the mean square.

    Attributes:
      count: int32 scalar, the number of updates so far.
      gain: the tree of the parameters, real, float32 or wider: what each step rate is multiplied by; 1 at first.
      trace: the tree of the parameters, float32 or wider: the step before.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax's states
    gain: Any
    trace: Any


def climin(
    step_rate: Any,
    decay: Any = 0.9,
    momentum: Any = 0,
    step_adapt: Any = False,
    step_rate_min: Any = 0,
    step_rate_max: Any = math.inf,
) -> optax.GradientTransformationExtraArgs:
    r"""``climin.RmsProp`` under its own arguments.

    .. math::
      jump_t &= momentum \cdot step_{t-1}, \qquad g_t = f'(p_t - jump_t) \\
      v_t &= decay \cdot v_{t-1} + (1 - decay) \cdot g_t^2, \qquad v_0 = 1 \\
      step_t &= jump_t + step\_rate_t \cdot g_t / \sqrt{v_t + 10^{-8}}, \qquad p_{t+1} = p_t - step_t \\
      step\_rate_{t+1} &= step\_rate_t \cdot (1 \pm step\_adapt)

    The sign is plus where ``step_t`` and ``step_{t-1}`` are both positive or both not, and step rates stay within their
    limits. The parameters that are trained here are those after the jump, ``p_t − jump_t``, so that the gradient is
    taken where they are; :func:`rmsprop_optax.nesterov_eval_params` reads ``p_t`` out. climin's documentation differs
    from its code, which is followed here. The parts of a complex number adapt one by one.

    Args:
      step_rate: at least 0; a number or a schedule, which then multiplies what has adapted.
      decay: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); 0 has no buffer, except where steps adapt.
      step_adapt: in [0, 1); ``False`` or 0 is off. Where ``optax.inject_hyperparams`` is to leave it off, name it and
        the limits in ``static_args``.
      step_rate_min: the smallest adapted step rate, at least 0.
      step_rate_max: the largest.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it; where steps adapt, its last state is an
      :class:`AdaptiveStepsState`.

    Raises:
      ValueError: a number is out of its range, or the limits come without ``step_adapt``.

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
    step_rate = rate("step_rate", step_rate)
    if _numbers.is_off(step_adapt):
        _numbers.needs("step_rate_min", not _numbers.is_off(step_rate_min), "step_adapt", step_adapt)
        _numbers.needs("step_rate_max", not _is_inf(step_rate_max), "step_adapt", step_adapt)
        nesterov = not _numbers.is_off(momentum)
        return rmsprop(step_rate, decay, eps_root=1e-8, initial_value=1.0, momentum=momentum, nesterov=nesterov)
    step_rate_min = _numbers.check("step_rate", step_rate_min, name="step_rate_min")
    if not _is_inf(step_rate_max):
        step_rate_max = _numbers.check("step_rate", step_rate_max, name="step_rate_max")
    if all(map(_numbers.is_static, (step_rate_min, step_rate_max))) and not step_rate_min <= step_rate_max:
        raise ValueError(
            f"step_rate_min must be at most step_rate_max, got {step_rate_min} and {step_rate_max}: exchange them."
        )
    steps = _adaptive_steps(
        step_rate if callable(step_rate) else lambda _: step_rate,
        _numbers.check("momentum", momentum),
        _numbers.check("step_adapt", step_adapt),
        step_rate_min,
        step_rate_max,
    )
    rms = scale_by_rms(decay, eps_root=1e-8, initial_value=1.0)
    return _tree.in_float32(optax.chain(rms, _tree.per_component(steps), optax.scale(-1.0)))


def _adaptive_steps(schedule, momentum, adapt, minimum, maximum):
    def init(params):
        return AdaptiveStepsState(jnp.zeros([], jnp.int32), _tree.full(params, 1.0), _tree.full(params, 0.0))

    def update(updates, state, params=None):
        del params

        def one(u, *stored):
            u, gain, before = storage.decode(u, *stored)
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


def _is_inf(x: Any) -> bool:
    return _numbers.is_static(x) and x == math.inf
