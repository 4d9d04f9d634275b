"""ImageNet classifiers, and a GAN."""

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax._decay import add_weight_decay
from rmsprop_optax._tree import chain
from rmsprop_optax._types import Mask, Number, ScalarOrSchedule
from rmsprop_optax.dialects import _links
from rmsprop_optax.dialects._tensorflow import tf1
from rmsprop_optax.dialects._torch import pytorch
from rmsprop_optax.dialects._torch_like_tf import timm
from rmsprop_optax.recipes._recipe import BatchRule, by_epoch, for_batch, rate, recipe, stairs, warm_up

_EFFICIENTNET = "lr 0.016 per 256 images, decay 0.9, momentum 0.9, epsilon 0.001, ×0.97 every 2.4 epochs, L2 1e-5"


@recipe("pytorch", "lr 0.00005, decay 0.99, epsilon 1e-8, the critic's weights clamped to ±0.01", clamp="clip")
def wgan(
    clamp: Number | None = 0.01, *, learning_rate: ScalarOrSchedule = 5e-5
) -> optax.GradientTransformationExtraArgs:
    """Wasserstein GAN: PyTorch's defaults at a rate of 0.00005, the critic's weights clamped to ±0.01.

    The source clamps before each step of the critic, this recipe after the step. The critic's steps are the same if its
    initial weights are within the bound. The generator differs: it sees the critic clamped, in the source unclamped.

    Args:
      clamp: the largest absolute value of the critic's weights; ``None`` for the generator.

    Raises:
      ValueError: a number is out of its range; at ``update``, the clamp needs the parameters.

    Example:
      >>> import jax.numpy as jnp
      >>> tx, weights = wgan(), jnp.array([-0.0098])
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(weights), weights)
      >>> round(float(weights[0] + updates[0]), 6)  # not -0.0098 − 0.0005
      -0.01

    Source:
      martinarjovsky/WassersteinGAN 2cf43ba: main.py.
    """
    return chain(pytorch(learning_rate), _links.clip(clamp, _links.parameters_within))


