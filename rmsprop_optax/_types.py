"""The types that annotations share."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import jax
import optax

Tree: TypeAlias = Any
"""A pytree."""

Number: TypeAlias = jax.typing.ArrayLike
"""A Python or NumPy number, known while the transformation is built, or a scalar ``jax.Array``, traced or not."""

if TYPE_CHECKING:  # optax tells type checkers nothing
    ScalarOrSchedule: TypeAlias = Number | Callable[[Any], Number]
else:
    ScalarOrSchedule = optax.ScalarOrSchedule

FormatName: TypeAlias = Literal["float32", "bfloat16", "uint8"]
"""A name of :data:`rmsprop_optax.storage.FORMATS`."""

Storage: TypeAlias = FormatName | None
"""The format of a state; ``None`` is the dtype of the maths."""

Mask: TypeAlias = Mapping[Any, Any] | list[Any] | tuple[Any, ...] | Callable[[Any], Any] | None
"""A tree of bools that is a prefix of the parameters (not one bool), or a function that returns one."""
