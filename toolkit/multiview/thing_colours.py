"""Which thing of its own colour a point is the middle of: how much likelier each colour is on it than around it, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from toolkit.geometry.cameras import project
from toolkit.multiview.patches import inside_of
from toolkit.scene import F32, F64, U8, B, MultiViewVideo


@dataclass(frozen=True)
class ColourOptions:
    """What counts as the middle of a thing of its own colour.

    Attributes:
        core_px: Radius around the query from which its colour is first taken.
        least_px: Radius of a thing that is large enough.
        largest: Radius as a share of the picture's longer side, beyond which it is no thing but the background.
        centred: The query must lie this near to the middle of the thing, in its radii, in all views that show the thing ...
        same_size: ... whose sizes in the world agree up to this factor: on the surface of a thing no point is its middle from everywhere.
        least_views: Views that must show it so.
        apart_deg: Two of these must look at it from angles so far apart, between the two: from one side, and from opposite ones, a point on
            the surface looks like the middle.
        bins: Of a colour channel.
        smooth: Of the colours' histogram, in bins.
    """

    core_px: float = 5.0
    least_px: float = 6.0
    largest: float = 0.2
    centred: float = 0.35
    same_size: float = 1.35
    least_views: int = 2
    apart_deg: tuple[float, float] = (25.0, 140.0)
    bins: int = 24
    smooth: float = 0.7


def thing_at(clip: MultiViewVideo, t: int, place: F64, options: ColourOptions) -> tuple[F32, float] | None:
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
    good, rays = [], []
    for (v, _xy, depth, _), blob in zip(spots, blobs, strict=True):
        if blob is not None and blob[1] < options.centred:
            rays.append(clip.cameras[v].centres[t] - place)
            good.append(blob[0] * depth / float(np.sqrt(clip.cameras[v].K[t, 0, 0] * clip.cameras[v].K[t, 1, 1])))
    if len(good) < options.least_views or odds is None:
        return None
    to = np.array(rays) / np.linalg.norm(rays, axis=1, keepdims=True)
    angle = np.degrees(np.arccos(np.clip(to @ to.T, -1, 1)))
    if not ((angle > options.apart_deg[0]) & (angle < options.apart_deg[1])).any():
        return None
    radius = float(np.median(good))
    same = [r for r in good if max(r / radius, radius / r) < options.same_size]
    # Whoever sees a blob around the query sees its middle there, but for views where something covers a part of it.
    shown = sum(blob is not None for blob in blobs)
    if len(same) < max(options.least_views, 0.5 * shown):
        return None
    return odds, float(np.median(same))


def _blob(mask: B, xy: NDArray, options: ColourOptions) -> tuple[float, float] | None:
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


def likely_of(picture: U8, odds: F32, bins: int) -> F32:
    """(H, W) the chance of each pixel of a picture (H, W, 3) to be the thing's."""
    return odds[_index(_lab(np.ascontiguousarray(picture)), bins)]


def _lab(frame: U8) -> U8:
    return cv2.cvtColor(cv2.GaussianBlur(frame, (0, 0), 0.8), cv2.COLOR_RGB2LAB)  # type: ignore[return-value]


def _index(lab: U8, bins: int) -> tuple[NDArray, ...]:
    cell = (lab.astype(np.int32) * bins) >> 8
    return cell[..., 0] // 2, cell[..., 1], cell[..., 2]  # light and shade: half as many steps


def _odds(inner: U8, outer: U8, options: ColourOptions) -> F32:
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
    return gaussian_filter1d(table, sigma, axis=axis, mode="constant")  # type: ignore[return-value]


def _distance(shape: tuple[int, ...], xy: NDArray) -> F64:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(columns + 0.5 - xy[0], rows + 0.5 - xy[1])
