"""Points with depth are told from those that a mere turn explains: on generated rays, and in whole runs on small pictures."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# The method fills every part that is looked at here.

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import toolkit as tk
from tests.sfm import photo_set, walk_clip
from toolkit.sfm.parallax import parallax
from toolkit.sfm.sightings import Sightings
from toolkit.synthetic.motions import pose

FOCAL = 800.0


def seen(pictures=5, *, way=0.0, noise_px=0.3, k1=0.0, wrong_focal=1.0, points=500, mover=0.0, seed=0):
    """Sightings of points 4 to 12 away by a camera that turns by 5 degrees a picture and moves by `way`, and its true poses."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.uniform(-8, 8, points), rng.uniform(-4, 4, points), rng.uniform(4, 12, points)])
    moves = np.all(np.abs(X[:, :2] / X[:, 2:]) < mover, axis=1)
    T_cw = np.tile(np.eye(4), (pictures, 1, 1))
    rows = []
    for t in range(pictures):
        R = Rotation.from_euler("YX", [5 * (t - pictures / 2), 2 * (-1) ** t], degrees=True).as_matrix().T
        centre = np.array([t - pictures / 2, 0.3 * (-1) ** t, 0])
        T_cw[t, :3, :3], T_cw[t, :3, 3] = R, -R @ centre * (way or 0.05)
        x = (X + moves[:, None] * [0.05 * t, 0, 0] - centre * way) @ R.T
        u = x[:, :2] / x[:, 2:]
        xy = FOCAL * u * (1 + k1 * np.sum(u * u, 1))[:, None] + rng.normal(size=u.shape) * noise_px
        inside = np.flatnonzero((np.abs(xy) < [500, 350]).all(1))
        cell = ((xy[inside] + [500, 350]) / [125, 87.5]).astype(int) @ [1, 8]
        rows.append(np.column_stack([np.full(len(inside), t), inside, xy[inside], cell]))
    table = np.concatenate(rows)
    often = np.bincount(table[:, 1].astype(int), minlength=points) > 1
    table = table[often[table[:, 1].astype(int)]]
    name, point = np.unique(table[:, 1].astype(int), return_inverse=True)
    focal = FOCAL * wrong_focal
    rays = table[:, 2:4] / focal
    frame, cell = table[:, 0].astype(int), table[:, 4].astype(int)
    return Sightings(frame, point, rays, rays, np.full(len(rays), focal), cell, np.zeros(pictures, int), name), T_cw


@pytest.mark.parametrize("pictures", [2, 5])
@pytest.mark.parametrize(("k1", "wrong_focal"), [(0, 1), (0.22, 1), (0.22, 1.4), (-0.1, 0.8)])
def test_a_turn_is_known_through_any_lens(pictures, k1, wrong_focal):
    sightings, T_cw = seen(pictures, k1=k1, wrong_focal=wrong_focal)
    assert parallax(sightings, T_cw).share < (0.1 if pictures == 2 else 0.05)
    if pictures > 2:  # of a single pair a focal length that is wrong can't be told in every case
        assert parallax(sightings, None).still > 0.75


def test_the_share_with_depth_rises_with_the_way_against_the_noise():
    shares = [parallax(*seen(way=way)).share for way in (0.001, 0.01, 0.03, 0.1, 0.3)]
    assert all(a < b + 0.02 for a, b in zip(shares, shares[1:], strict=False))
    assert shares[0] < 0.1 and shares[2] > 0.4 and shares[-1] > 0.75
    quiet, loud = (parallax(*seen(way=0.02, noise_px=noise)).share for noise in (0.15, 1.0))
    assert quiet > 0.4 and loud < 0.25


def test_a_pair_with_a_short_baseline_is_told_as_one_with_a_long_one():
    assert parallax(*seen(2, way=0.3)).share > 0.7
    assert parallax(*seen(2, way=0.003)).share < 0.1


