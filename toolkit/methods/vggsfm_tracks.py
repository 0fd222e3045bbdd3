"""Cameras and points from a table of tracks, whoever followed them: no pictures are needed."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.media.photos import Photo
from toolkit.methods.photo_cameras import cameras_of, doubts_of_centre
from toolkit.methods.vggsfm_report import describe, doubts_of_lens, doubts_of_poses
from toolkit.progress import Listener, reporter
from toolkit.scene import B, Cameras, Scene, Tracks2D
from toolkit.sfm.mapping import MappingOptions
from toolkit.sfm.photo_adjust import BundleOptions
from toolkit.sfm.photo_model import ModelOptions, build
from toolkit.sfm.track_scene import scene_of_tracks
from toolkit.sfm.track_table import TableOptions, correspondences_of, observed
from toolkit.sfm.two_view import TwoViewOptions

if TYPE_CHECKING:
    from toolkit.methods.vggsfm import VggsfmSettings

MOST_FRAMES = 1000  # every frame's place is a part of one system of equations
MOST_SAMPLES = 1_000_000  # visible samples; 1.5 kB of memory each


def scene_from_tracks(
    tracks: Tracks2D,
    settings: VggsfmSettings,
    K: NDArray | None,
    known: Cameras | None,
    size: tuple[int, int] | None,
    masks: Any,
    seed: int,
    listener: Listener,
) -> Scene:
    """Cameras and points from N tracks in T frames.

    Args:
        tracks: Where `sigma_px` is known, it decides how much an observation weighs.
        settings: Of the method; those of pictures are not used.
        K: (3, 3) known intrinsics, or None.
        known: Known cameras, one a frame, or None.
        size: (width, height) of the frames; that of `known` where None.
        masks: (T, H, W) where nothing counts; `mask_convention` as for photos.
        seed: Of the random samples.
        listener: Told the progress.

    Raises:
        UserError: what the tracks lack.
    """
    frames = tracks.xy.shape[1]
    width, height = _checked_size(size, known)
    if known is not None and len(known) != frames:
        raise UserError(f"{len(known)} known cameras came with tracks through {frames} frames; one each is needed.")
    if not 2 <= frames <= MOST_FRAMES:
        raise UserError(f"The tracks go through {frames} frames, but from 2 to {MOST_FRAMES} are needed; leave out frames between.")
    ignored = _checked_masks(masks, frames, settings.mask_convention == "zero-ignored")
    seen = observed(tracks, (width, height), ignored)
    if seen.sum() > MOST_SAMPLES:
        raise UserError(
            f"The tracks have {int(seen.sum())} visible samples, but at most {MOST_SAMPLES} can be adjusted together; "
            f"choose every {-(-int(seen.sum()) // MOST_SAMPLES)}th track."
        )
    photos = [Photo(f"frame{t:06d}", (width, height), None, "", "") for t in range(frames)]
    cameras = cameras_of(photos, settings.camera_model, settings.shared_camera, K, known)
    geometry = TwoViewOptions()
    about_s = 2 + 5e-5 * seen.sum() + 0.1 * frames
    report = reporter(listener, "pairs", f"Comparing frames; about {about_s:.0f} s to go")
    names = [p.name for p in photos]
    kept = replace(tracks, visible=seen)
    found = correspondences_of(kept, cameras, names, options=TableOptions(), geometry=geometry, seed=seed, report=report)
    fixed = K is not None or known is not None
    options = ModelOptions(
        mapping=MappingOptions(fixed_lens=fixed),
        geometry=geometry,
        bundle=BundleOptions(fixed_lens=fixed, fixed_poses=known is not None, free_centre=settings.refine_centre),
    )
    report = reporter(listener, "cameras", "Placing the frames")
    result = build(found, options, known_T_cw=None if known is None else known.T_cw, seed=seed, report=report)
    scene = scene_of_tracks(result, tracks, seen)
    facts = {"tracks": len(tracks), "settings": {**asdict(settings), "seed": seed}, "source": {"path": "in memory"}}
    unit = settings.cameras_unit if known is not None else "relative"
    warnings = [*doubts_of_centre(cameras), *doubts_of_lens(result.model, options.bundle)] if fixed else []
    if known is not None:
        warnings += doubts_of_poses(result.found, known.T_cw)
    return replace(scene, unit=unit, report=describe(result, scene, warnings, facts))


def _checked_size(size: Any, known: Cameras | None) -> tuple[int, int]:
    if size is None and known is not None and len(known):
        size = known.size[0]
    if size is None:
        raise UserError("Tracks don't tell how large their frames are: give size=(width, height) in pixels.")
    numbers = np.asarray(size)
    if numbers.shape != (2,) or numbers.dtype.kind not in "iu" or not (numbers > 0).all():
        raise UserError(f"The size is {size!r}, but (width, height) in whole pixels is needed.")
    return int(numbers[0]), int(numbers[1])


def _checked_masks(masks: Any, frames: int, white_is_kept: bool) -> B | None:
    if masks is None:
        return None
    given = np.asarray(masks)
    if given.ndim != 3 or len(given) != frames:
        raise UserError(f"The masks have shape {given.shape}, but ({frames}, H, W) is needed, one a frame of the tracks.")
    return given == 0 if white_is_kept else given != 0
