"""Which tracks carry the camera path, and what each of them measured: pixel, disparity, and how sure both are."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.compiling import compiled
from toolkit.disk_arrays import large_empty, large_take, pieces
from toolkit.geometry.sampling import sample_nearest
from toolkit.scene import F64, I64, DepthVideo, Tracks2D, Video


@dataclass(frozen=True)
class MeasurementModel:
    """How sure a measurement is.

    Attributes:
        sigma_px: Standard deviation of a tracked coordinate where the tracker gives none, px: good classical trackers reach 0.3 to 0.5.
        floor_px: Least standard deviation believed, px: drift that a tracker cannot see.
        lens_error: Error of the lens model as a share of the distance that a track moves across the image: lens calibrations are
            good to some tenths of a percent, and a long pan shows it.
        disparity_sigma_px: Standard deviation of a disparity on a smooth surface, px.
        far_sigma_inverse_m: Standard deviation of 1/depth about 0 for a point whose depth is unknown, 1/m: depth as
            a rule ends at 20 m, so what has none lies farther.
        least_confidence: Depths and positions less sure than this are left out.
    """

    sigma_px: float = 0.5
    floor_px: float = 0.15
    lens_error: float = 0.003
    disparity_sigma_px: float = 0.3
    far_sigma_inverse_m: float = 0.05
    least_confidence: float = 0.3


@dataclass(frozen=True)
class Observations:
    """Measurements of L landmarks, landmark after landmark, frames rising within each.

    Attributes:
        track: (L,) track of each landmark.
        start: (L + 1,) first measurement of each landmark.
        frame: (M,) frame of each measurement.
        uvd: (M, 3) x, y and disparity in pixels; disparity 0 where unknown.
        information: (M, 2) inverse standard deviation of a coordinate and of the disparity, 1/px; 0 where there is no disparity.
    """

    track: I64
    start: I64
    frame: I64
    uvd: F64
    information: F64

    @property
    def landmark(self) -> I64:
        """(M,) landmark of each measurement."""
        return np.repeat(np.arange(len(self.track)), np.diff(self.start))

    def scaled(self, noise: F64) -> Observations:
        """The same with standard deviations multiplied by (2,) for pixels and disparities."""
        information = large_empty(self.information.shape, np.float64)
        np.divide(self.information, noise, out=information)
        return Observations(self.track, self.start, self.frame, self.uvd, information)

    def where(self, keep: NDArray[np.bool_], frames: I64 | None = None) -> Observations:
        """The measurements under a mask (M,), with all landmarks, numbered by `frames` (T,) where given."""
        start = np.concatenate([[0], np.cumsum(keep)])[self.start]
        frame = self.frame[keep]
        part = (large_take(self.uvd, keep), large_take(self.information, keep))
        return Observations(self.track, start, frame if frames is None else frames[frame], *part)


def choose_tracks(tracks: Tracks2D, size: tuple[int, int], *, alive: int, video: Video | None = None, every: int = 5) -> I64:
    """A well-spread subset of long and certain tracks.

    Every `every` frames the image is divided into about `alive` cells, and each cell that no chosen track crosses gets the best one
    there: the one with the most information, its visible samples divided by their variance.

    Args:
        tracks: All tracks.
        size: (width, height) in pixels.
        alive: Number of tracks wanted in each frame.
        video: The frames of the tracks; with them, texture counts too.
        every: Frames between two rounds.

    Returns:
        (L,) rising indices.
    """
    n, frames = tracks.visible.shape
    if n == 0 or (tracks.visible.sum(0).max() <= alive and n <= 2 * alive):
        return np.flatnonzero(tracks.visible.sum(1) >= 2)
    score = _information(tracks)
    if video is not None:
        score *= _texture(tracks, video)
    score[tracks.visible.sum(1) < 2] = -1
    cell_px = np.sqrt(size[0] * size[1] / alive)
    columns, rows = int(np.ceil(size[0] / cell_px)), int(np.ceil(size[1] / cell_px))
    chosen = np.zeros(n, bool)
    for t in sorted({*range(0, frames, every), frames - 1}):
        seen = np.flatnonzero(tracks.visible[:, t] & (score > 0))
        xy = tracks.xy[seen, t]
        cell = np.clip(xy[:, 1] // cell_px, 0, rows - 1).astype(np.int64) * columns + np.clip(xy[:, 0] // cell_px, 0, columns - 1).astype(
            np.int64
        )
        # Chosen ones first, then by score: the first of each cell stays.
        order = np.lexsort((-score[seen], ~chosen[seen], cell))
        first = np.unique(cell[order], return_index=True)[1]
        chosen[seen[order[first]]] = True
    return np.flatnonzero(chosen)


def measure(
    tracks: Tracks2D, which: I64, depth: DepthVideo, focal_baseline: float, *, model: MeasurementModel, most: int | None = None
) -> Observations:
    """What the chosen tracks measured in the frames that show them.

    Args:
        tracks: All tracks.
        which: (L,) chosen tracks.
        depth: Depth of each frame.
        focal_baseline: Focal length times baseline, px times the unit of the depth.
        model: Standard deviations.
        most: Keep at most so many measurements of each track, evenly over its visible frames; None for all.
    """
    farthest = focal_baseline / _largest_depth(depth)
    frames = tracks.visible.shape[1]
    # Room for all that can be: what single parts measured would otherwise be there twice.
    room = sum(int(np.minimum(tracks.visible[which[some]].sum(1), most or frames).sum()) for some in pieces(len(which), frames))
    frame, uvd, information = np.empty(room, np.int64), large_empty((room, 3), np.float64), large_empty((room, 2), np.float64)
    counts, first = [np.zeros(1, np.int64)], 0
    for some in pieces(len(which), frames):
        part = _measured(tracks, which[some], depth, focal_baseline, farthest, model, most)
        rows = slice(first, first + len(part.frame))
        first = rows.stop
        frame[rows], uvd[rows], information[rows] = part.frame, part.uvd, part.information
        counts.append(np.diff(part.start))
    start = np.cumsum(np.concatenate(counts)).astype(np.int64)
    return Observations(np.asarray(which, np.int64), start, frame[:first], uvd[:first], information[:first])


def _measured(
    tracks: Tracks2D, which: I64, depth: DepthVideo, focal_baseline: float, farthest: float, model: MeasurementModel, most: int | None
) -> Observations:
    """`measure` for some of the tracks, given the disparity at which depth ends."""
    landmark, frame = _samples(tracks, which, most)
    xy = tracks.xy[which[landmark], frame].astype(np.float64)
    sigma = np.full(len(xy), model.sigma_px)
    if tracks.sigma_px is not None:
        told = tracks.sigma_px[which[landmark], frame].astype(np.float64)
        sigma = np.where(np.isfinite(told), np.hypot(told, model.floor_px), sigma)
    sigma = np.hypot(sigma, model.lens_error * _displacement(landmark, xy, len(which)))
    confidence = np.clip(tracks.confidence[which[landmark], frame].astype(np.float64), 0.05, 1)
    information = np.zeros((len(xy), 2))
    information[:, 0] = np.sqrt(confidence) / sigma
    by_frame = np.argsort(frame, kind="stable")  # depth of a long clip lies on disk: a frame of it is looked at once
    disparity, spread = np.empty((2, len(frame)))
    disparity[by_frame], spread[by_frame] = _sample_disparity(
        depth.depth, depth.confidence, frame[by_frame], xy[by_frame], focal_baseline, model.least_confidence
    )
    sigma_disparity = np.hypot(model.disparity_sigma_px, 0.5 * spread)
    # Where depth ends, at 20 m or at disparity 0, only disparities with a positive error are left: they would pull the background near.
    known = disparity > farthest + 2 * model.disparity_sigma_px
    far = (disparity > 0) & ~known
    information[known, 1] = 1 / sigma_disparity[known]
    start = np.concatenate([[0], np.cumsum(np.bincount(landmark, minlength=len(which)))]).astype(np.int64)
    uvd = np.column_stack([xy, np.where(known, disparity, 0)])
    # A landmark without any disparity gets one of 0 px, very uncertain, less so where it was seen to be far. Each measurement carries its
    # share, so that it is there whichever frames are looked at.
    has = [np.bincount(landmark[part], minlength=len(which)) > 0 for part in (known, far)]
    supposed_px = np.where(has[1], max(farthest, 0.5), focal_baseline * model.far_sigma_inverse_m)
    lonely = ~has[0][landmark]
    information[lonely, 1] = (1 / (supposed_px * np.sqrt(np.maximum(np.diff(start), 1))))[landmark[lonely]]
    return Observations(np.asarray(which, np.int64), start, frame.astype(np.int64), uvd, information)


def _samples(tracks: Tracks2D, which: I64, most: int | None) -> tuple[I64, I64]:
    """(M,) landmark and frame of the samples that are used."""
    visible = tracks.visible[which] & np.isfinite(tracks.xy[which]).all(2)
    if most is not None:
        rank, count = np.cumsum(visible, 1) - 1, visible.sum(1, keepdims=True)
        # A sample stays where its place in the evenly thinned list differs from that of the one before.
        place = rank * most // np.maximum(count, 1)
        before = np.where(rank > 0, (rank - 1) * most // np.maximum(count, 1), -1)
        visible &= (count <= most) | (place != before)
    landmark, frame = np.nonzero(visible)
    return landmark, frame


def _displacement(landmark: I64, xy: F64, landmarks: int) -> F64:
    """(M,) distance of each position from the mean position of its track, px."""
    count = np.maximum(np.bincount(landmark, minlength=landmarks), 1)
    mean = np.stack([np.bincount(landmark, xy[:, k], minlength=landmarks) / count for k in range(2)], axis=1)
    return np.linalg.norm(xy - mean[landmark], axis=1)


def _largest_depth(depth: DepthVideo) -> float:
    """The largest depth there is, from a sample of the pixels."""
    sample = depth.depth[:: max(len(depth) // 25, 1), ::3, ::3]
    sample = sample[np.isfinite(sample)]
    return float(sample.max()) if len(sample) else np.inf


@compiled()
def _sample_disparity(depth, confidence, frame, xy, focal_baseline, least):  # pragma: no cover (compiled)
    """Median disparity of the 3 x 3 pixels round each position and their spread; 0 where fewer than five are known."""
    height, width = depth.shape[1:]
    disparity, spread = np.zeros(len(frame)), np.zeros(len(frame))
    values = np.empty(9)
    for i in range(len(frame)):
        column, row = int(np.floor(xy[i, 0])), int(np.floor(xy[i, 1]))
        if column < 0 or row < 0 or column >= width or row >= height:
            continue
        n = 0
        for r in range(max(row - 1, 0), min(row + 2, height)):
            for c in range(max(column - 1, 0), min(column + 2, width)):
                d = depth[frame[i], r, c]
                if d > 0 and np.isfinite(d) and confidence[frame[i], r, c] >= least:
                    values[n] = focal_baseline / d
                    n += 1
        if n >= 5:
            ordered = np.sort(values[:n])
            disparity[i] = ordered[n // 2]
            spread[i] = ordered[n - 1] - ordered[0]
    return disparity, spread


def _information(tracks: Tracks2D) -> F64:
    """(N,) visible samples of each track, each divided by its variance in px^2."""
    total = np.zeros(len(tracks))
    for some in pieces(*tracks.visible.shape):
        weight = tracks.visible[some] * np.clip(tracks.confidence[some], 0.05, 1)
        if tracks.sigma_px is not None:
            weight = weight / (0.25 + np.nan_to_num(tracks.sigma_px[some], nan=1.0) ** 2)
        total[some] = weight.sum(1)
    return total


def _texture(tracks: Tracks2D, video: Video) -> F64:
    """(N,) from 0 (flat or a plain edge) to 1 (a corner): the smaller gradient eigenvalue where each track was asked for."""
    out = np.ones(len(tracks))
    asked = np.clip(np.round(np.nan_to_num(tracks.queries[:, 0])), 0, len(video) - 1).astype(np.int64)
    for t in np.unique(asked):
        which = np.flatnonzero(asked == t)
        gray = cv2.GaussianBlur(cv2.cvtColor(video.frames[t], cv2.COLOR_RGB2GRAY), (0, 0), 1)
        eigenvalue = np.sqrt(np.maximum(cv2.cornerMinEigenVal(gray, 7, ksize=3), 0))
        value = sample_nearest(eigenvalue, tracks.queries[which, 1:])
        out[which] = value / (value + np.median(eigenvalue) + 1e-9)
    return out
