"""Rows of numbers → figures. Knows neither JAX nor the optimizers; matplotlib is imported where a figure is made.

A figure belongs to its caller: ``figure.savefig(path)`` writes it, and no global state keeps it.
"""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which any colour vision tells apart, without the yellow, which is lost on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", ":", "-.")
_MARKERS = "os^DvPX*"
_WIDTH = 9.5  # inches: a notebook's width at its 100 dots
_ACCURACIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
_MOST_BANDS = 4  # of arrays in one panel; more cover each other
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


def curves(runs: Mapping[str, Sequence[Any]], *, title: str) -> "Figure":
    """Loss and accuracy after each epoch, all runs in the same axes.

    Args:
      runs: name → rows with ``epoch``, ``train_loss`` and ``test_loss`` in nats, ``test_accuracy`` from 0 to 1; or name
        → a list of such rows for each seed. NaN and ``None`` leave a gap.
      title: what the figure shows.

    Returns:
      Three panels: train loss and test loss on one logarithmic scale, and test accuracy on a scale that is logarithmic
      in the errors, so that 98 % and 99 % are about as far apart as 80 % and 90 %. Of several seeds a line is the
      median, with a band from the least to the largest; it ends where the first seed ends.

    Raises:
      ValueError: there is no run, or one without rows.
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    seeds = {name: [run] if isinstance(run[0], Mapping) else run for name, run in _some(runs, "runs").items()}
    figure = _figure(title, 4.2)
    train, test, accuracy = panels = figure.subplots(1, 3)
    for axes, name in ((train, "train loss"), (test, "test loss")):
        axes.set_yscale("log", nonpositive="mask")
        _dress(axes, title=name, xlabel="epoch", ylabel="cross-entropy (nats)")
    test.sharey(train)
    _dress(accuracy, title="test accuracy", xlabel="epoch", ylabel="images recognised (%)", ylim=(0, 1))
    accuracy.set_yscale("function", functions=(_spread, _gather))
    accuracy.set_yticks(_ACCURACIES)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=None))

    for i, (name, several) in enumerate(seeds.items()):
        epochs = [row["epoch"] for row in max(several, key=len)]
        look: dict[str, Any] = {
            "color": _COLOURS[i % len(_COLOURS)],
            "marker": _MARKERS[i % len(_MARKERS)],
            "markersize": 4,
            "markevery": -(-len(epochs) // 25),
            "linewidth": 1.2,
            "clip_on": False,
        }
        for axes, key in zip(panels, ("train_loss", "test_loss", "test_accuracy"), strict=True):
            _band(axes, epochs, _columns(several, key), (0.0, 1.0), label=name, **look)
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    _legend(figure, train, title=_of_seeds(map(len, seeds.values()), (0.0, 1.0)))
    return figure


def bands(
    runs: Mapping[str, Any],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    x: Any = None,
    log: bool = False,
    log_x: bool = False,
    band: tuple[float, float] = (0.0, 1.0),
    axes: "Axes | None" = None,
) -> "Figure":
    """Lines with a band over seeds, in one pair of axes.

    Args:
      runs: name → numbers [seeds, points], or [points] of one seed. NaN and infinities leave a gap.
      title: what the figure shows.
      xlabel: with its unit, as ``ylabel``.
      ylabel: what the numbers are.
      x: where the points are; 1, 2, 3, … by default.
      log: a logarithmic scale for the numbers; what is not above 0 leaves a gap.
      log_x: the same for ``x``.
      band: its quantiles over the seeds, 0 to 1; by default all seeds are in it.
      axes: where to draw, after what is there, with no legend; ``None`` makes a figure.

    Returns:
      A figure, or that of ``axes``. A line is the median of its seeds; the legend says what the band is.

    Raises:
      ValueError: there is no run; one is not [seeds, points] or of another length than ``x``; no quantiles.

    Example:
      >>> loss = np.geomspace(2, 1e-2, 50) * np.array([[0.8], [1.0], [1.3]])
      >>> figure = bands({"keras": loss, "pytorch": loss**2}, title="x", xlabel="step", ylabel="loss (nats)", log=True)
      >>> [text.get_text() for text in figure.legends[0].get_texts()]
      ['keras', 'pytorch']
    """
    if not 0 <= band[0] <= 0.5 <= band[1] <= 1:
        raise ValueError(f"band must be quantiles on both sides of 0.5, got {band}: (0.25, 0.75) is the middle half.")
    values = {name: np.atleast_2d(np.asarray(run, float)) for name, run in _some(runs, "runs").items()}
    x = np.arange(1, 1 + next(iter(values.values())).shape[-1]) if x is None else np.asarray(x)
    for name, run in values.items():
        if run.ndim != 2 or run.shape[1] != len(x):
            raise ValueError(f"runs must be [seeds, points] with {len(x)} points, got {name} {list(run.shape)}.")
    figure: Any = _figure(title, 4.4) if axes is None else axes.figure
    ax = axes or figure.subplots()
    if log:
        ax.set_yscale("log", nonpositive="mask")
    if log_x:
        ax.set_xscale("log", nonpositive="mask")
    for i, (name, run) in enumerate(values.items(), len(ax.lines)):
        _band(ax, x, run, band, label=name, linewidth=1.6, **_line(i))
    _dress(ax, xlabel=xlabel, ylabel=ylabel, **({"title": title} if axes else {}))
    if axes is None:
        _legend(figure, ax, title=_of_seeds(map(len, values.values()), band))
    return figure


def layers(
    rows: Sequence[Mapping[str, Any]],
    *,
    title: str,
    measures: Sequence[str] = ("gradient", "update_ratio", "lr_median", "below_eps"),
) -> "Figure":
    """The measures of each layer over training: one panel a measure, one line an array of parameters.

    Args:
      rows: what :func:`rmsprop_optax.measure.scalars` gives, a row a moment: ``step``, and ``"gradient/conv/kernel"``
        and so on. What a row does not have leaves a gap.
      title: what the figure shows.
      measures: any of ``gradient``, ``update``, ``parameter``, ``update_ratio``, ``learning_rate``, ``lr_median``,
        ``below_eps``, ``silent`` and ``warm_up``.

    Returns:
      Panels with their own scales, logarithmic but for shares. Arrays of one layer share a colour, and arrays of one
      name, as all biases, the kind of a line. Of four arrays at most, the effective learning rates have a band from
      the least to the largest around the median; of more, see :func:`rates`.

    Raises:
      ValueError: there is no row, no array in the rows, or no such measure.
    """
    from matplotlib.ticker import PercentFormatter

    names = dict.fromkeys(key.partition("/")[2] for row in _some(rows, "rows") for key in row if "/" in key)
    if not names:
        raise ValueError(f"rows must have measures of arrays, as gradient/conv/kernel, got {', '.join(rows[0])}.")
    for measure in measures:
        if measure not in _MEASURES:
            raise ValueError(f"measures must be of {', '.join(_MEASURES)}, got {measure!r}.")
    steps = [row["step"] for row in rows]
    columns = min(2, len(measures))
    figure = _figure(title, 0.9 + 2.6 * -(-len(measures) // columns))
    grid = list(figure.subplots(-(-len(measures) // columns), columns, squeeze=False).flat)
    for axes, measure in zip(grid, measures, strict=False):
        share = measure in ("below_eps", "silent", "warm_up")
        values = {name: _columns([rows], f"{measure}/{name}")[0] for name in names}
        if share:
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=None))
        elif any((x > 0).any() for x in values.values()):
            axes.set_yscale("log", nonpositive="mask")
        for name, look in _related(names).items():
            axes.plot(steps, values[name], label=name, linewidth=1.4, **look)
            if measure == "lr_median" and len(names) <= _MOST_BANDS:
                ends = (_columns([rows], f"{end}/{name}")[0] for end in ("lr_min", "lr_max"))
                axes.fill_between(steps, *ends, color=look["color"], alpha=0.08, linewidth=0)
        about, unit = _MEASURES[measure]
        if axes.collections:
            unit += "; band: least to largest"
        _dress(axes, title=about, xlabel="step", ylabel=unit, **({"ylim": (-0.03, 1.03)} if share else {}))
    for axes in grid[len(measures) :]:
        axes.set_axis_off()
    _legend(figure, figure.axes[0])
    return figure


def rates(rows: Sequence[Mapping[str, Any]], *, title: str, bins: int = 48) -> "Figure":
    """Histograms of the effective learning rates over training: one panel an array of parameters.

    Args:
      rows: a row a moment: ``step``, and name → the effective learning rates of entries, as
        :func:`rmsprop_optax.measure.effective_rates` gives them. Those that are not finite and above 0 are not counted.
      title: what the figure shows.
      bins: of the logarithm of the rates, between the least and the largest of all.

    Returns:
      Panels with one scale; the darker, the more entries have this rate at this moment. The line is their median. A
      row at the top that stays are entries without gradients, which epsilon alone holds.

    Raises:
      ValueError: there is no row, or no array in the rows.
    """
    from matplotlib.colors import ListedColormap

    names = dict.fromkeys(key for row in _some(rows, "rows") for key in row if key != "step")
    found = {name: [_positive(row.get(name, ())) for row in rows] for name in names}
    if not found:
        raise ValueError("rows must have effective learning rates of arrays, got step alone.")
    everything = np.concatenate([x for moments in found.values() for x in moments])
    low, high = np.log10([everything.min(), everything.max()] if everything.size else [0.1, 1.0])
    edges = 10 ** np.linspace(min(low, high - 0.1), max(high, low + 0.1), bins + 1)
    steps = np.asarray([row["step"] for row in rows], float)
    columns = min(4, len(found))
    height = -(-len(found) // columns)
    figure = _figure(title, 0.9 + 2.1 * height)
    grid = figure.subplots(height, columns, squeeze=False, sharex=True, sharey=True)
    shades = ListedColormap(np.linspace((1, 1, 1), (0.0, 0.2, 0.4), 256))
    for axes, (name, moments) in zip(grid.flat, found.items(), strict=False):
        shares = [np.histogram(x, edges)[0] / max(x.size, 1) for x in moments]
        image = axes.pcolormesh(_around(steps), edges, np.transpose(shares), cmap=shades, vmin=0, vmax=0.25)
        median = [np.median(x) if x.size else np.nan for x in moments]
        axes.plot(steps, median, color=_COLOURS[1], linewidth=1.4, label="median")
        axes.set_yscale("log")
        _dress(axes, title=name)
    for axes in grid.flat[len(found) :]:
        axes.set_axis_off()
    bar = figure.colorbar(image, ax=grid, extend="max", aspect=40, pad=0.01)
    bar.set_label("share of entries (%)")
    bar.set_ticks([0, 0.05, 0.1, 0.15, 0.2, 0.25], labels=["0", "5", "10", "15", "20", "25"])
    for axes in grid[-1]:
        axes.set_xlabel("step")
    figure.supylabel("effective learning rate", fontsize="medium")
    _legend(figure, grid.flat[0])
    return figure


def trajectories(
    paths: Mapping[str, Any],
    surface: Callable[[Any, Any], Any],
    *,
    title: str,
    xlabel: str = "first weight",
    ylabel: str = "second weight",
    limits: tuple[tuple[float, float], tuple[float, float]] | None = None,
    every: int | None = None,
    axes: "Axes | None" = None,
) -> "Figure":
    """The ways of optimizers over a loss of two weights, on its contour lines.

    Args:
      paths: name → places [steps + 1, 2], from the start on. NaN and infinities leave a gap.
      surface: the loss at arrays of first and second weights, as NumPy has it.
      title: what the figure shows.
      xlabel: the first weight.
      ylabel: the second weight.
      limits: the range of each weight; by default that of the paths, with a margin.
      every: a dot at every so many steps; by default there are about twenty on a path.
      axes: where to draw, with no legend; ``None`` makes a figure.

    Returns:
      A figure, or that of ``axes``. A ring is the start, a larger mark of each path its end. The contour lines divide
      the loss above its least one here by the same factor each.

    Raises:
      ValueError: there is no path, or one is not [steps + 1, 2].

    Example:
      >>> way = np.geomspace(1, 1e-2, 30)[:, None] * np.array([1.0, 2.0])
      >>> figure = trajectories({"SGD": way}, lambda x, y: x**2 + 10 * y**2, title="One line, straight to the optimum")
      >>> [text.get_text() for text in figure.legends[0].get_texts()]
      ['SGD']
    """
    places = {name: np.asarray(path, float) for name, path in _some(paths, "paths").items()}
    for name, path in places.items():
        if path.ndim != 2 or path.shape[1] != 2:
            raise ValueError(f"paths must be [steps + 1, 2], got {name} {list(path.shape)}.")
    figure: Any = _figure(title, 5.6) if axes is None else axes.figure
    ax = axes or figure.subplots()
    xs, ys = (np.linspace(*ends, 300) for ends in limits or _limits(list(places.values())))
    loss = np.asarray(surface(*np.meshgrid(xs, ys)), float)
    above = loss - np.nanmin(loss)
    levels = np.nanmax(above) * np.geomspace(1e-4, 0.6, 11)
    ax.contour(xs, ys, above, levels=levels, colors="#888888", linewidths=0.6, zorder=1)
    for i, (name, path) in enumerate(places.items()):
        look, mark = _line(i), _MARKERS[i % len(_MARKERS)]
        stride = every or -(-len(path) // 20)
        ax.plot(*path.T, label=name, marker=mark, markersize=3.5, markevery=stride, linewidth=1.4, **look)
        end = path[np.isfinite(path).all(1)][-1:]
        ax.plot(*end.T, color=look["color"], marker=mark, markersize=10, markeredgecolor="white", zorder=3)
    for start in {tuple(path[0]): None for path in places.values()}:
        ax.plot(*start, "o", markersize=11, markerfacecolor="none", markeredgecolor="black", zorder=3)
    _dress(ax, xlabel=xlabel, ylabel=ylabel, **({"title": title} if axes else {}))
    ax.set(xlim=(xs[0], xs[-1]), ylim=(ys[0], ys[-1]))
    ax.grid(visible=False)
    if axes is None:
        _legend(figure, ax, title="ring: start; large mark: end")
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
    panels: dict[str, dict[str, np.ndarray]] = {}
    for row in rows:
        panels.setdefault(row["weight"], {})[row["dialect"]] = np.asarray(row["movement"])
    groups = _alike(panels)
    labels = [textwrap.fill(", ".join(group), 30) for group in groups]
    entries = sum(label.count("\n") + 1 for label in labels)
    columns = min(3, len(panels) + 1)
    rows_of_panels = -(-(len(panels) + 1) // columns)
    figure = _figure(title, 0.8 + 2.5 * rows_of_panels + (0.07 * entries if entries > 12 else 0))
    grid = figure.subplots(rows_of_panels, columns, squeeze=False).flat
    for axes, (weight, moved) in zip(grid, panels.items(), strict=False):
        for i, (group, label) in enumerate(zip(groups, labels, strict=True)):
            steps = np.arange(1, 1 + len(moved[group[0]]))
            width = 1.2 + 2.4 * (len(groups) - 1 - i) / max(len(groups) - 1, 3)
            axes.plot(steps, moved[group[0]], label=label, linewidth=width, **_line(i))
        sizes = [size for group in groups if (size := np.abs(moved[group[0]]).max()) > 0]
        if sizes and max(sizes) > 30 * min(sizes):
            axes.set_yscale("symlog", linthresh=10 ** np.floor(np.log10(min(sizes))))
        _dress(axes, title=f"{weight}: {notes[weight]}" if notes else weight, xlabel="step")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    look = {"handles": grid[0].lines, "frameon": False, "fontsize": "small"}
    if entries > 12:
        figure.legend(loc="outside lower center", ncols=3, **look)
    else:
        grid[-1].legend(loc="center", **look)
    figure.supylabel("movement against the gradient (units of the weight)", fontsize="medium")
    return figure


def _figure(title: str, height: float) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    figure.suptitle(title, fontsize="large")
    return figure


def _dress(axes: "Axes", *, title: str = "", xlabel: str = "", ylabel: str = "", **limits: Any) -> None:
    """The look that all axes share."""
    axes.set(**limits)
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel(xlabel, fontsize="medium")
    axes.set_ylabel(ylabel, fontsize="medium")
    axes.tick_params(labelsize="small")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: "Figure", axes: "Axes", *, title: str | None = None) -> None:
    handles, names = axes.get_legend_handles_labels()
    most = max(1, 110 // (6 + max(map(len, names))))
    columns = -(-len(names) // -(-len(names) // most))
    look: dict[str, Any] = {"frameon": False, "fontsize": "medium", "title": title, "title_fontsize": "small"}
    figure.legend(handles, names, loc="outside lower center", ncols=columns, **look)


def _line(i: int) -> dict[str, Any]:
    """The colour and the dashes of the line number ``i``."""
    return {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _DASHES[i // len(_COLOURS) % len(_DASHES)]}


def _related(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Looks that show which arrays are of one layer: ``layer/kernel`` and ``layer/bias``."""
    parts = {name: name.rpartition("/")[::2] for name in names}
    parents, kinds = (list(dict.fromkeys(part[i] for part in parts.values())) for i in (0, 1))
    if len(parents) == 1 or len(kinds) > len(_DASHES) or len(parents) > len(_COLOURS):
        return {name: _line(i) for i, name in enumerate(parts)}
    return {
        name: {"color": _COLOURS[parents.index(parent)], "linestyle": _DASHES[kinds.index(kind)]}
        for name, (parent, kind) in parts.items()
    }


