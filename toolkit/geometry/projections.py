"""How a pixel of one eye becomes a ray and back: pinhole, equirectangular and fisheye images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.sampling import from_opencv, inside
from toolkit.scene import F64

BoundsOn = Literal["centres", "edges"]
_TABLE = 4096  # samples of a radial model when it is inverted; two Newton steps from there reach 1e-12
_WIDEST_PINHOLE_DEG = 89.0  # half angle; beyond it a pinhole's radius exceeds 57 focal lengths


@runtime_checkable
class Projection(Protocol):
    """One eye's image: which ray each pixel sees.

    Rays live in the eye's axes: x right, y down, z forward.

    Attributes:
        size: (width, height) of that eye's image, in pixels.
    """

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        ...

    def rays(self, xy: NDArray) -> F64:
        """Unit rays (..., 3) seen by continuous pixels (..., 2); NaN outside the image."""
        ...

    def pixels(self, rays: NDArray) -> F64:
        """Continuous pixels (..., 2) that see rays (..., 3) of any length; NaN where a ray is not imaged."""
        ...


@dataclass(frozen=True, eq=False)
class Pinhole:
    """A perspective image, with OpenCV's radial and tangential distortion if any.

    Attributes:
        K: (3, 3) float64 intrinsics for continuous pixels (centre of the top-left pixel at 0.5); see `from_opencv`.
        size: (width, height) in pixels.
        distortion: Nothing, or k1, k2, p1, p2[, k3[, k4, k5, k6]] in OpenCV's order.
    """

    K: F64
    size: tuple[int, int]
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Checks K and the number of coefficients."""
        object.__setattr__(self, "K", _intrinsics(self.K))
        object.__setattr__(self, "size", _size(self.size))
        values = tuple(float(v) for v in np.ravel(self.distortion))
        if len(values) not in (0, 4, 5, 8) or not np.isfinite(values).all():
            raise UserError(f"The lens distortion is {values}, but 0, 4, 5 or 8 numbers (k1 k2 p1 p2 k3 k4 k5 k6) are needed.")
        object.__setattr__(self, "distortion", values)

    @staticmethod
    def from_opencv(K: ArrayLike, size: tuple[int, int], distortion: Sequence[float] = ()) -> Pinhole:
        """A pinhole from a calibration whose origin is the centre of the top-left pixel (OpenCV, ROS, Kalibr, EuRoC, KITTI)."""
        return Pinhole(_shifted(K), size, tuple(distortion))

    def rays(self, xy: NDArray) -> F64:
        """Unit rays (..., 3) seen by continuous pixels (..., 2); NaN outside the image."""
        seen = np.where(inside(xy, self.size)[..., None], xy, np.nan)
        uv = _normalised(seen, self.K)
        if any(self.distortion):
            uv = self._undistort(uv)
        return _unit(np.concatenate([uv, np.ones_like(uv[..., :1])], -1))

    def pixels(self, rays: NDArray) -> F64:
        """Continuous pixels (..., 2) that see rays (..., 3); NaN behind the camera, outside the image or past the lens model's fold."""
        d = np.asarray(rays, np.float64)
        ahead = d[..., 2:] > np.cos(np.deg2rad(_WIDEST_PINHOLE_DEG)) * np.linalg.norm(d, axis=-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            uv = np.where(ahead, d[..., :2] / d[..., 2:], np.nan)
        if any(self.distortion):
            radius = np.hypot(uv[..., 0], uv[..., 1])[..., None]
            uv = self._distort(np.where(radius <= self._radial_table()[0][-1], uv, np.nan))
        return on_image(uv @ self.K[:2, :2].T + self.K[:2, 2], self.size)

    def _coefficients(self) -> tuple[float, ...]:
        return self.distortion + (0.0,) * (8 - len(self.distortion))

    def _radial(self, r2: NDArray) -> NDArray:
        k1, k2, _, _, k3, k4, k5, k6 = self._coefficients()
        return (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))

    def _radial_table(self) -> tuple[NDArray, NDArray]:
        """Radii and their distorted radii, up to where the model stops growing and would image a second ray on the same pixel."""
        r = np.tan(np.linspace(0, np.deg2rad(_WIDEST_PINHOLE_DEG), _TABLE))
        return _growing(r, r * self._radial(r * r))

    def _distort(self, uv: NDArray) -> NDArray:
        _, _, p1, p2, *_ = self._coefficients()
        x, y = uv[..., 0], uv[..., 1]
        r2 = x * x + y * y
        radial = self._radial(r2)
        return np.stack([x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], -1)

    def _undistort(self, uv_distorted: NDArray) -> NDArray:
        r, r_distorted = self._radial_table()
        radius = np.hypot(uv_distorted[..., 0], uv_distorted[..., 1])
        known = np.where(radius <= r_distorted[-1] * 1.05, radius, np.nan)  # tangential terms may reach a little past the radial fold
        scale = np.where(radius > 0, np.interp(known, r_distorted, r) / np.where(radius > 0, radius, 1), 1.0)
        uv = uv_distorted * scale[..., None]
        step = 1e-6  # central differences of a smooth function of size one: exact to 1e-10, and Newton corrects itself
        for _ in range(6):
            error = self._distort(uv) - uv_distorted
            dx = (self._distort(uv + [step, 0]) - self._distort(uv - [step, 0])) / (2 * step)
            dy = (self._distort(uv + [0, step]) - self._distort(uv - [0, step])) / (2 * step)
            det = dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0]
            move_x = (error[..., 0] * dy[..., 1] - error[..., 1] * dy[..., 0]) / det
            move_y = (error[..., 1] * dx[..., 0] - error[..., 0] * dx[..., 1]) / det
            uv = uv - np.stack([move_x, move_y], -1)
        solved = np.abs(self._distort(uv) - uv_distorted).max(-1, keepdims=True) < 1e-9
        within = np.hypot(uv[..., :1], uv[..., 1:]) <= r[-1]
        return np.where(solved & within, uv, np.nan)


