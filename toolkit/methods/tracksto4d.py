"""TracksTo4D (Kasten, Lu and Maron, NeurIPS 2024): 2D tracks of a casual video to its camera path and moving 3D points."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from toolkit.disk_arrays import let_go
from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.memory import give_back
from toolkit.methods.request import Preset, Request
from toolkit.methods.tracksto4d_file import facts_of, opened_tracks, video_of
from toolkit.methods.tracksto4d_finetuning import checked_finetuning
from toolkit.methods.tracksto4d_intake import NARROWEST_DEG, WIDEST_DEG, checked_weights, taken_in, with_texture
from toolkit.methods.tracksto4d_solving import SolvingOptions, scene_of
from toolkit.methods.video_intake import SUPPORT_GRID, checked_settings, colours, lens_and_masks, one_video, read_frames, starts, thinner
from toolkit.progress import Listener, reporter
from toolkit.scene import F64, DepthVideo, Scene, Tracks2D, Video
from toolkit.tracking import track_points
from toolkit.tracking.registry import find_tracker, prepare_tracker
from toolkit.wording import counted

MOST_MPX = 85.0  # of all frames of the result together


@dataclass(frozen=True)
class TracksTo4DSettings:
    """Settings of the method; the defaults are those of the preset "normal".

    Attributes:
        tracker: Tracker by name.
        grid: Points across and down, started wherever no track is, every `every` frames; fewer in clips of over 300 frames.
        every: Frames between two starts of the grid.
        max_side: Frames are reduced to so many pixels, for tracking and in the result.
        max_frames: Frames that are used where none are asked for.
        fov_deg: Horizontal field of view of the picture, in degrees, where it is known and no K is given; None to have it found.
        weights: Of the network that starts the adjustment and knows how far moving things usually are: "auto" for those that come with
            the package, if any; "none"; or the path of a file, such as a published checkpoint that you have.
        finetune_steps: Steps that the network first learns from this very video with the paper's losses; the published example takes
            500. The adjustment that follows seldom gains from it; the report tells what it changed.
    """

    tracker: str = "auto"
    grid: tuple[int, int] = (64, 64)
    every: int = 10
    max_side: int = 768
    max_frames: int = 200
    fov_deg: float | None = None
    weights: str = "auto"
    finetune_steps: int = 0

    def __post_init__(self) -> None:
        """Checks every setting before anything is computed."""
        find_tracker(self.tracker)
        if not isinstance(self.weights, str):
            raise UserError(f"The setting weights is {self.weights!r}, but auto, none or the path of a file is needed.")
        checked_finetuning(self.finetune_steps, self.weights)
        fov = self.fov_deg
        if fov is not None and (isinstance(fov, bool) or not isinstance(fov, int | float) or not NARROWEST_DEG <= fov <= WIDEST_DEG):
            raise UserError(f"The setting fov_deg is {fov!r}, but degrees from {NARROWEST_DEG:g} to {WIDEST_DEG:g} are needed.")
        checked_settings(self, {"every": (1, 10_000), "max_side": (64, 4096), "max_frames": (3, 2000)})

    @staticmethod
    def preset(name: Preset) -> TracksTo4DSettings:
        """The settings of "draft", "normal" or "fine"."""
        if name == "draft":
            return TracksTo4DSettings(tracker="draft", grid=(40, 40), max_side=512)
        if name == "fine":
            return TracksTo4DSettings(tracker="fine", grid=(96, 96), max_side=1024)
        return TracksTo4DSettings()


def reconstruct_tracks(
    tracks_2d: Tracks2D,
    K: ArrayLike | None = None,
    *,
    size: tuple[int, int],
    weights: str | os.PathLike[str] | None = "auto",
    depth: DepthVideo | None = None,
    video: Video | None = None,
    masks: ArrayLike | None = None,
    finetune_steps: int = 0,
    seed: int = 0,
    progress: Listener | None = None,
) -> Scene:
    """Cameras and moving points from 2D tracks of one moving camera; no picture is needed.

    The cameras and a still point for each track are found by a bundle adjustment with a robust scale a track, as in TracksTo4D's static
    loss; tracks that stray from their still point move, and are placed along their viewing rays. Where there are weights, the network's
    answer is one more start, taken where it explains the tracks better.

    Args:
        tracks_2d: N tracks of T frames, 8 or more of 3 or more, in pixels.
        K: (3, 3) intrinsics in pixels; None to find the focal length, which takes parallax in depth.
        size: (width, height) of the frames in pixels.
        weights: "auto" for those that come with the package, if any; None for none; or the path of a file.
        depth: Depth of each frame, of any scale, as evidence for how far moving things are.
        video: The frames: for colours, to be kept in the scene, and to tell tracks that may have slipped where there is no texture.
        masks: (T, H, W) True where nothing counts.
        finetune_steps: Steps that the network first learns from these very tracks, with the paper's losses.
        seed: The same tracks and seed give the same scene.
        progress: Called with every `Progress`; it may raise `Cancelled`.

    Returns:
        A scene of unit "relative" (the median still point is one unit from the middle camera) in the first camera's frame. Tracks keep
        their order; `tracks_3d.motion` is the chance that a track moves: 0.5 where it strays from a still point's path about three times
        as far as the tracker is off by (the report tells how many pixels that is), `sigma` tells how sure a point is, `points` are the
        still ones. A track of the still world has its place in all frames, one that moves
        while anything of its body is seen. Where the camera only turns no depth can be known: points are at one guessed
        distance then, half of which is their `sigma`, none is in `points`, and the report says so. Where nothing stands still there is
        no camera, and all points are NaN.

    Raises:
        UserError: what the tracks lack, in one sentence.
    """
    file = checked_weights(weights)
    steps = checked_finetuning(finetune_steps, weights)
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"The seed is {seed!r}, but a whole number from 0 is needed.")
    given = taken_in(tracks_2d, K, size, None if masks is None else np.asarray(masks) != 0)
    frames = tracks_2d.xy.shape[1]
    for name, part, kind in (("depth", depth, DepthVideo), ("video", video, Video)):
        if part is not None and not isinstance(part, kind):
            raise UserError(f"The {name} is a {type(part).__name__}, but a {kind.__name__} is needed.")
        if part is not None and len(part) != frames:
            raise UserError(f"The {name} has {len(part)} frames, but the tracks go through {frames}; both must be alike.")
    sizes = {} if video is None else {"video": video.size}
    sizes |= {} if depth is None else {"depth": (depth.depth.shape[2], depth.depth.shape[1])}
    for name, (width, height) in sizes.items():
        if (width, height) != given.size:
            raise UserError(
                f"The {name} has frames of {width} x {height} px, but the tracks are in pixels of {given.size[0]} x {given.size[1]}; "
                "both must be alike."
            )
    given = with_texture(given, video)
    rgb = None if video is None else colours(tracks_2d.queries, video)
    settings = {"weights": "none" if file is None else file.name, "finetune_steps": steps, "seed": int(seed)}
    facts = {"source": {"path": "in memory"}, "settings": settings}
    scene = scene_of(
        given,
        SolvingOptions(),
        weights=file,
        depth=depth,
        rgb=rgb,
        facts=facts,
        seed=int(seed),
        listener=progress or (lambda event: None),
        finetune_steps=steps,
    )
    return scene if video is None else _with_video(scene, video)


def run(request: Request, listener: Listener) -> Scene:
    """The method for `toolkit.run`: points are followed through the video, then `reconstruct_tracks`; or the tracks of a file.

    Raises:
        UserError: what the video or the file lacks, in one sentence.
    """
    settings: TracksTo4DSettings = request.settings
    recording = one_video(request, "tracksto4d")
    if request.source is not None and request.source.kind == "tracks":
        return _run_on_tracks(request, listener)
    prepare_tracker(settings.tracker)
    weights = checked_weights(settings.weights)
    report = reporter(listener, "read", "Reading the video")
    video, shrink, cut = read_frames(
        recording, request.frames, max_side=settings.max_side, max_frames=settings.max_frames, most_mpx=MOST_MPX, report=report
    )
    if len(video) < 3:
        raise UserError(f"The video has {counted(len(video), 'frame')}, but at least 3 are needed to tell depth and motion.")
    K, masks = lens_and_masks(request, video, shrink)
    K = _lens(K, settings, video.size)
    grid = thinner(settings.grid, len(video))
    asked, start = starts(video, request.queries, settings.every, grid=thinner(SUPPORT_GRID, len(video)))
    report = reporter(listener, "tracks", "Following points")
    tracks = track_points(video, start, tracker=settings.tracker, grid=grid, every=settings.every, seed=request.seed, report=report)
    give_back()
    given = with_texture(taken_in(tracks, K, video.size, masks), video)
    name = "in memory" if isinstance(recording, Video) else recording.name
    facts = {"source": {"path": name}, "settings": {**asdict(settings), "seed": request.seed}}
    rgb = colours(tracks.queries, video)
    let_go()  # nobody looks at the pictures from here on
    scene = scene_of(
        given,
        SolvingOptions(),
        weights=weights,
        depth=None,
        rgb=rgb,
        facts=facts,
        seed=request.seed,
        listener=listener,
        finetune_steps=settings.finetune_steps,
    )
    scene = _with_video(scene, video)
    if cut:
        scene.report["warnings"].append(cut)
    if start is None and grid != settings.grid:
        scene.report["warnings"].append(
            f"Points were started on a grid of {grid[0]} x {grid[1]} instead of {settings.grid[0]} x {settings.grid[1]}, as the clip has "
            f"{counted(len(video), 'frame')} and all are explained together; choose fewer frames for more points."
        )
    return scene if asked is None else _only(scene, asked)


def _lens(K: F64 | None, settings: TracksTo4DSettings, size: tuple[int, int]) -> F64 | None:
    """The lens that is known: as K, or by how much it shows."""
    if settings.fov_deg is None:
        return K
    if K is not None:
        raise UserError(f"Both K and fov_deg ({settings.fov_deg:g}) tell the lens; give one of them.")
    return intrinsics_from_fov(settings.fov_deg, size)


def _run_on_tracks(request: Request, listener: Listener) -> Scene:
    """The method on a file of tracks."""
    settings: TracksTo4DSettings = request.settings
    weights = checked_weights(settings.weights)
    found, K, masks = opened_tracks(request)
    K = _lens(K, settings, found.size)
    video = video_of(found)
    given = with_texture(taken_in(found.tracks, K, found.size, masks), video)
    scene = scene_of(
        given,
        SolvingOptions(),
        weights=weights,
        depth=None,
        rgb=None if video is None else colours(found.tracks.queries, video),
        facts=facts_of(request),
        seed=request.seed,
        listener=listener,
        finetune_steps=settings.finetune_steps,
    )
    scene.report["warnings"].extend(found.notes)
    return scene if video is None else _with_video(scene, video)


def _with_video(scene: Scene, video: Video) -> Scene:
    return Scene(
        scene.cameras, scene.tracks_2d, scene.tracks_3d, None, scene.points, scene.unit, scene.method, scene.report, video, scene.masks
    )


def _only(scene: Scene, count: int) -> Scene:
    """The scene with the first tracks alone."""
    assert scene.tracks_2d is not None and scene.tracks_3d is not None
    rows = np.arange(count)
    return Scene(
        scene.cameras,
        scene.tracks_2d.select(rows),
        scene.tracks_3d.select(rows),
        None,
        scene.points,
        scene.unit,
        scene.method,
        scene.report,
        scene.video,
    )
