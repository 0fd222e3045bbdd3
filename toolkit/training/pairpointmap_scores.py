"""How good a two-view network is on generated pairs that it never learned from, beside three answers that anybody can give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toolkit.evaluation.tracks import WORLDTRACK_THRESHOLDS
from toolkit.geometry.poses import rotation_angle_deg
from toolkit.models.pairpointmap import PairPointmap
from toolkit.synthetic.pointmap_rendering import PointmapPairs, pixel_rays

UNIT_M = 3.0
"""The mean distance of a scene is taken for so many metres, so that the thresholds of WorldTrack can be used."""
PAIR_COLUMNS = {
    "APD": "APD %",
    "EPE": "EPE m",
    "APD_moving": "APD moving %",
    "EPE_moving": "EPE moving m",
    "recon_EPE": "recon EPE m",
    "AbsRel": "AbsRel",
    "visibility_F1": "visibility F1",
    "turn_deg": "turn °",
    "way": "way",
}
HIGHER_IS_BETTER = ("APD", "APD_moving", "visibility_F1")


@dataclass(frozen=True, eq=False)
class PairAnswer:
    """An answer to B pairs; what it does not say is None.

    Attributes:
        tracked: (B, H, W, 3) what picture 1 shows, at the moment of j.
        recon: (B, H, W, 3) what picture j shows.
        depth: (B, H, W) z-depth of picture j.
        seen: (B, H, W) whether what picture 1 shows is seen in j.
        R: (B, 3, 3) and
        t: (B, 3) camera 1 from camera j.
    """

    tracked: Tensor
    recon: Tensor | None = None
    depth: Tensor | None = None
    seen: Tensor | None = None
    R: Tensor | None = None
    t: Tensor | None = None


Answerer = Callable[[PointmapPairs], PairAnswer]


def by_network(network: PairPointmap) -> Answerer:
    """The answer of a network that is not told the focal length."""

    def answer(pairs: PointmapPairs) -> PairAnswer:
        with torch.inference_mode():
            found = network(pairs.images, torch.full_like(pairs.focal, torch.nan))
        return PairAnswer(found.tracked, found.recon, found.depth, found.visible > 0, found.R, found.t)

    return answer


def constant_depth(pairs: PointmapPairs) -> PairAnswer:
    """One depth for every pixel, the usual focal length, a camera and things that stand still, everything seen."""
    count, rows, columns = pairs.seen.shape
    rays = pixel_rays(torch.ones(count), (columns, rows)).reshape(count, rows, columns, 3)
    eye, none = torch.eye(3).repeat(count, 1, 1), torch.zeros(count, 3)
    return PairAnswer(rays, rays, rays[..., 2], torch.ones(count, rows, columns, dtype=torch.bool), eye, none)


def without_motion(network: PairPointmap) -> Answerer:
    """The network's own geometry of each frame paired with itself: nothing moves, the camera neither."""

    def answer(pairs: PointmapPairs) -> PairAnswer:
        unknown = torch.full_like(pairs.focal, torch.nan)
        with torch.inference_mode():
            first, other = (network(pairs.images[:, [k, k]], unknown) for k in (0, 1))
        count = len(pairs.images)
        return PairAnswer(
            first.base, other.base, other.base[..., 2], torch.ones(first.gate.shape, dtype=torch.bool),
            torch.eye(3).repeat(count, 1, 1), torch.zeros(count, 3),
        )  # fmt: skip

    return answer


def true_depth_without_motion(pairs: PointmapPairs) -> PairAnswer:
    """True geometry of picture 1, of which nothing moves."""
    return PairAnswer(pairs.base, seen=torch.ones(pairs.seen.shape, dtype=torch.bool))


def pair_scores(answerer: Answerer, held: Sequence[PointmapPairs]) -> dict[str, float]:
    """Means over pairs, by the names of `PAIR_COLUMNS`; NaN where an answer says nothing."""
    rows = []
    for pairs in held:
        answer = answerer(pairs)
        for i in range(len(pairs.images)):
            rows.append(_row(answer, pairs, i))
    return {name: float(np.nanmean(column)) if np.isfinite(column).any() else float("nan") for name, column in _columns(rows).items()}


def _columns(rows: list[dict[str, float]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows]) for name in PAIR_COLUMNS}


def _row(answer: PairAnswer, pairs: PointmapPairs, i: int) -> dict[str, float]:
    truth = pairs.tracked[i] * UNIT_M
    moves = (pairs.tracked[i] - pairs.base[i]).norm(dim=-1) > 0.01 * pairs.base[i].norm(dim=-1)
    apart = _apart(answer.tracked[i], truth)
    row = dict.fromkeys(PAIR_COLUMNS, float("nan"))
    row |= {"APD": _apd(apart), "EPE": float(apart.mean())}
    if int(moves.sum()) > 30:  # noqa: PLR2004  (pixels)
        row |= {"APD_moving": _apd(apart[moves]), "EPE_moving": float(apart[moves].mean())}
    if answer.recon is not None:
        row["recon_EPE"] = float(_apart(answer.recon[i], pairs.recon[i] * UNIT_M).mean())
    if answer.depth is not None:
        scale = (pairs.depth[i] / answer.depth[i]).median()
        row["AbsRel"] = float((scale * answer.depth[i] / pairs.depth[i] - 1).abs().mean())
    if answer.seen is not None:
        hits = float((answer.seen[i] & pairs.seen[i]).sum())
        row["visibility_F1"] = 2 * hits / max(float(answer.seen[i].sum() + pairs.seen[i].sum()), 1.0)
    if answer.R is not None and answer.t is not None:
        between = answer.R[i].double().numpy().T @ pairs.T_1j[i, :3, :3].double().numpy()
        row |= {"turn_deg": float(rotation_angle_deg(between)), "way": float((answer.t[i] - pairs.T_1j[i, :3, 3]).norm())}
    return row


def _apart(found: Tensor, truth: Tensor) -> Tensor:
    """Distances after the ratio of median distances, WorldTrack's headline alignment."""
    scale = truth.norm(dim=-1).median() / found.norm(dim=-1).median().clamp(min=1e-9)
    return (scale * found - truth).norm(dim=-1)


def _apd(apart: Tensor) -> float:
    return 100 * float(np.mean([float((apart <= t).float().mean()) for t in WORLDTRACK_THRESHOLDS]))
