"""The formats that a state array is kept in, and the rounding to them."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmsprop_optax import _numbers
from rmsprop_optax._bits import from_bits, to_bits
from rmsprop_optax._types import PerLeaf, Storage, Tree

_NEAREST = np.uint32(1 << 31)  # in place of 32 random bits: the middle, which rounds to nearest


class Format(NamedTuple):
    """A way to store real numbers.

    Attributes:
      decode: from the stored array to float32 or wider.
      encode: from an array in float32 or wider, and 32 random bits for each entry, to the stored one.
      signed: whether it holds negative numbers.
    """

    decode: Callable[[jax.Array], jax.Array]
    encode: Callable[[jax.Array, Any], jax.Array]
    signed: bool


def _within(x: jax.Array, low: float, high: float) -> jax.Array:
    """``jnp.clip``, which XLA:CPU does not vectorise."""
    return jnp.where(x < low, low, jnp.where(x > high, high, x))


def _to_float32(x: jax.Array) -> jax.Array:
    """A finite number stays finite, also from float64."""
    if x.dtype == jnp.float32:
        return x
    most = float(jnp.finfo(jnp.float32).max)
    return jnp.where(jnp.isfinite(x), _within(x, -most, most), x).astype(jnp.float32)


def _to_bfloat16(x: jax.Array, noise: Any) -> jax.Array:
    """Add noise below the last kept bit and cut there. A finite number stays finite."""
    x = _to_float32(x)
    most = float(jnp.finfo(jnp.bfloat16).max)
    rounded = from_bits((to_bits(x, jnp.uint32) + (noise >> 16)) & np.uint32(0xFFFF0000))
    return jnp.where(jnp.isfinite(x), _within(rounded, -most, most), x).astype(jnp.bfloat16)


# A float32 without its sign, with 6 of its exponent bits and 2 of its mantissa bits: code c is the number whose bits
# are (c + 308) << 21. Code 0 is 0, and 255 what is not finite.
_SHIFT, _OFFSET = np.uint32(21), np.uint32(308)


def _from_uint8(code: jax.Array) -> jax.Array:
    value = from_bits((code.astype(jnp.uint32) + _OFFSET) << _SHIFT)
    return jnp.where(code == 0, 0.0, jnp.where(code == 255, jnp.nan, value))


def _to_uint8(x: jax.Array, noise: Any) -> jax.Array:
    """Add noise and cut, as for bfloat16. A positive number does not become 0, which would divide a step by epsilon.

    XLA:TPU fuses a second result with the first only if it ends in floating point, so the code becomes a float32 on the
    way: the integer b in the mantissa of 2²³ is the number 2²³ + b.
    """
    x = _to_float32(x)
    b = (to_bits(x, jnp.uint32) + (noise >> 11)) >> _SHIFT
    code = from_bits(b | np.uint32(0x4B000000)) - np.float32(2**23 + int(_OFFSET))
    code = jnp.where(x > 0, _within(code, 1.0, 254.0), 0.0)
    return jnp.where(x < jnp.inf, code, 255.0).astype(jnp.uint8)


def _as_it_is(x: jax.Array, noise: Any = None) -> jax.Array:
    del noise
    return x


_WHOLE = Format(_as_it_is, _as_it_is, signed=True)

FORMATS: dict[str, Format] = {
    "float32": Format(_as_it_is, lambda x, noise: _to_float32(x), signed=True),
    "bfloat16": Format(lambda x: x.astype(jnp.float32), _to_bfloat16, signed=True),
    "uint8": Format(_from_uint8, _to_uint8, signed=False),
}
"""The names that an argument called ``storage`` takes → :class:`Format`."""


def _is_none(x: Any) -> bool:
    return x is None


def check(storage: Storage, *, name: str = "storage", signed: bool = False) -> None:
    """Raise unless ``storage`` is ``None``, a name, a :class:`PerLeaf` or a tree of names.

    Raises:
      ValueError: it names no format, or one that cannot hold negative numbers where there are some.
    """
    if isinstance(storage, PerLeaf) or storage is None:
        return
    fitting = [key for key, form in FORMATS.items() if form.signed or not signed]
    names = jax.tree.leaves(storage, is_leaf=_is_none)
    if not names or not all(key is None or (isinstance(key, str) and key in fitting) for key in names):
        raise ValueError(
            f"{name} must be None, one of {', '.join(fitting)}, a tree of these or a storage.PerLeaf, got "
            f"{name}={storage!r}."
        )


def coded(tree: Tree, storage: Storage, *, name: str = "storage", signed: bool = False) -> Tree:
    """A tree of arrays in the formats that ``storage`` chooses, rounded to nearest.

    Raises:
      ValueError: ``storage`` chooses no format, or is no prefix of the tree.
      TypeError: a format is chosen for a complex array.
    """

    def leaf(path: Any, x: jax.Array, form: Any) -> jax.Array:
        its = f"{name} of {jax.tree_util.keystr(path)}"
        check(form, name=its, signed=signed)
        if form is None:
            return x
        if jnp.iscomplexobj(x):
            raise TypeError(f"{its}={form!r} holds real numbers, got {x.dtype}: choose None, see storage.PerLeaf.")
        return FORMATS[form].encode(x, _NEAREST)

    if isinstance(storage, PerLeaf):
        choose = storage.choose
        choices = jax.tree.map_with_path(lambda path, x: choose(jax.tree_util.keystr(path), x), tree)
    else:
        try:
            choices = jax.tree.map(
                lambda form, part: jax.tree.map(lambda _: form, part), storage, tree, is_leaf=_is_none
            )
        except ValueError as error:
            raise ValueError(
                f"{name} must be a tree of names that is a prefix of the parameters, got {name}={storage!r}: "
                f"{str(error).splitlines()[0]}; or choose with a storage.PerLeaf."
            ) from error
    return jax.tree.map_with_path(leaf, tree, choices)


def _format(stored: jax.Array) -> Format:
    """The format of an array, by its dtype."""
    form = FORMATS.get(str(stored.dtype))
    if form is None and not (jnp.issubdtype(stored.dtype, jnp.inexact) and stored.dtype.itemsize >= 4):
        raise TypeError(
            f"a state array must be in float32, float64 or one of {', '.join(FORMATS)}, got {stored.dtype}: restore it "
            "in the dtype that it was saved in."
        )
    return form or _WHOLE


def is_short(stored: jax.Array) -> bool:
    """Whether an array is rounded when it is written."""
    return str(stored.dtype) in FORMATS and stored.dtype.itemsize < 4


def decode(g: jax.Array, *stored: jax.Array | None) -> tuple[Any, ...]:
    """The gradient and the arrays stored beside it, in the widest of their dtypes; ``None`` is a state that is off."""
    values = [None if s is None else decoded(s) for s in stored]
    dtype = functools.reduce(np.promote_types, (v.dtype for v in values if v is not None), g.dtype)
    real = _numbers.real(dtype)
    return g.astype(dtype), *(None if v is None else v.astype(dtype if jnp.iscomplexobj(v) else real) for v in values)


def encode(values: Sequence[Any], like: Sequence[jax.Array | None], g: jax.Array, count: jax.Array) -> tuple[Any, ...]:
    """The values in the formats of ``like``, their old codes.

    The gradient ``g``, the step ``count``, the old codes and the positions decide which way numbers are rounded.
    """

    def one(value: Any, old: Any) -> Any:
        if old is None:
            return None
        noise = _noise(g, old, count) if is_short(old) else None
        return _format(old).encode(value, noise).astype(old.dtype)

    return tuple(map(one, values, like))


def decoded(stored: jax.Array) -> jax.Array:
    """A stored array in float32 or wider."""
    return _format(stored).decode(stored)


def top(like: Any) -> float:
    """The largest number in the format of ``like``; call this inside ``jax.enable_x64(True)``."""
    if str(like.dtype) not in FORMATS:
        return float(jnp.finfo(like.dtype).max)
    return float(decoded(nearest(jnp.asarray(np.finfo(np.float64).max), like)))


def nearest(x: jax.Array, like: Any) -> jax.Array:
    """``x`` rounded to the nearest number in the format of ``like``."""
    return _format(like).encode(x, _NEAREST).astype(like.dtype)


def _noise(g: jax.Array, old: jax.Array, count: jax.Array) -> jax.Array:
    """32 bits for each entry that pass for random.

    Without the step constant gradients freeze. Without the position all zero gradients round alike, and the mean of an
    array drifts. The last 12 bits of a gradient are left out, so that another order of summation in a clipping norm
    does not change the noise of a whole array. Positions are added unmultiplied: XLA computes products of them in
    kernels of their own.
    """
    step = count.astype(jnp.uint32) * np.uint32(0x9E3779B9) + np.uint32(0x68E31DA4)
    step = (step ^ (step >> 16)) * np.uint32(0x85EBCA6B)
    step = step ^ (step >> 13)
    gradient = (
        to_bits(g.real, jnp.uint32) ^ (to_bits(g.imag, jnp.uint32) >> 1)
        if jnp.iscomplexobj(g)
        else to_bits(g, jnp.uint32)
    )
    gradient = gradient & np.uint32(0xFFFFF000)
    width = 8 * old.dtype.itemsize
    code = jax.lax.bitcast_convert_type(old, jnp.dtype(f"uint{width}")).astype(jnp.uint32)
    h = (gradient ^ step) + (code << (32 - width))
    for axis, shift, factor in ((-1, 16, 0x7FEB352D), (-2, 15, 0x846CA68B)):
        if h.ndim >= -axis:
            h = h + jax.lax.broadcasted_iota(jnp.uint32, h.shape, h.ndim + axis)
        h = (h ^ (h >> shift)) * np.uint32(factor)
    return h  # only its upper bits are used, which the usual last shift would leave as they are
