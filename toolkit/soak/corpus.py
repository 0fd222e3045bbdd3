"""Sound recordings of every kind that is read, small: what the fuzzing spoils."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.media.labelling import label_video
from toolkit.media.scene_file import save
from toolkit.media.spherical import Spherical
from toolkit.media.stereo4d_npz import save_dataset_npz
from toolkit.media.video import write_video
from toolkit.scene import U8, Cameras, DepthVideo, PointCloud, Scene, Tracks2D, Tracks3D, Video
from toolkit.synthetic.examples import Tripod

_FRAMES, _SIDE = 4, 64
_BASELINE_M = 0.1


def write_corpus(folder: Path) -> list[Path]:
    """Writes the recordings; files and folders, each one a recording of its own."""
    return sorted(_written(folder))


def copied_corpus(data: Path, folder: Path, *, largest: int = 1 << 20) -> list[Path]:
    """Real files of a folder that are small enough, copied; the same clip is read in the same way wherever it lies."""
    found = []
    known = (".mp4", ".npz", ".png", ".jpg", ".webm")
    for path in sorted(path for path in data.rglob("*") if path.suffix in known and path.is_file() and path.stat().st_size <= largest):
        siblings = [other for other in found if other.parent.name == path.parent.name]
        if len(siblings) < 2:  # of many photos of one scene some are enough
            target = folder / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            found.append(Path(shutil.copyfile(path, target)))
    return found


def _written(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    left, right = _pictures(0), _pictures(5)
    pair = np.concatenate([left, right], axis=2)
    yield write_video(folder / "mono.mp4", left, 30)
    yield small_pair(folder / "room_sbs.mp4")
    vr180 = write_video(folder / "vr180.mp4", pair, 30)
    label_video(vr180, Spherical(stereo_layout="side-by-side", projection="equirect", fov_bounds_deg=(-90.0, 90.0, -90.0, 90.0)))
    yield vr180
    scene = scene_of(left)
    yield save(scene, folder / "scene.npz")
    annotation = folder / "released.npz"
    save_dataset_npz(scene, annotation)
    yield annotation
    tracks = folder / "tracks.npz"
    xy = np.transpose(scene.tracks_2d.xy, (1, 0, 2))[None] if scene.tracks_2d is not None else np.zeros((1, _FRAMES, 8, 2))
    np.savez(tracks, pred_tracks=xy, pred_visibility=np.ones(xy.shape[:3], bool), started_at=np.zeros(xy.shape[2]))
    yield tracks
    for suffix in (".png", ".jpg", ".bmp", ".pgm", ".tif", ".webp"):
        picture = folder / f"photo{suffix}"
        cv2.imwrite(str(picture), left[0, ..., 0] if suffix == ".pgm" else left[0])
        yield picture
    yield from _pairs(folder, left, right)
    yield from _rigs(folder, left, right)
    for inside in (folder / "kitti", folder / "rig_toml", folder / "photos"):
        if inside.name == "photos":
            _write_pictures(inside, left)
            yield inside
        yield _zipped(inside)


def _pairs(folder: Path, left: U8, right: U8) -> Iterator[Path]:
    """Two eyes in folders, with each form of calibration."""
    focal = _SIDE * 0.9
    K = f"{focal} 0 {_SIDE / 2} 0 {focal} {_SIDE / 2} 0 0 1"
    P = "{} 0 {} {} 0 {} {} 0 0 0 1 0"
    kitti = "".join(
        f"S_0{i}: {_SIDE} {_SIDE}\nK_0{i}: {K}\nD_0{i}: 0 0 0 0 0\nR_0{i}: 1 0 0 0 1 0 0 0 1\nT_0{i}: {-_BASELINE_M * i} 0 0\n"
        f"S_rect_0{i}: {_SIDE} {_SIDE}\nR_rect_0{i}: 1 0 0 0 1 0 0 0 1\n"
        f"P_rect_0{i}: {P.format(focal, _SIDE / 2, -focal * _BASELINE_M * i, focal, _SIDE / 2)}\n"
        for i in (0, 1)
    )
    euroc = (
        "sensor_type: camera\nT_BS:\n  cols: 4\n  rows: 4\n  data: [1, 0, 0, {x}, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]\nrate_hz: 20\n"
        f"resolution: [{_SIDE}, {_SIDE}]\ncamera_model: pinhole\nintrinsics: [{focal}, {focal}, {_SIDE / 2}, {_SIDE / 2}]\n"
        "distortion_model: radial-tangential\ndistortion_coefficients: [-0.1, 0.01, 0.0, 0.0]\n"
    )
    eye = f"[{focal} 0 32; 0 {focal} 32; 0 0 1]"
    middlebury = f"cam0={eye}\ncam1={eye}\ndoffs=0\nbaseline=100\nwidth=64\nheight=64\nndisp=16\n"
    for name, eyes, texts in (
        ("kitti", ("image_00/data", "image_01/data"), {"calib_cam_to_cam.txt": kitti}),
        ("euroc", ("cam0/data", "cam1/data"), {f"cam{i}/sensor.yaml": euroc.format(x=_BASELINE_M * i) for i in (0, 1)}),
        ("middlebury", ("left", "right"), {"calib.txt": middlebury}),
        ("opencv", ("left", "right"), {}),
    ):
        place = folder / name
        for eye, pictures in zip(eyes, (left, right), strict=True):
            _write_pictures(place / eye, pictures)
        for inner, text in texts.items():
            (place / inner).write_text(text)
        if name == "opencv":
            _write_opencv(place / "stereo.yml", focal)
        yield place


def _write_opencv(path: Path, focal: float) -> None:
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    K = np.array([[focal, 0, _SIDE / 2], [0, focal, _SIDE / 2], [0, 0, 1]])
    for name, value in {
        "M1": K,
        "D1": np.zeros(5),
        "M2": K,
        "D2": np.zeros(5),
        "R": np.eye(3),
        "T": np.array([-_BASELINE_M, 0, 0]),
    }.items():
        storage.write(name, value)
    storage.release()


def _rigs(folder: Path, left: U8, right: U8) -> Iterator[Path]:
    """Several views around one place, with each form of calibration."""
    focal = _SIDE * 0.9
    K = [[focal, 0, 31.5], [0, focal, 31.5], [0, 0, 1]]  # as OpenCV counts
    poses = [np.asarray(Tripod(25.0 * i)(0.0)) for i in range(3)]
    inverse = [np.linalg.inv(T) for T in poses]
    turns = [cv2.Rodrigues(T[:3, :3])[0].ravel().tolist() for T in inverse]
    toml = "".join(
        f'[cam_{i}]\nname = "cam{i}"\nsize = [{_SIDE}, {_SIDE}]\nmatrix = {K}\ndistortions = [0.0, 0.0, 0.0, 0.0, 0.0]\n'
        f"rotation = {turns[i]}\ntranslation = {inverse[i][:3, 3].tolist()}\n"
        for i in range(3)
    )
    own = {"cameras": [{"name": f"cam{i}", "K": K, "T_wc": T.tolist(), "size": [_SIDE, _SIDE]} for i, T in enumerate(poses)]}
    flip = np.diag([1.0, -1, -1, 1])
    frames = [{"file_path": f"images/cam{i}.jpg", "transform_matrix": (T @ flip).tolist()} for i, T in enumerate(poses)]
    nerf = {"fl_x": focal, "cx": 32, "cy": 32, "w": _SIDE, "h": _SIDE, "frames": frames}
    matrix = "{name}_{i}: !!opencv-matrix\n  rows: 3\n  cols: {cols}\n  dt: d\n  data: {data}\n"
    yaml = "%YAML:1.0\n---\n" + "".join(
        matrix.format(name=name, i=i, cols=np.size(value) // 3, data=np.ravel(value).tolist())
        for i, T in enumerate(inverse)
        for name, value in (("K", K), ("R", T[:3, :3]), ("T", T[:3, 3]))
    )
    dumped = {"rig_own/cameras.json": json.dumps(own), "rig_nerf/transforms.json": json.dumps(nerf)}
    for name, text in {"rig_toml/calib.toml": toml, "rig_yaml/rig.yml": yaml, **dumped}.items():
        place = (folder / name).parent
        place.mkdir(exist_ok=True)
        for i, pictures in enumerate((left, right, left)):
            write_video(place / f"cam{i}.mp4", pictures, 30)
        (folder / name).write_text(text)
        yield place


def small_pair(path: Path) -> Path:
    """Writes a video of two eyes beside each other, of a few small frames."""
    return write_video(path, np.concatenate([_pictures(0), _pictures(5)], axis=2), 30)


def _pictures(shift: int) -> U8:
    """A few frames of a coarse texture that drifts."""
    texture = np.random.default_rng(0).integers(0, 255, (_SIDE // 4, _SIDE // 2, 3), np.uint8)
    wide = cv2.resize(texture, (2 * _SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    return np.stack([wide[:, t + shift :][:, :_SIDE] for t in range(_FRAMES)]).astype(np.uint8)


def _write_pictures(folder: Path, pictures: U8) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{i:06d}.png"), picture)


def scene_of(pictures: U8) -> Scene:
    """A scene of a video with every part that a file can hold.

    Args:
        pictures: (T, H, W, 3) uint8 RGB, square.
    """
    count, frames, side = 8, len(pictures), pictures.shape[1]
    rng = np.random.default_rng(0)
    seen = np.ones((count, frames), bool)
    xy = rng.uniform(8, side - 8, (count, frames, 2)).astype(np.float32)
    K = intrinsics_from_fov(60, (side, side))
    return Scene(
        cameras=Cameras.from_poses(K, np.tile(np.eye(4), (frames, 1, 1)), (side, side)),
        tracks_2d=Tracks2D(
            xy, seen, np.ones(seen.shape, np.float32), np.concatenate([np.zeros((count, 1)), xy[:, 0]], 1).astype(np.float32)
        ),
        tracks_3d=Tracks3D(
            rng.uniform(1, 2, (count, frames, 3)).astype(np.float32),
            seen,
            np.zeros((count, 3), np.uint8),
            np.zeros(count, np.float32),
            np.ones(seen.shape, np.float32),
        ),
        depth=DepthVideo(np.ones((frames, side, side), np.float32), np.ones((frames, side, side), np.float32), "metre"),
        points=PointCloud(rng.uniform(1, 2, (30, 3)).astype(np.float32), np.zeros((30, 3), np.uint8)),
        unit="metre",
        method="stereo4d",
        report={"quality": {"depth": {"value": 1.0, "green": 2.0, "amber": 3.0, "unit": "m"}}, "warnings": ["one"]},
        video=Video.from_frames(pictures, 30.0),
    )


def _zipped(folder: Path) -> Path:
    target = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return target
