"""What is timed: for each peer a function that makes its optimizer on given arrays and returns one whole step of it.

A step reads the gradients, updates the state and the parameters in place, and has ended when it returns.
"""

import ctypes
import functools
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import rmsprop

Step = Callable[[], Any]
Arrays = Sequence[np.ndarray]


def jitted(tx: optax.GradientTransformation, **options: Any) -> Callable[[Arrays], Step]:
    """An optax transformation with ``apply_updates``, compiled, its parameters and state donated."""

    def make(gradients):
        def step(carry, grads):
            params, state = carry
            updates, state = tx.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        grads = [jnp.asarray(g) for g in gradients]
        params = [jnp.copy(g) for g in grads]
        return _repeated(jax.jit(step, donate_argnums=0, **options), (params, tx.init(params)), grads)

    return make


def keras(gradients: Arrays) -> Step:
    import keras

    optimizer = keras.optimizers.RMSprop(1e-3)
    variables = [keras.Variable(np.copy(g)) for g in gradients]
    optimizer.build(variables)

    def step(carry, grads):
        return optimizer.stateless_apply(carry[1], grads, carry[0])

    carry = [v.value for v in variables], [v.value for v in optimizer.variables]
    return _repeated(jax.jit(step, donate_argnums=0), carry, [jnp.asarray(g) for g in gradients])


def _repeated(step, carry, grads):
    def run():
        nonlocal carry
        carry = step(carry, grads)
        jax.block_until_ready(carry)

    return run


def torch(make_optimizer: Callable[[list], Any], *, compile: bool = False) -> Callable[[Arrays], Step]:
    """A PyTorch optimizer on parameters whose gradients are there."""

    def make(gradients):
        import torch

        params = [torch.nn.Parameter(torch.tensor(g)) for g in gradients]
        for p, g in zip(params, gradients, strict=True):
            p.grad = torch.from_numpy(g)
        optimizer = make_optimizer(params)
        return torch.compile(optimizer.step) if compile else optimizer.step

    return make


def rmsprop_of_torch(params: list, **options: Any) -> Any:
    import torch

    return torch.optim.RMSprop(params, lr=1e-3, alpha=0.9, **options)


def adagrad_of_torch(params: list) -> Any:
    """The nearest rule with a fused kernel for CPUs, a sum where RMSprop has a mean: 20 bytes a parameter too."""
    import torch

    return torch.optim.Adagrad(params, lr=1e-3, fused=True)


def timm(params: list) -> Any:
    from timm.optim import RMSpropTF

    return RMSpropTF(params, lr=1e-3)


def bitsandbytes(params: list, *, bits: int) -> Any:
    import bitsandbytes

    return bitsandbytes.optim.RMSprop(params, lr=1e-3, alpha=0.9, optim_bits=bits)


def floor(gradients: Arrays) -> Step:
    """One pass over the same bytes in C with a thread a core: what the memory allows."""
    update = _library().rmsprop
    arrays = [tuple(np.array(x) for x in (g, np.zeros_like(g), g)) for g in gradients]
    pointers = [(*(a.ctypes.data for a in three), ctypes.c_long(three[0].size)) for three in arrays]

    def step():
        for p in pointers:
            update(*p)
        return arrays  # which keeps them

    return step


FLOOR = r"""
#include <math.h>
void rmsprop(float *restrict p, float *restrict nu, const float *restrict g, long n) {
  #pragma omp parallel for simd schedule(static)
  for (long i = 0; i < n; i++) {
    float v = 0.9f * nu[i] + 0.1f * g[i] * g[i];
    nu[i] = v;
    p[i] -= 1e-3f * g[i] / sqrtf(v + 1e-8f);
  }
}
"""


@functools.cache
def _library():
    folder = Path(tempfile.mkdtemp())
    (folder / "floor.c").write_text(FLOOR)
    command = ["cc", "-O3", "-march=native", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC"]
    subprocess.run([*command, "floor.c", "-o", "floor.so", "-lm"], cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "floor.so"))
    library.rmsprop.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long]
    return library


def available(*modules: str) -> bool:
    return all(find_spec(module) is not None for module in modules)


os.environ.setdefault("KERAS_BACKEND", "jax")
OURS = {
    "rmsprop_optax": jitted(rmsprop(1e-3)),
    "rmsprop_optax, storage bfloat16": jitted(rmsprop(1e-3, storage="bfloat16")),
    "rmsprop_optax, storage uint8": jitted(rmsprop(1e-3, storage="uint8")),
}
PEERS: dict[str, Callable[[Arrays], Step]] = {
    "optax.rmsprop": jitted(optax.rmsprop(1e-3)),
    "optax.adam": jitted(optax.adam(1e-3)),
    **({"Keras RMSprop, JAX backend": keras} if available("keras") else {}),
    **(
        {
            "PyTorch RMSprop, single": torch(functools.partial(rmsprop_of_torch, foreach=False)),
            "PyTorch RMSprop, foreach": torch(functools.partial(rmsprop_of_torch, foreach=True)),
            "PyTorch RMSprop, torch.compile": torch(rmsprop_of_torch, compile=True),
            "PyTorch Adagrad, fused": torch(adagrad_of_torch),
        }
        if available("torch")
        else {}
    ),
    **({"timm RMSpropTF": torch(timm)} if available("timm", "torchvision") else {}),
    **(
        {f"bitsandbytes RMSprop, {bits} bits": torch(functools.partial(bitsandbytes, bits=bits)) for bits in (32, 8)}
        if available("torch", "bitsandbytes")
        else {}
    ),
    "one pass in C": floor,
}
