"""Any relative depth, or disparity, brought to a scene's scale: one affine a frame, found from the scene's points, smooth over time.

The published VGGSfM fits 1 / z = a d + b to each image by random samples. Here the form (depth or inverse depth) and the sign are chosen
over all frames by what fits, gross errors count little, and a Kalman smoother lends frames with few points what their neighbours know:
how much is decided by how much the affines themselves change from frame to frame.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import project
from toolkit.geometry.sampling import sample_bilinear
from toolkit.lifting._affine import Affine, fit_affine, smoothed
from toolkit.lifting.relative_depth import relative_depth
from toolkit.media.npz import NpzReader
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, DepthVideo, Scene
from toolkit.wording import counted

Form = Literal["auto", "depth", "disparity"]
NETWORK = "depth-anything-v2-small"


@dataclass(frozen=True)
class AlignOptions:
    """How a depth is aligned.

    Attributes:
        fewest: Points of a frame that fix its two numbers against errors.
        least_sure: A frame with fewer points takes what its neighbours say, if that is sure to so much of the depth.
        right: Relative error up to which a point counts as met, for the confidence.
        radius: Points within so much of the picture's width speak for a pixel's confidence.
        poor: Median relative error from which a frame is told about.
        turned: Share of the frames that may fit the other way up before the sign is called unclear.
    """

    fewest: int = 12
    least_sure: float = 0.1
    right: float = 0.05
    radius: float = 0.1
    poor: float = 0.15
    turned: float = 0.25


def align_depth(
    depth: ArrayLike | DepthVideo | str | os.PathLike[str],
    scene: Scene,
    *,
    form: Form = "auto",
    smooth: bool = True,
    options: AlignOptions | None = None,
    report: Report = silent,
) -> DepthVideo:
    """Relative depth or disparity in the scale of a scene.

    Args:
        depth: (T, H, W) or, for one frame, (H, W) numbers of any scale, sign and offset, NaN where unknown; an .npz that holds one such
            array; a DepthVideo; or "depth-anything-v2-small" to have that network look at the scene's video, where the transformers
            library is installed and the model is on this machine.
        scene: With cameras and 3D points that its frames see: tracks, or a cloud. H and W need not be those of its video.
        form: "depth" or "disparity" (inverse depth), either of them upside down too; "auto" for whichever fits the points.
        smooth: Whether neighbouring frames inform each other; False for photos in no order.
        options: Limits.
        report: Called per frame.

    Returns:
        (T, H', W') z-depth of the size of the scene's pictures, in its unit; NaN where the input is unknown, the aligned depth not
        positive, or the frame has too few points. Confidence: the share of the points around a pixel whose depth it meets within 5 %.

    Raises:
        UserError: nothing to align, or to align to, in one sentence.

    Warns:
        UserWarning: frames with too few points, a sign that is upside down, a poor fit; in a sentence.
    """
    use = options or AlignOptions()
    if form not in ("auto", "depth", "disparity"):
        raise UserError(f"The form is {form!r}, but auto, depth or disparity is needed.")
    if scene.cameras is None or (scene.tracks_3d is None and scene.points is None):
        raise UserError("Depth is aligned to a scene with cameras and 3D points, but this one lacks them.")
    given = _given(depth, scene, report)
    points = [_at_points(given[t], scene, t) for t in range(len(given))]
    if max(len(z) for _, z, _ in points) < use.fewest:
        most = max(len(z) for _, z, _ in points)
        raise UserError(f"No frame sees more than {counted(most, 'point')} with a depth to align to; {use.fewest} are needed.")
    inverse, sign, fits = _best_form(points, form, use)
    if smooth and len(fits) > 1:
        fits = smoothed(fits)
    _tell_sign(inverse, sign, fits, points, use)

    width, height = (int(n) for n in scene.cameras.size[0])
    out = np.full((len(given), height, width), np.nan, np.float32)
    sure = np.zeros(out.shape, np.float32)
    lacking, poor = [], []
    for t, fit in enumerate(fits):
        d, z, xy = points[t]
        if fit is not None and fit.a * sign > 0 and (len(z) >= use.fewest or _sure_enough(fit, inverse, points, use)):
            out[t] = _resized(_applied(given[t], fit, inverse), (width, height))
            error = _relative_error(d, z, fit, inverse)
            if len(z) >= use.fewest and np.median(error) > use.poor:
                poor.append(t)
            sure[t] = np.where(np.isfinite(out[t]), _confidence(xy, error <= use.right, (width, height), use), 0)
        else:
            lacking.append(t)
        report(t + 1, len(fits))
    if len(lacking) == len(fits):
        raise UserError("The depth fits the scene in no frame: is it of the same frames, in the same order?")
    if lacking:
        _warn(f"{_frames(lacking)} too few points of the scene ({use.fewest} are needed), or none that fit; the depth is unknown there.")
    if poor:
        _warn(f"{_frames(poor, 'fits', 'fit')} the scene's points poorly, by over {100 * use.poor:.0f} % of the depth in the middle.")
    return DepthVideo(out, sure, scene.unit)


def _given(depth: ArrayLike | DepthVideo | str | os.PathLike[str], scene: Scene, report: Report) -> F32:
    """(T, H, W) float32."""
    assert scene.cameras is not None
    if isinstance(depth, DepthVideo):
        array: NDArray = depth.depth
    elif depth == NETWORK if isinstance(depth, str) else False:
        if scene.video is None:
            raise UserError(f"The scene holds no video for {NETWORK} to look at.")
        array = relative_depth(scene.video, report=report)
    elif isinstance(depth, str | os.PathLike):
        if not str(depth).lower().endswith(".npz"):
            raise UserError(f"{depth!r} is neither an .npz file nor {NETWORK}.")
        with NpzReader(depth) as file:
            names = [name for name in file.names if len(file.shape(name)[0]) in (2, 3)]
            names = [name for name in names if name in ("depth", "disparity")] or names
            if len(names) != 1:
                raise UserError(f"{file.name} holds {', '.join(file.names)}, but one array (T, H, W) is needed, or one of the name depth.")
            array = np.array(file.array(names[0]))
    else:
        array = np.asarray(depth)
    if array.dtype.kind not in "biuf":
        raise UserError(f"The depth holds {array.dtype}, but numbers are needed.")
    array = array[None] if array.ndim == 2 else array  # noqa: PLR2004  (one frame)
    if array.ndim != 3 or min(array.shape) == 0:  # noqa: PLR2004
        raise UserError(f"The depth has shape {np.shape(array)}, but (T, H, W) is needed.")
    if len(array) != len(scene.cameras):
        raise UserError(f"The depth has {counted(len(array), 'frame')}, but the scene {len(scene.cameras)}.")
    return array.astype(np.float32)


def _at_points(values: F32, scene: Scene, t: int) -> tuple[F64, F64, F64]:
    """What a map says at the points that a frame sees, their z-depth, and where they are (pixels of the scene's pictures)."""
    cameras = scene.cameras
    assert cameras is not None
    nothing = np.empty(0), np.empty(0), np.empty((0, 2))
    if not cameras.registered[t]:
        return nothing
    if scene.tracks_3d is not None:
        xyz = scene.tracks_3d.xyz[scene.tracks_3d.visible[:, t], t]
    else:
        assert scene.points is not None
        xyz = scene.points.xyz
    xy, z = project(xyz.astype(np.float64), cameras.K[t], cameras.T_wc[t])
    scale = np.array([values.shape[1], values.shape[0]]) / cameras.size[t]
    with np.errstate(invalid="ignore"):
        d = sample_bilinear(values, xy * scale).astype(np.float64)
        known = np.isfinite(d) & np.isfinite(z) & (z > 0)
    return d[known], z[known], xy[known]


def _best_form(points: list[tuple[F64, F64, F64]], form: Form, use: AlignOptions) -> tuple[bool, int, list[Affine | None]]:
    """Whether the values go with inverse depth, their sign, and the affine of each frame: the form of the least relative error."""
    best: tuple[float, bool, int, list[Affine | None]] | None = None
    for inverse in (True, False):
        if form != "auto" and inverse != (form == "disparity"):
            continue
        fits = [fit_affine(d, 1 / z if inverse else z) if len(z) >= use.fewest else None for d, z, _ in points]
        known = [f for f in fits if f is not None]
        if not known:
            continue
        # Each frame votes by how sure it is of its sign.
        votes = sum(np.sign(f.a) * min(abs(f.a) / max(np.sqrt(f.covariance[0, 0]), 1e-300), 10.0) for f in known)
        sign = 1 if votes >= 0 else -1
        errors = [
            np.median(_relative_error(d, z, f, inverse)) if f.a * sign > 0 else 1.0
            for f, (d, z, _) in zip(fits, points, strict=True)
            if f is not None
        ]
        error = float(np.mean(errors))
        if best is None or error < best[0]:
            best = error, inverse, sign, fits
    if best is None:
        raise UserError("The depth is the same number at all points of the scene, so it tells nothing.")
    return best[1:]


def _tell_sign(inverse: bool, sign: int, fits: list[Affine | None], points: list[tuple[F64, F64, F64]], use: AlignOptions) -> None:
    known = [f for f in fits if f is not None]
    turned = float(np.mean([f.a * sign <= 0 for f in known]))
    if turned > use.turned:
        _warn(f"In {100 * turned:.0f} % of the frames the depth grows the other way than in the rest: it hardly fits this scene.")
    if sign < 0:
        what = "inverse depth" if inverse else "depth"
        _warn(f"The values fall where {what} grows: they were turned upside down.")


def _applied(values: F32, fit: Affine, inverse: bool) -> F32:
    with np.errstate(divide="ignore", invalid="ignore"):
        aligned = np.float32(fit.a) * values + np.float32(fit.b)
        depth = 1 / aligned if inverse else aligned
        return np.where(np.isfinite(depth) & (aligned > 0), depth, np.nan).astype(np.float32)


def _relative_error(d: F64, z: F64, fit: Affine, inverse: bool) -> F64:
    """(N,) |aligned - z| / z, 1 where the aligned depth is not positive."""
    value = fit.a * d + fit.b
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = 1 / value if inverse else value
        return np.where(value > 0, np.minimum(np.abs(depth / z - 1), 1.0), 1.0)


def _sure_enough(fit: Affine, inverse: bool, points: list[tuple[F64, F64, F64]], use: AlignOptions) -> bool:
    """Whether an affine that others lent is sure at typical values."""
    d = np.concatenate([p[0] for p in points])
    middle = np.quantile(d, [0.1, 0.5, 0.9])
    value = fit.a * middle + fit.b
    J = np.stack([middle, np.ones_like(middle)], 1)
    sigma = np.sqrt(np.einsum("ni,ij,nj->n", J, fit.covariance, J))
    return bool(np.all(value > 0) and np.all(sigma <= use.least_sure * value))


def _confidence(xy: F64, met: NDArray[np.bool_], size: tuple[int, int], use: AlignOptions) -> F32:
    """(H, W) share of the points around each pixel that are met; where there are few, that of the whole frame counts too."""
    small = (64, max(1, round(64 * size[1] / size[0])))
    counts, hits = np.zeros((small[1], small[0]), np.float32), np.zeros((small[1], small[0]), np.float32)
    column = np.clip(xy[:, 0] / size[0] * small[0], 0, small[0] - 1).astype(int)
    row = np.clip(xy[:, 1] / size[1] * small[1], 0, small[1] - 1).astype(int)
    np.add.at(counts, (row, column), 1)
    np.add.at(hits, (row, column), met)
    sigma = use.radius * small[0]
    blurred = [cv2.GaussianBlur(a, (0, 0), sigma) * 2 * np.pi * sigma**2 for a in (counts, hits)]
    every = (hits.sum() + 1) / (counts.sum() + 2)
    share = (blurred[1] + 4 * every) / (blurred[0] + 4)
    return cv2.resize(share.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _resized(depth: F32, size: tuple[int, int]) -> F32:
    """Depth at (width, height): linear in inverse depth, of the nearest pixel beside unknown ones."""
    if depth.shape == size[::-1]:
        return depth
    inverse = 1 / depth
    linear = cv2.resize(inverse, size, interpolation=cv2.INTER_LINEAR)
    nearest = cv2.resize(inverse, size, interpolation=cv2.INTER_NEAREST)
    out = np.where(np.isnan(nearest), np.nan, np.where(np.isfinite(linear), linear, nearest))
    return (1 / out).astype(np.float32)


def _frames(which: list[int], one: str = "has", more: str = "have") -> str:
    shown = ", ".join(map(str, which[:8])) + (", ..." if len(which) > 8 else "")  # noqa: PLR2004  (enough to look for)
    return f"Frame {shown} {one}" if len(which) == 1 else f"{len(which)} frames ({shown}) {more}"


def _warn(sentence: str) -> None:
    warnings.warn(sentence, UserWarning, stacklevel=3)
