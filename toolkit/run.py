"""The verbs `run` and `steps`: any recording in, a scene out; the page, the notebooks and the shell all call these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import UserError
from toolkit.geometry.cameras import checked_intrinsics
from toolkit.media import inspection
from toolkit.media.finished import is_finished, open_finished
from toolkit.methods.registry import MethodInfo, choose, methods
from toolkit.methods.request import Frames, Preset, Recording, Request
from toolkit.methods.stereo4d import Stereo4DSettings
from toolkit.methods.stereo_intake import ROWS_APART_PX, first_pair
from toolkit.progress import Listener, Progress, as_events, reporter
from toolkit.scene import Cameras, Kind, MultiViewVideo, Scene, Source, StereoVideo, Tracks2D, Video


def run(
    path_or_noun: str | Path | Video | StereoVideo | MultiViewVideo,
    method: str = "auto",
    *,
    preset: Preset = "normal",
    queries: ArrayLike | None = None,
    K: ArrayLike | None = None,
    cameras: Cameras | None = None,
    masks: ArrayLike | None = None,
    frames: Frames = None,
    seed: int = 0,
    progress: Listener | None = None,
    **options: Any,
) -> Scene:
    """Turns a recording into a 4D scene.

    A file that holds a finished scene, and of which nothing else is asked, is opened.

    Args:
        path_or_noun: A file, a folder, or frames in memory (`StereoVideo`, ...).
        method: Name of a method, or "auto" for the first one that takes this kind of recording.
        preset: "draft" for a quick look, "normal", or "fine" for the best result.
        queries: (N, 3) points to follow as (t, x, y), in pixels of the result's video, or of several views (N, 4) as (t, x, y, z) in the
            world; None for a grid over the clip.
        K: (3, 3) known intrinsics, in pixels of the recording.
        cameras: Known cameras, one a frame that is used.
        masks: (T, H, W) bool, True where a pixel is to be left out.
        frames: Which frames: the first n, a slice, or a list of indices; None lets the method choose.
        seed: The same input and seed give the same bytes.
        progress: Called with every `Progress`; it may raise `Cancelled` to stop. None shows a bar in a terminal or notebook.
        **options: Any setting of the method by name, such as `fov_deg=70` or `baseline_m=0.065`.

    Returns:
        The scene.

    Raises:
        UserError: what was wrong with the recording or a setting, in one sentence.
    """
    if progress is not None and not callable(progress):
        raise UserError(f"progress is {progress!r}, but a function that takes a Progress is needed, or None.")
    work = _prepare(path_or_noun, method, preset, queries, K, cameras, masks, frames, seed, options)
    if progress is not None:
        return work(progress)
    from toolkit.views.bar import progress_bar

    with progress_bar() as listener:
        return work(listener)


def run_inspected(
    path: str | Path, source: Source, method: str, *, preset: str, frames: Frames, seed: int, progress: Listener, **options: Any
) -> Scene:
    """`run` of a file or folder that was just looked at by `toolkit.media.inspection.inspect`, which is not done again."""
    return _prepare(path, method, preset, None, None, None, None, frames, seed, options, source)(progress)


def steps(
    path_or_noun: str | Path | Video | StereoVideo | MultiViewVideo,
    method: str = "auto",
    *,
    preset: Preset = "normal",
    queries: ArrayLike | None = None,
    K: ArrayLike | None = None,
    cameras: Cameras | None = None,
    masks: ArrayLike | None = None,
    frames: Frames = None,
    seed: int = 0,
    **options: Any,
) -> Iterator[Progress]:
    """The same as `run`, as a generator of `Progress`: the last event carries the scene, closing it cancels."""
    return as_events(_prepare(path_or_noun, method, preset, queries, K, cameras, masks, frames, seed, options))


def inspect(path: str | Path) -> Source:
    """What a file or folder is, before anything is computed; two eyes are also checked against each other.

    Args:
        path: A video, a folder, a zip, a photo, or an .npz.

    Returns:
        The source; for stereo, `details` holds `vertical_disparity_px` (how far the rows of the two eyes are apart in the rectified
        first frame: median and spread) and `eyes_match` (features found in both), and a warning says where that is bad. For several
        views it holds how far pictures are from the calibration's epipolar lines (`epipolar_px`, `movers_px`), and how many frames
        a clip is late (`lag_frames`).

    Raises:
        UserError: no path, nothing there, not readable, cut off, empty, or of no known kind.
    """
    if not isinstance(path, str | Path):
        raise UserError(f"A path of a file or folder is needed, but this is {type(path).__name__}.")
    source = inspection.inspect(_path(path))
    if source.kind == "multiview":
        from toolkit.methods.mvtracker_inspect import inspect_views

        return inspect_views(source)
    if not any(source.kind in info.inputs for info in methods().values()):
        eyes = "; if a frame holds two eyes, the layout has to be set to side-by-side or top-bottom" if source.kind == "mono" else ""
        warning = f"No method takes a recording of this kind yet ({source.kind}){eyes}."
        return replace(source, warnings=(*source.warnings, warning), estimate={}) if source.kind != "scene" else source
    if source.kind not in ("vr180", "stereo") or source.projection == "fisheye":  # those are calibrated from their pictures first
        return source
    _, _, check = first_pair(source, Stereo4DSettings())
    details = {**source.details, "eyes_match": check.matches}
    warnings = source.warnings
    if np.isfinite(check.vertical_median_px):
        details["vertical_disparity_px"] = [round(check.vertical_median_px, 3), round(check.vertical_mad_px, 3)]
        off_px = abs(check.vertical_median_px) + check.vertical_mad_px
        if off_px > ROWS_APART_PX:
            warnings = (*warnings, f"The rows of the two eyes are {off_px:.1f} px apart: this may not be VR180, or needs a calibration.")
    else:
        warnings = (*warnings, f"The two eyes have little in common ({check}); check the layout.")
    return replace(source, details=details, warnings=warnings)


def _prepare(
    path_or_noun: str | Path | Video | StereoVideo | MultiViewVideo,
    method: str,
    preset: str,
    queries: ArrayLike | None,
    K: ArrayLike | None,
    cameras: Cameras | None,
    masks: ArrayLike | None,
    frames: Frames,
    seed: int,
    options: dict[str, Any],
    source: Source | None = None,
) -> Callable[[Listener], Scene]:
    """What is left to do once everything that was asked for is known to be possible."""
    if cameras is not None and not isinstance(cameras, Cameras):
        raise UserError(f"cameras must be Cameras, but they are {type(cameras).__name__}.")
    if not isinstance(method, str):
        raise UserError(f"The method is {method!r}, but its name is needed; there are: auto, {', '.join(methods())}.")
    if isinstance(path_or_noun, Tracks2D):
        raise UserError("2D tracks in memory go to reconstruct_tracks(tracks, K, size=(width, height)); run takes a file of them.")
    if not isinstance(path_or_noun, str | Path | Video | StereoVideo | MultiViewVideo):
        raise UserError(
            "A recording is the path of a file or folder, a Video, a StereoVideo or a MultiViewVideo, "
            f"but this is {type(path_or_noun).__name__}."
        )
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"The seed is {seed!r}, but a whole number from 0 is needed.")
    recording: Recording = _path(path_or_noun) if isinstance(path_or_noun, str | Path) else path_or_noun
    if isinstance(recording, Path):
        source = inspection.inspect(recording) if source is None else source
        nothing_else = all(value is None for value in (queries, K, cameras, masks, frames)) and not options
        if method == "auto" and nothing_else and is_finished(source):
            return lambda listener: _opened(recording, listener)
        # Saying how a frame holds two eyes says that it does.
        kind: Kind = "stereo" if source.kind == "mono" and options.get("layout") else source.kind
    else:
        kind = "stereo" if isinstance(recording, StereoVideo) else "multiview" if isinstance(recording, MultiViewVideo) else "mono"
        if isinstance(recording, StereoVideo):
            checked_intrinsics(recording.K, "The K of the StereoVideo")
    info = choose(method, kind)
    request = Request(
        recording=recording,
        source=source,
        settings=_settings(info, preset, options),
        frames=frames,
        queries=_numbers("queries", queries, np.float32, (None, 4 if kind == "multiview" and _columns(queries) == 4 else 3)),  # noqa: PLR2004
        K=None if K is None else checked_intrinsics(_numbers("K", K, np.float64, (3, 3)), "K"),
        cameras=cameras,
        masks=_numbers("masks", masks, np.bool_, ("frames", "height", "width")),
        seed=int(seed),
    )
    return lambda listener: _told(info.run(request, listener))


def _opened(path: Path, listener: Listener) -> Scene:
    report = reporter(listener, "open", "Opening the finished scene")
    scene = open_finished(path)
    report(1, 1)
    return scene


def _path(path: str | Path) -> Path:
    if not str(path).strip():
        raise UserError("The path is empty, but a file or folder is needed (. for this folder).")
    if isinstance(path, str) and "://" in path:
        raise UserError(f"{path} is an address, but a file on this machine is needed; download it first.")
    return Path(path)


def _told(scene: Scene) -> Scene:
    """The scene; one whose tracks were all dropped says so, as its files would only look empty."""
    tracks = scene.tracks_3d if scene.tracks_3d is not None else scene.tracks_2d
    if tracks is None or len(tracks) or not scene.frames:
        return scene
    told = "This is a single moment: depth and points can be found in it, but tracks and motion need a video."
    if scene.frames > 1:
        told = (
            "No point could be followed, so the result holds no tracks: the clip is too short, too blurred, or has nothing to hold on to."
        )
    return replace(scene, report={**scene.report, "warnings": [*scene.report.get("warnings", []), told]})


def _columns(value: Any) -> int:
    """Numbers in the first row of what may become an array."""
    return len(value[0]) if isinstance(value, list | tuple | np.ndarray) and len(value) and np.ndim(value[0]) == 1 else 0


def _numbers(name: str, value: ArrayLike | None, dtype: type, shape: tuple[int | str | None, ...]) -> Any:
    """An argument as an array of that shape, None or a word for it standing for any length; None where it is not given."""
    if value is None:
        return None
    wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    try:
        with np.errstate(over="ignore"):  # who takes it tells what is no number
            array = np.asarray(value, dtype)
    except (TypeError, ValueError) as problem:
        raise UserError(f"{name} must be numbers of shape {wanted}, but it is {str(value)[:40]!r}.") from problem
    if array.ndim != len(shape) or any(isinstance(n, int) and n != size for n, size in zip(shape, array.shape, strict=False)):
        raise UserError(f"{name} has shape {array.shape}, but {wanted} is needed.")
    return array


def _settings(info: MethodInfo, preset: str, options: dict[str, Any]) -> Any:
    """The method's settings for a preset, with the caller's options in place of its defaults."""
    if preset not in get_args(Preset):
        raise UserError(f"There is no preset {preset!r}; there are: {', '.join(get_args(Preset))}.")
    known = [f.name for f in fields(info.settings)]
    for name in options:
        if name not in known:
            raise UserError(f"The method {info.name} has no setting {name!r}; it has: {', '.join(known)}.")
    return replace(info.settings.preset(preset), **options)
