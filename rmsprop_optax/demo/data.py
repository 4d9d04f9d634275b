"""Examples to learn: scikit-learn's handwritten digits, which need no download, or a file of the user."""

import csv
import math
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class Split(NamedTuple):
    """Examples with their labels.

    Attributes:
      images: float32[n, height, width, channels]; or float32[n, features], for rows of numbers.
      labels: int32[n], from 0.
    """

    images: jax.Array
    labels: jax.Array


def digits(held_out: Sequence[float] = (0.2,), *, standardise: bool = True) -> tuple[Split, ...]:
    """Return a training set and held-out sets of 1797 grey images of 8 by 8 pixels, the same images in every run.

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


def read(path: str | os.PathLike[str]) -> tuple[Split, Split]:
    """Return a training set and a test set from a file, the same ones in every run.

    The test set is a fifth of the examples, and has each class in the same share. Images are standardised with one
    mean and one deviation of the training set, rows of numbers with one for each column.

    Args:
      path: ``.npz`` with the arrays ``x``, numbers [n, features], [n, height, width] or [n, height, width, channels],
        and ``y``, the class of each example [n]. Or ``.csv``: an example in each line, numbers separated by commas and
        the class in the last column; a first line without a number names the columns. A class is an integer or text.

    Raises:
      OSError: there is no such file.
      ValueError: the file holds something else; the message says what must hold.
    """
    read_file = {".npz": _read_npz, ".csv": _read_csv}.get(Path(path).suffix.lower())
    if read_file is None:
        raise ValueError("the name must end in .npz (arrays x and y) or .csv (the class in the last column).")
    x, y = read_file(Path(path))
    x, labels = _examples(x), _labels(y)
    if len(x) != len(labels):
        raise ValueError(f"x and y must have the same length, got {len(x)} and {len(labels)}.")
    test_size = max(len(x) // 5, 1 + labels.max())
    train, test = train_test_split(np.arange(len(x)), test_size=test_size, stratify=labels, random_state=0)
    axis = 0 if x.ndim == 2 else None
    mean, deviation = x[train].mean(axis), x[train].std(axis)
    x = (x - mean) / np.where(deviation > 0, deviation, 1)
    splits = [Split(jnp.asarray(x[part], jnp.float32), jnp.asarray(labels[part])) for part in (train, test)]
    return splits[0], splits[1]


def _read_npz(path: Path) -> tuple[Any, Any]:
    save = "np.savez(path, x=examples, y=classes)"
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            missing, got = sorted({"x", "y"} - set(file.files)), ", ".join(file.files) or "none"
            if not missing:
                return file["x"], file["y"]
    # NumPy and zipfile have no error of their own for a damaged file.
    except (zipfile.BadZipFile, zlib.error, RuntimeError, AttributeError, EOFError, TypeError, ValueError) as error:
        if "Object arrays" in str(error):
            must = "x must be numbers and y whole numbers or text, got Python objects"
            raise ValueError(f"{must}; save x.astype(float) and y.astype(str).") from error
        raise ValueError(f"the file is damaged, or no .npz file; write it anew: {save}.") from error
    raise ValueError(f"there is no array {' and '.join(missing)}, got {got}; the file must hold x and y: {save}.")


def _read_csv(path: Path) -> tuple[Any, Any]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            lines = [(reader.line_num, row) for row in reader if row]
        except csv.Error as error:
            raise ValueError(f"this is no .csv file, line {reader.line_num}: {error}.") from error
    # A first line with any number is an example; its other cells are checked below.
    if lines and (names := lines[0][1][:-1]) and not any(map(_is_number, names)):
        del lines[0]
    if not lines:
        raise ValueError("the file must have an example in each line, got none.")
    columns = len(lines[0][1])
    for number, row in lines:
        if len(row) != columns or columns < 2:
            got = f"{len(row)} in line {number}"
            raise ValueError(f"all lines must have the same number of columns between commas, 2 or more, got {got}.")
        if wrong := [cell for cell in row[:-1] if not _is_number(cell) or not math.isfinite(float(cell))]:
            raise ValueError(f"all columns but the last must be finite numbers, got {wrong[0]!r} in line {number}.")
        if not row[-1].strip():
            raise ValueError(f"the last column must be the class of each example, got '' in line {number}.")
    y = [row[-1].strip() for _, row in lines]
    return np.array([row[:-1] for _, row in lines], float), np.array(y, float) if all(map(_is_number, y)) else y


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _examples(given: Any) -> np.ndarray:
    """Check ``x`` and return it as float64 [n, features] or [n, height, width, channels]."""
    x: np.ndarray = np.asarray(given)
    if x.dtype.kind not in "biuf" or x.ndim not in (2, 3, 4) or not x.size:
        raise ValueError(
            "x must be real numbers [n, features], [n, height, width] or [n, height, width, channels], got "
            f"{x.dtype}{list(x.shape)}."
        )
    wrong = ~np.isfinite(x).all(tuple(range(1, x.ndim)))
    if wrong.any():
        raise ValueError(f"x must be finite, got NaN or an infinite number in example {wrong.argmax()}.")
    return (x[..., None] if x.ndim == 3 else x).astype(float)


def _labels(given: Any) -> np.ndarray:
    """Check ``y`` and return its classes as int32 [n], numbered from 0 in their order."""
    y: np.ndarray = np.asarray(given)
    must = "y (the last column of a .csv) must be the class of each example [n], whole numbers or text"
    if y.ndim != 1 or y.dtype.kind not in "biufU":
        raise ValueError(f"{must}, got {y.dtype}{list(y.shape)}.")
    if y.dtype.kind == "f" and (y % 1 != 0).any():
        raise ValueError(f"{must}, got {y[(y % 1 != 0).argmax()]}; regression is not supported.")
    classes, labels, counts = np.unique(y, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"{must}, 2 classes or more, got only {', '.join(map(str, classes)) or 'none'}.")
    if counts.min() < 2:
        raise ValueError(f"{must}, 2 examples or more of each class, got 1 of {classes[counts.argmin()]}.")
    return labels.astype(np.int32)
