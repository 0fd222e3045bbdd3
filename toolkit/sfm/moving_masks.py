"""Masks of what moves in a video: what tracks and flow say, gathered along motion over time and along picture edges in every frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from toolkit.disk_arrays import large_full
from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import F32, U8, B, Cameras, Tracks2D, Video
from toolkit.sfm.blank_border import blank_border
from toolkit.sfm.moving_colours import ColourOptions, with_colours
from toolkit.sfm.moving_evidence import Evidence
from toolkit.sfm.moving_gathering import GatheringOptions, gathered
from toolkit.sfm.moving_seen import Followed, Seen
from toolkit.sfm.moving_tracks import MovingTrackOptions, TrackMotion, moving_tracks


@dataclass(frozen=True)
class MaskOptions:
    """How masks are made. Shares are of the picture's area.

    Attributes:
        tracks: When a track moves.
        gathering: What pixels say, and how it is gathered over time.
        colours: How outlines are drawn to where colours end.
        smoothing: Strength of the smoothing along edges (lambda of Min et al., IEEE TIP 2014).
        edge: Difference of colour at which it stops, of 255.
        prior: Log-odds of moving before anything is seen.
        sure: A mask must hold this log-odds somewhere ...
        sure_share: ... over so much of its area ...
        again_share: ... or lie on the mask of the frame before with so much of it: what moves is not unsure for good.
        island: Masks smaller than this share are left out, and holes smaller than it are closed.
    """

    tracks: MovingTrackOptions = field(default_factory=lambda: MovingTrackOptions(every=1))
    gathering: GatheringOptions = field(default_factory=GatheringOptions)
    colours: ColourOptions = field(default_factory=ColourOptions)
    smoothing: float = 300.0
    edge: float = 6.0
    prior: float = -0.2
    sure: float = 0.6
    sure_share: float = 0.15
    again_share: float = 0.5
    island: float = 0.001


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
    motion, found = stream_masks(video.frames, T, video.size, tracks, cameras, seed=seed, options=options, report=report)
    masks = large_full(video.frames.shape[:3], False, bool)
    for t, mask in enumerate(found):
        masks[t] = mask
    return MovingThings(masks, motion)


def stream_masks(
    frames: Iterable[U8],
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
    """`moving_masks` for frames that come one by one and masks that are handed out so: memory does not grow with the clip.

    Args:
        frames: T frames (H, W, 3) uint8 RGB, in order; some eighty of them are read ahead.
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
        all_of_them = gathered(frames, known, seen, size, o.gathering, lambda t: report(count + t + 1, 2 * count))
        last = None
        for picture, evidence in all_of_them:
            mean, last = _found(picture, evidence, last, o)
            yield _full(mean, last, size)

    return known, masks()


def _found(guide: U8, gathered: Evidence, last: B | None, o: MaskOptions) -> tuple[F32, B]:
    """(h, w) mean log-odds of moving from what is said of a frame's pixels, and the mask they make; after that of the frame before."""
    mean = _spread(guide, gathered.odds, gathered.weight, o)
    if (mean > 0).any():
        mean = _spread(guide, *with_colours(guide, gathered.odds, gathered.weight, mean > 0, o.colours), o)
    blank = blank_border(guide)
    if blank is not None:
        mean[blank] = -1.0
    return mean, _without_islands(mean, last, o)


def _full(mean: F32, mask: B, size: tuple[int, int]) -> B:
    """(H, W) mask of a whole frame, its outline where the odds of moving change sign."""
    if not mask.any():
        return np.zeros((size[1], size[0]), bool)
    shown = np.where(mask, np.maximum(mean, 0.01), np.minimum(mean, -0.01)).astype(np.float32)
    return np.asarray(cv2.resize(np.clip(shown, -1, 1), size, interpolation=cv2.INTER_LINEAR) > 0)


def _spread(guide: U8, odds: F32, weight: F32, o: MaskOptions) -> F32:
    """(h, w) mean log-odds of moving, spread along edges of the picture."""
    over, under = (np.asarray(cv2.ximgproc.fastGlobalSmootherFilter(guide, p, o.smoothing, o.edge), np.float32) for p in (odds, weight))
    return np.asarray(over / np.maximum(under, 1e-6) + o.prior, np.float32)


def _without_islands(mean: F32, last: B | None, o: MaskOptions) -> B:
    """Where the odds are for moving, without small pieces and those unsure now and in the frame before, small holes closed."""
    least = o.island * mean.size
    pieces, label, stats, _ = cv2.connectedComponentsWithStats((mean > 0).astype(np.uint8), connectivity=8)
    sure = np.bincount(label.ravel(), weights=(mean > o.sure).ravel(), minlength=pieces)
    area = stats[:, cv2.CC_STAT_AREA]
    keep = sure >= o.sure_share * area
    if last is not None:
        keep |= np.bincount(label.ravel(), weights=last.ravel(), minlength=pieces) >= o.again_share * area
    keep &= area >= least
    keep[0] = False
    kept = keep[np.asarray(label, np.int64)]
    holes, label, stats, _ = cv2.connectedComponentsWithStats((~kept).astype(np.uint8), connectivity=4)
    close = stats[:, cv2.CC_STAT_AREA] < least
    close[0] = False
    return np.asarray(kept | close[np.asarray(label, np.int64)], bool)
