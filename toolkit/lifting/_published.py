"""The published objective of track optimisation (Stereo4D Eqn 5) in O(T): value, gradient, and its 100 Adam steps.

Per track with valid samples i, rays r_i from the camera centres and offsets d_i along them, p'_i = p_i + d_i r_i:
    static  = 100 / n * sum |p'_i - mean p'|^2 / k^2,  k the mean distance from the world's origin
    dynamic = 100 * sum over strides 1, 3, 5 of ((p'_{i+s} - 2 p'_i + p'_{i-s}) . r_i)^2, ends clamped to the clip
    regular = 0.1 * sum (1 / (d_i + rho_i) - 1 / rho_i)^2,  rho_i the distance from the camera
    total   = (1 - w) static + w dynamic + regular
The published code sums the static term over all pairs; the sum about the mean is the same number.
`corrected` measures k from the camera centres, so that the world's origin does not matter, and drops stencils that leave the clip.
"""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled

STRIDES = (1, 3, 5)
STATIC_WEIGHT = 100.0
DYNAMIC_WEIGHT = 100.0
REGULAR_WEIGHT = 0.1
_EPS = 1e-8
_K_FLOOR = 1e-5


@compiled()
def value_and_gradient(d, p, r, rho, valid, w, corrected, gradient, terms):
    """The objective of one track; fills (T,) `gradient` and (5,) `terms` = static, dynamic at strides 1, 3, 5, regular."""
    T = len(d)
    n = 0
    mean = np.zeros(3)
    distance = 0.0
    for i in range(T):
        gradient[i] = 0.0
        if not valid[i]:
            continue
        n += 1
        length = 0.0
        for a in range(3):
            q = p[i, a] + d[i] * r[i, a]
            mean[a] += q
            length += q * q
        distance += d[i] + rho[i] if corrected else np.sqrt(length)
    terms[:] = 0.0
    if n == 0:
        return 0.0
    mean /= n
    k = distance / (n + _EPS) + _K_FLOOR
    scatter = 0.0
    for i in range(T):
        if valid[i]:
            for a in range(3):
                scatter += (p[i, a] + d[i] * r[i, a] - mean[a]) ** 2
    terms[0] = STATIC_WEIGHT / n * scatter / k**2
    for i in range(T):
        if not valid[i]:
            continue
        along, toward, length = 0.0, 0.0, 0.0
        for a in range(3):
            q = p[i, a] + d[i] * r[i, a]
            along += (q - mean[a]) * r[i, a]
            toward += q * r[i, a]
            length += q * q
        dk = 1.0 / (n + _EPS)
        if not corrected:
            dk *= toward / max(np.sqrt(length), 1e-12)
        gradient[i] += (1 - w) * STATIC_WEIGHT / n * (2 * along / k**2 - 2 * scatter / k**3 * dk)
        inverse = 1 / (d[i] + rho[i] + _EPS)
        change = inverse - 1 / (rho[i] + _EPS)
        terms[4] += REGULAR_WEIGHT * change * change
        gradient[i] -= 2 * REGULAR_WEIGHT * change * inverse * inverse
    for j in range(3):
        s = STRIDES[j]
        for i in range(T):
            after, before = min(i + s, T - 1), max(i - s, 0)
            if corrected and (i + s >= T or i - s < 0):
                continue
            if not (valid[i] and valid[after] and valid[before]):
                continue
            q, turn_after, turn_before = 0.0, 0.0, 0.0
            for a in range(3):
                q += (p[after, a] + d[after] * r[after, a] - 2 * (p[i, a] + d[i] * r[i, a]) + p[before, a] + d[before] * r[before, a]) * r[
                    i, a
                ]
                turn_after += r[after, a] * r[i, a]
                turn_before += r[before, a] * r[i, a]
            terms[1 + j] += DYNAMIC_WEIGHT * q * q
            slope = 2 * w * DYNAMIC_WEIGHT * q
            gradient[after] += slope * turn_after
            gradient[before] += slope * turn_before
            gradient[i] -= 2 * slope
    return (1 - w) * terms[0] + w * (terms[1] + terms[2] + terms[3]) + terms[4]


@compiled()
def adam(p, r, rho, valid, w, steps, learning_rate, d):
    """Fills (N, T) `d` with the offsets after `steps` Adam steps from 0, as published: no schedule, no stop test."""
    N, T = valid.shape
    gradient, terms = np.zeros(T), np.zeros(5)
    first, second = np.zeros(T), np.zeros(T)
    for n in range(N):
        first[:] = 0.0
        second[:] = 0.0
        d[n] = 0.0
        for step in range(1, steps + 1):
            value_and_gradient(d[n], p[n], r[n], rho[n], valid[n], w[n], False, gradient, terms)
            for i in range(T):
                first[i] = 0.9 * first[i] + 0.1 * gradient[i]
                second[i] = 0.999 * second[i] + 0.001 * gradient[i] ** 2
                d[n, i] -= learning_rate * (first[i] / (1 - 0.9**step)) / (np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8)
