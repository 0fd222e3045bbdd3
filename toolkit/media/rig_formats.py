"""Calibrations of several cameras in the forms that people have: each function reads one form, or says that a file has another."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import UserError
from toolkit.geometry.poses import from_rotation, invert
from toolkit.media.npz import NpzReader
from toolkit.media.rig_camera import RigCamera
from toolkit.media.structured_text import read_json, read_text, read_toml, read_yaml
from toolkit.scene import F64

_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL's camera axes to OpenCV's
_MODEL_BYTES = 256 << 20  # of a COLMAP model as text: it lists every point of every picture
_MATRIX, _VECTOR, _ROTATION_VECTOR = 9, 3, 3


def read_rig_file(path: Path) -> list[RigCamera] | None:
    """The cameras in a calibration file, or in a folder with a COLMAP model; None where it is no calibration of a rig.

    Raises:
        UserError: a calibration with numbers that are missing or make no sense.
    """
    reader = _colmap if path.is_dir() else _READERS.get(path.suffix.lower())
    if reader is None:
        return None
    try:
        cameras = reader(path)
        for camera in cameras or []:
            _check_numbers(camera, path)
        return cameras
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as problem:
        raise UserError(f"The calibration {path.name} can't be read: {type(problem).__name__} {problem}.") from problem


def _check_numbers(camera: RigCamera, path: Path) -> None:
    """Whatever form they came in: lenses are lenses, and poses turn and shift; one of NaN alone stands for a frame without a pose.

    Raises:
        UserError: they are not.
    """
    K = camera.K.reshape(-1, 3, 3)
    if not np.isfinite(K).all() or K[:, [0, 1], [0, 1]].min() <= 0:
        raise UserError(f"{path.name}: camera {camera.names[0]} has intrinsics {K[0].tolist()}, but positive focal lengths are needed.")
    for T in camera.T_wc.reshape(-1, 4, 4):
        if not np.isnan(T[:3]).all():
            _checked(T, camera.names[0], path)


def _toml(path: Path) -> list[RigCamera] | None:
    """Anipose and aniposelib ([cam_0] with name, size, matrix, distortions, rotation, translation), Pose2Sim, caliscope."""
    try:
        content = read_toml(path)
    except UserError:
        raise
    except ValueError as problem:
        raise UserError(f"{path.name} is not valid TOML: {problem}.") from problem
    sections: dict[str, Any] = content.get("cameras", content)
    cameras = []
    for section, entry in sections.items():
        if not isinstance(entry, Mapping) or not {"matrix", "rotation", "translation"} <= entry.keys() or entry.get("ignore"):
            continue
        number = entry.get("cam_id", entry.get("port"))
        names = [section if number is None else f"cam_{number}", *([str(entry["name"])] if "name" in entry else [])]
        cameras.append(_from_opencv(names, entry["matrix"], entry["rotation"], entry["translation"], entry, path))
    return cameras or None


def _json(path: Path) -> list[RigCamera] | None:
    """Our own cameras.json, nerfstudio's transforms.json, or {name: {K, w2c}} as the Panoptic data have it."""
    try:
        content = read_json(path)
    except UserError:
        raise
    except ValueError as problem:
        raise UserError(f"{path.name} is not valid JSON: {problem}.") from problem
    if not isinstance(content, Mapping):
        return None
    if isinstance(content.get("cameras"), list):
        return [_own(entry, k, path) for k, entry in enumerate(content["cameras"])]
    if isinstance(content.get("frames"), list) and content["frames"] and "transform_matrix" in content["frames"][0]:
        return [_nerfstudio({**content, **entry}, path) for entry in content["frames"]]
    entries = {k: v for k, v in content.items() if isinstance(v, Mapping) and "K" in v}
    cameras = []
    for name, entry in entries.items():
        key = next((k for k in ("w2c", "T_cw", "extrinsics", "T_wc", "c2w") if k in entry), None)
        if key is None:
            R, t = entry["R"], entry["t"]
            cameras.append(_from_opencv([name], entry["K"], R, t, entry, path))
            continue
        T = _pose(entry[key], path)
        K = _shifted(entry["K"], path)
        cameras.append(RigCamera((name,), K, T if key in ("T_wc", "c2w") else invert(T), _size(entry), _distortion(entry)))
    return cameras or None


