"""Treat a complex number as two real numbers."""

from typing import Any, NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers
from rmsprop_optax._types import Tree


class Components(NamedTuple):
    """The real and the imaginary part of a complex leaf."""

    real: Any
    imag: Any


def per_component(inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Pass the two parts of a complex leaf to ``inner``, and join its updates.

    ``optax.contrib.split_real_and_imaginary`` takes neither ``jax.ShapeDtypeStruct`` nor extra arguments.
    """
    inner = optax.with_extra_args_support(inner)

    def init(params: optax.Params) -> optax.OptState:
        return inner.init(jax.tree.map(_split, params))

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None, **extra_args: Any
    ) -> tuple[optax.Updates, optax.OptState]:
        parts, state = inner.update(jax.tree.map(_split, updates), state, jax.tree.map(_split, params), **extra_args)
        return jax.tree.map(_join, parts, is_leaf=is_components), state

    return optax.GradientTransformationExtraArgs(init, update)


def is_components(x: Tree) -> TypeGuard[Components]:
    return isinstance(x, Components)


def _split(x: Any) -> Any:
    if not jnp.issubdtype(getattr(x, "dtype", type(x)), jnp.complexfloating):
        return x
    if isinstance(x, jax.ShapeDtypeStruct):
        part = jax.ShapeDtypeStruct(x.shape, _numbers.real(x.dtype), sharding=x.sharding)
        return Components(part, part)
    return Components(jnp.real(x), jnp.imag(x))


def _join(x: Any) -> Any:
    return jax.lax.complex(*x) if is_components(x) else x
