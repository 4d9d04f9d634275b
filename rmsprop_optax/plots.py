"""Rows of numbers → figures. Knows neither JAX nor the optimizers; matplotlib is imported where a figure is made.

A figure belongs to its caller: ``figure.savefig(path)`` writes it, and no global state keeps it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which any colour vision tells apart, without the yellow, which is lost on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
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


def _spread(accuracy: np.ndarray) -> np.ndarray:
    # Not 1, or else 100 % is infinitely far.
    return -np.log(1.004 - np.clip(accuracy, 0, 1))


def _gather(spread: np.ndarray) -> np.ndarray:
    return 1.004 - np.exp(-spread)
