"""Following the middle of a ball of its own colour: its surface turns, so no window stays on it; first by colour, then by its outline."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.cameras import project
from toolkit.multiview.outlines import Outlined, OutlineOptions, Patch, fit_sphere
from toolkit.multiview.patches import inside_of
from toolkit.multiview.triangulation import TriangulationOptions, triangulate
from toolkit.scene import F32, F64, U8, B, MultiViewVideo


@dataclass(frozen=True)
class ThingOptions:
    """What counts as the middle of a thing, and how it is followed.

    Attributes:
        core_px: Radius around the query from which its colour is first taken.
        least_px: Radius of a thing that is large enough.
        largest: Radius as a share of the picture's longer side, beyond which it is no thing but the background.
        centred: The query must lie this near to the middle of the thing, in its radii, in all views that show the thing ...
        same_size: ... whose sizes in the world agree up to this factor: on the surface of a thing no point is its middle from everywhere.
        least_views: Views that must show it so.
        fill: Share of a disc that has the thing's colour, less that of the ring around it, where it is seen.
        search: Radii around the expected place in which it is looked for.
        sigma_radii: Error of a middle, in radii.
        bins: Of a colour channel.
        smooth: Of the colours' histogram, in bins.
        outlines: How its outline is sought.
        strayed: A sphere fitted to outlines lies within so many radii of where colours put it.
    """

    core_px: float = 5.0
    least_px: float = 6.0
    largest: float = 0.2
    centred: float = 0.35
    same_size: float = 1.35
    least_views: int = 2
    fill: float = 0.3
    search: float = 2.5
    sigma_radii: float = 0.03
    bins: int = 24
    smooth: float = 0.7
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
    start = _found_at(clip, t0, place, options)
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
            found = triangulate(xy[None, :, t], sigma[None, :, t], P[:, t], TriangulationOptions())
            wrong = ~found.inlier[0]
            if np.isfinite(found.xyz[0, 0]):
                xy[wrong, t], sigma[wrong, t] = np.nan, np.nan
                speed = np.zeros(3) if t == t0 else found.xyz[0] - at if missed == 0 else speed
                at, missed = found.xyz[0], 0
                xyz[t], spread[t] = at, found.sigma[0]
            else:  # one view alone, or none: a middle that nobody confirms
                xy[:, t], sigma[:, t] = np.nan, np.nan
                at, speed, missed = at + speed, 0.8 * speed, missed + 1
    return _outlined(clip, ThingTrack(xy, sigma, xyz, spread, radius), odds, options)


def _outlined(clip: MultiViewVideo, track: ThingTrack, odds: F32, options: ThingOptions) -> ThingTrack:
    """The track by the outlines of a sphere: colours alone lean to the lit side, and away from the hands that hold it."""
    xy, sigma, xyz, spread = track.xy.copy(), track.sigma_px.copy(), track.xyz.copy(), track.sigma.copy()
    known = np.flatnonzero(np.isfinite(track.xyz[:, 0]))
    patches = {int(t): [_patch(clip, v, int(t), track.xyz[t], track.radius, odds, options) for v in range(len(xy))] for t in known}
    few = known[np.linspace(0, len(known) - 1, min(len(known), 20)).astype(int)]
    sized = [fit_sphere(patches[int(t)], xyz[t], track.radius, options.outlines, sizing=True) for t in few]
    radii = [fit.radius for fit in sized if fit is not None]
    radius = float(np.median(radii)) if radii else track.radius
    for t, parts in patches.items():
        fit = fit_sphere(parts, xyz[t], radius, options.outlines)
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
    if (high - low < 8).any() or r < 0.5 * options.least_px:  # noqa: PLR2004 (a picture's corner tells nothing)
        return None
    likely = odds[_index(_lab(np.ascontiguousarray(frame[low[1] : high[1], low[0] : high[0]])), options.bins)]
    return Patch(likely, low, camera.K[t], camera.T_wc[t])


def _found_at(clip: MultiViewVideo, t: int, place: F64, options: ThingOptions) -> tuple[F32, float] | None:
    """How much likelier each colour is on the thing than around it, and its radius; None where the query is no middle of a thing."""
    spots = []
    for v, camera in enumerate(clip.cameras):
        xy, depth = project(place, camera.K[t], camera.T_wc[t])
        if np.isfinite(xy).all() and inside_of(xy[None], clip.views[v].frames[t], options.least_px)[0]:
            spots.append((v, xy, float(depth), _lab(clip.views[v].frames[t])))
    if len(spots) < options.least_views:
        return None
    radii = [options.core_px] * len(spots)
    odds = None
    blobs: list[tuple[float, float] | None] = []
    for _ in range(3):  # the colour tells how large it is, its size tells which pixels have its colour
        inner, outer = [], []
        for (_v, xy, _, lab), radius in zip(spots, radii, strict=True):
            away = _distance(lab.shape[:2], xy)
            inner.append(lab[away < max(0.7 * radius, options.core_px)])
            outer.append(lab[(away > 1.4 * radius + 3)])
        odds = _odds(np.concatenate(inner), np.concatenate(outer), options)
        blobs = [_blob(odds[_index(lab, options.bins)] > 0.5, xy, options) for _, xy, _, lab in spots]  # noqa: PLR2004 (likelier than not)
        radii = [options.core_px if blob is None else blob[0] for blob in blobs]
    good = []
    for (v, _xy, depth, _), blob in zip(spots, blobs, strict=True):
        if blob is not None and blob[1] < options.centred:
            good.append(blob[0] * depth / float(np.sqrt(clip.cameras[v].K[t, 0, 0] * clip.cameras[v].K[t, 1, 1])))
    if len(good) < options.least_views or odds is None:
        return None
    radius = float(np.median(good))
    same = [r for r in good if max(r / radius, radius / r) < options.same_size]
    # Whoever sees a blob around the query sees its middle there, but for views where something covers a part of it.
    shown = sum(blob is not None for blob in blobs)
    if len(same) < max(options.least_views, 0.5 * shown):
        return None
    return odds, float(np.median(same))


def _blob(mask: B, xy: NDArray, options: ThingOptions) -> tuple[float, float] | None:
    """Radius of the connected part around a place, and how far from its middle the place is in radii; None where it is no round thing."""
    count, label, stats, centres = cv2.connectedComponentsWithStats(
        cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
    )
    k = int(label[int(np.clip(xy[1], 0, mask.shape[0] - 1)), int(np.clip(xy[0], 0, mask.shape[1] - 1))])
    if count < 2 or k == 0:
        return None
    x, y, w, h, area = (int(n) for n in stats[k])
    radius = float(np.sqrt(area / np.pi))
    if (
        radius < options.least_px
        or radius > options.largest * max(mask.shape)
        or area < 0.5 * w * h * np.pi / 4
        or max(w, h) > 2 * min(w, h)
    ):
        return None
    return radius, float(np.linalg.norm(centres[k] + 0.5 - xy)) / radius


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
    if (high - low < max(2 * r, 8)).any() or r < 0.5 * options.least_px:
        return nothing
    likely = odds[_index(_lab(np.ascontiguousarray(frame[low[1] : high[1], low[0] : high[0]])), options.bins)]
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


def _lab(frame: U8) -> U8:
    return cv2.cvtColor(cv2.GaussianBlur(frame, (0, 0), 0.8), cv2.COLOR_RGB2LAB)  # type: ignore[return-value]


def _index(lab: U8, bins: int) -> tuple[NDArray, ...]:
    cell = (lab.astype(np.int32) * bins) >> 8
    return cell[..., 0] // 2, cell[..., 1], cell[..., 2]  # light and shade: half as many steps


def _odds(inner: U8, outer: U8, options: ThingOptions) -> F32:
    """(L, a, b) the chance that a pixel of a colour is the thing's, both being as common."""
    tables = []
    for pixels in (inner, outer):
        table = np.zeros((options.bins // 2 + 1, options.bins, options.bins), np.float32)
        np.add.at(table, _index(pixels, options.bins), 1.0)
        for axis in range(3):
            table = _blurred(table, axis, options.smooth)
        tables.append(table / table.sum())
    return (tables[0] / (tables[0] + tables[1] + 1e-5)).astype(np.float32)


def _blurred(table: F32, axis: int, sigma: float) -> F32:
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(table, sigma, axis=axis, mode="constant")  # type: ignore[return-value]


def _distance(shape: tuple[int, ...], xy: NDArray) -> F64:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(columns + 0.5 - xy[0], rows + 0.5 - xy[1])
