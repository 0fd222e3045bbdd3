"""How well points are followed through several views, over their number and over what is wrong with them, beside two baselines."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.evaluation.mvtracker import mvtracker_scores
from toolkit.multiview.baselines import each_view_alone, staying
from toolkit.multiview.tracking import track_views
from toolkit.progress import Report, silent
from toolkit.scene import MultiViewVideo
from toolkit.synthetic.rigs import ErrorKind, SyntheticRig, filmed_rig, with_errors

Tracker = Literal["ours", "ours, without depth", "each view alone", "stays"]
TRACKERS: tuple[Tracker, ...] = ("ours", "ours, without depth", "each view alone", "stays")
"""All views with their depth; without it; each view by itself (Lucas and Kanade), then triangulated; where they were asked for."""
SHARES = (0.0, 0.01, 0.02, 0.05)


@dataclass(frozen=True)
class Setting:
    """One kind of generated recording.

    Attributes:
        views: Cameras on an arc of `spread_deg`.
        wrong: What errs.
        share: By how much, see `with_errors`.
        pillars: Posts that hide what passes behind them.
        spread_deg: Angle from the first camera to the last.
        frames: Length.
        size: (width, height) of a picture.
    """

    views: int = 4
    wrong: tuple[ErrorKind, ...] = ()
    share: float = 0.0
    pillars: int = 0
    spread_deg: float = 75.0
    frames: int = 24
    size: tuple[int, int] = (320, 240)


@dataclass(frozen=True)
class RigScore:
    """What came of one kind of recording, means over some of them.

    Attributes:
        setting: Which kind.
        tracker: Who followed.
        AJ: Average Jaccard, percent, thresholds 1, 2, 5, 10, 20 cm.
        APD: Points within these, percent.
        OA: Seen or not told right, percent.
        survival: Until a track is 10 cm off, percent of the time.
        MTE_cm: Median over a track of its error, mean over tracks; where a tracker does not know, its last word counts.
        cpu_s: CPU-seconds a recording.
        AJ_sd: Standard deviation of AJ from recording to recording.
        MTE_sd: That of MTE, in centimetres.
        recordings: How many there were.
    """

    setting: Setting
    tracker: Tracker
    AJ: float
    APD: float
    OA: float
    survival: float
    MTE_cm: float
    cpu_s: float
    AJ_sd: float
    MTE_sd: float
    recordings: int


def settings_of_curves(*, views: Sequence[int] = (3, 4, 5, 6, 8), shares: Sequence[float] = SHARES) -> list[Setting]:
    """The kinds that make the curves: number of views; errors of K, of poses, of depth and of all of them; posts in the way."""
    kinds: list[tuple[ErrorKind, ...]] = [("K",), ("poses",), ("depth",), ("K", "poses", "depth")]
    wrong = [Setting(wrong=kind, share=share) for kind in kinds for share in shares if share]
    return [*(Setting(views=count) for count in views), *wrong, *(Setting(pillars=count) for count in (3, 6))]


def rig_curves(
    settings: Iterable[Setting] | None = None,
    *,
    trackers: Sequence[Tracker] = TRACKERS,
    seeds: Sequence[int] = (0, 1, 2),
    report: Report = silent,
) -> list[RigScore]:
    """Films each kind of recording, follows its points, and scores them.

    Args:
        settings: Which kinds; None for `settings_of_curves()`.
        trackers: Who follows.
        seeds: One recording of each kind a seed.
        report: Told of every kind and seed.
    """
    kinds = settings_of_curves() if settings is None else list(settings)
    rows: dict[tuple[Setting, Tracker], list[list[float]]] = {}
    films = sorted({_film(kind, seed) for kind in kinds for seed in seeds})
    done = 0
    for film in films:  # each is filmed once, for all that errs about it, and forgotten
        views, pillars, spread_deg, frames, size, seed = film
        rig = filmed_rig(views, frames=frames, size=size, spread_deg=spread_deg, pillars=pillars, seed=seed)
        known: dict[tuple[Tracker, tuple[ErrorKind, ...], float], list[float]] = {}
        for kind in (kind for kind in kinds if _film(kind, seed) == film):
            clip = with_errors(rig.clip, kind.share, of=kind.wrong, seed=seed) if kind.wrong else rig.clip
            for tracker in trackers:
                told = _told_of(tracker, kind)
                if (tracker, *told) not in known:
                    known[tracker, *told] = scored(rig, clip, tracker)
                rows.setdefault((kind, tracker), []).append(known[tracker, *told])
            done += 1
            report(done, len(kinds) * len(seeds))
    return [_mean(kind, tracker, np.array(rows[kind, tracker])) for kind in dict.fromkeys(kinds) for tracker in trackers]


def _film(kind: Setting, seed: int) -> tuple[int, int, float, int, tuple[int, int], int]:
    """What two recordings of the same pictures have in common."""
    return kind.views, kind.pillars, kind.spread_deg, kind.frames, kind.size, seed


def _told_of(tracker: Tracker, kind: Setting) -> tuple[tuple[ErrorKind, ...], float]:
    """Which errors a tracker can notice: those that hear no depth do the same whatever it says."""
    deaf: dict[str, tuple[ErrorKind, ...]] = {"ours": (), "stays": ("K", "poses", "depth")}
    wrong: tuple[ErrorKind, ...] = tuple(what for what in kind.wrong if what not in deaf.get(tracker, ("depth",)))
    return wrong, kind.share if wrong else 0.0


def _mean(kind: Setting, tracker: Tracker, found: NDArray) -> RigScore:
    spread = found.std(0, ddof=1) if len(found) > 1 else np.zeros(found.shape[1])
    return RigScore(kind, tracker, *found.mean(0).tolist(), AJ_sd=float(spread[0]), MTE_sd=float(spread[4]), recordings=len(found))


def scored(rig: SyntheticRig, clip: MultiViewVideo, tracker: Tracker) -> list[float]:
    """AJ, APD, OA, survival, MTE in centimetres and CPU-seconds of one recording."""
    begun = time.process_time()
    xyz, visible = followed(clip, rig.queries, tracker)
    spent = time.process_time() - begun
    xyz = _held(xyz, rig.queries[:, 0].astype(int))
    scores = mvtracker_scores(xyz, visible, rig.xyz_w, rig.visible.any(0), rig.queries[:, 0], benchmark="dexycb-multiview")
    names = ("average_jaccard", "average_pts_within_thresh", "occlusion_accuracy", "survival", "mte_visible")
    return [*(scores[f"{name}__any"] for name in names), spent]


def _held(xyz: NDArray, asked: NDArray) -> NDArray:
    """Points that are unknown stay where they last were, so that everybody answers everywhere; they are not told to be seen there."""
    out = xyz.copy()
    for n, first in enumerate(asked):
        for t in range(first + 1, xyz.shape[1]):
            if not np.isfinite(out[n, t, 0]):
                out[n, t] = out[n, t - 1]
    return out


def followed(clip: MultiViewVideo, queries: NDArray, tracker: Tracker) -> tuple[NDArray, NDArray]:
    """(N, T, 3) places and (N, T) where they are said to be seen, by one of `TRACKERS`."""
    if tracker == "stays":
        xyz = staying(queries, len(clip.views[0]))
        return xyz, np.ones(xyz.shape[:2], bool)
    bare = MultiViewVideo(clip.views, clip.cameras)
    if tracker == "each view alone":
        xyz = each_view_alone(bare, queries)
        return xyz, np.isfinite(xyz[..., 0])
    found = track_views(clip if tracker == "ours" else bare, queries).tracks_3d
    return found.xyz, found.visible


def table_of(scores: Sequence[RigScore]) -> str:
    """A table in Markdown: a line a kind of recording, AJ and MTE of each tracker with their spread from recording to recording."""
    trackers = list(dict.fromkeys(score.tracker for score in scores))
    lines = ["| recording | " + " | ".join(f"{tracker}: AJ / MTE" for tracker in trackers) + " |", "|---" * (1 + len(trackers)) + "|"]
    for kind in dict.fromkeys(score.setting for score in scores):
        found = {score.tracker: score for score in scores if score.setting == kind}
        cells = [_cell(found[t]) if t in found else "" for t in trackers]
        lines.append(f"| {name_of(kind)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(score: RigScore) -> str:
    return f"{score.AJ:.1f} ± {score.AJ_sd:.1f} / {score.MTE_cm:.1f} ± {score.MTE_sd:.1f} cm"


def name_of(kind: Setting) -> str:
    """A few words."""
    told = f"{kind.views} views"
    if kind.wrong:
        told += f", {', '.join(kind.wrong)} off by {100 * kind.share:g} %"
    return told + (f", {kind.pillars} posts in the way" if kind.pillars else "")
