"""Tracks that seem to move though their point stands still: the background that a passing thing drags along, put back in its place.

A 2D tracker follows what it sees; beside the outline of something that moves it sees too little to tell which side it is on. With metric
depth and cameras there is a second opinion: where would the point be if it stood still, is the surface seen there as far away as it
should be, and does it look the same?
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.disk_arrays import large_copy, large_empty, large_full, pieces
from toolkit.geometry.cameras import project
from toolkit.lifting._patches import compare, query_patches, smooth_grey
from toolkit.lifting.company import CompanyOptions, share_on_surface
from toolkit.lifting.motion import check_frames, known_samples
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, B, Cameras, DepthVideo, Tracks2D, Tracks3D, Video

_JUDGED_SAMPLES = 250_000  # at a time; each needs some 200 bytes
_LEAST_SIGMA_PX = 0.3  # no track is told better than it can be measured
_STEP, _LEAST_STEP_PX = 0.1, 1.0  # a share of the distance, and the pixels that so much more distance must shift a point to show a line


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
        odds: Votes for standing still that outweigh one against.
        least_sigmas: Nothing speaks for a motion that is, in the median of the frames that differ, fewer of the track's own told errors
            than this: tracks slide by as much before anybody notices. Weighs still points shown as moving against the reverse, on
            generated streets at two resolutions.
        in_place: Where the surface is still seen in its place, at the right depth, in so many of these frames, only offsets across the
            epipolar line count: along it, repeated texture lets a track slide, and nothing has left its place.
        moving_share: Such a track moves nevertheless where so many of its neighbours on the same surface surely do.
        overruling_share: And so many overrule the votes, if it is that far away.
        company: Which these are.
        usual_sigma_px: Error of a position whose tracker tells none.
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
    least_sigmas: float = 3.5
    in_place: float = 0.7
    moving_share: float = 0.5
    overruling_share: float = 0.75
    company: CompanyOptions = field(default_factory=CompanyOptions)
    usual_sigma_px: float = 1.0
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
    K, T_cw = np.nan_to_num(cameras.K), np.where(cameras.registered[:, None, None], cameras.T_cw, np.nan)
    query_frame = tracks_2d.queries[:, 0].astype(np.int64)
    size = np.array(video.size, np.float64)
    point, share, far = np.full((N, 3), np.nan), np.zeros(N), np.zeros(N, np.int64)
    image = (tracks_2d.xy, tracks_2d.visible)
    _stand(*image, tracks_3d.xyz, tracks_3d.visible, _sigma(tracks_3d), query_frame, K, T_cw, size, o.apart_px, o.share, point, share, far)
    doubted = np.flatnonzero(far >= o.fewest)
    allowed = np.clip(o.sigmas * share[doubted], o.share, o.most_share)
    standing, shown = large_empty((len(doubted), T, 2), np.float32), large_empty((len(doubted), T), np.bool_)
    stands, away = np.zeros(len(doubted), bool), np.zeros(len(doubted))
    parts = list(pieces(len(doubted), T, most=_JUDGED_SAMPLES))
    for number, some in enumerate(parts):
        rows = doubted[some]
        told = partial(_part_of, report, number, len(parts))
        scene = (tracks_2d, video, depth, cameras, query_frame)
        standing[some], shown[some], stands[some], away[some] = _judge(rows, point[rows], allowed[some], *scene, o, told)
    moves = np.zeros(N, bool)
    moves[doubted[~stands & (away >= o.least_sigmas)]] = True
    still = ~moves[doubted]
    asked = np.flatnonzero(still)
    company = share_on_surface(tracks_2d, tracks_3d, cameras, known_samples(tracks_3d, cameras), doubted[asked], moves, o.company)
    unsure = ~stands[asked]
    overruled = (company >= o.overruling_share) & (away[asked] >= o.least_sigmas)
    still[asked] = ~np.where(unsure, company >= o.moving_share, overruled)
    put_back = np.zeros(N, bool)
    put_back[doubted[still]] = True
    new_xy, visible = large_copy(tracks_2d.xy), large_copy(tracks_2d.visible)
    for i in np.flatnonzero(still):
        new_xy[doubted[i]] = np.where(np.isfinite(standing[i]), standing[i], new_xy[doubted[i]])
        visible[doubted[i]] = shown[i]
    return replace(tracks_2d, xy=new_xy, visible=visible), put_back


def _part_of(report: Report, number: int, parts: int, done: int, total: int) -> None:
    report(number * total + done, parts * total)


def _judge(
    rows: NDArray,
    point: F64,
    allowed: F64,
    tracks_2d: Tracks2D,
    video: Video,
    depth: DepthVideo,
    cameras: Cameras,
    query_frame: NDArray,
    o: StillTestOptions,
    report: Report,
) -> tuple[F32, B, B, F64]:
    """Whether some tracks stand still: (P, T, 2) where they then are, (P, T) seen there, (P,) most speaks for it, (P,) sigmas away."""
    T = len(cameras)
    K, T_cw = np.nan_to_num(cameras.K), np.where(cameras.registered[:, None, None], cameras.T_cw, np.nan)
    size = np.array(video.size, np.float64)
    xy, z = np.full((len(rows), T, 2), np.nan, np.float32), np.full((len(rows), T), np.nan, np.float32)
    _predict(point, K, T_cw, xy, z)
    inside = np.asarray((xy >= 1).all(-1) & (xy <= size - 1).all(-1) & (z > 0))
    differs = inside & tracks_2d.visible[rows] & (np.linalg.norm(tracks_2d.xy[rows] - xy, axis=-1) > o.apart_px)
    relation = np.zeros((len(rows), T), np.int8)  # of the surface seen there: 0 unknown, 1 right, 2 nearer, 3 farther
    likeness = np.full((2, len(rows), T), np.nan, np.float32)  # with the query's patch: at the standing place, at the tracked one
    patches = query_patches(tracks_2d, video, depth, cameras, rows, query_frame, o.radius)
    for t in range(T):
        if not cameras.registered[t]:
            continue
        grey = smooth_grey(video.frames[t])
        _judge_depth(xy[:, t], z[:, t], inside[:, t], allowed, depth.depth[t], relation[:, t])
        compare(grey, tracks_2d.xy[rows, t], xy[:, t], relation[:, t] == 1, differs[:, t], *patches, K[t], T_cw[t], likeness[:, :, t])
        report(t + 1, T)
    stays, follows = likeness
    # A patch without texture, or seen too differently, looks like nothing in particular: then depth has most of the say.
    right_depth = relation == 1
    looks_right = right_depth & (stays >= o.least_likeness) & ~(follows > stays + o.margin)
    looks_wrong = right_depth & (follows >= o.least_likeness) & (follows > stays + o.margin)
    undecided = right_depth & ~looks_right & ~looks_wrong
    votes = (looks_right & differs).sum(1) + o.weak_vote * (undecided & differs).sum(1) + o.hidden_vote * ((relation == 2) & differs).sum(1)
    against = o.odds * ((looks_wrong | (relation == 3)) & differs).sum(1)
    offset = tracks_2d.xy[rows] - xy
    in_place = (right_depth & differs).sum(1) >= o.in_place * np.maximum(differs.sum(1), 1)
    across = _across_epipolar_lines(offset[in_place], point[in_place], query_frame[rows[in_place]], xy[in_place], cameras)
    distance = np.linalg.norm(offset, axis=-1)
    distance[in_place] = across
    away = _sigmas_away(tracks_2d, rows, distance, differs, o.usual_sigma_px)
    return xy, inside & (looks_right | undecided), votes > against, away


def _across_epipolar_lines(offset: F32, point: F64, query: NDArray, standing: F32, cameras: Cameras) -> F32:
    """(P, T) lengths of offsets from the standing place across the epipolar line of the query; whole ones where no line is to be seen."""
    centres = cameras.centres
    from_query = point - centres[query]
    further = point + _STEP * from_query
    along = np.full(offset.shape, np.nan, np.float32)
    for t in np.flatnonzero(cameras.registered):
        along[:, t] = project(further, cameras.K[t], cameras.T_wc[t])[0] - standing[:, t]
    length = np.linalg.norm(along, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        across = np.abs(offset[..., 0] * along[..., 1] - offset[..., 1] * along[..., 0]) / length
    return np.where(length > _LEAST_STEP_PX, across, np.linalg.norm(offset, axis=-1))


def _sigmas_away(tracks: Tracks2D, rows: NDArray, distance: F32, differs: B, usual_sigma_px: float) -> F64:
    """(P,) how far tracks are from where they should stand, in told errors: medians over the frames that differ; 0 without any."""
    sigma_px = np.full(differs.shape, usual_sigma_px, np.float32) if tracks.sigma_px is None else tracks.sigma_px[rows]
    away = np.zeros(len(rows))
    for n in np.flatnonzero(differs.any(1)):
        told = np.median(sigma_px[n, differs[n]])
        away[n] = np.median(distance[n, differs[n]]) / max(told if np.isfinite(told) else usual_sigma_px, _LEAST_SIGMA_PX)
    return away


def _sigma(tracks_3d: Tracks3D) -> F32:
    """(N, T) standard deviations of the samples; NaN, for a share of the depth, where there are none."""
    return large_full(tracks_3d.visible.shape, np.nan, np.float32) if tracks_3d.sigma is None else tracks_3d.sigma


@compiled()
def _project(X, K, T_cw):  # pragma: no cover - compiled
    """Pixel and depth of a world point; depth NaN without a pose."""
    x = T_cw[0, 0] * X[0] + T_cw[0, 1] * X[1] + T_cw[0, 2] * X[2] + T_cw[0, 3]
    y = T_cw[1, 0] * X[0] + T_cw[1, 1] * X[1] + T_cw[1, 2] * X[2] + T_cw[1, 3]
    z = T_cw[2, 0] * X[0] + T_cw[2, 1] * X[1] + T_cw[2, 2] * X[2] + T_cw[2, 3]
    if z == 0:
        z = np.nan
    return K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2], z


@compiled()
def _stand(xy, seen, xyz, known, sigma, query, K, T_cw, size, apart_px, same, point, share, far):  # pragma: no cover - compiled
    """Fills where each point is if it stands still, from the samples around its query that agree.

    Args:
        xy: (N, T, 2) tracked positions.
        seen: (N, T) which of them count.
        xyz: (N, T, 3) samples in the world.
        known: (N, T) which of them count.
        sigma: (N, T) their standard deviations.
        query: (N,) frames.
        K: (T, 3, 3).
        T_cw: (T, 4, 4), NaN without a pose.
        size: (2,) of the image.
        apart_px: Positions within it are alike.
        same: Half the share of the depth within which samples are alike.
        point: (N, 3) filled; NaN for a track without samples.
        share: (N,) filled with the standard deviation of the query's depth as a share of it.
        far: (N,) filled with the number of frames in which the track is somewhere else.
    """
    N, T = seen.shape
    for n in range(N):
        nearest = -1
        for t in range(T):
            if known[n, t] and np.isfinite(xyz[n, t, 0]) and np.isfinite(T_cw[t, 0, 0]):
                if nearest < 0 or abs(t - query[n]) < abs(nearest - query[n]):
                    nearest = t
        if nearest < 0:
            continue
        start = xyz[n, nearest].astype(np.float64)
        total, mean = 0.0, np.zeros(3)
        for t in range(T):
            if not (known[n, t] and np.isfinite(xyz[n, t, 0])):
                continue
            x, y, z = _project(start, K[t], T_cw[t])
            offset = (xyz[n, t, 0] - start[0]) ** 2 + (xyz[n, t, 1] - start[1]) ** 2 + (xyz[n, t, 2] - start[2]) ** 2
            if not ((xy[n, t, 0] - x) ** 2 + (xy[n, t, 1] - y) ** 2 <= apart_px**2 and offset <= (2 * same * z) ** 2):
                continue
            s = sigma[n, t] if np.isfinite(sigma[n, t]) else 0.02 * z
            if t == nearest:
                share[n] = s / z
            weight = 1 / max(s, 1e-6) ** 2
            total += weight
            for a in range(3):
                mean[a] += weight * xyz[n, t, a]
        for a in range(3):
            point[n, a] = mean[a] / total if total > 0 else start[a]
        for t in range(T):
            x, y, z = _project(point[n], K[t], T_cw[t])
            if seen[n, t] and z > 0 and 1 <= x <= size[0] - 1 and 1 <= y <= size[1] - 1:
                far[n] += (xy[n, t, 0] - x) ** 2 + (xy[n, t, 1] - y) ** 2 > apart_px**2


@compiled()
def _predict(point, K, T_cw, xy, z):  # pragma: no cover - compiled
    """Fills (P, T) pixels and depths of (P, 3) points."""
    for p in range(len(point)):
        for t in range(len(K)):
            xy[p, t, 0], xy[p, t, 1], z[p, t] = _project(point[p], K[t], T_cw[t])


@compiled()
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
