"""The notebooks: stripped in git, written for a reader, on public names alone, and right from top to bottom."""

import ast
import os
from pathlib import Path
from typing import TypeVar

import nbformat
import pytest
from nbclient import NotebookClient

import toolkit as tk

FOLDER = Path(__file__).parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
PUBLIC_ROOMS = {"toolkit.evaluation", "toolkit.gallery", "toolkit.stages", "toolkit.synthetic"}

Node = TypeVar("Node", bound=ast.AST)
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def cells(path, kind):
    return [cell.source for cell in read(path).cells if cell.cell_type == kind]


def trees(path):
    return [ast.parse(source) for source in cells(path, "code")]


def nodes(path: Path, kind: type[Node]) -> list[Node]:
    return [node for tree in trees(path) for node in ast.walk(tree) if isinstance(node, kind)]


def test_the_notebooks_are_there():
    assert {"01_quickstart", "02_stereo4d", "03_vggsfm", "04_tracksto4d", "07_your_own_data_and_exports"} <= {path.stem for path in PATHS}


@each_notebook
def test_no_outputs_are_in_git(path):
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert path.stat().st_size < 60_000


@each_notebook
def test_the_file_is_as_its_cells_are_numbered(path):
    """Editors that save a notebook change ids and order of keys; one form keeps changes readable."""
    notebook = read(path)
    assert [cell.id for cell in notebook.cells] == [f"cell-{i:02d}" for i in range(1, len(notebook.cells) + 1)]
    assert path.read_text(encoding="utf-8") == nbformat.writes(notebook) + "\n"


@each_notebook
def test_it_starts_with_one_import_line(path):
    assert cells(path, "code")[0] == "import toolkit as tk"


@each_notebook
def test_only_public_names_are_used(path):
    for node in nodes(path, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == "tk":
            assert node.attr in tk.__all__, node.attr
        assert not node.attr.startswith("_"), node.attr
    for node in nodes(path, ast.Import):
        assert all(name.name == "toolkit" or not name.name.startswith("toolkit") for name in node.names)
    for node in nodes(path, ast.ImportFrom):
        module, names = str(node.module), {name.name for name in node.names}
        if module == "toolkit":
            assert {f"toolkit.{name}" for name in names} <= PUBLIC_ROOMS
        elif module.startswith("toolkit."):
            assert module in PUBLIC_ROOMS, f"{module}: {names}"


@each_notebook
def test_it_reads_well(path):
    assert all(len(line) <= 100 for source in cells(path, "code") for line in source.splitlines())
    assert all(len(source.splitlines()) <= 26 for source in cells(path, "code"))
    assert not nodes(path, ast.FunctionDef), "a reader wants to see what is called"
    assert cells(path, "markdown")[0].startswith("# ")
    assert all(len(source) < 700 for source in cells(path, "markdown") if "|---|" not in source)


@each_notebook
def test_it_checks_its_own_numbers_and_ends_with_what_goes_wrong(path):
    assert len(nodes(path, ast.Assert)) >= 6
    sections = [line for source in cells(path, "markdown") for line in source.splitlines() if line.startswith("## ")]
    assert sections[-1] == "## What goes wrong"
    assert any(isinstance(node.type, ast.Attribute) and node.type.attr == "UserError" for node in nodes(path, ast.ExceptHandler))


@each_notebook
def test_it_runs_from_top_to_bottom_and_shows_video_depth_and_space(path, tmp_path):
    notebook = read(path)
    place = {"metadata": {"path": str(FOLDER)}}  # as Jupyter does
    own = {"LIFT4D_THREADS": "2", "TMPDIR": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}
    # An hour is no target; it ends a kernel that hangs.
    client = NotebookClient(notebook, timeout=3600, kernel_name="python3", resources=place)
    client.execute(env={**os.environ, **own})

    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    complaints = [output.text for output in outputs if output.get("name") == "stderr"]
    assert not complaints, complaints
    shown = [kind for output in outputs for kind in output.get("data", {})]
    pages = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert shown.count("image/png") >= 1
    assert any("<video" in page for page in pages)
    assert any("<iframe" in page for page in pages)
