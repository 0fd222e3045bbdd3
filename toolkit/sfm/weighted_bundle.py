"""Bundle adjustment in which every observation has a weight of its own (COLMAP's takes all for equally sure)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from toolkit.scene import F64, I64
from toolkit.sfm.colmap import load_pycolmap

if TYPE_CHECKING:
    import pycolmap

_POINTS_AT_ONCE = 256  # points eliminated together: their block of the normal equations stays small


@dataclass(frozen=True)
class WeightedOptions:
    """How the weighted adjustment goes.

    Attributes:
        cauchy_sigmas: Residuals beyond so many standard deviations hardly count; Cauchy's loss then loses 5 % against least squares.
        farthest_sigmas: Observations further off are dropped.
        steps: Most steps.
        tolerance: Smallest relative gain of a step that is worth another one.
    """

    cauchy_sigmas: float = 2.385
    farthest_sigmas: float = 4.0
    steps: int = 20
    tolerance: float = 1e-5


@dataclass(frozen=True)
class Freedom:
    """What is refined.

    Attributes:
        poses: The camera poses; points alone otherwise.
        lens: Focal lengths and distortion.
        centre: Principal points, where `lens` is.
    """

    poses: bool = True
    lens: bool = True
    centre: bool = False


@dataclass(frozen=True, eq=False)
class Solved:
    """Result of a weighted adjustment.

    Attributes:
        scale: Robust standard deviation of the residuals over what was expected: 1 where the expected ones are true.
        pose_covariance: By image number (6, 6), rotation then translation of camera-from-world; none for the two cameras that were held.
        dropped: Observations that were dropped.
    """

    scale: float
    pose_covariance: dict[int, F64]
    dropped: int


class _Problem:
    """A model as arrays: poses, points, lenses, and the observations sorted by point."""

    def __init__(self, model: pycolmap.Reconstruction, sigmas: Mapping[int, F64], free: Freedom) -> None:
        self.images = sorted(model.reg_image_ids())
        self.points = sorted(model.points3D)
        self.cameras = {c: copy(model.camera(c)) for c in sorted({model.image(i).camera_id for i in self.images})}
        row = {image: n for n, image in enumerate(self.images)}
        elements = [(p, e.image_id, e.point2D_idx) for p, number in enumerate(self.points) for e in model.point3D(number).track.elements]
        table = np.array(elements, np.int64).reshape(-1, 3)
        self.point, self.index = table[:, 0], table[:, 2]
        self.image: I64 = np.array([row[i] for i in table[:, 1].tolist()], np.int64)
        self.xy, self.sigma = np.empty((len(table), 2)), np.empty(len(table))
        for image in self.images:
            here = self.image == row[image]
            places = np.array([p.xy for p in model.image(image).points2D]).reshape(-1, 2)
            self.xy[here], self.sigma[here] = places[self.index[here]], sigmas[image][self.index[here]]
        pose = np.array([model.image(i).cam_from_world().matrix() for i in self.images])
        self.R, self.t = pose[:, :, :3].copy(), pose[:, :, 3].copy()
        self.X = np.array([model.point3D(p).xyz for p in self.points]).reshape(-1, 3)
        self.lens = {c: np.array(camera.params) for c, camera in self.cameras.items()}
        self.camera_of = np.array([model.image(i).camera_id for i in self.images])[self.image]
        self.free = free
        self.columns = self._columns()
        self.starts = np.searchsorted(self.point, np.arange(len(self.points) + 1))

    def _columns(self) -> dict[int, list[int]]:
        """Of each camera the parameters that are refined."""
        chosen = {}
        for number, camera in self.cameras.items():
            centre = set(camera.principal_point_idxs())
            chosen[number] = [k for k in range(len(camera.params)) if self.free.lens and (self.free.centre or k not in centre)]
        return chosen

    @property
    def held(self) -> I64:
        """Columns of the camera side that stay: the pose that sees most, and the way to the farthest camera along its largest axis."""
        if not self.free.poses or len(self.images) < 2:
            return np.empty(0, np.int64)
        held = int(np.bincount(self.image, minlength=len(self.images)).argmax())
        centre = -self.R[held].T @ self.t[held]
        way = np.einsum("nij,j->ni", self.R, centre) + self.t  # the held centre seen by each camera
        farthest = int(np.linalg.norm(way, axis=1).argmax())
        return np.append(6 * held + np.arange(6), 6 * farthest + 3 + int(abs(way[farthest]).argmax()))

    def project(self) -> tuple[F64, F64]:
        """(M, 2) residuals in standard deviations, NaN behind the camera, and (M, 3) points in the cameras."""
        local = np.einsum("mij,mj->mi", self.R[self.image], self.X[self.point]) + self.t[self.image]
        xy = np.full((len(local), 2), np.nan)
        front = local[:, 2] > 1e-9
        for number, camera in self.cameras.items():
            here = front & (self.camera_of == number)
            xy[here] = _through(camera, self.lens[number], local[here])
        return (xy - self.xy) / self.sigma[:, None], local

    def jacobians(self, local: F64) -> tuple[F64, F64, F64]:
        """Derivatives in standard deviations: (M, 2, 6) by the pose, (M, 2, 3) by the point, (M, 2, P) by the lens, cameras in a row."""
        by_local = np.zeros((len(local), 2, 3))
        offsets = np.cumsum([0, *(len(c) for c in self.columns.values())])
        by_lens = np.zeros((len(local), 2, offsets[-1]))
        front = local[:, 2] > 1e-9
        for (number, camera), first in zip(self.cameras.items(), offsets, strict=False):
            here = np.flatnonzero(front & (self.camera_of == number))
            at, params = local[here], self.lens[number]
            step = 1e-5 * at[:, 2]
            for axis in range(3):
                move = np.zeros_like(at)
                move[:, axis] = step
                change = _through(camera, params, at + move) - _through(camera, params, at - move)
                by_local[here, :, axis] = change / (2 * step[:, None])
            for n, k in enumerate(self.columns[number]):
                small = 1e-5 * max(1.0, abs(params[k]))
                more, less = params.copy(), params.copy()
                more[k] += small
                less[k] -= small
                by_lens[here, :, first + n] = (_through(camera, more, at) - _through(camera, less, at)) / (2 * small)
        weight = 1 / self.sigma[:, None, None]
        by_local *= weight
        by_pose = np.empty((len(local), 2, 6))
        by_pose[:, :, :3] = -np.cross(by_local, local[:, None, :])  # J (w x p) = -(J x p) w, row by row
        by_pose[:, :, 3:] = by_local
        return by_pose, by_local @ self.R[self.image], by_lens * weight

    def moved(self, cameras: F64, points: F64) -> tuple[F64, F64, F64, dict[int, F64]]:
        """R, t, X and lenses after a step."""
        poses = 6 * len(self.images) if self.free.poses else 0
        R, t = self.R, self.t
        if poses:
            step = cameras[:poses].reshape(-1, 6)
            turn = Rotation.from_rotvec(step[:, :3]).as_matrix()
            R, t = turn @ R, np.einsum("nij,nj->ni", turn, t) + step[:, 3:]
        lens, at = {}, poses
        for number, columns in self.columns.items():
            lens[number] = self.lens[number].copy()
            lens[number][columns] += cameras[at : at + len(columns)]
            at += len(columns)
        return R, t, self.X + points, lens


def adjust(model: pycolmap.Reconstruction, sigmas: Mapping[int, F64], free: Freedom, options: WeightedOptions) -> Solved:
    """Refines a converged model in place with the weights of its observations: Gauss-Newton with damping, points eliminated.

    Residuals over their standard deviations go through Cauchy's loss; those far off are dropped, and the rest is adjusted once more.

    Args:
        model: Refined without weights already; outliers are left.
        sigmas: By image number, (K,) standard deviation per axis of its features, in pixels.
        free: What is refined.
        options: How.
    """
    problem = _Problem(model, sigmas, free)
    scale = _solve(problem, options)
    dropped = _drop(model, problem, scale, options)
    problem = _Problem(model, sigmas, free)
    scale = _solve(problem, options)
    _store(model, problem)
    return Solved(scale, _covariance(problem, scale, options), dropped)


def _through(camera: pycolmap.Camera, params: F64, local: F64) -> F64:
    camera.params = params.tolist()
    return np.asarray(camera.img_from_cam(local), np.float64).reshape(-1, 2)


def _robust_scale(residuals: F64, problem: _Problem) -> float:
    """Standard deviation per axis of residuals, by their median length; they are smaller than errors, as what is refined follows them."""
    length = np.linalg.norm(residuals, axis=1)
    length = length[np.isfinite(length)]
    if len(length) == 0:
        return 1.0
    fitted = 3 * len(problem.points) + (6 * len(problem.images) if problem.free.poses else 0)
    return max(1e-6, float(np.median(length)) / 1.1774 / max(0.3, 1 - fitted / (2 * len(length))) ** 0.5)


def _cost(residuals: F64, c: float) -> float:
    r2 = np.where(np.isfinite(residuals), residuals, 1e6) ** 2
    return float(c * c * np.log1p(r2.sum(axis=1) / (c * c)).sum())


def _weighted(residuals: F64, c: float) -> tuple[F64, F64]:
    """Residuals with 0 for those behind the camera, and the weight of each by Cauchy's loss."""
    valid = np.all(np.isfinite(residuals), axis=1)
    r = np.where(valid[:, None], residuals, 0)
    return r, valid / (1 + (r**2).sum(axis=1) / (c * c))


