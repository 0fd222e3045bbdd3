"""Features and matches kept on disk by what they were made of, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import UserError
from toolkit.stage_cache import kept_or_made

_FORMAT = "1"  # raised whenever what is stored means something else


class Store:
    """A folder of small .npz files named by a hash; without a folder, nothing is kept but what a batch keeps of its stages.

    Args:
        folder: Made if needed; None to keep nothing.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        """Makes the folder.

        Raises:
            UserError: it can't be made.
        """
        self._folder = None if folder is None else Path(folder)
        self.reused = 0
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as problem:
                raise UserError(f"The cache {folder} can't be made into a folder: {problem.strerror}.") from problem

    def get(self, kind: str, made_of: tuple[Any, ...], make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """What was stored for this kind and these inputs, or what `make` gives, which is stored.

        Args:
            kind: Start of the file's name.
            made_of: Whatever decides the result; its `repr` is hashed.
            make: Called where nothing is stored.
        """
        if self._folder is None:
            return kept_or_made(kind, {"made_of": repr((_FORMAT, kind, made_of))}, make)
        path = self._folder / f"{kind}-{hashlib.sha256(repr((_FORMAT, kind, made_of)).encode()).hexdigest()[:32]}.npz"
        if path.is_file():
            try:
                with np.load(path, allow_pickle=False) as file:
                    arrays = {name: file[name] for name in file.files}
                self.reused += 1
                return arrays
            except (OSError, ValueError, EOFError, KeyError):
                path.unlink()  # half a file, from a full disk; it is made again
        arrays = make()
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        partial.replace(path)
        return arrays
