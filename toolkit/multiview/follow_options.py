"""How points are followed through several views: every number of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from toolkit.multiview.patches import WindowOptions
from toolkit.multiview.templates import TemplateOptions
from toolkit.multiview.triangulation import TriangulationOptions


@dataclass(frozen=True)
class FollowOptions:
    """How points are followed.

    Attributes:
        windows: How a window is found in the next frame.
        templates: How it is held against what it looked like at first; None for not at all: then errors of all frames add up.
        triangulation: How views are held together.
        sigma_px: Error of a window that found its way back, in pixels.
        sigma_per_return: Further error per pixel by which the way back missed.
        drift_px: Error gained with every frame, as a random walk.
        adopted_px: Error of a place taken from the other views alone.
        least_likeness: Of a window to the same one in the frame before; less alike is lost.
        template_likeness: Of a window to what it looked like at first; where it is less alike, what it looks like now is remembered.
        return_likeness: Of a place where a view is taken up again, to what that view saw last.
        return_px: How far from the reprojection of the other views it may be.
        farthest_leap: From one frame to the next a point that one view alone sees moves by less than this share of its distance.
        longest_leap: Frames after which a view still looks for a point where it saw it last.
    """

    windows: WindowOptions = field(default_factory=WindowOptions)
    templates: TemplateOptions | None = field(default_factory=TemplateOptions)
    triangulation: TriangulationOptions = field(default_factory=TriangulationOptions)
    sigma_px: float = 0.5
    sigma_per_return: float = 0.7
    drift_px: float = 0.12
    adopted_px: float = 2.0
    least_likeness: float = 0.6
    template_likeness: float = 0.8
    return_likeness: float = 0.7
    return_px: float = 4.0
    farthest_leap: float = 0.03
    longest_leap: int = 4
