"""Photos of a still scene, in any order, as a scene with cameras and points: features, pairs, model, audit."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.media.frame_choice import FrameChoice
from toolkit.media.photos import Photo, opened_photos
from toolkit.methods.photo_cameras import cameras_of, doubts_of_centre
from toolkit.methods.photo_tracks import FOLLOW, follow, prepare_photo_tracker
from toolkit.methods.vggsfm_dense import flat_masks, result_side, with_depth
from toolkit.methods.vggsfm_report import describe, doubts_of_lens, doubts_of_poses
from toolkit.progress import Listener, reporter
from toolkit.scene import U8, B, Cameras, Scene, Tracks2D
from toolkit.sfm.feature_store import Store
from toolkit.sfm.features import FeatureOptions
from toolkit.sfm.mapping import Correspondences, MappingOptions
from toolkit.sfm.matching import MatchOptions
from toolkit.sfm.photo_adjust import BundleOptions
from toolkit.sfm.photo_model import ModelOptions, build
from toolkit.sfm.photo_pairs import PairOptions, features_of, pairs_of
from toolkit.sfm.photo_scene import scene_of
from toolkit.sfm.photo_search import SearchOptions, search, weak_photos
from toolkit.sfm.track_table import TableOptions, joined
from toolkit.sfm.two_view import TwoViewOptions
from toolkit.wording import counted

if TYPE_CHECKING:
    from toolkit.methods.vggsfm import VggsfmSettings

MOST_PHOTOS = 400  # every photo is compared with every other one
SEARCH = SearchOptions()
DESCRIBED_PX = 0.3  # standard deviation of SIFT's places in sharp photos of 1600 px, beside that of followed points


def scene_from_photos(
    place: Any,
    settings: VggsfmSettings,
    K: NDArray | None,
    known: Cameras | None,
    masks: Any,
    frames: Any,
    seed: int,
    listener: Listener,
) -> Scene:
    """Photos, features, pairs, model, scene.

    Args:
        place: A folder, a .zip, a list of files or of (H, W, 3) pictures.
        settings: Of the method.
        K: (3, 3) known intrinsics, or one a photo, or None.
        known: Known cameras, one a photo, or None.
        masks: One a photo, or None.
        frames: Which photos; None for all.
        seed: Of the random samples.
        listener: Told the progress.

    Raises:
        UserError: what the photos lack.
    """
    with opened_photos(place) as every:
        photos, known, K, warnings = _usable(every, frames, masks, known, K)
        prepare_photo_tracker(settings.tracker, photos, FOLLOW)
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
        if settings.tracker in ("classical", "vggsfm"):
            found = _with_tracks(found, photos, settings, content, store, geometry, seed, listener)
        fixed = K is not None or known is not None
        options = ModelOptions(
            mapping=MappingOptions(fixed_lens=fixed),
            matching=matching,
            geometry=geometry,
            bundle=BundleOptions(fixed_lens=fixed, fixed_poses=known is not None, free_centre=settings.refine_centre),
        )
        report = reporter(listener, "cameras", "Placing the photos")
        poses = None if known is None else known.T_cw
        result = build(found, options, known_T_cw=poses, seed=seed, report=report)
        weak = weak_photos(result, SEARCH) if settings.tracker == "auto" and len(photos) > 2 else []
        if weak:
            report = reporter(listener, "search", f"Looking again for points of {counted(len(weak), 'photo')}")
            tracks = search(result, weak, [reader(p) for p in photos], SEARCH, report)
            grown = joined(
                result.found, tracks, tracks.visible, described_px=DESCRIBED_PX, options=TableOptions(), geometry=geometry, seed=seed
            )
            report = reporter(listener, "cameras", "Placing the photos by all their points")
            result = build(grown, options, known_T_cw=poses, start=result, seed=seed, report=report)
        if fixed:
            warnings += [*doubts_of_centre(cameras), *doubts_of_lens(result.model, options.bundle)]
        if known is not None:
            warnings += doubts_of_poses(result.found, known.T_cw)
        report = reporter(listener, "scene", "Taking lens distortion out")
        side = result_side(settings.result_side, [p.size for p in photos], settings.depth_choice)
        scene = scene_of(result, [p.read for p in photos], max_side=side, report=report)
        facts = {"reused_from_cache": store.reused, "settings": {**asdict(settings), "seed": seed}, "source": _source(place)}
        unit = settings.cameras_unit if known is not None else "relative"
        scene = replace(scene, unit=unit, report=describe(result, scene, warnings, facts))
        lenses = [result.model.camera(c.camera_id) if result.model.exists_camera(c.camera_id) else c for c in cameras]
        anywhere = any(p.mask is not None or p.size != photos[0].size for p in photos)
        masked = flat_masks(lenses, side, lambda t: photos[t].ignored(white_is_kept=white)) if anywhere else None
        return with_depth(scene, settings.depth_choice, listener, ignored=masked)


def _usable(
    every: Any, frames: Any, masks: Any, known: Cameras | None, K: NDArray | None
) -> tuple[list[Photo], Cameras | None, NDArray | None, list[str]]:
    """The photos that are worked with, their known cameras or lenses, and warnings.

    Raises:
        UserError: there are too few or too many, or not one known camera each.
    """
    warnings: list[str] = []
    chosen = FrameChoice.of(frames).of_count(len(every), "The photos") if frames is not None else range(len(every))
    photos = [every[i] for i in chosen]
    if masks is not None:
        photos = _with_masks(photos, masks)
    if known is not None and len(known) != len(photos):
        raise UserError(f"{len(known)} known cameras came with {len(photos)} photos; one each is needed.")
    rows = _different(photos, warnings)
    if K is not None and K.shape == (len(photos), 3, 3):
        K = K[rows]
    photos = [photos[i] for i in rows]
    if known is not None:
        known = Cameras(known.K[rows], known.T_wc[rows], known.size[rows])
    if len(photos) < 2:
        raise UserError(
            f"There {'is 1 photo' if len(photos) == 1 else 'is no photo'} to work with"
            f"{' once copies are left out' if warnings else ''}; a reconstruction needs at least two from different places."
        )
    if len(photos) > MOST_PHOTOS:
        raise UserError(f"There are {len(photos)} photos, but every one is compared with every other: choose at most {MOST_PHOTOS}.")
    return photos, known, K, warnings


def _with_tracks(
    found: Correspondences,
    photos: list[Photo],
    settings: VggsfmSettings,
    content: list[str],
    store: Store,
    geometry: TwoViewOptions,
    seed: int,
    listener: Listener,
) -> Correspondences:
    """The same with points that a tracker followed; masks count for them too."""

    def make() -> dict[str, NDArray]:
        tracks = follow(settings.tracker, photos, FOLLOW, seed, listener)
        kept = {name: getattr(tracks, name) for name in ("xy", "visible", "confidence", "queries", "sigma_px")}
        return {name: value for name, value in kept.items() if value is not None}

    tracks = Tracks2D(**store.get("tracks", (settings.tracker, FOLLOW, seed, content), make))
    seen = tracks.visible & np.isfinite(tracks.xy).all(2)
    for t, photo in enumerate(photos):
        seen[:, t] &= np.all((tracks.xy[:, t] >= 0) & (tracks.xy[:, t] <= photo.size), axis=1)
        ignored = photo.ignored(white_is_kept=settings.mask_convention == "zero-ignored")
        if ignored is not None:
            rows = np.flatnonzero(seen[:, t])
            column, row = np.minimum(tracks.xy[rows, t].astype(np.int64), np.array(photo.size) - 1).T
            seen[rows, t] = ~ignored[row, column]
    report = reporter(listener, "pairs", "Comparing photos by followed points")
    options = TableOptions()
    return joined(found, tracks, seen, described_px=DESCRIBED_PX, options=options, geometry=geometry, seed=seed, report=report)


def _source(place: Any) -> dict[str, Any]:
    return {"path": Path(place).name} if isinstance(place, str | os.PathLike) else {"path": "in memory"}


def _mask_content(photo: Photo) -> str:
    if photo.mask is None:
        return ""
    data = photo.mask.read_bytes() if isinstance(photo.mask, Path) else np.ascontiguousarray(photo.mask).tobytes()
    return hashlib.sha256(data).hexdigest()


def _with_masks(photos: list[Photo], masks: Any) -> list[Photo]:
    if not hasattr(masks, "__len__") or isinstance(masks, str | bytes):
        raise UserError(f"The masks are {type(masks).__name__}, but one of shape (H, W) for each photo is needed.")
    if len(masks) != len(photos):
        raise UserError(f"{len(masks)} masks came with {len(photos)} photos; one each is needed.")
    given = [np.asarray(mask) for mask in masks]
    for photo, mask in zip(photos, given, strict=True):
        if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "buif":
            raise UserError(f"The mask of {photo.name} is {mask.dtype} of shape {mask.shape}, but numbers of shape (H, W) are needed.")
    return [replace(photo, mask=mask) for photo, mask in zip(photos, given, strict=True)]


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
