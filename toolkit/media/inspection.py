"""What is this recording? Answered from metadata first and from the pictures where metadata is silent, within a second."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import UserError
from toolkit.media.archive import unpacked
from toolkit.media.estimates import estimate
from toolkit.media.npz import NpzReader
from toolkit.media.recording import Recording, find_recording, raw_video
from toolkit.media.sequences import read_image
from toolkit.media.stereo4d_npz import load_dataset_npz
from toolkit.media.tracks_input import load_tracks_input
from toolkit.media.video_inspection import inspect_frames, inspect_video
from toolkit.scene import Kind, Source
from toolkit.wording import counted

VIDEO_LIKE = 0.92
"""Neighbouring pictures of a folder that agree more than this (thumbnails, correlation) are frames of a video, not photos."""

SYNCHRONISED = 0.8
"""Videos of one folder whose lengths differ more than this, without a calibration, are different clips, not views."""


def inspect(path: str | os.PathLike[str]) -> Source:
    """What a file or folder is, before anything is computed.

    Args:
        path: A video, a photo, an .npz (Stereo4D annotation, reduced bundle, Lift4D scene, 2D tracks), a .zip of such files, or a folder:
            with one or several videos, with photos or frames, or with a stereo pair (left/right, cam0/cam1, image_00/image_01).

    Returns:
        Source with kind, size, layout, projection, warnings and cost. `details` says where layout and projection were found
        ("metadata" or "content") and what else was: duration_s, codec, rotation_deg, fov_bounds_deg, eye_size, swapped, camm, ...

    Raises:
        UserError: nothing there, not readable, cut off, empty, or of no known kind.
    """
    return inspect_recording(find_recording(path))


def inspect_recording(recording: Recording) -> Source:
    """The same for files that were already found."""
    if recording.form == "archive":
        with unpacked(recording.path) as folder:
            try:
                source = inspect(folder)
            except UserError as problem:  # the temporary folder is of no use to anybody
                raise UserError(str(problem).replace(f"The folder {folder}", recording.path.name).replace(f"{folder}/", "")) from None
            return replace(source, path=str(recording.path), details={**source.details, "archive": True})
    if recording.form == "video":
        source = inspect_video(recording.files[0])
    elif recording.form in ("image pair", "video pair"):
        source = _pair(recording)
    elif recording.form in ("videos", "image folders"):
        source = _views(recording)
    elif recording.form == "images":
        source = _images(recording)
    elif recording.form == "scene":
        source = _scene(recording.files[0])
    elif recording.form == "benchmark clip":
        source = _benchmark(recording.files[0])
    elif recording.form == "tracks":
        source = _tracks(recording.files[0])
    else:
        source = _annotation(recording.files[0], bundle=recording.form == "bundle")
    views = int(source.details.get("views", 2 if source.layout == "separate" else 1))
    return replace(source, estimate=estimate(source.kind, source.frames, source.size, views))


def _pair(recording: Recording) -> Source:
    """Two folders of pictures or two videos."""
    from toolkit.media.calibration import find_calibration

    folder = recording.path
    warnings: list[str] = []
    if recording.form == "video pair":
        left, right = (inspect_video(f) for f in recording.files)
        frames, fps, size, right_size = min(left.frames, right.frames), left.fps, left.size, right.size
        if left.frames != right.frames:
            warnings.append(f"The left video has {counted(left.frames, 'frame')}, the right one {right.frames}; {frames} are used.")
        places = recording.files
        samples = []
    else:
        first, second = recording.sequences
        frames = min(len(first), len(second))
        if len(first) != len(second):
            warnings.append(f"There are {len(first)} left and {len(second)} right pictures; those with the same name or number are used.")
        fps = _rate(first.times_s) if len(first) > 1 else 0.0
        if len(first) > 1 and not first.timed:
            warnings.append("The pictures tell no times; 30 frames per second are taken for granted.")
        places = recording.folders
        samples = [(read_image(first.paths[i]), read_image(second.paths[min(i, len(second) - 1)])) for i in sorted({0, frames // 2})]
        size, right_size = (samples[0][0].shape[1], samples[0][0].shape[0]), (samples[0][1].shape[1], samples[0][1].shape[0])
    if size != right_size:
        raise UserError(
            f"The left pictures are {size[0]} x {size[1]} px, the right ones {right_size[0]} x {right_size[1]}; both must be alike."
        )
    calibration = find_calibration(folder, Path(places[0]), Path(places[1]), size)
    shared = places[0] == places[1]  # two pictures in one folder are themselves the pair
    names = [Path(p).name for p in ([s.paths[0] for s in recording.sequences] if shared else places)]
    details: dict[str, Any] = {"eye_size": list(size), "duration_s": frames / fps if fps else 0.0, "pair": names}
    kind, projection = "stereo", "pinhole"
    if calibration is not None:
        details |= {"calibration": Path(calibration.path).name, "baseline_m": calibration.baseline_m, "rectified": calibration.rig is None}
        if calibration.K is not None:
            details["K"] = calibration.K.tolist()
    elif samples:
        found = inspect_frames([left for left, _ in samples], samples)
        kind, projection = ("vr180" if found.projection in ("equirect", "fisheye") else "stereo"), found.projection
        details |= found.details
        warnings += found.warnings
    if calibration is None and kind == "stereo":
        warnings.append("There is no calibration beside the pair: it is taken as rectified; give K and baseline_m for depth in metres.")
    return Source(str(folder), kind, frames, size, fps, "separate", projection, tuple(warnings), details=details)  # type: ignore[arg-type]


def _views(recording: Recording) -> Source:
    """Several videos, or folders of pictures, of one scene."""
    warnings = []
    if recording.form == "videos":
        sources = [inspect_video(f, look=False) for f in recording.files]
        counts, sizes, names = [s.frames for s in sources], [s.size for s in sources], [f.name for f in recording.files]
        fps = sources[0].fps
    else:
        counts = [len(s) for s in recording.sequences]
        pictures = [read_image(s.paths[0]) for s in recording.sequences]
        sizes, names = [(p.shape[1], p.shape[0]) for p in pictures], [f.name for f in recording.folders]
        fps = _rate(recording.sequences[0].times_s) if recording.sequences[0].timed else 0.0
    base = recording.path if recording.path.is_dir() else recording.path.parent
    beside = [p for place in {base, base.parent} for p in place.iterdir() if p.is_file()]
    calibration = sorted(p.name for p in beside if p.suffix.lower() in (".toml", ".json", ".yaml", ".yml") and _names_cameras(p.stem))
    if not calibration and min(counts) < SYNCHRONISED * max(counts):
        raise UserError(
            f"The folder {recording.path} holds {len(names)} recordings of {min(counts)} to {max(counts)} frames, "
            f"which are no views of one scene; choose one of them, such as {names[0]}."
        )
    if len(set(counts)) > 1:
        warnings.append(
            f"The views have {', '.join(map(str, counts))} frames; they must be synchronised, so the first {min(counts)} are used."
        )
    if not calibration:
        warnings.append("No calibration of the cameras lies beside the views; several cameras need one.")
    details = {"views": len(names), "names": names, "sizes": [list(s) for s in sizes], "calibration": calibration}
    return Source(str(recording.path), "multiview", min(counts), sizes[0], fps, "separate", "pinhole", tuple(warnings), details=details)


def _images(recording: Recording) -> Source:
    """A folder of photos, or of the frames of a video; or one picture."""
    pictures = recording.sequences[0]
    first = read_image(pictures.paths[0])
    size = (first.shape[1], first.shape[0])
    count = len(pictures)
    likeness = _likeness(pictures.paths) if count >= 8 else 0.0
    kind: Kind = "mono" if likeness > VIDEO_LIKE or (pictures.timed and count > 2) else "photos"
    warnings: tuple[str, ...] = ()
    if count == 1:
        found = inspect_frames([first])
        if found.layout != "mono":
            eyes: Kind = "vr180" if found.projection != "pinhole" else "stereo"
            return Source(
                str(recording.path), eyes, 1, size, 0.0, found.layout, found.projection, tuple(found.warnings), details=found.details
            )
        warnings = ("This is a single picture; a reconstruction needs at least two.",)
    fps = (_rate(pictures.times_s) if pictures.timed else 30.0) if kind == "mono" else 0.0
    if kind == "mono" and not pictures.timed:
        warnings = ("The pictures tell no times; 30 frames per second are taken for granted.",)
    details = {"likeness": round(likeness, 3), "duration_s": count / fps if fps else 0.0}
    return Source(str(recording.path), kind, count, size, fps, warnings=warnings, details=details)


def _annotation(path: Path, *, bundle: bool) -> Source:
    """A Stereo4D annotation with the video beside it."""
    scene = load_dataset_npz(path)
    frames = scene.frames
    video = raw_video(path, scene.report.get("video_id"))
    tracks = scene.tracks_3d
    details: dict[str, Any] = {
        "annotation": "reduced bundle" if bundle else "Stereo4D",
        "video_id": scene.report.get("video_id"),
        "tracks": len(tracks) if tracks is not None else 0,
        "video": video.name if video else None,
    }
    warnings = [*scene.report.get("warnings", [])]
    if video is None:
        warnings.append(f"No video lies beside {path.name}; name it {path.stem}.mp4 to run on it.")
        size = (512, 512) if scene.cameras is None else (int(scene.cameras.size[0, 0]), int(scene.cameras.size[0, 1]))
        return Source(str(path), "scene", frames, size, 30.0, warnings=tuple(warnings), details=details)
    clip = inspect_video(video, look=False)
    if bundle:
        if clip.frames != frames:
            warnings.append(f"{video.name} has {counted(clip.frames, 'frame')}, but {path.name} {frames}; is it the right video?")
        return replace(clip, path=str(path), kind="mono", frames=frames, warnings=tuple(warnings), details={**clip.details, **details})
    stamps = scene.report["timestamps_us"]
    if stamps[-1] / 1e6 > clip.details["duration_s"] + 0.1:
        raise UserError(
            f"{path.name} asks for a frame at {stamps[-1] / 1e6:.2f} s, but {video.name} lasts {clip.details['duration_s']:.2f} s."
        )
    if clip.size[1] < 1440:
        warnings.append(f"{video.name} is {clip.size[0]} x {clip.size[1]} px; Stereo4D was made from videos of at least 1440 rows.")
    details |= {"fov_bounds_deg": scene.report["fov_bounds_deg"], "rectified2rig": True, "duration_s": (stamps[-1] - stamps[0]) / 1e6}
    return Source(
        str(path), "vr180", frames, clip.size, clip.fps, "side-by-side", "equirect", tuple(warnings), details={**clip.details, **details}
    )


def _scene(path: Path) -> Source:
    """One of our own results."""
    import json

    with NpzReader(path) as file:
        head = json.loads(file.text("header"))
    size = tuple(head.get("size") or (0, 0))
    return Source(
        str(path), "scene", int(head.get("frames", 0)), (int(size[0]), int(size[1])), 0.0, details={"method": head.get("method", "")}
    )


def _benchmark(path: Path) -> Source:
    """A clip of WorldTrack or TAPVid-3D, its truth in the same file."""
    from toolkit.media.worldtrack_npz import FPS, decoded, load_worldtrack_npz

    found = load_worldtrack_npz(path)
    first = decoded(found.pictures[0], path.name, 0)
    details = {"benchmark": "WorldTrack", "tracks": found.points.shape[1], "K": found.K.tolist(), "duration_s": len(found.pictures) / FPS}
    return Source(str(path), "mono", len(found.pictures), (first.shape[1], first.shape[0]), FPS, details=details)


def _tracks(path: Path) -> Source:
    """2D tracks that somebody's tracker wrote."""
    found = load_tracks_input(path)
    details: dict[str, Any] = {"tracks": len(found.tracks), "K": None if found.K is None else found.K.tolist()}
    return Source(str(path), "tracks", found.tracks.xy.shape[1], found.size, 0.0, warnings=found.notes, details=details)


def _likeness(paths: tuple[Path, ...]) -> float:
    """Median correlation of the thumbnails of neighbouring pictures."""
    import cv2

    start = len(paths) // 2
    chosen = paths[start : start + 4] if start + 4 <= len(paths) else paths[:4]
    thumbs = [cv2.resize(read_image(p), (32, 24), interpolation=cv2.INTER_AREA).mean(2).ravel() for p in chosen]
    return float(np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(thumbs, thumbs[1:], strict=False)]))


def _rate(times_s: np.ndarray) -> float:
    return float(1 / np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0


def _names_cameras(stem: str) -> bool:
    return any(word in stem.lower() for word in ("cam", "calib", "intrinsic", "extrinsic", "transforms"))
