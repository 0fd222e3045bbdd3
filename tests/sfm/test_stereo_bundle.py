import numpy as np
from scipy.spatial.transform import Rotation

from toolkit.sfm.landmarks import fit_landmarks, landmark_in_camera
from toolkit.sfm.pnp import pose_from_landmarks
from toolkit.sfm.stereo_bundle import adjust
from toolkit.sfm.stereo_model import CAUCHY, GEMAN_MCCLURE, landmark_jacobian, largest, move_pose, pose_jacobian, predict

CAMERA = np.array([440.0, 450.0, 255.0, 260.0, 440 * 0.063])


def _scene(seed=0, points=80, frames=6):
    rng = np.random.default_rng(seed)
    R = Rotation.from_rotvec(rng.normal(size=(frames, 3)) * 0.05).as_matrix()
    t = rng.normal(size=(frames, 3)) * 0.15
    R[0], t[0] = np.eye(3), 0
    X = np.concatenate([rng.uniform([-2, -2, 3], [2, 2, 9], (points, 3)), np.ones((points, 1))], 1)
    X[: points // 8, 3] = 0  # points at infinity
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    uvd = np.array([[_predicted(R[f], t[f], x) for f in range(frames)] for x in X]).reshape(-1, 3)
    start = np.arange(points + 1) * frames
    frame = np.tile(np.arange(frames), points)
    return R, t, X, start, frame, uvd, np.full((len(uvd), 2), 2.0)


def _predicted(R, t, X):
    P, z = np.empty(3), np.empty(3)
    assert predict(R, t, X, CAMERA, P, z)
    return z.copy()


def test_the_derivatives_are_those_of_the_prediction():
    R, t, X, *_ = _scene()
    for x in (X[0], X[-1]):  # one at infinity, one near
        P, z, J = np.empty(3), np.empty(3), np.empty((3, 6))
        predict(R[1], t[1], x, CAMERA, P, z)
        pose_jacobian(P, x[3], CAMERA, J)
        for k in range(6):
            step = np.zeros(6)
            step[k] = 1e-6
            moved_R, moved_t = R[1].copy(), t[1].copy()
            move_pose(moved_R, moved_t, step)
            np.testing.assert_allclose((_predicted(moved_R, moved_t, x) - z) / 1e-6, J[:, k], atol=2e-3, rtol=1e-4)
        fixed, Jl = largest(x), np.empty((3, 3))
        landmark_jacobian(R[1], t[1], P, x[3], CAMERA, fixed, Jl)
        for column, k in enumerate(k for k in range(4) if k != fixed):
            moved = x.copy()
            moved[k] += 1e-7
            np.testing.assert_allclose((_predicted(R[1], t[1], moved) - z) / 1e-7, Jl[:, column], atol=2e-2, rtol=1e-4)


def test_exact_measurements_bring_disturbed_poses_and_landmarks_back():
    R, t, X, start, frame, uvd, information = _scene()
    rng = np.random.default_rng(1)
    bad_R = Rotation.from_rotvec(rng.normal(size=(6, 3)) * 0.01).as_matrix() @ R
    bad_R[0] = R[0]
    bad_t = t + rng.normal(size=t.shape) * 0.03 * (np.arange(6) > 0)[:, None]
    bad_X = X + rng.normal(size=X.shape) * 0.003
    result = adjust(bad_R, bad_t, bad_X, start, frame, uvd, information, CAMERA, fixed=np.array([0]), iterations=60, tolerance=1e-14)
    np.testing.assert_allclose(result.R, R, atol=1e-6)
    np.testing.assert_allclose(result.t, t, atol=1e-5)


def test_fixed_poses_stay():
    R, t, X, start, frame, uvd, information = _scene()
    result = adjust(R, t, X, start, frame, uvd + 0.3, information, CAMERA, fixed=np.array([0, 3]), covariance=True)
    np.testing.assert_array_equal(result.R[[0, 3]], R[[0, 3]])
    assert result.covariance is not None
    assert (result.covariance[[0, 3]] == 0).all()
    assert (np.diagonal(result.covariance[1]) > 0).all()


def test_the_covariance_is_that_of_repeated_trials():
    R, t, X, start, frame, uvd, information = _scene()
    rng = np.random.default_rng(2)
    centres, told = [], None
    for _ in range(60):
        noisy = uvd + rng.normal(size=uvd.shape) * 0.5
        result = adjust(R, t, X, start, frame, noisy, information, CAMERA, fixed=np.array([0]), scale=1e3, covariance=told is None)
        told = result.covariance if told is None else told
        centres.append(result.t[3])
    assert told is not None
    np.testing.assert_allclose(np.std(centres, axis=0), np.sqrt(np.diagonal(told[3])[3:]), rtol=0.35)


def test_a_pose_is_found_among_forty_percent_of_outliers():
    R, t, X, start, frame, uvd, information = _scene(points=200)
    rng = np.random.default_rng(3)
    seen = uvd[frame == 2].copy()
    seen[rng.permutation(200)[:80]] += rng.uniform(-60, 60, (80, 3))
    found = pose_from_landmarks(
        np.eye(3), np.zeros(3), X, seen, information[frame == 2], np.ones(200), CAMERA, np.array([30.0, 10.0, 3.0]), GEMAN_MCCLURE, 10
    )
    np.testing.assert_allclose(found[0], R[2], atol=1e-4)
    np.testing.assert_allclose(found[1], t[2], atol=1e-3)


def test_landmarks_are_fitted_to_known_poses():
    R, t, X, start, frame, uvd, information = _scene()
    first = frame == 0
    guess = landmark_in_camera(uvd[first, :2], uvd[first, 2] + 0.3, CAMERA, R[0], t[0])
    r2 = fit_landmarks(start, frame, uvd, information, R, t, guess, CAMERA, 3.0, CAUCHY, 20)
    assert np.median(r2) < 1e-6
    np.testing.assert_allclose(np.abs((guess * X).sum(1)), 1, atol=1e-6)
