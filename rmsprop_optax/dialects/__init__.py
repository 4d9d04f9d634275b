"""Each framework's RMSprop under its own argument names, in its own order, with its own defaults.

"RMSprop" names several algorithms: they differ in where epsilon stands, in what the mean square starts from, in whether
the learning rate comes before or after the momentum buffer, and in what weight decay means. A dialect is one of them,
exactly: the same gradients give the same parameters as the framework's own optimizer.

Where a framework loses digits (low precision, the difference E[g²] − E[g]²), a dialect does not follow it. Where a
framework ignores an option silently, the dialect raises. Options that do not change the rule are not taken.

:data:`TABLE` holds the dialects as data, :data:`NOT_REPRODUCED` what is called RMSprop and is not among them. A new
dialect is a file beside this one and its lines below.
"""

from collections.abc import Callable
from typing import NamedTuple

import optax as _optax

from rmsprop_optax import _docs
from rmsprop_optax.dialects.bitsandbytes import bitsandbytes
from rmsprop_optax.dialects.blocks import blocks
from rmsprop_optax.dialects.burn import burn
from rmsprop_optax.dialects.caffe import caffe
from rmsprop_optax.dialects.caffe2 import caffe2
from rmsprop_optax.dialects.candle_optimisers import candle_optimisers
from rmsprop_optax.dialects.chainer import chainer
from rmsprop_optax.dialects.chainer_graves import chainer_graves
from rmsprop_optax.dialects.climin import climin
from rmsprop_optax.dialects.dfdx import dfdx
from rmsprop_optax.dialects.dl4j import dl4j
from rmsprop_optax.dialects.dqn import dqn
from rmsprop_optax.dialects.dynet import dynet
from rmsprop_optax.dialects.ensmallen import ensmallen
from rmsprop_optax.dialects.flax_optim import flax_optim
from rmsprop_optax.dialects.graves import graves
from rmsprop_optax.dialects.hinton import hinton
from rmsprop_optax.dialects.jax_example import jax_example
from rmsprop_optax.dialects.jax_example_momentum import jax_example_momentum
from rmsprop_optax.dialects.jittor import jittor
from rmsprop_optax.dialects.keras import keras
from rmsprop_optax.dialects.keras2 import keras2
from rmsprop_optax.dialects.knet import knet
from rmsprop_optax.dialects.lasagne import lasagne
from rmsprop_optax.dialects.mindspore import mindspore
from rmsprop_optax.dialects.mlx import mlx
from rmsprop_optax.dialects.mxnet import mxnet
from rmsprop_optax.dialects.neon import neon
from rmsprop_optax.dialects.oneflow import oneflow
from rmsprop_optax.dialects.optax import optax
from rmsprop_optax.dialects.optimisers_jl import optimisers_jl
from rmsprop_optax.dialects.paddle import paddle
from rmsprop_optax.dialects.pfrl import pfrl
from rmsprop_optax.dialects.pytorch import pytorch
from rmsprop_optax.dialects.sb3 import sb3
from rmsprop_optax.dialects.sonnet import sonnet
from rmsprop_optax.dialects.tensorflowjs import tensorflowjs
from rmsprop_optax.dialects.tf1 import tf1
from rmsprop_optax.dialects.tf_keras_legacy import tf_keras_legacy
from rmsprop_optax.dialects.timm import timm
from rmsprop_optax.dialects.tiny_dnn import tiny_dnn
from rmsprop_optax.dialects.torch7 import torch7
from rmsprop_optax.dialects.torchopt import torchopt
from rmsprop_optax.dialects.trax import trax


class Arguments(NamedTuple):
    """What a framework calls the numbers that every RMSprop has; ``None`` where it has no such argument."""

    learning_rate: str | None
    decay: str | None
    eps: str | None
    momentum: str | None


class Dialect(NamedTuple):
    """A row of :data:`TABLE`.

    Attributes:
      constructor: the function that returns the transformation.
      denominator: what the gradient is divided by, in its arguments, ``nu`` and ``var``, the centered one.
      start: what the mean square starts from.
      momentum: where the learning rate stands: ``before`` or ``after`` the momentum buffer, or no buffer.
      weight_decay: how it is done.
      arguments: what the framework calls the numbers.
    """

    constructor: Callable[..., _optax.GradientTransformationExtraArgs]
    denominator: str
    start: str
    momentum: str
    weight_decay: str
    arguments: Arguments

    @property
    def source(self) -> str:
        """Where the rule was read, with its version: the end of the constructor's docstring."""
        return _docs.source(self.constructor)


def _row(constructor, denominator, start, momentum, weight_decay, arguments):
    names = (None if name == "-" else name for name in arguments.split())
    return Dialect(constructor, denominator, start, momentum, weight_decay, Arguments(*names))


