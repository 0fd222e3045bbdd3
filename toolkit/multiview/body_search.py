"""Finding a rigid thing again by what it looks like: after fast motion, after it was hidden, and where tracks slipped along a pattern."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from toolkit.disk_arrays import TOGETHER, let_go
from toolkit.geometry.cameras import project
from toolkit.geometry.poses import invert
from toolkit.geometry.sampling import from_opencv
from toolkit.multiview.bodies import Body
from toolkit.multiview.body_pose import Sightings, agreeing, pose_from_view, refined
from toolkit.multiview.following import ViewTracks
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, U8, Cameras


@dataclass(frozen=True)
class SearchOptions:
    """How a thing is looked for.

    Attributes:
        views_kept: Looks of the thing that are kept of each view.
        turned_deg: A further look is worth keeping when it is turned this far against the others.
        ratio: A description must fit this much better than the next best one (Lowe 2004).
        reach_px: Reprojection error up to which a description agrees with a pose.
        least: Agreeing descriptions that make a pose.
        surface: Flatness (third over second extent) up to which a thing is a plane.
        beyond: How far past its points a thing reaches, in spacings of its points.
        margin: Part of the thing's own size in the picture around it that is searched where it is about known.
        member_px: Error of the thing's own points, followed from frame to frame, beside descriptions.
        most: Descriptions of a picture.
        tested: Frames of known pose in which recognition is put to the test ...
        fewest_tested: ... where there are so many ...
        own_share: ... passed where so many of the thing's own tracks are where the found pose puts them ...
        reliable: ... in this share of the frames in which something was found.
    """

    views_kept: int = 4
    turned_deg: float = 20.0
    ratio: float = 0.8
    reach_px: float = 3.0
    least: int = 10
    surface: float = 0.15
    beyond: float = 1.6
    margin: float = 0.8
    member_px: float = 1.0
    most: int = 3000
    tested: int = 8
    fewest_tested: int = 3
    own_share: float = 0.6
    reliable: float = 0.8


@dataclass(frozen=True, eq=False)
class Look:
    """What a thing looked like in one view of one frame.

    Attributes:
        shape: (F, 3) where on the thing each description is.
        descriptor: (F, 128) float32.
        R_cb: (3, 3) how the thing was turned before the camera.
    """

    shape: F64
    descriptor: F32
    R_cb: F64


def find_again(
    body: Body,
    seen: ViewTracks,
    images: list[U8],
    cameras: tuple[Cameras, ...],
    P: NDArray,
    options: SearchOptions | None = None,
    *,
    report: Report = silent,
) -> Body:
    """The same thing with a pose in every frame in which it can be recognised, free of the drift of its tracks.

    Only flat things are looked for; others come back as they are.

    Args:
        body: A thing with poses in some frames.
        seen: Where its points were seen.
        images: V arrays (T, H, W) of grey frames.
        cameras: V cameras of T frames.
        P: (V, T, 3, 4) projection matrices.
        options: How it is looked for.
        report: Told of every frame.
    """
    search = _Search(body, seen, images, cameras, P, options or SearchOptions())
    if not search.flat:  # of other shapes nobody knows where between its points a description lies
        return body
    T = len(body.T_wb)
    known = np.isfinite(body.T_wb[:, 0, 0])
    search.keep_looks(np.flatnonzero(known))
    if not any(search.looks):
        return body
    if not search.reliable(np.flatnonzero(known)):
        return body
    poses = np.full((T, 4, 4), np.nan)
    order = sorted(range(T), key=lambda t: (not known[t], np.abs(np.flatnonzero(known) - t).min()))
    for k, t in enumerate(order):
        guess = body.T_wb[t] if known[t] else _nearest(poses, t)
        found = search.pose(t, guess)
        if found is not None:
            poses[t] = found
            search.keep_looks(np.array([t]), poses)
        elif known[t]:
            poses[t] = body.T_wb[t]
        if not k % TOGETHER:
            let_go()
        report(k + 1, T)
    return replace(body, T_wb=poses)


def _nearest(poses: NDArray, t: int) -> NDArray | None:
    """Where the thing was in the frame before or after, for where to look."""
    for s in (t - 1, t + 1):
        if 0 <= s < len(poses) and np.isfinite(poses[s, 0, 0]):
            return poses[s]
    return None


class _Search:
    """Looks of one thing, and where they are found."""

    def __init__(
        self, body: Body, seen: ViewTracks, images: list[U8], cameras: tuple[Cameras, ...], P: NDArray, options: SearchOptions
    ) -> None:
        self._body, self._seen, self._images, self._cameras, self._P, self._options = body, seen, images, cameras, P, options
        self.looks: list[list[Look]] = [[] for _ in images]
        self._sift = cv2.SIFT_create(nfeatures=options.most, contrastThreshold=0.02)
        self._middle = body.shape.mean(0)
        _, extent, axes = np.linalg.svd(body.shape - self._middle, full_matrices=False)
        self.flat = len(body.shape) > 2 and extent[2] <= options.surface * extent[1]
        self._normal = axes[2]
        self._tree = KDTree(body.shape)
        self._spacing = float(np.median(self._tree.query(body.shape, k=2)[0][:, 1]))

    def keep_looks(self, frames: NDArray, poses: NDArray | None = None) -> None:
        """Keeps what the thing looks like in frames of known pose, where that is new."""
        T_wb = self._body.T_wb if poses is None else poses
        for v, camera in enumerate(self._cameras):
            good = [t for t in frames if self._shown(v, int(t), T_wb[t]) >= max(3, 0.5 * len(self._body.shape))]
            for t in good:
                if len(self.looks[v]) >= self._options.views_kept:
                    break
                R_cb = camera.T_wc[t, :3, :3].T @ T_wb[t, :3, :3]
                turned = [np.degrees(np.arccos(np.clip((np.trace(R_cb.T @ look.R_cb) - 1) / 2, -1, 1))) for look in self.looks[v]]
                if turned and min(turned) < self._options.turned_deg:
                    continue
                look = self._look(v, int(t), T_wb[t], R_cb)
                if look is not None:
                    self.looks[v].append(look)

    def reliable(self, frames: NDArray) -> bool:
        """Whether what is recognised is the thing itself: in frames of known pose its own tracks must agree with what is found.

        Things that bend, or that were taken together with the ground behind them, are not.
        """
        tested = [int(t) for t in frames[np.linspace(0, len(frames) - 1, min(len(frames), self._options.tested)).astype(int)]]
        agreed, found_in = 0, 0
        for t in tested:
            found = self.pose(t, self._body.T_wb[t])
            if found is None:
                continue
            seen = sum(int(np.isfinite(self._seen.xy[v, self._body.members, t, 0]).sum()) for v in range(len(self._images)))
            found_in += 1
            agreed += sum(self._shown(v, t, found) for v in range(len(self._images))) >= self._options.own_share * seen
        return len(tested) < self._options.fewest_tested or (found_in > 0 and agreed >= self._options.reliable * found_in)

    def _shown(self, v: int, t: int, T_wb: NDArray) -> int:
        """How many of the thing's points this view sees where the pose puts them."""
        xy = self._seen.xy[v, self._body.members, t]
        there, _ = project(self._body.shape @ T_wb[:3, :3].T + T_wb[:3, 3], self._cameras[v].K[t], self._cameras[v].T_wc[t])
        with np.errstate(invalid="ignore"):
            return int((np.linalg.norm(xy - there, axis=1) < self._options.reach_px).sum())

    def _described(self, v: int, t: int, T_wb: NDArray | None) -> tuple[F64, F32]:
        """Descriptions in a picture: near where the thing is, or everywhere."""
        image = self._images[v][t]
        corner = np.zeros(2)
        if T_wb is not None:
            xy, _ = project(self._body.shape @ T_wb[:3, :3].T + T_wb[:3, 3], self._cameras[v].K[t], self._cameras[v].T_wc[t])
            xy = xy[np.isfinite(xy).all(1)]
            if not len(xy):
                return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
            low, high = xy.min(0), xy.max(0)
            margin = self._options.margin * float((high - low).max()) + 40.0
            low, high = np.maximum(low - margin, 0).astype(int), np.minimum(high + margin, image.shape[::-1]).astype(int)
            if (high - low < 32).any():  # noqa: PLR2004 (nothing of it is in this picture)
                return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
            image, corner = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]]), low.astype(np.float64)
        points, descriptor = self._sift.detectAndCompute(image, None)  # type: ignore[call-overload]
        if descriptor is None or not len(points):
            return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
        root = np.sqrt(descriptor / np.maximum(descriptor.sum(1, keepdims=True), 1e-6))
        return from_opencv(np.array([p.pt for p in points], np.float64)) + corner, root.astype(np.float32)

    def _look(self, v: int, t: int, T_wb: NDArray, R_cb: NDArray) -> Look | None:
        xy, descriptor = self._described(v, t, T_wb)
        if len(xy) < self._options.least:
            return None
        camera, T_bw = self._cameras[v], invert(T_wb)
        K = camera.K[t]
        rays = np.concatenate([(xy - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones((len(xy), 1))], 1) @ camera.T_wc[t, :3, :3].T @ T_bw[:3, :3].T
        origin = T_bw[:3, :3] @ camera.centres[t] + T_bw[:3, 3]
        slant = rays @ self._normal
        if self.flat and np.abs(slant).min() > 1e-6:
            shape = origin + rays * (((self._middle - origin) @ self._normal) / slant)[:, None]
        else:  # as deep as the nearest of its points
            depth = ((self._body.shape - origin) @ T_bw[:3, :3]) @ camera.T_wc[t, :3, 2]
            there, _ = project(self._body.shape @ T_wb[:3, :3].T + T_wb[:3, 3], K, camera.T_wc[t])
            shape = origin + rays * depth[KDTree(there).query(xy)[1]][:, None]
        near = self._tree.query(shape)[0] <= self._options.beyond * self._spacing
        return Look(shape[near], descriptor[near], R_cb) if near.sum() >= self._options.least else None

    def pose(self, t: int, guess: NDArray | None) -> F64 | None:
        """World-from-body in a frame, or None where the thing can't be recognised."""
        for about in (guess, None) if guess is not None else (None,):
            found = self._pose(t, about, guess)
            if found is not None:
                return found
        return None

    def _pose(self, t: int, about: NDArray | None, guess: NDArray | None) -> F64 | None:
        options = self._options
        P = self._P[:, t]
        parts = [self._matched(v, *self._described(v, t, about)) for v in range(len(self._images))]
        sightings = Sightings.joined([p for p in parts if len(p)])
        if len(sightings) < options.least:
            return None
        starts = [pose_from_view(sightings, v, self._cameras[v], t, reach_px=options.reach_px, seed=t) for v in range(len(self._images))]
        starts = [start for start in [*starts, guess] if start is not None]
        if not starts:
            return None
        counts = [agreeing(start, sightings, P, reach_px=2 * options.reach_px).sum() for start in starts]
        best = starts[int(np.argmax(counts))]
        for reach in (3 * options.reach_px, options.reach_px, options.reach_px):
            good = agreeing(best, sightings, P, reach_px=reach)
            if good.sum() < options.least:
                return None
            used = Sightings(sightings.shape[good], sightings.xy[good], sightings.view[good], sightings.sigma_px[good])
            best, _ = refined(best, Sightings.joined([used, self._members(t, best, reach)]), P)
        return best

    def _members(self, t: int, T_wb: NDArray, reach_px: float) -> Sightings:
        """The thing's own points where views see them near the pose: exact, but drifting."""
        parts = []
        for v in range(len(self._images)):
            xy = self._seen.xy[v, self._body.members, t]
            rows = np.flatnonzero(np.isfinite(xy[:, 0]))
            if len(rows):
                sigma = np.hypot(self._seen.sigma_px[v, self._body.members[rows], t], self._options.member_px)
                found = Sightings(self._body.shape[rows], xy[rows], np.full(len(rows), v), sigma)
                good = agreeing(T_wb, found, self._P[:, t], reach_px=reach_px)
                parts.append(Sightings(found.shape[good], found.xy[good], found.view[good], found.sigma_px[good]))
        return Sightings.joined(parts)

    def _matched(self, v: int, xy: NDArray, descriptor: F32) -> Sightings:
        """Descriptions of a view that are those of the thing; each of them once, where it fits best."""
        best: dict[int, tuple[float, NDArray]] = {}
        if len(xy) >= 2:
            # Looks of the same view first; those of others help where the thing turned towards this one.
            for look in [look for looks in (self.looks[v], *(x for w, x in enumerate(self.looks) if w != v)) for look in looks]:
                gap = cv2.BFMatcher(cv2.NORM_L2).knnMatch(look.descriptor, descriptor, k=2)
                for pair in gap:
                    if len(pair) == 2 and pair[0].distance < self._options.ratio * pair[1].distance:
                        first = pair[0]
                        if first.trainIdx not in best or first.distance < best[first.trainIdx][0]:
                            best[first.trainIdx] = (first.distance, look.shape[first.queryIdx])
        rows = np.array(sorted(best), int)
        shape = np.array([best[r][1] for r in rows]).reshape(-1, 3)
        return Sightings(shape, xy[rows].reshape(-1, 2), np.full(len(rows), v), np.full(len(rows), 1.0))
