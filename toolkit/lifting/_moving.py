"""The likeliest path of a moving point: measured positions against a path whose accelerations are as large across as along the view.

Depth from two eyes is a hundred times coarser than image position. How much a point accelerates shows in the image, and since motion
has no preferred direction, the same size is expected along the ray. That size is found per track by expectation-maximisation; given
it, the path is a smoothing spline in the world, solved as a banded least-squares problem with the depth errors of each sample.
"""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled
from toolkit.lifting._banded import factor, solve
from toolkit.lifting._observe import linearise
from toolkit.lifting._still import ROBUST_DEPTH, ROBUST_PIXEL

_BAND = 6  # second differences couple positions two frames apart, three coordinates each
_STRIDE = 4  # frames over which the first guess of the acceleration is measured
_PRIOR_COUNT = 3.0  # second differences that the first guess is worth
_BURST = 1.5  # accelerations come in bursts, which their mean understates; makes the told errors right on motion capture
_TRUST = 3.0  # ratio of depths within which a linearised inverse depth is believed
_LEAST = 2e-5  # least acceleration per frame^2, as a share of the distance: keeps the matrix regular


@compiled()
def _inverse_band(L, band, Z):
    """Fills Z[i, j] = element (i, i - j) of the inverse of a matrix given by its LDL' factors, within the band (Takahashi)."""
    T = len(L)
    for i in range(T - 1, -1, -1):
        high = min(T - 1, i + band)
        for j in range(high, i, -1):  # element (j, i)
            total = 0.0
            for m in range(i + 1, high + 1):
                total -= L[m, m - i] * (Z[j, j - m] if j >= m else Z[m, m - j])
            Z[j, j - i] = total
        total = 1 / L[i, 0]
        for m in range(i + 1, high + 1):
            total -= L[m, m - i] * Z[m, m - i]
        Z[i, 0] = total


@compiled()
def _depth(X, R_cw, centre):
    """Z-depth of a world point."""
    return R_cw[2, 0] * (X[0] - centre[0]) + R_cw[2, 1] * (X[1] - centre[1]) + R_cw[2, 2] * (X[2] - centre[2])


@compiled()
def _start(seen, known, centres, R_cw, first, last, half, X):
    """Fills X from the running median of inverse depth on each sample's ray; linear in time across gaps."""
    previous = -1
    window = np.empty(2 * half + 1)
    for t in range(first, last + 1):
        if not known[t]:
            continue
        count = 0
        for s in range(max(first, t - half), min(last, t + half) + 1):
            if known[s]:
                window[count] = seen[s, 2]
                count += 1
        z = 1 / np.median(window[:count])
        for a in range(3):
            X[t, a] = centres[t, a] + z * (R_cw[t, 0, a] * seen[t, 0] + R_cw[t, 1, a] * seen[t, 1] + R_cw[t, 2, a])
        if previous >= 0:
            for s in range(previous + 1, t):
                share = (s - previous) / (t - previous)
                for a in range(3):
                    X[s, a] = (1 - share) * X[previous, a] + share * X[t, a]
        previous = t


@compiled()
def _first_guess(X, known, centres, R_cw, pixel_sigma, pixel_scale, first, last):
    """Variance of the acceleration across the view, from second differences over a few frames; and of the velocity."""
    accelerations, n_a, speeds, n_v = 0.0, 0, 0.0, 0
    s = _STRIDE
    for t in range(first, last + 1):
        if not known[t]:
            continue
        noise = (_depth(X[t], R_cw[t], centres[t]) * pixel_sigma[t] * pixel_scale) ** 2
        if t - s >= first and t + s <= last and known[t - s] and known[t + s]:
            along, total = 0.0, 0.0
            for a in range(3):
                q = X[t + s, a] - 2 * X[t, a] + X[t - s, a]
                along += q * R_cw[t, 2, a]
                total += q * q
            accelerations += max(total - along**2, 0.0) / 2 - 6 * noise
            n_a += 1
        if t - s >= first and known[t - s]:
            along, total = 0.0, 0.0
            for a in range(3):
                q = X[t, a] - X[t - s, a]
                along += q * R_cw[t, 2, a]
                total += q * q
            speeds += max(total - along**2, 0.0) / 2 / s**2
            n_v += 1
    # Independent accelerations add up over a stride s to s (2 s^2 + 1) / 3 times their variance.
    return accelerations / max(n_a, 1) / (s * (2 * s * s + 1) / 3), speeds / max(n_v, 1), n_a, n_v


