"""Functions of one array lifted over trees, and chains of transformations."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import _numbers
from rmsprop_optax._types import Tree

S = TypeVar("S")

_MEND = "call update with gradients of the parameters that init was called with, and with those parameters"
OTHER = (
    "call state = init(params) of the same options first, or carry the old state over with "
    "rmsprop_optax.interop.transfer (a state of optax with interop.write and interop.optax.read)"
)


def lift(function: Callable[..., tuple[Any, ...]], updates: optax.Updates, *states: Tree) -> tuple[Any, ...]:
    """Apply ``function(update, *states)``, which returns as many values, to every leaf; return a tree of each value.

    A leaf whose update is ``None`` keeps its state. A state that is ``None`` as a whole is off and stays ``None``.

    Raises:
      ValueError: the trees or their shapes differ.
    """
    leaves = jax.tree.leaves_with_path(updates, is_leaf=is_none)
    treedef: Any = jax.tree.structure(updates, is_leaf=is_none)
    columns = [[None] * len(leaves) if state is None else alike(treedef, state) for state in states]
    if _is_staged():
        function = jax.jit(function)  # traced and lowered once for all leaves that are alike; XLA inlines it
    rows = []
    for (path, update), *parts in zip(leaves, *columns, strict=True):
        if update is not None:
            _check_shapes(path, update, parts)
            update, *parts = function(update, *parts)
        rows.append((update, *parts))
    outputs = zip(*rows, strict=True) if rows else [()] * (1 + len(states))
    return tuple(
        None if tree is None else treedef.unflatten(output)
        for tree, output in zip((updates, *states), outputs, strict=True)
    )


def is_none(x: Any) -> bool:
    return x is None


def _is_staged() -> bool:
    """Whether ``jit`` or ``scan`` traces a program: only then is a new array a tracer.

    Under ``vmap`` or ``grad`` without ``jit``, a jitted function would be compiled again at every call.
    """
    return isinstance(jnp.zeros([]), jax.core.Tracer)


def alike(treedef: Any, other: Tree) -> list[Any]:
    """The leaves of a tree that must have the structure ``treedef``, that of the updates or parameters."""
    try:
        leaves: list[Any] = treedef.flatten_up_to(other)
    except ValueError as error:
        raise ValueError(f"updates, state and parameters must be trees alike, got: {error}; {_MEND}.") from error
    return leaves


def _check_shapes(path: Any, update: Any, parts: list[Any]) -> None:
    for part in parts:
        shape = () if np.isscalar(part) else getattr(part, "shape", type(part).__name__)
        if part is not None and jnp.shape(update) != shape:
            raise ValueError(
                f"the update{jax.tree_util.keystr(path)} must have the shape of its state and parameter, got "
                f"{jnp.shape(update)} for {shape}: {_MEND}."
            )


def full(params: optax.Params, value: Any, *, real: bool = False, dtype: Any = None) -> Tree:
    """A state tree with the shapes and shardings of ``params``, filled with ``value``.

    Args:
      params: arrays or ``jax.ShapeDtypeStruct``. Integers, bools and keys are not trained and have no state.
      value: a number.
      real: whether complex parameters have real states.
      dtype: of the states; by default that of the parameter, widened to float32.
    """

    def leaf(path: Any, p: Any) -> Any:
        its = _dtype("parameter", path, p)
        if not jnp.issubdtype(its, jnp.inexact):
            return optax.MaskedNode()
        wide = _numbers.wide(jax.dtypes.canonicalize_dtype(its))
        return jnp.full_like(p, value, dtype=dtype or (_numbers.real(wide) if real else wide))

    return jax.tree.map_with_path(leaf, params)


def chain(*links: optax.GradientTransformation | None) -> optax.GradientTransformationExtraArgs:
    """``optax.chain`` in float32 or wider, without the links that are ``None``; a state of other links is refused."""
    on = [link for link in links if link is not None]
    if len(on) == 1:
        return in_float32(on[0])
    inner = in_float32(optax.chain(*on))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        if len(state_of(tuple, state)) != len(on):
            raise TypeError(f"the state must have {len(on)} parts, one for each link, got {len(state)}: {OTHER}.")
        return inner.update(updates, state, params, **extra_args)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def state_of(kind: type[S], state: Any) -> S:
    """Raise ``TypeError`` if the type of ``state`` is not ``kind``, with the way out."""
    if type(state) is not kind:
        must, came = (
            f"{t.__module__.partition('.')[0]}.{t.__name__}".removeprefix("builtins.") for t in (kind, type(state))
        )
        raise TypeError(f"the state must be a {must}, got {came}: {OTHER}.")
    return state


def scheduled(
    factors: tuple[Any, ...], kind: type[Any], function: Callable[..., optax.Updates]
) -> optax.GradientTransformation:
    """Return the link ``function(updates, params, *factors)``; factors are numbers or schedules of the step count.

    Its state is a ``kind`` with the count if a factor is a schedule, and empty otherwise.
    """
    counts = any(map(callable, factors))
    kind = kind if counts else optax.EmptyState

    def init(params: Any) -> Any:
        del params
        return kind(jnp.zeros([], jnp.int32)) if counts else kind()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        state_of(kind, state)
        values = (factor(state.count) if callable(factor) else factor for factor in factors)
        updates = function(updates, params, *values)
        return updates, kind(optax.safe_increment(state.count)) if counts else state

    return optax.GradientTransformation(init, update)


def in_float32(inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Cast updates to float32 or wider for ``inner``, and its result back to their dtype.

    With one cast at each end, no link between rounds to bfloat16 or handles dtypes.
    """
    inner = optax.with_extra_args_support(inner)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        wide = jax.tree.map_with_path(_widened, updates)
        wide, state = inner.update(wide, state, params, **extra_args)
        return jax.tree.map(_narrowed, updates, wide), state

    return optax.GradientTransformationExtraArgs(inner.init, update)


def _widened(path: Any, u: Any) -> Any:
    """An update in float32 or wider; ``None`` for the float0 that ``jax.grad`` gives an integer parameter."""
    dtype = _dtype("update", path, u)
    if dtype == jax.dtypes.float0:
        return None
    if not jnp.issubdtype(dtype, jnp.inexact):
        raise TypeError(
            f"the update{jax.tree_util.keystr(path)} must be floating-point or complex, got {dtype}: give None for a "
            "parameter that has no gradient."
        )
    u = jnp.asarray(u)
    return _as(u, _numbers.wide(u.dtype))


def _narrowed(u: Any, wide: Any) -> Any:
    return u if wide is None else _as(wide, jnp.result_type(u))


def _as(x: jax.Array, dtype: Any) -> jax.Array:
    return x if x.dtype == dtype else x.astype(dtype)  # outside jit even a cast to the same dtype takes time


def _dtype(what: str, path: Any, x: Any) -> Any:
    dtype = getattr(x, "dtype", None) or (jnp.result_type(x) if isinstance(x, int | float | complex) else None)
    if dtype is None:
        raise TypeError(
            f"the {what}{jax.tree_util.keystr(path)} must be an array, got {x!r:.80}: pass the tree of parameters and "
            "its gradients, not the model or function that they belong to."
        )
    return dtype
