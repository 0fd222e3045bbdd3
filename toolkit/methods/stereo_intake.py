"""Any stereo recording becomes a rectified pair: opened, streamed, checked for swapped eyes and for rows that do not match."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.disk_arrays import frames_are
from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.geometry.projections import Pinhole
from toolkit.geometry.rig import StereoRig
from toolkit.media.frame_choice import FrameChoice
from toolkit.media.opening import open_stereo
from toolkit.media.stereo_input import FrameStream, StereoInput
from toolkit.methods.request import Frames, Request
from toolkit.progress import Report
from toolkit.scene import F64, U8, B, Cameras, Source, StereoVideo, Video
from toolkit.stereo import PairCheck, Rectifier, rectify, vertical_disparity
from toolkit.stereo.calibration import calibrate_fisheye_pair
from toolkit.stereo.pair_check import unlike
from toolkit.stereo.refine import refine_rig
from toolkit.tracking.queries import checked_queries
from toolkit.wording import counted

if TYPE_CHECKING:
    from toolkit.methods.stereo4d import Stereo4DSettings

ROWS_APART_PX = 1.5  # of the two eyes, from which depth is poor
BLANK_SPREAD = 2.0  # grey levels of the whole picture, below which it holds nothing but noise
VIEW_FOV_DEG, VIEW_SIZE = 60.0, 512  # Stereo4D's own view of a half sphere
OF_RAW_PICTURES = ("fov_deg", "size", "yaw_deg", "pitch_deg", "baseline_m", "layout", "projection", "swap_eyes", "fov_bounds_deg")
SAME_LENS = 0.02  # of the focal length, within which the K of known cameras is that of the pictures
MOST_PIXELS = 500_000  # of a result frame cut from perspective pictures: what two cores track in about a second


@dataclass(eq=False)
class Intake:
    """A rectified pair and what was found on the way in.

    Attributes:
        stereo: The rectified pair.
        pair_check: How well its rows agree, in the middle of the clip.
        cameras: Cameras that came with the recording; None where none did.
        orientations: (T, 3, 3) world-from-camera rotations of the device's motion track; None where there is none.
        seen: (H, W) which pixels of the rectified left eye the lens saw; None for all (`seen_by_lens` is never None).
        calibrated: Whether the lenses were told by the recording, rather than taken for granted or guessed.
        estimated: Whether lenses or field of view had to be estimated, and whether the distance of the eyes is not known either.
        warnings: Sentences for a person.
        facts: What was used: layout, projection, field of view ...; JSON-like.
    """

    stereo: StereoVideo
    pair_check: PairCheck
    cameras: Cameras | None = None
    orientations: F64 | None = None
    seen: B | None = None
    calibrated: bool = True
    estimated: tuple[bool, bool] = (False, False)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keeps what outlives the pictures."""
        self.K, self.baseline_m = self.stereo.K, self.stereo.baseline_m
        self.seen_by_lens: B = np.ones(self.stereo.left.frames.shape[1:3], bool) if self.seen is None else self.seen

    def drop_right(self) -> Video:
        """The left video; the pair is dropped, its memory is needed."""
        left = self.stereo.left
        del self.stereo
        return left


def take_in(request: Request, report: Report) -> Intake:
    """Opens the recording of a request and rectifies it, frame by frame.

    Raises:
        UserError: the recording has no two eyes, or a setting does not fit it.
    """
    recording = request.recording
    if isinstance(recording, StereoVideo):
        recording = _rectified_already(request, recording)
        frames_are(recording.left.size)
        _check_fits(request, len(recording), recording.left.size, recording.K)
        return _checked(Intake(recording, _middle_check(recording), facts={"layout": "separate", "projection": "pinhole"}))
    if not isinstance(recording, Path):
        raise UserError("This video shows one view, but two eyes are needed: bring a StereoVideo, or a VR180 or stereo file.")
    settings: Stereo4DSettings = request.settings
    with _open(request, settings) as opened:
        warnings = list(opened.warnings)
        if request.frames is None and request.source is not None and request.source.frames > settings.max_frames:
            warnings.append(
                f"The clip has {request.source.frames} frames; the first {settings.max_frames} were used (ask for others with frames)."
            )
        stream = opened.frames()
        first = next(stream)
        rig, guessed = rig_of(opened, request, first[1])
        rectifier = Rectifier(rig, **view_of(settings, rig))
        warnings += _unused(request, opened)
        check = vertical_disparity(*rectifier(first[1]))
        given = rig
        if check.swapped and settings.swap_eyes is None:
            rig = rig.with_swapped_eyes()
            warnings.append("The eyes look swapped, so they were exchanged; set swap_eyes to decide for yourself.")
        _check_fits(request, opened.count, rectifier.view.size, rectifier.K)
        if settings.refine_rig:
            refinement = refine_rig(rig, [first[1], *_spread_frames(request, settings, opened.count)])
            rig = refinement.rig
            if refinement.applied:
                warnings.append(f"The calibration was corrected from the pictures: {refinement}.")
        if rig is not given:
            rectifier = Rectifier(rig, **view_of(settings, rig))
        frames_are(rectifier.view.size)
        stereo = rectify(FrameStream(chain([first], stream), opened.count), rectifier, report=report)
        intake = Intake(
            stereo,
            _middle_check(stereo),
            cameras=_cameras_of_view(opened.cameras, stereo, settings),
            orientations=opened.orientations,
            seen=rectifier.valid[0],
            calibrated=opened.calibrated,
            estimated=(bool(guessed), settings.baseline_m is None and not opened.calibrated),
            warnings=warnings + guessed,
            facts={
                "layout": opened.layout,
                "projection": type(rig.left).__name__.lower(),
                "source_size": list(opened.size),
                "baseline_m": rig.baseline_m,
                "swapped": rig.swapped,
            },
        )
    return _checked(intake)


