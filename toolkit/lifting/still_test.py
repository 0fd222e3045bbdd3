"""Tracks that seem to move though their point stands still: the background that a passing thing drags along, put back in its place.

A 2D tracker follows what it sees; beside the outline of something that moves it sees too little to tell which side it is on. With metric
depth and cameras there is a second opinion: where would the point be if it stood still, is the surface seen there as far away as it
should be, and does it look the same?
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from toolkit.geometry.cameras import project
from toolkit.lifting.motion import check_frames
from toolkit.progress import Report, silent
from toolkit.scene import F32, B, Cameras, DepthVideo, Tracks2D, Tracks3D, Video


@dataclass(frozen=True)
class StillTestOptions:
    """When a point is believed to stand still against its tracker.

    Attributes:
        apart_px: A track and its standing point differ where they are further apart; tracks are a few tenths of a pixel sure.
        share: Depth within this share of what it should be is the same surface.
        sigmas: So is depth within so many standard deviations of the track's samples ...
        most_share: ... but none further off than this share, however unsure the track is.
        radius: Half side of the compared patches, in pixels; small, as these points lie beside outlines.
        least_likeness: Correlation of patches from which the standing place looks right.
        margin: How much better the tracked place must look to speak for the tracker.
        weak_vote: A frame with the right depth but too little texture to compare speaks this much for it.
        hidden_vote: A frame where something nearer covers the standing place speaks this much for it: that is what drags tracks away.
        odds: Votes for standing still needed per vote against.
        fewest: Frames that must differ before anything is changed.
    """

    apart_px: float = 2.0
    share: float = 0.06
    sigmas: float = 3.0
    most_share: float = 0.15
    radius: int = 4
    least_likeness: float = 0.5
    margin: float = 0.05
    weak_vote: float = 0.25
    hidden_vote: float = 0.25
    odds: float = 1.5
    fewest: int = 3


def put_back_still(
    tracks_2d: Tracks2D,
    tracks_3d: Tracks3D,
    video: Video,
    depth: DepthVideo,
    cameras: Cameras,
    *,
    options: StillTestOptions | None = None,
    report: Report = silent,
) -> tuple[Tracks2D, B]:
    """Tracks whose point stands still after all get the image path of that standing point.

    Args:
        tracks_2d: N tracks of T frames.
        tracks_3d: The same tracks, as lifted.
        video: Their frames.
        depth: (T, H, W) z-depth of these frames.
        cameras: T cameras.
        options: When a standing point is believed.
        report: Called per frame.

    Returns:
        The tracks, and which (N,) were put back; those are visible wherever their surface is seen at the right depth.
    """
    check_frames(tracks_3d, cameras)
    o = options or StillTestOptions()
    N, T = tracks_2d.visible.shape
    if N == 0:
        return tracks_2d, np.zeros(0, bool)
    point, share = _standing_points(tracks_2d, tracks_3d, cameras, o)
    xy, z = (a.astype(np.float32) for a in project(point[:, None], cameras.K, cameras.T_wc))
    allowed = np.clip(o.sigmas * share, o.share, o.most_share)
    query_frame = tracks_2d.queries[:, 0].astype(np.int64)
    size = video.size
    inside = (xy[..., 0] >= 1) & (xy[..., 0] <= size[0] - 1) & (xy[..., 1] >= 1) & (xy[..., 1] <= size[1] - 1) & (z > 0)
    differs = np.asarray(inside & tracks_2d.visible & (np.linalg.norm(tracks_2d.xy - xy, axis=-1) > o.apart_px))
    doubted = np.flatnonzero(differs.sum(1) >= o.fewest)
    relation = np.zeros((len(doubted), T), np.int8)  # of the surface seen there: 0 unknown, 1 right, 2 nearer, 3 farther
    likeness = np.full((2, len(doubted), T), np.nan, np.float32)  # with the query's patch: at the standing place, at the tracked one
    patches = _query_patches(tracks_2d, video, depth, cameras, doubted, query_frame, o.radius)
    for t in range(T):
        if not cameras.registered[t]:
            continue
        grey = _grey(video.frames[t])
        _judge_depth(xy[doubted, t], z[doubted, t], inside[doubted, t], allowed[doubted], depth.depth[t], relation[:, t])
        K, T_cw = cameras.K[t], cameras.T_cw[t]
        _compare(grey, tracks_2d.xy[doubted, t], xy[doubted, t], *patches, K, T_cw, likeness[:, :, t])
        report(t + 1, T)
    stays, follows = likeness
    # A patch without texture, or seen too differently, looks like nothing in particular: then depth has most of the say.
    right_depth = relation == 1
    looks_right = right_depth & (stays >= o.least_likeness) & ~(follows > stays + o.margin)
    looks_wrong = right_depth & (follows >= o.least_likeness) & (follows > stays + o.margin)
    undecided = right_depth & ~looks_right & ~looks_wrong
    where = differs[doubted]
    votes = ((looks_right & where).sum(1) + o.weak_vote * (undecided & where).sum(1)) + o.hidden_vote * ((relation == 2) & where).sum(1)
    still = votes > o.odds * ((looks_wrong | (relation == 3)) & where).sum(1)
    rows = doubted[still]
    put_back = np.zeros(N, bool)
    put_back[rows] = True
    new_xy, visible = tracks_2d.xy.copy(), tracks_2d.visible.copy()
    new_xy[rows] = np.where(np.isfinite(xy[rows]), xy[rows], new_xy[rows])
    visible[rows] = inside[rows] & (looks_right | undecided)[still]
    return replace(tracks_2d, xy=new_xy, visible=visible), put_back


def _standing_points(tracks_2d: Tracks2D, tracks_3d: Tracks3D, cameras: Cameras, o: StillTestOptions) -> tuple[NDArray, F32]:
    """Where each point is if it stands still, from the samples around its query that agree; and how sure its depth is, as a share."""
    N, T = tracks_3d.visible.shape
    known = tracks_3d.visible & np.isfinite(tracks_3d.xyz).all(-1)
    query = tracks_2d.queries[:, 0].astype(np.int64)
    distance_in_time = np.abs(np.arange(T) - query[:, None])
    nearest = np.where(known, distance_in_time, 10 * T).argmin(1)
    rows = np.arange(N)
    start = np.where(known[rows, nearest, None], tracks_3d.xyz[rows, nearest], np.nan).astype(np.float64)
    xy, z = project(start[:, None], cameras.K, cameras.T_wc)
    near = known & (np.linalg.norm(tracks_2d.xy - xy, axis=-1) <= o.apart_px)
    near &= np.linalg.norm(tracks_3d.xyz - start[:, None], axis=-1) <= 2 * o.share * z
    sigma = tracks_3d.sigma if tracks_3d.sigma is not None else np.where(known, 0.02 * z, np.nan)
    weight = np.where(near, 1 / np.maximum(sigma, 1e-6) ** 2, 0.0)
    total = weight.sum(1)
    mean = (np.where(near[..., None], tracks_3d.xyz, 0) * weight[..., None]).sum(1) / np.maximum(total, 1e-12)[:, None]
    point = np.where(total[:, None] > 0, mean, start)
    share = np.where(known[rows, nearest], sigma[rows, nearest] / np.maximum(z[rows, nearest], 1e-6), 0.0)
    return point, share.astype(np.float32)


def _query_patches(
    tracks: Tracks2D, video: Video, depth: DepthVideo, cameras: Cameras, rows: NDArray, query_frame: NDArray, radius: int
) -> tuple[F32, F32, F32]:
    """(P, S*S) grey values around each query, how much each counts, and (P, S*S, 3) the world points that they show."""
    count = (2 * radius + 1) ** 2
    values, weights = np.zeros((len(rows), count), np.float32), np.zeros((len(rows), count), np.float32)
    points = np.zeros((len(rows), count, 3), np.float32)
    for t in np.unique(query_frame[rows]):
        here = np.flatnonzero(query_frame[rows] == t)
        if cameras.registered[t]:
            K, T_wc = cameras.K[t], cameras.T_wc[t]
            _cut(_grey(video.frames[t]), depth.depth[t], tracks.queries[rows[here], 1:], here, radius, K, T_wc, values, weights, points)
    return values, weights, points


def _grey(frame: NDArray) -> F32:
    return cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (0, 0), 1.0).astype(np.float32)


@njit(cache=True, nogil=True)
def _judge_depth(xy, z, inside, allowed, depth, relation):  # pragma: no cover - compiled
    """Fills (P,) `relation` of the surface seen at each place to where the point should be."""
    h, w = depth.shape
    for p in range(len(z)):
        if not inside[p]:
            continue
        seen = depth[min(h - 1, int(xy[p, 1])), min(w - 1, int(xy[p, 0]))]
        if not np.isfinite(seen):
            continue
        difference = (seen - z[p]) / z[p]
        relation[p] = 1 if abs(difference) <= allowed[p] else (2 if difference < 0 else 3)


@njit(cache=True, nogil=True)
def _cut(grey, depth, xy, places, radius, K, T_wc, values, weights, points):  # pragma: no cover - compiled
    """Fills the patches of these places; pixels at another depth than the middle do not count, the others lie on a plane."""
    h, w = grey.shape
    side = 2 * radius + 1
    inverse = np.empty(side * side)
    for i in range(len(places)):
        p = places[i]
        middle = depth[min(h - 1, max(0, int(xy[i, 1]))), min(w - 1, max(0, int(xy[i, 0])))]
        if not np.isfinite(middle):
            continue
        A, rhs = np.zeros((3, 3)), np.zeros(3)
        for k in range(side * side):
            dx, dy = k % side - radius, k // side - radius
            x, y = xy[i, 0] - 0.5 + dx, xy[i, 1] - 0.5 + dy
            if x < 0 or y < 0 or x > w - 1 or y > h - 1:
                continue
            z = depth[min(h - 1, int(y + 0.5)), min(w - 1, int(x + 0.5))]
            if not abs(z - middle) < 0.1 * middle:
                continue
            values[p, k] = _look_up(grey, x, y)
            weights[p, k] = np.exp(-0.5 * (dx * dx + dy * dy) / (0.5 * radius) ** 2)
            basis = np.array([1.0, dx, dy])
            for a in range(3):
                rhs[a] += weights[p, k] * basis[a] / z
                for b in range(3):
                    A[a, b] += weights[p, k] * basis[a] * basis[b]
        for a in range(1, 3):
            A[a, a] += 1e-3 * A[0, 0] + 1e-9  # a thin strip of pixels tells no slope across it
        plane = np.linalg.solve(A + 1e-12 * np.eye(3), rhs)
        for k in range(side * side):
            dx, dy = k % side - radius, k // side - radius
            inverse[k] = plane[0] + plane[1] * dx + plane[2] * dy
            if inverse[k] <= 0:
                weights[p, k] = 0
                continue
            z = 1 / inverse[k]
            X = z * (xy[i, 0] + dx - K[0, 2]) / K[0, 0]
            Y = z * (xy[i, 1] + dy - K[1, 2]) / K[1, 1]
            for a in range(3):
                points[p, k, a] = T_wc[a, 0] * X + T_wc[a, 1] * Y + T_wc[a, 2] * z + T_wc[a, 3]


@njit(cache=True, nogil=True)
def _compare(grey, tracked, standing, values, weights, points, K, T_cw, likeness):  # pragma: no cover - compiled
    """Fills (2, P) weighted correlations of the query's patch with where its points stand, and with the same shape at the tracked place.

    NaN outside and for patches without texture.
    """
    h, w = grey.shape
    count = values.shape[1]
    at = np.empty((count, 2))
    for p in range(len(values)):
        if not np.isfinite(standing[p, 0]):
            continue
        for k in range(count):
            X, Y, Z = points[p, k]
            z = T_cw[2, 0] * X + T_cw[2, 1] * Y + T_cw[2, 2] * Z + T_cw[2, 3]
            if weights[p, k] == 0 or z <= 0:
                at[k, 0] = -1e9
                continue
            at[k, 0] = K[0, 0] * (T_cw[0, 0] * X + T_cw[0, 1] * Y + T_cw[0, 2] * Z + T_cw[0, 3]) / z + K[0, 2] - 0.5
            at[k, 1] = K[1, 1] * (T_cw[1, 0] * X + T_cw[1, 1] * Y + T_cw[1, 2] * Z + T_cw[1, 3]) / z + K[1, 2] - 0.5
        for place in range(2):
            shift_x = tracked[p, 0] - standing[p, 0] if place == 1 else 0.0
            shift_y = tracked[p, 1] - standing[p, 1] if place == 1 else 0.0
            n = sa = sb = saa = sbb = sab = 0.0
            for k in range(count):
                x, y = at[k, 0] + shift_x, at[k, 1] + shift_y
                if not (x >= 0 and y >= 0 and x <= w - 1 and y <= h - 1):
                    continue
                c, a, b = weights[p, k], values[p, k], _look_up(grey, x, y)
                n += c
                sa += c * a
                sb += c * b
                saa += c * a * a
                sbb += c * b * b
                sab += c * a * b
            if n < 1:
                continue
            va, vb = saa / n - (sa / n) ** 2, sbb / n - (sb / n) ** 2
            if va < 2.0 or vb < 2.0:  # one or two grey levels of spread are noise
                continue
            likeness[place, p] = (sab / n - sa * sb / n**2) / np.sqrt(va * vb)


@njit(cache=True, nogil=True)
def _look_up(grey, x, y):  # pragma: no cover - compiled
    """Bilinear value at OpenCV coordinates inside the image."""
    h, w = grey.shape
    c, r = min(int(x), w - 2), min(int(y), h - 2)
    fx, fy = x - c, y - r
    top = grey[r, c] * (1 - fx) + grey[r, c + 1] * fx
    return top * (1 - fy) + (grey[r + 1, c] * (1 - fx) + grey[r + 1, c + 1] * fx) * fy
