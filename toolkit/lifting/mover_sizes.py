"""Moving points placed by bodies of several sizes at once: nobody knows whether an arm is a body of its own or part of a person.

Where tracks are cut into bodies a little differently, two parts of one thing come to stand apart or together, as chance has it. The mean
over some cuts is steadier, and how much they differ tells how unsure it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toolkit.lifting.track_movers import Evidence, MoverOptions, Movers, Still, place_movers
from toolkit.scene import B


def place_by_sizes(
    uv: NDArray,
    seen: B,
    still: Still,
    options: MoverOptions,
    sizes: tuple[float, ...],
    *,
    evidence: tuple[Evidence, ...] = (),
    seed: int = 0,
) -> Movers:
    """Moving points at the mean of the logarithms of the depths that bodies of several sizes have.

    Args:
        uv: (T, M, 2) normalised coordinates of the moving tracks.
        seen: (T, M) which of them count.
        still: Cameras and still points.
        options: How; its own size counts, too, and its bodies are those of the result.
        sizes: Of bodies beside the usual one, each as a multiple of `options.apart`; none for the usual one alone.
        evidence: As for `place_movers`.
        seed: As for `place_movers`.

    Returns:
        Points on the same rays as with the usual size alone; `sigma` holds how much the sizes differ, too.
    """
    cuts = [replace(options, apart=size * options.apart) for size in sizes]
    base, *others = [place_movers(uv, seen, still, cut, evidence=evidence, seed=seed) for cut in (options, *cuts)]
    if not others:
        return base
    away = base.xyz - still.centres[:, None]
    depth = np.stack([np.einsum("tj,tmj->tm", still.R[:, :, 2], m.xyz - still.centres[:, None]) for m in (base, *others)])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(depth / depth[0])  # (S, T, M)
    known = np.isfinite(ratio)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, ratio, 0).sum(0) / count
    spread = np.sqrt(np.where(known, (ratio - mean) ** 2, 0).sum(0) / count).mean(0)
    return replace(base, xyz=still.centres[:, None] + away * np.exp(mean)[..., None], sigma=np.hypot(base.sigma, spread))
