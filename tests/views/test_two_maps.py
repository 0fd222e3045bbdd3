"""The pointmap video: two colours, which move with what the maps hold."""

from dataclasses import replace

import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.scene import Cameras, DepthVideo, Scene, Tracks2D, Tracks3D, Video
from toolkit.views.two_maps import draw_pointmaps, lacks_pointmaps

SIZE, FRAMES = (64, 48), 4


@pytest.fixture(scope="module")
def scene():
    """A wall that stands, and on it a patch that comes nearer, seen by a camera that goes sideways."""
    width, height = SIZE
    K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    T_wc = np.tile(np.eye(4), (FRAMES, 1, 1))
    T_wc[:, 0, 3] = 0.05 * np.arange(FRAMES)
    depth = np.full((FRAMES, height, width), 4.0, np.float32)
    masks = np.zeros(depth.shape, bool)
    masks[:, 18:30, 24:40] = True
    depth[masks] = 3.0
    xy = np.tile(np.array([[28.0, 22], [36, 26], [10, 10], [50, 40]])[:, None], (1, FRAMES, 1)).astype(np.float32)
    z = np.array([3.0, 3, 4, 4])[:, None]
    xyz = np.stack([(xy[..., 0] - 32) / 60 * z, (xy[..., 1] - 24) / 60 * z, np.broadcast_to(z, xy.shape[:2])], -1)
    xyz[:2, :, 2] -= 0.2 * np.arange(FRAMES)
    seen = np.ones(xy.shape[:2], bool)
    queries = np.column_stack([np.zeros(4), xy[:, 0]])
    frames = np.random.default_rng(0).integers(80, 255, (FRAMES, height, width, 3)).astype(np.uint8)
    return Scene(
        Cameras.from_poses(K, T_wc, SIZE),
        Tracks2D(xy, seen, seen.astype(np.float32), queries.astype(np.float32)),
        Tracks3D(xyz.astype(np.float32), seen, np.full((4, 3), 200, np.uint8), np.array([1.0, 1, 0, 0]), np.full(seen.shape, 0.01)),
        DepthVideo(depth, np.full(depth.shape, 0.95, np.float32), "relative"),
        unit="relative",
        method="st4rtrack",
        video=Video.from_frames(frames),
        masks=masks,
    )


def test_both_maps_are_drawn_in_their_colours_and_move(scene):
    frames = list(draw_pointmaps(scene, size=(128, 128)))
    assert len(frames) == FRAMES and all(side % 2 == 0 for side in frames[0].shape[:2])
    warm = [int((f[:128, :, 0].astype(int) - f[:128, :, 2] > 40).sum()) for f in frames]
    cold = [int((f[:128, :, 2].astype(int) - f[:128, :, 0] > 40).sum()) for f in frames]
    assert min(warm[0] + cold[0], warm[-1] + cold[-1]) > 1000 and warm[-1] > 50 and cold[-1] > 50
    assert (frames[0] != frames[-1]).any()


def test_a_reference_may_be_chosen_and_one_that_is_not_there_is_told(scene):
    assert len(list(draw_pointmaps(scene, reference=2, size=(64, 64)))) == FRAMES
    with pytest.raises(UserError, match="The reference is frame 9, but the scene has frames 0 to 3"):
        draw_pointmaps(scene, reference=9)


def test_scenes_that_lack_a_part_are_told(scene):
    assert lacks_pointmaps(scene) == ""
    with pytest.raises(UserError, match="video, cameras, depth and tracks"):
        draw_pointmaps(replace(scene, depth=None))


def test_where_no_depth_is_sure_the_picture_says_so(scene):
    assert scene.depth is not None
    unsure = replace(scene, depth=replace(scene.depth, confidence=np.full_like(scene.depth.confidence, 0.1)))
    bright = [int((next(draw_pointmaps(one, size=(256, 256)))[:24].min(-1) > 150).sum()) for one in (scene, unsure)]
    assert bright[0] == 0 and bright[1] > 100
