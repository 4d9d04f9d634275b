"""Where dialects differ: the words against the numbers, the numbers against the transcriptions, and what is printed."""

import functools
import io
import itertools
import math
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import references
from matplotlib.colors import to_rgb
from matplotlib.image import imread

import rmsprop_optax
from rmsprop_optax import _text, differences, plots
from rmsprop_optax.__main__ import main
from rmsprop_optax.dialects import TABLE
from rmsprop_optax.differences import (
    DECAY,
    EPS,
    LEARNING_RATE,
    WEIGHTS,
    _bufferless,
    movements,
    settings,
    stream,
    words,
)
from rmsprop_optax.plots._axes import COLOURS

PAIRS = list(itertools.combinations(TABLE, 2))
BUFFERED = [name for name in TABLE if name not in _bufferless(TABLE)]
EQUAL = "rules are equal for real parameters: the same numbers and no other option give the same steps."

WORDS = {
    ("pytorch", "keras"): [
        "pytorch divides by √nu + eps, keras by √(nu + epsilon).",
        "With momentum, the learning rate comes after the buffer in pytorch, before it in keras: they part when the "
        "rate changes.",
        "Weight decay is L2 in pytorch, decoupled in keras.",
        "Only pytorch takes maximize.",
        "Only keras takes clipnorm, clipvalue, global_clipnorm, weight_decay_mask.",
        "Defaults: lr=0.01, alpha=0.99, eps=1e-08 in pytorch; learning_rate=0.001, rho=0.9, epsilon=1e-07 in keras.",
    ],
    ("tf1", "sonnet"): [
        "The mean square starts from 1 in tf1, from 0 in sonnet.",
    ],
    ("tf1", "timm"): [
        f"Without weight decay the {EQUAL}",
        "Only timm has weight decay: L2 or decoupled.",
        "Only timm takes decoupled_decay, corrected_weight_decay, lr_in_momentum, caution, max_lr.",
        "Defaults: learning_rate (required) in tf1; lr=0.01 in timm.",
    ],
    ("graves", "chainer_graves"): [f"The {EQUAL}"],
    ("burn", "pytorch"): [
        f"The {EQUAL}",
        "Only pytorch takes maximize.",
        "Defaults: lr (required), epsilon=1e-05, momentum=0.9 in burn; lr=0.01, eps=1e-08, momentum=None in pytorch.",
    ],
    ("lasagne", "graves"): [
        "lasagne divides by √(nu + epsilon), graves by √(var + eps); var is the variance of the gradients, nu their "
        "mean square.",
        "lasagne has no momentum; graves has momentum, with the learning rate before the buffer.",
        "Defaults: learning_rate=1.0, rho=0.9, epsilon=1e-06 in lasagne; learning_rate=0.0001, decay=0.95, eps=0.0001 "
        "in graves.",
    ],
    ("lasagne", "dl4j"): [
        "lasagne divides by √(nu + epsilon), dl4j by √nu + epsilon.",
        "The mean square starts from 0 in lasagne, from epsilon in dl4j.",
        "Defaults: learning_rate=1.0, rho=0.9, epsilon=1e-06 in lasagne; learningRate=0.1, rmsDecay=0.95, "
        "epsilon=1e-08 in dl4j.",
    ],
    ("optax", "sonnet"): [
        f"The {EQUAL}",
        "Only optax takes initial_scale, eps_in_sqrt, nesterov, bias_correction.",
        "Defaults: eps=1e-08 in optax; epsilon=1e-10 in sonnet.",
    ],
    ("tensorflowjs", "sonnet"): [
        f"The {EQUAL}",
        "Centered, tensorflowjs subtracts epsilon under the root.",
        "Defaults: epsilon=1e-07 in tensorflowjs; epsilon=1e-10 in sonnet.",
    ],
    ("dynet", "lasagne"): [
        "By default dynet has clip_threshold=5.0.",
        "Defaults: learning_rate=0.1, rho=0.95, eps=1e-20 in dynet; learning_rate=1.0, rho=0.9, epsilon=1e-06 in "
        "lasagne.",
    ],
    ("oneflow", "bitsandbytes"): [
        "oneflow divides by √(nu + eps), bitsandbytes by √nu + eps.",
        "Only oneflow takes centered.",
        "Defaults: lr=0.001 in oneflow; lr=0.01 in bitsandbytes.",
    ],
    ("keras2", "tf1"): [
        "keras2 divides by √nu + epsilon, tf1 by √(nu + epsilon).",
        "The mean square starts from 0 in keras2, from 1 in tf1.",
        "keras2 has no momentum; tf1 has momentum, with the learning rate before the buffer.",
        "Only keras2 takes decay (not that of tf1), clipnorm, clipvalue, version.",
        "Only tf1 takes centered.",
        "Defaults: lr=0.001, epsilon=None in keras2; learning_rate (required), epsilon=1e-10 in tf1.",
    ],
    ("pfrl", "sonnet"): [
        f"Without momentum and weight decay the {EQUAL}",
        "With momentum, the learning rate comes after the buffer in pfrl, before it in sonnet: they part when the "
        "rate changes.",
        "Only pfrl has weight decay: L2.",
        "Defaults: lr=0.01, alpha=0.99, eps=1e-08 in pfrl; learning_rate (required), decay=0.9, epsilon=1e-10 in "
        "sonnet.",
    ],
}


