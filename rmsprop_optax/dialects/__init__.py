"""Each framework's RMSprop with its own argument names, in its own order, with its own defaults.

"RMSprop" names several algorithms. They differ in the place of epsilon, the initial mean square, the order of learning
rate and momentum buffer, and the meaning of weight decay. A dialect is one of these algorithms, exactly: the same
gradients give the same parameters as the framework's own optimizer.

A dialect does not reproduce rounding errors: statistics are float32 or wider, and the centered variance is not computed
as the difference E[g²] − E[g]², which can turn negative. An option that the framework accepts but ignores raises an
error. A dialect omits arguments that do not change the rule. ``None`` turns an option off, even if the framework writes
0, because ``optax.inject_hyperparams`` turns numbers into arrays; a Python 0 also turns an option off.

:data:`TABLE` holds the dialects as data, :data:`ALIASES` other names for them, and :data:`NOT_REPRODUCED` the rules
called RMSprop without a dialect. To add a dialect, write a function in one of the families beside this file and add it
to the imports below.
"""

# ruff: noqa: I001 (the order of the imports is that of the table; `as` makes them public to type checkers)
from rmsprop_optax.dialects._dialect import TABLE as TABLE, Arguments as Arguments, Dialect as Dialect
from rmsprop_optax.dialects._papers import dqn as dqn, graves as graves, hinton as hinton
from rmsprop_optax.dialects._jax import (
    flax_optim as flax_optim,
    jax_example as jax_example,
    jax_example_momentum as jax_example_momentum,
    optax as optax,
    trax as trax,
)
from rmsprop_optax.dialects._torch import (
    bitsandbytes as bitsandbytes,
    burn as burn,
    candle_optimisers as candle_optimisers,
    jittor as jittor,
    mlx as mlx,
    pytorch as pytorch,
    torch7 as torch7,
    torchopt as torchopt,
)
from rmsprop_optax.dialects._torch_own import fastai as fastai, heavyball as heavyball, pyro as pyro
from rmsprop_optax.dialects._torch_like_tf import dfdx as dfdx, pfrl as pfrl, sb3 as sb3, timm as timm
from rmsprop_optax.dialects._tensorflow import (
    caffe2 as caffe2,
    mindspore as mindspore,
    oneflow as oneflow,
    paddle as paddle,
    sonnet as sonnet,
    tensorflowjs as tensorflowjs,
    tf1 as tf1,
)
from rmsprop_optax.dialects._keras import keras as keras, keras2 as keras2, tf_keras_legacy as tf_keras_legacy
from rmsprop_optax.dialects._mxnet import mxnet as mxnet
from rmsprop_optax.dialects._chainer import chainer as chainer, chainer_graves as chainer_graves
from rmsprop_optax.dialects._theano import (
    AdaptiveStepsState as AdaptiveStepsState,
    blocks as blocks,
    climin as climin,
    lasagne as lasagne,
)
from rmsprop_optax.dialects._cpp import (
    caffe as caffe,
    dynet as dynet,
    ensmallen as ensmallen,
    flashlight as flashlight,
    neon as neon,
    tiny_dnn as tiny_dnn,
)
from rmsprop_optax.dialects._julia_jvm import dl4j as dl4j, knet as knet, optimisers_jl as optimisers_jl
from rmsprop_optax.dialects._recurrentjs import brainjs as brainjs
from rmsprop_optax.dialects._laprop import dreamerv3 as dreamerv3, levanter as levanter, sparsecore as sparsecore
from rmsprop_optax.dialects._aliases import ALIASES as ALIASES, Alias as Alias

NOT_REPRODUCED: dict[str, str] = {
    "CNTK": "each weight has its own step size, which grows and shrinks with the signs of gradients as in rprop, and "
    "the step sizes of an array are divided by their mean: a reduction, not an elementwise rule",
    "Keras 2.9 and 2.10, optimizer_experimental": "centered, a bug: the mean is that of g², and its square is "
    "subtracted from the stored mean square; uncentered, `pytorch` without weight decay",
    "Caffe2's RmsPropOptimizer": "a bug: the momentum is momentum·lr; `caffe2` is the operator that it calls",
    "bitsandbytes' RMSprop8bit": "the rule of `bitsandbytes` with a quantised state; on CUDA, a bug: weight decay "
    "is added to the mean square alone",
    "DyNet's weight decay": "parameters live under a global scale that also divides the learning rate; `dynet` is the "
    "rule without it",
    "torch for R's weight decay": "a bug: weight_decay times the number of the parameter, instead of the parameter, is "
    "added to the gradient; `r torch` is the rule without it",
    "PopART's WeightDecayMode::Decay": "decoupled; in the TensorFlow variant with momentum, not multiplied by the "
    "learning rate; `popart` and `popart_tf` are its L2 mode",
    "Owl's Nesterov momentum": "its buffer is momentum²·b + (1 + momentum)·x; `owl` has its standard momentum",
    "ngme2": "`torch7` with learningRate 0.05 and alpha 0.9, then every entry of a step bounded by 0.5: chain "
    "`optax.clip(0.5)` after it",
    "sparse gradients": "some frameworks update the rows that a sparse gradient leaves out, some do not; gradients in "
    "JAX are dense",
}
"""Rule called RMSprop without a dialect → the reason."""

# Without the dialects, because `import *` would replace the user's optax and keras.
__all__ = ["ALIASES", "NOT_REPRODUCED", "TABLE", "AdaptiveStepsState", "Alias", "Arguments", "Dialect"]
