"""Which other views tell the depth of a view: those that see the same from a fair angle, from different sides, at a like scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.scene import F64, Cameras


@dataclass(frozen=True)
class NeighbourSettings:
    """What makes a good neighbour.

    Attributes:
        count: Views that are chosen.
        angle_deg: Angle between the rays to a point that is best: enough for depth, little enough to look alike.
        narrow: Spread of smaller angles, as a share of the best one, that still count 61 %.
        wide: The same of larger angles.
        scale: Ratio of distances to a point at which the views hardly look alike.
        same_side: Share that remains of a view's worth where a chosen one looks from exactly the same direction.
        least: A view that is worth less than this share of the best one is not chosen.
        points: Points of a view that are looked at.
    """

    count: int = 4
    angle_deg: float = 8.0
    narrow: float = 0.5
    wide: float = 1.0
    scale: float = 2.0
    same_side: float = 0.35
    least: float = 0.05
    points: int = 400


def neighbours_of(t: int, cameras: Cameras, xyz_w: F64, candidates: Sequence[int], settings: NeighbourSettings | None = None) -> list[int]:
    """The best neighbours of a view, best first.

    A view is worth the points that it sees too, each by the angle and scale under which it does (in the manner of Yao et al., MVSNet,
    ECCV 2018, Section 4.1); then views from a new side are preferred, as each side sees behind other edges.

    Args:
        t: The view.
        cameras: Of all views; those without a pose are never chosen.
        xyz_w: (N, 3) points of the scene that the view sees.
        candidates: Views that may be chosen.
        settings: What is good.
    """
    use = settings or NeighbourSettings()
    others = np.array([c for c in candidates if c != t and cameras.registered[c]], np.int64)
    if len(others) == 0 or len(xyz_w) == 0:
        return []
    if len(xyz_w) > use.points:
        xyz_w = xyz_w[np.linspace(0, len(xyz_w) - 1, use.points).astype(int)]
    worth, side = np.zeros(len(others)), np.zeros((len(others), 3))
    own = cameras.centres[t] - xyz_w
    own_distance = np.linalg.norm(own, axis=1)
    T_cw = cameras.T_cw[others]
    for n, other in enumerate(others):
        local = xyz_w @ T_cw[n, :3, :3].T + T_cw[n, :3, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            xy = local[:, :2] / local[:, 2:] @ cameras.K[other, :2, :2].T + cameras.K[other, :2, 2]
            seen = (local[:, 2] > 0) & (xy > 0).all(1) & (xy < cameras.size[other]).all(1)
        if not seen.any():
            continue
        there = (cameras.centres[other] - xyz_w)[seen]
        distance = np.linalg.norm(there, axis=1)
        cosine = (own[seen] * there).sum(1) / (own_distance[seen] * distance)
        angle = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
        spread = use.angle_deg * np.where(angle < use.angle_deg, use.narrow, use.wide)
        looks = np.exp(-0.5 * ((angle - use.angle_deg) / spread) ** 2)
        focal = cameras.K[other, 0, 0] / cameras.K[t, 0, 0]
        looks *= np.exp(-0.5 * (2 * np.log(focal * own_distance[seen] / distance) / np.log(use.scale)) ** 2)
        worth[n] = looks.sum()
        shift = cameras.T_wc[t, :3, :3].T @ (cameras.centres[other] - cameras.centres[t])
        side[n] = shift / max(float(np.linalg.norm(shift)), 1e-12)
    return [int(others[n]) for n in _spread(worth, side, use)]


def _spread(worth: F64, side: F64, use: NeighbourSettings) -> list[int]:
    """Rows of the most worthy, each choice lowering the worth of those on its side."""
    chosen: list[int] = []
    least = use.least * float(worth.max(initial=0))
    left = worth.copy()
    while len(chosen) < use.count:
        n = int(left.argmax())
        if left[n] <= 0 or worth[n] < least:
            break
        chosen.append(n)
        left[n] = 0
        same = np.maximum(side @ side[n], 0) ** 2
        left *= 1 - (1 - use.same_side) * same
    return chosen
