"""The methods by name: what each is for, what it takes, and the function that runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toolkit.errors import UserError
from toolkit.methods import mvtracker, st4rtrack, stereo4d, tracksto4d, vggsfm
from toolkit.progress import Listener
from toolkit.scene import Kind, Scene


@dataclass(frozen=True)
class MethodInfo:
    """What a person reads before choosing a method.

    Attributes:
        name: Name for `run(method=...)`.
        sentence: When to use it.
        inputs: Kinds of recording it takes.
        needs: What must be known or present beside the recording.
        licence: Of its code and weights.
        run: (request, listener) -> Scene.
        settings: The frozen dataclass of its settings; its fields are the options of `run`.
    """

    name: str
    sentence: str
    inputs: tuple[Kind, ...]
    needs: str
    licence: str
    run: Callable[[Any, Listener], Scene]
    settings: type


_METHODS = {
    info.name: info
    for info in (
        MethodInfo(
            name="stereo4d",
            sentence="Two eyes, metric depth: for VR180 and stereo clips, with or without a released Stereo4D annotation.",
            inputs=("vr180", "stereo"),
            needs="A baseline in metres (VR180: 0.063).",
            licence="Apache-2.0; no weights.",
            run=stereo4d.run,
            settings=stereo4d.Stereo4DSettings,
        ),
        MethodInfo(
            name="vggsfm",
            sentence="Photos of one still scene, in any order, or a video of it: for cameras, points and a COLMAP model.",
            inputs=("photos", "mono"),
            needs="Photos from different places, neighbours sharing half of the picture; or a video whose camera walks, not only turns.",
            licence="Apache-2.0, on COLMAP (BSD-3); no weights.",
            run=vggsfm.run,
            settings=vggsfm.VggsfmSettings,
        ),
        MethodInfo(
            name="tracksto4d",
            sentence="One moving camera and things that move: for its path and moving 3D points; for a still scene vggsfm is better.",
            inputs=("mono", "tracks"),
            needs="A camera that walks, not only turns, and still things around what moves; by default 200 frames at most.",
            licence="Apache-2.0; published checkpoints (CC BY-NC 4.0) only where you bring them.",
            run=tracksto4d.run,
            settings=tracksto4d.TracksTo4DSettings,
        ),
        MethodInfo(
            name="st4rtrack",
            sentence="One moving camera and things that move: world tracks and the depth of every pixel of every frame.",
            inputs=("mono",),
            needs="A camera that walks, not only turns, and still things around what moves; by default 200 frames at most.",
            licence="Apache-2.0; published checkpoints (CC BY-NC-SA 4.0) only where you bring them.",
            run=st4rtrack.run,
            settings=st4rtrack.St4rtrackSettings,
        ),
        MethodInfo(
            name="mvtracker",
            sentence="Several cameras that film together, calibrated: for 3D tracks of what moves, through all of them.",
            inputs=("multiview",),
            needs="Synchronised views that overlap, and their calibration beside them.",
            licence="Apache-2.0; no weights. A published checkpoint (Apache-2.0) only where you bring it, with depth.",
            run=mvtracker.run,
            settings=mvtracker.MvtrackerSettings,
        ),
    )
}


def methods() -> dict[str, MethodInfo]:
    """All methods by name, in the order in which "auto" tries them."""
    return dict(_METHODS)


def choose(name: str, kind: Kind) -> MethodInfo:
    """The method of that name, or for "auto" the first one that takes this kind of recording.

    Raises:
        UserError: no such method, or none that takes this kind.
    """
    if name != "auto":
        if name not in _METHODS:
            raise UserError(f"There is no method {name!r}; there are: auto, {', '.join(_METHODS)}.")
        info = _METHODS[name]
        if kind not in info.inputs:
            takes = " or ".join(info.inputs)
            raise UserError(f"The method {name} takes {takes} recordings, but this is {kind}; choose another method or clip.")
        return info
    for info in _METHODS.values():
        if kind in info.inputs:
            return info
    known = sorted({k for info in _METHODS.values() for k in info.inputs})
    raise UserError(f"No method takes a {kind} recording yet; bring one of: {', '.join(known)}.")
