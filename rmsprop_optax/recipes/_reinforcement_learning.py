"""DQN, actor-critic and multi-agent training."""

import optax

from rmsprop_optax._rmsprop import rmsprop
from rmsprop_optax._tree import chain
from rmsprop_optax._types import ScalarOrSchedule
from rmsprop_optax.dialects._tensorflow import tf1
from rmsprop_optax.dialects._torch import pytorch
from rmsprop_optax.dialects._torch_like_tf import pfrl
from rmsprop_optax.recipes._recipe import for_mean, line, rate, recipe


@recipe("dqn", "lr 0.00025, decays 0.95, epsilon 0.01, centered")
def dqn(
    *, learning_rate: ScalarOrSchedule = 2.5e-4, mean_of: int | None = None
) -> optax.GradientTransformationExtraArgs:
    """DQN as published in Nature: centered, with an epsilon of 0.01.

    The paper's gradient momentum, 0.95, is the decay of the mean gradient; there is no momentum buffer. The loss adds
    up the 32 errors of a batch, each clipped to ±1.

    Args:
      mean_of: the number of errors, 32 in the source, if your loss is their mean: epsilon is divided by the square of
        this number.

    Example:
      >>> import jax.numpy as jnp
      >>> for tx, gradient in (dqn(), 32.0), (dqn(mean_of=32), 1.0):
      ...     updates, state = tx.update(jnp.array([gradient]), tx.init(jnp.zeros(1)))
      ...     print(round(float(updates[0]), 6))  # -0.00025·32 / √((0.05 − 0.05²)·32² + 0.01)
      -0.001147
      -0.001147

    Source:
      kuz/DeepMind-Atari-Deep-Q-Learner 54978fa: dqn/NeuralQLearner.lua, run_gpu.
    """
    return rmsprop(learning_rate, 0.95, for_mean(mean_of, eps=0.01)["eps"], centered=True)


@recipe("optax", "lr 0.00025, decay 0.95, epsilon 0.01/32², centered")
def dqn_zoo(*, learning_rate: ScalarOrSchedule = 2.5e-4) -> optax.GradientTransformationExtraArgs:
    """DQN and double Q-learning of DQN Zoo: the steps of :func:`dqn`, from the mean over a batch of 32.

    Its gradients are 32 times smaller, so epsilon is 0.01/32²; the gradients of the errors are clipped to ±1/32.

    Example:
      dqn_zoo() turns a first gradient of 1.0 into an update of -0.001147.

    Source:
      google-deepmind/dqn_zoo 0867137: dqn_zoo/dqn/run_atari.py, dqn_zoo/double_q/run_atari.py.
    """
    return rmsprop(learning_rate, decay=0.95, eps=0.01 / 32**2, centered=True)


@recipe("optax", "lr 0.00025, decay 0.95, epsilon 0.00001, centered")
def dopamine_dqn(*, learning_rate: ScalarOrSchedule = 2.5e-4) -> optax.GradientTransformationExtraArgs:
    """DQN of Dopamine's JAX agent with ``optimizer='rmsprop'``, whose mean square starts from 0.

    The agent's own configuration trains with Adam; these numbers come from Dopamine's TensorFlow agent,
    :func:`dopamine_tf_dqn`, whose mean square starts from 1. The loss is the mean of 32 errors.

    Example:
      dopamine_dqn() turns a first gradient of 3.0 into an update of -0.001147 = -0.00025·3 / √(0.05·9 − 0.15² +
      0.00001).

    Source:
      google/dopamine: dopamine/jax/agents/dqn/dqn_agent.py (2be5471), dopamine/tf/agents/dqn/configs/dqn.gin (a804d3c).
    """
    return rmsprop(learning_rate, decay=0.95, eps=1e-5, centered=True)


@recipe("tf1", "lr 0.00025, decay 0.95, epsilon 0.00001, centered")
def dopamine_tf_dqn(*, learning_rate: ScalarOrSchedule = 2.5e-4) -> optax.GradientTransformationExtraArgs:
    """DQN of Dopamine's TensorFlow agent, whose mean square starts from 1 (in its JAX agent from 0).

    The loss is the mean of 32 Huber losses.

    Example:
      dopamine_tf_dqn() turns a first gradient of 3.0 into an update of -0.000639 = -0.00025·3 / √(0.95 + 0.05·9 −
      0.15² + 0.00001).

    Source:
      google/dopamine: dopamine/tf/agents/dqn/configs/dqn.gin (a804d3c), dopamine/tf/agents/dqn/dqn_agent.py (a13d583).
    """
    return tf1(learning_rate, decay=0.95, epsilon=1e-5, centered=True)


@recipe("pfrl", "lr 0.0007 falling to 0, decay 0.99, epsilon 0.1, norm clipped to 40")
def a3c(
    steps: float | None = None, *, learning_rate: ScalarOrSchedule | None = None, mean_of: int | None = None
) -> optax.GradientTransformationExtraArgs:
    """A3C on Atari as PFRL reproduces it: an epsilon of 0.1, gradients clipped to a norm of 40, the rate falls to 0.

    The source's 16 processes share one mean square, and each clips its own gradient. The losses add up over the steps
    of a roll-out.

    Args:
      steps: updates until the rate is 0, at least 1: 80 million environment steps of all processes, up to 5 per update.
      mean_of: the steps of a roll-out, 5 in the source, if your loss is their mean: the norm is divided by this number,
        and epsilon by its square.

    Example:
      a3c(steps=16_000_000) turns a first gradient of 1.0 into an update of -0.002111 = -0.0007 / √(0.01 + 0.1).

    Source:
      pfnet/pfrl c8cb332: examples/atari/reproduction/a3c/train_a3c.py, pfrl/agents/a3c.py.
    """
    options = for_mean(mean_of, eps=0.1, clip=40.0)
    return chain(
        optax.clip_by_global_norm(options["clip"]),
        pfrl(rate(learning_rate, line(7e-4), steps=steps), alpha=0.99, eps=options["eps"]),
    )


