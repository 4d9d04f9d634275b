"""Scikit-learn's handwritten digits: 1797 grey images of 8 by 8 pixels. They come with scikit-learn; no download."""

from collections.abc import Sequence
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


def digits(held_out: Sequence[float] = (0.2,), *, standardise: bool = True) -> tuple[Split, ...]:
    """Return a training set and held-out sets, the same images in every run.

    Every set has the same share of each digit.

    Args:
      held_out: one fraction for each held-out set, the last set first: ``(0.25, 0.2)`` holds out a quarter of all
        images, then a fifth of the remaining ones. The default holds out 360 images and leaves 1437 to train.
      standardise: subtract the training set's mean and divide by its standard deviation, one number each for all
        pixels, because some pixels are 0 in every image. Otherwise pixels are in [0, 1].

    Returns:
      The training set first, then the held-out sets: ``train, test`` for the default, ``train, validation, test`` for
      two fractions.
    """
    pixels, labels = load_digits(return_X_y=True)
    images, labels = (pixels / 16).astype(np.float32).reshape(-1, 8, 8, 1), labels.astype(np.int32)
    sets: list[tuple[np.ndarray, np.ndarray]] = []
    for fraction in held_out:
        images, held_images, labels, held_labels = train_test_split(
            images, labels, test_size=fraction, stratify=labels, random_state=0
        )
        sets.insert(0, (held_images, held_labels))
    mean, deviation = (images.mean(), images.std()) if standardise else (np.float32(0), np.float32(1))
    return tuple(Split(jnp.asarray((x - mean) / deviation), jnp.asarray(y)) for x, y in [(images, labels), *sets])
