"""Published settings: what a paper or its code trained with, each in the dialect of its own framework.

A recipe is a function. Its arguments are what only the user knows, and its constants are the source's. It clips
gradients, adds the L2 penalty of the source's loss and changes the learning rate as the source does. Its docstring
names what the source does outside the optimizer.

Every recipe takes ``learning_rate``, a number or a schedule that replaces the source's. A recipe whose source adds up
its loss takes ``mean_of``, the number of terms if your loss is their mean: epsilon, the threshold of the clipping and
the first mean square are then converted together.

:data:`TABLE` holds the recipes as data. A new recipe is a function in one of the files beside this one, and a line
below.
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
