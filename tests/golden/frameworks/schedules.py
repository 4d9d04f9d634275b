"""Runs of PyTorch under a schedule, half-way, for `tests/test_convert.py`: as files that `convert` reads.

    python tests/golden/frameworks/schedules.py

writes `schedule_*.safetensors` one folder up: a small network's parameters and its optimizer's state after 100 of 200
steps, the rate and the momentum of every step, and the loss before every step. It needs torch and safetensors.
"""

import json
from pathlib import Path

import numpy as np

STEPS = 200
SCHEDULES = {
    "step": lambda torch, tx: torch.optim.lr_scheduler.StepLR(tx, 30, 0.5),
    "cycle": lambda torch, tx: torch.optim.lr_scheduler.OneCycleLR(tx, 0.01, STEPS),
}


def batches():
    """The inputs and outputs of each step."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((STEPS, 32, 8)).astype(np.float32)
    return x, np.sin(x.sum(-1, keepdims=True)).astype(np.float32)


def record(name):
    import torch
    from safetensors.numpy import save_file

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    tx = torch.optim.RMSprop(net.named_parameters(), 0.01, momentum=0.9)
    schedule = SCHEDULES[name](torch, tx)
    rates, momenta, losses, arrays = [], [], [], {}
    for step, (x, y) in enumerate(zip(*map(torch.from_numpy, batches()), strict=True)):
        if step == STEPS // 2:
            groups = json.dumps(tx.state_dict()["param_groups"])
            arrays = {f"model.{key}": value.numpy().copy() for key, value in net.state_dict().items()}
            for i, entry in tx.state_dict()["state"].items():
                arrays |= {f"optimizer.state.{i}.{key}": value.numpy().copy() for key, value in entry.items()}
        loss = torch.nn.functional.mse_loss(net(x), y)
        tx.zero_grad()
        loss.backward()
        losses.append(loss.item())
        rates.append(tx.param_groups[0]["lr"])
        momenta.append(tx.param_groups[0]["momentum"])
        tx.step()
        schedule.step()
    arrays |= {"rates": np.array(rates), "momenta": np.array(momenta), "losses": np.array(losses)}
    path = Path(__file__).resolve().parents[1] / f"schedule_{name}.safetensors"
    save_file(arrays, path, metadata={"optimizer.param_groups": groups, "torch": torch.__version__})


if __name__ == "__main__":
    for name in SCHEDULES:
        record(name)
