"""Each framework's RMSprop under its own argument names, in its own order, with its own defaults.

"RMSprop" names several algorithms: they differ in where epsilon stands, in what the mean square starts from, in whether
the learning rate comes before or after the momentum buffer, and in what weight decay means. A dialect is one of them,
exactly: the same gradients give the same parameters as the framework's own optimizer.

Where a framework loses digits (low precision, the difference E[g²] − E[g]²), a dialect does not follow it. Where a
framework ignores an option silently, the dialect raises. Options that do not change the rule are not taken.

:data:`TABLE` holds the dialects as data. A new one is a file beside this one and its line below.
"""

from collections.abc import Callable
from typing import NamedTuple

import optax as _optax

from rmsprop_optax.dialects.graves import graves
from rmsprop_optax.dialects.hinton import hinton
from rmsprop_optax.dialects.keras import keras
from rmsprop_optax.dialects.optax import optax
from rmsprop_optax.dialects.pytorch import pytorch
from rmsprop_optax.dialects.tf1 import tf1
from rmsprop_optax.dialects.timm import timm

__all__ = ["TABLE", "Dialect", "graves", "hinton", "keras", "optax", "pytorch", "tf1", "timm"]


class Dialect(NamedTuple):
    """A row of :data:`TABLE`.

    Attributes:
      constructor: the function that returns the transformation.
      denominator: what the gradient is divided by.
      start: what the mean square starts from.
      momentum: where the learning rate stands: ``before`` or ``after`` the momentum buffer, or no buffer.
      decay: how weight decay is done.
      source: where the rule was read.
      version: of that source.
    """

    constructor: Callable[..., _optax.GradientTransformationExtraArgs]
    denominator: str
    start: str
    momentum: str
    decay: str
    source: str
    version: str


TABLE: dict[str, Dialect] = {
    "hinton": Dialect(
        hinton,
        "√nu",
        "0",
        "no buffer",
        "none",
        "Neural Networks for Machine Learning, lecture 6.5, slides 26 to 31",
        "2012",
    ),
    "graves": Dialect(graves, "√(var + eps)", "0", "before", "none", "arXiv:1308.0850, equations 38 to 45", "v5"),
    "optax": Dialect(
        optax, "√(nu + eps)", "0", "before", "none", "google-deepmind/optax: optax/_src/alias.py", "0.2.8"
    ),
    "pytorch": Dialect(pytorch, "√nu + eps", "0", "after", "L2", "pytorch/pytorch: torch/optim/rmsprop.py", "2.13.0"),
    "keras": Dialect(
        keras,
        "√(nu + epsilon)",
        "0",
        "before",
        "decoupled",
        "keras-team/keras: keras/src/optimizers/rmsprop.py",
        "3.15.1",
    ),
    "tf1": Dialect(
        tf1,
        "√(nu + epsilon)",
        "1",
        "before",
        "none",
        "tensorflow/tensorflow: tensorflow/python/training/rmsprop.py",
        "2.21.0",
    ),
    "timm": Dialect(
        timm,
        "√(nu + eps)",
        "1",
        "before",
        "L2 or decoupled",
        "huggingface/pytorch-image-models: timm/optim/rmsprop_tf.py",
        "1.0.31",
    ),
}
"""Name → :class:`Dialect`, for tests, documentation and the command line."""
