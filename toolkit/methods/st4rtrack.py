"""St4RTrack (Feng et al., ICCV 2025): one video to world tracks and dense geometry of every moment, here with geometry first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.disk_arrays import large_copy, large_full
from toolkit.errors import UserError
from toolkit.lifting.mover_joining import JoiningOptions
from toolkit.lifting.placed_by_depth import placed_by_depth
from toolkit.memory import give_back
from toolkit.methods.request import Preset, Request
from toolkit.methods.st4rtrack_dense import DenseOptions, adapted_to, with_dense
from toolkit.methods.st4rtrack_intake import (
    checked_depth,
    checked_lens,
    checked_masks,
    checked_pair_weights,
    masks_of_size,
    read_pair_network,
)
from toolkit.methods.st4rtrack_report import told, told_together
from toolkit.methods.st4rtrack_windows import LongScene, WindowOptions, handed_back, of_part, windows_of
from toolkit.methods.tracksto4d_intake import checked_weights, taken_in, with_texture
from toolkit.methods.tracksto4d_solving import SolvingOptions, scene_of
from toolkit.methods.video_intake import checked_settings, colours, lens_and_masks, one_video, read_frames, starts
from toolkit.progress import Listener, reporter
from toolkit.scene import F32, B, DepthVideo, Scene, Tracks2D, Tracks3D, Video
from toolkit.sfm.track_sharpening import SharpeningOptions
from toolkit.tracking import track_points
from toolkit.tracking.cuts import cuts_of
from toolkit.tracking.queries import checked_queries
from toolkit.tracking.registry import find_tracker, prepare_tracker
from toolkit.wording import counted

if TYPE_CHECKING:
    from toolkit.methods.st4rtrack_dense import Network

LEAST_FRAMES = 3
MOST_MPX = 60.0  # of all frames of the result together: depth and its confidence are held for each
LEAST_CONTRAST = 4  # grey levels between the darkest and the brightest: less is noise of coding
ADAPT_STEPS = 150
SEEN_SIDE = 160  # frames are shown to the network with about the pixels of a square of this side
EXPLAINING = SolvingOptions(sharpening=SharpeningOptions(), joining=JoiningOptions(), body_sizes=(0.7, 1.4))
"""How tracks are explained: as by tracksto4d, adjusted once more, and what moves placed by bodies of half and twice the area, too."""
HELD_GROWS = 0.5  # of a track's usual step, for each frame since it was last known


@dataclass(frozen=True)
class St4rtrackSettings:
    """Settings of the method; the defaults are those of the preset "normal".

    Attributes:
        tracker: Tracker by name.
        grid: Points across and down, started wherever no track is, every `every` frames: what appears later is tracked too.
        every: Frames between two starts of the grid.
        max_side: Frames are reduced to so many pixels, for tracking and in the result.
        max_frames: Frames that are used where none are asked for.
        weights: Of the two-view network whose depth is evidence beside the tracks: "auto" for those that come with the package, if any;
            "none"; or the path of a file.
        dense_side: Frames are matched for dense depth at so many pixels; 0 to spread the depth of tracks alone.
        dense_views: Frames that are matched themselves, at most, spread over a window.
        window: Frames that are reconstructed together, at most. Longer clips are put together of windows that share a quarter of it, so
            that memory does not grow with their length.
        adapt_steps: Steps that the network first learns from this very video, without labels: from its tracks and from both of its maps
            meeting. It stops early where tracks that it does not learn from gain no more; the report tells by how much they did.
    """

    tracker: str = "auto"
    grid: tuple[int, int] = (64, 64)
    every: int = 10
    max_side: int = 512
    max_frames: int = 200
    weights: str = "auto"
    dense_side: int = 288
    dense_views: int = 40
    window: int = 80
    adapt_steps: int = 0

    def __post_init__(self) -> None:
        """Checks every setting before anything is computed."""
        find_tracker(self.tracker)
        if not isinstance(self.weights, str):
            raise UserError(f"The setting weights is {self.weights!r}, but auto, none or the path of a file is needed.")
        checked_settings(
            self,
            {
                "every": (1, 10_000),
                "max_side": (64, 2048),
                "max_frames": (LEAST_FRAMES, 2000),
                "dense_side": (0, 1024),
                "dense_views": (2, 1000),
                "window": (16, 1000),
                "adapt_steps": (0, 10_000),
            },
        )

    @staticmethod
    def preset(name: Preset) -> St4rtrackSettings:
        """The settings of "draft", "normal" or "fine"."""
        if name == "draft":
            return St4rtrackSettings(tracker="draft", grid=(40, 40), max_side=384, dense_side=192, dense_views=20)
        if name == "fine":
            return St4rtrackSettings(tracker="fine", grid=(96, 96), max_side=768, dense_side=384, dense_views=80)
        return St4rtrackSettings()


def track_world(
    video: Video,
    queries: ArrayLike | None = None,
    *,
    weights: str = "auto",
    K: ArrayLike | None = None,
    depth: DepthVideo | None = None,
    masks: ArrayLike | None = None,
    adapt: bool = False,
    settings: St4rtrackSettings | None = None,
    seed: int = 0,
    progress: Listener | None = None,
) -> Scene:
    """World tracks, cameras and the depth of every pixel of every frame, of one video.

    After St4RTrack (Feng et al., ICCV 2025), whose two pointmaps of a moment `toolkit.stages.pointmaps` reads from the result. Where
    the published system asks a network for everything, here tracks, their bundle adjustment and matching between frames are asked
    first, and a network only for what they leave open, each weighted by how wrong it is on this very clip.

    Args:
        video: T frames of one camera, 3 or more.
        queries: (N, 3) (t, x, y) points to follow, both ways in time, in pixels; None for a grid that is started again wherever no track
            is.
        weights: Of the two-view network: "auto" for those that come with the package, if any; "none"; or the path of a file.
        K: (3, 3) intrinsics in pixels; None to find the focal length.
        depth: Depth of each frame, of any scale, of the size of the video, as evidence.
        masks: (T, H, W) True where nothing counts; of any size.
        adapt: Whether the network first learns from this very video, for up to 150 steps; without weights there is nothing to adapt.
        settings: Everything else.
        seed: The same video and seed give the same scene.
        progress: Called with every `Progress`; it may raise `Cancelled`.

    Returns:
        A scene of unit "relative" in the first camera's frame: cameras, tracks with their place at every moment, seen or not (`sigma`
        tells how sure), depth of all frames with its confidence (the chance of an error under 10 %), and masks of what moves. The
        report's "evidence" says what carried the result.

    Raises:
        UserError: what the video lacks, in one sentence.
    """
    if not isinstance(video, Video):
        raise UserError(f"track_world takes a Video, but this is a {type(video).__name__}; read_video makes one of a file.")
    if settings is not None and not isinstance(settings, St4rtrackSettings):
        raise UserError(f"The settings are a {type(settings).__name__}, but St4rtrackSettings are needed.")
    use = replace(settings or St4rtrackSettings(), weights=weights)
    if adapt and not use.adapt_steps:
        use = replace(use, adapt_steps=ADAPT_STEPS)
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"The seed is {seed!r}, but a whole number from 0 is needed.")
    lens, hidden, evidence = checked_lens(K), checked_masks(masks, len(video)), checked_depth(depth, video)
    return _tracked(video, queries, lens, hidden, evidence, use, "in memory", int(seed), progress or (lambda event: None))


def run(request: Request, listener: Listener) -> Scene:
    """The method for `toolkit.run`.

    Raises:
        UserError: what the video lacks, in one sentence.
    """
    settings: St4rtrackSettings = request.settings
    recording = one_video(request, "st4rtrack")
    prepare_tracker(settings.tracker)
    checked_pair_weights(settings.weights)
    report = reporter(listener, "read", "Reading the video")
    video, shrink, cut = read_frames(
        recording, request.frames, max_side=settings.max_side, max_frames=settings.max_frames, most_mpx=MOST_MPX, report=report
    )
    K, masks = lens_and_masks(request, video, shrink)
    name = "in memory" if isinstance(recording, Video) else recording.name
    scene = _tracked(video, request.queries, K, masks, None, settings, name, request.seed, listener)
    if cut:
        scene.report["warnings"].append(cut)
    return scene


def _tracked(
    video: Video,
    queries: ArrayLike | None,
    K: NDArray | None,
    masks: B | None,
    depth: DepthVideo | None,
    settings: St4rtrackSettings,
    name: str,
    seed: int,
    listener: Listener,
) -> Scene:
    if len(video) < LEAST_FRAMES:
        raise UserError(f"The video has {counted(len(video), 'frame')}, but at least {LEAST_FRAMES} are needed to tell depth and motion.")
    if all(int(np.ptp(frame[::4, ::4].reshape(-1, 3), axis=0).max()) < LEAST_CONTRAST for frame in video.frames):
        raise UserError(f"All {len(video)} frames of the video are of one colour each, so there is nothing to track.")
    weights = checked_pair_weights(settings.weights)
    if settings.adapt_steps and weights is None:
        raise UserError("There is no network to adapt: none comes with this copy of the package, or weights is none; leave out adapting.")
    network = None if weights is None else read_pair_network(weights)  # a file that is none is told before the long work
    network, notes = _fit_for(network, video, settings)
    notes += [
        f"The video seems cut at frame {t}: what it shows before and after has no common world, so places on either side of it say nothing "
        "of each other; run the parts by themselves."
        for t in cuts_of(video.frames)
    ]
    asked = None if queries is None else checked_queries(queries, frames=len(video), size=video.size)
    masks = masks_of_size(masks, video.size)
    facts = {"source": {"path": name}, "settings": {**asdict(settings), "seed": seed}}
    options = WindowOptions(frames=settings.window)
    work = _Work(settings, network, facts, seed)
    windows = windows_of(len(video), options)
    if len(windows) == 1:
        scene, carried = work.reconstructed(video, asked, K, masks, depth, listener)
        assert scene.tracks_3d is not None
        scene = replace(scene, tracks_3d=held(scene.tracks_3d), report=told(scene, carried))
        scene.report["warnings"].extend(notes)
        return scene if asked is None else _only(scene, len(asked))
    count = 0 if asked is None else len(asked)
    long, told_of = LongScene(video, windows, count, options), []
    early = [] if asked is None else handed_back(video, asked, windows, long.anchor, _follow(settings, seed))
    for k, window in enumerate(windows):
        rows, points = (np.zeros(0, int), None) if asked is None else long.starts(k, asked, early[k])
        part, carried = work.reconstructed(
            Video(video.frames[window], video.times_s[window]), points if rows.size else None, K, None if masks is None else masks[window],
            None if depth is None else replace(depth, depth=depth.depth[window], confidence=depth.confidence[window]),
            of_part(listener, k, len(windows)),
        )  # fmt: skip
        if K is None and part.report["focal"]["source"] == "found":
            assert part.cameras is not None
            K = part.cameras.K[0]  # one lens took the whole clip
        long.add(k, part, rows)
        told_of.append((window, told(part, carried)))
        del part
        give_back()
    scene = long.scene()
    assert scene.tracks_3d is not None and scene.tracks_2d is not None
    if asked is not None:
        scene = replace(
            scene, tracks_2d=replace(scene.tracks_2d, queries=asked), tracks_3d=replace(scene.tracks_3d, rgb=colours(asked, video))
        )
    assert scene.tracks_3d is not None
    report = told_together(told_of, long.told(), scene)
    report["warnings"].extend(notes)
    return replace(scene, tracks_3d=held(scene.tracks_3d), report=report)


def _fit_for(network: Network | None, video: Video, settings: St4rtrackSettings) -> tuple[Network | None, list[str]]:
    """The network, if it can see such frames; else none, and a sentence about it.

    Raises:
        UserError: it can't, and was asked for by name.
    """
    if network is None:
        return None, []
    from toolkit.models.pairpointmap import seen_size

    try:
        seen_size(video.size, SEEN_SIDE)
    except UserError as problem:
        if settings.weights != "auto" or settings.adapt_steps:
            raise
        return None, [f"The two-view network was not asked: {str(problem)[0].lower()}{str(problem)[1:]}"]
    return network, []


@dataclass(eq=False)
class _Work:
    """What is done with each window of a clip, and the network that learns from the first one."""

    settings: St4rtrackSettings
    network: Network | None
    facts: dict[str, Any]
    seed: int
    adapted: dict[str, Any] | None = None

    def reconstructed(
        self, video: Video, asked: F32 | None, K: NDArray | None, masks: B | None, depth: DepthVideo | None, listener: Listener
    ) -> tuple[Scene, dict[str, Any]]:
        """A scene of some frames, with tracks of what was asked for first, and what carried it."""
        use = self.settings
        report = reporter(listener, "tracks", "Following points")
        _, start = starts(video, asked, use.every)
        tracks = track_points(video, start, tracker=use.tracker, grid=use.grid, every=use.every, seed=self.seed, report=report)
        give_back()
        given = with_texture(taken_in(tracks, K, video.size, masks), video)
        scene = scene_of(
            given, EXPLAINING, weights=checked_weights("auto"), depth=depth, rgb=colours(tracks.queries, video), facts=self.facts,
            seed=self.seed, listener=listener,
        )  # fmt: skip
        scene = replace(scene, video=video, method="st4rtrack")
        give_back()
        if use.adapt_steps and self.adapted is None and self.network is not None:
            self.network, self.adapted = adapted_to(self.network, scene, use.adapt_steps, depth, listener)
        options = DenseOptions(side=use.dense_side, views=use.dense_views)
        scene, carried = with_dense(scene, options, network=self.network, given_depth=depth, masks=masks, listener=listener)
        scene = placed_by_depth(scene)
        return scene, carried if not self.adapted else {**carried, "adaptation": self.adapted}


def _follow(settings: St4rtrackSettings, seed: int) -> Callable[[Video, F32], Tracks2D]:
    return lambda video, points: track_points(video, points, tracker=settings.tracker, seed=seed)


def _only(scene: Scene, count: int) -> Scene:
    """The scene with the first tracks alone."""
    assert scene.tracks_2d is not None and scene.tracks_3d is not None
    rows = np.arange(count)
    return replace(scene, tracks_2d=scene.tracks_2d.select(rows), tracks_3d=scene.tracks_3d.select(rows))


def held(tracks: Tracks3D) -> Tracks3D:
    """Tracks that are somewhere at every moment: before they are first and after they are last known they stay, less and less sure.

    The contract of the published system: what a frame showed has a place at every other moment, seen there or not.
    """
    xyz, count = large_copy(tracks.xyz), tracks.xyz.shape[1]
    sigma = large_full(xyz.shape[:2], np.nan, np.float32) if tracks.sigma is None else large_copy(tracks.sigma)
    frames = np.arange(count)
    for n in range(len(xyz)):
        at = np.flatnonzero(np.isfinite(xyz[n]).all(-1))
        if not 0 < len(at) < count:
            continue
        after = np.searchsorted(at, frames).clip(0, len(at) - 1)
        before = np.maximum(after - 1, 0)
        nearest = np.where(np.abs(at[before] - frames) <= np.abs(at[after] - frames), at[before], at[after])
        steps = np.linalg.norm(np.diff(xyz[n, at], axis=0), axis=-1)
        usual = float(np.median(steps)) if len(steps) else 0.0
        xyz[n] = xyz[n, nearest]
        sigma[n] = np.hypot(np.nan_to_num(sigma[n, nearest]), HELD_GROWS * usual * np.abs(frames - nearest))
    return Tracks3D(xyz, tracks.visible, tracks.rgb, tracks.motion, sigma)
