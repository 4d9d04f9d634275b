"""Scikit-learn's handwritten digits: 1797 grey images of 8 by 8 pixels, part of the package, nothing to download."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class Split(NamedTuple):
    """Images with their labels.

    Attributes:
      images: float32[n, 8, 8, 1].
      labels: int32[n], 0 to 9.
    """

    images: jax.Array
    labels: jax.Array


def digits() -> tuple[Split, Split]:
    """The training set of 1437 images and the test set of 360, the same ones in every run.

    Each digit has the same share in both. Both are standardised with the training set's mean and deviation: one pair of
    numbers for all pixels, for some are blank in every image and have no deviation of their own.
    """
    pixels, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        pixels.reshape(-1, 8, 8, 1).astype(np.float32),
        labels.astype(np.int32),
        test_size=0.2,
        stratify=labels,
        random_state=0,
    )
    mean, deviation = train_x.mean(), train_x.std()
    train = Split(jnp.asarray((train_x - mean) / deviation), jnp.asarray(train_y))
    test = Split(jnp.asarray((test_x - mean) / deviation), jnp.asarray(test_y))
    return train, test