def _own(entry: Mapping[str, Any], number: int, path: Path) -> RigCamera:
    name = Path(str(entry.get("video", entry.get("name", number)))).stem
    K = np.asarray(entry["K"], np.float64).reshape(3, 3)
    return RigCamera((name,), K, _pose(entry["T_wc"], path), _size(entry), _distortion(entry))


def _nerfstudio(entry: Mapping[str, Any], path: Path) -> RigCamera:
    name = Path(str(entry["file_path"]))
    K = np.array([[entry["fl_x"], 0, entry["cx"]], [0, entry.get("fl_y", entry["fl_x"]), entry["cy"]], [0, 0, 1]], np.float64)
    k = [float(entry.get(key, 0.0)) for key in ("k1", "k2", "p1", "p2", "k3")]
    fisheye = "FISHEYE" in str(entry.get("camera_model", ""))
    if fisheye:
        k = [float(entry.get(key, 0.0)) for key in ("k1", "k2", "k3", "k4")]
    size = (int(entry["w"]), int(entry["h"])) if "w" in entry and "h" in entry else None
    T_wc = _pose(entry["transform_matrix"], path) @ _FLIP
    return RigCamera((name.stem, name.parent.name), K, T_wc, size, tuple(k) if any(k) else (), fisheye)


def _yaml(path: Path) -> list[RigCamera] | None:
    """OpenCV's FileStorage with one K, D, R and T a camera, or DexYCB's intrinsics and extrinsics."""
    try:
        content = read_yaml(path)
    except UserError:
        raise
    except ValueError:
        return None
    if not isinstance(content, Mapping):
        return None
    if isinstance(content.get("extrinsics"), Mapping):
        return _dexycb(path, content["extrinsics"])
    entries = {k: v for k, v in content.items() if isinstance(v, Mapping) and _found(v, "K") is not None}
    if not entries:  # names of one file for all cameras: K_0, R_0, T_0 or K0, R0, T0
        numbers = sorted({m.group(1) for key in content if (m := re.fullmatch(r"(?:K|camera_?matrix)_?(\w+)", str(key), re.IGNORECASE))})
        entries = {n: _numbered(content, n) for n in numbers}
    cameras = []
    for name, entry in entries.items():
        R, t = _found(entry, "R"), _found(entry, "T")
        if R is None or t is None:
            return None  # one camera alone, or a stereo pair
        given = {**entry, "distortions": [] if (d := _found(entry, "D")) is None else np.ravel(d).tolist()}
        cameras.append(_from_opencv([str(name)], _found(entry, "K"), R, t, given, path))
    return cameras or None


_SPELLINGS = {
    "K": ("K", "matrix", "camera_matrix", "cameraMatrix", "intrinsics"),
    "D": ("D", "dist", "distortion", "distortions", "distCoeffs", "distortion_coefficients"),
    "R": ("R", "rotation", "rvec", "rotation_matrix"),
    "T": ("T", "t", "translation", "tvec"),
}


def _found(entry: Mapping[str, Any], what: str) -> Any:
    """A matrix by any of its names, as OpenCV stores it or as nested lists."""
    for name in _SPELLINGS[what]:
        if name in entry:
            value = entry[name]
            if isinstance(value, Mapping) and "data" in value:
                return np.asarray(value["data"], np.float64).reshape(int(value["rows"]), int(value["cols"]))
            return np.asarray(value, np.float64)
    return None


def _numbered(content: Mapping[str, Any], number: str) -> dict[str, Any]:
    """Entries such as K_1 or distCoeffs1 of one camera, without the number."""
    return {m.group(1): v for key, v in content.items() if (m := re.fullmatch(rf"(.+?)_?{number}", str(key)))}


