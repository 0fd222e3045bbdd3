"""From checked tracks to a scene: cameras and still points, what moves and where, how sure each is; or what can't be known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.poses import from_rotation, invert, transform
from toolkit.geometry.sampling import sample_nearest
from toolkit.lifting.mover_joining import JoiningOptions, joined_movers
from toolkit.lifting.mover_sizes import place_by_sizes
from toolkit.lifting.track_guess import on_a_sphere
from toolkit.lifting.track_movers import Evidence, MoverOptions, Movers, Still
from toolkit.lifting.track_network import drawn_to_network
from toolkit.methods.tracksto4d_finetuning import finetuned
from toolkit.methods.tracksto4d_intake import LEAST_SEEN, Given, network_of, read_network
from toolkit.methods.tracksto4d_report import Findings, describe
from toolkit.progress import Listener, reporter
from toolkit.scene import F64, U8, B, Cameras, DepthVideo, PointCloud, Scene, Tracks3D
from toolkit.sfm.bundle import State
from toolkit.sfm.depth_scale import log_linear
from toolkit.sfm.spaced_clip import SpacingOptions, solve_spaced
from toolkit.sfm.track_clip import ClipOptions, Solved
from toolkit.sfm.track_company import company_of
from toolkit.sfm.track_doubt import depth_doubt
from toolkit.sfm.track_hypotheses import track_area
from toolkit.sfm.track_motion import motion_of
from toolkit.sfm.track_parallax import Parallax, focal_sigma, parallax_of, point_sigmas
from toolkit.sfm.track_sharpening import SharpeningOptions, sharpened

GREY = 128  # without pictures nobody knows a point's colour
UNSURE_CHANCE = 0.2  # of motion: a track that surely stands still has a smaller one
BEYOND = 3.0  # times as far as nearly all that surely stands still
BEYOND_CHANCE = 0.51  # of motion, of an unsure track that would stand still so far away, or goes with a body that moves
WIDEST_LOG = -1.2  # of the focal length over that of a usual camera: no flat picture spans 125 degrees
LEAST_POSE = 6  # still points that a frame's camera stands on


@dataclass(frozen=True)
class SolvingOptions:
    """How tracks are explained.

    Attributes:
        clip: Cameras and still points.
        spacing: Which frames they are found from.
        movers: How what moves is placed.
        sure: Still points whose error is a larger share of their depth are left out of the cloud.
        network_sigma: How sure a network's depth of what moves is at best, as a logarithm; its error on what stands still comes on top.
        alike: Correlation of the errors of such evidence and of the bodies' places, which have heard it once; measured on 144 generated
            scenes.
        network_spread: Where its depths of still points are off by more, as a logarithm, it sees a world that it has not learned, and its
            word on how far away things are is not heard.
        map_sigma: And that of a depth map.
        sharpening: Of the last adjustment; None for none.
        joining: Of tracks that pass for still and go with a body that moves; None for none.
        body_sizes: Bodies of so many times the usual size are tried, too, and what moves is placed at the mean.
    """

    clip: ClipOptions = field(default_factory=ClipOptions)
    spacing: SpacingOptions = field(default_factory=SpacingOptions)
    movers: MoverOptions = field(default_factory=MoverOptions)
    sure: float = 0.25
    network_sigma: float = 0.15
    alike: float = 0.65
    network_spread: float = 0.2
    map_sigma: float = 0.1
    sharpening: SharpeningOptions | None = None
    joining: JoiningOptions | None = None
    body_sizes: tuple[float, ...] = ()


def scene_of(
    given: Given,
    options: SolvingOptions,
    *,
    weights: Path | None,
    depth: DepthVideo | None,
    rgb: U8 | None,
    facts: dict[str, Any],
    seed: int,
    listener: Listener,
    finetune_steps: int = 0,
) -> Scene:
    """The scene that tracks show.

    Args:
        given: Tracks and lens.
        options: How.
        weights: Of a network, or None.
        depth: Depth of each frame, of any scale, as evidence for what moves; or None.
        rgb: (N, 3) colours of the tracks; None for grey.
        facts: Go into the report.
        seed: Of everything random.
        listener: Told the progress.
        finetune_steps: Steps that the network learns from these very tracks first.
    """
    seen = given.observed
    model = None if weights is None else read_network(weights)
    if model is not None and finetune_steps:
        report = reporter(listener, "network", "Fine-tuning the network on this video")
        window, overlap = options.clip.window, options.clip.overlap
        model, told = finetuned(model, given, finetune_steps, window=window, overlap=overlap, report=report)
        facts = {**facts, "finetuning": told}
    report = reporter(listener, "cameras", "Finding the cameras from the tracks")
    network = None if model is None else network_of(model, given)
    clip = options.clip if network is None else replace(options.clip, tracks=min(options.clip.tracks, 256))
    solved = solve_spaced(seen, clip, options.spacing, network=network, seed=seed, report=report)
    if seen.free_focal and solved.state.log_focal < WIDEST_LOG:  # it ran away, as it does where tracks say nothing of it
        seen = replace(seen, free_focal=False)
        given = replace(given, observed=seen)
        solved = solve_spaced(seen, clip, options.spacing, network=network, seed=seed, report=report)
    if not solved.spread < options.network_spread:
        solved = replace(solved, believed=None)
    report = reporter(listener, "movers", "Placing what moves")
    report(0, 3)
    area = _area(given, solved)
    company = company_of(seen.uv, seen.weight > 0, options.clip.motion.company)
    motion = motion_of(seen, solved.state, company, area, options.clip.motion, believed=solved.stray, leaning=solved.leaning)
    if options.sharpening is not None:
        solved = sharpened(seen, solved, motion.chance, options.clip.hypotheses.growth.least_px, options.sharpening)
    beyond = _beyond(given, solved, np.maximum(motion.chance, motion.alone))
    if options.joining is not None:
        by = options.movers
        beyond |= joined_movers(seen, solved.state, motion.chance, apart=by.apart, motion_weight=by.motion_weight, options=options.joining)
    motion = replace(motion, chance=np.where(beyond, np.maximum(motion.chance, BEYOND_CHANCE), motion.chance))
    moves = motion.chance > 0.5
    report(1, 3)
    parallax = parallax_of(seen, solved.state, solved.scale, area * ~moves)
    known = seen.weight.sum(0) > 0
    cameras, log_focal = _cameras(given, solved, parallax, known & ~moves)
    placed = bool(cameras.registered.any())
    if placed and not parallax.known:
        xyz, sigma = on_a_sphere(seen.uv, seen.weight > 0, parallax.R, moves, options.movers)
        movers = None
    else:
        xyz, sigma, movers = _points(given, solved, placed, moves, known, options, depth, seed)
    report(2, 3)
    into = invert(cameras.T_wc[int(np.argmax(cameras.registered))]) if placed else np.eye(4)
    xyz = transform(into, xyz)
    cameras = replace(cameras, T_wc=into @ cameras.T_wc)
    colours = np.full((len(given.tracks), 3), GREY, np.uint8) if rgb is None else rgb
    still = known & ~moves & np.isfinite(xyz).all((1, 2))
    reach = np.linalg.norm(xyz[:, 0] - np.nanmean(cameras.centres, axis=0), axis=-1) if placed else np.zeros(len(still))
    cloud = still & (sigma[:, 0] < options.sure * reach) & (solved.scale < 3 * seen.px)
    level = np.where(known, motion.chance, 0).astype(np.float32)
    focal = None if given.focal_known else _focal_sigma(given, solved, parallax)
    doubt = depth_doubt(seen.weighted((~moves).astype(float)), solved.state, solved.scale) if parallax.known else float("nan")
    findings = Findings(given, solved, parallax, motion, moves & known, movers, cameras, log_focal, focal, doubt, weights is not None)
    report(3, 3)
    return Scene(
        cameras=cameras,
        tracks_2d=given.tracks,
        tracks_3d=Tracks3D(xyz.astype(np.float32), given.seen, colours, level, sigma.astype(np.float32)),
        points=PointCloud(xyz[cloud, 0].astype(np.float32), colours[cloud]),
        unit="relative",
        method="tracksto4d",
        report=describe(findings, facts),
    )


def _area(given: Given, solved: Solved) -> F64:
    """(N,) area of the picture that each of the adjusted tracks stands for; zero for the others, of which there may be too many."""
    rows = np.flatnonzero(solved.adjusted)
    area = np.zeros(len(solved.scale))
    area[rows] = track_area(given.observed.of(rows))
    return area


def _beyond(given: Given, solved: Solved, chance: F64) -> B:
    """(N,) tracks that may move, and would stand still only far beyond everything: there a mover's way looks like none."""
    seen = given.observed.weight > 0
    depth = np.ma.median(np.ma.masked_where(~seen, solved.state.depth), axis=0).filled(np.nan)
    sure = seen.any(0) & (chance < UNSURE_CHANCE) & (depth > 0)
    if not sure.any():
        return np.zeros(len(chance), bool)
    with np.errstate(invalid="ignore"):
        return (chance >= UNSURE_CHANCE) & (depth > BEYOND * np.quantile(depth[sure], 0.95))


