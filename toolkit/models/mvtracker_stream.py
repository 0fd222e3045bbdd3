"""MVTracker over recordings: points asked for in the world of the recording, answered there, while frames come in or all at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.alignment import Similarity
from toolkit.models.mvtracker_cloud import FeatureCloud, Moment
from toolkit.models.mvtracker_normalisation import inverse, moved_moment, moved_queries, normalisation
from toolkit.models.mvtracker_transformer import Tick
from toolkit.models.mvtracker_update import WindowUpdater
from toolkit.models.mvtracker_views import TRAINED_SIZE, moment_of, supporting_queries
from toolkit.models.mvtracker_windows import SlidingWindows, WindowResult
from toolkit.scene import F32, MultiViewVideo


@dataclass(frozen=True)
class MultiViewTracking:
    """How MVTracker goes through a recording.

    Attributes:
        iterations: Of each window of 12 frames; 4 as in the published evaluation.
        area_px: Pixels of a picture that the network sees; it was trained with 384 x 512.
        support: Further points that are tracked along, on a grid with so many on each side of each view of the first query's frame; 4 as
            published, 0 for none.
        seen_above: A point counts as seen where its chance is higher. The chance is not calibrated: the published evaluation takes 0.5
            for rendered and 0.01 for real recordings.
        both_ways: Whether points are followed to frames before their query, too; a stream cannot.
        normalise: Whether the world is first brought to the size and orientation of those of training; it is undone in what is returned.
    """

    iterations: int = 4
    area_px: int = TRAINED_SIZE[0] * TRAINED_SIZE[1]
    support: int = 4
    seen_above: float = 0.01
    both_ways: bool = True
    normalise: bool = True


@dataclass(frozen=True, eq=False)
class StreamPart:
    """Where all queries are in some frames.

    Attributes:
        first: The first of these frames, counted from the first that was ever pushed.
        final: How many of them are final: the rest comes again, improved, in the next part.
        xyz: (N, S, 3) float32 in the recording's world; NaN before a query's own frame.
        chance: (N, S) float32 chance that any view sees the point, 0..1, not calibrated.
    """

    first: int
    final: int
    xyz: F32
    chance: F32


class MultiViewStream:
    """Tracks points while frames come in; holds 12 frames, however many come.

    Args:
        network: Encoder and transformer.
        queries: (N, 4) (t, x, y, z) in the recording's world, t counted from the first frame pushed; frames still to come may be named.
        settings: How it is done.
        world: Brings the recording's world to that of training; None for what the first frame tells.
        tick: Called after each frame and each layer of the transformer; may raise `Cancelled`.

    Raises:
        UserError: for queries that are not finite or before the first frame.
    """

    def __init__(
        self,
        network: WindowUpdater,
        queries: ArrayLike,
        settings: MultiViewTracking | None = None,
        *,
        world: Similarity | None = None,
        tick: Tick = lambda: None,
    ) -> None:
        self.settings = settings or MultiViewTracking()
        self.queries = checked_queries(queries)
        if world is None and not self.settings.normalise:
            world = Similarity(1.0, np.eye(3), np.zeros(3))
        self.world = world
        self._rows = np.zeros(0, np.int64)  # which query each of the network's tracks is; -1 for support
        self._windows = SlidingWindows(network, np.zeros((0, 4)), iters=self.settings.iterations, tick=tick)
        self._supported = False
        self._asked = 0  # queries that the windows know of

    def add(self, queries: ArrayLike) -> None:
        """Takes further queries, in frames to come or in those that the next part will hold.

        Raises:
            UserError: for queries that are not finite, or in frames that are gone.
        """
        more = checked_queries(queries)
        before = len(self.queries)
        self.queries = np.concatenate([self.queries, more])
        if self._windows.count:
            try:
                self._ask()
            except UserError:
                self.queries = self.queries[:before]
                raise

    def push(self, clip: MultiViewVideo) -> list[StreamPart]:
        """Takes the next frames, one or more; gives a part for each window of 12 frames that they complete, one every 6 frames.

        Args:
            clip: Synchronised views with depth.

        Raises:
            UserError: for a clip without depth.
        """
        if clip.depth_m is None:
            raise UserError("The views came without depth, but MVTracker needs it: give depth_m, or estimate it.")
        parts = (self.push_moment(moment_of(clip, t, area_px=self.settings.area_px)) for t in range(len(clip.views[0])))
        return [part for part in parts if part is not None]

    def push_moment(self, moment: Moment, cloud: FeatureCloud | None = None) -> StreamPart | None:
        """Takes the views of one frame as the network sees them; gives the part that they complete, if any.

        Args:
            moment: Views in the recording's world.
            cloud: What they were encoded as by another stream of the same `world`.
        """
        if self.world is None:
            self.world = normalisation(moment)
        moment = moved_moment(moment, self.world)
        self._ask()
        if not self._supported and len(self.queries) and self._windows.count >= int(self.queries[:, 0].min()):
            self._supported = True
            support = supporting_queries(moment, self._windows.count, self.settings.support) if self.settings.support else np.zeros((0, 4))
            self._take(support, np.full(len(support), -1))
        return self._part(self._windows.push(moment if cloud is None else cloud))

    def encoded(self) -> dict[int, FeatureCloud]:
        """Clouds of the last frames, by their number."""
        return self._windows.encoded()

    def finish(self) -> list[StreamPart]:
        """After the last frame: the frames that no part has told of yet."""
        part = self._part(self._windows.finish())
        return [] if part is None else [part]

    def _ask(self) -> None:
        assert self.world is not None
        new = np.arange(self._asked, len(self.queries))
        if len(new):
            self._take(moved_queries(self.queries[new], self.world), new)
            self._asked = len(self.queries)

    def _take(self, queries: NDArray, rows: NDArray) -> None:
        self._windows.add(queries)
        self._rows = np.append(self._rows, rows)

    def _part(self, found: WindowResult | None) -> StreamPart | None:
        if found is None:
            return None
        assert self.world is not None
        rows = self._rows[found.tracks]
        frames = found.xyz.shape[1]
        xyz = np.full((len(self.queries), frames, 3), np.nan, np.float32)
        chance = np.zeros((len(self.queries), frames), np.float32)
        xyz[rows[rows >= 0]] = inverse(self.world)(found.xyz[rows >= 0].astype(np.float64))
        chance[rows[rows >= 0]] = found.chance[rows >= 0]
        at, slot = np.nonzero((self.queries[:, 0].astype(np.int64) - found.first)[:, None] == np.arange(frames))
        xyz[at, slot] = np.where(np.isfinite(xyz[at, slot]), self.queries[at, 1:], np.nan)  # to the last digit
        return StreamPart(found.first, found.final, xyz, chance)


def track_recording(
    network: WindowUpdater,
    moment: Callable[[int], Moment],
    frames: int,
    queries: ArrayLike,
    settings: MultiViewTracking | None = None,
    *,
    tick: Tick = lambda: None,
) -> tuple[F32, F32]:
    """Tracks queries through a recording whose frames are asked for one by one, forwards and then, where needed, backwards.

    Args:
        network: Encoder and transformer.
        moment: The views of a frame in the recording's world.
        frames: How many there are, T.
        queries: (N, 4) (t, x, y, z).
        settings: How it is done.
        tick: Called after each frame and each layer of the transformer; may raise `Cancelled`.

    Returns:
        (N, T, 3) float32 places, NaN where not known, and (N, T) float32 chances that any view sees the point.

    Raises:
        UserError: for queries that are not finite or in no frame.
    """
    s = settings or MultiViewTracking()
    asked = checked_queries(queries, frames)
    xyz = np.full((len(asked), frames, 3), np.nan, np.float32)
    chance = np.zeros((len(asked), frames), np.float32)
    if not len(asked):
        return xyz, chance
    stream = MultiViewStream(network, asked, s, world=_world(moment, frames) if s.normalise else None, tick=tick)
    for part in _parts(stream, moment, range(frames)):
        here = slice(part.first, part.first + part.xyz.shape[1])
        known = np.isfinite(part.xyz[..., 0])
        xyz[:, here][known], chance[:, here][known] = part.xyz[known], part.chance[known]
    late = np.flatnonzero(asked[:, 0] >= 1)
    if s.both_ways and len(late):
        newest = int(asked[late, 0].max())
        turned = asked[late].copy()
        turned[:, 0] = newest - turned[:, 0].astype(np.int64)
        clouds, world = stream.encoded(), stream.world
        stream = MultiViewStream(network, turned, s, world=world, tick=tick)
        for part in _parts(stream, moment, range(newest, -1, -1), clouds):
            here = newest - part.first - np.arange(part.xyz.shape[1])
            known = np.isfinite(part.xyz[..., 0])
            row, slot = np.nonzero(known & (here < asked[late, 0].astype(np.int64)[:, None]))
            xyz[late[row], here[slot]], chance[late[row], here[slot]] = part.xyz[row, slot], part.chance[row, slot]
    return xyz, chance


def _world(moment: Callable[[int], Moment], frames: int) -> Similarity:
    """What the first frame with any depth tells."""
    for t in range(frames):
        views = moment(t)
        if any((np.isfinite(view.depth) & (view.depth > 0)).any() for view in views):
            return normalisation(views)
    raise UserError(f"No view has any depth in any of {frames} frames, but MVTracker needs it: give depth_m, or estimate it.")


def _parts(
    stream: MultiViewStream, moment: Callable[[int], Moment], order: range, clouds: dict[int, FeatureCloud] | None = None
) -> list[StreamPart]:
    clouds = clouds or {}
    found = [stream.push_moment(moment(t), clouds.pop(t, None)) for t in order]
    return [part for part in [*found, *stream.finish()] if part is not None]


def checked_queries(queries: ArrayLike, frames: int | None = None) -> F32:
    """Queries (N, 4) as float32.

    Args:
        queries: (N, 4) (t, x, y, z).
        frames: How many frames there are; None where that is not known yet.

    Raises:
        UserError: for another shape, numbers that are not finite, and frames that are not there.
    """
    asked = np.asarray(queries, np.float32)
    if asked.ndim == 3 and len(asked) == 1:
        asked = asked[0]
    if asked.ndim != 2 or asked.shape[1] != 4:  # noqa: PLR2004  (t, x, y, z)
        raise UserError(f"The queries have shape {asked.shape}, but (N, 4) with (t, x, y, z) is needed.")
    wrong = np.flatnonzero(~np.isfinite(asked).all(1))
    if len(wrong):
        raise UserError(f"Query {wrong[0]} is {asked[wrong[0]].tolist()}, but (t, x, y, z) must be finite numbers.")
    outside = np.flatnonzero((asked[:, 0] < 0) | (asked[:, 0] >= (frames or np.inf)))
    if len(outside):
        there = f"there are frames 0 to {frames - 1}" if frames else "frames count from 0"
        raise UserError(f"Query {outside[0]} is in frame {asked[outside[0], 0]:g}, but {there}.")
    return asked
