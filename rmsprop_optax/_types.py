"""The types that annotations share."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

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


class PerLeaf(NamedTuple):
    """A choice of formats, leaf by leaf.

    ``PerLeaf(lambda path, leaf: "uint8" if leaf.size >= 4096 else None)`` keeps small arrays in full precision. A plain
    function would be a schedule to ``optax.inject_hyperparams``.

    Attributes:
      choose: a function of the path, as ``jax.tree_util.keystr`` writes it, and the leaf. It returns a name of
        :data:`rmsprop_optax.storage.FORMATS`, or ``None``.
    """

    choose: Callable[[str, Any], FormatName | None]


Storage: TypeAlias = FormatName | PerLeaf | None
"""One format for all leaves, or a choice for each."""

Mask: TypeAlias = Mapping[Any, Any] | list[Any] | tuple[Any, ...] | Callable[[Any], Any] | None
"""A tree of bools that is a prefix of the parameters (not one bool), or a function that returns one."""
