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
    "nnabla": Alias(
        "pytorch", {"lr": 0.001, "alpha": 0.9}, "sony/nnabla 0bbdae2: src/nbla/solver/generic/rmsprop.cpp; no momentum"
    ),
    "nnabla_graves": Alias("graves", source="sony/nnabla 65d99e1: src/nbla/solver/generic/rmsprop_graves.cpp"),
    "poptorch": Alias(
        "pytorch", source="graphcore/poptorch c2a8b17: python/optim.py; use_tf_variant is the rule of `popart_tf`"
    ),
    "popart": Alias(
        "pytorch", {"eps": 1e-6}, "graphcore/popart 993c69f: willow/src/patterns/adaptivedecompose.cpp, RMSProp"
    ),
    "popart_tf": Alias(
        "timm",
        {"alpha": 0.99, "eps": 1e-6},
        "graphcore/popart 993c69f: willow/src/patterns/adaptivedecompose.cpp, rmspropTFVariant",
    ),
    "libtorch": Alias("pytorch", source="pytorch/pytorch dbaa829: torch/csrc/api/src/optim/rmsprop.cpp"),
    "tch-rs": Alias("pytorch", source="LaurentMazare/tch-rs 8655f26: src/nn/optimizer.rs, which calls LibTorch"),
    "torch.rb": Alias("pytorch", source="ankane/torch.rb 5378163: lib/torch/optim/rmsprop.rb"),
    "torchsharp": Alias("pytorch", source="dotnet/TorchSharp 0056cf8: src/TorchSharp/Optimizers/RMSprop.cs"),
    "r torch": Alias(
        "pytorch", source="mlverse/torch e4de110: R/optim-rmsprop.R; not its weight decay, which has a bug"
    ),
    "tff": Alias(
        "flax_optim",
        {"eps": 1e-7},
        "google-parfait/tensorflow-federated fa6c135: tensorflow_federated/python/learning/optimizers/rmsprop.py",
    ),
    "apple mps": Alias(
        "flax_optim",
        source="Apple's header of MPSNNOptimizerRMSProp: MPSNNOptimizers.h of macOS 10.15; momentumScale came later",
    ),
    "swift for tensorflow": Alias(
        "optimisers_jl",
        source="tensorflow/swift-apis 630aeaf: Sources/TensorFlow/Optimizers/RMSProp.swift; its decay is a schedule",
    ),
    "bigdl": Alias(
        "torch7",
        source="intel-analytics/BigDL-2.x d645d93: scala/dllib/src/main/scala/com/intel/analytics/bigdl/dllib/optim/"
        "RMSprop.scala; its learningRateDecay is a schedule",
    ),
    "lingvo": Alias("tf1", {"momentum": 0.9, "epsilon": 1.0}, "tensorflow/lingvo 09604f6: lingvo/core/optimizer.py"),
    "owl": Alias(
        "caffe2",
        {"lr": 0.001, "epsilon": 1e-32},
        "owlbarn/owl 4eab7c7: src/base/optimise/owl_optimise_generic.ml; its Nesterov momentum is another rule",
    ),
    "pymc": Alias("lasagne", source="pymc-devs/pymc 0152862: pymc/variational/updates.py"),
}
"""Name in lower case → :class:`Alias`.

"tensorflow" is version 1, as in papers; "tf.keras" is Keras since TensorFlow 2.11.
"""
