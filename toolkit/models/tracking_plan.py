"""How a tracker of unordered images goes through a video piece by piece, and what that will cost in time and memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.models.fine_tracking import ITERATIONS as FINE_ITERATIONS
from toolkit.models.point_refiner import COARSE, FINE, LEAST_SIDE, STRIDE
from toolkit.scene import Estimate


@dataclass(frozen=True)
class VideoTracking:
    """How a video, or a set of photos, is tracked.

    Attributes:
        side: Pixels of the padded square that the network sees, a multiple of 8 from 128 on; it was trained with 1024.
        iterations: Of the coarse predictor; 6 as published.
        refine: Whether the fine predictor follows.
        frames_at_once: Frames that know of each other, the query's included; 32 as in the published video mode.
        samples_at_once: Points times frames that know of each other: about 20 kB each.
        patches_at_once: Points times frames refined together: about 400 kB each.
        features_mb: Feature maps that are kept for another use.
        seen_above: A point counts as seen where its chance is higher; the published pipeline's gate. The chance is not calibrated.
    """

    side: int = 1024
    iterations: int = 6
    refine: bool = True
    frames_at_once: int = 32
    samples_at_once: int = 16384
    patches_at_once: int = 512
    features_mb: int = 512
    seen_above: float = 0.05

    def __post_init__(self) -> None:
        """Refuses squares that the network cannot halve as often as it wants to."""
        if self.side < LEAST_SIDE or self.side % STRIDE:
            raise UserError(f"Squares of {self.side} px cannot be tracked in; a multiple of {STRIDE} px from {LEAST_SIDE} px on is needed.")


@dataclass(frozen=True)
class Costs:
    """Work in units of one token through one layer of the coarse transformer; measured on one core.

    Attributes:
        virtual: Units per virtual track, frame and layer: it passes more blocks than a point.
        refined: Units per point and frame for each layer of the fine transformer, its share of the patch encoder included.
        encoded: Units per frame of 1024 x 1024 for the image encoder.
        per_linear: Time of a unit over that of one row of the reference product, see `row_seconds`.
        base_mb: Memory of torch and the weights.
        sample_mb: Per point and frame in work.
        patch_mb: Per patch in work.
    """

    virtual: float = 1.5
    refined: float = 0.5
    encoded: float = 6000.0
    per_linear: float = 7.5
    base_mb: float = 700.0
    sample_mb: float = 0.03
    patch_mb: float = 0.4


COSTS = Costs()


@dataclass(frozen=True, eq=False)
class Piece:
    """Points of one frame looked for in a few frames together.

    Attributes:
        points: Indices of the queries.
        frames: Frame indices, the query's first.
    """

    points: NDArray
    frames: NDArray


def plan(moments: NDArray, frames: int, settings: VideoTracking) -> list[Piece]:
    """Pieces that find every query in every frame.

    Args:
        moments: (N,) frame index of each query.
        frames: T, of the video.
        settings: How much goes into a piece.
    """
    pieces = []
    # Stretches of the video are the outer loop, so that their feature maps are used for all queries while they are there.
    stretches = -(-frames // max(1, settings.frames_at_once - 1)) if frames > settings.frames_at_once else 1
    for stretch in np.array_split(np.arange(frames), stretches):
        for t in np.unique(moments):
            together = np.append(t, stretch[stretch != t])
            if len(together) == 1 and frames > 1:
                continue
            points = np.flatnonzero(moments == t)
            shares = -(-len(points) * len(together) // settings.samples_at_once)
            shares = min(max(shares, 1), len(points))
            pieces += [Piece(points[i::shares], together) for i in range(shares)]  # each share is spread over the image
    return pieces


def coarse_work(piece: Piece) -> float:
    """Units of one layer of the coarse transformer."""
    return (len(piece.points) + COSTS.virtual * COARSE.virtual) * len(piece.frames)


def encoding_work(s: VideoTracking) -> float:
    """Units of one feature map."""
    return COSTS.encoded * (s.side / 1024) ** 2


def total_work(pieces: list[Piece], s: VideoTracking) -> float:
    """Units of everything, feature maps that have to be made again included."""
    units = encoding_work(s) * _maps_made(pieces, s)
    for piece in pieces:
        units += coarse_work(piece) * COARSE.layers * s.iterations
        if s.refine and len(piece.frames) > 1:
            units += COSTS.refined * len(piece.points) * len(piece.frames) * FINE.layers * FINE_ITERATIONS
    return units


def maps_kept(s: VideoTracking) -> int:
    """How many frames' feature maps are kept for another use."""
    return max(1, int(s.features_mb // _map_mb(s)))


def _map_mb(s: VideoTracking) -> float:
    return 4 * COARSE.channels * (s.side / STRIDE) ** 2 / 1e6


def _maps_made(pieces: list[Piece], s: VideoTracking) -> int:
    kept: OrderedDict[int, None] = OrderedDict()
    made = 0
    for t in (int(t) for piece in pieces for t in piece.frames):
        made += t not in kept
        kept[t] = None
        kept.move_to_end(t)
        if len(kept) > maps_kept(s):
            kept.popitem(last=False)
    return made


def estimate(moments: NDArray, frames: int, settings: VideoTracking | None = None, *, device: torch.device) -> Estimate:
    """What tracking will take on this machine, now: a short product is timed for it.

    Args:
        moments: (N,) frame index of each query.
        frames: T, of the video.
        settings: How it will be done.
        device: Where the network is.
    """
    s = settings or VideoTracking()
    pieces = plan(np.asarray(moments, np.int64), frames, s)
    seconds = total_work(pieces, s) * COSTS.per_linear * row_seconds(device)
    samples = max(len(p.points) * len(p.frames) for p in pieces)
    maps = min(frames, maps_kept(s)) + 4 / 3 * min(frames, s.frames_at_once)  # those in work have a pyramid
    memory = COSTS.base_mb + _map_mb(s) * maps + COSTS.sample_mb * samples + COSTS.patch_mb * min(samples, s.patches_at_once)
    return Estimate(round(seconds, 1), round(memory))


def row_seconds(device: torch.device) -> float:
    """Seconds that one row of a product with (384, 1536) weights takes, the best of a few tries of 512 rows."""
    rows = torch.ones(512, COARSE.width, device=device)
    weights = torch.ones(COARSE.width, 4 * COARSE.width, device=device)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        (rows @ weights).sum().item()  # .item() waits for a graphics processor
        best = min(best, time.perf_counter() - start)
    return best / len(rows)
