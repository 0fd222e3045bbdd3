"""One spoilt recording: which file of which sound one, in which way; the same number of the same seed is the same case."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.media.suffixes import CALIBRATIONS
from toolkit.soak.mutations import mutations

_AGAIN = 0.25
"""Of the cases are spoilt a second time."""


@dataclass(frozen=True)
class Case:
    """A spoilt recording on disk.

    Attributes:
        number: Which one.
        path: The recording.
        made_of: The sound one.
        how: What was done to it.
    """

    number: int
    path: Path
    made_of: str
    how: str


def write_case(sound: Sequence[Path], number: int, seed: int, folder: Path) -> Case:
    """Writes one spoilt recording into an empty folder.

    Args:
        sound: Recordings to choose from.
        number: Which case.
        seed: Of all cases.
        folder: Where to; it is made.
    """
    rng = np.random.default_rng([seed, number])
    chosen = sound[int(rng.integers(len(sound)))]
    folder.mkdir(parents=True)
    path = folder / chosen.name
    if chosen.is_dir():
        shutil.copytree(chosen, path)
        inside = sorted(p for p in path.rglob("*") if p.is_file())
        texts = [p for p in inside if p.suffix in CALIBRATIONS]
        spoilt = (
            (texts or inside)[int(rng.integers(len(texts or inside)))] if rng.random() < 0.8 else inside[int(rng.integers(len(inside)))]
        )
    else:
        spoilt = Path(shutil.copyfile(chosen, path))
    data, how = spoilt.read_bytes(), []
    for _ in range(2 if rng.random() < _AGAIN else 1):
        ways = mutations(spoilt.suffix.lower())
        way = ways[int(rng.integers(len(ways)))]
        data = way(data, rng)
        how.append(way.__name__)
    spoilt.write_bytes(data)
    return Case(number, path, chosen.name if spoilt == path else f"{chosen.name}/{spoilt.relative_to(path)}", " + ".join(how))
