"""Long clips in windows: each is reconstructed by itself and fitted to the world so far by the frames that both show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from toolkit.disk_arrays import large_full
from toolkit.geometry.cameras import project
from toolkit.geometry.poses import from_rotation
from toolkit.progress import Listener, Progress
from toolkit.scene import F32, F64, Cameras, DepthVideo, PointCloud, Scene, Tracks2D, Tracks3D, Video

MOVING = 0.5
SURE = 0.5  # confidence of depth that windows are compared by
STEP = 4  # of the pixels that are compared
LEAST_PIXELS = 50
CLOUD_POINTS = 60_000


@dataclass(frozen=True)
class WindowOptions:
    """How a long clip is cut and put together.

    Attributes:
        frames: Of a window at most; memory goes with them, not with the length of the clip.
        shared: Frames that a window has in common with the one before.
        link_px: Tracks of two windows that are so near each other in the middle of these, and as far away, go on as one.
        alike: As far away: depths that differ by less than this share.
        most_samples: Places of all tracks in all frames together, 30 bytes each on disk; beyond it tracks are thinned evenly.
    """

    frames: int = 80
    shared: int = 20
    link_px: float = 3.0
    alike: float = 0.1
    most_samples: int = 6_000_000


@dataclass(frozen=True, eq=False)
class Fit:
    """The world so far from that of a window: x = scale R x' + t.

    Attributes:
        scale: How much larger its unit is.
        R: (3, 3).
        t: (3,).
        scale_spread: How much the frames differ over the scale, as a share of it.
        turn_deg: And over R.
        way: And over t, as a share of the distance of what they show.
    """

    scale: float
    R: F64
    t: F64
    scale_spread: float
    turn_deg: float
    way: float

    def points(self, xyz: NDArray) -> F64:
        """Points (..., 3) of the window in the world so far."""
        return self.scale * (np.asarray(xyz, np.float64) @ self.R.T) + self.t

    def poses(self, T_wc: F64) -> F64:
        """Its cameras there."""
        return from_rotation(self.R @ T_wc[:, :3, :3], self.points(T_wc[:, :3, 3]))


def windows_of(count: int, options: WindowOptions) -> list[slice]:
    """Windows of one length that cover so many frames, each sharing some with the one before."""
    if count <= options.frames:
        return [slice(0, count)]
    shared = min(options.shared, options.frames // 2)
    parts = -(-(count - shared) // (options.frames - shared))
    length = -(-(count - shared) // parts) + shared
    return [slice(int(start), int(start) + length) for start in np.linspace(0, count - length, parts).round()]


def fitted(poses: tuple[F64, F64], depths: tuple[NDArray, NDArray], sures: tuple[NDArray, NDArray]) -> Fit | None:
    """How a window lies in the world so far, from frames that both have; None where no frame has a camera in both.

    Args:
        poses: (T, 4, 4) cameras of these frames in the world so far, and in the window's; NaN where there is none.
        depths: (T, h, w) their depth, in both units.
        sures: (T, h, w) its confidence.
    """
    placed = np.flatnonzero(np.isfinite(poses[0]).all((1, 2)) & np.isfinite(poses[1]).all((1, 2)))
    ratios = np.full(len(poses[0]), np.nan)
    far = np.full(len(poses[0]), np.nan)
    for t in placed:
        known = (depths[0][t] > 0) & (depths[1][t] > 0)
        sure = known & (sures[0][t] > SURE) & (sures[1][t] > SURE)
        use = sure if sure.sum() >= LEAST_PIXELS else known
        if use.sum() >= LEAST_PIXELS:
            ratios[t] = float(np.median(np.log(depths[0][t][use]) - np.log(depths[1][t][use])))
            far[t] = float(np.median(depths[0][t][use]))
    placed = placed[np.isfinite(ratios[placed])]
    if not len(placed):
        return None
    middle = float(np.median(ratios[placed]))
    scale = float(np.exp(middle))
    turns = Rotation.from_matrix(poses[0][placed, :3, :3] @ poses[1][placed, :3, :3].swapaxes(1, 2))
    mean = turns.mean()
    R = np.asarray(mean.as_matrix(), np.float64)
    ways = poses[0][placed, :3, 3] - scale * poses[1][placed, :3, 3] @ R.T
    t = np.median(ways, axis=0)
    return Fit(
        scale, R, t, 1.4826 * float(np.median(np.abs(ratios[placed] - middle))),
        float(np.degrees(np.median((turns * mean.inv()).magnitude()))),
        float(np.median(np.linalg.norm(ways - t, axis=1) / far[placed])),
    )  # fmt: skip


def handed_back(
    video: Video, asked: F32, windows: Sequence[slice], anchor: Callable[[int], int], follow: Callable[[Video, F32], Tracks2D]
) -> list[NDArray]:
    """For each window, where it sees points that were asked for later: (n, 4) row, t, x, y.

    Args:
        video: All frames.
        asked: (N, 3) (t, x, y) of the whole clip.
        windows: Of it.
        anchor: Frame at which each takes over from the one before.
        follow: Follows points (n, 3) of a part of the video.
    """
    out = [np.zeros((0, 4)) for _ in windows]
    for k in range(len(windows) - 1, 0, -1):
        window = windows[k]
        last = anchor(k + 1) if k + 1 < len(windows) else window.stop
        own = np.flatnonzero((asked[:, 0] >= anchor(k)) & (asked[:, 0] < last))
        points = np.concatenate([np.column_stack([own, asked[own]]), out[k]])
        if len(points):
            part = Video(video.frames[window], video.times_s[window])
            tracks = follow(part, (points[:, 1:] - [window.start, 0, 0]).astype(np.float32))
            at = anchor(k) - window.start
            seen = tracks.visible[:, at]
            out[k - 1] = np.column_stack([points[seen, 0], np.full(int(seen.sum()), anchor(k)), tracks.xy[seen, at]])
    return out


def of_part(listener: Listener, k: int, parts: int) -> Listener:
    """A listener to one of several windows, to which each stage looks like a part of one."""

    def listen(event: Progress) -> None:
        listener(replace(event, done=k * event.total + event.done, total=parts * event.total))

    return listen


class LongScene:
    """A scene that grows window by window, its large parts on disk.

    Args:
        video: All frames.
        windows: That it will be given, in order.
        asked: Points that were asked for; they are its first tracks.
        options: How.
    """

    def __init__(self, video: Video, windows: Sequence[slice], asked: int, options: WindowOptions) -> None:
        self._video, self._windows, self._options, self.asked = video, windows, options, asked
        frames, (width, height) = len(video), video.size
        self._most = max(500, options.most_samples // frames) + asked
        self._depth = large_full((frames, height, width), np.nan, np.float32)
        self._sure = large_full((frames, height, width), 0, np.float32)
        self._moves = large_full((frames, height, width), False, np.bool_)
        self._K, self._T_wc = np.full((frames, 3, 3), np.nan), np.full((frames, 4, 4), np.nan)
        self._xyz = large_full((self._most, frames, 3), np.nan, np.float32)
        self._sigma = large_full((self._most, frames), np.nan, np.float32)
        self._xy = large_full((self._most, frames, 2), np.nan, np.float32)
        self._visible = large_full((self._most, frames), False, np.bool_)
        self._confidence = large_full((self._most, frames), 0, np.float32)
        self._rgb, self._motion = np.zeros((self._most, 3), np.uint8), np.zeros(self._most, np.float32)
        self._queries = np.zeros((self._most, 3), np.float32)
        self._used, self._clouds = asked, []
        self.fits: list[Fit | None] = []

    def anchor(self, k: int) -> int:
        """The frame at which window k takes over from the one before: the middle of those that both have."""
        return 0 if k == 0 else (self._windows[k].start + self._windows[k - 1].stop) // 2

    def add(self, k: int, part: Scene, rows: NDArray) -> None:
        """The next window.

        Args:
            k: Its number.
            part: What was found in it, with video, cameras, tracks and depth, in a world of its own.
            rows: Which of the points that were asked for its first tracks are.
        """
        assert part.cameras is not None and part.depth is not None and part.tracks_3d is not None and part.tracks_2d is not None
        window, anchor = self._windows[k], self.anchor(k)
        fit = self._fit(k, part) if k else Fit(1.0, np.eye(3), np.zeros(3), 0.0, 0.0, 0.0)
        self.fits.append(fit)
        first = anchor if fit is not None else self._windows[k - 1].stop
        own = slice(first - window.start, None)
        there = slice(first, window.stop)
        self._K[there] = part.cameras.K[own]
        if part.masks is not None:
            self._moves[there] = part.masks[own]
        if fit is None:  # a world of its own, which nothing joins to this one: its depth is told, its places are not
            for t in range(first, window.stop):
                self._depth[t], self._sure[t] = part.depth.depth[t - window.start], part.depth.confidence[t - window.start]
            return
        self._T_wc[there] = fit.poses(part.cameras.T_wc)[own]
        for t in range(anchor, window.stop):
            self._depth[t] = fit.scale * part.depth.depth[t - window.start]
            self._sure[t] = part.depth.confidence[t - window.start]
        self._add_tracks(k, part, fit, np.asarray(rows, int))
        if part.points is not None:
            self._clouds.append((fit.points(part.points.xyz).astype(np.float32), part.points.rgb))

    def starts(self, k: int, asked: F32, early: NDArray) -> tuple[NDArray, F32]:
        """What window k follows of the points that were asked for: their rows, and (n, 3) (t, x, y) in its own frames.

        Those that were asked for in it, those that the window before saw where this one takes over, and `early`, those that are handed
        back from later windows: (n, 4) row, t, x, y.
        """
        window, anchor = self._windows[k], self.anchor(k)
        last = self.anchor(k + 1) if k + 1 < len(self._windows) else window.stop
        own = np.flatnonzero((asked[:, 0] >= anchor) & (asked[:, 0] < last))
        rows, points = [own], [asked[own]]
        if k:
            on = np.flatnonzero(self._visible[: self.asked, anchor])
            rows.append(on)
            points.append(np.column_stack([np.full(len(on), anchor), self._xy[on, anchor]]))
        rows.append(early[:, 0].astype(int))
        points.append(early[:, 1:])
        which, first = np.unique(np.concatenate(rows), return_index=True)
        return which, (np.concatenate(points)[first] - [window.start, 0, 0]).astype(np.float32)

    def scene(self) -> Scene:
        """All of it."""
        used = self._used
        size = self._video.size
        points = None
        if self._clouds:
            xyz, rgb = (np.concatenate(parts) for parts in zip(*self._clouds, strict=True))
            keep = np.linspace(0, len(xyz) - 1, min(len(xyz), CLOUD_POINTS)).astype(int)
            points = PointCloud(xyz[keep], rgb[keep])
        return Scene(
            cameras=Cameras(self._K, self._T_wc, np.tile(np.asarray(size, np.int64), (len(self._K), 1))),
            tracks_2d=Tracks2D(self._xy[:used], self._visible[:used], self._confidence[:used], self._queries[:used]),
            tracks_3d=Tracks3D(self._xyz[:used], self._visible[:used], self._rgb[:used], self._motion[:used], self._sigma[:used]),
            depth=DepthVideo(self._depth, self._sure, "relative"),
            points=points,
            unit="relative",
            method="st4rtrack",
            video=self._video,
            masks=self._moves,
        )

    def told(self) -> list[dict[str, Any]]:
        """How each window was joined to the world so far, for the report."""
        rows: list[dict[str, Any]] = []
        for window, fit in zip(self._windows, self.fits, strict=False):
            row: dict[str, Any] = {"frames": [window.start, window.stop - 1], "joined": fit is not None}
            if fit is not None and window.start:
                row |= {
                    "scale": round(fit.scale, 4), "scale_spread_percent": round(100 * fit.scale_spread, 2),
                    "turn_deg": round(fit.turn_deg, 3), "way_percent": round(100 * fit.way, 2),
                }  # fmt: skip
            rows.append(row)
        return rows

    def _fit(self, k: int, part: Scene) -> Fit | None:
        assert part.cameras is not None and part.depth is not None
        window, before = self._windows[k], self._windows[k - 1]
        shown = slice(window.start, before.stop)
        count = shown.stop - shown.start
        mine = (self._depth[shown, ::STEP, ::STEP], self._sure[shown, ::STEP, ::STEP])
        theirs = (part.depth.depth[:count, ::STEP, ::STEP], part.depth.confidence[:count, ::STEP, ::STEP])
        return fitted((self._T_wc[shown], part.cameras.T_wc[:count]), (mine[0], theirs[0]), (mine[1], theirs[1]))

    def _add_tracks(self, k: int, part: Scene, fit: Fit, rows: NDArray) -> None:
        assert part.tracks_3d is not None and part.tracks_2d is not None and part.cameras is not None
        window, anchor = self._windows[k], self.anchor(k)
        xyz = fit.points(part.tracks_3d.xyz)
        row_of = np.full(len(xyz), -1)
        row_of[: len(rows)] = rows
        joint = np.full(self._most, anchor)
        if k and not self.asked:
            self._link(k, part, xyz, row_of, joint)
        new = np.flatnonzero(row_of < 0) if not self.asked else np.zeros(0, int)
        room = (self._most - self._used) // (len(self._windows) - k)
        if len(new) > room:
            new = new[np.linspace(0, len(new) - 1, room).astype(int)]
        row_of[new] = self._used + np.arange(len(new))
        self._used += len(new)
        begun = np.asarray(self._visible.any(1) if self.asked else np.arange(self._most) < self._used - len(new))
        late = np.flatnonzero(joint < 0)
        begun[late] = False
        self._xyz[late], self._sigma[late], self._visible[late] = np.nan, np.nan, False
        for n in np.flatnonzero(row_of >= 0):
            row, first = row_of[n], 0
            if begun[row]:
                first = joint[row] - window.start
                step = self._xyz[row, joint[row]] - xyz[n, first]
                if np.isfinite(step).all():
                    xyz[n] += step
            else:
                query = part.tracks_2d.queries[n]
                self._queries[row], self._rgb[row] = query + [window.start, 0, 0], part.tracks_3d.rgb[n]
            there = slice(window.start + first, window.stop)
            self._xyz[row, there], self._xy[row, there] = xyz[n, first:], part.tracks_2d.xy[n, first:]
            self._visible[row, there], self._confidence[row, there] = (
                part.tracks_2d.visible[n, first:],
                part.tracks_2d.confidence[n, first:],
            )
            if part.tracks_3d.sigma is not None:
                self._sigma[row, there] = fit.scale * part.tracks_3d.sigma[n, first:]
            self._motion[row] = max(self._motion[row], part.tracks_3d.motion[n])

    def _link(self, k: int, part: Scene, xyz: F64, row_of: NDArray, joint: NDArray) -> None:
        """Tracks of window k that go on with one so far, or are the same, into `row_of`; and in which frame, into `joint`.

        They go on where the window takes over, or where they come into view again. What the window before began only then is what this
        one saw all along: of it nothing is kept, and its joint is -1.
        """
        anchor = self.anchor(k)
        for t in range(anchor, self._windows[k - 1].stop):
            visible = self._visible[: self._used]
            of = np.flatnonzero(visible[:, t] & ~visible[:, anchor:t].any(1))
            linked = self._same_at(t, t - self._windows[k].start, of, part, xyz, row_of)
            joint[linked] = np.where(visible[linked, :t].any(1), t, -1)

    def _same_at(self, t: int, at: int, old: NDArray, part: Scene, xyz: F64, row_of: NDArray) -> list[int]:
        """Rows of those of the old tracks that are one with a new one in frame t: as near, as far away, both still or both moving."""
        assert part.tracks_3d is not None and part.tracks_2d is not None
        old = old[np.isfinite(self._xyz[old, t, 0])]
        new = np.flatnonzero(part.tracks_2d.visible[:, at] & np.isfinite(xyz[:, at]).all(-1) & (row_of < 0))
        if not len(old) or not len(new):
            return []
        tree = KDTree(part.tracks_2d.xy[new, at])
        apart, near = (np.asarray(told) for told in tree.query(self._xy[old, t], distance_upper_bound=self._options.link_px))
        taken, linked = np.zeros(len(new), bool), []
        for i in np.argsort(apart, kind="stable"):
            if not np.isfinite(apart[i]):
                break
            n, row = new[near[i]], int(old[i])
            if taken[near[i]] or bool(part.tracks_3d.motion[n] > MOVING) != bool(self._motion[row] > MOVING):
                continue
            pair = np.stack([xyz[n, at], self._xyz[row, t]])
            _, z = project(pair, self._K[t], self._T_wc[t])
            if z.min() > 0 and abs(float(np.log(z[0] / z[1]))) < self._options.alike:
                row_of[n], taken[near[i]] = row, True
                linked.append(row)
        return linked
