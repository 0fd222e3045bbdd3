"""The file that a Space starts: small, and closed to the outside."""

import ast
from pathlib import Path

APP = Path(__file__).parent.parent / "app.py"


def test_the_page_is_layout_and_little_else():
    assert len(APP.read_text().splitlines()) < 300


def test_the_page_serves_no_folder_of_the_machine_and_sends_nothing_out():
    launches = [
        node for node in ast.walk(ast.parse(APP.read_text())) if isinstance(node, ast.Call) and ast.unparse(node.func) == "page.launch"
    ]
    assert len(launches) == 1
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in launches[0].keywords}
    assert "allowed_paths" not in given
    for off in ("share", "show_error", "ssr_mode", "enable_monitoring", "run_history"):
        assert given[off] == "False", off


def test_no_sentence_of_the_page_is_written_in_its_layout():
    """Texts live in one module: strings in the layout are names, files and settings, none has three words."""
    tree = ast.parse(APP.read_text())
    build = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "build")
    docstring = ast.get_docstring(build)
    strings = [node.value for node in ast.walk(build) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert [s for s in strings if len(s.split()) > 2 and s != docstring] == []
