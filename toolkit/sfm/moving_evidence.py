"""What each pixel of a frame says of moving: where optical flow to two other frames goes, against where any still thing would have gone."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from toolkit.compiling import compiled
from toolkit.geometry.sampling import pixel_centres
from toolkit.scene import F32, F64, I64, U8
from toolkit.sfm.moving_views import Views


@dataclass(frozen=True)
class EvidenceOptions:
    """How flow is weighed. Pixels are those of the reduced frames that flow is computed on.

    Attributes:
        side: Longer side of these frames: flow of half a pixel there is what a slow thing moves.
        sigma_px: Standard deviation of flow where it agrees with the flow back.
        share: What it grows by with the length of the flow.
        lost: Flow that misses the way back by more than so many pixels, and a tenth of its length, says nothing: the place is hidden.
        grey: Standard deviation of what is seen of a still thing from frame to frame, in grey levels of 255.
        patch: Standard deviation of the window that texture is gathered in, in pixels.
        start: Squared distance, in variances, from which on a pixel speaks for moving ...
        slope: ... with so many log-odds for each doubling, ...
        most: ... at most so many for moving ...
        least: ... and for standing: a thing may pause.
        noise: Errors of flow are so many times the told ones at most, where most of the frame says so.
    """

    side: int = 400
    sigma_px: float = 0.3
    share: float = 0.02
    lost: float = 1.0
    grey: float = 4.0
    patch: float = 2.0
    start: float = 5.0
    slope: float = 0.8
    most: float = 3.0
    least: float = 1.0
    noise: float = 3.0

    def odds(self, unlikeness: F64) -> F64:
        """Log-odds of moving from mean squared distances to still things, in variances; NaN where unknown."""
        return np.clip(self.slope * np.log2(np.maximum(unlikeness, 1e-6) / self.start), -self.least, self.most)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the pixels of a frame say.

    Attributes:
        odds: (h, w) float32 log-odds of moving, times how much they count.
        weight: (h, w) float32 how much they count, 0..1.
        heard: (h, w) frames that a pixel was found again in, 0 where it says nothing; empty where that is not asked for.
    """

    odds: F32
    weight: F32
    heard: I64 = field(default_factory=lambda: np.zeros(0, np.int64))

    def filled(self, other: Evidence) -> Evidence:
        """With the other's say where that found a pixel again in more frames."""
        more = other.heard > self.heard
        both = zip((other.odds, other.weight, other.heard), (self.odds, self.weight, self.heard), strict=True)
        return Evidence(*(np.where(more, theirs, own) for theirs, own in both))

    def joined(self, farther: Evidence) -> Evidence:
        """With what farther frames say where that is more for moving: what strays little over a short time does so more over a longer one.

        Both ways must be found, as flow over long is dragged along past what hides.
        """
        more = (farther.heard > 1) & (farther.odds > self.odds)
        return Evidence(np.where(more, farther.odds, self.odds), np.where(more, farther.weight, self.weight), self.heard)

    def enlarged(self, shape: tuple[int, ...]) -> Evidence:
        """The same for frames of another shape (h, w)."""
        size = shape[1], shape[0]
        odds, weight = (np.asarray(cv2.resize(a, size, interpolation=cv2.INTER_NEAREST), np.float32) for a in (self.odds, self.weight))
        heard = cv2.resize(self.heard.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
        return Evidence(odds, weight, heard.astype(np.int64))


def reduced(frame: U8, side: int) -> U8:
    """A (H, W, 3) frame whose longer side is at most `side`."""
    height, width = frame.shape[:2]
    shrink = side / max(height, width)
    if shrink >= 1:
        return frame
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def flow_between(first: U8, second: U8) -> F32:
    """(h, w, 2) optical flow from one grey frame to another (inverse search: Kroeger et al., ECCV 2016)."""
    matcher = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    matcher.setPatchStride(4)
    matcher.setGradientDescentIterations(12)
    return np.asarray(matcher.calc(first, second, None), np.float32)  # type: ignore[call-overload]


def missed_way_back(there: F32, back: F32) -> F32:
    """(h, w) how far flow there and back ends from where it began; inf where it leaves the picture."""
    height, width = there.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    returned = cv2.remap(
        back, x + there[..., 0], y + there[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(np.inf,) * 2
    )
    return np.nan_to_num(np.linalg.norm(there + returned, axis=-1), nan=np.inf).astype(np.float32)


def looks_alike(picture: U8, other: U8, there: F32, grey: float) -> F32:
    """(h, w) whether a picture shows the colour that another one shows where flow leads to, 0..1 (a normal density over its largest).

    Args:
        picture: (h, w, 3).
        other: (h, w, 3).
        there: (h, w, 2) flow from the first to the other.
        grey: Standard deviation of what is seen of one thing, in grey levels of 255.
    """
    x, y = np.meshgrid(np.arange(picture.shape[1], dtype=np.float32), np.arange(picture.shape[0], dtype=np.float32))
    first, second = (cv2.GaussianBlur(p, (0, 0), 1.0) for p in (picture, other))
    shown = cv2.remap(second, x + there[..., 0], y + there[..., 1], cv2.INTER_LINEAR)
    off = cv2.absdiff(first, shown).mean(-1) / grey
    return np.exp(-0.5 * off**2).astype(np.float32)


def evidence_of(
    grey: U8, flows: list[tuple[F32, F32]], views: Views, size: tuple[int, int], options: EvidenceOptions, *, beside: int = 0
) -> Evidence:
    """What a frame says.

    Args:
        grey: (h, w) uint8 reduced frame.
        flows: To each other frame of `views` the flow, and how far it misses the way back.
        views: How still things move to these.
        size: (width, height) of the whole frames, the pixels of `views`.
        options: How flow is weighed.
        beside: Flow so many pixels from where it is lost does not speak for moving.
    """
    o = options
    height, width = grey.shape
    scale = np.array([size[0] / width, size[1] / height])
    xy = pixel_centres((width, height)).reshape(-1, 2)
    others, sigma = np.empty((len(xy), len(flows), 2)), np.empty((len(xy), len(flows)))
    dragged = np.empty((len(xy), len(flows)), bool)
    for k, (flow, missed) in enumerate(flows):
        length = np.linalg.norm(flow, axis=-1)
        lost = missed > o.lost + 0.1 * length
        others[:, k] = xy + flow.reshape(-1, 2)
        others[lost.ravel(), k] = np.nan
        dragged[:, k] = cv2.dilate(lost.astype(np.uint8), np.ones((2 * beside + 1,) * 2, np.uint8)).ravel() > 0
        sigma[:, k] = (np.hypot(o.sigma_px, o.share * length) + 0.3 * np.where(lost, 0, missed)).ravel()
    big, big_others, big_sigma = xy * scale, others * scale, sigma * float(np.sqrt(scale.prod()))
    squared, count, w = views.explained(big, big_others, big_sigma)
    freedom = np.maximum(2 * count - bool(np.any(views.a)), 1)
    unlike = squared / freedom
    texture = _texture(grey, o.patch)
    change, contrast = np.zeros(len(xy)), np.zeros(len(xy))
    # Next to what is hidden or bared, flow is dragged along by what passes.
    big_others[dragged] = np.nan
    _grey_change(big, big_others, w, views.A, views.a, views.centre, views.half_px, scale, texture.reshape(-1, 3), change, contrast)
    contrast = contrast / (contrast + o.grey**2)
    seen = count > 0
    clear = seen & (contrast > 0.5)
    noise = float(np.clip(np.median(unlike[clear]) / 0.8, 1.0, o.noise**2)) if clear.any() else 1.0
    odds = o.odds(unlike / noise)
    # Where a still thing would look the same too, flow is a guess.
    weight = contrast * np.where(odds > 0, change / (change + o.grey**2), 1.0) * seen
    shape = grey.shape
    return Evidence((odds * weight).reshape(shape).astype(np.float32), weight.reshape(shape).astype(np.float32), count.reshape(shape))


def clearness(grey: U8, options: EvidenceOptions) -> F32:
    """(h, w) how surely a shift of a pixel is seen, 0..1, whichever way it goes."""
    xx, mixed, yy = np.moveaxis(_texture(grey, options.patch), -1, 0)
    weaker = 0.5 * (xx + yy - np.sqrt((xx - yy) ** 2 + 4 * mixed**2))
    return np.asarray(weaker / (weaker + 0.1 * options.grey**2), np.float32)


def _texture(grey: U8, patch: float) -> F32:
    """(h, w, 3) mean xx, xy and yy of the gradient around each pixel, in grey levels per pixel, squared."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    gx, gy = cv2.Scharr(smooth, cv2.CV_32F, 1, 0) / 32, cv2.Scharr(smooth, cv2.CV_32F, 0, 1) / 32
    return np.asarray(cv2.GaussianBlur(np.dstack([gx * gx, gx * gy, gy * gy]), (0, 0), patch), np.float32)


@compiled()
def _grey_change(xy, others, w, A, a, centre, half_px, scale, texture, change, contrast):  # pragma: no cover - compiled
    """Fills how much a patch changes, in squared grey levels, if it goes where a still thing goes, not where flow says.

    Args:
        xy: (N, 2) pixels of the whole frame.
        others: (N, K, 2) where flow says they are in other frames.
        w: (N,) nearness of the still thing that comes closest.
        A: (K, 3, 3) as in `Views`.
        a: (K, 3) as in `Views`.
        centre: (2,) as in `Views`.
        half_px: As in `Views`.
        scale: (2,) whole pixels in one of the reduced frame.
        texture: (N, 3) mean squared gradients of the reduced frame.
        change: (N,) filled with the largest change of all other frames.
        contrast: (N,) filled with what one pixel across the stronger direction changes.
    """
    for n in range(len(xy)):
        xx, mixed, yy = texture[n]
        contrast[n] = xx + yy
        x, y = (xy[n, 0] - centre[0]) / half_px, (xy[n, 1] - centre[1]) / half_px
        for k in range(len(A)):
            if not np.isfinite(others[n, k, 0]):
                continue
            z = A[k, 2, 0] * x + A[k, 2, 1] * y + A[k, 2, 2] + w[n] * a[k, 2]
            if z <= 1e-6:
                continue
            u = (A[k, 0, 0] * x + A[k, 0, 1] * y + A[k, 0, 2] + w[n] * a[k, 0]) / z
            v = (A[k, 1, 0] * x + A[k, 1, 1] * y + A[k, 1, 2] + w[n] * a[k, 1]) / z
            du = (u * half_px + centre[0] - others[n, k, 0]) / scale[0]
            dv = (v * half_px + centre[1] - others[n, k, 1]) / scale[1]
            # Beyond a patch the change grows no more.
            length = np.sqrt(du * du + dv * dv)
            if length > 4.0:  # noqa: PLR2004
                du, dv = 4 * du / length, 4 * dv / length
            change[n] = max(change[n], du * du * xx + 2 * du * dv * mixed + dv * dv * yy)
