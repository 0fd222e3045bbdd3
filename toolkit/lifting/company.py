"""Whether a moving track has company: neighbours on the same surface that move with it. A track that drifts moves alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from toolkit.compiling import compiled
from toolkit.disk_arrays import large_empty, pieces
from toolkit.scene import F64, B, Cameras, Tracks2D, Tracks3D


@dataclass(frozen=True)
class CompanyOptions:
    """What counts as company.

    Attributes:
        suspect: Tracks with a `motion` over this are judged: a track that slid off a moving thing onto its background mostly stands still.
        neighbours: How many nearest tracks at the same depth are asked.
        fewest: Where fewer are found, a track is not judged: tracks are too sparse there.
        crowd: It is where so many tracks of any depth are near: then it is not on a surface at all, as on a sky with a made-up depth.
        radius_px: How near they must be.
        same_depth: Largest difference of inverse depth, as a share, between tracks on one surface.
        shared: A neighbour moves along if its offset across the view varies by less than this share of the track's own travel;
            for one that stands still both are the same, for one that moves otherwise the offset varies more.
        needed: Neighbours that must move along.
        common: Frames in which both must be known; in a shorter clip, all.
    """

    suspect: float = 0.2
    neighbours: int = 8
    fewest: int = 6
    crowd: int = 32
    radius_px: float = 32.0
    same_depth: float = 0.1
    shared: float = 0.5
    needed: int = 2
    common: int = 5


def moves_alone(tracks_2d: Tracks2D, tracks_3d: Tracks3D, cameras: Cameras, known: B, options: CompanyOptions) -> B:
    """Moving tracks that nothing moves with.

    Args:
        tracks_2d: N tracks of T frames.
        tracks_3d: The same in the world; tracks with a `motion` over `suspect` are judged.
        cameras: T cameras.
        known: (N, T) samples to use, all of frames with a camera.
        options: What counts as company.

    Returns:
        (N,) the tracks that were judged and move alone.
    """
    alone = np.zeros(len(known), bool)
    known = _tracked(known, tracks_2d)
    common = min(options.common, known.shape[1])
    candidates = np.flatnonzero((tracks_3d.motion > options.suspect) & known.any(1))
    for here, partners, crowded in _on_surface(tracks_2d, tracks_3d, cameras, known, candidates, options):
        along = _moving_along(tracks_3d.xyz, known, cameras.centres, here, partners, options.shared, common)
        alone[here] = (((partners >= 0).sum(1) >= options.fewest) | crowded) & (along < options.needed)
    return alone


def share_on_surface(
    tracks_2d: Tracks2D, tracks_3d: Tracks3D, cameras: Cameras, known: B, which: NDArray, are: B, options: CompanyOptions
) -> F64:
    """How many of the nearest tracks on the same surface have a property.

    Args:
        tracks_2d: N tracks of T frames.
        tracks_3d: The same in the world.
        cameras: T cameras.
        known: (N, T) samples to use, all of frames with a camera.
        which: (M,) indices of the tracks that are asked about.
        are: (N,) which tracks have the property.
        options: What counts as the same surface.

    Returns:
        (M,) share, 0..1; NaN where fewer than half the `neighbours` are found.
    """
    share = np.full(len(known), np.nan)
    known = _tracked(known, tracks_2d)
    which = np.asarray(which)
    for here, partners, _ in _on_surface(tracks_2d, tracks_3d, cameras, known, which[known[which].any(1)], options):
        count = (partners >= 0).sum(1)
        having = ((partners >= 0) & are[partners]).sum(1)
        share[here] = np.where(count >= options.neighbours / 2, having / np.maximum(count, 1), np.nan)
    return share[which]


def _tracked(known: B, tracks_2d: Tracks2D) -> B:
    """(N, T) those of the samples that have a place in the image."""
    both = large_empty(known.shape, np.bool_)
    for some in pieces(*known.shape):
        both[some] = known[some] & np.isfinite(tracks_2d.xy[some]).all(-1)
    return both


def _middle(known: B, rows: NDArray) -> NDArray[np.intp]:
    """(M,) frame in the middle of a track's samples."""
    middle = np.empty(len(rows), np.intp)
    for some in pieces(len(rows), known.shape[1]):
        order = np.cumsum(known[rows[some]], axis=1)
        middle[some] = (order >= (order[:, -1:] + 1) // 2).argmax(1)
    return middle


def _on_surface(
    tracks_2d: Tracks2D, tracks_3d: Tracks3D, cameras: Cameras, known: B, candidates: NDArray, options: CompanyOptions
) -> Iterator[tuple[NDArray, NDArray, B]]:
    """Yields candidates, their (M, K) nearest tracks at the same depth, -1 for none, and whether any are near at all."""
    if not len(candidates):
        return
    middle = _middle(known, candidates)  # in the middle of its life a track has most neighbours
    T_cw = cameras.T_cw
    for t in np.unique(middle):
        here, there = candidates[middle == t], np.flatnonzero(known[:, t])
        inverse = 1 / (tracks_3d.xyz[there, t] @ T_cw[t, 2, :3] + T_cw[t, 2, 3])
        own = inverse[np.searchsorted(there, here)]
        reach = min(max(4 * options.neighbours, options.crowd) + 1, len(there))
        tree = KDTree(tracks_2d.xy[there, t])
        distance, index = tree.query(tracks_2d.xy[here, t], k=reach, distance_upper_bound=options.radius_px)
        distance, index = distance.reshape(len(here), reach), index.reshape(len(here), reach)  # one neighbour comes without its axis
        found = np.isfinite(distance)
        index = np.where(found, index, 0)
        found &= there[index] != here[:, None]
        crowded = found.sum(1) >= options.crowd
        found &= np.abs(inverse[index] - own[:, None]) < options.same_depth * own[:, None]
        found &= np.cumsum(found, axis=1) <= options.neighbours
        yield here, np.where(found, there[index], -1), crowded


@compiled()
def _moving_along(xyz, known, centres, tracks, partners, shared, common):
    """How many of its partners (M, K), -1 for none, move along with each of M tracks."""
    T = known.shape[1]
    count = np.zeros(len(tracks), np.int64)
    ray, offset = np.zeros(3), np.zeros(3)
    for m in range(len(tracks)):
        i = tracks[m]
        for j in partners[m]:
            if j < 0:
                continue
            n = 0
            own, between = np.zeros(3), np.zeros(3)
            for t in range(T):
                if known[i, t] and known[j, t]:
                    n += 1
                    for a in range(3):
                        own[a] += xyz[i, t, a]
                        between[a] += np.float64(xyz[j, t, a]) - xyz[i, t, a]
            if n < common:
                continue
            travel, change = 0.0, 0.0
            for t in range(T):
                if not (known[i, t] and known[j, t]):
                    continue
                length = 0.0
                for a in range(3):
                    ray[a] = xyz[i, t, a] - centres[t, a]
                    length += ray[a] ** 2
                # Across the view only: along it, depth errors are larger than most motions.
                for sample in range(2):
                    along, total = 0.0, 0.0
                    for a in range(3):
                        value = (
                            np.float64(xyz[i, t, a]) - own[a] / n
                            if sample == 0
                            else np.float64(xyz[j, t, a]) - xyz[i, t, a] - between[a] / n
                        )
                        offset[a] = value
                        along += value * ray[a]
                        total += value * value
                    across = total - along**2 / length
                    if sample == 0:
                        travel += across
                    else:
                        change += across
            if change < shared**2 * travel:
                count[m] += 1
    return count
