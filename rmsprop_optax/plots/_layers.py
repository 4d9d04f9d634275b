"""Draw measures of layers over training, and histograms of their effective learning rates."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rmsprop_optax import _checks
from rmsprop_optax.plots import _axes, _rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_BANDS = 4  # arrays in one panel; more bands would hide each other
_MEASURES = {
    "gradient": ("gradient", "root mean square"),
    "update": ("update", "root mean square"),
    "parameter": ("parameter", "root mean square"),
    "update_ratio": ("update over parameter", "ratio of root mean squares"),
    "learning_rate": ("learning rate", "learning rate"),
    "lr_median": ("effective learning rate", "median over entries"),
    "below_eps": ("root mean square of gradients below epsilon", "share of entries (%)"),
    "silent": ("no gradient yet", "share of entries (%)"),
    "warm_up": ("weight of the initial value", "share (%)"),
}


def layers(
    rows: Sequence[Mapping[str, Any]],
    *,
    title: str,
    measures: Sequence[str] = ("gradient", "update_ratio", "lr_median", "below_eps"),
) -> "Figure":
    """Draw the measures of each layer over training: one panel for each measure, one line for each array.

    Args:
      rows: a row for each measured step, as :func:`rmsprop_optax.measure.scalars` returns it: ``step``, and numbers
        such as ``"gradient/conv/kernel"``. A missing number leaves a gap.
      title: the title of the figure.
      measures: at least one of ``gradient``, ``update``, ``parameter``, ``update_ratio``, ``learning_rate``,
        ``lr_median``, ``below_eps``, ``silent`` and ``warm_up``.

    Returns:
      A figure. Shares have a linear scale, all other measures a logarithmic one. Arrays of one layer share a colour;
      arrays of one kind, such as all biases, share a line style. With at most four arrays, a band around ``lr_median``
      reaches from ``lr_min`` to ``lr_max``; for more arrays, use :func:`rates`.

    Raises:
      ValueError: there is no row or no measure, the rows have no arrays or lack ``step``, or a measure is unknown.
    """
    from matplotlib.ticker import PercentFormatter

    rows = _rows.some(rows, "rows", Sequence)
    names = dict.fromkeys(key.partition("/")[2] for row in rows for key in row if "/" in key)
    if not names:
        raise ValueError(f"rows must have measures of arrays, such as gradient/conv/kernel, got {', '.join(rows[0])}.")
    _rows.need(rows, "step")
    for measure in _rows.some(measures, "measures", Sequence):
        if measure not in _MEASURES:
            raise ValueError(f"measures must be of {', '.join(_MEASURES)}, got {measure!r}.")
    steps = [row["step"] for row in rows]
    columns = min(2, len(measures))
    figure = _axes.new_figure(title, 0.9 + 2.6 * -(-len(measures) // columns))
    grid = list(figure.subplots(-(-len(measures) // columns), columns, squeeze=False).flat)
    for axes, measure in zip(grid, measures, strict=False):
        share = measure in ("below_eps", "silent", "warm_up")
        values = {name: _rows.columns([rows], f"{measure}/{name}")[0] for name in names}
        if share:
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=None))
        elif any((x > 0).any() for x in values.values()):
            axes.set_yscale("log", nonpositive="mask")
        for name, look in _related(names).items():
            axes.plot(steps, values[name], label=name, linewidth=1.4, **look)
            if measure == "lr_median" and len(names) <= _MOST_BANDS:
                ends = (_rows.columns([rows], f"{end}/{name}")[0] for end in ("lr_min", "lr_max"))
                axes.fill_between(steps, *ends, color=look["color"], alpha=0.08, linewidth=0)
        about, unit = _MEASURES[measure]
        if axes.collections:
            unit += "; band: least to largest"
        _axes.dress(axes, title=about, xlabel="step", ylabel=unit, **({"ylim": (-0.03, 1.03)} if share else {}))
    for axes in grid[len(measures) :]:
        axes.set_axis_off()
    _axes.legend(figure, figure.axes[0])
    return figure


def rates(rows: Sequence[Mapping[str, Any]], *, title: str, bins: int = 48) -> "Figure":
    """Draw histograms of the effective learning rates over training: one panel for each array.

    Args:
      rows: a row for each moment: ``step``, and name of an array → the effective learning rates of its entries, as
        :func:`rmsprop_optax.measure.effective_rates` returns them. Rates that are not finite or not above 0 are not
        counted.
      title: the title of the figure.
      bins: number of bins of log(rate), between the smallest and the largest rate in all rows.

    Returns:
      A figure whose panels share their scales. A darker cell holds a larger share of the entries of that step. The line
      is the median. Entries without a gradient keep the largest rate, which epsilon alone bounds.

    Raises:
      ValueError: there is no row, a row lacks ``step``, no row has an array, or ``bins`` is not a whole number above 0.
    """
    from matplotlib.colors import ListedColormap

    _checks.whole("bins", bins)
    _rows.need(rows, "step")
    names = dict.fromkeys(key for row in rows for key in row if key != "step")
    found = {name: [_positive(row.get(name, ())) for row in rows] for name in names}
    if not found:
        raise ValueError("rows must have effective learning rates of arrays, got step alone.")
    everything = np.concatenate([x for moments in found.values() for x in moments])
    low, high = np.log10([everything.min(), everything.max()] if everything.size else [0.1, 1.0])
    edges = 10 ** np.linspace(min(low, high - 0.1), max(high, low + 0.1), bins + 1)
    steps = np.asarray([row["step"] for row in rows], float)
    columns = min(4, len(found))
    height = -(-len(found) // columns)
    figure = _axes.new_figure(title, 0.9 + 2.1 * height)
    grid = figure.subplots(height, columns, squeeze=False, sharex=True, sharey=True)
    shades = ListedColormap(np.linspace((1, 1, 1), (0.0, 0.2, 0.4), 256))
    for axes, (name, moments) in zip(grid.flat, found.items(), strict=False):
        shares = [np.histogram(x, edges)[0] / max(x.size, 1) for x in moments]
        image = axes.pcolormesh(_around(steps), edges, np.transpose(shares), cmap=shades, vmin=0, vmax=0.25)
        median = [np.median(x) if x.size else np.nan for x in moments]
        axes.plot(steps, median, color=_axes.COLOURS[1], linewidth=1.4, label="median")
        axes.set_yscale("log")
        _axes.dress(axes, title=name)
    for axes in grid.flat[len(found) :]:
        axes.set_axis_off()
    bar = figure.colorbar(image, ax=grid, extend="max", aspect=40, pad=0.01)
    bar.set_label("share of entries (%)")
    bar.set_ticks([0, 0.05, 0.1, 0.15, 0.2, 0.25], labels=["0", "5", "10", "15", "20", "25"])
    for axes in grid.flat[max(0, len(found) - columns) : len(found)]:  # the lowest of each column
        axes.set_xlabel("step")
        axes.tick_params(labelbottom=True)
    figure.supylabel("effective learning rate", fontsize="medium")
    _axes.legend(figure, grid.flat[0])
    return figure


def _related(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Name → look: one colour for each layer, one line style for each kind of array, as in ``layer/kernel``."""
    parts = {name: name.rpartition("/")[::2] for name in names}
    parents, kinds = (list(dict.fromkeys(part[i] for part in parts.values())) for i in (0, 1))
    if len(parents) == 1 or len(kinds) > len(_axes.DASHES) or len(parents) > len(_axes.COLOURS):
        return {name: _axes.line(i) for i, name in enumerate(parts)}
    return {
        name: {"color": _axes.COLOURS[parents.index(parent)], "linestyle": _axes.DASHES[kinds.index(kind)]}
        for name, (parent, kind) in parts.items()
    }


def _positive(x: ArrayLike) -> NDArray[np.float64]:
    values = _rows.numbers(x, "rates")
    return values[np.isfinite(values) & (values > 0)]


def _around(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The edges of cells [points + 1] whose middles are ``x`` [points]."""
    if len(x) == 1:
        return np.add(x, [-0.5, 0.5])
    middles = (x[1:] + x[:-1]) / 2
    return np.concatenate([[2 * x[0] - middles[0]], middles, [2 * x[-1] - middles[-1]]])
