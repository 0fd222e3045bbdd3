"""Self-calibration of a fisheye stereo pair: lens, turn and direction of the baseline from what both eyes see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from toolkit.errors import UserError
from toolkit.geometry.image_circle import ImageCircle, detect_image_circle
from toolkit.geometry.poses import from_rotation, rotation_angle_deg
from toolkit.geometry.projections import Fisheye
from toolkit.geometry.rig import Layout, StereoRig, rig_from_extrinsics
from toolkit.scene import F64, U8
from toolkit.stereo.pair_check import match_pair


@dataclass(frozen=True)
class FisheyePrior:
    """What is believed of a fisheye rig before its pictures are seen: the matches alone leave some of it open.

    Attributes:
        half_angle_deg: Angle from the axis to the rim of the image circle; lenses for VR180 see 184 to 200 degrees.
        half_angle_sigma_deg: Its standard deviation; give a small one when the lens is known.
        k1_sigma: Standard deviation of k1 about the equidistant model; stereographic lenses have +0.083, equisolid ones -0.042.
        k2_sigma: Standard deviation of k2. Narrower ones press what the lens really does at its rim into the half angle.
        centre_sigma: Standard deviation of the lens's optical centre about that of the image circle, as a share of the circle's radius.
        rim_sigma: Standard deviation of the difference between both eyes in that respect, as a share of the radius. A wider
            one fits raw pairs better and tells less of the turn about y, which is what depth hangs on.
        baseline_sigma_deg: Standard deviation of the baseline's direction about the left camera's x axis.
        farthest_sigma_deg: Parallax of the farthest things: 0.063 m seen from 15 m.
        match_sigma_px: How well features are located at the matching size; residuals beyond three of it count little.
        independent_matches: Matches beyond this number add no certainty: neighbours share what the lens model leaves out.
        matching_diameter_px: The circle's diameter after reduction for matching; more finds no better matches, only slower.
    """

    half_angle_deg: float = 96.0
    half_angle_sigma_deg: float = 3.0
    k1_sigma: float = 0.03
    k2_sigma: float = 0.01
    centre_sigma: float = 0.005
    rim_sigma: float = 0.005
    baseline_sigma_deg: float = 5.0
    farthest_sigma_deg: float = 0.25
    match_sigma_px: float = 0.5
    independent_matches: int = 25
    matching_diameter_px: int = 1600


@dataclass(frozen=True, eq=False)
class FisheyeCalibration:
    """A rig found from pictures alone, and how far it can be trusted.

    Attributes:
        rig: The rig, ready for `rectify`.
        residual_median_px: Median distance of a match from its epipolar line, in pixels of the given images.
        residual_mad_px: Median distance of the signed residuals from their median.
        matches: Features found in both eyes.
        inliers: Those that fit: residual under three times the expected error.
        half_angle_deg: Angle from the axis to the rim of the image circle.
        half_angle_sigma_deg: Its standard deviation; close to the prior's when the pictures do not tell it.
        turn_deg: Angle between both cameras.
    """

    rig: StereoRig
    residual_median_px: float
    residual_mad_px: float
    matches: int
    inliers: int
    half_angle_deg: float
    half_angle_sigma_deg: float
    turn_deg: float

    def __str__(self) -> str:
        """For a person, one line."""
        rows = f"rows agree to {self.residual_median_px:.2f} px (median of {self.inliers} of {self.matches} matches)"
        return (
            f"{rows}, lens {2 * self.half_angle_deg:.0f} +- {2 * self.half_angle_sigma_deg:.0f} degrees, eyes turned by {self.turn_deg:.1f}"
        )


def calibrate_fisheye_pair(
    left: U8 | Sequence[U8],
    right: U8 | Sequence[U8],
    *,
    baseline_m: float = 0.063,
    layout: Layout = "separate",
    swapped: bool = False,
    prior: FisheyePrior | None = None,
) -> FisheyeCalibration:
    """The rig of two circular fisheye images without any calibration.

    One lens model (focal length, k1, k2) serves both eyes, each has an optical centre of its own; these, the turn of the right eye and the
    direction of the baseline minimise the epipolar error of SIFT matches under a robust loss and the given prior.

    Args:
        left: (H, W, 3) uint8 image of the left eye, or several moments.
        right: The same moments in the right eye.
        baseline_m: Distance between the eyes, in metres: pictures alone do not tell it.
        layout: How the frames of the footage hold both eyes; kept in the rig.
        swapped: Whether the frames' first half is the right eye; kept in the rig.
        prior: What is believed beforehand.

    Raises:
        UserError: no image circle to be seen, or too few matches.
    """
    prior = prior or FisheyePrior()
    lefts, rights = _as_list(left), _as_list(right)
    circles = [_circle_of_all(images) for images in (lefts, rights)]
    xy = _matches(lefts, rights, circles, prior)
    if len(xy[0]) < 30:
        raise UserError(f"Only {len(xy[0])} features match between both eyes, but a self-calibration needs 30; give a calibration instead.")
    shape = lefts[0].shape[1], lefts[0].shape[0]
    scale = 2 * circles[0].radius_px / prior.matching_diameter_px
    sigma_px = prior.match_sigma_px * max(scale, 1.0)
    problem = _Problem(xy, circles, shape, prior, sigma_px)
    solution = problem.solve()
    lenses, R, t = problem.unpack(solution.x)
    residual_px = problem.epipolar_px(solution.x)
    inlier = np.abs(residual_px) < 3 * sigma_px
    covariance = np.linalg.inv(solution.jac.T @ solution.jac)
    rig = rig_from_extrinsics(lenses[0], lenses[1], from_rotation(R, t * baseline_m))
    rig = StereoRig(rig.left, rig.right, rig.R_left, rig.R_right, baseline_m, layout, swapped)
    return FisheyeCalibration(
        rig,
        float(np.median(np.abs(residual_px[inlier]))),
        float(np.median(np.abs(residual_px - np.median(residual_px)))),
        len(residual_px),
        int(inlier.sum()),
        lenses[0].half_angle_deg,
        float(np.sqrt(covariance[0, 0]) * prior.half_angle_sigma_deg),
        float(rotation_angle_deg(R)),
    )


class _Problem:
    """The unknowns, in units of their prior's standard deviation (the turn in radians), and what they cost.

    They are: half angle, k1, k2, common shift of both centres (2), opposite shift (2), turn (3), direction of the baseline (2).
    """

    def __init__(
        self, xy: tuple[F64, F64], circles: list[ImageCircle], size: tuple[int, int], prior: FisheyePrior, sigma_px: float
    ) -> None:
        self.xy, self.circles, self.size, self.prior, self.sigma_px = xy, circles, size, prior, sigma_px
        self.radius = 0.5 * (circles[0].radius_px + circles[1].radius_px)

    def unpack(self, unknowns: NDArray) -> tuple[tuple[Fisheye, Fisheye], F64, F64]:
        """Both lenses, the rotation from the right to the left camera and the unit baseline in the left camera's axes."""
        p = self.prior
        half = np.deg2rad(np.clip(p.half_angle_deg + p.half_angle_sigma_deg * unknowns[0], 40, 150))
        k1, k2 = np.array([p.k1_sigma, p.k2_sigma]) * unknowns[1:3]
        focal = self.radius / (half * (1 + k1 * half**2 + k2 * half**4))
        lenses = []
        for side, circle in zip((-1, 1), self.circles, strict=True):
            moved = self.radius * (p.centre_sigma * unknowns[3:5] + side * p.rim_sigma * unknowns[5:7])
            x, y = np.array(circle.centre) + moved
            K = np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]])
            lenses.append(Fisheye(K, (k1, k2, 0.0, 0.0), self.size, float(np.rad2deg(half))))
        tilt_y, tilt_z = np.deg2rad(p.baseline_sigma_deg) * unknowns[10:12]
        t = Rotation.from_rotvec([0, tilt_y, tilt_z]).apply([1.0, 0, 0])
        return (lenses[0], lenses[1]), Rotation.from_rotvec(unknowns[7:10]).as_matrix(), t

    def rays(self, unknowns: NDArray) -> tuple[F64, F64, F64, F64]:
        lenses, R, t = self.unpack(unknowns)
        # Matches near the rim may leave the circle while the lens is sought: their rays are those of the rim.
        d_left, d_right = (_rays_to_the_rim(lens, xy) for lens, xy in zip(lenses, self.xy, strict=True))
        return d_left, d_right @ R.T, t, np.array(lenses[0].K[0, 0])

    def epipolar_px(self, unknowns: NDArray) -> F64:
        d_left, d_right, t, focal = self.rays(unknowns)
        return focal * epipolar_angle(d_left, d_right, t)

    def solve(self):  # noqa: ANN201
        """Least squares with a soft loss on matches and plain squares on the prior, started from the rotation that matches best."""
        start = np.zeros(12)
        d_left, d_right, _, focal = self.rays(start)
        start[7:10] = _robust_rotation(d_left, d_right, limit=10 * self.sigma_px / float(focal))

        share = np.sqrt(min(1.0, self.prior.independent_matches / len(d_left)))

        def cost(unknowns: NDArray) -> F64:
            d_left, d_right, t, focal = self.rays(unknowns)
            parallax = parallax_angle(d_left, d_right, t)
            missed = focal * epipolar_angle(d_left, d_right, t)
            behind = focal * np.minimum(parallax, 0)  # nothing lies beyond infinity
            farthest = np.percentile(parallax, 5) / np.deg2rad(self.prior.farthest_sigma_deg)
            believed = np.concatenate([unknowns[:7], unknowns[10:], [farthest]])
            seen = share * np.concatenate([soft(missed / self.sigma_px), soft(behind / self.sigma_px)])
            return np.concatenate([seen, believed])

        return least_squares(cost, start, x_scale=np.r_[np.ones(7), np.full(3, 0.02), np.ones(2)], max_nfev=60)


