"""Exact tracks and flow of a world: where the surface under a pixel goes, seen or hidden."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import project
from toolkit.geometry.sampling import inside, pixel_centres
from toolkit.scene import F32, F64, U8, B, Cameras, Tracks2D, Tracks3D
from toolkit.synthetic.clips import look_pinhole, pinhole_rays
from toolkit.synthetic.world import World


@dataclass(frozen=True, eq=False)
class TrueTracks:
    """Where points are, known exactly also while they are hidden or out of the picture.

    Attributes:
        xyz_w: (N, T, 3) float64 world points in metres; NaN for a query on the sky.
        xy: (N, T, 2) float64 pixels; NaN behind the camera.
        visible: (N, T) inside the picture and not hidden; True at the query itself.
        object_id: (N,) int16, 0 for a query on the sky.
        moving: (N,) whether the point's body moves in the world.
        queries: (N, 3) float32 (t, x, y).
        rgb: (N, 3) uint8 colour at the query.
    """

    xyz_w: F64
    xy: F64
    visible: B
    object_id: NDArray[np.int16]
    moving: B
    queries: F32
    rgb: U8

    @property
    def tracks_2d(self) -> Tracks2D:
        """As tracks in pixels, with full confidence where visible."""
        return Tracks2D(self.xy.astype(np.float32), self.visible, self.visible.astype(np.float32), self.queries)

    @property
    def tracks_3d(self) -> Tracks3D:
        """As tracks in the world, hidden samples included; `motion` is 0 or 1."""
        return Tracks3D(self.xyz_w.astype(np.float32), self.visible, self.rgb, self.moving.astype(np.float32))


@dataclass(frozen=True, eq=False)
class TrueFlow:
    """How each pixel of one frame moves to another.

    Attributes:
        xy: (H, W, 2) float32 displacement in pixels; the sky moves as what is infinitely far; NaN behind the camera.
        visible: (H, W) whether the same surface is seen in the other frame.
    """

    xy: F32
    visible: B


def true_tracks(world: World, cameras: Cameras, times_s: ArrayLike, queries: ArrayLike) -> TrueTracks:
    """Tracks of the surfaces under queried pixels.

    Args:
        world: What is filmed.
        cameras: Pinhole camera of each frame.
        times_s: (T,) seconds.
        queries: (N, 3) (t, x, y): frame index and pixels.

    Raises:
        UserError: a query outside the film.
    """
    times, q = np.asarray(times_s, np.float64), np.asarray(queries, np.float64).reshape(-1, 3)
    frame = q[:, 0].astype(np.int64)
    if len(q) and not (np.all(frame == q[:, 0]) and 0 <= frame.min() and frame.max() < len(times)):
        bad = q[(frame != q[:, 0]) | (frame < 0) | (frame >= len(times)), 0][0]
        raise UserError(f"A query asks for frame {bad:g}, but the film has frames 0 to {len(times) - 1}.")
    n, T = len(q), len(times)
    start, body = np.full((n, 3), np.nan), np.full(n, -1)
    object_id, rgb = np.zeros(n, np.int16), np.zeros((n, 3), np.uint8)
    for t in np.unique(frame):
        at = np.flatnonzero(frame == t)
        d = np.concatenate([q[at, 1:], np.ones((len(at), 1))], 1) @ np.linalg.inv(cameras.K[t]).T @ cameras.T_wc[t, :3, :3].T
        hit = world.cast(cameras.centres[t], d, float(times[t]), pixel=1.0 / float(cameras.K[t, 0, 0]))
        start[at], body[at], object_id[at], rgb[at] = hit.xyz_w, hit.body, hit.object_id, hit.rgb
    poses = [world.body_poses(float(t)) for t in times]
    xyz_w = np.empty((n, T, 3))
    for t in np.unique(frame):
        at = np.flatnonzero(frame == t)
        for s in range(T):
            xyz_w[at, s] = world.moved(start[at], body[at], poses[t], poses[s])
    xy, visible = true_visibility(world, cameras, times, xyz_w)
    moving = (body >= 0) & world.moves[np.maximum(body, 0)]
    return TrueTracks(xyz_w, xy, visible, object_id, moving, q.astype(np.float32), rgb)


def true_visibility(world: World, cameras: Cameras, times_s: ArrayLike, xyz_w: NDArray) -> tuple[F64, B]:
    """Where points on surfaces appear in a camera: in another view than the one they were queried in.

    Args:
        world: What is filmed.
        cameras: Pinhole camera of each frame.
        times_s: (T,) seconds.
        xyz_w: (N, T, 3) points ON surfaces, as `TrueTracks` has them.

    Returns:
        xy: (N, T, 2) pixels; NaN behind the camera.
        visible: (N, T) inside the picture and not hidden.
    """
    xy, depth = project(xyz_w, cameras.K, cameras.T_wc)
    visible = np.zeros(depth.shape, bool)
    for t, time_s in enumerate(np.asarray(times_s, np.float64)):
        at = np.flatnonzero((depth[:, t] > 0) & inside(xy[:, t], tuple(cameras.size[t])))
        visible[at, t] = world.reaches(np.broadcast_to(cameras.centres[t], (len(at), 3)), xyz_w[at, t], time_s)
    return xy, visible


def true_flow(world: World, cameras: Cameras, times_s: ArrayLike, start: int, stop: int) -> TrueFlow:
    """Flow of every pixel of frame `start` to frame `stop` (before or after it)."""
    times = np.asarray(times_s, np.float64)
    size = (int(cameras.size[start, 0]), int(cameras.size[start, 1]))
    T_wc, centre = cameras.T_wc[start], cameras.centres[stop]
    view = look_pinhole(world, cameras.K[start], size, T_wc, times[start], paint=False)
    rays = pinhole_rays(cameras.K[start], size) @ T_wc[:3, :3].T
    solid = view.body >= 0
    # The sky is a point far enough away that the camera's own movement is nothing.
    xyz_w = np.where(solid[..., None], T_wc[:3, 3] + np.where(solid, view.distance, 0)[..., None] * rays, centre + 1e9 * rays)
    before, after = world.body_poses(times[start]), world.body_poses(times[stop])
    xyz_w[solid] = world.moved(xyz_w[solid], view.body[solid], before, after)
    xy, depth = project(xyz_w, cameras.K[stop], cameras.T_wc[stop])
    visible = (depth > 0) & inside(xy, tuple(cameras.size[stop]))
    seen = visible & solid
    visible[seen] = world.reaches(np.broadcast_to(centre, (int(seen.sum()), 3)), xyz_w[seen], times[stop])
    far = visible & ~solid
    if far.any():
        visible[far] = world.cast(centre, rays[far], times[stop]).distance == inf
    return TrueFlow((xy - pixel_centres(size)).astype(np.float32), visible)