@pytest.mark.parametrize(("a", "b"), WORDS)
def test_words(a, b):
    assert words(a, b) == WORDS[a, b]


def test_words_for_special_momentum():
    lasagne = "lasagne has no momentum"
    centered = "mxnet has momentum only where centered, with the learning rate before the buffer"
    assert f"{lasagne}; {centered}." in words("lasagne", "mxnet")
    nesterov = "climin has Nesterov momentum, with the learning rate before the buffer"
    assert f"{nesterov}; {lasagne}." in words("climin", "lasagne")
    assert f"tf1 has momentum, with the learning rate before the buffer; {nesterov}." in words("tf1", "climin")


def test_words_name_what_no_dialect_has_yet(monkeypatch):
    corrected = TABLE["blocks"]._replace(bias_correction="always", note="A note.")
    monkeypatch.setitem(TABLE, "corrected", corrected)
    assert words("blocks", "corrected") == [
        "corrected corrects its averages for their start, blocks does not.",
        "A note.",
    ]


def test_words_say_the_same_both_ways():
    for a, b in PAIRS:
        there, back = words(a, b), words(b, a)
        assert len(there) == len(back)
        tokens = [Counter(re.findall(r"[^\s,;:]+(?<!\.)", " ".join(sentences))) for sentences in (there, back)]
        assert tokens[0] == tokens[1], (there, back)


@functools.cache
def moved(names, momentum):
    table = {name: {} for name in names}
    for row in movements(names, momentum=momentum):
        table[row["dialect"]][row["weight"]] = row["movement"]
    return table


def apart(one, two):
    """The largest distance at any step, in units of the largest movement."""
    return max(np.abs(one[w] - two[w]).max() / np.abs(one[w]).max() for w in WEIGHTS)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_where_the_words_say_equal_the_numbers_are(momentum):
    table = moved(tuple(BUFFERED) if momentum else tuple(TABLE), momentum)
    told = 0
    for a, b in itertools.combinations(table, 2):
        first = words(a, b)[0]
        if EQUAL in first and not (momentum and "Without momentum" in first):
            told += 1
            assert apart(table[a], table[b]) < 1e-5, (a, b)
    assert told > 10


@pytest.mark.parametrize(
    ("a", "b", "momentum"),
    [
        ("pytorch", "keras", 0.0),
        ("tf1", "sonnet", 0.0),
        ("trax", "pytorch", 0.0),
        ("neon", "lasagne", 0.0),
        ("graves", "lasagne", 0.0),
        ("hinton", "pytorch", 0.0),
        ("dl4j", "pytorch", 0.0),
        ("dqn", "graves", 0.0),
        ("pfrl", "sonnet", 0.9),
        ("sb3", "tf1", 0.9),
        ("tf_keras_legacy", "pytorch", 0.9),
        ("tf_keras_legacy", "keras", 0.0),
    ],
)
def test_where_the_words_name_a_difference_the_numbers_show_it(a, b, momentum):
    table = moved(tuple(BUFFERED) if momentum else tuple(TABLE), momentum)
    assert apart(table[a], table[b]) > 1e-3


