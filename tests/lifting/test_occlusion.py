"""Tracks that slide onto another surface end where they leave their own, and come back with it."""

import numpy as np
import pytest
from points_in_motion import camera_path

from toolkit.geometry.cameras import unproject
from toolkit.lifting.occlusion import drop_other_surfaces, on_first_surface
from toolkit.scene import Tracks2D, Tracks3D

FRAMES = 40


def seen_at(depths, *, query=0, sigma_m=0.05):
    """Tracks at fixed pixels whose stereo depth is (N, T) as given, NaN where unknown."""
    depths = np.asarray(depths, np.float64)
    cameras = camera_path(depths.shape[1])
    xy = np.stack([np.linspace(100, 400, len(depths)), np.full(len(depths), 250.0)], axis=-1)
    xyz = np.stack([unproject(xy, depths[:, t], cameras.K[t], cameras.T_wc[t]) for t in range(depths.shape[1])], axis=1)
    known = np.isfinite(depths)
    queries = np.column_stack([np.full(len(xy), query), xy]).astype(np.float32)
    seen = np.ones(known.shape, bool)
    tracks_2d = Tracks2D(np.repeat(xy[:, None], FRAMES, axis=1).astype(np.float32), seen, seen.astype(np.float32), queries)
    sigma = np.where(known, sigma_m, np.nan).astype(np.float32)
    colour, still = np.zeros((len(xy), 3), np.uint8), np.zeros(len(xy), np.float32)
    return tracks_2d, Tracks3D(xyz.astype(np.float32), known, colour, still, sigma), cameras


def test_what_passes_in_front_is_left_out_and_the_track_goes_on_behind_it():
    z = np.full((3, FRAMES), 4.0)
    z[:, 15:22] = 2.0
    tracks, world, cameras = seen_at(z)
    tracks, world = drop_other_surfaces(tracks, world, cameras)
    for seen in (tracks.visible, world.visible):
        assert not seen[:, 15:22].any()
        assert seen[:, :15].all() and seen[:, 22:].all()
    assert np.isnan(world.xyz[:, 15:22]).all()


def test_the_surface_of_the_query_counts_in_both_directions():
    z = np.full((2, FRAMES), 4.0)
    z[:, :10] = z[:, 30:] = 6.0
    _, world, cameras = seen_at(z, query=20)
    accepted = on_first_surface(world, cameras, np.full(2, 20))
    assert accepted[:, 10:30].all()
    assert not accepted[:, :10].any() and not accepted[:, 30:].any()


@pytest.mark.parametrize("speed", [-2.0, 2.0])
def test_a_point_that_comes_or_goes_stays_on_its_surface(speed):
    z = np.repeat(4.0 + speed * np.arange(FRAMES)[None] / 30, 3, axis=0)
    z[:, 10:14] = np.nan  # depth is not always known
    _, world, cameras = seen_at(z)
    np.testing.assert_array_equal(on_first_surface(world, cameras, np.zeros(3)), np.isfinite(z))


def test_noise_within_the_told_errors_ends_no_track():
    rng = np.random.default_rng(0)
    disparity = 443.4 * 0.063 / 5.0 + rng.normal(0, 0.2, (50, FRAMES))
    _, world, cameras = seen_at(443.4 * 0.063 / disparity, sigma_m=0.2 * 25 / (443.4 * 0.063))
    assert on_first_surface(world, cameras, np.zeros(50)).mean() > 0.99


def test_one_wrong_depth_at_the_query_does_not_lose_the_track():
    z = np.full((1, FRAMES), 4.0)
    z[0, 0] = 2.0
    _, world, cameras = seen_at(z)
    accepted = on_first_surface(world, cameras, np.zeros(1))
    assert not accepted[0, 0]
    assert accepted[0, 1:].all()


def test_samples_without_depth_stay_in_the_image_alone():
    z = np.full((1, FRAMES), 4.0)
    z[0, 5:9] = np.nan
    tracks, world, cameras = seen_at(z)
    tracks, world = drop_other_surfaces(tracks, world, cameras)
    assert tracks.visible.all()
    assert not world.visible[0, 5:9].any()


def test_no_tracks_and_no_depth_work():
    tracks, world, cameras = seen_at(np.full((2, FRAMES), np.nan))
    assert not on_first_surface(world, cameras, np.zeros(2)).any()
    none = np.zeros(2, bool)
    assert len(drop_other_surfaces(tracks.select(none), world.select(none), cameras)[0]) == 0
