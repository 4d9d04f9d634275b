"""``rmsprop-optax train``: what it learns, what it writes, and what it is made of."""

import inspect
import io
import json
import os
import sys

import jax
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from rmsprop_optax import dialects, plots
from rmsprop_optax.cli import _choices, main
from rmsprop_optax.demo import data, progress, report
from rmsprop_optax.plots._axes import COLOURS

QUICK = ["--epochs", "2", "--batch-size", "128"]


def results(folder):
    return json.loads((folder / "results.json").read_text())


def numbers(folder):
    """Every epoch of every run, without the times."""
    return {
        name: [row | {"seconds": None} for row in run["seeds"][0]["epochs"]]
        for name, run in results(folder)["runs"].items()
    }


# One test, for it costs four compilations.
def test_two_dialects_side_by_side(tmp_path, capsys):
    settings = ["momentum=0.5", "centered=True", "pytorch.lr=0.001"]
    both, again, other = tmp_path / "new" / "folder", tmp_path / "again", tmp_path / "other"
    assert main(["train", "--dialect", "tf1", "pytorch", "--set", *settings, *QUICK, "--out", str(both)]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    check_results(results(both), settings)
    check_learning(numbers(both))
    check_output(output, both)
    for name in PICTURES:
        check_picture(both / name)

    pytorch = ["train", "--dialect", "pytorch", "--set", *settings, *QUICK]
    assert main([*pytorch, "--out", str(again)]) == 0
    assert main([*pytorch, "--out", str(other), "--seed", "1"]) == 0
    first, second, seed_1 = (numbers(folder)["pytorch"] for folder in (both, again, other))
    assert first == second
    assert all(row != row_1 for row, row_1 in zip(first, seed_1, strict=True))


PICTURES = ("curves.png", "layers-tf1.png", "rates-tf1.png", "layers-pytorch.png", "rates-pytorch.png")


def check_results(results, settings):
    assert (results["arguments"]["seed"], results["arguments"]["set"]) == (0, settings)
    assert results["versions"].keys() == {"rmsprop_optax", "jax", "optax", "flax", "python"}
    assert results["versions"]["jax"] == jax.__version__
    tf1, pytorch = (run["arguments"] for run in results["runs"].values())
    given = {"momentum": 0.5, "centered": True}
    assert tf1 == {"learning_rate": _choices.LEARNING_RATE, "decay": 0.9, "epsilon": 1e-10, **given}
    assert pytorch == {"lr": 1e-3, "alpha": 0.99, "eps": 1e-8, "weight_decay": None, "maximize": False, **given}


def check_learning(runs):
    assert runs["tf1"][0] == runs["pytorch"][0]
    assert runs["tf1"][1] != runs["pytorch"][1]
    for rows in runs.values():
        assert [row["epoch"] for row in rows] == [0, 1, 2]
        assert rows[-1]["train_loss"] < rows[0]["train_loss"]
        assert rows[-1]["test_loss"] < rows[0]["test_loss"]
        assert rows[-1]["test_accuracy"] > rows[0]["test_accuracy"]
        assert [row["step"] for row in rows] == [0, 11, 22]
        assert 0 < rows[-1]["lr_min/hidden/kernel"] < rows[-1]["lr_max/hidden/kernel"]
        assert "rates" not in rows[-1]


def check_output(output, folder):
    assert "\r" not in output
    lines = output.splitlines()
    assert [line.split()[:3] for line in lines[:6]] == [
        [name, "epoch", f"{epoch}/2"] for name in ("tf1", "pytorch") for epoch in range(3)
    ]
    header, *table = [line.split() for line in lines[7:10]]
    assert header[0] == "optimizer"
    for (name, run), cells in zip(results(folder)["runs"].items(), table, strict=True):
        [seed] = run["seeds"]
        last = seed["epochs"][-1]
        assert cells == [
            name,
            *(f"{last[key]:.4g}" for key in ("train_loss", "test_loss")),
            *(f"{last[key]:.1%}" for key in ("train_accuracy", "test_accuracy")),
            f"{seed['seconds_per_epoch']:.3f}",
        ]
    assert lines[-1].endswith(str(folder))


def check_picture(path):
    picture = imread(path)[..., :3]
    assert min(picture.shape[:2]) > 400
    colours = COLOURS[1:2] if path.name.startswith("rates") else COLOURS[:2]
    for colour in colours:
        assert np.count_nonzero(np.all(picture == np.float32(to_rgb(colour)), axis=-1)) > 1000


def test_a_run_that_diverges_is_told_and_ends(tmp_path, capsys):
    assert main(["train", "--set", "learning_rate=1e38", *QUICK, "--out", str(tmp_path)]) == 0
    assert "diverged in epoch 1" in capsys.readouterr().out
    [run] = results(tmp_path)["runs"]["keras"]["seeds"]
    assert run["diverged_in_epoch"] == 1
    assert [row["train_loss"] is None for row in run["epochs"]] == [False, True]
    pictures = {"curves.png", "layers-keras.png", "rates-keras.png"}
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", *pictures}


def test_the_arguments_of_every_dialect_can_be_written(tmp_path):
    choices = _choices.choose(dialects.TABLE, [])
    arguments = {name: choice.arguments for name, choice in choices.items()}
    report.write(tmp_path / "results.json", {}, arguments, {name: {0: rows(1)} for name in choices})
    written = results(tmp_path)["runs"]
    assert list(written) == list(dialects.TABLE)
    assert written["climin"]["arguments"]["step_rate_max"] is None


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))  # to root nothing is shut
    with pytest.raises(SystemExit):
        main(["train", "--out", str(tmp_path)])
    assert capsys.readouterr().err == f"rmsprop-optax train: --out {tmp_path}: the folder cannot be written to.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["results.json", "curves.png", "rates-keras.png"])
