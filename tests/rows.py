"""The rows of the contract: every dialect plain and with all its options, and the core's own combinations."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import optax

from rmsprop_optax import dialects, rmsprop, scale_by_rms


class Row(NamedTuple):
    """A transformation under contract; what is special about it stands here and not in a test.

    Attributes:
      name: for pytest.
      make: returns the transformation.
      complex: whether its rule is defined for complex parameters.
      elementwise: whether no entry sees another; a norm or a mean over an array does.
      decays: whether it moves parameters that get no gradient.
      static: arguments to keep away from ``optax.inject_hyperparams``: their framework's default of 0 means off, and
        an injected 0 is an array.
    """

    name: str
    make: Callable[..., optax.GradientTransformationExtraArgs]
    complex: bool = True
    elementwise: bool = True
    decays: bool = False
    static: tuple[str, ...] = ()

    def __call__(self, **kwargs: Any) -> optax.GradientTransformationExtraArgs:
        return self.make(**kwargs)


OFF = ("weight_decay", "momentum")
ROWS = [
    Row("scale_by_rms", scale_by_rms),
    Row("scale_by_rms-centered-corrected", partial(scale_by_rms, centered=True, bias_correction=True)),
    Row("rmsprop", partial(rmsprop, learning_rate=0.01)),
    Row(
        "rmsprop-all",
        partial(
            rmsprop,
            learning_rate=0.01,
            eps=1e-6,
            centered=True,
            bias_correction=True,
            momentum=0.9,
            nesterov=True,
            l2=0.01,
            weight_decay=0.1,
        ),
        decays=True,
    ),
    Row("hinton", partial(dialects.hinton, learning_rate=0.01)),
    Row("graves", dialects.graves),
    Row("optax", partial(dialects.optax, learning_rate=0.01)),
    Row(
        "optax-all",
        partial(
            dialects.optax,
            learning_rate=0.01,
            eps_in_sqrt=False,
            initial_scale=0.5,
            centered=True,
            momentum=0.9,
            nesterov=True,
        ),
    ),
    Row("pytorch", dialects.pytorch, static=OFF),
    Row(
        "pytorch-all",
        partial(dialects.pytorch, weight_decay=0.1, momentum=0.9, centered=True, maximize=True),
        decays=True,
    ),
    Row("keras", dialects.keras, static=OFF),
    Row(
        "keras-all",
        partial(dialects.keras, momentum=0.9, centered=True, weight_decay=0.1, global_clipnorm=1.0),
        complex=False,
        elementwise=False,
        decays=True,
    ),
    Row("keras-clipvalue", partial(dialects.keras, clipvalue=0.5), complex=False),
    Row("keras-clipnorm", partial(dialects.keras, clipnorm=0.5), elementwise=False),
    Row("tf1", partial(dialects.tf1, learning_rate=0.01), static=("momentum",)),
    Row("tf1-all", partial(dialects.tf1, learning_rate=0.01, momentum=0.9, centered=True)),
    Row("timm", dialects.timm, static=OFF),
    Row(
        "timm-l2",
        partial(dialects.timm, weight_decay=0.1, momentum=0.9, centered=True, lr_in_momentum=False),
        decays=True,
    ),
    Row(
        "timm-all",
        partial(
            dialects.timm,
            weight_decay=0.1,
            momentum=0.9,
            centered=True,
            decoupled_decay=True,
            corrected_weight_decay=True,
            caution=True,
            max_lr=0.02,
        ),
        elementwise=False,
        decays=True,
    ),
]
