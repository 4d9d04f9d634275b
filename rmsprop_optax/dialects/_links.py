"""Links that several dialects chain before or after the rule, and words that several frameworks share."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers, _tree

TORCH = {"lr": "learning_rate", "alpha": "decay", "weight_decay": "l2"}
KERAS = {"rho": "decay", "epsilon": "eps", "clipnorm": "clip", "clipvalue": "clip", "global_clipnorm": "clip"}


def clip(bound: Any, link: Callable[[Any], optax.GradientTransformation]) -> optax.GradientTransformation | None:
    """``link(bound)``, or ``None`` for ``None``; an array of 0 clips nothing."""
    if bound is None or isinstance(bound, float):
        return None if bound is None else link(bound)
    if not jnp.issubdtype(bound.dtype, jnp.floating):
        bound = bound.astype(jnp.result_type(float))
    return link(jnp.where(bound == 0, jnp.finfo(bound.dtype).max, bound))


def by_norm_of_each(bound: Any) -> optax.GradientTransformation:
    """Scale each array down to a Euclidean norm of ``bound``."""

    def one(g: jax.Array) -> jax.Array:
        norm = optax.tree.norm(g)
        limit = jnp.asarray(bound, norm.dtype)
        return g * (limit / jnp.maximum(norm, limit)).astype(g.dtype)

    return optax.stateless(lambda updates, _: jax.tree.map(one, updates))


def to_share_of_parameters(share: Any, smallest: Any) -> optax.GradientTransformation:
    """Scale each array down to a Euclidean norm of ``share·max(‖p‖, smallest)``.

    Raises:
      ValueError: at ``update``, there are no parameters.
    """

    def one(u: jax.Array, p: Any) -> tuple[Any, ...]:
        norm, whole = optax.tree.norm(u), optax.tree.norm(jnp.asarray(p, u.dtype))
        least, factor = (_numbers.cast(x, norm.dtype) for x in (0.0 if smallest is None else smallest, share))
        limit = factor * jnp.maximum(whole, least)
        return u * jnp.where(norm > limit, limit / norm, 1).astype(u.dtype), p

    return optax.stateless(lambda updates, params: _tree.lift(one, updates, _needed(params))[0])


def parameters_within(bound: Any) -> optax.GradientTransformation:
    """Keep parameters within ``±bound``, up to a rounding; the last link of a chain.

    Raises:
      ValueError: at ``update``, there are no parameters.
    """

    def one(u: jax.Array, p: Any) -> tuple[Any, ...]:
        p = jnp.asarray(p, u.dtype)
        moved, limit = p + u, jnp.asarray(bound, _numbers.real(u.dtype))
        return jnp.where(jnp.abs(moved) > limit, jnp.sign(moved) * limit.astype(u.dtype) - p, u), p

    return optax.stateless(lambda updates, params: _tree.lift(one, updates, _needed(params))[0])


def inverse_time(learning_rate: Any, decay: Any) -> Any:
    """The schedule ``learning_rate / (1 + decay·t)`` from ``t = 0`` on; the rate itself if ``decay`` is ``None``."""
    if decay is None:
        return learning_rate

    def schedule(count: jax.Array) -> jax.Array:
        now = learning_rate(count) if callable(learning_rate) else learning_rate
        now = jnp.asarray(now, jnp.result_type(float))
        slower: jax.Array = now / (1 + _numbers.cast(decay, now.dtype) * count.astype(now.dtype))
        return slower

    return schedule


def add_signs(l1: Any) -> optax.GradientTransformation | None:
    """``g + l1·sign(p)``, the gradient of a penalty on absolute values; ``None`` for ``None``."""
    if l1 is None:
        return None

    def one(u: jax.Array, p: Any) -> tuple[Any, ...]:
        return u + _numbers.cast(l1, u.dtype) * jnp.sign(jnp.asarray(p, u.dtype)), p

    return optax.stateless(lambda updates, params: _tree.lift(one, updates, _needed(params))[0])


def parse(version: str, *, since: tuple[int, ...], until: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of a version, to compare versions.

    Args:
      version: digits and dots.
      since: the first version that is allowed.
      until: the last version that is allowed; a longer version may begin with it.

    Raises:
      ValueError: ``version`` has another form or is out of the range.
    """
    first, last = (".".join(map(str, end)) for end in (since, until))
    try:
        release = tuple(int(part) for part in version.split("."))
    except (AttributeError, ValueError):
        release = ()
    if not since <= release or release[: len(until)] > until:
        raise ValueError(f'version must be digits and dots from "{first}" to "{last}", got {version!r}.')
    return release


def _needed(params: Any) -> Any:
    if params is None:
        raise ValueError("the rule needs the parameters, got params=None: call update(grads, state, params).")
    return params