@dataclass(frozen=True, eq=False)
class Equirect:
    """A patch of an equirectangular image: columns are steps of yaw, rows steps of tilt.

    Attributes:
        size: (width, height) of the patch, in pixels.
        fov_bounds_deg: yaw of the left and right, tilt of the top and bottom; yaw grows to the right, tilt grows downward.
        bounds_on: Where the bounds sit: on the centres of the first and last pixel (Stereo4D's `fov_bounds`)
            or on the image's edges (`sv3d` boxes, and every 360 viewer).
    """

    size: tuple[int, int]
    fov_bounds_deg: tuple[float, float, float, float] = (-90.0, 90.0, -90.0, 90.0)
    bounds_on: BoundsOn = "edges"

    def __post_init__(self) -> None:
        """Checks that the bounds enclose something."""
        object.__setattr__(self, "size", _size(self.size))
        bounds = tuple(float(v) for v in np.ravel(self.fov_bounds_deg))
        if len(bounds) != 4 or not np.isfinite(bounds).all() or bounds[1] <= bounds[0] or bounds[3] <= bounds[2]:
            raise UserError(f"The field of view is bounded by {bounds}, but yaw from-to and tilt from-to in rising order are needed.")
        if bounds[1] - bounds[0] > 361 or max(abs(bounds[2]), abs(bounds[3])) > 91:
            raise UserError(f"The field of view is bounded by {bounds} degrees, but a sphere has 360 of yaw and tilts between -90 and 90.")
        if self.bounds_on == "centres" and min(self.size) < 2:
            raise UserError(
                f"An image of {self.size[0]} x {self.size[1]} pixels is too small to hold a field of view on its pixel centres."
            )
        object.__setattr__(self, "fov_bounds_deg", bounds)

    def _grid(self) -> tuple[NDArray, NDArray, NDArray]:
        """Yaw and tilt (radians) of the first bound, radians per pixel, and the pixel offset of the first bound."""
        yaw0, yaw1, tilt0, tilt1 = np.deg2rad(self.fov_bounds_deg)
        on_centres = self.bounds_on == "centres"
        steps = np.array(self.size, np.float64) - (1 if on_centres else 0)
        return np.array([yaw0, tilt0]), np.array([yaw1 - yaw0, tilt1 - tilt0]) / steps, np.full(2, 0.5 if on_centres else 0.0)

    def rays(self, xy: NDArray) -> F64:
        """Unit rays (..., 3) seen by continuous pixels (..., 2); NaN outside the image."""
        start, step, offset = self._grid()
        seen = np.where(inside(xy, self.size)[..., None], xy, np.nan)
        angles = start + step * (seen - offset)
        yaw, tilt = angles[..., 0], angles[..., 1]
        return np.stack([np.cos(tilt) * np.sin(yaw), np.sin(tilt), np.cos(tilt) * np.cos(yaw)], -1)

    def pixels(self, rays: NDArray) -> F64:
        """Continuous pixels (..., 2) that see rays (..., 3); NaN outside the bounds."""
        start, step, offset = self._grid()
        d = np.asarray(rays, np.float64)
        middle = start[0] + 0.5 * step[0] * self.size[0] - step[0] * offset[0]
        # Yaw is wrapped about the middle of the patch, so that no bound can lie across the +-180 degree seam.
        yaw = middle + np.remainder(np.arctan2(d[..., 0], d[..., 2]) - middle + np.pi, 2 * np.pi) - np.pi
        tilt = np.arctan2(d[..., 1], np.hypot(d[..., 0], d[..., 2]))  # exact at the poles, where arcsin of 1 + 1e-16 is not a number
        return on_image((np.stack([yaw, tilt], -1) - start) / step + offset, self.size)


