"""The results of a run: a table on the screen, and every number in a folder, beside the pictures."""

import contextlib
import json
import math
import platform
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import jax

import rmsprop_optax
from rmsprop_optax import plots
from rmsprop_optax._columns import aligned

AUTHOR = "python -m rmsprop_optax"
"""The value of ``written_by`` in ``results.json``."""

Rows: TypeAlias = Sequence[Mapping[str, Any]]
"""The rows of one training, one an epoch."""
Runs: TypeAlias = Mapping[str, Mapping[int, Rows]]
"""Name of each optimizer → seed → its rows."""

_MEASURES = ("gradient", "update_ratio", "lr_median", "below_eps")
_SIZES = ("gradient", "update_ratio", "update", "parameter")  # which every optimizer has
_SCORES = {"train_loss": ".4g", "test_loss": ".4g", "train_accuracy": ".1%", "test_accuracy": ".1%"}


def table(runs: Runs) -> str:
    """Return the last row of every training, and the seconds of an epoch, as aligned text.

    With several seeds, a number is their median at the last epoch of all of them, and the columns of the test set also
    have their range, in which NaN is the largest number. A seed that diverged keeps its last epoch.
    """
    head = ("optimizer", *(key.replace("_", " ") for key in _SCORES), "s/epoch", "")
    lines = [head, *(_line(name, list(seeds.values())) for name, seeds in runs.items())]
    most = max(map(len, runs.values()))
    legend = f"\nmedians of {most} seeds; in brackets from the smallest to the largest" if most > 1 else ""
    return aligned(lines) + legend


def _line(name: str, seeds: Sequence[Rows]) -> tuple[str, ...]:
    cells = []
    last = min((len(rows) for rows in seeds if diverged_in(rows) is None), default=None)
    ends = [rows[:last][-1] for rows in seeds]
    for key, form in _SCORES.items():
        values = [math.inf if math.isnan(row[key]) else row[key] for row in ends]
        spread = f" ({min(values):{form}} to {max(values):{form}})" if len(seeds) > 1 and key.startswith("test") else ""
        cells.append(f"{statistics.median(values):{form}}{spread}")
    seconds = [each for rows in seeds if (each := seconds_per_epoch(rows)) is not None]
    diverged = [epoch for rows in seeds if (epoch := diverged_in(rows)) is not None]
    remark = f"diverged in epoch {min(diverged)}" if diverged else ""
    if diverged and len(seeds) > 1:
        remark = f"{len(diverged)} of {len(seeds)} seeds diverged, the first in epoch {min(diverged)}"
    return name, *cells, f"{statistics.median(seconds):.3f}" if seconds else "-", remark


def seconds_per_epoch(rows: Rows) -> float | None:
    """Return the median over epochs without the first, which compiles; ``None`` for runs of one epoch."""
    later = [row["seconds"] for row in rows if row["epoch"] > 1]
    return statistics.median(later) if later else None


def diverged_in(rows: Rows) -> int | None:
    """Return the first epoch with a loss that is not finite, or ``None``."""
    return next((int(row["epoch"]) for row in rows if not math.isfinite(row["train_loss"] + row["test_loss"])), None)


def pictures(folder: Path, names: Iterable[str]) -> list[Path]:
    """Return the paths of all pictures: the curves, and of each optimizer its layers and its rates."""
    own = [f"{kind}-{name}" for name in names for kind in ("layers", "rates")]
    return [folder / f"{name}.png" for name in ("curves", *own)]


def draw(folder: Path, runs: Runs, *, title: str) -> None:
    """Draw the curves with a band over seeds, and the layers and effective learning rates of each optimizer.

    The layers and the rates are those of the first seed. An optimizer without effective learning rates has no picture
    of them, and an optimizer without a finished epoch has neither.

    Args:
      folder: an existing folder.
      runs: at least one, each with a row.
      title: the title of the curves.
    """
    curves = {name: [*seeds.values()] for name, seeds in runs.items()}
    figures = {"curves": plots.curves(curves, title=title)}
    for name, seeds in runs.items():
        seed, rows = next(iter(seeds.items()))
        label = name if len(seeds) == 1 else f"{name}, seed {seed}"
        rates = [{"step": row["step"], **row["rates"]} for row in rows if "rates" in row]
        if len(rows) > 1:
            figures[f"layers-{name}"] = plots.layers(
                rows[1:],
                title=f"{label}: measures of each layer at the last measured step of every epoch",
                measures=_MEASURES if rates else _SIZES,
            )
        if rates:
            title = f"{label}: effective learning rates of single weights after every epoch"
            figures[f"rates-{name}"] = plots.rates(rates, title=title)
    for name, figure in figures.items():
        with _complete(folder / f"{name}.png") as path:
            figure.savefig(path, dpi=150, format="png")


def write(path: Path, arguments: Mapping[str, Any], optimizers: Mapping[str, Mapping[str, Any]], runs: Runs) -> None:
    """Write every epoch of every training as JSON, with the arguments and versions that repeat the run.

    The rates of entries are left out. A number that is not finite is ``null``.

    Args:
      path: the file.
      arguments: of the command line.
      optimizers: name → arguments of the optimizer.
      runs: the rows.
    """
    results = {
        "written_by": AUTHOR,
        "arguments": arguments,
        "versions": {
            "rmsprop_optax": rmsprop_optax.__version__,
            **{name: version(name) for name in ("jax", "optax", "flax")},
            "python": platform.python_version(),
        },
        "device": jax.devices()[0].device_kind,
        "runs": {
            name: {
                "arguments": {k: v if _is_json(v) else str(v) for k, v in optimizers[name].items()},
                "seeds": [{"seed": seed, **_numbers(rows)} for seed, rows in seeds.items()],
            }
            for name, seeds in runs.items()
        },
    }
    text = json.dumps(results, indent=2, allow_nan=False, default=str)
    with _complete(path) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def _is_json(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _numbers(rows: Rows) -> dict[str, Any]:
    return {
        "seconds_per_epoch": seconds_per_epoch(rows),
        "diverged_in_epoch": diverged_in(rows),
        "epochs": [{k: v if math.isfinite(v) else None for k, v in row.items() if k != "rates"} for row in rows],
    }


@contextlib.contextmanager
def _complete(path: Path) -> Iterator[Path]:
    """A temporary path whose file replaces that of ``path`` once it is written; an error leaves ``path`` unchanged."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:  # a failed write names no file
        error.filename = str(path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)