def _solve(problem: _Problem, options: WeightedOptions) -> float:
    """Steps until nothing is gained; the robust scale is taken anew at each."""
    damping = 1e-6
    scale = 1.0
    for _ in range(options.steps):
        residuals, local = problem.project()
        scale = _robust_scale(residuals, problem)
        c = options.cauchy_sigmas * scale
        before = _cost(residuals, c)
        gain = 0.0
        equations = _Equations(problem, residuals, local, c)
        for _ in range(8):
            step = equations.step(damping)
            kept = problem.R, problem.t, problem.X, problem.lens
            problem.R, problem.t, problem.X, problem.lens = problem.moved(*step)
            gain = before - _cost(problem.project()[0], c)
            if gain > 0:
                damping = max(1e-9, damping / 5)
                break
            problem.R, problem.t, problem.X, problem.lens = kept
            damping *= 10
        if gain <= options.tolerance * before:
            break
    return scale


class _Equations:
    """Normal equations at one place: camera side, point side, and between them."""

    def __init__(self, problem: _Problem, residuals: F64, local: F64, c: float) -> None:
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


def _drop(model: pycolmap.Reconstruction, problem: _Problem, scale: float, options: WeightedOptions) -> int:
    """Drops observations that are too far off for how sure they are, with the points that fewer than two photos then see."""
    _store(model, problem)
    residuals, _ = problem.project()
    length = np.linalg.norm(residuals, axis=1)
    far = ~(length <= options.farthest_sigmas * scale)
    for m in np.flatnonzero(far).tolist():
        image = model.image(problem.images[problem.image[m]])
        if image.points2D[problem.index[m]].has_point3D():  # its point is not gone yet
            model.delete_observation(problem.images[problem.image[m]], int(problem.index[m]))
    return int(far.sum())


