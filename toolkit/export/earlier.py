"""What an earlier export left in a folder: that alone may be replaced or removed; whatever else lies there is somebody's own."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.errors import UserError

MANIFEST = "manifest.json"
_MADE_ANEW = ("scene.html",)  # `view` writes it again beside the scene, which the manifest cannot know


@dataclass(frozen=True)
class Earlier:
    """The earlier export that a folder holds.

    Attributes:
        folder: The folder.
        manifest: Of that export; empty where there was none.
        files: Paths in the folder that it wrote and nobody has changed since, with "/".
    """

    folder: Path
    manifest: Mapping[str, Any] = field(default_factory=dict)
    files: frozenset[str] = frozenset()

    @property
    def formats(self) -> dict[str, Any]:
        """What the manifest tells of each format it lists."""
        return self.manifest.get("files", {})

    def of_the_same_scene(self, digest: str) -> bool:
        """Whether it was made of a scene with that digest; one that does not tell counts as the same, as nothing is removed then."""
        return bool(self.manifest) and self.manifest.get("scene", digest) == digest

    def in_the_way(self, formats: Iterable[str]) -> list[str]:
        """What lies in the places of formats and is not of the earlier export; of its own folders, whose files get names later, nothing."""
        found = []
        for name in (*formats, MANIFEST):
            place = self.folder / name
            if not os.path.lexists(place) or name in self.files:
                continue
            if place.is_dir() and not place.is_symlink():
                theirs = [part for part in sorted(place.rglob("*")) if part.is_symlink() or not part.is_dir()]
                if "." in name or (theirs and not any(part.startswith(f"{name}/") for part in self.files)):
                    found.append(theirs[0].relative_to(self.folder).as_posix() if theirs else name)
            else:
                found.append(name)
        return found

    def taken(self, files: Iterable[str]) -> list[str]:
        """Which of the files to be written have something in their place that is not of the earlier export."""
        found = []
        for name in files:
            place = self.folder / name
            above = [p for p in place.parents if p != self.folder and p.is_relative_to(self.folder) and os.path.lexists(p)]
            blocked = [p.relative_to(self.folder).as_posix() for p in above if p.is_symlink() or not p.is_dir()]
            if os.path.lexists(place) and name not in self.files:
                blocked.append(name)
            found += [name for name in blocked if name not in self.files]
        return list(dict.fromkeys(found))

    def remove(self, files: Iterable[str]) -> None:
        """Removes files of the earlier export, and the folders that are empty without them."""
        for name in files:
            path = self.folder / name
            path.unlink(missing_ok=True)
            for above in path.parents:
                if above == self.folder or any(above.iterdir()):
                    break
                above.rmdir()


def earlier_in(folder: Path) -> Earlier:
    """The earlier export in a folder, as its manifest tells it and the files still are."""
    place = folder / MANIFEST
    try:
        manifest = json.loads(place.read_text(encoding="utf-8")) if place.is_file() and not place.is_symlink() else {}
    except (ValueError, OSError):
        manifest = {}
    if not isinstance(manifest, dict) or manifest.get("made_by") != "Lift4D" or not isinstance(manifest.get("files"), dict):
        return Earlier(folder)
    written: dict[str, Any] = {}
    for name, notes in manifest["files"].items():
        told = notes.get("sha256") if isinstance(notes, dict) else None
        written |= {f"{name}/{part}": digest for part, digest in told.items()} if isinstance(told, dict) else {name: told}
    same = {name for name, digest in written.items() if _unchanged(folder, name, digest)}
    return Earlier(folder, manifest, frozenset({*same, MANIFEST}))


def refuse(names: list[str], folder: Path) -> None:
    """Says what must not be overwritten.

    Raises:
        UserError: there is something.
    """
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise UserError(
            f"{folder / names[0]}{more} lies where a result file goes, but no earlier export wrote it, or it was changed since; "
            "choose another folder."
        )


def _unchanged(folder: Path, name: str, digest: Any) -> bool:
    path = folder / name
    # A manifest names files inside its folder alone.
    if not path.is_file() or path.is_symlink() or ".." in Path(name).parts or Path(name).is_absolute():
        return False
    if any(above.is_symlink() for above in path.parents if above != folder and above.is_relative_to(folder)):
        return False
    if name in _MADE_ANEW:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest
