"""The frameworks that `record.py` can record: how to run each one's RMSprop, and with which options.

Each function of the modules returns the framework's rule and its cases. The rule is a generator like the ones of
`references.py`: it takes `params`, `steps` (pairs of gradients and learning rate) and the options, and yields `params`,
mean square, mean and momentum after every step, {} for what the framework does not keep.

The cases stand under the dtype that they are computed in: float64, or float32 where the framework has nothing wider.
The learning rate changes at every step. The numbers of the options are exact in float32, because many frameworks pass
them through float32 even where the parameters are float64; so the defaults of those (0.9, 1e-10) cannot be recorded,
while the defaults of the others are their last case.
"""

from frameworks import like_tensorflow, like_torch, others

FRAMEWORKS = {
    "pytorch": (like_torch.pytorch, ["torch"]),
    "timm": (like_torch.timm, ["timm", "torch"]),
    "sb3": (like_torch.sb3, ["stable-baselines3", "torch"]),
    "pfrl": (like_torch.pfrl, ["pfrl", "torch"]),
    "torchopt": (like_torch.torchopt, ["torchopt", "torch"]),
    "bitsandbytes": (like_torch.bitsandbytes, ["bitsandbytes", "torch"]),
    "oneflow": (like_torch.oneflow, ["oneflow"]),
    "jittor": (like_torch.jittor, ["jittor"]),
    "fastai": (like_torch.fastai, ["fastai", "torch"]),
    "heavyball": (like_torch.heavyball, ["heavyball", "torch"]),
    "pyro": (like_torch.pyro, ["pyro-ppl", "torch"]),
    "dreamerv3": (like_torch.dreamerv3, ["torchrl", "torch"]),
    "tf1": (like_tensorflow.tf1, ["tensorflow-cpu"]),
    "tf_keras_legacy": (like_tensorflow.tf_keras_legacy, ["tf-keras", "tensorflow-cpu"]),
    "sonnet": (like_tensorflow.sonnet, ["dm-sonnet", "tensorflow-cpu"]),
    "tensorflowjs": (like_tensorflow.tensorflowjs, []),
    "keras2": (like_tensorflow.keras2, ["keras", "Theano-PyMC"]),
    "paddle": (others.paddle, ["paddlepaddle"]),
    "mindspore": (others.mindspore, ["mindspore"]),
    "mlx": (others.mlx, ["mlx"]),
    "chainer": (others.chainer, ["chainer"]),
    "chainer_graves": (others.chainer_graves, ["chainer"]),
    "mxnet": (others.mxnet, ["mxnet"]),
    "trax": (others.trax, ["trax", "jax"]),
    "lasagne": (others.lasagne, ["Lasagne", "Theano-PyMC"]),
    "climin": (others.climin, ["climin"]),
    "river": (others.river, ["river"]),
    "brainjs": (others.brainjs, []),
    "nnabla": (others.nnabla, ["nnabla"]),
    "nnabla_graves": (others.nnabla_graves, ["nnabla"]),
    "levanter": (others.levanter, ["levanter", "jax", "optax"]),
}
"""Name of the dialect or alias → what runs it, and the packages whose versions are kept with it."""
