"""Two pointmaps of one moment, in the world: what a reference frame shows, moved to that moment, and what the frame of that moment shows.

The contract of St4RTrack (Feng et al., ICCV 2025), kept by a scene that has cameras, depth and tracks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from toolkit.errors import UserError
from toolkit.geometry.cameras import project, unproject
from toolkit.geometry.sampling import pixel_centres, sample_nearest
from toolkit.lifting.depth_between import sigma_of_confidence
from toolkit.scene import F32, F64, B, Scene

NEIGHBOURS = 4  # moving tracks that a pixel's motion is a mixture of
AGREE = 2.5  # standard deviations up to which a point is what the other frame shows
LEAST_AGREE = 0.03  # and at least this share of its depth
MOVING = 0.5
MOST_SIGMA = 10.0


@dataclass(frozen=True, eq=False)
class Pointmaps:
    """Both maps of one moment; world coordinates in the scene's unit, NaN where unknown.

    Attributes:
        tracked: (H, W, 3) float32 at the pixels of the reference frame: what it shows, at the moment, seen there or not.
        tracked_sigma: (H, W) float32 standard deviation of it.
        recon: (H, W, 3) at the pixels of the moment's own frame: what that shows.
        recon_sigma: (H, W) standard deviation of it.
        visible: (H, W) whether what the reference shows is seen at the moment.
        moves: (H, W) whether it moves in the world.
    """

    tracked: F32
    tracked_sigma: F32
    recon: F32
    recon_sigma: F32
    visible: B
    moves: B


def pointmaps(scene: Scene, reference: int, moment: int) -> Pointmaps:
    """The two pointmaps of one moment of a scene.

    Args:
        scene: With cameras, depth of all frames, and tracks of what moves; `track_world` makes one.
        reference: Frame whose pixels are followed.
        moment: Frame at whose time both maps are.

    Raises:
        UserError: the scene lacks cameras, depth or tracks, or has no such frame.
    """
    if scene.cameras is None or scene.depth is None or scene.tracks_3d is None or scene.tracks_2d is None:
        raise UserError("Pointmaps need a scene with cameras, depth and tracks, such as the method st4rtrack gives.")
    for name, t in (("reference", reference), ("moment", moment)):
        if not 0 <= t < scene.frames:
            raise UserError(f"The {name} is frame {t}, but the scene has frames 0 to {scene.frames - 1}.")
    recon, recon_sigma = _shown(scene, moment)
    base, base_sigma = _shown(scene, reference)
    moves = _moving(scene, reference)
    flow, flow_sigma = _flow(scene, reference, moment, moves)
    tracked = base + flow
    sigma = np.hypot(base_sigma, flow_sigma)
    return Pointmaps(
        tracked.astype(np.float32), sigma.astype(np.float32), recon.astype(np.float32), recon_sigma.astype(np.float32),
        _visible(scene, moment, tracked, sigma), moves,
    )  # fmt: skip


def _shown(scene: Scene, t: int) -> tuple[F64, F64]:
    """(H, W, 3) world points of a frame's pixels, and (H, W) how sure."""
    assert scene.cameras is not None and scene.depth is not None
    depth = scene.depth.depth[t].astype(np.float64)
    points = unproject(pixel_centres((depth.shape[1], depth.shape[0])), depth, scene.cameras.K[t], scene.cameras.T_wc[t])
    return points, np.minimum(sigma_of_confidence(scene.depth.confidence[t]), MOST_SIGMA) * depth


def _moving(scene: Scene, t: int) -> B:
    assert scene.depth is not None
    if scene.masks is not None:
        return np.asarray(scene.masks[t], bool)
    return np.zeros(scene.depth.depth.shape[1:], bool)


def _flow(scene: Scene, reference: int, moment: int, moves: B) -> tuple[F64, F64]:
    """(H, W, 3) how far each pixel's surface goes between two frames, and (H, W) how sure; nothing for what stands still."""
    assert scene.tracks_3d is not None and scene.tracks_2d is not None
    out, sure = np.zeros((*moves.shape, 3)), np.zeros(moves.shape)
    if not moves.any() or reference == moment:
        return out, sure
    tracks, xy = scene.tracks_3d, scene.tracks_2d.xy[:, reference]
    step = tracks.xyz[:, moment].astype(np.float64) - tracks.xyz[:, reference]
    rows = np.flatnonzero(
        (tracks.motion > MOVING) & np.isfinite(step).all(-1) & np.isfinite(xy).all(-1) & scene.tracks_2d.visible[:, reference]
    )
    if not len(rows):
        out[moves], sure[moves] = np.nan, np.nan
        return out, sure
    places = pixel_centres((moves.shape[1], moves.shape[0]))[moves]
    count = min(NEIGHBOURS, len(rows))
    apart, near = cKDTree(xy[rows]).query(places, k=count)
    apart, near = apart.reshape(len(places), count), near.reshape(len(places), count)
    weight = 1 / (apart + 1.0) ** 2
    weight /= weight.sum(1, keepdims=True)
    steps = step[rows][near]
    mean = (weight[..., None] * steps).sum(1)
    spread = np.sqrt((weight * ((steps - mean[:, None]) ** 2).sum(-1)).sum(1))
    own = np.zeros(len(rows)) if tracks.sigma is None else np.nan_to_num(tracks.sigma[rows, moment])
    out[moves], sure[moves] = mean, np.hypot(spread, (weight * own[near]).sum(1))
    return out, sure


def _visible(scene: Scene, t: int, xyz: F64, sigma: F64) -> B:
    """Which points are what the frame shows where they fall."""
    assert scene.cameras is not None and scene.depth is not None
    xy, z = project(xyz, scene.cameras.K[t], scene.cameras.T_wc[t])
    depth = scene.depth.depth[t]
    inside = (xy[..., 0] >= 0) & (xy[..., 0] < depth.shape[1]) & (xy[..., 1] >= 0) & (xy[..., 1] < depth.shape[0])
    there = sample_nearest(depth, xy)
    with np.errstate(invalid="ignore"):
        limit = np.maximum(AGREE * np.minimum(sigma, 0.2 * np.abs(z)), LEAST_AGREE * z)
        return np.asarray(inside & (z > 0) & (z - there < limit))
