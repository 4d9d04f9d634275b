"""Two small networks: one for images, one for rows of numbers."""

from collections.abc import Sequence

import jax
from flax import nnx


class ConvNet(nnx.Module):
    """Images float32[n, height, width, channels] → logits float32[n, classes].

    Two convolutions and two dense layers, 13,706 parameters for the digits.
    """

    def __init__(self, shape: Sequence[int] = (8, 8, 1), classes: int = 10, *, rngs: nnx.Rngs):
        height, width, channels = shape
        self.conv1 = nnx.Conv(channels, 16, kernel_size=(3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, kernel_size=(3, 3), rngs=rngs)
        self.hidden = nnx.Linear(-(-height // 4) * -(-width // 4) * 32, 64, rngs=rngs)
        self.logits = nnx.Linear(64, classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = nnx.max_pool(nnx.relu(self.conv1(images)), window_shape=(2, 2), strides=(2, 2), padding="SAME")
        x = nnx.max_pool(nnx.relu(self.conv2(x)), window_shape=(2, 2), strides=(2, 2), padding="SAME")
        x = nnx.relu(self.hidden(x.reshape(len(x), -1)))
        return self.logits(x)


class DenseNet(nnx.Module):
    """Rows float32[n, features] → logits float32[n, classes], through two hidden layers of 64 units."""

    def __init__(self, shape: Sequence[int], classes: int, *, rngs: nnx.Rngs):
        (features,) = shape
        self.hidden1 = nnx.Linear(features, 64, rngs=rngs)
        self.hidden2 = nnx.Linear(64, 64, rngs=rngs)
        self.logits = nnx.Linear(64, classes, rngs=rngs)

    def __call__(self, rows: jax.Array) -> jax.Array:
        return self.logits(nnx.relu(self.hidden2(nnx.relu(self.hidden1(rows)))))


def network(shape: Sequence[int], classes: int, *, rngs: nnx.Rngs) -> nnx.Module:
    """Return the network for examples of a shape: three dimensions are an image, one is a row of numbers."""
    return (ConvNet if len(shape) == 3 else DenseNet)(shape, classes, rngs=rngs)
