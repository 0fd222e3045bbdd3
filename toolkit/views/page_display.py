"""Shows a scene where it is asked for: inside a notebook, or as a page on disk."""

from __future__ import annotations

import html
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.scene import Scene
from toolkit.views.page import page_html, write_page


def view(scene: Scene, *, path: str | os.PathLike[str] | None = None) -> Any:
    """The interactive 4D page of a scene: time bar, trails, cloud, camera path and frustum; it asks no host for anything.

    Args:
        scene: The result of any method.
        path: Where the page is written; outside a notebook it is needed only to choose the place (a new temporary folder else).

    Returns:
        In a notebook a display of the page; elsewhere the path of `scene.html`, for any browser.

    Raises:
        UserError: the scene has nothing to show in three dimensions, or the file can't be written.
    """
    if not isinstance(scene, Scene):
        raise UserError(f"A Scene is shown, but this is {type(scene).__name__}; load reads a saved one.")
    notebook = in_notebook()
    if path is not None:
        path = write_page(scene, path)
    elif not notebook:
        path = write_page(scene, Path(tempfile.mkdtemp(prefix="lift4d-")) / "scene.html")
    if not notebook:
        return path
    from IPython.display import HTML

    text = page_html(scene) if path is None else Path(path).read_text(encoding="utf-8")
    return HTML(page_frame(text))


def page_frame(page: str, *, height: str = "640px") -> str:
    """An iframe that holds a whole page by itself, cut off from whatever surrounds it: scripts run, nothing else is allowed.

    Args:
        page: Text of `page_html`.
        height: As CSS writes it.
    """
    style = f"width:100%;height:{height};border:0;border-radius:12px;background:#0b0d12"
    inside = html.escape(page, quote=True)
    return f'<div><iframe title="4D scene" sandbox="allow-scripts" style="{style}" srcdoc="{inside}"></iframe></div>'


def in_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and getattr(shell, "kernel", None) is not None
