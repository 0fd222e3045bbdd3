"""Whether pictures hold depth: what a mere turn of the camera leaves over, against what a moving camera explains.

A model of a camera that moves explains a camera that only turns, too: its freedom goes into lens and noise. So the simpler explanation is
fitted to the same points, with a lens as free as any, and a point counts as one with depth where the moving camera explains it better by
more than its own noise could: a likelihood ratio of a point at a distance against one at infinity, in standard deviations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from toolkit.scene import F64, I64, B
from toolkit.sfm.sightings import Sightings
from toolkit.sfm.turning import turn_errors


@dataclass(frozen=True)
class ParallaxOptions:
    """When a point, a picture and a model count as showing depth.

    Attributes:
        sigmas: Standard deviations by which a point's distance must differ from infinity, and within which it must be explained.
        floor_px: Least standard deviation of a place, in pixels of a picture of 1000 at most: followed points slide by about that over
            a clip, all one way, as if they had a depth; and lenses differ from their models by as much.
        ceiling_px: Largest standard deviation; what fits worse is no explanation.
        alone_px: The same of a turn that nothing is compared with: places of points are found better than that.
        share: Least share of the picture that must show depth. Less than that may be one thing that moves before a camera that stands.
        least: Share of a picture's points that must have a depth; fewer are chance.
        window: Frames of a video that are looked at together.
        steps: Of the adjustment of the turning camera.
    """

    sigmas: float = 3.0
    floor_px: float = 0.15
    ceiling_px: float = 1.0
    alone_px: float = 0.6
    share: float = 0.28
    least: float = 0.08
    window: int = 30
    steps: int = 80


@dataclass(frozen=True, eq=False)
class Parallax:
    """What two explanations leave over.

    Attributes:
        turned: (P,) squared error of each point under a mere turn, in squared standard deviations.
        moved: (P,) under the moving camera.
        deep: (P,) whether a point shows depth.
        far: (P,) whether a mere turn explains it.
        share: Of the picture that shows depth.
        still: Of the picture that a mere turn explains.
        sigma_px: Standard deviation of a place, in pixels of a picture of 1000 at most.
        deep_in: (T,) points with depth that each picture shows.
    """

    turned: F64
    moved: F64
    deep: B
    far: B
    share: float
    still: float
    sigma_px: float
    deep_in: I64


def parallax(seen: Sightings, T_cw: F64 | None, options: ParallaxOptions | None = None, *, turned: F64 | None = None) -> Parallax:
    """Compares a mere turn with a moving camera.

    Args:
        seen: Points in two pictures or more each.
        T_cw: (T, 4, 4) camera-from-world of the moving camera; None where there is none, then only the turn is judged.
        options: When a point counts.
        turned: (N,) squared errors of the sightings under a mere turn, where they are known already.

    Source: the comparison is that of Torr's GRIC (Int. J. Computer Vision 50, 2002), with noise measured instead of given, point by point.
    """
    options = options or ParallaxOptions()
    count = int(seen.point.max()) + 1
    length = np.bincount(seen.point, minlength=count)
    by_turn = np.bincount(seen.point, turn_errors(seen, options.steps) if turned is None else turned, count)
    moved = by_turn if T_cw is None else np.bincount(seen.point, _moved_errors(seen, T_cw), count)
    # Noise is what the better explanation leaves over in the middle of the points: a bad one must not call its errors noise.
    left = [np.median(by_turn / chi2.median(2 * length - 2))]
    left += [] if T_cw is None else [np.median(moved / chi2.median(2 * length - 3))]
    sigma = float(np.clip(np.sqrt(min(left)), options.floor_px, options.alone_px if T_cw is None else options.ceiling_px))
    by_turn, moved = by_turn / sigma**2, moved / sigma**2
    limit = options.sigmas**2
    far = by_turn < limit + 2 * length
    deep = (by_turn - moved > limit) & (moved < limit + 2 * length) & (T_cw is not None)
    frames = len(seen.lens)
    key = seen.frame * (int(seen.cell.max()) + 1) + seen.cell
    _, at, crowd = np.unique(key, return_inverse=True, return_counts=True)
    weight = 1.0 / crowd[at]
    whole = weight.sum()
    deep_in = np.bincount(seen.frame, deep[seen.point], frames).astype(np.int64)
    share, still = (float((weight * which[seen.point]).sum() / whole) for which in (deep, far))
    return Parallax(by_turn, moved, deep, far, share, still, sigma, deep_in)


def _moved_errors(seen: Sightings, T_cw: F64) -> F64:
    """(N,) squared errors in pixels, every point where it is seen best; it may be infinitely far."""
    T = T_cw[seen.frame][:, :3].copy()
    spread = np.sqrt(np.mean(np.sum((T_cw[:, :3, 3] - T_cw[:, :3, 3].mean(0)) ** 2, 1)))
    T[:, :, 3] /= max(float(spread), 1e-300)
    count = int(seen.point.max()) + 1
    rows = np.stack([T[:, 0] - seen.rays[:, :1] * T[:, 2], T[:, 1] - seen.rays[:, 1:] * T[:, 2]], 1)
    A = np.zeros((count, 4, 4))
    np.add.at(A, seen.point, np.einsum("nri,nrj->nij", rows, rows))
    X = np.linalg.eigh(A)[1][:, :, 0]
    best = np.full(len(seen.rays), np.inf)
    best_of = np.full(count, np.inf)
    damp = np.full(count, 1e-4)
    trial = X
    for _ in range(8):
        x = np.einsum("nij,nj->ni", T, trial[seen.point])
        z = np.where(np.abs(x[:, 2]) < 1e-9, 1e-9, x[:, 2])
        error = (x[:, :2] / z[:, None] - seen.rays) * seen.focal_px[:, None]
        square = np.sum(error**2, 1)
        total = np.bincount(seen.point, square, count)
        good = total < best_of
        X = np.where(good[:, None], trial, X)
        best = np.where(good[seen.point], square, best)
        best_of = np.where(good, total, best_of)
        damp = np.where(good, damp / 5, damp * 10)
        x = np.einsum("nij,nj->ni", T, X[seen.point])
        z = np.where(np.abs(x[:, 2]) < 1e-9, 1e-9, x[:, 2])
        error = (x[:, :2] / z[:, None] - seen.rays) * seen.focal_px[:, None]
        J = (T[:, :2] - (x[:, :2] / z[:, None])[:, :, None] * T[:, 2:3]) * (seen.focal_px / z)[:, None, None]
        H, g = np.zeros((count, 4, 4)), np.zeros((count, 4))
        np.add.at(H, seen.point, np.einsum("nri,nrj->nij", J, J))
        np.add.at(g, seen.point, np.einsum("nri,nr->ni", J, error))
        scale = np.trace(H, axis1=1, axis2=2)[:, None, None] + 1e-12
        # The length of X says nothing: it is held.
        H += scale * (damp[:, None, None] * np.eye(4) + X[:, :, None] * X[:, None, :])
        trial = X - np.linalg.solve(H, g[..., None])[..., 0]
        trial /= np.linalg.norm(trial, axis=1, keepdims=True)
    return best
