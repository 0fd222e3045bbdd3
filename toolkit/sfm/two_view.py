"""What two photos have in common: matches that one relative pose explains, and how much it says about depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toolkit.scene import F32, F64
from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.matching import Pairs

if TYPE_CHECKING:
    import pycolmap

KINDS = {"CALIBRATED": "full", "UNCALIBRATED": "full", "PLANAR": "planar", "PANORAMIC": "turn", "PLANAR_OR_PANORAMIC": "flat"}
"""COLMAP's words for a pair, and ours: "flat" is a plane or a mere turn, which can't be told apart where the focal length is unknown."""

STIRRED_PX = 1e-3
"""Points of a lens that nobody told are moved by so much before COLMAP gets them: its solver for two photos of one unknown lens ends the
whole process on exact points of a camera that goes straight without turning."""


@dataclass(frozen=True)
class TwoViewOptions:
    """When two photos are taken to show the same.

    Attributes:
        error_px: Largest distance to the epipolar line, in pixels of a picture of 1600; COLMAP's 4.
        fewest: Matches that must agree; COLMAP's.
    """

    error_px: float = 4.0
    fewest: int = 15


@dataclass(frozen=True, eq=False)
class TwoView:
    """A pair of photos that show the same.

    Attributes:
        pairs: (M, 2) uint32 matches that agree, rows of the two photos' features.
        kind: "full" where depth shows, "planar", "turn" (no parallax at all), or "flat" (one of these two).
        F: (3, 3) fundamental matrix in pixels, NaN where there is none.
        record: COLMAP's own, as its mappers want it; None where it has to be estimated again.
    """

    pairs: Pairs
    kind: str
    F: F64
    record: pycolmap.TwoViewGeometry | None = None


def verify(
    first: F32, second: F32, pairs: Pairs, cameras: tuple[pycolmap.Camera, pycolmap.Camera], options: TwoViewOptions, seed: int
) -> TwoView | None:
    """The matches that one relative pose explains; None where too few agree.

    Args:
        first: (K, 2) pixels of one photo's features.
        second: (L, 2) of the other's.
        pairs: (M, 2) matches, rows of both.
        cameras: Of both; lenses whose focal length is not known are told from the matches alone.
        options: How well they must agree.
        seed: Of the random samples.
    """
    if len(pairs) < options.fewest:
        return None
    found = _estimate(first, second, pairs, cameras, options, seed)
    kind = KINDS.get(load_pycolmap().TwoViewGeometryConfiguration(found.config).name)
    inliers = np.asarray(found.inlier_matches, np.uint32).reshape(-1, 2)
    if kind is None or len(inliers) < options.fewest:
        return None
    F = found.F if found.F is not None else None
    return TwoView(inliers, kind, np.full((3, 3), np.nan) if F is None or not np.any(F) else np.asarray(F, np.float64), found)


def geometry(
    first: F32, second: F32, pairs: Pairs, cameras: tuple[pycolmap.Camera, pycolmap.Camera], options: TwoViewOptions, seed: int
) -> pycolmap.TwoViewGeometry:
    """COLMAP's own record of a pair, as its mappers want it, from matches that were found to agree."""
    return _estimate(first, second, pairs, cameras, options, seed)


def _estimate(
    first: F32, second: F32, pairs: Pairs, cameras: tuple[pycolmap.Camera, pycolmap.Camera], options: TwoViewOptions, seed: int
) -> pycolmap.TwoViewGeometry:
    colmap = load_pycolmap()
    asked = colmap.TwoViewGeometryOptions()
    asked.min_num_inliers = options.fewest
    asked.ransac.random_seed = seed
    asked.ransac.max_error = options.error_px * max(cameras[0].width, cameras[0].height, 1600) / 1600
    asked.detect_watermark = False
    a, b = (stirred(xy, camera, n) for n, (xy, camera) in enumerate(zip((first, second), cameras, strict=True)))
    return colmap.estimate_two_view_geometry(cameras[0], a, cameras[1], b, pairs.astype(np.uint32), asked)


def stirred(xy: F32, camera: pycolmap.Camera, seed: int) -> F64:
    """(K, 2) points, moved by `STIRRED_PX` where the focal length of their lens is not known."""
    if camera.has_prior_focal_length:
        return xy.astype(np.float64)
    return xy + STIRRED_PX * np.random.default_rng(seed).normal(size=xy.shape)
