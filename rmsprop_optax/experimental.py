"""Functions without a promise of stability: any release may change or remove them."""

import os
import shlex
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _paths
from rmsprop_optax._arguments import optimizer

_FLAG = "--xla_backend_extra_options="
_OPTION = "xla_cpu_use_multi_output_fusion"


def one_pass(tx: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Return an optimizer whose step on a CPU reads and writes each array once, as on a TPU or a GPU.

    By default each kernel of XLA:CPU writes one array, so a step of RMSprop reads its inputs twice: 28 bytes a
    parameter in float32 instead of 20. The XLA option ``xla_cpu_use_multi_output_fusion`` fuses kernels that read the
    same arrays, provided that no kernel reads the output of another. This function therefore computes the updates and
    each tree of the state separately from the inputs, which costs no second read. Parameters and state differ from
    those of ``tx`` by rounding at most.

    Use this function for float32 states. XLA does not fuse kernels that write other dtypes, or that have about twenty
    inputs and outputs (the centered form with Nesterov's momentum, weight decay and bias correction); a step is then
    slower than without this function. Outside ``jit`` the update runs once per state tree.

    The option has three drawbacks:

    - XLA reads the option from the environment, for the whole process: ``jax.jit(compiler_options=…)`` refuses it
      (jaxlib 0.10.2 to 0.12.0.1).
    - The option is off by default, so XLA tests it less than the rest of the compiler.
    - With the option, XLA may abort the process when it compiles a program in which two scatters share their indices
      and updates, as a gradient of indexed arrays can have (github.com/openxla/xla/issues/47367, open in November 2026:
      such a program aborts with jax 0.10.2 and compiles with 0.12.0.1). Compile the whole training step with the option
      before you rely on it.

    Args:
      tx: an elementwise optimizer, of this package or another. Put transformations that reduce over arrays before it:
        ``optax.chain(optax.clip_by_global_norm(1.0), one_pass(rmsprop(0.1)))``.

    Returns:
      The transformation; its state is that of ``tx``.

    Raises:
      ValueError: ``XLA_FLAGS`` does not turn the option on. Set
        ``XLA_FLAGS=--xla_backend_extra_options=xla_cpu_use_multi_output_fusion`` before JAX starts. Without the option
        XLA would copy arrays of the state at each step.

    Example:
      >>> from unittest import mock
      >>> from rmsprop_optax import rmsprop
      >>> flags = "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion"
      >>> with mock.patch.dict(os.environ, XLA_FLAGS=flags):  # a program sets it before JAX starts
      ...     tx = one_pass(rmsprop(0.1, momentum=0.9))
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = jax.jit(tx.update)(params, tx.init(params), params)
      >>> [round(float(u), 4) for u in updates]
      [-0.3162, 0.3162]
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if not _turns_on(flags):
        raise ValueError(
            f"one_pass needs XLA_FLAGS={_FLAG}{_OPTION} in the environment before JAX starts, got {flags!r}: set it, "
            "or remove one_pass, which makes a step slower without the option."
        )
    tx = optimizer(tx)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        new_updates, new_state = tx.update(updates, state, params, **extra_args)
        leaves, treedef = jax.tree.flatten(new_state)
        paths = [path for path, _ in jax.tree.leaves_with_path(updates)]
        trees = [_tree_of(path, paths) for path, _ in jax.tree.leaves_with_path(new_state)]
        one = jnp.ones([])
        for tree in dict.fromkeys(trees):
            one = jax.lax.optimization_barrier(one)
            again = tx.update(*_times((updates, state, params), one), **extra_args)[1]
            rows = zip(trees, jax.tree.leaves(again), leaves, strict=True)
            leaves = [fresh if its == tree else leaf for its, fresh, leaf in rows]
        return new_updates, jax.tree.unflatten(treedef, leaves)

    return optax.GradientTransformationExtraArgs(tx.init, update)


def _turns_on(flags: str) -> bool:
    """Return whether ``flags`` contains the option. XLA ignores its value; ``=false`` is refused, not obeyed."""
    words = [word.removeprefix(_FLAG) for word in shlex.split(flags) if word.startswith(_FLAG)]
    return any(option in (_OPTION, f"{_OPTION}=true") for word in words for option in word.split(","))


def _times(inputs: Any, one: jax.Array) -> Any:
    """Multiply all numbers by ``one``, a 1 that XLA cannot see, so that XLA does not merge the two computations.

    A barrier around the arrays themselves does not work: jax 0.12 removes barriers after it has fused kernels, and
    kernels on either side of a barrier have no input in common.
    """

    def leaf(x: jax.Array) -> jax.Array:
        return x * one.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.number) else x

    return jax.tree.map(lambda x: leaf(jnp.asarray(x)), inputs)


def _tree_of(path: tuple[Any, ...], parameters: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return which tree of a state a leaf belongs to: the leaf's path without the path of its parameter."""
    its = next(_paths.parameters_of(path, parameters), ())
    return path[: len(path) - len(its)]
