"""Which tracks are dropped, and why."""

from dataclasses import replace

import numpy as np
import pytest
from points_in_motion import record
from published_files import cameras_of, depth_of, tracks_2d_of, tracks_3d

from toolkit.errors import UserError
from toolkit.geometry.cameras import project
from toolkit.lifting import DriftOptions, filter_drift, lift_tracks, motion_label
from toolkit.lifting.company import CompanyOptions
from toolkit.scene import Cameras, Tracks2D, Tracks3D


def surface(*, drifting=0, moving_rows=0, seed=0):
    """A wall 3 m away in front of a swaying camera, a dense grid of tracks on it; the last rows of it may move as one."""
    rng = np.random.default_rng(seed)
    frames = 40
    cameras = record(count=1, frames=frames).cameras
    y, x = np.meshgrid(np.linspace(-0.9, 0.9, 20), np.linspace(-0.9, 0.9, 20), indexing="ij")
    xyz = np.repeat(np.stack([x.ravel(), y.ravel(), np.full(400, 3.0)], axis=-1)[:, None], frames, axis=1)
    swing = 0.3 * np.sin(np.arange(frames) / 10)
    xyz[400 - 20 * moving_rows :, :, 0] += swing
    lost = rng.choice(300, drifting, replace=False)
    for n in lost:
        xyz[n, :, :2] += np.cumsum(rng.normal(0, 0.02, (frames, 2)), axis=0)
    xy = project(xyz, cameras.K, cameras.T_wc)[0] + rng.normal(0, 0.2, (400, frames, 2))
    seen = np.asarray((xy > 0).all(-1) & (xy < 512).all(-1))
    queries = np.concatenate([np.zeros((400, 1)), xy[:, 0]], axis=1)
    ones = np.ones(seen.shape, np.float32)
    tracks_2d = Tracks2D(xy.astype(np.float32), seen, ones, queries.astype(np.float32), 0.2 * ones)
    noisy = cameras.centres + (xyz - cameras.centres) * (1 + rng.normal(0, 0.01, (400, frames, 1)))
    return tracks_2d, noisy, seen, cameras, lost


def lifted(xyz, seen, cameras: Cameras) -> Tracks3D:
    bare = tracks_3d(np.where(seen[..., None], xyz, np.nan).astype(np.float32), seen)
    tracks = replace(bare, sigma=np.full(seen.shape, 0.03, np.float32))
    return replace(tracks, motion=motion_label(tracks, cameras))


def test_labels_drop_the_published_tracks(golden):
    file = np.load(golden / "stereo4d" / "drift.npz")
    tracks, cameras = tracks_2d_of(file), cameras_of(file)
    world = lift_tracks(tracks, depth_of(file), cameras, mode="reference")
    found = filter_drift(tracks, world, cameras, file["seg"])
    np.testing.assert_array_equal(found.keep, file["kept"])
    np.testing.assert_array_equal(found.reason == "sky", file["sky_track"])
    np.testing.assert_array_equal(found.reason == "drift", file["drift_track"] & ~file["sky_track"])
    np.testing.assert_array_equal(found.reason == "boundary", file["boundary_track"] & ~file["drift_track"] & ~file["sky_track"])
    assert "222 of 400 tracks kept" in str(found)


def test_exact_lookup_reads_the_pixel_under_a_sample():
    tracks, xyz, seen, cameras, _ = surface()
    labels = np.ones((40, 512, 512), np.uint8)
    labels[:, :, 300:] = 20  # a class that may move: tracks on the line between are dropped
    found = filter_drift(tracks, lifted(xyz, seen, cameras), cameras, labels, lookup="exact")
    crosses = ((tracks.xy[..., 0] < 300) & seen).any(1) & ((tracks.xy[..., 0] >= 300) & seen).any(1)
    np.testing.assert_array_equal(found.reason == "boundary", crosses)


def test_tracks_that_drift_on_a_still_surface_are_found_without_labels():
    tracks, xyz, seen, cameras, lost = surface(drifting=40)
    found = filter_drift(tracks, lifted(xyz, seen, cameras), cameras)
    drifting = np.isin(np.arange(400), lost)
    assert (found.reason[drifting] == "drift").mean() > 0.8
    assert found.keep[~drifting].all()


def test_things_that_move_as_one_stay():
    tracks, xyz, seen, cameras, _ = surface(moving_rows=5)
    world = lifted(xyz, seen, cameras)
    assert (world.motion[300:] > 0.5).all()
    assert filter_drift(tracks, world, cameras).keep.all()


