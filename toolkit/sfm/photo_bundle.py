"""Robust bundle adjustment of a model of photos: Huber, then Cauchy, outliers out between them; and how sure each pose is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.scene import F64
from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.weighted_bundle import Freedom, WeightedOptions, adjust

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
        farthest_sigmas: So are those further off than so many robust standard deviations of all.
        surely_near_px: Observations nearer than this stay whatever the rest does.
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
    farthest_sigmas: float = 4.0
    surely_near_px: float = 1.0
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
    free = bool(options.free_centre)
    _adjust(model, options, "HUBER", options.huber_px, free)
    if sigmas is not None:
        return _refine_weighted(model, options, sigmas, free)
    _drop_outliers(model, options)
    _adjust(model, options, "CAUCHY", options.cauchy_px, free)
    if options.free_centre is None and not options.fixed_lens and not options.fixed_poses and _centre_is_fixed(model, options):
        free = True
        _adjust(model, options, "CAUCHY", options.cauchy_px, free)
    _drop_outliers(model, options)
    _, solved = _adjust(model, options, "CAUCHY", options.cauchy_px, free)
    model.update_point_3d_errors()
    return _sureness(model, solved, free) if not options.fixed_poses else _known(model)


def _refine_weighted(model: pycolmap.Reconstruction, options: BundleOptions, sigmas: Mapping[int, F64], free: bool) -> Sureness:
    colmap = load_pycolmap()
    _adjust(model, options, "CAUCHY", options.cauchy_px, free)
    if options.free_centre is None and not options.fixed_lens and not options.fixed_poses and _centre_is_fixed(model, options):
        free = True
    manager = colmap.ObservationManager(model)
    manager.filter_observations_with_negative_depth()
    manager.filter_all_points3D(float("inf"), options.narrowest_deg)
    freedom = Freedom(poses=not options.fixed_poses, lens=not options.fixed_lens, centre=free and not options.fixed_lens)
    solved = adjust(model, sigmas, freedom, WeightedOptions(farthest_sigmas=options.farthest_sigmas))
    model.update_point_3d_errors()
    if options.fixed_poses:
        return _known(model)
    blocks = solved.pose_covariance.items()
    turn = {i: float(np.rad2deg(np.sqrt(np.trace(block[:3, :3])))) for i, block in blocks}
    return Sureness(turn, {i: float(np.sqrt(np.trace(block[3:, 3:]))) for i, block in blocks}, free)


def _adjust(
    model: pycolmap.Reconstruction, options: BundleOptions, loss: str, scale_px: float, free_centre: bool, *, distortion: bool = True
) -> tuple[Any, Any]:
    colmap = load_pycolmap()
    asked = colmap.BundleAdjustmentOptions()
    asked.refine_focal_length = not options.fixed_lens
    asked.refine_extra_params = distortion and not options.fixed_lens
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


def lens_told(model: pycolmap.Reconstruction, options: BundleOptions) -> tuple[float, float]:
    """What the photos say of a focal length that was held: theirs over it, and the noise with theirs over the noise with it.

    The model stays as it is; a copy is adjusted with the focal lengths free, distortion held.
    """
    trial = load_pycolmap().Reconstruction(model)
    before, held = noise_px(trial), {c: camera.mean_focal_length() for c, camera in trial.cameras.items()}
    _adjust(trial, replace(options, fixed_lens=False, fixed_poses=False), "CAUCHY", max(options.cauchy_px, before), False, distortion=False)
    ratios = [camera.mean_focal_length() / held[c] for c, camera in trial.cameras.items()]
    return float(np.median(ratios)), noise_px(trial) / before if before > 0 else 1.0


def _drop_outliers(model: pycolmap.Reconstruction, options: BundleOptions) -> None:
    colmap = load_pycolmap()
    manager = colmap.ObservationManager(model)
    manager.filter_observations_with_negative_depth()
    sigma_px = noise_px(model)
    if not np.isfinite(sigma_px):
        return
    limit = max(options.surely_near_px, options.farthest_sigmas * sigma_px)
    manager.filter_all_points3D(min(options.farthest_px, limit), options.narrowest_deg)


def noise_px(model: pycolmap.Reconstruction) -> float:
    """Robust standard deviation of an observation per axis, NaN without any.

    The median length of a two-dimensional normal error is 1.1774 standard deviations; and residuals are smaller than errors, as points
    and poses follow the observations.
    """
    errors = errors_px(model)
    if len(errors) == 0:
        return float("nan")
    free = 3 * model.num_points3D() + 6 * model.num_reg_images()
    return float(np.median(errors)) / 1.1774 / max(0.3, 1 - free / (2 * len(errors))) ** 0.5


def errors_px(model: pycolmap.Reconstruction) -> F64:
    """(M,) reprojection error of every observation; infinite behind a camera."""
    found = []
    for number in sorted(model.reg_image_ids()):
        image = model.image(number)
        seen = [p for p in image.points2D if p.has_point3D()]
        if not seen:
            continue
        xyz = np.array([model.point3D(p.point3D_id).xyz for p in seen])
        pose = image.cam_from_world().matrix()
        expected = np.asarray(model.camera(image.camera_id).img_from_cam(xyz @ pose[:, :3].T + pose[:, 3]))
        errors = np.linalg.norm(expected - [p.xy for p in seen], axis=1)
        found.append(np.where(np.isfinite(errors), errors, np.inf))
    return np.concatenate(found) if found else np.empty(0)


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
    sigma_px = noise_px(trial)
    for camera in trial.cameras.values():
        block = covariance.get_other_params_cov(camera.params)
        if block is None:
            return False
        where = list(camera.principal_point_idxs())
        sigma = np.sqrt(np.diag(block)[where]) * sigma_px
        if not (np.isfinite(sigma).all() and sigma.max() < options.centre_sigma * camera.width):
            return False
    return True


def focal_sigma(model: pycolmap.Reconstruction, options: BundleOptions) -> float:
    """Standard deviation of the logarithm of the focal length of the first lens, by the covariance; infinite where it has none.

    The model stays as it is; a copy is adjusted with the lens free.
    """
    colmap = load_pycolmap()
    trial = colmap.Reconstruction(model)
    _, solved = _adjust(trial, replace(options, fixed_lens=False), "CAUCHY", options.cauchy_px, False)
    asked = colmap.BACovarianceOptions()
    asked.params = colmap.BACovarianceOptionsParams.ALL
    covariance = colmap.estimate_ba_covariance(asked, trial, solved)
    camera = next(camera for _, camera in sorted(trial.cameras.items()))
    block = None if covariance is None else covariance.get_other_params_cov(camera.params)
    if block is None:
        return float("inf")
    variance = float(np.mean([block[k, k] for k in range(len(camera.focal_length_idxs()))]))
    if not (np.isfinite(variance) and variance >= 0):
        return float("inf")
    return noise_px(trial) * float(np.sqrt(variance)) / camera.mean_focal_length()


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
