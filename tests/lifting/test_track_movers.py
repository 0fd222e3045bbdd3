"""Things that move, placed from generated paths whose truth is known."""

import numpy as np

from toolkit.evaluation.moving_points import depth_in
from toolkit.lifting.mover_bodies import bodies_of, body_of, carried, filled
from toolkit.lifting.mover_hints import floor_of
from toolkit.lifting.track_movers import Evidence, MoverOptions, Still, place_movers
from toolkit.sfm.track_company import CompanyOptions, company_of
from toolkit.synthetic.track_scenes import HELD_OUT, track_scene


def given(scene):
    K = scene.K
    uv = ((np.nan_to_num(scene.tracks.xy).swapaxes(0, 1) - K[:2, 2]) / K[0, 0]).astype(float)
    seen, still = scene.tracks.visible.T, ~scene.moving
    T_wc = scene.cameras.T_wc
    around = Still(scene.xyz[still, 0], uv[:, still], seen[:, still], T_wc[:, :3, :3], T_wc[:, :3, 3])
    return uv, seen, around


def errors(scene, found):
    """Relative error of depth of moving points, in the frames in which they are seen."""
    xyz = found.xyz.swapaxes(0, 1)
    ours, true = depth_in(scene.cameras, xyz), depth_in(scene.cameras, scene.xyz[scene.moving])
    known = scene.tracks.visible[scene.moving] & np.isfinite(ours)
    return abs(ours[known] / true[known] - 1)


def test_moving_points_are_about_as_far_as_they_are():
    """Cameras and labels true; a flat guess at the median depth of the still points is off by 100 % and more."""
    rows, flat = [], []
    for seed in range(30, 42):
        scene = track_scene(seed, 24, 120, recipe=HELD_OUT)
        uv, seen, around = given(scene)
        rows.append(np.mean(errors(scene, place_movers(uv[:, scene.moving], seen[:, scene.moving], around, MoverOptions()))))
        true = depth_in(scene.cameras, scene.xyz)
        usual = np.median(true[~scene.moving])
        flat.append(np.mean(abs(usual / true[scene.moving] - 1)))
    assert np.mean(rows) < 0.3 < 0.5 * np.mean(flat)


def test_other_evidence_of_depth_decides_where_there_is_some():
    scene = track_scene(31, 16, 80, recipe=HELD_OUT)
    uv, seen, around = given(scene)
    true = depth_in(scene.cameras, scene.xyz[scene.moving]).T
    evidence = (Evidence(np.log(true), 0.02),)
    found = place_movers(uv[:, scene.moving], seen[:, scene.moving], around, MoverOptions(), evidence=evidence)
    assert np.mean(errors(scene, found)) < 0.15


def test_points_stay_on_their_rays_and_are_unknown_while_nothing_of_their_body_is_seen():
    scene = track_scene(33, 12, 60, recipe=HELD_OUT)
    uv, seen, around = given(scene)
    uv, seen = uv[:, scene.moving], seen[:, scene.moving].copy()
    seen[:3] = False
    found = place_movers(uv, seen, around, MoverOptions())
    assert np.isnan(found.xyz[:3]).all()
    own = np.einsum("tij,tmi->tmj", around.R, found.xyz - around.centres[:, None])
    known = seen & np.isfinite(own).all(-1)
    np.testing.assert_allclose((own[..., :2] / own[..., 2:])[known], uv[known], atol=1e-9)


def test_a_body_that_grows_comes_nearer():
    rng = np.random.default_rng(0)
    shape, depth = rng.normal(0, 0.3, (12, 2)), np.linspace(4, 2, 10)
    uv = shape[None] / depth[:, None, None] + 0.0005 * rng.normal(size=(10, 12, 2))
    body = body_of(uv, np.ones((10, 12), bool), np.arange(12))
    np.testing.assert_allclose(body.log_depth, np.log(depth) - np.log(depth).mean(), atol=0.02)


