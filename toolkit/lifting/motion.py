"""How far points move through the world: in pixels with the camera's own motion removed, and beyond what their error explains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.disk_arrays import large_empty, large_full, pieces
from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, B, Cameras, Tracks3D

_CHUNK = 4096  # tracks between two reports: about 25 MB of positions at 177 frames
_NEAREST = 0.01  # scene units; a point closer than this to the camera plane has no stable projection


def scene_motion(tracks_3d: Tracks3D, cameras: Cameras, *, window: int = 16, report: Report = silent) -> F32:
    """How far each point has moved lately, seen by the camera of the moment.

    Where the point is now and where it was at any of the last `window` frames are projected into the same camera;
    the largest distance between the two counts. The camera's own motion therefore drops out (Stereo4D step 5).

    Args:
        tracks_3d: N tracks of T frames in the world.
        cameras: T cameras.
        window: How many earlier frames are looked at.
        report: Told after each chunk of tracks.

    Returns:
        (N, T) float32 pixels; 0 where the point is not measured, has no earlier sample, or neither lies in the image.

    Raises:
        UserError: tracks and cameras differ in their number of frames, or the window is not positive.
    """
    check_frames(tracks_3d, cameras)
    if window < 1:
        raise UserError(f"The window is {window} frames, but at least 1 is needed.")
    K_wc = cameras.K @ cameras.T_cw[:, :3]  # (T, 3, 4)
    size = cameras.size.astype(np.float64)
    known = known_samples(tracks_3d, cameras)
    displacement_px = large_full(known.shape, 0, np.float32)
    for start in range(0, len(known), _CHUNK):
        part = slice(start, start + _CHUNK)
        _largest_displacement(tracks_3d.xyz[part], known[part], K_wc, size, window, displacement_px[part])
        report(min(start + _CHUNK, len(known)), len(known))
    return displacement_px


def published_motion_weight(displacement_px: NDArray, visible: NDArray) -> F64:
    """The share of the dynamic term for each track, as published: sigmoid(90th percentile of its displacement - 20).

    Args:
        displacement_px: (N, T) pixels, from `scene_motion`.
        visible: (N, T) which samples are measured.

    Returns:
        (N,) float64, 0 still .. 1 moving; a track without samples is still.
    """
    p90 = np.zeros(len(visible))
    for length in np.unique(visible.sum(1)):  # tracks with as many samples share one sort
        rows = np.flatnonzero(visible.sum(1) == length)
        if length:
            values = displacement_px[rows][visible[rows]].reshape(len(rows), length)
            p90[rows] = np.percentile(values.astype(np.float64), 90, axis=1)
    return 1 / (1 + np.exp(20 - p90))


def known_samples(tracks_3d: Tracks3D, cameras: Cameras) -> B:
    """(N, T) which samples are measured, hold numbers, and belong to a frame with a camera."""
    known = large_empty(tracks_3d.visible.shape, np.bool_)
    for some in pieces(*known.shape):
        known[some] = tracks_3d.visible[some] & np.isfinite(tracks_3d.xyz[some]).all(-1) & cameras.registered
    return known


def check_frames(tracks: Tracks3D, cameras: Cameras) -> None:
    """A UserError where tracks and cameras differ in their number of frames."""
    if tracks.visible.shape[1] != len(cameras):
        raise UserError(
            f"The tracks have {tracks.visible.shape[1]} frames, but {len(cameras)} cameras were given; one per frame is needed."
        )


@compiled()
def _largest_displacement(xyz, known, K_wc, size, window, displacement_px):
    """Fills (N, T) `displacement_px` from (N, T, 3) positions and (T, 3, 4) projections."""
    for n in range(known.shape[0]):
        for t in range(known.shape[1]):
            if not known[n, t]:
                continue
            M, right, bottom = K_wc[t], size[t, 0] - 0.5, size[t, 1] - 0.5
            x, y, z = np.float64(xyz[n, t, 0]), np.float64(xyz[n, t, 1]), np.float64(xyz[n, t, 2])
            w = M[2, 0] * x + M[2, 1] * y + M[2, 2] * z + M[2, 3]
            if w <= _NEAREST:
                continue
            u = (M[0, 0] * x + M[0, 1] * y + M[0, 2] * z + M[0, 3]) / w
            v = (M[1, 0] * x + M[1, 1] * y + M[1, 2] * z + M[1, 3]) / w
            if not (0.5 <= u < right and 0.5 <= v < bottom):
                continue
            largest = 0.0
            for s in range(max(0, t - window), t):
                if not known[n, s]:
                    continue
                x, y, z = np.float64(xyz[n, s, 0]), np.float64(xyz[n, s, 1]), np.float64(xyz[n, s, 2])
                w = M[2, 0] * x + M[2, 1] * y + M[2, 2] * z + M[2, 3]
                if w <= _NEAREST:
                    continue
                us = (M[0, 0] * x + M[0, 1] * y + M[0, 2] * z + M[0, 3]) / w
                vs = (M[1, 0] * x + M[1, 1] * y + M[1, 2] * z + M[1, 3]) / w
                if 0.5 <= us < right and 0.5 <= vs < bottom:
                    largest = max(largest, (us - u) ** 2 + (vs - v) ** 2)
            displacement_px[n, t] = np.sqrt(largest)