def check_against_reference(name, given, rates, got):
    options = {k: v for k, v in given.items() if k != TABLE[name].arguments.learning_rate}
    gradients, _ = stream()
    streams = [{w: np.full(1, g[t]) for w, g in gradients.items()} for t in range(len(rates))]
    steps = getattr(references, name)({w: np.zeros(1) for w in WEIGHTS}, streams, rates, **options)
    want = [params for params, _ in steps]
    for weight in WEIGHTS:
        way = -np.array([params[weight][0] for params in want])
        np.testing.assert_allclose(got[weight], way, rtol=0, atol=1e-4 * np.abs(way).max())


@pytest.mark.parametrize("name", TABLE)
def test_movements_are_those_of_the_transcription(name):
    momentum = 0.9 if name in BUFFERED else 0.0
    got = moved(tuple(BUFFERED) if momentum else tuple(TABLE), momentum)[name]
    factors = np.where(np.arange(200) < 100, 1.0, 0.1)
    check_against_reference(name, settings([name])[name], LEARNING_RATE * factors, got)


@pytest.mark.parametrize(
    ("name", "rate"), [("pytorch", 0.01), ("keras", 0.001), ("graves", 1e-4), ("tf1", LEARNING_RATE)]
)
def test_movements_with_own_defaults(name, rate):
    got = {row["weight"]: row["movement"] for row in movements([name], same=False)}
    own = {"graves": {"momentum": 0.9}}.get(name, {})
    check_against_reference(name, own, np.full(200, rate), got)


def test_settings_are_the_same_for_all_or_their_own():
    assert settings(["pytorch", "keras"], momentum=0.5) == {
        "pytorch": {"lr": LEARNING_RATE, "alpha": DECAY, "eps": EPS, "momentum": 0.5},
        "keras": {"learning_rate": LEARNING_RATE, "rho": DECAY, "epsilon": EPS, "momentum": 0.5},
    }
    assert settings(["burn", "lasagne"]) == {
        "burn": {"lr": LEARNING_RATE, "alpha": DECAY, "epsilon": EPS, "momentum": 0.0},
        "lasagne": {"learning_rate": LEARNING_RATE, "rho": DECAY, "epsilon": EPS},
    }
    assert settings(["burn", "tf1"], same=False) == {
        "burn": {"lr": LEARNING_RATE, "alpha": 0.99, "epsilon": 1e-5, "momentum": 0.9},
        "tf1": {"learning_rate": LEARNING_RATE, "decay": 0.9, "epsilon": 1e-10, "momentum": None},
    }


def test_the_stream_is_what_it_says():
    gradients, factors = stream()
    again, _ = stream()
    assert list(gradients) == list(WEIGHTS)
    assert all(np.array_equal(gradients[w], again[w]) for w in WEIGHTS)
    typical = gradients["typical"]
    assert (typical.mean(), typical.std()) == pytest.approx((0.5, 1.0), abs=0.1)
    np.testing.assert_allclose(gradients["small"], 1e-4 * typical)
    assert np.flatnonzero(gradients["sparse"]).tolist() == list(range(19, 200, 20))
    assert set(gradients["constant"]) == {0.1}
    assert np.flatnonzero(np.diff(gradients["turning"])).tolist() == list(range(19, 199, 20))
    assert np.flatnonzero(np.diff(factors)).tolist() == [99]


def output(capsys, line):
    assert main(line.split()) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_the_overview_has_every_dialect_twice(capsys):
    out = output(capsys, "dialects")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 120
    assert [line.split()[0] for line in lines if line and line.split()[0] in TABLE] == [*TABLE, *TABLE]
    keras = next(line for line in lines if line.startswith("keras "))
    assert re.split(r"\s{2,}", keras) == [
        *["keras", "√(nu + eps)", "0", "rate, buffer", "decoupled"],
        *["0.001", "0.9", "1e-07", "None"],
    ]
    burn, legacy = (next(line for line in lines if line.startswith(name)) for name in ("burn ", "tf_keras_legacy "))
    assert re.split(r"\s{2,}", burn)[-4:] == ["required", "0.99", "1e-05", "0.9"]
    assert lines[lines.index(legacy) + 1].strip() == "with momentum √(nu + eps)"
    flat = " ".join(out.split())
    assert [name for name, row in TABLE.items() if " ".join(row.source.split()) not in flat] == []


