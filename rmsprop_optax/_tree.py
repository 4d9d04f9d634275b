"""Functions of one array, lifted over trees: the only place that knows how a tree is walked."""

from collections.abc import Callable, Container, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import _numbers


def _is_none(x: Any) -> bool:
    return x is None


def lift(function: Callable[..., tuple], updates: optax.Updates, *states: Any) -> tuple:
    """Apply ``function(update, *states)``, which returns as many values, to every leaf; one tree for each value.

    A leaf whose update is ``None`` is passed over: its state stays as it is. A state that is ``None`` as a whole (an
    option that is off) reaches ``function`` as ``None``.

    Raises:
      ValueError: the trees or their shapes differ.
    """
    leaves, treedef = jax.tree.flatten(updates, is_leaf=_is_none)
    if _is_staged():
        function = jax.jit(function)  # traced and lowered once for all leaves that are alike; XLA inlines it
    columns = [leaves, *(_leaves_like(updates, treedef, state) for state in states)]
    rows = [row if row[0] is None else function(*row) for row in zip(*columns, strict=True)]
    outputs = zip(*rows, strict=True) if rows else columns
    return tuple(
        None if state is None else jax.tree.unflatten(treedef, output)
        for state, output in zip((updates, *states), outputs, strict=True)
    )


def _is_staged() -> bool:
    """Whether a program is being traced, as under ``jit`` or ``scan``: only then is a new array a tracer.

    In ``vmap`` or ``grad`` without ``jit`` a function jitted here would be compiled anew at every call.
    """
    return isinstance(jnp.zeros([]), jax.core.Tracer)


def _leaves_like(updates: optax.Updates, treedef: Any, other: Any) -> list:
    if other is None:
        return [None] * treedef.num_leaves
    leaves = alike(treedef, other)
    for (path, update), leaf in zip(jax.tree.leaves_with_path(updates, is_leaf=_is_none), leaves, strict=True):
        shape = () if np.isscalar(leaf) else getattr(leaf, "shape", type(leaf).__name__)
        if update is not None and jnp.shape(update) != shape:
            raise ValueError(
                f"the update{jax.tree_util.keystr(path)} must have the shape of its state and parameter, got "
                f"{jnp.shape(update)} for {shape}: {_MEND}."
            )
    return leaves


_MEND = "call update with gradients of the parameters that init was called with, and with those parameters"


def alike(treedef: Any, other: Any) -> list:
    """The leaves of a tree like that of the updates or of the parameters.

    Raises:
      ValueError: it is another.
    """
    try:
        return treedef.flatten_up_to(other)
    except ValueError as error:
        raise ValueError(f"updates, state and parameters must be trees alike, got: {error}; {_MEND}.") from error


def full(params: optax.Params, value: Any, *, real: bool = False, dtype: Any = None) -> Any:
    """A state tree with the shapes and shardings of ``params``, float32 or wider, filled with ``value``.

    Leaves may be arrays or ``jax.ShapeDtypeStruct``; ``real`` takes the real dtype for complex ones, ``dtype`` the same
    one for all.

    Raises:
      TypeError: a leaf is neither floating-point nor complex.
    """

    def leaf(path, p):
        wide = _numbers.wide(jax.dtypes.canonicalize_dtype(_inexact("parameter", path, p)))
        return jnp.full_like(p, value, dtype=dtype or (_numbers.real(wide) if real else wide))

    return jax.tree_util.tree_map_with_path(leaf, params)


