"""MVTracker (Rajič et al., ICCV 2025): points of the world followed through synchronised views with known cameras and depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.models.checkpoints import Published, State, below, filled, read_published
from toolkit.models.mvtracker_cloud import Moment, View
from toolkit.models.mvtracker_transformer import Tick
from toolkit.models.mvtracker_update import WindowUpdater
from toolkit.models.mvtracker_windows import SlidingWindows
from toolkit.scene import F32

MVTRACKER = Published(
    name="MVTracker",
    repository="ethz-vlg/mvtracker",
    file="mvtracker_200000_june2025.pth",
    licence="The weights of MVTracker (ETH Zurich) are published as Apache-2.0.",
    prefix="model.",
    also=("mvtracker_200000_june2025_cleandepth.pth",),
)
ITERATIONS = 4


class MVTracker(WindowUpdater):
    """The published network; weights are named as in the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.parity = False

    @classmethod
    def from_state_dict(cls, state: State, *, parity: bool = False) -> MVTracker:
        """The network with these weights.

        Args:
            state: The published names, with or without "model."; tensors or arrays.
            parity: Whether the published code is followed where it is wrong, see `SlidingWindows`.

        Raises:
            UserError: if a name or shape differs.
        """
        with torch.device("meta"):
            network = cls()
        network.parity = parity
        return filled(network, below(state, MVTRACKER.prefix), model=MVTRACKER.name)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, revision: str | None = None, parity: bool = False) -> MVTracker:
        """The network with the published weights that a person has, or that are fetched when asked for by name.

        Their licence is told on the standard error stream.

        Args:
            name_or_path: A published checkpoint, a .safetensors file with the same names, a folder with one of them, or
                "ethz-vlg/mvtracker" to fetch it.
            revision: Which commit is fetched; None for the newest, which is then told.
            parity: As in `from_state_dict`.

        Raises:
            UserError: if the file is not there, not a file of weights, or of another model.
        """
        return cls.from_state_dict(read_published(name_or_path, MVTRACKER, revision=revision), parity=parity)

    def track(
        self,
        rgbs: ArrayLike,
        depths: ArrayLike,
        intrs: ArrayLike,
        extrs: ArrayLike,
        query_points: ArrayLike,
        iters: int = ITERATIONS,
        *,
        both_ways: bool | None = None,
        tick: Tick = lambda: None,
    ) -> tuple[F32, F32]:
        """Follows points; everything is as the network sees it: no resizing, no normalisation of the scene, no further points.

        Args:
            rgbs: (V, T, 3, H, W) uint8, or float in 0..255.
            depths: (V, T, 1, H, W) z-depth in the world's unit, 0 or not finite where unknown.
            intrs: (V, T, 3, 3) intrinsics in pixels whose centres are whole numbers.
            extrs: (V, T, 3, 4) camera-from-world.
            query_points: (N, 4) (t, x, y, z): a frame index, then the place in the world in that frame.
            iters: Iterations per window of 12 frames.
            both_ways: Whether points are followed to frames before their query, too; None for yes, but not in parity.
            tick: Called after each layer of the transformer; may raise `Cancelled`.

        Returns:
            (T, N, 3) places, and (T, N) chance that any view sees the point. What is not known is NaN with a chance of 0; in parity it is
            what the published code gives.

        Raises:
            UserError: for shapes that do not match, images in 0..1, and queries that are not finite or in no frame.
        """
        images, depth, K, T_cw = _checked_views(rgbs, depths, intrs, extrs)
        queries = checked_queries(query_points, images.shape[1])

        def moment(t: int) -> Moment:
            return [View(images[v, t], depth[v, t, 0], K[v, t], T_cw[v, t]) for v in range(len(images))]

        backward = not self.parity if both_ways is None else both_ways
        return track_moments(self, moment, images.shape[1], queries, iters=iters, both_ways=backward, published=self.parity, tick=tick)


