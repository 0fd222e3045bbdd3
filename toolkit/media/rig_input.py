"""Several calibrated cameras in a folder or zip: which recordings there are, and which camera and which depth belongs to each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from toolkit.errors import UserError
from toolkit.media.archive import unpacked
from toolkit.media.frame_choice import Frames
from toolkit.media.mono_input import MonoInput, opened_mono
from toolkit.media.recording import find_recording
from toolkit.media.rig_camera import RigCamera, matched
from toolkit.media.rig_depth import DepthFiles, depth_beside, is_depth
from toolkit.media.rig_formats import read_rig_file
from toolkit.wording import counted

METRES = (0.05, 60.0)
"""Cameras whose centres are so far apart, at the median, can be in metres; beyond it the unit must be another one."""
CALIBRATIONS = (
    "a .toml of anipose, Pose2Sim or caliscope, nerfstudio's transforms.json, an OpenCV .yaml, a COLMAP model, DexYCB's extrinsics.yml, "
    "cameras.json or cameras.npz"
)
"""What a person may bring."""
RATES_APART = 0.02  # relative difference of frame rates beyond which frames of the same number are not of the same moment


@dataclass(frozen=True, eq=False)
class Rig:
    """Recordings with their cameras, before anything is decoded.

    Attributes:
        names: One a view.
        clips: One a view.
        cameras: One a view; none where no calibration was found, or asked for.
        calibration: Name of the file or folder the cameras come from, or "".
        unit: "metre" where the cameras' distances can be metres, else "relative".
        depths: Of each view, where depth lies beside them; none where it does not.
        frames: Which frames of the recording are used.
        warnings: Sentences for a person.
    """

    names: tuple[str, ...]
    clips: tuple[MonoInput, ...]
    cameras: tuple[RigCamera, ...]
    calibration: str
    unit: str
    depths: tuple[DepthFiles | None, ...] = ()
    frames: Frames | None = None
    warnings: tuple[str, ...] = field(default=())


@contextmanager
def opened_rig(
    path: str | os.PathLike[str],
    *,
    frames: Frames | None = None,
    calibration: str = "auto",
    needed: bool = True,
    depth: bool = True,
    depth_scale: float | None = None,
) -> Iterator[Rig]:
    """The views at a path.

    Args:
        path: A folder or .zip with one video, or one folder of pictures, a camera, and a calibration in or beside it.
        frames: Which frames are used; None for all that every view has.
        calibration: Name of the calibration file, where several lie there; "auto" for the one with most cameras, "none" for none.
        needed: Whether there must be a calibration.
        depth: Whether depth that lies beside the views is looked for.
        depth_scale: One number of it in the unit of the calibration; None for what is usual, see `depth_beside`.

    Raises:
        UserError: no views, no calibration where one is needed, fewer than two cameras of which both are there, depth that is of no view.
    """
    path = Path(path)
    asked = (path.name, frames, calibration, needed)
    if path.suffix.lower() == ".zip" and path.is_file():
        with unpacked(path) as folder:
            rig = _on_disk(folder, *asked)
            yield _with_depth(rig, folder, depth_scale) if depth else rig
    else:
        rig = _on_disk(path, *asked)
        yield _with_depth(rig, path, depth_scale) if depth else rig


def _with_depth(rig: Rig, path: Path, scale: float | None) -> Rig:
    """The rig with the depth that lies beside its views."""
    base = find_recording(path).path
    places = dict.fromkeys((base if base.is_dir() else base.parent, path if path.is_dir() else path.parent))
    found = next((found for place in places if any(found := depth_beside(place, rig.names, scale))), [])
    if not found:
        return rig
    without = [name for name, depth in zip(rig.names, found, strict=True) if depth is None]
    told = () if not without else (f"There is depth of some views, but none of {' and '.join(without)}.",)
    return replace(rig, depths=tuple(found), warnings=(*rig.warnings, *told))


def _on_disk(path: Path, name: str, frames: Frames | None, calibration: str, needed: bool) -> Rig:
    recording = find_recording(path)
    if recording.form == "videos":
        places, stems = list(recording.files), [f.stem for f in recording.files]
    elif recording.form in ("image folders", "image pair", "video pair"):
        places = list(recording.folders if "image" in recording.form else recording.files)
        stems = [p.stem if p.is_file() else p.name for p in places]
    else:
        raise UserError(f"{name} holds one recording alone, but several cameras need one video or folder of pictures each.")
    views = [i for i, stem in enumerate(stems) if places[i].is_file() or not is_depth(stem)]
    places, stems = [places[i] for i in views], [stems[i] for i in views]
    base = recording.path if recording.path.is_dir() else recording.path.parent
    found = None if calibration == "none" and not needed else _calibration(base, path, stems, calibration, name, needed)
    if found is None:
        clips = [_opened(place, frames) for place in places]
        return Rig(tuple(stems), tuple(clips), (), "", "relative", (), frames, tuple(_told_of_times(clips, stems)))
    cameras, told, pairs, others, spoilt = found
    warnings = [f"{file} beside the views can't be read and is left out; the cameras are those of {told}." for file in spoilt]
    if others:
        warnings.append(f"There are several calibrations; {told} is used, not {', '.join(others)} (calibration=... for another).")
    if len(pairs) < 2:
        known = ", ".join(c.names[0] for c in cameras)
        raise UserError(
            f"{told} describes the cameras {known}, the recordings are {', '.join(stems)}: "
            f"{counted(len(pairs), 'name')} fit, but two are needed; give each recording the name of its camera."
        )
    left_out = [stems[r] for r in range(len(stems)) if r not in {p[0] for p in pairs}]
    if left_out:
        warnings.append(f"No camera of {told} is called {' or '.join(left_out)}: left out.")
    missing = [camera.names[0] for c, camera in enumerate(cameras) if c not in {p[1] for p in pairs}]
    if 0 < len(missing) < len(pairs):  # more of them are a rig of which some views were chosen
        warnings.append(f"There is no recording of {' and '.join(missing)} of {told}: the other views are used alone.")
    clips = [_opened(places[r], frames) for r, _ in pairs]
    chosen = tuple(cameras[c] for _, c in pairs)
    warnings += _told_of_times(clips, [stems[r] for r, _ in pairs])
    spread = _spread(chosen)
    unit = "metre" if METRES[0] <= spread <= METRES[1] else "relative"
    if unit == "relative":
        guess = " (millimetres?)" if 2 * METRES[1] < spread < 1000 * METRES[1] else ""
        warnings.append(f"The cameras are {spread:.4g} units apart, which can't be metres{guess}; results are in the calibration's unit.")
    return Rig(tuple(stems[r] for r, _ in pairs), tuple(clips), chosen, told, unit, (), frames, tuple(warnings))


def _opened(place: Path, frames: Frames | None) -> MonoInput:
    with opened_mono(place, frames) as clip:
        return clip


def _calibration(
    base: Path, asked: Path, stems: list[str], wanted: str, name: str, needed: bool
) -> tuple[list[RigCamera], str, list[tuple[int, int]], list[str], list[str]] | None:
    """The cameras, their file, which recording is which, other calibrations that would fit as well, and files that can't be read."""
    own = dict.fromkeys((base, asked if asked.is_dir() else base))
    places: dict[Path, bool] = {}  # and whether it lies with the recording rather than around it
    for folder in dict.fromkeys((*own, base.parent)):
        inside = [*sorted(p for p in folder.iterdir() if p.is_file()), *sorted(p for p in folder.glob("calib*/*") if p.is_file())]
        for place in (folder, *inside):
            places.setdefault(place, folder in own)
    found: list[tuple[int, list[RigCamera], str]] = []
    spoilt: list[tuple[str, UserError]] = []
    for place, near in places.items():
        if wanted != "auto" and wanted not in (place.name, str(place)):
            continue
        try:
            cameras = read_rig_file(place)
        except UserError as problem:  # something else may lie there, where another file tells the cameras
            if near or wanted != "auto":
                spoilt.append((place.name, problem))
            continue
        if cameras and len(cameras) > 1:
            found.append((len(matched(cameras, stems)), cameras, place.name))
    if spoilt and max((count for count, _, _ in found), default=0) < 2:  # noqa: PLR2004 (nothing else tells the cameras of two views)
        raise spoilt[0][1]
    if not found:
        if wanted != "auto":
            raise UserError(f"There is no calibration of several cameras called {wanted} in {name}.")
        if not needed:
            return None
        raise UserError(f"No calibration of several cameras lies in {name}; bring one beside the videos: {CALIBRATIONS}.")
    most = max(count for count, _, _ in found)
    best = [entry for entry in found if entry[0] == most]
    _, cameras, told = best[0]
    return cameras, told, matched(cameras, stems), [entry[2] for entry in best[1:]], [name for name, _ in spoilt]


def _told_of_times(clips: list[MonoInput], names: list[str]) -> list[str]:
    warnings = []
    counts = [len(c) for c in clips]
    if len(set(counts)) > 1:
        listed = ", ".join(f"{n} {c}" for n, c in zip(names, counts, strict=True))
        warnings.append(f"The views have different numbers of frames ({listed}); the first {min(counts)} of each are used.")
    rates = [1 / float(np.median(np.diff(c.times_s))) if len(c) > 1 else np.nan for c in clips]
    if np.nanmax(rates) > (1 + RATES_APART) * np.nanmin(rates):
        listed = ", ".join(f"{n} {r:.2f}" for n, r in zip(names, rates, strict=True))
        warnings.append(
            f"The views have different frame rates ({listed} per second): frames of one number are not of one moment; "
            "convert the clips to one rate first."
        )
    return warnings


def _spread(cameras: tuple[RigCamera, ...]) -> float:
    centres = np.array([c.T_wc.reshape(-1, 4, 4)[0, :3, 3] for c in cameras])
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    return float(np.nanmedian(apart[np.triu_indices(len(centres), 1)]))
