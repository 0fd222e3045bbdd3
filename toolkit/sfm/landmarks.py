"""Landmarks seen from known poses: each is fitted on its own, and what never fits does not stand still."""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled
from toolkit.sfm.stereo_model import landmark_jacobian, largest, predict, robust_weight, solve_positive


@compiled()
def fit_landmarks(start, frame, uvd, information, R, t, X, camera, scale, shape, iterations):  # pragma: no cover (compiled)
    """Fits every landmark to its measurements with the poses held fixed.

    Args:
        start: (L + 1,) first measurement of each landmark; its measurements are consecutive.
        frame: (M,) frame of each measurement.
        uvd: (M, 3) x, y, disparity in pixels.
        information: (M, 2) inverse standard deviations, 1/px; 0 leaves the part out.
        R: (T, 3, 3) camera-from-world rotation, finite where used.
        t: (T, 3) camera-from-world translation, finite where used.
        X: (L, 4) homogeneous points to start from, changed in place.
        camera: (5,) fx, fy, cx, cy, focal length times baseline.
        scale: Robust scale in standard deviations.
        shape: Shape of the loss, see `stereo_model`.
        iterations: Gauss-Newton steps.

    Returns:
        r2: (M, 2) squared whitened residuals of pixel and disparity; inf behind the camera.
    """
    c2 = scale * scale
    P, z, J = np.empty(3), np.empty(3), np.empty((3, 3))
    V, b = np.empty((3, 3)), np.empty(3)
    r2 = np.full((len(frame), 2), np.inf)
    for i in range(len(X)):
        damping = 1e-6
        for iteration in range(iterations + 1):
            V[:] = 0
            b[:] = 0
            fixed = largest(X[i])
            for o in range(start[i], start[i + 1]):
                f = frame[o]
                if not predict(R[f], t[f], X[i], camera, P, z):
                    r2[o, 0] = r2[o, 1] = np.inf
                    continue
                su, sd = information[o, 0], information[o, 1]
                e0, e1, e2 = (z[0] - uvd[o, 0]) * su, (z[1] - uvd[o, 1]) * su, 0.0
                if sd > 0:
                    e2 = (z[2] - uvd[o, 2]) * sd
                r2[o, 0], r2[o, 1] = e0 * e0 + e1 * e1, e2 * e2
                if iteration == iterations:
                    continue
                wu, wd = robust_weight(r2[o, 0], c2, shape), robust_weight(r2[o, 1], c2, shape)
                landmark_jacobian(R[f], t[f], P, X[i, 3], camera, fixed, J)
                for a in range(3):
                    b[a] -= wu * su * (J[0, a] * e0 + J[1, a] * e1) + wd * sd * J[2, a] * e2
                    for k in range(a + 1):
                        V[a, k] += wu * su * su * (J[0, a] * J[0, k] + J[1, a] * J[1, k]) + wd * sd * sd * J[2, a] * J[2, k]
            if iteration == iterations:
                break
            for a in range(3):
                V[a, a] *= 1 + damping
                for k in range(a):
                    V[k, a] = V[a, k]
            step = solve_positive(V, b)
            move_landmark(X[i], step, fixed)
    return r2


@compiled()
def move_landmark(X, step, fixed):  # pragma: no cover (compiled)
    """Moves a homogeneous point (4,), in place, along the components other than `fixed`, and scales it back to length 1."""
    column = 0
    for k in range(4):
        if k != fixed:
            X[k] += step[column]
            column += 1
    length = np.sqrt(X[0] ** 2 + X[1] ** 2 + X[2] ** 2 + X[3] ** 2)
    for k in range(4):
        X[k] /= length


def landmark_in_camera(xy, disparity_px, camera, R, t):
    """Homogeneous world points (n, 4) of pixels (n, 2) and disparities (n,) in one camera (R, t camera-from-world)."""
    fx, fy, cx, cy, focal_baseline = camera
    ray = np.stack([(xy[:, 0] - cx) / fx, (xy[:, 1] - cy) / fy, np.ones(len(xy))], axis=1)
    w = disparity_px / focal_baseline
    # World point at depth 1/w: R^T (ray / w - t), times w.
    X = np.concatenate([(ray - w[:, None] * t) @ R, w[:, None]], axis=1)
    return X / np.linalg.norm(X, axis=1, keepdims=True)
