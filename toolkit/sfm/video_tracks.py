"""Corners followed through a video frame by frame: pyramidal Lucas-Kanade anchored at keyframes, checked backwards, topped up by coverage.

Following from frame to frame alone drifts; every frame is therefore also compared with the last keyframe, so that an error is passed on at
keyframes only (Shi and Tomasi 1994; Bouguet 2001; anchoring as in Leutenegger's and Engel's keyframe methods).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F32, U8, B

I32 = NDArray[np.int32]


@dataclass(frozen=True)
class FollowOptions:
    """How points are followed and when a frame becomes a keyframe. Lengths in "shares" are shares of the picture's diagonal.

    Attributes:
        most: Points that are followed at a time.
        cells: Cells along the longer side; every cell gets its part of the points, so that no corner of the picture is left bare.
        window_px: Side of the compared patch; 21 holds enough texture and still turns with the surface.
        levels: Halvings of the picture above the full one; four reach 60 px between frames.
        back_px: Largest distance from where a point started once it was followed forth and back.
        anchor_px: Farthest from the frame-to-frame position at which the comparison with the keyframe is believed.
        corner: Weakest corner over the strongest one; plain walls have weak ones only.
        moved_share: Median way of the points since the last keyframe that makes the next one.
        left_share: Share of a keyframe's points left that makes the next one.
        cut_share: Share of the points left from one frame to the next under which the clip is taken to be cut there.
        apart_frames: Most frames between keyframes where the picture changes at all.
        still_share: Median way under which a picture does not change.
    """

    most: int = 700
    cells: int = 10
    window_px: int = 21
    levels: int = 4
    back_px: float = 0.7
    anchor_px: float = 2.0
    corner: float = 0.002
    moved_share: float = 0.035
    left_share: float = 0.7
    cut_share: float = 0.12
    apart_frames: int = 24
    still_share: float = 0.002


@dataclass(frozen=True, eq=False)
class FramePoints:
    """The points of one frame.

    Attributes:
        ids: (n,) rising number of each point.
        xy: (n, 2) float32 where it is, continuous pixels of the tracked picture.
        keyframe: Whether this frame is a keyframe.
        cut: Whether the clip was cut before this frame: none of its points was there before.
    """

    ids: I32
    xy: F32
    keyframe: bool
    cut: bool


class Follower:
    """Follows points through frames that are handed in one by one; holds two frames, whatever the length of the clip."""

    def __init__(self, options: FollowOptions | None = None) -> None:
        """Starts without a frame."""
        self._options = options or FollowOptions()
        self._before: U8 | None = None
        self._anchor: U8 | None = None
        self._ids: I32 = np.empty(0, np.int32)
        self._xy: F32 = np.empty((0, 2), np.float32)
        self._anchored: F32 = np.empty((0, 2), np.float32)
        self._at_keyframe = 0
        self._since = 0
        self._next = 0

    def add(self, grey: U8, ignore: B | None = None, *, last: bool = False) -> FramePoints:
        """Follows the points into the next frame.

        Args:
            grey: (H, W) uint8, of the size of the frames before.
            ignore: (H, W) where no point is wanted; None for nowhere.
            last: Whether this is the last frame, which becomes a keyframe if the picture has changed.
        """
        o = self._options
        if self._before is None:
            return self._restart(grey, ignore, cut=False)
        count = len(self._ids)
        keep, xy = self._followed(grey, ignore)
        if count >= 30 and keep.sum() < o.cut_share * count:
            return self._restart(grey, ignore, cut=True)
        self._ids, self._xy, self._anchored = self._ids[keep], xy[keep], self._anchored[keep]
        self._before = grey
        self._since += 1
        moved = float(np.median(np.linalg.norm(self._xy - self._anchored, axis=1))) if len(self._ids) else np.inf
        diagonal = float(np.hypot(*grey.shape))
        due = moved > o.moved_share * diagonal or len(self._ids) < o.left_share * self._at_keyframe
        if not due and (last or self._since >= o.apart_frames):
            due = moved > o.still_share * diagonal
        if due:
            self._top_up(grey, ignore)
        return FramePoints(self._ids, self._xy, due, False)

    def _restart(self, grey: U8, ignore: B | None, *, cut: bool) -> FramePoints:
        self._ids, self._xy = np.empty(0, np.int32), np.empty((0, 2), np.float32)
        self._before = grey
        self._top_up(grey, ignore)
        return FramePoints(self._ids, self._xy, True, cut)

    def _followed(self, grey: U8, ignore: B | None) -> tuple[B, F32]:
        """Which points are found again, and where."""
        o = self._options
        if len(self._ids) == 0:
            return np.zeros(0, bool), self._xy
        assert self._before is not None and self._anchor is not None
        xy, found = self._flow(self._before, grey, self._xy, self._xy, o.levels)
        back, again = self._flow(grey, self._before, xy, self._xy, 1)
        keep = found & again & (np.linalg.norm(back - self._xy, axis=1) < o.back_px)
        if self._since:
            # From the keyframe itself, where that sees the same.
            better, found = self._flow(self._anchor, grey, self._anchored, xy, 1)
            back, again = self._flow(grey, self._anchor, better, self._anchored, 1)
            good = found & again & (np.linalg.norm(back - self._anchored, axis=1) < 0.5 * o.back_px)
            good &= np.linalg.norm(better - xy, axis=1) < o.anchor_px
            xy = np.where((keep & good)[:, None], better, xy)
        height, width = grey.shape
        edge = 0.25 * o.window_px
        keep &= np.all((xy >= edge) & (xy < np.array([width, height]) - edge), axis=1)
        if ignore is not None and keep.any():
            column, row = xy[keep].astype(int).T
            keep[keep] = ~ignore[row, column]
        return keep, xy.astype(np.float32)

    def _flow(self, first: U8, second: U8, xy: F32, guess: F32, levels: int) -> tuple[F32, B]:
        o = self._options
        # OpenCV counts from the centre of the first pixel.
        start, guessed = (xy - 0.5)[:, None].astype(np.float32), (guess - 0.5)[:, None].astype(np.float32)
        ends = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01)
        flow, status, _ = cv2.calcOpticalFlowPyrLK(
            first, second, start, guessed, winSize=(o.window_px,) * 2, maxLevel=levels, criteria=ends, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
        )
        return flow[:, 0] + np.float32(0.5), status[:, 0] > 0

    def _top_up(self, grey: U8, ignore: B | None) -> None:
        """Makes this frame the keyframe: new points where there are few."""
        fresh = new_corners(grey, self._xy, ignore, self._options)
        ids = np.arange(self._next, self._next + len(fresh), dtype=np.int32)
        self._next += len(fresh)
        self._ids, self._xy = np.concatenate([self._ids, ids]), np.concatenate([self._xy, fresh])
        self._anchored, self._anchor = self._xy, grey
        self._at_keyframe, self._since = len(self._ids), 0


def new_corners(grey: U8, taken: F32, ignore: B | None, options: FollowOptions) -> F32:
    """Corners away from points that are followed already, the strongest ones of every cell that has too few.

    Args:
        grey: (H, W) uint8.
        taken: (n, 2) points that are followed.
        ignore: (H, W) where none is wanted.
        options: How many.

    Returns:
        (m, 2) float32 continuous pixels.
    """
    height, width = grey.shape
    apart = max(4.0, 0.55 * np.sqrt(height * width / options.most))
    wanted = np.full(grey.shape, 255, np.uint8)
    if ignore is not None:
        wanted[ignore] = 0
    for x, y in taken:
        cv2.circle(wanted, (int(x), int(y)), round(apart), 0, -1)
    found = cv2.goodFeaturesToTrack(grey, 4 * options.most, options.corner, apart, mask=wanted, blockSize=5)
    if found is None:
        return np.empty((0, 2), np.float32)
    xy = found.reshape(-1, 2) + np.float32(0.5)
    edge = 0.5 * options.window_px
    xy = xy[np.all((xy >= edge) & (xy <= np.array([width, height]) - edge), axis=1)]
    side = max(width, height) / options.cells
    across, down = int(np.ceil(width / side)), int(np.ceil(height / side))
    room = np.full(across * down, options.most / (across * down))
    room -= np.bincount(_cell(taken, side, across), minlength=len(room))[: len(room)] if len(taken) else 0
    cell = _cell(xy, side, across)
    # Corners come strongest first; the place of each among those of its cell decides.
    order = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[order], np.arange(len(room)))
    place = np.empty(len(xy), int)
    place[order] = np.arange(len(xy)) - starts[cell[order]]
    chosen = place < room[cell]
    spare = options.most - len(taken) - int(chosen.sum())
    if spare > 0:  # bare cells leave theirs to the others
        chosen[np.flatnonzero(~chosen)[:spare]] = True
    return xy[chosen].astype(np.float32)


def _cell(xy: NDArray, side: float, across: int) -> NDArray[np.int64]:
    column, row = (np.asarray(xy) / side).astype(np.int64).T
    return row * across + np.minimum(column, across - 1)
