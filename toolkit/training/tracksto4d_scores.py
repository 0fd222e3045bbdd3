"""How good a TracksTo4D network is on scenes that it never learned from, beside saying nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch

from toolkit.evaluation import moving_points
from toolkit.models.tracksto4d import TracksTo4D
from toolkit.scene import Cameras, Scene, Tracks3D
from toolkit.synthetic.track_scenes import HELD_OUT, VALIDATION_SEEDS, TrackScene, track_scene
from toolkit.training.track_batches import Batch
from toolkit.training.tracksto4d_supervision import as_batch, supervised_loss

JUDGED_SIZES = ((16, 48), (24, 150), (50, 100))
"""Frames and points of the scenes that results are judged on."""
COLUMNS = {
    "ate_distance": "ATE/D",
    "rpe_rot_deg": "RPE rot °",
    "AbsRel": "AbsRel",
    "AbsRel_static": "AbsRel still",
    "AbsRel_moving": "AbsRel moving",
    "motion_auc": "motion AUC",
}
Lifter = Callable[[TrackScene], Scene]


def trivial(scene: TrackScene) -> Scene:
    """The answer of somebody who looked at nothing: a camera that stands still, every point at the same depth, all equally moving."""
    frames = scene.xyz.shape[1]
    cameras = Cameras.from_poses(scene.K, np.tile(np.eye(4), (frames, 1, 1)), scene.size)
    rays = (scene.tracks.xy - scene.K[:2, 2]) / scene.K[[0, 1], [0, 1]]
    xyz = np.concatenate([rays, np.ones((*rays.shape[:2], 1))], axis=-1).astype(np.float32)
    points = Tracks3D(xyz, scene.tracks.visible, np.full((len(xyz), 3), 200, np.uint8), np.full(len(xyz), 0.5, np.float32))
    return Scene(cameras=cameras, tracks_2d=scene.tracks, tracks_3d=points)


def by_network(network: TracksTo4D) -> Lifter:
    """The answer of a network alone."""
    return lambda scene: network.infer(scene.tracks, scene.K, scene.size)


def scores(lifter: Lifter, scenes: Iterable[TrackScene]) -> dict[str, float]:
    """Means over scenes, by the names of `COLUMNS`."""
    rows = []
    for scene in scenes:
        found = lifter(scene)
        assert found.cameras is not None and found.tracks_3d is not None
        row = moving_points(
            found.cameras, found.tracks_3d.xyz, scene.cameras, scene.xyz, scene.visible,
            motion=found.tracks_3d.motion, moving=scene.moving, distance=scene.distance,
        )  # fmt: skip
        rows.append([row[name] for name in COLUMNS])
    return dict(zip(COLUMNS, np.nanmean(rows, axis=0).tolist(), strict=True))


def validation_batches(scenes: int, sizes: Iterable[tuple[int, int]]) -> list[Batch]:
    """Scenes like the judged ones, but others."""
    return [as_batch([track_scene(seed, *size, recipe=HELD_OUT) for seed in VALIDATION_SEEDS[:scenes]]) for size in sizes]


def validation_loss(network: TracksTo4D, held: Iterable[Batch]) -> float:
    """Mean of the supervised loss over batches."""
    device = next(network.parameters()).device
    with torch.no_grad():
        return float(np.mean([supervised_loss(network(tracks.to(device)), truth.to(device))["total"].item() for tracks, truth in held]))
