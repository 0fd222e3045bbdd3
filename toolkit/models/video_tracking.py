"""A tracker of unordered images run over a video or photos, in pieces of bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.models.square_images import Square
from toolkit.models.tracking_plan import COSTS, Piece, VideoTracking, coarse_work, encoding_work, maps_kept, plan, total_work
from toolkit.progress import Report, silent
from toolkit.scene import F32, U8, B, Tracks2D

if TYPE_CHECKING:
    from toolkit.models.track_predictor import TrackPredictor


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
    progress = _Progress(report, total_work(pieces, s))
    features = _Features(network, images, squares, maps_kept(s), lambda: progress.add(encoding_work(s)))
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


class _Features:
    """Feature maps by frame; the latest are kept. `told` is called for each that is made."""

    def __init__(self, network: TrackPredictor, images: Sequence[U8], squares: list[Square], most: int, told: Callable[[], None]) -> None:
        self._network = network
        self._images = images
        self._squares = squares
        self._most = most
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
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return maps


class _Progress:
    """Work done, told as whole numbers."""

    def __init__(self, report: Report, total: float) -> None:
        self._report = report
        self._total = total
        self._done = 0.0

    def add(self, units: float) -> None:
        self._done += units
        self._report(min(int(self._done), int(self._total)), int(self._total))

    def finish(self) -> None:
        self._report(int(self._total), int(self._total))


def _track_piece(
    network: TrackPredictor, features: _Features, piece: Piece, asked: F32, s: VideoTracking, progress: _Progress
) -> tuple[F32, F32]:
    """Places (S, N, 2) in pixels of the square and the chance (S, N) that each is seen."""
    maps = features.maps(piece.frames)
    queries = torch.from_numpy(asked).to(maps.device)
    layer = coarse_work(piece)
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


def _inside(xy: F32, size: tuple[int, int]) -> B:
    return (xy[..., 0] >= 0) & (xy[..., 0] <= size[0]) & (xy[..., 1] >= 0) & (xy[..., 1] <= size[1])