def _cameras(given: Given, solved: Solved, parallax: Parallax, still: B) -> tuple[Cameras, float]:
    """Cameras of all frames that enough still points speak for; without parallax those that only turn."""
    R, c = (solved.state.R, solved.state.c) if parallax.known else (parallax.R, np.zeros_like(solved.state.c))
    T_wc = from_rotation(R, c)
    T_wc[(given.observed.weight[:, still] > 0).sum(1) < LEAST_POSE] = np.nan
    log_focal = solved.state.log_focal if parallax.known else 0.0
    K = given.K.copy()
    K[[0, 1], [0, 1]] *= np.exp(log_focal)
    return Cameras.from_poses(K, T_wc, given.size), log_focal


def _points(
    given: Given, solved: Solved, placed: bool, moves: B, known: B, options: SolvingOptions, depth: DepthVideo | None, seed: int
) -> tuple[F64, F64, Movers | None]:
    """(N, T, 3) points, (N, T) how sure, in the world of the state; unknown without cameras."""
    count, frames = given.seen.shape
    xyz, sigma = np.full((count, frames, 3), np.nan), np.full((count, frames), np.nan)
    if not placed:
        return xyz, sigma, None
    seen, state = given.observed, solved.state
    still = np.flatnonzero(known & ~moves)
    xyz[still] = state.X[still, None]
    error = solved.scale if seen.slip is None else np.hypot(solved.scale, seen.slip * seen.px)
    sigma[still] = point_sigmas(seen.of(still), replace(state, X=state.X[still]), error[still])[:, None]
    rows = np.flatnonzero(known & moves & ((seen.weight > 0).sum(0) >= LEAST_SEEN))
    if not len(rows):
        return xyz, sigma, None
    uv = seen.uv / state.factor
    told = still[solved.scale[still] < 3 * seen.px]
    around = Still(state.X[told], uv[:, told], seen.weight[:, told] > 0, state.R, state.c)
    evidence = _evidence(given, solved, rows, told, options, depth)
    moving = seen.weight[:, rows] > 0
    movers = place_by_sizes(uv[:, rows], moving, around, options.movers, options.body_sizes, evidence=evidence, seed=seed)
    for told_depth in evidence:
        log_depth, sure = told_depth.log_depth, told_depth.sigma
        movers = drawn_to_network(movers, state.c, state.R, uv[:, rows], np.exp(log_depth), sure, alike=options.alike)
    xyz[rows] = movers.xyz.swapaxes(0, 1)
    far = np.linalg.norm(movers.xyz - state.c[:, None], axis=-1)
    sigma[rows] = (far * movers.sigma).T
    return xyz, sigma, movers


