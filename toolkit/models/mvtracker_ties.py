"""Nearest points in the published code's order: where points coincide, which of them comes first decides which feature is compared."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from toolkit.models.nearest import NearestPoints
from toolkit.scene import I64


class PublishedNearest(NearestPoints):
    """As `NearestPoints`, but equally distant points come in the order in which the published search leaves them.

    Pixels of unknown depth all lie in the centre of their camera there, each with another feature.

    Args:
        points: (P, 3) float32 in the order of the published cloud.
    """

    def __init__(self, points: ArrayLike) -> None:
        super().__init__(points)
        self._points = torch.from_numpy(np.asarray(points, np.float32))

    def query(self, places: ArrayLike, count: int) -> I64:
        """As `NearestPoints.query`."""
        more = super().query(places, count + 1)
        found = more[:, :count]
        asked = torch.from_numpy(np.asarray(places, np.float32))
        distance = (self._points[torch.from_numpy(more)] - asked[:, None]).norm(dim=-1)
        tied = torch.nonzero((distance[:, 1:] == distance[:, :-1]).any(1))[:, 0]
        for row in tied:  # few: no track but a lost one is as near to a camera as to what it sees
            all_of_them = torch.cdist(asked[row][None], self._points, compute_mode="donot_use_mm_for_euclid_dist")
            if count <= len(self):
                found[row] = all_of_them.topk(count, largest=False, sorted=True).indices[0].numpy()
        return found
