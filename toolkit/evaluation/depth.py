"""Scores of depth and disparity against ground truth, with the definitions of Eigen et al. 2014 and the Middlebury stereo benchmark."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.scene import F64, B, DepthVideo, Disparity

Align = Literal["median_scale", "scale", "scale_shift"]


def depth(pred: DepthVideo | ArrayLike, gt: DepthVideo | ArrayLike, *, align: Align | None = None) -> dict[str, float]:
    """Error of a depth map or video.

    Args:
        pred: DepthVideo, or (..., H, W) z-depth; NaN, 0 or less where unknown.
        gt: Ground truth alike.
        align: How a relative depth is brought to the ground truth's scale first, over all frames at once: "median_scale" by the
            ratio of medians, "scale" by least squares on depth, "scale_shift" by least squares on inverse depth; None: as it is.

    Returns:
        "AbsRel" (mean of |pred - gt| / gt), "RMSE" (unit of gt), "RMSE_log", "delta_1", "delta_2", "delta_3" (share of pixels with
        max(pred / gt, gt / pred) < 1.25^k), "coverage" (share of known ground truth that pred knows), "scale", "shift" (of inverse
        depth), "pixels". Means are over pixels that both know, NaN if there are none.

    Raises:
        UserError: Shapes differ, or the alignment is unknown.
    """
    p, g = _values(pred, "depth"), _values(gt, "depth")
    _alike(p, g, "depth")
    known = np.isfinite(g) & (g > 0)
    both = known & np.isfinite(p) & (p > 0)
    coverage = float(both.sum() / known.sum()) if known.any() else float("nan")
    p, g = p[both], g[both]
    scale, shift = _alignment(p, g, align)
    if align == "scale_shift":
        with np.errstate(divide="ignore"):
            p = 1 / np.maximum(scale / p + shift, 1e-12)
    else:
        p = scale * p
    ratio = np.maximum(p / g, g / p)
    return {
        "AbsRel": _mean(np.abs(p - g) / g),
        "RMSE": float(np.sqrt(_mean((p - g) ** 2))),
        "RMSE_log": float(np.sqrt(_mean(np.log(p / g) ** 2))),
        "delta_1": _mean(ratio < 1.25),
        "delta_2": _mean(ratio < 1.25**2),
        "delta_3": _mean(ratio < 1.25**3),
        "coverage": coverage,
        "scale": scale,
        "shift": shift,
        "pixels": float(len(p)),
    }


def disparity(pred: Disparity | ArrayLike, gt: Disparity | ArrayLike, *, nonocc: ArrayLike | None = None) -> dict[str, float]:
    """Error of a disparity map or video; a missing value is a bad one.

    Args:
        pred: Disparity, or (..., H, W) px; NaN or infinite where unknown.
        gt: Ground truth alike.
        nonocc: (..., H, W) bool pixels that both eyes see; if given, every figure is told over them too, as "nonocc_...".

    Returns:
        "bad_1", "bad_2", "bad_4" (share of known ground truth with an error over 1, 2, 4 px or no value), "avg" and "median"
        (px, over pixels with a value), "coverage" (share with a value), "pixels".

    Raises:
        UserError: Shapes differ.
    """
    p, g = _values(pred, "disparity"), _values(gt, "disparity")
    _alike(p, g, "disparity")
    known = np.isfinite(g)
    scores = _disparity_scores(p[known], g[known])
    if nonocc is not None:
        seen = np.asarray(nonocc, bool)
        _alike(seen, g, "mask")
        scores |= {f"nonocc_{name}": value for name, value in _disparity_scores(p[known & seen], g[known & seen]).items()}
    return scores


def seen_by_both(gt_px: ArrayLike, *, within_px: float = 1.0) -> B:
    """Which pixels of the left image the right eye sees, from ground truth disparity.

    A pixel is hidden where its match lies outside the right image or where a disparity larger by more than `within_px` lands on
    the same right pixel.

    Args:
        gt_px: (..., H, W) disparity of the left image, px, NaN or infinite where unknown.
        within_px: Slope of a surface that may share one right pixel.

    Returns:
        (..., H, W) bool, False where the ground truth is unknown.
    """
    gt = np.asarray(gt_px, np.float64)
    rows = gt.reshape(-1, gt.shape[-1])
    n, w = rows.shape
    known = np.isfinite(rows)
    landing = np.arange(w) - np.where(known, rows, 0)
    row = np.broadcast_to(np.arange(n)[:, None], rows.shape)
    nearest = np.full((n, w), -np.inf)
    for rounded in (np.floor(landing), np.ceil(landing)):
        at = rounded.astype(np.int64)
        hit = known & (at >= 0) & (at < w)
        np.maximum.at(nearest, (row[hit], at[hit]), rows[hit])
    at = np.rint(landing).astype(np.int64)
    inside = known & (at >= 0) & (at < w)
    seen = np.zeros(rows.shape, bool)
    seen[inside] = nearest[row[inside], at[inside]] - rows[inside] <= within_px
    return seen.reshape(gt.shape)


def _disparity_scores(p: F64, g: F64) -> dict[str, float]:
    """The figures over one set of pixels."""
    has = np.isfinite(p)
    error = np.where(has, np.abs(np.where(has, p, 0) - g), np.inf)
    return {
        **{f"bad_{n}": _mean(error > n) for n in (1, 2, 4)},
        "avg": _mean(error[has]),
        "median": float(np.median(error[has])) if has.any() else float("nan"),
        "coverage": _mean(has),
        "pixels": float(len(g)),
    }


def _alignment(p: F64, g: F64, align: Align | None) -> tuple[float, float]:
    """Scale and shift that bring p to g; shift is of inverse depth."""
    if align is None or not len(p):
        return 1.0, 0.0
    if align == "median_scale":
        return float(np.median(g) / np.median(p)), 0.0
    if align == "scale":
        return float(p @ g / (p @ p)), 0.0
    if align == "scale_shift":
        columns = np.stack([1 / p, np.ones_like(p)], 1)
        scale, shift = np.linalg.lstsq(columns, 1 / g, rcond=None)[0]
        return float(scale), float(shift)
    raise UserError(f'The alignment is "{align}", but median_scale, scale, scale_shift or None is needed.')


def _values(noun: DepthVideo | Disparity | ArrayLike, name: str) -> F64:
    """The array of a noun, or the array itself, as float64."""
    if isinstance(noun, DepthVideo):
        noun = noun.depth
    elif isinstance(noun, Disparity):
        noun = noun.px
    array = np.asarray(noun, np.float64)
    if array.ndim < 2:  # noqa: PLR2004  (an image at least)
        raise UserError(f"The {name} has shape {array.shape}, but (..., H, W) is needed.")
    return array


def _alike(a: NDArray, b: NDArray, name: str) -> None:
    if a.shape != b.shape:
        raise UserError(f"The {name} has shape {a.shape}, but the ground truth has {b.shape}; both must be alike.")


def _mean(values: NDArray) -> float:
    return float(np.mean(values)) if values.size else float("nan")
