"""Other names of dialects, and frameworks whose rule is that of a dialect."""

from typing import Any, NamedTuple


class Alias(NamedTuple):
    """Another name for a dialect.

    Attributes:
      dialect: a row of :data:`rmsprop_optax.dialects.TABLE`.
      defaults: argument of the dialect → its default under this name, where it differs.
    """

    dialect: str
    defaults: dict[str, Any] | None = None


ALIASES: dict[str, Alias] = {
    "torch": Alias("pytorch"),
    "torch.optim.rmsprop": Alias("pytorch"),
    "lua torch": Alias("torch7"),
    "tensorflow": Alias("tf1"),
    "tf": Alias("tf1"),
    "tf.train": Alias("tf1"),
    "tf.compat.v1": Alias("tf1"),
    "keras3": Alias("keras"),
    "tf.keras": Alias("keras"),
    "tf.keras.legacy": Alias("tf_keras_legacy"),
    "rmsproptf": Alias("timm"),
    "rmsproptflike": Alias("sb3"),
    "stable_baselines3": Alias("sb3"),
    "rmspropepsinsidesqrt": Alias("pfrl"),
    "rmspropgraves": Alias("chainer_graves"),
    "optax.rmsprop": Alias("optax"),
    "tfjs": Alias("tensorflowjs"),
    "flax": Alias("flax_optim"),
    "paddlepaddle": Alias("paddle"),
    "bnb": Alias("bitsandbytes"),
    "pylearn2": Alias("blocks"),
    "flux": Alias("optimisers_jl"),
    "mlpack": Alias("ensmallen"),
    "deeplearning4j": Alias("dl4j"),
    "matlab": Alias("torch7", {"learningRate": 1e-3, "alpha": 0.9}),
    "cs231n": Alias("torch7"),
    "d2l": Alias("lasagne", {"learning_rate": 0.01}),
    "river": Alias("lasagne", {"learning_rate": 0.1, "epsilon": 1e-8}),
    "autograd": Alias("trax", {"learning_rate": 0.1}),
}
"""Name in lower case → :class:`Alias`.

"tensorflow" is version 1, whose rule papers call TensorFlow's; "tf.keras" is Keras' since TensorFlow 2.11. Sources of
the equal rules: MATLAB, ``rmspropupdate``; Stanford CS231n, assignment 2, ``optim.rmsprop``;
Dive into Deep Learning, chapter 12.8; river 0.26.1, ``river/optim/rms_prop.py``; HIPS/autograd,
``autograd/misc/optimizers.py``.
"""
