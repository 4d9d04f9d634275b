"""What test_fuzz.py draws and runs: a setup compiled once, and thousands of streams of gradients through it."""

import contextlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import serialization
from rows import CORE, OPTIONS, PLAIN, STORED

from rmsprop_optax import float32_updates, rmsprop, with_remainder

STEPS = 8
ROWS = {row.name: row for row in (*PLAIN, *CORE, *OPTIONS, *STORED)}
WRAPPERS = {
    "none": lambda tx: tx,
    "masked": lambda tx: optax.masked(tx, lambda tree: jax.tree.map(lambda p: not idle("masked", p.shape), tree)),
    "MultiSteps": lambda tx: optax.MultiSteps(tx, 2).gradient_transformation(),
    "apply_if_finite": lambda tx: optax.apply_if_finite(tx, 1_000_000),
    "float32_updates": float32_updates,
    "with_remainder": with_remainder,
    "inject_hyperparams": lambda tx: tx,  # around the constructor, see Setup.transformation
}
# What a traced number is drawn from, as powers of ten; a decay and a momentum as 1 minus it.
RANGES = {
    "learning_rate": (-6, 1),
    "decay": (-6, 0),
    "momentum": (-3, 0),
    "eps": (-40, 0),
    "floor": (-8, 0),
    "l2": (-6, 0),
    "weight_decay": (-6, 0),
    "initial_scale": (-10, 1),
}


@dataclass(frozen=True)
class Leaf:
    """An array of a tree, before there is one."""

    shape: tuple[int, ...]
    dtype: str = "float32"


class Pair(NamedTuple):
    """A container that is neither a list nor a dict."""

    first: Any
    second: Any


@dataclass(frozen=True)
class Setup:
    """What is compiled once; its ``repr`` makes it again.

    Attributes:
      tree: containers of :class:`Leaf` and ``None``.
      options: of ``rmsprop``.
      row: a row of the contract instead, by name.
      traced: whether the numbers among the options are arrays, drawn anew for each case but for zeros.
      wrapper: one of :data:`WRAPPERS`.
      over: how cases are run together: "vmap" or "map", both compiled with a loop over the steps, or "eager".
      x64: whether float64 is on.
      seed: of everything that is drawn for the cases.
    """

    tree: Any
    options: dict[str, Any] = field(default_factory=dict)
    row: str | None = None
    traced: bool = False
    wrapper: str = "none"
    over: str = "vmap"
    x64: bool = False
    seed: int = 0

    def numbers(self, cases: int) -> dict[str, np.ndarray]:
        """The traced numbers of all cases."""
        rng = np.random.default_rng(self.seed)
        out = {}
        for name, value in self.options.items():
            if self.traced and name in RANGES and isinstance(value, float):
                drawn = 10.0 ** rng.uniform(*RANGES[name], cases)
                drawn = 1 - drawn if name in ("decay", "momentum") else drawn
                out[name] = (drawn * (value != 0)).astype(np.float32)
        return out

    def transformation(self, numbers: dict[str, Any]) -> optax.GradientTransformation:
        """For one case."""
        if self.row:
            return WRAPPERS[self.wrapper](ROWS[self.row]())
        options, make = self.options | numbers, rmsprop
        if self.wrapper == "inject_hyperparams":
            make = optax.inject_hyperparams(rmsprop, hyperparam_dtype=jnp.float32)
        tx = make(**options)
        if options.get("momentum_storage"):  # which is for real buffers
            parts = {"real": tx, "complex": make(**options | {"momentum_storage": None})}
            tx = optax.partition(
                parts, lambda tree: jax.tree.map(lambda x: "complex" if jnp.iscomplexobj(x) else "real", tree)
            )
        return WRAPPERS[self.wrapper](tx)

    def modes(self) -> contextlib.ExitStack:
        """The configuration of jax that it runs under."""
        stack = contextlib.ExitStack()
        stack.enter_context(jax.enable_x64(self.x64))
        if self.wrapper == "MultiSteps":  # optax itself divides a float32 by an int32
            stack.enter_context(jax.numpy_dtype_promotion("standard"))
        return stack


def idle(wrapper: str, shape: tuple[int, ...]) -> bool:
    """Whether a leaf is left out by the wrapper."""
    return wrapper == "masked" and len(shape) == 1


def added(p: jax.Array, u: jax.Array) -> jax.Array:
    """``optax.apply_updates``, under strict promotion."""
    dtype = np.promote_types(p.dtype, u.dtype)
    return (p.astype(dtype) + u.astype(dtype)).astype(p.dtype)


