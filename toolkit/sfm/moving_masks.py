"""Masks of what moves in a video: what tracks and flow say, gathered along motion over time and along picture edges in every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, U8, B, Cameras, Tracks2D, Video
from toolkit.sfm.moving_evidence import Evidence, EvidenceOptions, clearness, evidence_of, flow_between, missed_way_back, reduced
from toolkit.sfm.moving_tracks import Followed, MovingTrackOptions, Seen, TrackMotion, moving_tracks

FrameReader = Callable[[int, int], Iterator[U8]]
"""(first, stop) -> the frames from `first` to `stop` - 1, each (H, W, 3) uint8 RGB."""


_FAR = 1000.0  # missing the way back by more makes no difference


@dataclass(frozen=True)
class MaskOptions:
    """How masks are made. Shares are of the picture's area.

    Attributes:
        tracks: When a track moves.
        evidence: What pixels say.
        track_weight: A track counts as so many pixels; it has seen more frames than two.
        track_reach: Standard deviation of where it counts, in pixels of the reduced frames.
        fade: Share of the evidence of standing that is carried on from one compared frame to the next along the flow, to both sides.
        stay: The same share of that of moving: what moved is the same thing while it pauses.
        smoothing: Strength of the smoothing along edges (lambda of Min et al., IEEE TIP 2014).
        edge: Difference of colour at which it stops, of 255.
        prior: Log-odds of moving before anything is seen.
        sure: A mask must hold this log-odds somewhere ...
        sure_share: ... over so much of its area.
        island: Masks smaller than this share are left out, and holes smaller than it are closed.
        block: Frames worked on at a time: memory is bounded by these.
    """

    tracks: MovingTrackOptions = field(default_factory=lambda: MovingTrackOptions(every=1))
    evidence: EvidenceOptions = field(default_factory=EvidenceOptions)
    track_weight: float = 6.0
    track_reach: float = 2.0
    fade: float = 0.7
    stay: float = 0.8
    smoothing: float = 300.0
    edge: float = 6.0
    prior: float = -0.3
    sure: float = 0.6
    sure_share: float = 0.15
    island: float = 0.001
    block: int = 64


@dataclass(frozen=True, eq=False)
class MovingThings:
    """What moves in a video.

    Attributes:
        masks: (T, H, W) bool, True where something moves.
        tracks: What was told of each track.
    """

    masks: B
    tracks: TrackMotion


def moving_masks(
    video: Video,
    tracks: Tracks2D | Followed,
    cameras: Cameras | None = None,
    *,
    seed: int = 0,
    options: MaskOptions | None = None,
    report: Report = silent,
) -> MovingThings:
    """Where something moves in a video, pixel by pixel.

    Each frame's optical flow to one frame before and one after is held against what any still thing would do, with known cameras or as
    most of the tracks do; tracks add what only shows over longer. All of it is carried along the flow to the frames around and spread
    along edges of the picture. Where the camera stands still, whatever moves in the picture counts.

    Args:
        video: T frames.
        tracks: N tracks of these frames, or points followed through them.
        cameras: T cameras where they are known; NaN where a frame has none: its evidence then comes from its neighbours.
        seed: Of random samples.
        options: How.
        report: Called per frame; may raise `Cancelled`.

    Raises:
        UserError: the parts have different numbers of frames.
    """
    T = len(video)
    motion, found = stream_masks(
        lambda first, stop: iter(video.frames[first:stop]), T, video.size, tracks, cameras, seed=seed, options=options, report=report
    )
    masks = np.zeros(video.frames.shape[:3], bool)
    for t, mask in enumerate(found):
        masks[t] = mask
    return MovingThings(masks, motion)


def stream_masks(
    frames: FrameReader,
    count: int,
    size: tuple[int, int],
    tracks: Tracks2D | Followed,
    cameras: Cameras | None = None,
    *,
    motion: TrackMotion | None = None,
    seed: int = 0,
    options: MaskOptions | None = None,
    report: Report = silent,
) -> tuple[TrackMotion, Iterator[B]]:
    """`moving_masks` for frames that are read anew and masks that are handed out one by one: memory does not grow with the clip.

    Args:
        frames: Reads frames; called with rising parts of the clip that overlap a little.
        count: Number of frames, T.
        size: (width, height) of a frame.
        tracks: As in `moving_masks`.
        cameras: As in `moving_masks`.
        motion: What `moving_tracks` said of these tracks with these cameras, every frame compared; None to ask it.
        seed: As in `moving_masks`.
        options: As in `moving_masks`.
        report: As in `moving_masks`.

    Returns:
        motion: What was told of each track.
        masks: T masks (H, W), in order.
    """
    o = options or MaskOptions()
    seen = Seen.of(tracks, size, o.tracks.floor)
    if len(seen.ids) != count:
        raise UserError(f"The tracks have {len(seen.ids)} frames, but the video has {count}.")
    known = motion or moving_tracks(tracks, size, cameras, seed=seed, options=o.tracks, report=lambda n, T: report(n, 2 * T))

    def masks() -> Iterator[B]:
        margin = 6 * known.gap
        for start in range(0, count, o.block):
            stop = min(start + o.block, count)
            first, last = max(start - margin, 0), min(stop + margin, count)
            block = _Block(list(reduced(f, o.evidence.side) for f in frames(first, last)), first, known, seen, size, count, o)
            for t in range(start, stop):
                yield block.mask(t)
                report(count + t + 1, 2 * count)

    return known, masks()


class _Block:
    """Some frames in a row, reduced, with the evidence of each gathered along the flow."""

    def __init__(
        self, frames: list[U8], first: int, motion: TrackMotion, seen: Seen, size: tuple[int, int], count: int, options: MaskOptions
    ) -> None:
        self._frames, self._first, self._size, self._options = frames, first, size, options
        self._shape = frames[0].shape[:2]
        grey = [np.asarray(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), np.uint8) for f in frames]
        gap, n = motion.gap, len(frames)
        # Flow between frames a gap apart, and how far it misses the way back; half precision holds a hundredth of a pixel.
        self._later: list[tuple[F32, F32] | None] = [None] * n
        self._earlier: list[tuple[F32, F32] | None] = [None] * n
        for i in range(n - gap):
            there, back = flow_between(grey[i], grey[i + gap]), flow_between(grey[i + gap], grey[i])
            self._later[i] = _half(there, back)
            self._earlier[i + gap] = _half(back, there)
        own = [self._evidence(i, grey, motion, seen, gap) for i in range(n)]
        self._gathered = self._carried(own, gap)

    def _evidence(self, i: int, grey: list[U8], motion: TrackMotion, seen: Seen, gap: int) -> Evidence:
        """What frame `i` of the block says by itself."""
        o = self._options
        odds, weight = np.zeros(self._shape, np.float32), np.zeros(self._shape, np.float32)
        views = motion.views.get(self._first + i)
        flows, rows = [], []
        for k, t in enumerate(views.others if views is not None else ()):
            found = self._later[i] if t - self._first == i + gap else self._earlier[i] if t - self._first == i - gap else None
            if found is not None:
                flows.append((found[0].astype(np.float32), found[1].astype(np.float32)))
                rows.append(k)
        if views is not None and flows:
            part = replace(views, others=views.others[rows], A=views.A[rows], a=views.a[rows])
            told = evidence_of(grey[i], flows, part, self._size, o.evidence)
            odds, weight = told.odds, told.weight
        clear = clearness(grey[i], o.evidence)
        ids, xy = seen.ids[self._first + i], seen.xy[self._first + i]
        said = self._said(motion, ids, self._first + i)
        known = np.isfinite(said)
        track_odds, track_weight = np.zeros_like(odds), np.zeros_like(odds)
        at = (xy[known] * (self._shape[1] / self._size[0], self._shape[0] / self._size[1])).astype(np.int64)
        x, y = np.clip(at[:, 0], 0, self._shape[1] - 1), np.clip(at[:, 1], 0, self._shape[0] - 1)
        counts = o.track_weight * clear[y, x]
        np.add.at(track_odds, (y, x), counts * said[known])
        np.add.at(track_weight, (y, x), counts)
        odds = odds + cv2.GaussianBlur(track_odds, (0, 0), o.track_reach)
        weight = weight + cv2.GaussianBlur(track_weight, (0, 0), o.track_reach)
        return Evidence(odds.astype(np.float32), weight.astype(np.float32))

    def _said(self, motion: TrackMotion, ids: NDArray[np.int64], t: int) -> F64:
        """(n,) log-odds of moving of points in frame `t`: of all their life where they are off for most of it, else of these moments."""
        o = self._options.evidence
        likely = np.clip(motion.moving[ids].astype(np.float64), 1e-3, 1 - 1e-3)
        whole = np.log(likely / (1 - likely))
        now = np.full(len(ids), np.nan)
        if t in motion.compared:
            now = o.odds(motion.compared[t][1].astype(np.float64))
        return np.clip(np.where(motion.lasting[ids], whole, now), -o.least, o.most)

    def _carried(self, own: list[Evidence], gap: int) -> list[Evidence]:
        """Evidence of each frame with that of the frames around, faded by distance."""
        n, fade, stay = len(own), np.float32(self._options.fade), np.float32(self._options.stay)
        total = [Evidence(e.odds.copy(), e.weight.copy()) for e in own]
        for flows, order, step in ((self._earlier, range(n), -gap), (self._later, range(n - 1, -1, -1), gap)):
            passed = list(own)
            for i in order:
                found = flows[i]
                if found is None:
                    continue
                odds, weight = _fetched(passed[i + step], found, self._options.evidence.lost)
                kept = np.where(odds > 0, stay, fade)
                odds, weight = kept * odds, kept * weight
                total[i].odds[:] += odds
                total[i].weight[:] += weight
                passed[i] = Evidence(own[i].odds + odds, own[i].weight + weight)
        return total

    def mask(self, t: int) -> B:
        """(H, W) mask of frame `t`."""
        o, i = self._options, t - self._first
        guide, gathered = self._frames[i], self._gathered[i]
        odds = cv2.ximgproc.fastGlobalSmootherFilter(guide, gathered.odds, o.smoothing, o.edge)
        weight = cv2.ximgproc.fastGlobalSmootherFilter(guide, gathered.weight, o.smoothing, o.edge)
        mean = np.asarray(odds / np.maximum(weight, 1e-6) + o.prior, np.float32)
        small = _without_islands(mean, o)
        if not small.any():
            return np.zeros((self._size[1], self._size[0]), bool)
        shown = np.where(small, np.maximum(mean, 0.01), np.minimum(mean, -0.01)).astype(np.float32)
        return np.asarray(cv2.resize(np.clip(shown, -1, 1), self._size, interpolation=cv2.INTER_LINEAR) > 0)


def _half(there: F32, back: F32) -> tuple[F32, F32]:
    missed = np.minimum(missed_way_back(there, back), _FAR)
    return there.astype(np.float16), missed.astype(np.float16)  # type: ignore[return-value]


def _fetched(evidence: Evidence, flow: tuple[F32, F32], lost: float) -> tuple[F32, F32]:
    """Evidence of another frame brought along the flow to it; none where the flow is lost."""
    there, missed = flow[0].astype(np.float32), flow[1].astype(np.float32)
    height, width = missed.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    both = cv2.remap(np.dstack([evidence.odds, evidence.weight]), x + there[..., 0], y + there[..., 1], cv2.INTER_LINEAR)
    good = (missed <= lost + 0.1 * np.linalg.norm(there, axis=-1)).astype(np.float32)
    return both[..., 0] * good, both[..., 1] * good


def _without_islands(mean: F32, o: MaskOptions) -> B:
    """Where the odds are for moving, without small or unsure pieces, small holes closed."""
    least = o.island * mean.size
    pieces, label, stats, _ = cv2.connectedComponentsWithStats((mean > 0).astype(np.uint8), connectivity=8)
    sure = np.bincount(label.ravel(), weights=(mean > o.sure).ravel(), minlength=pieces)
    keep = (stats[:, cv2.CC_STAT_AREA] >= least) & (sure >= o.sure_share * stats[:, cv2.CC_STAT_AREA])
    keep[0] = False
    kept = keep[np.asarray(label, np.int64)]
    holes, label, stats, _ = cv2.connectedComponentsWithStats((~kept).astype(np.uint8), connectivity=4)
    close = stats[:, cv2.CC_STAT_AREA] < least
    close[0] = False
    return np.asarray(kept | close[np.asarray(label, np.int64)], bool)
