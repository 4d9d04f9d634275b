"""Draw single weights: paths over a loss surface, and movements after each step."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from rmsprop_optax import _checks
from rmsprop_optax.plots import _axes, _rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def trajectories(
    paths: Mapping[str, ArrayLike],
    surface: Callable[[np.ndarray, np.ndarray], ArrayLike],
    *,
    title: str,
    xlabel: str = "first weight",
    ylabel: str = "second weight",
    limits: tuple[tuple[float, float], tuple[float, float]] | None = None,
    every: int | None = None,
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw the paths of optimizers over the contour lines of a loss of two weights.

    Args:
      paths: name → weights after each step [steps + 1, 2], with the start first. NaN and infinite numbers leave a gap.
      surface: the loss, for NumPy arrays of first and second weights.
      title: the title of the figure, or of ``axes``.
      xlabel: the label of the first weight.
      ylabel: the label of the second weight.
      limits: the range of each weight. By default the range of the paths with a margin of a tenth.
      every: number of steps between marks. By default a path has about twenty.
      axes: axes to draw in, without a legend. ``None`` makes a new figure.

    Returns:
      The figure. A ring marks the start, and a larger mark the end of each path. From one contour line to the next, the
      loss above its minimum in the figure grows by a constant factor.

    Raises:
      ValueError: there is no path, a path is not [steps + 1, 2] or has no finite weights, ``surface`` returns another
        shape, or ``limits`` or ``every`` is out of its range.

    Example:
      >>> way = np.geomspace(1, 1e-2, 30)[:, None] * np.array([1.0, 2.0])
      >>> figure = trajectories({"SGD": way}, lambda x, y: x**2 + 10 * y**2, title="One line, straight to the optimum")
      >>> [text.get_text() for text in figure.legends[0].get_texts()]
      ['SGD']
    """
    places = {name: _rows.numbers(path, f"paths[{name!r}]") for name, path in _rows.some(paths, "paths").items()}
    for name, path in places.items():
        if path.ndim != 2 or path.shape[1] != 2 or not np.isfinite(path).all(1).any():
            raise ValueError(f"paths must be [steps + 1, 2] with finite weights, got {name} {list(path.shape)}.")
    if every is not None:
        _checks.whole("every", every)
    ends = _rows.numbers(_limits(list(places.values())) if limits is None else limits, "limits")
    if ends.shape != (2, 2):
        raise ValueError(
            f"limits must be ((low, high), (low, high)), a range for each weight, got {limits}: write both."
        )
    xs, ys = (np.linspace(low, high, 300) for low, high in ends)
    grid = np.meshgrid(xs, ys)
    loss = _rows.numbers(surface(*grid) if callable(surface) else surface, "surface(x, y)")
    if loss.shape != grid[0].shape:
        raise ValueError(
            f"surface must be a function that returns a loss for each pair of weights, got {list(loss.shape)} for "
            f"{list(grid[0].shape)}: compute with the arrays, as in lambda x, y: x**2 + y**2."
        )
    figure, ax = _axes.one_pair(axes, title, 5.6)
    above = loss - np.nanmin(loss)
    levels = np.nanmax(above) * np.geomspace(1e-4, 0.6, 11)
    ax.contour(xs, ys, above, levels=levels, colors="#888888", linewidths=0.6, zorder=1)
    for i, (name, path) in enumerate(places.items()):
        look, mark = _axes.line(i), _axes.MARKERS[i % len(_axes.MARKERS)]
        stride = every or -(-len(path) // 20)
        ax.plot(*path.T, label=name, marker=mark, markersize=3.5, markevery=stride, linewidth=1.4, **look)
        end = path[np.isfinite(path).all(1)][-1:]
        ax.plot(*end.T, color=look["color"], marker=mark, markersize=10, markeredgecolor="white", zorder=3)
    for start in {tuple(path[0]): None for path in places.values()}:
        ax.plot(*start, "o", markersize=11, markerfacecolor="none", markeredgecolor="black", zorder=3)
    _axes.dress(ax, xlabel=xlabel, ylabel=ylabel)
    ax.set(xlim=(xs[0], xs[-1]), ylim=(ys[0], ys[-1]))
    ax.grid(visible=False)
    if axes is None:
        _axes.legend(figure, ax, title="ring: start; large mark: end")
    return figure


def movements(rows: Sequence[Mapping[str, Any]], *, title: str, notes: Mapping[str, str] | None = None) -> "Figure":
    """Draw the movement of each weight after each step: one panel for each weight, one line for each dialect.

    Args:
      rows: a row for each weight and dialect: ``dialect``, ``weight``, and ``movement``, the distance moved against
        the gradient after each step [steps].
      title: the title of the figure.
      notes: weight → a description of its gradients, for the title of its panel.

    Returns:
      A figure. Each panel has its own vertical scale; if the dialects differ by more than a factor of 30, the scale is
      logarithmic above the smallest movement. Dialects that move every weight equally share a line. Earlier lines are
      wider, so that they stay visible below later ones.

    Raises:
      ValueError: there is no row, a row lacks a key, a dialect has no row for one of the weights, or the numbers of
        steps differ.
    """
    _rows.need(rows, "dialect", "weight", "movement")
    panels: dict[str, dict[str, np.ndarray]] = {}
    for row in rows:
        panels.setdefault(row["weight"], {})[row["dialect"]] = _rows.numbers(row["movement"], "movement")
    shapes = {moved.shape for panel in panels.values() for moved in panel.values()}
    if len(shapes) > 1 or len(shape := next(iter(shapes))) != 1 or not shape[0]:
        raise ValueError(f"movements must be [steps] of one length, got the shapes {sorted(shapes)}: pass all steps.")
    for dialect in dict.fromkeys(row["dialect"] for row in rows):
        if without := [weight for weight, moved in panels.items() if dialect not in moved]:
            raise ValueError(f"each dialect must have a row for each weight, got none of {dialect} for {without[0]}.")
    groups = _alike(panels)
    labels = [textwrap.fill(", ".join(group), 30) for group in groups]
    entries = sum(label.count("\n") + 1 for label in labels)
    columns = min(3, len(panels) + 1)
    rows_of_panels = -(-(len(panels) + 1) // columns)
    figure = _axes.new_figure(title, 0.8 + 2.5 * rows_of_panels + (0.07 * entries if entries > 12 else 0))
    grid = figure.subplots(rows_of_panels, columns, squeeze=False).flat
    for axes, (weight, moved) in zip(grid, panels.items(), strict=False):
        for i, (group, label) in enumerate(zip(groups, labels, strict=True)):
            steps = np.arange(1, 1 + len(moved[group[0]]))
            width = 1.2 + 2.4 * (len(groups) - 1 - i) / max(len(groups) - 1, 3)
            axes.plot(steps, moved[group[0]], label=label, linewidth=width, **_axes.line(i))
        sizes = [size for group in groups if (size := np.abs(moved[group[0]]).max()) > 0]
        if sizes and max(sizes) > 30 * min(sizes):
            axes.set_yscale("symlog", linthresh=10 ** np.floor(np.log10(min(sizes))))
        _axes.dress(axes, title=f"{weight}: {notes[weight]}" if notes and weight in notes else weight, xlabel="step")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    look = {"handles": grid[0].lines, "frameon": False, "fontsize": "small"}
    if entries > 12:
        figure.legend(loc="outside lower center", ncols=3, **look)
    else:
        grid[-1].legend(loc="center", **look)
    figure.supylabel("movement against the gradient (units of the weight)", fontsize="medium")
    return figure


def _limits(paths: Sequence[np.ndarray]) -> list[tuple[float, float]]:
    """The range of each weight, with a margin of a tenth on both sides."""
    places = np.concatenate(paths)
    places = places[np.isfinite(places).all(1)]
    low, high = places.min(0), places.max(0)
    margin = np.where(high > low, (high - low) / 10, 1.0)
    return list(zip(low - margin, high + margin, strict=True))


def _alike(panels: Mapping[str, Mapping[str, np.ndarray]]) -> list[list[str]]:
    """Group dialects whose movements differ only by rounding, in every weight."""
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
