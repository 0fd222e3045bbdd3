"""VGGSfM on a video: points followed through it, a model of its keyframes, a pose of every frame; memory hardly grows with its length."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.media.frame_choice import Frames
from toolkit.media.mono_input import MonoInput, opened_mono
from toolkit.media.photos import Photo
from toolkit.memory import give_back
from toolkit.methods.photo_cameras import cameras_of, doubts_of_centre
from toolkit.methods.vggsfm_report import doubts_of_lens
from toolkit.methods.vggsfm_video_report import describe_video
from toolkit.progress import Listener, reporter
from toolkit.scene import B, Cameras, Scene, Unit, Video
from toolkit.sfm.features import FeatureOptions
from toolkit.sfm.moving_scene import flat_points, without_moving
from toolkit.sfm.video_model import VideoModelOptions, build
from toolkit.sfm.video_pairs import VideoPairOptions, model_frames, pair_frames
from toolkit.sfm.video_points import PassOptions, VideoPoints, follow_video
from toolkit.sfm.video_scene import VideoSceneOptions, scene_of_video
from toolkit.sfm.video_tracks import FollowOptions
from toolkit.wording import counted

Moving = Literal["auto", "keep"]
FOUND_AGAIN = 0.5
"""Least share of a frame's points that the next one shows: of noise it is 0.4, of 15 frames a second of a fast hand 0.7 and more."""


@dataclass(frozen=True)
class VideoSettings:
    """What a preset says about videos.

    Attributes:
        going_through: Following points.
        pairs: What frames have in common.
        model: The model and the poses.
        scene: How large the result may get.
        moving: "auto" finds what moves and takes it out of the still scene, where no masks are given; "keep" looks for nothing.
    """

    going_through: PassOptions = field(default_factory=PassOptions)
    pairs: VideoPairOptions = field(default_factory=VideoPairOptions)
    model: VideoModelOptions = field(default_factory=VideoModelOptions)
    scene: VideoSceneOptions = field(default_factory=VideoSceneOptions)
    moving: Moving = "auto"

    @staticmethod
    def of(track_side: int, track_points: int, result_side: int, moving: Moving = "auto") -> VideoSettings:
        """Settings that follow from how finely points are followed, and how large the result may get."""
        alike = FeatureOptions(max_side=track_side, most=round(1.7 * track_points))
        return VideoSettings(
            PassOptions(track_side, FollowOptions(most=track_points), alike),
            VideoPairOptions(fewest_frames=max(16, round(track_points / 30))),
            scene=VideoSceneOptions(max_side=result_side),
            moving=moving,
        )


