"""From 2D tracks, depth and cameras to 3D tracks: the depth under each sample, on its own side of any depth edge, with its error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.disk_arrays import TOGETHER, large_full, pieces, some_frames
from toolkit.errors import UserError
from toolkit.geometry import sampling
from toolkit.lifting.label import motion_label
from toolkit.parallel import in_order
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, U8, B, Cameras, DepthVideo, Tracks2D, Tracks3D, Video

_GREY = 128


@dataclass(frozen=True)
class LiftOptions:
    """How depth is read under a track, and how its error is told.

    Attributes:
        baseline_m: Distance between the eyes that the depth came from, in metres; VR180 cameras are built with 63 mm.
        disparity_sigma_px: Standard deviation of a confident disparity, in pixels: what sub-pixel matchers reach on texture.
        disparity_outlier_px: Typical error of a wrong disparity, in pixels; a confidence says how often that is.
        relative_sigma: Standard deviation of a depth of unknown scale, as a share of itself.
        pixel_sigma: Standard deviation of a track's position per axis in pixels, where the tracker does not tell.
        edge_ratio: Neighbouring pixels whose depths differ by more than this share lie on two surfaces. The published edge test
            asks 3 % over two pixels; a floor seen at a flat angle needs more.
        edge_sigma_factor: By how much the error grows beside a depth edge, where a track half a pixel off reads the other surface.
    """

    baseline_m: float = 0.063
    disparity_sigma_px: float = 0.2
    disparity_outlier_px: float = 2.0
    relative_sigma: float = 0.03
    pixel_sigma: float = 0.4
    edge_ratio: float = 0.05
    edge_sigma_factor: float = 2.0


def lift_tracks(
    tracks: Tracks2D,
    depth: DepthVideo,
    cameras: Cameras,
    *,
    max_depth_m: float = 20.0,
    video: Video | None = None,
    mode: Literal["default", "reference"] = "default",
    label: bool = True,
    options: LiftOptions | None = None,
    report: Report = silent,
) -> Tracks3D:
    """Tracks in the world from tracks in the image (Stereo4D section 3.2).

    Depth is read between pixel centres, bilinearly in inverse depth, among those neighbours that lie on the same surface as the
    pixel under the sample; never across a depth edge.

    Args:
        tracks: N tracks of T frames.
        depth: T z-depth maps of the frames that were tracked; NaN (or 0) where unknown.
        cameras: T cameras. Samples of frames without a pose are unknown.
        max_depth_m: Depths of this or more are unknown, in the scene's unit.
        video: Gives each track the colour at its query; grey without.
        mode: "reference" reads depth as published: at the rounded coordinate (half to even, so half a pixel off), colours at the
            truncated one, and unseen samples hold a number, the camera centre where depth is unknown.
        label: Whether `motion` is found, which takes most of the time; 0 otherwise.
        options: How depth is read and how its error is told.
        report: Told after each frame.

    Returns:
        (N, T, 3) world positions in the unit of the depth, NaN where unknown; `visible` where the track is seen and its depth is
        known; `sigma` the standard deviation of each position; `motion` from `motion_label`.

    Raises:
        UserError: tracks, depth and cameras differ in their number of frames, or the depth is not of the cameras' size.
    """
    options = options or LiftOptions()
    frames = tracks.visible.shape[1]
    if not frames == len(depth) == len(cameras):
        raise UserError(f"The tracks have {frames} frames, the depth {len(depth)} and the cameras {len(cameras)}; all must be alike.")
    height, width = depth.depth.shape[1:]
    if frames and not (cameras.size == (width, height)).all():
        raise UserError(
            f"The depth is {width} x {height}, but the cameras are {cameras.size[0, 0]} x {cameras.size[0, 1]}; resize one of them."
        )
    xyz = large_full((len(tracks), frames, 3), np.nan, np.float32)
    sigma = large_full((len(tracks), frames), np.nan, np.float32)
    visible = large_full((len(tracks), frames), False, np.bool_)

    life = _first_and_last(tracks.visible) if mode == "default" else np.array([[0, frames]] * len(tracks)).reshape(-1, 2)

    for first in range(0, frames, TOGETHER):
        some = slice(first, min(first + TOGETHER, frames))
        rows = np.flatnonzero((life[:, 0] < some.stop) & (first <= life[:, 1]))
        tracked = tuple(some_frames(array, rows, some) for array in (tracks.xy, tracks.visible))
        told = None if tracks.sigma_px is None else some_frames(tracks.sigma_px, rows, some)
        block = tuple(some_frames(array, rows, some) for array in (xyz, sigma, visible))

        def lift_frame(
            t: int, first: int = first, rows: NDArray = rows, tracked: tuple = tracked, told: F32 | None = told, block: tuple = block
        ) -> None:
            alive, at = np.flatnonzero((life[rows, 0] <= t) & (t <= life[rows, 1])), t - first
            xy = tracked[0][alive, at].astype(np.float64)
            seen = tracked[1][alive, at] & np.isfinite(xy).all(1) & (xy >= 0).all(1) & (xy < (width, height)).all(1)
            if mode == "reference":
                z = _rounded_depth(depth.depth[t], xy)
            else:
                sigma_px = np.full(len(xy), options.pixel_sigma) if told is None else told[alive, at].astype(np.float64)
                sigma_px = np.where(np.isfinite(sigma_px), sigma_px, options.pixel_sigma)
                z, block[1][alive, at] = _depth_on_surface(depth, t, xy, sigma_px, cameras.K[t], options)
            block[2][alive, at] = seen & (z > 0) & (z < max_depth_m) & cameras.registered[t]
            block[0][alive, at] = _unproject(xy, z, cameras.K[t], cameras.T_wc[t])

        for done, _ in enumerate(in_order(lift_frame, range(first, some.stop)), first + 1):
            report(done, frames)
        for array, lifted in zip((xyz, sigma, visible), block, strict=True):
            for part in pieces(len(rows), array[:1].size):
                array[rows[part], some] = lifted[part]
    rgb = _colours(tracks, video, truncate=mode == "reference")
    motion = np.zeros(len(tracks), np.float32)
    if mode == "reference":
        return Tracks3D(xyz, visible, rgb, motion)
    for some in pieces(*visible.shape):
        xyz[some][~visible[some]] = np.nan
        sigma[some][~visible[some]] = np.nan
    lifted = Tracks3D(xyz, visible, rgb, motion, sigma)
    return replace(lifted, motion=motion_label(lifted, cameras, tracks)) if label else lifted


def _first_and_last(visible: B) -> NDArray[np.int64]:
    """(N, 2) the frames between which a track is seen; none where it never is."""
    out = np.empty((len(visible), 2), np.int64)
    for some in pieces(*visible.shape):
        seen = visible[some]
        out[some, 0] = np.where(seen.any(1), seen.argmax(1), visible.shape[1])
        out[some, 1] = visible.shape[1] - 1 - seen[:, ::-1].argmax(1)
    return out


def _unproject(xy: F64, z: F64, K: F64, T_wc: F64) -> F64:
    """(N, 3) world points; unlike `geometry.unproject` a depth of 0 gives the camera centre."""
    rays = np.concatenate([(xy - K[:2, 2]) / (K[0, 0], K[1, 1]), np.ones((len(xy), 1))], axis=1)
    return (rays * z[:, None]) @ T_wc[:3, :3].T + T_wc[:3, 3]


def _rounded_depth(depth: F32, xy: F64) -> F64:
    """Depth at coordinates rounded half to even and clipped, as published; 0 where unknown."""
    h, w = depth.shape
    column, row = np.clip(np.round(np.nan_to_num(xy)), 0, (w - 1, h - 1)).astype(np.intp).T
    return np.nan_to_num(depth[row, column].astype(np.float64), nan=0.0, posinf=0.0)


def _depth_on_surface(depth: DepthVideo, t: int, xy: F64, sigma_px: F64, K: F64, options: LiftOptions) -> tuple[F64, F64]:
    """(N,) z-depth under the samples of frame t, and the standard deviation of the positions they give."""
    z, sigma = np.full(len(xy), np.nan), np.full(len(xy), np.nan)
    focal = float(K[0, 0])
    per_pixel = 1 / (focal * options.baseline_m) if depth.unit == "metre" else 0.0  # inverse depth of one pixel of disparity
    _read_depth(
        depth.depth[t],
        depth.confidence[t],
        xy,
        sigma_px,
        focal,
        per_pixel * options.disparity_sigma_px,
        per_pixel * options.disparity_outlier_px,
        0.0 if depth.unit == "metre" else options.relative_sigma,
        options.edge_ratio,
        options.edge_sigma_factor,
        z,
        sigma,
    )
    return z, sigma


@compiled()
def _read_depth(depth, confidence, xy, sigma_px, focal, sigma_inverse, outlier_inverse, relative, edge_ratio, edge_factor, z, sigma):
    """Fills (N,) `z` and `sigma` from one (H, W) depth map."""
    h, w = depth.shape
    for n in range(len(xy)):
        x, y = xy[n, 0], xy[n, 1]
        if not (0 <= x < w and 0 <= y < h):
            continue
        column, row = min(int(x), w - 1), min(int(y), h - 1)
        here = np.float64(depth[row, column])
        if not (here > 0 and here < np.inf):
            continue
        inverse = 1 / here
        # Two surfaces differ by more than a slant and more than the noise of a disparity.
        step = max(edge_ratio * inverse, 3 * sigma_inverse)
        edge = False
        for i in range(max(row - 1, 0), min(row + 2, h)):
            for j in range(max(column - 1, 0), min(column + 2, w)):
                other = np.float64(depth[i, j])
                if other > 0 and abs(1 / other - inverse) > step:
                    edge = True
        left, top = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
        total, mean, trust = 0.0, 0.0, 0.0
        low, high = inverse, inverse
        for i in range(top, top + 2):
            for j in range(left, left + 2):
                row_i, column_j = min(max(i, 0), h - 1), min(max(j, 0), w - 1)
                other = np.float64(depth[row_i, column_j])
                if not (other > 0 and other < np.inf) or abs(1 / other - inverse) > step:
                    continue
                share = (1 - abs(x - 0.5 - j)) * (1 - abs(y - 0.5 - i))
                total += share
                mean += share / other
                trust += share * confidence[row_i, column_j]
                low, high = min(low, 1 / other), max(high, 1 / other)
        # The pixel under the sample always has a share of at least a quarter.
        mean /= total
        trust = min(max(trust / total, 0.0), 1.0)
        variance = trust * sigma_inverse**2 + (1 - trust) * outlier_inverse**2
        variance += (relative * mean) ** 2 * (2 - trust)
        variance += ((high - low) * sigma_px[n]) ** 2  # a slanted surface turns a pixel's error into depth
        if edge:
            variance *= edge_factor**2
        z[n] = 1 / mean
        sigma[n] = np.sqrt(variance / mean**4 + 2 * (sigma_px[n] / (focal * mean)) ** 2)


def _colours(tracks: Tracks2D, video: Video | None, *, truncate: bool) -> U8:
    """(N, 3) colour of the video under each query; grey where there is none."""
    rgb = np.full((len(tracks), 3), _GREY, np.uint8)
    if video is None:
        return rgb
    frame = np.clip(np.round(np.nan_to_num(tracks.queries[:, 0])), 0, len(video) - 1).astype(np.intp)
    for t in np.unique(frame):
        rows = np.flatnonzero(frame == t)
        xy = tracks.queries[rows, 1:].astype(np.float64)
        if truncate:
            rgb[rows] = sampling.sample_nearest(video.frames[t], np.trunc(xy))
        else:
            colour = sampling.sample_bilinear(video.frames[t], xy)
            rgb[rows] = np.where(np.isfinite(colour), np.round(np.nan_to_num(colour)), _GREY).astype(np.uint8)
    return rgb
