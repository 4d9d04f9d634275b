"""A small network that PyTorch trains, for `tests/test_interop_pytorch.py`: live, and recorded for machines without it.

    python tests/golden/frameworks/interop_pytorch.py

writes `interop_pytorch.safetensors` one folder up: for some of the cases the checkpoint after 100 steps, the gradients
of 5 more steps, and where those led. It needs torch, timm and safetensors.
"""

import importlib.metadata
import json
import platform
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from frameworks.common import CENTERED, DECAY, MOMENTUM, lone, product

STEPS, MORE = 100, 5
RATES = (0.003 * 0.99 ** np.arange(2 * STEPS)).tolist()

DECOUPLED = DECAY | {"decoupled_decay": True}
TIMM = [
    *product([{}, MOMENTUM], [{}, CENTERED], [{}, DECAY, DECOUPLED]),
    MOMENTUM | {"lr_in_momentum": False, "caution": True},
    MOMENTUM | DECOUPLED | {"corrected_weight_decay": True},
]
CASES = {
    f"{name}{''.join(f' {key}' for key in options)}": (name, options)
    for name, cases in {
        "pytorch": [*product([{}, MOMENTUM], [{}, CENTERED], [{}, DECAY]), {"maximize": True}],
        "timm": TIMM,
        "sb3": [MOMENTUM | CENTERED | DECAY],
        "pfrl": [MOMENTUM | CENTERED | DECAY],
    }.items()
    for options in cases
}
"""What the test calls it → the dialect, and its options."""

RECORDED = [
    "pytorch",
    "pytorch momentum",
    "pytorch centered weight_decay",
    "pytorch momentum centered weight_decay",
    "timm centered",
    "timm momentum weight_decay decoupled_decay",
]


def network():
    """A convolution, a normalisation, a recurrent and a linear layer."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)  # the normalisation subtracts it
            self.norm = nn.BatchNorm2d(4)
            self.gru = nn.GRU(16, 6, batch_first=True)
            self.head = nn.Linear(6, 3)

        def forward(self, images):
            x = torch.relu(self.norm(self.conv(images)))
            x = nn.functional.avg_pool2d(x, 2).permute(0, 2, 1, 3).flatten(2)
            return self.head(self.gru(x)[0][:, -1])

    torch.set_num_threads(1)  # more would wait for each other
    torch.manual_seed(0)
    return Network()


def optimizer(name, parameters, **options):
    """As the framework makes it; 2⁻⁶ and not 0.01, so that every float32 is the same number."""
    import torch

    classes = {
        "pytorch": lambda: torch.optim.RMSprop,
        "timm": lambda: lone("timm.optim.rmsprop_tf").RMSpropTF,
        "sb3": lambda: lone("stable_baselines3.common.sb2_compat.rmsprop_tf_like").RMSpropTFLike,
        "pfrl": lambda: lone("pfrl.optimizers.rmsprop_eps_inside_sqrt").RMSpropEpsInsideSqrt,
    }
    return classes[name]()(parameters, lr=2.0**-6, **options)


def batches(steps=2 * STEPS):
    import torch

    rng = np.random.default_rng(0)
    teacher = rng.standard_normal((64, 3))
    for _ in range(steps):
        images = rng.standard_normal((32, 1, 8, 8))
        labels = (images.reshape(32, 64) @ teacher + rng.standard_normal((32, 3))).argmax(1)
        yield torch.tensor(images, dtype=torch.float32), torch.tensor(labels)


def train(net, opt, first=0, last=2 * STEPS):
    """Train from step to step, and return each step's gradients; the learning rate changes every time."""
    import torch

    gradients = []
    for step, (images, labels) in enumerate(batches(last)):
        if step < first:
            continue
        opt.zero_grad()
        torch.nn.functional.cross_entropy(net(images), labels).backward()
        gradients.append({name: p.grad.numpy().copy() for name, p in net.named_parameters()})
        follow(opt, step)
    return gradients


def follow(opt, step):
    """One step of the optimizer with the gradients that are there."""
    for group in opt.param_groups:
        group["lr"] = RATES[step]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This overload of", UserWarning)  # PFRL
        opt.step()


def arrays(tensors):
    return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}


def flat(tree, path=()):
    """Nested dicts with the keys joined by dots."""
    if not isinstance(tree, dict):
        return {".".join(map(str, path)): tree}
    return {key: leaf for name, child in tree.items() for key, leaf in flat(child, (*path, name)).items()}


def record():
    from safetensors.numpy import save_file

    tensors, metadata = {}, {}
    for case in RECORDED:
        name, options = CASES[case]
        net = network()
        opt = optimizer(name, net.named_parameters(), **options)  # safetensors sorts
        train(net, opt, 0, STEPS)
        state_dict = opt.state_dict()
        key = case.replace(" ", "_")
        metadata[f"{key}.optimizer.param_groups"] = json.dumps(state_dict["param_groups"])
        state = {i: arrays(entry) for i, entry in state_dict["state"].items()}
        found = {"model": arrays(net.state_dict()), "optimizer": {"state": state}}
        found["gradients"] = dict(enumerate(train(net, opt, STEPS, STEPS + MORE)))
        found["after"] = arrays(dict(net.named_parameters()))
        tensors |= flat({key: found})
    about = {package: importlib.metadata.version(package) for package in ("torch", "timm", "safetensors")}
    metadata["about"] = json.dumps(about | {"python": platform.python_version()})
    path = Path(__file__).parents[1] / "interop_pytorch.safetensors"
    save_file(tensors, path, metadata)
    print(path.name, about, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    record()
