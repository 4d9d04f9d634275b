"""The folders that ``train`` writes to: checked before the run, so that it overwrites no file of another program."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rmsprop_optax.cli._parser import UsageError, usage_errors
from rmsprop_optax.demo import checkpoints, report


def claim(folder: Path, names: Iterable[str]) -> None:
    """Make the folder, or check that the results overwrite no file of another program.

    Raises:
      UsageError: the folder cannot be written to, or has such a file.
    """
    results = folder / "results.json"
    with usage_errors(OSError, about=f"--out {folder}: "):
        folder.mkdir(parents=True, exist_ok=True)
        ours = results.exists() and _is_ours(results)
    if not os.access(folder, os.W_OK):
        raise UsageError(f"--out {folder}: the folder cannot be written to.")
    there = [path.name for path in (results, *report.pictures(folder, names)) if path.exists()]
    if there and not ours:
        raise UsageError(f"--out {folder}: another program wrote the {there[0]} in it; name another folder.")


def claim_checkpoints(folder: Path, run: Mapping[str, Any], *, epochs: int, resume: bool) -> None:
    """Make the folder, or check that this run can continue from the checkpoints in it.

    Raises:
      UsageError: it cannot; the message gives the reason.
    """
    with (
        usage_errors(OSError, about=f"--checkpoint {folder}: "),
        usage_errors(checkpoints.CheckpointError, about="--checkpoint: "),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        before = None if checkpoints.last(folder) is None else checkpoints.position(folder)
    if before is None:
        return
    if not resume:
        raise UsageError(f"--checkpoint {folder}: it holds a run; continue it with --resume, or name another folder.")
    there, done = before["run"], len(before["rows"]) - 1
    other = [f"{key} {there.get(key)}, not {value}" for key, value in run.items() if there.get(key) != value]
    if other:
        raise UsageError(f"--checkpoint {folder}: it holds a run with {', '.join(other)}; name another folder.")
    if done > epochs:
        raise UsageError(f"--epochs {epochs}: {folder} has {done} epochs already; name that number or more.")


def _is_ours(results: Path) -> bool:
    try:
        return bool(json.loads(results.read_bytes())["written_by"] == report.AUTHOR)
    except (ValueError, TypeError, KeyError):
        return False
