"""A model of photos grown by what its points show: photos placed that the mapper left out, matches sought where there are few."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from toolkit.scene import F64
from toolkit.sfm.mapping import Correspondences
from toolkit.sfm.matching import MatchOptions
from toolkit.sfm.registration import Placed, RegistrationOptions, known_points, place, second_look
from toolkit.sfm.two_view import TwoView

if TYPE_CHECKING:
    import pycolmap


def placed(
    model: pycolmap.Reconstruction,
    found: Correspondences,
    T_cw: F64,
    options: RegistrationOptions,
    seed: int,
    told: dict[int, Placed],
    tick: Callable[[], None],
) -> F64:
    """The poses with those of photos that the model's points place; tells of each what came of it.

    Args:
        model: Of other photos; image numbers are photos plus one.
        found: Features and cameras of all photos.
        T_cw: (T, 4, 4) camera-from-world, NaN where a photo has no place yet.
        options: When a photo counts as placed.
        seed: Of the random samples.
        told: By photo, filled with how it went.
        tick: Called per photo.
    """
    T_cw = T_cw.copy()
    missing = np.flatnonzero(~np.isfinite(T_cw[:, 0, 0])).tolist()
    known = known_points(model, found) if missing else None
    for t in missing:
        tick()
        told[t] = place(model, found, t, options, seed, known)
        if told[t].T_cw is not None:
            T_cw[t] = told[t].T_cw
    return T_cw


def looked_again(
    found: Correspondences,
    model: pycolmap.Reconstruction,
    T_cw: F64,
    few_matches: int,
    options: MatchOptions,
    tick: Callable[[], None],
) -> Correspondences:
    """The pairs with matches sought along the epipolar lines of the poses, where there are few.

    Args:
        found: Features and pairs.
        model: Its points say which photos see the same.
        T_cw: (T, 4, 4) camera-from-world, NaN where a photo has no place.
        few_matches: Pairs with fewer are looked at again.
        options: When features match.
        tick: Called per pair.
    """
    pairs: dict[tuple[int, int], TwoView] = dict(found.pairs)
    cameras = refined_cameras(model, found)
    known = np.isfinite(T_cw[:, 0, 0])
    for i, j in _neighbours(model, found, T_cw):
        before = pairs.get((i, j))
        if not (known[i] and known[j]) or (before is not None and len(before.pairs) >= few_matches):
            continue
        tick()
        matches = second_look(found, (cameras[i], cameras[j]), T_cw, (i, j), options)
        if len(matches) > (0 if before is None else len(before.pairs)):
            pairs[i, j] = TwoView(matches, "full" if before is None else before.kind, np.full((3, 3), np.nan))
    return replace(found, pairs=pairs)


def _neighbours(model: pycolmap.Reconstruction, found: Correspondences, T_cw: F64) -> list[tuple[int, int]]:
    """Pairs that match already, and pairs of placed photos whose views share points of the model."""
    chosen = set(found.pairs)
    known = np.flatnonzero(np.isfinite(T_cw[:, 0, 0]))
    xyz = np.array([p.xyz for p in model.points3D.values()]).reshape(-1, 3)
    seen = np.zeros((len(found.names), len(xyz)), bool)
    for t in known.tolist():
        camera = found.cameras[t]
        local = xyz @ T_cw[t, :3, :3].T + T_cw[t, :3, 3]
        front = local[:, 2] > 1e-6
        with np.errstate(divide="ignore", invalid="ignore"):
            xy = local[:, :2] / local[:, 2:] * model.camera(camera.camera_id).mean_focal_length() + [camera.width / 2, camera.height / 2]
        seen[t] = front & np.all((xy > 0) & (xy < [camera.width, camera.height]), axis=1)
    shared = seen.astype(np.float32) @ seen.T.astype(np.float32)
    angle = np.rad2deg(np.arccos(np.clip(T_cw[:, 2, :3] @ T_cw[:, 2, :3].T, -1, 1)))
    for n, i in enumerate(known):
        for j in known[n + 1 :]:
            # SIFT hardly matches things that turned by more than 50 degrees.
            if shared[i, j] > 0.3 * min(shared[i, i], shared[j, j]) and angle[i, j] < 50:
                chosen.add((int(i), int(j)))
    return sorted(chosen)


def refined_cameras(model: pycolmap.Reconstruction, found: Correspondences) -> list[pycolmap.Camera]:
    """The lens of each photo as the model has refined it; as it was where the model does not have it."""
    return [model.camera(c.camera_id) if model.exists_camera(c.camera_id) else c for c in found.cameras]
