"""From pixels of one view to points of the world: the depth along each pixel's ray at which the other views look the same."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.cameras import project
from toolkit.geometry.sampling import sample_nearest, to_opencv
from toolkit.scene import F64, U8, B, Cameras


@dataclass(frozen=True)
class LiftOptions:
    """How a depth is searched.

    Attributes:
        nearest: Of the distance to where the cameras look ...
        farthest: ... the search goes from this share to this one.
        steps: Depths that are tried, evenly spaced in inverse depth.
        patch_px: Side of the window that is compared, in pixels of the view.
        stride_px: Distance of its samples.
        witnesses: Views that must look the same: the best so many of them count; all where there are fewer.
        alone: By how much more alike it must look where fewer can see it.
        least_likeness: Mean correlation of these that makes a depth known.
        distinct: By how much it must beat every other depth, farther than `apart` steps away.
        apart: Steps.
        widest_deg: Views that see a point from an angle of more than this look different.
    """

    nearest: float = 0.35
    farthest: float = 2.0
    steps: int = 160
    patch_px: int = 13
    stride_px: float = 1.5
    witnesses: int = 2
    alone: float = 0.1
    least_likeness: float = 0.65
    distinct: float = 0.08
    apart: int = 5
    widest_deg: float = 75.0


@dataclass(frozen=True, eq=False)
class Lifted:
    """Points on rays.

    Attributes:
        xyz_w: (M, 3) float64, NaN where the depth is not known.
        likeness: (M,) mean correlation with the views that witness it.
        sigma: (M,) standard deviation along the ray, from the search's step.
    """

    xyz_w: F64
    likeness: F64
    sigma: F64


_PARALLEL = 1e-6
"""Of the eigenvalues: axes within a thousandth of a radian."""
_REACH_OF_PARALLEL = 10.0
"""Views side by side look this many times as far as they are apart: their parallax is then a tenth of a radian."""


def focus_of(cameras: tuple[Cameras, ...], t: int) -> F64:
    """(3,) the point nearest to the optical axes of all views in a frame; of parallel ones, a point before the middle of them."""
    seen = [camera for camera in cameras if camera.registered[t]]
    axes = np.array([camera.T_wc[t, :3, 2] for camera in seen])
    centres = np.array([camera.centres[t] for camera in seen])
    across = np.eye(3) - axes[:, :, None] * axes[:, None]
    A, b = across.sum(0), (across @ centres[..., None]).sum(0)[:, 0]
    spread = np.linalg.eigvalsh(A)
    if spread[0] <= _PARALLEL * spread[-1]:
        apart = np.linalg.norm(centres - centres.mean(0), axis=1).max()
        return np.asarray(centres.mean(0) + _REACH_OF_PARALLEL * apart * axes.mean(0), np.float64)
    return np.asarray(np.linalg.solve(A, b), np.float64)


def lift_pixels(
    images: list[U8],
    cameras: tuple[Cameras, ...],
    view: int,
    t: int,
    xy: NDArray,
    options: LiftOptions | None = None,
    *,
    depth: NDArray | None = None,
) -> Lifted:
    """World points under pixels of one view.

    Args:
        images: V arrays (T, H, W) of grey frames.
        cameras: V cameras of T frames.
        view: In which view the pixels are.
        t: In which frame.
        xy: (M, 2) continuous pixels.
        options: How the depth is searched.
        depth: (H, W) z-depth of that view and frame where it is known; NaN elsewhere.
    """
    options = options or LiftOptions()
    camera = cameras[view]
    K, T_wc = camera.K[t], camera.T_wc[t]
    xy = np.asarray(xy, np.float64).reshape(-1, 2)
    out = np.full((len(xy), 3), np.nan)
    score, sigma = np.full(len(xy), np.nan), np.full(len(xy), np.nan)
    if depth is not None and len(xy):
        z = sample_nearest(depth, xy).astype(np.float64)
        good = np.isfinite(z) & (z > 0)
        out[good] = _on_rays(xy[good], z[good, None], K, T_wc)[:, 0]
        score[good], sigma[good] = 1.0, 0.01 * z[good]
    todo = np.flatnonzero(~np.isfinite(out[:, 0]))
    if not len(todo):
        return Lifted(out, score, sigma)
    reach = float(np.linalg.norm(focus_of(cameras, t) - camera.centres[t]))
    inverse = np.linspace(1 / (options.farthest * reach), 1 / (options.nearest * reach), options.steps)
    for rows in np.array_split(todo, max(1, len(todo) // 64)):
        likeness = _likeness_along(images, cameras, view, t, xy[rows], 1 / inverse, options)
        best = likeness.argmax(1)
        peak = likeness[np.arange(len(rows)), best]
        off = np.abs(np.arange(options.steps)[None] - best[:, None]) > options.apart
        rival = np.where(off, likeness, -1.0).max(1)
        good = (peak >= options.least_likeness) & (peak - rival >= options.distinct) & (best > 0) & (best < options.steps - 1)
        inner = np.clip(best, 1, options.steps - 2)
        a, b, c = (likeness[np.arange(len(rows)), inner + k] for k in (-1, 0, 1))
        bend = a - 2 * b + c
        shift = np.where(bend < -1e-6, np.clip(0.5 * (a - c) / np.where(bend < -1e-6, bend, -1.0), -0.5, 0.5), 0.0)
        w = inverse[inner] + shift * (inverse[1] - inverse[0])
        out[rows] = np.where(good[:, None], _on_rays(xy[rows], 1 / w[:, None], K, T_wc)[:, 0], np.nan)
        score[rows] = peak
        sigma[rows] = np.where(good, 0.5 * (inverse[1] - inverse[0]) / w**2, np.nan)
    return Lifted(out, score, sigma)


def _on_rays(xy: NDArray, z: NDArray, K: NDArray, T_wc: NDArray) -> F64:
    """(M, D, 3) points at depths (M, D) or (1, D) on the rays of pixels (M, 2)."""
    uv = np.concatenate([(xy - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones((len(xy), 1))], -1)
    return (uv[:, None] * z[..., None]) @ T_wc[:3, :3].T + T_wc[:3, 3]


def _likeness_along(
    images: list[U8], cameras: tuple[Cameras, ...], view: int, t: int, xy: NDArray, z: NDArray, options: LiftOptions
) -> F64:
    """(M, D) mean correlation of the best witnesses at each depth, of patches that face the view."""
    half = (options.patch_px - 1) / 2
    steps = np.arange(-half, half + 0.5, options.stride_px)
    offsets = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    M, D, S = len(xy), len(z), len(offsets)
    K, T_wc = cameras[view].K[t], cameras[view].T_wc[t]
    at = (xy[:, None] + offsets).reshape(-1, 2)
    reference, flat = _normalised(_sampled(images[view][t], xy[:, None] + offsets))
    points = _on_rays(at, z[None], K, T_wc).reshape(M, S, D, 3).transpose(0, 2, 1, 3)
    middle = _on_rays(xy, z[None], K, T_wc)
    every = []
    for v, camera in enumerate(cameras):
        if v == view or not camera.registered[t]:
            continue
        to_here, to_there = cameras[view].centres[t] - middle, camera.centres[t] - middle
        cosine = (to_here * to_there).sum(-1) / (np.linalg.norm(to_here, axis=-1) * np.linalg.norm(to_there, axis=-1))
        there, _ = project(points, camera.K[t], camera.T_wc[t])
        height, width = images[v].shape[1:]
        with np.errstate(invalid="ignore"):
            inside = ((there > 0) & (there < [width, height])).all(-1).all(-1)
        patch, empty = _normalised(_sampled(images[v][t], np.nan_to_num(there, nan=-9.0)))
        alike = (patch * reference[:, None]).sum(-1)
        every.append(np.where(inside & (cosine > np.cos(np.deg2rad(options.widest_deg))) & ~empty & ~flat[:, None], alike, -1.0))
    if not every:
        return np.full((M, D), -1.0)
    ranked = -np.sort(-np.stack(every), axis=0)[: options.witnesses]
    heard = ranked > -1.0
    count = heard.sum(0)
    mean = np.where(heard, ranked, 0.0).sum(0) / np.maximum(count, 1)
    return np.where(count > 0, mean - options.alone * (count < min(options.witnesses, len(cameras) - 1)), -1.0)


def _normalised(patches: NDArray) -> tuple[F64, B]:
    """Patches (..., S) with mean 0 and length 1, and which are too flat to tell anything."""
    centred = patches - patches.mean(-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1)
    flat = length < 2.0 * np.sqrt(patches.shape[-1])  # two grey levels: noise
    return centred / np.maximum(length, 1e-6)[..., None], flat


def _sampled(image: U8, xy: NDArray) -> NDArray:
    at = to_opencv(xy.reshape(-1, xy.shape[-2], 2)).astype(np.float32)
    out = np.empty(at.shape[:2], np.float32)
    most = 30_000  # OpenCV's remap takes pictures of less than 32767 rows
    for first in range(0, len(at), most):
        part = at[first : first + most]
        out[first : first + most] = cv2.remap(image, part[..., 0], part[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return out.reshape(xy.shape[:-1]).astype(np.float64)
