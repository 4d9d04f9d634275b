"""The statements of the README's figure."""

import io
import runpy
from importlib.metadata import version

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments import front


def test_four_rules_go_four_ways():
    steps = front.rules()
    pytorch, keras, tf1, sb3 = (steps[name] for name in front.RULES)
    assert pytorch[99] == pytest.approx(0.1 * 3 / (3 + 1), rel=0.01)  # lr / (1 − momentum) · g / (g + eps)
    assert keras[99] == pytest.approx(0.1 * 3 / (9 + 1e3) ** 0.5, rel=0.01)  # the same, g / √(g² + eps)
    assert pytorch[0] > 10 * keras[0] > 100 * tf1[0]  # epsilon beside the root; under it; and the mean square from 1
    assert tf1[0] == pytest.approx(sb3[0])
    assert tf1[101] > 5 * sb3[101]  # the buffer of tf1 holds steps at the old rate, that of sb3 does not
    assert tf1[-1] == pytest.approx(keras[-1], rel=0.01)


def test_the_centered_form_stays_finite():
    steps = front.centered()
    assert np.isfinite(steps["rmsprop_optax"]).all()
    gradients = 10 * (1 + 1e-4 * np.random.default_rng(0).standard_normal(400))
    mean = variance = 0.0
    for g in np.float64(np.float32(gradients)):
        variance = 0.9 * (variance + 0.1 * (g - mean) ** 2)
        mean += 0.1 * (g - mean)
    # A float32 mean m is off by up to 3e-8·m, which at noise s makes the root off by up to 1e-5 + 3e-7·m/s.
    assert steps["rmsprop_optax"][-1] == pytest.approx(gradients[-1] / np.sqrt(variance + 1e-8), rel=1e-5 + 3e-7 * 1e4)
    if version("optax") == "0.2.8":
        assert np.isnan(steps["optax.rmsprop"]).any()


def test_the_figure_has_three_panels(monkeypatch):
    drawn, savefig = [], Figure.savefig

    def saved(picture, path, **options):
        drawn.append((picture, path))
        savefig(picture, io.BytesIO(), **options)

    monkeypatch.setattr(Figure, "savefig", saved)
    runpy.run_path(front.__file__, run_name="__main__")
    [(picture, path)] = drawn
    assert path == front.PATH
    marked = np.isnan(front.centered()["optax.rmsprop"]).any()  # a line of one point marks the NaN
    assert [len(axes.lines) for axes in picture.axes] == [4, 2 + marked, 4]
    assert all(axes.get_xlabel() and axes.get_ylabel() and axes.get_title() for axes in picture.axes)


def test_the_mean_square_does_not_stall():
    kept = front.stalled()
    for name in ("rmsprop_optax", "in 16 bits", "in 8 bits"):
        assert kept[name][-1] == pytest.approx(1, abs=0.01)
    if version("optax") == "0.2.8":
        assert kept["optax.rmsprop"][-1] == pytest.approx(0.5, abs=0.01)