def _rectified_already(request: Request, stereo: StereoVideo) -> StereoVideo:
    """The frames of a pair in memory that are asked for; what only raw pictures need is refused rather than passed over."""
    usual = type(request.settings)()
    asked = [name for name in OF_RAW_PICTURES if getattr(request.settings, name) != getattr(usual, name)]
    if request.K is not None:
        asked.insert(0, "K")
    if asked:
        raise UserError(
            f"A StereoVideo is rectified and holds its own K and baseline_m, so {', '.join(asked)} can't be set for it; "
            "make it with toolkit.rectify as it should be."
        )
    if request.frames is None:
        return stereo
    chosen = FrameChoice.of(request.frames).of_count(len(stereo), "The StereoVideo")
    left, right = (Video(eye.frames[chosen], eye.times_s[chosen]) for eye in (stereo.left, stereo.right))
    return StereoVideo(left, right, stereo.K, stereo.baseline_m)


def _unused(request: Request, opened: StereoInput) -> list[str]:
    """What was asked for of the lens, but is told by the recording, or found in it."""
    if opened.rig is None:
        return []
    unused = ["K"] if request.K is not None else []
    if request.settings.fov_deg is not None and isinstance(opened.rig.left, Pinhole):
        unused.append("fov_deg")
    return [f"{' and '.join(unused)} had no effect: the lenses are known by the recording itself."] if unused else []


def first_pair(source: Source, settings: Stereo4DSettings) -> tuple[U8, U8, PairCheck]:
    """(left, right, check): the first rectified pair of a recording, for a look before anything is computed.

    Raises:
        UserError: the recording has no two eyes.
    """
    request = Request(Path(source.path), source, settings, frames=1)
    with _open(request, settings) as opened:
        _, frame = next(opened.frames())
        rig, _ = rig_of(opened, request, frame)
        left, right = Rectifier(rig, **view_of(settings, rig))(frame)
    return left, right, vertical_disparity(left, right)


