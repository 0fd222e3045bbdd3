"""Still points that their own tracks tell little about, moved along their rays to where dense depth around them says they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolkit.geometry.cameras import project
from toolkit.geometry.sampling import sample_nearest
from toolkit.lifting.depth_between import sigma_of_confidence
from toolkit.scene import Cameras, DepthVideo, Tracks2D, Tracks3D

ASKED = 5  # frames that each point is looked up in, spread over those that see it
SURE = 0.2  # share of its depth: a point that is surer is left where it is
MOVING = 0.5
LIKELY = 0.5  # chance of being within 10 %, below which a pixel's depth is only what its surroundings have, and moves no point


def fused_still(tracks_3d: Tracks3D, tracks_2d: Tracks2D, cameras: Cameras, depth: DepthVideo) -> Tracks3D:
    """Tracks whose unsure still points are a mixture of their own place and of dense depth, each weighted by how sure it is.

    Args:
        tracks_3d: N tracks of T frames with their sigma.
        tracks_2d: The same in pixels.
        cameras: T of them.
        depth: Of all frames, with the chance of an error under 10 % as its confidence.
    """
    if tracks_3d.sigma is None:
        return tracks_3d
    _, z = project(tracks_3d.xyz.astype(np.float64), cameras.K, cameras.T_wc)
    shift, said = np.zeros((ASKED, len(tracks_3d))), np.zeros((ASKED, len(tracks_3d)))
    seen = tracks_2d.visible & (z > 0)
    count = seen.sum(1)
    rank = np.cumsum(seen, 1)
    for k in range(ASKED):
        t = (rank >= np.maximum(1, np.ceil((k + 0.5) / ASKED * count))[:, None]).argmax(1)
        for frame in np.unique(t[count > 0]):
            rows = np.flatnonzero((t == frame) & (count > 0))
            there = sample_nearest(depth.depth[frame], tracks_2d.xy[rows, frame])
            sure = sample_nearest(depth.confidence[frame], tracks_2d.xy[rows, frame])
            with np.errstate(divide="ignore", invalid="ignore"):
                off = np.log(there / z[rows, frame])
            good = np.isfinite(off) & (sure >= LIKELY)
            shift[k, rows], said[k, rows] = np.where(good, off, 0), np.where(good, sure, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.nanmin(np.where(seen, tracks_3d.sigma / z, np.nan), axis=1, initial=np.inf, where=seen)
        weight = np.where(said > 0, sigma_of_confidence(said) ** -2.0, 0) / ASKED  # neighbours are wrong together
        w, mean = weight.sum(0), (weight * shift).sum(0) / weight.sum(0)
        share = w / (w + own**-2.0)
    moved = np.flatnonzero((tracks_3d.motion < MOVING) & (own > SURE) & np.isfinite(own) & (w > 0))
    xyz, sigma = tracks_3d.xyz.copy(), tracks_3d.sigma.copy()
    first = seen.argmax(1)
    for n in moved.tolist():
        centre = cameras.centres[first[n]]
        xyz[n] = centre + np.exp(share[n] * mean[n]) * (tracks_3d.xyz[n] - centre)
        sigma[n] = sigma[n] * np.sqrt(1 - share[n]) * np.exp(share[n] * mean[n])
    return replace(tracks_3d, xyz=xyz, sigma=sigma)