@pytest.mark.parametrize("content", [b"{}", b"[1, 2]", b"\xff\x00", b'{"written_by": "me"}'])
def test_foreign_files_stay(name, content, tmp_path, capsys):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit):
        main(["train", "--out", str(tmp_path)])
    assert name in capsys.readouterr().err
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, content)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("momentum=0.5", 0.5),
        ("clipnorm=1", 1),
        ("epsilon=1e-3", 1e-3),
        ("centered=TRUE", True),
        ("centered=true", True),
        ("centered=False", False),
        ("weight_decay=nOne", None),
    ],
)
def test_values_are_numbers_and_words(text, value):
    chosen = _choices.choose(["keras"], [text])["keras"].arguments[text.split("=")[0]]
    assert (chosen, type(chosen)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text"),
    [("keras2", "version=1.0.2"), ("mxnet", "version=2.0"), ("caffe", "regularization_type=L1")],
)
def test_text_stays_text(name, text):
    argument, value = text.split("=")
    assert _choices.choose([name], [text])[name].arguments[argument] == value


def test_the_special_setting_wins_then_the_last():
    settings = ["pytorch.momentum=0.1", "pytorch.momentum=0.2", "momentum=0.3"]
    chosen = _choices.choose(["pytorch", "keras"], settings)
    assert {name: choice.arguments["momentum"] for name, choice in chosen.items()} == {"pytorch": 0.2, "keras": 0.3}


def test_every_dialect_can_be_chosen_without_settings():
    for name, choice in _choices.choose(dialects.TABLE, []).items():
        learning_rate, *_ = inspect.signature(dialects.TABLE[name].constructor).parameters.values()
        expected = _choices.LEARNING_RATE if learning_rate.default is learning_rate.empty else learning_rate.default
        assert choice.arguments[learning_rate.name] == expected


class Terminal(io.StringIO):
    def isatty(self):
        return True


def rows(epochs):
    keys = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")
    return [{"epoch": epoch, **dict.fromkeys(keys, 0.25)} for epoch in range(epochs + 1)]


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert list(progress.show("keras", rows(5), 5)) == rows(5)
    drawn = sys.stdout.getvalue()
    assert "\r" in drawn
    assert "epoch 5/5" in drawn
    assert "test loss 0.25" in drawn
    assert drawn.count("\n") == 1


def test_a_long_run_has_few_lines(capsys):
    assert list(progress.show("keras", rows(1003), 1003)) == rows(1003)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 25
    assert " 0/1003" in lines[0]
    assert "1003/1003" in lines[-1]


def test_the_digits_are_split_evenly_and_standardised():
    train, test = data.digits()
    assert (train.images.shape, test.images.shape) == ((1437, 8, 8, 1), (360, 8, 8, 1))
    assert (train.images.dtype, train.labels.dtype) == (np.float32, np.int32)
    # 1437 · 64 pixels, each rounded to 24 bits.
    np.testing.assert_allclose([train.images.mean(), train.images.std()], [0, 1], atol=1e-5)
    for part in (train, test):
        shares = np.bincount(part.labels) / len(part.labels)
        np.testing.assert_allclose(shares, 0.1, atol=0.01)


def test_curves_of_many_runs_with_gaps():
    gap = {"epoch": 2, "train_loss": None, "test_loss": float("nan"), "test_accuracy": 0.1}
    done = {"epoch": 2, "train_loss": 0.0, "test_loss": 1e-3, "test_accuracy": 1.0}
    runs = {str(i): [*rows(1), done if i % 2 else gap] for i in range(20)}
    figure = plots.curves(runs, title="title")
    figure.savefig(picture := io.BytesIO(), format="png")
    assert len(picture.getvalue()) > 10_000
    loss, _, accuracy = figure.axes
    assert len({(line.get_color(), line.get_marker()) for line in accuracy.lines}) == 20
    assert loss.get_ylabel() == "cross-entropy (nats)"
