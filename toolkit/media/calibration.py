"""Calibration files of stereo rigs: EuRoC sensor.yaml, KITTI calib_cam_to_cam.txt, OpenCV's stereo YAML and XML, Middlebury calib.txt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from toolkit.errors import UserError
from toolkit.geometry.poses import invert
from toolkit.geometry.projections import Fisheye, Pinhole, Projection
from toolkit.geometry.rig import StereoRig, rig_from_extrinsics
from toolkit.media.structured_text import read_text, read_yaml
from toolkit.scene import F64


@dataclass(frozen=True, eq=False)
class StereoCalibration:
    """What a calibration tells about a pair.

    Attributes:
        rig: For pictures that still need rectifying; None for rectified ones.
        K: (3, 3) intrinsics of rectified pictures, continuous pixels; None where `rig` is given.
        baseline_m: Distance between the eyes in metres.
        doffs_px: x of the right principal point minus that of the left one, for rectified pictures.
        path: The file it came from.
    """

    rig: StereoRig | None
    K: F64 | None
    baseline_m: float
    doffs_px: float
    path: str


def find_calibration(folder: Path, left: Path, right: Path, size: tuple[int, int]) -> StereoCalibration | None:
    """The calibration that lies beside a pair; None where there is none.

    Args:
        folder: The folder that holds the pair.
        left: Folder or file of the left camera.
        right: Folder or file of the right camera.
        size: (width, height) of the pictures in pixels.

    Raises:
        UserError: a calibration file that can't be read, that is for pictures of another size, or that does not tell which camera is which.
    """
    if (left / "sensor.yaml").is_file() and (right / "sensor.yaml").is_file():
        return read_euroc(left / "sensor.yaml", right / "sensor.yaml", size)
    for place in (folder, folder.parent):
        kitti = place / "calib_cam_to_cam.txt"
        number = re.search(r"(\d+)$", left.name), re.search(r"(\d+)$", right.name)
        if kitti.is_file() and number[0] and number[1]:
            return read_kitti(kitti, int(number[0].group(1)), int(number[1].group(1)), size)
        if kitti.is_file() and place == folder:
            told = sorted(int(name[2:]) for name in _named_numbers(kitti) if re.fullmatch(r"S_\d+", name))
            if len(told) == 2:  # noqa: PLR2004 (no doubt which are meant)
                return read_kitti(kitti, told[0], told[1], size)
            raise UserError(
                f"{kitti.name} is of {len(told)} cameras, and {left.name!r} and {right.name!r} do not tell which two are meant: "
                "name them image_00 and image_01, or whatever numbers they have there."
            )
    if (folder / "calib.txt").is_file():
        return read_middlebury(folder / "calib.txt", size)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".yaml", ".yml", ".xml") and path.is_file():
            found = read_opencv(path, size)
            if found is not None:
                return found
    return None


def read_euroc(left: Path, right: Path, pictures: tuple[int, int] | None = None) -> StereoCalibration:
    """A raw rig from the two `sensor.yaml` files of the ASL format (EuRoC, TUM VI): T_BS, intrinsics, distortion.

    The `pictures` may be reduced copies, with a (width, height) of the same shape; the rig keeps the size that was filmed.
    """
    eyes: list[Projection] = []
    poses = []
    for path in (left, right):
        try:
            content = read_yaml(path)
            pose = np.asarray(content["T_BS"]["data"], np.float64).reshape(4, 4)
            fu, fv, cu, cv = (float(v) for v in content["intrinsics"])
            size = (int(content["resolution"][0]), int(content["resolution"][1]))
            model = str(content.get("distortion_model", "none"))
            distortion = [float(v) for v in content.get("distortion_coefficients", [])]
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise UserError(f"{path} is not a camera calibration in EuRoC's form (T_BS, intrinsics, resolution).") from error
        if not np.isfinite(pose).all():
            raise UserError(f"{path} has a T_BS of {pose.ravel().tolist()}, but finite numbers are needed.")
        if pictures is not None and abs(size[0] * pictures[1] - size[1] * pictures[0]) > max(*size, *pictures):  # by more than a pixel
            raise UserError(_other_size(path, size, pictures))
        K = np.array([[fu, 0, cu], [0, fv, cv], [0, 0, 1]])
        if model in ("equidistant", "fisheye"):
            eyes.append(Fisheye.from_opencv(K, distortion, size))
        elif model in ("radial-tangential", "radtan", "plumb_bob", "none"):
            eyes.append(Pinhole.from_opencv(K, size, distortion))
        else:
            raise UserError(f"{path} names the distortion model {model!r}, but radial-tangential or equidistant is needed.")
        poses.append(pose)
    rig = rig_from_extrinsics(eyes[0], eyes[1], invert(poses[0]) @ poses[1])
    return StereoCalibration(rig, None, rig.baseline_m, 0.0, str(left))


def read_kitti(path: Path, left: int, right: int, size: tuple[int, int]) -> StereoCalibration:
    """A pair of KITTI raw from calib_cam_to_cam.txt: rectified where the pictures have the rectified size, else raw."""
    entries = _named_numbers(path)

    def numbers(name: str, camera: int, count: int) -> F64:
        values = entries.get(f"{name}_{camera:02d}")
        if values is None or len(values) != count or not np.isfinite(values).all():
            raise UserError(f"{path.name} has no {name}_{camera:02d} with {count} finite numbers.")
        return values

    if tuple(np.round(numbers("S_rect", left, 2)).astype(int)) == size:
        P_left, P_right = numbers("P_rect", left, 12).reshape(3, 4), numbers("P_rect", right, 12).reshape(3, 4)
        # P = K [I | t]: the right camera's centre is at -t.
        baseline = P_left[0, 3] / P_left[0, 0] - P_right[0, 3] / P_right[0, 0]
        K = P_left[:, :3].copy()
        K[:2, 2] += 0.5
        return StereoCalibration(None, K, _positive(baseline, path), P_right[0, 2] - P_left[0, 2], str(path))
    eyes, poses = [], []
    for camera in (left, right):
        raw_size = tuple(int(v) for v in np.round(numbers("S", camera, 2)))
        if raw_size != size:
            raise UserError(_other_size(path, raw_size, size))
        eyes.append(Pinhole.from_opencv(numbers("K", camera, 9).reshape(3, 3), size, numbers("D", camera, 5)))  # type: ignore[arg-type]
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = numbers("R", camera, 9).reshape(3, 3), numbers("T", camera, 3)
        poses.append(T)
    rig = rig_from_extrinsics(eyes[0], eyes[1], poses[0] @ invert(poses[1]))
    return StereoCalibration(rig, None, rig.baseline_m, 0.0, str(path))


def read_middlebury(path: Path, size: tuple[int, int] | None = None) -> StereoCalibration:
    """A rectified pair from Middlebury's calib.txt: cam0=[f 0 cx; 0 f cy; 0 0 1], doffs in pixels, baseline in millimetres.

    The (width, height) of the file, where it tells one, must be the pictures' own `size`: there are halves and quarters of each scene.
    """
    text = read_text(path)
    values = dict(re.findall(r"^(\w+)=(.+)$", text, re.MULTILINE))
    try:
        K = np.array([[float(v) for v in row.split()] for row in values["cam0"].strip("[] ").split(";")]).reshape(3, 3)
        baseline, doffs = float(values["baseline"]) / 1000, float(values.get("doffs", 0))
        told = (int(values["width"]), int(values["height"])) if "width" in values and "height" in values else None
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} is not a calibration in Middlebury's form (cam0, doffs, baseline).") from error
    if told is not None and size is not None and told != size:
        raise UserError(_other_size(path, told, size))
    K[:2, 2] += 0.5
    return StereoCalibration(None, K, _positive(baseline, path), doffs, str(path))


def read_opencv(path: Path, size: tuple[int, int]) -> StereoCalibration | None:
    """A raw rig from a file that cv2.stereoCalibrate's results were stored in; None where the file is something else.

    Names as OpenCV's samples write them: M1 D1 M2 D2 R T, or K1/cameraMatrix1, distCoeffs1 and so on. T is taken as metres,
    or as millimetres where it is longer than 10.
    """
    try:
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    except (cv2.error, SystemError):  # OpenCV's binding wraps its own parse errors
        return None
    try:
        found = {}
        for name, spellings in _OPENCV_NAMES.items():
            for spelling in spellings:
                node = storage.getNode(spelling)
                if not node.empty() and (value := node.mat()) is not None:
                    found[name] = np.asarray(value, np.float64)
                    break
    except cv2.error:
        return None
    finally:
        storage.release()
    if not {"K1", "K2", "R", "T"} <= found.keys():
        return None
    if found["R"].size == 3:
        found["R"] = cv2.Rodrigues(found["R"])[0]
    T = np.eye(4)
    try:
        T[:3, :3], T[:3, 3] = found["R"].reshape(3, 3), found["T"].reshape(3)
        if np.linalg.norm(T[:3, 3]) > 10:
            T[:3, 3] /= 1000
        eyes = [Pinhole.from_opencv(found[f"K{i}"].reshape(3, 3), size, tuple(found.get(f"D{i}", np.zeros(0)).ravel())) for i in (1, 2)]
    except ValueError as error:
        raise UserError(f"{path.name} holds a stereo calibration whose matrices have the wrong size.") from error
    rig = rig_from_extrinsics(eyes[0], eyes[1], invert(T))
    return StereoCalibration(rig, None, rig.baseline_m, 0.0, str(path))


_OPENCV_NAMES = {
    "K1": ("M1", "K1", "cameraMatrix1", "camera_matrix_1", "left_camera_matrix"),
    "K2": ("M2", "K2", "cameraMatrix2", "camera_matrix_2", "right_camera_matrix"),
    "D1": ("D1", "distCoeffs1", "dist_coeffs_1", "left_distortion"),
    "D2": ("D2", "distCoeffs2", "dist_coeffs_2", "right_distortion"),
    "R": ("R", "rotation"),
    "T": ("T", "translation"),
}


def _named_numbers(path: Path) -> dict[str, F64]:
    """Lines "name: numbers" of a text file; lines with anything else are left out."""
    entries = {}
    for line in read_text(path).splitlines():
        name, _, values = line.partition(":")
        try:
            entries[name.strip()] = np.array([float(v) for v in values.split()])
        except ValueError:
            continue
    return entries


def _other_size(path: Path, told: tuple[int, ...], size: tuple[int, int]) -> str:
    return f"{path.name} is for pictures of {told[0]} x {told[1]} px, but these are {size[0]} x {size[1]}."


def _positive(baseline: float, path: Path) -> float:
    if not (np.isfinite(baseline) and baseline > 0):
        raise UserError(f"{path.name} gives a baseline of {baseline:.4f} m; are left and right swapped?")
    return float(baseline)
