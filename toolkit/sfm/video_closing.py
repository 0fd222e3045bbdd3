"""A model of a video whose camera came back: places known again are joined, and the drift gathered between is taken out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from toolkit.geometry.poses import invert
from toolkit.scene import F64
from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.features import Features
from toolkit.sfm.registration import poses
from toolkit.sfm.two_view import TwoView
from toolkit.sfm.video_loops import Constraints, LoopOptions, Similarities, alike, spread_drift
from toolkit.sfm.video_pairs import ModelFrames, VideoPairOptions, add_alike

if TYPE_CHECKING:
    import pycolmap


def find_loops(
    frames: ModelFrames,
    features: Sequence[Features],
    options: LoopOptions,
    pairing: VideoPairOptions,
    seed: int,
    tick: Callable[[], None] = lambda: None,
) -> dict[tuple[int, int], TwoView]:
    """Pairs of frames far apart in time that show the same, with their matches.

    Args:
        frames: The model's frames.
        features: Of each of them; empty where it is no keyframe.
        options: When two frames show the same.
        pairing: How features are compared.
        seed: Of vocabulary and random samples.
        tick: Called per pair that is compared.
    """
    found: dict[tuple[int, int], TwoView] = {}
    followed = [len(rows) for rows in frames.rows]
    for pair in alike({k: f for k, f in enumerate(features) if len(f)}, options, seed):
        tick()
        if pair in frames.found.pairs:
            continue
        if add_alike(found, features, followed, frames.found.cameras, pair, pairing, seed) < options.fewest:
            found.pop(pair, None)
    return found


def closed(
    model: pycolmap.Reconstruction, frames: ModelFrames, loops: dict[tuple[int, int], TwoView], options: LoopOptions, seed: int
) -> tuple[F64, list[tuple[int, int]]]:
    """Poses of the model's frames with the drift taken out, and the loops that spoke for it.

    Args:
        model: As it was mapped.
        frames: Its frames.
        loops: Pairs of frames that show the same.
        options: When a loop is believed.
        seed: Of the random samples.

    Returns:
        (K, 4, 4) camera-from-world, NaN where a frame has none; and pairs of places.
    """
    T_cw = poses(model, len(frames.frames))
    known = np.flatnonzero(np.isfinite(T_cw[:, 0, 0]))
    T_wc = invert(T_cw[known])
    row = {int(k): n for n, k in enumerate(known)}
    # Turns in radians, shifts in depths of the scene and logarithms of scales then weigh alike.
    depth = _depth(model)
    start = Similarities(T_wc[:, :3, :3].copy(), T_wc[:, :3, 3] / depth, np.ones(len(known)))
    across: list[tuple[int, int, Similarities]] = []
    for (i, j), pair in sorted(loops.items()):
        if i in row and j in row:
            between = _across(model, frames, (i, j), pair, T_cw, depth, options, seed)
            if between is not None:
                across.append((i, j, between))
    if not across:
        return T_cw, []
    steps = [(n, n + d) for d in (1, 2) for n in range(len(known) - d)]
    first, second = np.array(steps).T
    along = start[first].inverse().after(start[second])
    shared = [_shared(frames, int(known[a]), int(known[b])) for a, b in steps]
    loop_first, loop_second = np.array([(row[i], row[j]) for i, j, _ in across]).T
    measured = Constraints(
        np.concatenate([first, loop_first]),
        np.concatenate([second, loop_second]),
        Similarities(
            np.concatenate([along.R, *(b.R for _, _, b in across)]),
            np.concatenate([along.t, *(b.t for _, _, b in across)]),
            np.concatenate([along.scale, *(b.scale for _, _, b in across)]),
        ),
        np.concatenate([np.sqrt(np.maximum(shared, 1) / 100), np.full(len(across), 0.5)]),
        options,
    )
    done = spread_drift(start, measured)
    out = np.full_like(T_cw, np.nan)
    moved = np.tile(np.eye(4), (len(known), 1, 1))
    moved[:, :3, :3], moved[:, :3, 3] = done.R, done.t * depth
    out[known] = np.linalg.inv(moved)
    return out, [(i, j) for i, j, _ in across]


def joined(frames: ModelFrames, loops: dict[tuple[int, int], TwoView], believed: list[tuple[int, int]]) -> ModelFrames:
    """The frames with the matches across the loops among their pairs."""
    return replace(frames, found=replace(frames.found, pairs={**frames.found.pairs, **{pair: loops[pair] for pair in believed}}))


def _across(
    model: pycolmap.Reconstruction,
    frames: ModelFrames,
    pair: tuple[int, int],
    matches: TwoView,
    T_cw: F64,
    depth: float,
    options: LoopOptions,
    seed: int,
) -> Similarities | None:
    """What brings coordinates of the second camera into those of the first, by the points that the first one knows."""
    i, j = pair
    first, second = ([p.point3D_id if p.has_point3D() else -1 for p in model.image(k + 1).points2D] for k in pair)
    a, b = np.array(first)[matches.pairs[:, 0]], np.array(second)[matches.pairs[:, 1]]
    there = a >= 0
    if there.sum() < options.fewest_points:
        return None
    xyz = np.array([model.point3D(int(n)).xyz for n in a[there]])
    camera = model.camera(model.image(j + 1).camera_id)
    colmap = load_pycolmap()
    asked = colmap.AbsolutePoseEstimationOptions()
    asked.ransac.max_error = 4.0 * max(camera.width, camera.height, 1000) / 1000
    asked.ransac.random_seed = seed
    xy = frames.found.features[j].xy[matches.pairs[there, 1]].astype(np.float64)
    found = colmap.estimate_and_refine_absolute_pose(xy, xyz, camera, asked)
    if found is None or np.sum(found["inlier_mask"]) < options.fewest_points:
        return None
    back = np.eye(4)
    back[:3] = found["cam_from_world"].matrix()
    both = np.flatnonzero(np.asarray(found["inlier_mask"]) & (b[there] >= 0))
    if len(both) < 5:
        return None
    known = np.array([model.point3D(int(n)).xyz for n in b[there][both]])
    seen = xyz[both] @ back[2, :3] + back[2, 3]
    own = known @ T_cw[j, 2, :3] + T_cw[j, 2, 3]
    scale = float(np.median(seen / own))
    if not 0.05 < scale < 20:
        return None
    between = T_cw[i] @ np.linalg.inv(back)
    return Similarities(between[None, :3, :3], between[None, :3, 3] / depth, np.array([scale]))


def _depth(model: pycolmap.Reconstruction) -> float:
    """Median depth of the points in the frames that see them."""
    depths = []
    for number in sorted(model.reg_image_ids()):
        image = model.image(number)
        seen = [p.point3D_id for p in image.points2D if p.has_point3D()][:50]
        pose = image.cam_from_world().matrix()
        depths += [float(pose[2, :3] @ model.point3D(n).xyz + pose[2, 3]) for n in seen]
    return float(np.median(depths)) if depths else 1.0


def _shared(frames: ModelFrames, i: int, j: int) -> int:
    pair = frames.found.pairs.get((i, j))
    return 0 if pair is None else len(pair.pairs)
