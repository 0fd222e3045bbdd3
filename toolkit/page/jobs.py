"""What the page asks its workers to do: look at a clip, show a frame of it, run it, open a result, measure in it, write it anew."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.export.archive import zip_bundle
from toolkit.export.bundle import FORMATS, check_export, export
from toolkit.media.archive import unpacked
from toolkit.media.estimates import estimate
from toolkit.media.finished import is_finished, open_finished
from toolkit.media.scene_file import load
from toolkit.media.video import write_video
from toolkit.memory import forget_peak, peak_mb
from toolkit.methods.registry import choose, methods
from toolkit.page import stored
from toolkit.page.looking import Looks, plain_frame, side_by_side, write_picture
from toolkit.page.worker import Tell
from toolkit.run import inspect, steps
from toolkit.scene import Scene, Source
from toolkit.views import measure
from toolkit.views.overlay import draw_tracks
from toolkit.views.plots import plot_cameras
from toolkit.views.report import quality_lines, quality_markdown
from toolkit.warm_up import warm_up as compile_all

_looks = Looks()
_sources: dict[str, Source] = {}
_FILES = "files"


def look(*, clip: str, options: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """What the clip is and what can be made of it."""
    source = _sources[clip] = inspect(clip)
    while len(_sources) > 64:
        _sources.pop(next(iter(_sources)))
    kind = _kind(source, options)
    # What holds a result is opened, whatever method could run on its video; who says how a frame holds two eyes wants it run.
    opens = is_finished(source) and kind == source.kind
    suited = [] if opens else [name for name, info in methods().items() if kind in info.inputs]
    views = int(source.details.get("views", 2 if source.layout == "separate" else 1))
    costs = source.estimate if kind == source.kind else {}
    costs = costs or (estimate(kind, source.frames, source.size, views) if suited else {})  # type: ignore[arg-type]
    by_method = {name: estimate(kind, source.frames, source.size, method=name) if kind == "mono" else costs for name in suited}
    return {
        "summary": str(source),
        "kind": kind,
        "frames": source.frames,
        "fps": source.fps,
        "size": list(source.size),
        "views": views,
        "layout": source.layout,
        "projection": source.projection,
        "warnings": list(source.warnings),
        "methods": suited,
        "has_result": is_finished(source),
        "estimate": {preset: asdict(cost) for preset, cost in costs.items()},
        "estimates": {name: {preset: asdict(cost) for preset, cost in told.items()} for name, told in by_method.items()},
        "details": json.loads(json.dumps(dict(source.details), default=str)),
    }


def pair(*, clip: str, options: dict[str, Any], picture: str, tell: Tell) -> dict[str, Any]:
    """Both rectified eyes beside each other, and how well their rows agree; of one eye the frame alone."""
    source = _source(clip)
    if _kind(source, options) not in ("vr180", "stereo"):
        write_picture(plain_frame(source, 0), Path(picture))
        return {"picture": picture, "vertical_px": None}
    eyes = _looks.eyes(source, _view_options(options))
    write_picture(side_by_side(*eyes.first), Path(picture))
    check = eyes.check
    enough = check.vertical_median_px == check.vertical_median_px
    rows = [check.vertical_median_px, check.vertical_mad_px] if enough else None
    return {"picture": picture, "vertical_px": rows, "matches": check.matches, "swapped": bool(check.swapped)}


def frame(*, clip: str, options: dict[str, Any], frame: int, picture: str, tell: Tell) -> dict[str, Any]:
    """A frame as the result will show it, to click points on; `size` is what its coordinates are in."""
    source = _source(clip)
    frame = max(0, min(frame, source.frames - 1))
    if _kind(source, options) in ("vr180", "stereo"):
        image = _looks.eyes(source, _view_options(options)).pair(frame)[0]
    else:
        image = plain_frame(source, frame)
    write_picture(image, Path(picture))
    return {"picture": picture, "size": [image.shape[1], image.shape[0]], "frame": frame}


def run(
    *,
    clip: str,
    folder: str,
    method: str,
    preset: str,
    options: dict[str, Any],
    points: list[list[float]],
    frames: int | None,
    tell: Tell,
) -> dict[str, Any]:
    """Runs a method, then writes every file of the result."""
    began = time.monotonic()
    forget_peak()
    source = inspect_again(clip)
    info = choose(method, _kind(source, options))  # type: ignore[arg-type]
    known = {field.name for field in fields(info.settings)}
    scene: Scene | None = None
    wanted = {name: value for name, value in options.items() if name in known or name not in ("layout", "projection")}
    for event in steps(clip, info.name, preset=preset, queries=points or None, frames=frames, **wanted):  # type: ignore[arg-type]
        if event.result is None:
            tell(stage=event.stage, done=event.done, total=event.total, message=event.message)
        scene = event.result
    if scene is None:
        raise UserError("The run ended without a result; try another preset or clip.")
    return _finish(scene, Path(folder), began, tell)


def open_result(*, clip: str, folder: str, tell: Tell) -> dict[str, Any]:
    """The scene that a file holds already: one of ours, or a released annotation with its video."""
    began = time.monotonic()
    forget_peak()
    tell(stage="open", done=0, total=1, message="Opening")
    scene = open_finished(clip)
    tell(stage="open", done=1, total=1, message="Opening")
    return _finish(scene, Path(folder), began, tell)


def lay_out(*, scene: str, folder: str, tell: Tell) -> dict[str, Any]:
    """Makes a saved scene ready to be measured in and drawn anew."""
    stored.lay_out(load(scene), Path(folder))
    return {"folder": folder}


def describe(*, folder: str, tell: Tell) -> dict[str, Any]:
    """What an example's result tells of itself, and its camera plot."""
    scene = load(Path(folder) / "files" / "scene.npz")
    told = _told(scene)
    _plot(scene, Path(folder))
    return {"folder": folder, **told}


