"""How a state array is kept between steps.

A format is chosen once, when the state is made, and recognised by the array's dtype from then on: nobody passes it a
second time, and sharding, checkpoints and tree utilities see an ordinary array of the parameter's shape.

========== ===== ================== ================= =====================================================
format     bytes numbers            between neighbours for
========== ===== ================== ================= =====================================================
float32    4     all                6e-8              the default; float64 for float64 parameters
bfloat16   2     all                0.4 to 0.8 %      everything: about 2 % of noise at decay 0.999
uint8      1     0, 1e-15 to 12288  12 to 25 %        mean squares: about 15 % of noise, and none of bias
========== ===== ================== ================= =====================================================

The short formats round stochastically: up or down with the chances that leave the mean as it is. Rounded to nearest a
moving average stops where its changes are smaller than half a step of the format, for a decay of 0.999 in bfloat16 at
half its value. The chances come from a hash of the step, the gradient, the old code and the position: no random key is
carried, the same run gives the same bits, and so does any sharding of it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmsprop_optax import _numbers

_NEAREST = np.uint32(1 << 31)  # in the place of 32 random bits: the middle, so that nothing is left to chance


class Format(NamedTuple):
    """A way to keep real numbers.

    Attributes:
      decode: from the stored array to float32 or wider.
      encode: from an array in float32 or wider and 32 random bits for each entry to the stored one.
      signed: whether it holds negative numbers.
    """

    decode: Callable[[jax.Array], jax.Array]
    encode: Callable[[jax.Array, Any], jax.Array]
    signed: bool


def _bits(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)


def _float(bits: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _within(x: jax.Array, low: float, high: float) -> jax.Array:
    """``jnp.clip``, which XLA:CPU does not vectorise."""
    return jnp.where(x < low, low, jnp.where(x > high, high, x))


def _to_float32(x: jax.Array) -> jax.Array:
    """What is finite stays so, also from float64."""
    if x.dtype == jnp.float32:
        return x
    most = float(jnp.finfo(jnp.float32).max)
    return jnp.where(jnp.isfinite(x), _within(x, -most, most), x).astype(jnp.float32)


def _to_bfloat16(x: jax.Array, noise: Any) -> jax.Array:
    """Add noise below the last kept bit and cut there. What is finite stays so."""
    x = _to_float32(x)
    most = float(jnp.finfo(jnp.bfloat16).max)
    rounded = _float((_bits(x) + (noise >> 16)) & np.uint32(0xFFFF0000))
    return jnp.where(jnp.isfinite(x), _within(rounded, -most, most), x).astype(jnp.bfloat16)


# A float32 without its sign, with 6 of its exponent bits and 2 of its mantissa bits: code c is the number whose bits
# are (c + 308) << 21. Code 0 is 0, and 255 what is not finite.
_SHIFT, _OFFSET = np.uint32(21), np.uint32(308)


def _from_uint8(code: jax.Array) -> jax.Array:
    value = _float((code.astype(jnp.uint32) + _OFFSET) << _SHIFT)
    return jnp.where(code == 0, 0.0, jnp.where(code == 255, jnp.nan, value))


def _to_uint8(x: jax.Array, noise: Any) -> jax.Array:
    """As for bfloat16. What is not 0 does not become so: a step would be divided by almost nothing.

    XLA:TPU fuses a second result with the first only if it ends in floating point, so the code becomes a float32 on the
    way: the integer b in the mantissa of 2²³ is the number 2²³ + b.
    """
    x = _to_float32(x)
    b = (_bits(x) + (noise >> 11)) >> _SHIFT
    code = _float(b | np.uint32(0x4B000000)) - np.float32(2**23 + int(_OFFSET))
    code = jnp.where(x > 0, _within(code, 1.0, 254.0), 0.0)
    return jnp.where(x < jnp.inf, code, 255.0).astype(jnp.uint8)


def _as_it_is(x: jax.Array, noise: Any = None) -> jax.Array:
    del noise
    return x


FORMATS: dict[str, Format] = {
    "float32": Format(_as_it_is, _as_it_is, signed=True),
    "bfloat16": Format(lambda x: x.astype(jnp.float32), _to_bfloat16, signed=True),
    "uint8": Format(_from_uint8, _to_uint8, signed=False),
}
"""The names that an argument called ``storage`` takes → :class:`Format`."""


class PerLeaf(NamedTuple):
    """A choice of formats for the leaves of a tree.

    ``PerLeaf(lambda path, leaf: "uint8" if leaf.size >= 4096 else "float32")`` keeps small arrays as they are. It is
    not a function itself, which ``optax.inject_hyperparams`` would take for a schedule.

    Attributes:
      choose: a function of the path, as ``jax.tree_util.keystr`` writes it, and the leaf that returns a name of
        :data:`FORMATS`.
    """

    choose: Callable[[str, Any], str]


def check(storage: Any, *, name: str = "storage", signed: bool = False) -> Any:
    """Return ``storage`` if it names a format, or is a :class:`PerLeaf` or a tree of names.

    Raises:
      ValueError: it does not, or what is signed has no place in it.
    """
    if isinstance(storage, PerLeaf):
        return storage
    fitting = [key for key, form in FORMATS.items() if form.signed or not signed]
    names = jax.tree.leaves(storage)
    if not names or not all(isinstance(key, str) and key in fitting for key in names):
        raise ValueError(
            f"{name} must be one of {', '.join(fitting)}, a tree of these or a storage.PerLeaf, got {name}={storage!r}."
        )
    return storage


def coded(tree: Any, storage: Any, *, name: str = "storage", signed: bool = False) -> Any:
    """A tree of real arrays in the formats that ``storage`` chooses, rounded to nearest.

    Raises:
      ValueError: ``storage`` chooses what is no format.
      TypeError: an array is complex.
    """

    def leaf(path, x, choice):
        form = check(choice, name=f"{name} of {path}", signed=signed)
        if form != "float32" and jnp.iscomplexobj(x):
            raise TypeError(
                f"{name}={form!r} holds real numbers, got {x.dtype} at {path}: leave it in float32, see "
                "storage.PerLeaf."
            )
        return FORMATS[form].encode(x, _NEAREST)

    def keyed(path, x):
        return jax.tree_util.keystr(path), x

    if isinstance(storage, PerLeaf):
        choices = jax.tree_util.tree_map_with_path(lambda path, x: storage.choose(*keyed(path, x)), tree)
    else:
        try:
            choices = jax.tree.map(lambda choice, part: jax.tree.map(lambda _: choice, part), storage, tree)
        except ValueError as error:
            raise ValueError(
                f"{name} must be a tree of names that is a prefix of the parameters, got {name}={storage!r}: "
                f"{str(error).splitlines()[0]}; or choose with a storage.PerLeaf."
            ) from error
    return jax.tree_util.tree_map_with_path(lambda path, x, c: leaf(keyed(path, x)[0], x, c), tree, choices)


def _format(stored: jax.Array) -> Format:
    return FORMATS.get(str(stored.dtype), FORMATS["float32"])


def decode(g: jax.Array, *stored: jax.Array | None) -> tuple:
    """The gradient and the arrays stored beside it, all in the dtype that the maths is done in.

    It is the widest of the gradient's and the state's dtypes, so neither loses digits; ``None`` is a state that is off.
    """
    values = [None if s is None else decoded(s) for s in stored]
    dtype = functools.reduce(np.promote_types, (v.dtype for v in values if v is not None), g.dtype)
    real = _numbers.real(dtype)
    return g.astype(dtype), *(None if v is None else v.astype(dtype if jnp.iscomplexobj(v) else real) for v in values)


def encode(values: Sequence[Any], like: Sequence[jax.Array | None], g: jax.Array, count: jax.Array) -> tuple:
    """The values in the formats that ``like``, their old codes, is stored in.

    ``g``, the gradient, and ``count``, the number of the step, decide with the position which way numbers are rounded.
    """

    def one(value, old):
        if old is None:
            return None
        coded = old.dtype in (jnp.bfloat16, jnp.uint8)
        return _format(old).encode(value, _noise(g, old, count) if coded else None).astype(old.dtype)

    return tuple(map(one, values, like))


def decoded(stored: jax.Array) -> jax.Array:
    """What is stored, in float32 or wider."""
    return _format(stored).decode(stored)


def nearest(x: jax.Array, like: Any) -> jax.Array:
    """``x``, in float32 or wider, rounded to the nearest number in the format that ``like`` is stored in."""
    return _format(like).encode(x, _NEAREST).astype(like.dtype)


def _noise(g: jax.Array, old: jax.Array, count: jax.Array) -> jax.Array:
    """32 bits for each entry that pass for random.

    Without the step constant gradients freeze; without the position all zero gradients round alike, and the mean of an
    array drifts. The last 12 bits of a gradient are left out: another order of summation, in a norm that it was clipped
    by, is not to change the noise of a whole array. Positions are added as they are: XLA computes multiplied ones in
    kernels of their own.
    """
    step = count.astype(jnp.uint32) * np.uint32(0x9E3779B9) + np.uint32(0x68E31DA4)
    step = (step ^ (step >> 16)) * np.uint32(0x85EBCA6B)
    step = step ^ (step >> 13)
    gradient = _bits(g.real) ^ (_bits(g.imag) >> 1) if jnp.iscomplexobj(g) else _bits(g)
    gradient = gradient & np.uint32(0xFFFFF000)
    width = 8 * old.dtype.itemsize
    code = jax.lax.bitcast_convert_type(old, jnp.dtype(f"uint{width}")).astype(jnp.uint32)
    h = (gradient ^ step) + (code << (32 - width))
    for axis, shift, factor in ((-1, 16, 0x7FEB352D), (-2, 15, 0x846CA68B)):
        if h.ndim >= -axis:
            h = h + jax.lax.broadcasted_iota(jnp.uint32, h.shape, h.ndim + axis)
        h = (h ^ (h >> shift)) * np.uint32(factor)
    return h  # only its upper bits are used, which the usual last shift would leave as they are