@pytest.mark.parametrize("name", TABLE)
def test_a_page_can_be_read_on_a_terminal(name, capsys):
    out = output(capsys, f"dialects {name}")
    assert max(map(len, out.splitlines())) <= 120
    assert out.startswith(f"dialects.{name}(")
    assert re.search(r"\\|&|math::|\{[^}]{6,}|Args:|Returns:|Example:", out) is None
    assert "_{t+1} = " in out
    assert re.search(r"``|:\w+:`", out) is None
    assert "·" in out
    for argument in filter(None, TABLE[name].arguments):
        assert f"\n  {argument}: " in out
    assert " ".join(f"Source: {TABLE[name].source}".split()) in " ".join(out.split())


def test_a_page_of_a_relative_has_the_equations_of_its_head(capsys):
    page = output(capsys, "dialects burn")
    equations = output(capsys, "dialects pytorch").partition("  g_t ←")[2].partition("\n\n")[0]
    assert f"\n\npytorch:\n\n  g_t ←{equations}\n\n" in page


def test_text_has_no_markup():
    assert _text._plain("With ``foreach``, :func:`rmsprop_optax.rmsprop` and :func:`~a.b`.") == (
        "With foreach, rmsprop_optax.rmsprop and a.b."
    )


def test_equations_are_plain_text():
    assert (
        _text._plain(
            ".. math::\n"
            "  v_t &= a \\cdot v_{t-1} \\qquad \\text{(L2)} \\\\\n"
            "  p &\\leftarrow \\frac{lr}{1 + k} / (\\sqrt{v_t} + \\max(\\sqrt{v_{t-1} + my\\_eps}, 1))"
        )
        == "  v_t = a · v_{t-1}   (L2)\n  p ← lr/(1 + k) / (√v_t + max(√(v_{t-1} + my_eps), 1))"
    )


def test_a_comparison_in_words_and_numbers(capsys):
    out = output(capsys, "dialects pytorch keras tf1 keras")
    assert max(map(len, out.splitlines())) <= 120
    flat = " ".join(out.split())
    for other in ("keras", "tf1"):
        assert flat.count(f"pytorch and {other} " + " ".join(words("pytorch", other))) == 1
    assert "pytorch(lr=0.01, alpha=0.9, eps=0.001, momentum=0.9)" in flat
    assert "a tenth after step 100" in flat
    rows = movements(["pytorch", "keras", "tf1"])
    table = [line for line in out.splitlines() if re.search(r"(pytorch|keras|tf1)(  +[-\de.]+){5}$", line)]
    assert len(table) == len(rows) == 3 * len(WEIGHTS)
    for line, row in zip(table, rows, strict=True):
        *_, dialect, one, ten, hundred, later, last = line.split()
        assert dialect == row["dialect"]
        assert (dialect == "pytorch") == line.startswith(f"{row['weight']}: {WEIGHTS[row['weight']]}")
        shown = [float(x) for x in (one, ten, hundred, later, last)]
        assert shown == pytest.approx(row["movement"][[0, 9, 99, 109, 199]], rel=1e-3)


def test_a_comparison_says_why_there_is_no_momentum(capsys):
    out = output(capsys, "dialects pytorch lasagne")
    assert "Momentum is 0: lasagne has none." in out
    assert "momentum=0.0)" in out
    assert "Momentum is 0" not in output(capsys, "dialects pytorch keras --momentum 0.5")


def test_a_comparison_of_defaults(capsys):
    out = output(capsys, "dialects pytorch burn --own-defaults")
    assert "pytorch(lr=0.01, alpha=0.99, eps=1e-08, momentum=None)" in out
    assert "burn(lr=0.01, alpha=0.99, epsilon=1e-05, momentum=0.9)" in out
    assert "step 100." not in out