def test_parts_of_a_body_that_are_not_seen_any_more_go_on_with_it():
    rng = np.random.default_rng(0)
    shape, depth = rng.normal(0, 0.3, (12, 2)), np.linspace(4, 2, 10)
    uv = (shape[None] + np.linspace(0, 1, 10)[:, None, None] * [1.0, 0]) / depth[:, None, None]
    seen = np.ones((10, 12), bool)
    seen[4:, 0] = False
    path = filled(uv, seen)
    body = body_of(path, seen, np.arange(12))
    way, told = carried(body, path, seen)
    assert told.all()
    np.testing.assert_allclose(way[4:, 0], uv[4:, 0], atol=0.02)


def test_a_thing_seen_before_another_one_is_another_body():
    """A person who walks slowly before a car that passes."""
    rng = np.random.default_rng(0)
    time = np.linspace(0, 0.25, 30)[:, None, None]
    car = rng.uniform([-0.3, -0.05], [0.1, 0.05], (200, 2)) + time * [1, 0]
    person = rng.uniform([-0.03, -0.1], [0.03, 0.2], (60, 2)) + 0.1 * time * [1, 0]
    groups = bodies_of(np.concatenate([car, person], 1), np.ones((30, 260), bool), apart=0.35, motion_weight=10.0)
    of_person = [g for g in groups if (g >= 200).any()]
    assert sum((g < 200).sum() for g in of_person) == 0


def test_things_that_go_different_ways_are_two_bodies():
    rng = np.random.default_rng(0)
    time = np.linspace(0, 0.3, 12)[:, None, None]
    left = rng.normal(0, 0.03, (8, 2)) + np.array([-0.2, 0]) + time * [1, 0]
    right = rng.normal(0, 0.03, (8, 2)) + np.array([0.2, 0]) - time * [1, 0]
    groups = bodies_of(np.concatenate([left, right], 1), np.ones((12, 16), bool), apart=0.3, motion_weight=3.0)
    assert sorted(sorted(g.tolist()) for g in groups) == [list(range(8)), list(range(8, 16))]


def test_gaps_are_filled_in_time():
    uv = np.stack([np.linspace(0, 1, 5)] * 2, -1)[:, None]
    seen = np.array([[1], [0], [0], [1], [0]], bool)
    np.testing.assert_allclose(filled(uv, seen)[:, 0, 0], [0, 0.25, 0.5, 0.75, 0.75])


def test_a_floor_is_found_where_there_is_one_and_only_there():
    rng = np.random.default_rng(0)
    ground = np.column_stack([rng.uniform(-1, 1, 40), np.full(40, 0.5), rng.uniform(2, 5, 40)])
    above = np.column_stack([rng.uniform(-1, 1, 60), rng.uniform(-1, 0.4, 60), rng.uniform(2, 5, 60)])
    R, c, none = np.eye(3)[None], np.zeros((1, 3)), np.zeros((1, 100, 2))
    floor = floor_of(Still(np.concatenate([ground, above]), none, np.ones((1, 100), bool), R, c))
    assert floor is not None
    np.testing.assert_allclose([*floor.normal, floor.offset], [0, 1, 0, 0.5], atol=1e-6)
    assert floor_of(Still(rng.normal(size=(100, 3)), none, np.ones((1, 100), bool), R, c)) is None


def test_evidence_is_passed_on_among_tracks_that_move_alike_only():
    rng = np.random.default_rng(0)
    uv = rng.uniform(-0.2, 0.2, (40, 2))[None].repeat(12, 0)
    uv[:, :20] += np.linspace(0, 0.3, 12)[:, None, None]
    evidence = np.where(np.arange(40) < 20, 2.0, 0.0)
    evidence[0] = 0.0  # one that nothing was seen of
    company = company_of(uv, np.ones((12, 40), bool), CompanyOptions())
    after = company.passed_on(evidence, 3)
    assert after[0] > 1.2 and after[20:].max() < 0.5
