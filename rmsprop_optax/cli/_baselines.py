"""The optimizers of optax that RMSprop is usually compared with."""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax


class Baseline(NamedTuple):
    """An optimizer of optax for ``train --optimizer``.

    Attributes:
      constructor: the function of optax.
      defaults: argument → default, where it differs from that of optax or where optax has none.
    """

    constructor: Callable[..., optax.GradientTransformationExtraArgs]
    defaults: dict[str, Any]


BASELINES: dict[str, Baseline] = {
    "sgd": Baseline(optax.sgd, {"learning_rate": 0.05, "momentum": 0.9}),
    "adam": Baseline(optax.adam, {"learning_rate": 1e-3}),
    "adagrad": Baseline(optax.adagrad, {"learning_rate": 0.05}),
}
"""Name → :class:`Baseline`. The learning rates suit the network of ``train``."""
