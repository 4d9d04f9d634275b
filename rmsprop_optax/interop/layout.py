"""Convert between named arrays and parameter trees, both ways.

Your function that converts weights, ``{name: array} → tree``, also converts slots, because a slot has the shape of its
weight. The function only moves entries, so this module can invert it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from rmsprop_optax._paths import name_of, named, some
from rmsprop_optax._types import Tree

Convert = Callable[[dict[str, Any]], Tree]
Names = Iterable[str] | Mapping[str, npt.ArrayLike]
Shapes = Mapping[str, tuple[int, ...]]


def forward(arrays: Mapping[str, npt.ArrayLike], convert: Convert) -> Tree:
    """The tree that ``convert`` makes of a slot's arrays.

    Raises:
      ValueError: ``convert`` needs other arrays, leaves an array out, or uses an array twice.
    """
    _check({name: np.shape(array) for name, array in arrays.items()}, convert)
    return _call(convert, dict(arrays))


def backward(tree: Tree, shapes: Shapes, convert: Convert) -> dict[str, np.ndarray]:
    """The named arrays that ``convert`` turns into ``tree``.

    If ``convert`` returns views, the tree is written through the views; otherwise the entries are numbered.

    Raises:
      ValueError: ``convert`` does more than move entries, or returns a tree of other leaves or shapes.
    """
    values = named(tree)
    _check(shapes, convert)
    dtype = np.result_type(*(v.dtype for v in values.values()))
    arrays = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
    views = named(_call(convert, dict(arrays)))
    if not all(_root(view) in map(id, arrays.values()) for view in views.values()):
        return _numbered(values, shapes, convert, dtype)
    _compare({name: view.shape for name, view in views.items()}, values)
    for view in views.values():
        view += 1
    if any((uses != 1).any() for uses in arrays.values()):
        raise _moves_only("entries that were used twice, and others left out")
    for name, view in views.items():
        view[...] = values[name]
    return arrays


def _root(view: Any) -> int:
    """The id of the array that owns the memory of a view."""
    while isinstance(view, np.ndarray) and view.base is not None:
        view = view.base
    return id(view)


def _compare(made: Shapes, values: Mapping[str, Any]) -> None:
    missing, over = (some([n for n in a if n not in b]) for a, b in ((made, values), (values, made)))
    if missing or over:
        raise ValueError(
            "convert must return the leaves of the slots, got "
            + (f"{missing}, which the slots lack" if missing else f"no {over}")
            + ": pass the function that made the parameters."
        )
    for name, shape in made.items():
        if shape != np.shape(values[name]):
            raise ValueError(
                f"convert must return the shapes of the slots, got {shape} for {np.shape(values[name])} at {name}: "
                "pass the function that made the parameters."
            )


def _numbered(values: Mapping[str, Any], shapes: Shapes, convert: Convert, dtype: Any) -> dict[str, np.ndarray]:
    """:func:`backward` for a ``convert`` that copies: numbered entries show where each entry goes."""
    sizes = {name: int(np.prod(shape, dtype=np.int64)) for name, shape in shapes.items()}
    total = sum(sizes.values())
    ends = np.cumsum([0, *sizes.values()])
    numbers = np.arange(total, dtype=np.int32 if total < 2**31 else np.int64)
    parts = {name: numbers[a:b].reshape(shapes[name]) for name, a, b in zip(sizes, ends, ends[1:], strict=False)}
    moved = named(_call(convert, parts))
    _compare({name: np.shape(place) for name, place in moved.items()}, values)
    flat, seen = np.empty(total, dtype), np.zeros(total, bool)
    for name, place in moved.items():
        place, value = np.asarray(place), values[name]
        if place.dtype.kind not in "iu" or (place < 0).any() or (place >= total).any() or seen[place].any():
            raise _moves_only("entries that were changed or used twice")
        flat[place], seen[place] = np.asarray(value), True
    if not seen.all():
        raise _moves_only(f"{total - int(seen.sum())} entries left out")
    return {name: flat[a:b].reshape(shapes[name]) for name, a, b in zip(sizes, ends, ends[1:], strict=False)}


def labelled(labels: Mapping[str, Any], shapes: Shapes, convert: Convert) -> Tree:
    """The tree of labels that ``optax.partition`` takes, from one label for each name.

    Raises:
      ValueError: ``convert`` joins arrays of different labels in one leaf.
    """
    kinds = list(dict.fromkeys(labels.values()))
    marks = {n: np.broadcast_to(np.int32(kinds.index(label)), shapes[n]) for n, label in labels.items()}

    def one(path: tuple[Any, ...], leaf: Any) -> Any:
        found = [kinds[i] for i in _counts(leaf)]
        if len(found) > 1:
            raise ValueError(
                f"{jax.tree_util.keystr(path)} must come from one parameter group, got {found}: a leaf has one set of "
                "hyperparameters."
            )
        return found[0]

    return jax.tree.map_with_path(one, _call(convert, marks))


def names_of(given: Iterable[str]) -> list[str]:
    """The names as a list.

    Raises:
      ValueError: two parameters have the same name, or a name is no text.
    """
    names = list(given)
    if isinstance(given, str) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"names must be a list or a mapping of texts, got {given!r:.80}: put a single name in a list.")
    twice = [n for n in dict.fromkeys(names) if names.count(n) > 1] if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(f"each parameter must have a name of its own, got {some(twice)} more than once.")
    return names


_DRAWS = (-1e30, 1e-30)


def _check(shapes: Shapes, convert: Convert) -> None:
    """Raise unless ``convert`` puts each entry in one place.

    Each array is one mark, broadcast without memory: an odd float32, which a shorter dtype or an integer cannot hold.
    Marks of two sizes and signs show changes of large or small, negative or positive numbers.
    """
    for draw in _DRAWS:
        bits = np.float32(draw).view(np.uint32) | np.uint32(1)
        marks = {name: (bits + np.uint32(2 * i)).view(np.float32) for i, name in enumerate(shapes)}
        labels = {float(mark): name for name, mark in marks.items()}
        with np.errstate(all="ignore"):
            marked = _call(convert, {name: np.broadcast_to(mark, shapes[name]) for name, mark in marks.items()})
        sizes = dict.fromkeys(labels, 0)
        for path, leaf in jax.tree.leaves_with_path(marked):
            for mark, count in _counts(leaf).items():
                if mark not in sizes:
                    raise _moves_only(f"changed numbers in {name_of(path)}")
                sizes[mark] += count
        wrong = [labels[m] for m, size in sizes.items() if size != np.prod(shapes[labels[m]], dtype=np.int64)]
        if wrong:
            raise ValueError(
                "convert must put each entry in one place, got no place or several for "
                f"{some(wrong)}: use each array once."
            )


def _counts(marks: Any) -> dict[Any, int]:
    """Mark → number of entries with it. Most leaves have one mark, a broadcast number: no sorting."""
    marks = np.asarray(marks)
    if marks.size and marks.min() == marks.max():
        return {marks.min().item(): marks.size}
    return dict(zip(*(x.tolist() for x in np.unique(marks, return_counts=True)), strict=True))


def _call(convert: Convert, arrays: dict[str, Any]) -> Tree:
    if not callable(convert):
        raise TypeError(f"convert must be a function from {{name: array}} to a tree, got {convert!r:.80}: write one.")
    try:
        return convert(arrays)
    except KeyError as error:
        raise ValueError(
            f"convert must work with the optimizer's parameters alone ({some(list(arrays))}), got a KeyError of "
            f"{error}: buffers, such as running means, have no slot."
        ) from error
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"convert must work with NumPy arrays in the shapes of the parameters, got {type(error).__name__}: {error}"
        ) from error


def _moves_only(got: str) -> ValueError:
    return ValueError(
        f"convert must only move entries, got {got}: transpose, reshape, split and concatenate with NumPy or JAX, keep "
        "the dtype, and do no arithmetic."
    )
