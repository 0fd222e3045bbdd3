"""Raw stereo footage of any lens becomes a rectified perspective pair: one map an eye, one resampling."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.disk_arrays import large_empty
from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.geometry.poses import view_rotation
from toolkit.geometry.projections import Pinhole, Projection
from toolkit.geometry.resampling import Resampler
from toolkit.geometry.rig import StereoRig, eye_size
from toolkit.geometry.sampling import pixel_centres
from toolkit.parallel import in_order
from toolkit.progress import Report, silent
from toolkit.scene import F64, U8, B, Cameras, StereoVideo, Video
from toolkit.wording import counted

Footage = Video | StereoVideo | tuple[Video, Video] | Iterable[tuple[float, Any]]
"""Both eyes in each frame, one video an eye, or a stream of (time_s, frame), where a frame is a pair for a rig of separate eyes."""

_HUMAN_EYES_M = 0.063  # what VR180 asks for, and what Stereo4D assumes
_WIDEST_VIEW_DEG = 85.0  # half angle a perspective view may reach to either side; beyond it nearly all pixels show the rim


@dataclass(frozen=True, eq=False)
class View:
    """The perspective camera that both rectified eyes share.

    Attributes:
        K: (3, 3) float64 intrinsics, in pixels.
        size: (width, height) in pixels.
        R: (3, 3) float64 rotation that takes a ray of this camera to the rectified eye frame: the pitch.
    """

    K: F64
    size: tuple[int, int]
    R: F64

    def rays(self) -> F64:
        """(h, w, 3) rays of all pixels, in the rectified eye frame."""
        uv = (pixel_centres(self.size) - self.K[:2, 2]) @ np.linalg.inv(self.K[:2, :2]).T
        return np.concatenate([uv, np.ones_like(uv[..., :1])], -1) @ self.R.T


class Rectifier:
    """Turns frames of one rig into rectified pairs; the maps are made once.

    Attributes:
        rig: The rig it was made for.
        view: The camera of both output eyes.
        baseline_m: Distance of the right eye from the left one along +x of `view`, in metres.
    """

    def __init__(
        self,
        rig: StereoRig,
        *,
        fov_deg: float | None = 60.0,
        size: int | tuple[int, int] | None = 512,
        yaw_deg: float = 0.0,
        pitch_deg: float = 0.0,
    ) -> None:
        """Chooses the view.

        Args:
            rig: What is known about both lenses.
            fov_deg: Horizontal field of view; None for the widest that both eyes fill (an already rectified pair stays as it is).
            size: Width and height of the output, or one number for both; None for the size of the raw eye.
            yaw_deg: Looks to the right. The image plane stays parallel to the baseline (or rows would no longer match), so the view
                is the off-centre window between yaw - fov/2 and yaw + fov/2.
            pitch_deg: Looks up, by a turn about the baseline.
        """
        self.rig = rig
        wanted = rig.left.size if size is None else (size, size) if isinstance(size, int | np.integer) else size
        self.view = _view(rig, fov_deg, (int(wanted[0]), int(wanted[1])), yaw_deg, pitch_deg)
        self.baseline_m = rig.baseline_m
        self._maps = eye_maps(rig, self.view)
        self._resamplers: dict[tuple[int, tuple[int, int]], Resampler | None] = {}

    @property
    def K(self) -> F64:
        """(3, 3) intrinsics of both output eyes, in pixels."""
        return self.view.K

    @property
    def valid(self) -> tuple[B, B]:
        """(H, W) masks of the output pixels that the left and the right lens saw."""
        left, right = self._maps
        return np.asarray(np.isfinite(left).all(-1)), np.asarray(np.isfinite(right).all(-1))

    def __call__(self, frame: U8 | tuple[U8, U8]) -> tuple[U8, U8]:
        """(left, right) rectified (H, W, 3) uint8 images of a frame, or of a pair of frames for separate eyes; black where unseen.

        Frames of another size than the rig's (a reduced copy) are accepted; the maps are scaled to them.
        """
        left, right = self.rig.split(frame)
        return self._resample(0, left), self._resample(1, right)

    def prepare(self, frame: U8 | tuple[U8, U8]) -> None:
        """Makes the maps for frames of this size now; afterwards frames may be rectified side by side."""
        for eye, image in enumerate(self.rig.split(frame)):
            self._resampler(eye, (image.shape[1], image.shape[0]))

    def _resample(self, eye: int, image: U8) -> U8:
        resampler = self._resampler(eye, (image.shape[1], image.shape[0]))
        return np.array(image) if resampler is None else resampler(image)

    def _resampler(self, eye: int, actual: tuple[int, int]) -> Resampler | None:
        """What turns images of that size into the view; None where they show it already."""
        key = (eye, actual)
        if key not in self._resamplers:
            known = np.array((self.rig.left, self.rig.right)[eye].size)
            xy = self._maps[eye] * (np.array(actual) / known)
            untouched = self.view.size == actual and np.abs(xy - pixel_centres(actual)).max() < 1e-6  # NaN compares as touched
            self._resamplers[key] = None if untouched else Resampler(xy, actual)
        return self._resamplers[key]


def rectify(
    video: Footage,
    calibration: StereoRig | Rectifier | None = None,
    *,
    fov_deg: float | None = 60.0,
    size: int | tuple[int, int] | None = 512,
    yaw_deg: float = 0.0,
    pitch_deg: float = 0.0,
    report: Report = silent,
) -> StereoVideo:
    """A rectified perspective pair from raw stereo footage.

    Args:
        video: Both eyes in each frame, one video an eye, or a stream of (time_s, frame); a stream is never held in memory. A
            StereoVideo without calibration is cropped and resized with its own K.
        calibration: The rig that filmed it. None says that the footage is a rectified perspective pair already, with `fov_deg` its
            horizontal field of view (60 if None) and a baseline of 0.063 m: it is cropped at the centre and resized to `size`.
            Without calibration a frame that holds both eyes is halved along its longer side. A `Rectifier` has chosen the view already,
            and the options below do nothing.
        fov_deg: Horizontal field of view of the result; None for the widest that both eyes fill.
        size: Width and height of the result, or one number for both; None for that of the raw eye.
        yaw_deg: Looks to the right, by an off-centre window (see `Rectifier`).
        pitch_deg: Looks up.
        report: Called after each frame.

    Returns:
        Left and right video with their common K; the right camera sits at +x of the left one.

    Raises:
        UserError: no frames, sizes that do not fit the rig, or a view wider than a perspective image can be.
    """
    if isinstance(video, StereoVideo):
        if calibration is None:
            calibration = _rectified_rig(video.K, video.left.size, video.baseline_m, "separate")
            fov_deg = None
        video = (video.left, video.right)
    total = len(video[0]) if isinstance(video, tuple) else operator.length_hint(video)
    stream = _stream(video)
    first = next(stream, None)
    if first is None:
        raise UserError("The stereo video holds no frames, but at least one is needed.")
    if isinstance(calibration, Rectifier):
        rectifier = calibration
    else:
        if calibration is None:
            calibration, fov_deg = _assumed_rig(first[1], fov_deg), None
        rectifier = Rectifier(calibration, fov_deg=fov_deg, size=size, yaw_deg=yaw_deg, pitch_deg=pitch_deg)
    rectifier.prepare(first[1])
    left, right, times_s = _Film(total), _Film(total), []
    pairs = in_order(lambda item: (item[0], rectifier(item[1])), chain([first], stream))
    for done, (time_s, pair) in enumerate(pairs, 1):
        for film, image in zip((left, right), pair, strict=True):
            film.append(image)
        times_s.append(time_s)
        report(done, total)
    return StereoVideo(Video(left.frames(), np.array(times_s)), Video(right.frames(), np.array(times_s)), rectifier.K, rectifier.baseline_m)


def eye_maps(rig: StereoRig, view: View) -> tuple[F64, F64]:
    """(h, w, 2) continuous raw pixels that each rectified pixel shows, for the left and the right eye; NaN where the lens saw nothing."""
    rays = view.rays()
    return rig.left.pixels(rays @ rig.R_left.T), rig.right.pixels(rays @ rig.R_right.T)


def right_cameras(left: Cameras, baseline_m: float) -> Cameras:
    """Cameras of the right eye of a rectified pair: those of the left one moved along their own +x by `baseline_m`."""
    T_wc = left.T_wc.copy()
    T_wc[:, :3, 3] += baseline_m * left.T_wc[:, :3, 0]
    return Cameras(left.K, T_wc, left.size)


def _view(rig: StereoRig, fov_deg: float | None, size: tuple[int, int], yaw_deg: float, pitch_deg: float) -> View:
    if min(size) < 1:
        raise UserError(f"An output of {size[0]} x {size[1]} pixels was asked for, but at least one pixel is needed.")
    R = view_rotation(0.0, pitch_deg)
    if fov_deg is not None:
        return View(_window_intrinsics(fov_deg, size, yaw_deg), size, R)
    left, right = rig.left, rig.right
    straight = yaw_deg == 0 and pitch_deg == 0 and np.allclose([rig.R_left, rig.R_right], np.eye(3), atol=1e-9)
    if straight and _plain(left) and _plain(right) and left.size == right.size and np.allclose(left.K, right.K, atol=1e-9):  # type: ignore[attr-defined]
        return View(_cropped(left.K, left.size, size), size, R)  # type: ignore[attr-defined]
    narrow, wide = 0.0, 2 * (_WIDEST_VIEW_DEG - abs(yaw_deg))
    for _ in range(20 if wide > 0 else 0):
        middle = 0.5 * (narrow + wide)
        rim = View(_window_intrinsics(middle, size, yaw_deg), size, R)
        full = all(np.isfinite(projection.pixels(_rim_rays(rim) @ turn.T)).all() for projection, turn in _eyes(rig))
        narrow, wide = (middle, wide) if full else (narrow, middle)
    if narrow == 0:
        raise UserError(f"No view {yaw_deg:g} degrees right and {pitch_deg:g} degrees up is seen by both eyes; look elsewhere.")
    return View(_window_intrinsics(narrow, size, yaw_deg), size, R)


def _window_intrinsics(fov_deg: float, size: tuple[int, int], yaw_deg: float) -> F64:
    """K of an image plane parallel to the baseline whose columns reach from yaw - fov/2 to yaw + fov/2."""
    K = intrinsics_from_fov(fov_deg, size)
    if abs(yaw_deg) + 0.5 * fov_deg > _WIDEST_VIEW_DEG:
        asked = f"{fov_deg:g} degrees wide, {yaw_deg:g} degrees aside"
        raise UserError(f"A view {asked} reaches past {_WIDEST_VIEW_DEG:g} degrees, where no perspective image can show it.")
    start, end = np.tan(np.deg2rad([yaw_deg - 0.5 * fov_deg, yaw_deg + 0.5 * fov_deg]))
    focal_px = size[0] / (end - start)
    K[0, 0] = K[1, 1] = focal_px
    K[0, 2] = -focal_px * start
    return K


def _eyes(rig: StereoRig) -> tuple[tuple[Projection, F64], tuple[Projection, F64]]:
    return (rig.left, rig.R_left), (rig.right, rig.R_right)


def _rim_rays(view: View) -> F64:
    """Rays of the outermost pixels: lenses see convex areas, so that what lies between is seen as well."""
    centres = pixel_centres(view.size)
    rim = np.concatenate([centres[0], centres[-1], centres[:, 0], centres[:, -1]])
    uv = (rim - view.K[:2, 2]) @ np.linalg.inv(view.K[:2, :2]).T
    return np.concatenate([uv, np.ones_like(uv[..., :1])], -1) @ view.R.T


def _plain(projection: Projection) -> bool:
    return isinstance(projection, Pinhole) and not any(projection.distortion)


def _cropped(K: NDArray, source: tuple[int, int], size: tuple[int, int]) -> F64:
    """K after the largest central window of `size`'s shape was cut out and resized to `size`."""
    scale = max(size[0] / source[0], size[1] / source[1])
    K = np.diag([scale, scale, 1.0]) @ K
    K[:2, 2] -= 0.5 * (scale * np.array(source) - size)
    return K


