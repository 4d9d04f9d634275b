"""A step on a CPU in one pass over the arrays."""

import os
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _paths
from rmsprop_optax._tree import optimizer

_OPTION = "xla_cpu_use_multi_output_fusion"


def one_pass(tx: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Let XLA:CPU read and write each array once a step, as on a TPU or a GPU XLA does unasked.

    A kernel of XLA:CPU writes one array, so a step of RMSprop passes twice over its arrays, 28 bytes a parameter in
    float32 where 20 would do. With the option below it joins kernels that read the same arrays, provided that none
    reads what another writes. So the updates and each tree of the state are computed by themselves here, from what
    comes in. That costs no second reading; the parameters and the state differ by roundings at most.

    It is for float32 states: kernels that write other dtypes, or see some twenty arrays and numbers together (the
    centered form with momentum), are not joined, and a step takes longer then. Outside ``jit`` all is computed anew for
    each tree.

    Args:
      tx: the optimizer, ours or any other that is elementwise. What looks at whole arrays stays before it, as in
        ``optax.chain(optax.clip_by_global_norm(1.0), one_pass(rmsprop(0.1)))``.

    Returns:
      The transformation; its state is that of ``tx``.

    Raises:
      ValueError: the environment has no ``XLA_FLAGS=--xla_backend_extra_options=xla_cpu_use_multi_output_fusion``, set
        before jax starts. It holds for the whole process, and XLA has it off by default: see that the rest of the
        program compiles with it. Without it arrays of the state would be copied at each step.

    Example:
      >>> from unittest import mock
      >>> from rmsprop_optax import rmsprop
      >>> flags = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion"
      >>> with mock.patch.dict(os.environ, XLA_FLAGS=flags):  # in truth it is set before jax starts
      ...     tx = one_pass(rmsprop(0.1, momentum=0.9))
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = jax.jit(tx.update)(params, tx.init(params), params)
      >>> [round(float(u), 4) for u in updates]
      [-0.3162, 0.3162]
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _OPTION not in flags:
        raise ValueError(
            f"one_pass needs XLA_FLAGS=--xla_backend_extra_options={_OPTION} in the environment before jax starts, got "
            f"{flags!r}: set it, or leave one_pass out; without the option it takes longer."
        )
    tx = optimizer(tx)

    def update(updates, state, params=None, **extra_args):
        new_updates, new_state = tx.update(updates, state, params, **extra_args)
        leaves, treedef = jax.tree.flatten(new_state)
        paths = [path for path, _ in jax.tree.leaves_with_path(updates)]
        trees = [_tree_of(path, paths) for path, _ in jax.tree.leaves_with_path(new_state)]
        one = jnp.ones([])
        for tree in dict.fromkeys(trees):
            one = jax.lax.optimization_barrier(one)
            again = tx.update(*_anew((updates, state, params), one), **extra_args)[1]
            rows = zip(trees, jax.tree.leaves(again), leaves, strict=True)
            leaves = [fresh if its == tree else leaf for its, fresh, leaf in rows]
        return new_updates, jax.tree.unflatten(treedef, leaves)

    return optax.GradientTransformationExtraArgs(tx.init, update)


def _anew(inputs: Any, one: jax.Array) -> Any:
    """The same numbers, which the compiler takes for others until it has chosen what to join: it does not see the 1.

    A barrier around the arrays themselves is still there when jax 0.12 joins kernels, which have no array in common.
    """

    def leaf(x):
        return x * one.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.number) else x

    return jax.tree.map(lambda x: leaf(jnp.asarray(x)), inputs)


def _tree_of(path: tuple, parameters: list[tuple]) -> tuple:
    """Which tree of a state an array is in: its path without that of its parameter."""
    its = next(_paths.parameters_of(path, parameters), ())
    return path[: len(path) - len(its)]
