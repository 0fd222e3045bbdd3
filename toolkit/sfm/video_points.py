"""What a pass over a video leaves behind: where each point was in every frame, and features of the frames a model is built of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.progress import Report, silent
from toolkit.scene import F32, U8, B
from toolkit.sfm.blank_border import blank_border
from toolkit.sfm.features import FeatureOptions, Features, find_features
from toolkit.sfm.video_tracks import I32, Follower, FollowOptions

NO_FEATURES = Features(np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 128), np.uint8))


@dataclass(frozen=True)
class PassOptions:
    """How a video is gone through.

    Attributes:
        max_side: Frames are reduced to so many pixels for following points.
        follow: How points are followed.
        features: Features of keyframes, by which a place is known again.
    """

    max_side: int = 960
    follow: FollowOptions = field(default_factory=FollowOptions)
    features: FeatureOptions = field(default_factory=lambda: FeatureOptions(max_side=960, most=1200))


@dataclass(frozen=True, eq=False)
class VideoPoints:
    """Points of a video, in pixels of its frames as they are stored: some kilobytes a frame.

    Attributes:
        size: (width, height) of a frame.
        ids: For each frame the rising numbers of its points.
        xy: For each frame (n, 2) float32 where they are, continuous pixels.
        keyframes: Frames that differ enough from the one before, rising.
        cuts: Frames before which the clip was cut: the first one of each shot but the first.
        features: By keyframe: its features.
        way: (T,) median way of the points from frame to frame, in shares of the diagonal; 0 for the first and after cuts.
    """

    size: tuple[int, int]
    ids: list[I32]
    xy: list[F32]
    keyframes: list[int]
    cuts: list[int]
    features: dict[int, Features]
    way: NDArray[np.float64]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.ids)

    def shared(self, first: int, second: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of the points that two frames have in common, of both."""
        _, a, b = np.intersect1d(self.ids[first], self.ids[second], assume_unique=True, return_indices=True)
        return a, b

    def found_again(self) -> float:
        """Share of a frame's points that the next one still shows, in the middle of all frames but the last of each shot."""
        cuts = set(self.cuts)
        steps = [t for t in range(len(self) - 1) if t + 1 not in cuts and len(self.ids[t])]
        return float(np.median([np.isin(self.ids[t], self.ids[t + 1]).mean() for t in steps])) if steps else 1.0


def follow_video(
    frames: Iterator[U8],
    count: int,
    size: tuple[int, int],
    options: PassOptions,
    *,
    ignore: Callable[[int], B | None] = lambda t: None,
    report: Report = silent,
) -> VideoPoints:
    """Follows points through a video in one pass.

    Args:
        frames: (H, W, 3) uint8 RGB, one by one.
        count: How many there should be; a file may hold fewer.
        size: (width, height) of a frame.
        options: How it is gone through.
        ignore: For a frame (H, W) where nothing is wanted, or None.
        report: Called per frame.
    """
    shrink = min(1.0, options.max_side / max(size))
    small = (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink)))
    scale = np.array([size[0] / small[0], size[1] / small[1]], np.float32)
    follower = Follower(options.follow)
    ids: list[I32] = []
    xy: list[F32] = []
    keyframes: list[int] = []
    cuts: list[int] = []
    features: dict[int, Features] = {}
    way: list[float] = []
    for t, rgb in enumerate(frames):
        grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        hidden = ignore(t)
        if shrink < 1:
            grey = np.asarray(cv2.resize(grey, small, interpolation=cv2.INTER_AREA), np.uint8)
            hidden = None if hidden is None else cv2.resize(hidden.astype(np.uint8), small, interpolation=cv2.INTER_NEAREST) > 0  # type: ignore[assignment]
        hidden = _joined(hidden, blank_border(grey, grown_px=options.follow.window_px // 2))
        points = follower.add(grey, hidden, last=t == count - 1)
        if points.keyframe:
            keyframes.append(t)
            features[t] = find_features(grey, enlarged=(float(scale[0]), float(scale[1])), ignore=hidden, options=options.features)  # type: ignore[arg-type]
        if points.cut:
            cuts.append(t)
        way.append(0.0 if points.cut or not ids else _way(ids[-1], xy[-1], points.ids, points.xy * scale) / float(np.hypot(*size)))
        ids.append(points.ids)
        xy.append(points.xy * scale)
        report(t + 1, count)
    return VideoPoints(size, ids, xy, keyframes, cuts, features, np.array(way))


def _joined(hidden: B | None, blank: B | None) -> B | None:
    return blank if hidden is None else hidden if blank is None else hidden | blank


def _way(ids: I32, xy: F32, next_ids: I32, next_xy: F32) -> float:
    _, a, b = np.intersect1d(ids, next_ids, assume_unique=True, return_indices=True)
    return float(np.median(np.linalg.norm(next_xy[b] - xy[a], axis=1))) if len(a) else 0.0