def complete(*, folder: str, tell: Tell) -> dict[str, Any]:
    """Writes the files that a shipped result lacks, from its scene, and the zip of all."""
    place = Path(folder)
    files = place / _FILES
    before = json.loads((files / "manifest.json").read_text())
    if not (place / "lift4d.zip").is_file():
        scene = load(files / "scene.npz")
        export(scene, files, [name for name, form in FORMATS.items() if name not in before["files"] and not form.lacks(scene)])
        after = json.loads((files / "manifest.json").read_text())
        after["files"] = {name: {**before["files"], **after["files"]}[name] for name in FORMATS if (files / name).exists()}
        (files / "manifest.json").write_text(json.dumps(after, indent=1, ensure_ascii=False))
        zip_bundle(files, place / "lift4d.zip")
        before = after
    return {"opens_with": {name: notes.get("opens_with", "") for name, notes in before["files"].items()}}


def distance(*, folder: str, frame: int, a: list[float], b: list[float], tell: Tell) -> dict[str, Any]:
    """How far two points of a frame are apart."""
    return {"sentence": measure.distance(stored.opened(Path(folder)), frame, a, b).sentence}


def speed(*, folder: str, frame: int, xy: list[float], tell: Tell) -> dict[str, Any]:
    """How fast the track nearest to a point of a frame moves."""
    return {"sentence": measure.track_speed(stored.opened(Path(folder)), frame, xy).sentence}


def still(*, folder: str, frame: int, picture: str, tell: Tell) -> dict[str, Any]:
    """A frame of the result's video."""
    video = stored.opened(Path(folder)).video
    if video is None:
        raise UserError("This result holds no video to measure in.")
    image = video.frames[max(0, min(frame, len(video) - 1))]
    write_picture(image, Path(picture))
    return {"picture": picture, "size": [image.shape[1], image.shape[0]]}


def stabilised(*, folder: str, target: str, tell: Tell) -> dict[str, Any]:
    """The track video with the camera's motion taken out."""
    scene = stored.opened(Path(folder))
    fps = scene.video.fps if scene.video is not None else 30.0
    frames = scene.frames

    def counted() -> Any:
        for i, image in enumerate(draw_tracks(scene, stabilise=True)):
            tell(stage="draw", done=i, total=frames, message="Drawing without camera motion")
            yield image

    write_video(target, counted(), fps)
    return {"video": target}


