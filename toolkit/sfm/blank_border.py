"""Where a frame shows nothing: the black that a stabiliser, a letterbox or a lens without its distortion leaves along the edges."""

from __future__ import annotations

import cv2
import numpy as np

from toolkit.scene import U8, B

_BLACK = 4  # grey levels, of 255, that black is off by once it was coded
_LEAST = 0.0005  # share of the picture that a border has at least
_RING_PX = 3  # beside a border, past the pixels that coding mixed
_BRIGHT = 24  # grey levels from which on a picture is no night
_ABRUPT = 0.7  # share of what lies beside a border that must be so bright: night fades, a border ends


def blank_border(picture: U8, *, grown_px: int = 0) -> B | None:
    """Where nothing was ever imaged: black that reaches an edge of the picture and ends abruptly.

    Args:
        picture: (H, W) or (H, W, 3) uint8.
        grown_px: So many pixels around count, too: what looks at a window sees the border's edge there.

    Returns:
        (H, W) bool; None where there is no border.
    """
    bright = picture if picture.ndim == 2 else np.maximum(np.maximum(picture[..., 0], picture[..., 1]), picture[..., 2])  # noqa: PLR2004
    black = bright <= _BLACK
    if not (black[0].any() or black[-1].any() or black[:, 0].any() or black[:, -1].any()):
        return None
    count, label, stats, _ = cv2.connectedComponentsWithStats(black.astype(np.uint8), connectivity=4)
    label = np.asarray(label, np.int64)
    at_edge = np.unique(np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]]))
    large = np.zeros(count, bool)
    large[at_edge] = stats[at_edge, cv2.CC_STAT_AREA] >= max(_LEAST * black.size, 1)
    large[0] = False
    found = large[label]
    if not found.any():
        return None
    near, far = (_grown(found, px) for px in (_RING_PX, 2 * _RING_PX))
    beside = bright[far & ~near]
    if len(beside) and (beside >= _BRIGHT).mean() < _ABRUPT:
        return None
    return _grown(found, grown_px) if grown_px else found


def filled(grey: U8, blank: B, *, reach_px: float = 8.0) -> U8:
    """A (h, w) picture with what lies beside its border carried on into it, blurred: no edge is left for flow to hold on to."""
    imaged = (~_grown(blank, 2)).astype(np.float32)
    share = cv2.GaussianBlur(imaged, (0, 0), reach_px)
    beside = cv2.GaussianBlur(grey * imaged, (0, 0), reach_px) / np.maximum(share, 1e-3)
    return np.where(imaged > 0, grey, np.clip(beside, 0, 255)).astype(np.uint8)


def _grown(mask: B, px: int) -> B:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * px + 1, 2 * px + 1), np.uint8)) > 0
