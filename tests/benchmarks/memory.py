"""Bytes of state beside every peer that is installed: ``python -m tests.benchmarks memory``.

State is what the optimizer keeps between steps. Peak is what the compiled step has at once, parameters, gradients and
state among it, the old arrays donated; of the peers that are not compiled it is not known. All a parameter, measured
on one array of 4 million float32 parameters. The peak is a CPU's, whose compiler makes two passes and keeps an array
between them where the state is short; those for TPU and GPU make one and keep none.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop_optax import rmsprop
from tests.benchmarks import peers, side_by_side

SIZE = 4_000_000
SHORT = {"storage": "uint8", "momentum": 0.9, "momentum_storage": "bfloat16"}
TRANSFORMATIONS = {
    "rmsprop": rmsprop(1e-3),
    "rmsprop, storage bfloat16": rmsprop(1e-3, storage="bfloat16"),
    "rmsprop, storage uint8": rmsprop(1e-3, storage="uint8"),
    "rmsprop, momentum": rmsprop(1e-3, momentum=0.9),
    "rmsprop, momentum, storage uint8 and bfloat16": rmsprop(1e-3, **SHORT),
    "rmsprop, centered": rmsprop(1e-3, centered=True),
    "rmsprop, centered, storage uint8": rmsprop(1e-3, centered=True, storage="uint8"),
    "optax.rmsprop": optax.rmsprop(1e-3),
    "optax.rmsprop, momentum": optax.rmsprop(1e-3, momentum=0.9),
    "optax.rmsprop, centered": optax.rmsprop(1e-3, centered=True),
    "optax.adam": optax.adam(1e-3),
    "optax.lion": optax.lion(1e-3),
    "optax.adafactor, of a matrix": optax.adafactor(1e-3),
}


def of_transformation(tx: optax.GradientTransformation) -> dict[str, float]:
    params = jax.ShapeDtypeStruct((2000, SIZE // 2000), jnp.float32)
    state = jax.eval_shape(tx.init, params)

    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    memory = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, params).compile().memory_analysis()
    peak = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    held = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    return {"state": held / SIZE, "peak": (peak + memory.temp_size_in_bytes) / SIZE}


def of_torch(make_optimizer) -> dict[str, float]:
    import torch

    p = torch.nn.Parameter(torch.ones(2000, SIZE // 2000))
    p.grad = torch.ones_like(p)
    optimizer = make_optimizer([p])
    optimizer.step()
    held = (x.numel() * x.element_size() for x in optimizer.state[p].values() if isinstance(x, torch.Tensor))
    return {"state": sum(held) / SIZE}


def of_keras() -> dict[str, float]:
    import keras

    optimizer = keras.optimizers.RMSprop()
    optimizer.build([keras.Variable(np.ones((2000, SIZE // 2000), np.float32))])
    return {"state": sum(np.prod(v.shape) * v.value.dtype.itemsize for v in optimizer.variables) / SIZE}


def rows():
    for name, tx in TRANSFORMATIONS.items():
        yield {"name": name, **of_transformation(tx)}
    if peers.available("keras"):
        yield {"name": "Keras RMSprop", **of_keras()}
    if peers.available("torch"):
        yield {"name": "PyTorch RMSprop", **of_torch(peers.rmsprop_of_torch)}
        momentum = {"momentum": 0.9, "centered": True}
        yield {
            "name": "PyTorch RMSprop, momentum, centered",
            **of_torch(lambda params: peers.rmsprop_of_torch(params, **momentum)),
        }
    if peers.available("timm", "torchvision"):
        yield {"name": "timm RMSpropTF", **of_torch(peers.timm)}
    if peers.available("bitsandbytes"):
        for bits in (32, 8):
            found = of_torch(lambda params, bits=bits: peers.bitsandbytes(params, bits=bits))
            yield {"name": f"bitsandbytes RMSprop, {bits} bits", **found}


def main() -> None:
    found = [{name: value if name == "name" else float(value) for name, value in row.items()} for row in rows()]
    cells = [[r["name"], f"{r['state']:.2f}", f"{r['peak']:.2f}" if "peak" in r else "not known"] for r in found]
    text = side_by_side.table(["", "state (bytes)", "peak of the step (bytes)"], cells)
    words = __doc__.partition("\n\n")[2]
    side_by_side.write(Path(__file__), f"# Memory\n\n{words}\n{text}", {"rows": found})


if __name__ == "__main__":
    main()