class Program:
    """A setup, compiled; arrays go in and come out as lists of leaves, whose first axis is the case."""

    def __init__(self, setup: Setup, tree: Any):
        self.setup, self.treedef = setup, jax.tree.structure(tree)
        self.leaves = jax.tree.leaves(tree)
        self.paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(tree)]

        def start(numbers, params):
            return setup.transformation(numbers).init(params)

        def step(numbers, params, state, grads):
            updates, state = setup.transformation(numbers).update(grads, state, params)
            return updates, (jax.tree.map(added, params, updates), state)

        def advance(numbers, params, state, grads, low, high):
            def body(t, carry):
                updates, after = step(numbers, *carry[1], jax.tree.map(lambda g: g[t], grads))
                return jax.tree.map(lambda out, u: out.at[t].set(u), carry[0], updates), after

            kinds = jax.eval_shape(step, numbers, params, state, jax.tree.map(lambda g: g[0], grads))[0]
            updates = jax.tree.map(lambda u, g: jnp.zeros((len(g), *u.shape), u.dtype), kinds, grads)
            return jax.lax.fori_loop(low, high, body, (updates, (params, state)))

        def one_by_one(numbers, params, state, grads, low, high):
            return jax.lax.map(lambda x: advance(*x, low, high), (numbers, params, state, grads))

        def eager(numbers, params, state, grads, low, high):
            rows = [jax.tree.map(lambda g: jnp.zeros_like(g[:, 0]), grads)] * low
            for t in range(low, high):
                now = jax.tree.map(lambda g, t=t: g[:, t], grads)
                updates, (params, state) = jax.vmap(step)(numbers, params, state, now)
                rows.append(updates)
            return jax.tree.map(lambda *u: jnp.stack(u, 1), *rows), (params, state)

        together = jax.jit(jax.vmap(advance, in_axes=(0, 0, 0, 0, None, None)))
        self._advance = {"vmap": together, "map": jax.jit(one_by_one), "eager": eager}[setup.over]
        self._start = jax.vmap(start) if setup.over == "eager" else jax.jit(jax.vmap(start))

    def run(self, numbers, params, grads, cut=None):
        """The updates of all steps, the state at the end and its paths; saved and restored after ``cut`` steps."""
        with self.setup.modes():
            params, grads = (jax.tree.unflatten(self.treedef, jax.device_put(x)) for x in (params, grads))
            numbers = jax.device_put(numbers)
            state = self._start(numbers, params)
            parts, steps = [], jax.tree.leaves(grads)[0].shape[1]
            for low, high in ((0, steps),) if cut is None else ((0, cut), (cut, steps)):
                updates, after = self._advance(numbers, params, state, grads, low, high)
                parts.append([np.asarray(u)[:, low:high] for u in jax.tree.leaves(updates)])
                params, state = serialization.from_bytes(after, serialization.to_bytes(after)) if cut else after
            updates = [np.concatenate(u, 1) for u in zip(*parts, strict=True)]
            found = [
                (jax.tree_util.keystr(path), np.asarray(x)) for path, x in jax.tree_util.tree_leaves_with_path(state)
            ]
            return updates, found


# Gradients


def limits(dtype: str) -> tuple[float, float, float]:
    """The smallest subnormal, the smallest normal and the largest number of a dtype."""
    info = jnp.finfo(dtype)
    return float(info.smallest_subnormal), float(info.tiny), float(info.max)


def rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    """To a dtype, without overflow."""
    most = limits(dtype)[2]
    if np.iscomplexobj(x):
        return (np.clip(x.real, -most, most) + 1j * np.clip(x.imag, -most, most)).astype(dtype)
    return np.clip(x, -most, most).astype(jnp.dtype(dtype))


