"""A scene on disk for clicks: the same numbers, read by mapping."""

import numpy as np

from toolkit.page.stored import lay_out, opened
from toolkit.scene import Cameras, DepthVideo, Scene, Tracks2D, Tracks3D, Video


def test_a_scene_that_was_laid_out_is_the_same(tmp_path):
    rng = np.random.default_rng(0)
    n, t, h, w = 5, 3, 24, 32
    f32 = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    seen = rng.random((n, t)) > 0.5
    scene = Scene(
        cameras=Cameras.from_poses(np.diag([30.0, 30, 1]), np.tile(np.eye(4), (t, 1, 1)), (w, h)),
        tracks_2d=Tracks2D(f32(n, t, 2), seen, f32(n, t), f32(n, 3)),
        tracks_3d=Tracks3D(f32(n, t, 3), seen, np.zeros((n, 3), np.uint8), f32(n), f32(n, t)),
        depth=DepthVideo(f32(t, h, w), f32(t, h, w), "relative"),
        unit="relative",
        method="test",
        video=Video(rng.integers(0, 255, (t, h, w, 3), np.uint8), np.array([0, 0.1, 0.25])),
    )
    lay_out(scene, tmp_path)
    same = opened(tmp_path)
    assert same.depth is not None and same.tracks_2d is not None
    assert (same.method, same.unit, same.depth.unit) == ("test", "relative", "relative")
    assert same.tracks_2d.sigma_px is None
    for part, names in {
        "tracks_2d": ("xy", "visible", "confidence", "queries"),
        "tracks_3d": ("xyz", "visible", "rgb", "motion", "sigma"),
        "depth": ("depth", "confidence"),
        "video": ("frames", "times_s"),
        "cameras": ("K", "T_wc", "size"),
    }.items():
        for name in names:
            assert np.array_equal(getattr(getattr(same, part), name), getattr(getattr(scene, part), name)), (part, name)
    assert isinstance(same.depth.depth.base, np.memmap) or isinstance(same.depth.depth, np.memmap)


def test_a_scene_without_tracks_can_be_laid_out(tmp_path):
    lay_out(Scene(video=Video.from_frames(np.zeros((2, 8, 8, 3), np.uint8)), method="test"), tmp_path)
    assert opened(tmp_path).tracks_3d is None
