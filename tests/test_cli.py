"""``rmsprop-optax``: its commands and their help, what it prints, and how it ends; mostly called in this process."""

import errno
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from orbax.checkpoint import v1 as ocp

import rmsprop_optax
from rmsprop_optax import cli, differences, recipes
from rmsprop_optax.cli import _text, _words, main
from rmsprop_optax.demo import checkpoints, data, training
from rmsprop_optax.dialects import ALIASES, TABLE
from rmsprop_optax.differences import WEIGHTS, movements, words
from rmsprop_optax.plots._axes import COLOURS

EXTRA = ("flax", "matplotlib", "orbax", "sklearn", "tqdm")


def process(*arguments, cwd, **options):
    """Start Python in a process of its own that sees this package."""
    env = os.environ | {"PYTHONPATH": str(Path(rmsprop_optax.__file__).parents[1]), "PYTHONUNBUFFERED": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([sys.executable, *arguments], cwd=cwd, env=env, text=True, **pipes)


def ended(*arguments, cwd, **options):
    """The status, the output and the errors of a process."""
    with process(*arguments, cwd=cwd, **options) as running:
        output, errors = running.communicate()
    return running.returncode, output, errors


def test_without_a_command_it_prints_the_help(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert capsys.readouterr().out == shown
    assert shown.startswith("usage: rmsprop-optax ")
    assert re.findall(r"^    (\w+) ", shown, re.MULTILINE) == list(_words.COMMANDS)


@pytest.mark.parametrize("command", _words.COMMANDS)
def test_the_examples_of_the_help_are_calls(command, capsys):
    parser, commands = cli._parsers("rmsprop-optax")
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert max(map(len, shown[shown.index("\n\n") :].splitlines())) <= 80  # argparse does not break all usages
    examples = re.findall(rf"^  (rmsprop-optax {command}.*)$", shown, re.MULTILINE)
    assert examples
    for example in examples:
        call = shlex.split(example)[1:]
        cli._check(call, parser, commands)
        assert parser.parse_known_args(call)[1] == []


def test_help_and_version_load_no_extra(tmp_path):
    code = f"""
import sys
from rmsprop_optax.cli import main
for call in (["--version"], ["--help"], [], ["train", "--help"]):
    try:
        main(call)
    except SystemExit as end:
        assert end.code == 0
print([name for name in {EXTRA} if name in sys.modules])
"""
    status, output, errors = ended("-c", code, cwd=tmp_path)
    assert (status, output.splitlines()[-1], errors) == (0, "[]", "")
    assert output.startswith(f"rmsprop-optax {rmsprop_optax.__version__} (jax {jax.__version__}, optax ")


# command line: what its one line of error holds
ERRORS = {
    "dialect pytorch": ["'dialect'", "did you mean `dialects`?"],
    "epsilon --inside 1": ["'epsilon'", "did you mean `scaling`?"],
    "pytorch": ["'pytorch'", "`dialects pytorch`"],
    "torch": ["'torch'", "`dialects pytorch`"],
    "impala": ["'impala'", "`recipes impala`"],
    "adam": ["'adam'", "`train --optimizer adam`"],
    "frobnicate": ["'frobnicate'", *_words.COMMANDS],
    "--dialect pytorch plan": ["--dialect", "option of train", "`train --dialect …`"],
    "--optimizer adam": ["--optimizer", "`train --optimizer …`"],
    "--dialects pytorch": ["--dialects", "did you mean `train --dialect …`?"],
    "--frobnicate": ["--frobnicate", "--help"],
    "train --dialect pytorch plan --params 1e9": ["train has no option --params", "option of plan"],
    "train --dialect pytorch plan": ["there is no dialect 'plan'", "plan is a command: `plan …`"],
    "train --dialects pytorch": ["--dialects", "did you mean --dialect?"],
    "train --lr 0.1": ["--lr", "did you mean --set lr=…?"],
    "train --learning-rate=0.1": ["--learning-rate", "did you mean --set learning_rate=…?"],
    "train --frobnicate": ["--frobnicate", "--help"],
    "train pytorch": ["'pytorch'", "`train --dialect pytorch`"],
    "train adam": ["'adam'", "`train --optimizer adam`"],
    "train impala": ["'impala'", "`recipes impala`"],
    "train now": ["train takes no argument 'now'"],
    "train --dialect adam": ["'adam'", "`train --optimizer adam`"],
    "train --dialect pytroch": ["'pytroch'", "did you mean pytorch?"],
    "train --optimizer keras": ["'keras'", "`dialects keras`"],
    "train --optimizer Adam": ["'Adam'", "did you mean adam?"],
    "train --optimizer lamb": ["'lamb'", "sgd, adam, adagrad"],
    "train --dialect keras2 --set version=new": ["keras2", "'new'"],
    "train --set alpha=0.9": ["alpha", "keras", "learning_rate", "rho", "weight_decay"],
    "train --dialect keras pytorch --set rho=0.9": ["rho", "pytorch", "lr", "alpha"],
    "train --dialect keras --dialect pytorch --set rho=0.9": ["rho", "pytorch", "lr", "alpha"],
    "train --dialect keras pytorch --set pytorch.rho=0.9": ["rho", "pytorch", "lr", "alpha"],
    "train --dialect keras pytorch --set tf1.decay=0.9": ["tf1", "keras, pytorch"],
    "train --optimizer sgd --set sgd.b1=0.9": ["b1", "sgd", "learning_rate, momentum, nesterov"],
    "train --optimizer sgd --set nesterov=true": ["nesterov", "keras", "learning_rate"],
    "train --set adam.lr=0.1": ["adam", "keras"],
    "train --set rho=1.5": ["keras", "[0, 1)", "1.5"],
    "train --set rho=high": ["rho=high", "'high'", "number", "true", "none"],
    "train --set rho=[1": ["rho=[1", "'[1'"],
    "train --set momentum=true": ["keras", "momentum", "number"],
    "train --set rho": ["rho", "argument=value"],
    "train --set clipnorm=1 clipvalue=1": ["clipnorm", "clipvalue", "only one"],
    "train --set weight_decay=0.1 weight_decay_mask=(1,2)": ["weight_decay_mask", "'(1,2)'", "number"],
    "train --set weight_decay=0.1 weight_decay_mask=1": ["keras", "weight_decay_mask", "bools"],
    "train --set centered='no'": ["centered='no'", "number, true"],
    "train --set centered=1": ["keras", "centered", "True or False"],
    "train --epochs 0": ["--epochs", "whole number", "'0'"],
    "train --epochs many": ["--epochs", "whole number", "'many'"],
    "train --batch-size 1438": ["--batch-size 1438", "1437"],
    "train --seed -1": ["--seed", "'-1'"],
    "train --seed 4294967295 --seeds 2": ["--seeds 2", "4294967295"],
    "train --resume": ["--resume", "--checkpoint"],
    f"train --out {__file__}": ["--out", "exists"],
    "train --data none.npz": ["--data none.npz", "No such file"],
    "dialects adam": ["'adam'", "`train --optimizer adam`"],
    "dialects frobnicate": ["'frobnicate'", *TABLE],
    "dialects pytroch": ["'pytroch'", "did you mean pytorch?"],
    "dialects PyTorch": ["'PyTorch'", "did you mean pytorch?"],
    "dialects torch": ["'torch'", "did you mean pytorch?"],
    "dialects tensorfow": ["'tensorfow'", "did you mean tf1?"],
    "dialects matlab": ["'matlab'", "did you mean torch7, with learningRate=0.001, alpha=0.9?"],
    "dialects impala": ["'impala'", "impala is a recipe: `recipes impala`"],
    "dialects --own-defaults": ["--own-defaults", "two or more"],
    "dialects pytorch --plot x.png": ["--plot", "two or more"],
    "dialects pytorch pytorch --momentum 0": ["--momentum", "two or more"],
    "dialects pytorch lasagne --momentum 0.5": ["--momentum 0.5", "lasagne"],
    "dialects pytorch keras --momentum 1.5": ["momentum", "[0, 1)", "1.5"],
    "dialects pytorch keras --momentum much": ["--momentum", "'much'"],
    "dialects pytorch keras --momentum 0.5 --own-defaults": ["--momentum", "--own-defaults"],
    "dialects pytorch keras --dialect tf1": ["--dialect"],
    "recipes pytorch": ["'pytorch'", "`dialects pytorch`"],
    "recipes efficientnets": ["'efficientnets'", "did you mean efficientnet?"],
    "recipes frobnicate": ["'frobnicate'", *recipes.TABLE],
    "recipes wgan graves": ["recipes takes no argument 'graves'", "`dialects graves`"],
    "scaling": ["--to-outside", "--to-inside", "--sum-to-mean", "--mean-to-sum"],
    "scaling --eps 1e-3 --outside": ["--outside", "did you mean --to-outside?"],
    "scaling --eps 1 --to-inside --to-outside": ["--to-inside", "--to-outside"],
    "scaling --eps 1 --to-inside --sum-to-mean 2": ["--to-inside", "--sum-to-mean"],
    "scaling --to-outside": ["--eps"],
    "scaling --to-outside --eps 1 --clip 1": ["--eps", "no other"],
    "scaling --to-outside --eps 1 --no-eps-in-sqrt": ["drop --eps-in-sqrt"],
    "scaling --to-outside --eps -1": ["eps=-1.0", "at least 0"],
    "scaling --to-inside --eps nan": ["eps=nan"],
    "scaling --to-inside --eps 1e300": ["eps=1e+300", "too large"],
    "scaling --to-outside --eps 1 --range 2 1": ["low=2.0", "high=1.0"],
    "scaling --to-outside --eps much": ["--eps", "'much'"],
    "scaling --sum-to-mean 32": ["nothing to convert", "--initial-scale"],
    "scaling --sum-to-mean 32 --eps 1 --range 0 1": ["--range"],
    "scaling --sum-to-mean 0 --eps 1": ["--sum-to-mean", "whole number"],
    "scaling --sum-to-mean 2 --mean-to-sum 2 --eps 1": ["--sum-to-mean", "--mean-to-sum"],
    "scaling --sum-to-mean 1000000 --eps 1e-30": ["eps=1e-30", "too small"],
    "scaling --mean-to-sum 1000000 --eps 1e300": ["eps=1e+300", "too large"],
    "scaling --mean-to-sum 2 --clip -1": ["clip=-1.0"],
    "scaling --mean-to-sum 2 --decay 0.9": ["--decay does not change", "drop it"],
    "scaling --batch-size 8 16 --l2 0.1": ["--l2 does not change", "drop it"],
    "scaling --batch-size 8 16": ["nothing to convert", "--learning-rate"],
    "scaling --batch-size 8 800 --decay 0.9": ["decay", "at most 10 times"],
    "scaling --batch-size 8 16 --weight-decay 0.1": ["weight_decay", "learning_rate"],
    "plan --param 1e9 --topology v5e:4x4": ["--param", "did you mean --params?"],
    "plan --params 1.3G --topology v5e:4x4": ["1.3G", "Did you mean 1.3B?"],
    "convert run.pt": ["--to"],
    "convert run.pt --to x --overwrit": ["--overwrit", "did you mean --overwrite?"],
}


@pytest.mark.parametrize("line", ERRORS)
def test_an_error_is_one_line_that_names_what_is_meant(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(shlex.split(line, posix=False))
    output, errors = capsys.readouterr()
    assert output == ""
    command = line.split()[0]
    assert errors.startswith(f"rmsprop-optax {command}: " if command in _words.COMMANDS else "rmsprop-optax: ")
    assert errors.count("\n") == 1
    assert [word for word in ERRORS[line] if word not in errors] == []


@pytest.mark.parametrize("name", ALIASES)
def test_another_name_of_a_dialect_leads_to_it(name, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["dialects", name])
    assert f"did you mean {ALIASES[name].dialect}" in capsys.readouterr().err


def test_the_process_ends_with_the_status_and_the_line_alone(tmp_path):
    status, output, errors = ended("-m", "rmsprop_optax", "train", "--set", "lr=0.1", cwd=tmp_path)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("python -m rmsprop_optax train: ")
    assert "learning_rate" in errors


@pytest.mark.parametrize(("module", "package"), [("flax", "flax"), ("sklearn", "scikit-learn"), ("tqdm", "tqdm")])
def test_a_missing_extra_names_its_installation(module, package, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--out", str(tmp_path)])
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(f": {package} is not installed: run pip install '.[demo]' in a clone of the repository")


def test_who_reads_a_part_gets_no_traceback(tmp_path):
    with process("-m", "rmsprop_optax", "dialects", "hinton", cwd=tmp_path) as running:
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 0


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


@FULL
def test_an_output_that_finds_no_space(tmp_path):
    with open("/dev/full", "w") as full:
        status, _, errors = ended("-m", "rmsprop_optax", "dialects", "hinton", cwd=tmp_path, stdout=full)
    assert (status, errors) == (
        1,
        "python -m rmsprop_optax: the output could not be written: No space left on device.\n",
    )


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
    assert re.search(r"_\{[tk]\+1\} = ", out)
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
    assert _text.plain("With ``foreach``, :func:`rmsprop_optax.rmsprop` and :func:`~a.b`::\n\n  p_{t+1} = p_t") == (
        "With foreach, rmsprop_optax.rmsprop and a.b:\n\n  p_{t+1} = p_t"
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
    assert err == (
        "rmsprop-optax dialects: matplotlib is not installed: run pip install '.[demo]' in a clone of the repository\n"
    )


def test_the_epsilon_for_the_other_side(capsys):
    assert output(capsys, "scaling --to-outside --eps 1e-3") == (
        "√(nu + 0.001) is nearest to √nu + 0.02486.\n"
        "The two differ by a factor of at most 1.272; with the usual epsilon, 0.031623, by up to 1.4142.\n"
    )
    assert output(capsys, "scaling --to-inside --eps 0.02486") == (
        "√nu + 0.02486 is nearest to √(nu + 0.00099998).\n"
        "The two differ by a factor of at most 1.272; with the usual epsilon, 0.00061802, by up to 1.4142.\n"
    )
    eps = math.sqrt(1.001) - 1
    assert output(capsys, "scaling --to-outside --eps 1e-3 --range 1 1") == (
        f"√(nu + 0.001) is nearest to √nu + {eps:.5g}.\nThe two differ by a factor of at most 1 for √nu from 1 to 1.\n"
    )
    assert "usual" not in output(capsys, "scaling --to-outside --eps 0")


def test_options_for_another_batch_size(capsys):
    out = output(capsys, "scaling --batch-size 4096 1024 --learning-rate 0.256 --decay 0.9 --momentum 0.9 --eps 1e-3")
    assert [line.split()[::3] for line in out.splitlines()] == [
        ["eps", "0.004"],
        ["learning_rate", "0.032"],
        ["decay", "0.975"],
        ["momentum", "0.975"],
    ]


def test_options_between_sum_and_mean(capsys):
    out = output(capsys, "scaling --eps 0.01 --sum-to-mean 32 --clip 1")
    assert [line.split() for line in out.splitlines()] == [
        ["eps", "0.01", "→", "9.765625e-06"],
        ["clip", "1", "→", "0.03125"],
    ]
    out = output(capsys, "scaling --mean-to-sum 10 --eps 0.01 --no-eps-in-sqrt --l2 2 --initial-scale 1 --floor 0.5")
    assert [line.split()[::3] for line in out.splitlines()] == [
        ["eps", "0.1"],
        ["floor", "5"],
        ["initial_scale", "100"],
        ["l2", "20"],
    ]


def test_the_recipes_have_their_settings_and_sources(capsys):
    out = output(capsys, "recipes")
    assert max(map(len, out.splitlines())) <= 120
    firsts = [line.split()[0] for line in out.splitlines() if line and not line.startswith(" ")]
    assert firsts == ["recipe", *recipes.TABLE, "Sources:", *recipes.TABLE]
    flat = " ".join(out.split())
    for name, row in recipes.TABLE.items():
        assert f"{name} {row.dialect} {row.settings}" in flat
        assert f"{name} {' '.join(row.source.split())}" in flat


@pytest.mark.parametrize("name", recipes.TABLE)
def test_the_page_of_a_recipe(name, capsys):
    row, out = recipes.TABLE[name], output(capsys, f"recipes {name}")
    assert max(map(len, out.splitlines())) <= 120
    assert out.startswith(f"recipes.{name}(")
    assert re.search(r"``|:\w+:`|Args:|Returns:|Example:", out) is None
    assert "\n  learning_rate: " in out
    flat = " ".join(out.split())
    assert f"Dialect: {row.dialect} Settings: {row.settings} Source: {row.source}" in flat


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
    assert err.startswith(f"rmsprop-optax dialects: --plot {tmp_path / file}: ")
    assert words in err
    assert err.count("\n") == 1


@FULL
def test_a_plot_that_finds_no_space(tmp_path, capsys):
    path = tmp_path / "x.png"
    path.symlink_to("/dev/full")
    assert main(["dialects", "pytorch", "keras", "--plot", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "The plot is in" not in out
    assert err == f"rmsprop-optax: --plot {path} could not be written: No space left on device.\n"


def test_ctrl_c_before_the_training_ends_quietly(tmp_path, monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "digits", interrupt)
    assert main(["train", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_ctrl_c_leaves_the_epochs_so_far(small, tmp_path):
    """In a process, for a signal is meant. The first training takes a checkpoint, the second one continues."""
    call = ["-m", "rmsprop_optax", "train", *small, "--epochs", "1000000", "--out", str(tmp_path)]
    call += ["--checkpoint", str(tmp_path / "saved")]
    with process(*call, cwd=tmp_path) as running:
        lines = iter(running.stdout.readline, "")
        assert any(" 0/1000000" in line for line in lines)
        while not (tmp_path / "saved" / "keras" / "2").exists():
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate()
    assert running.returncode == 130
    found = json.loads((tmp_path / "results.json").read_text())["runs"]["keras"]["seeds"][0]["epochs"]
    last = found[-1]["epoch"]
    assert [row["epoch"] for row in found] == list(range(last + 1))
    assert last == checkpoints.last(tmp_path / "saved" / "keras") >= 2
    assert {path.name for path in tmp_path.glob("*.png")} == {"curves.png", "layers-keras.png", "rates-keras.png"}
    assert output.splitlines()[-1].endswith(str(tmp_path))
    _, asked, stopped, results, how = errors.splitlines()
    assert asked == "stopping after this epoch; Ctrl-C again stops at once"
    assert stopped == f"Stopped after epoch {last} of 1000000 of keras."
    assert results == f"Results and pictures of the epochs so far are in {tmp_path}."
    assert how == f"Continue with: python -m rmsprop_optax {shlex.join(call[2:])} --resume"


def interrupted(monkeypatch, after):
    """Let the training raise KeyboardInterrupt after so many rows of all runs."""
    fit, left = training.fit, iter(range(after))

    def fails(*arguments, **options):
        for row in fit(*arguments, **options):
            if next(left, None) is None:
                raise KeyboardInterrupt
            yield row

    monkeypatch.setattr(training, "fit", fails)


def test_the_second_ctrl_c_stops_at_once(small, undrawn, tmp_path, monkeypatch, capsys):
    interrupted(monkeypatch, after=5)
    assert main(["train", *small, "--epochs", "2", "--seeds", "2", "--out", str(tmp_path)]) == 130
    errors = capsys.readouterr().err
    assert errors.splitlines() == [
        "Stopped after epoch 1 of 2 of keras, seed 1, training 2 of 2.",
        f"Results and pictures of the epochs so far are in {tmp_path}.",
        "This run cannot be continued; --checkpoint FOLDER saves every epoch.",
    ]
    runs = json.loads((tmp_path / "results.json").read_text())["runs"]
    assert [len(seed["epochs"]) for seed in runs["keras"]["seeds"]] == [3, 2]
    pictures = {"curves.png", "layers-keras.png", "rates-keras.png"}
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", *pictures}


def test_ctrl_c_before_the_first_epoch(small, undrawn, tmp_path, monkeypatch, capsys):
    interrupted(monkeypatch, after=0)
    assert main(["train", *small, "--epochs", "2", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err.startswith("Stopped before the first epoch.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        ValueError(
            f"RESOURCE_EXHAUSTED: Failed to write 14118 bytes: {os.strerror(errno.ENOSPC)} [os_error_code='28']"
        ),
    ],
    ids=["Orbax", "TensorStore"],
)
def test_a_checkpoint_that_finds_no_space(error, small, undrawn, tmp_path, monkeypatch, capsys):
    saved, save = [], ocp.training.Checkpointer.save_async

    def fails(checkpointer, step, *arguments, **options):
        if saved:
            raise error
        saved.append(step)
        return save(checkpointer, step, *arguments, **options)

    monkeypatch.setattr(ocp.training.Checkpointer, "save_async", fails)
    assert main(["train", *small, "--epochs", "2", "--out", str(tmp_path), "--checkpoint", str(tmp_path)]) == 1
    *_, stopped, results, how, full = capsys.readouterr().err.splitlines()
    assert stopped == "Stopped after epoch 1 of 2 of keras."
    assert results == f"Results and pictures of the epochs so far are in {tmp_path}."
    assert how.startswith("Continue with: rmsprop-optax train ")
    assert full == f"rmsprop-optax: {tmp_path / 'keras'} could not be written: No space left on device."
    assert checkpoints.last(tmp_path / "keras") == 1


@FULL
@pytest.mark.parametrize("name", ["results.json", "curves.png"])
def test_results_that_find_no_space(name, small, tmp_path, capsys):
    (tmp_path / f"{name}.unfinished").symlink_to("/dev/full")
    assert main(["train", *small, "--epochs", "2", "--out", str(tmp_path)]) == 1
    output, errors = capsys.readouterr()
    assert "test accuracy" in output
    assert errors.splitlines() == [
        "Stopped after epoch 2 of 2 of keras.",
        "This run cannot be continued; --checkpoint FOLDER saves every epoch.",
        f"rmsprop-optax: {tmp_path / name} could not be written: No space left on device.",
    ]
    assert not (tmp_path / name).exists()
