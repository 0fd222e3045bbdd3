"""A stereo rig: two projections, how each eye is turned against the rectified pair, and how both share a frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.geometry.poses import nearest_rotation
from toolkit.geometry.projections import BoundsOn, Equirect, Projection
from toolkit.scene import F64, U8

Layout = Literal["side-by-side", "top-bottom", "separate"]
_ROTATION_TOLERANCE = 1e-2  # released rotations are rounded; farther from orthonormal is a different kind of matrix


@dataclass(frozen=True, eq=False)
class StereoRig:
    """Two eyes that film together.

    The rectified frame of an eye has its x axis along the baseline, so a point appears on the same row in both eyes.

    Attributes:
        left: Raw image of the left eye.
        right: Raw image of the right eye.
        R_left: (3, 3) rotation that takes a ray of the rectified eye frame to the raw eye frame (Stereo4D's `rectified2rig[0]`).
        R_right: The same for the right eye (`rectified2rig[1]`).
        baseline_m: Distance between the two eyes, in metres; the right eye sits at +x of the left one.
        layout: How a frame holds both eyes; "separate" when each eye has images of its own.
        swapped: True when the frame's first half (left or top) belongs to the right eye.
    """

    left: Projection
    right: Projection
    R_left: F64
    R_right: F64
    baseline_m: float
    layout: Layout
    swapped: bool = False

    def __post_init__(self) -> None:
        """Checks that both matrices are rotations and the baseline is a distance."""
        for name in ("R_left", "R_right"):
            R = np.array(getattr(self, name), np.float64)
            good = R.shape == (3, 3) and np.isfinite(R).all() and np.linalg.det(R) > 0
            if not good or np.abs(R @ R.T - np.eye(3)).max() > _ROTATION_TOLERANCE:
                raise UserError(f"{name} is {R.tolist()}, but a 3 x 3 rotation matrix is needed.")
            object.__setattr__(self, name, nearest_rotation(R))
        if not (np.isfinite(self.baseline_m) and self.baseline_m > 0):
            raise UserError(f"The baseline is {self.baseline_m} m, but a positive distance is needed (VR180: 0.063).")
        if self.layout not in ("side-by-side", "top-bottom", "separate"):
            raise UserError(f"The layout is {self.layout!r}, but side-by-side, top-bottom or separate is needed.")

    def split(self, frame: U8 | tuple[U8, U8]) -> tuple[U8, U8]:
        """(left, right) views of one frame: its halves by `layout`, or the given pair when the eyes are separate."""
        if self.layout == "separate":
            if not (isinstance(frame, tuple | list) and len(frame) == 2):
                raise UserError("The eyes of this rig have images of their own, but one image came where a pair (left, right) is needed.")
            first, second = frame
        elif isinstance(frame, tuple | list):
            raise UserError(f"This rig holds both eyes in one frame ({self.layout}), but a pair of images came.")
        else:
            first, second = split_halves(frame, self.layout)
        return (second, first) if self.swapped else (first, second)

    def with_swapped_eyes(self) -> StereoRig:
        """The rig for the same file when its halves turn out to be the other way round."""
        return replace(self, swapped=not self.swapped)


def split_halves(frame: U8, layout: Literal["side-by-side", "top-bottom"]) -> tuple[U8, U8]:
    """The two halves (views) of an (H, W, ...) frame; an odd last column or row is left out."""
    axis = 1 if layout == "side-by-side" else 0
    half = frame.shape[axis] // 2
    if half < 1:
        raise UserError(f"A frame of {frame.shape[1]} x {frame.shape[0]} pixels has no two halves ({layout}).")
    return (frame[:, :half], frame[:, half : 2 * half]) if axis == 1 else (frame[:half], frame[half : 2 * half])


def eye_size(frame_size: tuple[int, int], layout: Layout) -> tuple[int, int]:
    """(width, height) of one eye in a (width, height) frame.

    >>> eye_size((3840, 1920), "side-by-side")
    (1920, 1920)
    """
    width, height = frame_size
    return (width // 2 if layout == "side-by-side" else width, height // 2 if layout == "top-bottom" else height)


def default_vr180_rig(
    frame_size: tuple[int, int],
    layout: Layout,
    fov_bounds_deg: tuple[float, float, float, float] = (-90.0, 90.0, -90.0, 90.0),
    baseline_m: float = 0.063,
    *,
    bounds_on: BoundsOn = "edges",
) -> StereoRig:
    """The rig of a published VR180 file without calibration: two parallel equirectangular half spheres.

    Args:
        frame_size: (width, height) of a whole frame, in pixels.
        layout: How the frame holds both eyes.
        fov_bounds_deg: yaw from-to and tilt from-to of each eye, tilt growing downward.
        baseline_m: Distance between the eyes, in metres; VR180 asks for that of human eyes.
        bounds_on: Whether the bounds sit on the image's edges or on the centres of its border pixels.
    """
    eye = Equirect(eye_size(frame_size, layout), fov_bounds_deg, bounds_on)
    return StereoRig(eye, eye, np.eye(3), np.eye(3), baseline_m, layout)


def rig_from_extrinsics(left: Projection, right: Projection, T_left_from_right: NDArray) -> StereoRig:
    """The rig of two calibrated cameras, with the rectifying rotations of Fusiello, Trucco and Verri (2000).

    The rectified x axis is the baseline, the view direction the mean of both cameras' as far as the baseline allows.

    Args:
        left: Image of the left camera.
        right: Image of the right camera.
        T_left_from_right: (4, 4) or (3, 4) pose of the right camera in the left camera's frame, in metres: the translation is the
            right camera's centre. From EuRoC's `T_BS`: `inv(T_BS_left) @ T_BS_right`; from OpenCV's R, T: `inv([R | T])`.

    Raises:
        UserError: the two centres coincide, the cameras look opposite ways, or the right one lies in front of the left one rather than
            beside it.
    """
    T = np.asarray(T_left_from_right, np.float64)
    if T.shape not in ((4, 4), (3, 4)) or not np.isfinite(T).all():
        raise UserError(f"The pose of the right camera has shape {T.shape}, but finite numbers of shape (4, 4) are needed.")
    R, centre = nearest_rotation(T[:3, :3]), T[:3, 3]
    baseline = float(np.linalg.norm(centre))
    if baseline <= 0:
        raise UserError("Both cameras of the rig sit at the same place, but a stereo pair needs a distance between them.")
    x = centre / baseline
    forward = np.array([0.0, 0.0, 1.0]) + R[:, 2]
    if np.linalg.norm(forward) < 0.1:
        raise UserError("The two cameras of the rig look opposite ways, but a stereo pair looks at the same things.")
    across = np.linalg.norm(np.cross(forward, x))
    if across < 0.1 * np.linalg.norm(forward):
        raise UserError("One camera of the rig sits in front of the other, but a stereo pair needs them side by side.")
    y = np.cross(forward, x) / across
    R_left = np.stack([x, y, np.cross(x, y)], axis=1)  # columns: the rectified axes in the left camera's frame
    return StereoRig(left, right, R_left, R.T @ R_left, baseline, "separate")
