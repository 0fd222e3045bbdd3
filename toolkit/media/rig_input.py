"""Frames of several calibrated cameras from a folder or zip: which recording belongs to which camera, and pictures without distortion."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from toolkit.errors import UserError
from toolkit.geometry.poses import invert
from toolkit.geometry.projections import Fisheye, Pinhole
from toolkit.geometry.resampling import Resampler
from toolkit.geometry.sampling import pixel_centres
from toolkit.media.archive import unpacked
from toolkit.media.frame_choice import Frames
from toolkit.media.mono_input import MonoInput, opened_mono
from toolkit.media.recording import find_recording
from toolkit.media.rig_camera import RigCamera, matched
from toolkit.media.rig_formats import read_rig_file
from toolkit.progress import Report, silent
from toolkit.scene import Cameras, MultiViewVideo, Video
from toolkit.wording import counted

METRES = (0.05, 60.0)
"""Cameras whose centres are so far apart, at the median, can be in metres; beyond it the unit must be another one."""
GROWTH = 0.15  # of a side, by which a picture without distortion may show more than its frame did
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
        warnings: Sentences for a person.
    """

    names: tuple[str, ...]
    clips: tuple[MonoInput, ...]
    cameras: tuple[RigCamera, ...]
    calibration: str
    unit: str
    warnings: tuple[str, ...] = field(default=())


@contextmanager
def opened_rig(
    path: str | os.PathLike[str], *, frames: Frames | None = None, calibration: str = "auto", needed: bool = True
) -> Iterator[Rig]:
    """The views at a path.

    Args:
        path: A folder or .zip with one video, or one folder of pictures, a camera, and a calibration in or beside it.
        frames: Which frames are used; None for all that every view has.
        calibration: Name of the calibration file, where several lie there; "auto" for the one with most cameras, "none" for none.
        needed: Whether there must be a calibration.

    Raises:
        UserError: no views, no calibration where one is needed, fewer than two cameras of which both are there.
    """
    path = Path(path)
    if path.suffix.lower() == ".zip" and path.is_file():
        with unpacked(path) as folder:
            yield _on_disk(folder, path.name, frames, calibration, needed)
    else:
        yield _on_disk(path, path.name, frames, calibration, needed)


