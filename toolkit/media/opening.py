"""Any stereo recording as one stream of frames with the rig that filmed it, ready to be rectified."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from toolkit.errors import UserError
from toolkit.geometry.projections import Equirect, Fisheye, Pinhole
from toolkit.geometry.rig import StereoRig, default_vr180_rig, eye_size
from toolkit.media.archive import unpacked
from toolkit.media.calibration import find_calibration
from toolkit.media.container import lens_meshes, read_container
from toolkit.media.decoding import Clip
from toolkit.media.frame_choice import FrameChoice, Frames
from toolkit.media.inspection import inspect_recording
from toolkit.media.recording import Recording, find_recording, raw_video
from toolkit.media.sequences import Sequence as Pictures
from toolkit.media.sequences import read_image
from toolkit.media.stereo4d_npz import load_dataset_npz
from toolkit.media.stereo_input import Frame, Layout, StereoInput, Stream
from toolkit.media.video import frames_at
from toolkit.scene import F64, U8, Cameras, Source

VR180_BASELINE_M = 0.063
"""The distance of human eyes, which VR180 cameras keep; Stereo4D takes it for all its clips."""
FISHEYE_HALF_ANGLE_DEG = 90.0
"""What the rim of a fisheye image is taken to see where nothing tells, as in the VR180 specification."""


def open_stereo(
    path: str | os.PathLike[str],
    *,
    source: Source | None = None,
    layout: Literal["side-by-side", "top-bottom"] | None = None,
    projection: Literal["pinhole", "equirect", "fisheye"] | None = None,
    fov_bounds_deg: tuple[float, float, float, float] | None = None,
    baseline_m: float | None = None,
    swap: bool | None = None,
    frames: Frames | None = None,
) -> StereoInput:
    """Opens a VR180 or stereo recording of any form.

    Args:
        path: A VR180, side-by-side or top-bottom video; a folder with a pair (and its calibration); a Stereo4D annotation with the
            raw video beside it (<stem>.mp4 or <video_id>.mp4); a .zip of one of these.
        source: What `inspect` said, to spare asking again.
        layout: How a frame holds both eyes; as found by default.
        projection: How a pixel becomes a ray; as found by default.
        fov_bounds_deg: Yaw from, to, tilt from, to of one equirect eye; the file's own, or a half sphere.
        baseline_m: Distance between the eyes; the recording's own, or 0.063.
        swap: Whether the right eye comes first; as found by default.
        frames: First n frames, a slice, or rising indices; all by default.

    Returns:
        The open recording.

    Raises:
        UserError: not stereo, not readable, or frames that are not there.
    """
    choice = FrameChoice.of(frames)
    held = ExitStack()
    try:
        recording = find_recording(path)
        if recording.form == "archive":
            recording = find_recording(held.enter_context(unpacked(recording.path)))
        source = source if source is not None else inspect_recording(recording)
        if recording.form == "dataset":
            opened = _open_annotation(recording, source, choice, baseline_m, fov_bounds_deg, bool(swap))
        elif recording.form in ("image pair", "video pair"):
            opened = _open_pair(recording, source, choice, baseline_m, bool(swap))
        elif recording.form in ("video", "images") and (layout or source.layout in ("side-by-side", "top-bottom")):
            opened = _open_video(recording, source, choice, layout, projection, fov_bounds_deg, baseline_m, swap)
        else:
            raise UserError(
                f"{Path(path).name} shows one view ({source}), but two eyes are needed; "
                "if a frame does hold both, the layout has to be set to side-by-side or top-bottom."
            )
    except BaseException:
        held.close()
        raise
    opened._held = held
    return opened


def _open_video(
    recording: Recording,
    source: Source,
    choice: FrameChoice,
    layout: str | None,
    projection: str | None,
    bounds: tuple[float, float, float, float] | None,
    baseline_m: float | None,
    swap: bool | None,
) -> StereoInput:
    """Both eyes in each frame."""
    place: Layout = layout or source.layout  # type: ignore[assignment]
    details = source.details
    swapped = bool(details.get("swapped")) if swap is None else swap
    kind = projection or ("equirect" if bounds is not None and source.projection == "pinhole" else source.projection)
    baseline = baseline_m if baseline_m is not None else VR180_BASELINE_M
    eye = eye_size(source.size, place)
    container = read_container(recording.files[0]) if recording.files else None
    rig: StereoRig | None = None
    if kind == "mesh" and container is not None:
        left, right = lens_meshes(container.spherical.meshes, eye)
        # The first mesh is the left eye's, wherever its picture is.
        rig = StereoRig(left, right, np.eye(3), np.eye(3), baseline, place, swapped)
    elif kind == "equirect":
        known = bounds or tuple(details.get("fov_bounds_deg") or (-90.0, 90.0, -90.0, 90.0))
        rig = default_vr180_rig(source.size, place, known, baseline)  # type: ignore[arg-type]
        rig = rig.with_swapped_eyes() if swapped else rig
    elif kind == "fisheye":
        rig = _fisheye_rig(eye, details.get("fisheye_circle"), baseline, place, swapped)
    elif kind != "pinhole":
        raise UserError(f"{recording.path.name} is a {kind} video, which can't be rectified; export it as equirect VR180.")
    times = _times(recording, choice)
    if recording.form == "images":
        picture = recording.sequences[0].paths[0]
        stream: Stream = lambda: iter([(0.0, read_image(picture))])  # noqa: E731
    else:
        stream = _video_stream(recording.files[0], choice)
    squeezed = bool(details.get("squeezed"))
    if rig is None:
        stream = _split_stream(stream, place, swapped, squeezed)
        eye = (2 * eye[0], eye[1]) if squeezed else eye
    opened = StereoInput(
        source,
        place if rig is not None else "separate",
        rig,
        None,
        baseline,
        len(times),
        source.size if rig is not None else eye,
        times,
        stream,
        calibrated=kind == "mesh",
    )
    if container is not None and container.orientations is not None:
        opened.orientations = container.orientations.at(times)
    if rig is None:
        opened.warnings.append(_as_rectified(baseline_m))
    return opened


def _as_rectified(baseline_m: float | None) -> str:
    """What is said of a pair without a lens; whether its field of view is known is said where that is looked for."""
    if baseline_m is not None:
        return "The pair is taken as rectified."
    return f"The pair is taken as rectified, with a baseline of {VR180_BASELINE_M:g} m: give its own, for depth is off by as much."


def _open_pair(recording: Recording, source: Source, choice: FrameChoice, baseline_m: float | None, swap: bool) -> StereoInput:
    """Two videos or two sequences of pictures."""
    details = source.details
    calibration = find_calibration(recording.path, *_places(recording), source.size)
    baseline = baseline_m if baseline_m is not None else calibration.baseline_m if calibration is not None else VR180_BASELINE_M
    rig, K = None, None
    if calibration is not None and calibration.rig is not None:
        rig = calibration.rig
    elif calibration is not None and calibration.K is not None:
        K = calibration.K
        K_right = K + [[0, 0, calibration.doffs_px], [0, 0, 0], [0, 0, 0]]
        rig = StereoRig(Pinhole(K, source.size), Pinhole(K_right, source.size), np.eye(3), np.eye(3), baseline, "separate")
    elif source.projection == "fisheye":
        rig = _fisheye_rig(source.size, details.get("fisheye_circle"), baseline, "separate", False)
    elif source.projection == "equirect":
        rig = default_vr180_rig(source.size, "separate", baseline_m=baseline)
    if rig is not None:
        rig = StereoRig(
            rig.left,
            rig.right,
            rig.R_left,
            rig.R_right,
            baseline,
            "separate",
            swap or (calibration is None and bool(details.get("swapped"))),
        )
    if recording.form == "video pair":
        left_file, right_file = recording.files
        times = _times(recording, choice)

        def stream() -> Iterator[tuple[float, Frame]]:
            both = zip(_video_stream(left_file, choice)(), _video_stream(right_file, choice)(), strict=False)
            for (time_s, left), (_, right) in both:
                yield time_s, (left, right)  # type: ignore[misc]

    else:
        pairs, stamps = _matched(*recording.sequences)
        chosen = choice.of_count(len(pairs), str(recording.path))
        times = stamps[chosen]

        def stream() -> Iterator[tuple[float, Frame]]:
            for i in chosen:
                left, right = (_of_size(path, source.size) for path in pairs[i])
                yield float(stamps[i]), (left, right)

    opened = StereoInput(
        source, "separate", rig, K, baseline, len(times), source.size, times, _swapped(stream) if rig is None and swap else stream
    )
    opened.calibrated = calibration is not None
    if rig is None:
        opened.warnings.append(_as_rectified(baseline_m))
    return opened


def _open_annotation(
    recording: Recording,
    source: Source,
    choice: FrameChoice,
    baseline_m: float | None,
    bounds: tuple[float, float, float, float] | None,
    swap: bool,
) -> StereoInput:
    """A released annotation with the raw video beside it: its own frames, rotations and cameras."""
    path = recording.files[0]
    scene = load_dataset_npz(path)
    video = raw_video(path, scene.report["video_id"])
    if video is None:
        raise UserError(
            f"No video lies beside {path.name}; put the raw VR180 video there as {scene.report['video_id']}.mp4 or {path.stem}.mp4."
        )
    stamps = np.asarray(scene.report["timestamps_us"], np.int64)
    chosen = choice.of_count(len(stamps), path.name)
    stamps = stamps[chosen]
    baseline = baseline_m if baseline_m is not None else VR180_BASELINE_M
    known = bounds or tuple(scene.report["fov_bounds_deg"])
    # The published maps put the bounds on the centres of the first and last pixels.
    eye = Equirect(eye_size(source.size, "side-by-side"), known, "centres")  # type: ignore[arg-type]
    R_left, R_right = np.asarray(scene.report["rectified2rig"], np.float64)
    rig = StereoRig(eye, eye, R_left, R_right, baseline, "side-by-side", swap)
    cameras = scene.cameras
    if cameras is not None:
        cameras = Cameras(cameras.K[chosen], cameras.T_wc[chosen], cameras.size[chosen])
    return StereoInput(
        source,
        "side-by-side",
        rig,
        None,
        baseline,
        len(stamps),
        source.size,
        stamps / 1e6,
        lambda: frames_at(video, stamps),  # type: ignore[arg-type, return-value]
        cameras=cameras,
        calibrated=True,
    )


def _fisheye_rig(eye: tuple[int, int], circle: Sequence[float] | None, baseline: float, layout: Layout, swapped: bool) -> StereoRig:
    """Two parallel equidistant lenses with the image circle that was seen, or the largest that fits."""
    x, y, radius = circle or (eye[0] / 2, eye[1] / 2, min(eye) / 2)
    focal_px = radius / np.deg2rad(FISHEYE_HALF_ANGLE_DEG)
    K = np.array([[focal_px, 0, x], [0, focal_px, y], [0, 0, 1]])
    lens = Fisheye(K, (0.0, 0.0, 0.0, 0.0), eye, FISHEYE_HALF_ANGLE_DEG)
    return StereoRig(lens, lens, np.eye(3), np.eye(3), baseline, layout, swapped)


def _video_stream(path: Path, choice: FrameChoice) -> Stream:
    def stream() -> Iterator[tuple[float, Frame]]:
        with Clip(path) as clip:
            yield from clip.choose(choice)

    return stream


def _split_stream(stream: Stream, layout: Layout, swapped: bool, squeezed: bool) -> Stream:
    """Pairs (left, right) from frames that hold both; half-width side-by-side is stretched back."""
    from toolkit.geometry.rig import split_halves

    def split() -> Iterator[tuple[float, Frame]]:
        for time_s, frame in stream():
            first, second = split_halves(frame, layout)  # type: ignore[arg-type]
            if squeezed:
                size = (2 * first.shape[1], first.shape[0])
                first, second = (cv2.resize(eye, size, interpolation=cv2.INTER_LINEAR) for eye in (first, second))
            yield time_s, (second, first) if swapped else (first, second)  # type: ignore[misc]

    return split


def _swapped(stream: Stream) -> Stream:
    def swapped() -> Iterator[tuple[float, Frame]]:
        for time_s, (left, right) in stream():
            yield time_s, (right, left)  # type: ignore[misc]

    return swapped


def _times(recording: Recording, choice: FrameChoice) -> F64:
    """(T,) times of the chosen frames of a video, or of both where there are two."""
    if recording.form == "images":
        return np.zeros(1)
    known = []
    for file in recording.files:
        with Clip(file) as clip:
            known.append(clip.times_s(choice.stop))
    times = min(known, key=len)
    return times[choice.of_count(len(times), recording.path.name)]


def _of_size(path: Path, size: tuple[int, int]) -> U8:
    """A picture of a sequence, all of which were taken by one camera.

    Raises:
        UserError: it is of another (width, height) than the others.
    """
    image = read_image(path)
    if (image.shape[1], image.shape[0]) != size:
        raise UserError(
            f"{path.parent.name}/{path.name} is {image.shape[1]} x {image.shape[0]} px, but the first picture is {size[0]} x {size[1]}; "
            "all must be alike."
        )
    return image


def _places(recording: Recording) -> tuple[Path, Path]:
    """Folders (or files) of the left and the right camera."""
    return (recording.files[0], recording.files[1]) if recording.form == "video pair" else (recording.folders[0], recording.folders[1])


def _matched(left: Pictures, right: Pictures) -> tuple[list[tuple[Path, Path]], F64]:
    """Pairs of pictures with the same name, or the same place in order where no name fits; and the time of each."""
    by_stem = {p.stem: p for p in right.paths}
    named = [i for i, p in enumerate(left.paths) if p.stem in by_stem]
    if named and left.paths[0].parent != right.paths[0].parent:
        return [(left.paths[i], by_stem[left.paths[i].stem]) for i in named], left.times_s[named]
    count = min(len(left), len(right))
    return list(zip(left.paths[:count], right.paths[:count], strict=True)), left.times_s[:count]
