"""What photos say of the lenses they were taken with: focal lengths and principal points that they fix, or contradict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from toolkit.scene import F64
from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.photo_adjust import BundleOptions, adjust, noise_px

if TYPE_CHECKING:
    import pycolmap

_SLIDES, _SLID = 4, 0.01  # adjustments of a focal length that follows a flat valley, and a change that ends them


@dataclass(frozen=True)
class LensTold:
    """What photos say of a focal length that was held.

    Attributes:
        ratio: Theirs over it.
        gain: The noise with theirs over the noise with it.
        sigma: Standard deviation of the logarithm of theirs, by the covariance; infinite where it has none.
    """

    ratio: float
    gain: float
    sigma: float


def lens_told(model: pycolmap.Reconstruction, options: BundleOptions) -> LensTold:
    """Asks the photos for the focal length; the model stays as it is, copies are adjusted with it free and held, distortion held.

    Args:
        model: Made with the focal length that was given.
        options: How it was refined.
    """
    copied, loosened = load_pycolmap().Reconstruction, replace(options, fixed_lens=False)
    held, free = copied(model), copied(model)
    scale_px = max(options.cauchy_px, noise_px(model))
    adjust(held, replace(options, fixed_lens=True), "CAUCHY", scale_px)
    before = _focal_px(free)
    for _ in range(_SLIDES):
        adjust(free, loosened, "CAUCHY", scale_px, distortion=False)
        after = _focal_px(free)
        if abs(after / before - 1) < _SLID:
            break
        before = after
    noise = noise_px(held)
    return LensTold(_focal_px(free) / _focal_px(held), noise_px(free) / noise if noise > 0 else 1.0, focal_sigma(model, options))


def _focal_px(model: pycolmap.Reconstruction) -> float:
    return float(np.median([camera.mean_focal_length() for camera in model.cameras.values()]))


def told_centres(model: pycolmap.Reconstruction, options: BundleOptions) -> frozenset[int]:
    """Numbers of the cameras whose principal point the photos fix well, or find far from the middle of the picture.

    A copy is adjusted with all of them free, and judged by its covariance.

    Args:
        model: Made with the principal points where they are.
        options: When one counts as told.
    """
    colmap = load_pycolmap()
    trial = colmap.Reconstruction(model)
    blocks = _lens_covariances(trial, options, frozenset(trial.cameras))
    told = []
    for number, camera in trial.cameras.items():
        where = list(camera.principal_point_idxs())
        block = blocks.get(number)
        if block is None:
            continue
        size = np.array([camera.width, camera.height])
        sigma, off = np.sqrt(np.diag(block)[where]), np.abs(np.array(camera.params)[where] - size / 2)
        if not np.isfinite(sigma).all():
            continue
        far = (off > options.centre_off * camera.width) & (off > options.centre_sigmas * sigma) & (off < size)
        if sigma.max() < options.centre_sigma * camera.width or far.any():
            told.append(number)
    return frozenset(told)


def focal_sigma(model: pycolmap.Reconstruction, options: BundleOptions) -> float:
    """Standard deviation of the logarithm of the focal length of the first lens, by the covariance; infinite where it has none.

    The model stays as it is; a copy is adjusted with the lens free.
    """
    trial = load_pycolmap().Reconstruction(model)
    blocks = _lens_covariances(trial, replace(options, fixed_lens=False), frozenset())
    number, camera = next(iter(sorted(trial.cameras.items())))
    if number not in blocks:
        return float("inf")
    variance = float(np.mean([blocks[number][k, k] for k in range(len(camera.focal_length_idxs()))]))
    if not (np.isfinite(variance) and variance >= 0):
        return float("inf")
    return float(np.sqrt(variance)) / camera.mean_focal_length()


def _lens_covariances(trial: pycolmap.Reconstruction, options: BundleOptions, centres: frozenset[int]) -> dict[int, F64]:
    """By number of the camera the covariance of its free parameters, in pixels, once the model was adjusted; none where it has none.

    The model is for nothing else afterwards.
    """
    colmap = load_pycolmap()
    solved = adjust(trial, options, "CAUCHY", options.cauchy_px, centres)
    for frame in trial.frames.values():
        if not frame.has_pose():  # it takes no part, but is asked for one
            frame.rig_from_world = colmap.Rigid3d()
    asked = colmap.BACovarianceOptions()
    asked.params = colmap.BACovarianceOptionsParams.ALL
    covariance = colmap.estimate_ba_covariance(asked, trial, solved)
    if covariance is None:
        return {}
    # The adjustment takes every residual for one pixel's worth.
    variance = noise_px(trial) ** 2
    found = {number: covariance.get_other_params_cov(camera.params) for number, camera in trial.cameras.items()}
    return {number: block * variance for number, block in found.items() if block is not None}
