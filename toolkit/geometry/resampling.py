"""Resampling many images through one map, without aliasing where they shrink or blur where they do not."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.errors import UserError
from toolkit.geometry.sampling import inside, to_opencv
from toolkit.scene import F64, U8, B

_TAPS = 4
_WEIGHT_BITS = 10  # weights are multiples of 1/1024: grey levels are exact to 0.3, and sums fit 32 bits
_HALVE_FROM = 2.0  # source pixels an output pixel spans from which four taps are too few, and the source is halved first


@dataclass(frozen=True, eq=False)
class _Plan:
    """What the output pixels of one pyramid level need: where they are, their window's corner and its weights."""

    shrink: tuple[int, int]  # factors by which x and y of the source are reduced
    box: tuple[int, int, int, int]  # x0, y0, x1, y1 of the source that is used, multiples of `shrink`
    target: NDArray[np.int32]  # (P,) flat index of the output pixel
    corner: NDArray[np.int32]  # (P, 2) x, y of the first tap, in the reduced box
    weights: NDArray[np.int16]  # (P, 2, 4) of x and y


class Resampler:
    """One map, prepared once for images of one size: cubic windows of 4 x 4 whose sharpness follows the local scale.

    Where an output pixel spans at most one source pixel the window is Catmull and Rom's interpolating cubic. Where it spans more, the
    window turns towards the B-spline (the family of Mitchell and Netravali 1988), so that an output pixel averages as wide an area
    as a sensor's pixel would; from a span of two on the source is first reduced by a power of two, for x and y on their own.
    Positions are not quantised.
    """

    def __init__(self, xy: NDArray, source_size: tuple[int, int]) -> None:
        """Prepares the map.

        Args:
            xy: (h, w, 2) continuous pixels of the source that the output pixels show; NaN for nowhere.
            source_size: (width, height) of the images to come.

        Raises:
            UserError: images narrower than the window.
        """
        if min(source_size) < _TAPS:
            raise UserError(f"An image of {source_size[0]} x {source_size[1]} pixels is too small to be resampled; 4 x 4 are needed.")
        self.source_size = source_size
        self.size = (xy.shape[1], xy.shape[0])
        self.valid: B = np.asarray(inside(xy, source_size))
        self._plans = _plans(np.asarray(xy, np.float64), self.valid, source_size)

    def __call__(self, image: U8) -> U8:
        """The (h, w, 3) uint8 picture of an (H, W, 3) uint8 image; black where the map points nowhere."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise UserError(f"An image of shape {image.shape} and type {image.dtype} came, but (H, W, 3) of uint8 RGB is needed.")
        if (image.shape[1], image.shape[0]) != self.source_size:
            width, height = self.source_size
            raise UserError(f"An image of {image.shape[1]} x {image.shape[0]} pixels came, but {width} x {height} is needed.")
        out = np.zeros((self.size[1] * self.size[0], 3), np.uint8)
        for plan in self._plans:
            x0, y0, x1, y1 = plan.box
            source = image[y0:y1, x0:x1]
            if plan.shrink != (1, 1):
                reduced = (-(-(x1 - x0) // plan.shrink[0]), -(-(y1 - y0) // plan.shrink[1]))
                source = _reduced(source, plan.shrink, reduced)
            _gather(source, plan.target, plan.corner, plan.weights, out)
        return out.reshape(self.size[1], self.size[0], 3)


def local_scale(xy: NDArray) -> F64:
    """How many source pixels one step in the output spans, along the source's x and y.

    Args:
        xy: (h, w, 2) map of source pixels, NaN for nowhere.

    Returns:
        (h, w, 2) float64; NaN where neither neighbour is known.
    """
    total = np.zeros(xy.shape)
    for axis in (0, 1):
        step = np.diff(xy, axis=axis)
        empty = np.full_like(np.take(xy, [0], axis), np.nan)
        both = np.stack([np.concatenate([step, empty], axis), np.concatenate([empty, step], axis)])
        known = np.isfinite(both)
        mean = np.where(known, both, 0).sum(0) / np.maximum(known.sum(0), 1)
        total += np.where(known.any(0), mean, np.nan) ** 2
    return np.sqrt(total)


def _plans(xy: F64, valid: B, source_size: tuple[int, int]) -> list[_Plan]:
    scale = np.where(np.isfinite(s := local_scale(xy)), s, 1.0)
    # One more halving for each doubling of the scale past the limit; the step that remains is between 1 and 2.
    halvings = np.maximum(0, np.floor(np.log2(np.maximum(scale, 1e-9) / _HALVE_FROM)) + 1).astype(int)
    most = [int(np.log2(max(side / _TAPS, 1))) for side in source_size]
    halvings = np.minimum(halvings, most)
    plans = []
    for nx, ny in np.argwhere(_histogram(halvings[valid])).tolist():
        chosen = valid & (halvings == (nx, ny)).all(-1)
        shrink = np.array([2**nx, 2**ny])
        place, step = xy[chosen], scale[chosen] / shrink
        low = np.floor(place.min(0) / shrink - _TAPS).clip(0).astype(int) * shrink
        high = np.minimum((np.ceil(place.max(0) / shrink) + _TAPS).astype(int) * shrink, source_size)
        sizes = -(-(high - low) // shrink)
        position = to_opencv((place - low) / shrink)
        corner, weights = zip(*(_window(position[:, a], step[:, a], int(sizes[a])) for a in (0, 1)), strict=True)
        plans.append(
            _Plan(
                (int(shrink[0]), int(shrink[1])),
                (int(low[0]), int(low[1]), int(high[0]), int(high[1])),
                np.flatnonzero(chosen).astype(np.int32),
                np.stack(corner, -1).astype(np.int32),
                np.ascontiguousarray(np.stack(weights, 1)),
            )
        )
    return plans


def _histogram(pairs: NDArray[np.int_]) -> NDArray[np.int_]:
    """How often each pair (P, 2) of small numbers occurs, as a table."""
    columns = int(pairs[:, 1].max(initial=0)) + 1
    counts = np.bincount(pairs[:, 0] * columns + pairs[:, 1])
    return np.pad(counts, (0, -len(counts) % columns)).reshape(-1, columns)


def _window(position: F64, step: F64, length: int) -> tuple[NDArray, NDArray]:
    """First tap (P,) and integer weights (P, 4) along one axis; taps outside count for the border pixel."""
    first = np.floor(position).astype(int) - 1
    taps = first[:, None] + np.arange(_TAPS)
    distance = np.abs(position[:, None] - taps)
    # A box of width w has variance w^2 / 12, and the source's pixels have averaged a box of one already; a cubic of softness b
    # adds b / 3. A quarter of w^2 - 1 would match a sensor's box; a third folds back less and is closer to it on photographs.
    weights = _cubic(distance, np.clip((step**2 - 1) / 3, 0, 1)[:, None])
    start = np.clip(first, 0, length - _TAPS)
    folded = np.zeros_like(weights)
    for k in range(_TAPS):
        at = np.clip(taps[:, k], 0, length - 1) - start
        folded[np.arange(len(at)), at] += weights[:, k]
    whole = np.round(folded * 2**_WEIGHT_BITS).astype(np.int16)
    largest = np.abs(folded).argmax(1)
    whole[np.arange(len(whole)), largest] += (2**_WEIGHT_BITS - whole.sum(1)).astype(np.int16)
    return start, whole


def _cubic(distance: F64, softness: F64) -> F64:
    """Mitchell and Netravali's cubics with 2 C + B = 1: from Catmull-Rom (softness 0) to the B-spline (softness 1)."""
    b, c, d = softness, 0.5 * (1 - softness), distance
    near = (12 - 9 * b - 6 * c) * d**3 + (-18 + 12 * b + 6 * c) * d**2 + (6 - 2 * b)
    far = (-b - 6 * c) * d**3 + (6 * b + 30 * c) * d**2 + (-12 * b - 48 * c) * d + (8 * b + 24 * c)
    return np.where(d < 1, near, np.where(d < 2, far, 0)) / 6


