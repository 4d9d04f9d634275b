"""Settings of published papers and their code, each in the dialect of its framework.

A recipe is a function whose constants are the source's. Pass it the numbers of your training, such as the steps per
epoch. A recipe clips gradients, adds the L2 penalty of the source's loss and changes the learning rate as the source
does. The docstring names the steps of the source outside the optimizer.

Every recipe takes ``learning_rate``, a number or a schedule that replaces the source's. Some sources sum their loss. If
your loss is the mean, pass the number of its terms as ``mean_of``: the recipe then converts epsilon, the clipping
threshold and the initial mean square.

:data:`TABLE` holds the recipes as data. To add a recipe, write a function in one of the files beside this one and add
it to the imports below.
"""

# ruff: noqa: I001 (the order of the imports is that of the table)
from rmsprop_optax.recipes._recipe import TABLE, Recipe
from rmsprop_optax.recipes._reinforcement_learning import (
    dqn,
    dqn_zoo,
    dopamine_dqn,
    dopamine_tf_dqn,
    a3c,
    a2c,
    impala,
    impala_torch,
    pymarl,
)
from rmsprop_optax.recipes._images import (
    wgan,
    efficientnet,
    mnasnet,
    mobilenet_v2,
    mobilenet_v3,
    timm_efficientnet,
    inception_v3,
)
from rmsprop_optax.recipes._sequences import char_rnn, graves

__all__ = [
    "TABLE",
    "Recipe",
    "a2c",
    "a3c",
    "char_rnn",
    "dopamine_dqn",
    "dopamine_tf_dqn",
    "dqn",
    "dqn_zoo",
    "efficientnet",
    "graves",
    "impala",
    "impala_torch",
    "inception_v3",
    "mnasnet",
    "mobilenet_v2",
    "mobilenet_v3",
    "pymarl",
    "timm_efficientnet",
    "wgan",
]
