"""One adjustment of a model of photos by COLMAP, and the noise that it leaves over."""

from __future__ import annotations

from collections.abc import Set
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
        free_centre: Whether principal points are refined too; None to do so where the photos fix them, or contradict them.
        huber_px: Residuals beyond it count linearly in the first round.
        cauchy_px: Residuals beyond it hardly count in the last one.
        farthest_px: Observations further off are dropped between the rounds; COLMAP's.
        farthest_sigmas: So are those further off than so many robust standard deviations of all.
        surely_near_px: Observations nearer than this stay whatever the rest does.
        narrowest_deg: Points whose rays meet under a smaller angle are dropped; COLMAP's.
        centre_sigma: A principal point is fixed by the photos if its standard deviation is under this share of the width.
        centre_off: The middle of a picture is contradicted as its principal point by one further away than this share of the width ...
        centre_sigmas: ... and than so many standard deviations: the picture is cut out of a larger one, and not from its middle.
        settled: A lens of such pictures is found once a further look at all matches changes it by less than this share.
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
    centre_off: float = 0.03
    centre_sigmas: float = 8.0
    settled: float = 0.01
    threads: int = 1


def adjust(
    model: pycolmap.Reconstruction,
    options: BundleOptions,
    loss: str,
    scale_px: float,
    centres: Set[int] = frozenset(),
    *,
    distortion: bool = True,
) -> Any:
    """Adjusts a model in place; the adjuster as COLMAP leaves it, for covariances.

    Args:
        model: Of the photos.
        options: What is refined.
        loss: "HUBER" or "CAUCHY", by which far residuals lose weight ...
        scale_px: ... beyond so many pixels.
        centres: Numbers of the cameras whose principal point is refined, where lenses are.
        distortion: Whether distortion is, where lenses are.
    """
    others = set(model.cameras) - centres
    if centres and others and not options.fixed_lens:
        # COLMAP frees the principal points of all cameras or of none, but holds whole lenses: these in turn.
        _adjusted(model, options, loss, scale_px, True, distortion, held=others)
        return _adjusted(model, options, loss, scale_px, False, distortion)
    return _adjusted(model, options, loss, scale_px, bool(centres), distortion)


def _adjusted(
    model: pycolmap.Reconstruction,
    options: BundleOptions,
    loss: str,
    scale_px: float,
    centre: bool,
    distortion: bool,
    held: Set[int] = frozenset(),
) -> Any:
    colmap = load_pycolmap()
    asked = colmap.BundleAdjustmentOptions()
    asked.refine_focal_length = not options.fixed_lens
    asked.refine_extra_params = distortion and not options.fixed_lens
    asked.refine_principal_point = centre and not options.fixed_lens
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
    for camera in held:
        what.set_constant_cam_intrinsics(camera)
    if not options.fixed_poses:
        what.fix_gauge(colmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    adjuster = colmap.create_default_ceres_bundle_adjuster(asked, what, model)
    adjuster.solve()
    return adjuster


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
