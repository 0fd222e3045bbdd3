"""All scores that a result and a truth allow: each part that both have is compared by its own protocol."""

from __future__ import annotations

import numpy as np

from toolkit.errors import UserError
from toolkit.evaluation.cameras import cameras
from toolkit.evaluation.depth import depth
from toolkit.evaluation.moving_points import moving_points
from toolkit.evaluation.tracks import tracks_2d, tracks_3d
from toolkit.scene import I64, Cameras, DepthVideo, Scene, Tracks2D, Tracks3D

NEAR_PX = 3.0  # a track that begins within so much of a true one follows the same point
MOVING = 0.5  # motion level over which a true track moves

Scores = dict[str, dict[str, float]]


def compare_scenes(pred: Scene, gt: Scene) -> tuple[Scores, list[str]]:
    """Scores of every part that both scenes have.

    Tracks are paired in order where there are as many that begin at the same places, else each true one with the predicted one nearest to
    it, up to 3 px, in the frame where it was asked for. Where the result has fewer frames, the first frames of the truth count.

    Args:
        pred: The result.
        gt: The truth.

    Returns:
        Scores by part and protocol: "cameras"; "tracks_2d"; "tracks_3d" with the published scale, "tracks_3d_sim3" after a similarity and,
        where both are in metres, "tracks_3d_metric"; "moving_points"; "depth", and "depth_scaled" by the ratio of medians. And sentences
        about what could not be compared.

    Raises:
        UserError: nothing that both have, or more frames in the result than in the truth.
    """
    notes: list[str] = []
    frames = pred.frames
    if frames > gt.frames:
        raise UserError(f"The result has {frames} frames, but the truth {gt.frames}; a truth of the same recording is needed.")
    if frames < gt.frames:
        notes.append(f"the result has {frames} of the {gt.frames} true frames: these are compared")
        gt = _first(gt, frames)
    scores: Scores = {}
    if pred.cameras is not None and gt.cameras is not None:
        scores["cameras"] = cameras(pred.cameras, gt.cameras)
    _add_tracks(pred, gt, scores, notes)
    if pred.depth is not None and gt.depth is not None:
        if pred.depth.depth.shape != gt.depth.depth.shape:
            notes.append(f"depth is {pred.depth.depth.shape[1:]} in the result but {gt.depth.depth.shape[1:]} in the truth: not compared")
        else:
            if "relative" not in (pred.depth.unit, gt.depth.unit):
                scores["depth"] = depth(pred.depth, gt.depth)
            scores["depth_scaled"] = depth(pred.depth, gt.depth, align="median_scale")
    if not scores:
        told = " and ".join(f"the {name} has {_parts(scene)}" for name, scene in (("result", pred), ("truth", gt)))
        raise UserError(f"Nothing can be compared: {told}{''.join(f'; {note}' for note in notes)}.")
    return scores, notes


def _add_tracks(pred: Scene, gt: Scene, scores: Scores, notes: list[str]) -> None:
    pairs = _paired(pred, gt, notes)
    if pairs is None:
        return
    mine, true = pairs
    size = _size(gt) or _size(pred)
    if pred.tracks_2d is not None and gt.tracks_2d is not None:
        if size is None:
            notes.append("neither tells the size of the picture: tracks in 2D are not compared")
        else:
            scores["tracks_2d"] = tracks_2d(pred.tracks_2d.select(mine), gt.tracks_2d.select(true), size=size)
    if pred.tracks_3d is None or gt.tracks_3d is None:
        return
    p, g = pred.tracks_3d.select(mine), gt.tracks_3d.select(true)
    if not (g.visible & np.isfinite(g.xyz).all(2) & np.isfinite(p.xyz).all(2)).any():
        notes.append("no visible true point is predicted in 3D: tracks in 3D are not compared")
        return
    scores["tracks_3d"] = tracks_3d(p.xyz, g.xyz, g.visible)
    scores["tracks_3d_sim3"] = tracks_3d(p.xyz, g.xyz, g.visible, align="sim3")
    if pred.unit == gt.unit == "metre":
        scores["tracks_3d_metric"] = tracks_3d(p.xyz, g.xyz, g.visible, align="none")
    if pred.cameras is not None and gt.cameras is not None:
        labelled = np.isfinite(g.motion).all() and len(g) > 0
        moving = g.motion > MOVING if labelled else None
        scores["moving_points"] = moving_points(
            pred.cameras, p.xyz, gt.cameras, g.xyz, g.visible, motion=p.motion if labelled else None, moving=moving
        )


