"""A small network that PyTorch, or Keras, trains for 200 steps, for the notebook `3_from_other_frameworks`.

    PYTHONPATH=notebooks python tests/golden/frameworks/half_way.py pytorch

writes the checkpoints half way and at the end into `notebooks/data`, `pytorch_100.safetensors` and
`pytorch_200.safetensors`, and its part of `half_way.json`: the loss of every step, and which versions this was. `keras`
writes `.keras` files, on any of its backends. It needs this package with the extra `demo` beside the framework.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
from pathlib import Path

import numpy as np

from experiments.elsewhere import CHANNELS, HALF, HIDDEN, batches

FOLDER = Path(__file__).parents[3] / "notebooks" / "data"


def pytorch():
    import torch
    from safetensors.numpy import save_file
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(0)
    first, second = CHANNELS

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, first, 3, padding=1)
            self.conv2 = nn.Conv2d(first, second, 3, padding=1)
            self.hidden = nn.Linear(2 * 2 * second, HIDDEN)
            self.logits = nn.Linear(HIDDEN, 10)

        def forward(self, x):
            x = nn.functional.max_pool2d(torch.relu(self.conv1(x)), 2)
            x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
            return self.logits(torch.relu(self.hidden(x.flatten(1))))

    net = Net()
    optimizer = torch.optim.RMSprop(
        net.named_parameters(), lr=0.003, alpha=0.99, eps=0.001, momentum=0.9, centered=True
    )

    def save(step):
        tree = optimizer.state_dict()
        tensors = {f"model.{name}": t.numpy() for name, t in net.state_dict().items()}
        for i, entry in tree["state"].items():
            tensors |= {f"optimizer.state.{i}.{key}": t.numpy() for key, t in entry.items()}
        about = f"torch {torch.__version__}, step {step}"
        metadata = {"optimizer.param_groups": json.dumps(tree["param_groups"]), "about": about}
        save_file(tensors, FOLDER / f"pytorch_{step}.safetensors", metadata)

    for step, (images, labels) in enumerate(zip(*batches(), strict=True)):
        if step == HALF:
            save(step)
        optimizer.zero_grad()
        logits = net(torch.tensor(images).permute(0, 3, 1, 2))
        loss = nn.functional.cross_entropy(logits, torch.tensor(labels).long())
        loss.backward()
        optimizer.step()
        yield loss.item()
    save(step + 1)


def keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    net = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(CHANNELS[0], 3, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(CHANNELS[1], 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(HIDDEN, activation="relu", name="hidden"),
            layers.Dense(10, name="logits"),
        ]
    )
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([149], [0.002, 0.0002])
    optimizer = keras.optimizers.RMSprop(rate, rho=0.9, momentum=0.9, weight_decay=0.1)
    net.compile(optimizer, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for step, (images, labels) in enumerate(zip(*batches(), strict=True)):
        if step == HALF:
            net.save(FOLDER / f"keras_{step}.keras")
        net.reset_metrics()  # or else the loss is a mean over all steps
        yield float(net.train_on_batch(images, labels))
    net.save(FOLDER / f"keras_{step + 1}.keras")


def record(name):
    run, packages = {"pytorch": (pytorch, ["torch", "safetensors"]), "keras": (keras, ["keras", "jax", "h5py"])}[name]
    FOLDER.mkdir(exist_ok=True)
    losses = list(run())
    about = {package: importlib.metadata.version(package) for package in [*packages, "scikit-learn", "numpy"]}
    about |= {"python": platform.python_version(), "date": str(datetime.date.today())}
    path = FOLDER / "half_way.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    found[name] = {"about": about, "losses": [float(str(x)) for x in np.float32(losses)]}
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    print(name, about, f"first loss {losses[0]:.3f}, last {losses[-1]:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", choices=("pytorch", "keras"))
    record(parser.parse_args().framework)
