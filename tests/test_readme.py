"""The README says what is: its examples run, its tables are the tables."""

import ast
import functools
import inspect
import json
import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import test_dialects
import test_upstream
from safetensors.numpy import save_file

import rmsprop_optax
from rmsprop_optax import recipes, scale_by_rms
from rmsprop_optax.dialects import NOT_REPRODUCED, TABLE

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def checkpoint(path):
    """A run of PyTorch's, in the file that the text names."""
    arrays = {}
    for i, (name, shape) in enumerate({"conv.weight": (4, 3, 2, 2), "fc.weight": (5, 16)}.items()):
        arrays |= {f"model.{name}": np.ones(shape, np.float32), f"optimizer.state.{i}.step": np.array(100.0)}
        arrays[f"optimizer.state.{i}.square_avg"] = np.full(shape, 4.0, np.float32)
    group = {"params": [0, 1], "param_names": ["conv.weight", "fc.weight"], "lr": 0.01, "alpha": 0.99, "eps": 1e-8}
    group |= {"weight_decay": 0, "momentum": 0, "centered": False, "capturable": False, "maximize": False}
    save_file(arrays, path, metadata={"optimizer.param_groups": json.dumps([group])})


def test_examples_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    checkpoint("run.safetensors")
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 10
    assert jax.numpy.isfinite(names["loss"])
    assert names["params"]["Dense_0"]["kernel"].shape == (16, 5)
    assert names["interop"].read(names["opt_state"]).count == 100
    assert "Dense_0/kernel" in capsys.readouterr().out


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
    return table(("times ours", *trees), [(peer, *(found[peer, tree] for tree in trees)) for peer in peers])


GENERATED = {
    "dialects": dialects,
    "not reproduced": not_reproduced,
    "recipes": recipe_table,
    "times": times,
    "times of one pass": functools.partial(times, "one_pass"),
}


def between(mark):
    return re.compile(rf"(?<=<!-- {mark} -->\n\n).*?(?=\n\n<!-- /{mark} -->)", re.DOTALL)


@pytest.mark.parametrize("mark", GENERATED)
def test_the_tables_are_the_tables(mark):
    assert between(mark).search(README)[0] == GENERATED[mark](), "write them with: python tests/test_readme.py"


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


def test_the_numbers_of_the_text_are_those_of_the_tables():
    tested = [truth(name) for name in TABLE]
    assert f"**{len(TABLE)} dialects**" in README
    assert f"{tested.count('the framework')} of them" in README


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
    for mark, generated in GENERATED.items():
        shown = generated()
        README = README.replace(between(mark).search(README)[0], shown)
    (Path(__file__).parent.parent / "README.md").write_text(README)
