"""VGGSfM (Wang et al., CVPR 2024): from photos or a video to cameras and points, on COLMAP's mappers instead of a network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.media.inspection import inspect
from toolkit.media.suffixes import IMAGES
from toolkit.media.video import read_video
from toolkit.methods.photo_cameras import checked_K, checked_model
from toolkit.methods.photo_tracks import FOLLOW, checked_photo_tracker
from toolkit.methods.request import PhotoTracker, Preset, Request
from toolkit.methods.vggsfm_dense import Dense, DenseChoice, with_depth
from toolkit.methods.vggsfm_photos import scene_from_photos
from toolkit.methods.vggsfm_tracks import scene_from_tracks
from toolkit.methods.vggsfm_video import Moving, VideoSettings, reconstruct_video
from toolkit.progress import Listener
from toolkit.scene import B, Cameras, Scene, Tracks2D, Unit, Video


@dataclass(frozen=True)
class VggsfmSettings:
    """Settings of the method; the defaults are those of the preset "normal".

    Attributes:
        camera_model: A COLMAP camera model by name, or "auto": SIMPLE_RADIAL where the lens is unknown, PINHOLE where it is known.
        shared_camera: Whether photos of equal size and equal EXIF lens share one camera; False for one each.
        refine_centre: Whether the principal point is refined; None to do so where the photos fix it.
        mask_convention: Which pixels of a mask are left out: "nonzero-ignored" as in the published system, "zero-ignored" as in COLMAP.
        max_side: Photos are reduced to so many pixels for finding points.
        max_features: Points that are kept of a photo.
        tracker: Where correspondences of photos come from: "sift" for descriptions of points; "classical" for these and points followed
            by optical flow, for photos in order; "vggsfm" for these and points followed by VGGSfM's network with the weights that you
            bring, for any order, in minutes to hours; "auto" for "sift", or for a video its own way.
        track_side: Frames of a video are reduced to so many pixels for following points.
        track_points: Points that are followed through a video at a time.
        result_side: Pictures of the result are at most so large; those of long videos smaller.
        moving: "auto" finds what moves in a video, makes masks of it and takes it out of the still scene, where no masks are given;
            "keep" looks for nothing.
        cache: Folder where features and matches are kept by content, so that a run that was stopped goes on; None for none.
        dense: Whether the depth of every pixel is found, from the registered pictures themselves; "auto" where three or more are.
        dense_side: Pictures are reduced to so many pixels for it; its time goes with the third power.
        dense_views: Pictures that are matched for it at most; the others take over what falls into them.
        cameras_unit: "metre" where known cameras are in metres, which nothing in them tells; else "relative".
    """

    camera_model: str = "auto"
    shared_camera: bool = True
    refine_centre: bool | None = None
    mask_convention: Literal["nonzero-ignored", "zero-ignored"] = "nonzero-ignored"
    max_side: int = 1600
    max_features: int = 8192
    tracker: PhotoTracker = "auto"
    track_side: int = 960
    track_points: int = 700
    result_side: int = 1600
    moving: Moving = "auto"
    cache: str | None = None
    dense: Dense = "auto"
    dense_side: int = 640
    dense_views: int = 60
    cameras_unit: Unit = "relative"

    def __post_init__(self) -> None:
        """Checks every setting before anything is computed."""
        checked_model(self.camera_model)
        self.depth_choice  # noqa: B018  (checks its settings)
        checked_photo_tracker(self.tracker)
        if self.mask_convention not in ("nonzero-ignored", "zero-ignored"):
            raise UserError(f"The setting mask_convention is {self.mask_convention!r}, but nonzero-ignored or zero-ignored is needed.")
        if self.moving not in ("auto", "keep"):
            raise UserError(f"The setting moving is {self.moving!r}, but auto or keep is needed.")
        if self.cameras_unit not in ("metre", "relative"):
            raise UserError(f"The setting cameras_unit is {self.cameras_unit!r}, but metre or relative is needed.")
        for name, value, left_open in (("shared_camera", self.shared_camera, False), ("refine_centre", self.refine_centre, True)):
            if not isinstance(value, bool) and not (left_open and value is None):
                raise UserError(f"The setting {name} is {value!r}, but True or False is needed.")
        if self.cache is not None and (not isinstance(self.cache, str | os.PathLike) or not str(self.cache)):
            raise UserError(f"The setting cache is {self.cache!r}, but the name of a folder is needed.")
        for name, least, most in (
            ("max_side", 64, 20_000),
            ("max_features", 100, 100_000),
            ("track_side", 64, 8192),
            ("track_points", 100, 20_000),
            ("result_side", 64, 8192),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
                raise UserError(f"The setting {name} is {value!r}, but a whole number from {least} to {most} is needed.")

    @property
    def depth_choice(self) -> DenseChoice:
        """Whether and how finely the depth of every pixel is found."""
        return DenseChoice(self.dense, self.dense_side, self.dense_views)

    @staticmethod
    def preset(name: Preset) -> VggsfmSettings:
        """The settings of "draft", "normal" or "fine"."""
        if name == "draft":
            return VggsfmSettings(
                max_side=1000, max_features=3000, track_side=640, track_points=400, result_side=1000, dense_side=400, dense_views=30
            )
        if name == "fine":
            return VggsfmSettings(
                max_side=2400, max_features=16_000, track_side=1440, track_points=1200, result_side=2000, dense_side=800, dense_views=120
            )
        return VggsfmSettings()


def reconstruct(
    photos_or_video_or_tracks: str | os.PathLike[str] | Video | Tracks2D | Sequence[Any],
    *,
    K: ArrayLike | None = None,
    camera_model: str = "auto",
    shared_camera: bool = True,
    masks: Sequence[ArrayLike] | NDArray | None = None,
    cameras: Cameras | None = None,
    size: tuple[int, int] | None = None,
    tracker: PhotoTracker = "auto",
    dense: Dense = False,
    preset: Preset = "normal",
    seed: int = 0,
    progress: Listener | None = None,
    **options: Any,
) -> Scene:
    """Cameras and points from photos or a video of one still scene, or from points that somebody followed through it.

    Args:
        photos_or_video_or_tracks: A folder or .zip of photos, a list of files, a list of (H, W, 3) uint8 RGB arrays of any sizes; a
            video file, a folder or .zip of its frames, a Video; or Tracks2D of up to 1000 frames and a million visible samples: no
            picture is needed then. Where they tell `sigma_px`, observations weigh as much as they are sure.
        K: (3, 3) intrinsics where they are known, in pixels of the photos; they stay as they are. Photos of another size have it scaled.
        camera_model: A COLMAP camera model by name; "auto" for SIMPLE_RADIAL, or PINHOLE with `K`.
        shared_camera: Whether photos of equal size and EXIF lens share a camera.
        masks: For each photo (H, W), nonzero where it is to be left out (`mask_convention="zero-ignored"` for the opposite).
        cameras: Known cameras, one a photo: points are triangulated, neither poses nor lenses change.
        size: (width, height) in pixels of the frames that Tracks2D went through.
        tracker: Where correspondences come from: "auto", "sift", "classical" or "vggsfm", as in `VggsfmSettings`.
        dense: Whether the depth of every pixel is found too; "auto" where three or more pictures have a pose, as in `run`.
        preset: "draft", "normal" or "fine".
        seed: The same photos and seed give the same scene.
        progress: Called with every `Progress`; it may raise `Cancelled`.
        **options: Any other field of `VggsfmSettings`, such as `cache="folder"`.

    Returns:
        The scene, of unit "relative"; with `cameras` in their unit, which `cameras_unit` names. `report["photos"]`, or `report["frames"]`
        of a video, tells of each whether it is registered and, where not, why. Of Tracks2D the scene holds every track in its order; those
        that no still point explains have no place (NaN).

    Raises:
        UserError: what the photos lack, in one sentence.
    """
    known = {"camera_model": camera_model, "shared_camera": shared_camera, "tracker": tracker, "dense": dense, **options}
    for name in known:
        if name not in VggsfmSettings.__dataclass_fields__:
            raise UserError(f"reconstruct has no option {name!r}; it has: {', '.join(VggsfmSettings.__dataclass_fields__)}.")
    if preset not in get_args(Preset):
        raise UserError(f"There is no preset {preset!r}; there are: {', '.join(get_args(Preset))}.")
    settings = replace(VggsfmSettings.preset(preset), **known)
    given = photos_or_video_or_tracks
    if not isinstance(given, str | os.PathLike | Video | Tracks2D | Sequence | np.ndarray):
        raise UserError(
            f"reconstruct takes a folder, .zip or list of photos, a video, or Tracks2D, but this is {given!r:.60} ({type(given).__name__})."
        )
    if isinstance(given, str) and not given.strip():
        raise UserError("The path is empty, but a file or folder is needed (. for this folder).")
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"The seed is {seed!r}, but a whole number from 0 is needed.")
    lens = checked_K(K)
    if cameras is not None and not isinstance(cameras, Cameras):
        raise UserError(f"cameras must be Cameras, but they are {type(cameras).__name__}.")
    if isinstance(given, Tracks2D):
        return scene_from_tracks(given, settings, lens, cameras, size, masks, seed, progress or (lambda event: None))
    if size is not None:
        raise UserError("size is for Tracks2D, which don't tell how large their frames are; photos do.")
    if _is_video(given) and tracker == "auto":
        return _run_video(given, settings, lens, cameras, masks, None, seed, progress or (lambda event: None))
    if _is_video(given):
        given, _ = _as_photos(given, None)
    return scene_from_photos(given, settings, lens, cameras, masks, None, seed, progress or (lambda event: None))


def run(request: Request, listener: Listener) -> Scene:
    """The method for `toolkit.run`.

    Raises:
        UserError: what the photos lack, in one sentence.
    """
    if request.queries is not None:
        raise UserError("The method vggsfm finds its own points; queries are for methods that track through a video.")
    recording = request.recording
    if not isinstance(recording, Path | Video):
        raise UserError(f"The method vggsfm takes photos or a video, but this is a {type(recording).__name__}.")
    filmed = isinstance(recording, Video) or request.source is None or request.source.kind == "mono"
    work = _run_video if filmed and request.settings.tracker == "auto" else scene_from_photos
    frames = request.frames
    if filmed and work is scene_from_photos:
        recording, frames = _as_photos(recording, frames)
    return work(recording, request.settings, request.K, request.cameras, request.masks, frames, request.seed, listener)


def _as_photos(clip: Any, frames: Any) -> tuple[Any, Any]:
    """The frames of a clip for trackers that follow points through photos in order, and which of these are still to be chosen."""
    if isinstance(clip, Video):
        return list(clip.frames), frames
    source = inspect(clip)
    if source.frames > FOLLOW.most and frames is None:
        raise UserError(
            f"This tracker follows points through up to {FOLLOW.most} frames, but the video has {source.frames}; choose some with frames."
        )
    if Path(clip).is_dir() or Path(clip).suffix.lower() == ".zip":
        return clip, frames
    return list(read_video(clip, frames=frames).frames), None


def _is_video(given: Any) -> bool:
    """Whether this is a clip rather than photos: folders of frames are told from photos by how alike neighbours are."""
    if isinstance(given, Video):
        return True
    if not isinstance(given, str | os.PathLike):
        return False
    path = Path(given)
    if path.is_file() and path.suffix.lower() in (".zip", ".npz", *IMAGES):
        return path.suffix.lower() not in IMAGES and inspect(path).kind == "mono"
    return path.exists() and inspect(path).kind == "mono"


def _length(masks: Any) -> int:
    if not hasattr(masks, "__len__") or isinstance(masks, str | bytes):
        raise UserError(f"The masks are {type(masks).__name__}, but one of shape (H, W) for each frame is needed.")
    return len(masks)


def _run_video(
    place: Any,
    settings: VggsfmSettings,
    K: NDArray | None,
    known: Cameras | None,
    masks: Any,
    frames: Any,
    seed: int,
    listener: Listener,
) -> Scene:
    """Points followed through a video, model, scene."""
    white = settings.mask_convention == "zero-ignored"

    def ignored(t: int) -> B | None:
        if masks is None:
            return None
        return np.asarray(masks[t]) == 0 if white else np.asarray(masks[t]) != 0

    if K is not None and K.shape != (3, 3):
        raise UserError(f"K has shape {K.shape}, but (3, 3) is needed: all frames of a video have one lens.")

    scene = reconstruct_video(
        place,
        VideoSettings.of(settings.track_side, settings.track_points, settings.result_side, settings.moving),
        camera_model=settings.camera_model,
        K=K,
        known=known,
        ignored=None if masks is None else ignored,
        masks=None if masks is None else _length(masks),
        frames=frames,
        seed=seed,
        unit=settings.cameras_unit if known is not None else "relative",
        facts={"settings": {**asdict(settings), "seed": seed}},
        listener=listener,
    )
    if "turn" in scene.report:
        return scene  # filmed from one place, no depth can be found
    moving = scene.masks
    hidden = ignored if masks is not None else (lambda t: moving[t]) if moving is not None else None
    return with_depth(scene, settings.depth_choice, listener, ignored=hidden, film=True)
