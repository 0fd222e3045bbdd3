"""Depth maps from optimised tracks: the tracks themselves, z-tested, and dense depth brought in line with them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from toolkit.compiling import compiled
from toolkit.disk_arrays import TOGETHER, large_copy, large_empty, some_frames
from toolkit.errors import UserError
from toolkit.geometry.cameras import project
from toolkit.lifting.fusion import FusionOptions, fuse_still
from toolkit.lifting.motion import check_frames, known_samples
from toolkit.parallel import in_order
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, B, Cameras, DepthVideo, Tracks3D

_BLUR_CELLS = 0.8  # standard deviation: what lies between two cells is found from both
_CONTRADICTION = 12.0  # times the usual disagreement with the surroundings, at which trust falls to a quarter; beside edges some is due


@dataclass(frozen=True)
class RefineOptions:
    """How far a track's correction of the depth reaches.

    Attributes:
        cell_spacings: Distance over which corrections are averaged, in spacings of the tracks of a frame.
        cell_px: Least and largest such distance: a tracker's own error, and where neighbours stop being alike.
        cell_depth: Difference of the logarithm of depth over which they are averaged; surfaces further apart stay independent.
        still_share: Where so large a share of the tracks stands still, depth is averaged over frames, and checked by them.
        fusion: How.
        largest: Corrections by more than this share are lookups beside edges and are left out.
        prior_tracks: Number of tracks that "no correction" is worth: where few tracks are, little changes.
    """

    cell_spacings: float = 1.0
    cell_px: tuple[float, float] = (4.0, 32.0)
    cell_depth: float = 0.05
    still_share: float = 0.4
    fusion: FusionOptions = field(default_factory=FusionOptions)
    largest: float = 0.5
    prior_tracks: float = 0.5


def depth_from_tracks(
    tracks_3d: Tracks3D, cameras: Cameras, size: tuple[int, int] | None = None, *, radius_px: float = 0.0, report: Report = silent
) -> DepthVideo:
    """Sparse depth maps of tracks seen again by their cameras; the nearest point wins a pixel.

    Args:
        tracks_3d: N tracks of T frames.
        cameras: T cameras.
        size: (width, height) of the maps in pixels; the cameras' own by default. Must be the size that K belongs to.
        radius_px: Pixels with their centre this near a point take its depth; 0 for the pixel it falls into alone.
        report: Told after each frame.

    Returns:
        (T, H, W) z-depth in the scene's unit, NaN where no track is; confidence 1 where one is.

    Raises:
        UserError: tracks and cameras differ in their number of frames.
    """
    check_frames(tracks_3d, cameras)
    width, height = size if size is not None else _size(cameras)
    known = known_samples(tracks_3d, cameras)
    depth = np.full((len(cameras), height, width), np.inf, np.float32)
    for t in range(len(cameras)):
        xyz = tracks_3d.xyz[known[:, t], t].astype(np.float64)
        xy, z = project(xyz, cameras.K[t], cameras.T_wc[t])
        _splat(xy, z, radius_px, depth[t])
        report(t + 1, len(cameras))
    depth[~np.isfinite(depth)] = np.nan
    return DepthVideo(depth, np.isfinite(depth).astype(np.float32))


def refine_depth(
    depth: DepthVideo, tracks_3d: Tracks3D, cameras: Cameras, *, options: RefineOptions | None = None, report: Report = silent
) -> DepthVideo:
    """Dense depth with the corrections that optimised tracks found, spread over each surface; then what stands still over time.

    A wrong disparity is an offset of inverse depth that neighbours on the same surface share. The offsets at the tracks are averaged
    over image position and depth (a bilateral grid) and added to every pixel's inverse depth. What stands still by the same tracks
    is then averaged over frames (`fuse_still`).

    Args:
        depth: T depth maps, as the tracks were lifted from.
        tracks_3d: The optimised tracks.
        cameras: T cameras.
        options: How far corrections reach.
        report: Told after each frame.

    Returns:
        Maps of the same shape, unknown where they were unknown and where other frames see through them; the confidence is unchanged.

    Raises:
        UserError: depth, tracks and cameras differ in their number of frames.
    """
    check_frames(tracks_3d, cameras)
    if len(depth) != len(cameras):
        raise UserError(f"There are {len(depth)} depth maps, but {len(cameras)} cameras; one per frame is needed.")
    options = options or RefineOptions()
    known = known_samples(tracks_3d, cameras)
    refined = large_copy(depth.depth)
    still = large_empty((len(depth), -(-refined[:1].size // 8)), np.uint8)  # packed bits: an eighth of a byte per pixel
    every = np.arange(len(tracks_3d))
    for first in range(0, len(depth), TOGETHER):
        some = slice(first, min(first + TOGETHER, len(depth)))
        xyz, seen = some_frames(tracks_3d.xyz, every, some), some_frames(known, every, some)
        spread = None if tracks_3d.sigma is None else some_frames(tracks_3d.sigma, every, some)

        def refine_frame(t: int, first: int = first, xyz: F32 = xyz, seen: B = seen, spread: F32 | None = spread) -> None:
            rows = seen[:, t - first]
            xy, z = project(xyz[rows, t - first].astype(np.float64), cameras.K[t], cameras.T_wc[t])
            sigma = None if spread is None else spread[rows, t - first].astype(np.float64)
            still[t] = np.packbits(_refine_frame(refined[t], xy, z, sigma, tracks_3d.motion[rows], options))

        for done, _ in enumerate(in_order(refine_frame, range(first, some.stop)), first + 1):
            report(done, 3 * len(depth))

    def stands_still(t: int) -> B:
        return np.unpackbits(still[t], count=refined[t].size).astype(bool).reshape(refined[t].shape)

    done = len(depth)
    fuse_still(refined, cameras, stands_still, options=options.fusion, report=lambda t, _: report(done + t, 3 * done))
    return DepthVideo(refined, depth.confidence, depth.unit)


def _size(cameras: Cameras) -> tuple[int, int]:
    """(width, height) of the first camera; 1 x 1 for none."""
    return (int(cameras.size[0, 0]), int(cameras.size[0, 1])) if len(cameras) else (1, 1)


def _refine_frame(depth: F32, xy: F64, z: F64, sigma: F64 | None, motion: F32, options: RefineOptions) -> B:
    """Corrects one (H, W) map in place; gives what is known to stand still in it."""
    h, w = depth.shape
    still = np.zeros((h, w), bool)
    seen: B = (xy >= 0).all(1) & (xy < (w, h)).all(1) & (z > 0)
    xy, z, motion = xy[seen], z[seen], motion[seen]
    measured = depth[xy[:, 1].astype(np.intp), xy[:, 0].astype(np.intp)].astype(np.float64)
    share = measured / np.where(z > 0, z, 1) - 1  # what inverse depth must grow by, as a share
    usable = np.isfinite(share) & (measured > 0) & (np.abs(share) < options.largest)
    if not usable.any():
        return still
    # A track surer than the depth counts fully; one that is not counts by how sure it is.
    weight = np.ones(len(z)) if sigma is None else 1 / (1 + (np.nan_to_num(sigma[seen], nan=np.inf) / (0.05 * z)) ** 2)
    near, far = np.log(np.nanmin(depth[depth > 0])), np.log(np.nanmax(depth))
    cell_px = float(np.clip(options.cell_spacings * np.sqrt(h * w / usable.sum()), *options.cell_px))
    shape = (int(h / cell_px) + 2, int(w / cell_px) + 2, int((far - near) / options.cell_depth) + 2)
    at = np.column_stack([xy[:, 1] / cell_px, xy[:, 0] / cell_px, (np.log(np.maximum(measured, 1e-9)) - near) / options.cell_depth])
    cell = np.round(at[usable]).astype(np.intp)
    weight, share = weight[usable], share[usable]
    correction = _spread_out(cell, weight, share, shape, options.prior_tracks)
    # Once more, with less trust in tracks that their surroundings contradict.
    against = np.abs(share - correction[tuple(cell.T)])
    weight = weight / (1 + (against / (_CONTRADICTION * np.median(against) + 1e-6)) ** 2) ** 2
    correction = _spread_out(cell, weight, share, shape, options.prior_tracks)
    stillness = _spread_out(cell, weight, (motion[usable] <= 0.5).astype(np.float64), shape, options.prior_tracks)
    _add_correction(depth, correction, stillness, options.still_share, cell_px, options.cell_depth, near, still)
    return still


def _spread_out(cell: NDArray, weight: F64, share: F64, shape: tuple[int, int, int], prior: float) -> F32:
    """Mean of the shares of the tracks in and around each cell, drawn towards 0 where there are few."""
    total, count = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    np.add.at(total, tuple(cell.T), (weight * share).astype(np.float32))
    np.add.at(count, tuple(cell.T), weight.astype(np.float32))
    return np.asarray(_blur(total) / (_blur(count) + np.float32(prior)), np.float32)


def _blur(grid: F32) -> F32:
    """Sums over the neighbouring cells; one track alone keeps the count of one at its place."""
    taps = np.exp(-0.5 * (np.arange(-2, 3) / _BLUR_CELLS) ** 2)
    for axis in range(3):
        grid = np.asarray(correlate1d(grid, taps, axis=axis, mode="constant"), np.float32)
    return grid


@compiled()
def _splat(xy: NDArray, z: NDArray, radius_px: float, depth: NDArray) -> None:
    """Fills an (H, W) map of infinities with the nearest of the points that cover each pixel."""
    h, w = depth.shape
    for n in range(len(z)):
        x, y = xy[n, 0], xy[n, 1]
        if not (z[n] > 0 and -radius_px <= x < w + radius_px and -radius_px <= y < h + radius_px):
            continue
        for row in range(max(int(np.floor(y - radius_px)), 0), min(int(np.floor(y + radius_px)) + 1, h)):
            for column in range(max(int(np.floor(x - radius_px)), 0), min(int(np.floor(x + radius_px)) + 1, w)):
                own = row == int(np.floor(y)) and column == int(np.floor(x))
                if own or (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= radius_px**2:
                    depth[row, column] = min(depth[row, column], z[n])


@compiled()
def _add_correction(depth, correction, stillness, still_share, cell_px, cell_depth, near, still):
    """Divides each known depth by 1 + the correction, read between the cells of the (rows, columns, depths) grid; fills `still`."""
    h, w = depth.shape
    rows, columns, depths = correction.shape
    for i in range(h):
        y = (i + 0.5) / cell_px
        y0 = min(int(y), rows - 2)
        ay = y - y0
        for j in range(w):
            value = depth[i, j]
            if not (value > 0 and value < np.inf):
                continue
            x = (j + 0.5) / cell_px
            x0 = min(int(x), columns - 2)
            ax = x - x0
            d = (np.log(value) - near) / cell_depth
            d0 = min(max(int(d), 0), depths - 2)
            ad = d - d0
            total, stands = 0.0, 0.0
            for a in range(2):
                for b in range(2):
                    share = (ay if a else 1 - ay) * (ax if b else 1 - ax)
                    stands += share * ((1 - ad) * stillness[y0 + a, x0 + b, d0] + ad * stillness[y0 + a, x0 + b, d0 + 1])
                    total += share * ((1 - ad) * correction[y0 + a, x0 + b, d0] + ad * correction[y0 + a, x0 + b, d0 + 1])
            depth[i, j] = value / (1 + total)
            still[i, j] = stands > still_share
