"""A model as arrays, for an adjustment with a weight for every observation: residuals, their derivatives, and what a step changes."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from toolkit.scene import F64, I64

if TYPE_CHECKING:
    import pycolmap


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


class Problem:
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


def _through(camera: pycolmap.Camera, params: F64, local: F64) -> F64:
    camera.params = params.tolist()
    return np.asarray(camera.img_from_cam(local), np.float64).reshape(-1, 2)
