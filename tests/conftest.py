"""Eight CPU devices, strict dtype promotion; warnings are errors through pyproject.toml."""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest

collect_ignore = ["golden"]  # recorders, each for its framework
jax.config.update("jax_numpy_dtype_promotion", "strict")


_made = {}


@pytest.fixture
def made_once(monkeypatch):
    """Give every ``train`` of this process with the same arguments the same optimizer: it is compiled once."""
    from rmsprop_optax.cli import train

    choose = train.choose

    def chosen(*args):
        found = choose(*args).items()
        return {n: c._replace(tx=_made.setdefault((n, repr(c.arguments)), c.tx)) for n, c in found}

    monkeypatch.setattr(train, "choose", chosen)


@pytest.fixture
def small(made_once, tmp_path_factory):
    """Options of ``train`` for a small network and few examples."""
    from flowers import flowers

    path = tmp_path_factory.mktemp("small") / "flowers.csv"
    flowers(path)
    return ["--data", str(path), "--batch-size", "16"]


@pytest.fixture
def undrawn(monkeypatch):
    """Write empty files instead of pictures, each of which takes most of a second."""
    from pathlib import Path

    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: Path(path).touch())


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run what takes long, too")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long, and runs only with --slow")


# Their tests take longest: with these first, two workers share short ones at the end.
FIRST = ("test_checkpoints.py", "test_demo.py", "test_cli.py")


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: item.path.name not in FIRST)
    if not config.getoption("--slow"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
