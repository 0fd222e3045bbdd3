"""A small picture of a result: its middle frame, with the points that were followed."""

from __future__ import annotations

import cv2
import numpy as np

from toolkit.scene import U8, Scene

_WIDTH = 240
_DOTS = 250
_STILL, _MOVING = (90, 200, 230), (255, 120, 40)  # RGB
_MOVES_FROM = 0.5  # of a track's motion, 0 still .. 1 moving


def thumbnail(scene: Scene) -> bytes | None:
    """A JPEG of the middle frame, moving points in orange; None where the scene has no video."""
    if scene.video is None or not len(scene.video):
        return None
    t = len(scene.video) // 2
    frame = scene.video.frames[t]
    height, width = frame.shape[:2]
    scale = _WIDTH / width
    small = np.ascontiguousarray(cv2.resize(frame, (_WIDTH, max(2, round(height * scale))), interpolation=cv2.INTER_AREA), np.uint8)
    _draw(small, scene, t, scale)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return data.tobytes() if done else None


def _draw(image: U8, scene: Scene, t: int, scale: float) -> None:
    flat = scene.tracks_2d
    if flat is None or t >= flat.xy.shape[1]:
        return
    seen = np.flatnonzero(flat.visible[:, t] & np.isfinite(flat.xy[:, t]).all(-1))
    for i in seen[:: max(1, len(seen) // _DOTS)]:
        moves = scene.tracks_3d is not None and len(scene.tracks_3d) == len(flat) and scene.tracks_3d.motion[i] >= _MOVES_FROM
        x, y = (float(v) * scale for v in flat.xy[i, t])
        cv2.circle(image, (round(x - 0.5), round(y - 0.5)), 1, _MOVING if moves else _STILL, -1, cv2.LINE_AA)
