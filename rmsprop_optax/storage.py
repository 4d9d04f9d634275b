"""How a state array is kept between steps.

A format is chosen once, when the state is made, and recognised by the array's dtype from then on: nobody passes it a
second time, and sharding, checkpoints and tree utilities see an ordinary array of the parameter's shape.

``"float32"`` keeps the dtype that the maths is done in: float32, or float64 for float64 parameters. It is the only
format for now; :data:`FORMATS` is where the next one goes.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rmsprop_optax import _numbers

FORMATS: tuple[str, ...] = ("float32",)
"""The names that an argument called ``storage`` takes."""


def check(storage: str, *, name: str = "storage") -> str:
    """Return ``storage`` if it names a format.

    Raises:
      ValueError: it does not.
    """
    if storage not in FORMATS:
        raise ValueError(f"{name} must be one of {', '.join(FORMATS)}, got {name}={storage!r}.")
    return storage


def decode(g: jax.Array, *stored: jax.Array | None) -> tuple:
    """The gradient and the arrays stored beside it, all in the dtype that the maths is done in.

    It is the widest of the gradient's and the state's dtypes, so neither loses digits; ``None`` is a state that is off.
    """
    present = [s for s in stored if s is not None]
    dtype = functools.reduce(np.promote_types, (s.dtype for s in present), g.dtype)
    real = _numbers.real(dtype)
    return g.astype(dtype), *(None if s is None else s.astype(dtype if jnp.iscomplexobj(s) else real) for s in stored)


def encode(values: Sequence[Any], like: Sequence[jax.Array | None]) -> tuple:
    """The values in the formats that ``like`` is stored in."""
    return tuple(None if s is None else v.astype(s.dtype) for v, s in zip(values, like, strict=True))
