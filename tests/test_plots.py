"""Figures show the given numbers and label them."""

import io

import numpy as np
import pytest
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from rmsprop_optax import plots

NAN = float("nan")


def rows(losses):
    return [
        {"epoch": i, "train_loss": x, "test_loss": 2 * (x or 0), "test_accuracy": 0.9} for i, x in enumerate(losses)
    ]


def edges(band):
    """Lower and upper edge of a band at each of its points."""
    [path] = band.get_paths()
    corners = path.vertices
    return {x: (np.nanmin(y), np.nanmax(y)) for x in np.unique(corners[:, 0]) for y in [corners[corners[:, 0] == x, 1]]}


def texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_curves_of_one_seed_are_its_numbers():
    figure = plots.curves({"keras": rows([2.0, 0.5, None]), "tf1": rows([2.0, NAN, 0.1])}, title="what is seen")
    train, test, accuracy = figure.axes
    np.testing.assert_array_equal(train.lines[0].get_ydata(), [2.0, 0.5, NAN])
    np.testing.assert_array_equal(test.lines[1].get_ydata(), [4.0, NAN, 0.2])
    assert not train.collections
    assert (train.get_yscale(), test.get_yscale(), accuracy.get_yscale()) == ("log", "log", "function")
    assert (train.get_xlabel(), train.get_ylabel()) == ("epoch", "cross-entropy (nats)")
    assert accuracy.get_ylabel() == "correct (%)"
    assert figure.get_suptitle() == "what is seen"
    assert texts(figure) == ["keras", "tf1"]
    assert figure.legends[0].get_title().get_text() == ""


def test_the_scale_of_accuracies_can_be_followed_back():
    """Matplotlib needs the inverse to show the position of the mouse and to zoom."""
    there = plots.curves({"keras": rows([1.0])}, title="title").axes[2].yaxis.get_transform()
    accuracies = np.array([0.0, 0.5, 0.9, 0.99, 1.0])
    np.testing.assert_allclose(there.inverted().transform(there.transform(accuracies)), accuracies, atol=1e-12)
    assert there.transform(0.99) - there.transform(0.98) > 10 * (there.transform(0.51) - there.transform(0.5))


def test_curves_of_several_seeds_are_their_median_and_range():
    seeds = [rows([2.0, 1.0, 0.3]), rows([2.0, 0.8, 0.1]), rows([2.0, 0.5])]  # the last one ends early
    figure = plots.curves({"keras": seeds, "tf1": rows([2.0, 1.0])}, title="title")
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [2.0, 0.8, NAN])
    [band] = axes.collections
    assert edges(band)[1] == (0.5, 1.0)
    np.testing.assert_allclose(band.get_facecolor()[0, :3], to_rgb(axes.lines[0].get_color()))
    assert figure.legends[0].get_title().get_text() == "line: median of 1 to 3 seeds; band: all of them"


@pytest.mark.parametrize(("band", "words"), [((0, 1), "all of them"), ((0.25, 0.75), "quantiles 0.25 to 0.75")])
def test_a_band_is_what_the_legend_says(band, words):
    values = np.arange(1.0, 6.0)[:, None] * np.array([1.0, 10.0, 100.0])
    figure = plots.bands(
        {"a": values, "b": values[0]}, title="title", xlabel="step", ylabel="loss (nats)", x=[3, 6, 9], band=band
    )
    [axes] = figure.axes
    line, single = axes.lines
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([3, 6, 9], [3.0, 30.0, 300.0])
    assert single.get_ydata().tolist() == values[0].tolist()
    [drawn] = axes.collections
    assert edges(drawn)[6] == tuple(np.quantile(values[:, 1], band))
    assert figure.legends[0].get_title().get_text() == f"line: median of 1 to 5 seeds; band: {words}"
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("step", "loss (nats)", "linear")


def test_a_gap_is_left_where_a_seed_has_no_number():
    values = np.array([[1.0, NAN, 3.0, 4.0], [2.0, 2.0, np.inf, 0.0]])
    figure = plots.bands({"a": values}, title="title", xlabel="x", ylabel="y", log=True, log_x=True)
    [axes] = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1.5, NAN, NAN, 2.0])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    # On a logarithmic scale, the band reaches down to the smallest positive number.
    assert axes.collections[0].get_paths()[-1].vertices[:, 1].min() == 1.0
    figure.savefig(io.BytesIO())


def test_axes_of_the_caller():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plots.bands({"a": [1.0, 2.0]}, title="left", xlabel="x", ylabel="y", axes=left) is figure
    path = np.array([[1.0, 1.0], [0.0, 0.0]])
    assert plots.trajectories({"a": path}, lambda x, y: x**2 + y**2, title="right", axes=right) is figure
    assert (left.get_title(), right.get_title(), figure.legends) == ("left", "right", [])


LAYERS = ("conv/bias", "conv/kernel", "out/bias", "out/kernel")
MEASURES = ("gradient", "update", "parameter", "update_ratio", "lr_min", "lr_median", "lr_max", "below_eps")


