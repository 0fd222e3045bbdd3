"""Normal equations of an adjustment with weighted observations: the points are eliminated, the cameras solved for (Schur complement)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from toolkit.scene import F64
from toolkit.sfm.weighted_problem import Problem

_POINTS_AT_ONCE = 256  # points eliminated together: their block of the normal equations stays small


def _weighted(residuals: F64, c: float) -> tuple[F64, F64]:
    """Residuals with 0 for those behind the camera, and the weight of each by Cauchy's loss."""
    valid = np.all(np.isfinite(residuals), axis=1)
    r = np.where(valid[:, None], residuals, 0)
    return r, valid / (1 + (r**2).sum(axis=1) / (c * c))


class Equations:
    """Normal equations at one place: camera side, point side, and between them."""

    def __init__(self, problem: Problem, residuals: F64, local: F64, c: float) -> None:
        self.problem = problem
        r, weight = _weighted(residuals, c)
        by_pose, by_point, by_lens = problem.jacobians(local)
        root = np.sqrt(weight)[:, None, None]
        self.r = r * root[:, :, 0]
        # A NaN behind the camera has no weight.
        self.A, self.B, self.C = (np.where(root > 0, J * root, 0) for J in (by_pose, by_point, by_lens))
        self.poses = 6 * len(problem.images) if problem.free.poses else 0
        self.size = self.poses + by_lens.shape[2]
        n = len(problem.points)
        self.V = np.zeros((n, 3, 3))
        np.add.at(self.V, problem.point, np.einsum("mki,mkj->mij", self.B, self.B))
        self.b = np.zeros((n, 3))
        np.add.at(self.b, problem.point, np.einsum("mki,mk->mi", self.B, self.r))
        self.U, self.a = self._camera_side()

    def _camera_side(self) -> tuple[F64, F64]:
        p, images = self.problem, len(self.problem.images)
        U, a = np.zeros((self.size, self.size)), np.zeros(self.size)
        lens = slice(self.poses, self.size)
        U[lens, lens] = np.einsum("mki,mkj->ij", self.C, self.C, optimize=True)
        a[lens] = np.einsum("mki,mk->i", self.C, self.r)
        if self.poses:
            blocks, cross, right = np.zeros((images, 6, 6)), np.zeros((images, 6, self.C.shape[2])), np.zeros((images, 6))
            np.add.at(blocks, p.image, np.einsum("mki,mkj->mij", self.A, self.A))
            np.add.at(cross, p.image, np.einsum("mki,mkj->mij", self.A, self.C))
            np.add.at(right, p.image, np.einsum("mki,mk->mi", self.A, self.r))
            for n in range(images):
                here = slice(6 * n, 6 * n + 6)
                U[here, here], U[here, lens], U[lens, here] = blocks[n], cross[n], cross[n].T
            a[: self.poses] = right.ravel()
        return U, a

    def reduced(self, damping: float) -> tuple[F64, F64, F64]:
        """Camera side with the points eliminated (Schur complement), its right side, and the inverse of each point's block."""
        grown = self.V + np.einsum("nii->ni", self.V)[:, :, None] * np.eye(3) * damping + 1e-12 * np.eye(3)
        inverse = np.linalg.inv(grown)
        S, s = self.U.copy(), self.a.copy()
        S[np.diag_indices(self.size)] *= 1 + damping
        for columns, between, first, last in self._between() if self.size else ():
            through = np.einsum("anj,njk->ank", between, inverse[first:last])
            S[np.ix_(columns, columns)] -= through.reshape(len(columns), -1) @ between.reshape(len(columns), -1).T
            s[columns] -= np.einsum("anj,nj->a", through, self.b[first:last])
        return S, s, inverse

    def _between(self):
        """Pieces of points: the columns of the cameras that see them, and (columns, points, 3) the products of both sides."""
        p = self.problem
        lens = np.arange(self.poses, self.size)
        for first in range(0, len(p.points), _POINTS_AT_ONCE):
            last = min(first + _POINTS_AT_ONCE, len(p.points))
            rows = slice(p.starts[first], p.starts[last])
            images, place = np.unique(p.image[rows], return_inverse=True)
            seen = images if self.poses else images[:0]
            columns = np.concatenate([(6 * seen[:, None] + np.arange(6)).ravel(), lens]).astype(np.int64)
            between = np.zeros((len(columns), last - first, 3))
            point = p.point[rows] - first
            if self.poses:
                blocks = np.zeros((len(images), last - first, 6, 3))
                np.add.at(blocks, (place, point), np.einsum("mki,mkj->mij", self.A[rows], self.B[rows]))
                between[: 6 * len(images)] = blocks.transpose(0, 2, 1, 3).reshape(6 * len(images), last - first, 3)
            cross = np.zeros((last - first, len(lens), 3))
            np.add.at(cross, point, np.einsum("mki,mkj->mij", self.C[rows], self.B[rows]))
            between[len(columns) - len(lens) :] = cross.transpose(1, 0, 2)
            yield columns, between, first, last

    def step(self, damping: float) -> tuple[F64, F64]:
        """(cameras, points) by which to move."""
        S, s, inverse = self.reduced(damping)
        kept = np.setdiff1d(np.arange(self.size), self.problem.held)
        cameras = np.zeros(self.size)
        if len(kept):
            block = S[np.ix_(kept, kept)]
            block[np.diag_indices(len(kept))] += 1e-12 * np.trace(block) / len(kept)
            cameras[kept] = -cho_solve(cho_factor(block), s[kept])
        right = self.b.copy()
        for columns, between, first, last in self._between() if self.size else ():
            right[first:last] += np.einsum("anj,a->nj", between, cameras[columns])
        return cameras, -np.einsum("nij,nj->ni", inverse, right)
