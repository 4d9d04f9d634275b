"""The RMSprops of papers and lectures."""

import optax

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._types import Number, ScalarOrSchedule
from rmsprop_optax.dialects._dialect import dialect


@dialect("none")
def hinton(
    learning_rate: ScalarOrSchedule,
    decay: Number = 0.9,
    *,
    momentum: Number | None = None,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """RMSprop of the lecture: no epsilon, a mean square that starts from 0, and optional momentum::

      nu_t = decay · nu_{t-1} + (1 - decay) · g_t²
      b_t = momentum · b_{t-1} + learning_rate_t · g_t / √nu_t,   p_{t+1} = p_t - b_t

    The lecture gives neither a learning rate nor an initial value; the mean square starts from 0 here. The first step
    is then ``learning_rate / sqrt(1 - decay)`` for every weight. A weight that never had a gradient does not move,
    although 0/0 is not defined.

    The lecture names three further developments. Standard momentum "does not help as much as momentum normally does".
    Nesterov's momentum works best if the root divides the correction and not the jump, as it does here. An adaptive
    learning rate for each connection is :func:`rmsprop_optax.scale_by_gains` in a chain.

    Args:
      nesterov: jump by the momentum first and correct there. The trained parameters are those after the jump;
        :func:`rmsprop_optax.nesterov_eval_params` undoes the jump. Without momentum this option changes nothing.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = hinton(0.01)
      >>> updates, state = tx.update(jnp.array([2.0, 0.0]), tx.init(jnp.zeros(2)))
      >>> [round(float(u), 4) for u in updates]
      [-0.0316, -0.0]

    Source:
      Hinton, Srivastava, Swersky: Neural Networks for Machine Learning, lecture 6.5, 2012, slides 26 to 31.
    """
    return rmsprop(learning_rate, decay, momentum=momentum, nesterov=nesterov, eps=0.0)


@dialect("inside", centered="always")
def graves(
    learning_rate: ScalarOrSchedule = 1e-4,
    decay: Number = 0.95,
    momentum: Number | None = 0.9,
    eps: Number = 1e-4,
) -> optax.GradientTransformationExtraArgs:
    """RMSprop of "Generating sequences with recurrent neural networks": centered, with momentum::

      n_t = decay · n_{t-1} + (1 - decay) · g_t²
      m_t = decay · m_{t-1} + (1 - decay) · g_t
      b_t = momentum · b_{t-1} + learning_rate · g_t / √(n_t - m_t² + eps)
      p_{t+1} = p_t - b_t

    The paper calls the arguments, in their order, gimel, aleph, beth and daleth. Its buffer has the opposite sign.

    Example:
      graves() turns a first gradient of 2.0 into an update of -0.000459.

    Source:
      Graves, arXiv:1308.0850, equations 38 to 45; read through chainer/chainer: chainer/optimizers/rmsprop_graves.py.
    """
    return rmsprop(learning_rate, decay, eps=eps, centered=True, momentum=momentum)


@dialect("inside", "L2", constant="0.01", centered="always", words={"lr": "learning_rate", "wc": "l2"})
def dqn(lr: ScalarOrSchedule = 0.01, wc: ScalarOrSchedule | None = None) -> optax.GradientTransformationExtraArgs:
    """The optimizer of Mnih et al. 2015, ``NeuralQLearner``, with its own arguments::

      d_t ← g_t + wc · p_t
      m_t = 0.95 · m_{t-1} + 0.05 · d_t,   v_t = 0.95 · v_{t-1} + 0.05 · d_t²
      p_{t+1} = p_t - lr_t · d_t / √(v_t - m_t² + 0.01)

    Centered and without momentum: the "gradient momentum" 0.95 of the paper's table is the decay of the mean, and the
    "min squared gradient" 0.01 stands under the root. Both are constants of the code. Its gradients ascend and are sums
    over a batch of 32; for the mean over the batch 0.01 becomes 0.01/32².

    Args:
      lr: at least 0; a number or a schedule of updates. The paper's is 2.5e-4. In the code a schedule counts the
        agent's steps, four to an update.

    Example:
      dqn(lr=2.5e-4) turns a first gradient of 2.0 into an update of -0.001118.

    Source:
      Mnih et al., Nature 518, 529 (2015); its code, DQN 3.0: dqn/NeuralQLearner.lua, read in
      kuz/DeepMind-Atari-Deep-Q-Learner 54978fa.
    """
    return rmsprop(lr, 0.95, eps=0.01, centered=True, l2=wc)
