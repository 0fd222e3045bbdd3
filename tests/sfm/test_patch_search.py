"""Patches found again along epipolar lines, on generated photos with exact geometry."""

import cv2
import numpy as np

from tests.sfm import photo_set
from toolkit.geometry.cameras import project
from toolkit.sfm.patch_search import PatchOptions, View, find_in_neighbours


def _on_walls(xy, seen, t):
    """(N, 3) the point of the room that shows at each pixel."""
    rays = np.column_stack([(xy - photo_set.K[:2, 2]) / photo_set.FOCAL_PX, np.ones(len(xy))]) @ seen.T_wc[t, :3, :3].T
    with np.errstate(divide="ignore"):
        distance = np.array([(at - seen.T_wc[t, axis, 3]) / rays[:, axis] for axis, at in ((2, 6.0), (1, 1.5), (0, 3.0))])
    return seen.T_wc[t, :3, 3] + rays * np.where(distance > 0, distance, np.inf).min(0)[:, None]


def test_corners_are_found_in_views_from_far_apart_to_a_fraction_of_a_pixel_and_seldom_wrongly():
    seen = photo_set.cameras(3, step=0.9, turn_deg=7)
    pictures = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float32) for p in photo_set.photograph(seen)]
    views = {t: View(picture, photo_set.K, seen.T_cw[t]) for t, picture in enumerate(pictures)}
    rng = np.random.default_rng(0)
    corners = rng.uniform([60, 40], [420, 280], (300, 2)).astype(np.float32)
    model = _on_walls(rng.uniform([0, 0], photo_set.SIZE, (200, 2)), seen, 1)
    found = find_in_neighbours(views, 1, [0, 2], corners, model, PatchOptions())
    truth = _on_walls(corners.astype(np.float64), seen, 1)
    errors = []
    for t in (0, 2):
        xy, _ = project(truth, seen.K[t], seen.T_wc[t])
        errors.append(np.linalg.norm(found[t] - xy, axis=1))
    both = np.concatenate(errors)
    both = both[np.isfinite(both)]
    print("found", len(both), "of", 2 * len(corners), "median error", np.median(both), "over a pixel", np.mean(both > 1))
    assert len(both) > 150
    assert np.median(both) < 0.15
    assert np.mean(both > 1) < 0.03


def test_nothing_is_found_in_a_view_of_another_place():
    seen = photo_set.cameras(3, step=0.4)
    other = photo_set.photograph(seen, seed=7)
    pictures = [photo_set.photograph(seen)[1] if t == 1 else other[t] for t in range(3)]
    views = {t: View(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float32), photo_set.K, seen.T_cw[t]) for t, p in enumerate(pictures)}
    rng = np.random.default_rng(1)
    corners = rng.uniform([60, 40], [420, 280], (200, 2)).astype(np.float32)
    model = _on_walls(rng.uniform([0, 0], photo_set.SIZE, (100, 2)), seen, 1)
    found = find_in_neighbours(views, 1, [0, 2], corners, model, PatchOptions())
    assert sum(np.isfinite(xy[:, 0]).sum() for xy in found.values()) <= 4
