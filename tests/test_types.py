"""Public annotations help: a type checker accepts what runs and finds what a person gets wrong."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

RIGHT = """
rmsprop(0.1)
rmsprop(optax.constant_schedule(0.1), 0.9, 1e-8, 0.0, True, False, 0.9, True)
rmsprop(jnp.float32(0.1), decay=np.float32(0.9), momentum=0.9, storage="uint8", momentum_storage="bfloat16")
optax.partition({"short": rmsprop(0.1, storage="uint8"), "full": rmsprop(0.1)}, {"w": "short", "b": "full"})
rmsprop(0.1, weight_decay=0.1, weight_decay_mask={"w": True, "b": False})
rmsprop(0.1, weight_decay=lambda count: 0.1, weight_decay_mask=lambda params: params)
scale_by_rms(0.9, centered=True, floor=1e-3, storage="uint8")
with_storage(dialects.pytorch(lr=0.1, weight_decay=1e-4), "bfloat16")
optax.chain(optax.clip(1.0), dialects.keras(optax.constant_schedule(0.1), rho=0.9, clipnorm=1))
optax.inject_hyperparams(rmsprop)(learning_rate=0.1)
create("pytorch", learning_rate=0.1).init({"w": jnp.ones(3)})
"""
# A line with a mistake → what the error speaks of.
WRONG = {
    'rmsprop("0.1")': "arg-type",
    "rmsprop(0.1, decay=[1])": "arg-type",
    'rmsprop(0.1, storage="uint9")': "arg-type",
    "rmsprop(0.1, momentun=0.9)": "call-arg",
    "rmsprop(0.1, weight_decay_mask=True)": "arg-type",
    'scale_by_rms(0.9, centered="yes")': "arg-type",
    "dialects.pytorch(learning_rate=0.1)": "call-arg",
    'dialects.keras(clipnorm="1")': "arg-type",
    'with_storage(rmsprop(0.1), "int4")': "arg-type",
    "nesterov_eval_params(rmsprop(0.1))": "call-arg",
}
IMPORTS = """
import jax.numpy as jnp
import numpy as np
import optax
from rmsprop_optax import (
    create, dialects, nesterov_eval_params, rmsprop, scale_by_rms, storage, with_storage
)
"""


def errors(code: str, folder: Path, cache: Path) -> dict[int, str]:
    """Line → the code of mypy's error there, as strict as it can be."""
    pytest.importorskip("mypy")
    file = folder / "user.py"
    file.write_text(code)
    options = ["--strict", "--config-file=", "--no-error-summary", f"--cache-dir={cache}"]
    # optax and jax leave some of theirs without annotations.
    options += ["--allow-untyped-calls", "--disable-error-code=import-untyped"]
    # In a process of its own: three million objects would stay in this one.
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(file)], capture_output=True, text=True, check=False
    )
    assert not run.stderr
    found = re.findall(r"user\.py:(\d+): error: .*?\[([a-z-]+)\]$", run.stdout, re.M)
    return {int(line): error for line, error in found}


def test_a_type_checker_accepts_right_lines_and_finds_mistakes(tmp_path, pytestconfig):
    before = (IMPORTS + RIGHT).count("\n") + 1
    cache = pytestconfig.cache.mkdir("mypy")  # of jax and optax, which take most of the time
    found = errors(IMPORTS + RIGHT + "\n".join(WRONG), tmp_path, cache)
    assert found == dict(enumerate(WRONG.values(), before))


@pytest.mark.parametrize("line", RIGHT.split("\n")[1:-1])
def test_right_lines_run(line):
    namespace: dict[str, object] = {}
    exec(IMPORTS, namespace)
    eval(line, namespace)


@pytest.mark.parametrize("line", WRONG)
def test_mistakes_raise(line):
    namespace: dict[str, object] = {}
    exec(IMPORTS, namespace)
    with pytest.raises((TypeError, ValueError)):
        eval(line, namespace)
