"""The shipped examples: clips made by `toolkit.synthetic`, and what came of them; opened without computing anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.media.scene_file import load
from toolkit.scene import Kind, Scene

FOLDER = Path(__file__).parent / "examples"
RESULT_FILES = ("scene.npz", "tracks.mp4", "depth.mp4", "tracks_3d.mp4", "scene.html")
"""Those of the bundle that are shipped; any of them may be missing where a scene has nothing for it."""


@dataclass(frozen=True)
class Entry:
    """What the catalogue says of an example.

    Attributes:
        title: A few words.
        sentence: What is in it, and what to look at.
        kind: What kind of recording it is.
        clip: Name of the file.
        method: By which its result is found; "auto" for the first one that takes this kind of recording.
        settings: What a person with such a camera would know, as options of `run`.
    """

    title: str
    sentence: str
    kind: Kind
    clip: str
    method: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)


CATALOGUE: dict[str, Entry] = {
    "street": Entry(
        "A street in VR180",
        "A VR180 camera walks up a street where a car, people, a cat, balls and a balloon move: half a minute to a metric 4D scene.",
        "vr180",
        "street_vr180.mp4",
    ),
    "room": Entry(
        "A living room in stereo",
        "A calibrated pair, side by side: a cat strolls past a toy train, balls bounce and roll, a balloon sways.",
        "stereo",
        "room_stereo.mp4",
        settings={"projection": "pinhole", "fov_deg": 60.0, "baseline_m": 0.1},
    ),
    "handheld": Entry(
        "A walk with a phone",
        "One hand-held camera on the pavement: someone crosses the road in front of a coming car, and a cat comes closer.",
        "mono",
        "walk_phone.mp4",
        "tracksto4d",
    ),
    "ring": Entry(
        "A square from four sides",
        "Four synchronised, calibrated cameras around two walkers, a cat, balls and a balloon.",
        "multiview",
        "square_four_cameras.zip",
    ),
}


@dataclass(frozen=True)
class Example:
    """A shipped clip and its result.

    Attributes:
        name: By which `open_example` knows it.
        title: A few words.
        sentence: What is in it, and what to look at.
        kind: What kind of recording it is.
        clip: The recording itself: a video, or a zip of several.
        poster: A picture of it, 640 pixels wide (JPEG).
        result: Folder of the result files, with a manifest.json.
        result_title: What the result is: "found by the method stereo4d, preset normal".
        method: The method that suits the clip, or "auto".
        settings: Options to give to `run` with this clip, such as its field of view.
    """

    name: str
    title: str
    sentence: str
    kind: Kind
    clip: Path
    poster: Path
    result: Path
    result_title: str
    method: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, Path]:
        """The result files that there are, by the names of the export formats, and the manifest."""
        return {name: self.result / name for name in (*RESULT_FILES, "manifest.json") if (self.result / name).is_file()}


def examples(folder: Path = FOLDER) -> dict[str, Example]:
    """All shipped examples by name, the one to show first first.

    Args:
        folder: Where `python -m toolkit examples` has put them; the shipped ones by default.

    Returns:
        Those whose clip and result are there.
    """
    found = {name: _example(name, entry, Path(folder)) for name, entry in CATALOGUE.items()}
    return {name: example for name, example in found.items() if example is not None}


def open_example(name: str, folder: Path = FOLDER) -> Scene:
    """The result of an example as a scene, thinned to what the views of a page need; nothing is computed.

    Raises:
        UserError: there is no such example.
    """
    known = examples(folder)
    if name not in known:
        raise UserError(f"There is no example {name!r}; there are: {', '.join(known) or 'none'}.")
    return load(known[name].result / "scene.npz")


def _example(name: str, entry: Entry, folder: Path) -> Example | None:
    clip, place = folder / entry.clip, folder / name
    manifest = place / "result" / "manifest.json"
    if not (clip.is_file() and manifest.is_file()):
        return None
    told = json.loads(manifest.read_text(encoding="utf-8"))
    return Example(
        name=name,
        title=entry.title,
        sentence=entry.sentence,
        kind=entry.kind,
        clip=clip,
        poster=place / "poster.jpg",
        result=place / "result",
        result_title=f"found by the method {told['method']}, preset normal",
        method=entry.method,
        settings=entry.settings,
    )