def epipolar_angle(d_left: NDArray, d_right: NDArray, t: NDArray) -> F64:
    """Signed angle (radians, (P,)) by which two rays (P, 3) miss the same plane through the baseline `t` (Sampson's first order)."""
    normal_left, normal_right = np.cross(t, d_left), np.cross(t, d_right)
    missed = np.einsum("pc,pc->p", d_left, normal_right)
    spread = np.einsum("pc,pc->p", normal_left, normal_left) + np.einsum("pc,pc->p", normal_right, normal_right)
    return np.sqrt(2) * missed / np.sqrt(np.maximum(spread, 1e-12))


def parallax_angle(d_left: NDArray, d_right: NDArray, t: NDArray) -> F64:
    """Angle (radians, (P,)) at which the rays (P, 3) of two eyes meet: 0 for far points, negative where they part instead of meeting."""
    from_t = [np.arctan2(np.linalg.norm(np.cross(t, d), axis=1), d @ t) for d in (d_left, d_right)]
    return from_t[1] - from_t[0]


def soft(z: NDArray) -> F64:
    """Residuals whose squares grow like Cauchy's loss beyond three standard deviations."""
    return np.sign(z) * 3 * np.sqrt(np.log1p((z / 3) ** 2))


def _rays_to_the_rim(lens: Fisheye, xy: NDArray) -> F64:
    centre = lens.K[:2, 2]
    rim = np.deg2rad(lens.half_angle_deg)
    k1, k2, *_ = lens.distortion
    longest = 0.999 * lens.K[0, 0] * rim * (1 + k1 * rim**2 + k2 * rim**4)
    away = xy - centre
    radius = np.hypot(away[:, 0], away[:, 1])[:, None]
    rays = lens.rays(centre + away * np.minimum(1, longest / np.maximum(radius, 1e-9)))
    return np.where(np.isfinite(rays), rays, [0.0, 0, 1])


