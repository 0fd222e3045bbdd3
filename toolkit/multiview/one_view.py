"""Where one view alone sees a point: somewhere on its ray, about as far away as it was when others saw it, too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.cameras import project, unproject
from toolkit.multiview.following import ViewTracks
from toolkit.scene import F64, B, Cameras

ALONG = 0.25  # standard deviation along the ray over the distance: next to nothing is known of it


def on_rays(seen: ViewTracks, xyz_w: NDArray, cameras: tuple[Cameras, ...], *, along: float = ALONG) -> tuple[F64, F64, B]:
    """Places on the rays of views that see a point alone.

    Args:
        seen: N points in V views.
        xyz_w: (N, T, 3) where they are otherwise known, NaN elsewhere.
        cameras: V cameras of T frames.
        along: Standard deviation along the ray over the distance.

    Returns:
        (N, T, 3) places, NaN where no view is alone or where the point never was known; (N, T, 3, 3) their covariance, long and thin;
        and (N, T) where there are such places.
    """
    N, T = xyz_w.shape[:2]
    out, covariance = np.full((N, T, 3), np.nan), np.full((N, T, 3, 3), np.nan)
    known = np.isfinite(xyz_w[..., 0])
    there = np.isfinite(seen.sigma_px)
    alone = (there.sum(0) == 1) & ~known
    frames = np.arange(T)
    for v, camera in enumerate(cameras):
        _, depth = project(xyz_w, camera.K, camera.T_wc)
        for n in np.flatnonzero((alone & there[v]).any(1) & known.any(1)):
            rows = np.flatnonzero(alone[n] & there[v, n])
            far = np.interp(rows, frames[known[n]], depth[n, known[n]])
            xyz = unproject(seen.xy[v, n, rows], far, camera.K[rows], camera.T_wc[rows])
            ray = xyz - camera.centres[rows]
            length = np.linalg.norm(ray, axis=1)
            ray /= length[:, None]
            across = seen.sigma_px[v, n, rows] * far / camera.K[rows, 0, 0]
            line = ray[:, :, None] * ray[:, None]
            out[n, rows] = xyz
            covariance[n, rows] = across[:, None, None] ** 2 * (np.eye(3) - line) + (along * length)[:, None, None] ** 2 * line
    weak = np.isfinite(out[..., 0])
    return out, covariance, weak