def _store(model: pycolmap.Reconstruction, problem: _Problem) -> None:
    colmap = load_pycolmap()
    for n, image in enumerate(problem.images):
        pose = colmap.Rigid3d(np.column_stack([problem.R[n], problem.t[n]]))
        model.image(image).frame.set_cam_from_world(model.image(image).camera_id, pose)  # type: ignore[union-attr]
    for n, point in enumerate(problem.points):
        if model.exists_point3D(point):
            model.point3D(point).xyz = problem.X[n]
    for number, params in problem.lens.items():
        model.camera(number).params = params.tolist()


def _covariance(problem: _Problem, scale: float, options: WeightedOptions) -> dict[int, F64]:
    if not problem.free.poses:
        return {}
    residuals, local = problem.project()
    S, _, _ = _Equations(problem, residuals, local, options.cauchy_sigmas * scale).reduced(0.0)
    held = problem.held
    kept = np.setdiff1d(np.arange(len(S)), held)
    try:
        inverse = np.full_like(S, np.nan)
        inverse[np.ix_(kept, kept)] = cho_solve(cho_factor(S[np.ix_(kept, kept)]), np.eye(len(kept)))
    except np.linalg.LinAlgError:  # a camera that nothing holds: nobody knows how sure any is
        return {}
    blocks = {image: scale**2 * inverse[6 * n : 6 * n + 6, 6 * n : 6 * n + 6] for n, image in enumerate(problem.images)}
    return {image: block for image, block in blocks.items() if np.isfinite(block).all()}
