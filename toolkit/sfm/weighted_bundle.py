"""Bundle adjustment in which every observation has a weight of its own (COLMAP's takes all for equally sure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from toolkit.scene import F64
from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.weighted_equations import Equations
from toolkit.sfm.weighted_problem import Freedom, Problem

if TYPE_CHECKING:
    import pycolmap

_UNDAMPED = 1e-12  # no damping to speak of, but the equations of a point without any depth stay solvable


@dataclass(frozen=True)
class WeightedOptions:
    """How the weighted adjustment goes.

    Attributes:
        cauchy_sigmas: Residuals beyond so many standard deviations hardly count; Cauchy's loss then loses 5 % against least squares.
        farthest_sigmas: Observations further off are dropped.
        steps: Most steps.
        tolerance: Smallest relative gain of a step that is worth another one.
    """

    cauchy_sigmas: float = 2.385
    farthest_sigmas: float = 4.0
    steps: int = 20
    tolerance: float = 1e-5


@dataclass(frozen=True, eq=False)
class Solved:
    """Result of a weighted adjustment.

    Attributes:
        scale: Robust standard deviation of the residuals over what was expected: 1 where the expected ones are true.
        pose_covariance: By image number (6, 6), rotation then translation of camera-from-world; none for the two cameras that were held.
        dropped: Observations that were dropped.
    """

    scale: float
    pose_covariance: dict[int, F64]
    dropped: int


def adjust(model: pycolmap.Reconstruction, sigmas: Mapping[int, F64], free: Freedom, options: WeightedOptions) -> Solved:
    """Refines a converged model in place with the weights of its observations: Gauss-Newton with damping, points eliminated.

    Residuals over their standard deviations go through Cauchy's loss; those far off are dropped, and the rest is adjusted once more.

    Args:
        model: Refined without weights already; outliers are left.
        sigmas: By image number, (K,) standard deviation per axis of its features, in pixels.
        free: What is refined.
        options: How.
    """
    problem = Problem(model, sigmas, free)
    scale = _solve(problem, options)
    dropped = _drop(model, problem, scale, options)
    problem = Problem(model, sigmas, free)
    scale = _solve(problem, options)
    _store(model, problem)
    return Solved(scale, _covariance(problem, scale, options), dropped)


def _robust_scale(residuals: F64, problem: Problem) -> float:
    """Standard deviation per axis of residuals, by their median length; they are smaller than errors, as what is refined follows them."""
    length = np.linalg.norm(residuals, axis=1)
    length = length[np.isfinite(length)]
    if len(length) == 0:
        return 1.0
    fitted = 3 * len(problem.points) + (6 * len(problem.images) if problem.free.poses else 0)
    return max(1e-6, float(np.median(length)) / 1.1774 / max(0.3, 1 - fitted / (2 * len(length))) ** 0.5)


def _cost(residuals: F64, c: float) -> float:
    r2 = np.where(np.isfinite(residuals), residuals, 1e6) ** 2
    return float(c * c * np.log1p(r2.sum(axis=1) / (c * c)).sum())


def _solve(problem: Problem, options: WeightedOptions) -> float:
    """Steps until nothing is gained; the robust scale is taken anew at each."""
    damping = 1e-6
    scale = 1.0
    for _ in range(options.steps):
        residuals, local = problem.project()
        scale = _robust_scale(residuals, problem)
        c = options.cauchy_sigmas * scale
        before = _cost(residuals, c)
        gain = 0.0
        equations = Equations(problem, residuals, local, c)
        for _ in range(8):
            step = equations.step(damping)
            kept = problem.R, problem.t, problem.X, problem.lens
            problem.R, problem.t, problem.X, problem.lens = problem.moved(*step)
            gain = before - _cost(problem.project()[0], c)
            if gain > 0:
                damping = max(1e-9, damping / 5)
                break
            problem.R, problem.t, problem.X, problem.lens = kept
            damping *= 10
        if gain <= options.tolerance * before:
            break
    return scale


def _drop(model: pycolmap.Reconstruction, problem: Problem, scale: float, options: WeightedOptions) -> int:
    """Drops observations that are too far off for how sure they are, with the points that fewer than two photos then see."""
    _store(model, problem)
    residuals, _ = problem.project()
    length = np.linalg.norm(residuals, axis=1)
    far = ~(length <= options.farthest_sigmas * scale)
    for m in np.flatnonzero(far).tolist():
        image = model.image(problem.images[problem.image[m]])
        if image.points2D[problem.index[m]].has_point3D():  # its point is not gone yet
            model.delete_observation(problem.images[problem.image[m]], int(problem.index[m]))
    return int(far.sum())


def _store(model: pycolmap.Reconstruction, problem: Problem) -> None:
    colmap = load_pycolmap()
    for n, image in enumerate(problem.images):
        pose = colmap.Rigid3d(np.column_stack([problem.R[n], problem.t[n]]))
        model.image(image).frame.set_cam_from_world(model.image(image).camera_id, pose)  # type: ignore[union-attr]
    for n, point in enumerate(problem.points):
        if model.exists_point3D(point):
            model.point3D(point).xyz = problem.X[n]
    for number, params in problem.lens.items():
        model.camera(number).params = params.tolist()


def _covariance(problem: Problem, scale: float, options: WeightedOptions) -> dict[int, F64]:
    if not problem.free.poses:
        return {}
    residuals, local = problem.project()
    S, _, _ = Equations(problem, residuals, local, options.cauchy_sigmas * scale).reduced(_UNDAMPED)
    held = problem.held
    kept = np.setdiff1d(np.arange(len(S)), held)
    try:
        inverse = np.full_like(S, np.nan)
        inverse[np.ix_(kept, kept)] = cho_solve(cho_factor(S[np.ix_(kept, kept)]), np.eye(len(kept)))
    except np.linalg.LinAlgError:  # a camera that nothing holds: nobody knows how sure any is
        return {}
    blocks = {image: scale**2 * inverse[6 * n : 6 * n + 6, 6 * n : 6 * n + 6] for n, image in enumerate(problem.images)}
    return {image: block for image, block in blocks.items() if np.isfinite(block).all()}
