"""How alike a view and another one are that is seen through a plane, compiled; and the plane of least cost."""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled

UNSEEN = 255
NEUTRAL = 60  # cost, in steps of a hundredth, of a plane at which no other view looks: neither a match nor a mismatch


@compiled()
def _warp(other, h, w, M, y, out):
    """Row y of the view, looked up in `other` (h x w, flat) through M (3, 3); 1e9 outside."""
    f = np.float32
    a0, a1, a2 = f(M[0, 0]), f(M[1, 0]), f(M[2, 0])
    b0, b1, b2 = f(M[0, 1] * (y + 0.5) + M[0, 2]), f(M[1, 1] * (y + 0.5) + M[1, 2]), f(M[2, 1] * (y + 0.5) + M[2, 2])
    right, bottom = f(w - 1) - f(1e-3), f(h - 1) - f(1e-3)
    for x in range(len(out)):
        at = f(x) + f(0.5)
        depth = a2 * at + b2
        inverse = f(1) / max(depth, f(1e-9))
        u = (a0 * at + b0) * inverse - f(0.5)
        v = (a1 * at + b1) * inverse - f(0.5)
        inside = (depth > f(1e-9)) & (u >= f(0)) & (v >= f(0)) & (u < right) & (v < bottom)
        # Looked up in any case, within the picture: without a branch the processor does eight at a time.
        u, v = min(max(u, f(0)), right), min(max(v, f(0)), bottom)
        left, top = np.int32(u), np.int32(v)
        r, d = u - f(left), v - f(top)
        i = np.uint64(np.uint32(top * w + left))
        j = i + np.uint64(w)
        p, q, s, t = other[i], other[i + np.uint64(1)], other[j], other[j + np.uint64(1)]
        upper, lower = p + r * (q - p), s + r * (t - s)
        out[x] = upper + d * (lower - upper) if inside else f(1e9)


@compiled(inline="always")
def _add(to, values, first, count):
    for x in range(count):
        to[x] += values[np.uint64(first) + np.uint64(x)]


@compiled()
def match_plane(grey, mean, variance, other, M, radius, noise, out):
    """Cost of each pixel against another view seen through a plane, in hundredths: 0 the same, 100 nothing in common, 255 not seen.

    Args:
        grey: (H, W) float32 about 0.
        mean: (H, W) float32 of the window around each pixel.
        variance: (H, W) float32 of it.
        other: (h, w) float32 about 0, 1e9 where it is not usable.
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
    per, noise = np.float32(1.0) / area, np.float32(noise)
    wide = np.zeros((4, w), np.float32)
    flat = other.reshape(-1)
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
        _warp(flat, np.int32(other.shape[0]), np.int32(other.shape[1]), M, y, line)
        g = grey[y]
        for x in range(w):
            ok = line[x] < np.float32(1e3)  # a hundred-thousandth of an unusable pixel's weight is enough to see it
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
        inner = w - 2 * radius
        for x in range(inner):
            wide[0, x], wide[1, x], wide[2, x], wide[3, x] = s[x], ss[x], sp[x], n[x]
        for i in range(1, size):
            # One loop a sum, each without branches, so that the processor does eight pixels at a time.
            _add(wide[0], s, i, inner)
            _add(wide[1], ss, i, inner)
            _add(wide[2], sp, i, inner)
            _add(wide[3], n, i, inner)
        for x in range(inner):
            mean_b = wide[0, x] * per
            covariance = wide[2, x] * per - m[x + radius] * mean_b
            other_variance = max(wide[1, x] * per - mean_b * mean_b, np.float32(0))
            like = covariance / np.sqrt((v[x + radius] + noise) * (other_variance + noise))
            cost = np.float32(100.5) * min(max(np.float32(1) - like, np.float32(0)), np.float32(1))
            result[x + radius] = np.uint8(cost if wide[3, x] > area - np.float32(0.5) else np.float32(255))
        for x in range(radius):
            result[x] = result[min(radius, w - 1)]
            result[w - 1 - x] = result[max(w - 1 - radius, 0)]


@compiled()
def best_half(costs, out):
    """Mean of the smaller half, at least one, of the costs (N, H, W) of the views that see a pixel."""
    count, h, w = costs.shape
    some, seen = np.empty((count, w), np.uint8), np.empty(w, np.uint8)
    total = np.empty(w, np.uint16)
    for y in range(h):
        seen[:] = 0
        total[:] = 0
        for i in range(count):
            for x in range(w):
                some[i, x] = costs[i, y, x]
                seen[x] += np.uint8(costs[i, y, x] != UNSEEN)
        # A bubble sort of whole rows: no branches, sixteen pixels at a time.
        for last in range(count - 1, 0, -1):
            for i in range(last):
                low, high = some[i], some[i + 1]
                for x in range(w):
                    a, b = low[x], high[x]
                    low[x] = min(a, b)
                    high[x] = max(a, b)
        for i in range((count + 1) // 2):
            row = some[i]
            for x in range(w):
                total[x] += np.uint16(row[x]) if np.uint8(2 * i) < seen[x] else np.uint16(0)
        for x in range(w):
            take = (np.uint16(seen[x]) + np.uint16(1)) // np.uint16(2)
            mean = np.float32(total[x]) / np.float32(max(take, np.uint16(1)))
            out[y, x] = np.uint8(mean) if seen[x] > 0 else np.uint8(NEUTRAL)


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
