"""Disparity of a rectified stereo video, and metric depth from it."""

from __future__ import annotations

import warnings as python_warnings
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike

from toolkit.disk_arrays import large_empty
from toolkit.errors import UserError
from toolkit.parallel import in_order
from toolkit.progress import Report, silent
from toolkit.scene import F32, U8, B, DepthVideo, Disparity, StereoVideo
from toolkit.stereo.confidence import ConfidenceWeights, confidence, evidence, weights_of
from toolkit.stereo.fill import FillSettings, agrees_both_ways, fill_holes, without_speckles
from toolkit.stereo.registry import Match, MatcherInfo, SearchRange, matcher_of, mirror
from toolkit.stereo.search import SearchCheck, check_images, check_pair
from toolkit.stereo.subpixel import SubpixelSettings, refine_subpixel

View = Literal["left", "right"]


def estimate_disparity(
    stereo: StereoVideo,
    *,
    matcher: str = "auto",
    max_disparity: int | None = None,
    view: View = "left",
    report: Report = silent,
) -> Disparity:
    """Disparity of every frame of a rectified stereo video.

    Every pixel gets a value; what the other eye contradicts or cannot see is filled from beside it and told by a low confidence.

    Args:
        stereo: Rectified pair.
        matcher: "draft", "normal", "fine", the name of a registered matcher, or "auto" (normal).
        max_disparity: Largest disparity tried, in px; by default it is found from the clip itself.
        view: Whose pixels the result belongs to. For "right", x_left = x_right + px.
        report: Called after each frame; may raise `Cancelled`.

    Returns:
        px: (T, H, W) float32, positive, NaN where the match lies behind infinity; confidence: the chance of an error under 2 px.

    Raises:
        UserError: Unknown matcher, `max_disparity` out of range, or the eyes are swapped.

    Warns:
        UserWarning: Negative disparities or a vertical offset, in a sentence.
    """
    info = matcher_of(matcher)
    width = stereo.left.size[0]
    search = _given(max_disparity, width) if max_disparity is not None else _found(check_pair(stereo))
    px, sure = (large_empty(stereo.left.frames.shape[:3], np.float32) for _ in range(2))
    weights = weights_of(matcher)
    pairs = in_order(lambda t: _pair(stereo.left.frames[t], stereo.right.frames[t], info, weights, search, view), range(len(stereo)))
    for t, pair in enumerate(pairs):
        px[t], sure[t] = pair
        report(t + 1, len(stereo))
    return Disparity(px, sure)


def match_pair(left: U8, right: U8, *, matcher: str = "auto", max_disparity: int | None = None, view: View = "left") -> tuple[F32, F32]:
    """Disparity and confidence of one rectified pair; see `estimate_disparity`.

    Args:
        left: (H, W, 3) uint8 RGB, or (H, W) grey.
        right: The same of the right eye.
        matcher: As in `estimate_disparity`.
        max_disparity: As in `estimate_disparity`.
        view: As in `estimate_disparity`.

    Returns:
        (H, W) float32 disparity in px, (H, W) float32 confidence 0..1.
    """
    left, right = _image(left, "left"), _image(right, "right")
    if left.shape != right.shape:
        raise UserError(
            f"The left image is {left.shape[1]} x {left.shape[0]}, the right one {right.shape[1]} x {right.shape[0]}; both must be alike."
        )
    search = _given(max_disparity, left.shape[1]) if max_disparity is not None else _found(check_images([(left, right)]))
    return _pair(left, right, matcher_of(matcher), weights_of(matcher), search, view)