@compiled()
def smooth_paths(
    seen, known, sigma, pixel_sigma, R_cw, centres, pixel_scale, depth_scale, depth_slow, half, iterations, usual, X, variance
):
    """The likeliest path of each track.

    Args:
        seen: (N, T, 3) x/z, y/z, 1/z.
        known: (N, T) which samples count.
        sigma: (N, T) standard deviation of 1/z, to be multiplied by `depth_scale`.
        pixel_sigma: (N, T) standard deviation of x/z and y/z, to be multiplied by `pixel_scale`.
        R_cw: (T, 3, 3) camera-from-world rotations.
        centres: (T, 3) camera centres.
        pixel_scale: What the told image errors are multiplied by.
        depth_scale: What the told depth errors are multiplied by.
        depth_slow: Further factor, since errors of neighbouring frames are alike and average less.
        half: Half the window of the running median that starts the path, in frames.
        iterations: Steps of expectation-maximisation, each with one Gauss-Newton step.
        usual: Usual acceleration per frame^2 as a share of the distance, where a track is too short to tell.
        X: (N, T, 3) filled between the first and the last sample of each track, NaN elsewhere.
        variance: (N, T) filled with the trace of each position's covariance.
    """
    N, T = known.shape
    J, r = np.zeros((3, 3)), np.zeros(3)
    A, b, Z = np.zeros((3 * T, _BAND + 1)), np.zeros((3 * T, 1)), np.zeros((3 * T, _BAND + 1))
    S, start_depth = np.zeros((T, 3)), np.zeros(T)
    coefficient = np.array([1.0, -2.0, 1.0])
    for n in range(N):
        X[n] = np.nan
        variance[n] = np.nan
        first, last = -1, -1
        for t in range(T):
            if known[n, t]:
                first = t if first < 0 else first
                last = t
        if first < 0:
            continue
        m = last - first + 1
        P = X[n]
        _start(seen[n], known[n], centres, R_cw, first, last, half, P)
        S[:] = P
        for t in range(first, last + 1):
            start_depth[t] = _depth(P[t], R_cw[t], centres[t])
        distance = 0.0
        for a in range(3):
            distance += (P[first, a] - centres[first, a]) ** 2
        distance = np.sqrt(distance)
        guess, speed, n_a, n_v = _first_guess(P, known[n], centres, R_cw, pixel_sigma[n], pixel_scale, first, last)
        least = (_LEAST * distance) ** 2
        if n_a < 3:
            guess = (guess * n_a + (usual * distance) ** 2 * (3 - n_a)) / 3
        acceleration = max(guess, least)
        prior = acceleration
        speed = max(speed if n_v >= 2 else (0.01 * distance) ** 2, 25 * least)
        for iteration in range(iterations):
            A[: 3 * m] = 0.0
            b[: 3 * m] = 0.0
            for i in range(m):
                t = first + i
                if not known[n, t]:
                    continue
                depth = _depth(P[t], R_cw[t], centres[t])
                if not (start_depth[t] < _TRUST * depth and depth < _TRUST * start_depth[t]):
                    P[t] = S[t]  # 1/z is far from linear so far away: look at it from the start again
                linearise(R_cw[t], centres[t], P[t], seen[n, t], r, J)
                s_depth, s_pixel = sigma[n, t] * depth_scale, pixel_sigma[n, t] * pixel_scale
                w_depth = 1 / (1 + (r[2] / (ROBUST_DEPTH * s_depth)) ** 2) / (s_depth * depth_slow) ** 2
                w_pixel = 1 / (1 + (r[0] ** 2 + r[1] ** 2) / (2 * ROBUST_PIXEL * s_pixel) ** 2) / s_pixel**2
                for a in range(3):
                    r_a = w_pixel * (J[0, a] * r[0] + J[1, a] * r[1]) + w_depth * J[2, a] * r[2]
                    for c in range(3):
                        H = w_pixel * (J[0, a] * J[0, c] + J[1, a] * J[1, c]) + w_depth * J[2, a] * J[2, c]
                        r_a += H * P[t, c]
                        if c <= a:
                            A[3 * i + a, a - c] += H
                    b[3 * i + a, 0] += r_a
            for i in range(m - 2):
                for j in range(3):
                    for k in range(j + 1):
                        share = coefficient[j] * coefficient[k] / acceleration
                        for a in range(3):
                            A[3 * (i + j) + a, 3 * (j - k)] += share
            for i in range(m - 1):  # one velocity's worth of prior for the whole track; it matters to the shortest alone
                share = 1 / (speed * (m - 1))
                for a in range(3):
                    A[3 * i + a, 0] += share
                    A[3 * i + 3 + a, 0] += share
                    A[3 * i + 3 + a, 3] -= share
            factor(A[: 3 * m], _BAND)
            solve(A[: 3 * m], _BAND, b[: 3 * m])
            for i in range(m):
                for a in range(3):
                    P[first + i, a] = b[3 * i + a, 0]
            final = iteration == iterations - 1
            if not final and iteration < 2:
                continue  # the first steps only bring the path and the weights into place
            _inverse_band(A[: 3 * m], _BAND, Z[: 3 * m])
            if final:
                for i in range(m):
                    variance[n, first + i] = Z[3 * i, 0] + Z[3 * i + 1, 0] + Z[3 * i + 2, 0]
            elif m > 2:
                total = 0.0
                for i in range(m - 2):
                    for a in range(3):
                        q = P[first + i, a] - 2 * P[first + i + 1, a] + P[first + i + 2, a]
                        o, one, two = 3 * i + a, 3 * i + 3 + a, 3 * i + 6 + a
                        total += q * q + Z[o, 0] + 4 * Z[one, 0] + Z[two, 0] - 4 * Z[one, 3] - 4 * Z[two, 3] + 2 * Z[two, 6]
                acceleration = _BURST * max((total / 3 + _PRIOR_COUNT * prior) / (m - 2 + _PRIOR_COUNT), least)
