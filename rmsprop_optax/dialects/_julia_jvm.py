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
    """``Optimisers.RMSProp`` with its own arguments; ``epsilon`` is ``ϵ`` in older releases::

      quad_t = rho · quad_{t-1} + (1 - rho) · g_t²
      p_{t+1} = p_t - eta_t · g_t / (√quad_t + epsilon)

    Example:
      optimisers_jl(eta=0.1) turns a first gradient of 2.0 into an update of -0.316228.

    Source:
      FluxML/Optimisers.jl 0.4.8: src/rules.jl.
    """
    return rmsprop(eta, rho, eps=epsilon, eps_in_sqrt=False, centered=centred)


@dialect("inside", words={"lr": "learning_rate", "gclip": "clip", "rho": "decay"})
def knet(
    *, lr: ScalarOrSchedule = 0.01, gclip: Number | None = None, rho: Number = 0.9, eps: Number = 1e-6
) -> optax.GradientTransformationExtraArgs:
    """``Knet.Rmsprop`` with its own arguments::

      G_t = rho · G_{t-1} + (1 - rho) · g_t²
      p_{t+1} = p_t - lr_t · g_t / √(G_t + eps)

    Args:
      gclip: the largest Euclidean norm of each gradient array. ``None`` is off; Knet writes 0.

    Example:
      knet(lr=0.1) turns a first gradient of 2.0 into an update of -0.316227.

    Source:
      denizyuret/Knet.jl 1.4.10: src/train20/update.jl.
    """
    return chain(clip(gclip, by_norm_of_each), rmsprop(lr, rho, eps=eps))


@dialect("outside", initial="epsilon", words={"learningRate": "learning_rate", "rmsDecay": "decay", "epsilon": "eps"})
def dl4j(
    learningRate: ScalarOrSchedule = 0.1, rmsDecay: Number = 0.95, epsilon: Number = 1e-8
) -> optax.GradientTransformationExtraArgs:
    """``org.nd4j.linalg.learning.config.RmsProp`` with its own arguments::

      G_t = rmsDecay · G_{t-1} + (1 - rmsDecay) · g_t²,   G_0 = epsilon
      p_{t+1} = p_t - learningRate_t · g_t / (√G_t + epsilon)

    Args:
      epsilon: added to the root, at least 0; also the mean square before the first step.

    Example:
      dl4j() turns a first gradient of 2.0 into an update of -0.447214.

    Source:
      deeplearning4j/deeplearning4j 1373917: RmsPropUpdater.java of nd4j, updaterRmsProp.cpp of libnd4j.
    """
    return rmsprop(learningRate, rmsDecay, eps=epsilon, eps_in_sqrt=False, initial_scale=epsilon)
