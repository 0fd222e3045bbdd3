"""What a finished result offers to take away: one line a file, and everything as one zip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Download:
    """One file to take away.

    Attributes:
        path: Where it lies.
        opens_with: One line on what opens it.
        size: In words, such as "1.2 MB".
    """

    path: Path
    opens_with: str
    size: str


def downloads(folder: Path, opens_with: dict[str, str]) -> tuple[list[Download], list[str]]:
    """Files of a result in the order of its formats; and the names of the folders that are in the zip only."""
    files, folders = [], []
    for name in (*opens_with, "manifest.json"):
        path = folder / name
        if path.is_dir():
            folders.append(name)
        elif path.is_file():
            files.append(
                Download(path, opens_with.get(name, "any text editor: units, axes, settings, a hash of each file"), in_words(path))
            )
    return files, folders


def in_words(path: Path) -> str:
    """The size of a file for a person."""
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"
