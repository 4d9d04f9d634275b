"""The text of Python's own help, which every Python contains, and a recurrent network that predicts its characters."""

import pydoc_data.topics

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

CONTEXT = 64
CHARACTERS = sorted(set("".join(pydoc_data.topics.topics.values())))

Windows = tuple[np.ndarray, np.ndarray]
"""Characters uint8[n, 64], and the next character of each."""


class GRU(nnx.Module):
    """Characters int[n, time] → logits float32[n, time, characters] of the next characters."""

    def __init__(self, width: int = 128, *, rngs: nnx.Rngs):
        self.embed = nnx.Embed(len(CHARACTERS), 32, rngs=rngs)
        self.cell = nnx.GRUCell(32, width, rngs=rngs)
        self.logits = nnx.Linear(width, len(CHARACTERS), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        start = jnp.zeros((len(x), self.cell.hidden_features))
        _, states = jax.lax.scan(self.cell, start, self.embed(x).swapaxes(0, 1))
        return self.logits(states.swapaxes(0, 1))


def text() -> tuple[Windows, Windows]:
    """Return windows to train (the first nine tenths of the text) and to validate (the rest).

    A training window starts at every character; validation windows do not overlap.
    """
    topics = pydoc_data.topics.topics
    codes = np.searchsorted(CHARACTERS, list("\n".join(topics[key] for key in sorted(topics)))).astype(np.uint8)
    split = len(codes) * 9 // 10
    train, validation = (
        np.lib.stride_tricks.sliding_window_view(part, CONTEXT + 1)[::stride]
        for part, stride in ((codes[:split], 1), (codes[split:], CONTEXT))
    )
    return (train[:, :-1], train[:, 1:]), (validation[:, :-1], validation[:, 1:])
