"""Figures of a scene: camera path, depth histogram, quality lights; the 3D ones come from `plots_3d`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation

from toolkit.errors import UserError
from toolkit.scene import Scene
from toolkit.views.plots_3d import figure_3d, new_figure, plot_tracks_3d, unit_name
from toolkit.views.report import QualityLine

__all__ = ["figure_3d", "plot_cameras", "plot_depth_histogram", "plot_quality", "plot_tracks_3d"]

_LIGHTS = {"green": "#3a9d5d", "amber": "#e0a526", "red": "#d1493f", "unknown": "#9aa3ad"}
_PATH = "#2b7bba"
_MOVING = "#e4572e"


def plot_cameras(scene: Scene) -> Figure:
    """Camera path from above, and its rotation, height and focal length over time.

    Raises:
        UserError: no frame of the scene has a pose.
    """
    if scene.cameras is None or not scene.cameras.registered.any():
        raise UserError("The scene holds no camera poses to plot.")
    cameras, unit = scene.cameras, unit_name(scene)
    frames = np.flatnonzero(cameras.registered)
    centres, R = cameras.centres[frames], cameras.T_wc[frames, :3, :3]
    seconds, label = (scene.video.times_s[frames], "time (s)") if scene.video is not None else (frames, "frame")
    # Narrow and tall: on a phone, the words stay readable.
    figure = new_figure(6.4, 8.6)
    above, turn, height, focal = figure.subplot_mosaic([["above"], ["turn"], ["height"], ["focal"]], height_ratios=[2.4, 1, 1, 1]).values()

    above.plot(centres[:, 0], centres[:, 2], color=_PATH, lw=2, zorder=3)
    length = float(np.linalg.norm(np.diff(centres, axis=0), axis=1).sum())
    span = max(float(np.ptp(centres[:, [0, 2]], axis=0).max()), 1e-6)
    some = np.unique(np.linspace(0, len(frames) - 1, 9).round().astype(int))
    ahead = R[some][:, [0, 2], 2] * 0.12 * span
    for c, a in zip(centres[some][:, [0, 2]], ahead, strict=True):
        above.annotate("", c + a, c, arrowprops={"arrowstyle": "-|>", "color": "#555", "lw": 1.1}, zorder=4)
    above.plot(*centres[0, [0, 2]], "o", color="#3a9d5d", ms=8, zorder=5, label="start")
    above.plot(*centres[-1, [0, 2]], "s", color="#d1493f", ms=7, zorder=5, label="end")
    above.set(xlabel=f"x, right ({unit})", ylabel=f"z, ahead ({unit})")
    above.set_title(f"path of {length:.3g} {unit} from above; arrows: where it looks")
    above.set_aspect("equal", adjustable="datalim")
    above.margins(0.15)
    above.legend(frameon=False)

    angles = Rotation.from_matrix(R[0].T @ R).as_euler("YXZ", degrees=True)
    for column, name, colour in ((0, "yaw", _PATH), (1, "pitch", _MOVING), (2, "roll", "#7a6bb5")):
        turn.plot(seconds, np.unwrap(angles[:, column], period=360), color=colour, label=name)
    turn.set(ylabel="turn (deg)", xticklabels=[], title="since the start")
    turn.legend(frameon=False, ncols=3, fontsize=8)
    height.plot(seconds, -(centres[:, 1] - centres[0, 1]), color=_PATH)
    height.set(ylabel=f"height ({unit})", xticklabels=[])
    focal_px, widths = cameras.K[frames, 0, 0], cameras.size[frames, 0]
    focal.plot(seconds, focal_px, color=_PATH)
    fov_deg = np.rad2deg(2 * np.arctan(0.5 * widths / focal_px))
    wide = f"{fov_deg.min():.3g}" if np.ptp(fov_deg) < 0.05 else f"{fov_deg.min():.3g} to {fov_deg.max():.3g}"
    middle = float(np.median(focal_px))
    if np.ptp(focal_px) < 0.02 * middle:  # no zoom: digits of a constant would look like one
        focal.set_ylim(0.9 * middle, 1.1 * middle)
    focal.set(xlabel=label, ylabel="focal length (px)", title=f"the picture is {wide} degrees wide")
    return figure


def plot_depth_histogram(scene: Scene) -> Figure:
    """How much of the clip lies how far away, and how much is unknown.

    Raises:
        UserError: the scene has no depth.
    """
    if scene.depth is None:
        raise UserError("The scene holds no depth to plot.")
    depth = scene.depth.depth.reshape(-1)
    sample = depth[:: max(1, len(depth) // 1_000_000) | 1]
    known = sample[np.isfinite(sample)]
    figure = new_figure(6.4, 3.2)
    axes = figure.subplots()
    if len(known):
        top = float(np.percentile(known, 99.5))
        axes.hist(known, bins=80, range=(0, top), color=_PATH, weights=np.full(len(known), 100 / len(sample)))
        median = float(np.median(known))
        axes.axvline(median, color=_MOVING, lw=1.5)
        axes.annotate(f" median {median:.3g} {unit_name(scene)}", (median, 0.93), xycoords=("data", "axes fraction"), color=_MOVING)
    unknown = 100 * (1 - len(known) / max(len(sample), 1))
    axes.set(xlabel=f"depth ({unit_name(scene)})", ylabel="share of all pixels (%)", title=f"{unknown:.1f} % of the pixels have no depth")
    return figure


def plot_quality(lines: Sequence[QualityLine]) -> Figure:
    """The quality report as a list of lights, numbers and advice."""
    rows = [(line, "" if line.light == "green" else textwrap.fill(line.advice, 84)) for line in lines]
    heights = [0.36 + (0.06 + 0.2 * len(advice.splitlines()) if advice else 0.0) for _, advice in rows] or [0.36]
    total, width = sum(heights) + 0.1, 6.4
    figure = new_figure(width, total + 0.3)
    axes = figure.subplots()
    axes.set(xlim=(0, width), ylim=(total, 0))
    axes.axis("off")
    if not rows:
        axes.text(0.0, 0.2, "Nothing was measured for this scene.", va="center", fontsize=11)
    top = 0.05
    for (line, advice), height in zip(rows, heights, strict=False):
        number = "not measured" if not np.isfinite(line.value) else f"{line.value:.3g} {line.unit}".strip()
        axes.scatter(0.12, top + 0.18, s=100, color=_LIGHTS[line.light])
        axes.text(0.32, top + 0.18, line.name, va="center", fontsize=11)
        axes.text(width, top + 0.18, f"{number} · {line.verdict}", va="center", ha="right", fontsize=11)
        axes.text(0.32, top + 0.36, advice, va="top", fontsize=9.5, color="#555", linespacing=1.15)
        top += height
    return figure
