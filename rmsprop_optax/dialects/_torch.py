"""PyTorch's RMSprop and its relatives: epsilon beside the root, the learning rate after the buffer."""

import optax

from rmsprop_optax._complex import per_component
from rmsprop_optax._rmsprop import rule
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Number
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import TORCH, refuse


@dialect("outside", "L2", lr_in_momentum=False, words=TORCH)
def pytorch(
    lr: optax.ScalarOrSchedule = 1e-2,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: optax.ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
    *,
    maximize: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``torch.optim.RMSprop`` under its own arguments.

    .. math::
      g_t &\leftarrow \pm g_t + weight\_decay \cdot p_t \\
      v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g_t^2 \\
      b_t &= momentum \cdot b_{t-1} + g_t / (\sqrt{v_t} + eps) \\
      p_{t+1} &= p_t - lr_t \cdot b_t

    The real and the imaginary part of a complex parameter are two parameters, each with a mean square of its own.
    Differs on purpose: the centered variance is computed without cancellation (PyTorch's turns NaN), and statistics are
    float32 or wider. ``foreach``, ``capturable`` and ``differentiable`` do not change the rule and are not taken.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: added to the root, at least 0.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0.
      momentum: in [0, 1); ``None`` or 0 has no buffer.
      centered: divide by the standard deviation of the gradients.
      maximize: ascend, by negating the gradient before the weight decay.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, with a pair of arrays in the state of a
      complex parameter.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = pytorch(lr=0.01, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 4)
      -0.1

    Source:
      pytorch/pytorch 2.13.0: torch/optim/rmsprop.py.
    """
    tx = rule(
        lr,
        alpha,
        eps=eps,
        centered=centered,
        momentum=momentum,
        lr_in_momentum=False,
        l2=weight_decay,
    )
    return chain(optax.scale(-1.0) if maximize else None, per_component(tx))


@dialect("outside", "L2", lr_in_momentum=False, words=TORCH)
def torchopt(
    lr: optax.ScalarOrSchedule = 1e-2,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: optax.ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
    *,
    initial_scale: Number = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``torchopt.RMSProp`` and ``torchopt.rmsprop`` under their own arguments.

    .. math::
      g_t &\leftarrow \pm g_t + weight\_decay \cdot p_t \\
      nu_t &= alpha \cdot nu_{t-1} + (1 - alpha) \cdot g_t^2, \qquad nu_0 = initial\_scale \\
      b_t &= momentum \cdot b_{t-1} + g_t / (\sqrt{nu_t} + eps), \qquad p_{t+1} = p_t - lr_t \cdot b_t

    PyTorch's, with an initial value and Nesterov's momentum from optax. Differs on purpose: the centered variance is
    computed without cancellation. ``nesterov`` without momentum raises.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: added to the root, at least 0.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0.
      momentum: in [0, 1); ``None`` or 0 has no buffer.
      centered: divide by the standard deviation of the gradients.
      initial_scale: what the mean square starts from, at least 0.
      nesterov: take the momentum step once more beyond the buffer.
      maximize: ascend, by negating the gradient before the weight decay.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range, or an option has no meaning without another.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = torchopt(lr=0.01, momentum=0.9)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.1

    Source:
      metaopt/torchopt 0.7.3: torchopt/alias/rmsprop.py, torchopt/transform/.
    """
    tx = rule(
        lr,
        alpha,
        eps=eps,
        centered=centered,
        initial_scale=initial_scale,
        momentum=momentum,
        nesterov=nesterov,
        lr_in_momentum=False,
        l2=weight_decay,
    )
    return chain(optax.scale(-1.0) if maximize else None, tx)


@dialect("outside", "L2", centered="never", buffer="never", words=TORCH)
def bitsandbytes(
    lr: optax.ScalarOrSchedule = 1e-2,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: optax.ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``bitsandbytes.optim.RMSprop32bit`` under its own arguments.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g_t^2 \\
      p_{t+1} &= p_t - lr_t \cdot g_t / (\sqrt{v_t} + eps)

    bitsandbytes accepts ``momentum`` and silently ignores it; this raises, as both do for ``centered``. Its 8-bit
    kernel for CUDA lets the weight decay into the mean square alone, a bug that is not reproduced. The arguments of its
    storage and ``args`` do not change the rule and are not taken.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1). bitsandbytes refuses 0.
      eps: added to the root, at least 0.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0.
      momentum: 0; bitsandbytes has no buffer for it.
      centered: False; bitsandbytes has no centered form.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range, or ``momentum`` or ``centered`` is asked for.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = bitsandbytes(lr=0.01)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.1

    Source:
      bitsandbytes-foundation/bitsandbytes 0.50.2: bitsandbytes/optim/rmsprop.py, bitsandbytes/optim/optimizer.py.
    """
    refuse("bitsandbytes", momentum=momentum, centered=centered)
    return rule(
        lr,
        alpha,
        eps=eps,
        l2=weight_decay,
    )


@dialect("outside", "L2", lr_in_momentum=False, words=TORCH | {"epsilon": "eps"})
def burn(
    lr: optax.ScalarOrSchedule,
    alpha: Number = 0.99,
    momentum: Number = 0.9,
    epsilon: Number = 1e-5,
    centered: bool = False,
    weight_decay: optax.ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""``burn::optim::RmsProp`` under the names of its configuration.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g_t^2 \\
      b_t &= momentum \cdot b_{t-1} + g_t / (\sqrt{v_t} + epsilon), \qquad p_{t+1} = p_t - lr_t \cdot b_t

    PyTorch's rule with other defaults: momentum is 0.9, where PyTorch's is 0. Differs on purpose: the centered
    variance is computed without cancellation. ``grad_clipping`` is a link before this one.

    Args:
      lr: at least 0; a number or a schedule. Burn takes it at every step.
      alpha: the weight of the old mean square, in [0, 1).
      momentum: in [0, 1); ``None`` or 0 has no buffer.
      epsilon: added to the root, at least 0.
      centered: divide by the standard deviation of the gradients.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0. ``None`` is off.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = burn(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.99995

    Source:
      tracel-ai/burn 0.22.0-pre.2: crates/burn-optim/src/optim/rmsprop.rs.
    """
    return rule(
        lr,
        alpha,
        eps=epsilon,
        centered=centered,
        momentum=momentum,
        lr_in_momentum=False,
        l2=weight_decay,
    )


@dialect("outside", "L2", lr_in_momentum=False, words=TORCH)
def candle_optimisers(
    lr: optax.ScalarOrSchedule = 0.01,
    alpha: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: optax.ScalarOrSchedule | None = None,
    momentum: Number | None = None,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""``candle_optimisers::rmsprop::ParamsRMSprop`` under its own names; candle itself has none.

    .. math::
      g_t &\leftarrow g_t + weight\_decay \cdot p_t \\
      v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g_t^2 \\
      b_t &= momentum \cdot b_{t-1} + g_t / (\sqrt{v_t} + eps), \qquad p_{t+1} = p_t - lr_t \cdot b_t

    PyTorch's rule. Differs on purpose: the centered variance is computed without cancellation.

    Args:
      lr: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: added to the root, at least 0.
      weight_decay: L2 penalty, added to the gradient as ``weight_decay·p``, at least 0. ``None`` is off.
      momentum: in [0, 1); ``None`` or 0 has no buffer.
      centered: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = candle_optimisers(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -1.0

    Source:
      KGrewal1/optimisers 0.6.0: src/rmsprop.rs.
    """
    return rule(
        lr,
        alpha,
        eps=eps,
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
    learningRate: optax.ScalarOrSchedule = 1e-2,
    alpha: Number = 0.99,
    epsilon: Number = 1e-8,
    weightDecay: optax.ScalarOrSchedule | None = None,
    initialMean: Number = 0,
) -> optax.GradientTransformationExtraArgs:
    r"""``optim.rmsprop`` of Lua's Torch7 under the names of its configuration.

    .. math::
      g_t &\leftarrow g_t + weightDecay \cdot p_t \\
      m_t &= alpha \cdot m_{t-1} + (1 - alpha) \cdot g_t^2, \qquad m_0 = initialMean \\
      p_{t+1} &= p_t - learningRate_t \cdot g_t / (\sqrt{m_t} + epsilon)

    From June to September 2016 the mean square started from 1: ``initialMean=1``.

    Args:
      learningRate: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      epsilon: added to the root, at least 0.
      weightDecay: L2 penalty, added to the gradient as ``weightDecay·p``, at least 0.
      initialMean: what the mean square starts from, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = torch7(learningRate=0.01)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -0.1

    Source:
      torch/optim a5ceed7: rmsprop.lua.
    """
    return rule(
        learningRate,
        alpha,
        eps=epsilon,
        initial_scale=initialMean,
        l2=weightDecay,
    )


@dialect("outside", words={"lr": "learning_rate", "alpha": "decay"})
def jittor(
    lr: optax.ScalarOrSchedule = 1e-2, eps: Number = 1e-8, alpha: Number = 0.99
) -> optax.GradientTransformationExtraArgs:
    r"""``jittor.optim.RMSprop`` under its own arguments.

    .. math::
      v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g_t^2 \\
      p_{t+1} &= p_t - lr_t \cdot g_t / (\sqrt{v_t} + eps)

    Args:
      lr: at least 0; a number or a schedule.
      eps: added to the root, at least 0.
      alpha: the weight of the old mean square, in [0, 1).

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = jittor(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -1.0

    Source:
      Jittor/jittor 1.3.11.0: python/jittor/optim.py.
    """
    return rule(lr, alpha, eps=eps)


@dialect("outside", words={"alpha": "decay"})
def mlx(
    learning_rate: optax.ScalarOrSchedule, alpha: Number = 0.99, eps: Number = 1e-8
) -> optax.GradientTransformationExtraArgs:
    r"""``mlx.optimizers.RMSprop`` under its own arguments.

    .. math::
      v_t &= alpha \cdot v_{t-1} + (1 - alpha) \cdot g_t^2 \\
      p_{t+1} &= p_t - learning\_rate_t \cdot g_t / (\sqrt{v_t} + eps)

    Args:
      learning_rate: at least 0; a number or a schedule.
      alpha: the weight of the old mean square, in [0, 1).
      eps: added to the root, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = mlx(learning_rate=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), jnp.zeros(1))
      >>> round(float(updates[0]), 5)
      -1.0

    Source:
      ml-explore/mlx 0.32.4: python/mlx/optimizers/optimizers.py.
    """
    return rule(learning_rate, alpha, eps=eps)
