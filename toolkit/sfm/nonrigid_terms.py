"""Normal equations of the search for deforming shapes: a banded system, neighbouring frames coupled."""

from __future__ import annotations

import numpy as np

from toolkit.compiling import compiled


@compiled()
def assemble(lower, inverse, R, rows, used, body, heavy, weight, between):  # pragma: no cover - compiled
    """Fills the lower band, one line per unknown: lower[i, d] couples the unknowns i and i + d.

    Args:
        lower: (T n, 2 n) zeros.
        inverse: (3, N, 3, N) inverse covariance, in the axes of the body.
        R: (T, 3, 3) camera from body.
        rows: (T, w) coordinate of the camera (axis N + point) that each of the first unknowns of a frame is.
        used: (T, w) False for padding, which is tied to zero.
        body: (T, k, 3N) how the other n - w unknowns of a frame move its points, in the axes of the body.
        heavy: (T, k, 3N) the same times the inverse.
        weight: (T,) of each frame's own block.
        between: Weight of the block with the next frame.
    """
    frames, width = rows.shape
    extra = body.shape[1]
    points = inverse.shape[1]
    n = width + extra
    line = np.empty((3, points))
    for t in range(frames):
        for u in range(n):
            i = t * n + u
            if u < width and not used[t, u]:
                lower[i, 0] = 1.0
                continue
            if u < width:
                axis, p = rows[t, u] // points, rows[t, u] % points
                for b in range(3):
                    for q in range(points):
                        line[b, q] = (
                            R[t, axis, 0] * inverse[0, p, b, q] + R[t, axis, 1] * inverse[1, p, b, q] + R[t, axis, 2] * inverse[2, p, b, q]
                        )
            else:
                for b in range(3):
                    for q in range(points):
                        line[b, q] = heavy[t, u - width, b * points + q]
            for s in range(t, min(t + 2, frames)):
                factor = weight[t] if s == t else between
                for v in range(u if s == t else 0, n):
                    if v < width:
                        if not used[s, v]:
                            continue
                        other, q = rows[s, v] // points, rows[s, v] % points
                        total = R[s, other, 0] * line[0, q] + R[s, other, 1] * line[1, q] + R[s, other, 2] * line[2, q]
                    else:
                        total = 0.0
                        for b in range(3):
                            for q in range(points):
                                total += line[b, q] * body[s, v - width, b * points + q]
                    lower[i, (s - t) * n + v - u] = factor * total
