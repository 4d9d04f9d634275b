"""Leave out updates: entries that do not descend, or whole arrays at random."""

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _formats, _numbers, _tree
from rmsprop_optax._arguments import checked, optimizer
from rmsprop_optax._numbers import Range
from rmsprop_optax._types import Number, Tree

_SKIP = Range(0, 1, "it is the share of the updates that are left out; 0.5 is usual")


def cautious(tx: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    r"""Leave out the entries of an update that do not descend, and scale the others up to the same mean size.

    .. math::
      m = 1(u \cdot g < 0), \qquad u \leftarrow u \cdot m / \max(\mathrm{mean}(m), 10^{-3})

    The mean is over each array. Buffers keep all entries. Without momentum or a weight decay every entry descends, and
    nothing changes.

    Args:
      tx: a whole optimizer, whose updates are added to the parameters.

    Returns:
      A transformation with the state of ``tx``.

    Raises:
      TypeError: ``tx`` is not a transformation.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from rmsprop_optax import rmsprop
      >>> tx = cautious(rmsprop(0.1, momentum=0.9))
      >>> state = tx.init(jnp.zeros(2))
      >>> for g in ([1.0, 1.0], [1.0, -0.5]):
      ...     updates, state = tx.update(jnp.array(g), state)
      >>> [round(float(u) + 0.0, 4) for u in updates]  # the second buffer still points the other way
      [-1.028, 0.0]

    Source:
      Liang, Chen, Liu and Liu, arXiv:2411.16085; the 10⁻³ is their code's and timm's.
    """
    tx = optimizer(tx)

    def keep(u: Any, g: Any) -> Any:
        if u is None:
            return None
        descends = (jnp.real(u) * jnp.real(g) + jnp.imag(u) * jnp.imag(g) < 0).astype(_numbers.real(u.dtype))
        return u * (descends / jnp.maximum(jnp.mean(descends), 1e-3)).astype(u.dtype)

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        steps, state = tx.update(updates, state, params, **extra_args)
        return jax.tree.map(keep, steps, updates, is_leaf=_tree.is_none), state

    return optax.GradientTransformationExtraArgs(tx.init, update)


class SkipUpdatesState(NamedTuple):
    """The state of :func:`skip_updates`.

    Attributes:
      count: int32 scalar, the number of updates so far.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax's states


@checked(skip=_SKIP)
def skip_updates(skip: Number = 0.5, *, key: int | jax.Array = 0) -> optax.GradientTransformationExtraArgs:
    r"""Leave out the updates of random arrays, and scale the others up so that updates are unbiased.

    .. math::
      z_b \sim \mathrm{Bernoulli}(1 - skip), \qquad u_b \leftarrow u_b \cdot z_b / (1 - skip)

    Chain this link last, so that every mean square and every buffer sees every gradient. See :func:`magma` for reported
    results.

    Args:
      skip: the probability that an array is left out, in [0, 1).
      key: a seed or a ``jax.random`` key. The step and the position of the array in the tree are folded in, so a
        resumed run continues the same sequence, and the sequence does not depend on the sharding.

    Returns:
      A transformation with a :class:`SkipUpdatesState`.

    Raises:
      ValueError: ``skip`` is out of its range.
      TypeError: ``skip`` is not a number.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = skip_updates(0.5)
      >>> state = tx.init(jnp.ones(2))
      >>> for _ in range(4):
      ...     updates, state = tx.update(jnp.ones(2), state)
      ...     print(*updates)
      2.0 2.0
      0.0 0.0
      2.0 2.0
      0.0 0.0

    Source:
      Joo et al., arXiv:2602.15322, algorithm 1: SkipUpdate.
    """

    def init(params: optax.Params) -> SkipUpdatesState:
        del params
        return SkipUpdatesState(jnp.zeros([], jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        count = _tree.state_of(SkipUpdatesState, state).count
        kept = 1 - skip
        updates = _thinned(updates, lambda z, u: z / _numbers.cast(kept, z.dtype), key, count, kept, updates)
        return updates, SkipUpdatesState(optax.safe_increment(count))

    return _tree.in_float32(optax.GradientTransformation(init, update))


class MagmaState(NamedTuple):
    """The state of :func:`magma`; all fields change with every update.

    Attributes:
      count: int32 scalar, the number of updates so far.
      mu: arrays like the parameters, float32 or wider: the mean of the gradients.
      score: a real scalar for each array: the agreement of its gradients with their mean, 0 to 1; 0 at first.
      inner: the state of the optimizer.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count, as in optax's states
    mu: Tree
    score: Tree
    inner: optax.OptState


@checked(
    skip=_SKIP,
    smoothing="decay",
    temperature=Range(1e-30, inf, "it divides the cosine of gradient and momentum; 2 is usual"),
)
def magma(
    tx: optax.GradientTransformation,
    *,
    momentum: Number = 0.9,
    temperature: Number = 2.0,
    smoothing: Number = 0.9,
    skip: Number = 0.5,
    key: int | jax.Array = 0,
) -> optax.GradientTransformationExtraArgs:
    r"""Leave out the updates of random arrays, and scale the others by the agreement of gradient and momentum.

    .. math::
      m_b &= momentum \cdot m_b + (1 - momentum) \cdot g_b \\
      s_b &= smoothing \cdot s_b + (1 - smoothing) \cdot \mathrm{sigmoid}(\cos(m_b, g_b) / temperature) \\
      u_b &\leftarrow s_b \cdot z_b \cdot u_b, \qquad z_b \sim \mathrm{Bernoulli}(1 - skip)

    A block b is an array of the tree. Gradients that agree with their mean have a score of 0.62, so a step is on
    average 0.31 of the optimizer's, and less in the first 20 steps: raise the learning rate. Use ``optax.partition`` to
    leave out embeddings and other arrays.

    The paper reports a perplexity on C4, with 1B parameters, of 13.19 for RMSprop with Magma, 16.35 for Adam and 14.52
    for Muon. Other groups did not reproduce the gain: in microsoft/dion#27 Magma was worse than NorMuon in the speedrun
    of nanoGPT, and with 1B parameters and 100B tokens it "started out superior but gradually fell behind". That pull
    request and KellerJordan/modded-nanogpt#243 were closed without a merge.

    Args:
      tx: a whole optimizer, or any transformation.
      momentum: the weight of the old mean gradient, in [0, 1).
      temperature: divides the cosine, above 0.
      smoothing: the weight of the old score, in [0, 1).
      skip: the probability that an array is left out, in [0, 1).
      key: a seed or a ``jax.random`` key, as in :func:`skip_updates`.

    Returns:
      A transformation with a :class:`MagmaState`: 4 bytes a parameter more than ``tx``.

    Raises:
      ValueError: a number is out of its range.
      TypeError: an option is not a number, or ``tx`` is not a transformation.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from rmsprop_optax import dialects
      >>> tx, params = magma(dialects.pytorch()), jnp.ones(2)
      >>> _, state = tx.update(params, tx.init(params))
      >>> round(float(state.score), 4)  # 0.1·sigmoid(1/2)
      0.0622

    Source:
      Joo et al., arXiv:2602.15322, algorithm 1: Magma, with its numbers.
    """
    tx, share = optimizer(tx), 0.0 if momentum is None else momentum

    def init(params: optax.Params) -> MagmaState:
        mu = _tree.full(params, 0.0)
        score = jax.tree.map(lambda m: jnp.zeros([], _numbers.real(m.dtype)), mu)
        return MagmaState(jnp.zeros([], jnp.int32), mu, score, tx.init(params))

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        count = _tree.state_of(MagmaState, state).count

        def average(g: jax.Array, stored: jax.Array) -> tuple[Any, ...]:
            g, mu = _formats.decode(g, stored)
            return g, (mu + (1 - _numbers.cast(share, mu.dtype)) * (g - mu)).astype(stored.dtype)

        def scored(g: Any, m: Any, s: Any) -> Any:
            if g is None:
                return s
            m = m.astype(g.dtype)
            size = jnp.sqrt(_dot(m, m)) * jnp.sqrt(_dot(g, g))
            agreement = jax.nn.sigmoid(jnp.where(size > 0, _dot(m, g) / jnp.where(size > 0, size, 1), 0) / temperature)
            weight = _numbers.cast(smoothing, s.dtype)
            return weight * s + (1 - weight) * agreement.astype(s.dtype)

        wide, mu = _tree.lift(average, updates, state.mu)
        score = jax.tree.map(scored, wide, mu, state.score, is_leaf=_tree.is_none)
        steps, inner = tx.update(updates, state.inner, params, **extra_args)
        steps = _thinned(steps, lambda z, s: z * s.astype(z.dtype), key, count, 1 - skip, score)
        return steps, MagmaState(optax.safe_increment(count), mu, score, inner)

    return optax.GradientTransformationExtraArgs(init, update)


def _thinned(
    updates: Any, factor: Callable[[Any, Any], Any], key: Any, count: Any, kept: Any, others: Any
) -> optax.Updates:
    """Multiply each array by ``factor(z, other)``, where ``z`` is 1 with the probability ``kept``, and 0 otherwise."""
    key = jax.random.fold_in(jax.random.key(key) if isinstance(key, int) else key, count)
    leaves = jax.tree.leaves(updates, is_leaf=_tree.is_none)
    treedef: Any = jax.tree.structure(updates, is_leaf=_tree.is_none)

    def one(i: int, u: Any, other: Any) -> Any:
        if u is None:
            return None
        z = jax.random.uniform(jax.random.fold_in(key, i), (), jnp.float32) < kept
        return u * factor(z.astype(_numbers.real(u.dtype)), other).astype(u.dtype)

    rows = zip(leaves, treedef.flatten_up_to(others), strict=True)
    thinned: optax.Updates = treedef.unflatten([one(i, u, other) for i, (u, other) in enumerate(rows)])
    return thinned


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.sum(jnp.real(a) * jnp.real(b) + jnp.imag(a) * jnp.imag(b))
