"""Text and handwriting."""

import optax

from rmsprop_optax._tree import chain
from rmsprop_optax._types import ScalarOrSchedule
from rmsprop_optax.dialects import _papers
from rmsprop_optax.dialects._torch import torch7
from rmsprop_optax.recipes._recipe import for_mean, rate, recipe, stairs


@recipe("torch7", "lr 0.002, decay 0.95, epsilon 1e-8, ×0.97 every epoch after the first 10, entries clipped to ±5")
def char_rnn(
    steps_per_epoch: float | None = None,
    *,
    learning_rate: ScalarOrSchedule | None = None,
    mean_of: int | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Karpathy's char-rnn: every entry of a gradient clipped to ±5, the rate falls by 3 % an epoch after the first 10.

    The loss adds up over the 50 characters of a sequence, and is the mean over the sequences of a batch.

    Args:
      mean_of: the characters of a sequence, 50 in the source, if your loss is the mean over them: epsilon and the
        threshold are divided by this number.

    Example:
      >>> import jax.numpy as jnp
      >>> for tx, gradient in (char_rnn(423), 10.0), (char_rnn(423, mean_of=50), 0.2):
      ...     updates, state = tx.update(jnp.array([gradient]), tx.init(jnp.zeros(1)))
      ...     print(round(float(updates[0]), 6))  # -0.002 / √0.05
      -0.008944
      -0.008944

    Source:
      karpathy/char-rnn 6f9487a: train.lua.
    """

    def schedule(steps_per_epoch: float) -> optax.Schedule:
        return stairs(2e-3, steps_per_epoch, 0.97, transition_begin=9 * steps_per_epoch)

    options = for_mean(mean_of, eps=1e-8, eps_in_sqrt=False, clip=5.0)
    return chain(
        optax.clip(options["clip"]),
        torch7(rate(learning_rate, schedule, steps_per_epoch=steps_per_epoch), alpha=0.95, epsilon=options["eps"]),
    )


@recipe("graves", "lr 0.0001, decays 0.95, momentum 0.9, epsilon 0.0001, centered")
def graves(*, learning_rate: ScalarOrSchedule = 1e-4) -> optax.GradientTransformationExtraArgs:
    """Graves' handwriting: the numbers of the paper, which are the defaults of the dialect.

    The paper also clips derivatives inside the network.

    Example:
      graves() turns a first gradient of 2.0 into an update of -0.000459 = -0.0001·2 / √(0.05·4 − 0.1² + 0.0001).

    Source:
      Graves, arXiv:1308.0850, equations 38 to 45; read through chainer/chainer: chainer/optimizers/rmsprop_graves.py.
    """
    return _papers.graves(learning_rate, decay=0.95, momentum=0.9, eps=1e-4)
