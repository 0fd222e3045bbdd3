"""Fractions of a plane: each window's small plane of inverse depth is fitted to the grey values of all views by one least-squares step.

The same step as `subpixel` takes between two eyes, with the derivative along each view's epipolar line.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from toolkit.scene import F32
from toolkit.stereo.plane_sweep import Planes, View, epipolar_map
from toolkit.stereo.subpixel import SubpixelSettings, near_jump, plane_at_centre


def refine_labels(label: F32, view: View, others: Sequence[View], planes: Planes, *, settings: SubpixelSettings | None = None) -> F32:
    """Labels with a sharper fraction.

    Args:
        label: (H, W) float32 of a sweep, NaN where unknown.
        view: Whose labels they are.
        others: The views they were found with.
        planes: What the labels mean.
        settings: Window and limits, a plane standing for a pixel.

    Returns:
        (H, W) float32, nowhere further from `label` than `longest_px`, NaN where it is.
    """
    use = settings or SubpixelSettings()
    h, w = label.shape
    known = np.isfinite(label)
    at = np.where(known, label, 0).astype(np.float32)
    grey = cv2.GaussianBlur(view.grey.astype(np.float32), (0, 0), 0.6)
    x, y = np.meshgrid(np.arange(w, dtype=np.float32) + 0.5, np.arange(h, dtype=np.float32) + 0.5)
    weight = np.full((h, w), use.stiffness, np.float32)
    wish = use.stiffness * at
    for other in others:
        A, b = (m.astype(np.float32) for m in epipolar_map(view, other))
        base = [A[i, 0] * x + A[i, 1] * y + A[i, 2] for i in range(3)]
        there = cv2.GaussianBlur(other.grey.astype(np.float32), (0, 0), 0.6)

        def seen_at(shift: float, base: list = base, b: F32 = b, there: F32 = there) -> F32:  # type: ignore[assignment]
            depth = np.float32(planes.first) + (at + np.float32(shift)) * np.float32(planes.step)
            p = [base[i] + depth * b[i] for i in range(3)]
            scale = np.where(p[2] > 1e-6, 1 / np.maximum(p[2], 1e-6), np.nan)  # noqa: PLR2004  (in front)
            u, v = np.nan_to_num(p[0] * scale - 0.5, nan=-1e4), np.nan_to_num(p[1] * scale - 0.5, nan=-1e4)
            limit = np.float32(30_000)
            u, v = (np.clip(c, -limit, limit).astype(np.float32) for c in (u, v))
            return cv2.remap(there, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=-1e4)  # type: ignore[return-value]

        middle, before, after = seen_at(0), seen_at(-0.5), seen_at(0.5)
        seen = known & (np.minimum(np.minimum(middle, before), after) >= 0)
        difference = np.where(seen, middle - grey, 0)
        difference -= cv2.blur(difference, (19, 19))  # views may be exposed differently
        slope = np.where(seen, after - before, 0)
        trust = np.where(seen, 1 / (1 + np.square(difference / use.outlier)), 0)
        weight += trust * np.square(slope)
        wish += trust * slope * (slope * at - difference)
    plane = plane_at_centre(weight.astype(np.float32), wish.astype(np.float32), use.window)
    good = known & ~near_jump(at, use.jump_px, use.window) & (np.abs(plane - at) < use.longest_px)
    return np.where(good, plane, label).astype(np.float32)
