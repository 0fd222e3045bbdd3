"""Whole clips of generated scenes with their truth: cameras, depth, and tracks of what the first frame shows, hidden or not."""

from __future__ import annotations

import numpy as np
import torch

from toolkit.geometry.poses import from_rotation, invert, transform
from toolkit.scene import Cameras, DepthVideo, Scene, Tracks2D, Tracks3D, Video
from toolkit.synthetic.pointmap_rendering import carried, cast, filmed, picture, pixel_rays, seen_from
from toolkit.synthetic.pointmap_scenes import HELD_OUT, PointmapRecipe, pointmap_scenes

FPS = 15.0
MOVED = 0.01  # of its distance: a track that goes less far over the clip stands still


def pointmap_clip(
    seed: int,
    frames: int,
    *,
    size: tuple[int, int] = (256, 256),
    every_px: int = 8,
    span: tuple[float, float] = (0.1, 0.9),
    recipe: PointmapRecipe = HELD_OUT,
) -> Scene:
    """A clip of one generated scene, and the truth behind it.

    Args:
        seed: The same seed, sizes and recipe give the same clip.
        frames: T.
        size: (width, height).
        every_px: A track starts in every so manieth pixel of the first frame, across and down.
        span: From when to when of the scene, in shares of its time.
        recipe: What kind of scene.

    Returns:
        Video, true cameras, depth of every pixel and tracks, in the first camera's frame; the unit is the mean distance of what it shows.
    """
    scenes = pointmap_scenes([seed], recipe=recipe)
    rays = pixel_rays(scenes.focal, size)
    picked = np.arange(size[0] * size[1]).reshape(size[1], size[0])[every_px // 2 :: every_px, every_px // 2 :: every_px].ravel()
    pictures, T_wc, depths, paths, places, seen = [], [], [], [], [], []
    first = None
    for moment in np.linspace(*span, frames):
        s = torch.tensor([moment], dtype=torch.float32)
        R, c = scenes.cameras(s)
        hits = cast(scenes, s, c, rays @ R.transpose(1, 2))
        image = picture(scenes, s, hits, size)
        if first is None:
            start = cast(scenes, s, c, rays[:, picked] @ R.transpose(1, 2))
            first = (hits, start)
        path = carried(scenes, s, first[1])
        visible, at = seen_from(scenes, s, path, R, c, size)
        pictures.append((filmed(image[:, None], [seed], [(float(moment),)])[0, 0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
        T_wc.append(from_rotation(R[0].double().numpy(), c[0].double().numpy()))
        depths.append(hits.distance[0].reshape(size[1], size[0]).numpy())
        paths.append(path[0].numpy())
        places.append(at[0].numpy() * size)
        seen.append(visible[0].numpy())
    assert first is not None
    world = np.stack(T_wc)
    unit = float(np.exp(np.log(np.linalg.norm(first[0].xyz[0].numpy() - world[0, :3, 3], axis=-1)).mean()))
    into = invert(world[0])
    xyz = transform(into, np.stack(paths, 1).astype(np.float64)) / unit
    poses = into @ world
    poses[:, :3, 3] /= unit
    focal = float(scenes.focal[0]) * size[0]
    K = np.array([[focal, 0, 0.5 * size[0]], [0, focal, 0.5 * size[1]], [0, 0, 1.0]])
    xy, visible = np.stack(places, 1), np.stack(seen, 1)
    moves = np.linalg.norm(np.diff(xyz, axis=1), axis=-1).sum(1) > MOVED * np.linalg.norm(xyz[:, 0], axis=-1)
    queries = np.column_stack([np.zeros(len(xy)), xy[:, 0]])
    depth = (np.stack(depths) / unit).astype(np.float32)
    row, column = np.divmod(picked, size[0])
    return Scene(
        cameras=Cameras.from_poses(K, poses, size),
        tracks_2d=Tracks2D(xy.astype(np.float32), visible, visible.astype(np.float32), queries.astype(np.float32)),
        tracks_3d=Tracks3D(xyz.astype(np.float32), visible, pictures[0][row, column], moves.astype(np.float32)),
        depth=DepthVideo(depth, np.ones_like(depth), "relative"),
        unit="relative",
        method="truth",
        video=Video.from_frames(np.stack(pictures), FPS),
    )
