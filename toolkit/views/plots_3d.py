"""A scene in three dimensions: one frame on paper (matplotlib), the whole clip to turn and play (plotly)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.scene import F32, U8, Scene
from toolkit.views import colours
from toolkit.views.overlay import choose_tracks, moving_tracks

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

_PATH = "#2b7bba"
_MOVING = "#e4572e"
_CAMERA = "#35b27b"


def plot_tracks_3d(scene: Scene, frame: int = -1, *, trail: int = 16, max_tracks: int = 1500, seed: int = 0) -> Figure:
    """Tracks in the world at one frame, with trails, the camera path, and the cloud where there is one.

    Raises:
        UserError: the scene has no 3D tracks, or the frame does not exist.
    """
    if scene.tracks_3d is None:
        raise UserError("The scene holds no 3D tracks to plot.")
    frames = scene.tracks_3d.xyz.shape[1]
    if not -frames <= frame < frames:
        raise UserError(f"Frame {frame} does not exist; the scene has {frames} frames.")
    t = frame % frames
    chosen = choose_tracks(scene, max_tracks, seed=seed)
    assert chosen.tracks_3d is not None
    xyz, moving = chosen.tracks_3d.xyz, moving_tracks(chosen)
    figure = new_figure(6.4, 6.0)
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    cloud, cloud_rgb = _cloud(scene, 6000, seed)
    if len(cloud):
        axes.scatter(*_upright(cloud).T, s=2, c=cloud_rgb / 255, alpha=0.8, lw=0, zorder=1)
    now = xyz[:, t]
    axes.scatter(*_upright(now[~moving]).T, s=3, c=np.array(colours.STILL_RGB)[None] / 280, lw=0, zorder=2)
    axes.scatter(*_upright(now[moving]).T, s=7, c=_MOVING, lw=0, zorder=4)
    for path in xyz[moving, max(0, t - trail) : t + 1]:
        axes.plot(*_upright(path).T, color=_MOVING, lw=0.7, alpha=0.5, zorder=3)
    if scene.cameras is not None:
        axes.plot(*_upright(scene.cameras.centres).T, color=_PATH, lw=2, zorder=5)
        axes.scatter(*_upright(scene.cameras.centres[t : t + 1]).T, c=_PATH, s=30, zorder=5)
    low, high = _box(scene, xyz)
    for setter, lo, hi in zip((axes.set_xlim, axes.set_ylim, axes.set_zlim), low, high, strict=True):
        setter(lo, hi)
    axes.set_box_aspect(tuple(high - low), zoom=1.15)  # pyright: ignore[reportArgumentType]
    unit = unit_name(scene)
    axes.set(
        xlabel=f"x, right ({unit})", ylabel=f"z, ahead ({unit})", zlabel=f"up ({unit})", title=f"frame {t}: moving red, still blue-grey"
    )
    axes.view_init(elev=18, azim=-78)
    return figure


def figure_3d(
    scene: Scene, *, max_tracks: int = 800, max_points: int = 8000, max_frames: int = 60, trail: int = 10, seed: int = 0
) -> PlotlyFigure:
    """The scene to turn and play: moving tracks with trails, part of the static cloud, the camera path; slider and Play button.

    Plotly draws it with WebGL only; `toolkit.view` also works in browsers without.

    Args:
        scene: With 3D tracks.
        max_tracks: Moving tracks that are shown.
        max_points: Points of the static cloud (of the still tracks where there is no cloud).
        max_frames: The slider stops at so many frames, spread over the clip.
        trail: Past shown frames that each track trails behind it.
        seed: Of the choice.

    Raises:
        UserError: the scene has no 3D tracks.
    """
    import plotly.graph_objects as go

    if scene.tracks_3d is None:
        raise UserError("The scene holds no 3D tracks to plot.")
    rng, moving = np.random.default_rng(seed), moving_tracks(scene)
    which = rng.permutation(np.flatnonzero(moving))[:max_tracks]
    total = scene.tracks_3d.xyz.shape[1]
    shown = np.unique(np.linspace(0, total - 1, min(total, max_frames)).round().astype(int))
    xyz = scene.tracks_3d.xyz[which]
    fps = scene.video.fps if scene.video is not None else 30.0
    pace = colours.speed(xyz, fps)
    fastest = colours.typical_top_speed(pace)
    pace_unit = "m/s" if scene.unit == "metre" else "units/s"
    scale = [[i / 8, "rgb({},{},{})".format(*colours.WARM[round(i * 255 / 8)])] for i in range(9)]
    cloud, cloud_rgb = _cloud(scene, max_points, seed)

    def points(xyz_w: NDArray, **style: object) -> dict[str, object]:
        x, y, z = _upright(xyz_w).astype(np.float32).T
        return {"x": x, "y": y, "z": z, **style}

    def at(i: int) -> list:
        t = shown[i]
        heads = {"color": pace[:, t], "colorscale": scale, "cmin": 0, "cmax": fastest, "size": 3.2}
        if i == 0:
            heads["colorbar"] = {"title": pace_unit, "len": 0.5, "thickness": 12}
        traces = [go.Scatter3d(**points(xyz[:, t], mode="markers", marker=heads, name="moving"))]
        past = xyz[:, shown[max(0, i - trail) : i + 1]]
        broken = np.concatenate([past, np.full_like(past[:, :1], np.nan)], axis=1).reshape(-1, 3)
        traces.append(go.Scatter3d(**points(broken, mode="lines", line={"color": "rgba(255,140,60,0.45)", "width": 2}, name="trails")))
        if scene.cameras is not None:
            camera = scene.cameras.centres[t : t + 1]
            traces.append(go.Scatter3d(**points(camera, mode="markers", marker={"size": 5, "color": _CAMERA}, name="camera")))
        return traces

    first = at(0)
    constant = [
        go.Scatter3d(
            **points(
                cloud,
                mode="markers",
                marker={"size": 1.5, "color": ["rgb({},{},{})".format(*c) for c in cloud_rgb], "opacity": 0.6},
                name="still",
                hoverinfo="skip",
            )
        )
    ]
    if scene.cameras is not None:
        constant.append(
            go.Scatter3d(**points(scene.cameras.centres, mode="lines", line={"color": _CAMERA, "width": 3}, name="camera path"))
        )
    # Only the first traces change; plotly keeps the rest as they are.
    steps = [go.Frame(data=at(i), name=str(t), traces=list(range(len(first)))) for i, t in enumerate(shown)]
    play = {"frame": {"duration": 1000 / fps * total / len(shown), "redraw": True}, "fromcurrent": True, "transition": {"duration": 0}}
    stop = {"frame": {"duration": 0, "redraw": False}, "mode": "immediate"}
    low, high = _box(scene, scene.tracks_3d.xyz)
    unit = unit_name(scene)
    ranges = {
        f"{axis}axis": {"range": [lo, hi], "title": f"{name} ({unit})"}
        for axis, name, lo, hi in zip("xyz", ("x, right", "z, ahead", "up"), low, high, strict=True)
    }
    figure = go.Figure(first + constant, frames=steps)
    figure.update_layout(
        height=620,
        margin={"l": 0, "r": 0, "t": 30, "b": 40},
        scene={**ranges, "aspectmode": "data", "camera": {"eye": {"x": 0.25, "y": -1.7, "z": 0.6}}},
        legend={"orientation": "h", "y": 1.02},
        updatemenus=[
            {
                "type": "buttons",
                "direction": "left",
                "x": 0.02,
                "y": 0.02,
                "buttons": [
                    {"label": "Play", "method": "animate", "args": [None, play]},
                    {"label": "Pause", "method": "animate", "args": [[None], stop]},
                ],
            }
        ],
        sliders=[
            {
                "x": 0.2,
                "len": 0.78,
                "y": 0.05,
                "currentvalue": {"prefix": "frame "},
                "steps": [{"label": str(t), "method": "animate", "args": [[str(t)], {**stop, "frame": {"redraw": True}}]} for t in shown],
            }
        ],
    )
    return figure


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own, sides in inches: no global state of pyplot, so threads do not meet."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def unit_name(scene: Scene) -> str:
    """Unit of lengths in the scene, short."""
    return "m" if scene.unit == "metre" else "relative"


def _upright(xyz_w: NDArray) -> NDArray:
    """World points with the third axis up and the second one ahead, as plots expect."""
    return np.stack([xyz_w[..., 0], xyz_w[..., 2], -xyz_w[..., 1]], axis=-1)


def _cloud(scene: Scene, count: int, seed: int) -> tuple[F32, U8]:
    """Part of the cloud, or of the still tracks' mean positions."""
    if scene.points is not None and len(scene.points):
        xyz, rgb = scene.points.xyz, scene.points.rgb
    else:
        assert scene.tracks_3d is not None
        known = np.asarray(np.isfinite(scene.tracks_3d.xyz).all(-1))
        still = ~moving_tracks(scene) & known.any(1)
        xyz, rgb = np.nanmean(scene.tracks_3d.xyz[still], axis=1), scene.tracks_3d.rgb[still]
    some = np.random.default_rng(seed).permutation(len(xyz))[:count]
    return xyz[some].astype(np.float32), rgb[some]


def _box(scene: Scene, xyz: F32) -> tuple[F32, F32]:
    """Corners of an upright box around the bulk of the tracks and the whole camera path."""
    known = _upright(xyz[np.isfinite(xyz).all(-1)])
    if scene.cameras is not None and scene.cameras.registered.any():
        path = _upright(scene.cameras.centres[scene.cameras.registered].astype(np.float32))
    else:
        path = known
    if len(known) == 0 and len(path) == 0:
        return np.full(3, -1, np.float32), np.full(3, 1, np.float32)
    low = np.minimum(np.percentile(known, 2, axis=0) if len(known) else path.min(0), np.percentile(path, 0, axis=0))
    high = np.maximum(np.percentile(known, 98, axis=0) if len(known) else path.max(0), np.percentile(path, 100, axis=0))
    margin = 0.05 * np.max(high - low) + 1e-6
    return (low - margin).astype(np.float32), (high + margin).astype(np.float32)
