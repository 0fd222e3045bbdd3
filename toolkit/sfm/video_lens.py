"""The focal length of a video whose lens nobody told: as the clip fixes it, drawn to what lenses usually are where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.lens_evidence import focal_sigma
from toolkit.sfm.photo_adjust import BundleOptions, noise_px
from toolkit.sfm.photo_bundle import Sureness, refine

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class LensOptions:
    """What is believed of a lens.

    Attributes:
        usual_deg: Field of view of the longer side that films usually have; wide phones have 75, zoomed ones 40.
        usual_sigma: Standard deviation of the logarithm of a focal length around that.
        surprise: Standard deviations from the usual one at which a focal length is doubted: a model is made with the usual one too.
        narrowest_deg: Fields of view of the longer side under this one are telescopes.
        widest_deg: And beyond this one no pinhole.
        correlated: How much surer the covariance is than it should be: errors of a followed point repeat from frame to frame.
        unknown: Standard deviation of the logarithm of the focal length from which on a clip does not tell it.
        most_bent: Farthest that distortion may move the corner of a picture, in shares of its distance from the centre.
        agreeing: Share of the observations under the usual lens that another lens must keep.
    """

    usual_deg: float = 60.0
    usual_sigma: float = 0.3
    surprise: float = 2.0
    narrowest_deg: float = 15.0
    widest_deg: float = 130.0
    correlated: float = 5.0
    unknown: float = 0.1
    most_bent: float = 0.5
    agreeing: float = 0.7


@dataclass(frozen=True)
class Lens:
    """What is known of a lens in the end.

    Attributes:
        sigma: Standard deviation of the logarithm of the focal length; 0 where it was given.
        supposed: Whether the usual focal length had a say.
    """

    sigma: float = 0.0
    supposed: bool = False


def usual_focal_px(camera: pycolmap.Camera, options: LensOptions) -> float:
    """Focal length of the usual lens for pictures of a camera's size."""
    return max(camera.width, camera.height) / 2 / float(np.tan(np.deg2rad(options.usual_deg) / 2))


def field_of_view_deg(camera: pycolmap.Camera) -> float:
    """Field of view of the longer side, without distortion."""
    return float(np.rad2deg(2 * np.arctan(max(camera.width, camera.height) / 2 / camera.mean_focal_length())))


def plausible(camera: pycolmap.Camera, options: LensOptions) -> bool:
    """Whether a camera may be one that films are made with."""
    if not options.narrowest_deg <= field_of_view_deg(camera) <= options.widest_deg:
        return False
    corner = np.array([camera.width, camera.height], float)
    ray = (corner - np.array(camera.params)[list(camera.principal_point_idxs())]) / camera.mean_focal_length()
    bent = np.asarray(camera.img_from_cam(np.append(ray, 1.0)))
    return bool(np.isfinite(bent).all() and np.linalg.norm(bent - corner) < options.most_bent * np.linalg.norm(corner) / 2)


def surprising(camera: pycolmap.Camera, options: LensOptions) -> bool:
    """Whether a focal length is far from the usual one, or the lens is none at all."""
    off = abs(np.log(camera.mean_focal_length() / usual_focal_px(camera, options)))
    return bool(off > options.surprise * options.usual_sigma) or not plausible(camera, options)


def pinhole_like(camera: pycolmap.Camera) -> bool:
    """Whether the focal length of a camera's model tells its field of view."""
    return camera.model_name in ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")


def usual_lens(cameras: Sequence[pycolmap.Camera], options: LensOptions, focal_px: float | None = None) -> list[pycolmap.Camera]:
    """Cameras of the same numbers with the usual focal length, or the one given, and no distortion."""
    out = [copy(camera) for camera in cameras]
    for camera in out:
        _set(camera, usual_focal_px(camera, options) if focal_px is None else focal_px)
    return out


def weighed_focal_px(found_px: float, sigma: float, usual_px: float, options: LensOptions) -> tuple[float, float]:
    """A focal length between the one that was found and the usual one, by their variances, and the sigma of its logarithm.

    It is the maximum a posteriori for normal errors of the logarithm; a sigma of infinity leaves the usual one.
    """
    share = 1 / (1 + (sigma / options.usual_sigma) ** 2)
    focal_px = float(np.exp(share * np.log(found_px) + (1 - share) * np.log(usual_px))) if share > 0 else usual_px
    return focal_px, (sigma**-2 + options.usual_sigma**-2) ** -0.5


def hold(model: pycolmap.Reconstruction, focal_px: float) -> None:
    """Gives the cameras of a model a focal length, without distortion."""
    for camera in model.cameras.values():
        _set(camera, focal_px)


def _set(camera: pycolmap.Camera, focal_px: float) -> None:
    params = np.zeros(len(camera.params))
    params[list(camera.focal_length_idxs())] = focal_px
    centre = list(camera.principal_point_idxs())
    params[centre] = np.array(camera.params)[centre]
    camera.params = params.tolist()


def refine_with_lens(
    model: pycolmap.Reconstruction, bundle: BundleOptions, options: LensOptions
) -> tuple[pycolmap.Reconstruction, Sureness, Lens]:
    """Refines a model, its lens as far as the clip tells it.

    The clip's own focal length and the usual one are weighed by their variances; where the usual one has a say the lens is held there,
    and the rest refined once more.

    Args:
        model: Of frames that share a camera.
        bundle: How it is refined.
        options: What is believed of lenses.

    Returns:
        The refined model, how sure its poses are, and what is known of its lens.
    """
    if bundle.fixed_lens or not pinhole_like(_first(model)):
        return model, refine(model, bundle), Lens()
    copied = load_pycolmap().Reconstruction
    free = copied(model)
    sure = refine(free, bundle)
    camera = _first(free)
    usual_px = usual_focal_px(camera, options)
    sigma = options.correlated * focal_sigma(free, bundle) if plausible(camera, options) else float("inf")
    if surprising(camera, options) and np.isfinite(sigma):
        usual = copied(model)
        hold(usual, usual_px)
        refine(usual, replace(bundle, fixed_lens=True))
        # An unusual lens is believed where the clip agrees to it, not where a part of it does.
        if free.compute_num_observations() < options.agreeing * usual.compute_num_observations():
            sigma = float("inf")
    if sigma < options.unknown:
        return free, sure, Lens(sigma)
    focal_px, sigma = weighed_focal_px(camera.mean_focal_length(), sigma, usual_px, options)
    hold(model, focal_px)
    return model, refine(model, replace(bundle, fixed_lens=True)), Lens(sigma, True)


def better(
    free: pycolmap.Reconstruction | None, usual: pycolmap.Reconstruction | None, options: LensOptions
) -> pycolmap.Reconstruction | None:
    """Of the models with a lens of the clip's own and with the usual one: that of more observations, or if about as many, the finer."""
    if free is None or usual is None:
        return usual if free is None else free
    if not plausible(_first(free), options) or free.compute_num_observations() < options.agreeing * usual.compute_num_observations():
        return usual
    if usual.compute_num_observations() < options.agreeing * free.compute_num_observations():
        return free
    return min((free, usual), key=noise_px)


def _first(model: pycolmap.Reconstruction) -> pycolmap.Camera:
    return next(camera for _, camera in sorted(model.cameras.items()))
