"""A stage filmed by several cameras, with exact tracks; and the errors that real calibrations and depth have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, B, Cameras, MultiViewVideo
from toolkit.synthetic.clips import render_pinhole
from toolkit.synthetic.examples import FPS, Tripod
from toolkit.synthetic.motions import pose
from toolkit.synthetic.places import stage
from toolkit.synthetic.textures import Texture
from toolkit.synthetic.tracks import true_tracks, true_visibility
from toolkit.synthetic.world import Body, Shape, World

ErrorKind = Literal["K", "poses", "depth"]
MOST_VIEWS = 16


@dataclass(frozen=True, eq=False)
class SyntheticRig:
    """Several views with the truth.

    Attributes:
        clip: The views, with exact cameras and depth.
        queries: (N, 4) float32 (t, x, y, z), on things that move.
        xyz_w: (N, T, 3) float64 where these points are.
        visible: (V, N, T) which view sees them.
    """

    clip: MultiViewVideo
    queries: F32
    xyz_w: F64
    visible: B


def filmed_rig(
    views: int = 4,
    *,
    frames: int = 24,
    size: tuple[int, int] = (320, 240),
    spread_deg: float = 120.0,
    points: int = 60,
    pillars: int = 0,
    seed: int = 0,
    report: Report = silent,
) -> SyntheticRig:
    """A stage with moving things before cameras on an arc.

    Args:
        views: Number of cameras.
        frames: Length, at 30 frames per second.
        size: (width, height) of a picture.
        spread_deg: Angle from the first camera to the last.
        points: Tracks at most: pixels of the first and the middle view that show something moving.
        pillars: Posts that stand around the middle and hide what passes behind them.
        seed: Shuffles what moves.
        report: Told of every frame of every view.
    """
    if not 2 <= views <= MOST_VIEWS:
        raise UserError(f"A rig of {views} views was asked for, but it has from 2 to {MOST_VIEWS}.")
    world, times = _with_pillars(stage(seed), pillars, spread_deg), np.arange(frames) / FPS
    K = intrinsics_from_fov(60.0, size)
    rig = [Cameras.from_poses(K, np.repeat(Tripod(a)(0.0)[None], frames, 0), size) for a in np.linspace(0, spread_deg, views)]
    films = [
        render_pinhole(world, camera, times, report=lambda done, _, v=v: report(v * frames + done, views * frames))
        for v, camera in enumerate(rig)
    ]
    clip = MultiViewVideo(tuple(film.video for film in films), tuple(rig), tuple(film.depth_m for film in films))
    rng = np.random.default_rng(seed)
    xyz, moments = [], []
    for v in sorted({0, views // 2}):
        for t in sorted({0, frames // 2}):
            y, x = np.nonzero(films[v].moving[t])
            some = rng.permutation(len(x))[: points // 2]
            asked = np.column_stack([np.full(len(some), t), x[some] + 0.5, y[some] + 0.5])
            truth = true_tracks(world, rig[v], times, asked)
            xyz.append(truth.xyz_w)
            moments.append(asked[:, 0])
    xyz_w, moment = np.concatenate(xyz), np.concatenate(moments).astype(int)
    visible = np.stack([true_visibility(world, camera, times, xyz_w)[1] for camera in rig])
    # A point that one view alone sees when it is asked for can't be told from its colour by anybody.
    good = np.flatnonzero(visible[:, np.arange(len(moment)), moment].sum(0) > 1)
    good = np.sort(rng.permutation(good)[:points])
    queries = np.column_stack([moment[good], xyz_w[good, moment[good]]]).astype(np.float32)
    return SyntheticRig(clip, queries, xyz_w[good], visible[:, good])


def _with_pillars(world: World, count: int, spread_deg: float) -> World:
    """Posts on a circle of 1.9 m, on the side of the cameras."""
    if not count:
        return world
    paint = Texture("stripes", (0.75, 0.72, 0.66), (0.45, 0.20, 0.16), period_m=(0.25, 0.25), noise=0.4, grain_m=0.08)
    posts = []
    for k in range(count):
        angle = np.deg2rad(spread_deg * (k + 0.5) / count)
        at = (1.9 * float(np.sin(angle)), -1.1, -1.9 * float(np.cos(angle)))
        posts.append(Body("pillar", (Shape("cylinder", (0.09, 1.1, 0.09), paint, pose(at)),), pose()))
    return replace(world, bodies=(*world.bodies, *posts))


_KINDS: tuple[ErrorKind, ...] = ("K", "poses", "depth")


def with_errors(clip: MultiViewVideo, share: float, *, of: Iterable[ErrorKind] = _KINDS, seed: int = 0) -> MultiViewVideo:
    """The same views with a calibration and depth that are wrong by a share.

    Args:
        clip: With exact cameras.
        share: Standard deviation of the error of focal lengths and depth; of each camera's place over its distance from the middle of
            the others, by a tenth of it; the principal point errs by a tenth of it, of the width, the direction by a tenth, of a radian.
        of: What is wrong: intrinsics, poses, depth.
        seed: Of the errors.

    Raises:
        UserError: an unknown kind of error.
    """
    kinds = set(of)
    if kinds - set(_KINDS):
        raise UserError(f"There are errors of {', '.join(_KINDS)}, but not of {', '.join(sorted(map(str, kinds - set(_KINDS))))}.")
    rng = np.random.default_rng(seed)
    centres = np.array([camera.centres[0] for camera in clip.cameras])
    reach = float(np.median(np.linalg.norm(centres - centres.mean(0), axis=1)))
    in_K, in_poses = (share * (kind in kinds) for kind in ("K", "poses"))
    cameras = []
    for camera in clip.cameras:
        K, T = camera.K.copy(), camera.T_wc.copy()
        K[:, [0, 1], [0, 1]] *= 1 + in_K * rng.normal()
        K[:, :2, 2] += 0.1 * in_K * rng.normal(size=2) * camera.size[0]
        T[:, :3, :3] = T[:, :3, :3] @ Rotation.from_rotvec(0.1 * in_poses * rng.normal(size=3)).as_matrix()
        T[:, :3, 3] += 0.1 * in_poses * reach * rng.normal(size=3)
        cameras.append(Cameras(K, T, camera.size))
    depth = clip.depth_m
    if depth is not None and "depth" in kinds:
        depth = tuple((d * (1 + share * rng.normal(size=d.shape))).astype(np.float32) for d in depth)
    return replace(clip, cameras=tuple(cameras), depth_m=depth)
