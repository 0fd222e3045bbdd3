"""One frame of tracking: several flow hops per track propose where it is, and the most certain one that the others back is taken.

Short hops survive fast change but drift; a long hop costs the same error once, but can lock onto the background. Each track
carries the drift it has gathered since its query: hops of one track err alike, so their errors add up in a line. The proposal
with the least drift wins, provided it agrees with the short hops (the gate) and looks no less like the query than its rivals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from toolkit.compiling import compiled
from toolkit.scene import F32, F64, U8, B
from toolkit.tracking.flow import UNITS_PER_PX
from toolkit.tracking.patches import CORE_PX, PATCH_PIXELS, RADIUS_PX, cut, likeness_of_cores, likeness_to_query

_MOST_STRIDES = 8
_CARRIED_OFF_PX = 2000.0
_ARMS = np.array([[5.0, 0.0], [-5.0, 0.0], [0.0, 5.0], [0.0, -5.0]])  # px; about the reach of the patches that flow compares


@dataclass(frozen=True)
class MergeSettings:
    """How proposals are weighed. Pixels are those of a frame of about 512 x 512.

    Attributes:
        hop_px: Error of one flow hop, whatever its length: this is what makes long hops win.
        per_disagreement: Further error per pixel of forward-backward disagreement.
        per_unlikeness_px: Further error where the two ends of a hop look entirely unlike.
        per_shear: Further error per pixel by which flow differs a few pixels away. Flow is a compromise over its surroundings, so it
            is wrong where they move differently: on what turns, bends, or borders on something else. Of all that can be measured at
            a hop this tells most about its error, by about the same factor on real and generated clips.
        most_shear_px: Beyond it shear says no more.
        most_disagreement_px: A hop whose way back misses its start by more is no proposal ...
        disagreement_share: ... where this share of its length is allowed on top.
        least_likeness: A hop between ends that are less alike than this is none: flow is smooth across a small thing that
            passes by, forward and backward, and so finds its way back even where the point is hidden.
        gate_px: Proposals further than this from the mean of the short hops are dropped.
        gate_stride: Hops up to this length make the mean: they cannot skip over an occlusion onto something else.
        likeness_weight: A proposal that looks less like the query by x has its drift multiplied by 1 + weight * x.
        return_gain: A long hop that looks more like the query than every short one by this much overrules them: the track had
            been carried off by what passed in front of the point, and is back. The frames in between are hidden.
        return_likeness: It must look at least this much like the query itself.
        broken_link: But only where some short hop since then joined ends less alike than this, as where a track slips onto an
            occluder ...
        agreement_px: ... or where, before, long hops had agreed with the short ones this closely ...
        agreement_frames: ... in nearly all of this many frames. Otherwise a thin thing that moves over a still background would be
            taken for its background, which its patch holds too.
        loss_px: Drift gained in a frame without any proposal.
        visible_drift_px: A track that gathered more no longer counts as seen: about 16 clean hops.
        visible_window: Frames over which the majority decides whether a point is seen; single frames are noise.
    """

    hop_px: float = 0.45
    per_disagreement: float = 0.3
    per_unlikeness_px: float = 0.35
    per_shear: float = 0.3
    most_shear_px: float = 6.0
    most_disagreement_px: float = 1.5
    disagreement_share: float = 0.05
    least_likeness: float = 0.1
    gate_px: float = 7.0
    gate_stride: int = 4
    likeness_weight: float = 1.5
    return_gain: float = 0.25
    return_likeness: float = 0.6
    broken_link: float = 0.4
    agreement_px: float = 1.0
    agreement_frames: int = 8
    loss_px: float = 2.0
    visible_drift_px: float = 8.4
    visible_window: int = 5

    def packed(self) -> F64:
        """The numbers in the order the compiled loop reads them."""
        return np.array(
            [
                self.hop_px,
                self.per_disagreement,
                self.per_unlikeness_px,
                self.per_shear,
                self.most_shear_px,
                self.most_disagreement_px,
                self.disagreement_share,
                self.least_likeness,
                self.gate_px,
                self.gate_stride,
                self.likeness_weight,
                self.loss_px,
                self.return_gain,
                self.return_likeness,
                self.broken_link,
                self.agreement_px,
                self.agreement_frames,
                self.visible_drift_px,
            ]
        )


@dataclass(frozen=True, eq=False)
class TrackState:
    """What is known of N tracks so far; filled frame by frame. `alike` to `agree` and `patches` are empty once the sweeps are over.

    Attributes:
        xy: (N, T, 2) float32 positions in pixels of the working frames.
        drift: (N, T) float32 px; negative where a track has not been carried to yet.
        found: (N, T) uint8, 1 where some proposal survived.
        alike: (N, T) float32 likeness to the query, -1..1; 0 where not found.
        link: (N, T) float32 how alike the ends of the best short hop into the frame are, -1..1.
        agree: (N, T) uint8, 1 where a long hop agreed with the short ones.
        start: (N,) int64 query frame of each track.
        patches: (N, PATCH_PIXELS) float32 normalised surroundings of the queries.
    """

    xy: F32
    drift: F32
    found: U8
    alike: F32
    link: F32
    agree: U8
    start: np.ndarray
    patches: F32

    @staticmethod
    def empty(count: int, frames: int) -> TrackState:
        """Room for `count` tracks."""
        return TrackState(
            np.zeros((count, frames, 2), np.float32),
            np.full((count, frames), -1.0, np.float32),
            np.zeros((count, frames), np.uint8),
            np.zeros((count, frames), np.float32),
            np.zeros((count, frames), np.float32),
            np.zeros((count, frames), np.uint8),
            np.zeros(count, np.int64),
            np.zeros((count, PATCH_PIXELS), np.float32),
        )

    def part(self, rows: slice) -> TrackState:
        """Some of the tracks, in the same memory."""
        return TrackState(*(getattr(self, f.name)[rows] for f in fields(self)))

    def certain(self, settings: MergeSettings, t: int | slice = slice(None)) -> B:
        """(N, T), or (N,) of one frame: where a track was found and is certain enough to count as seen."""
        return (self.found[:, t] > 0) & (self.drift[:, t] < settings.visible_drift_px)


@compiled(inline="always")
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


@compiled(inline="always")
def _shear(field, x, y, dx, dy, x_scale, y_scale):
    """How much, in px, a stored field differs at most around a point where it is (dx, dy)."""
    most = 0.0
    for k in range(4):
        ex, ey = _displacement(field, x + _ARMS[k, 0], y + _ARMS[k, 1], x_scale, y_scale)
        most = max(most, (ex - dx) ** 2 + (ey - dy) ** 2)
    return math.sqrt(most)


@compiled()
def _hopeless(drift, start, t, direction, longest, certain):
    """Whether no frame from which a hop may still start was certain: drift never falls, so the track will not be seen again."""
    for m in range(1, longest + 1):
        source = t - direction * m
        if drift[source] < certain:
            return False
        if source == start:
            break
    return True


@compiled()
def carry(xy, drift, found, alike, link, agree, start, patches, rows, t, direction, strides, there, back, images, numbers, give_up):
    """Finds rows `rows[0]:rows[1]` of a TrackState in frame `t`, from frames already visited.

    Args:
        xy: State, see TrackState.
        drift: State.
        found: State.
        alike: State.
        link: State.
        agree: State.
        start: State.
        patches: State.
        rows: First row and the row after the last one.
        t: Frame to carry to.
        direction: +1 comes from earlier frames, -1 from later ones.
        strides: (S,) frame distances, shortest first.
        there: S fields from the source frame to `t`, empty where there is none.
        back: S fields the other way.
        images: (T, H, W) uint8 frames, slightly blurred.
        numbers: MergeSettings.packed().
        give_up: Whether a track that cannot be seen again stays where it is, which saves time.
    """
    hop, per_miss, per_unlike, per_shear, most_shear = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    most_miss, miss_share, least_alike, gate, gate_stride = numbers[5], numbers[6], numbers[7], numbers[8], numbers[9]
    likeness, loss, return_gain, return_likeness, broken = numbers[10], numbers[11], numbers[12], numbers[13], numbers[14]
    agreement, history, certain = numbers[15], int(numbers[16]), numbers[17]
    image = images[t]
    height, width = image.shape
    count = len(strides)
    px, py, pd, likes = np.empty(_MOST_STRIDES), np.empty(_MOST_STRIDES), np.empty(_MOST_STRIDES), np.empty(_MOST_STRIDES)
    good = np.empty(_MOST_STRIDES, np.bool_)
    source_patch, target_patches = np.empty(PATCH_PIXELS, np.float32), np.empty((_MOST_STRIDES, PATCH_PIXELS), np.float32)
    for n in range(rows[0], rows[1]):
        link[n, t] = -1.0
        if give_up and _hopeless(drift[n], start[n], t, direction, strides[count - 1], certain):
            xy[n, t] = xy[n, t - direction]
            drift[n, t] = drift[n, t - direction]
            found[n, t] = 0
            continue
        for k in range(count):
            good[k] = False
            source = t - direction * strides[k]
            if there[k].shape[0] == 0 or (source - start[n]) * direction < 0:
                continue
            x, y = xy[n, source, 0], xy[n, source, 1]
            x_scale, y_scale = there[k].shape[1] / width, there[k].shape[0] / height
            dx, dy = _displacement(there[k], x, y, x_scale, y_scale)
            px[k], py[k] = x + dx, y + dy
            bx, by = _displacement(back[k], px[k], py[k], x_scale, y_scale)
            miss = math.hypot(dx + bx, dy + by)
            if not (miss < most_miss + miss_share * math.hypot(dx, dy) and 0 <= px[k] <= width and 0 <= py[k] <= height):
                continue
            cut(images[source], x, y, CORE_PX, source_patch)
            cut(image, px[k], py[k], RADIUS_PX, target_patches[k])
            same = likeness_of_cores(source_patch, target_patches[k])
            if strides[k] <= gate_stride:
                link[n, t] = max(link[n, t], same)
            if same < least_alike:
                continue
            good[k] = True
            likes[k] = likeness_to_query(target_patches[k], patches[n])
            shear = min(_shear(there[k], x, y, dx, dy, x_scale, y_scale), most_shear)
            pd[k] = drift[n, source] + hop + per_miss * miss + per_unlike * (1 - same) + per_shear * shear

        # Back from behind something: the short hops come from the occluder, a long one from before it.
        short_like, long_like, longest = -1.0, -1.0, 0
        for k in range(count):
            if good[k] and strides[k] <= gate_stride:
                short_like = max(short_like, likes[k])
            elif good[k]:
                long_like, longest = max(long_like, likes[k]), strides[k]
        returned = short_like > -1.0 and long_like > max(return_likeness, short_like + return_gain)
        if returned:
            weakest = 1.0
            for m in range(longest):
                weakest = min(weakest, link[n, t - direction * m])
            agreed, asked = 0, 0
            for m in range(t - direction * longest, t - direction * (longest + history), -direction):
                if (m - start[n]) * direction > 0:
                    agreed, asked = agreed + agree[n, m], asked + 1
            returned = weakest < broken or (asked == history and agreed >= 0.9 * asked)

        # The gate: long hops must agree with the mean of the short ones.
        weight, mean_x, mean_y = 0.0, 0.0, 0.0
        for k in range(count):
            if good[k] and strides[k] <= gate_stride:
                if returned:
                    good[k] = False
                weight += 1 / pd[k]
                mean_x += px[k] / pd[k]
                mean_y += py[k] / pd[k]
        agree[n, t] = 0
        if weight > 0 and not returned:
            for k in range(count):
                if good[k] and strides[k] > gate_stride:
                    agree[n, t] = math.hypot(px[k] - mean_x / weight, py[k] - mean_y / weight) < agreement
            for k in range(count):
                if good[k] and math.hypot(px[k] - mean_x / weight, py[k] - mean_y / weight) > gate:
                    good[k] = False

        most_alike = -2.0
        for k in range(count):
            if good[k]:
                most_alike = max(most_alike, likes[k])
        if most_alike < -1.5:  # noqa: PLR2004 (no proposal survived)
            # The shortest hop always exists: a track is never carried to its own query frame.
            xy[n, t, 0], xy[n, t, 1] = min(max(px[0], 0.0), width), min(max(py[0], 0.0), height)
            drift[n, t] = drift[n, t - direction] + loss
            found[n, t] = 0
            continue
        trust = min(max((most_alike - 0.3) / 0.4, 0.0), 1.0)
        chosen, least = 0, np.inf
        for k in range(count):
            if good[k]:
                weighed = pd[k] * (1 + likeness * trust * (most_alike - likes[k]))
                if weighed < least:
                    chosen, least = k, weighed
        xy[n, t, 0], xy[n, t, 1] = px[chosen], py[chosen]
        drift[n, t] = pd[chosen]
        alike[n, t] = likes[chosen]
        found[n, t] = 1
        if returned:
            _hide_between(xy[n], drift[n], found[n], alike[n], t - direction * strides[chosen], t, direction, return_gain)


@compiled()
def _hide_between(xy, drift, found, alike, source, t, direction, gain):
    """Marks the frames of one track between the ends of a long hop that look unlike as hidden, on a straight way across."""
    for m in range(source + direction, t, direction):
        if found[m] == 0 or alike[m] < alike[t] - gain:
            share = (m - source) / (t - source)
            for c in range(2):
                xy[m, c] = xy[source, c] + share * (xy[t, c] - xy[source, c])
            found[m] = 0
            alike[m] = 0.0
            drift[m] = max(drift[m], _CARRIED_OFF_PX)  # no later hop may start from here with any weight