def _dexycb(path: Path, extrinsics: Mapping[str, Any]) -> list[RigCamera] | None:
    """DexYCB's extrinsics.yml (camera to world, 12 numbers each) with the intrinsics of each serial number near it."""
    cameras = []
    for serial, numbers in extrinsics.items():
        if np.size(numbers) != 12:  # such as the tag's own pose beside the cameras
            continue
        for file in sorted((path.parent.parent if path.parent.name.startswith("extrinsics") else path.parent).rglob(f"{serial}*.y*ml")):
            lens = read_yaml(file)
            lens = lens.get("color", lens) if isinstance(lens, Mapping) else {}
            if {"fx", "fy", "ppx", "ppy"} <= lens.keys():
                K = np.array([[lens["fx"], 0, lens["ppx"] + 0.5], [0, lens["fy"], lens["ppy"] + 0.5], [0, 0, 1]], np.float64)
                shape = re.search(r"(\d+)x(\d+)", file.stem)
                size = (int(shape.group(1)), int(shape.group(2))) if shape else None
                cameras.append(RigCamera((str(serial),), K, _pose(np.reshape(numbers, (3, 4)), path), size))
                break
    return cameras or None


def _npz(path: Path) -> list[RigCamera] | None:
    """Our own npz: names, K, T_wc, and where known size and distortion; or MVTracker's intrs and extrs (world to camera)."""
    with NpzReader(path) as file:
        lens = next((k for k in ("K", "intrs", "intrinsics") if k in file), None)
        pose = next((k for k in ("T_wc", "T_cw", "extrs", "extrinsics", "w2c") if k in file), None)
        if lens is None or pose is None:
            return None
        K, T = file.array(lens).astype(np.float64), file.array(pose).astype(np.float64)
        names = [str(n) for n in file.array("names")] if "names" in file else [str(v) for v in range(len(K))]
        sizes = file.array("size").copy() if "size" in file else None
        bends = file.array("distortion").astype(np.float64) if "distortion" in file else None
    if K.shape[-2:] != (3, 3) or K.ndim not in (3, 4) or T.shape[:-2] != K.shape[:-2] and T.ndim not in (3, 4):
        raise UserError(f"{path.name} holds {lens} of shape {K.shape} and {pose} of shape {T.shape}; (V, 3, 3) and (V, 4, 4) are needed.")
    if lens != "K":  # MVTracker counts pixels from the centre of the first one
        K = K.copy()
        K[..., :2, 2] += 0.5
    if not len(K) == len(T) == len(names):
        raise UserError(f"{path.name} holds {len(K)} cameras by {lens}, {len(T)} by {pose} and {len(names)} by name; one each is needed.")
    T = _whole(T)
    T = T if pose == "T_wc" else np.linalg.inv(T)
    return [
        RigCamera(
            (names[v],),
            K[v],
            T[v],
            None if sizes is None else (int(sizes[v][0]), int(sizes[v][1])),
            () if bends is None else tuple(bends[v]),
        )
        for v in range(len(K))
    ]


def _colmap(folder: Path) -> list[RigCamera] | None:
    """A COLMAP model: one image a camera, or several of a folder each."""
    places = [p for p in (folder, folder / "sparse", folder / "sparse" / "0", folder / "colmap") if (p / "images.txt").is_file()]
    if not places:
        return None
    lenses = {}
    for line in _lines(places[0] / "cameras.txt"):
        number, model, width, height, *numbers = line.split()
        lenses[number] = (model, (int(width), int(height)), [float(n) for n in numbers])
    cameras = []
    for line in _lines(places[0] / "images.txt")[::2]:
        _, qw, qx, qy, qz, tx, ty, tz, number, name = line.split(maxsplit=9)
        from scipy.spatial.transform import Rotation

        R = Rotation.from_quat([float(q) for q in (qx, qy, qz, qw)]).as_matrix()
        T_cw = from_rotation(R, np.array([float(tx), float(ty), float(tz)]))
        model, size, numbers = lenses[number]
        K, bend, fisheye = _colmap_lens(model, numbers, path=places[0])
        image = Path(name)
        cameras.append(RigCamera((image.stem, image.parent.name), K, invert(T_cw), size, bend, fisheye))
    return cameras or None


def _lines(path: Path) -> list[str]:
    """Lines of a COLMAP text file; images have an empty second line where they hold no points."""
    return [line for line in read_text(path, _MODEL_BYTES).splitlines() if not line.startswith("#")]