def wild(rng: np.random.Generator, shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    """Cases × steps × entries: every entry a kind of stream of its own, over the whole range of the dtype."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        real = {"complex64": "float32", "complex128": "float64"}[dtype]
        return (wild(rng, shape, real) + 1j * wild(rng, shape, real)).astype(dtype)
    least, _, most = limits(dtype)
    cases, steps, entries = shape
    low, high = np.log10(least), np.log10(most)
    normal = rng.standard_normal(shape)
    sign = np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    own = 10 ** rng.uniform(low, high, (cases, 1, entries))
    each = 10 ** rng.uniform(low, high, shape)
    large = 10 ** rng.uniform(high / 2, high, (cases, 1, entries))
    at = np.arange(steps)[:, None] == rng.integers(0, steps, (cases, 1, entries))
    kinds = [
        normal,
        np.clip(normal * own, -most, most),
        sign * each,
        np.broadcast_to(own, shape),
        np.zeros(shape),
        normal * (rng.random(shape) < 0.2),
        sign * least * rng.integers(1, 1000, shape),
        np.where(at, sign * large, normal),
        most * rng.integers(-1, 2, shape),
    ]
    return rounded(np.choose(rng.integers(0, len(kinds), (cases, 1, entries)), kinds), dtype)


def tame(rng: np.random.Generator, shape: tuple[int, int, int], dtype: str, low: int, high: int) -> np.ndarray:
    """Likewise, of magnitudes from ten to the ``low`` to ten to the ``high``, and zeros."""
    sign = np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    values = sign * 10 ** rng.uniform(low, high, shape) * (rng.random(shape) < 0.8)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        values = values * np.exp(1j * rng.uniform(0, 7, shape))
    return rounded(values, dtype)


def clamped(g: np.ndarray, wide: str) -> np.ndarray:
    """What the core takes a gradient for: the square of each part stays below a 256th of the largest number."""
    most = limits(wide)[2] ** 0.5 / 16
    if np.iscomplexobj(g):
        return np.clip(g.real, -most, most) + 1j * np.clip(g.imag, -most, most)
    return np.clip(g, -most, most)


def least_root(wide: str) -> float:
    """The denominator without an epsilon where nothing was seen."""
    return limits(wide)[1] ** 0.5


def representable(options: dict[str, Any], g: np.ndarray, p: np.ndarray, dtype: str, wide: str) -> np.ndarray:
    """Where the update and all before it are within a quarter of the largest number, by exact arithmetic.

    A variance is exact but for the rounding of the gradients and their mean, which may be all of it. The denominator is
    the least that rounding leaves, and sums are those of absolute values: a step that is too long here cancels nothing.

    Args:
      options: numbers, or one for each case.
      g: cases × steps × entries.
      p: cases × entries.
      dtype: of the update.
      wide: of the maths.
    """
    exact = {"float64": np.longdouble, "complex128": np.clongdouble, "complex64": np.complex128}.get(wide, np.float64)
    g, p = g.astype(exact), p.astype(exact)
    numbers = {"decay": 0.9, "eps": 1e-8} | {k: v for k, v in options.items() if k in RANGES and v is not None}
    o = {
        k: np.asarray(v, np.longdouble if wide in ("float64", "complex128") else np.float64) for k, v in numbers.items()
    }
    o = {k: v[:, None] if v.ndim else v for k, v in o.items()}
    zero = np.zeros(p.shape)
    lr, m, first = o["learning_rate"], o.get("momentum", zero), options.get("lr_in_momentum", True)
    inside, beside = (o["eps"], 0.0) if options.get("eps_in_sqrt", True) else (0.0, o["eps"])
    nu, mu, b = zero + o.get("initial_scale", 0.0), zero, zero
    peak, doubt, longest_b, reach = zero, zero, zero, np.abs(p)
    widest, most = limits(wide)[2] / 4, limits(dtype)[2] / 4
    fine = np.ones(g.shape, bool)
    for t in range(g.shape[1]):
        x = clamped(g[:, t] + o.get("l2", 0.0) * p, wide)
        sizes = [np.abs(g[:, t]) + o["l2"] * reach] if "l2" in o else []
        rate = 1 - o["decay"]
        if options.get("bias_correction"):
            rate = rate / (1 - o["decay"] ** (t + 1))
        if options.get("centered"):
            d = x - mu
            mu = mu + rate * d
            nu = (1 - rate) * (nu + rate * np.abs(d) ** 2)
            peak = np.maximum(peak, np.abs(x))
            odds = np.where(rate < 1, rate / np.where(rate < 1, 1 - rate, 1), 0)
            doubt = (1 - rate) * doubt + odds * (2 * (t + 1) * float(jnp.finfo(wide).eps) * peak) ** 2
        else:
            nu = nu + rate * (np.abs(x) ** 2 - nu)
        root = np.maximum(np.sqrt(nu) - np.sqrt(doubt), 0)
        below = np.maximum(np.sqrt(root**2 + inside) + beside, np.maximum(o.get("floor", 0.0), least_root(wide)))
        x = x / below
        sizes.append(np.abs(x))
        x = lr * x if first else x
        b, longest_b = m * b + x, m * longest_b + np.abs(x)
        u, longest = (m * b + x, m * longest_b + np.abs(x)) if options.get("nesterov") else (b, longest_b)
        sizes.append(longest)
        u, longest = (u, longest) if first else (lr * u, lr * longest)
        decay = lr * o.get("weight_decay", 0.0)
        u, longest = u + decay * p, longest + decay * reach
        p, reach = p - u, reach + longest
        fine[:, t] = np.all([size < widest for size in sizes], 0) & (np.maximum(longest, reach) < most)
    return np.logical_and.accumulate(fine, 1)
