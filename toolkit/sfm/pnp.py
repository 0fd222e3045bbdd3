"""Robust pose of one camera from known landmarks: the motion-only half of bundle adjustment."""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled
from toolkit.sfm.stereo_model import move_pose, pose_jacobian, predict, robust_cost, robust_weight, solve_positive


@compiled()
def pose_from_landmarks(R, t, X, uvd, information, prior, camera, scales, shape, iterations):  # pragma: no cover (compiled)
    """Pose that brings landmarks onto their measurements, by reweighted Gauss-Newton with a shrinking robust scale.

    Args:
        R: (3, 3) camera-from-world rotation to start from; left as they are.
        t: (3,) camera-from-world translation to start from; left as they are.
        X: (n, 4) homogeneous world points.
        uvd: (n, 3) measured x, y and disparity, in pixels.
        information: (n, 2) inverse standard deviation of a pixel coordinate and of the disparity, 1/px; 0 for no disparity.
        prior: (n,) weight of each landmark, 0..1: how likely it stands still.
        camera: (5,) fx, fy, cx, cy, focal length times baseline.
        scales: (S,) robust scales in standard deviations, large to small.
        shape: Shape of the loss, see `stereo_model`.
        iterations: Gauss-Newton steps per scale.

    Returns:
        R (3, 3), t (3,), H (6, 6) information of the pose, r2 (n,) squared whitened pixel residuals (inf behind the camera), cost.
    """
    R, t = R.copy(), t.copy()
    n = len(X)
    H, g = np.zeros((6, 6)), np.zeros(6)
    P, z, J = np.empty(3), np.empty(3), np.empty((3, 6))
    r2 = np.full(n, np.inf)
    cost = 0.0
    for level in range(len(scales)):
        c2 = scales[level] ** 2
        for iteration in range(iterations + 1):
            H[:] = 0
            g[:] = 0
            cost = 0.0
            for i in range(n):
                r2[i] = np.inf
                if not predict(R, t, X[i], camera, P, z):
                    cost += prior[i] * robust_cost(1e12, c2, shape)
                    continue
                su, sd = information[i, 0], information[i, 1]
                e0, e1, e2 = (z[0] - uvd[i, 0]) * su, (z[1] - uvd[i, 1]) * su, 0.0
                if sd > 0:
                    e2 = (z[2] - uvd[i, 2]) * sd
                r2[i] = e0 * e0 + e1 * e1
                wu = prior[i] * robust_weight(r2[i], c2, shape)
                wd = prior[i] * robust_weight(e2 * e2, c2, shape)
                cost += prior[i] * (robust_cost(r2[i], c2, shape) + robust_cost(e2 * e2, c2, shape))
                pose_jacobian(P, X[i, 3], camera, J)
                au, ad = wu * su * su, wd * sd * sd
                bu, bv, bd = wu * su * e0, wu * su * e1, wd * sd * e2
                for a in range(6):
                    g[a] += J[0, a] * bu + J[1, a] * bv + J[2, a] * bd
                    for b in range(a + 1):
                        H[a, b] += au * (J[0, a] * J[0, b] + J[1, a] * J[1, b]) + ad * J[2, a] * J[2, b]
            for a in range(6):
                for b in range(a):
                    H[b, a] = H[a, b]
            if iteration == iterations:  # the last round only measures
                break
            A = H.copy()
            for a in range(6):
                A[a, a] += 1e-9 * A[a, a] + 1e-12
            step = solve_positive(A, -g)
            move_pose(R, t, step)
            if np.abs(step).max() < 1e-9:
                break
    return R, t, H, r2, cost