def measures(names=LAYERS):
    """Rows as from measure.scalars; each number encodes its measure, array and step."""
    return [
        {"step": 10 * step}
        | {f"{m}/{k}": (1 + i + 10 * j) / 1e3 * step for i, m in enumerate(MEASURES) for j, k in enumerate(names)}
        for step in (1, 2, 3)
    ]


def test_layers_are_lines_of_their_measures():
    given = measures()
    del given[1]["gradient/out/bias"]
    figure = plots.layers(given, title="title")
    gradient, ratio, rate, share = figure.axes
    for axes, name in ((gradient, "gradient"), (ratio, "update_ratio"), (rate, "lr_median"), (share, "below_eps")):
        for line, layer in zip(axes.lines, LAYERS, strict=True):
            expected = [row.get(f"{name}/{layer}", NAN) for row in given]
            np.testing.assert_array_equal(line.get_ydata(), expected)
            assert line.get_xdata().tolist() == [10, 20, 30]
        assert axes.get_yscale() == ("linear" if axes is share else "log")
        assert axes.get_ylabel()
    assert share.yaxis.get_major_formatter()(0.25) == "25"
    assert edges(rate.collections[0])[20] == (given[1]["lr_min/conv/bias"], given[1]["lr_max/conv/bias"])
    assert rate.get_ylabel() == "median over entries; band: least to largest"
    assert texts(figure) == list(LAYERS)
    looks = [(line.get_color(), line.get_linestyle()) for line in gradient.lines]
    assert looks[0][0] == looks[1][0] != looks[2][0]
    assert looks[0][1] == looks[2][1] != looks[1][1]


def test_other_measures_of_many_layers():
    names = [f"layer_{i}" for i in range(9)]
    figure = plots.layers(measures(names), title="title", measures=("lr_median", "update", "parameter"))
    drawn, hidden = figure.axes[:3], figure.axes[3]
    assert not drawn[0].collections
    assert not hidden.axison
    assert len({(line.get_color(), line.get_linestyle()) for line in drawn[0].lines}) == 9


def test_rates_are_shares_of_entries():
    given = [
        {"step": 10, "a": [0.1, 0.1, 0.1, 10.0], "b": [1.0]},
        {"step": 20, "a": [0.1, 10.0, np.inf, 0.0, NAN], "b": []},
        {"step": 40, "a": [10.0]},
    ]
    figure = plots.rates(given, title="title", bins=2)
    a, b = figure.axes[:2]
    for axes, expected in ((a, [[0.75, 0.25], [0.5, 0.5], [0, 1]]), (b, [[0, 1], [0, 0], [0, 0]])):
        [mesh] = [found for found in axes.collections if isinstance(found, QuadMesh)]
        np.testing.assert_array_equal(mesh.get_array().T, expected)
        np.testing.assert_allclose(mesh.get_coordinates()[:, 0, 1], [0.1, 1, 10])
        np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], [5, 15, 30, 50])
        assert axes.get_yscale() == "log"
    np.testing.assert_array_equal(a.lines[0].get_ydata(), [0.1, 5.05, 10])
    assert [axes.get_title() for axes in (a, b)] == ["a", "b"]
    assert figure.axes[-1].get_ylabel() == "share of entries (%)"
    assert a.get_xlabel() == "step"
    assert figure.get_supylabel() == "effective learning rate"
    assert texts(figure) == ["median"]


@pytest.mark.parametrize("given", [[0.1], [0.1] * 5, [0.0, np.inf]])
def test_rates_that_are_all_one_and_none_at_all(given):
    plots.rates([{"step": 3, "a": given}], title="title").savefig(io.BytesIO())


def test_rates_of_arrays_that_do_not_fill_their_rows():
    figure = plots.rates([{"step": 3} | {name: [0.1] for name in "abcde"}], title="title")
    assert [axes.axison for axes in figure.axes[:8]] == [True] * 5 + [False] * 3
    assert [axes.get_title() for axes in figure.axes[:5]] == list("abcde")
    figure.canvas.draw()
    lowest = [False, True, True, True, True]  # an empty place below b, c and d
    assert [axes.get_xlabel() == "step" for axes in figure.axes[:5]] == lowest
    assert [any(t.label1.get_visible() for t in axes.xaxis.get_major_ticks()) for axes in figure.axes[:5]] == lowest


def test_labels_of_a_short_logarithmic_scale_have_one_size():
    figure = plots.rates([{"step": 3, "a": [0.2, 0.6]}], title="title")
    figure.canvas.draw()
    ticks = figure.axes[0].yaxis.get_minor_ticks() + figure.axes[0].yaxis.get_major_ticks()
    assert len({t.label1.get_size() for t in ticks}) == 1


