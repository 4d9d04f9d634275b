"""What several dialects chain before or behind the rule, and the words that they check it with."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_optax import _numbers, _tree


def rate(name: str, learning_rate: Any) -> Any:
    """A learning rate or a schedule of it, checked under the framework's name."""
    return _numbers.check("learning_rate", learning_rate, name=name, schedule=True)


def penalty(name: str, weight_decay: Any) -> Any:
    """An ``l2`` or a schedule of it, checked under the framework's name; ``None`` where it is off."""
    return _numbers.check_unless_off("l2", weight_decay, name=name, schedule=True)


def under_root(name: str, epsilon: Any) -> dict[str, Any]:
    """The arguments of :func:`rmsprop_optax.rmsprop` for TensorFlow's place of epsilon."""
    return {"eps": 0.0, "eps_root": _numbers.check("eps_root", epsilon, name=name)}


def beside_root(name: str, epsilon: Any) -> dict[str, Any]:
    """The arguments of :func:`rmsprop_optax.rmsprop` for PyTorch's place of epsilon."""
    return {"eps": _numbers.check("eps", epsilon, name=name), "eps_root": 0.0}


def clip(
    name: str,
    bound: Any,
    link: Callable[[Any], optax.GradientTransformation],
    free: optax.GradientTransformation | None = None,
) -> optax.GradientTransformation:
    """``link(bound)``, and ``free`` or nothing at all where ``bound`` is off; a dynamic 0 bounds nothing either."""
    bound = _numbers.check_unless_off("clip", bound, name=name)
    if bound is None:
        return optax.identity() if free is None else free
    return link(bound if _numbers.is_static(bound) else jnp.where(bound == 0, jnp.finfo(bound.dtype).max, bound))


def by_norm_of_each(bound: Any) -> optax.GradientTransformation:
    """Scale each array down to a Euclidean norm of ``bound``."""

    def one(g: jax.Array) -> jax.Array:
        norm = optax.tree.norm(g)
        limit = jnp.asarray(bound, norm.dtype)
        return g * (limit / jnp.maximum(norm, limit)).astype(g.dtype)

    return optax.stateless(lambda updates, _: jax.tree.map(one, updates))


def parameters_within(bound: Any) -> optax.GradientTransformation:
    """Let an update move no parameter beyond ``±bound``, but for a rounding; the last link of a chain.

    Raises:
      ValueError: at ``update``, there are no parameters.
    """

    def one(u, p):
        p = jnp.asarray(p, u.dtype)
        moved, limit = p + u, jnp.asarray(bound, _numbers.real(u.dtype))
        return jnp.where(jnp.abs(moved) > limit, jnp.sign(moved) * limit.astype(u.dtype) - p, u), p

    return optax.stateless(lambda updates, params: _tree.lift(one, updates, _needed(params))[0])


def inverse_time(name: str, learning_rate: Any, decay: Any) -> Any:
    """``learning_rate / (1 + decay·t)`` as a schedule, the first step being 0; the rate itself where decay is off."""
    learning_rate = rate(name, learning_rate)
    decay = _numbers.check_unless_off("time_decay", decay, name="decay")
    if decay is None:
        return learning_rate

    def schedule(count: jax.Array) -> jax.Array:
        now = learning_rate(count) if callable(learning_rate) else learning_rate
        now = jnp.asarray(now, jnp.result_type(float))
        return now / (1 + _numbers.cast(decay, now.dtype) * count.astype(now.dtype))

    return schedule


def add_signs(name: str, l1: Any) -> optax.GradientTransformation:
    """``g + l1·sign(p)``, the gradient of a penalty on absolute values; nothing at all where ``l1`` is off."""
    l1 = _numbers.check_unless_off("l2", l1, name=name)
    if l1 is None:
        return optax.identity()

    def one(u, p):
        return u + _numbers.cast(l1, u.dtype) * jnp.sign(jnp.asarray(p, u.dtype)), p

    return optax.stateless(lambda updates, params: _tree.lift(one, updates, _needed(params))[0])


def parse(version: str, *, since: tuple[int, ...], until: tuple[int, ...]) -> tuple[int, ...]:
    """A version in digits and dots, as numbers that compare.

    Args:
      version: what the user gave.
      since: the first that the rule is known of.
      until: the last, with all that begin like it.

    Raises:
      ValueError: it is not one, or out of the range.
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


def refuse(framework: str, **ignored: Any) -> None:
    """Raise for an option that the framework has in its signature and nowhere else.

    Raises:
      ValueError: naming it.
    """
    for name, value in ignored.items():
        if not _numbers.is_off(value):
            raise ValueError(
                f"{framework} has no {name} but in its signature, got {name}={value!r}: drop it. (Under "
                "optax.inject_hyperparams a 0 is an array like any other: name it in static_args.)"
            )