def _some(given: Any, what: str) -> Any:
    if not len(given) or (isinstance(given, Mapping) and not all(map(len, given.values()))):
        raise ValueError(f"{what} must not be empty, got {given}.")
    return given


def _columns(seeds: Sequence[Sequence[Mapping[str, Any]]], key: str) -> np.ndarray:
    """One number of all rows, [seeds, rows]; NaN where there is none."""
    found = np.full((len(seeds), max(map(len, seeds))), np.nan)
    for values, rows in zip(found, seeds, strict=True):
        values[: len(rows)] = np.array([row.get(key) for row in rows], float)
    return found


def _band(axes: "Axes", x: Any, values: np.ndarray, band: tuple[float, float], **look: Any) -> None:
    """The median of ``values[seeds, points]``, and of several seeds what is between two quantiles."""
    values = np.where(np.isfinite(values), values, np.nan)
    low, middle, high = np.quantile(values, [band[0], 0.5, band[1]], axis=0)
    axes.plot(x, middle, **look)
    if len(values) > 1:
        if axes.get_yscale() == "log":
            low = np.where(low > 0, low, np.min(values[values > 0], initial=np.inf))
        axes.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0)


def _of_seeds(counts: Iterable[int], band: tuple[float, float]) -> str | None:
    """What line and band are, in words; of one seed there is nothing to say."""
    least, most = min(counts := list(counts)), max(counts)
    if most == 1:
        return None
    number = f"{most}" if least == most else f"{least} to {most}"
    between = "all of them" if band == (0, 1) else f"quantiles {band[0]:g} to {band[1]:g}"
    return f"line: median of {number} seeds; band: {between}"


def _positive(x: Any) -> np.ndarray:
    x = np.asarray(x, float).ravel()
    return x[np.isfinite(x) & (x > 0)]


def _around(x: np.ndarray) -> np.ndarray:
    """The edges of cells around ``x``."""
    if len(x) == 1:
        return x[0] + np.array([-0.5, 0.5])
    middles = (x[1:] + x[:-1]) / 2
    return np.concatenate([[2 * x[0] - middles[0]], middles, [2 * x[-1] - middles[-1]]])


def _limits(paths: Sequence[np.ndarray]) -> list[tuple[float, float]]:
    """The range of each weight with a margin of a tenth."""
    places = np.concatenate(paths)
    places = places[np.isfinite(places).all(1)]
    low, high = places.min(0), places.max(0)
    margin = np.where(high > low, (high - low) / 10, 1.0)
    return list(zip(low - margin, high + margin, strict=True))


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