@recipe("tf1", f"{_EFFICIENTNET}, 5 epochs of warm-up")
def efficientnet(
    steps_per_epoch: float | None = None,
    *,
    weight_decay_mask: Mask,
    batch_size: float | None = None,
    batch_rule: BatchRule = "linear",
    learning_rate: ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    """EfficientNet on ImageNet: the rate rises for 5 epochs, then falls by 3 % every 2.4 epochs since the start.

    The L2 penalty is on all parameters, including biases of layers, except scales and biases of batch normalisation.
    The source also averages weights, with a decay of 0.9999.

    Args:
      batch_size: images per update, at least 1; 2048 in the source. The rate is 0.016 for 256.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def not_batch_norm(params):
      ...     return jax.tree.map_with_path(lambda path, _: "BatchNorm" not in jax.tree_util.keystr(path), params)
      >>> leaf = jnp.ones(1)
      >>> params = {"BatchNorm_0": {"scale": leaf, "bias": leaf}, "Dense_0": {"kernel": leaf, "bias": leaf}}
      >>> not_batch_norm(params)
      {'BatchNorm_0': {'bias': False, 'scale': False}, 'Dense_0': {'bias': True, 'kernel': True}}
      >>> tx = efficientnet(steps_per_epoch=1281167 / 2048, weight_decay_mask=not_batch_norm)
      >>> state = optax.tree.set(tx.init(params), count=jnp.array(3127))
      >>> updates, state = tx.update(optax.tree.zeros_like(params), state, params)
      >>> [f"{updates[layer]['bias'][0]:.4g}" for layer in params]  # 0.128·0.97² / √0.901 · 0.00001
      ['-0', '-1.269e-06']

    Source:
      tensorflow/tpu: models/official/efficientnet/main.py (01b6706), models/official/efficientnet/utils.py (139e1f4).
    """
    return _efficientnet(steps_per_epoch, weight_decay_mask, batch_size, batch_rule, learning_rate, usual=2048)


@recipe("tf1", f"{_EFFICIENTNET}, 5 epochs of warm-up")
def mnasnet(
    steps_per_epoch: float | None = None,
    *,
    weight_decay_mask: Mask,
    batch_size: float | None = None,
    batch_rule: BatchRule = "linear",
    learning_rate: ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    """MnasNet on ImageNet: :func:`efficientnet` in batches of 1024.

    Args:
      batch_size: images per update, at least 1; 1024 in the source. The rate is 0.016 for 256.

    Example:
      >>> import jax.numpy as jnp
      >>> tx, params = mnasnet(1251, weight_decay_mask=None), jnp.zeros(1)
      >>> state = optax.tree.set(tx.init(params), count=jnp.array(1251 * 3))
      >>> updates, state = tx.update(jnp.array([1.0]), state, params)
      >>> round(float(updates[0]), 6)  # -0.064·3/5 / √1.001
      -0.038381

    Source:
      tensorflow/tpu: models/official/mnasnet/mnasnet_main.py (009812f), models/official/mnasnet/mnas_utils.py
      (242af17).
    """
    return _efficientnet(steps_per_epoch, weight_decay_mask, batch_size, batch_rule, learning_rate, usual=1024)


def _efficientnet(
    steps_per_epoch: float | None,
    weight_decay_mask: Mask,
    batch_size: float | None,
    batch_rule: BatchRule,
    learning_rate: ScalarOrSchedule | None,
    usual: int,
) -> optax.GradientTransformationExtraArgs:
    options = for_batch(batch_size, batch_rule, learning_rate, usual=usual, **_source(0.016 * usual / 256, 1e-3))
    peak = options["learning_rate"]

    def schedule(steps_per_epoch: float) -> optax.Schedule:
        return warm_up(0.0, peak, int(5 * steps_per_epoch), stairs(peak, 2.4 * steps_per_epoch, 0.97))

    chosen = rate(learning_rate, schedule, steps_per_epoch=steps_per_epoch)
    return _tf1(1e-5, weight_decay_mask, chosen, options)


@recipe("tf1", "lr 0.045 per 96 images, decay 0.9, momentum 0.9, epsilon 1, ×0.98 every 2.5 epochs, L2 4e-5")
def mobilenet_v2(
    steps_per_epoch: float | None = None,
    *,
    weight_decay_mask: Mask,
    batch_size: float | None = None,
    batch_rule: BatchRule = "linear",
    learning_rate: ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    """MobileNetV2 of TF-Slim on ImageNet: an epsilon of 1, the rate falls by 2 % every 2.5 epochs.

    The L2 penalty is on the kernels of convolutions that are not depthwise. The source also averages weights, with a
    decay of 0.9999.

    Args:
      batch_size: images per update, at least 1; 96 in the source, the batch of one device. The rate is 0.045 for 96.

    Example:
      mobilenet_v2(13345, weight_decay_mask=None) turns a first gradient of 1.0 into an update of -0.03182 = -0.045 /
      √2.

    Source:
      tensorflow/models: research/slim/nets/mobilenet/README.md (0ba83cf), research/slim/nets/mobilenet/mobilenet.py
      (02c04f4), research/slim/train_image_classifier.py (07ed366).
    """
    options = for_batch(batch_size, batch_rule, learning_rate, usual=96, **_source(0.045, 1.0))

    def schedule(steps_per_epoch: float) -> optax.Schedule:
        return stairs(options["learning_rate"], int(2.5 * steps_per_epoch), 0.98)

    chosen = rate(learning_rate, schedule, steps_per_epoch=steps_per_epoch)
    return _tf1(4e-5, weight_decay_mask, chosen, options)


@recipe("pytorch", "lr 0.064, decay 0.9, momentum 0.9, epsilon 0.0316, ×0.973 every 2 epochs, L2 1e-5")
def mobilenet_v3(
    steps_per_epoch: float | None = None, *, learning_rate: ScalarOrSchedule | None = None
) -> optax.GradientTransformationExtraArgs:
    """MobileNetV3 of torchvision on ImageNet: an epsilon of √0.001 beside the root, batches of 8 · 128 images.

    The rate falls by 2.7 % every 2 epochs; the L2 penalty is on every parameter.

    Example:
      mobilenet_v3(1252) turns a first gradient of 1.0 into an update of -0.183999 = -0.064 / (√0.1 + 0.0316).

    Source:
      pytorch/vision: references/classification/train.py (017e9b9), references/classification/README.md.
    """

    def schedule(steps_per_epoch: float) -> optax.Schedule:
        return stairs(0.064, 2 * steps_per_epoch, 0.973)

    return pytorch(
        rate(learning_rate, schedule, steps_per_epoch=steps_per_epoch),
        alpha=0.9,
        eps=0.0316,
        weight_decay=1e-5,
        momentum=0.9,
    )


@recipe("timm", f"{_EFFICIENTNET}, 3 epochs of warm-up from 1e-6")
def timm_efficientnet(
    steps_per_epoch: float | None = None,
    *,
    batch_size: float | None = None,
    batch_rule: BatchRule = "linear",
    warmup_epochs: int | None = None,
    learning_rate: ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    """EfficientNet of timm on ImageNet: the numbers of :func:`efficientnet`, but the rate changes between epochs only.

    The L2 penalty is on arrays of two dimensions or more. The source also averages weights, with a decay of 0.9999.
    For its MixNet-XL and MobileNetV3 the rate falls by 3.1 % and 2.7 % instead, for MobileNetV3 with noise.

    Args:
      batch_size: images per update, at least 1; 256 for B2, as here by default, 768 for B0, 1024 for ES. The rate is
        0.016 for 256.
      warmup_epochs: at least 1, and 3 by default. The source's commands do not set it; timm's default was 3 until
        October 2022 and is 5 since.

    Example:
      >>> import jax.numpy as jnp
      >>> tx, params = timm_efficientnet(5004), jnp.zeros(1)
      >>> updates, state = tx.update(jnp.array([1.0]), tx.init(params), params)
      >>> f"{updates[0]:.4g}"  # -0.000001 / √1.001
      '-9.995e-07'

    Source:
      huggingface/pytorch-image-models a6a5565: README.md, train.py, timm/optim/optim_factory.py,
      timm/scheduler/step_lr.py.
    """
    options = for_batch(batch_size, batch_rule, learning_rate, usual=256, **_source(0.016, 1e-3))
    peak = options["learning_rate"]

    def schedule(steps_per_epoch: float, warmup_epochs: int = 3) -> optax.Schedule:
        # 36 / 2.4 is less than 15 in float32; 5 · 36 / 12 is not.
        fall = stairs(peak, 12, 0.97)
        return by_epoch(warm_up(1e-6, peak, warmup_epochs, lambda epoch: fall(5 * epoch)), steps_per_epoch)

    chosen = rate(learning_rate, schedule, steps_per_epoch=steps_per_epoch, warmup_epochs=warmup_epochs)
    return chain(
        add_weight_decay(1e-5, mask=lambda params: jax.tree.map(lambda p: jnp.ndim(p) > 1, params)),
        timm(chosen, alpha=options["decay"], eps=options["eps"], momentum=options["momentum"]),
    )


@recipe(
    "tf1", "lr 0.165 per 256 images, decay 0.9, momentum 0.9, epsilon 1, ×0.94 every 3 epochs down to ×0.0001, L2 4e-5"
)
def inception_v3(
    steps_per_epoch: float | None = None,
    *,
    weight_decay_mask: Mask,
    batch_size: float | None = None,
    batch_rule: BatchRule = "linear",
    learning_rate: ScalarOrSchedule | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Inception v3 on ImageNet by TPU: an epsilon of 1, the rate falls by 6 % every 3 epochs to a ten-thousandth.

    The L2 penalty is on the kernels. The source also averages weights, with a decay of 0.995.

    Args:
      batch_size: images per update, at least 1; 1024 in the source. The rate is 0.165 for 256.

    Example:
      inception_v3(1251, weight_decay_mask=None) turns a first gradient of 1.0 into an update of -0.46669 = -0.66 /
      √2.

    Source:
      tensorflow/tpu 0193ce5: models/experimental/inception/inception_v3.py; L2: tensorflow/tensorflow 1ea933c:
      tensorflow/contrib/slim/python/slim/nets/inception_v3.py.
    """
    options = for_batch(batch_size, batch_rule, learning_rate, usual=1024, **_source(0.66, 1.0))
    peak = options["learning_rate"]

    def schedule(steps_per_epoch: float) -> optax.Schedule:
        return stairs(peak, 3 * steps_per_epoch, 0.94, end_value=1e-4 * peak)

    chosen = rate(learning_rate, schedule, steps_per_epoch=steps_per_epoch)
    return _tf1(4e-5, weight_decay_mask, chosen, options)


def _source(learning_rate: float, eps: float) -> dict[str, float]:
    """The numbers of a source; decay and momentum are 0.9 in all of them."""
    return {"learning_rate": learning_rate, "decay": 0.9, "eps": eps, "momentum": 0.9}


def _tf1(
    l2: float, mask: Mask, learning_rate: ScalarOrSchedule, options: dict[str, float]
) -> optax.GradientTransformationExtraArgs:
    decay, momentum, epsilon = (options[name] for name in ("decay", "momentum", "eps"))
    return chain(add_weight_decay(l2, mask=mask), tf1(learning_rate, decay=decay, momentum=momentum, epsilon=epsilon))
