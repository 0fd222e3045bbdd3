"""A reconstructed video without what moves: masks of it are made, and points that lie under them leave the still scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.progress import Report, silent
from toolkit.scene import F32, I64, B, Scene
from toolkit.sfm.moving_masks import MaskOptions, MovingThings, moving_masks
from toolkit.sfm.moving_seen import Followed
from toolkit.sfm.photo_scene import flat_xy
from toolkit.sfm.video_model import VideoModel
from toolkit.sfm.video_points import VideoPoints
from toolkit.wording import counted

_UNDER = 0.5  # a point moves that lies under masks in more than this share of the frames that show it
_WORTH_TELLING = 0.3  # share of the picture from which on moving things may have carried the cameras


@dataclass(frozen=True, eq=False)
class FlatPoints:
    """Points followed through a video, in pixels of the scene's pictures.

    Attributes:
        ids: For each frame the rising numbers of its points.
        xy: For each frame (n, 2) where they are.
    """

    ids: Sequence[I64]
    xy: Sequence[F32]


def flat_points(result: VideoModel, points: VideoPoints, scene: Scene) -> FlatPoints:
    """Points followed through a video as they lie in the pictures of its scene, which have no lens distortion."""
    assert scene.cameras is not None
    xy = [flat_xy(result.camera, p, K).astype(np.float32) for p, K in zip(points.xy, scene.cameras.K, strict=True)]
    return FlatPoints([ids.astype(np.int64) for ids in points.ids], xy)


def without_moving(scene: Scene, points: Followed, *, seed: int = 0, options: MaskOptions | None = None, report: Report = silent) -> Scene:
    """The scene with masks of what moves, and without the points that these cover.

    Args:
        scene: Cameras, tracks and cloud of a video, with its pictures.
        points: Followed through them; those on moving things too.
        seed: Of random samples.
        options: How masks are made.
        report: Called per frame.

    Returns:
        The scene; its report has an entry `moving`.
    """
    assert scene.video is not None and scene.cameras is not None
    things = moving_masks(scene.video, points, scene.cameras, seed=seed, options=options, report=report)
    masks = things.masks
    gone_tracks = gone_points = 0
    if masks.any() and scene.tracks_2d is not None and scene.tracks_3d is not None:
        stays = ~_mostly_under(scene.tracks_2d.xy, scene.tracks_2d.visible, masks)
        gone_tracks = int((~stays).sum())
        if scene.points is not None:
            kept = ~_shown_by(scene, ~stays)
            gone_points = int((~kept).sum())
            scene = replace(scene, points=replace(scene.points, xyz=scene.points.xyz[kept], rgb=scene.points.rgb[kept]))
        assert scene.tracks_2d is not None and scene.tracks_3d is not None
        scene = replace(scene, tracks_2d=scene.tracks_2d.select(stays), tracks_3d=scene.tracks_3d.select(stays))
    told = {**scene.report, "moving": _told(things, gone_tracks, gone_points)}
    share = float(masks.mean())
    if share > _WORTH_TELLING:
        warning = f"{100 * share:.0f} % of the picture moves, so cameras may follow that instead of the place; mask what moves."
        told["warnings"] = [*told.get("warnings", []), warning]
    return replace(scene, masks=masks, report=told)


def _told(things: MovingThings, tracks: int, points: int) -> dict[str, Any]:
    """What the report says of it."""
    shares = things.masks.mean((1, 2))
    return {
        "share_of_picture": round(float(shares.mean()), 5),
        "largest_share": round(float(shares.max()), 5),
        "frames": int((shares > 0).sum()),
        "tracks_left_out": tracks,
        "points_left_out": points,
        "told": f"{100 * float(shares.mean()):.1f} % of the picture moves; {counted(points, 'point')} left the still scene."
        if shares.any()
        else "Nothing moves.",
    }


def _mostly_under(xy: NDArray, visible: B, masks: B) -> B:
    """(N,) which tracks lie under masks in most frames that show them."""
    height, width = masks.shape[1:]
    seen, under = np.zeros(len(xy)), np.zeros(len(xy))
    for t, mask in enumerate(masks):
        rows = np.flatnonzero(visible[:, t])
        column, row = xy[rows, t].astype(np.int64).T
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        rows, column, row = rows[inside], column[inside], row[inside]
        seen[rows] += 1
        under[rows] += mask[row, column]
    return under > _UNDER * np.maximum(seen, 1)


def _shown_by(scene: Scene, tracks: B) -> B:
    """(P,) which points of the cloud are those of some tracks."""
    assert scene.points is not None and scene.tracks_3d is not None
    # Tracks are the cloud's own points, seen most often: the same numbers to the last bit.
    taken = {row.tobytes() for row in np.ascontiguousarray(scene.tracks_3d.xyz[tracks, 0])}
    return np.array([row.tobytes() in taken for row in np.ascontiguousarray(scene.points.xyz)], bool)
