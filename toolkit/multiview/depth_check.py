"""Whether the depth of several views fits their cameras: what two views show must be as far from the second as its own depth says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from toolkit.geometry.cameras import project, unproject
from toolkit.geometry.sampling import inside, pixel_centres, sample_nearest
from toolkit.scene import F32, F64, Cameras, MultiViewVideo, Video


@dataclass(frozen=True)
class DepthCheckOptions:
    """What counts as a fit.

    Attributes:
        near: Depths that differ by less than this share agree; what one view hides from another never does.
        samples: Pixels of a view that are compared.
        least: Of these that tell anything.
        good: Fit of depth that is about right, of views that overlap; less is told.
        surer: How many times better something else must fit to be blamed.
        facing_deg: Views that look into directions no farther apart see the same surfaces.
    """

    near: float = 0.05
    samples: int = 2000
    least: int = 100
    good: float = 0.1
    surer: float = 1.5
    facing_deg: float = 60.0


def fit_of(clip: MultiViewVideo, t: int, options: DepthCheckOptions | None = None) -> float:
    """How well depth and pictures of all pairs of views agree, 0 to 1.

    The share of what both views have in their pictures that is as far from the one as from the other, times the correlation of its grey
    levels there: round squares and far hills look as far away from everywhere, but not alike.

    Args:
        clip: Views with depth.
        t: In which frame.
        options: What counts.
    """
    options = options or DepthCheckOptions()
    assert clip.depth_m is not None
    seen, here, there = 0, [], []
    for a, b in permutations(range(len(clip.views)), 2):
        one, two = clip.cameras[a], clip.cameras[b]
        if not (one.registered[t] and two.registered[t]):
            continue
        xy = _some_pixels(clip.views[a].size, options.samples)
        z = np.asarray(sample_nearest(clip.depth_m[a][t], xy), np.float64)
        known = np.flatnonzero(z > 0)
        xy, z = xy[known], z[known]
        other, far = project(unproject(xy, z, one.K[t], one.T_wc[t]), two.K[t], two.T_wc[t])
        good = inside(other, clip.views[b].size) & (far > 0)
        ratio = sample_nearest(clip.depth_m[b][t], other[good]) / far[good]
        near = np.abs(ratio - 1) < options.near
        seen += int(np.isfinite(ratio).sum())
        here.append(sample_nearest(clip.views[a].frames[t], xy[good][near]).mean(-1))
        there.append(sample_nearest(clip.views[b].frames[t], other[good][near]).mean(-1))
    grey = np.stack([np.concatenate(here), np.concatenate(there)]) if here else np.zeros((2, 0))
    if grey.shape[1] < options.least or (grey.std(1) < 1.0).any():
        return 0.0
    return max(float(np.asarray(np.corrcoef(grey))[0, 1]), 0.0) * grey.shape[1] / seen


def check_depth(clip: MultiViewVideo, options: DepthCheckOptions | None = None) -> tuple[float, list[str]]:
    """How well the depth fits in the middle frame (`fit_of`; NaN where there is none), and sentences for a person where it does not.

    Args:
        clip: The views.
        options: What counts as a fit.
    """
    options = options or DepthCheckOptions()
    if clip.depth_m is None:
        return float("nan"), []
    moment = _moment(clip, len(clip.views[0]) // 2)
    given = fit_of(moment, 0, options)
    tried = {
        "in a unit a thousand times smaller than the calibration's, such as millimetres beside metres (depth_scale)": _scaled(moment, 1e-3),
        "in a unit a thousand times larger than the calibration's, such as metres beside millimetres (depth_scale)": _scaled(moment, 1e3),
        "the length of the rays, not the distance along the camera's axis (z-depth)": _along_axis(moment),
    }
    fits = {why: fit_of(other, 0, options) for why, other in tried.items()}
    best = max(fits, key=lambda why: fits[why])
    if fits[best] > max(options.surer * given, options.good):
        return given, [f"The depth seems to be {best}: it fits the cameras by {100 * given:.0f} %, so read by {100 * fits[best]:.0f} %."]
    axes = np.array([camera.T_wc[0, :3, 2] for camera in moment.cameras if camera.registered[0]])
    facing = (axes @ axes.T - 2 * np.eye(len(axes))).max(initial=-1.0) > np.cos(np.deg2rad(options.facing_deg))
    if given < options.good and facing:
        return given, [
            f"The depth fits cameras and pictures by {100 * given:.0f} % alone: is it z-depth, of these views, in the calibration's unit?"
        ]
    return given, []


def _some_pixels(size: tuple[int, int], count: int) -> F64:
    step = max(1, round(np.sqrt(size[0] * size[1] / count)))
    return pixel_centres(size)[step // 2 :: step, step // 2 :: step].reshape(-1, 2)


def _moment(clip: MultiViewVideo, t: int) -> MultiViewVideo:
    """One frame of a clip."""
    assert clip.depth_m is not None
    views = tuple(Video(view.frames[t : t + 1], view.times_s[t : t + 1]) for view in clip.views)
    cameras = tuple(Cameras(c.K[t : t + 1], c.T_wc[t : t + 1], c.size[t : t + 1]) for c in clip.cameras)
    return MultiViewVideo(views, cameras, tuple(depth[t : t + 1] for depth in clip.depth_m))


def _scaled(clip: MultiViewVideo, scale: float) -> MultiViewVideo:
    assert clip.depth_m is not None
    return replace(clip, depth_m=tuple((scale * depth).astype(np.float32) for depth in clip.depth_m))


def _along_axis(clip: MultiViewVideo) -> MultiViewVideo:
    """Lengths of rays as z-depth."""
    assert clip.depth_m is not None
    out: list[F32] = []
    for depth, camera, view in zip(clip.depth_m, clip.cameras, clip.views, strict=True):
        K = camera.K[0]
        slope = (pixel_centres(view.size) - K[:2, 2]) / K[[0, 1], [0, 1]]
        out.append((depth / np.sqrt(1 + (slope**2).sum(-1))).astype(np.float32))
    return replace(clip, depth_m=tuple(out))
