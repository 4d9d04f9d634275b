"""A float32 as the integer with the same bits, and back."""

from typing import Any

import jax
import jax.numpy as jnp


def to_bits(x: jax.Array, dtype: Any = jnp.int32) -> jax.Array:
    return jax.lax.bitcast_convert_type(x.astype(jnp.float32), dtype)


def from_bits(bits: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(bits, jnp.float32)
