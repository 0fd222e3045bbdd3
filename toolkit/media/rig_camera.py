"""One calibrated camera of a rig, as its calibration file tells it, and which recording it belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.errors import UserError
from toolkit.geometry.projections import Fisheye, Pinhole
from toolkit.scene import F64

PADDING_PX = 16  # codecs pad frames to whole blocks; a calibration made before that differs by less
SAME_SHAPE = 0.004  # relative difference of both scales up to which a picture was only enlarged or reduced


@dataclass(frozen=True, eq=False)
class RigCamera:
    """A camera of a rig.

    Attributes:
        names: What it is called: the file of its recording, its section in the calibration, its number.
        K: (3, 3) or (T, 3, 3) float64 intrinsics for continuous pixels.
        T_wc: (4, 4) or (T, 4, 4) float64 world-from-camera.
        size: (width, height) of the calibrated picture; None where the file does not tell.
        distortion: OpenCV's coefficients; none for none.
        fisheye: Whether these are the four of OpenCV's fisheye model.
    """

    names: tuple[str, ...]
    K: F64
    T_wc: F64
    size: tuple[int, int] | None = None
    distortion: tuple[float, ...] = ()
    fisheye: bool = False

    def lens(self, size: tuple[int, int]) -> Pinhole | Fisheye:
        """The lens for pictures of (width, height).

        Raises:
            UserError: K is for pictures of another shape.
        """
        K = self.K[0] if self.K.ndim == 3 else self.K
        scale = self.scale_to(size)
        K = np.diag([*scale, 1.0]) @ K
        if self.fisheye:
            return Fisheye(K, (*self.distortion, 0.0, 0.0, 0.0, 0.0)[:4], size)  # type: ignore[arg-type]
        return Pinhole(K, size, self.distortion if any(self.distortion) else ())

    def scale_to(self, size: tuple[int, int]) -> tuple[float, float]:
        """By how much pixels of the calibration are multiplied, across and down, for pictures of (width, height).

        Raises:
            UserError: the calibrated picture has another shape.
        """
        if self.size is None or self.size == size:
            return 1.0, 1.0
        if max(abs(a - b) for a, b in zip(size, self.size, strict=True)) <= PADDING_PX:
            return 1.0, 1.0
        across, down = size[0] / self.size[0], size[1] / self.size[1]
        if abs(across / down - 1) > SAME_SHAPE:
            raise UserError(
                f"The calibration of camera {self.names[0]} is for pictures of {self.size[0]} x {self.size[1]} px, but its recording has "
                f"{size[0]} x {size[1]}, which is another shape; calibrate at the recorded size, or bring the uncropped recording."
            )
        return across, down


def plain(name: str) -> str:
    """A name without case, separators and leading zeros, so that cam_01 and Cam1 are one."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[^a-z0-9]", "", name.lower()))


def matched(cameras: Sequence[RigCamera], recordings: Sequence[str]) -> list[tuple[int, int]]:
    """(recording, camera) pairs, in the order of the recordings: by name, else by the one number in both names.

    Recordings without a camera are left out, such as clips of a calibration board that lie beside the views.
    """
    names = [{plain(name) for name in camera.names} for camera in cameras]
    found: dict[int, int] = {}
    for r, recording in enumerate(recordings):
        for c, known in enumerate(names):
            if c not in found.values() and plain(recording) in known:
                found[r] = c
                break
    if not found:  # only then, for "cam1" beside "side_cam1_board" would be taken
        for r, recording in enumerate(recordings):
            number = _number(recording)
            for c, camera in enumerate(cameras):
                if number is not None and c not in found.values() and number in {_number(name) for name in camera.names}:
                    found[r] = c
                    break
    return sorted(found.items())


def _number(name: str) -> int | None:
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers else None
