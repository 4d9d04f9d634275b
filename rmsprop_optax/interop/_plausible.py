"""Check slots before they are written: do they fit the state, and can an optimizer have their numbers?"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rmsprop_optax import _formats
from rmsprop_optax._complex import is_components
from rmsprop_optax._paths import named, some
from rmsprop_optax._types import Tree
from rmsprop_optax.interop._shared import abs_sq, float64

_MOST = 2**31 - 1  # counts are int32


def count_of(
    count: Any, what: str = "the count of the slots", mend: str = "set it with slots._replace(count=…)"
) -> int:
    """The number of steps as an int; ``what`` and ``mend`` are for the error.

    Raises:
      ValueError: the number is not whole, is negative, or does not fit into int32.
    """
    try:
        number = np.nan if np.ndim(count) or isinstance(count, str) else float(count)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if not (0 <= number <= _MOST and number.is_integer()):
        raise ValueError(f"{what} must be a whole number of steps from 0 to {_MOST}, got {count}: {mend}.")
    return int(count)


def cast(slot: str, name: str, array: np.ndarray, dtype: Any) -> np.ndarray:
    """The array of a slot in the dtype of another framework's checkpoint.

    Raises:
      ValueError: a number is NaN, infinite or larger than the dtype holds, or a mean square is negative.
    """
    with np.errstate(all="ignore"):
        wrong = _implausible(slot, name, array, dtype, float(jnp.finfo(dtype).max))
    if wrong:
        raise ValueError(
            f"slots must hold numbers that an optimizer can have, got {wrong[0]}: take a state from before the run "
            "diverged, or an optimizer in a wider dtype."
        )
    return array.astype(dtype, copy=False)


def check(given: Mapping[str, Mapping[str, Any]], places: Mapping[str, list[Tree]], *, repair: bool) -> None:
    """Compare the arrays of slots with the state's, and report all errors at once.

    Args:
      given: slot → name of a leaf → its array.
      places: slot → trees of the state's arrays.
      repair: whether a mean square may exceed the largest number of its format.

    Raises:
      ValueError: a slot or a leaf is missing or left over, a shape differs, or no optimizer can have a number.
    """
    olds = {slot: {name: old for tree in trees for name, old in named(tree).items()} for slot, trees in places.items()}
    wrong = []
    for slot, values in given.items():
        missing, over = ([name for name in a if name not in b] for a, b in ((olds[slot], values), (values, olds[slot])))
        wrong += [f"no {slot} of {some(missing)}"] * bool(missing)
        wrong += [f"a {slot} of {some(over)} that the state has no place for"] * bool(over)
        wrong += [why for n, old in olds[slot].items() if n in values for why in _misfits(slot, n, values[n], old)]
    if wrong:
        raise ValueError(
            f"slots must fit the state, got {'; '.join(wrong)}: convert names and shapes like the parameters, "
            "and create the state with the options of the run. Change options with interop.transfer."
        )
    with np.errstate(all="ignore"):
        wrong = [
            why
            for slot, leaves in olds.items()
            for name, old in leaves.items()
            for real in [old.real if is_components(old) else old]
            for top in [_formats.format_of(real).top]
            for why in _implausible(slot, name, given[slot][name], real.dtype, top, given["mean"].get(name), repair)
        ]
    if wrong:
        raise ValueError(
            f"slots must hold numbers that the state can hold, got {some(wrong)}: take a checkpoint from before the "
            "run diverged or a state with a wider storage; or pass repair='largest', which replaces a mean square "
            "that is infinite or too large by the largest number of its format."
        )


def _misfits(slot: str, name: str, value: Any, old: Any) -> list[str]:
    if not hasattr(value, "dtype"):
        return [f"a {slot} of {name} that is not an array, {value!r:.40}"]
    is_split = is_components(old)
    shape = old.real.shape if is_split else old.shape
    if np.shape(value) != shape:
        return [f"a {slot} of {name} with shape {np.shape(value)} for {shape}"]
    if jnp.iscomplexobj(value) != (is_split or jnp.iscomplexobj(old)):
        return [f"a {slot} of {name} in {value.dtype} for {'pairs of real numbers' if is_split else old.dtype}"]
    return []


def _implausible(
    slot: str, name: str, value: Any, dtype: Any, top: float, mean: Any = None, repair: bool = False
) -> list[str]:
    low, high = _ends(value)
    if slot == "mean_square" and low < 0:
        return [f"a {slot} of {name} with negative entries, {low:g}"]
    if slot == "mean_square" and mean is not None and np.isfinite(high):
        low, high = _ends(variance(value, mean))
    if not -top <= low:
        return [_told(slot, name, low, dtype, top)]
    if not high <= top and not (repair and slot == "mean_square"):
        return [_told(slot, name, high, dtype, top)]
    return []


def _told(slot: str, name: str, number: float, dtype: Any, top: float) -> str:
    return f"a {slot} of {name} with {number:g} for {dtype}" + f" up to {top:g}" * bool(np.isfinite(number))


def variance(mean_square: Any, mean: Any) -> jax.Array:
    """The variance in float64; the parts of a complex mean square are separate mean squares."""
    if jnp.iscomplexobj(mean_square):
        return jax.lax.complex(variance(mean_square.real, mean.real), variance(mean_square.imag, mean.imag))
    return jnp.maximum(float64(mean_square) - abs_sq(mean), 0)


def _ends(value: Any) -> tuple[float, float]:
    """The smallest and the largest number in an array; NaN if an entry is NaN."""
    if not value.size:
        return 0.0, 0.0
    parts = (value.real, value.imag) if jnp.iscomplexobj(value) else (value,)
    ends = np.array([[float(part.min()), float(part.max())] for part in parts])
    return float(ends[:, 0].min()), float(ends[:, 1].max())