def track_moments(
    network: WindowUpdater,
    moment: Callable[[int], Moment],
    frames: int,
    queries: F32,
    *,
    iters: int = ITERATIONS,
    both_ways: bool = True,
    published: bool = False,
    tick: Tick = lambda: None,
) -> tuple[F32, F32]:
    """Tracks of queries through frames that are asked for one by one.

    Args:
        network: Encoder and transformer.
        moment: The views of a frame.
        frames: How many there are, T.
        queries: (N, 4) float32 (t, x, y, z).
        iters: Iterations per window.
        both_ways: Whether to frames before the queries, too.
        published: See `SlidingWindows`.
        tick: As there.

    Returns:
        (T, N, 3) places and (T, N) chances, as in `MVTracker.track`.
    """
    xyz = np.full((frames, len(queries), 3), 0 if published else np.nan, np.float32)
    chance = np.zeros((frames, len(queries)), np.float32)

    def follow(asked: F32, order: Sequence[int], which: NDArray) -> None:
        windows = SlidingWindows(network, asked, iters=iters, published=published, tick=tick)
        results = (windows.push(moment(t)) for t in order)
        for found in [*filter(None, results), *filter(None, [windows.finish()])]:
            for s in range(found.xyz.shape[1]):
                t, mine = order[found.first + s], which[found.tracks]
                # Backwards only what lies before the query; forwards everything that was found.
                keep = np.isfinite(found.xyz[:, s, 0]) | (order[0] == 0)
                xyz[t, mine[keep]], chance[t, mine[keep]] = found.xyz[keep, s], found.chance[keep, s]

    follow(queries, range(frames), np.arange(len(queries)))
    late = np.flatnonzero(queries[:, 0] >= 1)
    if both_ways and len(late):
        newest = int(queries[late, 0].max())
        turned = queries[late].copy()
        turned[:, 0] = newest - turned[:, 0].astype(np.int64)
        follow(turned, range(newest, -1, -1), late)
    return xyz, chance


def checked_queries(query_points: ArrayLike, frames: int) -> F32:
    """Queries (N, 4) as float32.

    Raises:
        UserError: for another shape, numbers that are not finite, and frames that are not there.
    """
    queries = np.asarray(query_points, np.float32)
    if queries.ndim == 3 and len(queries) == 1:
        queries = queries[0]
    if queries.ndim != 2 or queries.shape[1] != 4:  # noqa: PLR2004  (t, x, y, z)
        raise UserError(f"The queries have shape {queries.shape}, but (N, 4) with (t, x, y, z) is needed.")
    wrong = np.flatnonzero(~np.isfinite(queries).all(1))
    if len(wrong):
        raise UserError(f"Query {wrong[0]} is {queries[wrong[0]].tolist()}, but (t, x, y, z) must be finite numbers.")
    outside = np.flatnonzero((queries[:, 0] < 0) | (queries[:, 0] >= frames))
    if len(outside):
        raise UserError(f"Query {outside[0]} is in frame {queries[outside[0], 0]:g}, but there are frames 0 to {frames - 1}.")
    return queries


def _checked_views(rgbs: ArrayLike, depths: ArrayLike, intrs: ArrayLike, extrs: ArrayLike) -> tuple[NDArray, F32, NDArray, NDArray]:
    images, depth = np.asarray(rgbs), np.asarray(depths, np.float32)
    K, T_cw = np.asarray(intrs, np.float64), np.asarray(extrs, np.float64)
    if images.ndim != 5 or images.shape[2] != 3 or not images.size:  # noqa: PLR2004  (V, T, colours, H, W)
        raise UserError(f"The images have shape {images.shape}, but (V, T, 3, H, W) is needed.")
    views, frames, _, height, width = images.shape
    needed = (("depths", depth, (1, height, width)), ("intrinsics", K, (3, 3)), ("extrinsics", T_cw, (3, 4)))
    for name, array, shape in needed:
        if array.shape != (views, frames, *shape):
            raise UserError(f"The {name} have shape {array.shape}, but {(views, frames, *shape)} is needed for images {images.shape}.")
    if images.dtype != np.uint8 and images.max() <= 1:
        raise UserError(f"The images hold numbers up to {images.max():g}, but 0 to 255 is needed (uint8, or float in that range).")
    return images, depth, K, T_cw
