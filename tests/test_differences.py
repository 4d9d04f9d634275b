"""Where dialects differ: the words against the numbers, the numbers against the transcriptions, and the plots."""

import functools
import io
import itertools
import re
from collections import Counter

import numpy as np
import pytest
import references

from rmsprop_optax import plots
from rmsprop_optax.dialects import TABLE
from rmsprop_optax.differences import (
    DECAY,
    EPS,
    LEARNING_RATE,
    WEIGHTS,
    movements,
    settings,
    stream,
    without_momentum,
    words,
)

PAIRS = list(itertools.combinations(TABLE, 2))
BUFFERED = [name for name in TABLE if name not in without_momentum(TABLE)]
EQUAL = "rules are equal for real parameters: the same numbers and no other option give the same steps."

WORDS = {
    ("pytorch", "keras"): [
        "pytorch divides by √nu + eps, keras by √(nu + epsilon).",
        "With momentum, the learning rate comes after the buffer in pytorch, before it in keras: their steps differ "
        "when the rate changes.",
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
        "With momentum, the learning rate comes after the buffer in pfrl, before it in sonnet: their steps differ "
        "when the rate changes.",
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
    centered = "mxnet has momentum only if centered, with the learning rate before the buffer"
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
