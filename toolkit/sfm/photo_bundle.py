"""Robust bundle adjustment of a model of photos: Huber, then Cauchy, outliers out between them; and how sure each pose is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.scene import F64
from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.lens_evidence import told_centres
from toolkit.sfm.photo_adjust import BundleOptions, adjust, noise_px
from toolkit.sfm.weighted_bundle import Freedom, WeightedOptions
from toolkit.sfm.weighted_bundle import adjust as adjust_weighted

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True, eq=False)
class Sureness:
    """Standard deviations by the covariance of the last adjustment, two cameras held fixed.

    Attributes:
        rotation_deg: By image number, NaN where not known; 0 for a camera that was held.
        position: By image number, in the unit of the model.
        centre_freed: Whether a principal point was refined.
    """

    rotation_deg: dict[int, float]
    position: dict[int, float]
    centre_freed: bool


def refine(model: pycolmap.Reconstruction, options: BundleOptions, sigmas: Mapping[int, F64] | None = None) -> Sureness:
    """Refines poses, points and lenses in place.

    Args:
        model: Of the photos.
        options: What is refined.
        sigmas: By image number, standard deviation of each feature in pixels: observations then weigh as much as they are sure, and
            outliers are those too far off for it. None to take all for equally sure.

    Returns:
        How sure the poses are.
    """
    centres = frozenset(model.cameras) if options.free_centre else frozenset()
    adjust(model, options, "HUBER", options.huber_px, centres)
    if sigmas is not None:
        return _refine_weighted(model, options, sigmas, centres)
    _drop_outliers(model, options)
    adjust(model, options, "CAUCHY", options.cauchy_px, centres)
    found = _found_centres(model, options)
    if found:
        centres = found
        adjust(model, options, "CAUCHY", options.cauchy_px, centres)
    _drop_outliers(model, options)
    solved = adjust(model, options, "CAUCHY", options.cauchy_px, centres)
    model.update_point_3d_errors()
    return _sureness(model, solved, bool(centres)) if not options.fixed_poses else _known(model)


def _found_centres(model: pycolmap.Reconstruction, options: BundleOptions) -> frozenset[int]:
    """Cameras whose principal points are refined because of what the photos say; the model begins at what they say of these."""
    if options.free_centre is not None or options.fixed_lens or options.fixed_poses:
        return frozenset()
    told, every = told_centres(model, options), frozenset(model.cameras)
    if told and told != every:
        held = {number: np.array(model.camera(number).params) for number in every - told}
        adjust(model, options, "CAUCHY", options.cauchy_px, every)
        for number, before in held.items():
            camera = model.camera(number)
            where = list(camera.principal_point_idxs())
            params = np.array(camera.params)
            params[where] = before[where]
            camera.params = params.tolist()
    return told


def _refine_weighted(
    model: pycolmap.Reconstruction, options: BundleOptions, sigmas: Mapping[int, F64], centres: frozenset[int]
) -> Sureness:
    colmap = load_pycolmap()
    adjust(model, options, "CAUCHY", options.cauchy_px, centres)
    found = _found_centres(model, options)
    if found:
        centres = found
        adjust(model, options, "CAUCHY", options.cauchy_px, centres)
    manager = colmap.ObservationManager(model)
    manager.filter_observations_with_negative_depth()
    manager.filter_all_points3D(float("inf"), options.narrowest_deg)
    # What only some of the photos tell stays as it was found.
    free = centres == frozenset(model.cameras) and not options.fixed_lens
    freedom = Freedom(poses=not options.fixed_poses, lens=not options.fixed_lens, centre=free)
    solved = adjust_weighted(model, sigmas, freedom, WeightedOptions(farthest_sigmas=options.farthest_sigmas))
    model.update_point_3d_errors()
    if options.fixed_poses:
        return _known(model)
    blocks = solved.pose_covariance.items()
    turn = {i: float(np.rad2deg(np.sqrt(np.trace(block[:3, :3])))) for i, block in blocks}
    return Sureness(turn, {i: float(np.sqrt(np.trace(block[3:, 3:]))) for i, block in blocks}, bool(centres))


def _drop_outliers(model: pycolmap.Reconstruction, options: BundleOptions) -> None:
    colmap = load_pycolmap()
    manager = colmap.ObservationManager(model)
    manager.filter_observations_with_negative_depth()
    sigma_px = noise_px(model)
    if not np.isfinite(sigma_px):
        return
    limit = max(options.surely_near_px, options.farthest_sigmas * sigma_px)
    manager.filter_all_points3D(min(options.farthest_px, limit), options.narrowest_deg)


def _sureness(model: pycolmap.Reconstruction, solved: Any, freed: bool) -> Sureness:
    colmap = load_pycolmap()
    asked = colmap.BACovarianceOptions()
    asked.params = colmap.BACovarianceOptionsParams.POSES
    covariance = colmap.estimate_ba_covariance(asked, model, solved)
    # The adjustment takes every residual for one pixel's worth.
    sigma_px = noise_px(model)
    turn: dict[int, float] = {}
    place: dict[int, float] = {}
    for image in model.reg_image_ids():
        block: F64 | None = None if covariance is None else covariance.get_cam_cov_from_world(image)
        if block is None:
            turn[image] = place[image] = float("nan")
        elif block.shape == (6, 6):
            turn[image] = float(np.rad2deg(sigma_px * np.sqrt(np.trace(block[:3, :3]))))
            place[image] = float(sigma_px * np.sqrt(np.trace(block[3:, 3:])))
    return Sureness(turn, place, freed)


def _known(model: pycolmap.Reconstruction) -> Sureness:
    zero = dict.fromkeys(model.reg_image_ids(), 0.0)
    return Sureness(zero, dict(zero), False)
