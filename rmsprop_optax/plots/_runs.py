"""Training runs: loss and accuracy over time, with a band over seeds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from rmsprop_optax.plots import _axes, _rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACCURACIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)


def curves(
    runs: Mapping[str, Sequence[Mapping[str, Any]] | Sequence[Sequence[Mapping[str, Any]]]], *, title: str
) -> "Figure":
    """Draw loss and accuracy after each epoch, all runs in the same axes.

    Args:
      runs: name → rows, or name → a list of rows for each seed. A row has ``epoch``, ``train_loss`` and ``test_loss``
        in nats, and ``test_accuracy`` from 0 to 1. NaN, ``None`` and a missing number leave a gap.
      title: the title of the figure.

    Returns:
      A figure with three panels. Train loss and test loss share one logarithmic scale. The scale of the test accuracy
      is logarithmic in the errors: 98 % and 99 % are about as far apart as 80 % and 90 %. With several seeds, a line is
      the median and a band reaches from the smallest to the largest; both end where the first seed ends.

    Raises:
      ValueError: there is no run, a run has no rows, or a row has no ``epoch``.
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    seeds: dict[str, Sequence[Sequence[Mapping[str, Any]]]] = {}
    for name, run in _rows.some(runs, "runs").items():
        several: Any = run if isinstance(run, Sequence) and isinstance(run[0], Sequence) else [run]
        for rows in several:
            _rows.need(rows, "epoch", of=f"runs[{name!r}]")
            _rows.columns([rows], "epoch")
        seeds[name] = several
    figure = _axes.new_figure(title, 4.2)
    train, test, accuracy = panels = figure.subplots(1, 3)
    for axes, name in ((train, "train loss"), (test, "test loss")):
        axes.set_yscale("log", nonpositive="mask")
        _axes.dress(axes, title=name, xlabel="epoch", ylabel="cross-entropy (nats)")
    test.sharey(train)
    _axes.dress(accuracy, title="test accuracy", xlabel="epoch", ylabel="correct (%)", ylim=(0, 1))
    accuracy.set_yscale("function", functions=(_spread, _gather))
    accuracy.set_yticks(_ACCURACIES)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=None))

    for i, (name, several) in enumerate(seeds.items()):
        epochs = [row["epoch"] for row in max(several, key=len)]
        look: dict[str, Any] = {
            "color": _axes.COLOURS[i % len(_axes.COLOURS)],
            "marker": _axes.MARKERS[i % len(_axes.MARKERS)],
            "markersize": 4,
            "markevery": -(-len(epochs) // 25),
            "linewidth": 1.2,
            "clip_on": False,
        }
        for axes, key in zip(panels, ("train_loss", "test_loss", "test_accuracy"), strict=True):
            _axes.band(axes, epochs, _rows.columns(several, key), (0.0, 1.0), label=name, **look)
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    _axes.legend(figure, train, title=_axes.about_seeds(map(len, seeds.values()), (0.0, 1.0)))
    return figure


def bands(
    runs: Mapping[str, ArrayLike],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    x: ArrayLike | None = None,
    log: bool = False,
    log_x: bool = False,
    band: tuple[float, float] = (0.0, 1.0),
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw lines with a band over seeds, all in one pair of axes.

    Args:
      runs: name → numbers [seeds, points], or [points] for one seed. NaN and infinite numbers leave a gap.
      title: the title of the figure, or of ``axes``.
      xlabel: the label of the horizontal axis, with the unit.
      ylabel: the label of the vertical axis, with the unit.
      x: positions of the points [points]; 1, 2, 3, … by default.
      log: use a logarithmic vertical scale. Numbers that are not above 0 leave a gap.
      log_x: use a logarithmic horizontal scale.
      band: quantiles over the seeds, 0 to 0.5 and 0.5 to 1, between which the band lies. The default covers all seeds.
      axes: axes to draw in, without a legend. Lines that are there stay. ``None`` makes a new figure.

    Returns:
      The figure. A line is the median of its seeds; the legend says what the band is.

    Raises:
      ValueError: there is no run; a run is not [seeds, points]; its length differs from ``x``; or ``band`` is not a
        pair of quantiles around 0.5.

    Example:
      >>> loss = np.geomspace(2, 1e-2, 50) * np.array([[0.8], [1.0], [1.3]])
      >>> figure = bands({"keras": loss, "pytorch": loss**2}, title="x", xlabel="step", ylabel="loss (nats)", log=True)
      >>> [text.get_text() for text in figure.legends[0].get_texts()]
      ['keras', 'pytorch']
    """
    if np.shape(band) != (2,) or not 0 <= band[0] <= 0.5 <= band[1] <= 1:
        raise ValueError(f"band must be quantiles on both sides of 0.5, got {band}: (0.25, 0.75) is the middle half.")
    values = {
        name: np.atleast_2d(_rows.numbers(run, f"runs[{name!r}]")) for name, run in _rows.some(runs, "runs").items()
    }
    x = np.arange(1, 1 + next(iter(values.values())).shape[-1]) if x is None else _rows.numbers(x, "x")
    for name, run in values.items():
        if run.ndim != 2 or run.shape[1] != len(x):
            raise ValueError(f"runs must be [seeds, points] with {len(x)} points, got {name} {list(run.shape)}.")
    figure, ax = _axes.one_pair(axes, title, 4.4)
    if log:
        ax.set_yscale("log", nonpositive="mask")
    if log_x:
        ax.set_xscale("log", nonpositive="mask")
    for i, (name, run) in enumerate(values.items(), len(ax.lines)):
        _axes.band(ax, x, run, band, label=name, linewidth=1.6, **_axes.line(i))
    _axes.dress(ax, xlabel=xlabel, ylabel=ylabel)
    if axes is None:
        _axes.legend(figure, ax, title=_axes.about_seeds(map(len, values.values()), band))
    return figure


def _spread(accuracy: ArrayLike) -> np.ndarray:
    # 1.004 instead of 1 keeps 100 % at a finite distance.
    return np.negative(np.log(1.004 - np.clip(accuracy, 0, 1)))


def _gather(spread: ArrayLike) -> np.ndarray:
    return np.subtract(1.004, np.exp(np.negative(spread)))
