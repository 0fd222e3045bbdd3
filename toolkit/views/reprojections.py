"""The reprojection video: where each point was seen, where it projects to, and the way between, enlarged so that it can be seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolkit.errors import UserError
from toolkit.geometry.cameras import project
from toolkit.scene import F64, U8, B, Scene
from toolkit.views import colours, legend
from toolkit.views.overlay import choose_tracks, dimmed, even, growth, mean_luminance
from toolkit.views.raster import draw_discs, draw_trails

MAX_TRACKS = 2048
LINE_PX = 14.0  # of a picture of 512 x 512: how long the line of a large error is drawn
LARGE = 0.95  # the share of errors that are smaller than what counts as a large one
_ROUND = [m * 10.0**e for e in range(-3, 3) for m in (1, 2, 5)]
ERRORS = np.repeat(colours.HUES[128:], 2, axis=0)
"""(256, 3) from green over yellow to red."""


def draw_reprojections(scene: Scene, *, max_tracks: int = MAX_TRACKS, seed: int = 0) -> Iterator[U8]:
    """Frames of the reprojection video, one per frame of the clip, with a legend strip below.

    A dot is where a point was seen, coloured by its error; a line leads towards where the point projects to, so many times longer than
    the error as the legend says (but four large errors long at most); a small ring is at the line's true end. A frame without a pose
    stays as it is, and says so.

    Args:
        scene: With video, cameras, and tracks in 2D and 3D.
        max_tracks: So many are drawn at most.
        seed: Of the choice.

    Yields:
        (H + h, W, 3) uint8 RGB, both sides even.

    Raises:
        UserError: the scene lacks one of these.
    """
    if scene.video is None or scene.cameras is None or scene.tracks_2d is None or scene.tracks_3d is None:
        raise UserError("Reprojections need a video, cameras, and tracks in 2D and 3D, and this scene lacks some of them.")
    return _frames(choose_tracks(scene, max_tracks, seed=seed))


def _frames(scene: Scene) -> Iterator[U8]:
    assert scene.video is not None and scene.cameras is not None and scene.tracks_2d is not None
    video, cameras, xy = scene.video, scene.cameras, scene.tracks_2d.xy
    grow = growth(video.size)
    found = [_residuals(scene, t) for t in range(len(video))]
    every = np.concatenate([np.linalg.norm(away, axis=1) for _, away in found])
    # One scale for the whole clip, so that a bad frame looks worse than a good one.
    large = float(np.quantile(every, LARGE)) if len(every) else 1.0
    large = next((v for v in _ROUND if v >= large), _ROUND[-1])
    times = max([1.0, *(v for v in _ROUND if v * large <= LINE_PX * grow)])
    brightness = float(np.clip(60.0 / mean_luminance(video.frames), 0.4, 0.95))
    for t, (seen, away) in enumerate(found):
        image = dimmed(video.frames[t], brightness, 0.5)
        told = "no pose"
        if cameras.registered[t]:
            at, error_px = xy[seen, t].astype(np.float64), np.linalg.norm(away, axis=1)
            rgb = colours.look_up(ERRORS, np.clip(error_px / large, 0, 1))
            longest = np.minimum(1.0, 4 * large / np.maximum(error_px, 1e-9))[:, None]
            lines = np.stack([at + times * longest * away, at], axis=1)
            draw_discs(image, at + away, np.full((len(at), 3), 235, np.uint8), 0.7, 2.6 * grow, hole_px=2.6 * grow - 1.0)
            draw_trails(image, lines, np.ones(lines.shape[:2], bool), rgb, 1.0, 1.6 * grow)
            draw_discs(image, at, rgb, 1.0, 1.5 * grow)
            told = f"median {np.median(error_px):.2f} px" if len(error_px) else "no points"
        yield even(np.concatenate([image, legend.strip(video.size, _legend(told, large, times))]))


def _residuals(scene: Scene, t: int) -> tuple[B, F64]:
    """(N,) tracks that a frame shows, and of these (M, 2) the way from where they were seen to where they project to."""
    assert scene.cameras is not None and scene.tracks_2d is not None and scene.tracks_3d is not None
    if not scene.cameras.registered[t]:
        return np.zeros(len(scene.tracks_2d), bool), np.zeros((0, 2))
    expected, depth = project(scene.tracks_3d.xyz[:, t].astype(np.float64), scene.cameras.K[t], scene.cameras.T_wc[t])
    seen = scene.tracks_2d.visible[:, t] & np.isfinite(expected).all(1) & (depth > 0)
    return seen, expected[seen].astype(np.float64) - scene.tracks_2d.xy[seen, t]


def _legend(told: str, large_px: float, times: float) -> list[legend.Item]:
    bar = legend.Bar(ERRORS, [(0, "0"), (1, f"{large_px:g} px")])
    ring = legend.Dot(legend.INK, 3.0, hollow=True)
    return [
        legend.Text(told),
        bar,
        legend.Dot(tuple(ERRORS[0]), 2.0),
        legend.Text(f"seen, lines x{times:g}"),
        ring,
        legend.Text("true end"),
    ]