def _colmap_lens(model: str, p: list[float], path: Path) -> tuple[F64, tuple[float, ...], bool]:
    """K, distortion and whether it is a fisheye, of COLMAP's models that OpenCV has too."""
    single = model in ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
    if not single and model not in ("PINHOLE", "OPENCV", "FULL_OPENCV", "OPENCV_FISHEYE"):
        raise UserError(f"The COLMAP model in {path} has cameras of the kind {model}; OPENCV, PINHOLE or RADIAL ones are needed.")
    focal, rest = ([p[0], p[0]], p[1:]) if single else (p[:2], p[2:])
    K = np.array([[focal[0], 0, rest[0]], [0, focal[1], rest[1]], [0, 0, 1]])
    bend = rest[2:]
    fisheye = model.endswith("FISHEYE")
    if single and bend and not fisheye:
        bend = [bend[0], bend[1] if len(bend) > 1 else 0.0, 0.0, 0.0]
    if fisheye:
        bend = (bend + [0.0] * 4)[:4]
    return K, tuple(bend), fisheye


def _from_opencv(names: list[str], K: ArrayLike, R: ArrayLike, t: ArrayLike, entry: Mapping[str, Any], path: Path) -> RigCamera:
    """A camera from OpenCV's world-to-camera rotation (matrix or vector) and translation."""
    rotation, shift = np.asarray(R, np.float64).ravel(), np.asarray(t, np.float64).ravel()
    if rotation.size not in (_MATRIX, _ROTATION_VECTOR) or shift.size != _VECTOR:
        raise UserError(f"{path.name}: camera {names[0]} has a rotation of {rotation.size} and a translation of {shift.size} numbers.")
    matrix = rotation.reshape(3, 3) if rotation.size == _MATRIX else np.asarray(cv2.Rodrigues(rotation)[0], np.float64)
    T = _checked(from_rotation(matrix, shift), names[0], path)
    return RigCamera(tuple(names), _shifted(K, path), invert(T), _size(entry), _distortion(entry), bool(entry.get("fisheye", False)))


def _shifted(K: ArrayLike, path: Path) -> F64:
    """OpenCV's K, whose origin is the centre of the first pixel, for continuous pixels."""
    matrix = np.array(K, np.float64).reshape(3, 3)
    if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise UserError(f"{path.name} has intrinsics {matrix.tolist()}, but positive focal lengths are needed.")
    matrix[:2, 2] += 0.5
    return matrix


def _pose(value: ArrayLike, path: Path) -> F64:
    T = np.asarray(value, np.float64)
    if T.size not in (12, 16):
        raise UserError(f"{path.name} has a pose of shape {T.shape}, but (3, 4) or (4, 4) is needed.")
    return _checked(_whole(T.reshape(-1, 4)), "of a pose", path)


def _whole(T: F64) -> F64:
    """(..., 4, 4) of (..., 3, 4)."""
    if T.shape[-2] == 4:
        return T
    return np.concatenate([T, np.broadcast_to([0.0, 0.0, 0.0, 1.0], (*T.shape[:-2], 1, 4))], -2)


def _checked(T: F64, name: str, path: Path) -> F64:
    R = T[:3, :3]
    if not np.isfinite(T).all() or np.abs(R @ R.T - np.eye(3)).max() > 0.02 or np.linalg.det(R) < 0:
        raise UserError(f"{path.name}: the rotation of camera {name} is no rotation ({np.round(R, 3).tolist()}).")
    return T


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    if "size" in entry:
        width, height = entry["size"]
        return int(width), int(height)
    if "width" in entry and "height" in entry:
        return int(entry["width"]), int(entry["height"])
    return None


def _distortion(entry: Mapping[str, Any]) -> tuple[float, ...]:
    for key in ("distortions", "distortion", "dist", "D"):
        if key in entry and isinstance(entry[key], list | tuple):
            return tuple(float(v) for v in np.ravel(entry[key]))
    return ()


_READERS: dict[str, Callable[[Path], list[RigCamera] | None]] = {
    ".toml": _toml,
    ".json": _json,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".npz": _npz,
}
