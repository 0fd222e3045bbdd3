"""Exact nearest neighbours in a set of points, from an index that is built once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from toolkit.scene import I64

LEAF = 16  # points that are compared one by one


class NearestPoints:
    """A spatial index over points.

    Args:
        points: (P, D) finite numbers, P at least 1; several may coincide.
    """

    def __init__(self, points: ArrayLike) -> None:
        # Nodes are halved in the middle instead of at the median: quicker to build, and many equal points do no harm.
        self._tree = KDTree(np.asarray(points, np.float64), leafsize=LEAF, balanced_tree=False, compact_nodes=False)

    def __len__(self) -> int:
        """How many points there are, P."""
        return self._tree.n

    def query(self, places: ArrayLike, count: int) -> I64:
        """The nearest points of each place by Euclidean distance, the nearest first.

        Args:
            places: (M, D) finite numbers.
            count: How many are wanted.

        Returns:
            (M, count) indices of points. Where there are fewer points than wanted, the farthest is repeated.
        """
        known = min(count, len(self))
        found: NDArray = np.asarray(self._tree.query(np.asarray(places, np.float64), k=known)[1], np.int64).reshape(-1, known)
        return np.pad(found, ((0, 0), (0, count - known)), mode="edge") if known < count else found
