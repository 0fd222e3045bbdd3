"""The 4D page: a whole scene in one HTML file that opens from disk, plays and turns, and asks no host for anything."""

from __future__ import annotations

import base64
import html
import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.export.clouds import static_cloud
from toolkit.media.writing import replacing
from toolkit.progress import Report, silent
from toolkit.scene import U8, Cameras, Scene
from toolkit.views import colours
from toolkit.views.page_packing import DEPTH_LEVELS, Box, byte_planes, depth_steps, held, packed, short
from toolkit.views.page_parts import PageSettings, Parts, choose_parts
from toolkit.views.page_view import starting_view

_HERE = Path(__file__).parent
_ROUNDS = 8  # of making a page smaller; two are usual
_OWN_BYTES = 60_000  # of a page without a scene
_SCRIPTS = ("page_data.js", "page_camera.js", "page_webgl.js", "page_canvas.js", "page_main.js")


def write_page(
    scene: Scene,
    path: str | os.PathLike[str],
    *,
    seed: int = 0,
    settings: PageSettings | None = None,
    report: Report = silent,
) -> Path:
    """Writes the 4D page of a scene; see `page_html`.

    Args:
        scene: The result of any method.
        path: Of the HTML file.
        seed: Of the choices of tracks and points that are shown.
        settings: How much the page holds.
        report: Called per frame; it may raise `Cancelled`.

    Returns:
        The path.

    Raises:
        UserError: the scene has nothing to show in three dimensions, the name is not that of a page, or the file can't be written.
    """
    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path} does not end with .html, but a page is written, which would replace what lies there.")
    text = page_html(scene, seed=seed, settings=settings, report=report)
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def page_html(scene: Scene, *, seed: int = 0, settings: PageSettings | None = None, report: Report = silent) -> str:
    """The 4D page as text: for an iframe's `srcdoc`, or a file of its own. The same scene gives the same text.

    It shows moving points with trails, still points, the static cloud, the surface that the current frame sees, the camera path and
    the current frustum with its picture; with a time bar, and legends that tell units and what was left out.

    Raises:
        UserError: the scene has nothing to show in three dimensions.
    """
    settings = settings or PageSettings()
    if lacking := lacks(scene):
        raise UserError(f"A 4D page needs {lacking}, but the scene holds none of them.")
    if scene.points is None and scene.video is not None and scene.depth is not None and scene.cameras is not None:
        scene = replace(scene, points=static_cloud(scene, max_points=settings.max_cloud, report=lambda *_: report(0, 0)))
    parts = choose_parts(scene, settings, seed=seed, report=report)
    text = _text(scene, parts, settings)
    for _ in range(_ROUNDS):
        if len(text) <= settings.max_bytes:
            break
        settings = _smaller(settings, scene, parts, len(text))
        parts = choose_parts(scene, settings, seed=seed, report=report)
        text = _text(scene, parts, settings)
    return text


def lacks(scene: Scene) -> str:
    """What a scene lacks for a page, or ""."""
    tracks = scene.tracks_3d is not None and bool(np.isfinite(scene.tracks_3d.xyz).any())
    cloud = scene.points is not None and len(scene.points) > 0
    poses = scene.cameras is not None and bool(scene.cameras.registered.any())
    return "" if tracks or cloud or poses else "3D tracks, a cloud or camera poses"


def _smaller(settings: PageSettings, scene: Scene, parts: Parts, size: int) -> PageSettings:
    """A budget for a page that was too large: less of everything that fills it; fewer frames once the pictures are small."""
    share = 0.95 * max(settings.max_bytes - _OWN_BYTES, 1) / (size - _OWN_BYTES)
    frames, smallest_px = len(parts.frames), 128
    picture = min(settings.picture_px, max(scene.video.size)) if scene.video is not None else settings.picture_px
    return replace(
        settings,
        max_samples=int(share * (0 if parts.tracks is None else frames * len(parts.tracks))),
        max_surface_samples=int(share * (0 if parts.surface is None else parts.surface.size)),
        max_cloud=int(share * (0 if parts.cloud is None else len(parts.cloud))),
        max_frames=max(1, frames if picture > smallest_px else int(share * frames)),
        picture_px=max(16, round(picture * share**0.5)),
    )


