"""README and guide say what is: their examples run, their tables are the tables, their links lead somewhere.

``python tests/test_readme.py`` rewrites the generated tables and numbers.
"""

import ast
import functools
import importlib.util
import inspect
import json
import math
import re
import shlex
from pathlib import Path

import conftest  # noqa: F401  # sets the backend of Keras, which pytest would do
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import test_dialects
import test_upstream
from safetensors.numpy import save_file

import rmsprop_optax
from rmsprop_optax import cli, interop, recipes, scale_by_rms
from rmsprop_optax.dialects import NOT_REPRODUCED, TABLE

ROOT = Path(__file__).parent.parent
PAGES = {"README.md": ROOT / "README.md"} | {
    str(path.relative_to(ROOT / "notebooks")): path
    for folder in ("notebooks", "notebooks/guide")
    for path in sorted((ROOT / folder).glob("*.md"))
}
README = PAGES["README.md"].read_text(encoding="utf-8")


def text(page):
    return PAGES[page].read_text(encoding="utf-8")


# The snippets


def run_of_pytorch(shapes, buffers=(), **group):
    """Write ``run.safetensors``: a run of PyTorch's, 100 steps old."""
    arrays = {f"model.{name}": np.ones(shape, np.float32) for name, shape in shapes.items()}
    arrays |= {f"model.{name}": np.ones(shape, np.float32) for name, shape in dict(buffers).items()}
    for i, shape in enumerate(shapes.values()):
        arrays[f"optimizer.state.{i}.step"] = np.array(100.0, np.float32)
        arrays[f"optimizer.state.{i}.square_avg"] = np.full(shape, 4.0, np.float32)
        if group.get("momentum"):
            arrays[f"optimizer.state.{i}.momentum_buffer"] = np.zeros(shape, np.float32)
    names = {"params": list(range(len(shapes))), "param_names": list(shapes)}
    rest = {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0, "momentum": 0, "centered": False}
    rest |= {"capturable": False, "maximize": False}
    groups = json.dumps([names | rest | group])
    save_file(arrays, "run.safetensors", metadata={"optimizer.param_groups": groups})


def of_tensorflow(shapes):
    """The variables of a run of TensorFlow 1 with momentum, 1000 steps old."""
    slots = ("", "/RMSProp", "/RMSProp_1")
    return {f"{n}{slot}": np.ones(shape) for n, shape in shapes.items() for slot in slots} | {"global_step": 1000}


SHAPES = {"conv.weight": (4, 3, 2, 2), "fc.weight": (5, 16)}
NORMED = {"conv.weight": (8, 1, 3, 3), "conv.bias": (8,), "norm.weight": (8,), "norm.bias": (8,)}
NORMED |= {"fc.weight": (10, 8), "fc.bias": (10,)}
DENSE = {"net/dense/kernel": (3, 2), "net/dense/bias": 2}
STATISTICS = {"norm.running_mean": (8,), "norm.running_var": (8,), "norm.num_batches_tracked": ()}

# Page → what makes the files that its text speaks of.
FILES = {
    "README.md": lambda: run_of_pytorch(SHAPES),
    "guide/pytorch.md": lambda: run_of_pytorch(NORMED, STATISTICS, lr=0.001, initial_lr=0.01, momentum=0.9),
    "guide/tensorflow1.md": lambda: np.savez(
        "run.npz", **of_tensorflow({"net/dense/kernel": (3, 2), "net/dense/bias": 2})
    ),
}


def blocks(page):
    """The code of a page in its order: language, file name if it has a title, code."""
    found = re.findall(r"^ *```(\w+)(?: title=\"(.*?)\")?\n(.*?)^ *```$", text(page), re.DOTALL | re.MULTILINE)
    return [(language, title, inspect.cleandoc(code) if code[:1] == " " else code) for language, title, code in found]


def commands(code):
    """The lines of a shell block that call this package."""
    joined = code.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in joined if line.startswith("rmsprop-optax ")]


def called(words):
    """Run a command as the shell does; a training is short, and that of the demo's data is `test_demo.py`'s."""
    words = words[1:]
    if words[0] == "train" and "--data" not in words:
        exists(words)
    else:
        assert not cli.main(words + ["--epochs", "1"] * (words[0] == "train"))


def exists(words):
    """Parse a command with all its options."""
    parser, known = cli._parsers("rmsprop-optax")
    cli._check(words, parser, known)
    assert parser.parse_known_args(words)[1] == []


def foreign(code):
    """Packages that the code imports, which the tests do not need."""
    found = re.findall(r"^(?:import|from) (torch|tensorflow|timm)\b", code, re.MULTILINE)
    return [name for name in found if importlib.util.find_spec(name) is None]


