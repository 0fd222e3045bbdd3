"""Robust bundle adjustment of a model of photos: Huber, then Cauchy, outliers out between them; and how sure each pose is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.scene import F64
from toolkit.sfm.colmap import load_pycolmap

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class BundleOptions:
    """How a model is refined.

    Attributes:
        fixed_lens: Whether the cameras' parameters are known and stay.
        fixed_poses: Whether the poses are known and stay.
        free_centre: Whether the principal point is refined too; None to do so where the photos fix it.
        huber_px: Residuals beyond it count linearly in the first round.
        cauchy_px: Residuals beyond it hardly count in the last one.
        farthest_px: Observations further off are dropped between the rounds; COLMAP's.
        narrowest_deg: Points whose rays meet under a smaller angle are dropped; COLMAP's.
        centre_sigma: A principal point is fixed by the photos if its standard deviation is under this share of the width.
        threads: One, for the same result each time.
    """

    fixed_lens: bool = False
    fixed_poses: bool = False
    free_centre: bool | None = None
    huber_px: float = 1.0
    cauchy_px: float = 1.0
    farthest_px: float = 4.0
    narrowest_deg: float = 1.5
    centre_sigma: float = 0.002
    threads: int = 1


@dataclass(frozen=True, eq=False)
class Sureness:
    """Standard deviations by the covariance of the last adjustment, two cameras held fixed.

    Attributes:
        rotation_deg: By image number, NaN where not known; 0 for a camera that was held.
        position: By image number, in the unit of the model.
        centre_freed: Whether the principal point was refined.
    """

    rotation_deg: dict[int, float]
    position: dict[int, float]
    centre_freed: bool


def refine(model: pycolmap.Reconstruction, options: BundleOptions) -> Sureness:
    """Refines poses, points and lenses in place.

    Args:
        model: Of the photos.
        options: What is refined.

    Returns:
        How sure the poses are.
    """
    free = bool(options.free_centre)
    _adjust(model, options, "HUBER", options.huber_px, free)
    _drop_outliers(model, options)
    _adjust(model, options, "CAUCHY", options.cauchy_px, free)
    if options.free_centre is None and not options.fixed_lens and not options.fixed_poses and _centre_is_fixed(model, options):
        free = True
        _adjust(model, options, "CAUCHY", options.cauchy_px, free)
    _drop_outliers(model, options)
    _, solved = _adjust(model, options, "CAUCHY", options.cauchy_px, free)
    model.update_point_3d_errors()
    return _sureness(model, solved, free) if not options.fixed_poses else _known(model)


def _adjust(model: pycolmap.Reconstruction, options: BundleOptions, loss: str, scale_px: float, free_centre: bool) -> tuple[Any, Any]:
    colmap = load_pycolmap()
    asked = colmap.BundleAdjustmentOptions()
    asked.refine_focal_length = asked.refine_extra_params = not options.fixed_lens
    asked.refine_principal_point = free_centre and not options.fixed_lens
    asked.refine_rig_from_world = not options.fixed_poses
    asked.print_summary = False
    asked.ceres.loss_function_type = getattr(colmap.LossFunctionType, loss)
    asked.ceres.loss_function_scale = scale_px
    asked.ceres.solver_options.num_threads = options.threads
    asked.ceres.solver_options.max_num_iterations = 50
    asked.ceres.solver_options.function_tolerance = 1e-6
    what = colmap.BundleAdjustmentConfig()
    for image in model.reg_image_ids():
        what.add_image(image)
    if not options.fixed_poses:
        what.fix_gauge(colmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    adjuster = colmap.create_default_ceres_bundle_adjuster(asked, what, model)
    return adjuster.solve(), adjuster


def _drop_outliers(model: pycolmap.Reconstruction, options: BundleOptions) -> None:
    colmap = load_pycolmap()
    manager = colmap.ObservationManager(model)
    manager.filter_observations_with_negative_depth()
    manager.filter_all_points3D(options.farthest_px, options.narrowest_deg)


def _centre_is_fixed(model: pycolmap.Reconstruction, options: BundleOptions) -> bool:
    """Whether the photos tell every principal point well: tried on a copy, judged by its covariance."""
    colmap = load_pycolmap()
    trial = colmap.Reconstruction(model)
    _, solved = _adjust(trial, options, "CAUCHY", options.cauchy_px, True)
    asked = colmap.BACovarianceOptions()
    asked.params = colmap.BACovarianceOptionsParams.ALL
    covariance = colmap.estimate_ba_covariance(asked, trial, solved)
    if covariance is None:
        return False
    for camera in trial.cameras.values():
        block = covariance.get_other_params_cov(camera.params)
        if block is None:
            return False
        where = list(camera.principal_point_idxs())
        sigma = np.sqrt(np.diag(block)[where])
        if not (np.isfinite(sigma).all() and sigma.max() < options.centre_sigma * camera.width):
            return False
    return True


def _sureness(model: pycolmap.Reconstruction, solved: Any, freed: bool) -> Sureness:
    colmap = load_pycolmap()
    asked = colmap.BACovarianceOptions()
    asked.params = colmap.BACovarianceOptionsParams.POSES
    covariance = colmap.estimate_ba_covariance(asked, model, solved)
    turn: dict[int, float] = {}
    place: dict[int, float] = {}
    for image in model.reg_image_ids():
        block: F64 | None = None if covariance is None else covariance.get_cam_cov_from_world(image)
        if block is None:
            turn[image] = place[image] = float("nan")
        elif block.shape == (6, 6):
            turn[image] = float(np.rad2deg(np.sqrt(np.trace(block[:3, :3]))))
            place[image] = float(np.sqrt(np.trace(block[3:, 3:])))
    return Sureness(turn, place, freed)


def _known(model: pycolmap.Reconstruction) -> Sureness:
    zero = dict.fromkeys(model.reg_image_ids(), 0.0)
    return Sureness(zero, dict(zero), False)
