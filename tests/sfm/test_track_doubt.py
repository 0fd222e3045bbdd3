"""How sure depth is, against what it truly is off by where the tracks are made anew."""

import numpy as np
import pytest

from toolkit.sfm.bundle import Beliefs, State, adjust
from toolkit.sfm.track_doubt import depth_doubt
from toolkit.sfm.track_observed import Observed

FOCAL, FRAMES, POINTS = 500.0, 9, 60


def filmed(way, *, noise_px=0.5, seed=0, free_focal=False):
    """Points 3 to 9 away, seen by a camera that turns and goes sideways by `way`: what is seen, and the truth."""
    rng = np.random.default_rng(5)
    X = np.column_stack([rng.uniform(-2, 2, POINTS), rng.uniform(-1.5, 1.5, POINTS), rng.uniform(3, 9, POINTS)])
    time = np.linspace(-1, 1, FRAMES)
    R = np.repeat(np.eye(3)[None], FRAMES, 0)
    R[:, 0, 0] = R[:, 2, 2] = np.cos(0.1 * time)
    R[:, 0, 2], R[:, 2, 0] = np.sin(0.1 * time), -np.sin(0.1 * time)
    c = np.outer(time, [way / 2, 0, 0.1 * way])
    Y = np.einsum("tji,tpj->tpi", R, X[None] - c[:, None])
    uv = Y[..., :2] / Y[..., 2:] + np.random.default_rng(seed).normal(0, noise_px / FOCAL, (FRAMES, POINTS, 2))
    return Observed(uv, np.ones((FRAMES, POINTS)), 1 / FOCAL, Beliefs(), free_focal=free_focal), State(R, c, X, 0.0)


def off(seen, true, scale):
    """Median error of depth against each other in the middle camera, of an adjustment from the truth."""
    found, _ = adjust(true, seen.uv, seen.weight, scale, beliefs=seen.beliefs, free_focal=seen.free_focal, steps=40, tolerance=1e-9)
    depth = [((s.X - s.c[FRAMES // 2]) @ s.R[FRAMES // 2, :, 2]) for s in (found, true)]
    ratio = np.log(np.maximum(depth[0], 1e-3) / depth[1])
    return ratio - np.median(ratio)


@pytest.mark.parametrize("way", [0.3, 1.0])
def test_doubt_is_what_depth_is_off_by(way):
    scale = np.full(POINTS, 0.5 / FOCAL)
    errors = np.array([off(*filmed(way, seed=seed), scale) for seed in range(12)])
    spread = np.median(np.sqrt((errors**2).mean(0)))
    # Errors of a track are taken to last for three frames, here they are new in each.
    seen, true = filmed(way)
    assert spread < depth_doubt(seen, true, scale) < 3.5 * spread


def test_doubt_rises_as_the_camera_stops_and_where_the_lens_is_unknown():
    scale = np.full(POINTS, 0.5 / FOCAL)
    doubts = [depth_doubt(*filmed(way), scale) for way in (1.0, 0.3, 0.1, 0.02)]
    assert all(a < b for a, b in zip(doubts, doubts[1:], strict=False)) and doubts[0] < 0.03 and doubts[-1] > 0.3
    assert depth_doubt(*filmed(0.3, free_focal=True), scale) > doubts[1]


def test_the_unit_of_length_and_unseen_tracks_do_not_matter():
    scale = np.full(POINTS, 0.5 / FOCAL)
    seen, true = filmed(0.3)
    doubt = depth_doubt(seen, true, scale)
    assert depth_doubt(seen, State(true.R, 100 * true.c, 100 * true.X, 0.0), scale) == pytest.approx(doubt, rel=1e-6)
    assert np.isnan(depth_doubt(seen.weighted(np.arange(POINTS) < 5), true, scale))
