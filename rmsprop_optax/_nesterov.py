"""Undo Nesterov's look-ahead."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import _formats, _numbers, _tree
from rmsprop_optax._arguments import checked
from rmsprop_optax._complex import is_components
from rmsprop_optax._types import Number


@checked()
def nesterov_eval_params(state: optax.OptState, params: optax.Params, momentum: Number) -> optax.Params:
    r"""The parameters without Nesterov's look-ahead.

    .. math::
      \theta = p + momentum \cdot b

    Sutskever's form jumps by ``momentum·b``, takes the gradient there and corrects. optax's form, and ours, trains the
    parameters after the jump; both follow the same path. This function undoes the last jump, for evaluation or for
    comparison with an implementation that keeps ``θ``.

    Args:
      state: the state of ``rmsprop(…, momentum=…, nesterov=True)`` or of a chain with it. The buffer of
        ``optax.trace``, which has the opposite sign, is not accepted.
      params: the trained parameters, a tree of arrays.
      momentum: the transformation's, in [0, 1); multiply it by the learning rate if ``lr_in_momentum`` is False.

    Returns:
      A tree like ``params``. Leaves that ``optax.masked`` keeps from the optimizer are unchanged.

    Raises:
      ValueError: the state has no momentum buffer of this package, or several, or one of other shapes; ``momentum`` is
        out of its range.

    Example:
      >>> from rmsprop_optax import rmsprop
      >>> tx = rmsprop(0.1, momentum=0.5, nesterov=True)
      >>> params = jnp.array([1.0])
      >>> updates, state = tx.update(params, tx.init(params))
      >>> before, after = params, optax.apply_updates(params, updates)
      >>> [round(float(p[0]), 4) for p in (after, nesterov_eval_params(state, after, 0.5))]  # 1 − 1.5·b, 1 − b
      [0.5257, 0.6838]

    Source:
      Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep learning, ICML 2013.
    """
    traces = [x.trace for x in jax.tree.leaves(state, is_leaf=_is_buffer) if _is_buffer(x)]
    if len(traces) != 1:
        raise ValueError(
            f"the state must hold one momentum buffer of rmsprop_optax, got {len(traces)}: pass the state of one "
            "optimizer with momentum; of an optax.partition, pass one of its inner_states after another."
        )

    def one(b: Any, p: Any) -> Any:
        if isinstance(b, optax.MaskedNode):
            return p
        b = jax.lax.complex(*b) if is_components(b) else _formats.decoded(b)
        shape = () if np.isscalar(p) else getattr(p, "shape", type(p).__name__)
        if b.shape != shape:
            raise ValueError(f"the buffer must have the shape of its parameter, got {b.shape} for {shape}.")
        p = jnp.asarray(p)
        jumped: jax.Array = p.astype(b.dtype) + _numbers.cast(0.0 if momentum is None else momentum, b.dtype) * b
        return jumped.astype(p.dtype)

    # A mask may be a prefix of the parameters: a MaskedNode then stands for several.
    buffers, treedef = jax.tree.flatten(traces[0], is_leaf=_is_whole)
    return jax.tree.unflatten(treedef, map(one, buffers, _tree.alike(treedef, params)))


def _is_whole(b: Any) -> bool:
    return isinstance(b, optax.MaskedNode) or is_components(b)


def _is_buffer(x: Any) -> bool:
    """Whether ``x`` is a state of ours with a buffer; a buffer of ``optax.trace`` may have the opposite sign."""
    return "trace" in getattr(x, "_fields", ()) and not isinstance(x, optax.TraceState)
