"""A scene made small: fewer tracks and points, and numbers no finer than they need to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F32, DepthVideo, PointCloud, Scene, Tracks2D
from toolkit.views.overlay import choose_indices

MAX_TRACKS = 600  # moving ones first, the others spread out
MAX_POINTS = 7_000  # of the static cloud
DEPTH_BLOCK_PX = 5  # depth is kept for every fifth pixel of every fifth row, and repeated
DEPTH_BITS = 7  # of its mantissa: 0.8 percent at worst
_PER_PIXEL = 16  # steps of a track's position
_PER_UNIT = {"metre": 512, "relative": 8192}  # steps of a position in the world: 2 mm; of relative ones the scene is about one unit far
_SURE_STEPS = 4  # steps of a confidence
_SIGMA_BITS = 3  # of a standard deviation: 6 percent


def thinned(scene: Scene, *, seed: int = 0) -> Scene:
    """A scene with fewer tracks and points, and numbers that pack well: small enough to travel with the program.

    Video, cameras and what the report measured stay as they are; depth keeps its size. `report["thinned_from"]` tells what it was.

    Args:
        scene: Any; parts that it lacks are left out.
        seed: Of the choice of tracks and points.
    """
    parts: dict[str, Any] = {}
    if scene.tracks_2d is not None and scene.tracks_3d is not None:
        kept = choose_indices(scene, MAX_TRACKS, seed=seed)
        flat, solid = scene.tracks_2d.select(kept), scene.tracks_3d.select(kept)
        parts["tracks_2d"] = _flat(flat)
        sigma = None if solid.sigma is None else _rounded(solid.sigma, _SIGMA_BITS)
        # Further views hold the same tracks as they see them.
        thin = parts["tracks_3d"] = replace(solid, xyz=_stepped(solid.xyz, _PER_UNIT[scene.unit]), sigma=sigma)
        parts["views"] = tuple(
            view if view.tracks_2d is None else replace(view, tracks_2d=_flat(view.tracks_2d.select(kept)), tracks_3d=thin)
            for view in scene.views
        )
    if scene.depth is not None:
        depth, sure = _blocks(scene.depth.depth), _blocks(scene.depth.confidence)
        parts["depth"] = DepthVideo(_rounded(depth, DEPTH_BITS), _stepped(sure, _SURE_STEPS), scene.depth.unit)
    if scene.points is not None:
        count = min(MAX_POINTS, len(scene.points))
        some = np.sort(np.random.default_rng(seed).choice(len(scene.points), count, replace=False))
        parts["points"] = PointCloud(_stepped(scene.points.xyz[some], _PER_UNIT[scene.unit]), scene.points.rgb[some])
    report = {**scene.report, "thinned_from": scene.report.get("thinned_from", str(scene))}
    return replace(scene, **parts, report=report)


def _flat(tracks: Tracks2D) -> Tracks2D:
    """Tracks of a view with numbers no finer than they need to be."""
    sigma_px = None if tracks.sigma_px is None else _rounded(tracks.sigma_px, _SIGMA_BITS)
    return replace(tracks, xy=_stepped(tracks.xy, _PER_PIXEL), confidence=_stepped(tracks.confidence, _SURE_STEPS), sigma_px=sigma_px)


def _blocks(values: F32) -> F32:
    """(T, H, W) the middle one of each block of pixels, in all of its pixels: real measurements, never a mean across an edge."""
    n, (h, w) = DEPTH_BLOCK_PX, values.shape[1:]
    rows, columns = (np.minimum(np.arange(size) // n * n + n // 2, size - 1) for size in (h, w))
    return values[:, rows[:, None], columns]


def _stepped(values: NDArray, per_unit: int) -> F32:
    """Numbers to so many steps in one."""
    return (np.round(values * per_unit) / per_unit).astype(np.float32)


def _rounded(values: NDArray, bits: int) -> F32:
    """Numbers to so many bits of their mantissa."""
    mantissa, exponent = np.frexp(np.asarray(values, np.float32))
    return np.ldexp(np.round(mantissa * 2**bits) / 2**bits, exponent).astype(np.float32)