def _network_sigma(solved: Solved, options: SolvingOptions) -> float:
    """How sure a network's depth of what moves is, as a logarithm."""
    return float(np.hypot(options.network_sigma, solved.spread))


def _evidence(
    given: Given, solved: Solved, rows: NDArray, still: NDArray, options: SolvingOptions, depth: DepthVideo | None
) -> tuple[Evidence, ...]:
    """What a network and depth maps say of the depth of what moves, on the scale of the still points."""
    found = []
    if solved.believed is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(Evidence(np.log(solved.believed[:, rows]), _network_sigma(solved, options)))
    if depth is not None:
        read = np.stack([sample_nearest(depth.depth[t], given.tracks.xy[:, t]) for t in range(len(depth))])
        read = np.where(given.seen.T, read, np.nan)
        both = np.concatenate([still, rows])
        known = np.isfinite(read[:, both]) & (np.arange(len(both)) < len(still))
        fitted = log_linear(np.nan_to_num(read[:, both]), solved.state.depth[:, both], known)
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(Evidence(np.log(fitted[:, len(still) :]), options.map_sigma))
    return tuple(found)


def _focal_sigma(given: Given, solved: Solved, parallax: Parallax) -> float:
    """How sure the found focal length is; as sure as before where there is no parallax."""
    prior = given.observed.beliefs.focal_sigma
    if not parallax.known or not given.observed.free_focal:
        return prior
    rows = np.flatnonzero(solved.adjusted & (solved.scale < 3 * given.observed.px))
    if len(rows) < 8 or len(given.observed.uv) > 320:
        return prior
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), 300)).astype(int)]
    state = solved.state
    return focal_sigma(given.observed.of(rows), State(state.R, state.c, state.X[rows], state.log_focal), solved.scale[rows])
