"""``rmsprop-optax train``: what it learns, what it writes, and what it is made of."""

import inspect
import io
import json
import os
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from flowers import flowers
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from rmsprop_optax import dialects, plots
from rmsprop_optax.cli import _choices, main
from rmsprop_optax.demo import data, model, progress, report
from rmsprop_optax.plots._axes import COLOURS


def results(folder):
    return json.loads((folder / "results.json").read_text())


def numbers(folder):
    """Every epoch of every run, without the times."""
    return {
        name: [row | {"seconds": None} for row in run["seeds"][0]["epochs"]]
        for name, run in results(folder)["runs"].items()
    }


# One test, for it costs two compilations.
@pytest.mark.parametrize(
    ("examples", "steps", "layer"),
    [("flowers", 6, "hidden1"), pytest.param("digits", 11, "hidden", marks=pytest.mark.slow)],
)
def test_two_dialects_side_by_side(examples, steps, layer, small, request, tmp_path, capsys):
    quick = ["--epochs", "2", *(small if examples == "flowers" else ["--batch-size", "128"])]
    settings = ["momentum=0.5", "centered=True", "pytorch.lr=0.001"]
    both, again, other = tmp_path / "new" / "folder", tmp_path / "again", tmp_path / "other"
    assert main(["train", "--dialect", "tf1", "pytorch", "--set", *settings, *quick, "--out", str(both)]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    check_results(results(both), settings)
    check_learning(numbers(both), steps, layer)
    check_output(output, both)
    for name in PICTURES:
        check_picture(both / name)

    request.getfixturevalue("undrawn")
    pytorch = ["train", "--dialect", "pytorch", "--set", *settings, *quick]
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


def check_learning(runs, steps, layer):
    assert runs["tf1"][0] == runs["pytorch"][0]
    assert runs["tf1"][1] != runs["pytorch"][1]
    for rows in runs.values():
        assert [row["epoch"] for row in rows] == [0, 1, 2]
        assert rows[-1]["train_loss"] < rows[0]["train_loss"]
        assert rows[-1]["test_loss"] < rows[0]["test_loss"]
        assert rows[-1]["test_accuracy"] > rows[0]["test_accuracy"]
        assert [row["step"] for row in rows] == [0, steps, 2 * steps]
        assert 0 < rows[-1][f"lr_min/{layer}/kernel"] < rows[-1][f"lr_max/{layer}/kernel"]
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


def test_a_run_that_diverges_is_told_and_ends(small, undrawn, tmp_path, capsys):
    one_step = [*small, "--batch-size", "96", "--epochs", "2"]
    assert main(["train", "--set", "learning_rate=1e18", *one_step, "--out", str(tmp_path)]) == 0
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


def test_seeds_baselines_and_a_file(made_once, undrawn, tmp_path, capsys):
    flowers(tmp_path / "mine.csv")
    call = [
        "train",
        "--dialect",
        "keras",
        "--optimizer",
        "sgd",
        "--set",
        "sgd.nesterov=true",
        "--seed",
        "3",
        "--seeds",
        "2",
    ]
    call += ["--data", str(tmp_path / "mine.csv"), "--batch-size", "16", "--out", str(tmp_path), "--resume"]
    call += ["--checkpoint", str(tmp_path / "saved")]
    assert main([*call, "--epochs", "1"]) == 0
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"keras", "keras-seed-4", "sgd", "sgd-seed-4"}
    capsys.readouterr()
    assert main([*call, "--epochs", "3"]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    runs = results(tmp_path)["runs"]
    assert (runs["sgd"]["arguments"]["momentum"], runs["sgd"]["arguments"]["nesterov"]) == (0.9, True)
    for name in ("keras", "sgd"):
        first, second = runs[name]["seeds"]
        assert (first["seed"], second["seed"]) == (3, 4)
        for seed in (first, second):
            assert [row["epoch"] for row in seed["epochs"]] == [0, 1, 2, 3]
            assert seed["epochs"][3]["train_loss"] < seed["epochs"][0]["train_loss"]
            assert ("lr_median/hidden1/kernel" in seed["epochs"][3]) == (name == "keras")
        assert first["epochs"][0]["train_loss"] != second["epochs"][0]["train_loss"]
        ends = sorted(seed["epochs"][3]["test_loss"] for seed in (first, second))
        assert f"({ends[0]:.4g} to {ends[1]:.4g})" in output
    assert "medians of 2 seeds" in output
    pictures = {"curves.png", "layers-keras.png", "rates-keras.png", "layers-sgd.png"}
    assert {path.name for path in tmp_path.glob("*.png")} == pictures

    flowers(tmp_path / "other.csv")
    with pytest.raises(SystemExit):
        main([*call, "--epochs", "3", "--data", str(tmp_path / "other.csv")])
    assert "it holds a run with data mine.csv, not other.csv" in capsys.readouterr().err


def test_without_out_the_results_have_the_name_of_the_data(made_once, undrawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flowers(tmp_path / "mine.csv")
    assert main(["train", "--data", "mine.csv", "--batch-size", "16", "--epochs", "1"]) == 0
    assert results(tmp_path / "runs" / "mine")["arguments"]["out"] == str(Path("runs", "mine"))


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        (([4.0, 3.0, 2.0], [5.0, 4.0, 3.0]), "2.5 (2 to 3)"),
        (([4.0, 3.0, 2.0], [5.0, 4.0]), "3.5 (3 to 4)"),  # stopped by Ctrl-C
        (([4.0, 3.0, 2.0], [5.0, np.nan]), "inf (2 to inf)"),  # diverged
    ],
)
def test_a_median_is_of_one_epoch(losses, said):
    same = dict.fromkeys(("seconds", "train_accuracy", "test_accuracy"), 0.5)
    runs = [[{"epoch": i, "train_loss": x, "test_loss": x} | same for i, x in enumerate(each)] for each in losses]
    assert f" {said} " in report.table({"keras": dict(enumerate(runs))})


