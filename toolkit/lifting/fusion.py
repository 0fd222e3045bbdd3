"""Depth of what stands still, averaged over the frames that see it: errors of stereo change as the camera moves, the surface does not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolkit.compiling import compiled
from toolkit.parallel import in_order
from toolkit.progress import Report, silent
from toolkit.scene import F32, B, Cameras


@dataclass(frozen=True)
class FusionOptions:
    """Which other frames are asked, and when they agree.

    Attributes:
        rounds: Frames before and after that are asked, in each of two rounds, the second of which asks the results of the first; some
            frames apart, as neighbours make the same errors.
        share: Depths within this share of each other are of the same surface: four standard deviations of a fifth of a pixel of
            disparity at 4 m.
        contradictions: A depth is unknown where more than so many frames see past it for each that agrees: it hangs in free air, as
            surfaces do that stereo widens into their background.
    """

    rounds: tuple[tuple[int, ...], ...] = ((-24, -12, 12, 24), (-15, -5, 5, 15))
    share: float = 0.08
    contradictions: float = 0.5


def fuse_still(
    depth: F32, cameras: Cameras, still: Callable[[int], B], *, options: FusionOptions | None = None, report: Report = silent
) -> None:
    """Averages the inverse depth of still pixels over frames, in place.

    Each still pixel's point is looked up in the other frames; where their depth agrees with it, the inverse depths are averaged.

    Args:
        depth: (T, H, W) z-depth, NaN where unknown; changed in place.
        cameras: T cameras; frames without a pose stay as they are.
        still: Gives the (H, W) mask of what is known to stand still in a frame.
        options: Which frames are asked.
        report: Called per frame.
    """
    o = options or FusionOptions()
    for number, offsets in enumerate(o.rounds):
        done = number * len(depth)
        _one_round(depth, cameras, still, offsets, o, lambda t, n, done=done: report(done + t, n * len(o.rounds)))


def _one_round(depth: F32, cameras: Cameras, still: Callable[[int], B], offsets: tuple[int, ...], o: FusionOptions, report: Report) -> None:
    """Asks the frames at these offsets."""
    registered, T_wc, T_cw = cameras.registered, cameras.T_wc, cameras.T_cw
    waiting: deque[tuple[int, F32]] = deque()  # the maps of other frames must not change before they have been asked

    def fuse_frame(t: int) -> F32 | None:
        others = np.array([t + k for k in offsets if 0 <= t + k < len(depth) and registered[t + k]], np.int64)
        if not (registered[t] and len(others)):
            return None
        fused = depth[t].copy()
        relative = np.ascontiguousarray(T_cw[others] @ T_wc[t])
        _fuse(depth, t, others, relative, cameras.K, still(t), o.share, o.contradictions, fused)
        return fused

    # Frames are fused a few ahead of the one that arrives here; none of them asks a frame that is replaced here.
    for t, fused in enumerate(in_order(fuse_frame, range(len(depth)))):
        if fused is not None:
            waiting.append((t, fused))
        while waiting and waiting[0][0] <= t - max(map(abs, offsets)):
            done, ready = waiting.popleft()
            depth[done] = ready
        report(t + 1, len(depth))
    for done, fused in waiting:
        depth[done] = fused


@compiled()
def _fuse(depth, t, others, relative, K, still, share, contradictions, fused):  # pragma: no cover (compiled)
    """Fills `fused` for frame t from the (T, H, W) maps."""
    h, w = fused.shape
    fx, fy, cx, cy = K[t, 0, 0], K[t, 1, 1], K[t, 0, 2], K[t, 1, 2]
    for row in range(h):
        for column in range(w):
            z = np.float64(depth[t, row, column])
            if not (z > 0 and still[row, column]):
                continue
            x, y = (column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy
            total, agree, past = 1 / z, 1.0, 0.0
            for i in range(len(others)):
                M, s = relative[i], others[i]
                e = z * (M[2, 0] * x + M[2, 1] * y + M[2, 2]) + M[2, 3]
                if e <= 0.1 * z:
                    continue
                u = K[s, 0, 0] * (z * (M[0, 0] * x + M[0, 1] * y + M[0, 2]) + M[0, 3]) / e + K[s, 0, 2] - 0.5
                v = K[s, 1, 1] * (z * (M[1, 0] * x + M[1, 1] * y + M[1, 2]) + M[1, 3]) / e + K[s, 1, 2] - 0.5
                if not (u >= 0 and v >= 0 and u < w - 1 and v < h - 1):
                    continue
                left, top = int(u), int(v)
                right, below = u - left, v - top
                weight, inverse, farther = 0.0, 0.0, 0.0
                for a in range(2):
                    for b in range(2):
                        q = depth[s, top + a, left + b]
                        if not q > 0:
                            continue
                        part = (below if a else 1 - below) * (right if b else 1 - right)
                        if abs(q - e) < share * e:
                            weight += part
                            inverse += part / q
                        elif q > e:
                            farther += part
                if weight > 0.3:
                    # The other depth, carried to this frame along the ray.
                    total += 1 / (z + weight / inverse - e)
                    agree += 1
                elif farther > 0.99:
                    past += 1
            fused[row, column] = np.nan if past > contradictions * agree else agree / total
