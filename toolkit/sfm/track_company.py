"""Which tracks keep each other company: near in the picture, and keeping their distance; what one of them shows counts for the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from toolkit.scene import F64, I64, B

LEAST_TOGETHER = 3  # frames in which two tracks are both seen


@dataclass(frozen=True)
class CompanyOptions:
    """Who counts as a neighbour.

    Attributes:
        neighbours: Nearest tracks of each in a frame.
        looked_at: Frames in which neighbours are looked for, evenly over the clip.
        near: Distance in the picture, in focal lengths.
        alike: How far two tracks may move against each other, in focal lengths: five pixels of a picture 512 px wide.
        weight: Of a neighbour at no distance, beside a track's own evidence of one.
        rounds: How often evidence is passed on.
    """

    neighbours: int = 8
    looked_at: int = 10
    near: float = 0.3
    alike: float = 0.01
    weight: float = 1.5
    rounds: int = 3


@dataclass(frozen=True, eq=False)
class Company:
    """Pairs of tracks.

    Attributes:
        pairs: (E, 2) rows of tracks.
        weight: (E,) how much they are to each other.
    """

    pairs: I64
    weight: F64

    def passed_on(self, evidence: F64, rounds: int) -> F64:
        """(N,) evidence of each track averaged with that of its company, `rounds` times."""
        now = evidence.copy()
        first, second = self.pairs.T
        for _ in range(rounds):
            total = evidence + np.bincount(first, self.weight * now[second], len(evidence))
            total += np.bincount(second, self.weight * now[first], len(evidence))
            share = 1 + np.bincount(first, self.weight, len(evidence)) + np.bincount(second, self.weight, len(evidence))
            now = total / share
        return now


def company_of(uv: NDArray, seen: B, options: CompanyOptions) -> Company:
    """Pairs of tracks that are near each other and move alike.

    Args:
        uv: (T, N, 2) normalised coordinates.
        seen: (T, N) which of them count.
        options: Who counts.
    """
    found = []
    for t in np.unique(np.linspace(0, len(uv) - 1, options.looked_at).round().astype(int)):
        rows = np.flatnonzero(seen[t])
        near = min(options.neighbours, len(rows) - 1)
        if near > 0:
            others = np.asarray(KDTree(uv[t, rows]).query(uv[t, rows], k=near + 1)[1])[:, 1:]
            found.append(np.stack([np.repeat(rows, near), rows[others].ravel()], axis=1))
    if not found:
        return Company(np.zeros((0, 2), np.int64), np.zeros(0))
    both = np.sort(np.concatenate(found), axis=1)
    code = np.unique(both[:, 0].astype(np.int64) * seen.shape[1] + both[:, 1])
    pairs = np.stack([code // seen.shape[1], code % seen.shape[1]], axis=1)
    apart, against, together = np.empty(len(pairs)), np.empty(len(pairs)), np.empty(len(pairs), int)
    for begin in range(0, len(pairs), 4096):
        part = slice(begin, begin + 4096)
        apart[part], against[part], together[part] = differences(uv, seen, pairs[part])
    weight = options.weight * np.exp(-((apart / options.near) ** 2) - (against / options.alike) ** 2)
    weight[(together < LEAST_TOGETHER) | (pairs[:, 0] == pairs[:, 1])] = 0
    return Company(pairs[weight > 1e-3], weight[weight > 1e-3])


def differences(uv: NDArray, seen: B, pairs: NDArray) -> tuple[F64, F64, I64]:
    """Mean distance of pairs, mean deviation from their mean offset, and frames in which both are seen; all (E,)."""
    first, second = pairs.T
    both = seen[:, first] & seen[:, second]
    together = both.sum(0)
    offset = np.where(both[..., None], uv[:, first] - uv[:, second], 0)
    mean = offset.sum(0) / np.maximum(together, 1)[:, None]
    against = np.where(both, np.linalg.norm(offset - mean, axis=-1), 0).sum(0) / np.maximum(together, 1)
    return np.linalg.norm(mean, axis=-1), against, together