def _paired(pred: Scene, gt: Scene, notes: list[str]) -> tuple[I64, I64] | None:
    """Indices of predicted and true tracks that follow the same points; None where there are none."""
    counts = [len(t) if (t := s.tracks_2d if s.tracks_2d is not None else s.tracks_3d) is not None else 0 for s in (pred, gt)]
    if 0 in counts:
        return None
    if pred.tracks_2d is None or gt.tracks_2d is None:
        if counts[0] != counts[1]:
            notes.append(f"{counts[0]} tracks and {counts[1]} true ones, without 2D tracks to pair them by: not compared")
            return None
        return np.arange(counts[0]), np.arange(counts[0])
    distance = _apart(pred.tracks_2d, gt.tracks_2d, np.arange(counts[0])) if counts[0] == counts[1] else np.array([np.inf])
    if np.nanmedian(distance) <= NEAR_PX:
        return np.arange(counts[0]), np.arange(counts[0])
    nearest, apart = _nearest(pred.tracks_2d, gt.tracks_2d)
    close = np.flatnonzero(apart <= NEAR_PX)
    if len(close) == 0:
        notes.append(f"none of the {counts[1]} true tracks begins within {NEAR_PX:g} px of one of the result: tracks are not compared")
        return None
    notes.append(f"{len(close)} of the {counts[1]} true tracks have one of the result within {NEAR_PX:g} px: these are compared")
    return nearest[close], close


def _frames_asked(tracks: Tracks2D) -> I64:
    return np.clip(tracks.queries[:, 0], 0, tracks.xy.shape[1] - 1).astype(np.int64)


def _apart(pred: Tracks2D, gt: Tracks2D, mine: I64) -> np.ndarray:
    """(N,) distance of each true track from its predicted one where it was asked for, px."""
    frame, each = _frames_asked(gt), np.arange(len(gt))
    return np.linalg.norm(pred.xy[mine, frame] - gt.xy[each, frame], axis=1)


def _nearest(pred: Tracks2D, gt: Tracks2D) -> tuple[I64, np.ndarray]:
    """Predicted track that is nearest to each true one where that was asked for, and how far it is."""
    frame = _frames_asked(gt)
    nearest, apart = np.zeros(len(gt), np.int64), np.full(len(gt), np.inf)
    for t in np.unique(frame):
        here = np.flatnonzero(frame == t)
        there = np.flatnonzero(np.isfinite(pred.xy[:, t]).all(1))
        if len(there) == 0:
            continue
        distance = np.linalg.norm(pred.xy[None, there, t] - gt.xy[here, None, t], axis=2)
        distance = np.where(np.isfinite(distance), distance, np.inf)
        best = distance.argmin(1)
        nearest[here], apart[here] = there[best], distance[np.arange(len(here)), best]
    return nearest, apart


def _first(scene: Scene, frames: int) -> Scene:
    """The first frames of a truth; tracks that are asked for later lose what was there."""
    c, a, b, d = scene.cameras, scene.tracks_2d, scene.tracks_3d, scene.depth
    return Scene(
        cameras=None if c is None else Cameras(c.K[:frames], c.T_wc[:frames], c.size[:frames]),
        tracks_2d=None if a is None else Tracks2D(a.xy[:, :frames], a.visible[:, :frames], a.confidence[:, :frames], a.queries),
        tracks_3d=None if b is None else Tracks3D(b.xyz[:, :frames], b.visible[:, :frames], b.rgb, b.motion),
        depth=None if d is None else DepthVideo(d.depth[:frames], d.confidence[:frames], d.unit),
        unit=scene.unit,
        method=scene.method,
    )


def _size(scene: Scene) -> tuple[int, int] | None:
    if scene.video is not None:
        return scene.video.size
    if scene.cameras is not None and len(scene.cameras):
        return int(scene.cameras.size[0, 0]), int(scene.cameras.size[0, 1])
    return None


def _parts(scene: Scene) -> str:
    named = {"cameras": scene.cameras, "2D tracks": scene.tracks_2d, "3D tracks": scene.tracks_3d, "depth": scene.depth}
    return ", ".join(name for name, part in named.items() if part is not None) or "nothing"