def reconstruct_video(
    place: str | os.PathLike[str] | Video,
    settings: VideoSettings,
    *,
    camera_model: str,
    K: NDArray | None,
    known: Cameras | None,
    ignored: Callable[[int], B | None] | None,
    masks: int | None = None,
    frames: Frames | None,
    seed: int,
    unit: Unit = "relative",
    facts: dict[str, Any],
    listener: Listener,
) -> Scene:
    """Cameras of every frame and points of the still things from a video of one camera.

    Args:
        place: A video, a folder or .zip of frames, or frames in memory.
        settings: How it is done.
        camera_model: A COLMAP camera model by name, or "auto".
        K: (3, 3) known intrinsics in pixels of the video, or None.
        known: Known cameras, one a frame that is used, or None.
        ignored: For a frame (H, W) where nothing counts, or None.
        masks: How many frames `ignored` is for; None for any number.
        frames: Which frames are used; None for all.
        seed: Of everything random.
        unit: Of the lengths of known cameras.
        facts: Goes into the report.
        listener: Told how far it is.

    Raises:
        UserError: what the video lacks, in one sentence.
    """
    with opened_mono(place, frames) as clip:
        _check(clip, known)
        if masks is not None and masks != len(clip):
            raise UserError(f"{masks} masks came with a video of {len(clip)} frames; one each is needed.")
        if ignored is not None:
            ignored = _fitting(ignored, clip)
        report = reporter(listener, "tracks", "Following points through the video")
        points = follow_video(clip.frames(), len(clip), clip.size, settings.going_through, ignore=ignored or _nowhere, report=report)
        chosen = _chosen(points, settings)
        cameras = cameras_of([_photo(t, clip.size) for t in chosen], camera_model, True, K, None if known is None else _of(known, chosen))
        report = reporter(listener, "pairs", "Comparing frames")
        compared = pair_frames(points, cameras, chosen, settings.pairs, seed, report)
        fixed = K is not None or known is not None
        options = settings.model
        options = replace(options, growth=replace(options.growth, fixed_lens=fixed), bundle=replace(options.bundle, fixed_lens=fixed))
        report = reporter(listener, "cameras", "Placing the frames")
        result = build(points, compared, options, known_T_cw=None if known is None else known.T_cw, seed=seed, report=report)
        points.features.clear()
        doubts = []
        if fixed and result.turn is None:
            bundle = replace(options.bundle, fixed_poses=known is not None)
            doubts = [*doubts_of_centre(cameras), *doubts_of_lens(result.model, bundle, "frames")]
        give_back()
        report = reporter(listener, "scene", "Taking lens distortion out")
        scene = scene_of_video(result, points, clip.frames(), clip.times_s, settings.scene, report)
    source = {"path": "in memory"} if isinstance(place, Video) else {"path": Path(place).name}
    told = describe_video(result, points, scene, {**facts, "source": source})
    told["warnings"] = [*doubts, *told["warnings"]]
    scene = replace(scene, unit=unit, report=told)
    if settings.moving == "keep" or ignored is not None:
        return scene
    report = reporter(listener, "moving", "Finding what moves")
    return without_moving(scene, flat_points(result, points, scene), seed=seed, report=report)


def _check(clip: MonoInput, known: Cameras | None) -> None:
    if len(clip) < 2:
        raise UserError(f"{clip.name} has {counted(len(clip), 'frame')}; a reconstruction needs at least two from different places.")
    if known is not None and len(known) != len(clip):
        raise UserError(f"{len(known)} known cameras came with {len(clip)} frames; one each is needed.")


def _fitting(ignored: Callable[[int], B | None], clip: MonoInput) -> Callable[[int], B | None]:
    """The same masks, each checked to be of the size of the frames when it is asked for."""

    def mask(t: int) -> B | None:
        found = ignored(t)
        if found is not None and found.shape != clip.size[::-1]:
            raise UserError(
                f"The mask of frame {t} has shape {found.shape}, but the frames are {clip.size[0]} x {clip.size[1]} px: "
                f"{clip.size[::-1]} is needed."
            )
        return found

    return mask


def _chosen(points: VideoPoints, settings: VideoSettings) -> list[int]:
    """Frames that a model is built of.

    Raises:
        UserError: there is hardly a point, or they don't last.
    """
    if max((len(ids) for ids in points.ids), default=0) < settings.pairs.fewest:
        raise UserError("The video has hardly a point to hold on to: it is too dark, blurred or bare.")
    again = points.found_again()
    if again < FOUND_AGAIN:
        raise UserError(
            f"Only {100 * again:.0f} % of the points of a frame are found again in the next one, so the frames are noise or too far apart; "
            'bring a video with less noise or more frames a second, or take the frames for photos with tracker="sift".'
        )
    return model_frames(points, settings.pairs.fewest_frames)


def _of(cameras: Cameras, rows: list[int]) -> Cameras:
    return Cameras(cameras.K[rows], cameras.T_wc[rows], cameras.size[rows])


def _photo(t: int, size: tuple[int, int]) -> Photo:
    return Photo(f"frame {t}", size, None, "", "")


def _nowhere(t: int) -> B | None:
    return None
