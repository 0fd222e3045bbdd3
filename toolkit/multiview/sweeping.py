"""One pass through time, frame by frame: every view follows its windows, all of them together say where the points are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.cameras import project, unproject
from toolkit.multiview.follow_options import FollowOptions
from toolkit.multiview.patches import follow_windows, inside_of, likeness
from toolkit.multiview.surfaces import SIGMAS, Surfaces, level_at
from toolkit.multiview.templates import Matched, match_templates
from toolkit.multiview.triangulation import Triangulated, triangulate
from toolkit.scene import F32, F64, U8, B, Cameras


class Sweep:
    """The state of N points in V views.

    Args:
        images: V arrays (T, H, W) of grey frames.
        cameras: V cameras of T frames.
        P: (V, T, 3, 4) projection matrices.
        options: How points are followed.
        points: N.
        held: Whether views that disagree with the others are dropped, and lost ones taken up again.
        places: (N, T, 3) where points are known to be by other means, NaN elsewhere; None for nowhere.
        hidden: (V, N) which views don't see a point where it is asked for; None where nothing is known of it.
        surfaces: The depth of the views; None for none.
        layers: V arrays (T, H, W) of what tells surfaces apart; None for nothing.
    """

    def __init__(
        self,
        images: list[U8],
        cameras: tuple[Cameras, ...],
        P: F64,
        options: FollowOptions,
        points: int,
        *,
        held: bool = True,
        places: NDArray | None = None,
        hidden: NDArray | None = None,
        surfaces: Surfaces | None = None,
        layers: list[F32] | list[U8] | None = None,
    ) -> None:
        self._places, self._hidden, self._surfaces, self._layers = places, hidden, surfaces, layers
        self._images, self._cameras, self._P, self._options, self._held = images, cameras, P, options, held
        self._templates = options.templates
        if options.templates is not None and surfaces is not None:  # depth that errs tells only surfaces apart that differ by more
            self._templates = replace(options.templates, layer=max(options.templates.layer, SIGMAS * surfaces.share))
        V = len(images)
        self.xy, self.sigma = np.full((V, points, 2), np.nan), np.full((V, points), np.nan)
        self._last_xy, self._last_t = np.full((V, points, 2), np.nan), np.full((V, points), -1)
        self._key_xy, self._key_t = np.full((V, points, 2), np.nan), np.full((V, points), -1)
        self._key_sigma, self._level = np.full((V, points), np.nan), np.full((V, points), np.nan)
        self._A = np.tile(np.eye(2), (V, points, 1, 1))
        self._centres = np.array([camera.centres[camera.registered][0] for camera in cameras])
        self._xyz, self._velocity = np.full((points, 3), np.nan), np.zeros((points, 3))

    def start(self, rows: NDArray, xyz_w: NDArray, t: int) -> None:
        """Places points whose query is in this frame."""
        if not len(rows):
            return
        self._xyz[rows], self._velocity[rows] = xyz_w[rows], 0.0
        for v, camera in enumerate(self._cameras):
            xy, _ = project(xyz_w[rows].astype(np.float64), camera.K[t], camera.T_wc[t])
            seen = inside_of(xy, self._images[v][t])
            if self._hidden is not None:
                seen &= ~self._hidden[v, rows]
            self.xy[v, rows] = np.where(seen[:, None], xy, np.nan)
            self.sigma[v, rows] = np.where(seen, self._options.sigma_px, np.nan)
            self._keep(v, rows[seen], xy[seen], t, self._options.sigma_px)

    def _keep(self, v: int, rows: NDArray, xy: NDArray, t: int, sigma: NDArray | float) -> None:
        """Remembers how points look here."""
        self._key_xy[v, rows], self._key_t[v, rows], self._key_sigma[v, rows], self._A[v, rows] = xy, t, sigma, np.eye(2)
        if self._layers is not None:
            wanted = np.full(len(rows), 2.0)  # of masks, what moves
            if self._surfaces is not None:
                wanted = project(self._xyz[rows], self._cameras[v].K[t], self._cameras[v].T_wc[t])[1]
            self._level[v, rows] = level_at(self._layers[v][t], xy, wanted)

    def _matched(self, v: int, rows: NDArray, t: int, start: NDArray) -> Matched:
        """What these points looked like when they were last remembered, looked for near a start."""
        assert self._templates is not None
        layers = None if self._layers is None else self._layers[v]
        key_t, key_xy, A = self._key_t[v, rows], self._key_xy[v, rows], self._A[v, rows]
        start = np.where((key_t >= 0)[:, None], start, np.nan)
        found = match_templates(self._images[v], key_t, key_xy, t, start, A, self._templates, layers=layers, level=self._level[v, rows])
        bad = ~inside_of(found.xy, self._images[v][t])
        found.xy[bad], found.likeness[bad] = np.nan, np.nan
        return found

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
            sigma = np.sqrt(self.sigma[v, rows] ** 2 + options.drift_px**2 + (options.sigma_per_return * miss) ** 2)
            if options.templates is None:
                self.xy[v, rows] = np.where(good[:, None], found, np.nan)
                self.sigma[v, rows] = np.where(good, sigma, np.nan)
                continue
            found[~good] = np.nan
            self._hold(v, rows, t, found, start + shift, sigma)
        self._leap(t, guess_w)
        self._place(t)

    def _hold(self, v: int, rows: NDArray, t: int, found: NDArray, guess: NDArray, sigma: NDArray) -> None:
        """Puts windows right that were carried from frame to frame, by how they looked when they were first seen: nothing adds up."""
        options = self._options
        carried = np.isfinite(found[:, 0])
        best = self._matched(v, rows, t, np.where(carried[:, None], found, guess))
        again = np.isfinite(best.xy[:, 0]) & (best.likeness >= options.template_likeness)
        self.xy[v, rows] = np.where(again[:, None], best.xy, found)
        self.sigma[v, rows] = np.where(again, self._key_sigma[v, rows], np.where(carried, sigma, np.nan))
        self._A[v, rows[again]] = best.A[again]
        fresh = carried & ~again
        self._keep(v, rows[fresh], found[fresh], t, sigma[fresh])

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
                self._return(v, rows, int(earlier), t, start, guess, None)

    def _return(self, v: int, rows: NDArray, earlier: int, t: int, start: NDArray, guess: NDArray, within: float | None) -> None:
        """Takes up again what looks as it did when this view last saw it, within a distance of a guess or anywhere near."""
        options = self._options
        levels = None if within is None else 1
        found, miss = follow_windows(self._images[v][earlier], self._images[v][t], start, guess, options.windows, levels=levels)
        alike = likeness(self._images[v][earlier], self._images[v][t], start, found, options.windows.likeness_px)
        good = (alike >= options.return_likeness) & inside_of(found, self._images[v][t])
        if within is not None:
            good &= np.linalg.norm(found - guess, axis=1) < within
        sigma = np.where(good, options.sigma_px + options.sigma_per_return * miss, np.nan)
        found = np.where(good[:, None], found, np.nan)
        if options.templates is not None:
            best = self._matched(v, rows, t, np.where(good[:, None], found, guess))
            again = best.likeness >= options.template_likeness
            if within is not None:
                again &= np.linalg.norm(best.xy - guess, axis=1) < within
            found, sigma = np.where(again[:, None], best.xy, found), np.where(again, self._key_sigma[v, rows], sigma)
            self._A[v, rows[again]] = best.A[again]
            fresh = good & ~again
            self._keep(v, rows[fresh], found[fresh], t, sigma[fresh])
        self.xy[v, rows], self.sigma[v, rows] = found, sigma

    def triangulated(self, t: int) -> Triangulated:
        """Where all views together see the points."""
        depth = None
        if self._surfaces is not None:
            around = [self._surfaces.around(v, t, xy) for v, xy in enumerate(self.xy)]
            depth = (np.stack([a[0] for a in around], 1), np.stack([a[1] for a in around], 1))
        share = 0.02 if self._surfaces is None else self._surfaces.share
        return triangulate(
            self.xy.transpose(1, 0, 2), self.sigma.T, self._P[:, t], self._options.triangulation, depth=depth, depth_share=share
        )

    def _place(self, t: int) -> None:
        """Where the points are in the world; views that disagree are dropped, lost ones taken up again."""
        result = self.triangulated(t)
        self._gate(result)
        known = np.isfinite(result.xyz[:, 0])
        if self._places is not None:
            told = self._places[:, t]
            # A place told from elsewhere is worth more than where views that disagree with it happen to meet.
            told_known = np.isfinite(told[:, 0])
            self._dismiss(told, told_known, t)
            lost = ~known & told_known
            result.xyz[lost] = told[lost]
            known |= lost
        guess = self._leaning(known, t)
        moved = result.xyz - self._xyz
        self._velocity = np.where(known[:, None] & np.isfinite(moved), 0.7 * moved, 0.5 * self._velocity)
        leaning = np.isfinite(guess[:, 0])
        self._velocity = np.where(leaning[:, None], 0.7 * (guess - self._xyz), self._velocity)
        self._xyz = np.where(known[:, None], result.xyz, np.where(leaning[:, None], guess, self._xyz + self._velocity))
        if not self._held:
            return
        placed = result.inlier.any(1)
        wrong = placed & known & ~result.inlier.T & np.isfinite(self.sigma)
        self.xy[wrong], self.sigma[wrong] = np.nan, np.nan
        for v, camera in enumerate(self._cameras):
            self._take_up(v, t, camera, known, leaning)
            seen = np.isfinite(self.xy[v, :, 0]) & result.inlier[:, v]  # what was only taken up has yet to prove itself
            self._last_xy[v, seen], self._last_t[v, seen] = self.xy[v, seen], t

    def _leaning(self, known: B, t: int) -> F64:
        """(N, 3) where points go on that one view alone still sees: on its ray, as far away as they were heading; NaN for others."""
        out = np.full(self._xyz.shape, np.nan)
        if not self._held:
            return out
        alone = np.isfinite(self.sigma).sum(0) == 1
        for v, camera in enumerate(self._cameras):
            rows = np.flatnonzero(alone & ~known & np.isfinite(self.sigma[v]) & np.isfinite(self._xyz[:, 0]))
            _, far = project(self._xyz[rows] + self._velocity[rows], camera.K[t], camera.T_wc[t])
            out[rows] = unproject(self.xy[v, rows], np.where(far > 0, far, np.nan), camera.K[t], camera.T_wc[t])
        return out

    def _gate(self, result: Triangulated) -> None:
        """Forgets places that one view alone tells by its depth, and that lie farther away than the point can have moved."""
        if self._surfaces is None:
            return
        alone = result.inlier.sum(1) == 1
        leap = np.linalg.norm(result.xyz - self._xyz - self._velocity, axis=1)
        far = np.linalg.norm(self._xyz[:, None] - self._centres[None], axis=-1).min(1)
        with np.errstate(invalid="ignore"):
            bad = alone & (leap > self._options.farthest_leap * far + 2 * np.linalg.norm(self._velocity, axis=1))
        result.xyz[bad], result.covariance[bad], result.inlier[bad] = np.nan, np.nan, False
        self.xy[:, bad], self.sigma[:, bad] = np.nan, np.nan

    def _dismiss(self, told: NDArray, rows: B, t: int) -> None:
        """Drops views that see a point far from where it is known to be."""
        for v, camera in enumerate(self._cameras):
            place, _ = project(told, camera.K[t], camera.T_wc[t])
            with np.errstate(invalid="ignore"):
                off = rows & (np.linalg.norm(self.xy[v] - place, axis=1) > 2 * self._options.return_px)
            self.xy[v, off], self.sigma[v, off] = np.nan, np.nan

    def _take_up(self, v: int, t: int, camera: Cameras, known: B, leaning: B) -> None:
        """Looks for points that this view lost, or never saw, where the others say they are.

        One other alone says no more than about where to look for what this view saw before.
        """
        options = self._options
        place, z = project(self._xyz, camera.K[t], camera.T_wc[t])
        lost = (known | (leaning & (self._last_t[v] >= 0))) & ~np.isfinite(self.xy[v, :, 0]) & inside_of(place, self._images[v][t])
        if self._surfaces is not None:
            lost &= ~self._surfaces.shown(v, t, place, z)[1]
        for earlier in np.unique(self._last_t[v, lost]):
            rows = np.flatnonzero(lost & (self._last_t[v] == earlier))
            if earlier >= 0:
                self._return(v, rows, int(earlier), t, self._last_xy[v, rows], place[rows], options.return_px)
                continue
            self.xy[v, rows], self.sigma[v, rows] = place[rows], options.adopted_px
            self._keep(v, rows, place[rows], t, options.adopted_px)
