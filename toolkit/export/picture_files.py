"""Frames as JPEG, depth as 16-bit PNG and masks of moving things as PNG, one file a frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from toolkit.compiling import compiled
from toolkit.scene import B, DepthVideo, Video

MILLIMETRE = 0.001
JPEG_QUALITY = 95
_TOP = 65535  # largest value of 16 bits
# Noisy depth becomes no smaller by longer searches or other filters, only slower: by twice.
_PNG = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB),
]


def write_depth_pngs(depth: DepthVideo, folder: Path, tick: Callable[[], None]) -> dict[str, Any]:
    """Z-depth as 16-bit PNG, 0 where unknown: in millimetres, or in shares of the largest depth where that does not fit.

    Returns:
        Notes for the manifest: depth = value * scale.
    """
    folder.mkdir()
    scale = depth_scale(depth)
    levels = np.empty(depth.depth.shape[1:], np.uint16)
    for t, z in enumerate(depth.depth):
        tick()
        _quantise(np.ascontiguousarray(z), scale, levels)
        cv2.imwrite(str(folder / f"{t:06d}.png"), levels, _PNG)
    return {"scale": scale, "unit": depth.unit, "unknown": 0, "meaning": "z-depth (not ray length) = value * scale"}


def depth_scale(depth: DepthVideo) -> float:
    """Depth of one level of the 16-bit PNG files."""
    largest = max((float(z[np.isfinite(z)].max(initial=0)) for z in depth.depth), default=0.0)
    fits = depth.unit == "metre" and largest <= _TOP * MILLIMETRE
    return MILLIMETRE if fits else max(largest, 1e-12) / _TOP


def write_images(video: Video, folder: Path, tick: Callable[[], None]) -> dict[str, Any]:
    """The frames that tracks and cameras refer to."""
    folder.mkdir()
    for t, frame in enumerate(video.frames):
        tick()
        cv2.imwrite(str(folder / f"{t:06d}.jpg"), frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return {"quality": JPEG_QUALITY}


def write_masks(masks: B, folder: Path, tick: Callable[[], None]) -> dict[str, Any]:
    """Masks of moving things as 8-bit PNG, 255 where something moves."""
    folder.mkdir()
    for t, mask in enumerate(masks):
        tick()
        cv2.imwrite(str(folder / f"{t:06d}.png"), mask.astype(np.uint8) * 255)
    return {"moving": 255, "still": 0, "meaning": "what moves in the frames of images; masks for COLMAP are the other way round"}


@compiled()
def _quantise(depth, scale, levels):  # pragma: no cover - compiled
    """Depth in steps of `scale`, 0 where unknown; a depth that rounds to 0 stays known."""
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            z = depth[row, column]
            known = np.isfinite(z) and z > 0
            levels[row, column] = min(max(round(z / scale), 1), 65535) if known else 0
