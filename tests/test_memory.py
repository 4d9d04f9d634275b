"""The pieces of ``experiments/memory.py``; ``claims/memory_and_scale.py`` asserts the results."""

import importlib.util

import pytest

from experiments import memory
from rmsprop_optax import plan


@pytest.mark.parametrize("there", [True, False])
def test_the_tpu_compiler_is_used_if_it_is_installed(there, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if there else None)
    assert isinstance(memory.tpu_compiler(), plan.Compiler if there else type(None))
