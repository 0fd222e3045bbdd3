"""VGGSfM (Wang et al., CVPR 2024): from photos or a video to cameras and points, on COLMAP's mappers instead of a network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.media.frame_choice import FrameChoice
from toolkit.media.inspection import inspect
from toolkit.media.photos import Photo, opened_photos
from toolkit.media.suffixes import IMAGES
from toolkit.methods.photo_cameras import cameras_of, checked_model
from toolkit.methods.request import Preset, Request
from toolkit.methods.vggsfm_report import describe
from toolkit.methods.vggsfm_tracks import scene_from_tracks
from toolkit.methods.vggsfm_video import VideoSettings, reconstruct_video
from toolkit.progress import Listener, reporter
from toolkit.scene import U8, B, Cameras, Scene, Tracks2D, Video
from toolkit.sfm.feature_store import Store
from toolkit.sfm.features import FeatureOptions
from toolkit.sfm.mapping import Correspondences, MappingOptions
from toolkit.sfm.matching import MatchOptions
from toolkit.sfm.photo_bundle import BundleOptions
from toolkit.sfm.photo_model import ModelOptions, build
from toolkit.sfm.photo_pairs import PairOptions, features_of, pairs_of
from toolkit.sfm.photo_scene import scene_of
from toolkit.sfm.two_view import TwoViewOptions

MOST_PHOTOS = 400  # every photo is compared with every other one


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
        track_side: Frames of a video are reduced to so many pixels for following points.
        track_points: Points that are followed through a video at a time.
        result_side: Pictures of the result are at most so large; those of long videos smaller.
        cache: Folder where features and matches are kept by content, so that a run that was stopped goes on; None for none.
    """

    camera_model: str = "auto"
    shared_camera: bool = True
    refine_centre: bool | None = None
    mask_convention: Literal["nonzero-ignored", "zero-ignored"] = "nonzero-ignored"
    max_side: int = 1600
    max_features: int = 8192
    track_side: int = 960
    track_points: int = 700
    result_side: int = 1600
    cache: str | None = None

    def __post_init__(self) -> None:
        """Checks every setting before anything is computed."""
        checked_model(self.camera_model)
        if self.mask_convention not in ("nonzero-ignored", "zero-ignored"):
            raise UserError(f"The setting mask_convention is {self.mask_convention!r}, but nonzero-ignored or zero-ignored is needed.")
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

    @staticmethod
    def preset(name: Preset) -> VggsfmSettings:
        """The settings of "draft", "normal" or "fine"."""
        if name == "draft":
            return VggsfmSettings(max_side=1000, max_features=3000, track_side=640, track_points=400, result_side=1000)
        if name == "fine":
            return VggsfmSettings(max_side=2400, max_features=16_000, track_side=1440, track_points=1200, result_side=2000)
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
    tracker: str = "auto",
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
        tracker: Where correspondences come from; "auto" is "sift".
        preset: "draft", "normal" or "fine".
        seed: The same photos and seed give the same scene.
        progress: Called with every `Progress`; it may raise `Cancelled`.
        **options: Any other field of `VggsfmSettings`, such as `cache="folder"`.

    Returns:
        The scene, of unit "relative", or in the unit of `cameras`; `report["photos"]`, or `report["frames"]` of a video, tells of each
        whether it is registered and, where not, why. Of Tracks2D the scene holds every track in its order; those that no still point
        explains have no place (NaN).

    Raises:
        UserError: what the photos lack, in one sentence.
    """
    if tracker not in ("auto", "sift"):
        raise UserError(f"There is no tracker {tracker!r} for photos; there are: auto, sift.")
    known = {"camera_model": camera_model, "shared_camera": shared_camera, **options}
    for name in known:
        if name not in VggsfmSettings.__dataclass_fields__:
            raise UserError(f"reconstruct has no option {name!r}; it has: {', '.join(VggsfmSettings.__dataclass_fields__)}.")
    settings = replace(VggsfmSettings.preset(preset), **known)
    given = photos_or_video_or_tracks
    lens = None if K is None else np.asarray(K, np.float64)
    if isinstance(given, Tracks2D):
        return scene_from_tracks(given, settings, lens, cameras, size, masks, seed, progress or (lambda event: None))
    if size is not None:
        raise UserError("size is for Tracks2D, which don't tell how large their frames are; photos do.")
    if _is_video(given):
        return _run_video(given, settings, lens, cameras, masks, None, seed, progress or (lambda event: None))
    return _run(given, settings, lens, cameras, masks, None, seed, progress or (lambda event: None))


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
    work = _run_video if filmed else _run
    return work(recording, request.settings, request.K, request.cameras, request.masks, request.frames, request.seed, listener)


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
        if t >= len(masks):
            raise UserError(f"{len(masks)} masks came with a video of more frames; one each is needed.")
        return np.asarray(masks[t]) == 0 if white else np.asarray(masks[t]) != 0

    return reconstruct_video(
        place,
        VideoSettings.of(settings.track_side, settings.track_points, settings.result_side),
        camera_model=settings.camera_model,
        K=K,
        known=known,
        ignored=None if masks is None else ignored,
        frames=frames,
        seed=seed,
        facts={"settings": {**asdict(settings), "seed": seed}},
        listener=listener,
    )


def _run(
    place: Any,
    settings: VggsfmSettings,
    K: NDArray | None,
    known: Cameras | None,
    masks: Any,
    frames: Any,
    seed: int,
    listener: Listener,
) -> Scene:
    """Photos, features, pairs, model, scene."""
    warnings: list[str] = []
    with opened_photos(place) as every:
        chosen = FrameChoice.of(frames).of_count(len(every), "The photos") if frames is not None else range(len(every))
        photos = [every[i] for i in chosen]
        if masks is not None:
            photos = _with_masks(photos, masks)
        if known is not None and len(known) != len(photos):
            raise UserError(f"{len(known)} known cameras came with {len(photos)} photos; one each is needed.")
        rows = _different(photos, warnings)
        photos = [photos[i] for i in rows]
        if known is not None:
            known = Cameras(known.K[rows], known.T_wc[rows], known.size[rows])
        if len(photos) < 2:
            raise UserError(
                f"There is {len(photos)} photo{'' if len(photos) == 1 else 's'} to work with"
                f"{' once copies are left out' if warnings else ''}; a reconstruction needs at least two from different places."
            )
        if len(photos) > MOST_PHOTOS:
            raise UserError(f"There are {len(photos)} photos, but every one is compared with every other: choose at most {MOST_PHOTOS}.")
        store = Store(settings.cache)
        cameras = cameras_of(photos, settings.camera_model, settings.shared_camera, K, known)
        white = settings.mask_convention == "zero-ignored"

        def reader(photo: Photo) -> Any:
            def read() -> tuple[U8, B | None]:
                return photo.read(), photo.ignored(white_is_kept=white)

            return read

        content = [f"{p.content} {_mask_content(p)} {white}" for p in photos]
        wanted = FeatureOptions(max_side=settings.max_side, most=settings.max_features)
        report = reporter(listener, "features", "Finding points in the photos")
        features = features_of([(c, reader(p)) for c, p in zip(content, photos, strict=True)], wanted, store, report)
        report = reporter(listener, "pairs", "Comparing photos")
        matching, geometry = MatchOptions(), TwoViewOptions()
        pairs = pairs_of(
            [f"{c} {wanted}" for c in content],
            features,
            cameras,
            options=PairOptions(),
            matching=matching,
            geometry=geometry,
            store=store,
            seed=seed,
            report=report,
        )
        found = Correspondences([p.name for p in photos], cameras, features, pairs)
        fixed = K is not None or known is not None
        options = ModelOptions(
            mapping=MappingOptions(fixed_lens=fixed),
            matching=matching,
            geometry=geometry,
            bundle=BundleOptions(fixed_lens=fixed, fixed_poses=known is not None, free_centre=settings.refine_centre),
        )
        report = reporter(listener, "cameras", "Placing the photos")
        result = build(found, options, known_T_cw=None if known is None else known.T_cw, seed=seed, report=report)
        report = reporter(listener, "scene", "Taking lens distortion out")
        scene = scene_of(result, [p.read for p in photos], max_side=settings.result_side, report=report)
    facts = {"reused_from_cache": store.reused, "settings": {**asdict(settings), "seed": seed}, "source": _source(place)}
    unit = "metre" if known is not None else "relative"
    return replace(scene, unit=unit, report=describe(result, scene, warnings, facts))


def _source(place: Any) -> dict[str, Any]:
    return {"path": Path(place).name} if isinstance(place, str | os.PathLike) else {"path": "in memory"}


def _mask_content(photo: Photo) -> str:
    import hashlib

    if photo.mask is None:
        return ""
    data = photo.mask.read_bytes() if isinstance(photo.mask, Path) else np.ascontiguousarray(photo.mask).tobytes()
    return hashlib.sha256(data).hexdigest()


def _with_masks(photos: list[Photo], masks: Any) -> list[Photo]:
    if len(masks) != len(photos):
        raise UserError(f"{len(masks)} masks came with {len(photos)} photos; one each is needed.")
    return [replace(photo, mask=np.asarray(mask)) for photo, mask in zip(photos, masks, strict=True)]


def _different(photos: list[Photo], warnings: list[str]) -> list[int]:
    """Photos without those that are byte for byte the same as one before."""
    first: dict[str, str] = {}
    rows = []
    for row, photo in enumerate(photos):
        if photo.content in first:
            warnings.append(f"{photo.name} is the same picture as {first[photo.content]} and was left out.")
        else:
            first[photo.content] = photo.name
            rows.append(row)
    return rows
