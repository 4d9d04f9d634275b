"""The look that all figures share: size, colours, axes, legends, bands."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours of Okabe and Ito can be told apart with any colour vision. Their yellow is left out: too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
DASHES = ("-", "--", ":", "-.")
MARKERS = "os^DvPX*"
_WIDTH = 9.5  # inches: the width of a notebook at 100 dots per inch


def new_figure(title: str, height: float) -> "Figure":
    """An empty figure of a height in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    figure.suptitle(title, fontsize="large")
    return figure


def one_pair(axes: "Axes | None", title: str, height: float) -> "tuple[Figure, Axes]":
    """Return the axes of the caller and their figure, or a new figure with one pair of axes."""
    if axes is None:
        figure = new_figure(title, height)
        return figure, figure.subplots()
    axes.set_title(title, fontsize="medium")
    return cast("Figure", axes.figure), axes


def dress(axes: "Axes", *, title: str | None = None, xlabel: str = "", ylabel: str = "", **limits: Any) -> None:
    """Set title, labels, limits, grid and frame."""
    axes.set(**limits)
    if title is not None:
        axes.set_title(title, fontsize="medium")
    axes.set_xlabel(xlabel, fontsize="medium")
    axes.set_ylabel(ylabel, fontsize="medium")
    axes.tick_params(which="both", labelsize="small")  # minor ones have labels on a scale of less than a decade
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def legend(figure: "Figure", axes: "Axes", *, title: str | None = None) -> None:
    """Put the legend of ``axes`` below the figure, in as many columns as fit."""
    handles, names = axes.get_legend_handles_labels()
    most = max(1, 110 // (6 + max(map(len, names))))
    columns = -(-len(names) // -(-len(names) // most))
    look: dict[str, Any] = {"frameon": False, "fontsize": "medium", "title": title, "title_fontsize": "small"}
    figure.legend(handles, names, loc="outside lower center", ncols=columns, **look)


def line(i: int) -> dict[str, Any]:
    """Colour and dashes of line ``i``: the colours come first, then the dashes."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i // len(COLOURS) % len(DASHES)]}


def band(axes: "Axes", x: ArrayLike, values: np.ndarray, quantiles: tuple[float, float], **look: Any) -> None:
    """Draw the median of ``values[seeds, points]``; with several seeds, fill the range between two quantiles."""
    values = np.where(np.isfinite(values), values, np.nan)
    low, middle, high = np.quantile(values, [quantiles[0], 0.5, quantiles[1]], axis=0)
    axes.plot(x, middle, **look)
    if len(values) > 1:
        if axes.get_yscale() == "log":
            low = np.where(low > 0, low, np.min(values[values > 0], initial=np.inf))
        axes.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0)


def about_seeds(counts: Iterable[int], quantiles: tuple[float, float]) -> str | None:
    """Describe line and band for the legend; ``None`` if each run has one seed."""
    least, most = min(counts := list(counts)), max(counts)
    if most == 1:
        return None
    number = f"{most}" if least == most else f"{least} to {most}"
    between = "all of them" if quantiles == (0, 1) else f"quantiles {quantiles[0]:g} to {quantiles[1]:g}"
    return f"line: median of {number} seeds; band: {between}"
