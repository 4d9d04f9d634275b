"""Rows of numbers → figures. Knows neither JAX nor the optimizers; matplotlib is imported where a figure is made.

A figure belongs to its caller: ``figure.savefig(path)`` writes it, and no global state keeps it.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which any colour vision tells apart, without the yellow, which is lost on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", ":", "-.")
_MARKERS = "os^DvPX*"
_ACCURACIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)


def curves(runs: Mapping[str, Sequence[Mapping[str, Any]]], *, title: str) -> "Figure":
    """Loss and accuracy after each epoch, all runs in the same axes.

    Args:
      runs: name → rows with ``epoch``, ``train_loss`` and ``test_loss`` in nats, ``test_accuracy`` from 0 to 1. NaN and
        ``None`` leave a gap.
      title: what the figure shows.

    Returns:
      Three panels: train loss and test loss on one logarithmic scale, and test accuracy on a scale that is logarithmic
      in the errors, so that 98 % and 99 % are about as far apart as 80 % and 90 %.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    figure.suptitle(title)
    train, test, accuracy = panels = figure.subplots(1, 3)
    for axes, name in ((train, "train loss"), (test, "test loss")):
        axes.set(title=name, ylabel="cross-entropy (nats)")
        axes.set_yscale("log", nonpositive="mask")
    test.sharey(train)
    accuracy.set(title="test accuracy", ylabel="images recognised (%)", ylim=(0, 1))
    accuracy.set_yscale("function", functions=(_spread, _gather))
    accuracy.set_yticks(_ACCURACIES)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=None))
    for axes in panels:
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)

    for i, (name, rows) in enumerate(runs.items()):
        look: dict[str, Any] = {
            "color": _COLOURS[i % len(_COLOURS)],
            "marker": _MARKERS[i % len(_MARKERS)],
            "markersize": 4,
            "markevery": -(-len(rows) // 25),
            "linewidth": 1.2,
            "clip_on": False,
        }
        for axes, key in zip(panels, ("train_loss", "test_loss", "test_accuracy"), strict=True):
            axes.plot([row["epoch"] for row in rows], [row[key] for row in rows], label=name, **look)
    figure.legend(*train.get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False)
    return figure


def movements(rows: Sequence[Mapping[str, Any]], *, title: str, notes: Mapping[str, str] | None = None) -> "Figure":
    """How far each weight has moved after each step: one panel a weight, one line a dialect.

    Args:
      rows: ``dialect``, ``weight`` and ``movement``, the way from the start after every step.
      title: what the figure shows.
      notes: weight → what its gradients are.

    Returns:
      Panels with axes of their own, logarithmic above the smallest movement where the dialects differ a lot. Dialects
      that move every weight alike share a line; of lines that run together the lower one is wider.
    """
    from matplotlib.figure import Figure

    panels: dict[str, dict[str, np.ndarray]] = {}
    for row in rows:
        panels.setdefault(row["weight"], {})[row["dialect"]] = np.asarray(row["movement"])
    groups = _alike(panels)
    labels = [textwrap.fill(", ".join(group), 30) for group in groups]
    entries = sum(label.count("\n") + 1 for label in labels)
    columns = min(3, len(panels) + 1)
    rows_of_panels = -(-(len(panels) + 1) // columns)
    figure = Figure(
        figsize=(9, 0.8 + 2.5 * rows_of_panels + (0.07 * entries if entries > 12 else 0)), layout="constrained"
    )
    figure.suptitle(title, fontsize="large")
    grid = figure.subplots(rows_of_panels, columns, squeeze=False).flat
    for axes, (weight, moved) in zip(grid, panels.items(), strict=False):
        for i, (group, label) in enumerate(zip(groups, labels, strict=True)):
            steps = np.arange(1, 1 + len(moved[group[0]]))
            look: dict[str, Any] = {
                "color": _COLOURS[i % len(_COLOURS)],
                "linestyle": _DASHES[i // len(_COLOURS) % len(_DASHES)],
                "linewidth": 1.2 + 2.4 * (len(groups) - 1 - i) / max(len(groups) - 1, 3),
            }
            axes.plot(steps, moved[group[0]], label=label, **look)
        axes.set_title(f"{weight}: {notes[weight]}" if notes else weight, fontsize="small")
        sizes = [size for group in groups if (size := np.abs(moved[group[0]]).max()) > 0]
        if sizes and max(sizes) > 30 * min(sizes):
            axes.set_yscale("symlog", linthresh=10 ** np.floor(np.log10(min(sizes))))
        axes.set_xlabel("step", fontsize="small")
        axes.tick_params(labelsize="small")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    look = {"handles": grid[0].lines, "frameon": False, "fontsize": "small"}
    if entries > 12:
        figure.legend(loc="outside lower center", ncols=3, **look)
    else:
        grid[-1].legend(loc="center", **look)
    figure.supylabel("movement against the gradient (units of the weight)", fontsize="medium")
    return figure


def _alike(panels: Mapping[str, Mapping[str, np.ndarray]]) -> list[list[str]]:
    """The dialects in groups that move every weight the same way, but for rounding."""
    groups: list[list[str]] = []
    for name in next(iter(panels.values())):
        for group in groups:
            pairs = [(moved[group[0]], moved[name]) for moved in panels.values()]
            if all(np.allclose(x, y, rtol=0, atol=1e-4 * np.abs(x).max()) for x, y in pairs):
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def _spread(accuracy: np.ndarray) -> np.ndarray:
    # Not 1, or else 100 % is infinitely far.
    return -np.log(1.004 - np.clip(accuracy, 0, 1))


def _gather(spread: np.ndarray) -> np.ndarray:
    return 1.004 - np.exp(-spread)
