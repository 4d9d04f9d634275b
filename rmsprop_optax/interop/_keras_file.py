"""Read and write Keras's files without Keras: ``.keras``, ``.weights.h5``, and ``.h5`` of a whole model.

Source: keras 3.15.1 (keras/src/saving/saving_lib.py, keras/src/legacy/saving/legacy_h5_format.py).
"""

import contextlib
import functools
import io
import json
import os
import re
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import jax.numpy as jnp
import numpy as np

from rmsprop_optax._paths import some
from rmsprop_optax.interop._keras_names import names
from rmsprop_optax.interop._shared import imported

_WEIGHTS = "model.weights.h5"


def load(path: str | os.PathLike[str], at: str = "optimizer") -> dict[str, Any]:
    """Read a Keras file without Keras, without the model's class, and without running code in the file.

    Args:
      path: a ``.keras`` or ``.weights.h5`` file, or the ``.h5`` file of a whole model, from Keras 3 or tf.keras.
      at: the optimizer's place in the file, such as ``"d_optimizer"``; the default is the optimizer of ``compile``.

    Returns:
      A dict with five entries. The last two are empty unless the file is a ``.keras`` file of a ``Sequential`` or
      functional model.

      - ``"optimizer"``: position (``"0"``, ``"1"``, …) → variable of the optimizer; in mixed precision, of the
        optimizer inside ``LossScaleOptimizer``.
      - ``"config"``: class and hyperparameters, as ``keras.optimizers.serialize`` returns them; ``None`` if the file
        has no config, such as a ``.weights.h5`` file.
      - ``"weights"``: path in the file → variable of the model.
      - ``"parameters"``: name, such as ``"conv/kernel"`` → path of a trained variable, in the optimizer's order.
      - ``"buffers"``: name → path of any other variable.

    Raises:
      ValueError: the file is truncated, has another format, holds no optimizer, or refers to other files.
      ImportError: ``h5py`` is not installed.

    Example:
      >>> file = load("run.keras")  # doctest: +SKIP
    """
    path = Path(path)
    with _opened(path, at) as (file, config, model):
        datasets = dict(_datasets(file, path))
        places = _places(file, path, datasets, at)
        named = names(model, _weights(datasets, at), functools.partial(_name_at, file))
        return {
            "optimizer": {position: _read(datasets[names[0]]) for position, names in places.items()},
            "config": config,
            "weights": {name: _read(datasets[name]) for name in _weights(datasets, at)},
            "parameters": {name: variable.path for name, variable in named.items() if variable.trained},
            "buffers": {name: variable.path for name, variable in named.items() if not variable.trained},
        }


def save(
    path: str | os.PathLike[str],
    checkpoint: Mapping[str, Any],
    like: str | os.PathLike[str],
    at: str = "optimizer",
    *,
    overwrite: bool = False,
) -> None:
    """Write a copy of a Keras file with new numbers.

    Args:
      path: the new file.
      checkpoint: the dict that :func:`load` returns for ``like``, with new arrays of the same shapes. ``config`` is not
        written.
      like: the file to copy; it does not change.
      at: the optimizer's place in the file; the default is the optimizer of ``compile``.
      overwrite: whether to replace a file at ``path``, which must not be ``like``.

    Raises:
      FileExistsError: ``path`` exists.
      ValueError: an array is missing, left over or of another shape, or ``like`` is truncated. Nothing is written.

    Example:
      >>> save("resumed.keras", write(file, slots, names), like="run.keras")  # doctest: +SKIP
    """
    path, like = Path(path), Path(like)
    if path.exists() and (not overwrite or path.samefile(like)):
        raise FileExistsError(f"{path} exists: choose another name, or pass overwrite=True if it is not {like}.")
    with _opened(like, at) as (file, *_):
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
        wrong += [f"{part} {key}, which the file lacks" for key in given if key not in known]
        values |= {name: given[key] for key, names in known.items() if key in given for name in names}
    sizes = [(name, np.shape(value), shapes[name]) for name, value in values.items()]
    wrong += [f"{name} with shape {size} for {shape}" for name, size, shape in sizes if size != shape]
    if wrong:
        raise ValueError(
            f"checkpoint must have the arrays of {like}, got {some(wrong)}: load the file, and replace arrays."
        )
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


def count_at(paths: Sequence[str]) -> int:
    """Return the position of the step counter, or -1.

    The counter of a LossScaleOptimizer precedes the counter of the optimizer inside, so the last counter is taken.
    """
    return max((i for i, path in enumerate(paths) if last_name(path) in ("iteration", "iter")), default=-1)


def last_name(path: str) -> str:
    """The last part of a variable's path, without TensorFlow's output number (``:0``)."""
    return path.rsplit("/", 1)[-1].split(":")[0]


class _Part(io.RawIOBase):
    """A range of a file as a seekable file, for a member that an archive stores uncompressed."""

    def __init__(self, file: io.BufferedReader, start: int, size: int):
        self._file, self._start, self._size, self._at = file, start, size, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._at)
        count = self._file.readinto(memoryview(buffer)[: max(self._size - self._at, 0)])
        self._at += count
        return count


