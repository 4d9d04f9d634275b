"""Timing that other work on the machine meets evenly, and results as Markdown and JSON with versions and machine."""

import contextlib
import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("jax", "optax", "keras", "torch", "timm", "bitsandbytes")


def pairs(ours: Callable[[], Any], theirs: Callable[[], Any], *, seconds: float) -> list[tuple[float, float]]:
    """The seconds of a call of each, in turn and each first every other time, until so many seconds are over."""
    for step in (ours, theirs) * 3:  # compile, and settle
        step()
    start = time.perf_counter()
    ours(), theirs()
    calls = max(1, int(0.02 / (time.perf_counter() - start)))
    found: list[tuple[float, float]] = []
    while len(found) < 10 or time.perf_counter() - start < seconds:
        order = (ours, theirs) if len(found) % 2 else (theirs, ours)
        took = {step: _seconds(step, calls) for step in order}
        found.append((took[ours], took[theirs]))
    return found


def _seconds(step: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - start) / calls


def compared(found: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Medians in seconds, and the ratio of ours to theirs: median of the pairs and its quartiles."""
    ratios = [a / b for a, b in found]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    ours, theirs = (statistics.median(column) for column in zip(*found, strict=True))
    return {"ours": ours, "theirs": theirs, "ratio": median, "low": low, "high": high, "pairs": len(found)}


def about() -> dict[str, str]:
    """The date, the machine and the versions of what is installed."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        **versions,
        "device": jax.devices()[0].device_kind,
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": load,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def write(path: Path, text: str, results: Mapping[str, Any]) -> None:
    """``path`` as Markdown and as JSON beside it, both with :func:`about`."""
    told = about()
    words = ", ".join(f"{name} {value}" for name, value in told.items())
    path.with_suffix(".md").write_text(f"{text.strip()}\n\n{words}\n")
    path.with_suffix(".json").write_text(json.dumps({"about": told, **results}, indent=1) + "\n")
    print(f"{path.with_suffix('.md')}\n{text}")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; the first column to the left and the others to the right."""
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