@dataclass(frozen=True, eq=False)
class Fisheye:
    """OpenCV's fisheye model: the distance from the centre is a polynomial of the angle from the axis, past 90 degrees too.

    Attributes:
        K: (3, 3) float64 intrinsics for continuous pixels (centre of the top-left pixel at 0.5); see `from_opencv`.
        distortion: k1..k4 of theta * (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8), theta in radians.
        size: (width, height) in pixels.
        half_angle_deg: Rays farther from the axis are not imaged: the rim of the image circle.
    """

    K: F64
    distortion: tuple[float, float, float, float]
    size: tuple[int, int]
    half_angle_deg: float = 180.0

    def __post_init__(self) -> None:
        """Checks K and the number of coefficients."""
        object.__setattr__(self, "K", _intrinsics(self.K))
        object.__setattr__(self, "size", _size(self.size))
        values = tuple(float(v) for v in np.ravel(self.distortion))
        if len(values) != 4 or not np.isfinite(values).all():
            raise UserError(f"The fisheye distortion is {values}, but the four numbers k1 k2 k3 k4 are needed.")
        object.__setattr__(self, "distortion", values)
        if not 0 < self.half_angle_deg <= 180:
            raise UserError(
                f"The fisheye sees {self.half_angle_deg} degrees from its axis, but a number up to 180 is needed (VR180: 90 to 110)."
            )

    @staticmethod
    def from_opencv(K: ArrayLike, distortion: Sequence[float], size: tuple[int, int], half_angle_deg: float = 180.0) -> Fisheye:
        """A fisheye from a calibration whose origin is the centre of the top-left pixel (OpenCV, Kalibr's "equidistant")."""
        return Fisheye(_shifted(K), tuple(distortion), size, half_angle_deg)  # type: ignore[arg-type]

    def rays(self, xy: NDArray) -> F64:
        """Unit rays (..., 3) seen by continuous pixels (..., 2); NaN outside the image or its circle."""
        seen = np.where(inside(xy, self.size)[..., None], xy, np.nan)
        uv = _normalised(seen, self.K)
        radius = np.hypot(uv[..., 0], uv[..., 1])
        angle, distance = self._table()
        theta = np.interp(np.where(radius <= distance[-1], radius, np.nan), distance, angle)
        for _ in range(3):
            theta = theta - (self._distance(theta) - radius) / self._slope(theta)
        direction = uv / np.where(radius > 0, radius, 1)[..., None]
        return np.concatenate([direction * np.sin(theta)[..., None], np.cos(theta)[..., None]], -1)

    def pixels(self, rays: NDArray) -> F64:
        """Continuous pixels (..., 2) that see rays (..., 3); NaN outside the image or its circle."""
        d = np.asarray(rays, np.float64)
        across = np.hypot(d[..., 0], d[..., 1])
        theta = np.arctan2(across, d[..., 2])
        theta = np.where(theta <= self._table()[0][-1], theta, np.nan)
        uv = d[..., :2] * (self._distance(theta) / np.where(across > 0, across, 1))[..., None]
        return on_image(uv @ self.K[:2, :2].T + self.K[:2, 2], self.size)

    def _distance(self, theta: NDArray) -> NDArray:
        t2 = theta * theta
        k1, k2, k3, k4 = self.distortion
        return theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))

    def _slope(self, theta: NDArray) -> NDArray:
        t2 = theta * theta
        k1, k2, k3, k4 = self.distortion
        return 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))

    def _table(self) -> tuple[NDArray, NDArray]:
        """Angles and their distances, up to the rim or to where the polynomial stops growing."""
        angle = np.linspace(0, np.deg2rad(self.half_angle_deg), _TABLE)
        return _growing(angle, self._distance(angle))


def _growing(at: NDArray, value: NDArray) -> tuple[NDArray, NDArray]:
    """The part of a function, given by samples from 0, before it first stops growing."""
    falls = np.flatnonzero(np.diff(value) <= 0)
    end = falls[0] + 1 if len(falls) else len(at)
    return at[:end], value[:end]


def _normalised(xy: NDArray, K: F64) -> F64:
    return (np.asarray(xy, np.float64) - K[:2, 2]) @ np.linalg.inv(K[:2, :2]).T


def on_image(xy: NDArray, size: tuple[int, int]) -> F64:
    """Pixels (..., 2) with NaN outside the image; those of its very border stay despite rounding."""
    close = inside(xy, size, margin=-1e-7)
    return np.where(close[..., None], np.clip(xy, 0, size), np.nan)


def _unit(v: NDArray) -> F64:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def _shifted(K: ArrayLike) -> F64:
    K = np.array(K, np.float64)
    K[:2, 2] = from_opencv(K[:2, 2])
    return K


def _intrinsics(K: ArrayLike) -> F64:
    K = np.array(K, np.float64)
    if K.shape != (3, 3) or not np.isfinite(K).all() or K[0, 0] <= 0 or K[1, 1] <= 0:
        raise UserError(f"The intrinsics are {K.tolist()}, but a 3 x 3 matrix with positive focal lengths in pixels is needed.")
    return K


def _size(size: tuple[int, int]) -> tuple[int, int]:
    width, height = (int(v) for v in size)
    if width < 1 or height < 1:
        raise UserError(f"An image of {width} x {height} pixels cannot hold a picture.")
    return width, height
