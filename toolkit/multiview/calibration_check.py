"""Whether the cameras of several views fit their pictures: what moves, and what two views show alike, must lie on epipolar lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from toolkit.geometry.poses import invert
from toolkit.multiview.checking import LEAST_VARIETY
from toolkit.multiview.epipolar_evidence import MatchOptions, Sighted, matches_of, movers_of, pair_error, together
from toolkit.multiview.synchrony import SynchronyOptions, disagreement, lags, moving_masks, outlines_apart
from toolkit.multiview.synchrony_change import ChangeOptions, changes_alike, lags_of_changes
from toolkit.scene import F64, B
from toolkit.wording import counted


@dataclass(frozen=True)
class CheckOptions:
    """What counts as a fit.

    Attributes:
        good_px: Median distance from an epipolar line, in pixels of pictures of `side_px`, of matches under a calibration that fits ...
        bad_px: ... and under one that does not.
        side_px: Longer side of the pictures that are compared.
        least_motion: Frames with something that moves, of which the middle is compared.
        outlines: Pairs and sides of views in which outlines of what moves must be compared to tell anything.
        surer: How much smaller the error must get to blame something else than the pair.
        matching: What counts as looking alike.
        synchrony: How clips are compared, by outlines of what moves ...
        changing: ... and by how much changes on planes through two cameras.
    """

    good_px: float = 3.0
    bad_px: float = 8.0
    side_px: int = 720
    least_motion: int = 12
    outlines: int = 4
    surer: float = 0.4
    matching: MatchOptions = field(default_factory=MatchOptions)
    synchrony: SynchronyOptions = field(default_factory=SynchronyOptions)
    changing: ChangeOptions = field(default_factory=ChangeOptions)


@dataclass(frozen=True)
class RigCheck:
    """What was found.

    Attributes:
        matches_px: Pair of names to (median epipolar distance in pixels of the compared pictures, matches) of what looks alike.
        movers_px: The same for the middle of what moves.
        lag_frames: Name of a view to how many frames it is late against the first, where that shows.
        warnings: Sentences for a person.
        late: The same, of clips that did not begin together: what shifting them mends.
    """

    matches_px: dict[str, tuple[float, int]] = field(default_factory=dict)
    movers_px: dict[str, tuple[float, int]] = field(default_factory=dict)
    lag_frames: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    late: tuple[str, ...] = ()


def check_rig(views: list[Sighted], options: CheckOptions | None = None) -> RigCheck:
    """Compares every pair of views.

    Args:
        views: Each with some frames, of the same moments.
        options: What counts as a fit.
    """
    options = options or CheckOptions()
    warnings = [
        f"{v.name} shows nothing: a run leaves it out." for v in views if float(np.std(v.frames[len(v.frames) // 2])) < LEAST_VARIETY
    ]
    warnings += _copies(views)
    masks = [moving_masks(view.frames, options.synchrony) for view in views]
    apart = disagreement(masks, [v.K for v in views], [v.T_wc for v in views], options.synchrony)
    late_by = lags(apart, len(views), options.synchrony)
    if not any(late_by.values()):  # outlines of several things that pass before each other tell little
        alike = changes_alike([v.frames for v in views], [v.K for v in views], [v.T_wc for v in views], options.changing)
        late_by = lags_of_changes(alike, len(views), options.changing) or late_by
    movers = movers_of(views)
    matches = {(a, b): matches_of(views[a], views[b], options.matching) for a, b in combinations(range(len(views)), 2)}
    shifted = {(a, b): together(movers[a], movers[b], late_by.get(a, 0), late_by.get(b, 0)) for a, b in matches}
    looks = {
        pair: pair_error(views[pair[0]], views[pair[1]], *found)
        for pair, found in matches.items()
        if len(found[0]) >= options.matching.least
    }
    moves = {
        pair: pair_error(views[pair[0]], views[pair[1]], *found) for pair, found in shifted.items() if len(found[0]) >= options.least_motion
    }
    blame = _blame(views, matches, looks, shifted, moves, options) or _outlines_blame(views, matches, looks, masks, options)
    warnings += blame or _pairs(views, looks, options)
    late = [
        f"{views[v].name} seems {counted(abs(lag), 'frame')} {'late' if lag > 0 else 'early'} against {views[0].name}: "
        "set synchronise=true to shift it by whole frames, or cut the clips to begin at the same moment."
        for v, lag in late_by.items()
        if lag
    ]
    return RigCheck(
        {_name(views, p): (round(e, 2), len(matches[p][0])) for p, e in looks.items()},
        {_name(views, p): (round(e, 2), len(shifted[p][0])) for p, e in moves.items()},
        {views[v].name: lag for v, lag in late_by.items()},
        tuple(warnings),
        tuple(late),
    )


def _name(views: list[Sighted], pair: tuple[int, int]) -> str:
    return f"{views[pair[0]].name} - {views[pair[1]].name}"


def _copies(views: list[Sighted]) -> list[str]:
    """Cameras that are at the same place and look the same way: one of them was copied."""
    told = []
    for a, b in combinations(views, 2):
        apart = np.linalg.norm(a.T_wc[:3, 3] - b.T_wc[:3, 3])
        turned = np.arccos(np.clip((np.trace(a.T_wc[:3, :3].T @ b.T_wc[:3, :3]) - 1) / 2, -1, 1))
        size = max(np.linalg.norm(v.T_wc[:3, 3] - a.T_wc[:3, 3]) for v in views)
        if apart <= max(1e-3 * size, 1e-9) and turned < 1e-2:
            told.append(f"The calibration has {a.name} and {b.name} at the same place: one of them seems to be a copy of the other.")
    return told


Places = dict[tuple[int, int], tuple[F64, F64]]


def _total(views: list[Sighted], places: Places) -> float:
    """Median epipolar distance over all pairs alike."""
    errors = [pair_error(views[a], views[b], *found) for (a, b), found in places.items() if len(found[0])]
    return float(np.median(errors)) if errors else float("nan")


def _blame(
    views: list[Sighted],
    matches: Places,
    looks: dict[tuple[int, int], float],
    moved: Places,
    moves: dict[tuple[int, int], float],
    options: CheckOptions,
) -> list[str]:
    """What would explain errors of most pairs at once: poses the wrong way round, or K for pictures of another size."""
    places = {p: matches[p] for p in looks} or {p: moved[p] for p in moves}
    errors = looks or moves
    if not errors or np.median(list(errors.values())) < options.bad_px:
        return []
    given = _total(views, places)
    turned = [Sighted(v.name, v.frames, v.K, invert(v.T_wc)) for v in views]
    if _total(turned, places) < options.surer * given:
        return [
            "The poses seem to be the wrong way round (camera-to-world where world-to-camera is expected, or the reverse): "
            f"pictures disagree by {given:.0f} px, with inverted poses by {_total(turned, places):.1f} px."
        ]
    for scale in (0.5, 2.0, 2 / 3, 1.5, 0.75, 4 / 3, 0.25, 4.0):
        other = [Sighted(v.name, v.frames, np.diag([scale, scale, 1.0]) @ v.K, v.T_wc) for v in views]
        if _total(other, places) < options.surer * given:
            return [
                f"The intrinsics seem to be for pictures {1 / scale:.3g} times as large: pictures disagree by {given:.0f} px, with K times "
                f"{scale:.3g} by {_total(other, places):.1f} px."
            ]
    return []


def _outlines_blame(
    views: list[Sighted], matches: Places, looks: dict[tuple[int, int], float], masks: list[B], options: CheckOptions
) -> list[str]:
    """Poses the wrong way round where views show too little alike to tell it: outlines of what moves do."""
    K, T_wc = [v.K for v in views], [v.T_wc for v in views]
    given = outlines_apart(masks, K, T_wc, options.synchrony)
    if len(given) < options.outlines or np.median(given) < options.bad_px:
        return []
    turned = [Sighted(v.name, v.frames, v.K, invert(v.T_wc)) for v in views]
    if any(pair_error(turned[a], turned[b], *matches[a, b]) > max(error, options.good_px) for (a, b), error in looks.items()):
        return []  # what is alike speaks against it
    other = outlines_apart(masks, K, [v.T_wc for v in turned], options.synchrony)
    if len(other) < options.outlines or np.median(other) > options.surer * np.median(given):
        return []
    return [
        "The poses seem to be the wrong way round (camera-to-world where world-to-camera is expected, or the reverse): outlines of what "
        f"moves disagree by {np.median(given):.0f} px, with inverted poses by {np.median(other):.0f} px."
    ]


def _pairs(views: list[Sighted], looks: dict[tuple[int, int], float], options: CheckOptions) -> list[str]:
    """Views that disagree with all others, else pairs that do: by what looks alike alone, as the middle of what moves is but a guess."""
    bad = {p for p, e in looks.items() if e > options.bad_px}
    good = {p for p, e in looks.items() if e <= options.bad_px}
    told = []
    for v, view in enumerate(views):
        mine_bad, mine_good = [p for p in bad if v in p], [p for p in good if v in p]
        others_good = [p for p in good if v not in p]
        if mine_bad and not mine_good and others_good:
            worst = max(looks[p] for p in mine_bad)
            told.append(
                f"{view.name} does not fit the other views (up to {worst:.0f} px from their epipolar lines), which fit each other: "
                "its calibration is wrong, or it was moved or filmed at another time."
            )
            bad -= set(mine_bad)
    return told + [f"{_name(views, pair)}: pictures disagree with the calibration by {looks[pair]:.0f} px." for pair in sorted(bad)]