def test_in_a_clip_of_two_frames_things_that_move_stay_too():
    tracks, xyz, seen, cameras, _ = surface(moving_rows=5)
    pair = [0, 15]
    sigma_px = tracks.sigma_px
    assert sigma_px is not None
    few = Tracks2D(tracks.xy[:, pair], seen[:, pair], tracks.confidence[:, pair], tracks.queries, sigma_px[:, pair])
    two = Cameras(cameras.K[pair], cameras.T_wc[pair], cameras.size[pair])
    world = lifted(xyz[:, pair], seen[:, pair], two)
    moving = world.motion > 0.5
    assert moving[300:].mean() > 0.9 and moving[:300].mean() < 0.02
    kept = filter_drift(few, world, two)
    assert kept.keep[300:].all()
    assert not (kept.reason == "short").any()


def test_a_track_that_slides_to_another_surface_is_dropped():
    tracks, xyz, seen, cameras, _ = surface()
    for n in range(5):
        xyz[n, 20:] = cameras.centres[20:] + 2.0 * (xyz[n, 20:] - cameras.centres[20:])
    found = filter_drift(tracks, lifted(xyz, seen, cameras), cameras)
    usable = seen[:5, :20].sum(1).clip(max=seen[:5, 20:].sum(1)) > 3
    assert usable.any()
    assert (found.reason[:5][usable] == "jump").all()
    assert found.keep[5:].all()


def test_tracks_without_depth_short_ones_and_unsure_ones_are_dropped():
    tracks, xyz, seen, cameras, _ = surface()
    seen3d = seen.copy()
    seen3d[0] = False
    seen3d[1, 2:] = False
    sigma = np.full(seen.shape, 0.2, np.float32)
    sigma[2] = 8.0
    confidence = np.ones(seen.shape, np.float32)
    confidence[3] = 0.05
    unsure = Tracks2D(tracks.xy, seen, confidence, tracks.queries, sigma)
    reason = filter_drift(unsure, lifted(xyz, seen3d, cameras), cameras).reason
    np.testing.assert_array_equal(reason[:4], ["no depth", "short", "unsure", "unsure"])
    assert (reason[4:] == "").all()


def test_depth_by_chance_in_a_few_frames_is_no_depth():
    tracks, xyz, seen, cameras, _ = surface()
    seen3d = seen.copy()
    seen3d[:50] &= np.arange(40) % 8 == 0
    found = filter_drift(tracks, lifted(xyz, seen3d, cameras), cameras)
    assert (found.reason[:50][seen3d[:50].sum(1) >= 3] == "no depth").all()
    assert found.keep[50:].all()


def test_moving_tracks_of_made_up_depths_are_dropped_in_a_crowd():
    rng = np.random.default_rng(0)
    tracks, xyz, seen, cameras, _ = surface()
    wandering = xyz + np.cumsum(rng.normal(0, 0.02, xyz.shape), axis=1)  # each on its own, at any depth
    wandering = cameras.centres + (wandering - cameras.centres) * rng.uniform(0.5, 4, (400, 1, 1))
    crowd = CompanyOptions(radius_px=64.0, crowd=20)  # as many as this grid has
    found = filter_drift(tracks, lifted(wandering, seen, cameras), cameras, options=DriftOptions(company=crowd))
    assert (found.reason == "drift").mean() > 0.6


def test_a_still_track_that_slid_off_something_moving_is_dropped():
    tracks, xyz, seen, cameras, _ = surface()
    xyz[200, :4, 0] -= 0.1  # a dozen pixels, in the first tenth of the clip
    world = lifted(xyz, seen, cameras)
    world = replace(world, motion=np.where(np.arange(400) == 200, 0.3, world.motion).astype(np.float32))
    found = filter_drift(tracks, world, cameras)
    assert found.reason[200] == "drift"
    assert np.delete(found.keep, 200).mean() > 0.98


def test_few_scattered_tracks_are_not_judged_by_their_neighbours():
    tracks, xyz, seen, cameras, _ = surface(moving_rows=1)
    some = np.arange(0, 400, 57)
    assert filter_drift(tracks.select(some), lifted(xyz, seen, cameras).select(some), cameras).keep.all()


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_tracks_work(count):
    tracks, xyz, seen, cameras, _ = surface()
    some = np.arange(count)
    world = lifted(xyz, seen, cameras).select(some)
    assert len(filter_drift(tracks.select(some), world, cameras).keep) == count
    assert len(filter_drift(tracks.select(some), world, cameras, np.zeros((40, 512, 512), np.uint8)).keep) == count


def test_labels_of_another_shape_are_told():
    tracks, xyz, seen, cameras, _ = surface()
    world = lifted(xyz, seen, cameras)
    with pytest.raises(UserError, match=r"shape \(3, 512, 512\)"):
        filter_drift(tracks, world, cameras, np.zeros((3, 512, 512), np.uint8))
    with pytest.raises(UserError, match="float64"):
        filter_drift(tracks, world, cameras, np.zeros((40, 512, 512)))
    with pytest.raises(UserError, match="both must be alike"):
        filter_drift(tracks.select([0]), world, cameras)
