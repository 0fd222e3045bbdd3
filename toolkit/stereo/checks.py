"""The published pipeline's checks of stereo flow: both ways, vertical, and edges of depth (Stereo4D, Sections 3 and 4).

They work on flow fields left -> right and right -> left, as a learned matcher gives them, and on depth with NaN for unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.geometry.sampling import pixel_centres, remap
from toolkit.scene import F32, B


@dataclass(frozen=True)
class FlowChecks:
    """Limits of the published pipeline.

    Attributes:
        both_ways_px: A pixel is occluded where there and back again ends further away.
        vertical_px: A match whose rows differ by more is wrong: the pair is rectified.
        edge: Relative change of depth over two pixels from which a pixel straddles an edge.
        max_depth_m: Depths beyond are unknown.
    """

    both_ways_px: float = 1.0
    vertical_px: float = 1.0
    edge: float = 0.03
    max_depth_m: float = 20.0


def occluded(flow: F32, flow_back: F32, *, within_px: float = 1.0) -> B:
    """Where the flow there and the flow back do not cancel.

    Args:
        flow: (H, W, 2) px from the left to the right image.
        flow_back: (H, W, 2) px from the right to the left image, looked up bicubically; 0 outside the image, as published.
        within_px: Largest length of their sum.

    Returns:
        (H, W) bool.
    """
    h, w = flow.shape[:2]
    there = remap(np.asarray(flow_back, np.float32), pixel_centres((w, h)) + flow, interpolation="bicubic")
    return np.linalg.norm(there + flow, axis=-1) > within_px


def off_row(flow: F32, *, within_px: float = 1.0) -> B:
    """(H, W) where a match leaves its row by more than `within_px`; `flow` is (H, W, 2) px."""
    return np.abs(flow[..., 1]) > within_px


def depth_edges(depth: NDArray, *, relative: float = 0.03) -> B:
    """Where depth changes by more than a share of itself across a pixel, or is unknown beside it.

    Args:
        depth: (H, W) z-depth, NaN where unknown.
        relative: Share of the depth by which the neighbours on both sides may differ, along x or along y.

    Returns:
        (H, W) bool, False where the depth itself is unknown.
    """
    # Unknown counts as depth 0, so known pixels beside a hole are edges too, as published.
    z = np.nan_to_num(depth, nan=0.0, posinf=0.0)
    padded = np.pad(z, 1, mode="edge")
    across_x = np.abs(padded[1:-1, 2:] - padded[1:-1, :-2])
    across_y = np.abs(padded[2:, 1:-1] - padded[:-2, 1:-1])
    return ((across_x > relative * z) | (across_y > relative * z)) & (z != 0)


def depth_from_flow(
    flow: F32,
    flow_back: F32,
    *,
    focal_px: float,
    baseline_m: float = 0.063,
    checks: FlowChecks | None = None,
    reject_edges: bool = True,
) -> F32:
    """Metric depth of the left image from the flow of a rectified pair, checked as published.

    Args:
        flow: (H, W, 2) px from left to right; -flow_x is the disparity.
        flow_back: (H, W, 2) px from right to left.
        focal_px: Focal length, in pixels.
        baseline_m: Distance between the eyes, in metres.
        checks: Limits.
        reject_edges: Reject pixels at edges of depth too; the published drift filter does not, its optimisation does.

    Returns:
        (H, W) float32 z-depth in metres, NaN where a check fails.
    """
    use = checks or FlowChecks()
    disparity = np.maximum(-flow[..., 0].astype(np.float64), 0)
    with np.errstate(divide="ignore"):
        depth_m = focal_px * baseline_m / disparity
    wrong = occluded(flow, flow_back, within_px=use.both_ways_px) | off_row(flow, within_px=use.vertical_px)
    depth_m[wrong | (depth_m > use.max_depth_m)] = np.nan
    if reject_edges:
        depth_m[depth_edges(depth_m, relative=use.edge)] = np.nan
    return depth_m.astype(np.float32)
