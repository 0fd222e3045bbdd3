"""Which start leads to the likeliest shapes: rigid windows of several lengths and mixtures of few shapes, the best carried to the end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from toolkit.progress import Report
from toolkit.scene import F64, I64, B
from toolkit.sfm.nonrigid_bases import modal_shapes, modal_turns
from toolkit.sfm.nonrigid_refine import Estimate, Prior, refine
from toolkit.sfm.nonrigid_start import align_shapes, window_depth


@dataclass(frozen=True)
class NonrigidSettings:
    """How the search goes.

    Attributes:
        windows: Lengths of the rigid windows that are tried, in frames, besides the whole clip. A window must see a turn of some tens
            of degrees and no large deformation; which length does both differs from clip to clip, so the likeliest result is taken.
        modes: Numbers of shapes that a body is taken for a mixture of, each another start: right where the camera turns slowly and
            windows see no depth.
        mixture_floor: Where each of these begins once, which keeps a body of few shapes exactly; and once at the first floor, which frees
            one of many from shapes that are wrong.
        floors: First and last variance that every direction of deformation is granted, in units of the variance of the points. While
            it is large, rotations explain what they can; at its end it is a hundredth of a point's spread.
        scout_floor: Where the starts are compared.
        rounds_a_decade: Rounds in which the floor falls to a tenth.
        last_rounds: Rounds at the last floor.
        finalists: Starts that are carried to the end; where the scouts ended in the same shapes, one of them.
        same_score: Scores closer than this are of the same shapes.
        group_tracks: Tracks solved together; the time grows with its square. The others follow in groups, turns held.
        shared_tracks: Tracks that every later group shares with the first: they tell it how the body deforms.
        completion_rank, completion_rounds: Of the low-rank completion of what was not seen, where the search begins.
    """

    windows: tuple[int, ...] = (12, 18, 27, 40, 60, 90, 135)
    modes: tuple[int, ...] = (2, 3, 4, 5, 6)
    mixture_floor: float = 1e-3
    floors: tuple[float, float] = (1e-1, 1e-4)
    scout_floor: float = 1e-2
    rounds_a_decade: int = 7
    last_rounds: int = 8
    finalists: int = 3
    same_score: float = 0.02
    group_tracks: int = 100
    shared_tracks: int = 40
    completion_rank: int = 9
    completion_rounds: int = 30


@dataclass(frozen=True, eq=False)
class Found:
    """The likeliest shapes, the start they began with (a window in frames, or so many shapes), and the score of each when compared."""

    estimate: Estimate
    start: str
    scores: dict[str, float]


@dataclass
class Search:
    """The search for one set of tracks, in units of their spread."""

    xy: F64
    seen: B
    centred: F64
    centre: F64
    settings: NonrigidSettings
    prior: Prior
    report: Report
    done: int = 0
    total: int = 0

    def best(self) -> Found:
        """Scouts every start, carries the likeliest to the end, and lets the other tracks follow."""
        settings, frames = self.settings, len(self.xy)
        first, last = settings.floors
        group = _spread(self.centred, settings.group_tracks)
        rest = np.setdiff1d(np.arange(self.xy.shape[2]), group)
        share = max(1, settings.group_tracks - settings.shared_tracks)
        batches = [rest[i : i + share] for i in range(0, len(rest), share)]
        falling = self._falling(first, settings.scout_floor)
        ending = np.append(self._falling(settings.scout_floor, last), np.full(settings.last_rounds, last))
        following = np.append(self._falling(first, last), np.full(settings.last_rounds, last))
        windows = [*(w for w in settings.windows if w < frames), frames]
        modes = [k for k in settings.modes if 3 * k < min(2 * frames, len(group))]
        short = np.append(self._falling(settings.mixture_floor, last), np.full(settings.last_rounds, last))
        finalists = min(settings.finalists, len(windows))
        self.total = len(windows) * len(falling) + finalists * len(ending) + len(modes) * len(short)
        self.total += (len(modes) + len(batches)) * len(following)
        scouts = {w: self._refine(group, self._start(w, group), falling) for w in windows}
        likeliest = self._distinct(scouts)[:finalists]
        self.total -= (finalists - len(likeliest)) * len(ending)
        ended = {str(w): self._refine(group, scouts[w], ending) for w in likeliest}
        for k in modes:
            mixture = self._mixture(k, group)
            both = [self._refine(group, mixture, floors) for floors in (short, following)]
            ended[f"{k} shapes"] = min(both, key=lambda e: e.score)
        best = min(ended, key=lambda name: ended[name].score)
        found = ended[best]
        if batches:
            found = self._follow(found, group, batches, following)
        scores = {str(w): round(scouts[w].score, 3) for w in windows} | {f"{k} shapes": round(ended[f"{k} shapes"].score, 3) for k in modes}
        return Found(found, best, scores)

    def _distinct(self, scouts: dict[int, Estimate]) -> list[int]:
        """Windows from the likeliest on, without those that led to the shapes of the one before."""
        order = sorted(scouts, key=lambda w: scouts[w].score)
        return order[:1] + [b for a, b in pairwise(order) if scouts[b].score - scouts[a].score > self.settings.same_score]

    def _falling(self, first: float, last: float) -> F64:
        return np.geomspace(first, last, max(2, round(self.settings.rounds_a_decade * np.log10(first / last))))

    def _start(self, window: int, group: I64) -> Estimate:
        """Shapes whose depth is that of rigid windows."""
        depth = window_depth(self.centred, window)[0]
        xyz = np.concatenate([self.centred, depth[:, None]], 1)
        return self._picked(xyz, align_shapes(xyz), self.centre, group)

    def _mixture(self, modes: int, group: I64) -> Estimate:
        """Shapes that are mixtures of so many."""
        part = self.centred[:, :, group]
        part = part - part.mean(2, keepdims=True)
        R = modal_turns(part, modes)
        depth = np.einsum("tk,tkn->tn", R[:, 2], modal_shapes(part, R, modes))
        xyz = np.zeros((len(part), 3, self.centred.shape[2]))
        xyz[:, :2, :], xyz[:, 2, group] = self.centred, depth
        return self._picked(xyz, R, self.centre, group)

    def _picked(self, xyz: F64, R: F64, centre: F64, group: I64) -> Estimate:
        """Some of the tracks, about their own centroid."""
        part = xyz[:, :, group]
        middle = part.mean(2)
        return Estimate(part - middle[:, :, None], R, centre + middle[:, :2], math.inf)

    def _refine(self, group: I64, start: Estimate, floors: F64, *, turn: bool = True) -> Estimate:
        def told(done: int, _: int) -> None:
            self.report(self.done + done, self.total)

        found = refine(self.xy[:, :, group], self.seen[:, group], start, floors, prior=self.prior, turn=turn, report=told)
        self.done += len(floors)
        return found

    def _follow(self, found: Estimate, group: I64, batches: list[I64], floors: F64) -> Estimate:
        """All tracks, those outside the group solved with some of it while the turns are held."""
        frames, _, points = self.xy.shape
        xyz = np.empty((frames, 3, points))
        xyz[:, :, group] = found.xyz
        xyz[:, :2, group] += found.centre[:, :, None]
        shared = group[_spread(found.xyz[:, :2], self.settings.shared_tracks)]
        depth = _nearby_depth(self.centred, xyz[:, 2], group)
        for batch in batches:
            both = np.append(shared, batch)
            start = np.concatenate([self.centred + self.centre[:, :, None], depth[:, None]], 1)
            start[:, :, shared] = xyz[:, :, shared]
            part = self._refine(both, self._picked(start, found.R, np.zeros((frames, 2)), both), floors, turn=False)
            # The depth of the two groups is one where they share tracks.
            shift = (xyz[:, 2, shared] - part.xyz[:, 2, : len(shared)]).mean(1)
            xyz[:, :2, batch] = part.xyz[:, :2, len(shared) :] + part.centre[:, :, None]
            xyz[:, 2, batch] = part.xyz[:, 2, len(shared) :] + shift[:, None]
        middle = xyz.mean(2)
        return Estimate(xyz - middle[:, :, None], found.R, middle[:, :2], found.score)


def _spread(xy: F64, count: int) -> I64:
    """`count` of the tracks (T, 2, N), far from one another, the farthest from the centre first; sorted."""
    points = xy.shape[2]
    if points <= count:
        return np.arange(points)
    paths = xy.reshape(-1, points)
    chosen = [int(np.argmax((paths**2).sum(0)))]
    apart = ((paths - paths[:, chosen]) ** 2).sum(0)
    while len(chosen) < count:
        chosen.append(int(np.argmax(apart)))
        apart = np.minimum(apart, ((paths - paths[:, chosen[-1:]]) ** 2).sum(0))
    return np.sort(np.array(chosen))


def _nearby_depth(xy: F64, depth: F64, known: I64) -> F64:
    """(T, N) depth of the known track whose path in the image is the closest."""
    paths = xy.reshape(-1, xy.shape[2])
    square = (paths[:, known] ** 2).sum(0)
    nearest = known[np.argmin(square[None, :] - 2 * paths.T @ paths[:, known], axis=1)]
    return depth[:, nearest]
