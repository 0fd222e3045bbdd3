"""What is seen of points frame by frame, whoever followed them: tracks in a table, or lists of numbers and places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F32, F64, I64, Tracks2D

_USUAL_SIGMA_PX = 0.5  # of trackers that tell none


class Followed(Protocol):
    """Points of a video, frame by frame: what is followed through it without a table of all tracks in all frames.

    Attributes:
        ids: For each frame the rising numbers of its points.
        xy: For each frame (n, 2) float32 where they are, in pixels.
    """

    @property
    def ids(self) -> Sequence[NDArray]: ...  # noqa: D102

    @property
    def xy(self) -> Sequence[F32]: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Seen:
    """What is seen of points in each of T frames.

    Attributes:
        ids: For each frame the rising numbers of its points.
        xy: For each frame (n, 2) where they are, in pixels.
        sigma_px: For each frame (n,) their standard deviations.
        count: The largest number, plus one.
    """

    ids: Sequence[I64]
    xy: Sequence[F64]
    sigma_px: Sequence[F64]
    count: int

    @staticmethod
    def of(tracks: Tracks2D | Followed, size: tuple[int, int], floor: float) -> Seen:
        """Of tracks or followed points; errors are at least `floor` of the longer side, and the usual ones where none are told."""
        usual, least = _USUAL_SIGMA_PX * max(size) / 512, floor * max(size)
        if not isinstance(tracks, Tracks2D):
            ids = [np.asarray(i, np.int64) for i in tracks.ids]
            xy = [np.asarray(p, np.float64) for p in tracks.xy]
            return Seen(ids, xy, [np.full(len(i), usual) for i in ids], max((int(i[-1]) + 1 for i in ids if len(i)), default=0))
        ids = [np.flatnonzero(v) for v in tracks.visible.T]
        told = [np.full(len(i), np.nan) if tracks.sigma_px is None else tracks.sigma_px[i, t] for t, i in enumerate(ids)]
        sigma = [np.maximum(np.where(np.isfinite(s) & (s > 0), s, usual), least).astype(np.float64) for s in told]
        return Seen(ids, [tracks.xy[i, t].astype(np.float64) for t, i in enumerate(ids)], sigma, len(tracks))

    def elsewhere(self, base: int, others: NDArray) -> tuple[F64, F64]:
        """(n, K, 2) where the points of a frame are in others, NaN where hidden, and the (n, K) errors of both places together."""
        ids = self.ids[base]
        xy, sigma = np.full((len(ids), len(others), 2), np.nan), np.ones((len(ids), len(others)))
        for k, t in enumerate(others):
            if len(self.ids[t]):
                at = np.minimum(np.searchsorted(self.ids[t], ids), len(self.ids[t]) - 1)
                hit = self.ids[t][at] == ids
                xy[hit, k] = self.xy[t][at[hit]]
                sigma[hit, k] = np.hypot(self.sigma_px[t][at[hit]], self.sigma_px[base][hit])
        return xy, sigma
