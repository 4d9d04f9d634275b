"""RMSprops for PyTorch with their own rules: fastai, HeavyBall and Pyro."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers
from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax._momentum import momentum_buffer
from rmsprop_optax._rmsprop import rmsprop, scale_by_learning_rate
from rmsprop_optax._scale import scale_by_rms
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect


@dialect(
    "outside",
    "decoupled",
    "L2",
    lr_in_momentum=False,
    smooths="gradients",
    words={"lr": "learning_rate", "mom": "momentum", "sqr_mom": "decay", "wd": "l2"},
)
def fastai(
    lr: ScalarOrSchedule,
    mom: Number | None = None,
    sqr_mom: Number = 0.99,
    eps: Number = 1e-8,
    wd: ScalarOrSchedule | None = None,
    decouple_wd: bool = True,
) -> optax.GradientTransformationExtraArgs:
    """``fastai.optimizer.RMSProp`` with its own arguments::

      p_t ← p_t - lr_t · wd · p_t   or   g_t ← g_t + wd · p_t
      grad_avg_t = mom · grad_avg_{t-1} + g_t
      sqr_avg_t = sqr_mom · sqr_avg_{t-1} + (1 - sqr_mom) · g_t²
      p_{t+1} = p_t - lr_t · grad_avg_t / (√sqr_avg_t + eps)

    The momentum adds up gradients before they are divided; every other dialect adds up steps. fastai's ``Learner`` does
    not decay biases and the parameters of normalisation by default: chain ``optax.add_decayed_weights`` for that.

    Args:
      eps: added to the root, at least 0. fastai's ``RMSProp`` ignores the argument and keeps 1e-8, a bug that is not
        reproduced; ``set_hyper("eps", …)`` sets epsilon in fastai.
      wd: at least 0, decoupled or L2; ``None`` or 0 is off.
      decouple_wd: decay the parameters themselves instead of the gradient.

    Example:
      fastai(lr=0.01, mom=0.9) turns a first gradient of 2.0 into an update of -0.1.

    Source:
      fastai/fastai 2.8.12: fastai/optimizer.py.
    """
    coupled, decoupled = (None, wd) if decouple_wd else (wd, None)
    return chain(
        add_weight_decay(coupled),
        _divided_momentum(mom, sqr_mom, eps),
        scale_by_learning_rate(lr),
        add_weight_decay(decoupled, times=(-1.0, lr)),
    )


def _divided_momentum(momentum: Any, decay: Any, eps: Any) -> optax.GradientTransformation:
    """``b / (√nu + eps)`` of ``b = momentum·b + g`` and the mean square ``nu`` of ``g``."""
    rms, buffer = scale_by_rms(decay, eps, eps_in_sqrt=False), momentum_buffer(momentum)
    if buffer is None:
        return rms

    def init(params: Any) -> Any:
        return rms.init(params), buffer.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        square, trace = state
        _, square = rms.update(updates, square)
        b, trace = buffer.update(updates, trace)
        # A decay of 1 does not change the mean square, which here divides b instead of g.
        x, _ = scale_by_rms(jnp.ones([]), eps, eps_in_sqrt=False).update(b, square)
        return x, (square, trace)

    return optax.GradientTransformation(init, update)


@dialect("floor", "decoupled", bias_correction="always", words={"lr": "learning_rate", "beta2": "decay"})
def heavyball(
    lr: ScalarOrSchedule = 0.0025,
    beta2: Number = 0.99,
    eps: Number = 1e-6,
    weight_decay: ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    """``heavyball.RMSprop``, which is not ``torch.optim.RMSprop``, with its own arguments::

      d_t = 1 - (1 - beta2) / (1 - beta2^t)
      v_t = d_t · v_{t-1} + (1 - d_t) · g_t²
      p_{t+1} = p_t - lr_t · weight_decay · p_t - lr_t · g_t / max(√v_t, eps)

    The rule of :func:`blocks` with bias correction and weight decay. ``beta2`` is the second of ``betas``; the first is
    not used. ``warmup_steps`` is a schedule here. Options of all optimizers of HeavyBall that are off by default
    (clipping, caution, MARS, PaLM's decay, short storage) are omitted.

    Args:
      eps: the smallest denominator, at least 0.
      weight_decay: at least 0, decoupled; ``None`` or 0 is off.

    Example:
      heavyball(lr=0.1) turns a first gradient of 2.0 into an update of -0.1.

    Source:
      HomebrewML/HeavyBall 3.2.1: heavyball/__init__.py, heavyball/chainable.py, heavyball/utils.py.
    """
    return rmsprop(lr, beta2, eps=0.0, floor=eps, bias_correction=True, weight_decay=weight_decay)


@dialect(
    "outside",
    constant="1",
    note="pyro's mean square is the square of the first gradient after the first step, and its rate falls with √step.",
    words={"eta": "learning_rate"},
)
def pyro(eta: ScalarOrSchedule = 1.0, delta: Number = 1e-16, t: Number = 0.1) -> optax.GradientTransformationExtraArgs:
    """``pyro.optim.AdagradRMSProp`` with its own arguments, for variational inference::

      sum_1 = g_1²,   sum_k = (1 - t) · sum_{k-1} + t · g_k²
      p_{k+1} = p_k - eta_k · k^(delta - 1/2) · g_k / (1 + √sum_k)

    Stan's ADVI uses this rule with a ``delta`` of 0 and gradients that ascend, after a search for the best ``eta`` of
    100, 10, 1, 0.1 and 0.01.

    Args:
      delta: added to the exponent of the step, at least 0; a small number.
      t: the weight of the new square, above 0 and at most 1.

    Example:
      pyro(eta=0.1) turns a first gradient of 2.0 into an update of -0.066667 = -0.1·2 / (1 + 2).

    Source:
      pyro-ppl/pyro 1.9.2: pyro/optim/adagrad_rmsprop.py; Kucukelbir et al., arXiv:1603.00788, equations 10 and 11.
    """
    decay, more = _numbers.check("decay", 1 - t, name="1 - t"), _numbers.check("eps", delta, name="delta")

    def falling(count: jax.Array) -> jax.Array:
        step = (count + 1).astype(jnp.result_type(float))
        power: jax.Array = step ** _numbers.cast(more - 0.5, step.dtype)
        return power

    return chain(
        _from_first_square(decay, scale_by_rms(decay, eps=1.0, eps_in_sqrt=False)),
        scale_by_learning_rate(falling, flip_sign=False),
        scale_by_learning_rate(eta),
    )


def _from_first_square(decay: Any, inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Make the mean square of ``inner`` equal the square of the first gradient after the first step.

    The first gradient is multiplied by ``1/√(1 − decay)``, and its step is divided by the same factor.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        new = jnp.asarray(1 - decay, jnp.result_type(float))
        factor = jnp.where(state.count == 0, 1 / jnp.sqrt(new), 1)

        def times(tree: Any, number: Any) -> Any:
            return jax.tree.map(lambda u: _numbers.cast(number, u.dtype) * u, tree)

        steps, state = inner.update(times(updates, factor), state, params)
        return times(steps, 1 / factor), state

    return optax.GradientTransformation(inner.init, update)
