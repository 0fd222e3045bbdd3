import numpy as np
import pytest

from toolkit.evaluation.mvtracker import mvtracker_scores
from toolkit.multiview.baselines import each_view_alone, staying
from toolkit.multiview.calibration_check import Sighted, check_rig
from toolkit.multiview.lifting import lift_pixels
from toolkit.multiview.tracking import grey_views, track_views
from toolkit.multiview.view_depth import depth_of_moment
from toolkit.scene import MultiViewVideo, Video
from toolkit.synthetic.rigs import SyntheticRig, filmed_rig, with_errors


@pytest.fixture(scope="module")
def rig() -> SyntheticRig:
    return filmed_rig(4, frames=16, size=(320, 240), spread_deg=75.0, points=40)


def score(rig: SyntheticRig, xyz, visible) -> dict[str, float]:
    return mvtracker_scores(xyz, visible, rig.xyz_w, rig.visible.any(0), rig.queries[:, 0], benchmark="dexycb-multiview")


def darkened(rig: SyntheticRig, views: tuple[int, ...], frames: slice) -> MultiViewVideo:
    videos = list(rig.clip.views)
    for v in views:
        dark = videos[v].frames.copy()
        dark[frames] = 0
        videos[v] = Video(dark, videos[v].times_s)
    return MultiViewVideo(tuple(videos), rig.clip.cameras)


def test_tracks_through_views_beat_each_view_alone_and_staying(rig):
    """Without depth, and more so with it."""
    alone = each_view_alone(rig.clip, rig.queries)
    alone = score(rig, alone, np.isfinite(alone[..., 0]))
    still = staying(rig.queries, 16)
    still = score(rig, still, np.ones(still.shape[:2], bool))
    name = "average_jaccard__any"
    for clip, more in ((MultiViewVideo(rig.clip.views, rig.clip.cameras), 3), (rig.clip, 8)):
        found = track_views(clip, rig.queries).tracks_3d
        ours = score(rig, found.xyz, found.visible)
        assert ours[name] > alone[name] + more
        assert ours[name] > still[name] + 20


def test_tracks_go_on_after_views_were_dark_where_each_view_alone_loses_them(rig):
    clip = darkened(rig, (0, 1, 2), slice(6, 8))
    found = track_views(clip, rig.queries)
    ours = score(rig, found.tracks_3d.xyz, found.tracks_3d.visible)
    alone = each_view_alone(clip, rig.queries)
    alone = score(rig, alone, np.isfinite(alone[..., 0]))
    still = staying(rig.queries, 16)
    still = score(rig, still, np.ones(still.shape[:2], bool))
    name = "average_jaccard__any"
    assert ours[name] > alone[name] + 3
    assert ours[name] > still[name] + 10


def test_tracks_are_at_their_queries_and_wrong_cameras_cost_little_at_one_percent(rig):
    found = track_views(with_errors(rig.clip, 0.01), rig.queries)
    rows, t = np.arange(len(rig.queries)), rig.queries[:, 0].astype(int)
    np.testing.assert_allclose(found.tracks_3d.xyz[rows, t], rig.queries[:, 1:], atol=1e-6)
    error = np.linalg.norm(found.tracks_3d.xyz - rig.xyz_w, axis=-1)
    assert np.nanmedian(error) < 0.05


def test_a_view_that_goes_dark_does_little_harm(rig):
    clean = track_views(MultiViewVideo(rig.clip.views, rig.clip.cameras), rig.queries)
    found = track_views(darkened(rig, (1,), slice(3, 7)), rig.queries)
    errors = [np.nanmedian(np.linalg.norm(f.tracks_3d.xyz - rig.xyz_w, axis=-1)) for f in (clean, found)]
    assert errors[1] < 1.3 * errors[0]
    assert not found.tracks_2d[1].visible[:, 3:7].any()


def test_no_points_have_no_tracks(rig):
    found = track_views(rig.clip, np.zeros((0, 4), np.float32))
    assert found.tracks_3d.xyz.shape == (0, 16, 3) and len(found.tracks_2d) == 4


def test_poses_the_wrong_way_round_are_told_even_where_they_put_all_cameras_at_one_place(rig):
    views = [Sighted(s.name, s.frames, s.K, np.linalg.inv(s.T_wc).astype(np.float64)) for s in sighted(rig)]
    same = [Sighted(s.name, s.frames, s.K, np.r_[np.c_[s.T_wc[:3, :3], views[0].T_wc[:3, 3]], [[0, 0, 0, 1]]]) for s in views]
    assert check_rig(same).warnings


def test_a_camera_that_shows_nothing_is_told(rig):
    views = sighted(rig)
    views[1] = Sighted("cam1", views[1].frames * 0, views[1].K, views[1].T_wc)
    assert any("cam1 shows nothing" in w for w in check_rig(views).warnings)


def test_pixels_are_lifted_onto_what_they_show(rig):
    images = grey_views(rig.clip)
    y, x = np.mgrid[40:220:20, 40:300:20]
    xy = np.stack([x, y], -1).reshape(-1, 2) + 0.5
    found = lift_pixels(images, rig.clip.cameras, 1, 8, xy)
    truth = lift_pixels(images, rig.clip.cameras, 1, 8, xy, depth=rig.clip.depth_m[1][8])
    known = np.isfinite(found.xyz_w[:, 0]) & np.isfinite(truth.xyz_w[:, 0])
    assert known.sum() > 15
    far = np.linalg.norm(truth.xyz_w - rig.clip.cameras[1].centres[8], axis=1)
    share = (np.linalg.norm(found.xyz_w - truth.xyz_w, axis=1) / far)[known]
    assert np.median(share) < 0.05 and (share < 0.1).mean() > 0.7


def test_depth_of_a_moment_is_found_from_the_views_alone(rig):
    clip = MultiViewVideo(rig.clip.views, rig.clip.cameras)
    for view, (depth, sure) in enumerate(depth_of_moment(clip, 8)):
        truth = rig.clip.depth_m[view][8]
        near = truth < 8.0
        known = near & np.isfinite(depth)
        assert known.sum() > 0.35 * near.sum() and (sure[~np.isfinite(depth)] == 0).all()
        off = np.abs(depth[known] / truth[known] - 1)
        assert np.median(off) < 0.01 and (off < 0.05).mean() > 0.9


def sighted(rig: SyntheticRig, shift: int = 0) -> list[Sighted]:
    images = grey_views(rig.clip)
    return [
        Sighted(f"cam{v}", np.roll(image, shift if v == 1 else 0, axis=0), c.K[0], c.T_wc[0])
        for v, (image, c) in enumerate(zip(images, rig.clip.cameras, strict=True))
    ]


def test_a_right_calibration_passes(rig):
    assert not check_rig(sighted(rig)).warnings


def test_inverted_poses_are_told(rig):
    views = [Sighted(s.name, s.frames, s.K, np.linalg.inv(s.T_wc).astype(np.float64)) for s in sighted(rig)]
    assert any("wrong way round" in w for w in check_rig(views).warnings)


def test_intrinsics_of_another_size_are_told(rig):
    views = [Sighted(s.name, s.frames, np.diag([2.0, 2.0, 1.0]) @ s.K, s.T_wc) for s in sighted(rig)]
    assert any("times as large" in w for w in check_rig(views).warnings)


def test_a_camera_copied_from_another_is_told(rig):
    views = sighted(rig)
    views[2] = Sighted("cam2", views[2].frames, views[0].K, views[0].T_wc)
    assert any("copy" in w for w in check_rig(views).warnings)