def test_trajectories():
    way = np.array([[4.0, -1.0], [2.0, 1.0], [1.0, -0.5], [NAN, NAN]])
    other = np.array([[4.0, -1.0], [3.0, 0.0]])
    asked = []

    def surface(x, y):
        asked.append((x.min(), x.max(), y.min(), y.max()))
        return x**2 + 5 * y**2 + 7

    figure = plots.trajectories({"SGD": way, "RMSprop": other}, surface, title="title", xlabel="u", ylabel="v", every=2)
    [axes] = figure.axes
    np.testing.assert_allclose(asked, [(0.7, 4.3, -1.2, 1.2)])
    assert (axes.get_xlim(), axes.get_ylim()) == (pytest.approx((0.7, 4.3)), pytest.approx((-1.2, 1.2)))
    line, end, line_2, end_2, start = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), way)
    np.testing.assert_array_equal(line_2.get_xydata(), other)
    assert (end.get_xydata().tolist(), end_2.get_xydata().tolist()) == ([[1.0, -0.5]], [[3.0, 0.0]])
    assert start.get_xydata().tolist() == [[4.0, -1.0]]
    assert line.get_markevery() == 2
    levels = axes.collections[0].levels
    np.testing.assert_allclose(levels[1:] / levels[:-1], levels[1] / levels[0])
    assert texts(figure) == ["SGD", "RMSprop"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("u", "v")
    again = plots.trajectories({"SGD": way}, surface, title="title", limits=((-1, 1), (-2, 2)))
    assert again.axes[0].get_xlim() == (-1, 1)


LABELS = {"title": "title", "xlabel": "x", "ylabel": "y"}
WRONG = {
    "no run": (lambda: plots.curves({}, title="title"), "runs must not be empty"),
    "no epoch": (
        lambda: plots.curves({"keras": [{"step": 1, "loss": 2.0}]}, title="title"),
        r"each row of runs\['keras'\] must have epoch, got step, loss: add epoch",
    ),
    "no epoch in a seed": (
        lambda: plots.curves({"keras": [rows([1.0]), [{"step": 1}]]}, title="title"),
        r"each row of runs\['keras'\] must have epoch, got step: add epoch",
    ),
    "numbers for rows": (
        lambda: plots.curves({"keras": [2.0, 1.0]}, title="title"),
        r"each row of runs\['keras'\] must be a mapping with epoch, got 2.0",
    ),
    "no rows": (lambda: plots.curves({"keras": []}, title="title"), "runs must not be empty"),
    "no bands": (lambda: plots.bands({}, **LABELS), "runs must not be empty"),
    "length": (lambda: plots.bands({"a": [1.0, 2.0]}, x=[1], **LABELS), r"with 1 points, got a \[1, 2\]"),
    "axes": (lambda: plots.bands({"a": np.ones((2, 2, 2))}, **LABELS), r"\[seeds, points\]"),
    "quantiles": (lambda: plots.bands({"a": [1.0]}, band=(5, 95), **LABELS), r"got \(5, 95\): \(0.25, 0.75\)"),
    "no measures": (lambda: plots.layers([], title="title"), "rows must not be empty"),
    "measure": (lambda: plots.layers(measures(), title="title", measures=("loss",)), "gradient, .* got 'loss'"),
    "no measures of layers": (
        lambda: plots.layers(measures(), title="title", measures=()),
        r"measures must not be empty, got \(\)",
    ),
    "no step of layers": (
        lambda: plots.layers([{"gradient/w": 1.0}], title="title"),
        "each row must have step, got gradient/w: add step",
    ),
    "no arrays": (lambda: plots.layers(rows([1.0]), title="title"), "gradient/conv/kernel, got epoch, train_loss"),
    "no rates": (lambda: plots.rates([], title="title"), "rows must not be empty"),
    "no rate": (lambda: plots.rates([{"step": 0}], title="title"), "got step alone"),
    "no step of rates": (lambda: plots.rates([{"w": [0.1]}], title="title"), "must have step, got w: add step"),
    "no movements": (lambda: plots.movements([], title="title"), r"rows must not be empty, got \[\]"),
    "no movement": (
        lambda: plots.movements([{"dialect": "keras", "weight": "a"}], title="title"),
        "each row must have dialect, weight, movement, got dialect, weight: add movement",
    ),
    "a weight without movement": (
        lambda: plots.movements(
            [{"dialect": dialect, "weight": weight, "movement": [1.0]} for dialect, weight in ("xa", "xb", "ya")],
            title="title",
        ),
        "each dialect must have a row for each weight, got none of y for b",
    ),
    "no path": (lambda: plots.trajectories({}, np.hypot, title="title"), "paths must not be empty"),
    "path": (lambda: plots.trajectories({"a": np.ones((3, 4))}, np.hypot, title="title"), r"got a \[3, 4\]"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_drawn(case):
    draw, words = WRONG[case]
    with pytest.raises(ValueError, match=words):
        draw()


def test_a_figure_is_its_callers():
    from matplotlib import pyplot

    plots.bands({"a": [1.0, 2.0]}, **LABELS)
    assert pyplot.get_fignums() == []


def test_bands_are_below_lines():
    figure = plots.bands({"a": np.ones((2, 3))}, **LABELS)
    [band] = figure.axes[0].collections
    assert isinstance(band, PolyCollection)
    assert band.get_zorder() < figure.axes[0].lines[0].get_zorder()