@contextlib.contextmanager
def _opened(path: Path, at: str) -> Iterator[tuple[Any, Any, Any]]:
    """Open a Keras file: its HDF5 file, the optimizer's config and the model's config."""
    h5py = imported("h5py", path)
    with open(path, "rb") as raw:
        try:
            if _is_zip(path):
                with (
                    zipfile.ZipFile(raw) as archive,
                    _member(archive, raw) as part,
                    h5py.File(part, "r") as file,
                ):
                    model = _parsed(path, archive.read("config.json"))
                    yield file, _inside(model, "compile_config", at), model
            else:
                with h5py.File(raw, "r") as file:
                    training = _parsed(path, file.attrs.get("training_config", "{}"))
                    yield file, _inside(training, "optimizer_config"), None
        except Exception as error:  # a broken file can raise anything
            if str(path) in str(error):
                raise
            raise ValueError(
                f"{path} must be a whole .keras, .weights.h5 or .h5 file, got {type(error).__name__}: {error}. Copy it "
                "again if it is truncated; save a folder or a .weights.json of Keras as one file first."
            ) from error


def _is_zip(path: Path) -> bool:
    with open(path, "rb") as raw:
        return raw.read(2) == b"PK"


def _parsed(path: Path, text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the config in {path} must be JSON, got {error}: copy the file again.") from error


def _inside(found: Any, *keys: str) -> Any:
    """The value under nested keys, or ``None``."""
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


@contextlib.contextmanager
def _member(archive: zipfile.ZipFile, raw: io.BufferedReader) -> Iterator[IO[bytes] | _Part]:
    """The file of the weights in an archive, once its checksum is verified."""
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


def _datasets(group: Any, path: Path, at: str = "") -> Iterator[tuple[str, Any]]:
    """The numeric arrays of an HDF5 file, by path; raise if an array lies outside the file."""
    h5py = imported("h5py", path)
    for key in group:
        name = f"{at}{key}"
        child = group[key] if isinstance(group.get(key, getlink=True), h5py.HardLink) else None
        if isinstance(child, h5py.Group):
            yield from _datasets(child, path, f"{name}/")
            continue
        if not isinstance(child, h5py.Dataset) or child.external or child.is_virtual:
            raise ValueError(f"{path} must contain all of its arrays, got a link at {name}: Keras writes no links.")
        stored = child.id.get_storage_size()
        if child.nbytes > 1000 * stored + (1 << 20):
            raise ValueError(
                f"{path} must contain all of its arrays, got {stored} bytes for an array of {child.nbytes} bytes at "
                f"{name}: Keras writes no such array."
            )
        if child.dtype.kind in "biufc" or child.dtype == "V2":
            yield name, child


def _places(file: Any, path: Path, datasets: Mapping[str, Any], at: str) -> dict[str, list[str]]:
    """Position → paths in the file, of each variable of the optimizer.

    LossScaleOptimizer stores each variable of the optimizer inside twice.
    """
    if "optimizer_weights" in file:
        attributes = file["optimizer_weights"].attrs
        parts = ["weight_names", *(f"weight_names{i}" for i in range(len(attributes)))]  # HDF5 limits their size
        listed = [name for part in parts if part in attributes for name in attributes[part]]
        found = [name.decode() if isinstance(name, bytes) else str(name) for name in listed]
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
            f"{path} must hold the variables of an optimizer at {at}, got {f'no {some(lost)}' if lost else 'none'} "
            f"(other optimizers: {some(sorted(others - {at})) or 'none'}): pass its place as at=…, or compile and "
            "train the model before saving. tf.keras saves a legacy optimizer only in .h5 files and in checkpoints."
        )
    return dict(sorted(places.items(), key=lambda place: int(place[0])))


def _name_at(file: Any, group: str) -> str | None:
    """The name of the layer at a path; ``None`` for a list of layers."""
    own = file.get(f"{group}/vars")
    return None if own is None else str(own.attrs.get("name", group.rpartition("/")[2]))


def _weights(datasets: Mapping[str, Any], at: str) -> list[str]:
    """The paths of the model's variables."""
    return [name for name in datasets if not name.startswith((f"{at}/", "optimizer_weights/", "metrics/"))]


def _read(dataset: Any) -> np.ndarray:
    """An array of a file. Keras stores bfloat16 as the opaque type V2 of two bytes."""
    array: np.ndarray = dataset[...]
    return array.view(jnp.bfloat16) if array.dtype == "V2" else array


def _fill(path: Path, values: Mapping[str, Any]) -> None:
    """Write arrays into an HDF5 file, by path."""
    with imported("h5py", path).File(path, "r+") as file:
        for name, value in values.items():
            value = np.asarray(value)
            file[name][...] = value.astype(jnp.bfloat16).view("V2") if file[name].dtype == "V2" else value
