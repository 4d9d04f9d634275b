"""The way between a framework's parameters, arrays with names, and a tree of them here.

The user has a function for it already, the one that converts the weights: ``{name: array} → tree``. Slots have the
weights' shapes, so it converts them too; and since it only moves entries, it can be followed backwards.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from rmsprop_optax.interop.slots import named, some

Convert = Callable[[dict[str, Any]], Any]


def forward(arrays: Mapping[str, Any], convert: Convert) -> Any:
    """The tree of a slot, of which every entry of every array has its place.

    Raises:
      ValueError: ``convert`` fails without the other weights, leaves arrays out, or uses one twice.
    """
    _check(_shapes(arrays), convert)
    return _call(convert, dict(arrays))


def backward(tree: Any, shapes: Mapping[str, tuple[int, ...]], convert: Convert) -> dict[str, np.ndarray]:
    """The arrays that ``convert`` makes ``tree`` of: where it makes views, the tree is written through them.

    Raises:
      ValueError: ``convert`` does more than to move entries, or makes a tree of other leaves or shapes.
    """
    values = named(tree)
    dtype = np.result_type(*(v.dtype for v in values.values()))
    arrays = {name: np.empty(shape, dtype) for name, shape in shapes.items()}
    views = named(_call(convert, dict(arrays)))
    if not all(_root(view) in map(id, arrays.values()) for view in views.values()):
        return _backward(values, shapes, convert, dtype)
    _check(shapes, convert)
    _compare({name: view.shape for name, view in views.items()}, values)
    for name, view in views.items():
        view[...] = values[name]
    return arrays


def _root(view: Any) -> int:
    """Whose memory it is."""
    while isinstance(view, np.ndarray) and view.base is not None:
        view = view.base
    return id(view)


def _compare(made: Mapping[str, tuple[int, ...]], values: Mapping[str, Any]) -> None:
    missing, over = (some([n for n in a if n not in b]) for a, b in ((made, values), (values, made)))
    if missing or over:
        raise ValueError(
            "convert must make a tree with the leaves of the slots, got "
            + (f"{missing}, which these lack" if missing else f"none of {over}")
            + ": pass the function that made the parameters."
        )
    for name, shape in made.items():
        if shape != np.shape(values[name]):
            raise ValueError(
                f"convert must make the tree that goes back, got {shape} for {np.shape(values[name])} at {name}."
            )


def _backward(values: Mapping[str, Any], shapes: Mapping[str, tuple], convert: Convert, dtype: Any) -> dict[str, Any]:
    """By numbering all entries, whatever ``convert`` does to them."""
    sizes = {name: int(np.prod(shape, dtype=np.int64)) for name, shape in shapes.items()}
    total = sum(sizes.values())
    ends = np.cumsum([0, *sizes.values()])
    places = np.arange(total, dtype=np.int32 if total < 2**31 else np.int64)
    parts = {name: places[a:b].reshape(shapes[name]) for name, a, b in zip(sizes, ends, ends[1:], strict=False)}
    whither = named(_call(convert, parts))
    _compare({name: np.shape(place) for name, place in whither.items()}, values)
    flat, seen = np.empty(total, dtype), np.zeros(total, bool)
    for name, place in whither.items():
        place, value = np.asarray(place), values[name]
        if place.dtype.kind not in "iu" or (place < 0).any() or (place >= total).any() or seen[place].any():
            raise _moves_only("others")
        flat[place], seen[place] = np.asarray(value), True
    if not seen.all():
        raise _moves_only(f"{total - int(seen.sum())} entries left out")
    return {name: flat[a:b].reshape(shapes[name]) for name, a, b in zip(sizes, ends, ends[1:], strict=False)}


def labelled(labels: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], convert: Convert) -> Any:
    """A tree of labels, as ``optax.partition`` takes it, of a label for each name.

    Raises:
      ValueError: ``convert`` joins arrays of different labels in one leaf.
    """
    kinds = list(dict.fromkeys(labels.values()))
    marks = {n: np.broadcast_to(np.int32(kinds.index(label)), shapes[n]) for n, label in labels.items()}

    def one(path, leaf):
        found = [kinds[i] for i in _counts(leaf)]
        if len(found) > 1:
            raise ValueError(
                f"{jax.tree_util.keystr(path)} must come from one parameter group, got {found}: hyperparameters are "
                "those of a leaf."
            )
        return found[0]

    return jax.tree.map_with_path(one, _call(convert, marks))


def names_of(names: Iterable[str]) -> list[str]:
    """The names as a list, of which no two are the same.

    Raises:
      ValueError: two parameters have one name.
    """
    names = list(names)
    twice = [n for n in dict.fromkeys(names) if names.count(n) > 1] if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(f"each parameter must have a name of its own, got {some(twice)} more than once.")
    return names


def _shapes(arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: np.shape(array) for name, array in arrays.items()}


def _check(shapes: Mapping[str, tuple[int, ...]], convert: Convert) -> None:
    """Follow every array by a mark that costs no memory."""
    labels = dict(enumerate(shapes))
    marked = _call(convert, {name: np.broadcast_to(np.int32(i), shapes[name]) for i, name in labels.items()})
    sizes = dict.fromkeys(labels, 0)
    for leaf in jax.tree.leaves(marked):
        for i, count in _counts(leaf).items():
            if i not in sizes:
                raise _moves_only(f"{i} among the entries")
            sizes[i] += count
    wrong = [labels[i] for i, size in sizes.items() if size != np.prod(shapes[labels[i]], dtype=np.int64)]
    if wrong:
        raise ValueError(
            f"convert must put each entry in one place, got others for {some(wrong)}: a slot that is left out or used "
            "twice would be lost."
        )


def _counts(marks: Any) -> dict[int, int]:
    """How often each mark occurs; nearly always there is one, in memory a single number."""
    marks = np.asarray(marks)
    if marks.size and marks.min() == marks.max():
        return {int(marks.min()): marks.size}
    return dict(zip(*(x.tolist() for x in np.unique(marks, return_counts=True)), strict=True))


def _call(convert: Convert, arrays: dict[str, Any]) -> Any:
    try:
        return convert(arrays)
    except KeyError as error:
        raise ValueError(
            f"convert must do with the parameters that the optimizer holds, {some(list(arrays))}, got a KeyError of "
            f"{error}: buffers, such as running means, have no slot."
        ) from error


def _moves_only(got: str) -> ValueError:
    return ValueError(
        f"convert must move entries and change none, got {got}: transpose, reshape, split and concatenate with NumPy "
        "or JAX, keep the dtype, and leave arithmetic out."
    )
