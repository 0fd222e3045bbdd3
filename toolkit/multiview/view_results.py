"""N points as V views see them and as they are in the world: what tracking through views gives, made of what was measured."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.cameras import project
from toolkit.multiview.following import ViewTracks
from toolkit.multiview.surfaces import Surfaces
from toolkit.scene import F32, F64, U8, B, Cameras, MultiViewVideo, Tracks2D, Tracks3D


@dataclass(frozen=True, eq=False)
class MultiViewTracks:
    """N points in the world and in each of V views.

    Attributes:
        tracks_3d: In the world; `visible` where two views or more see the point, or one and the thing that it belongs to.
        tracks_2d: One a view: the point's reprojection, `visible` where that view was seen to show it.
        residual_px: (V, N, T) float32 from where a view saw the point to its reprojection; NaN where it did not.
        bodies: Number of rigid things that were found.
    """

    tracks_3d: Tracks3D
    tracks_2d: tuple[Tracks2D, ...]
    residual_px: F32
    bodies: int

    def select(self, which: NDArray) -> MultiViewTracks:
        """The points of a boolean mask (N,) or of indices."""
        tracks_2d = tuple(tracks.select(which) for tracks in self.tracks_2d)
        return MultiViewTracks(self.tracks_3d.select(which), tracks_2d, self.residual_px[:, which], self.bodies)

    @property
    def views_seeing(self) -> NDArray[np.int_]:
        """(N, T) how many views see each point."""
        return np.sum([tracks.visible for tracks in self.tracks_2d], axis=0)

    def backed(self, *, share: float = 0.3, frames: int = 3) -> B:
        """(N,) points that two views at least saw in a good part of the clip: others may never have been where they were put."""
        seen = (self.views_seeing > 1).sum(1)
        return seen >= max(min(frames, self.residual_px.shape[2]), share * self.residual_px.shape[2])


def scale_of(cameras: tuple[Cameras, ...], queries: NDArray) -> float:
    """Median distance from the cameras to the points: the size of the scene."""
    centres = np.concatenate([camera.centres[camera.registered][:1] for camera in cameras])
    return float(np.median(np.linalg.norm(centres[None] - queries[:, None, 1:], axis=-1))) if len(queries) else 1.0


def told(
    clip: MultiViewVideo,
    queries: F32,
    seen: ViewTracks,
    xyz: F64,
    sigma: F64,
    bodies: int,
    adopted_px: float,
    surfaces: Surfaces | None,
) -> MultiViewTracks:
    """The nouns: what every view sees, and what is known in the world."""
    V, N, T = seen.sigma_px.shape
    tracks_2d, visible = [], np.zeros((V, N, T), bool)
    residual = np.full((V, N, T), np.nan, np.float32)
    for v, camera in enumerate(clip.cameras):
        xy, z = project(xyz, camera.K, camera.T_wc)
        residual[v] = np.linalg.norm(seen.xy[v] - xy, axis=-1)
        with np.errstate(invalid="ignore"):
            # A place taken from the other views alone was not seen in this one.
            visible[v] = (residual[v] < np.maximum(3.0, 4 * seen.sigma_px[v])) & (seen.sigma_px[v] != adopted_px)
        if surfaces is not None:
            for t in range(T):
                on, off = surfaces.shown(v, t, xy[:, t], z[:, t])
                visible[v, :, t] = (visible[v, :, t] | on) & ~off
        asked = np.column_stack([queries[:, 0], xy[np.arange(N), queries[:, 0].astype(int)]]).astype(np.float32)
        confidence = np.where(visible[v], np.exp(-0.5 * (np.nan_to_num(residual[v], nan=9.0) / 3.0) ** 2), 0.0).astype(np.float32)
        tracks_2d.append(Tracks2D(xy.astype(np.float32), visible[v], confidence, asked, seen.sigma_px[v].astype(np.float32)))
    residual[~visible] = np.nan
    known = np.isfinite(xyz[..., 0])
    rgb = _colours(clip, queries, visible)
    motion = _motion(xyz, sigma, scale_of(clip.cameras, queries))
    tracks_3d = Tracks3D(xyz.astype(np.float32), known & visible.any(0), rgb, motion, sigma.astype(np.float32))
    return MultiViewTracks(tracks_3d, tuple(tracks_2d), residual, bodies)


def _colours(clip: MultiViewVideo, queries: F32, visible: B) -> U8:
    """(N, 3) median colour under each query over the views that see it."""
    found = np.full((len(clip.views), len(queries), 3), np.nan)
    for v, (view, camera) in enumerate(zip(clip.views, clip.cameras, strict=True)):
        width, height = view.size
        for n, (moment, *place) in enumerate(queries):
            t = int(moment)
            xy, _ = project(np.array(place, np.float64), camera.K[t], camera.T_wc[t])
            if visible[v, n, t] and 0 <= xy[0] < width and 0 <= xy[1] < height:
                found[v, n] = view.frames[t, int(xy[1]), int(xy[0])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nan_to_num(np.nanmedian(found, axis=0), nan=128.0).astype(np.uint8) if len(queries) else np.zeros((0, 3), np.uint8)


def _motion(xyz: F64, sigma: F64, scale: float) -> F32:
    """(N,) 0 still .. 1 moving: half where the path is as wide as eight of its sigmas and three thousandths of the scene.

    Of a point that stands still the places of all frames, in three axes, spread over five or six sigmas.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        wide = np.linalg.norm(np.nanpercentile(xyz, 95, axis=1) - np.nanpercentile(xyz, 5, axis=1), axis=-1)
        doubt = np.hypot(8 * np.nanmedian(sigma, axis=1), 0.003 * scale)
    ratio = np.nan_to_num(wide / np.maximum(doubt, 1e-12))
    return (ratio**2 / (1 + ratio**2)).astype(np.float32)
