"""A bundle as one zip: the files that its manifest tells of, the same bytes for the same bundle."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

from toolkit.errors import UserError
from toolkit.media.writing import replacing

_DATE = (1980, 1, 1, 0, 0, 0)
_SHRINKS = {".csv", ".txt", ".json", ".tum", ".ply", ".glb", ".bin", ".html"}
"""What is worth compressing; pictures, videos and .npz are compressed already."""


def zip_bundle(folder: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Packs an exported folder into one zip.

    Only what the manifest names goes in, under its name in the bundle: nothing that lies beside it, no time, no owner, no path.

    Args:
        folder: That `export` wrote to.
        path: Of the zip; it appears only when it is complete.

    Returns:
        The path written.

    Raises:
        UserError: the folder holds no manifest or lacks a file that it names, or the zip can't be written.
    """
    source, target = Path(folder), Path(path)
    names = _named(source)
    with replacing(target) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED if Path(name).suffix in _SHRINKS else zipfile.ZIP_STORED
            entry._compresslevel = 1  # type: ignore[attr-defined]  (level 6 takes four times as long for a tenth)
            with (source / name).open("rb") as file, archive.open(entry, "w", force_zip64=(source / name).stat().st_size > 2**31) as packed:
                shutil.copyfileobj(file, packed, 1 << 20)
    return target


def _named(folder: Path) -> list[str]:
    """Names of the manifest and of the files it tells of, manifest first."""
    try:
        files = json.loads((folder / "manifest.json").read_text())["files"]
        hashes = {name: notes["sha256"] for name, notes in files.items()}
    except FileNotFoundError as problem:
        raise UserError(f"{folder} holds no manifest.json, so it is no bundle; export to it first.") from problem
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise UserError(f"The manifest of {folder} can't be read; export again.") from problem
    names = [part for name, told in hashes.items() for part in ([name] if isinstance(told, str) else [f"{name}/{p}" for p in told])]
    for name in names:
        if not (folder / name).resolve().is_relative_to(folder.resolve()) or not (folder / name).is_file():
            raise UserError(f"{folder} lacks {name}, which its manifest names; export again.")
    return ["manifest.json", *names]
