"""Following the middle of a ball of its own colour: its surface turns, so no window stays on it; first by colour, then by its outline."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.disk_arrays import TOGETHER, let_go
from toolkit.geometry.cameras import project
from toolkit.multiview.outlines import Outlined, OutlineOptions, Patch, fit_sphere
from toolkit.multiview.patches import inside_of
from toolkit.multiview.thing_colours import ColourOptions, likely_of, thing_at
from toolkit.multiview.triangulation import TriangulationOptions, triangulate
from toolkit.scene import F32, F64, MultiViewVideo


@dataclass(frozen=True)
class ThingOptions:
    """What counts as the middle of a thing, and how it is followed.

    Attributes:
        colours: What its colour must be like.
        fill: Share of a disc that has the thing's colour, less that of the ring around it, where it is seen.
        search: Radii around the expected place in which it is looked for.
        sigma_radii: Error of a middle, in radii.
        outlines: How its outline is sought.
        strayed: A sphere fitted to outlines lies within so many radii of where colours put it.
    """

    colours: ColourOptions = field(default_factory=ColourOptions)
    fill: float = 0.3
    search: float = 2.5
    sigma_radii: float = 0.03
    outlines: OutlineOptions = field(default_factory=OutlineOptions)
    strayed: float = 0.6


@dataclass(frozen=True, eq=False)
class ThingTrack:
    """A thing through the clip.

    Attributes:
        xy: (V, T, 2) its middle in each view, NaN where not seen.
        sigma_px: (V, T) standard deviation per axis.
        xyz: (T, 3) its middle in the world; NaN where fewer than two views show it.
        sigma: (T,) standard deviation per axis.
        radius: In the world's unit.
    """

    xy: F64
    sigma_px: F64
    xyz: F64
    sigma: F64
    radius: float


def follow_thing(clip: MultiViewVideo, query: NDArray, P: NDArray, options: ThingOptions | None = None) -> ThingTrack | None:
    """The track of a query that is the middle of a round thing; None where it is not.

    Args:
        clip: The views.
        query: (4,) (t, x, y, z).
        P: (V, T, 3, 4) projection matrices.
        options: What counts as a thing.
    """
    options = options or ThingOptions()
    t0, place = int(query[0]), np.asarray(query[1:], np.float64)
    start = thing_at(clip, t0, place, options.colours)
    if start is None:
        return None
    odds, radius = start
    V, T = len(clip.views), len(clip.views[0])
    xy, sigma = np.full((V, T, 2), np.nan), np.full((V, T), np.nan)
    xyz, spread = np.full((T, 3), np.nan), np.full(T, np.nan)
    for direction in (1, -1):
        at, speed, missed = place.copy(), np.zeros(3), 0
        for t in range(t0, T if direction > 0 else -1, direction):
            guess = at + speed
            for v in range(V):
                xy[v, t], sigma[v, t] = _seen(clip, v, t, guess, radius, odds, options, wide=min(1.0 + 0.5 * missed, 3.0))
            found = triangulate(
                xy[None, :, t], sigma[None, :, t], P[:, t], TriangulationOptions()
            )  # a ball's middle is the same from all sides
            wrong = ~found.inlier[0]
            if np.isfinite(found.xyz[0, 0]):
                xy[wrong, t], sigma[wrong, t] = np.nan, np.nan
                speed = np.zeros(3) if t == t0 else found.xyz[0] - at if missed == 0 else speed
                at, missed = found.xyz[0], 0
                xyz[t], spread[t] = at, found.sigma[0]
            else:  # one view alone, or none: a middle that nobody confirms
                xy[:, t], sigma[:, t] = np.nan, np.nan
                at, speed, missed = at + speed, 0.8 * speed, missed + 1
            if not t % TOGETHER:
                let_go()
    return _outlined(clip, ThingTrack(xy, sigma, xyz, spread, radius), odds, options)


def _outlined(clip: MultiViewVideo, track: ThingTrack, odds: F32, options: ThingOptions) -> ThingTrack:
    """The track by the outlines of a sphere: colours alone lean to the lit side, and away from the hands that hold it."""
    xy, sigma, xyz, spread = track.xy.copy(), track.sigma_px.copy(), track.xyz.copy(), track.sigma.copy()
    known = np.flatnonzero(np.isfinite(track.xyz[:, 0]))

    def patches(t: int) -> list[Patch | None]:
        return [_patch(clip, v, t, track.xyz[t], track.radius, odds, options) for v in range(len(xy))]

    few = known[np.linspace(0, len(known) - 1, min(len(known), 20)).astype(int)]
    sized = [fit_sphere(patches(int(t)), xyz[t], track.radius, options.outlines, sizing=True) for t in few]
    radii = [fit.radius for fit in sized if fit is not None]
    radius = float(np.median(radii)) if radii else track.radius
    for t in known.tolist():
        fit = fit_sphere(patches(t), xyz[t], radius, options.outlines)
        if not t % TOGETHER:
            let_go()
        if fit is None or np.linalg.norm(fit.xyz - track.xyz[t]) > options.strayed * radius:
            continue
        xyz[t], spread[t] = fit.xyz, fit.sigma
        xy[:, t], sigma[:, t] = _in_views(clip, t, fit, options)
    return ThingTrack(xy, sigma, xyz, spread, radius)


def _in_views(clip: MultiViewVideo, t: int, fit: Outlined, options: ThingOptions) -> tuple[F64, F64]:
    """Where each view alone sees the middle of a sphere whose outline it shows."""
    xy = np.array([project(fit.xyz, camera.K[t], camera.T_wc[t])[0] for camera in clip.cameras]) + fit.miss_px
    return xy, np.where(np.isfinite(xy[:, 0]), options.outlines.believed_px, np.nan)


def _patch(clip: MultiViewVideo, v: int, t: int, xyz_w: F64, radius: float, odds: F32, options: ThingOptions) -> Patch | None:
    """The part of a picture in which the outline is sought."""
    camera, frame = clip.cameras[v], clip.views[v].frames[t]
    xy, depth = project(xyz_w, camera.K[t], camera.T_wc[t])
    if not np.isfinite(xy).all():
        return None
    r = radius * float(max(camera.K[t, 0, 0], camera.K[t, 1, 1])) / float(depth)
    reach = 2.0 * r + 12
    low = np.maximum(np.floor(xy - reach), 0).astype(int)
    high = np.minimum(np.ceil(xy + reach), [frame.shape[1], frame.shape[0]]).astype(int)
    if (high - low < 8).any() or r < 0.5 * options.colours.least_px:  # noqa: PLR2004 (a picture's corner tells nothing)
        return None
    likely = likely_of(frame[low[1] : high[1], low[0] : high[0]], odds, options.colours.bins)
    return Patch(likely, low, camera.K[t], camera.T_wc[t])


def _seen(
    clip: MultiViewVideo, v: int, t: int, guess: F64, radius: float, odds: F32, options: ThingOptions, *, wide: float
) -> tuple[F64, float]:
    """The middle of the thing near where it is expected, and its error; NaN where it does not show."""
    nothing = np.full(2, np.nan), float("nan")
    camera, frame = clip.cameras[v], clip.views[v].frames[t]
    xy, depth = project(guess, camera.K[t], camera.T_wc[t])
    if not np.isfinite(xy).all():
        return nothing
    r = radius * float(np.sqrt(camera.K[t, 0, 0] * camera.K[t, 1, 1])) / float(depth)
    reach = r * (1 + options.search * wide) + 10
    low = np.maximum(np.floor(xy - reach), 0).astype(int)
    high = np.minimum(np.ceil(xy + reach), [frame.shape[1], frame.shape[0]]).astype(int)
    if (high - low < max(2 * r, 8)).any() or r < 0.5 * options.colours.least_px:
        return nothing
    likely = likely_of(frame[low[1] : high[1], low[0] : high[0]], odds, options.colours.bins)
    fit = cv2.filter2D(likely, cv2.CV_32F, _disc(r), borderType=cv2.BORDER_CONSTANT)
    _, best, _, (i, j) = cv2.minMaxLoc(fit)
    if best < options.fill or not (0 < i < fit.shape[1] - 1 and 0 < j < fit.shape[0] - 1):
        return nothing
    # The middle of the plateau around the best fit: the edge of a moving thing is blurred.
    near = np.clip(fit[max(j - 3, 0) : j + 4, max(i - 3, 0) : i + 4] - (best - 0.05), 0, None)
    rows, columns = np.mgrid[max(j - 3, 0) : max(j - 3, 0) + near.shape[0], max(i - 3, 0) : max(i - 3, 0) + near.shape[1]]
    found = np.array([(near * columns).sum(), (near * rows).sum()]) / near.sum() + 0.5 + low
    # A sphere's outline lies a little farther from the picture's middle than its centre does.
    centre = camera.K[t, :2, 2]
    found = centre + (found - centre) * (1 - (radius / float(depth)) ** 2)
    if not inside_of(found[None], frame, 1.0)[0]:
        return nothing
    return found, max(0.5, options.sigma_radii * r) / max(best, 0.3)


def _disc(r: float) -> F32:
    """A disc whose fit is 1 on itself, with a ring that counts against."""
    half = int(np.ceil(1.3 * r)) + 1
    away = np.hypot(*np.meshgrid(np.arange(-half, half + 1), np.arange(-half, half + 1)))
    disc = np.clip(r - away + 0.5, 0, 1)
    ring = np.clip(1.25 * r + 0.5 - away, 0, 1) * (1 - np.clip(r - away + 0.5, 0, 1))
    return (disc / disc.sum() - 0.5 * ring / max(ring.sum(), 1e-9)).astype(np.float32)
