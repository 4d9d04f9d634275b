"""timm's RMSprop: TensorFlow 1's rule in PyTorch."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers, _tree
from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax.dialects._links import rate, under_root


def timm(
    lr: Any = 1e-2,
    alpha: Any = 0.9,
    eps: Any = 1e-10,
    weight_decay: Any = 0,
    momentum: Any = 0.0,
    centered: bool = False,
    decoupled_decay: bool = False,
    corrected_weight_decay: bool = False,
    lr_in_momentum: bool = True,
    caution: bool = False,
    *,
    max_lr: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""``timm.optim.RMSpropTF`` under its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \quad \text{or} \quad
      p_t \leftarrow p_t - lr_t \cdot weight\_decay \cdot p_t \\
      v_t &= v_{t-1} + (1 - alpha) \cdot (g_t^2 - v_{t-1}), \qquad v_0 = 1 \\
      b_t &= momentum \cdot b_{t-1} + lr_t \cdot g_t / \sqrt{v_t + eps}, \qquad p_{t+1} = p_t - b_t

    Differs on purpose: the centered variance is computed without cancellation, and statistics are float32 or wider.
    ``foreach`` does not change the rule and is not taken.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: added to the mean square under the root, at least 0.
      weight_decay: at least 0, as L2 penalty or decoupled.
      momentum: in [0, 1); 0 has no buffer.
      centered: divide by the standard deviation of the gradients.
      decoupled_decay: decay the parameters themselves and leave the gradient alone.
      corrected_weight_decay: decouple with ``lr²/max_lr`` instead of ``lr``.
      lr_in_momentum: whether the learning rate comes before the buffer (TensorFlow) or after it (PyTorch).
      caution: take only the entries of the step that agree with the gradient's sign, scaled up for the ones left out,
        as in arXiv:2411.16085; the buffer keeps all.
      max_lr: the rate that timm remembers from its constructor for ``corrected_weight_decay``; ``lr`` itself where that
        is a Python number, else it must be given.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, between the two places of the weight decay.

    Raises:
      ValueError: a number is out of its range, or an option has no meaning without another (timm ignores it).

    Example:
      >>> import jax.numpy as jnp
      >>> tx = timm(lr=0.01, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)  # 0.01·2 / √1.3
      -0.01754

    Source:
      huggingface/pytorch-image-models 1.0.31: timm/optim/rmsprop_tf.py.
    """
    _numbers.check_flags(
        decoupled_decay=decoupled_decay, corrected_weight_decay=corrected_weight_decay, caution=caution
    )
    _numbers.needs("caution", caution, "momentum", momentum)
    _numbers.needs("corrected_weight_decay", corrected_weight_decay, "decoupled_decay", decoupled_decay)
    _numbers.needs("max_lr", max_lr is not None, "corrected_weight_decay", corrected_weight_decay)
    lr = rate("lr", lr)
    rule = rmsprop(
        lr,
        _numbers.check("decay", alpha, name="alpha"),
        **under_root("eps", eps),
        initial_value=1.0,
        centered=centered,
        momentum=momentum,
        lr_in_momentum=lr_in_momentum,
    )
    rates = (lr, lr, 1.0 / _max_lr(lr, max_lr)) if corrected_weight_decay else (lr,)
    coupled, decoupled = (None, weight_decay) if decoupled_decay else (weight_decay, None)
    return _tree.in_float32(
        optax.chain(
            add_weight_decay("l2", coupled, name="weight_decay"),
            _cautious(rule) if caution else rule,
            # The rule's updates descend already, so the decay comes with their sign.
            add_weight_decay("weight_decay", decoupled, times=(-1.0, *rates)),
        )
    )


def _max_lr(lr: Any, max_lr: Any) -> Any:
    """The rate that timm's constructor would have got."""
    if max_lr is None and not _numbers.is_static(lr):
        raise ValueError(
            "corrected_weight_decay needs max_lr beside an lr that changes, got max_lr=None: give the rate that timm's "
            "constructor would have got."
        )
    max_lr = _numbers.check("learning_rate", lr if max_lr is None else max_lr, name="max_lr")
    if _numbers.is_off(max_lr):
        raise ValueError("max_lr must be above 0, got max_lr=0.0: the decay is lr²/max_lr.")
    return max_lr


def _cautious(inner: optax.GradientTransformationExtraArgs) -> optax.GradientTransformationExtraArgs:
    """Of a descending update keep the entries that go against the gradient, and keep their mean size."""

    def keep(u: Any, g: Any) -> Any:
        if u is None:
            return None
        against = jnp.real(u * jnp.conj(g)) < 0
        kept = against.astype(_numbers.real(u.dtype))
        return u * (kept / jnp.maximum(jnp.mean(kept), 1e-3)).astype(u.dtype)

    def update(updates, state, params=None, **extra_args):
        steps, state = inner.update(updates, state, params, **extra_args)
        return jax.tree.map(keep, steps, updates, is_leaf=lambda u: u is None), state

    return optax.GradientTransformationExtraArgs(inner.init, update)
