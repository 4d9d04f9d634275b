"""Probe an optimizer for its effective learning rate at a given mean square."""

import functools
from collections.abc import Callable, Collection, Container, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import _complex, _formats, _numbers, _paths
from rmsprop_optax._scale import ScaleByRmsState

TINY = 1e-12  # a gradient that no clipping changes
HUGE = 1e20  # a mean square far above TINY² and far below the largest float32

Arrays = dict[str, jax.Array]
"""Name of each array of parameters → an array."""


def probe(
    tx: optax.GradientTransformationExtraArgs,
    updates: optax.Updates,
    state: optax.OptState,
    names: Collection[str],
    extra_args: Mapping[str, Any],
    *,
    whole: bool = False,
) -> tuple[Arrays, Callable[[Arrays], Arrays]]:
    """Let an optimizer update scalar parameters with a tiny gradient, empty buffers and chosen mean squares.

    Args:
      tx: the optimizer.
      updates: a tree with the names and dtypes of the gradients.
      state: the state before the step. The probe keeps its counts and hyperparameters.
      names: the arrays with a mean square.
      extra_args: further arguments of ``tx.update``.
      whole: whether parameters and mean squares keep their shapes and are not scalars.

    Returns:
      The share of an old mean square that the step keeps; and a function from scalar mean squares after the step to
      effective learning rates, float32.
    """
    tiny = jax.tree.map(lambda u: jnp.full(u.shape if whole else (), TINY, _numbers.wide(u.dtype)), updates)
    params = jax.tree.map(jnp.zeros_like, tiny)
    fresh, paths = tx.init(params), {path for path, _ in jax.tree.leaves_with_path(params)}

    def step(nus: Mapping[str, Any], gradients: optax.Updates) -> Any:
        return tx.update(gradients, _with(nus, fresh, state, paths), params, **extra_args)

    shapes = {name: x.shape for name, x in _paths.named(tiny).items()}
    _, after = step({name: jnp.full(shapes[name], HUGE) for name in names}, tiny)
    squares = {name: nu.ravel()[0] for name, nu in mean_squares(after).items()}
    # With a decay of 0, only the square of the tiny gradient is left.
    kept = {name: jnp.where(squares[name] < 1, 0.0, squares[name] / HUGE) for name in names}

    def rate(nus: Arrays) -> Arrays:
        # A step that keeps a share of the old mean square starts from nu / share. A step that keeps nothing gets the
        # gradient √nu.
        old = {k: jnp.where(kept[k] > 0, nu / jnp.where(kept[k] > 0, kept[k], 1), 0.0) for k, nu in nus.items()}
        sizes = {k: jnp.where(kept[k] > 0, TINY, jnp.maximum(jnp.sqrt(nu), TINY)) for k, nu in nus.items()}
        gradients = jax.tree.map_with_path(
            lambda path, g: jnp.asarray(sizes.get(_paths.name_of(path), g), g.dtype), tiny
        )
        new, _ = step(old, gradients)
        moved = {name: jnp.abs(u).astype(jnp.float32) for name, u in _paths.named(new).items()}
        return {name: moved[name] / sizes[name] for name in names}

    return kept, rate


def rates_at(rate: Callable[[Arrays], Arrays], nus: Arrays) -> Arrays:
    """Effective learning rates at several mean squares [n] of each array, [n]."""
    return jax.vmap(rate)(nus) if nus else {}


def mean_squares(state: optax.OptState) -> Arrays:
    """The mean squares in a state, float32 [parts, ...]: two parts for a complex array. Empty arrays are left out."""
    trees = [_paths.named(node.nu) for node in _paths.nodes(state, ScaleByRmsState)]
    nus = {name: [_formats.decoded(x) for x in jax.tree.leaves(nu)] for tree in trees for name, nu in tree.items()}
    return {name: jnp.stack(parts).astype(jnp.float32) for name, parts in nus.items() if parts[0].size}


@functools.partial(jax.jit, static_argnames="most")
def samples(state: optax.OptState, most: int) -> Arrays:
    """At most ``most`` mean squares of each array, float32 [entries]."""
    return {name: sample(nu, most) for name, nu in mean_squares(state).items()}


def sample(x: jax.Array, most: int) -> jax.Array:
    """All entries of an array, or ``most`` entries that are spread evenly over rows and columns."""
    x = x.ravel()
    if x.size <= most:
        return x
    # Even steps could stay in one column; steps of the golden ratio do not.
    return x[(np.arange(most) * (5**0.5 - 1) / 2 % 1 * x.size).astype(int)]


def _with(
    nus: Mapping[str, Any], fresh: optax.OptState, state: optax.OptState, paths: Container[tuple[Any, ...]]
) -> optax.OptState:
    """Combine the buffers of ``fresh``, the mean squares ``nus``, and everything else (such as counts) of ``state``.

    Arrays of ``state`` are found by name, because its containers may differ, as in ``flax.nnx``.
    """
    olds = _paths.named(state)

    def mean_square(path: tuple[Any, ...], x: Any) -> Any:
        # float32 stands in for 8 and 16 bits, so that no storage rounds the probe.
        dtype = _numbers.wide(jax.tree.leaves(x)[0].dtype)
        nu = jnp.asarray(nus.get(_paths.name_of(path), 0.0), dtype)
        return _complex.Components(nu, nu) if _complex.is_components(x) else nu

    def moments(node: Any) -> Any:
        if not isinstance(node, ScaleByRmsState):
            return node
        return node._replace(nu=jax.tree.map_with_path(mean_square, node.nu, is_leaf=_complex.is_components))

    def merged(path: tuple[Any, ...], new: Any) -> Any:
        if next(_paths.parameters_of(path, paths), None) is not None:
            return new
        if (name := _paths.name_of(path)) not in olds:
            raise ValueError(
                f"the state must be that of the optimizer, got none of its {name}: call effective_rates(tx, state, "
                "params) with the state of tx."
            )
        return olds[name]

    both = jax.tree.map_with_path(merged, fresh)
    return jax.tree.map(moments, both, is_leaf=lambda x: isinstance(x, ScaleByRmsState))