@recipe("tf1", "lr 0.0007 falling to 0, decay 0.99, epsilon 0.00001, norm clipped to 0.5")
def a2c(
    steps: float | None = None, *, learning_rate: ScalarOrSchedule | None = None
) -> optax.GradientTransformationExtraArgs:
    """A2C of OpenAI Baselines: gradients clipped to a norm of 0.5, the rate falls to 0.

    The source computes the rate at the last environment step of a batch, almost one update ahead. The losses are means.

    Args:
      steps: updates until the rate is 0, at least 1: 80 million environment steps, 5 times the number of environments
        per update.

    Example:
      a2c(steps=1_000_000) turns a first gradient of 2.0 into an update of -0.000351 = -0.0007·0.5 / √(0.99 +
      0.01·0.25 + 0.00001).

    Source:
      openai/baselines ea25b9e: baselines/a2c/a2c.py, baselines/a2c/utils.py.
    """
    return chain(
        optax.clip_by_global_norm(0.5),
        tf1(rate(learning_rate, line(7e-4), steps=steps), decay=0.99, epsilon=1e-5),
    )


@recipe("tf1", "lr 0.00048 falling to 0, decay 0.99, epsilon 0.1")
def impala(
    steps: float | None = None, *, learning_rate: ScalarOrSchedule | None = None, mean_of: int | None = None
) -> optax.GradientTransformationExtraArgs:
    """IMPALA by its authors, in TensorFlow: an epsilon of 0.1 under the root, the rate falls to 0.

    Gradients are not clipped, and the losses add up over time and batch.

    Args:
      steps: updates until the rate is 0, at least 1: a billion frames, batch · unroll · action repeats = 800 per
        update.
      mean_of: batch · unroll, 200 in the source, if your loss is the mean over them: epsilon and the initial mean
        square, 1, are divided by the square of this number.

    Example:
      >>> import jax.numpy as jnp
      >>> for tx, gradient in (impala(1_250_000), 20.0), (impala(1_250_000, mean_of=200), 0.1):
      ...     updates, state = tx.update(jnp.array([gradient]), tx.init(jnp.zeros(1)))
      ...     print(round(float(updates[0]), 6))  # -0.00048·20 / √(0.99 + 0.01·20² + 0.1)
      -0.004255
      -0.004255

    Source:
      google-deepmind/scalable_agent 103308a: experiment.py.
    """
    options = for_mean(mean_of, eps=0.1, initial_scale=1.0)
    # The rule of tf1, which has no argument for the initial value.
    return rmsprop(
        rate(learning_rate, line(4.8e-4), steps=steps),
        0.99,
        eps=options["eps"],
        initial_scale=options["initial_scale"],
    )


@recipe("pytorch", "lr 0.00048 falling to 0, decay 0.99, epsilon 0.01, norm clipped to 40")
def impala_torch(
    steps: float | None = None, *, learning_rate: ScalarOrSchedule | None = None, mean_of: int | None = None
) -> optax.GradientTransformationExtraArgs:
    """IMPALA of TorchBeast: an epsilon of 0.01 beside the root, gradients clipped to a norm of 40, the rate falls to 0.

    The losses add up over time and batch.

    Args:
      steps: updates until the rate is 0, at least 1: environment steps, batch · unroll = 640 per update.
      mean_of: batch · unroll, 640 in the source, if your loss is the mean over them: epsilon and the norm are divided
        by this number.

    Example:
      impala_torch(steps=50_000) turns a first gradient of 1.0 into an update of -0.004364 = -0.00048 / (0.1 + 0.01).

    Source:
      facebookresearch/torchbeast 1c881b8: torchbeast/monobeast.py.
    """
    options = for_mean(mean_of, eps=0.01, eps_in_sqrt=False, clip=40.0)
    return chain(
        optax.clip_by_global_norm(options["clip"]),
        pytorch(rate(learning_rate, line(4.8e-4), steps=steps), alpha=0.99, eps=options["eps"]),
    )


@recipe("pytorch", "lr 0.0005, decay 0.99, epsilon 0.00001, norm clipped to 10")
def pymarl(*, learning_rate: ScalarOrSchedule = 5e-4) -> optax.GradientTransformationExtraArgs:
    """QMIX, VDN, COMA and QTRAN on StarCraft: gradients clipped to a norm of 10.

    COMA's agents and its critic each have an optimizer of their own. The loss is a mean.

    Example:
      pymarl() turns a first gradient of 20.0 into an update of -0.005 = -0.0005·10 / (1 + 0.00001).

    Source:
      oxwhirl/pymarl: src/config/default.yaml (64111fc), src/learners/q_learner.py (023de7e).
    """
    return chain(optax.clip_by_global_norm(10.0), pytorch(learning_rate, alpha=0.99, eps=1e-5))