def _spread_frames(request: Request, settings: Stereo4DSettings, count: int) -> list[Any]:
    """Frames from the middle and the end of those that are used; matches of one moment say little about the corners."""
    if count == 1:
        return []
    choice = FrameChoice.of(_budget(request))
    wanted = sorted({choice.nth(count // 2), choice.nth(count - 1)})
    with _open(replace(request, frames=wanted), settings) as again:
        return [frame for _, frame in again.frames()]


def _open(request: Request, settings: Stereo4DSettings) -> StereoInput:
    assert isinstance(request.recording, Path)
    return open_stereo(
        request.recording,
        source=request.source,
        layout=settings.layout,
        projection=settings.projection,
        fov_bounds_deg=settings.fov_bounds_deg,
        baseline_m=settings.baseline_m,
        swap=settings.swap_eyes,
        frames=_budget(request),
    )


def _budget(request: Request) -> Frames:
    """The frames that are asked for, or the first ones of a clip that is longer than the method's budget."""
    most = request.settings.max_frames
    if request.frames is None and request.source is not None and not 0 < request.source.frames <= most:
        return most
    return request.frames


def rig_of(opened: StereoInput, request: Request, first: Any) -> tuple[StereoRig, list[str]]:
    """The rig that filmed it; what had to be guessed is told."""
    if opened.rig is None:
        size = opened.size
        if request.K is not None:
            K, told = request.K, []
        else:
            fov_deg = request.settings.fov_deg or VIEW_FOV_DEG
            K = intrinsics_from_fov(fov_deg, size)
            told = (
                []
                if request.settings.fov_deg
                else [f"The field of view is not known; {fov_deg:g} degrees were taken, so depth may be off in scale."]
            )
        eye = Pinhole(K, size)
        return StereoRig(eye, eye, np.eye(3), np.eye(3), opened.baseline_m, "separate"), told
    if opened.source.projection == "fisheye" and not opened.calibrated:
        rig = opened.rig
        found = calibrate_fisheye_pair(*rig.split(first), baseline_m=opened.baseline_m, layout=rig.layout, swapped=rig.swapped)
        return found.rig, [f"The lenses were calibrated from the pictures: {found}."]
    return opened.rig, []


def view_of(settings: Stereo4DSettings, rig: StereoRig) -> dict[str, Any]:
    """What the rectified eyes look at: a window into a half sphere, or all of a perspective picture."""
    direction = {"yaw_deg": settings.yaw_deg, "pitch_deg": settings.pitch_deg}
    if not isinstance(rig.left, Pinhole):
        return {"fov_deg": settings.fov_deg or VIEW_FOV_DEG, "size": settings.size or VIEW_SIZE, **direction}
    width, height = rig.left.size
    shrink = min(1.0, (MOST_PIXELS / (width * height)) ** 0.5)
    return {"fov_deg": None, "size": settings.size or (round(width * shrink), round(height * shrink)), **direction}


def _cameras_of_view(cameras: Cameras | None, stereo: StereoVideo, settings: Stereo4DSettings) -> Cameras | None:
    """Cameras that came with the recording, as those of the view that was cut."""
    if cameras is None or settings.pitch_deg:  # released poses belong to the level view; a pitched one gets its own
        return None
    return Cameras.from_poses(stereo.K, cameras.T_wc, stereo.left.size)


def _check_fits(request: Request, frames: int, size: tuple[int, int], K: F64) -> None:
    """Refuses what does not belong to the frames that are used, before anything costly is computed."""
    shape = (frames, size[1], size[0])
    if request.masks is not None and request.masks.shape != shape:
        raise UserError(f"The masks have shape {request.masks.shape}, but {shape} is needed: one a frame of the rectified left eye.")
    if request.masks is not None and request.masks.all():
        raise UserError("The masks are True everywhere, so all pixels would be left out; True marks what is to be ignored.")
    labels = request.settings.labels
    if labels is not None and np.shape(labels) != shape:
        raise UserError(f"The setting labels has shape {np.shape(labels)}, but {shape} is needed: a map for each rectified left frame.")
    if request.cameras is not None and len(request.cameras) != frames:
        raise UserError(f"{counted(len(request.cameras), 'camera')} came for {counted(frames, 'frame')}; one a frame is needed.")
    if request.cameras is not None and (request.cameras.size != size).any():
        width, height = request.cameras.size[(request.cameras.size != size).any(1)][0]
        raise UserError(f"The cameras are for {width} x {height} px, but the rectified left eye has {size[0]} x {size[1]}.")
    if request.cameras is not None and not request.cameras.registered.any():
        raise UserError("None of the cameras has a pose; leave them out to have them found.")
    if request.cameras is not None and (np.abs(request.cameras.K - K) > SAME_LENS * K[0, 0]).any():
        other, own = request.cameras.K[0], K
        raise UserError(
            f"The cameras have a focal length of {other[0, 0]:.1f} px and a centre of ({other[0, 2]:.1f}, {other[1, 2]:.1f}), but the "
            f"rectified left eye {own[0, 0]:.1f} px and ({own[0, 2]:.1f}, {own[1, 2]:.1f}); give them its K."
        )
    if request.queries is not None:
        checked_queries(request.queries, frames=frames, size=size)


def _middle_check(stereo: StereoVideo) -> PairCheck:
    middle = len(stereo) // 2
    return vertical_disparity(stereo.left.frames[middle], stereo.right.frames[middle])


def _checked(intake: Intake) -> Intake:
    """Says what the pair check means; refuses pictures from which a matcher would read depth by chance: blank ones, unlike ones."""
    middle = len(intake.stereo) // 2
    spread = max(float(eye.frames[t].std(axis=(0, 1)).max()) for eye in (intake.stereo.left, intake.stereo.right) for t in (0, middle, -1))
    if spread < BLANK_SPREAD:
        raise UserError("The pictures are blank: nothing in them could be matched or tracked.")
    check = intake.pair_check
    off_px = abs(check.vertical_median_px) + check.vertical_mad_px
    if not np.isfinite(off_px):
        moments = dict.fromkeys((0, middle, len(intake.stereo) - 1))
        why = unlike((intake.stereo.left.frames[t], intake.stereo.right.frames[t]) for t in moments)
        if why is not None:
            raise UserError(f"The two eyes show different things ({why}): this is no stereo recording, or its layout is another one.")
        intake.warnings.append(f"The pair could not be checked: {check}.")
    elif off_px > ROWS_APART_PX:
        intake.warnings.append(
            f"The rows of the two eyes differ by {off_px:.1f} px, so this may not be VR180, or not calibrated as said; depth will be poor."
        )
    return intake
