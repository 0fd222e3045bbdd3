"""Bringing one set of points onto another: similarity, rigid, and scale alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.scene import F64


@dataclass(frozen=True)
class Similarity:
    """x -> scale * R x + t.

    Attributes:
        scale: Positive number.
        R: (3, 3) rotation.
        t: (3,) translation, in the target's unit.
    """

    scale: float
    R: F64
    t: F64

    def __call__(self, xyz: NDArray) -> NDArray:
        """Points (..., 3) moved."""
        return self.scale * np.einsum("ij,...j->...i", self.R, xyz) + self.t

    def apply_to_poses(self, T_wc: NDArray) -> F64:
        """World-from-camera poses (..., 4, 4) in the target's world; camera axes stay orthonormal."""
        out = np.array(T_wc, np.float64)
        out[..., :3, :3] = self.R @ T_wc[..., :3, :3]
        out[..., :3, 3] = self(T_wc[..., :3, 3])
        return out


def align_similarity(source: NDArray, target: NDArray, *, with_scale: bool = True) -> Similarity:
    """The similarity (or rigid motion) that brings points closest to their partners, in least squares (Umeyama 1991).

    Args:
        source: (P, 3) points; rows with NaN in either set are left out.
        target: (P, 3) their partners.
        with_scale: False keeps the scale at 1.

    Raises:
        UserError: fewer than three usable pairs.
    """
    good = np.isfinite(source).all(1) & np.isfinite(target).all(1)
    if good.sum() < 3:
        raise UserError(f"Only {int(good.sum())} point pairs are known, but an alignment needs at least 3.")
    a, b = np.asarray(source[good], np.float64), np.asarray(target[good], np.float64)
    mean_a, mean_b = a.mean(0), b.mean(0)
    a, b = a - mean_a, b - mean_b
    U, D, Vt = np.linalg.svd(b.T @ a / len(a))
    S = np.diag([1.0, 1.0, np.sign(np.linalg.det(U @ Vt))])
    R = U @ S @ Vt
    variance = (a**2).sum() / len(a)
    scale = float((D * np.diag(S)).sum() / variance) if with_scale and variance > 0 else 1.0
    return Similarity(scale, R, mean_b - scale * R @ mean_a)


def median_scale(source: NDArray, target: NDArray) -> float:
    """Ratio of the median lengths of paired vectors (..., 3): what turns the unit of `source` into that of `target`."""
    a, b = np.linalg.norm(source, axis=-1), np.linalg.norm(target, axis=-1)
    good = np.isfinite(a) & np.isfinite(b)
    return float(np.median(b[good]) / np.median(a[good]))
