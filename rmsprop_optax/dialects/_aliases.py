"""Other names of dialects, and frameworks with the rule of a dialect."""

from typing import Any, NamedTuple


class Alias(NamedTuple):
    """Another name for a dialect.

    Attributes:
      dialect: a row of :data:`rmsprop_optax.dialects.TABLE`.
      defaults: argument of the dialect → its default under this name, if different.
      source: the code with the rule, if the name belongs to another framework.
    """

    dialect: str
    defaults: dict[str, Any] | None = None
    source: str = ""


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
    "dreamer": Alias("dreamerv3"),
    "torchrl": Alias("dreamerv3"),
    "jax_tpu_embedding": Alias("sparsecore"),
    "brain.js": Alias("brainjs"),
    "adagradrmsprop": Alias("pyro"),
    "stan": Alias("pyro", {"delta": 0.0}, "stan-dev/stan 011684b: src/stan/variational/advi.hpp"),
    "recurrentjs": Alias("brainjs", source="karpathy/recurrentjs 84d6934: src/recurrent.js"),
    "gorgonia": Alias(
        "brainjs", {"learningRate": 0.001, "regc": None, "clipval": None}, "gorgonia/gorgonia 1811e35: solvers.go"
    ),
    "matlab": Alias("torch7", {"learningRate": 1e-3, "alpha": 0.9}, "MATLAB: rmspropupdate"),
    "cs231n": Alias("torch7", source="Stanford CS231n, assignment 2: optim.rmsprop"),
    "d2l": Alias("lasagne", {"learning_rate": 0.01}, "d2l-ai/d2l-en 0319ad7: chapter_optimization/rmsprop.md"),
    "river": Alias(
        "lasagne", {"learning_rate": 0.1, "epsilon": 1e-8}, "online-ml/river 0.26.1: river/optim/rms_prop.py"
    ),
    "autograd": Alias("trax", {"learning_rate": 0.1}, "HIPS/autograd 06f1b7b: autograd/misc/optimizers.py"),
    "convnetjs": Alias(
        "oneflow",
        {"lr": 0.01, "alpha": 0.95, "eps": 1e-6},
        "karpathy/convnetjs 2258e38: src/convnet_trainers.js, windowgrad",
    ),
    "smile": Alias(
        "caffe2", {"epsilon": 1e-7}, "haifengl/smile 3357e8f: core/src/main/java/smile/model/mlp/Layer.java"
    ),
    "polaris": Alias("optax", {"learning_rate": 0.01}, "elixir-nx/polaris cff7433: lib/polaris/updates.ex"),
    "axon": Alias("optax", {"learning_rate": 0.01}, "elixir-nx/polaris cff7433: lib/polaris/optimizers.ex"),
    "rubix": Alias(
        "blocks",
        {"learning_rate": 0.001, "max_scaling": 1e8},
        "RubixML/ML 85e5e9a: src/NeuralNet/Optimizers/RMSProp.php; its decay is 1 - decay_rate",
    ),
    "dsstne": Alias(
        "blocks",
        {"max_scaling": 1e-9**-0.5},
        "amazon-archives/amazon-dsstne aace73e: src/amazon/dsstne/engine/kDelta.cu",
    ),
}
"""Name in lower case → :class:`Alias`.

"tensorflow" is version 1, as in papers; "tf.keras" is Keras since TensorFlow 2.11.
"""
