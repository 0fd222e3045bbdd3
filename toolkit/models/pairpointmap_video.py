"""Depth of every frame of a video by the compact two-view network: each frame is encoded once and paired with one some way off."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.models.pairpointmap import Encoded, PairPointmap, PublishedPairPointmap, as_tensor, seen_size
from toolkit.models.pairpointmap_parts import UP
from toolkit.progress import Report, silent
from toolkit.scene import F32, U8

GAP = 8
"""Frames between the two of a pair: enough for parallax, few enough to be matched."""


PUBLISHED_SIDE = 224
PUBLISHED_FRAMES = 12  # spread over the clip: one takes seconds


def depths_by_published(network: PublishedPairPointmap, frames: U8, *, report: Report = silent) -> F32:
    """The same by the published network: of a few frames, each paired with itself; the others are NaN."""
    height, width = frames.shape[1:3]
    size = seen_size((width, height), PUBLISHED_SIDE)
    out = np.full((len(frames), size[1], size[0]), np.nan, np.float32)
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), PUBLISHED_FRAMES)).round().astype(int))
    for done, t in enumerate(chosen.tolist()):
        picture = cv2.resize(frames[t], size, interpolation=cv2.INTER_AREA)
        out[t] = network.infer_pair(picture, picture)["pts3d_1"][..., 2]
        report(done + 1, len(chosen))
    return out


def depths_of_video(network: PairPointmap, frames: U8, K: NDArray | None = None, *, side: int = 160, report: Report = silent) -> F32:
    """Z-depth of every frame, each on a scale of its own.

    Args:
        network: With its weights.
        frames: (T, H, W, 3) uint8.
        K: (3, 3) intrinsics in pixels; None to have the focal length guessed.
        side: Frames are seen with about the pixels of a square of this side.
        report: Called per frame.

    Returns:
        (T, h, w) float32, of half the size that frames are seen with.
    """
    size = seen_size((frames.shape[2], frames.shape[1]), side)
    focal = torch.tensor([np.nan if K is None else float(K[0, 0]) / frames.shape[2]], dtype=torch.float32)
    count = len(frames)
    out = np.zeros((count, size[1] // 4 * UP, size[0] // 4 * UP), np.float32)
    kept: dict[int, Encoded] = {}

    def encoded(t: int) -> Encoded:
        if t not in kept:
            kept[t] = network.encode(as_tensor(frames[t : t + 1], size))
            for old in [k for k in kept if abs(k - t) > 2 * GAP + 1]:
                del kept[old]
        return kept[t]

    gap = min(GAP, max(1, count - 1))
    with torch.inference_mode():
        for t in range(count):
            other = t + gap if t + gap < count else t - gap
            answer = network.pair(encoded(max(other, 0)), encoded(t), focal)
            out[t] = answer.depth[0].numpy()
            report(t + 1, count)
    return out
