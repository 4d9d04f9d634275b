"""Files of Keras: ``.keras``, ``.weights.h5`` and whole models' ``.h5``, read and written without Keras."""

import contextlib
import importlib
import io
import json
import os
import re
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from rmsprop_optax.interop.slots import some

_WEIGHTS = "model.weights.h5"


def load(path: str | os.PathLike, at: str = "optimizer") -> dict[str, Any]:
    """What a file of Keras holds, read without Keras and without the model's class; no code in it is run.

    Args:
      path: a ``.keras`` or ``.weights.h5`` file, or a whole model's ``.h5`` file, of Keras 3 or of tf.keras.
      at: which optimizer, where a model has others than the one of ``compile``, as ``"d_optimizer"``.

    Returns:
      ``{"optimizer": {"0": …, "1": …}, "config": …, "weights": {path: …}}``: the optimizer's variables by position; its
      class and hyperparameters as ``keras.optimizers.serialize`` has them, ``None`` where the file has none, as a
      ``.weights.h5`` file; the model's variables by their paths in the file. In mixed precision the optimizer is the
      one inside the ``LossScaleOptimizer``.

    Raises:
      ValueError: the file is truncated, is none of them, holds no optimizer, or refers to other files.
      ImportError: ``h5py`` is not installed.

    Example:
      >>> file = load("run.keras")  # doctest: +SKIP

    Source:
      keras-team/keras 3.15.1: keras/src/saving/saving_lib.py, keras/src/legacy/saving/legacy_h5_format.py.
    """
    path = Path(path)
    with _opened(path, at) as (file, config):
        datasets = dict(_datasets(file, path))
        places = _places(file, path, datasets, at)
        return {
            "optimizer": {position: _read(datasets[names[0]]) for position, names in places.items()},
            "config": config,
            "weights": {name: _read(datasets[name]) for name in _weights(datasets, at)},
        }


def save(
    path: str | os.PathLike,
    checkpoint: Mapping[str, Any],
    like: str | os.PathLike,
    at: str = "optimizer",
    *,
    overwrite: bool = False,
) -> None:
    """Write a copy of a file of Keras with other numbers in it.

    Args:
      path: the new file.
      checkpoint: as :func:`load` gave it for ``like``, with arrays of the same shapes; ``config`` is not written.
      like: the old file, which stays as it is.
      at: as for :func:`load`.
      overwrite: whether ``path`` may be there already; it must not be ``like``.

    Raises:
      FileExistsError: there is a file at ``path``.
      ValueError: an array is missing, left over or of another shape, or the old file is not whole. Nothing is written.

    Example:
      >>> save("resumed.keras", write(file, slots, names), like="run.keras")  # doctest: +SKIP

    Source:
      keras-team/keras 3.15.1: keras/src/saving/saving_lib.py.
    """
    path, like = Path(path), Path(like)
    if path.exists() and (not overwrite or path.samefile(like)):
        raise FileExistsError(f"{path} is there already: choose another name, or overwrite=True if it is not {like}.")
    with _opened(like, at) as (file, _):
        datasets = dict(_datasets(file, like))
        shapes = {name: dataset.shape for name, dataset in datasets.items()}
        places = {
            "optimizer": _places(file, like, datasets, at),
            "weights": {name: [name] for name in _weights(datasets, at)},
        }
    wrong: list[str] = []
    values: dict[str, Any] = {}
    for part, known in places.items():
        given = checkpoint[part]
        wrong += [f"no {part} {key}" for key in known if key not in given]
        wrong += [f"{part} {key}, for which there is no place" for key in given if key not in known]
        values |= {name: given[key] for key, names in known.items() if key in given for name in names}
    sizes = [(name, np.shape(value), shapes[name]) for name, value in values.items()]
    wrong += [f"{name} with shape {size} for {shape}" for name, size, shape in sizes if size != shape]
    if wrong:
        raise ValueError(f"the arrays must be those of {like}, got {some(wrong)}: load it, and replace arrays.")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        weights, whole = Path(folder, _WEIGHTS), Path(folder, "whole")
        if _is_zip(like):
            with zipfile.ZipFile(like) as old, zipfile.ZipFile(whole, "w") as new:
                with old.open(_WEIGHTS) as source, open(weights, "wb") as copy:
                    shutil.copyfileobj(source, copy)
                _fill(weights, values)
                for info in old.infolist():
                    if info.filename == _WEIGHTS:
                        new.write(weights, _WEIGHTS, info.compress_type)
                    else:
                        new.writestr(info, old.read(info))
        else:
            shutil.copyfile(like, whole)
            _fill(whole, values)
        os.replace(whole, path)


def count_at(paths: list[str]) -> int:
    """Where the steps are counted: a LossScaleOptimizer has a count, too, before that of the optimizer inside."""
    return max((i for i, path in enumerate(paths) if last_name(path) in ("iteration", "iter")), default=-1)


def last_name(path: str) -> str:
    return path.rsplit("/", 1)[-1].split(":")[0]


class _Part(io.RawIOBase):
    """A range of a file as a file: what is stored in an archive can be read in any order."""

    def __init__(self, file: Any, start: int, size: int):
        self._file, self._start, self._size, self._at = file, start, size, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._at)
        count = self._file.readinto(memoryview(buffer)[: max(self._size - self._at, 0)])
        self._at += count
        return count


