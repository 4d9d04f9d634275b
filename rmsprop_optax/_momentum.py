"""Heavy-ball and Nesterov momentum, with the buffer in float32 or wider."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers, _tree
from rmsprop_optax import storage as _storage


class MomentumState(NamedTuple):
    """What the momentum carries from step to step.

    Attributes:
      count: int32 scalar, the number of updates so far.
      trace: the tree of the parameters, in float32 or wider unless stored shorter: the buffer.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax's states
    trace: Any


def momentum_buffer(momentum: Any, *, nesterov: bool = False, storage: Any = "float32") -> optax.GradientTransformation:
    """``b = momentum·b + x``, and ``momentum·b + x`` once more for Nesterov; ``b`` is kept in a :class:`MomentumState`.

    ``optax.trace`` is the same for a Python number and a float32 parameter; this one also takes a traced number under
    strict promotion, and keeps the buffer's dtype whatever the gradient's. Nothing at all where ``momentum`` is off.
    """
    if _numbers.is_off(momentum):
        return optax.identity()
    momentum = _numbers.check("momentum", momentum)

    def init(params: optax.Params) -> MomentumState:
        trace = _storage.coded(_tree.full(params, 0.0), storage, name="momentum_storage", signed=True)
        return MomentumState(jnp.zeros([], jnp.int32), trace)

    def update(updates, state, params=None):
        del params
        count = optax.safe_increment(_tree.state_of(MomentumState, state).count)

        def one(x, stored):
            x, b = _storage.decode(x, stored)
            b = _heavy_ball(b, x, momentum)
            return (_heavy_ball(b, x, momentum) if nesterov else b), *_storage.encode((b,), (stored,), x, count)

        updates, trace = _tree.lift(one, updates, state.trace)
        return updates, MomentumState(count, trace)

    return optax.GradientTransformation(init, update)


def nesterov_eval_params(state: optax.OptState, params: optax.Params, momentum: Any) -> optax.Params:
    r"""The parameters without Nesterov's look-ahead.

    .. math::
      \theta = p + momentum \cdot b

    Sutskever's form jumps by ``momentum·b``, takes the gradient there and corrects. optax's form, and ours, trains the
    parameters after the jump, so that the gradient is taken where they are, and both follow the same path; this takes
    the last jump back, for evaluation or for comparison with an implementation that keeps ``θ``.

    Args:
      state: of ``rmsprop(…, momentum=…, nesterov=True)`` or of a chain with it, with one momentum buffer of ours;
        ``optax.trace`` after the learning rate holds the other sign.
      params: what was trained, a tree of arrays.
      momentum: that of the transformation, in [0, 1); times the learning rate where ``lr_in_momentum`` is False.

    Returns:
      A tree like ``params``; what ``optax.masked`` keeps from the optimizer is as it was.

    Raises:
      ValueError: the state has no momentum buffer, or several, or ``momentum`` is out of its range.

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
    momentum = _numbers.check("momentum", momentum)
    traces = [x for path, x in optax.tree.get_all_with_path(state, "trace")]
    if len(traces) != 1:
        raise ValueError(
            f"the state must hold one momentum buffer, got {len(traces)}: without momentum the parameters are as "
            "they are, and the states of several optimizers are taken one by one."
        )

    def one(p, b):
        if b is None or isinstance(b, optax.MaskedNode):
            return p
        _, b = _storage.decode(p, b) if hasattr(b, "dtype") else (p, jax.lax.complex(*b))
        return (p.astype(b.dtype) + _numbers.cast(momentum, b.dtype) * b).astype(p.dtype)

    treedef: Any = jax.tree.structure(params)
    rows = zip(jax.tree.leaves(params), _tree.alike(treedef, traces[0]), strict=True)
    return jax.tree.unflatten(treedef, [one(jnp.asarray(p), b) for p, b in rows])


def _heavy_ball(b: jax.Array, x: jax.Array, momentum: Any) -> jax.Array:
    return _numbers.cast(momentum, jnp.result_type(b)) * b + x
