"""One frame of tracking: several flow hops per track propose where it is, and the most certain one that the others back is taken.

Short hops survive fast change but drift; a long hop costs the same error once, but can lock onto the background. Each track
carries the variance it has gathered since its query; the proposal with the least variance wins, provided it agrees with the
short hops (the gate) and looks no less like the query than its rivals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from toolkit.scene import F32, F64, U8, B
from toolkit.tracking.flow import UNITS_PER_PX
from toolkit.tracking.patches import PATCH_PIXELS, similarity

_MOST_STRIDES = 8


@dataclass(frozen=True)
class MergeSettings:
    """How proposals are weighed. Pixels are those of a frame of about 512 x 512.

    Attributes:
        hop_sigma_px: Error of one flow hop, whatever its length: this is what makes long hops win.
        sigma_per_disagreement: Further error per pixel of forward-backward disagreement.
        most_disagreement_px: A hop whose way back misses its start by more is no proposal ...
        disagreement_share: ... where this share of its length is allowed on top.
        gate_px: Proposals further than this from the mean of the short hops are dropped, ...
        gate_sigmas: ... plus this many standard deviations of that mean, ...
        most_gate_px: ... but never more than this.
        gate_stride: Hops up to this length make the mean: they cannot skip over an occlusion onto something else.
        likeness_weight: A proposal that looks less like the query by x has its variance multiplied by 1 + weight * x.
        loss_variance_px2: Variance gained in a frame without any proposal.
        visible_sigma_px: A track whose standard deviation is larger no longer counts as seen: about 16 clean hops.
    """

    hop_sigma_px: float = 0.5
    sigma_per_disagreement: float = 0.3
    most_disagreement_px: float = 1.0
    disagreement_share: float = 0.05
    gate_px: float = 5.0
    gate_sigmas: float = 0.3
    most_gate_px: float = 12.0
    gate_stride: int = 4
    likeness_weight: float = 1.0
    loss_variance_px2: float = 4.0
    visible_sigma_px: float = 2.0

    def packed(self) -> F64:
        """The numbers in the order the compiled loop reads them."""
        return np.array(
            [
                self.hop_sigma_px,
                self.sigma_per_disagreement,
                self.most_disagreement_px,
                self.disagreement_share,
                self.gate_px,
                self.gate_sigmas,
                self.most_gate_px,
                self.gate_stride,
                self.likeness_weight,
                self.loss_variance_px2,
            ]
        )


@dataclass(frozen=True, eq=False)
class TrackState:
    """What is known of N tracks so far; filled frame by frame.

    Attributes:
        xy: (N, T, 2) float32 positions in pixels of the working frames.
        variance: (N, T) float32 px^2 per axis; negative where a track has not been carried to yet.
        found: (N, T) uint8, 1 where some proposal survived.
        start: (N,) int64 query frame of each track.
        patches: (N, PATCH_PIXELS) float32 normalised surroundings of the queries.
    """

    xy: F32
    variance: F32
    found: U8
    start: np.ndarray
    patches: F32

    @staticmethod
    def empty(count: int, frames: int) -> TrackState:
        """Room for `count` tracks."""
        return TrackState(
            np.zeros((count, frames, 2), np.float32),
            np.full((count, frames), -1.0, np.float32),
            np.zeros((count, frames), np.uint8),
            np.zeros(count, np.int64),
            np.zeros((count, PATCH_PIXELS), np.float32),
        )

    def visible(self, settings: MergeSettings) -> B:
        """(N, T) where a track was found and is certain enough."""
        return (self.found > 0) & (self.variance < settings.visible_sigma_px**2)


@njit(cache=True, nogil=True, inline="always")
def _displacement(field, x, y, x_scale, y_scale):
    """Bilinear value of a stored field at a continuous pixel of the working frame, in px."""
    height, width = field.shape[0], field.shape[1]
    u = min(max(x * x_scale - 0.5, 0.0), width - 1.0)
    v = min(max(y * y_scale - 0.5, 0.0), height - 1.0)
    i, j = min(int(u), width - 2), min(int(v), height - 2)
    a, b = u - i, v - j
    w00, w10, w01, w11 = (1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b
    dx = w00 * field[j, i, 0] + w10 * field[j, i + 1, 0] + w01 * field[j + 1, i, 0] + w11 * field[j + 1, i + 1, 0]
    dy = w00 * field[j, i, 1] + w10 * field[j, i + 1, 1] + w01 * field[j + 1, i, 1] + w11 * field[j + 1, i + 1, 1]
    return dx / UNITS_PER_PX, dy / UNITS_PER_PX


@njit(cache=True, nogil=True)
def carry(xy, variance, found, start, patches, rows, t, direction, strides, there, back, image, numbers):
    """Finds rows `rows[0]:rows[1]` of a TrackState in frame `t`, from frames already visited.

    Args:
        xy: State, see TrackState.
        variance: State.
        found: State.
        start: State.
        patches: State.
        rows: First row and the row after the last one.
        t: Frame to carry to.
        direction: +1 comes from earlier frames, -1 from later ones.
        strides: (S,) frame distances, shortest first.
        there: S fields from the source frame to `t`, empty where there is none.
        back: S fields the other way.
        image: (H, W) float32 frame `t`, slightly blurred.
        numbers: MergeSettings.packed().
    """
    hop, per_miss, most_miss, miss_share, gate0, gate_sigmas, gate_most, gate_stride, likeness, loss = (
        numbers[0],
        numbers[1],
        numbers[2],
        numbers[3],
        numbers[4],
        numbers[5],
        numbers[6],
        numbers[7],
        numbers[8],
        numbers[9],
    )
    height, width = image.shape
    count = len(strides)
    px, py, pv = np.empty(_MOST_STRIDES), np.empty(_MOST_STRIDES), np.empty(_MOST_STRIDES)
    alike, good = np.empty(_MOST_STRIDES), np.empty(_MOST_STRIDES, np.bool_)
    scratch = np.empty(PATCH_PIXELS, np.float32)
    for n in range(rows[0], rows[1]):
        short_weight, short_x, short_y = 0.0, 0.0, 0.0
        for k in range(count):
            good[k] = False
            alike[k] = 0.0
            source = t - direction * strides[k]
            if there[k].shape[0] == 0 or (source - start[n]) * direction < 0:
                continue
            x, y = xy[n, source, 0], xy[n, source, 1]
            x_scale, y_scale = there[k].shape[1] / width, there[k].shape[0] / height
            dx, dy = _displacement(there[k], x, y, x_scale, y_scale)
            px[k], py[k] = x + dx, y + dy
            bx, by = _displacement(back[k], px[k], py[k], x_scale, y_scale)
            miss = math.hypot(dx + bx, dy + by)
            pv[k] = variance[n, source] + (hop + per_miss * miss) ** 2
            good[k] = miss < most_miss + miss_share * math.hypot(dx, dy) and 0 <= px[k] <= width and 0 <= py[k] <= height
            if good[k] and strides[k] <= gate_stride:
                short_weight += 1 / pv[k]
                short_x += px[k] / pv[k]
                short_y += py[k] / pv[k]
        if short_weight > 0:
            gate = min(gate_most, gate0 + gate_sigmas / math.sqrt(short_weight))
            for k in range(count):
                if good[k] and math.hypot(px[k] - short_x / short_weight, py[k] - short_y / short_weight) > gate:
                    good[k] = False
        survivors = 0
        for k in range(count):
            survivors += good[k]
        if survivors == 0:
            # The shortest hop always exists: a track is never carried to its own query frame.
            xy[n, t, 0], xy[n, t, 1] = min(max(px[0], 0.0), width), min(max(py[0], 0.0), height)
            variance[n, t] = variance[n, t - direction] + loss
            found[n, t] = 0
            continue
        most_alike = -1.0
        if survivors > 1:
            for k in range(count):
                if good[k]:
                    alike[k] = similarity(image, px[k], py[k], patches[n], scratch)
                    most_alike = max(most_alike, alike[k])
        trust = min(max((most_alike - 0.3) / 0.4, 0.0), 1.0)
        chosen, least = 0, np.inf
        for k in range(count):
            if good[k]:
                weighed = pv[k] * (1 + likeness * trust * (most_alike - alike[k]))
                if weighed < least:
                    chosen, least = k, weighed
        xy[n, t, 0], xy[n, t, 1] = px[chosen], py[chosen]
        variance[n, t] = pv[chosen]
        found[n, t] = 1