_BROKEN = (OSError, EOFError, KeyError, RuntimeError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error)


@contextlib.contextmanager
def _opened(path: Path, at: str) -> Iterator[tuple[Any, Any]]:
    """The HDF5 file in a file of Keras, and the optimizer's config."""
    h5py = _h5py(path)
    with open(path, "rb") as raw:
        try:
            if _is_zip(path):
                with (
                    zipfile.ZipFile(raw) as archive,
                    _member(archive, raw) as part,
                    h5py.File(part, "r") as file,
                ):
                    yield file, _inside(path, archive.read("config.json"), "compile_config", at)
            else:
                with h5py.File(raw, "r") as file:
                    yield file, _inside(path, file.attrs.get("training_config", "{}"), "optimizer_config")
        except _BROKEN as error:
            raise ValueError(
                f"{path} must be a whole .keras, .weights.h5 or .h5 file, got {type(error).__name__}: {error}. Copy it "
                "again if it was truncated; a folder or a .weights.json of Keras must be saved as one file first."
            ) from error


def _is_zip(path: Path) -> bool:
    with open(path, "rb") as raw:
        return raw.read(2) == b"PK"


def _inside(path: Path, text: Any, *keys: str) -> Any:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} must have its config in JSON, got {error}: copy it again.") from error
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


@contextlib.contextmanager
def _member(archive: zipfile.ZipFile, raw: Any) -> Iterator[Any]:
    """The weights in an archive, after their checksum was compared."""
    info = archive.getinfo(_WEIGHTS)
    with archive.open(info) as member:
        if info.compress_type != zipfile.ZIP_STORED:
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(member, copy)
                yield copy
                return
        while member.read(1 << 20):
            pass
    raw.seek(info.header_offset)
    name, extra = struct.unpack("<26x2H", raw.read(30))
    yield _Part(raw, info.header_offset + 30 + name + extra, info.file_size)


def _h5py(path: Any) -> Any:
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise ImportError(f"{path} needs the package h5py, which is not installed: pip install h5py.") from error


def _datasets(group: Any, path: Path, at: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays of numbers in an HDF5 file, which all must be in it."""
    h5py = _h5py(path)
    for key in group:
        name = f"{at}{key}"
        child = group[key] if isinstance(group.get(key, getlink=True), h5py.HardLink) else None
        if isinstance(child, h5py.Group):
            yield from _datasets(child, path, f"{name}/")
            continue
        if not isinstance(child, h5py.Dataset) or child.external or child.is_virtual:
            raise ValueError(f"{path} must hold all its arrays itself, got a link at {name}: it is not Keras's.")
        if child.nbytes > 1000 * child.id.get_storage_size() + (1 << 20):
            raise ValueError(f"{path} must hold what it says, got next to nothing for {child.nbytes} bytes at {name}.")
        if child.dtype.kind in "biufc" or child.dtype == "V2":
            yield name, child


def _places(file: Any, path: Path, datasets: Mapping[str, Any], at: str) -> dict[str, list[str]]:
    """Where each of the optimizer's variables stands in a file; there are two places in a LossScaleOptimizer."""
    if "optimizer_weights" in file:
        attributes = file["optimizer_weights"].attrs
        parts = ["weight_names", *(f"weight_names{i}" for i in range(len(attributes)))]  # long lists are divided
        names = [name for part in parts if part in attributes for name in attributes[part]]
        found = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
        places = {str(i): [f"optimizer_weights/{name}"] for i, name in enumerate(found[max(count_at(found), 0) :])}
    else:
        outer, inner = (
            {name.rpartition("/")[2] for name in datasets if name.rpartition("/")[0] == group}
            for group in (f"{at}/vars", f"{at}/inner_optimizer/vars")
        )
        shift = len(outer) - len(inner)
        places = {key: [f"{at}/vars/{key}"] for key in outer}
        if inner:
            places = {key: [f"{at}/inner_optimizer/vars/{key}", f"{at}/vars/{int(key) + shift}"] for key in inner}
    lost = [name for names in places.values() for name in names if name not in datasets]
    if lost or not places:
        others = {name.partition("/vars/")[0] for name in datasets if re.search("optimizer[^/]*/vars/", name)}
        raise ValueError(
            f"{path} must hold the variables of an optimizer at {at}, got {f'no {some(lost)}' if lost else 'none'}, and"
            f" {some(sorted(others - {at})) or 'no others'}: give its place, or compile the model and train it before "
            "saving. A legacy optimizer of tf.keras is kept in .h5 files and in checkpoints alone."
        )
    return dict(sorted(places.items(), key=lambda place: int(place[0])))


def _weights(datasets: Mapping[str, Any], at: str) -> list[str]:
    return [name for name in datasets if not name.startswith((f"{at}/", "optimizer_weights/", "metrics/"))]


def _read(dataset: Any) -> np.ndarray:
    """An array of a file, of which Keras keeps bfloat16 as two bytes without meaning."""
    array = dataset[...]
    return array.view(jnp.bfloat16) if array.dtype == "V2" else array


def _fill(path: Path, values: Mapping[str, Any]) -> None:
    with _h5py(path).File(path, "r+") as file:
        for name, value in values.items():
            value = np.asarray(value)
            file[name][...] = value.astype(jnp.bfloat16).view("V2") if file[name].dtype == "V2" else value
