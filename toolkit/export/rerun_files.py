"""A scene as a recording for the Rerun viewer (.rrd): cameras with their pictures, points and their trails; needs the package rerun-sdk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from toolkit.errors import UserError
from toolkit.export.view_files import view_names
from toolkit.scene import Scene

PACKAGE = "rerun-sdk"
TRAIL = 12  # frames that a trail is long
QUALITY = 85  # of the pictures, as JPEG
MOST_TRACKS = 2000  # that are drawn


def lacks_rerun() -> str:
    """What is missing for writing recordings, or ""."""
    return "" if find_spec("rerun") is not None else f'the package {PACKAGE} (pip install "{PACKAGE}>=0.23")'


def write_rrd(scene: Scene, path: Path, tick: Callable[[], None], seed: int) -> dict[str, Any]:
    """Writes a recording that `rerun FILE` opens.

    Args:
        scene: With cameras or 3D tracks.
        path: Of the file.
        tick: Called per frame of each view; may raise `Cancelled`.
        seed: Of the choice of tracks, where there are many.

    Returns:
        Notes for the manifest.

    Raises:
        UserError: the package is not installed.
    """
    if lacking := lacks_rerun():
        raise UserError(f"A recording for the Rerun viewer needs {lacking}.")
    import rerun as rr  # type: ignore[import-not-found]

    recording = rr.RecordingStream("lift4d")
    recording.save(str(path))
    recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Y_DOWN, static=True)
    if scene.points is not None:
        recording.log("world/points", rr.Points3D(scene.points.xyz, colors=scene.points.rgb), static=True)
    for name, view in zip(view_names(scene), (replace(scene, views=()), *scene.views), strict=True):
        _log_view(rr, recording, f"world/views/{name}", view, tick)
    drawn = _log_tracks(rr, recording, scene, tick, seed)
    recording.flush()
    return {"timeline": "frame", "tracks": drawn, "axes": "x right, y down, z forward; lengths in the unit of the scene"}


def _log_view(rr: Any, recording: Any, place: str, view: Scene, tick: Callable[[], None]) -> None:
    cameras = view.cameras
    if cameras is None:
        return
    for t in range(len(cameras)):
        tick()
        if not cameras.registered[t]:
            continue
        recording.set_time("frame", sequence=t)
        if t == 0 or not np.array_equal(cameras.T_wc[t], cameras.T_wc[t - 1]):
            recording.log(place, rr.Transform3D(translation=cameras.T_wc[t, :3, 3], mat3x3=cameras.T_wc[t, :3, :3]))
        if t == 0 or not np.array_equal(cameras.K[t], cameras.K[t - 1]):
            recording.log(place, rr.Pinhole(image_from_camera=cameras.K[t], resolution=cameras.size[t].tolist()))
        if view.video is not None:
            _, jpeg = cv2.imencode(".jpg", view.video.frames[t][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            recording.log(f"{place}/picture", rr.EncodedImage(contents=jpeg.tobytes(), media_type="image/jpeg"))
        if view.depth is not None:
            depth = np.nan_to_num(view.depth.depth[t], nan=0.0)
            recording.log(f"{place}/depth", rr.DepthImage(depth, meter=1.0))


def _log_tracks(rr: Any, recording: Any, scene: Scene, tick: Callable[[], None], seed: int) -> int:
    tracks = scene.tracks_3d
    if tracks is None or not len(tracks):
        return 0
    if len(tracks) > MOST_TRACKS:
        tracks = tracks.select(np.sort(np.random.default_rng(seed).permutation(len(tracks))[:MOST_TRACKS]))
    xyz = tracks.xyz
    known = np.isfinite(xyz[..., 0])
    for t in range(xyz.shape[1]):
        tick()
        recording.set_time("frame", sequence=t)
        here = known[:, t]
        # What no view sees is drawn darker.
        colours = np.where(tracks.visible[here, t, None], tracks.rgb[here], tracks.rgb[here] // 2).astype(np.uint8)
        recording.log("world/tracks/points", rr.Points3D(xyz[here, t], colors=colours))
        first = max(0, t - TRAIL)
        strips = [xyz[n, first : t + 1][known[n, first : t + 1]] for n in np.flatnonzero(here)]
        recording.log("world/tracks/trails", rr.LineStrips3D(strips, colors=colours))
    return len(tracks)
