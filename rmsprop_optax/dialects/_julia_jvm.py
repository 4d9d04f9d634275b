"""RMSprop in Julia and on the JVM."""

import optax

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect
from rmsprop_optax.dialects._links import by_norm_of_each, clip


@dialect("outside", words={"eta": "learning_rate", "rho": "decay", "epsilon": "eps"})
def optimisers_jl(
    eta: ScalarOrSchedule = 0.001, rho: Number = 0.9, epsilon: Number = 1e-8, *, centred: bool = False
) -> optax.GradientTransformationExtraArgs:
    r"""``Optimisers.RMSProp`` with its own arguments; ``epsilon`` is ``ϵ`` in older releases.

    .. math::
      quad_t &= rho \cdot quad_{t-1} + (1 - rho) \cdot g_t^2 \\
      p_{t+1} &= p_t - eta_t \cdot g_t / (\sqrt{quad_t} + epsilon)

    Deviation: the centered variance never turns negative.

    Args:
      eta: at least 0; a number or a schedule.
      rho: the weight of the old mean square, in [0, 1).
      epsilon: added to the root, at least 0.
      centred: divide by the standard deviation of the gradients.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = optimisers_jl(eta=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      FluxML/Optimisers.jl 0.4.8: src/rules.jl.
    """
    return rmsprop(eta, rho, eps=epsilon, eps_in_sqrt=False, centered=centred)


@dialect("inside", words={"lr": "learning_rate", "gclip": "clip", "rho": "decay"})
def knet(
    *, lr: ScalarOrSchedule = 0.01, gclip: Number | None = None, rho: Number = 0.9, eps: Number = 1e-6
) -> optax.GradientTransformationExtraArgs:
    r"""``Knet.Rmsprop`` with its own arguments.

    .. math::
      G_t &= rho \cdot G_{t-1} + (1 - rho) \cdot g_t^2 \\
      p_{t+1} &= p_t - lr_t \cdot g_t / \sqrt{G_t + eps}

    Args:
      lr: at least 0; a number or a schedule.
      gclip: the largest Euclidean norm of each gradient array. ``None`` is off; Knet writes 0.
      rho: the weight of the old mean square, in [0, 1).
      eps: added to the mean square under the root, at least 0.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it, after the clipping.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = knet(lr=0.1)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.31623

    Source:
      denizyuret/Knet.jl 1.4.10: src/train20/update.jl.
    """
    return chain(clip(gclip, by_norm_of_each), rmsprop(lr, rho, eps=eps))


@dialect("outside", initial="epsilon", words={"learningRate": "learning_rate", "rmsDecay": "decay", "epsilon": "eps"})
def dl4j(
    learningRate: ScalarOrSchedule = 0.1, rmsDecay: Number = 0.95, epsilon: Number = 1e-8
) -> optax.GradientTransformationExtraArgs:
    r"""``org.nd4j.linalg.learning.config.RmsProp`` with its own arguments.

    .. math::
      G_t &= rmsDecay \cdot G_{t-1} + (1 - rmsDecay) \cdot g_t^2, \qquad G_0 = epsilon \\
      p_{t+1} &= p_t - learningRate_t \cdot g_t / (\sqrt{G_t} + epsilon)

    Args:
      learningRate: at least 0; a number or a schedule.
      rmsDecay: the weight of the old mean square, in [0, 1).
      epsilon: added to the root, at least 0; also what the mean square starts from.

    Returns:
      A transformation as :func:`rmsprop_optax.rmsprop` returns it.

    Raises:
      ValueError: a number is out of its range.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = dl4j()
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 5)
      -0.44721

    Source:
      deeplearning4j/deeplearning4j 1373917: RmsPropUpdater.java of nd4j, updaterRmsProp.cpp of libnd4j.
    """
    return rmsprop(learningRate, rmsDecay, eps=epsilon, eps_in_sqrt=False, initial_scale=epsilon)
