"""Record what a real framework's RMSprop does, in float64, on the stream of `references.py`.

    python tests/golden/record.py pytorch|timm|tf1

writes `<name>.npz` beside this file; `references.recorded` reads it. It needs the framework, which the tests do not.
The learning rate changes at every step. The numbers of the options are exact in float32, because TensorFlow passes
them through float32 even where the variables are float64; so TensorFlow's own defaults (0.9, 1e-10) cannot be recorded,
while PyTorch's and timm's are the last of their cases.
"""

import argparse
import datetime
import importlib
import importlib.metadata
import importlib.util
import itertools
import json
import platform
import sys
import types
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from references import stream

STEPS = (1, 2, 3, 10, 50)
SLOTS = ("mean_square", "mean", "momentum")


def product(*axes):
    """All combinations of one dict from each axis, merged."""
    return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*axes)]


def switch(**options):
    return [{}, options]


def trace_torch(optimizer, params, gradients, rates, max_lr=None, **options):
    """Every step's parameters, and PyTorch's own buffers after the last; `max_lr` is the constructor's rate."""
    import torch

    tensors = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()}
    opt = optimizer(tensors.values(), lr=max_lr or rates[0], **options)
    trace = []
    for grads, rate in zip(gradients, rates, strict=True):
        opt.param_groups[0]["lr"] = float(rate)
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(grads[name])
        opt.step()
        trace.append({name: tensor.detach().numpy().copy() for name, tensor in tensors.items()})
    keys = dict(zip(SLOTS, ("square_avg", "grad_avg", "momentum_buffer"), strict=True))
    state = {name: opt.state[tensor] for name, tensor in tensors.items()}
    return trace, {k: {n: s[key].numpy() for n, s in state.items() if key in s} for k, key in keys.items()}


def pytorch():
    import torch

    cases = product(
        [{"alpha": 0.875, "eps": 2.0**-20}],
        switch(momentum=0.75),
        switch(centered=True),
        switch(weight_decay=2.0**-7),
        switch(maximize=True),
    )
    return (lambda *a, **k: trace_torch(torch.optim.RMSprop, *a, **k)), {"float64": [*cases, {}], "complex128": cases}


def timm():
    # timm's package import needs torchvision; the optimizer's file does not.
    root = Path(importlib.util.find_spec("timm").origin).parent
    for name, path in {"timm": root, "timm.optim": root / "optim"}.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(path)]
    optimizer = importlib.import_module("timm.optim.rmsprop_tf").RMSpropTF
    decay = {"weight_decay": 2.0**-7}
    corrected = {**decay, "decoupled_decay": True, "corrected_weight_decay": True, "max_lr": 2.0**-6}
    cases = product(
        [{"alpha": 0.875, "eps": 2.0**-20}],
        [{}, *product([{"momentum": 0.75}], switch(lr_in_momentum=False), switch(caution=True))],
        switch(centered=True),
        [{}, decay, {**decay, "decoupled_decay": True}, corrected],
    )
    return (lambda *a, **k: trace_torch(optimizer, *a, **k)), {"float64": [*cases, {}]}


def tf1():
    import tensorflow as tf

    v1 = tf.compat.v1

    def trace_tf1(params, gradients, rates, **options):
        with tf.Graph().as_default(), v1.Session() as session:
            variables = {name: v1.get_variable(name, initializer=p) for name, p in params.items()}
            feeds = {name: v1.placeholder(p.dtype, p.shape) for name, p in params.items()}
            rate = v1.placeholder(tf.float64, ())
            opt = v1.train.RMSPropOptimizer(rate, **options)
            step = opt.apply_gradients([(feeds[name], variables[name]) for name in params])
            session.run(v1.global_variables_initializer())
            trace = []
            for grads, lr in zip(gradients, rates, strict=True):
                session.run(step, {rate: lr, **{feeds[name]: g for name, g in grads.items()}})
                trace.append(session.run(variables))
            found = {
                k: {n: opt.get_slot(v, key) for n, v in variables.items()}
                for k, key in zip(SLOTS, ("rms", "mg", "momentum"), strict=True)
            }
            return trace, session.run(
                {k: {n: v for n, v in slot.items() if v is not None} for k, slot in found.items()}
            )

    cases = product(
        [{"decay": 0.875, "epsilon": 2.0**-20}, {"decay": 0.5, "epsilon": 0.25}],
        switch(momentum=0.75),
        switch(centered=True),
    )
    return trace_tf1, {"float64": cases}


def record(name):
    run, families = {"pytorch": pytorch, "timm": timm, "tf1": tf1}[name]()
    package = {"pytorch": "torch", "timm": "timm", "tf1": "tensorflow-cpu"}[name]
    about = {package: importlib.metadata.version(package)}
    if name == "timm":
        about["torch"] = importlib.metadata.version("torch")
    about |= {"numpy": np.__version__, "python": platform.python_version(), "date": str(datetime.date.today())}
    arrays = {"about": json.dumps(about), "cases": json.dumps(families), "steps": STEPS}
    for family, cases in families.items():
        params, gradients, arrays["learning_rates"] = stream(dtype=np.dtype(family))
        runs = [run(params, gradients, arrays["learning_rates"], **options) for options in cases]
        for leaf, p in params.items():
            arrays[f"{family}/params/{leaf}"] = p
            arrays[f"{family}/gradients/{leaf}"] = np.stack([g[leaf] for g in gradients])
            arrays[f"{family}/trace/{leaf}"] = np.stack([[trace[s - 1][leaf] for s in STEPS] for trace, _ in runs])
            for slot in SLOTS:
                absent = np.full_like(p, np.nan)
                arrays[f"{family}/{slot}/{leaf}"] = np.stack([slots[slot].get(leaf, absent) for _, slots in runs])
    path = Path(__file__).with_name(f"{name}.npz")
    np.savez_compressed(path, **arrays)
    counts = {family: len(cases) for family, cases in families.items()}
    print(path.name, about, counts, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", choices=["pytorch", "timm", "tf1"])
    record(parser.parse_args().framework)