_ROWS = (
    # What it divides by, what nu starts from, where the rate stands, weight decay; its words for rate, decay, eps,
    # momentum.
    _row(hinton, "√nu", "0", "before", "none", "learning_rate decay - momentum"),
    _row(graves, "√(var + eps)", "0", "before", "none", "learning_rate decay eps momentum"),
    _row(dqn, "√(var + 0.01)", "0", "no buffer", "L2", "lr - - -"),
    _row(optax, "√(nu + eps)", "0", "before", "none", "learning_rate decay eps momentum"),
    _row(jax_example, "√(nu + eps)", "0", "no buffer", "none", "step_size gamma eps -"),
    _row(jax_example_momentum, "√(nu + eps)", "0", "before", "none", "step_size gamma eps momentum"),
    _row(flax_optim, "√nu + eps", "0", "no buffer", "none", "learning_rate beta2 eps -"),
    _row(trax, "√nu + eps", "1", "no buffer", "none", "learning_rate gamma eps -"),
    _row(pytorch, "√nu + eps", "0", "after", "L2", "lr alpha eps momentum"),
    _row(timm, "√(nu + eps)", "1", "before", "L2 or decoupled", "lr alpha eps momentum"),
    _row(sb3, "√(nu + eps)", "1", "after", "L2", "lr alpha eps momentum"),
    _row(pfrl, "√(nu + eps)", "0", "after", "L2", "lr alpha eps momentum"),
    _row(torchopt, "√nu + eps", "0", "after", "L2", "lr alpha eps momentum"),
    _row(bitsandbytes, "√nu + eps", "0", "no buffer", "L2", "lr alpha eps -"),
    _row(torch7, "√nu + epsilon", "0", "no buffer", "L2", "learningRate alpha epsilon -"),
    _row(tf1, "√(nu + epsilon)", "1", "before", "none", "learning_rate decay epsilon momentum"),
    _row(
        tf_keras_legacy,
        "√nu + epsilon, with momentum √(nu + epsilon)",
        "0",
        "before",
        "none",
        "learning_rate rho epsilon momentum",
    ),
    _row(keras2, "√nu + epsilon", "0", "no buffer", "none", "lr rho epsilon -"),
    _row(keras, "√(nu + epsilon)", "0", "before", "decoupled", "learning_rate rho epsilon momentum"),
    _row(sonnet, "√(nu + epsilon)", "0", "before", "none", "learning_rate decay epsilon momentum"),
    _row(tensorflowjs, "√(nu + epsilon)", "0", "before", "none", "learningRate decay epsilon momentum"),
    _row(mxnet, "√(nu + epsilon)", "0", "no buffer, centered before", "L2", "learning_rate gamma1 epsilon gamma2"),
    _row(paddle, "√(nu + epsilon)", "0", "before", "L2", "learning_rate rho epsilon momentum"),
    _row(mindspore, "√(nu + epsilon)", "1", "before", "L2", "learning_rate decay epsilon momentum"),
    _row(oneflow, "√(nu + eps)", "0", "no buffer", "L2", "lr alpha eps -"),
    _row(jittor, "√nu + eps", "0", "no buffer", "none", "lr alpha eps -"),
    _row(mlx, "√nu + eps", "0", "no buffer", "none", "learning_rate alpha eps -"),
    _row(chainer, "√nu + eps", "0", "no buffer", "none", "lr alpha eps -"),
    _row(chainer_graves, "√(var + eps)", "0", "before", "none", "lr alpha eps momentum"),
    _row(caffe, "√nu + delta", "0", "no buffer", "L2 or L1", "base_lr rms_decay delta -"),
    _row(caffe2, "√(nu + epsilon)", "0", "before", "none", "lr decay epsilon momentum"),
    _row(lasagne, "√(nu + epsilon)", "0", "no buffer", "none", "learning_rate rho epsilon -"),
    _row(blocks, "max(√nu, 1/max_scaling)", "0", "no buffer", "none", "learning_rate decay_rate - -"),
    _row(neon, "√(nu + epsilon) + epsilon", "0", "no buffer", "none", "learning_rate decay_rate epsilon -"),
    _row(climin, "√(nu + 1e-8)", "1", "before, Nesterov", "none", "step_rate decay - momentum"),
    _row(dynet, "√(nu + eps)", "0", "no buffer", "none", "learning_rate rho eps -"),
    _row(tiny_dnn, "√(nu + 1e-8)", "0", "no buffer", "none", "alpha mu - -"),
    _row(ensmallen, "√nu + epsilon", "0", "no buffer", "none", "stepSize alpha epsilon -"),
    _row(optimisers_jl, "√nu + epsilon", "0", "no buffer", "none", "eta rho epsilon -"),
    _row(knet, "√(nu + eps)", "0", "no buffer", "none", "lr rho eps -"),
    _row(dl4j, "√nu + epsilon", "epsilon", "no buffer", "none", "learningRate rmsDecay epsilon -"),
    _row(burn, "√nu + epsilon", "0", "after", "L2", "lr alpha epsilon momentum"),
    _row(candle_optimisers, "√nu + eps", "0", "after", "L2", "lr alpha eps momentum"),
    _row(dfdx, "√(nu + eps)", "1", "after", "L2 or decoupled", "lr alpha eps momentum"),
)

TABLE: dict[str, Dialect] = {row.constructor.__name__: row for row in _ROWS}
"""Name → :class:`Dialect`, for tests, documentation and the command line."""

NOT_REPRODUCED: dict[str, str] = {
    "CNTK": "each weight has a step of its own, grown and shrunk by the signs of gradients as in rprop, and every "
    "array's steps are divided by their mean: a reduction, not an update of one entry",
    "Keras 2.9 and 2.10, optimizer_experimental": "centered, a bug: the mean is that of g², and its square is "
    "subtracted from the mean square for good; else `pytorch` without its weight decay",
    "Caffe2's RmsPropOptimizer": "a bug: the momentum is momentum·lr; `caffe2` is the operator below it",
    "bitsandbytes' RMSprop8bit": "the rule of `bitsandbytes` with a quantised state; on CUDA, a bug: weight decay "
    "enters the mean square alone",
    "DyNet's weight decay": "parameters live under a global scale that also divides the learning rate; `dynet` is the "
    "rule without it",
    "Levanter's and DreamerV3's rmsprop": "LaProp: momentum is a moving average, corrected for its start",
    "sparse gradients": "rows that a gradient does not name are left alone or not, by framework; gradients in JAX are "
    "dense",
}
"""What is called RMSprop and has no dialect → why."""

__all__ = ["NOT_REPRODUCED", "TABLE", "Arguments", "Dialect", *TABLE]