def read_rig(
    rig: Rig, *, max_side: int | None = None, most: int | None = None, starts: Sequence[int] | None = None, report: Report = silent
) -> MultiViewVideo:
    """All frames of a rig, each picture as a pinhole without distortion would show it, with the same detail.

    Args:
        rig: From `opened_rig`.
        max_side: Pictures with a longer side are reduced to it.
        most: Frames that are read at most.
        starts: With which frame each view begins, where they were not started at one moment; None for the first.
        report: Told of every frame of every view.

    Returns:
        The views, with cameras in the world of the calibration and its unit.
    """
    begin = [0] * len(rig.clips) if starts is None else list(starts)
    count = min(len(clip) - first for clip, first in zip(rig.clips, begin, strict=True))
    count = count if most is None else min(count, most)
    total, done = count * len(rig.clips), 0
    videos, cameras = [], []
    for clip, camera, first in zip(rig.clips, rig.cameras, begin, strict=True):
        lens = camera.lens(clip.size)
        K, size = pinhole_for(lens, max_side)
        grid = pixel_centres(size)
        rays = np.concatenate([(grid - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones((*grid.shape[:2], 1))], -1)
        resample = Resampler(lens.pixels(rays), clip.size)
        plain = size == clip.size and not any(camera.distortion)
        pictures = np.zeros((count, size[1], size[0], 3), np.uint8)
        read = 0
        for t, frame in zip(range(count), islice(clip.frames(), first, None), strict=False):
            pictures[t] = frame if plain else resample(frame)
            read, done = t + 1, done + 1
            report(done, total)
        if read < count:
            raise UserError(f"{clip.name} promises {count} frames, but only {read} could be read; is it cut off?")
        moves = camera.T_wc.ndim == 3
        if moves and len(camera.T_wc) < first + count:
            raise UserError(f"The calibration holds {len(camera.T_wc)} poses of camera {camera.names[0]}, but there are {count} frames.")
        T_wc = camera.T_wc[first : first + count] if moves else np.broadcast_to(camera.T_wc, (count, 4, 4))
        videos.append(Video(pictures, rig.clips[0].times_s[:count]))
        cameras.append(Cameras.from_poses(K, T_wc, size))
    return MultiViewVideo(tuple(videos), tuple(cameras))


def pinhole_for(lens: Pinhole | Fisheye, max_side: int | None = None) -> tuple[np.ndarray, tuple[int, int]]:
    """K and (width, height) of a pinhole picture that shows what a lens saw, up to a margin where distortion bends it far out."""
    width, height = lens.size
    edge = np.linspace(0, 1, 64)
    across, down = edge * width, edge * height
    rim = np.concatenate(
        [
            np.column_stack([across, 0 * across]),
            np.column_stack([across, 0 * across + height]),
            np.column_stack([0 * down, down]),
            np.column_stack([0 * down + width, down]),
        ]
    )
    if isinstance(lens, Pinhole) and not lens.distortion:
        low, high = np.zeros(2), np.array([width, height], np.float64)
    else:
        rays = lens.rays(np.clip(rim, 1e-6, np.array([width, height]) - 1e-6))
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = np.where(rays[:, 2:] > 0.1, rays[:, :2] / rays[:, 2:], np.nan) * lens.K[[0, 1], [0, 1]] + lens.K[:2, 2]
        size = np.array([width, height])
        outward = np.where(rim < 0.5 * size, -np.inf, np.inf)  # past the fold of the lens model: as far out as is allowed
        outward = np.where((rim > 0.02 * size) & (rim < 0.98 * size), np.nan, outward)
        seen = np.where(np.isnan(seen), outward, seen)
        low = np.maximum(np.nanmin(seen, 0), -GROWTH * size)
        high = np.minimum(np.nanmax(seen, 0), (1 + GROWTH) * size)
        low, high = np.floor(low), np.ceil(high)
    shape = high - low
    scale = 1.0 if max_side is None else min(1.0, max_side / shape.max())
    size = tuple(max(4, round(float(n) * scale)) for n in shape)
    K = lens.K.copy()
    K[:2, 2] -= low
    K = np.diag([size[0] / shape[0], size[1] / shape[1], 1.0]) @ K
    K[0, 1] = 0.0
    return K, size  # type: ignore[return-value]


def _on_disk(path: Path, name: str, frames: Frames | None, calibration: str, needed: bool) -> Rig:
    recording = find_recording(path)
    if recording.form == "videos":
        places, stems = list(recording.files), [f.stem for f in recording.files]
    elif recording.form in ("image folders", "image pair", "video pair"):
        places = list(recording.folders if "image" in recording.form else recording.files)
        stems = [p.stem if p.is_file() else p.name for p in places]
    else:
        raise UserError(f"{name} holds one recording alone, but several cameras need one video or folder of pictures each.")
    base = recording.path if recording.path.is_dir() else recording.path.parent
    found = None if calibration == "none" and not needed else _calibration(base, path, stems, calibration, name, needed)
    if found is None:
        clips = [_opened(place, frames) for place in places]
        return Rig(tuple(stems), tuple(clips), (), "", "relative", tuple(_told_of_times(clips, stems)))
    cameras, told, pairs, others = found
    warnings = []
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
    clips = [_opened(places[r], frames) for r, _ in pairs]
    chosen = tuple(cameras[c] for _, c in pairs)
    warnings += _told_of_times(clips, [stems[r] for r, _ in pairs])
    spread = _spread(chosen)
    unit = "metre" if METRES[0] <= spread <= METRES[1] else "relative"
    if unit == "relative":
        guess = " (millimetres?)" if 2 * METRES[1] < spread < 1000 * METRES[1] else ""
        warnings.append(f"The cameras are {spread:.4g} units apart, which can't be metres{guess}; results are in the calibration's unit.")
    return Rig(tuple(stems[r] for r, _ in pairs), tuple(clips), chosen, told, unit, tuple(warnings))


def _opened(place: Path, frames: Frames | None) -> MonoInput:
    with opened_mono(place, frames) as clip:
        return clip


def _calibration(
    base: Path, asked: Path, stems: list[str], wanted: str, name: str, needed: bool
) -> tuple[list[RigCamera], str, list[tuple[int, int]], list[str]] | None:
    """The cameras, their file, which recording is which, and other calibrations that would fit as well."""
    places = []
    for folder in dict.fromkeys((base, asked if asked.is_dir() else base, base.parent)):
        places += [folder, *sorted(p for p in folder.iterdir() if p.is_file()), *sorted(p for p in folder.glob("calib*/*") if p.is_file())]
    found = []
    for place in dict.fromkeys(places):
        if wanted != "auto" and wanted not in (place.name, str(place)):
            continue
        cameras = read_rig_file(place)
        if cameras and len(cameras) > 1:
            found.append((len(matched(cameras, stems)), cameras, place.name))
    if not found:
        if wanted != "auto":
            raise UserError(f"There is no calibration of several cameras called {wanted} in {name}.")
        if not needed:
            return None
        raise UserError(f"No calibration of several cameras lies in {name}; bring one beside the videos: {CALIBRATIONS}.")
    most = max(count for count, _, _ in found)
    best = [entry for entry in found if entry[0] == most]
    _, cameras, told = best[0]
    return cameras, told, matched(cameras, stems), [entry[2] for entry in best[1:]]


def _told_of_times(clips: list[MonoInput], names: list[str]) -> list[str]:
    warnings = []
    counts = [len(c) for c in clips]
    if len(set(counts)) > 1:
        listed = ", ".join(f"{n} {c}" for n, c in zip(names, counts, strict=True))
        warnings.append(f"The views have different numbers of frames ({listed}); the first {min(counts)} of each are used.")
    rates = [1 / float(np.median(np.diff(c.times_s))) if len(c) > 1 else np.nan for c in clips]
    if np.nanmax(rates) > (1 + RATES_APART) * np.nanmin(rates):
        listed = ", ".join(f"{n} {r:.2f}" for n, r in zip(names, rates, strict=True))
        warnings.append(f"The views have different frame rates ({listed} per second): frames of one number are not of one moment.")
    return warnings


def _spread(cameras: tuple[RigCamera, ...]) -> float:
    centres = np.array([c.T_wc.reshape(-1, 4, 4)[0, :3, 3] for c in cameras])
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    return float(np.median(apart[np.triu_indices(len(centres), 1)]))


def turned_around(camera: RigCamera) -> RigCamera:
    """The same camera with its pose read the other way round: where a file holds camera-to-world instead of world-to-camera."""
    T = camera.T_wc
    flipped = np.linalg.inv(T).astype(np.float64) if T.ndim == 3 else invert(T)
    return RigCamera(camera.names, camera.K, flipped, camera.size, camera.distortion, camera.fisheye)
