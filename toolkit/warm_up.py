"""Compiles every inner loop before somebody waits for it: half a minute once for an installation, nothing afterwards."""

from __future__ import annotations

import tempfile
from typing import get_args

import cv2
import numpy as np

from toolkit.export.bundle import export
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.methods.request import Preset
from toolkit.run import run
from toolkit.scene import U8, Cameras, PointCloud, Scene, StereoVideo, Video
from toolkit.sfm.matching import MatchOptions, match, match_guided
from toolkit.sfm.patch_search import PatchOptions, View, find_in_neighbours
from toolkit.stereo.dense import dense_depth

_FRAMES, _SIDE, _SHIFT_PX = 22, 96, 5  # as short and small as still reaches every loop


def warm_up() -> None:
    """Runs and exports a tiny pair of a flat, drifting texture with every preset."""
    texture = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    wide = cv2.resize(texture, (2 * _SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    eyes = [Video.from_frames(np.stack([wide[:, t + eye * _SHIFT_PX :][:, :_SIDE] for t in range(_FRAMES)])) for eye in (0, 1)]
    pair = StereoVideo(eyes[0], eyes[1], intrinsics_from_fov(60, (_SIDE, _SIDE)), 0.063)
    for preset in get_args(Preset):
        scene = run(pair, preset=preset, grid=(16, 16), progress=lambda event: None)
    dense_depth(_wall(np.asarray(wide, np.uint8)), views=[0, 2])
    _photos(np.asarray(wide, np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        export(scene, folder)


def _photos(wide: U8) -> None:
    """The loops that compare photos: descriptions of points, with and without epipolar lines, and patches."""
    described = np.random.default_rng(0).integers(0, 90, (8, 128), np.uint8)
    places = np.random.default_rng(1).uniform(20, 70, (8, 2)).astype(np.float32)
    match(described, described, MatchOptions())
    match_guided(described, described, places, places, np.eye(3), 3.0, MatchOptions())
    K, T_cw = intrinsics_from_fov(60, (_SIDE, _SIDE)), np.eye(4)
    grey = cv2.cvtColor(wide, cv2.COLOR_RGB2GRAY).astype(np.float32)
    xyz = np.column_stack([(places - K[:2, 2]) / [K[0, 0], K[1, 1]], np.ones(len(places))]).astype(np.float64)
    views = {}
    for t in range(3):
        shift = T_cw.copy()
        shift[0, 3] = -t * _SHIFT_PX / K[0, 0]
        views[t] = View(np.ascontiguousarray(grey[:, t * _SHIFT_PX :][:, :_SIDE]), K, shift)
    find_in_neighbours(views, 0, [1, 2], places, xyz, PatchOptions())


def _wall(wide: U8) -> Scene:
    """Three pictures of a flat texture from side to side."""
    video = Video.from_frames(np.stack([wide[:, t * _SHIFT_PX :][:, :_SIDE] for t in range(3)]))
    K = intrinsics_from_fov(60, (_SIDE, _SIDE))
    T_wc = np.tile(np.eye(4), (3, 1, 1))
    T_wc[:, 0, 3] = np.arange(3) * _SHIFT_PX / K[0, 0]
    x, y = np.meshgrid(np.linspace(-0.4, 0.6, 12), np.linspace(-0.4, 0.4, 8))
    xyz = np.stack([x.ravel(), y.ravel(), np.linspace(0.7, 1.4, x.size)], 1).astype(np.float32)
    points = PointCloud(xyz, np.zeros((len(xyz), 3), np.uint8))
    return Scene(cameras=Cameras.from_poses(K, T_wc, (_SIDE, _SIDE)), points=points, unit="relative", video=video)
