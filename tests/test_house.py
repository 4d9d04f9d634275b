"""The layout: imports go down only, modules load on first use, and the wheel holds what users import."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

import rmsprop_optax

PACKAGE = Path(rmsprop_optax.__file__).parent
# From the bottom up; a module imports from its own group and from those before.
LAYERS = (
    ("_types", "_columns", "_docs"),
    ("_numbers",),
    ("_arguments", "_checks", "_complex"),
    ("_paths", "_tree", "_formats", "_nnx"),
    ("_scale", "_momentum", "_nesterov", "_decay", "_gains", "_rmsprop"),
    ("storage", "bfloat16", "experimental", "links", "sharding", "_batch_size", "scaling"),
    ("dialects",),
    ("recipes", "measure", "_probe", "_sharpness", "differences", "plots"),
    ("interop", "plan", "_create"),
    ("rmsprop_optax",),
    ("demo",),
    ("cli", "__main__"),
)
# What may know less than its layer would allow.
KNOWS_NO = {
    "plots": ("jax", "optax", "dialects", "measure"),
    "measure": ("dialects", "recipes"),
    "sharding": ("dialects", "_scale"),
    "_scale": ("_momentum", "_decay", "_rmsprop"),
}
EXTRAS = ("flax", "matplotlib", "orbax", "sklearn", "tqdm", "h5py", "safetensors", "torch", "bitsandbytes")
EXTRAS += ("keras", "tf_keras", "tensorflow")


def modules():
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        yield file, ".".join(p for p in parts if p != "__init__")


def imports(file):
    """The modules that a file imports, the packages of others by their first name."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: absolute imports only"
            if node.module == "rmsprop_optax":
                yield from (f"rmsprop_optax.{alias.name}" for alias in node.names)
            else:
                yield node.module


def group(module):
    """The file or folder directly in the package that a module is in; the package itself is one, too."""
    name = module.removeprefix("rmsprop_optax").removeprefix(".").partition(".")[0]
    there = (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()
    return name if name and there else "rmsprop_optax"


@functools.cache
def known():
    """Group → the groups and foreign packages that it imports."""
    found = {}
    for file, module in modules():
        its = found.setdefault(group(module), set())
        for name in imports(file):
            its.add(group(name) if name.partition(".")[0] == "rmsprop_optax" else name.partition(".")[0])
    return found


def test_every_module_has_its_layer():
    assert {group(module) for _, module in modules()} == {name for layer in LAYERS for name in layer}


# Not the package itself, which names, for type checkers, the modules that load on first use.
@pytest.mark.parametrize("name", [name for layer in LAYERS for name in layer if name != "rmsprop_optax"])
def test_no_import_goes_up(name):
    layer = next(i for i, names in enumerate(LAYERS) if name in names)
    below = {other for names in LAYERS[: layer + 1] for other in names}
    ours = {other for names in LAYERS for other in names}
    assert known()[name] & ours <= below
    assert not known()[name] & set(KNOWS_NO.get(name, ()))


def test_no_circle_inside_a_layer():
    graph = known()
    for names in LAYERS:
        for name in names:
            seen, ahead = set(), {other for other in graph[name] & set(names) if other != name}
            while ahead:
                seen |= ahead
                ahead = {other for n in ahead for other in graph[n] & set(names) if other != n} - seen
            assert name not in seen


def test_no_file_is_long():
    lengths = {str(file.relative_to(PACKAGE)): len(file.read_text().splitlines()) for file, _ in modules()}
    assert {file: n for file, n in lengths.items() if n > 400} == {}


def test_modules_load_on_first_use_and_are_listed():
    program = f"""
import sys
import jax.numpy as jnp
import rmsprop_optax
assert not {{name for name in {EXTRAS} if name in sys.modules}}, "an extra is loaded"
lazy = [name for name in dir(rmsprop_optax) if f"rmsprop_optax.{{name}}" not in sys.modules]
assert {{"measure", "interop", "plan", "plots"}} <= {{*dir(rmsprop_optax)}}
assert "rmsprop_optax.measure" not in sys.modules
rmsprop_optax.measure.measured, rmsprop_optax.interop.transfer, rmsprop_optax.scaling.rescaled
rmsprop_optax.sharding.state_shardings, rmsprop_optax.plan.step, rmsprop_optax.experimental.one_pass
import {", ".join(f"rmsprop_optax.{name}" for _, name in modules() if name.startswith("interop."))}
state = rmsprop_optax.rmsprop(0.1).init({{"w": jnp.ones(2)}})
rmsprop_optax.interop.transfer(state, state)
assert not {{name for name in {EXTRAS} if name in sys.modules}}, "an extra is loaded before it is needed"
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=PACKAGE.parent)


def test_public_names_are_meant():
    assert rmsprop_optax.__all__ == sorted(rmsprop_optax.__all__)
    for name in rmsprop_optax.__all__:
        module = getattr(rmsprop_optax, name)
        foreign = ("jax", "np", "numpy", "jnp", "math", "NamedTuple", "Any", "Callable", "functools")
        if isinstance(module, type(sys)):
            public = getattr(module, "__all__", None) or []
            assert not set(foreign) & set(public), name
            assert all(hasattr(module, exported) for exported in public), name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        rmsprop_optax.nothing  # noqa: B018


def test_a_star_import_of_the_dialects_replaces_nobody():
    names = {"optax": 1, "keras": 2}
    exec("from rmsprop_optax.dialects import *", names)
    assert (names["optax"], names["keras"]) == (1, 2)
    assert "pytorch" in names["TABLE"]
