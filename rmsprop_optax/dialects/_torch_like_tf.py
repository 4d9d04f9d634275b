"""PyTorch optimizers with epsilon under the root, as in TensorFlow."""

from math import inf
from typing import Any

import optax

from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax._numbers import Range, needs
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import TORCH
from rmsprop_optax.links._masks import cautious


@dialect(
    "inside",
    "L2",
    "decoupled",
    initial="1",
    words={**TORCH, "max_lr": Range(0, inf, "it is the rate that timm's constructor would have got", optional=True)},
)
def timm(
    lr: ScalarOrSchedule = 1e-2,
    alpha: Number = 0.9,
    eps: Number = 1e-10,
    weight_decay: ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
    decoupled_decay: bool = False,
    corrected_weight_decay: bool = False,
    lr_in_momentum: bool = True,
    caution: bool = False,
    *,
    max_lr: Number | None = None,
) -> optax.GradientTransformationExtraArgs:
    """``timm.optim.RMSpropTF`` with its own arguments::

      g_t ← g_t + weight_decay · p_t   or
      p_t ← p_t - lr_t · weight_decay · p_t
      v_t = v_{t-1} + (1 - alpha) · (g_t² - v_{t-1}),   v_0 = 1
      b_t = momentum · b_{t-1} + lr_t · g_t / √(v_t + eps),   p_{t+1} = p_t - b_t

    With ``lr_in_momentum=False`` the learning rate multiplies the buffer instead, as in PyTorch. ``foreach``,
    which does not change the rule, is omitted.

    Args:
      weight_decay: at least 0, L2 or decoupled. ``None`` is off; timm writes 0.
      decoupled_decay: decay the parameters themselves instead of the gradient.
      corrected_weight_decay: decay by ``lr²/max_lr`` instead of ``lr``.
      lr_in_momentum: whether the learning rate comes before the buffer (TensorFlow) or after it (PyTorch).
      caution: drop the entries of the step whose sign differs from the gradient's and scale the others up, as in
        arXiv:2411.16085. The buffer keeps all entries.
      max_lr: the rate passed to timm's constructor, above 0, for ``corrected_weight_decay``. ``None`` is ``lr``, which
        must then be a Python number.

    Raises:
      ValueError: a number is out of its range, or an option is set while the option it depends on is off (timm
        ignores it).

    Example:
      timm(lr=0.01, momentum=0.9) turns a first gradient of 2.0 into an update of -0.017541 = 0.01·2 / √1.3.

    Source:
      huggingface/pytorch-image-models 1.0.31: timm/optim/rmsprop_tf.py.
    """
    needs("caution", caution, "momentum", momentum)
    needs("corrected_weight_decay", corrected_weight_decay, "decoupled_decay", decoupled_decay)
    needs("max_lr", max_lr is not None, "corrected_weight_decay", corrected_weight_decay)
    tx = rmsprop(
        lr,
        alpha,
        eps=eps,
        initial_scale=1.0,
        centered=centered,
        momentum=momentum,
        lr_in_momentum=lr_in_momentum,
    )
    rates = (lr, lr, 1.0 / _max_lr(lr, max_lr)) if corrected_weight_decay else (lr,)
    coupled, decoupled = (None, weight_decay) if decoupled_decay else (weight_decay, None)
    return chain(
        add_weight_decay(coupled),
        cautious(tx) if caution else tx,
        # The updates of the rule are already negated, so the decay is negated here.
        add_weight_decay(decoupled, times=(-1.0, *rates)),
    )


def _max_lr(lr: Any, max_lr: Any) -> Any:
    """The rate passed to timm's constructor."""
    if max_lr is None and not isinstance(lr, float):
        raise ValueError(
            "corrected_weight_decay needs max_lr beside an lr that changes, got max_lr=None: pass the rate that timm's "
            "constructor got."
        )
    max_lr = lr if max_lr is None else max_lr
    if isinstance(max_lr, float) and max_lr == 0:
        raise ValueError("max_lr must be above 0, got max_lr=0.0: the decay is lr²/max_lr.")
    return max_lr


