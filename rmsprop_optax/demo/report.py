"""The results of a run: a table on the screen, and every number in a folder, beside the curves."""

import json
import math
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

import rmsprop_optax
from rmsprop_optax._columns import aligned
from rmsprop_optax.demo import checkpoints
from rmsprop_optax.demo.options import Choice, UsageError

_AUTHOR = "python -m rmsprop_optax"

Run = Sequence[Mapping[str, Any]]


def table(runs: Mapping[str, Run]) -> str:
    """Return the last row of every run, and the seconds of an epoch, as aligned text."""
    lines: list[tuple[str, ...]] = [
        ("dialect", "train loss", "test loss", "train accuracy", "test accuracy", "s/epoch", "")
    ]
    for name, run in runs.items():
        last, seconds, diverged = run[-1], seconds_per_epoch(run), diverged_in(run)
        lines.append(
            (
                name,
                *(f"{last[k]:.4g}" for k in ("train_loss", "test_loss")),
                *(f"{last[k]:.1%}" for k in ("train_accuracy", "test_accuracy")),
                "-" if seconds is None else f"{seconds:.3f}",
                "" if diverged is None else f"diverged in epoch {diverged}",
            )
        )
    return aligned(lines)


def seconds_per_epoch(run: Run) -> float | None:
    """Return the median over epochs without the first, which compiles; ``None`` for runs of one epoch."""
    later = [row["seconds"] for row in run if row["epoch"] > 1]
    return statistics.median(later) if later else None


def diverged_in(run: Run) -> int | None:
    """Return the first epoch with a loss that is not finite, or ``None``."""
    return next((int(row["epoch"]) for row in run if not math.isfinite(row["train_loss"] + row["test_loss"])), None)


def pictures(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return the paths of the pictures: the curves of all dialects, and for each dialect its layers and its rates."""
    own = [f"{kind}-{name}" for name in names for kind in ("layers", "rates")]
    return {name: folder / f"{name}.png" for name in ("curves", *own)}


def claim(folder: Path, names: Iterable[str]) -> None:
    """Make the folder, or check that the results of these dialects overwrite no file of another program.

    Raises:
      UsageError: the folder cannot be written to, or has such a file.
    """
    results = folder / "results.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ours = results.exists() and _is_ours(results)
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror}.") from error
    if not os.access(folder, os.W_OK):
        raise UsageError(f"--out {folder}: the folder cannot be written to.")
    there = [path.name for path in (results, *pictures(folder, names).values()) if path.exists()]
    if there and not ours:
        raise UsageError(f"--out {folder}: there is a {there[0]} that this program did not write; name another folder.")


def claim_checkpoints(folder: Path, run: Mapping[str, Any], *, epochs: int, resume: bool) -> None:
    """Make the folder, or check that this run can continue from the checkpoints in it.

    Raises:
      UsageError: it cannot; the message gives the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = None if checkpoints.last(folder) is None else checkpoints.position(folder)
    except OSError as error:
        raise UsageError(f"--checkpoint {folder}: {error.strerror}.") from error
    except checkpoints.CheckpointError as error:
        raise UsageError(f"--checkpoint: {error}") from error
    if before is None:
        return
    if not resume:
        raise UsageError(f"--checkpoint {folder}: it holds a run; --resume goes on with it, or name another folder.")
    there, done = before["run"], len(before["rows"]) - 1
    other = [f"{key} {there.get(key)}, not {value}" for key, value in run.items() if there.get(key) != value]
    if other:
        raise UsageError(f"--checkpoint {folder}: it holds a run with {', '.join(other)}; name another folder.")
    if done > epochs:
        raise UsageError(f"--epochs {epochs}: there are {done} in {folder} already.")


def _is_ours(results: Path) -> bool:
    try:
        return bool(json.loads(results.read_bytes())["written_by"] == _AUTHOR)
    except (ValueError, TypeError, KeyError):
        return False


def write(path: Path, arguments: Mapping[str, Any], choices: Mapping[str, Choice], runs: Mapping[str, Run]) -> None:
    """Write every epoch of every run as JSON, with the arguments and versions that repeat the run.

    The rates of entries are left out. A number that is not finite is ``null``.
    """
    results = {
        "written_by": _AUTHOR,
        "arguments": arguments,
        "versions": {
            "rmsprop_optax": rmsprop_optax.__version__,
            **{name: version(name) for name in ("jax", "optax", "flax")},
            "python": platform.python_version(),
        },
        "device": jax.devices()[0].device_kind,
        "runs": {
            name: {
                "arguments": choices[name].arguments,
                "seconds_per_epoch": seconds_per_epoch(run),
                "diverged_in_epoch": diverged_in(run),
                "epochs": [{k: v if math.isfinite(v) else None for k, v in row.items() if k != "rates"} for row in run],
            }
            for name, run in runs.items()
        },
    }
    text = json.dumps(results, indent=2, allow_nan=False, default=str)
    path.write_text(text + "\n", encoding="utf-8")
