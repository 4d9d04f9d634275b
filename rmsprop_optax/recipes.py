"""Published settings: what a paper or its code trained with, each in the dialect of its own framework.

A recipe is a function: its arguments are what only the user knows, its constants are the source's. Where the source
clips gradients, has weight decay in its loss or changes the learning rate, so does the recipe; what does not belong to
the optimizer is named and left out. A number out of its range raises ``ValueError``, what is no number ``TypeError``.
:data:`TABLE` holds the recipes as data.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import _docs, _numbers, _tree, dialects
from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax.dialects import _links


def dqn() -> optax.GradientTransformationExtraArgs:
    """DQN as published in Nature: centered, with an epsilon of 0.01.

    What the paper calls gradient momentum, 0.95, is the decay of the mean gradient; there is no momentum buffer. The
    loss adds up the 32 errors of a batch, each clipped to ±1; for their mean see :func:`dqn_zoo`.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.dqn` returns it.

    Example:
      >>> tx = dqn()
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 6)  # -0.00025 / √(0.05 − 0.05² + 0.01)
      -0.001043

    Source:
      kuz/DeepMind-Atari-Deep-Q-Learner 54978fa: dqn/NeuralQLearner.lua, run_gpu.
    """
    return dialects.dqn(2.5e-4)


def dqn_zoo() -> optax.GradientTransformationExtraArgs:
    """DQN and double Q-learning of DQN Zoo: the steps of :func:`dqn`, from the mean over a batch of 32.

    Its gradients are 32 times smaller, so epsilon is 0.01/32²; the gradients of the errors are clipped to ±1/32.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.optax` returns it.

    Example:
      >>> tx = dqn_zoo()
      >>> updates, state = tx.update(jnp.array([1 / 32]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 6)
      -0.001043

    Source:
      google-deepmind/dqn_zoo 0867137: dqn_zoo/dqn/run_atari.py, dqn_zoo/double_q/run_atari.py.
    """
    return dialects.optax(2.5e-4, decay=0.95, eps=0.01 / 32**2, centered=True)


def dopamine_dqn() -> optax.GradientTransformationExtraArgs:
    """DQN of Dopamine's TensorFlow agent, whose mean square starts from 1; that of its JAX agent starts from 0.

    The loss is the mean of 32 Huber losses.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.tf1` returns it.

    Example:
      >>> tx = dopamine_dqn()
      >>> updates, state = tx.update(jnp.array([3.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 6)  # -0.00025·3 / √(0.95 + 0.05·9 − 0.15² + 0.00001)
      -0.000639

    Source:
      google/dopamine: dopamine/agents/dqn/configs/dqn.gin (163a9c0), dopamine/tf/agents/dqn/dqn_agent.py (a13d583).
    """
    return dialects.tf1(2.5e-4, decay=0.95, epsilon=1e-5, centered=True)


def a3c(steps: float) -> optax.GradientTransformationExtraArgs:
    """A3C on Atari as PFRL reproduces it: an epsilon of 0.1, gradients clipped to a norm of 40, the rate falls to 0.

    The source's 16 processes share one mean square, and each clips its own gradient.

    Args:
      steps: updates until the rate is 0, at least 1; 80 million environment steps of all processes, up to
        5 to an update.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.pfrl` returns it, after the clipping.

    Example:
      >>> tx = a3c(steps=16_000_000)
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 6)  # -0.0007 / √(0.01 + 0.1)
      -0.002111

    Source:
      pfnet/pfrl c8cb332: examples/atari/reproduction/a3c/train_a3c.py.
    """
    return _chain(optax.clip_by_global_norm(40.0), dialects.pfrl(_line(7e-4, steps), alpha=0.99, eps=0.1))


def a2c(steps: float) -> optax.GradientTransformationExtraArgs:
    """A2C of OpenAI Baselines: gradients clipped to a norm of 0.5, the rate falls to 0.

    The source takes the rate of a batch at its last environment step, so that it is almost one update ahead.

    Args:
      steps: updates until the rate is 0, at least 1: 80 million environment steps, 5 times the environments to an
        update.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.tf1` returns it, after the clipping.

    Example:
      >>> tx = a2c(steps=1_000_000)
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 6)  # -0.0007·0.5 / √(0.99 + 0.01·0.25 + 0.00001)
      -0.000351

    Source:
      openai/baselines ea25b9e: baselines/a2c/a2c.py, baselines/a2c/utils.py.
    """
    return _chain(optax.clip_by_global_norm(0.5), dialects.tf1(_line(7e-4, steps), decay=0.99, epsilon=1e-5))


def impala(steps: float) -> optax.GradientTransformationExtraArgs:
    """IMPALA by its authors, in TensorFlow: an epsilon of 0.1 under the root, the rate falls to 0.

    Gradients are not clipped, and the losses add up over time and batch.

    Args:
      steps: updates until the rate is 0, at least 1: a billion frames, of which batch · unroll · action repeats, 800,
        to an update.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.tf1` returns it.

    Example:
      >>> tx = impala(steps=1_250_000)
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 6)  # -0.00048 / √1.1
      -0.000458

    Source:
      google-deepmind/scalable_agent 103308a: experiment.py.
    """
    return dialects.tf1(_line(4.8e-4, steps), decay=0.99, epsilon=0.1)


def impala_torch(steps: float) -> optax.GradientTransformationExtraArgs:
    """IMPALA of TorchBeast: an epsilon of 0.01 beside the root, gradients clipped to a norm of 40, the rate falls to 0.

    The losses add up over time and batch.

    Args:
      steps: updates until the rate is 0, at least 1: environment steps, of which batch · unroll, 640, to an update.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.pytorch` returns it, after the clipping.

    Example:
      >>> tx = impala_torch(steps=50_000)
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 6)  # -0.00048 / (0.1 + 0.01)
      -0.004364

    Source:
      facebookresearch/torchbeast 1c881b8: torchbeast/monobeast.py.
    """
    return _chain(optax.clip_by_global_norm(40.0), dialects.pytorch(_line(4.8e-4, steps), alpha=0.99, eps=0.01))


def pymarl() -> optax.GradientTransformationExtraArgs:
    """QMIX, VDN, COMA and QTRAN on StarCraft: gradients clipped to a norm of 10.

    COMA's agents and its critic each have an optimizer of their own.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.pytorch` returns it, after the clipping.

    Example:
      >>> tx = pymarl()
      >>> updates, state = tx.update(jnp.array([20.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 6)  # -0.0005·10 / (1 + 0.00001)
      -0.005

    Source:
      oxwhirl/pymarl: src/config/default.yaml (64111fc), src/learners/q_learner.py (023de7e).
    """
    return _chain(optax.clip_by_global_norm(10.0), dialects.pytorch(5e-4, alpha=0.99, eps=1e-5))


def wgan(clamp: Any = 0.01) -> optax.GradientTransformationExtraArgs:
    """Wasserstein GAN: PyTorch's defaults at a rate of 0.00005, the critic's weights clamped to ±0.01.

    The source clamps before each of the critic's steps, here it is after: the steps are the same, from first weights
    within the bound, but the generator meets the last of 5 with the clamp, in the source without.

    Args:
      clamp: the largest absolute value of the critic's weights; ``None`` for the generator.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.pytorch` returns it, before the clamp.

    Example:
      >>> tx, weights = wgan(), jnp.array([-0.0098])
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(weights), weights)
      >>> round(float(weights[0] + updates[0]), 6)  # not -0.0098 − 0.0005
      -0.01

    Source:
      martinarjovsky/WassersteinGAN 2cf43ba: main.py.
    """
    return _chain(dialects.pytorch(5e-5), _links.clip(_numbers.check("clip", clamp, name="clamp"), _links.parameters_within))


def efficientnet(
    steps_per_epoch: float, weight_decay_mask: Any, batch_size: float = 2048
) -> optax.GradientTransformationExtraArgs:
    """EfficientNet on ImageNet: the rate rises for 5 epochs, then it falls by 3 % every 2.4 epochs since the start.

    The source also averages weights, with a decay of 0.9999.

    Args:
      steps_per_epoch: images over ``batch_size``, at least 1; need not be whole.
      weight_decay_mask: which parameters have the L2 penalty, as in :func:`rmsprop_optax.rmsprop`: all but those of
        batch normalisation in the source. ``None`` is all.
      batch_size: images to an update, at least 1; the rate is 0.016 for 256.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.tf1` returns it, after the L2 penalty.

    Example:
      >>> params = {"kernel": jnp.ones(1), "scale": jnp.ones(1)}
      >>> tx = efficientnet(1281167 / 2048, weight_decay_mask={"kernel": True, "scale": False})
      >>> state = optax.tree.set(tx.init(params), count=jnp.array(3127))
      >>> updates, state = tx.update({"kernel": jnp.zeros(1), "scale": jnp.ones(1)}, state, params)
      >>> {name: f"{u[0]:.4g}" for name, u in updates.items()}  # 0.128·0.97² / √0.901 · 0.00001, 0.128·0.97² / √1.001
      {'kernel': '-1.269e-06', 'scale': '-0.1204'}

    Source:
      tensorflow/tpu: models/official/efficientnet/main.py (01b6706), models/official/efficientnet/utils.py (139e1f4).
    """
    steps_per_epoch, batch_size = _check("steps_per_epoch", steps_per_epoch), _check("batch_size", batch_size)
    rate = 0.016 * batch_size / 256
    schedule = _warm_up(0.0, rate, int(5 * steps_per_epoch), _stairs(rate, 2.4 * steps_per_epoch, 0.97))
    return _chain(_l2(1e-5, weight_decay_mask), dialects.tf1(schedule, decay=0.9, momentum=0.9, epsilon=1e-3))


def mnasnet(
    steps_per_epoch: float, weight_decay_mask: Any, batch_size: float = 1024
) -> optax.GradientTransformationExtraArgs:
    """MnasNet on ImageNet: :func:`efficientnet` in batches of 1024.

    Args:
      steps_per_epoch: images over ``batch_size``, at least 1; need not be whole.
      weight_decay_mask: as for :func:`efficientnet`.
      batch_size: images to an update, at least 1; the rate is 0.016 for 256.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.tf1` returns it, after the L2 penalty.

    Example:
      >>> tx, params = mnasnet(1251, None), jnp.zeros(1)
      >>> state = optax.tree.set(tx.init(params), count=jnp.array(1251 * 3))
      >>> updates, state = tx.update(jnp.array([1.0]), state, params)
      >>> round(float(updates[0]), 6)  # -0.064·3/5 / √1.001
      -0.038381

    Source:
      tensorflow/tpu: models/official/mnasnet/mnasnet_main.py (009812f), models/official/mnasnet/mnas_utils.py
      (242af17).
    """
    return efficientnet(steps_per_epoch, weight_decay_mask, batch_size)


def mobilenet_v2(
    steps_per_epoch: float, weight_decay_mask: Any, batch_size: float = 96
) -> optax.GradientTransformationExtraArgs:
    """MobileNetV2 of TF-Slim on ImageNet: an epsilon of 1, the rate falls by 2 % every 2.5 epochs.

    The source also averages weights, with a decay of 0.9999.

    Args:
      steps_per_epoch: images over ``batch_size``, at least 1; need not be whole.
      weight_decay_mask: which parameters have the L2 penalty, as in :func:`rmsprop_optax.rmsprop`: the kernels of
        convolutions that are not depthwise in the source. ``None`` is all.
      batch_size: images to an update, at least 1; the rate is 0.045 for 96, which is the batch of one device.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.tf1` returns it, after the L2 penalty.

    Example:
      >>> tx, params = mobilenet_v2(13345, None), jnp.zeros(1)
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(params), params)
      >>> round(float(updates[0]), 6)  # -0.045 / √2
      -0.03182

    Source:
      tensorflow/models: research/slim/nets/mobilenet/README.md (0ba83cf), research/slim/nets/mobilenet/mobilenet.py
      (02c04f4), research/slim/train_image_classifier.py (07ed366).
    """
    steps_per_epoch, batch_size = _check("steps_per_epoch", steps_per_epoch), _check("batch_size", batch_size)
    schedule = _stairs(0.045 * batch_size / 96, int(2.5 * steps_per_epoch), 0.98)
    return _chain(_l2(4e-5, weight_decay_mask), dialects.tf1(schedule, decay=0.9, momentum=0.9, epsilon=1.0))


def mobilenet_v3(steps_per_epoch: float) -> optax.GradientTransformationExtraArgs:
    """MobileNetV3 of torchvision on ImageNet: an epsilon of √0.001 beside the root, batches of 8 · 128 images.

    The rate falls by 2.7 % every 2 epochs; the L2 penalty is on every parameter.

    Args:
      steps_per_epoch: at least 1.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.pytorch` returns it.

    Example:
      >>> tx, params = mobilenet_v3(1252), jnp.zeros(1)
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(params), params)
      >>> round(float(updates[0]), 6)  # -0.064 / (√0.1 + 0.0316)
      -0.183999

    Source:
      pytorch/vision: references/classification/train.py (017e9b9), references/classification/README.md.
    """
    schedule = _stairs(0.064, 2 * _check("steps_per_epoch", steps_per_epoch), 0.973)
    return dialects.pytorch(schedule, alpha=0.9, eps=0.0316, weight_decay=1e-5, momentum=0.9)


def timm_efficientnet(
    steps_per_epoch: float, batch_size: float = 256, warmup_epochs: int = 3
) -> optax.GradientTransformationExtraArgs:
    """EfficientNet of timm on ImageNet: the numbers of :func:`efficientnet`, but the rate changes between epochs only.

    The L2 penalty is on arrays of two dimensions or more. The source also averages weights, with a decay of 0.9999.
    Its MixNet-XL and MobileNetV3 differ in that the rate falls by 3.1 % and 2.7 %, and that of MobileNetV3 is noisy.

    Args:
      steps_per_epoch: at least 1.
      batch_size: images to an update, at least 1; 256 for B2, 768 for B0, 1024 for ES. The rate is 0.016 for 256.
      warmup_epochs: at least 1. The commands do not say; timm's default was 3, and has been 5 since October 2022.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.timm` returns it, after the L2 penalty.

    Example:
      >>> tx, params = timm_efficientnet(5004), jnp.zeros(1)
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(params), params)
      >>> f"{updates[0]:.4g}"  # -0.000001 / √1.001
      '-9.995e-07'

    Source:
      huggingface/pytorch-image-models a6a5565: README.md, train.py, timm/optim/optim_factory.py,
      timm/scheduler/step_lr.py.
    """
    steps_per_epoch, batch_size = _check("steps_per_epoch", steps_per_epoch), _check("batch_size", batch_size)
    rate = 0.016 * batch_size / 256
    # 36 / 2.4 is less than 15 in float32; 5 · 36 / 12 is not.
    fall = _stairs(rate, 12, 0.97)
    by_epoch = _warm_up(1e-6, rate, _check("warmup_epochs", warmup_epochs), lambda epoch: fall(5 * epoch))
    return _chain(
        _l2(1e-5, lambda params: jax.tree.map(lambda p: jnp.ndim(p) > 1, params)),
        dialects.timm(_of_float(lambda count: by_epoch(count // steps_per_epoch)), alpha=0.9, eps=1e-3, momentum=0.9),
    )


def inception_v3(
    steps_per_epoch: float, weight_decay_mask: Any, batch_size: float = 1024
) -> optax.GradientTransformationExtraArgs:
    """Inception v3 on ImageNet by TPU: an epsilon of 1, the rate falls by 6 % every 3 epochs to a ten-thousandth.

    The source also averages weights, with a decay of 0.995.

    Args:
      steps_per_epoch: whole batches, at least 1.
      weight_decay_mask: which parameters have the L2 penalty, as in :func:`rmsprop_optax.rmsprop`: the kernels in the
        source. ``None`` is all.
      batch_size: images to an update, at least 1; the rate is 0.165 for 256.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.tf1` returns it, after the L2 penalty.

    Example:
      >>> tx, params = inception_v3(1251, None), jnp.zeros(1)
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(params), params)
      >>> round(float(updates[0]), 6)  # -0.66 / √2
      -0.46669

    Source:
      tensorflow/tpu 0193ce5: models/experimental/inception/inception_v3.py; L2: tensorflow/tensorflow 1ea933c:
      tensorflow/contrib/slim/python/slim/nets/inception_v3.py.
    """
    steps_per_epoch, batch_size = _check("steps_per_epoch", steps_per_epoch), _check("batch_size", batch_size)
    rate = 0.165 * batch_size / 256
    schedule = _stairs(rate, 3 * steps_per_epoch, 0.94, end_value=1e-4 * rate)
    return _chain(_l2(4e-5, weight_decay_mask), dialects.tf1(schedule, decay=0.9, momentum=0.9, epsilon=1.0))


def char_rnn(steps_per_epoch: float) -> optax.GradientTransformationExtraArgs:
    """Karpathy's char-rnn: every entry of a gradient clipped to ±5, the rate falls by 3 % an epoch after the first 10.

    The loss adds up over the 50 characters of a sequence, and is the mean over the sequences of a batch.

    Args:
      steps_per_epoch: at least 1.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.torch7` returns it, after the clipping.

    Example:
      >>> tx = char_rnn(423)
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 6)  # -0.002 / √0.05
      -0.008944

    Source:
      karpathy/char-rnn 6f9487a: train.lua.
    """
    steps = _check("steps_per_epoch", steps_per_epoch)
    return _chain(optax.clip(5.0), dialects.torch7(_stairs(2e-3, steps, 0.97, transition_begin=9 * steps), alpha=0.95))


def graves() -> optax.GradientTransformationExtraArgs:
    """Graves' handwriting: the numbers of the paper that the dialect has for defaults.

    The paper also clips derivatives inside the network.

    Returns:
      A transformation as :func:`rmsprop_optax.dialects.graves` returns it.

    Example:
      >>> tx = graves()
      >>> updates, state = tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)))
      >>> round(float(updates[0]), 7)  # -0.0001·2 / √(0.05·4 − 0.1² + 0.0001)
      -0.0004587

    Source:
      Graves, arXiv:1308.0850, equations 38 to 45; read through chainer/chainer: chainer/optimizers/rmsprop_graves.py.
    """
    return dialects.graves(1e-4, decay=0.95, momentum=0.9, eps=1e-4)


def _chain(*links: optax.GradientTransformation | None) -> optax.GradientTransformationExtraArgs:
    return _tree.chain(*links)


def _l2(weight_decay: float, mask: Any) -> optax.GradientTransformation:
    return add_weight_decay(weight_decay, mask=mask)


def _line(rate: float, steps: Any) -> optax.Schedule:
    return _of_float(optax.linear_schedule(rate, 0.0, _check("steps", steps)))


def _stairs(rate: float, steps: float, factor: float, **options: Any) -> optax.Schedule:
    return _of_float(optax.exponential_decay(rate, steps, factor, staircase=True, **options))


def _warm_up(start: float, rate: float, steps: Any, then: optax.Schedule) -> optax.Schedule:
    """From ``start`` towards ``rate`` for so many steps, and then ``then``, which counts from the start.

    ``optax.join_schedules`` counts from the boundary, and ``optax.linear_schedule`` rounds a small rate to the digits
    of the large one.
    """
    return _of_float(lambda count: jnp.where(count < steps, start + (rate - start) * (count / steps), then(count)))


def _of_float(schedule: optax.Schedule) -> optax.Schedule:
    """Under strict promotion an integer count does not divide by steps that are not whole."""
    return lambda count: schedule(jnp.asarray(count, jnp.result_type(float)))


_MENDS = {
    "steps": "it is the number of updates until the learning rate is 0",
    "steps_per_epoch": "it is the number of updates in a pass over the training data",
    "batch_size": "it is the number of images to an update, of all devices together",
    "warmup_epochs": "it is the number of epochs in which the learning rate rises; 3 and 5 are timm's defaults",
}


def _check(name: str, value: Any) -> Any:
    """A static number of at least 1, as Python's."""
    if isinstance(value, bool) or not _numbers.is_static(value):
        raise TypeError(f"{name} must be a number, got {name}={value!r}: {_MENDS[name]}.")
    if not 1 <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least 1, got {name}={value}: {_MENDS[name]}.")
    return np.asarray(value).item()


