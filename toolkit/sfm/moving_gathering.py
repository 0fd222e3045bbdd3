"""What the pixels of a video say of moving, gathered along the flow from the frames before and after, frame by frame as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F32, F64, U8
from toolkit.sfm.blank_border import blank_border, filled
from toolkit.sfm.moving_evidence import (
    Evidence,
    EvidenceOptions,
    clearness,
    evidence_of,
    looks_alike,
    reduced,
)
from toolkit.sfm.moving_flows import Flow, FlowFrame, both_ways
from toolkit.sfm.moving_seen import Seen
from toolkit.sfm.moving_tracks import TrackMotion
from toolkit.sfm.moving_views import Views

_BORDER_PX = 8  # of the reduced frame: a patch of flow sees the edge of a black border so far into the picture
_CLEARLY = 2.0  # evidence comes from a closer frame where that is found so many times as surely
_AHEAD = 6  # later frames that are heard, a gap apart: of what farther ones say half is left, an eighth of standing

_Way = tuple[FlowFrame, NDArray | None, Flow]


@dataclass(frozen=True)
class GatheringOptions:
    """How evidence is gathered.

    Attributes:
        evidence: What pixels say.
        track_weight: A track counts as so many pixels; it has seen more frames than two.
        track_reach: Standard deviation of where it counts, in pixels of the reduced frames.
        fade: Share of the evidence of standing that is carried on from one compared frame to the next along the flow, to both sides.
        stay: The same share of that of moving: what moved is the same thing while it pauses.
        most: Carried on are so many log-odds at most: what moved long may still pause for good.
        colour: Standard deviation of what is seen of one thing, in grey levels of 255; evidence is carried on to what looks the same.
        beside: Flow to farther frames says nothing of moving so many pixels from where it is lost, and evidence is not carried along that
            to closer ones there: what passes drags it along.
        far_shrink: Flow to farther frames is found on frames so many times smaller: what moves has moved that much farther by then.
        block: Frames that are gathered at a time from those after them: memory is bounded by these.
    """

    evidence: EvidenceOptions = field(default_factory=EvidenceOptions)
    track_weight: float = 6.0
    track_reach: float = 2.0
    fade: float = 0.7
    stay: float = 0.9
    most: float = 9.0
    colour: float = 25.0
    beside: int = 4
    far_shrink: int = 2
    block: int = 24


def gathered(
    frames: Iterable[U8],
    motion: TrackMotion,
    seen: Seen,
    size: tuple[int, int],
    options: GatheringOptions,
    tick: Callable[[int], None] = lambda t: None,
) -> Iterator[tuple[U8, Evidence]]:
    """Each frame reduced, with its own evidence and that of the frames around it, in order.

    Args:
        frames: (H, W, 3) uint8 RGB, one by one.
        motion: What tracks say.
        seen: Where they are.
        size: (width, height) of a frame.
        options: How.
        tick: Called with the number of every frame that is read.
    """
    gap, short, o = motion.gap, motion.close_gap, options
    window: deque[FlowFrame] = deque()
    before: deque[FlowFrame] = deque()  # the last gap of frames whose own evidence is known
    waiting: deque[FlowFrame] = deque()  # the frames read that wait for others to be compared with
    longest = max(gap, motion.far_gap)

    def settle(frame: FlowFrame) -> None:
        frame.own = _half(_own(frame, motion, seen, size, o))
        if frame.earlier is not None:
            wide, close = (before[0], before[0].before, frame.earlier), None
            if frame.earlier_close is not None:
                beside = before[-short]
                close = beside, beside.before, frame.earlier_close
            frame.before = _half(_carried(frame, wide, close, short / gap, o))
        before.append(frame)
        if len(before) > gap:
            before.popleft()
        frame.earlier = frame.earlier_close = frame.earlier_far = frame.later_far = None
        window.append(frame)

    for t, rgb in enumerate(frames):
        picture = reduced(rgb, o.evidence.side)
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        blank = blank_border(picture)
        if blank is not None:
            grey, blank = filled(grey, blank), blank_border(picture, grown_px=_BORDER_PX)
        frame = FlowFrame(t, picture, grey, blank)
        if short and len(waiting) >= short:
            near = waiting[-short]
            near.later_close, frame.earlier_close = both_ways(near, frame)
        if len(waiting) >= gap:
            first = waiting[-gap]
            first.later, frame.earlier = both_ways(first, frame)
        if motion.far_gap and len(waiting) >= motion.far_gap:
            first = waiting[-motion.far_gap]
            first.later_far, frame.earlier_far = both_ways(first, frame, o.far_shrink)
        if len(waiting) == longest:
            settle(waiting.popleft())
        waiting.append(frame)
        tick(t)
        if len(window) >= o.block + _AHEAD * gap:
            yield from _heard(window, motion, o.block, o)
    while waiting:
        settle(waiting.popleft())
    yield from _heard(window, motion, len(window), o)


def _heard(window: deque[FlowFrame], motion: TrackMotion, count: int, o: GatheringOptions) -> Iterator[tuple[U8, Evidence]]:
    """The first frames of a window with what all say, taken out of it."""
    frames, gap, short = list(window), motion.gap, motion.close_gap
    after: list[NDArray | None] = [None] * len(frames)
    for i in range(len(frames) - 1, -1, -1):
        later = frames[i].later
        if later is not None and i + gap < len(frames):
            close = frames[i].later_close
            beside = None if close is None else (frames[i + short], after[i + short], close)
            after[i] = _carried(frames[i], (frames[i + gap], after[i + gap], later), beside, short / gap, o).astype(np.float16)
            if i + gap >= count:
                after[i + gap] = None
    for i in range(count):
        frame = window.popleft()
        assert frame.own is not None
        total = frame.own.astype(np.float32)
        for more in (frame.before, after[i]):
            if more is not None:
                total += more
        after[i] = frame.own = None
        yield frame.picture, Evidence(np.ascontiguousarray(total[..., 0]), np.ascontiguousarray(total[..., 1]))


def _own(frame: FlowFrame, motion: TrackMotion, seen: Seen, size: tuple[int, int], o: GatheringOptions) -> Evidence:
    """What a frame says by itself."""
    grey, shape, t = frame.grey, frame.grey.shape, frame.place
    told = _by_flow(frame, motion.views.get(t), {t + motion.gap: frame.later, t - motion.gap: frame.earlier}, size, o)
    if motion.close_gap:
        flows = {t + motion.close_gap: frame.later_close, t - motion.close_gap: frame.earlier_close}
        told = told.filled(_by_flow(frame, motion.close.get(t), flows, size, o))
    if motion.far_gap:
        flows = {t + motion.far_gap: frame.later_far, t - motion.far_gap: frame.earlier_far}
        told = told.joined(_by_flow(frame, motion.views.get(t), flows, size, o, o.far_shrink))
    odds, weight = told.odds, told.weight
    clear = clearness(grey, o.evidence)
    said = _said(motion, seen.ids[t], t, o.evidence)
    known = np.isfinite(said)
    track_odds, track_weight = np.zeros_like(odds), np.zeros_like(odds)
    at = (seen.xy[t][known] * (shape[1] / size[0], shape[0] / size[1])).astype(np.int64)
    x, y = np.clip(at[:, 0], 0, shape[1] - 1), np.clip(at[:, 1], 0, shape[0] - 1)
    counts = o.track_weight * clear[y, x]
    np.add.at(track_odds, (y, x), counts * said[known])
    np.add.at(track_weight, (y, x), counts)
    odds = odds + cv2.GaussianBlur(track_odds, (0, 0), o.track_reach)
    weight = weight + cv2.GaussianBlur(track_weight, (0, 0), o.track_reach)
    if frame.blank is not None:
        odds[frame.blank] = weight[frame.blank] = 0
    return Evidence(odds.astype(np.float32), weight.astype(np.float32))


def _by_flow(
    frame: FlowFrame,
    views: Views | None,
    flows: Mapping[int, Flow | None],
    size: tuple[int, int],
    o: GatheringOptions,
    shrink: int = 1,
) -> Evidence:
    """What flow to other frames says of a frame."""
    found, rows = [], []
    for k, other in enumerate(views.others.tolist() if views is not None else ()):
        flow = flows.get(other)
        if flow is not None:
            found.append((flow[0].astype(np.float32), flow[1].astype(np.float32)))
            rows.append(k)
    if views is None or not found:
        nothing = np.zeros(frame.grey.shape, np.float32)
        return Evidence(nothing, nothing, nothing.astype(np.int64))
    part = replace(views, others=views.others[rows], A=views.A[rows], a=views.a[rows])
    small = frame.smaller(shrink)[0]
    told = evidence_of(small, found, part, size, o.evidence, beside=o.beside if shrink > 1 else 0)
    return told if small.shape == frame.grey.shape else told.enlarged(frame.grey.shape)


def _said(motion: TrackMotion, ids: NDArray, t: int, o: EvidenceOptions) -> F64:
    """(n,) log-odds of moving of points in frame `t`: of all their life where they are off for most of it, else of these moments."""
    likely = np.clip(motion.moving[ids].astype(np.float64), 1e-3, 1 - 1e-3)
    whole = np.log(likely / (1 - likely))
    now = np.full(len(ids), np.nan)
    if t in motion.compared:
        now = o.odds(motion.compared[t][1].astype(np.float64))
    return np.clip(np.where(motion.lasting[ids], whole, now), -o.least, o.most)


def _carried(frame: FlowFrame, wide: _Way, close: _Way | None, share: float, o: GatheringOptions) -> F32:
    """(h, w, 2) evidence of a frame a gap away and of those beyond it; from a closer one where the flow to the first is lost.

    Args:
        frame: Where it is brought to.
        wide: The other frame, what those beyond it say, and flow to it.
        close: The same of the closer one, where there is one.
        share: How far away that is, as a share of the gap.
        o: How.
    """
    told, good = _fetched(frame, *wide, 1.0, o)
    if close is None:
        return told
    beside, found = _fetched(frame, *close, share, o)
    # Next to where flow is lost, even the closer one is dragged along by what passes.
    found = cv2.erode(found, np.ones((2 * o.beside + 1,) * 2, np.uint8))
    return np.where((found > _CLEARLY * good)[..., None], beside, told)


def _fetched(frame: FlowFrame, other: FlowFrame, passed: NDArray | None, flow: Flow, share: float, o: GatheringOptions) -> tuple[F32, F32]:
    """(h, w, 2) evidence of another frame and of those beyond it, brought along the flow to it and faded; none where the flow is lost or
    leads to another colour. And (h, w) how surely it is found there, 0..1.
    """
    assert other.own is not None
    evidence = other.own.astype(np.float32)
    if passed is not None:
        evidence += passed
    evidence *= np.minimum(1, o.most / np.maximum(np.abs(evidence[..., :1]), 1e-6))
    there, missed = flow[0].astype(np.float32), flow[1].astype(np.float32)
    height, width = missed.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    both = cv2.remap(evidence, x + there[..., 0], y + there[..., 1], cv2.INTER_LINEAR)
    good = (missed <= o.evidence.lost + 0.1 * np.linalg.norm(there, axis=-1)) * looks_alike(frame.picture, other.picture, there, o.colour)
    kept = good * np.where(both[..., 0] > 0, np.float32(o.stay**share), np.float32(o.fade**share))
    return np.asarray(both * kept[..., None], np.float32), np.asarray(good, np.float32)


def _half(evidence: Evidence | F32) -> NDArray:
    both = np.dstack([evidence.odds, evidence.weight]) if isinstance(evidence, Evidence) else evidence
    return both.astype(np.float16)
