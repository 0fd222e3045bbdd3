"""Generated tracks and flow follow what the pictures show."""

import cv2
import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.geometry.poses import invert, transform
from toolkit.geometry.sampling import pixel_centres, remap, sample_bilinear, sample_nearest
from toolkit.synthetic import example

SIZE = (192, 160)


@pytest.fixture(scope="module")
def clip():
    return example("handheld", frames=12, size=SIZE)


@pytest.fixture(scope="module")
def tracks(clip):
    return clip.tracks(grid=(24, 20), every=5)


def solid(tracks):
    return tracks.object_id > 0


def test_a_track_starts_on_its_query_and_is_seen_there(tracks):
    start = tracks.queries[:, 0].astype(int)
    row = np.arange(len(start))
    np.testing.assert_allclose(tracks.xy[row, start][solid(tracks)], tracks.queries[solid(tracks), 1:], atol=1e-6)
    assert tracks.visible[row, start][solid(tracks)].all()
    assert not tracks.visible[~solid(tracks)].any() and np.isnan(tracks.xyz_w[~solid(tracks)]).all()


def test_depth_under_a_visible_sample_is_the_depth_of_the_track(clip, tracks):
    for t in (0, 4, 11):
        seen = tracks.visible[:, t]
        z = transform(clip.cameras.T_cw[t], tracks.xyz_w[seen, t])[:, 2]
        # Inverse depth is linear across the picture of a plane: exact between pixels, except where pixels straddle an edge.
        under = 1 / sample_bilinear(1 / clip.depth_m[t], tracks.xy[seen, t])
        ids = sample_nearest(clip.object_ids[t], tracks.xy[seen, t])
        assert np.nanmedian(np.abs(under / z - 1)) < 1e-5
        assert (np.abs(under / z - 1) < 0.01).mean() > 0.85
        assert (ids == tracks.object_id[seen]).mean() > 0.95


def test_a_sample_inside_the_picture_that_is_not_visible_lies_behind_something(clip, tracks):
    hidden = 0
    for t in range(12):
        xy = tracks.xy[:, t]
        inside = (xy > 1).all(1) & (xy < np.array(SIZE) - 1).all(1) & ~tracks.visible[:, t]
        z = transform(clip.cameras.T_cw[t], tracks.xyz_w[inside, t])[:, 2]
        d = (xy[inside] - clip.cameras.K[t, :2, 2]) / np.diag(clip.cameras.K[t])[:2]
        rays = np.concatenate([d, np.ones((len(d), 1))], 1) @ clip.cameras.T_wc[t, :3, :3].T
        front = clip.world.cast(clip.cameras.centres[t], rays, float(clip.video.times_s[t])).distance
        assert (front < z * (1 - 1e-5)).all()
        hidden += inside.sum()
    assert hidden > 20


def test_points_keep_their_place_on_rigid_bodies(clip, tracks):
    times = clip.video.times_s
    names = np.array(clip.world.object_names)
    assert {"walker", "beach ball", "ball"} <= set(names[tracks.object_id[tracks.moving]])
    still = solid(tracks) & ~tracks.moving
    assert (np.ptp(tracks.xyz_w[still], axis=1) == 0).all()
    # A ball is one body: its points, in its own axes, don't move.
    on_ball = tracks.object_id == list(names).index("beach ball")
    body = list(clip.world.object_of_body).index(list(names).index("beach ball"))
    local = np.stack([transform(invert(clip.world.body_poses(float(s))[body]), tracks.xyz_w[on_ball, t]) for t, s in enumerate(times)], 1)
    assert np.ptp(local, axis=1).max() < 1e-9
    np.testing.assert_allclose(np.linalg.norm(local, axis=-1), 0.22, atol=1e-9)
    assert np.linalg.norm(tracks.xyz_w[on_ball, -1] - tracks.xyz_w[on_ball, 0], axis=-1).min() > 0.02


@pytest.mark.parametrize(("start", "stop"), [(2, 3), (8, 4)])
def test_another_frame_moved_by_the_flow_is_this_frame(clip, start, stop):
    flow = clip.flow(start, stop)
    frame, other, ids = clip.video.frames[start], clip.video.frames[stop], clip.object_ids[start].astype(np.uint8)
    assert flow.visible.mean() > 0.85
    # Pixels on an outline mix two things that move apart.
    inner = flow.visible & (cv2.erode(ids, np.ones((5, 5))) == cv2.dilate(ids, np.ones((5, 5))))

    def error(shift):
        return np.abs(remap(other, pixel_centres(SIZE) + flow.xy + shift).astype(int) - frame).max(-1)[inner]

    exact = error((0, 0))
    assert np.median(exact) <= 2 and np.percentile(exact, 90) <= 12
    for shift in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)):
        assert error(shift).mean() > 1.25 * exact.mean()


def test_flow_and_tracks_say_the_same(clip):
    rows, columns = np.mgrid[2:160:6, 3:192:6]
    q = np.stack([np.full(rows.size, 5.0), columns.ravel() + 0.5, rows.ravel() + 0.5], 1)
    tracks, flow = clip.tracks(q), clip.flow(5, 9)
    on = solid(tracks)
    moved, seen = flow.xy[rows, columns].reshape(-1, 2), flow.visible[rows, columns].ravel()
    np.testing.assert_allclose(tracks.xy[on, 9] - q[on, 1:], moved[on], atol=1e-4)
    np.testing.assert_array_equal(tracks.visible[on, 9], seen[on])
    z = transform(clip.cameras.T_cw[5], tracks.xyz_w[:, 5])[:, 2]
    np.testing.assert_allclose(z[on], clip.depth_m[5][rows, columns].ravel()[on], rtol=1e-6)


def test_the_sky_flows_as_the_camera_turns(clip):
    flow = clip.flow(0, 11)
    sky = clip.object_ids[0] == 0
    R = clip.cameras.T_wc[11, :3, :3].T @ clip.cameras.T_wc[0, :3, :3]
    K = clip.cameras.K[0]
    p = np.concatenate([pixel_centres(SIZE)[sky], np.ones((sky.sum(), 1))], 1) @ (K @ R @ np.linalg.inv(K)).T
    np.testing.assert_allclose(flow.xy[sky], p[:, :2] / p[:, 2:] - pixel_centres(SIZE)[sky], atol=1e-3)


def test_tracks_become_nouns(tracks):
    assert len(tracks.tracks_2d) == len(tracks.tracks_3d) == len(tracks.queries)
    assert set(np.unique(tracks.tracks_3d.motion)) == {0.0, 1.0}


def test_a_query_outside_the_film_is_refused(clip):
    with pytest.raises(UserError, match="frame 12, but the film has frames 0 to 11"):
        clip.tracks([[12, 5, 5]])
    with pytest.raises(UserError, match=r"frame 0\.5"):
        clip.tracks([[0.5, 5, 5]])
    assert len(clip.tracks(np.zeros((0, 3))).queries) == 0
