"""Followed points as correspondences: where each frame sees them, the frames to begin with, and the pairs that share enough of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toolkit.parallel import in_order
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, B, Tracks2D
from toolkit.sfm.features import Features
from toolkit.sfm.mapping import Correspondences
from toolkit.sfm.matching import Pairs
from toolkit.sfm.two_view import TwoView, TwoViewOptions, verify

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class TableOptions:
    """Which frames and pairs of a table of tracks are used.

    Attributes:
        key_step: Median way of the points from one key frame to the next, as a share of the picture's diagonal: so far apart, frames tell
            depth, and a hundred of them still overlap.
        key_shared: Share of a key frame's points that the next one must still see.
        all_up_to: With so few frames all are key frames, and all pairs are looked at.
        offsets: Key frames so many keys apart are compared; denser near by, so that points are seen from many sides.
        fewest: Tracks that two frames must share to be compared.
        most: Tracks of a pair that are used at most, spread evenly.
    """

    key_step: float = 0.03
    key_shared: float = 0.5
    all_up_to: int = 16
    offsets: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
    fewest: int = 20
    most: int = 4000


def observed(tracks: Tracks2D, size: tuple[int, int], masks: B | None = None) -> B:
    """(N, T) samples that are visible, finite, inside the picture and not masked.

    Args:
        tracks: N tracks in T frames.
        size: (width, height) of the frames in pixels.
        masks: (T, H, W) True where nothing counts; None for nowhere.
    """
    with np.errstate(invalid="ignore"):
        seen = tracks.visible & np.all((tracks.xy >= 0) & (tracks.xy <= size), axis=2)
    if masks is not None:
        height, width = masks.shape[1:]
        for t in range(seen.shape[1]):
            rows = np.flatnonzero(seen[:, t])
            column, row = (tracks.xy[rows, t] * (width / size[0], height / size[1])).astype(np.int64).T
            seen[rows, t] = ~masks[t, np.minimum(row, height - 1), np.minimum(column, width - 1)]
    return seen


def features_of_tracks(tracks: Tracks2D, seen: B) -> list[Features]:
    """What each frame sees of the tracks, without descriptions.

    Args:
        tracks: N tracks in T frames.
        seen: (N, T) samples that count.
    """
    found = []
    for t in range(seen.shape[1]):
        rows = np.flatnonzero(seen[:, t])
        sigma = None if tracks.sigma_px is None else tracks.sigma_px[rows, t]
        found.append(Features(tracks.xy[rows, t], np.ones(len(rows), np.float32), np.empty((len(rows), 0), np.uint8), rows, sigma))
    return found


def key_frames(xy: F32, seen: B, size: tuple[int, int], options: TableOptions) -> list[int]:
    """Frames far enough apart to tell depth, near enough to share points; the first and the last are among them.

    Args:
        xy: (N, T, 2) pixels.
        seen: (N, T) samples that count.
        size: (width, height) of the frames.
        options: How far apart.
    """
    count = seen.shape[1]
    if count <= options.all_up_to:
        return list(range(count))
    step_px = options.key_step * float(np.hypot(*size))
    keys = [0]
    for t in range(1, count):
        both = seen[:, keys[-1]] & seen[:, t]
        if both.sum() < options.key_shared * seen[:, keys[-1]].sum():
            # One frame earlier it was still enough, unless there is a gap.
            keys.append(t - 1 if t - 1 > keys[-1] else t)
            both = seen[:, keys[-1]] & seen[:, t]
        if both.any() and np.median(np.linalg.norm(xy[both, t] - xy[both, keys[-1]], axis=1)) >= step_px:
            keys.append(t)
    return keys if keys[-1] == count - 1 else [*keys, count - 1]


def chosen_pairs(seen: B, keys: Sequence[int], options: TableOptions) -> list[tuple[int, int]]:
    """Pairs to compare: keys near each other and far apart, every other frame with the keys around it.

    Args:
        seen: (N, T) samples that count.
        keys: Key frames, rising.
        options: How many.
    """
    table = seen.astype(np.float32)
    shared = table.T @ table
    enough = shared >= options.fewest
    pairs = set()
    for a, i in enumerate(keys):
        later = [j for j in keys[a + 1 :] if enough[i, j]]
        if len(keys) <= options.all_up_to:
            pairs.update((i, j) for j in later)
            continue
        pairs.update((i, keys[a + n]) for n in options.offsets if a + n < len(keys) and enough[i, keys[a + n]])
        if later:  # the farthest, and what is seen again after a gap
            pairs.add((i, later[-1]))
            pairs.add((i, max(later[len(later) // 2 :], key=lambda j: shared[i, j])))
    places = np.searchsorted(keys, np.arange(seen.shape[1]))
    among = set(keys)
    for t in range(seen.shape[1]):
        if t not in among:
            around = {keys[n] for n in range(places[t] - 2, places[t] + 2) if 0 <= n < len(keys)}
            pairs.update((min(t, k), max(t, k)) for k in around if enough[t, k])
    return sorted(pairs)


def shared_rows(first: Features, second: Features) -> np.ndarray:
    """(M, 2) uint32 rows of both that are the same followed point."""
    if first.track is None or second.track is None:
        return np.empty((0, 2), np.uint32)
    followed = [np.flatnonzero(f.track >= 0) for f in (first, second)]  # type: ignore[operator]
    _, a, b = np.intersect1d(first.track[followed[0]], second.track[followed[1]], assume_unique=True, return_indices=True)
    return np.column_stack([followed[0][a], followed[1][b]]).astype(np.uint32)


def correspondences_of(
    tracks: Tracks2D,
    cameras: Sequence[pycolmap.Camera],
    names: Sequence[str],
    *,
    masks: B | None = None,
    options: TableOptions,
    geometry: TwoViewOptions,
    seed: int,
    report: Report = silent,
) -> Correspondences:
    """Correspondences of a table of tracks: frames, pairs, and of each pair the tracks that one relative pose explains.

    Args:
        tracks: N tracks in T frames.
        cameras: One a frame, all of one size.
        names: Of the frames.
        masks: (T, H, W) True where nothing counts.
        options: Which frames and pairs.
        geometry: How well tracks must agree.
        seed: Of the random samples.
        report: Called per pair.
    """
    size = (cameras[0].width, cameras[0].height)
    seen = observed(tracks, size, masks)
    features = features_of_tracks(tracks, seen)
    keys = key_frames(tracks.xy, seen, size, options)
    chosen = chosen_pairs(seen, keys, options)
    return Correspondences(names, cameras, features, _verified(features, cameras, chosen, options, geometry, seed, report), frozenset(keys))


def _verified(
    features: Sequence[Features],
    cameras: Sequence[pycolmap.Camera],
    chosen: Sequence[tuple[int, int]],
    options: TableOptions,
    geometry: TwoViewOptions,
    seed: int,
    report: Report,
    before: Mapping[tuple[int, int], Pairs] | None = None,
) -> dict[tuple[int, int], TwoView]:
    def looked(pair: tuple[int, int]) -> TwoView | None:
        i, j = pair
        rows = shared_rows(features[i], features[j])
        if len(rows) > options.most:
            rows = rows[np.linspace(0, len(rows) - 1, options.most).round().astype(np.int64)]
        if before is not None and pair in before:
            rows = np.concatenate([before[pair], rows])
        return verify(features[i].xy, features[j].xy, rows, (cameras[i], cameras[j]), geometry, seed)

    found = {}
    for n, (pair, result) in enumerate(zip(chosen, in_order(looked, chosen), strict=True)):
        if result is not None:
            found[pair] = result
        report(n + 1, len(chosen))
    return found


def joined(
    found: Correspondences,
    tracks: Tracks2D,
    seen: B,
    *,
    described_px: float,
    options: TableOptions,
    geometry: TwoViewOptions,
    seed: int,
    report: Report = silent,
) -> Correspondences:
    """One table of described features and followed points: every pair's matches of both kinds that one relative pose explains.

    Args:
        found: Described features of T photos, of any sizes, and their pairs.
        tracks: N points followed through the same photos, in pixels of each.
        seen: (N, T) samples that count.
        described_px: Standard deviation of a described feature in a photo of 1600 pixels; larger photos have larger ones.
        options: Which further pairs are compared.
        geometry: How well matches must agree.
        seed: Of the random samples.
        report: Called per pair.
    """
    followed = features_of_tracks(tracks, seen)
    features = [
        _stacked(a, b, described_px * max(c.width, c.height) / 1600)
        for a, b, c in zip(found.features, followed, found.cameras, strict=True)
    ]
    table = seen.astype(np.float32)
    shared = table.T @ table
    more = {(int(i), int(j)) for i, j in zip(*np.nonzero(np.triu(shared >= options.fewest, 1)), strict=True)}
    chosen = sorted(more | set(found.pairs))
    before = {pair: view.pairs for pair, view in found.pairs.items()}
    pairs = _verified(features, found.cameras, chosen, options, geometry, seed, report, before)
    # What was found without the tracks stays.
    return Correspondences(found.names, found.cameras, features, {**found.pairs, **pairs}, found.keys)


def _stacked(described: Features, followed: Features, sigma_px: float) -> Features:
    n, m = len(described), len(followed)
    track = followed.track if followed.track is not None else np.full(m, -1)
    sigma = followed.sigma_px if followed.sigma_px is not None else np.full(m, np.nan, np.float32)
    return Features(
        np.concatenate([described.xy, followed.xy]),
        np.concatenate([described.scale_px, followed.scale_px]),
        np.concatenate([described.descriptor, np.zeros((m, described.descriptor.shape[1]), np.uint8)]),
        np.concatenate([np.full(n, -1), track]),
        np.concatenate([np.full(n, sigma_px, np.float32), sigma]),
    )


def observation_sigmas(features: Sequence[Features]) -> dict[int, F64] | None:
    """Standard deviation of every feature by image number, photos plus one; None where none is known.

    Unknown ones get the median. None is taken to be less than a fifth of it: who claims more would decide alone.
    """
    known = [f.sigma_px[np.isfinite(f.sigma_px) & (f.sigma_px > 0)] for f in features if f.sigma_px is not None]
    if not known or not any(len(k) for k in known):
        return None
    middle = float(np.median(np.concatenate(known)))
    sigmas = {}
    for t, f in enumerate(features):
        sigma = np.full(len(f), np.nan) if f.sigma_px is None else f.sigma_px.astype(np.float64)
        sigma = np.where(np.isfinite(sigma) & (sigma > 0), sigma, middle)
        sigmas[t + 1] = np.maximum(sigma, 0.2 * middle)
    return sigmas