def _robust_rotation(d_left: NDArray, d_right: NDArray, *, limit: float, tries: int = 300, seed: int = 0) -> F64:
    """Rotation vector that brings most rays of the right eye onto those of the left one: far things do not shift."""
    rng = np.random.default_rng(seed)
    best, most = Rotation.identity(), -1
    for _ in range(tries):
        i = rng.choice(len(d_left), 2, replace=False)
        candidate = Rotation.align_vectors(d_left[i], d_right[i])[0]
        near = np.linalg.norm(d_left - candidate.apply(d_right), axis=1) < limit
        if near.sum() > most:
            most, best = int(near.sum()), candidate
    near = np.linalg.norm(d_left - best.apply(d_right), axis=1) < limit
    return (Rotation.align_vectors(d_left[near], d_right[near])[0] if near.sum() >= 3 else best).as_rotvec()


def _matches(lefts: list[U8], rights: list[U8], circles: list[ImageCircle], prior: FisheyePrior) -> tuple[F64, F64]:
    reduce = max(1.0, 2 * circles[0].radius_px / prior.matching_diameter_px)
    found = []
    for pair in zip(lefts, rights, strict=True):
        small = [cv2.resize(image, None, fx=1 / reduce, fy=1 / reduce, interpolation=cv2.INTER_AREA) for image in pair]
        scales = [np.array(image.shape[1::-1]) / s.shape[1::-1] for image, s in zip(pair, small, strict=True)]
        masks = [_disc(s.shape, circle, 1 / scale) for s, circle, scale in zip(small, circles, scales, strict=True)]
        a, b = match_pair(small[0], small[1], masks=(masks[0], masks[1]))  # type: ignore[arg-type]
        found.append((a * scales[0], b * scales[1]))
    return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])


def _disc(shape: tuple[int, ...], circle: ImageCircle, scale: NDArray) -> U8:
    mask = np.zeros(shape[:2], np.uint8)
    centre = tuple(int(v) for v in np.round(np.array(circle.centre) * scale))
    cv2.circle(mask, centre, int(0.96 * circle.radius_px * scale[0]), 255, -1)  # features on the rim itself belong to the lens
    return mask


def _circle_of_all(images: list[U8]) -> ImageCircle:
    """The circle of the brightest values seen over all moments: a dark frame hides its rim."""
    return detect_image_circle(np.max(images, axis=0) if len(images) > 1 else images[0])


def _as_list(images: U8 | Sequence[U8]) -> list[U8]:
    return [images] if isinstance(images, np.ndarray) and images.ndim == 3 else list(images)