def test_a_plot_beside_the_numbers(capsys, tmp_path):
    out = output(capsys, f"dialects pytorch keras --plot {tmp_path / 'both.png'}")
    assert out.endswith(f"The plot is in {tmp_path / 'both.png'}\n")
    picture = imread(tmp_path / "both.png")[..., :3]
    assert picture.shape[1] >= 900
    for colour in COLOURS[:2]:
        assert np.count_nonzero(np.all(picture == np.float32(to_rgb(colour)), axis=-1)) > 1000


def test_comparing_needs_no_extra(monkeypatch, capsys):
    for module in ("flax", "sklearn", "tqdm", "matplotlib"):
        monkeypatch.setitem(sys.modules, module, None)
    assert "keras by" in output(capsys, "dialects pytorch keras")
    with pytest.raises(SystemExit):
        main(["dialects", "pytorch", "keras", "--plot", "x.png"])
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "python -m rmsprop_optax: matplotlib is not installed: pip install 'rmsprop-optax[demo]'\n"


def test_the_epsilon_for_the_other_side(capsys):
    assert output(capsys, "epsilon --inside 1e-3") == (
        "√(nu + 0.001) is nearest to √nu + 0.02486.\n"
        "At most a factor of 1.272 lies between them; with the usual 0.031623 it is 1.4142.\n"
    )
    assert output(capsys, "epsilon --outside 0.02486") == (
        "√nu + 0.02486 is nearest to √(nu + 0.00099998).\n"
        "At most a factor of 1.272 lies between them; with the usual 0.00061802 it is 1.4142.\n"
    )
    eps = math.sqrt(1.001) - 1
    assert output(capsys, "epsilon --inside 1e-3 --range 1 1") == (
        f"√(nu + 0.001) is nearest to √nu + {eps:.5g}.\n"
        "At most a factor of 1 lies between them where √nu is from 1 to 1.\n"
    )
    assert "usual" not in output(capsys, "epsilon --inside 0")


def test_epsilons_between_sum_and_mean(capsys):
    out = output(capsys, "epsilon --sum-to-mean 32 --inside 0.01 --clip 1")
    assert [line.split() for line in out.splitlines()] == [
        ["eps", "0.01", "→", "9.765625e-06"],
        ["clip", "1", "→", "0.03125"],
    ]
    out = output(capsys, "epsilon --mean-to-sum 10 --outside 0.01 --l2 2 --start 1")
    assert [line.split()[::3] for line in out.splitlines()] == [["eps", "0.1"], ["l2", "20"], ["initial_scale", "100"]]


# command line: what its one line of error names
ERRORS = {
    "dialects adam": ["'adam'", *TABLE],
    "dialects pytroch": ["'pytroch'", "did you mean pytorch?"],
    "dialects --own-defaults": ["--own-defaults", "two dialects"],
    "dialects pytorch --plot x.png": ["--plot", "two dialects"],
    "dialects pytorch pytorch --momentum 0": ["--momentum", "two dialects"],
    "dialects pytorch lasagne --momentum 0.5": ["--momentum 0.5", "lasagne"],
    "dialects pytorch keras --momentum 1.5": ["momentum", "[0, 1)", "1.5"],
    "dialects pytorch keras --momentum much": ["--momentum", "'much'"],
    "dialects pytorch keras --momentum 0.5 --own-defaults": ["--momentum", "--own-defaults"],
    "dialects pytorch keras --dialect tf1": ["--dialect"],
    "epsilon": ["--inside", "--outside"],
    "epsilon --inside 1 --outside 1": ["--inside", "--outside"],
    "epsilon --sum-to-mean 2 --inside 1 --outside 1": ["--inside", "--outside"],
    "epsilon --sum-to-mean 1000000 --inside 1e-30": ["eps=1e-30", "too small"],
    "epsilon --inside 1 --clip 1": ["--inside", "no other"],
    "epsilon --inside -1": ["eps=-1.0", "at least 0"],
    "epsilon --outside nan": ["eps=nan"],
    "epsilon --outside 1e300": ["eps=1e+300", "too large"],
    "epsilon --mean-to-sum 1000000 --inside 1e300": ["eps=1e+300", "too large"],
    "epsilon --inside 1 --range 2 1": ["low=2.0", "high=1.0"],
    "epsilon --inside much": ["--inside", "'much'"],
    "epsilon --sum-to-mean 32": ["name what to convert"],
    "epsilon --sum-to-mean 32 --inside 1 --range 0 1": ["--range"],
    "epsilon --sum-to-mean 0 --inside 1": ["--sum-to-mean", "whole number"],
    "epsilon --sum-to-mean 2 --mean-to-sum 2 --inside 1": ["--sum-to-mean", "--mean-to-sum"],
    "epsilon --mean-to-sum 2 --clip -1": ["clip=-1.0"],
    "compare": ["'compare'", "dialects", "epsilon"],
}