def test_a_thing_that_moves_before_a_turning_camera_is_not_taken_for_depth_all_over():
    sightings, T_cw = seen(mover=0.15)
    result = parallax(sightings, T_cw)
    assert result.share < 0.2 and result.still > 0.6


@pytest.mark.parametrize("K", [None, photo_set.K], ids=["lens unknown", "lens known"])
def test_photos_of_a_camera_that_only_turns_through_a_bent_lens_are_refused(K):
    pictures = photo_set.photograph(photo_set.cameras(4, step=0, turn_deg=10), k1=0.22)
    with pytest.raises(tk.UserError, match="only turns or stands still"):
        tk.reconstruct(pictures, K=K, max_features=800, tracker="sift")


def test_a_short_way_that_suffices_is_not_refused():
    truth = photo_set.cameras(4, step=0.1, turn_deg=4)
    scene = tk.reconstruct(photo_set.photograph(truth), K=photo_set.K, max_features=800, tracker="sift")
    assert scene.cameras.registered.all()
    turns = scene.cameras.T_wc[:, :3, :3].transpose(0, 2, 1) @ scene.cameras.T_wc[0, :3, :3]
    right = truth.T_wc[:, :3, :3].transpose(0, 2, 1) @ truth.T_wc[0, :3, :3]
    assert np.degrees(np.arccos((np.einsum("tij,tij->t", turns, right).clip(-1, 3) - 1) / 2)).max() < 0.5


def small(video, **options):
    return tk.reconstruct(video, **{"track_points": 250, "track_side": 320, "moving": "keep", **options})


def test_things_that_move_before_a_camera_that_stands_are_not_taken_for_a_place():
    base = walk_clip.film(walk_clip.walk()[:1])[0].frames[0]
    paint = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8), 6, 0), 6, 1)
    frames = np.repeat(base[None], 12, 0)
    for t, frame in enumerate(frames):
        frame[70:166, 20 + 8 * t : 116 + 8 * t] = paint
    scene = small(tk.Video.from_frames(frames), K=walk_clip.K)
    assert np.allclose(scene.cameras.T_wc, np.eye(4), atol=1e-3) and scene.points is None
    assert any("stands still" in told for told in scene.report["warnings"])


@pytest.mark.parametrize(("frames", "seed"), [(4, 0), (10, 0), (10, 3)])
def test_noise_is_no_scene(frames, seed):
    noise = np.random.default_rng(seed).integers(0, 255, (frames, 90, 160, 3), np.uint8)
    with pytest.raises(tk.UserError, match="found again in the next one"):
        small(tk.Video.from_frames(noise))


def test_of_a_clip_that_turns_and_then_walks_the_walk_is_placed_and_the_turn_told():
    turn = np.array([pose((-0.9, -1.3, -1.9), yaw_deg=8 + a, pitch_deg=-6) for a in np.linspace(80, 5, 10)])
    video, _ = walk_clip.film(np.concatenate([turn, walk_clip.walk(14)]))
    scene = small(video, K=walk_clip.K)
    assert scene.cameras.registered[10:].all() and not scene.cameras.registered[:3].any()
    assert all(frame["reason"] for frame in scene.report["frames"][:3])


def test_of_one_wall_two_photos_are_refused_and_three_say_what_they_leave_open():
    with pytest.raises(tk.UserError, match="one plane, take three photos of it or more and give K"):
        tk.reconstruct(wall(2), max_features=800, tracker="sift")
    told = " ".join(tk.reconstruct(wall(4), max_features=800, tracker="sift").report["warnings"])
    assert "one plane" in told and "give K" in told
    known = tk.reconstruct(wall(4), K=photo_set.K, max_features=800, tracker="sift")
    assert known.cameras.registered.all() and not any("plane" in line for line in known.report["warnings"])


def wall(photos):
    return photo_set.photograph(photo_set.cameras(photos, step=0.8, turn_deg=8), planes=1)
