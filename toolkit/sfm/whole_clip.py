"""The whole clip at once: keyframes and landmarks adjusted together against drift, then the frames between placed."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from toolkit.disk_arrays import large_take
from toolkit.scene import F64, I64
from toolkit.sfm.landmarks import fit_landmarks
from toolkit.sfm.observations import Observations
from toolkit.sfm.pnp import pose_from_landmarks
from toolkit.sfm.static import classify_tracks
from toolkit.sfm.stereo_bundle import adjust
from toolkit.sfm.stereo_model import CAUCHY, GEMAN_MCCLURE
from toolkit.sfm.window import Path


def noise_scale(path: Path, observations: Observations, camera: F64) -> F64:
    """(2,) by what the standard deviations of pixels and disparities must be multiplied to be true.

    Taken from the smaller residuals, the 30th percentile, so that moving things do not count.
    """
    r2 = fit_landmarks(
        observations.start,
        observations.frame,
        observations.uvd,
        observations.information,
        path.R,
        path.t,
        path.X.copy(),
        camera,
        2.5,
        CAUCHY,
        0,
    )
    pixel = r2[np.isfinite(r2[:, 0]), 0]
    disparity = r2[(observations.uvd[:, 2] > 0) & np.isfinite(r2[:, 1]), 1]
    scale = np.ones(2)
    if len(pixel) > 50:
        scale[0] = np.sqrt(np.quantile(pixel, 0.3) / 0.713)  # 30th percentile of chi^2 with two degrees of freedom
    if len(disparity) > 50:
        scale[1] = np.sqrt(np.quantile(disparity, 0.3) / 0.148)  # and with one
    return np.clip(scale, 0.5, 5.0)  # below half, errors of the model would rule that nobody sees in the noise


def choose_keyframes(path: Path, stride: int) -> I64:
    """Registered frames, about every `stride`, the first and the last among them."""
    registered = np.flatnonzero(path.registered)
    keep = [int(registered[0])]
    for f in registered[1:]:
        if f - keep[-1] >= stride:
            keep.append(int(f))
    if keep[-1] != registered[-1]:
        keep.append(int(registered[-1]))
    return np.array(keep, np.int64)


def adjust_whole(path: Path, observations: Observations, keyframes: I64, camera: F64) -> F64:
    """Adjusts all keyframes and landmarks, first with everything, then with what stands still; (T, 6) variances of the keyframes."""
    variance = np.full((len(path.R), 6), np.nan)
    if len(keyframes) < 2:
        variance[keyframes] = 0
        return variance
    number = np.full(len(path.R), -1, np.int64)
    number[keyframes] = np.arange(len(keyframes))
    rounds = ((3.0, CAUCHY, 12, False), (3.0, GEMAN_MCCLURE, 12, True))
    for scale, shape, iterations, last in rounds:
        part = observations.where((number[observations.frame] >= 0) & (path.still[observations.landmark] > 0), number)
        used = np.flatnonzero(np.diff(part.start) >= 2)
        part = _only(part, used)
        data = (part.start, part.frame, part.uvd, part.information, camera)
        result = adjust(
            path.R[keyframes],
            path.t[keyframes],
            path.X[used],
            *data,
            fixed=np.array([0]),
            scale=scale,
            shape=shape,
            iterations=iterations,
            covariance=last,
        )
        path.R[keyframes], path.t[keyframes], path.X[used] = result.R, result.t, result.X
        if result.covariance is not None:
            variance[keyframes] = np.maximum(np.diagonal(result.covariance, axis1=1, axis2=2), 0)
        # Judge every landmark again, those given up on the way too.
        whole = observations.where(number[observations.frame] >= 0, number)
        static, _ = classify_tracks(whole, path.R[keyframes], path.t[keyframes], camera, X=path.X)
        path.still[:] = np.where(static > 0.5, static, 0)
        path.known[:] = np.diff(whole.start) >= 2
    # A landmark counts between the keyframes as much as it counted in them.
    whole = observations.where(number[observations.frame] >= 0, number)
    r2 = fit_landmarks(
        whole.start, whole.frame, whole.uvd, whole.information, path.R[keyframes], path.t[keyframes], path.X, camera, 3.0, GEMAN_MCCLURE, 2
    )
    kept = np.bincount(whole.landmark, 1 / (1 + r2[:, 0] / 9.0) ** 2, minlength=len(path.X)) / np.maximum(np.diff(whole.start), 1)
    path.still *= kept
    _between(path, keyframes)
    return variance


def _only(observations: Observations, used: I64) -> Observations:
    """The measurements of some landmarks, numbered anew."""
    keep = np.zeros(len(observations.track), bool)
    keep[used] = True
    rows = keep[observations.landmark]
    start = np.concatenate([[0], np.cumsum(np.diff(observations.start)[used])]).astype(np.int64)
    uvd, information = (large_take(values, rows) for values in (observations.uvd, observations.information))
    return Observations(observations.track[used], start, observations.frame[rows], uvd, information)


def _between(path: Path, keyframes: I64) -> None:
    """Starts the frames between two keyframes on the way from one to the other."""
    for a, b in zip(keyframes[:-1], keyframes[1:], strict=True):
        turn = Rotation.from_matrix(path.R[b] @ path.R[a].T).as_rotvec()
        centre_a, centre_b = -path.R[a].T @ path.t[a], -path.R[b].T @ path.t[b]
        for f in range(a + 1, b):
            share = (f - a) / (b - a)
            path.R[f] = Rotation.from_rotvec(share * turn).as_matrix() @ path.R[a]
            path.t[f] = -path.R[f] @ (centre_a + share * (centre_b - centre_a))


def place_others(path: Path, observations: Observations, keyframes: I64, camera: F64, variance: F64, scale: float) -> F64:
    """Poses of the frames between keyframes from the adjusted landmarks; their variances too."""
    landmark = observations.landmark
    usable = path.known[landmark] & (path.still[landmark] > 0)
    for a in range(6):
        variance[:, a] = np.interp(np.arange(len(path.R)), keyframes, variance[keyframes, a])
    order = np.argsort(observations.frame, kind="stable")
    by_frame = np.split(order, np.searchsorted(observations.frame[order], np.arange(1, len(path.R))))
    is_key = np.isin(np.arange(len(path.R)), keyframes)
    for f in np.flatnonzero(path.registered):
        seen = by_frame[f][usable[by_frame[f]]]
        path.agreeing[f] = len(seen)
        if is_key[f] or len(seen) < 6:
            continue
        R, t, H, *_ = pose_from_landmarks(
            path.R[f],
            path.t[f],
            path.X[landmark[seen]],
            observations.uvd[seen],
            observations.information[seen],
            path.still[landmark[seen]],
            camera,
            np.array([4 * scale, scale]),
            GEMAN_MCCLURE,
            6,
        )
        path.R[f], path.t[f] = R, t
        variance[f] += np.maximum(np.diag(np.linalg.pinv(H)), 0)
    return variance


def first_is_world(path: Path) -> None:
    """Moves the world into the first registered camera."""
    first = int(np.flatnonzero(path.registered)[0])
    R0, t0 = path.R[first].copy(), path.t[first].copy()
    path.R[:] = path.R @ R0.T
    path.t[:] = path.t - path.R @ t0
