"""Which tracks move: how far each strays from a still point beside the tracker's error, what its company does, what a network says."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toolkit.scene import F64
from toolkit.sfm.bundle import State
from toolkit.sfm.bundle_single import track_scales
from toolkit.sfm.track_company import Company, CompanyOptions
from toolkit.sfm.track_observed import Observed, bounded

LEAST_DECIDED = 4  # tracks of either kind that tell whether a network can be trusted
UNSURE = 0.05  # level of what moves just as likely as not
LEAST_WEIGHT = 1e-3  # of what surely moves, so that its still point stays on its rays


@dataclass(frozen=True)
class MotionOptions:
    """What is taken for motion.

    Attributes:
        company: Whose evidence counts for a track.
        usual_px: A track that strays so far from a still point moves as likely as not, ...
        usual_noise_px: ... where the tracker is off by so much on what stands still; ...
        adapting: ... where it is off by k times as much, at so many times k to this power.
        noise_range_px: No tracker is taken to be better or worse than this.
        quiet: Share of the picture that surely stands still, and tells what the tracker is off by.
        sharpness: How fast the chance of motion rises with the logarithm of straying.
        network_share: How much a network's word counts, beside how well a track fits a still point ...
        trusted: ... where its word on tracks that tell themselves whether they move is right by these chances: below the first it is not
            heard, above the second wholly.
        plain: A track that strays this many times as far as `usual_px` is no still point, whatever its company and a network say: where
            it would be one is anywhere.
        decided: Straying by this much more or less than `usual_px`, as a logarithm, tells itself.
        rounds: Cameras and motion are found in turns so many times, ...
        steps: ... each an adjustment of so many steps, ...
        least_px: ... in which a track's robust scale is at least so large.
    """

    company: CompanyOptions = field(default_factory=CompanyOptions)
    usual_px: float = 2.0
    usual_noise_px: float = 0.65
    adapting: float = 0.6
    noise_range_px: tuple[float, float] = (0.1, 1.0)
    quiet: float = 0.35
    sharpness: float = 2.7
    network_share: float = 0.5
    trusted: tuple[float, float] = (0.7, 0.9)
    plain: float = 2.0
    decided: float = 0.7
    rounds: int = 3
    steps: int = 8
    least_px: float = 1.0


@dataclass(frozen=True, eq=False)
class Motion:
    """What moves.

    Attributes:
        level: (N,) logarithm of a track's straying, all evidence counted, over what is as likely motion as not.
        chance: (N,) that it moves.
        alone: (N,) that chance, were it not for its company.
        noise_px: What the tracker is off by on what stands still.
        limit_px: Straying that is as likely motion as not.
        heard: How much the network's word counted.
    """

    level: F64
    chance: F64
    alone: F64
    noise_px: float
    limit_px: float
    heard: float


def straying(seen: Observed, state: State, least_px: float) -> F64:
    """(N,) robust straying of each track from its still point, in pixels; what few samples hide, as a point fits them, put back."""
    r2, scale = state.errors(seen.uv), np.empty(seen.uv.shape[1])
    track_scales(r2, seen.weight, least_px * seen.px, 8, scale)
    samples = 2.0 * (seen.weight > 0).sum(0)
    return scale / seen.px * np.sqrt(samples / np.maximum(samples - 3, 1))


def motion_of(
    seen: Observed,
    state: State,
    company: Company,
    area: F64,
    options: MotionOptions,
    *,
    believed: NDArray | None = None,
    leaning: NDArray | None = None,
) -> Motion:
    """Level and chance of motion of each track.

    Args:
        seen: Tracks.
        state: Their cameras and still points.
        company: Which of them go together.
        area: (N,) of the picture that each stands for; zero for those that are not to tell what the tracker is off by.
        options: What is taken for motion.
        believed: (N,) how far a network believes each to stray, in any unit; NaN where it was not asked.
        leaning: (N,) how much else speaks for a track's motion, as a logarithm of straying.
    """
    low, high = options.noise_range_px
    strays = straying(seen, state, low)
    noise = float(np.clip(_quantile(strays, area * ((seen.weight > 0).sum(0) > 3), options.quiet), low, high))
    limit = options.usual_px * (noise / options.usual_noise_px) ** options.adapting
    own = np.log(np.maximum(strays, low) / (limit if seen.slip is None else np.hypot(limit, seen.slip)))
    level, heard = own, 0.0
    if believed is not None:
        asked = np.isfinite(believed) & (believed > 0)
        alone = company.passed_on(own, options.company.rounds)
        word, heard = _word(alone, np.where(asked, believed, 1.0), asked, own, options)
        level = np.where(asked, own + options.network_share * heard * (word - own), own)
    alone = level
    level = company.passed_on(level, options.company.rounds)
    level = level if leaning is None else level + leaning
    level = np.where(own > np.log(options.plain), np.maximum(level, UNSURE), level)
    return Motion(level, _chance(level, options), _chance(alone, options), noise, float(limit), heard)


def _chance(level: F64, options: MotionOptions) -> F64:
    return np.asarray(1 / (1 + np.exp(-np.clip(options.sharpness * level, -50, 50))), np.float64)


def _word(alone: F64, believed: F64, asked: NDArray, own: F64, options: MotionOptions) -> tuple[F64, float]:
    """A network's levels on the scale of the tracks' own, and how much they are to be trusted."""
    word = np.log(np.maximum(believed, 1e-9))
    still, moves = asked & (alone < -options.decided), asked & (alone > options.decided)
    if not still.any():
        return own, 0.0
    word += np.median(own[still] - word[still])
    if min(still.sum(), moves.sum()) < LEAST_DECIDED:
        return word, 1.0
    right = float((word[moves][:, None] > word[still]).mean())
    least, most = options.trusted
    return word, float(np.clip((right - least) / (most - least), 0, 1))


def _quantile(values: F64, weight: NDArray, share: float) -> float:
    """Weighted quantile; that of all alike where nothing weighs."""
    weight = weight if weight.sum() > 0 else np.ones(len(values))
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weight[order])
    return float(values[order[min(int(np.searchsorted(total, share * total[-1])), len(order) - 1)]])


def told_apart(
    seen: Observed, state: State, company: Company, area: F64, options: MotionOptions, *, believed: NDArray | None = None
) -> tuple[State, Motion]:
    """Cameras and still points adjusted to what stands still, and what moves, found in turns: expectation and maximisation.

    A mover that strays little drags cameras along as long as it counts as much as what stands still.

    Args:
        seen: Tracks.
        state: Near the truth.
        company: Which tracks go together.
        area: As for `motion_of`.
        options: What is taken for motion.
        believed: As for `motion_of`.
    """
    motion = motion_of(seen, state, company, area, options, believed=believed)
    for _ in range(options.rounds):
        scale, _ = seen.scales(state, options.least_px)
        still = seen.weighted(1 - motion.chance + LEAST_WEIGHT)
        state = still.adjusted(bounded(seen, state), scale, steps=options.steps, tolerance=1e-6)
        motion = motion_of(seen, state, company, area, options, believed=believed)
    return state, motion