@pytest.mark.parametrize("line", ERRORS)
def test_an_error_is_one_line(line, capsys):
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("python -m rmsprop_optax")
    assert err.count("\n") == 1
    assert [word for word in ERRORS[line] if word not in err] == []


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("none/x.png", "there is no folder"),
        ("x.foo", ".pdf, "),
        ("x", ".pdf, "),
        ("", "this is a folder"),
        ("folder.png", "this is a folder"),
    ],
)
def test_a_plot_that_cannot_be_written(file, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(differences, "movements", None)  # nothing is computed
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(SystemExit):
        main(["dialects", "pytorch", "keras", "--plot", str(tmp_path / file)])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"python -m rmsprop_optax: --plot {tmp_path / file}: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_plot_that_finds_no_space(tmp_path, capsys):
    path = tmp_path / "x.png"
    path.symlink_to("/dev/full")
    with pytest.raises(SystemExit):
        main(["dialects", "pytorch", "keras", "--plot", str(path)])
    out, err = capsys.readouterr()
    assert "The plot is in" not in out
    assert err == f"python -m rmsprop_optax: --plot {path}: No space left on device\n"


def test_who_reads_a_part_gets_no_traceback(tmp_path):
    env = os.environ | {"PYTHONPATH": str(Path(rmsprop_optax.__file__).parents[1]), "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-m", "rmsprop_optax", "dialects", "hinton"]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def figure_rows(**ways):
    """Rows of two weights; the second is the first, times the dialect's factor."""
    way = np.linspace(0, 1, 50)
    return [
        {"weight": weight, "dialect": name, "movement": way if weight == "a" else factor * way}
        for weight in ("a", "b")
        for name, factor in ways.items()
    ]


def test_dialects_that_move_alike_share_a_line():
    figure = plots.movements(figure_rows(x=1.0, y=2.0, z=1.0 + 1e-6), title="title", notes={"a": "one", "b": "two"})
    a, b, corner, *_ = figure.axes
    assert [line.get_label() for line in b.lines] == ["x, z", "y"]
    assert [text.get_text() for text in corner.get_legend().get_texts()] == ["x, z", "y"]
    assert [line.get_ydata()[-1] for line in b.lines] == [1.0, 2.0]
    assert [a.get_title(), b.get_title()] == ["a: one", "b: two"]
    assert [a.get_xlabel(), a.get_yscale(), b.get_yscale()] == ["step", "linear", "linear"]
    assert b.lines[0].get_linewidth() > b.lines[1].get_linewidth()


def test_a_scale_for_movements_of_all_sizes():
    figure = plots.movements(figure_rows(x=0.003, y=-2.0, still=0.0), title="title")
    a, b, *_ = figure.axes
    assert [a.get_yscale(), b.get_yscale()] == ["linear", "symlog"]
    assert b.yaxis.get_transform().linthresh == pytest.approx(0.001)
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("number", [1, 12, 13, 28])
def test_many_lines_can_be_told_apart(number):
    figure = plots.movements(figure_rows(**{f"dialect_{i}": 1.0 + i for i in range(number)}), title="title")
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[1].lines}
    assert len(looks) == number
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    assert [len(legend.get_texts()) for legend in legends if legend] == [number]
    figure.savefig(picture := io.BytesIO(), format="png")  # a warning where the legend leaves no room
    assert len(picture.getvalue()) > 10_000
