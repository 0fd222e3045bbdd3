"""Two cameras that face each other across a square: they show different sides of everything."""

import numpy as np
import pytest

from toolkit import track_multiview
from toolkit.geometry.cameras import intrinsics_from_fov, project
from toolkit.multiview.checking import checked_clip
from toolkit.multiview.triangulation import TWO_VIEWS_DEG, TriangulationOptions, triangulate
from toolkit.scene import Cameras, MultiViewVideo
from toolkit.synthetic.clips import render_pinhole
from toolkit.synthetic.examples import Tripod
from toolkit.synthetic.places import stage
from toolkit.synthetic.tracks import true_tracks

SIZE, FRAMES = (240, 180), 10


@pytest.fixture(scope="module")
def facing():
    """The clip with its depth, points of the first view (t, x, y, z), and where they truly go."""
    world, times = stage(0), np.arange(FRAMES) / 30
    K = intrinsics_from_fov(60.0, SIZE)
    cameras = tuple(Cameras.from_poses(K, np.repeat(Tripod(a)(0.0)[None], FRAMES, 0), SIZE) for a in (0.0, 172.0))
    films = [render_pinhole(world, camera, times) for camera in cameras]
    y, x = np.nonzero(films[0].moving[0])
    some = np.random.default_rng(0).permutation(len(x))[:30]
    truth = true_tracks(world, cameras[0], times, np.column_stack([np.zeros(len(some)), x[some] + 0.5, y[some] + 0.5])).xyz_w
    clip = MultiViewVideo(tuple(f.video for f in films), cameras, tuple(f.depth_m for f in films))
    return clip, np.column_stack([np.zeros(len(truth)), truth[:, 0]]).astype(np.float32), truth


def test_points_that_no_two_views_can_see_are_lost_rather_than_made_up(facing):
    clip, queries, truth = facing
    bare = MultiViewVideo(clip.views, clip.cameras)
    assert any("from opposite sides" in sentence for sentence in checked_clip(bare)[1])
    found = track_multiview(bare, queries)
    np.testing.assert_allclose(found.xyz[:, 0], queries[:, 1:], atol=1e-5)
    told = np.isfinite(found.xyz[:, 1:, 0])
    off = np.linalg.norm(found.xyz - truth, axis=-1)[:, 1:][told]
    assert told.mean() < 0.1 or np.percentile(off, 90) < 0.2, (told.mean(), np.percentile(off, [50, 90]))


def test_depth_tells_what_two_opposite_views_can_not(facing):
    clip, queries, truth = facing
    found = track_multiview(clip, queries)
    off = np.linalg.norm(found.xyz - truth, axis=-1)[:, 1:]
    assert np.isfinite(off).mean() > 0.5 and np.nanmedian(off) < 0.08


def test_rays_from_opposite_sides_alone_place_nothing(facing):
    cameras = facing[0].cameras
    xyz = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3)) + [0, -1, 0]
    xy = np.stack([project(xyz, c.K[0], c.T_wc[0])[0] for c in cameras], axis=1)
    P = np.stack([(c.K @ c.T_cw[:, :3])[0] for c in cameras])
    two = TriangulationOptions(most_angle_deg=TWO_VIEWS_DEG)
    assert np.isnan(triangulate(xy, np.ones((20, 2)), P, two).xyz).all()