def _rectified_rig(K: F64, size: tuple[int, int], baseline_m: float, layout: Any) -> StereoRig:
    eye = Pinhole(K, size)
    return StereoRig(eye, eye, np.eye(3), np.eye(3), baseline_m, layout)


def _assumed_rig(frame: U8 | tuple[U8, U8], fov_deg: float | None) -> StereoRig:
    """The rig of footage that is said to be a rectified perspective pair."""
    if isinstance(frame, tuple):
        layout, size = "separate", (frame[0].shape[1], frame[0].shape[0])
    else:
        height, width = frame.shape[:2]
        layout = "side-by-side" if width >= height else "top-bottom"
        size = eye_size((width, height), layout)
    return _rectified_rig(intrinsics_from_fov(60.0 if fov_deg is None else fov_deg, size), size, _HUMAN_EYES_M, layout)


def _stream(video: Any) -> Iterator[tuple[float, U8 | tuple[U8, U8]]]:
    if isinstance(video, Video):
        yield from zip(video.times_s, video.frames, strict=True)
    elif isinstance(video, tuple) and len(video) == 2 and all(isinstance(v, Video) for v in video):
        left, right = video
        if len(left) != len(right):
            raise UserError(f"The left eye has {counted(len(left), 'frame')}, the right one {len(right)}, but a pair has as many of each.")
        yield from zip(left.times_s, zip(left.frames, right.frames, strict=True), strict=True)
    else:
        yield from video


class _Film:
    """Frames collected one by one in a single growing block, on disk where it is large."""

    def __init__(self, expected: int) -> None:
        self._block: NDArray[np.uint8] | None = None
        self._expected = max(expected, 16)
        self._count = 0

    def append(self, frame: U8) -> None:
        if self._block is None:
            self._block = large_empty((self._expected, *frame.shape), np.uint8)
        if self._count == len(self._block):
            full, self._block = self._block, large_empty((2 * self._count, *frame.shape), np.uint8)
            self._block[: self._count] = full
        self._block[self._count] = frame
        self._count += 1

    def frames(self) -> U8:
        assert self._block is not None
        return self._block[: self._count]
