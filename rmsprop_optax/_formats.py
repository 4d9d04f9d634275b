"""The formats that a state array is kept in, and the rounding to them."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmsprop_optax import _numbers
from rmsprop_optax._types import Storage, Tree

_HALF = np.uint32(1 << 31)  # in place of 32 random bits: rounds to nearest


class Format(NamedTuple):
    """A way to store real numbers.

    Attributes:
      decode: from the stored array to float32.
      encode: from a float32 array, and 32 random bits for each entry, to the stored one.
      top: the largest number.
      signed: whether it holds negative numbers. An unsigned format is for mean squares; its ``top`` also stands for
        every larger number.
    """

    decode: Callable[[jax.Array], jax.Array]
    encode: Callable[[jax.Array, Any], jax.Array]
    top: float
    signed: bool = True


def to_bits(x: jax.Array, dtype: Any = jnp.uint32) -> jax.Array:
    return jax.lax.bitcast_convert_type(x.astype(jnp.float32), dtype)


def from_bits(bits: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _to_bfloat16(x: jax.Array, noise: Any) -> jax.Array:
    """Add noise below the last kept bit and cut there, except to a NaN, whose sign could be reached."""
    rounded = from_bits((to_bits(x) + (noise >> 16)) & np.uint32(0xFFFF0000))
    return jnp.where(jnp.isnan(x), x, rounded).astype(jnp.bfloat16)


# A float32 without its sign, with 6 of its exponent bits and 2 of its mantissa bits: code c is the number whose bits
# are (c + 308) << 21. Code 0 also stands for 0 and every smaller number: a step becomes smaller, and is not divided by
# epsilon alone.
_SHIFT, _OFFSET = np.uint32(21), np.uint32(308)


def _from_uint8(code: jax.Array) -> jax.Array:
    return from_bits((code.astype(jnp.uint32) + _OFFSET) << _SHIFT)


def _to_uint8(x: jax.Array, noise: Any) -> jax.Array:
    """Add noise and cut, as for bfloat16; a NaN becomes the top.

    XLA:TPU fuses a second result with the first only if it ends in floating point, so the code becomes a float32 on the
    way: the integer b in the mantissa of 2²³ is the number 2²³ + b.
    """
    b = jnp.clip((to_bits(x) + (noise >> 11)) >> _SHIFT, _OFFSET, _OFFSET + np.uint32(255))
    return (from_bits(b | np.uint32(0x4B000000)) - np.float32(2**23 + int(_OFFSET))).astype(jnp.uint8)


FORMATS: dict[str, Format] = {
    "float32": Format(lambda x: x, lambda x, noise: x, float(np.finfo(np.float32).max)),
    "bfloat16": Format(lambda x: x.astype(jnp.float32), _to_bfloat16, float(jnp.finfo(jnp.bfloat16).max)),
    "uint8": Format(_from_uint8, _to_uint8, 14336.0, signed=False),
}
"""The names that an argument called ``storage`` takes → :class:`Format`."""


def check(storage: Storage, *, signed: bool = False) -> None:
    """Raise ``ValueError`` unless ``storage`` is ``None`` or the name of a format that fits."""
    fitting = [name for name, form in FORMATS.items() if form.signed or not signed]
    if storage is not None and not (isinstance(storage, str) and storage in fitting):
        name = "momentum_storage" if signed else "storage"
        raise ValueError(f"{name} must be None or one of {', '.join(fitting)}, got {name}={storage!r}.")


def coded(tree: Tree, storage: Storage) -> Tree:
    """A tree of arrays in the format ``storage``, rounded to nearest; as it is for ``None``.

    Raises:
      TypeError: an array is complex, a momentum buffer of complex parameters.
    """

    def leaf(path: Any, x: jax.Array) -> Any:
        if jnp.iscomplexobj(x):
            raise TypeError(
                f"momentum_storage must be None for complex arrays, got {storage!r} for {jax.tree_util.keystr(path)} "
                f"of {x.dtype}: give complex parameters an optimizer without it, with optax.partition."
            )
        return nearest(decoded(x), storage)

    return tree if storage is None else jax.tree.map_with_path(leaf, tree)


def format_of(stored: Any) -> Format:
    """The format of an array, by its dtype; float64 and complex arrays are kept as they are."""
    form, dtype = FORMATS.get(str(stored.dtype)), stored.dtype
    if form is None and not (jnp.issubdtype(dtype, jnp.inexact) and dtype.itemsize >= 4):
        raise TypeError(
            f"a state array must be in float32, float64 or one of {', '.join(FORMATS)}, got {dtype}: restore it in the "
            "dtype that it was saved in."
        )
    return form or FORMATS["float32"]._replace(top=float(jnp.finfo(dtype).max))


def is_short(stored: jax.Array) -> bool:
    """Whether an array is rounded when it is written."""
    return stored.dtype.itemsize < 4


def decoded(stored: jax.Array) -> jax.Array:
    """A stored array in float32 or wider."""
    return format_of(stored).decode(stored)


def decode(g: jax.Array, *stored: jax.Array | None) -> tuple[Any, ...]:
    """The gradient and the arrays stored beside it, in the widest of their dtypes; ``None`` is a state that is off.

    A mean square at the top of an unsigned format is read as at least |g|². A steady gradient of any size then makes a
    step of 1.
    """
    values = [None if s is None else decoded(s) for s in stored]
    dtype = np.result_type(g.dtype, *(v.dtype for v in values if v is not None))
    g = g.astype(dtype)

    def one(stored: Any, value: Any) -> Any:
        if value is None:
            return None
        value = value.astype(dtype if jnp.iscomplexobj(value) else _numbers.real(dtype))
        if format_of(stored).signed:
            return value
        # A product and not a choice, whose sides would need one sharding where axes are explicit.
        square = (g * g.conj()).real * (value >= format_of(stored).top).astype(value.dtype)
        return jnp.where(square > value, square, value)

    return g, *map(one, stored, values)


def encode(values: Sequence[Any], like: Sequence[jax.Array | None], g: jax.Array, count: jax.Array) -> tuple[Any, ...]:
    """The values in the formats of ``like``, their old codes.

    The gradient ``g``, the step ``count``, the old codes and the positions decide which way numbers are rounded.
    """
    return tuple(
        None if old is None else _encoded(value, old, _noise(g, old, count) if is_short(old) else None)
        for value, old in zip(values, like, strict=True)
    )


@functools.partial(jax.jit, static_argnums=1)  # outside jit one program for a shape, and not one for each operation
def nearest(x: jax.Array, dtype: str) -> jax.Array:
    """``x`` rounded to the nearest number in the format of ``dtype``."""
    return _encoded(x, jax.ShapeDtypeStruct(x.shape, dtype), _HALF)


def _encoded(x: jax.Array, like: Any, noise: Any) -> jax.Array:
    form = format_of(like)
    # A finite number stays finite. Results of an update in float32 need no clip: `bounded` keeps them below 1e38.
    if str(like.dtype) in FORMATS and (noise is _HALF or x.dtype != jnp.float32):
        x = jnp.where(jnp.isfinite(x), jnp.clip(x, -form.top, form.top), x).astype(jnp.float32)
    return form.encode(x, noise).astype(like.dtype)


def _noise(g: jax.Array, old: jax.Array, count: jax.Array) -> jax.Array:
    """32 pseudorandom bits for each entry; only the upper ones are used.

    Without the step, constant gradients freeze. Without the position, all zero gradients round alike, and the mean of
    an array drifts. The last 12 bits of a gradient are left out: another order of summation in a clipping norm then
    changes few entries. The index of the array is left out: a constant of its own in each kernel makes XLA:CPU compile
    every kernel anew, in 3 times the time.
    """
    bits = to_bits(g.real) ^ (to_bits(g.imag) >> 1) if jnp.iscomplexobj(g) else to_bits(g)
    width = 8 * old.dtype.itemsize
    code = jax.lax.bitcast_convert_type(old, jnp.dtype(f"uint{width}")).astype(jnp.uint32)
    # This is 0, which only LLVM sees: XLA:TPU computes an array that depends on positions alone in a kernel of its own.
    h: jax.Array = code >> width
    h = h + count.astype(jnp.uint32) * np.uint32(0x68E31DA5)
    for axis in range(h.ndim):
        h = h * np.uint32(0x9E3779B9) + jax.lax.broadcasted_iota(jnp.uint32, h.shape, axis)
    h = ((bits & np.uint32(0xFFFFF000)) ^ h) + (code << (32 - width))
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        h = (h ^ (h >> shift)) * np.uint32(factor)
    return h