def _reduced(source: U8, shrink: tuple[int, int], size: tuple[int, int]) -> U8:
    """Mean of each block; a block that the border cuts is completed with the border's pixels, so that blocks stay in place."""
    right, below = size[0] * shrink[0] - source.shape[1], size[1] * shrink[1] - source.shape[0]
    if right or below:
        source = cv2.copyMakeBorder(source, 0, below, 0, right, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    return cv2.resize(source, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


@compiled()
def _gather(source, target, corner, weights, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Weighted sums of the windows, in 32-bit integers: 255 * 2^20 fits with room for the negative lobes."""
    half = np.int32(1 << (2 * _WEIGHT_BITS - 1))
    for p in range(len(target)):
        x, y = np.intp(corner[p, 0]), np.intp(corner[p, 1])
        a, b, c, d = np.int32(weights[p, 0, 0]), np.int32(weights[p, 0, 1]), np.int32(weights[p, 0, 2]), np.int32(weights[p, 0, 3])
        for channel in range(3):
            total = half
            for k in range(_TAPS):
                row = np.int32(
                    a * np.int32(source[y + k, x, channel])
                    + b * np.int32(source[y + k, x + 1, channel])
                    + c * np.int32(source[y + k, x + 2, channel])
                    + d * np.int32(source[y + k, x + 3, channel])
                )
                total = np.int32(total + np.int32(weights[p, 1, k]) * row)
            out[target[p], channel] = min(max(total >> np.int32(2 * _WEIGHT_BITS), 0), 255)
