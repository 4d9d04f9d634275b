"""``tests/benchmarks/trainings.py``: cut short, and what it wrote in full."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from benchmarks import trainings
from flax import nnx

COMMITTED = Path(__file__).parent / "benchmarks" / "trainings.json"


N = len(trainings.CHARACTERS)


def pairs(rngs):
    """The smallest model of text: a table of which character follows which."""
    return nnx.Embed(N, N, embedding_init=nnx.initializers.zeros, rngs=rngs)


@pytest.fixture
def standard_promotion():
    """What optax's cosine schedule needs."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.usefixtures("standard_promotion")
def test_every_storage_learns_and_equal_runs_are_equal(monkeypatch):
    monkeypatch.setitem(trainings.STORAGES, "float32, nudged", {})
    train, validation = trainings.text()
    task = trainings.TASKS["gru"]._replace(
        model=pairs, data=lambda: (train, tuple(x[:32] for x in validation)), steps=60
    )
    rows = list(trainings.trained({"gru": task}, range(2), [0.99], list(trainings.STORAGES)))
    float32, again, *short = trainings.compared(rows)
    assert (again["loss"], again["accuracy"]) == (float32["loss"], float32["accuracy"])
    assert (again["difference"], again["within"]) == ((0.0, 0.0), True)
    assert [row["storage"] for row in short] == ["bfloat16", "uint8", "uint8, momentum bfloat16"]
    losses = [float32["loss"], *(row["loss"] for row in short)]
    assert len(np.unique(losses)) == 8
    np.testing.assert_allclose(losses, np.tile(losses[0], (4, 1)), rtol=0.02)
    assert np.max(losses) < np.log(N) - 0.5


def test_the_file_keeps_what_is_not_repeated(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        trainings, "train", lambda task, seeds, rate, **options: ([rate] * len(seeds), [0.5] * len(seeds))
    )
    file = tmp_path / "trainings.json"
    trainings.main(["--json", str(file)])
    rows = json.loads(file.read_text())["rows"]
    assert {row["task"] for row in rows} == set(trainings.TASKS)
    assert len(rows) == 3 * (4 + 5 + 5)

    trainings.main(["--json", str(file), "--task", "gru", "--decay", "0.9", "--storage", "uint8"])
    assert json.loads(file.read_text())["rows"] == rows
    trainings.main(["--json", str(file), "--task", "gru", "--decay", "0.9", "--storage", "uint8", "--seeds", "5", "25"])
    more = [row for row in json.loads(file.read_text())["rows"] if row not in rows]
    assert [(row["storage"], row["seeds"], len(row["loss"])) for row in more] == [
        ("float32", [5, 25], 20),
        ("uint8", [5, 25], 20),
    ]
    assert capsys.readouterr().out.endswith(file.with_suffix(".md").read_text())


def test_differences_are_between_equal_seeds():
    setting = {"task": "gru", "decay": 0.9, "seeds": [0, 3]}
    rows = [setting | {"storage": "float32", "loss": [1.0, 3.0, 2.0]}]
    rows += [
        setting | {"storage": "uint8", "loss": [1.5, 3.6, 2.7]},
        setting | {"storage": "bfloat16", "loss": [1.5, 3.5, 2.5]},
    ]
    float32, uint8, bfloat16 = trainings.compared(rows)
    assert (float32["mean"], float32["difference"]) == ((2.0, pytest.approx(3**-0.5)), (0.0, 0.0))
    assert uint8["difference"] == pytest.approx((0.6, 0.1 * 3**-0.5))
    assert bfloat16["difference"] == (0.5, 0.0)
    assert [row["within"] for row in (float32, uint8, bfloat16)] == [True, False, True]


@pytest.mark.parametrize("model", [trainings.GRU, trainings.Transformer])
def test_no_model_sees_the_character_it_predicts(model):
    x = jnp.zeros((2, trainings.CONTEXT), jnp.uint8).at[1, 40].set(1)
    one, other = jax.jit(lambda x: model(rngs=nnx.Rngs(0))(x))(x)
    changed = (one != other).any(-1)
    assert not changed[:40].any()
    assert changed[40:].all()


def test_the_committed_table_is_of_these_trainings():
    results = json.loads(COMMITTED.read_text())
    assert trainings.markdown(results) == COMMITTED.with_suffix(".md").read_text()
    expected = {
        (name, decay, momentum, rate, storage)
        for name, task in trainings.TASKS.items()
        for (decay, momentum), rate in task.rates.items()
        for storage, options in trainings.STORAGES.items()
        if momentum or "momentum_storage" not in options
    }
    rows = [tuple(row[k] for k in ("task", "decay", "momentum", "rate", "storage")) for row in results["rows"]]
    assert set(rows) == expected