def write(*, scene: str, folder: str, formats: list[str], tell: Tell) -> dict[str, Any]:
    """Files of a saved scene."""
    check_export(folder, formats or "all")
    files = export(load(scene), folder, formats or "all", report=_reporting(tell))
    target = zip_bundle(Path(folder), Path(folder).parent / "lift4d.zip")
    return {"files": [str(path) for path in files.values() if path.is_file()], "zip": str(target)}


def unpack(*, archive: str, folder: str, tell: Tell) -> dict[str, Any]:
    """What a zip holds, as far as it is safe and known."""
    with unpacked(archive) as inside:
        shutil.copytree(inside, folder, dirs_exist_ok=True)
    Path(archive).unlink()
    return {"folder": folder}


def warm_up(*, tell: Tell) -> dict[str, Any]:
    """Compiles every inner loop, when nobody else wants the cores."""
    os.nice(19)
    compile_all()
    return {}


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "look": look,
    "pair": pair,
    "frame": frame,
    "run": run,
    "open": open_result,
    "lay_out": lay_out,
    "describe": describe,
    "complete": complete,
    "distance": distance,
    "speed": speed,
    "still": still,
    "stabilised": stabilised,
    "write": write,
    "warm_up": warm_up,
    "unpack": unpack,
}


def _finish(scene: Scene, folder: Path, began: float, tell: Tell) -> dict[str, Any]:
    """Everything that the page shows and hands out, as files; and a few words about it."""
    stored.lay_out(scene, folder / "stored")
    files = export(scene, folder / "files", "all", report=_reporting(tell))
    _plot(scene, folder)
    zip_bundle(folder / "files", folder / "lift4d.zip")
    return {
        "folder": str(folder),
        **_told(scene),
        "opens_with": {name: FORMATS[name].opens_with for name in files if name in FORMATS},
        "seconds": round(time.monotonic() - began, 1),
        "memory_mb": round(peak_mb()),
    }


def _told(scene: Scene) -> dict[str, Any]:
    return {
        "summary": _summary(scene),
        "method": scene.method,
        "unit": scene.unit,
        "frames": scene.frames,
        "fps": scene.video.fps if scene.video is not None else 30.0,
        "size": list(scene.video.size) if scene.video is not None else None,
        "quality": quality_markdown(scene),
        "poor": [line.name for line in quality_lines(scene) if line.light == "red"],
        "notes": [str(warning) for warning in scene.report.get("warnings", [])],
    }


def _summary(scene: Scene) -> str:
    """What the measured numbers are of: where a scene was thinned for an example, of all that there was before."""
    whole = scene.report.get("thinned_from")
    tracks = scene.tracks_3d if scene.tracks_3d is not None else scene.tracks_2d
    if not isinstance(whole, str) or tracks is None:
        return str(scene)
    return f"{whole}. Shown here: {len(tracks)} of the tracks, moving ones first."


def _plot(scene: Scene, folder: Path) -> None:
    if scene.cameras is not None and scene.cameras.registered.any():
        plot_cameras(scene).savefig(folder / "cameras.png", dpi=110)


def _reporting(tell: Tell) -> Callable[[int, int], None]:
    return lambda done, total: tell(stage=_FILES, done=done, total=total, message="Writing the result files")


def _source(clip: str) -> Source:
    return _sources[clip] if clip in _sources else inspect_again(clip)


def inspect_again(clip: str) -> Source:
    """What `inspect` finds; kept, so that sliders need not wait for it."""
    source = _sources[clip] = inspect(clip)
    return source


def _kind(source: Source, options: dict[str, Any]) -> str:
    """What the clip is taken for: what was found, or what the visitor says of its two eyes."""
    if not options.get("layout"):
        return source.kind
    return "vr180" if options.get("projection", source.projection) not in ("pinhole", None) else "stereo"


def _view_options(options: dict[str, Any]) -> dict[str, Any]:
    """The settings that change what a rectified frame shows."""
    names = ("layout", "projection", "fov_deg", "size", "yaw_deg", "pitch_deg", "baseline_m", "swap_eyes", "fov_bounds_deg")
    return {name: options[name] for name in names if options.get(name) is not None}
