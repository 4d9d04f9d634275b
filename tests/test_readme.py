"""The README says what is: its examples run, its table is the table."""

import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from rmsprop_optax import scale_by_rms
from rmsprop_optax.dialects import TABLE

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_examples_run_one_after_the_other():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 2
    assert float(names["params"]["w"][0]) < 1
    assert jax.numpy.isfinite(names["loss"])


def defaults(constructor):
    """The numbers that somebody gets who passes none; a 0 is an option that is off."""
    parameters = inspect.signature(constructor).parameters.values()
    numbers = [p for p in parameters if type(p.default) in (int, float) and p.default]
    return ", ".join(f"{p.name}={p.default:g}" for p in numbers)


def markdown():
    """The dialects as the README shows them."""
    header = (
        "| `dialects.` | divides by | nu starts from | learning rate and momentum | weight decay | defaults | source |"
    )
    places = {"before": "rate, then buffer", "after": "buffer, then rate"}
    rows = [
        f"| `{name}` | {d.denominator} | {d.start} | {places.get(d.momentum, d.momentum)} | {d.decay} "
        f"| {defaults(d.constructor)} | {d.source}, {d.version} |"
        for name, d in TABLE.items()
    ]
    return "\n".join([header, "|---" * 7 + "|", *rows])


def test_the_table_of_dialects_is_the_table():
    shown = re.search(r"<!-- dialects -->\n(.*?)\n?<!-- /dialects -->", README, re.DOTALL)[1]
    assert shown == markdown(), f"put this between the marks:\n{markdown()}"


def test_the_steps_that_the_text_quotes():
    def first_update(**options):
        tx = scale_by_rms(**options)
        g = jnp.array(1e-3)
        return float(tx.update(g, tx.init(g))[0])

    # decay 0 makes the mean square 1e-6 at once
    beside, under = first_update(decay=0.0, eps=1e-3, eps_root=0.0), first_update(decay=0.0, eps_root=1e-3)
    assert round(beside / under) == 16
    assert [round(first_update(decay=decay, eps_root=0.0)) for decay in (0.9, 0.99)] == [3, 10]
    assert first_update(initial_value=1.0, eps_root=0.0, decay=0.99) == pytest.approx(1e-3, rel=0.01)
