"""What the depth of the views says of points: how far away the surface at a pixel is, and whether something nearer hides a point."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.disk_arrays import TOGETHER, large_full, let_go
from toolkit.geometry.cameras import project
from toolkit.scene import F32, F64, U8, B, MultiViewVideo

EDGE = 6.0  # standard deviations of depth by which neighbours differ at the edge of a thing
LEAST_SHARE, MOST_SHARE = 0.004, 0.15  # of a depth, that depth errs by
SIGMAS = 3.0  # of depth, beyond which a point is not on the surface


@dataclass(frozen=True, eq=False)
class Surfaces:
    """The depth of V views with how good it is.

    Attributes:
        depth: V arrays (T, H, W) float32 z-depth, NaN where unknown.
        share: Standard deviation of depth over depth.
    """

    depth: tuple[F32, ...]
    share: float

    def around(self, v: int, t: int, xy: NDArray) -> tuple[F64, F64]:
        """Twice (N,): the nearest and the farthest that the surface at pixels (N, 2) may be, NaN where unknown."""
        return _around(self.depth[v][t], xy, EDGE * self.share)

    def shown(self, v: int, t: int, xy: NDArray, z: NDArray) -> tuple[B, B]:
        """(N,) which points at pixels (N, 2) with depth (N,) are on the surface that the view sees there, and which surely are not."""
        near, far = self.around(v, t, xy)
        slack = SIGMAS * self.share
        with np.errstate(invalid="ignore"):
            off = (z > (1 + slack) * far) | (z < (1 - slack) * near)
            on = (z <= (1 + slack) * far) & (z >= (1 - slack) * near)
        return on, off


def surfaces_of(clip: MultiViewVideo, queries: NDArray) -> Surfaces | None:
    """The depth of a clip, judged by points that were asked for; None where there is none.

    Args:
        clip: The views.
        queries: (N, 4) (t, x, y, z): points on surfaces.
    """
    if clip.depth_m is None or not any(np.isfinite(depth).any() for depth in clip.depth_m):
        return None
    off = []
    for v, camera in enumerate(clip.cameras):
        for t in np.unique(queries[:, 0]).astype(int):
            rows = queries[:, 0] == t
            xy, z = project(queries[rows, 1:].astype(np.float64), camera.K[t], camera.T_wc[t])
            near, far = _around(clip.depth_m[v][t], xy, 0.1)
            with np.errstate(invalid="ignore"):
                off.append((0.5 * (near + far) / z - 1)[far - near < 0.05 * z])
    error = np.abs(np.concatenate(off)) if off else np.zeros(0)
    error = error[error < 3 * MOST_SHARE]  # the others are hidden there
    share = float(1.4826 * np.median(error)) if len(error) else 0.02  # noqa: PLR2004 (as depth from views is)
    return Surfaces(clip.depth_m, float(np.clip(share, LEAST_SHARE, MOST_SHARE)))


def layers_of(images: list[U8], surfaces: Surfaces | None, *, changed: float = 12.0, noise: float = 4.0) -> list[F32] | list[U8]:
    """V arrays (T, H, W) of what tells a thing from what lies behind it: its depth, else 2 where a view shows what moves and 1 elsewhere.

    Args:
        images: V arrays (T, H, W) of grey frames.
        surfaces: The depth of the views.
        changed: Grey levels by which a pixel must differ from its median over time ...
        noise: ... and in so many times the usual change of the picture.
    """
    if surfaces is not None:
        return list(surfaces.depth)
    layers = []
    for frames in images:
        behind = np.median(frames[np.linspace(0, len(frames) - 1, min(len(frames), 25)).astype(int)], axis=0).astype(np.float32)
        layer = large_full(frames.shape, 1, np.uint8)
        for t, frame in enumerate(frames):
            change = np.abs(frame.astype(np.float32) - behind)
            mask = cv2.GaussianBlur(change, (0, 0), 1.0) > max(changed, noise * float(np.median(change)))
            if mask.mean() < 0.6:  # noqa: PLR2004 (else the camera moves)
                layer[t] += cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
            if not t % TOGETHER:
                let_go()
        layers.append(layer)
    return layers


def level_at(layer: F32 | U8, xy: NDArray, wanted: NDArray) -> F64:
    """(N,) the layer at pixels (N, 2), of their neighbours the one nearest to what is wanted (N,): edges are never exact."""
    height, width = layer.shape
    at = np.nan_to_num(xy, nan=0.0).astype(int)
    rows = np.clip(at[:, 1, None, None] + np.array([-1, 0, 1])[:, None], 0, height - 1)
    columns = np.clip(at[:, 0, None, None] + np.array([-1, 0, 1])[None], 0, width - 1)
    near = layer[rows, columns].reshape(len(xy), 9).astype(np.float64)
    off = np.abs(near - wanted[:, None])
    best = np.argmin(np.where(np.isfinite(off), off, np.inf), axis=1)
    return near[np.arange(len(xy)), best]


def _around(depth: F32, xy: NDArray, edge: float) -> tuple[F64, F64]:
    height, width = depth.shape
    with np.errstate(invalid="ignore"):
        inside = (xy >= 0).all(-1) & (xy[:, 0] < width) & (xy[:, 1] < height)
    at = np.where(inside[:, None], xy, 0.5).astype(int)
    rows = np.clip(at[:, 1, None, None] + np.array([-1, 0, 1])[:, None], 0, height - 1)
    columns = np.clip(at[:, 0, None, None] + np.array([-1, 0, 1])[None], 0, width - 1)
    z = depth[rows, columns].reshape(len(xy), 9).astype(np.float64)
    z[~inside | ~np.isfinite(depth[at[:, 1], at[:, 0]])] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        middle, near, far = np.nanmedian(z, 1), np.nanmin(z, 1), np.nanmax(z, 1)
    with np.errstate(invalid="ignore"):
        flat = far - near < edge * middle
    return np.where(flat, middle, near), np.where(flat, middle, far)