@dialect("inside", "L2", initial="1", lr_in_momentum=False, words=TORCH)
def sb3(
    lr: ScalarOrSchedule = 1e-2,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """``stable_baselines3.common.sb2_compat.rmsprop_tf_like.RMSpropTFLike`` with its own arguments::

      g_t ← g_t + weight_decay · p_t
      v_t = alpha · v_{t-1} + (1 - alpha) · g_t²,   v_0 = 1
      b_t = momentum · b_{t-1} + g_t / √(v_t + eps),   p_{t+1} = p_t - lr_t · b_t

    The initial value and the place of epsilon are TensorFlow's, the rest is PyTorch's. The learning rate comes after
    the buffer, so with momentum and a schedule the steps are neither TensorFlow's nor timm's.

    Example:
      sb3(lr=0.01, momentum=0.9) turns a first gradient of 2.0 into an update of -0.019707.

    Source:
      DLR-RM/stable-baselines3 2.9.2: stable_baselines3/common/sb2_compat/rmsprop_tf_like.py.
    """
    return rmsprop(
        lr,
        alpha,
        eps=eps,
        initial_scale=1.0,
        centered=centered,
        momentum=momentum,
        lr_in_momentum=False,
        l2=weight_decay,
    )


@dialect("inside", "L2", lr_in_momentum=False, words=TORCH)
def pfrl(
    lr: ScalarOrSchedule = 1e-2,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """``pfrl.optimizers.RMSpropEpsInsideSqrt`` with its own arguments::

      g_t ← g_t + weight_decay · p_t
      v_t = alpha · v_{t-1} + (1 - alpha) · g_t²
      b_t = momentum · b_{t-1} + g_t / √(v_t + eps),   p_{t+1} = p_t - lr_t · b_t

    The rule of :func:`sb3` with a mean square that starts from 0. ``SharedRMSpropEpsInsideSqrt`` is the same rule with
    statistics that several processes share.

    Example:
      pfrl(lr=0.01, momentum=0.9) turns a first gradient of 2.0 into an update of -0.1.

    Source:
      pfnet/pfrl 0.4.0: pfrl/optimizers/rmsprop_eps_inside_sqrt.py.
    """
    return rmsprop(lr, alpha, eps=eps, centered=centered, momentum=momentum, lr_in_momentum=False, l2=weight_decay)


@dialect("inside", "L2", "decoupled", initial="1", lr_in_momentum=False, words=TORCH)
def dfdx(
    lr: ScalarOrSchedule = 1e-2,
    alpha: Number = 0.9,
    eps: Number = 1e-8,
    momentum: Number | None = None,
    centered: bool = False,
    weight_decay: ScalarOrSchedule | None = None,
    *,
    decoupled: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """``dfdx::nn::optim::RMSprop`` with the arguments of ``RMSpropConfig``::

      g_t ← g_t + weight_decay · p_t   (L2)
      v_t = v_{t-1} + (1 - alpha) · (g_t² - v_{t-1}),   v_0 = 1
      b_t = momentum · b_{t-1} + g_t / √(v_t + eps)
      p_{t+1} = p_t - lr_t · b_t - lr_t · weight_decay · p_t   (decoupled)

    The rule of :func:`sb3`, with decoupled weight decay as an option. In dfdx the mean square of an array starts from 0
    if its first gradient comes later than that of other arrays, a bug that is not reproduced.

    Args:
      weight_decay: at least 0, L2 or decoupled; ``None`` is off.
      decoupled: ``WeightDecay::Decoupled`` instead of ``WeightDecay::L2``.

    Raises:
      ValueError: a number is out of its range, or ``decoupled`` is set without ``weight_decay``.

    Example:
      dfdx(lr=0.1) turns a first gradient of 2.0 into an update of -0.175412.

    Source:
      coreylowman/dfdx 0.13.0: dfdx/src/nn/optim/rmsprop.rs, dfdx-core/src/tensor_ops/rmsprop/.
    """
    needs("decoupled", decoupled, "weight_decay", weight_decay)
    return rmsprop(
        lr,
        alpha,
        eps=eps,
        initial_scale=1.0,
        centered=centered,
        momentum=momentum,
        lr_in_momentum=False,
        l2=None if decoupled else weight_decay,
        weight_decay=weight_decay if decoupled else None,
    )