def depth_from_disparity(disparity: Disparity | ArrayLike, *, focal_px: float, baseline_m: float, max_depth_m: float = 20.0) -> DepthVideo:
    """Metric z-depth of a rectified pair.

    Args:
        disparity: Disparity, or (T, H, W) or (H, W) positive disparities in px, NaN where unknown.
        focal_px: Focal length of the rectified cameras, in pixels.
        baseline_m: Distance between the two camera centres, in metres.
        max_depth_m: Depths beyond it are unknown: VR180's 0.063 m give 1.4 px at 20 m, where a quarter pixel is 18 % of the depth.

    Returns:
        (T, H, W) float32 z-depth in metres, NaN where the disparity is unknown, not positive, or too far; confidence as that of the
        disparity (1 for a bare array), 0 where the depth is unknown.

    Raises:
        UserError: A focal length, baseline or limit that is not positive.

    >>> float(depth_from_disparity([[[2.0]]], focal_px=100, baseline_m=0.06).depth[0, 0, 0])
    3.0
    """
    for name, value in (("focal length", focal_px), ("baseline", baseline_m), ("largest depth", max_depth_m)):
        if not (np.isfinite(value) and value > 0):
            raise UserError(f"The {name} is {value}, but a positive number is needed.")
    if isinstance(disparity, Disparity):
        px, sure = disparity.px, disparity.confidence
    else:
        px = np.asarray(disparity, np.float32)
        px = px[None] if px.ndim == 2 else px  # noqa: PLR2004  (one frame)
        sure = np.ones(px.shape, np.float32)
    depth_m, trusted = (large_empty(px.shape, np.float32) for _ in range(2))
    for t, frame in enumerate(px):
        with np.errstate(divide="ignore", invalid="ignore"):
            z = focal_px * baseline_m / frame.astype(np.float64)
            depth_m[t] = np.where((frame > 0) & (z <= max_depth_m), z, np.nan)
        trusted[t] = np.where(np.isnan(depth_m[t]), np.float32(0), sure[t])
    return DepthVideo(depth_m, trusted, "metre")


def _pair(left: U8, right: U8, matcher: MatcherInfo, weights: ConfidenceWeights, search: SearchRange, view: View) -> tuple[F32, F32]:
    """One frame: match, check, fill, sharpen, judge."""
    if view == "right":
        px, sure = _pair(mirror(right), mirror(left), matcher, weights, search, "left")
        return mirror(px), mirror(sure)
    left, right = np.ascontiguousarray(left), np.ascontiguousarray(right)
    found = matcher.match(left, right, search)
    px, known = _dense(found, left)
    if np.isnan(px).all():
        return px, np.zeros_like(px)
    px = refine_subpixel(px, left, right, settings=SubpixelSettings(steps=matcher.subpixel_steps))
    sure = confidence(evidence(left, right, px, found.right_px, known, found.margin), weights)
    behind = px <= 0
    px[behind], sure[behind] = np.nan, 0
    return px, sure


def _dense(found: Match, left: U8) -> tuple[F32, B]:
    """A disparity for every pixel, and which of them the other eye confirms."""
    use = FillSettings()
    known = agrees_both_ways(found.px, found.right_px, within_px=use.both_ways_px)
    known = without_speckles(found.px, known, area=use.speckle_area, step_px=use.speckle_step)
    filled = fill_holes(found.px, known, left, settings=use)
    return np.asarray(cv2.medianBlur(filled, use.median), np.float32), known


def _image(image: ArrayLike, eye: str) -> U8:
    """An image as (H, W, 3) uint8."""
    array = np.asarray(image)
    if array.ndim == 2:  # noqa: PLR2004  (grey)
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:  # noqa: PLR2004  (RGB)
        raise UserError(f"The {eye} image is {array.dtype} of shape {array.shape}, but uint8 of shape (H, W, 3) is needed.")
    return array


def _given(max_disparity: int, width: int) -> SearchRange:
    """The range a person asked for."""
    if not 1 <= max_disparity < width:
        raise UserError(f"max_disparity is {max_disparity} px, but it must lie between 1 and the image width, {width}.")
    return SearchRange(0, int(max_disparity))


def _found(pair: SearchCheck) -> SearchRange:
    """The range that the clip itself shows; what is odd about it is told."""
    if pair.crossed:
        raise UserError(pair.warnings[0] + " Exchange the left and the right video.")
    for sentence in pair.warnings:
        python_warnings.warn(sentence, UserWarning, stacklevel=3)
    return pair.search
