"""A tracker of unordered images run over a video or photos: in pieces of bounded memory, with what it will cost told before."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.errors import UserError
from toolkit.models.point_refiner import COARSE, FINE, LEAST_SIDE, STRIDE
from toolkit.models.square_images import Square
from toolkit.progress import Report, silent
from toolkit.scene import F32, U8, B, Estimate, Tracks2D

if TYPE_CHECKING:
    from toolkit.models.track_predictor import TrackPredictor


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


def track_video(
    network: TrackPredictor, images: Sequence[U8], queries: F32, settings: VideoTracking | None = None, *, report: Report = silent
) -> Tracks2D:
    """Tracks of queries from their image to all others.

    Args:
        network: The tracker.
        images: T frames or photos, (H, W, 3) uint8 each, of any sizes.
        queries: (N, 3) (t, x, y), continuous pixels, inside their image.
        settings: How it is done.
        report: Told the work done; may raise `Cancelled`. It is called several times a second to every few seconds.

    Returns:
        N tracks in pixels of each image. Their confidence is the network's own, uncalibrated; errors in pixels are unknown, as the
        network does not tell them.
    """
    s = settings or VideoTracking()
    moments = queries[:, 0].astype(np.int64)
    pieces = plan(moments, len(images), s)
    squares = [Square((image.shape[1], image.shape[0]), s.side) for image in images]
    progress = _Progress(report, sum(_work(p, s) for p in pieces) + _encoding_work(s) * len(images))
    features = _Features(network, images, squares, s.features_mb, lambda: progress.add(_encoding_work(s)))
    xy = np.zeros((len(queries), len(images), 2), np.float32)
    chance = np.zeros((len(queries), len(images)), np.float32)
    asked = np.zeros((len(queries), 2), np.float32)
    for t in np.unique(moments):
        asked[moments == t] = squares[t].into(queries[moments == t, 1:])
    with torch.inference_mode():
        for piece in pieces:
            found, seen = _track_piece(network, features, piece, asked[piece.points], s, progress)
            for t, places, chances in zip(piece.frames, found, seen, strict=True):
                xy[piece.points, t] = squares[t].out_of(places)
                chance[piece.points, t] = np.where(_inside(xy[piece.points, t], squares[t].size), chances, 0)
    progress.finish()
    rows = np.arange(len(queries))
    xy[rows, moments], chance[rows, moments] = queries[:, 1:], 1
    return Tracks2D(xy, chance > s.seen_above, chance, queries)


def estimate(network: TrackPredictor, moments: NDArray, frames: int, settings: VideoTracking | None = None) -> Estimate:
    """What `track_video` will take on this machine, now: a short product is timed for it.

    Args:
        network: The tracker, on its device.
        moments: (N,) frame index of each query.
        frames: T, of the video.
        settings: How it will be done.
    """
    s = settings or VideoTracking()
    pieces = plan(np.asarray(moments, np.int64), frames, s)
    units = sum(_work(p, s) for p in pieces) + _encoding_work(s) * frames
    seconds = units * COSTS.per_linear * row_seconds(network.coarse_fnet.conv1.weight.device)
    samples = max(len(p.points) * len(p.frames) for p in pieces)
    map_mb = 4 * COARSE.channels * (s.side / STRIDE) ** 2 / 1e6
    maps = min(frames, s.features_mb / map_mb) + 4 / 3 * min(frames, s.frames_at_once)
    memory = COSTS.base_mb + map_mb * maps + COSTS.sample_mb * samples + COSTS.patch_mb * min(samples, s.patches_at_once)
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


class _Features:
    """Feature maps by frame; the latest are kept. `told` is called for each that is made."""

    def __init__(
        self, network: TrackPredictor, images: Sequence[U8], squares: list[Square], most_mb: int, told: Callable[[], None]
    ) -> None:
        self._network = network
        self._images = images
        self._squares = squares
        self._most_bytes = most_mb * 1e6
        self._kept: OrderedDict[int, Tensor] = OrderedDict()
        self._told = told

    def pictures(self, frames: NDArray) -> Tensor:
        """(S, 3, side, side) uint8."""
        device = self._network.coarse_fnet.conv1.weight.device
        return torch.from_numpy(np.stack([self._squares[t].picture(self._images[t]) for t in frames])).to(device)

    def maps(self, frames: NDArray) -> Tensor:
        """(S, 128, side / 8, side / 8)."""
        return torch.cat([self._of(int(t)) for t in frames])

    def _of(self, t: int) -> Tensor:
        if t in self._kept:
            self._kept.move_to_end(t)
            return self._kept[t]
        maps = self._network.encode(self.pictures(np.array([t])))
        self._told()
        self._kept[t] = maps
        while len(self._kept) > max(1, self._most_bytes // maps.nbytes):
            self._kept.popitem(last=False)
        return maps


class _Progress:
    """Work done, told as whole numbers."""

    def __init__(self, report: Report, total: float) -> None:
        self._report = report
        self._total = total
        self._done = 0.0

    def add(self, units: float) -> None:
        # Feature maps that had to be made anew are not in the plan.
        self._done = min(self._done + units, self._total)
        self._report(int(self._done), int(self._total))

    def finish(self) -> None:
        self._report(int(self._total), int(self._total))


def _track_piece(
    network: TrackPredictor, features: _Features, piece: Piece, asked: F32, s: VideoTracking, progress: _Progress
) -> tuple[F32, F32]:
    """Places (S, N, 2) in pixels of the square and the chance (S, N) that each is seen."""
    maps = features.maps(piece.frames)
    queries = torch.from_numpy(asked).to(maps.device)
    layer = _coarse_work(piece)
    steps, seen = network.track_coarse(maps, queries, iters=s.iterations, tick=lambda: progress.add(layer))
    coarse = steps[-1]
    del maps, steps
    if s.refine and len(piece.frames) > 1:
        pictures = features.pictures(piece.frames)
        fine = coarse.clone()
        for part in _parts(len(piece.points), max(1, s.patches_at_once // len(piece.frames))):
            units = COSTS.refined * (part.stop - part.start) * len(piece.frames)
            fine[:, part], _ = network.track_fine(pictures, queries[part], coarse[:, part], tick=lambda u=units: progress.add(u))
        # Outside the picture there is nothing to refine by.
        outside = ((coarse < 0) | (coarse > s.side - 1)).any(-1)
        fine[outside] = coarse[outside]
        coarse = fine
    return coarse.cpu().numpy(), seen.cpu().numpy()


def _parts(count: int, size: int) -> Iterator[slice]:
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


def _coarse_work(piece: Piece) -> float:
    return (len(piece.points) + COSTS.virtual * COARSE.virtual) * len(piece.frames)


def _encoding_work(s: VideoTracking) -> float:
    return COSTS.encoded * (s.side / 1024) ** 2


def _work(piece: Piece, s: VideoTracking) -> float:
    units = _coarse_work(piece) * COARSE.layers * s.iterations
    if s.refine and len(piece.frames) > 1:
        units += COSTS.refined * len(piece.points) * len(piece.frames) * FINE.layers * 6
    return units


def _inside(xy: F32, size: tuple[int, int]) -> B:
    return (xy[..., 0] >= 0) & (xy[..., 0] <= size[0]) & (xy[..., 1] >= 0) & (xy[..., 1] <= size[1])
