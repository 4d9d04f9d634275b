"""Record what layers of PyTorch and timm make of an input, for `test_interop_layers.py`.

    python tests/golden/frameworks/torch_layers.py

writes `../interop_layers.npz`: parameters and buffers by their names, input and output of each, all random and float32.
"""

import datetime
import importlib.metadata
import json
import platform
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from frameworks.common import lone

IMAGE = (2, 4, 5, 6)
SERIES = (2, 5, 4)
RECURRENT = {"input_size": 4, "hidden_size": 3, "batch_first": True}


LAYERS = {
    "linear": (nn.Linear(4, 3), (2, 4)),
    "linear_without_bias": (nn.Linear(4, 3, bias=False), (2, 4)),
    "flatten": (nn.Linear(24, 3), (2, 4, 2, 3)),
    "flatten1": (nn.Linear(12, 3), (2, 4, 3)),
    "conv1": (nn.Conv1d(4, 6, 3), (2, 4, 7)),
    "conv2": (nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2), IMAGE),
    "conv3": (nn.Conv3d(2, 3, (3, 2, 1)), (2, 2, 4, 3, 2)),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4), IMAGE),
    "conv_transpose1": (nn.ConvTranspose1d(4, 3, 3, stride=2), (2, 4, 5)),
    "conv_transpose2": (nn.ConvTranspose2d(4, 3, (3, 2), 2, padding=1, output_padding=1, dilation=2), IMAGE),
    "conv_transpose3": (nn.ConvTranspose3d(2, 3, (3, 2, 1)), (2, 2, 3, 2, 2)),
    "batch_norm": (nn.BatchNorm2d(4), IMAGE),
    "layer_norm": (nn.LayerNorm(4), SERIES),
    "group_norm": (nn.GroupNorm(2, 4), IMAGE),
    "instance_norm": (nn.InstanceNorm2d(4, affine=True), IMAGE),
    "rms_norm": (nn.RMSNorm(4), SERIES),
    "embedding": (nn.Embedding(7, 4), None),
    "attention": (nn.MultiheadAttention(6, 2, batch_first=True), (2, 5, 6)),
    "attention_kdim": (nn.MultiheadAttention(6, 2, kdim=4, vdim=5, batch_first=True), (2, 5, 6), (2, 3, 4), (2, 3, 5)),
    "attention_timm": (lone("timm.layers.attention").Attention(6, 2, qkv_bias=True), (2, 5, 6)),
    "lstm": (nn.LSTM(num_layers=2, bidirectional=True, **RECURRENT), SERIES),
    "lstm_without_bias": (nn.LSTM(bias=False, **RECURRENT), SERIES),
    "gru": (nn.GRU(**RECURRENT), SERIES),
    "gru_without_bias": (nn.GRU(bias=False, **RECURRENT), SERIES),
    "rnn": (nn.RNN(**RECURRENT), SERIES),
    "rnn_without_bias": (nn.RNN(bias=False, **RECURRENT), SERIES),
}


CALLS = {
    **dict.fromkeys(("flatten", "flatten1"), lambda layer, x: layer(x.flatten(1))),
    "attention": lambda layer, x: layer(x, x, x),
}


def record():
    generator = torch.Generator().manual_seed(0)
    arrays = {}
    for name, (layer, *shapes) in LAYERS.items():
        state = {n: torch.randn(t.shape, generator=generator) for n, t in layer.state_dict().items() if t.ndim}
        state |= {n: t.exp() for n, t in state.items() if n == "running_var"}
        layer.load_state_dict(state, strict=False)
        inputs = [torch.randn(s, generator=generator) if s else torch.arange(6).reshape(2, 3) for s in shapes]
        with torch.no_grad():
            output = CALLS.get(name, lambda layer, *xs: layer(*xs))(layer.eval(), *inputs)
        arrays |= {f"{name}/state/{n}": t.numpy() for n, t in state.items()}
        arrays |= {f"{name}/input/{i}": x.numpy() for i, x in enumerate(inputs)}
        arrays[f"{name}/output"] = (output[0] if isinstance(output, tuple) else output).numpy()
    about = {package: importlib.metadata.version(package) for package in ("torch", "timm", "numpy")}
    arrays["about"] = json.dumps(about | {"python": platform.python_version(), "date": str(datetime.date.today())})
    path = Path(__file__).parents[1] / "interop_layers.npz"
    np.savez_compressed(path, **arrays)
    print(path.name, about, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    record()
