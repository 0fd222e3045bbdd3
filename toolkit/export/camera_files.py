"""Cameras in the files other tools read: a TUM trajectory and nerfstudio's transforms.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from toolkit.export.photo_lenses import nerfstudio_lens, photo_lenses
from toolkit.export.picture_files import MILLIMETRE, depth_scale
from toolkit.scene import Cameras, Scene

OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
"""Turns camera axes from x right, y down, z forward to x right, y up, z backward (and back)."""


def write_tum(scene: Scene, path: Path) -> dict[str, Any]:
    """The camera path as lines "t x y z qx qy qz qw": camera-to-world, OpenCV camera axes; frames without a pose are left out."""
    cameras = _cameras(scene)
    good = cameras.registered
    quaternion = Rotation.from_matrix(cameras.T_wc[good, :3, :3]).as_quat()
    rows = np.concatenate([_times_s(scene)[good, None], cameras.centres[good], quaternion], axis=1)
    with path.open("w") as file:
        file.write("# timestamp_s tx ty tz qx qy qz qw (camera-to-world; camera axes: x right, y down, z forward)\n")
        np.savetxt(file, rows, fmt="%.9f")
    return {"poses": int(good.sum()), "frames_without_pose": np.flatnonzero(~good).tolist(), "pose": "camera-to-world, OpenCV camera axes"}


def write_transforms(scene: Scene, path: Path) -> dict[str, Any]:
    """Nerfstudio's transforms.json: camera-to-world with OpenGL camera axes, in the same world as points.ply.

    The frames name images/*.jpg, depth/*.png and points.ply of the same bundle; the depth only where its levels are millimetres,
    as these tools take them to be.
    """
    cameras = _cameras(scene)
    millimetres = scene.depth is not None and depth_scale(scene.depth) == MILLIMETRE
    frames = []
    for t in np.flatnonzero(cameras.registered):
        K, (w, h) = cameras.K[t], cameras.size[t]
        frame = {
            "file_path": f"images/{t:06d}.jpg",
            "transform_matrix": (cameras.T_wc[t] @ OPENGL_FROM_OPENCV).tolist(),
            **{"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "w": int(w), "h": int(h)},
        }
        if millimetres:
            frame["depth_file_path"] = f"depth/{t:06d}.png"
        frames.append(frame)
    shared = {key: frames[0][key] for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")} if frames else {}
    points = {"ply_file_path": "points.ply"} if scene.points is not None else {}
    path.write_text(json.dumps({"camera_model": "OPENCV", **shared, **points, "frames": frames}, indent=1))
    return {"pose": "camera-to-world, OpenGL camera axes (x right, y up, z backward); the world is that of points.ply"}


def write_photo_transforms(scene: Scene, path: Path) -> dict[str, Any]:
    """Nerfstudio's transforms.json for the photos themselves, with the distortion of their lenses; it belongs beside them."""
    cameras, photos = _cameras(scene), photo_lenses(scene)
    assert photos is not None
    frames = []
    for t in np.flatnonzero(cameras.registered).tolist():
        pose = (cameras.T_wc[t] @ OPENGL_FROM_OPENCV).tolist()
        frames.append({"file_path": photos.names[t], "transform_matrix": pose, **(nerfstudio_lens(photos.lenses[t]) or {})})
    models = {frame.pop("camera_model") for frame in frames}
    points = {"ply_file_path": "points.ply"} if scene.points is not None else {}
    path.write_text(json.dumps({"camera_model": models.pop(), **points, "frames": frames}, indent=1))
    return {
        "pose": "camera-to-world, OpenGL camera axes (x right, y up, z backward); the world is that of points.ply",
        "pictures": "your own photos, as they are",
    }


def lacks_photo_lenses(scene: Scene) -> str:
    """What a scene lacks for `write_photo_transforms`, or ""."""
    photos = photo_lenses(scene)
    if photos is None or scene.cameras is None:
        return "photos"
    told = [nerfstudio_lens(photos.lenses[t]) for t in np.flatnonzero(scene.cameras.registered)]
    models = {lens["camera_model"] for lens in told if lens is not None}
    return "" if None not in told and len(models) == 1 else "photos whose lenses are of one model that nerfstudio has"


def _cameras(scene: Scene) -> Cameras:
    assert scene.cameras is not None
    return scene.cameras


def _times_s(scene: Scene) -> np.ndarray:
    """Seconds of each frame; frame numbers for a scene without a video."""
    return scene.video.times_s if scene.video is not None else np.arange(len(_cameras(scene)), dtype=np.float64)