class Recipe(NamedTuple):
    """A row of :data:`TABLE`.

    Attributes:
      constructor: the function that returns the transformation.
      dialect: its row of :data:`rmsprop_optax.dialects.TABLE`.
      settings: the numbers, in one line.
    """

    constructor: Callable[..., optax.GradientTransformationExtraArgs]
    dialect: str
    settings: str

    @property
    def source(self) -> str:
        """Where the numbers were read, with the commit: the end of the constructor's docstring."""
        return _docs.source(self.constructor)


_EFFICIENTNET = "lr 0.016 per 256 images, decay 0.9, momentum 0.9, epsilon 0.001, ×0.97 every 2.4 epochs, L2 1e-5"

_ROWS = (
    Recipe(dqn, "dqn", "lr 0.00025, decays 0.95, epsilon 0.01, centered"),
    Recipe(dqn_zoo, "optax", "lr 0.00025, decay 0.95, epsilon 0.01/32², centered"),
    Recipe(dopamine_dqn, "tf1", "lr 0.00025, decay 0.95, epsilon 0.00001, centered"),
    Recipe(a3c, "pfrl", "lr 0.0007 falling to 0, decay 0.99, epsilon 0.1, norm clipped to 40"),
    Recipe(a2c, "tf1", "lr 0.0007 falling to 0, decay 0.99, epsilon 0.00001, norm clipped to 0.5"),
    Recipe(impala, "tf1", "lr 0.00048 falling to 0, decay 0.99, epsilon 0.1"),
    Recipe(impala_torch, "pytorch", "lr 0.00048 falling to 0, decay 0.99, epsilon 0.01, norm clipped to 40"),
    Recipe(pymarl, "pytorch", "lr 0.0005, decay 0.99, epsilon 0.00001, norm clipped to 10"),
    Recipe(wgan, "pytorch", "lr 0.00005, decay 0.99, epsilon 1e-8, the critic's weights clamped to ±0.01"),
    Recipe(efficientnet, "tf1", f"{_EFFICIENTNET}, 5 epochs of warm-up"),
    Recipe(mnasnet, "tf1", f"{_EFFICIENTNET}, 5 epochs of warm-up"),
    Recipe(
        mobilenet_v2,
        "tf1",
        "lr 0.045 per 96 images, decay 0.9, momentum 0.9, epsilon 1, ×0.98 every 2.5 epochs, L2 4e-5",
    ),
    Recipe(
        mobilenet_v3, "pytorch", "lr 0.064, decay 0.9, momentum 0.9, epsilon 0.0316, ×0.973 every 2 epochs, L2 1e-5"
    ),
    Recipe(timm_efficientnet, "timm", f"{_EFFICIENTNET}, 3 epochs of warm-up from 1e-6"),
    Recipe(
        inception_v3,
        "tf1",
        "lr 0.165 per 256 images, decay 0.9, momentum 0.9, epsilon 1, ×0.94 every 3 epochs down to ×0.0001, L2 4e-5",
    ),
    Recipe(
        char_rnn,
        "torch7",
        "lr 0.002, decay 0.95, epsilon 1e-8, ×0.97 every epoch after the first 10, entries clipped to ±5",
    ),
    Recipe(graves, "graves", "lr 0.0001, decays 0.95, momentum 0.9, epsilon 0.0001, centered"),
)

TABLE: dict[str, Recipe] = {row.constructor.__name__: row for row in _ROWS}
"""Name → :class:`Recipe`, for tests and documentation."""
