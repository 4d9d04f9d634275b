"""PyTorch's RMSprop and its relatives: epsilon beside the root, the learning rate after the buffer."""

import optax

from rmsprop_optax._complex import per_component
from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import TORCH


@dialect("outside", "L2", lr_in_momentum=False, words=TORCH)
def pytorch(
    lr: ScalarOrSchedule = 1e-2,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
    *,
    maximize: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """``torch.optim.RMSprop`` with its own arguments::

      g_t ← ± g_t + weight_decay · p_t
      v_t = alpha · v_{t-1} + (1 - alpha) · g_t²
      b_t = momentum · b_{t-1} + g_t / (√v_t + eps)
      p_{t+1} = p_t - lr_t · b_t

    The real and the imaginary part of a complex parameter are two parameters, each with its own mean square.
    PyTorch's centered variance can turn negative, and the parameters then become NaN. ``foreach``, ``capturable`` and
    ``differentiable``, which do not change the rule, are omitted.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, with a pair of arrays in the state of a
      complex parameter.

    Example:
      pytorch(lr=0.01, momentum=0.9) turns a first gradient of 2.0 into an update of -0.1.

    Source:
      pytorch/pytorch 2.13.0: torch/optim/rmsprop.py.
    """
    tx = rmsprop(
        lr,
        alpha,
        eps=eps,
        eps_in_sqrt=False,
        centered=centered,
        momentum=momentum,
        lr_in_momentum=False,
        l2=weight_decay,
    )
    return chain(optax.scale(-1.0) if maximize else None, per_component(tx))


@dialect("outside", "L2", lr_in_momentum=False, words=TORCH)
def torchopt(
    lr: ScalarOrSchedule = 1e-2,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
    *,
    initial_scale: Number = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """``torchopt.RMSProp`` and ``torchopt.rmsprop`` with their own arguments.

    The rule of :func:`pytorch` for real parameters, with optax's ``initial_scale`` and ``nesterov``. ``nesterov``
    without momentum changes nothing.

    Args:
      nesterov: take the momentum step once more beyond the buffer.

    Example:
      torchopt(lr=0.01, momentum=0.9, nesterov=True) turns a first gradient of 2.0 into an update of -0.19.

    Source:
      metaopt/torchopt 0.7.3: torchopt/alias/rmsprop.py, torchopt/transform/.
    """
    tx = rmsprop(
        lr,
        alpha,
        eps=eps,
        eps_in_sqrt=False,
        centered=centered,
        initial_scale=initial_scale,
        momentum=momentum,
        nesterov=nesterov,
        lr_in_momentum=False,
        l2=weight_decay,
    )
    return chain(optax.scale(-1.0) if maximize else None, tx)


@dialect("outside", "L2", refused=("momentum", "centered"), words=TORCH)
def bitsandbytes(
    lr: ScalarOrSchedule = 1e-2,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """``bitsandbytes.optim.RMSprop32bit`` with its own arguments.

    The rule of :func:`pytorch` for real parameters, without momentum and without a centered form. bitsandbytes ignores
    ``momentum`` silently and raises for ``centered``; here both raise. Its 8-bit kernel for CUDA adds the weight decay
    to the mean square alone, a bug that is not reproduced. ``args`` and the arguments of its storage, which do not
    change the rule, are omitted.

    Args:
      alpha: the weight of the old mean square, in [0, 1). bitsandbytes refuses 0.

    Example:
      bitsandbytes(lr=0.01) turns a first gradient of 2.0 into an update of -0.1.

    Source:
      bitsandbytes-foundation/bitsandbytes 0.50.2: bitsandbytes/optim/rmsprop.py, bitsandbytes/optim/optimizer.py.
    """
    return rmsprop(lr, alpha, eps=eps, eps_in_sqrt=False, l2=weight_decay)


@dialect("outside", "L2", lr_in_momentum=False, words=TORCH | {"epsilon": "eps"})
def burn(
    lr: ScalarOrSchedule,
    alpha: Number = 0.99,
    momentum: Number | None = 0.9,
    epsilon: Number = 1e-5,
    centered: bool = False,
    weight_decay: ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    """``burn::optim::RmsProp`` with the arguments of its configuration.

    The rule of :func:`pytorch` for real parameters, with momentum by default; ``epsilon`` is PyTorch's ``eps``.
    ``grad_clipping`` is a link before this transformation.

    Args:
      lr: at least 0; a number or a schedule. Burn takes the rate at every step.

    Example:
      burn(lr=0.1) turns a first gradient of 2.0 into an update of -0.99995.

    Source:
      tracel-ai/burn 0.22.0-pre.2: crates/burn-optim/src/optim/rmsprop.rs.
    """
    return rmsprop(
        lr,
        alpha,
        eps=epsilon,
        eps_in_sqrt=False,
        centered=centered,
        momentum=momentum,
        lr_in_momentum=False,
        l2=weight_decay,
    )


@dialect("outside", "L2", lr_in_momentum=False, words=TORCH)
def candle_optimisers(
    lr: ScalarOrSchedule = 0.01,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """``candle_optimisers::rmsprop::ParamsRMSprop`` with its own arguments; candle itself has no RMSprop.

    The rule and the defaults of :func:`pytorch` for real parameters.

    Example:
      candle_optimisers(lr=0.1) turns a first gradient of 2.0 into an update of -1.0.

    Source:
      KGrewal1/optimisers 0.6.0: src/rmsprop.rs.
    """
    return rmsprop(
        lr,
        alpha,
        eps=eps,
        eps_in_sqrt=False,
        centered=centered,
        momentum=momentum,
        lr_in_momentum=False,
        l2=weight_decay,
    )


@dialect(
    "outside",
    "L2",
    words={
        "learningRate": "learning_rate",
        "alpha": "decay",
        "epsilon": "eps",
        "weightDecay": "l2",
        "initialMean": "initial_scale",
    },
)
def torch7(
    learningRate: ScalarOrSchedule = 1e-2,
    alpha: Number = 0.99,
    epsilon: Number = 1e-8,
    weightDecay: ScalarOrSchedule | None = None,
    initialMean: Number = 0,
) -> optax.GradientTransformationExtraArgs:
    """``optim.rmsprop`` of Lua's Torch7 with the arguments of its configuration::

      g_t ← g_t + weightDecay · p_t
      m_t = alpha · m_{t-1} + (1 - alpha) · g_t²,   m_0 = initialMean
      p_{t+1} = p_t - learningRate_t · g_t / (√m_t + epsilon)

    From June to September 2016 the mean square started from 1: pass ``initialMean=1``.

    Example:
      torch7(learningRate=0.01) turns a first gradient of 2.0 into an update of -0.1.

    Source:
      torch/optim a5ceed7: rmsprop.lua.
    """
    return rmsprop(learningRate, alpha, eps=epsilon, eps_in_sqrt=False, initial_scale=initialMean, l2=weightDecay)


@dialect("outside", words={"lr": "learning_rate", "alpha": "decay"})
def jittor(
    lr: ScalarOrSchedule = 1e-2, eps: Number = 1e-8, alpha: Number = 0.99
) -> optax.GradientTransformationExtraArgs:
    """``jittor.optim.RMSprop`` with its own arguments::

      v_t = alpha · v_{t-1} + (1 - alpha) · g_t²
      p_{t+1} = p_t - lr_t · g_t / (√v_t + eps)

    Example:
      jittor(lr=0.1) turns a first gradient of 2.0 into an update of -1.0.

    Source:
      Jittor/jittor 1.3.11.0: python/jittor/optim.py.
    """
    return rmsprop(lr, alpha, eps=eps, eps_in_sqrt=False)


@dialect("outside", words={"alpha": "decay"})
def mlx(
    learning_rate: ScalarOrSchedule, alpha: Number = 0.99, eps: Number = 1e-8
) -> optax.GradientTransformationExtraArgs:
    """``mlx.optimizers.RMSprop`` with its own arguments.

    The rule of :func:`jittor`; ``lr`` is called ``learning_rate`` and has no default.

    Example:
      mlx(learning_rate=0.1) turns a first gradient of 2.0 into an update of -1.0.

    Source:
      ml-explore/mlx 0.32.4: python/mlx/optimizers/optimizers.py.
    """
    return rmsprop(learning_rate, alpha, eps=eps, eps_in_sqrt=False)
