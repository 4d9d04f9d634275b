"""Set the step counters in a state, including those of schedules."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _nnx
from rmsprop_optax._decay import WeightDecayState
from rmsprop_optax._momentum import MomentumState
from rmsprop_optax._scale import ScaleByRmsState
from rmsprop_optax._types import Tree
from rmsprop_optax.dialects._theano import AdaptiveStepsState

BUFFERS: tuple[Any, ...] = (MomentumState, AdaptiveStepsState)
"""State types with a ``trace``."""

_COUNTING = (ScaleByRmsState, *BUFFERS, WeightDecayState, optax.ScaleByScheduleState)
_INJECTED = (optax.InjectHyperparamsState, optax.InjectStatefulHyperparamsState)
_HOLDING = (*_INJECTED, optax.MultiStepsState, _nnx.Whole)
KINDS = (*_COUNTING, *_HOLDING)
"""State types to look for in an ``nnx.State``."""


def counted(tree: Tree, count: int) -> Tree:
    """Return ``tree`` with ``count`` in every step counter, except in states of other optimizers such as Adam."""

    def new(old: Any) -> Any:
        return jax.tree.map(lambda x: int(count) if isinstance(x, int) else jnp.full_like(x, count), old)

    def one(node: Any) -> Any:
        if isinstance(node, optax.MultiStepsState):
            inner = counted(node.inner_opt_state, count)
            return node._replace(gradient_step=new(node.gradient_step), inner_opt_state=inner)
        if isinstance(node, _nnx.Whole):
            return node._replace(step=new(node.step), opt_state=counted(node.opt_state, count))
        if isinstance(node, optax.InjectStatefulHyperparamsState):
            node = node._replace(hyperparams_states=new(node.hyperparams_states))
        if isinstance(node, _INJECTED):
            return node._replace(count=new(node.count), inner_state=counted(node.inner_state, count))
        return node._replace(count=new(node.count)) if isinstance(node, _COUNTING) else node

    tree = jax.tree.map(one, tree, is_leaf=lambda x: isinstance(x, (*_COUNTING, *_HOLDING)))
    # An nnx.Optimizer and a TrainState also count steps, in ``step``.
    step = jax.tree_util.GetAttrKey("step")
    return jax.tree.map_with_path(lambda path, x: new(x) if path[:1] == (step,) else x, tree)
