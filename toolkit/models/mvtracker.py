"""MVTracker (Rajič et al., ICCV 2025): points of the world followed through synchronised views with known cameras and depth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.alignment import Similarity
from toolkit.models.checkpoints import FromPublished, Published
from toolkit.models.mvtracker_cloud import Moment, View
from toolkit.models.mvtracker_result import as_tracks
from toolkit.models.mvtracker_stream import MultiViewStream, MultiViewTracking, checked_queries, track_recording
from toolkit.models.mvtracker_transformer import LAYERS, Tick
from toolkit.models.mvtracker_update import WINDOW, WindowUpdater
from toolkit.models.mvtracker_views import moment_of
from toolkit.models.mvtracker_windows import HOP, SlidingWindows
from toolkit.progress import Report, silent
from toolkit.scene import F32, MultiViewVideo, Tracks3D

MVTRACKER = Published(
    name="MVTracker",
    repository="ethz-vlg/mvtracker",
    file="mvtracker_200000_june2025.pth",
    licence="The weights of MVTracker (ETH Zurich) are published as Apache-2.0.",
    prefix="model.",
    also=("mvtracker_200000_june2025_cleandepth.pth",),
    revision="010d5d114e860aae6b2568104927b636cdca01bc",
    sha256="a7fa86f2a7223e3e0aa4c1d3eff0dec5fe8a9227a48572ce943b8e49d8a4f8e6",
)
ITERATIONS = 4


class MVTracker(FromPublished, WindowUpdater):
    """The published network; weights are named as in the published file.

    In parity the published code is followed where it is wrong, see `SlidingWindows`.
    """

    published = MVTRACKER

    def __init__(self) -> None:
        super().__init__()
        self.parity = False

    def track(
        self,
        rgbs: ArrayLike,
        depths: ArrayLike,
        intrs: ArrayLike,
        extrs: ArrayLike,
        query_points: ArrayLike,
        iters: int = ITERATIONS,
        *,
        both_ways: bool = True,
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
            both_ways: Whether points are followed to frames before their query, too; in parity they are not.
            tick: Called after each layer of the transformer; may raise `Cancelled`.

        Returns:
            (T, N, 3) places, and (T, N) chance that any view sees the point. What is not known is NaN with a chance of 0; in parity it is
            what the published code gives.

        Raises:
            UserError: for shapes that do not match, images in 0..1, and queries that are not finite or in no frame.
        """
        images, depth, K, T_cw = _checked_views(rgbs, depths, intrs, extrs)
        frames = images.shape[1]
        queries = checked_queries(query_points, frames)

        def moment(t: int) -> Moment:
            return [View(images[v, t], depth[v, t, 0], K[v, t], T_cw[v, t]) for v in range(len(images))]

        if self.parity:
            return self._as_published(moment, frames, queries, iters, tick)
        settings = MultiViewTracking(iterations=iters, support=0, both_ways=both_ways, normalise=False)
        xyz, chance = track_recording(self, moment, frames, queries, settings, tick=tick)
        return xyz.transpose(1, 0, 2), chance.T

    def infer(
        self, clip: MultiViewVideo, queries: ArrayLike, *, settings: MultiViewTracking | None = None, report: Report = silent
    ) -> Tracks3D:
        """Follows points of the world through synchronised views.

        Args:
            clip: V views with cameras and depth, in any sizes; views whose camera is not registered in a frame are left out there.
            queries: (N, 4) (t, x, y, z): a frame index, then the place in the world in that frame.
            settings: How it is done.
            report: Told the progress; may raise `Cancelled`.

        Returns:
            N tracks in the world of the cameras; at its query each is where it was asked for. `visible` says that some view sees the point;
            errors are not known. `motion` is 0.5 where a point strays 2 % of its distance from the cameras.

        Raises:
            UserError: for a clip without depth, and queries that are not finite or in no frame.
        """
        s = settings or MultiViewTracking()
        frames = len(clip.views[0])
        asked = checked_queries(queries, frames)
        if clip.depth_m is None:
            raise UserError("The views came without depth, but MVTracker needs it: give depth_m, or estimate it.")
        total, done = _ticks(asked, frames, s), 0

        def tick() -> None:
            nonlocal done
            done += 1
            report(min(done, total), total)

        xyz, chance = track_recording(self, lambda t: moment_of(clip, t, area_px=s.area_px), frames, asked, s, tick=tick)
        return as_tracks(xyz, chance, asked, clip, seen_above=s.seen_above)

    def stream(self, queries: ArrayLike, *, settings: MultiViewTracking | None = None, world: Similarity | None = None) -> MultiViewStream:
        """Follows points while frames come in, a few at a time and as many as there will be, in the memory of 12 frames.

        Args:
            queries: As in `infer`; frames count from the first that is pushed. More may be added on the way.
            settings: How it is done; there is no way back to frames before a query.
            world: Brings the recording's world to that of training; None for what the first frame tells.
        """
        return MultiViewStream(self, queries, settings, world=world)

    def _as_published(self, moment: Callable[[int], Moment], frames: int, queries: F32, iters: int, tick: Tick) -> tuple[F32, F32]:
        xyz, chance = np.zeros((frames, len(queries), 3), np.float32), np.zeros((frames, len(queries)), np.float32)
        windows = SlidingWindows(self, queries, iters=iters, published=True, tick=tick)
        for found in [*(windows.push(moment(t)) for t in range(frames)), windows.finish()]:
            if found is not None:
                here = slice(found.first, found.first + found.xyz.shape[1])
                xyz[here, found.tracks], chance[here, found.tracks] = found.xyz.transpose(1, 0, 2), found.chance.T
        return xyz, chance


def _ticks(queries: F32, frames: int, s: MultiViewTracking) -> int:
    """How often a recording's tracking tells of its progress."""
    if not len(queries):
        return 1
    way = frames - max(0, min(int(queries[:, 0].min()), frames - WINDOW))
    ticks = way + _windows(way) * s.iterations * LAYERS
    newest = int(queries[:, 0].max())
    if s.both_ways and newest >= 1:
        held = way - HOP * (_windows(way) - 1)  # frames whose clouds are still there for the way back
        ticks += newest + 1 - max(0, newest + 1 - (frames - held)) + _windows(newest + 1) * s.iterations * LAYERS
    return ticks


def _windows(frames: int) -> int:
    """How many windows go through so many frames."""
    return 1 + max(0, -(-(frames - WINDOW) // HOP))


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
        raise UserError(f"The images hold numbers up to {images.max():.2g}, but 0 to 255 is needed (uint8, or float in that range).")
    return images, depth, K, T_cw
