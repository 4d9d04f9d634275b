"""Every notebook runs from a fresh kernel in under a minute, and is stored with the outputs of such a run.

``claims/`` has a module for each notebook: ``NUMBERS`` names variables of the notebook, and each function ``claim_…``
gets their values after the run and asserts a statement of the text.
"""

import importlib
import json
import os
import pickle
import re
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

import rmsprop_optax

pytest.register_assert_rewrite("claims")
NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SECONDS = 60

# Kernels run without the settings of conftest.py: a reader has one device, and sees the figures.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("XLA_FLAGS", "MPLBACKEND")}
PACKAGE = str(Path(rmsprop_optax.__file__).parents[1])
ENVIRONMENT["PYTHONPATH"] = os.pathsep.join(filter(None, (PACKAGE, os.environ.get("PYTHONPATH"))))

# Home folders, temporary folders, installed packages, and drives of Windows.
PATHS = re.compile(r"/(home|root|Users|tmp|work|mnt|opt|usr|var|private|content)/\w|site-packages|[A-Z]:\\\\")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_a_fresh_kernel_in_under_a_minute(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    # No folder of kernels, so that "python3" is the interpreter that runs this test.
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    folder = shutil.copytree(path.parent, tmp_path / "notebooks")
    client = NotebookClient(notebook, km=kernel, timeout=5 * SECONDS, resources={"metadata": {"path": str(folder)}})
    claims = importlib.import_module(f"claims.{path.stem.partition('_')[2]}")
    handed_over = ", ".join(f"{name!r}: {name}" for name in claims.NUMBERS)
    both = f"(sum(os.times()[:4]), {{{handed_over}}})"  # seconds of the kernel and its child processes
    source = f"import os, pickle\nwith open('numbers', 'wb') as file:\n    pickle.dump({both}, file)"
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    start = time.monotonic()
    client.execute(env=ENVIRONMENT, cleanup_kc=True)
    seconds = time.monotonic() - start
    busy, numbers = pickle.loads((folder / "numbers").read_bytes())
    assert min(seconds, busy) < SECONDS  # on a busy machine the first is too long
    assert figures(notebook)[:-1] == figures(nbformat.read(path, as_version=4))
    said = [claim for name, claim in vars(claims).items() if name.startswith("claim_")]
    assert said
    for claim in said:
        claim(SimpleNamespace(**numbers))


def figures(notebook):
    """Return the number of pictures of each code cell."""
    return [sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in code_cells(notebook)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_kept_with_the_outputs_of_one_run(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert not [output.text for output in outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_says_nothing_of_the_machine(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        assert "execution" not in cell.metadata  # when each cell ran
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)
    assert not PATHS.search(json.dumps(notebook))
