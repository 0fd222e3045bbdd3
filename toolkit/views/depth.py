"""The depth video: one colour range for the whole clip, a legend in metres, unknown depth hatched."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolkit.compiling import compiled
from toolkit.errors import UserError
from toolkit.scene import U8, Scene
from toolkit.views import colours, legend


def draw_depth(scene: Scene, *, side_by_side: bool = True) -> Iterator[U8]:
    """Frames of the depth video, one per frame of the clip, with a legend strip below.

    Turbo on inverse depth, near red and far blue, between percentiles of the whole clip: nothing flickers because a frame's own
    range changed.

    Args:
        scene: With depth.
        side_by_side: The clip on the left where the scene has a video of the same size.

    Yields:
        (H + h, W or 2 W, 3) uint8 RGB, both sides even.

    Raises:
        UserError: the scene has no depth.
    """
    if scene.depth is None:
        raise UserError("The scene holds no depth, so there is no depth video to draw.")
    return _frames(scene, side_by_side)


def _frames(scene: Scene, side_by_side: bool) -> Iterator[U8]:
    assert scene.depth is not None
    depth = scene.depth.depth
    frames, h, w = depth.shape
    video = scene.video if side_by_side and scene.video is not None and scene.video.size == (w, h) else None
    near, far = colours.inverse_depth_range(depth)
    unknown = hatch((w, h))
    width = w if video is None else 2 * w
    width += width % 2
    items: list[legend.Item] = [
        legend.Text("depth"),
        legend.Bar(np.ascontiguousarray(colours.TURBO[::-1]), depth_ticks(near, far, scene.depth.unit)),
        legend.Swatch(unknown),
        legend.Text("unknown"),
    ]
    strip = legend.strip((width, h), items)
    image = np.zeros((h + len(strip), width, 3), np.uint8)
    for t in range(frames):
        image = image.copy()
        image[h:] = strip
        if video is not None:
            image[:h, :w] = video.frames[t]
        coloured = np.empty((h, w, 3), np.uint8)
        _colour(np.ascontiguousarray(depth[t]), colours.TURBO, 1 / near, 1 / far, unknown, coloured)
        image[:h, width - w :] = coloured
        yield image


def hatch(size: tuple[int, int]) -> U8:
    """(H, W, 3) slanted dark-grey stripes: the sign for "not known"."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    stripe = ((x + y) // 4) % 2
    return np.ascontiguousarray(np.where(stripe[..., None] == 0, np.uint8(38), np.uint8(58)) * np.ones(3, np.uint8))


def depth_ticks(near: float, far: float, unit: str) -> list[tuple[float, str]]:
    """Where round depths lie on a bar from near to far that is even in inverse depth; the last label carries the unit."""
    values = legend.round_ticks(near, far)
    name = "m" if unit == "metre" else "(relative)"
    return [((1 / near - 1 / v) / (1 / near - 1 / far), f"{v:g}" + (f" {name}" if v == values[-1] else "")) for v in values]


@compiled()
def _colour(depth, lut, inverse_near, inverse_far, unknown, out):  # pragma: no cover - compiled
    scale = 255.0 / (inverse_near - inverse_far)
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            z = depth[row, column]
            if np.isfinite(z) and z > 0:
                level = int(min(max((1.0 / z - inverse_far) * scale + 0.5, 0.0), 255.0))
                for c in range(3):
                    out[row, column, c] = lut[level, c]
            else:
                for c in range(3):
                    out[row, column, c] = unknown[row, column, c]