def in_float32(inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Let ``inner`` see updates in float32 or wider; the result leaves in the updates' dtype.

    One cast at each end of a chain, so that no link between rounds to bfloat16, and none has to think of dtypes. The
    parameters pass as they are.

    Raises:
      TypeError: at ``update``, an update is neither floating-point nor complex.
    """
    inner = optax.with_extra_args_support(inner)

    def update(updates, state, params=None, **extra_args):
        if not isinstance(state, tuple):
            raise TypeError(_NO_STATE.format(type(state).__name__))
        updates = jax.tree_util.tree_map_with_path(_array, updates)
        wide = jax.tree.map(lambda u: u.astype(_numbers.wide(u.dtype)), updates)
        wide, state = inner.update(wide, state, params, **extra_args)
        return jax.tree.map(lambda w, u: w.astype(u.dtype), wide, updates), state

    return optax.GradientTransformationExtraArgs(inner.init, update)


def _inexact(what: str, path: Any, x: Any) -> Any:
    """The dtype of a leaf that is, or will be, an array of numbers that are not integers."""
    name = f"the {what}{jax.tree_util.keystr(path)}"
    dtype = getattr(x, "dtype", None) or (jnp.result_type(x) if isinstance(x, int | float | complex) else None)
    if dtype is None:
        raise TypeError(
            f"{name} must be an array, got {x!r:.80}: give the tree of parameters, and gradients of them, and not the "
            "model or function that they belong to."
        )
    if not jnp.issubdtype(dtype, jnp.inexact):
        raise TypeError(
            f"{name} must be floating-point or complex, got {dtype}: leave it out with optax.masked or optax.partition."
        )
    return dtype


def _array(path: Any, x: Any) -> jax.Array:
    _inexact("update", path, x)
    return jnp.asarray(x)


_NO_STATE = "the state must come from init, got {}: call state = init(params), then update(grads, state, params)."


def state_of(kind: type, state: Any) -> Any:
    """Refuse a ``state`` that is not of a ``kind``.

    Raises:
      TypeError: naming both.
    """
    if not isinstance(state, kind):
        raise TypeError(
            f"the state must be a {kind.__name__}, got {type(state).__name__}: call update(grads, state, params) with "
            "the state that init of the same options made."
        )
    return state


class Components(NamedTuple):
    """The real and the imaginary part of a complex leaf."""

    real: Any
    imag: Any


def per_component(inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Let ``inner`` see a complex leaf as two real ones, and put its updates together again.

    ``optax.contrib.split_real_and_imaginary`` does the same to arrays, but neither to ``jax.ShapeDtypeStruct`` nor with
    extra arguments.
    """
    inner = optax.with_extra_args_support(inner)

    def init(params):
        return inner.init(jax.tree.map(_split, params))

    def update(updates, state, params=None, **extra_args):
        parts, state = inner.update(jax.tree.map(_split, updates), state, jax.tree.map(_split, params), **extra_args)
        return jax.tree.map(_join, parts, is_leaf=lambda x: isinstance(x, Components)), state

    return optax.GradientTransformationExtraArgs(init, update)


def _split(x: Any) -> Any:
    if not jnp.issubdtype(getattr(x, "dtype", type(x)), jnp.complexfloating):
        return x
    if isinstance(x, jax.ShapeDtypeStruct):
        part = jax.ShapeDtypeStruct(x.shape, _numbers.real(x.dtype), sharding=x.sharding)
        return Components(part, part)
    return Components(jnp.real(x), jnp.imag(x))


def _join(x: Any) -> Any:
    return jax.lax.complex(*x) if isinstance(x, Components) else x


def is_components(x: Any) -> bool:
    return isinstance(x, Components)


def nodes(tree: Any, kind: Any) -> list:
    """All parts of a tree, a state, that are of a type."""
    return [x for x in jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, kind)) if isinstance(x, kind)]


def named(tree: Any) -> dict[str, Any]:
    """The leaves of a tree of parameters, or of one like it, by their paths, as ``"encoder/kernel"``.

    Raises:
      ValueError: two leaves have one name.
    """
    leaves = jax.tree.leaves_with_path(tree, is_leaf=is_components)
    names = {name_of(path): leaf for path, leaf in leaves}
    if len(names) < len(leaves):
        paths = [name_of(path) for path, _ in leaves]
        twice = [name for name in names if paths.count(name) > 1]
        raise ValueError(f"each leaf must have a name of its own, got two of {some(twice)}.")
    return names


def name_of(path: tuple) -> str:
    """The name of a leaf in :func:`named`."""
    # The array of an nnx.Variable, or in a box of Linen's, is no level of the parameters' tree.
    if path and path[-1] == jax.tree_util.GetAttrKey("value"):
        path = path[:-1]
    return jax.tree_util.keystr(path, simple=True, separator="/") or "the parameter"


def some(names: list[str]) -> str:
    """A few names, for an error."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def parameters_of(path: tuple, params: Container[tuple]) -> Iterator[tuple]:
    """Paths of the parameters that an array of a state may belong to, the likeliest first: its path ends as theirs."""
    if path and path[-1] in map(jax.tree_util.GetAttrKey, Components._fields):
        path = path[:-1]
    return (path[start:] for start in range(len(path) + 1) if path[start:] in params)
