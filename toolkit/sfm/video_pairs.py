"""What frames of a video have in common: followed points, features that look alike, and which points contradict a still scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from toolkit.progress import Report, silent
from toolkit.sfm.features import Features
from toolkit.sfm.mapping import Correspondences
from toolkit.sfm.matching import MatchOptions, match
from toolkit.sfm.two_view import TwoView, TwoViewOptions, verify
from toolkit.sfm.video_points import NO_FEATURES, VideoPoints

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class VideoPairOptions:
    """Which frames of the model are compared, and how.

    Attributes:
        fewest_frames: A model is built of at least so many frames, of keyframes and others between them.
        ahead: Followed points are compared with these many model frames ahead; the mapper joins the rest itself.
        alike_ahead: Features are compared with these many keyframes ahead.
        fewest: Followed points that two frames share at least.
        geometry: What counts as agreeing; followed points are exact, so less is allowed than for photos.
        matching: When features look alike.
        judged_share: Share of a frame's points that another one must still show to judge them by; the farthest such frame does.
        against: Share of the judgements against a point from which it is held to move.
    """

    fewest_frames: int = 24
    ahead: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24)
    alike_ahead: tuple[int, ...] = (1, 2, 4)
    fewest: int = 15
    geometry: TwoViewOptions = field(default_factory=lambda: TwoViewOptions(error_px=1.5))
    matching: MatchOptions = field(default_factory=MatchOptions)
    judged_share: float = 0.5
    against: float = 0.4


@dataclass(frozen=True, eq=False)
class ModelFrames:
    """The frames that a model is built of and what they have in common.

    Attributes:
        frames: Their places in the video, rising.
        found: Their points (followed ones first, features after them) and pairs, as the mappers want them.
        rows: For each frame the rows of its followed points that the model is offered.
        kinds: Of every pair that was judged: "full", "planar", "turn" or "flat".
        moving: Numbers of followed points that contradict a still scene.
    """

    frames: list[int]
    found: Correspondences
    rows: list[np.ndarray]
    kinds: dict[tuple[int, int], str]
    moving: np.ndarray


def model_frames(points: VideoPoints, fewest: int) -> list[int]:
    """Keyframes, and frames between them where there are few: always those in the middle of the largest gap."""
    chosen = sorted(points.keyframes)
    wanted = min(len(points), fewest)
    if len(points) - 1 not in chosen:
        chosen.append(len(points) - 1)
    while len(chosen) < wanted:
        gaps = np.diff(chosen)
        at = int(gaps.argmax())
        chosen.insert(at + 1, chosen[at] + int(gaps[at]) // 2)
    return chosen


def pair_frames(
    points: VideoPoints,
    cameras: Sequence[pycolmap.Camera],
    frames: list[int],
    options: VideoPairOptions,
    seed: int,
    report: Report = silent,
) -> ModelFrames:
    """Compares the frames that a model is built of.

    Args:
        points: Of the whole video.
        cameras: One for each of `frames`.
        frames: Their places in the video.
        options: Which are compared.
        seed: Of the random samples.
        report: Called per frame.
    """
    judged = _judge(points, cameras, frames, options, seed, lambda n, total: report(n, 2 * total))
    moving, kinds = judged
    features = [points.features.get(t, NO_FEATURES) for t in frames]
    followed = [np.flatnonzero(~np.isin(points.ids[t], moving)) for t in frames]
    joined = []
    for t, rows, found in zip(frames, followed, features, strict=True):
        xy = np.concatenate([points.xy[t][rows], found.xy])
        joined.append(Features(xy, np.zeros(len(xy), np.float32), np.empty((0, 128), np.uint8)))
    pairs: dict[tuple[int, int], TwoView] = {}
    for k, t in enumerate(frames):
        for m in (k + n for n in options.ahead if k + n < len(frames)):
            _, a, b = np.intersect1d(
                points.ids[t][followed[k]], points.ids[frames[m]][followed[m]], assume_unique=True, return_indices=True
            )
            if len(a) >= options.fewest:
                pairs[k, m] = TwoView(np.column_stack([a, b]).astype(np.uint32), kinds.get((k, m), "full"), np.full((3, 3), np.nan))
    keyed = [k for k, found in enumerate(features) if len(found)]
    for n, k in enumerate(keyed):
        for m in (keyed[n + step] for step in options.alike_ahead if n + step < len(keyed)):
            add_alike(pairs, features, [len(rows) for rows in followed], cameras, (k, m), options, seed)
        report(len(keyed) + n + 1, 2 * len(keyed))
    names = [f"frame_{t:06d}.jpg" for t in frames]
    return ModelFrames(frames, Correspondences(names, cameras, joined, pairs), followed, kinds, moving)


def add_alike(
    pairs: dict[tuple[int, int], TwoView],
    features: Sequence[Features],
    followed: Sequence[int],
    cameras: Sequence[pycolmap.Camera],
    pair: tuple[int, int],
    options: VideoPairOptions,
    seed: int,
) -> int:
    """Adds the features of two frames that look alike and agree on one relative pose; tells how many."""
    i, j = pair
    alike = match(features[i].descriptor, features[j].descriptor, options.matching)
    agreed = verify(features[i].xy, features[j].xy, alike, (cameras[i], cameras[j]), options.geometry, seed)
    if agreed is None:
        return 0
    rows = agreed.pairs + np.array([followed[i], followed[j]], np.uint32)
    before = pairs.get(pair)
    pairs[pair] = TwoView(rows if before is None else np.concatenate([before.pairs, rows]), agreed.kind, agreed.F)
    return len(rows)


def _judge(
    points: VideoPoints, cameras: Sequence[pycolmap.Camera], frames: list[int], options: VideoPairOptions, seed: int, report: Report
) -> tuple[np.ndarray, dict[tuple[int, int], str]]:
    """Points that contradict the epipolar geometry of frames far apart, and what kind of geometry each such pair has."""
    top = 1 + max((int(ids.max()) for ids in points.ids if len(ids)), default=0)
    heard, against = np.zeros(top, int), np.zeros(top, int)
    kinds: dict[tuple[int, int], str] = {}
    for k, t in enumerate(frames):
        far = None
        for m in range(k + 1, min(len(frames), k + 17)):
            a, b = points.shared(t, frames[m])
            if len(a) < max(options.fewest, options.judged_share * len(points.ids[t])):
                break
            far = (m, a, b)
        if far is not None:
            m, a, b = far
            rows = np.column_stack([a, b]).astype(np.uint32)
            agreed = verify(points.xy[t], points.xy[frames[m]], rows, (cameras[k], cameras[m]), options.geometry, seed)
            if agreed is not None:
                kinds[k, m] = agreed.kind
                who = points.ids[t][a]
                heard[who] += 1
                against[who] += 1
                against[points.ids[t][agreed.pairs[:, 0]]] -= 1
        report(k + 1, len(frames))
    return np.flatnonzero(against > options.against * np.maximum(heard, 1)), kinds