def _text(scene: Scene, parts: Parts, settings: PageSettings) -> str:
    meta, numbers, pictures = _contents(scene, parts, settings)
    return _template().format(
        title=html.escape(f"Lift4D · {scene.method}" if scene.method else "Lift4D"),
        meta=json.dumps(meta, ensure_ascii=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        numbers=base64.b64encode(numbers).decode(),
        pictures=base64.b64encode(pictures).decode(),
    )


def _contents(scene: Scene, parts: Parts, settings: PageSettings) -> tuple[dict[str, Any], bytes, bytes]:
    """(what the page is told in JSON, compressed numbers, JPEGs one after the other)."""
    anchors = _anchors(scene, parts)
    box = Box.around(anchors)
    view = starting_view(anchors, scene.cameras)
    arrays: dict[str, U8] = {}
    notes = list(parts.notes)
    counts = {"frames": len(parts.frames), "all_frames": scene.frames}
    counts |= dict.fromkeys(("tracks", "moving", "doubtful", "trails", "cloud", "surface"), 0)
    meta: dict[str, Any] = {
        "method": scene.method,
        "unit": scene.unit,
        "counts": counts,
        "frame": parts.frames.tolist(),
        "times_s": short(np.array(parts.times_s)),
        "box": {"low": short(box.low), "side": short(box.side)},
        "view": {name: short(np.asarray(getattr(view, name))) for name in ("up", "ahead", "centre", "reach", "tilt_deg")},
        "cameras": _cameras(scene.cameras, parts),
        "others": [_cameras(view.cameras, parts) for view in scene.views],
        "path": [] if scene.cameras is None else short(scene.cameras.centres),
        "warm": colours.WARM[::17].tolist(),
        "levels": colours.LEVELS[::17].tolist(),
        "still": list(colours.STILL_RGB),
        "spacing": short(parts.spacing),
    }
    outside = 0
    if parts.tracks is not None:
        known = np.isfinite(parts.tracks.xyz).all(-1)
        steps, inside = box.rounded(parts.tracks.xyz.transpose(1, 0, 2))
        outside += int((known & ~inside.T).any(axis=1).sum())
        arrays["track_xyz"] = byte_planes(held(steps, inside), axis=0)
        arrays["track_known"] = np.packbits(inside)
        arrays["track_rgb"] = parts.tracks.rgb.reshape(-1)
        fps = 1.0 if len(parts.times_s) < 2 else 1 / float(np.median(np.diff(parts.times_s)))
        pace = colours.speed(parts.tracks.xyz[: parts.doubtful], fps)
        fastest = colours.typical_top_speed(pace[: int(parts.moving.sum())] if parts.moving.any() else pace)
        share = np.where(np.isfinite(pace), np.clip(np.nan_to_num(pace) / fastest, 0, 1) * 254 + 1, 0).astype(np.uint8)
        arrays["track_pace"] = np.diff(share.T, axis=0, prepend=np.zeros((1, len(share)), np.uint8)).reshape(-1)
        meta["fastest"] = short(fastest)
        arrays["track_level"] = _levels(parts)
        counts |= {"tracks": len(parts.tracks), "moving": int(parts.moving.sum()), "doubtful": parts.doubtful, "trails": parts.trails}
        meta["most_trails"] = settings.max_trails if len(parts.frames) > 1 else 0
        meta["level_means"] = str(scene.report.get("motion_level", ""))
        frame_s = float(np.median(np.diff(parts.times_s))) if len(parts.times_s) > 1 else 1.0
        meta["trail_frames"] = int(np.clip(round(settings.trail_s / frame_s), 4, 40))
    if parts.cloud is not None:
        steps, inside = box.rounded(parts.cloud.xyz)
        outside += int((~inside).sum())
        arrays["cloud_xyz"] = byte_planes(steps[inside], axis=0)
        arrays["cloud_rgb"] = parts.cloud.rgb[inside].reshape(-1)
        counts["cloud"] = int(inside.sum())
    if parts.surface is not None:
        known = parts.surface[np.isfinite(parts.surface)]
        near, far = (float(q) for q in np.quantile(known[:: max(1, len(known) // 100_000)], [0.0005, 0.9995]))
        far = max(far, near * 1.01)
        steps = depth_steps(parts.surface, near, far)
        arrays["surface"] = byte_planes(steps, axis=2)
        height, width = parts.surface.shape[1:]
        counts["surface"] = int(np.median((steps > 0).sum((1, 2))))
        meta["surface"] = {"size": [width, height], "near": short(near), "far": short(far), "levels": DEPTH_LEVELS}
    if outside:
        notes.append(f"{outside:,} {'point' if outside == 1 else 'points'} far away from the rest left out.")
    numbers, meta["arrays"] = packed(arrays)
    meta["counts"], meta["notes"] = counts, notes
    meta["pictures"] = [] if parts.pictures is None else [len(p) for p in parts.pictures]
    return meta, numbers, b"".join(parts.pictures or [])


def _levels(parts: Parts) -> U8:
    """(N,) motion levels as 0..255; rounding takes none across the middle, where things begin to move."""
    assert parts.tracks is not None
    level = np.round(255 * np.clip(np.nan_to_num(parts.tracks.motion), 0, 1))
    return np.where(parts.moving, np.maximum(level, 128), np.minimum(level, 127)).astype(np.uint8)


def _anchors(scene: Scene, parts: Parts) -> NDArray:
    """(P, 3) points that the view and the box are fitted to."""
    found: list[NDArray] = [] if parts.tracks is None else [parts.tracks.xyz.reshape(-1, 3)]
    if parts.cloud is not None:
        found.append(parts.cloud.xyz)
    if not found and scene.cameras is not None:
        found.append(scene.cameras.centres)
    return np.concatenate(found)


def _cameras(cameras: Cameras | None, parts: Parts) -> list[dict[str, Any] | None]:
    """Of each shown frame: field of view in shares of the picture, and pose as 12 numbers; None without a pose."""
    if cameras is None:
        return []
    told: list[dict[str, Any] | None] = []
    for t in parts.frames:
        K, (width, height) = cameras.K[t], cameras.size[t]
        if not cameras.registered[t] or not np.isfinite(K).all():
            told.append(None)
            continue
        lens = [K[0, 0] / width, K[1, 1] / height, K[0, 2] / width, K[1, 2] / height]
        told.append({"lens": short(np.array(lens)), "T_wc": short(cameras.T_wc[t, :3].reshape(-1))})
    return told


@cache
def _template() -> str:
    """The page without its contents, for `str.format`."""
    page = (_HERE / "page.html").read_text(encoding="utf-8")
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    script = "\n".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    for name, text in (("style", style), ("script", script)):
        page = page.replace(f"{{{{{name}}}}}", text)
    for name in ("title", "meta", "numbers", "pictures"):
        page = page.replace(f"{{{{{name}}}}}", f"\0{name}\1")
    return page.replace("{", "{{").replace("}", "}}").replace("\0", "{").replace("\1", "}")
