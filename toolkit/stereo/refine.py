"""A rig's small remaining turn between the eyes, found from matches and kept only where it helps matches that were not used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from toolkit.geometry.rig import StereoRig
from toolkit.scene import F64, U8
from toolkit.stereo.calibration import soft
from toolkit.stereo.pair_check import PairCheck, match_pair, summarise
from toolkit.stereo.rectify import Rectifier, View

_HELD_DEG = 1e-6  # a deviation that lets nothing turn


@dataclass(frozen=True)
class RefineSettings:
    """How a rig is refined.

    Attributes:
        fov_deg: Field of view of the pair that is matched: wide, because a turn about the vertical shows only towards the corners.
        size_px: Width and height of that pair.
        bad_from_px: Typical row error of the matched pair from which all of the turn is sought; below it the lens model's own errors
            would be taken for a turn about y, and a wrong one spoils every depth. The turn about x and z moves rows only.
        turn_sigma_deg: How far the eyes of a rig in use are believed to be turned against its calibration, about x, y and z; y is
            told by rows only through their corners, where a lens model errs most.
        baseline_sigma_deg: The same for the direction of the baseline.
        match_sigma_px: How well features are located; residuals beyond three of it count little.
        independent_matches: Matches beyond this number add no certainty: neighbours share what the lens model leaves out.
        least_gain: Share by which the typical row error of unused matches must fall for the turn to be kept.
        least_sure: Where the gain is smaller, the turn about x alone may stay: it moves all rows by about the same and cannot spoil
            depth. It must help in each frame, found from the others, by so many standard deviations in all.
    """

    fov_deg: float = 80.0
    size_px: int = 800
    bad_from_px: float = 0.5
    turn_sigma_deg: tuple[float, float, float] = (1.0, 0.3, 1.0)
    baseline_sigma_deg: float = 1.0
    match_sigma_px: float = 0.4
    independent_matches: int = 200
    least_gain: float = 0.1
    least_sure: float = 3.0


@dataclass(frozen=True, eq=False)
class Refinement:
    """What became of a rig.

    Attributes:
        rig: The refined rig, or the given one where refining did not help.
        applied: True when the turn was kept.
        before: Check of the matches that were not used, with the given rig.
        after: The same with the refined rig, whether it was kept or not.
        turn_deg: (3,) turn of the right eye about x (pitch), y (yaw) and z (roll) of the rectified frame, in degrees.
    """

    rig: StereoRig
    applied: bool
    before: PairCheck
    after: PairCheck
    turn_deg: tuple[float, float, float]

    def __str__(self) -> str:
        """For a person, one line."""
        turn = ", ".join(f"{v:+.2f}" for v in self.turn_deg)
        return f"right eye turned by {turn} degrees ({'kept' if self.applied else 'not kept'}); before: {self.before}; after: {self.after}"


def refine_rig(rig: StereoRig, frames: Sequence[U8 | tuple[U8, U8]], *, settings: RefineSettings | None = None) -> Refinement:
    """Corrects a calibration that has drifted: a turn of the right eye, and the direction of the baseline.

    Rows that disagree tell of the turn about x and z anywhere, of the one about y by how the disagreement grows towards the corners;
    besides, nothing may lie beyond infinity. Half of the matches find the turn, the other half judges it. Where rows nearly agree,
    only the turn about x and z is found from them, or the one about x alone where no more than that surely helps; the one about y is
    just so large that the farthest matches no longer lie beyond infinity.

    Args:
        rig: The rig as calibrated.
        frames: A few frames of the footage, well apart in time; pairs for a rig of separate eyes.
        settings: How it is done.
    """
    settings = settings or RefineSettings()
    rectifier = Rectifier(rig, fov_deg=settings.fov_deg, size=settings.size_px)
    valid = tuple((mask * 255).astype(np.uint8) for mask in rectifier.valid)
    found = [match_pair(*rectifier(frame), masks=(valid[0], valid[1])) for frame in frames]
    left = np.concatenate([a for a, _ in found]) if found else np.empty((0, 2))
    right = np.concatenate([b for _, b in found]) if found else np.empty((0, 2))
    judged = np.arange(len(left)) % 2 == 1
    before = summarise(left[judged], right[judged])
    if not np.isfinite(before.vertical_median_px):
        return Refinement(rig, False, before, before, (0.0, 0.0, 0.0))
    focal_px = float(rectifier.K[0, 0])
    was = _row_error(left[judged], right[judged])
    bad = was > settings.bad_from_px
    rays = [_rays(xy[~judged], rectifier.view) for xy in (left, right)]

    def outcome(turn: F64, common: F64) -> tuple[PairCheck, float]:
        moved = [_pixels(_rays(xy[judged], rectifier.view) @ R, rectifier.view) for xy, R in ((left, common), (right, turn @ common))]
        return summarise(*moved), _row_error(*moved)

    freedom = settings if bad else _rows_alone(settings)
    turn, common = _rotations(_fit(rays[0], rays[1], focal_px, freedom), freedom)
    after, now = outcome(turn, common)
    applied = now < was * (1 - settings.least_gain)
    if not bad:
        common = np.eye(3)
        if not applied:
            moment = np.repeat(np.arange(len(found)), [len(a) for a, _ in found])
            applied = _surely_pitched(_rays(left, rectifier.view), _rays(right, rectifier.view), moment, settings.least_sure)
            turn = _pitch(*rays) if applied else np.eye(3)
        beyond_px = _beyond_infinity(left[~judged] - _pixels(rays[1] @ turn, rectifier.view))
        turn = turn @ Rotation.from_rotvec([0, beyond_px / focal_px, 0]).as_matrix()
        after, now = outcome(turn, common)
        applied = applied or (beyond_px > 0 and now < was * (1 + settings.least_gain))
    better = replace(rig, R_left=rig.R_left @ common, R_right=rig.R_right @ turn @ common) if applied else rig
    x, y, z = (float(v) for v in np.rad2deg(Rotation.from_matrix(turn).as_rotvec()))
    return Refinement(better, bool(applied), before, after, (x, y, z))


def _rows_alone(settings: RefineSettings) -> RefineSettings:
    """Settings under which only the turn about x and z is free."""
    x, _, z = settings.turn_sigma_deg
    return replace(settings, turn_sigma_deg=(x, _HELD_DEG, z), baseline_sigma_deg=_HELD_DEG)


def _pitch(rays_left: F64, rays_right: F64) -> F64:
    """Turn of the right eye about x alone, by what most rows have in common."""
    down_left, down_right = (np.arctan2(rays[:, 1], rays[:, 2]) for rays in (rays_left, rays_right))
    return Rotation.from_rotvec([np.median(down_left - down_right), 0, 0]).as_matrix()


def _surely_pitched(rays_left: F64, rays_right: F64, moment: NDArray[np.intp], least_sure: float) -> bool:
    """Whether the turn about x that the other moments show brings the rows of each moment together; of one moment, its halves.

    A lens model errs by place, so what is alike at all moments is worth taking out though places disagree about it.
    """
    part = moment if moment.max() > 0 else (rays_left[:, 0] > np.median(rays_left[:, 0])).astype(np.intp)
    gain = np.zeros(len(part))
    for left_out in np.unique(part):
        rest, here = part != left_out, part == left_out
        turned = rays_right[here] @ _pitch(rays_left[rest], rays_right[rest])
        rows = rays_left[here, 1] / rays_left[here, 2]
        gain[here] = np.abs(rows - rays_right[here, 1] / rays_right[here, 2]) - np.abs(rows - turned[:, 1] / turned[:, 2])
        if gain[here].sum() <= 0:
            return False
    return bool(gain.mean() * np.sqrt(len(gain)) > least_sure * gain.std())


def _row_error(left: F64, right: F64) -> float:
    return float(np.median(np.abs((left - right)[:, 1])))


def _beyond_infinity(shift: F64) -> float:
    """By how many pixels the farthest matches shift the wrong way, beyond what noise as large as that of the rows explains."""
    from_median = shift[:, 1] - np.median(shift[:, 1])
    noise = 1.4826 * np.median(np.abs(from_median))  # of a normal distribution
    sound = np.abs(from_median) < 4 * noise + 1e-9
    return float(max(0.0, -(np.percentile(shift[sound, 0], 5) + 1.645 * noise)))  # 5 % of it lie below -1.645


def _rotations(unknowns: NDArray, settings: RefineSettings) -> tuple[F64, F64]:
    """Turn of the right eye, and turn of both that brings the baseline onto x; each takes new rectified rays to old ones."""
    turn = Rotation.from_rotvec(np.deg2rad(settings.turn_sigma_deg) * unknowns[:3]).as_matrix()
    common = Rotation.from_rotvec(np.deg2rad(settings.baseline_sigma_deg) * np.array([0, *unknowns[3:]])).as_matrix()
    return turn, common


def _fit(rays_left: F64, rays_right: F64, focal_px: float, settings: RefineSettings) -> F64:
    """The five angles, in units of their prior's standard deviation, under a robust loss."""
    share = np.sqrt(min(1.0, settings.independent_matches / len(rays_left)))

    def cost(unknowns: NDArray) -> F64:
        turn, common = _rotations(unknowns, settings)
        a, b = rays_left @ common, rays_right @ turn @ common
        shift = focal_px * (a[:, :2] / a[:, 2:] - b[:, :2] / b[:, 2:]) / settings.match_sigma_px
        behind = np.minimum(shift[:, 0], 0)
        return np.concatenate([share * soft(shift[:, 1]), share * soft(behind), unknowns])

    return least_squares(cost, np.zeros(5)).x


def _rays(xy: NDArray, view: View) -> F64:
    uv = (xy - view.K[:2, 2]) @ np.linalg.inv(view.K[:2, :2]).T
    return np.concatenate([uv, np.ones_like(uv[:, :1])], -1)


def _pixels(rays: NDArray, view: View) -> F64:
    return rays[:, :2] / rays[:, 2:] @ view.K[:2, :2].T + view.K[:2, 2]