# Page → what must be true of the names that its code leaves behind.
AFTER = {
    "README.md": lambda names: interop.read(names["opt_state"]).count == 100,
}


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras, with NumPy 2
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")  # Keras, with jax 0.12
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_the_snippets_run_one_after_the_other(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import keras

    keras.utils.clear_session()  # a reader's first layers have no number
    FILES.get(page, dict)()
    names = {"__name__": "snippet"}
    with jax.numpy_dtype_promotion("standard"):  # a reader's
        for language, title, code in blocks(page):
            if title:
                (tmp_path / title).write_text(code)
            elif language == "sh":
                for words in commands(code):
                    called(words)
            elif language == "python" and not foreign(code):
                exec(compile(code, page, "exec"), names)
    assert AFTER.get(page, bool)(names)


@pytest.mark.parametrize("page", PAGES)
def test_inline_commands_are_what_there_is(page):
    for call in re.findall(r"`rmsprop-optax ([^`…]+)`", text(page)):
        if call not in cli._COMMANDS and not call.endswith(("--help", "--version")):
            exists(shlex.split(call))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if not re.match(r"https?:|#|mailto:", target):
            assert (PAGES[page].parent / target.partition("#")[0]).exists(), f"{page} links to {target}"


# The README is the contract


def test_the_readme_is_two_pages():
    assert len(README.splitlines()) <= 150
    assert len(README.split()) <= 1500


def defaults(constructor):
    """The numbers that somebody gets who passes none; a 0 is an option that is off."""
    parameters = inspect.signature(constructor).parameters.values()
    numbers = [p for p in parameters if type(p.default) in (int, float) and p.default and p.default < math.inf]
    return ", ".join(f"{p.name}={p.default:g}" for p in numbers) or "its version's"


def truth(name):
    """What a dialect is tested against, besides a transcription of its source."""
    if name in test_dialects.RECORDED or name in ("keras", "optax", "jax_example", "jax_example_momentum"):
        return "the framework"
    printed = {case.dialect for case in test_upstream.CASES.values()} - {"hinton"}  # a lecture has no tests
    return "upstream's numbers" if name in printed else "its source"


def table(columns, rows):
    return "\n".join(["| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *rows)])


def dialects():
    places = {
        "before": "rate, then buffer",
        "after": "buffer, then rate",
        "before, Nesterov": "rate, then buffer (Nesterov)",
        "no buffer, centered before": "no buffer; centered: rate, then buffer",
    }
    columns = (
        "`dialects.`",
        "divides by",
        "nu starts from",
        "learning rate and momentum",
        "weight decay",
        "defaults",
        "tested against",
        "source",
    )
    rows = [
        (
            f"`{name}`",
            d.denominator,
            d.start,
            places.get(d.momentum, d.momentum),
            d.weight_decay,
            defaults(d.constructor),
            truth(name),
            d.source,
        )
        for name, d in TABLE.items()
    ]
    return table(columns, rows)


def not_reproduced():
    return table(("not reproduced", "why"), NOT_REPRODUCED.items())


def recipe_table():
    def call(constructor):
        return f"{constructor.__name__}({', '.join(inspect.signature(constructor).parameters)})"

    rows = [(f"`{call(r.constructor)}`", f"`{r.dialect}`", r.settings, r.source) for r in recipes.TABLE.values()]
    return table(("`recipes.`", "dialect", "settings", "source"), rows)


def times(benchmark="update_time"):
    """What was timed last: others' steps as multiples of ours."""
    rows = json.loads((Path(__file__).parent / "benchmarks" / f"{benchmark}.json").read_text())["rows"]
    found = {(row["peer"], row["tree"]): f"{1 / row['ratio']:.2f}" for row in rows if "scan" not in row["tree"]}
    trees = list(dict.fromkeys(tree for _, tree in found))
    peers = dict.fromkeys(peer for peer, _ in found if not peer.startswith("rmsprop_optax"))
    return table(
        ("peer time ÷ ours (above 1: ours is faster)", *trees),
        [(peer, *(found[peer, tree] for tree in trees)) for peer in peers],
    )


def whole_steps():
    """Bytes that compiled training steps move on TPU v5e, from the table of whole steps."""
    rows = json.loads((Path(__file__).parent / "benchmarks" / "whole_step.json").read_text())["rows"]
    found = {
        (row["model"], row["topology"], row["optimizer"]): f"{row['moved_per_parameter']:.1f}"
        for row in rows
        if row["dtype"] == "float32" and not row["zero"]
    }
    optimizers = {"SGD": "SGD", "optax.rmsprop": "optax.rmsprop"}
    optimizers |= {name: f"ours, {name}" for name in ("float32", "bfloat16", "uint8")} | {"optax.adam": "optax.adam"}
    models = {"mlp": "MLP", "conv": "convolutional network", "transformer": "transformer"}
    places = {"v5e:1x1": "1 chip", "v5e:4x4": "16 chips"}
    return table(
        ("bytes a parameter (lower is better)", *optimizers.values()),
        [
            (f"{name}, {chips}", *(found[model, place, optimizer] for optimizer in optimizers))
            for model, name in models.items()
            for place, chips in places.items()
        ],
    )


GENERATED = {  # page and mark → what stands between the marks
    ("dialects.md", "dialects"): dialects,
    ("dialects.md", "not reproduced"): not_reproduced,
    ("recipes.md", "recipes"): recipe_table,
    ("benchmarks.md", "times"): times,
    ("benchmarks.md", "times of one pass"): functools.partial(times, "one_pass"),
    ("benchmarks.md", "whole steps"): whole_steps,
}


def between(mark):
    return re.compile(rf"(?<=<!-- {mark} -->\n\n).*?(?=\n\n<!-- /{mark} -->)", re.DOTALL)


@pytest.mark.parametrize(("page", "mark"), GENERATED)
def test_the_tables_are_the_tables(page, mark):
    shown = between(mark).search(text(page))[0]
    assert shown == GENERATED[page, mark](), "write them with: python tests/test_readme.py"


def test_the_citation_names_this_version():
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", cited, re.MULTILINE)[1] == rmsprop_optax.__version__


def test_a_line_from_another_framework_keeps_its_words():
    shown = re.search(r"<!-- coming from -->\n\n(.*?)\n\n<!-- /coming from -->", README, re.DOTALL)[1]
    lines = re.findall(r"^\| `(.*?)` \| `(.*?)` \|$", shown, re.MULTILINE)
    assert len(lines) == shown.count("\n") - 1
    names = {"dialects": rmsprop_optax.dialects, "rmsprop": rmsprop_optax.rmsprop}
    names["with_storage"] = rmsprop_optax.with_storage
    for had, write in lines:
        theirs, ours = (ast.parse(line, mode="eval").body for line in (had, write))
        ours = ours.args[0] if ast.unparse(ours.func) == "with_storage" else ours
        assert [ast.unparse(k) for k in theirs.keywords] == [ast.unparse(k) for k in ours.keywords]
        assert [a.value for a in theirs.args if isinstance(a, ast.Constant)] == [a.value for a in ours.args]
        tx, params = eval(write, names), {"w": jnp.ones(3)}
        updates, _ = tx.update(params, tx.init(params), params)
        assert jnp.isfinite(updates["w"]).all()
        if had.startswith("optax."):
            expected, _ = (same := eval(had, {"optax": optax})).update(params, same.init(params), params)
            np.testing.assert_allclose(updates["w"], expected["w"], rtol=1e-6)


def numbers():
    """What the README counts: pattern → the words that stand there."""
    tested = [truth(name) for name in TABLE]
    return {
        r"\*\*\d+ dialects\*\*": f"**{len(TABLE)} dialects**",
        r"\d+ of them against the framework": f"{tested.count('the framework')} of them against the framework",
        r"\d+ published settings": f"{len(recipes.TABLE)} published settings",
    }


def test_the_numbers_of_the_text_are_those_of_the_tables():
    for pattern, words in numbers().items():
        assert re.findall(pattern, README) == [words], "write them with: python tests/test_readme.py"


def test_the_steps_that_the_text_quotes():
    def first_update(**options):
        tx = scale_by_rms(**options)
        g = jnp.array(1e-3)
        return float(tx.update(g, tx.init(g))[0])

    # decay 0 makes the mean square 1e-6 at once
    beside, under = first_update(decay=0.0, eps=1e-3, eps_in_sqrt=False), first_update(decay=0.0, eps=1e-3)
    assert round(beside / under) == 16
    assert [round(first_update(decay=decay, eps=0.0)) for decay in (0.9, 0.99)] == [3, 10]
    assert first_update(initial_scale=1.0, eps=0.0, decay=0.99) == pytest.approx(1e-3, rel=0.01)


if __name__ == "__main__":
    for page, mark in GENERATED:
        made = between(mark).sub(lambda _, key=(page, mark): GENERATED[key](), text(page))
        PAGES[page].write_text(made, encoding="utf-8")
    for pattern, words in numbers().items():
        README = re.sub(pattern, words, README)
    PAGES["README.md"].write_text(README)