def test_a_csv_and_an_npz_hold_the_same(tmp_path):
    x, y = flowers(tmp_path / "mine.csv")
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    for split, other in zip(data.read(tmp_path / "mine.csv"), data.read(tmp_path / "mine.npz"), strict=True):
        np.testing.assert_array_equal(split.images, other.images)
        np.testing.assert_array_equal(split.labels, other.labels)
    train, test = data.read(tmp_path / "mine.csv")
    assert (train.images.shape, test.images.shape) == ((96, 3), (24, 3))
    assert np.bincount(test.labels).tolist() == [8, 8, 8]
    np.testing.assert_allclose(train.images.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train.images.std(0), [1, 1, 0], atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 7), (9, 5, 3), (1, 1, 2)])
def test_images_of_every_size(shape, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (20, *shape), np.uint8)
    np.savez(tmp_path / "images.npz", x=x, y=np.arange(20) % 2 + 5.0)
    train, test = data.read(tmp_path / "images.npz")
    assert train.images.shape == (16, *shape, *([1] if len(shape) == 2 else []))
    np.testing.assert_allclose([train.images.mean(), train.images.std()], [0, 1], atol=1e-6)
    assert set(np.asarray(test.labels)) == {0, 1}
    logits = jax.eval_shape(lambda x: model.network(x.shape[1:], 2, rngs=nnx.Rngs(0))(x), test.images)
    assert logits.shape == (4, 2)


X, Y = np.ones((6, 2)), np.array([0, 0, 0, 1, 1, 1])


def _damaged(save, place):
    """A file with one wrong byte; its array x is longer than NumPy's buffer, so the header is read before the CRC."""
    save(file := io.BytesIO(), x=np.ones((1000, 2)), y=np.arange(1000) % 2)
    content = bytearray(file.getvalue())
    content[place] = 0xFF
    return bytes(content)


# what is in the file → what its error says
BAD_FILES = {
    "no y": ({"x": X, "labels": Y}, r"no array y, got x, labels; .*np\.savez\(path, x="),
    "text": ({"x": np.array(["a"] * 6), "y": Y}, r"x must be real numbers \[n, features\].*, got <U1\[6\]"),
    "a vector": ({"x": np.ones(6), "y": Y}, r"x must be real numbers .*, got float64\[6\]"),
    "NaN": (
        {"x": np.where(np.arange(6)[:, None] == 4, np.nan, X), "y": Y},
        "x must be finite, got NaN .* in example 4",
    ),
    "one hot": ({"x": X, "y": np.eye(6)}, r"y .*must be the class of each example \[n\].*, got float64\[6, 6\]"),
    "regression": (
        {"x": X, "y": np.linspace(0, 1, 6)},
        r"y \(the last column of a \.csv\) must be .*, got 0.2; regression is not supported",
    ),
    "one class": ({"x": X, "y": np.zeros(6, int)}, "2 classes or more, got only 0"),
    "a class of one": ({"x": X, "y": np.array([0, 0, 0, 0, 0, 7])}, "2 examples or more of each class, got 1 of 7"),
    "lengths": ({"x": X, "y": np.array([0, 1, 0, 1])}, "the same length, got 6 and 4"),
    "objects": ({"x": np.array([{}, {}]), "y": Y}, r"got Python objects; save x\.astype\(float\)"),
    "x.npz": (b"not a zip", "damaged, or no .npz file"),
    "truncated.npz": (b"PK\x03\x04", "damaged, or no .npz file"),
    "a damaged header.npz": (_damaged(np.savez, 100), "damaged, or no .npz file"),
    "damaged numbers.npz": (_damaged(np.savez_compressed, 55), "damaged, or no .npz file"),
    "x.txt": (b"1,2", r"must end in \.npz .* or \.csv"),
    "empty.csv": (b"", "an example in each line, got none"),
    "names.csv": (b"a,b,c\n", "an example in each line, got none"),
    "one.csv": (b"1\n0\n", "2 or more, got 1 in line 1"),
    "ragged.csv": (b"1,2,0\n1,0\n", "same number of columns.*, got 2 in line 2"),
    "word.csv": (b"\xef\xbb\xbf1,2,0\n1,two,0\n", "must be finite numbers, got 'two' in line 2"),
    "a first example with a gap.csv": (b"1,,0\n1,2,0\n", "must be finite numbers, got '' in line 1"),
    "NaN.csv": (b"a,b,c\n1,2,0\n\n1,nan,1\n", "must be finite numbers, got 'nan' in line 4"),
    "no class.csv": (b"1,2,0\n1,3, \n1,3,\n1,4,0\n", "the class of each example, got '' in line 2"),
    "semicolons.csv": (b"1;2;0\n1;3;1\n", "2 or more, got 1 in line 1"),
    "latin.csv": (b"\xff\xfe1,2", "utf-8"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_of_something_else(name, tmp_path):
    content, message = BAD_FILES[name]
    path = tmp_path / (name if isinstance(content, bytes) else "x.npz")
    path.write_bytes(content) if isinstance(content, bytes) else np.savez(path, **content)
    with pytest.raises(ValueError, match=message):
        data.read(path)


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
