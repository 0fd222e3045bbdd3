"""How alike a view and another one are that is seen through a plane, compiled; and the plane of least cost."""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled

UNSEEN = 255
NEUTRAL = 60  # cost, in steps of a hundredth, of a plane at which no other view looks: neither a match nor a mismatch
FLOOR = 1e-6


@compiled(fastmath=True)
def _warp(other, M, y, out):
    """Row y of the view, looked up in `other` through M (3, 3); NaN outside or where a pixel is NaN."""
    h, w = other.shape
    a0, b0, c0 = M[0, 0], M[0, 1] * (y + 0.5) + M[0, 2], np.float64(w - 1)
    a1, b1, c1 = M[1, 0], M[1, 1] * (y + 0.5) + M[1, 2], np.float64(h - 1)
    a2, b2 = M[2, 0], M[2, 1] * (y + 0.5) + M[2, 2]
    for x in range(len(out)):
        at = x + 0.5
        depth = a2 * at + b2
        inverse = 1.0 / depth if depth > 1e-9 else 0.0
        u = (a0 * at + b0) * inverse - 0.5
        v = (a1 * at + b1) * inverse - 0.5
        if depth > 1e-9 and u >= 0 and v >= 0 and u < c0 and v < c1:
            left, top = np.uint64(u), np.uint64(v)
            r, d = np.float32(u - left), np.float32(v - top)
            upper, lower = other[top], other[top + np.uint64(1)]
            first = upper[left] + r * (upper[left + np.uint64(1)] - upper[left])
            second = lower[left] + r * (lower[left + np.uint64(1)] - lower[left])
            out[x] = first + d * (second - first)
        else:
            out[x] = 1e9


@compiled()
def match_plane(grey, mean, variance, other, M, radius, noise, out):
    """Cost of each pixel against another view seen through a plane, in hundredths: 0 the same, 100 nothing in common, 255 not seen.

    Args:
        grey: (H, W) float32.
        mean: (H, W) float32 of the window around each pixel.
        variance: (H, W) float32 of it.
        other: (h, w) float32 with NaN where it is not usable.
        M: (3, 3) from homogeneous pixels of the view to those of the other.
        radius: Half width of the window.
        noise: Variance that is added to both windows': what is no more than noise correlates with nothing.
        out: (H, W) uint8, written.
    """
    h, w = grey.shape
    size = 2 * radius + 1
    rows = np.empty((size, w), np.float32)
    products = np.empty((size, w), np.float32)
    good = np.empty((size, w), np.float32)
    s, ss, sp, n = np.zeros(w, np.float32), np.zeros(w, np.float32), np.zeros(w, np.float32), np.zeros(w, np.float32)
    area = np.float32(size * size)
    per = np.float32(1.0) / area
    for step in range(h + 2 * radius):
        y = min(max(step - radius, 0), h - 1)
        slot = step % size
        line, product, fine = rows[slot], products[slot], good[slot]
        if step >= size:
            for x in range(w):
                s[x] -= line[x]
                ss[x] -= line[x] * line[x]
                sp[x] -= product[x]
                n[x] -= fine[x]
        _warp(other, M, y, line)
        g = grey[y]
        for x in range(w):
            # NaN compares false
            ok = line[x] < np.float32(1e8)
            value = line[x] if ok else np.float32(0)
            fine[x] = np.float32(1) if ok else np.float32(0)
            line[x] = value
            product[x] = value * g[x]
        for x in range(w):
            s[x] += line[x]
            ss[x] += line[x] * line[x]
            sp[x] += product[x]
            n[x] += fine[x]
        if step < 2 * radius:
            continue
        row = step - 2 * radius
        result, m, v = out[row], mean[row], variance[row]
        for x in range(radius, w - radius):
            sum_b, sum_bb, sum_ab, count = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for i in range(size):
                at = x - radius + i
                sum_b += s[at]
                sum_bb += ss[at]
                sum_ab += sp[at]
                count += n[at]
            mean_b = sum_b * per
            covariance = sum_ab * per - m[x] * mean_b
            other_variance = max(sum_bb * per - mean_b * mean_b, np.float32(0))
            like = covariance / np.sqrt((v[x] + noise) * (other_variance + noise))
            cost = np.float32(100) * min(max(np.float32(1) - like, np.float32(0)), np.float32(1))
            result[x] = np.uint8(cost + np.float32(0.5)) if count > area - np.float32(0.5) else np.uint8(255)
        for x in range(radius):
            result[x] = result[min(radius, w - 1)]
            result[w - 1 - x] = result[max(w - 1 - radius, 0)]


@compiled()
def best_half(costs, out):
    """Mean of the smaller half, at least one, of the costs (N, H, W) of the views that see a pixel."""
    count, h, w = costs.shape
    some = np.empty(count, np.int32)
    for y in range(h):
        for x in range(w):
            n = 0
            for i in range(count):
                cost = np.int32(costs[i, y, x])
                if cost != UNSEEN:
                    at = n
                    while at > 0 and some[at - 1] > cost:
                        some[at] = some[at - 1]
                        at -= 1
                    some[at] = cost
                    n += 1
            if n == 0:
                out[y, x] = NEUTRAL
                continue
            take = (n + 1) // 2
            total = 0
            for i in range(take):
                total += some[i]
            out[y, x] = total // take


@compiled()
def planes_last(swept, stored):
    """(H, W, stored) uint8 of (K, H, W), 255 from K on."""
    count, h, w = swept.shape
    out = np.full((h, w, stored), np.uint8(255))
    for y in range(h):
        for first in range(0, w, 32):
            last = min(first + 32, w)
            for k in range(count):
                for x in range(first, last):
                    out[y, x, k] = swept[k, y, x]
    return out


@compiled()
def best_label(total, count):
    """Label of least cost with the fraction of a parabola through its neighbours, its margin over labels elsewhere, its cost."""
    h, w = total.shape[:2]
    label, margin, lowest = np.empty((h, w), np.float32), np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    for y in range(h):
        for x in range(w):
            t = total[y, x]
            k = 0
            best = t[0]
            for j in range(1, count):
                if t[j] < best:
                    best, k = t[j], j
            second = np.int16(32000)
            for j in range(count):
                if (j < k - 1 or j > k + 1) and t[j] < second:
                    second = t[j]
            offset = np.float32(0)
            if 0 < k < count - 1:
                bend = np.float32(t[k - 1]) + np.float32(t[k + 1]) - 2 * np.float32(best)
                if bend > 0:
                    offset = (np.float32(t[k - 1]) - np.float32(t[k + 1])) / (2 * bend)
            label[y, x] = k + offset
            margin[y, x] = np.float32(second) - np.float32(best)
            lowest[y, x] = best
    return label, margin, lowest
