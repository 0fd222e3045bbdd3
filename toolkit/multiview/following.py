"""Points followed through all views at once: each view frame by frame, all views held together by where the point is in the world."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.cameras import project
from toolkit.multiview.patches import WindowOptions, follow_windows, inside_of, likeness
from toolkit.multiview.triangulation import TriangulationOptions, projections, triangulate
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, U8, B, Cameras


@dataclass(frozen=True)
class FollowOptions:
    """How points are followed.

    Attributes:
        windows: How a window is found in the next frame.
        triangulation: How views are held together.
        sigma_px: Error of a window that found its way back, in pixels.
        sigma_per_return: Further error per pixel by which the way back missed.
        drift_px: Error gained with every frame, as a random walk.
        adopted_px: Error of a place taken from the other views alone.
        least_likeness: Of a window to the same one in the frame before; less alike is lost.
        return_likeness: Of a place where a view is taken up again, to what that view saw last.
        return_px: How far from the reprojection of the other views it may be.
        longest_leap: Frames after which a view still looks for a point where it saw it last.
    """

    windows: WindowOptions = field(default_factory=WindowOptions)
    triangulation: TriangulationOptions = field(default_factory=TriangulationOptions)
    sigma_px: float = 0.5
    sigma_per_return: float = 0.7
    drift_px: float = 0.12
    adopted_px: float = 2.0
    least_likeness: float = 0.6
    return_likeness: float = 0.7
    return_px: float = 4.0
    longest_leap: int = 4


@dataclass(frozen=True, eq=False)
class ViewTracks:
    """N points in V views.

    Attributes:
        xy: (V, N, T, 2) float64 pixels; NaN where a view does not see the point or lost it.
        sigma_px: (V, N, T) float64 standard deviation per axis; NaN where `xy` is.
    """

    xy: F64
    sigma_px: F64

    @staticmethod
    def unknown(views: int, points: int, frames: int) -> ViewTracks:
        """Nothing known yet."""
        return ViewTracks(np.full((views, points, frames, 2), np.nan), np.full((views, points, frames), np.nan))


def follow(
    images: list[U8],
    cameras: tuple[Cameras, ...],
    queries: F32,
    options: FollowOptions,
    *,
    held_together: bool = True,
    places: NDArray | None = None,
    hidden: NDArray | None = None,
    report: Report = silent,
) -> ViewTracks:
    """Follows points both ways in time from where they are asked for.

    Args:
        images: V arrays (T, H, W) of grey frames.
        cameras: V cameras of T frames.
        queries: (N, 4) (t, x, y, z) in the world.
        options: How.
        held_together: Whether views that disagree with the others are dropped, and lost ones taken up again; otherwise each view is
            followed on its own.
        places: (N, T, 3) where points are known to be by other means, NaN elsewhere: they are taken up there once no two views see them.
        hidden: (V, N) which views don't see a point where it is asked for; None where nothing is known of it.
        report: Told of every frame and direction.
    """
    V, T, N = len(images), len(images[0]), len(queries)
    tracks = ViewTracks.unknown(V, N, T)
    P = projections(cameras)
    moments = queries[:, 0].astype(int)
    for direction in (1, -1):
        sweep = _Sweep(images, cameras, P, options, N, held_together, places, hidden)
        order = range(T) if direction > 0 else range(T - 1, -1, -1)
        before: int | None = None
        for k, t in enumerate(order):
            if before is not None:
                sweep.step(before, t)
            sweep.start(np.flatnonzero(moments == t), queries[:, 1:], t)
            rows = np.flatnonzero((moments <= t) if direction > 0 else (moments >= t))
            tracks.xy[:, rows, t], tracks.sigma_px[:, rows, t] = sweep.xy[:, rows], sweep.sigma[:, rows]
            before = t
            report(k + 1 + (0 if direction > 0 else T), 2 * T)
    return tracks


class _Sweep:
    """The state of all points in all views while one pass goes through time."""

    def __init__(
        self,
        images: list[U8],
        cameras: tuple[Cameras, ...],
        P: F64,
        options: FollowOptions,
        points: int,
        held: bool,
        places: NDArray | None,
        hidden: NDArray | None,
    ) -> None:
        self._places, self._hidden = places, hidden
        self._images, self._cameras, self._P, self._options, self._held = images, cameras, P, options, held
        V = len(images)
        self.xy, self.sigma = np.full((V, points, 2), np.nan), np.full((V, points), np.nan)
        self._last_xy, self._last_t = np.full((V, points, 2), np.nan), np.full((V, points), -1)
        self._xyz, self._velocity = np.full((points, 3), np.nan), np.zeros((points, 3))

    def start(self, rows: NDArray, xyz_w: NDArray, t: int) -> None:
        """Places points whose query is in this frame."""
        if not len(rows):
            return
        for v, camera in enumerate(self._cameras):
            xy, _ = project(xyz_w[rows].astype(np.float64), camera.K[t], camera.T_wc[t])
            seen = inside_of(xy, self._images[v][t])
            if self._hidden is not None:
                seen &= ~self._hidden[v, rows]
            self.xy[v, rows] = np.where(seen[:, None], xy, np.nan)
            self.sigma[v, rows] = np.where(seen, self._options.sigma_px, np.nan)
        self._xyz[rows], self._velocity[rows] = xyz_w[rows], 0.0

    def step(self, before: int, t: int) -> None:
        """Carries every view from one frame to the next."""
        options = self._options
        guess_w = self._xyz + self._velocity
        for v, camera in enumerate(self._cameras):
            rows = np.flatnonzero(np.isfinite(self.xy[v, :, 0]))
            if not len(rows):
                continue
            start = self.xy[v, rows]
            now, _ = project(guess_w[rows], camera.K[t], camera.T_wc[t])
            was, _ = project(self._xyz[rows], camera.K[before], camera.T_wc[before])
            shift = np.where(np.isfinite(now - was), now - was, 0.0)
            found, miss = follow_windows(self._images[v][before], self._images[v][t], start, start + shift, options.windows)
            alike = likeness(self._images[v][before], self._images[v][t], start, found, options.windows.likeness_px)
            good = (alike >= options.least_likeness) & inside_of(found, self._images[v][t])
            self.xy[v, rows] = np.where(good[:, None], found, np.nan)
            sigma = np.sqrt(self.sigma[v, rows] ** 2 + options.drift_px**2 + (options.sigma_per_return * miss) ** 2)
            self.sigma[v, rows] = np.where(good, sigma, np.nan)
        self._leap(t, guess_w)
        self._place(t)

    def _leap(self, t: int, guess_w: F64) -> None:
        """Looks for what was lost a few frames ago where it was last seen: what passed before it, or a blurred frame, may be over."""
        options = self._options
        for v, camera in enumerate(self._cameras):
            away = np.abs(t - self._last_t[v])
            lost = ~np.isfinite(self.xy[v, :, 0]) & (self._last_t[v] >= 0) & (away > 1) & (away <= options.longest_leap)
            for earlier in np.unique(self._last_t[v, lost]):
                rows = np.flatnonzero(lost & (self._last_t[v] == earlier))
                start = self._last_xy[v, rows]
                guess, _ = project(guess_w[rows], camera.K[t], camera.T_wc[t])
                guess = np.where(inside_of(guess, self._images[v][t])[:, None], guess, start)
                found, miss = follow_windows(self._images[v][earlier], self._images[v][t], start, guess, options.windows)
                alike = likeness(self._images[v][earlier], self._images[v][t], start, found, options.windows.likeness_px)
                good = (alike >= options.return_likeness) & inside_of(found, self._images[v][t])
                self.xy[v, rows] = np.where(good[:, None], found, np.nan)
                self.sigma[v, rows] = np.where(good, options.sigma_px + options.sigma_per_return * miss, np.nan)

    def _place(self, t: int) -> None:
        """Where the points are in the world; views that disagree are dropped, lost ones taken up again."""
        options = self._options
        result = triangulate(self.xy.transpose(1, 0, 2), self.sigma.T, self._P[:, t], options.triangulation)
        known = np.isfinite(result.xyz[:, 0])
        if self._places is not None:
            told = self._places[:, t]
            # A place told from elsewhere is worth more than where views that disagree with it happen to meet.
            told_known = np.isfinite(told[:, 0])
            self._dismiss(told, told_known, t)
            lost = ~known & told_known
            result.xyz[lost] = told[lost]
            known |= lost
        moved = result.xyz - self._xyz
        self._velocity = np.where(known[:, None] & np.isfinite(moved), 0.7 * moved, 0.5 * self._velocity)
        self._xyz = np.where(known[:, None], result.xyz, self._xyz + self._velocity)
        if not self._held:
            return
        placed = result.inlier.any(1)
        wrong = placed & known & ~result.inlier.T & np.isfinite(self.sigma)
        self.xy[wrong], self.sigma[wrong] = np.nan, np.nan
        for v, camera in enumerate(self._cameras):
            self._take_up(v, t, camera, known)
            seen = np.isfinite(self.xy[v, :, 0]) & result.inlier[:, v]  # what was only taken up has yet to prove itself
            self._last_xy[v, seen], self._last_t[v, seen] = self.xy[v, seen], t

    def _dismiss(self, told: NDArray, rows: B, t: int) -> None:
        """Drops views that see a point far from where it is known to be."""
        for v, camera in enumerate(self._cameras):
            place, _ = project(told, camera.K[t], camera.T_wc[t])
            with np.errstate(invalid="ignore"):
                off = rows & (np.linalg.norm(self.xy[v] - place, axis=1) > 2 * self._options.return_px)
            self.xy[v, off], self.sigma[v, off] = np.nan, np.nan

    def _take_up(self, v: int, t: int, camera: Cameras, known: B) -> None:
        """Looks for points that this view lost, or never saw, where the others say they are."""
        options = self._options
        place, _ = project(self._xyz, camera.K[t], camera.T_wc[t])
        lost = known & ~np.isfinite(self.xy[v, :, 0]) & inside_of(place, self._images[v][t])
        for earlier in np.unique(self._last_t[v, lost]):
            rows = np.flatnonzero(lost & (self._last_t[v] == earlier))
            if earlier < 0:
                self.xy[v, rows], self.sigma[v, rows] = place[rows], options.adopted_px
                continue
            start = self._last_xy[v, rows]
            found, miss = follow_windows(self._images[v][earlier], self._images[v][t], start, place[rows], options.windows, levels=1)
            alike = likeness(self._images[v][earlier], self._images[v][t], start, found, options.windows.likeness_px)
            near = np.linalg.norm(found - place[rows], axis=1) < options.return_px
            good = near & (alike >= options.return_likeness)
            self.xy[v, rows] = np.where(good[:, None], found, np.nan)
            self.sigma[v, rows] = np.where(good, options.sigma_px + options.sigma_per_return * miss, np.nan)
