"""The pointmap video: what one frame showed, moved along in one colour, and what each moment's own frame shows in another."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import intrinsics_from_fov
from toolkit.geometry.depth_edges import off_edges
from toolkit.geometry.poses import invert
from toolkit.lifting.pointmaps import pointmaps
from toolkit.scene import F64, U8, B, Scene
from toolkit.views import legend
from toolkit.views.flyaround import Flight, backdrop_of, draw_cameras, eyes_around
from toolkit.views.raster import splat

REFERENCE_RGB = (255, 150, 60)
MOMENT_RGB = (70, 150, 255)
GHOST = 0.55  # brightness of what the reference showed and this moment does not see
SHADE = (0.4, 0.6)  # a point's brightness: so much, and so much more by that of its picture, whose brightest part counts as full
OVERLAP = 1.6  # sides of splats in pixels: pixels seen from the side still close the surface
MOST_SIGMA = 0.35  # of the distance from the camera: points that are less sure are not drawn
LEAST_DRAWN = 0.1  # share of the pixels of both maps: where fewer are drawn, the picture says why


def lacks_pointmaps(scene: Scene) -> str:
    """What a scene lacks for the pointmap video, or ""."""
    if scene.cameras is None or scene.depth is None or scene.tracks_3d is None or scene.tracks_2d is None or scene.video is None:
        return "video, cameras, depth and tracks"
    if scene.video.frames.shape[:3] != scene.depth.depth.shape:
        return "depth of the size of the video"
    return "" if scene.cameras.registered.any() else "camera poses"


def draw_pointmaps(
    scene: Scene, *, reference: int | None = None, size: tuple[int, int] = (512, 512), stride: int = 2, flight: Flight | None = None
) -> Iterator[U8]:
    """Frames of the pointmap video, one per frame of the clip, with a legend strip below.

    Args:
        scene: With video, cameras, depth of all frames and tracks.
        reference: Frame whose pixels are followed; None for the first one that has a camera.
        size: (width, height) of the picture.
        stride: Every so many pixels of a map are drawn, in x and y.
        flight: How the eye moves.

    Yields:
        (height + h, width, 3) uint8 RGB, both sides even.

    Raises:
        UserError: the scene lacks one of these, or has no such frame.
    """
    if lacking := lacks_pointmaps(scene):
        raise UserError(f"The pointmap video needs {lacking}, and this scene lacks some of it.")
    assert scene.cameras is not None
    first = int(np.argmax(scene.cameras.registered)) if reference is None else reference
    if not 0 <= first < scene.frames:
        raise UserError(f"The reference is frame {first}, but the scene has frames 0 to {scene.frames - 1}.")
    size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    return _frames(scene, first, size, stride, flight or Flight())


def _frames(scene: Scene, reference: int, size: tuple[int, int], stride: int, flight: Flight) -> Iterator[U8]:
    assert scene.cameras is not None and scene.depth is not None and scene.video is not None
    items: list[legend.Item] = [
        legend.Dot(REFERENCE_RGB, 3.5), legend.Text(f"frame {reference}, moved along"),
        legend.Dot(_dimmed(REFERENCE_RGB), 3.5), legend.Text("hidden"), legend.Dot(MOMENT_RGB, 3.5), legend.Text("each frame"),
    ]  # fmt: skip
    strip = legend.strip(size, items)
    centre, eyes = eyes_around(scene, flight)
    focal_px = float(intrinsics_from_fov(flight.fov_deg, size)[0, 0])
    reach = float(np.linalg.norm(eyes[0, :3, 3] - centre))
    shaded = _tinted(scene.video.frames[reference], REFERENCE_RGB)
    whole = _whole(scene, reference)
    back = backdrop_of(size)
    for t in range(scene.frames):
        image, zbuffer = back.copy(), np.full((size[1], size[0]), np.inf, np.float32)
        T_ew = invert(eyes[t])
        if scene.cameras.registered[t]:
            maps = pointmaps(scene, reference, t)
            K = scene.cameras.K
            seen = np.where(maps.visible, 1.0, GHOST)[..., None]
            moved, own = (
                whole & _sure(maps.tracked, maps.tracked_sigma, scene, t),
                _whole(scene, t) & _sure(maps.recon, maps.recon_sigma, scene, t),
            )
            _draw(image, zbuffer, maps.tracked, (seen * shaded).astype(np.uint8), moved,
                  T_ew, focal_px, stride, scene, reference, float(K[reference, 0, 0]))  # fmt: skip
            _draw(image, zbuffer, maps.recon, _tinted(scene.video.frames[t], MOMENT_RGB).astype(np.uint8), own,
                  T_ew, focal_px, stride, scene, t, float(K[t, 0, 0]))  # fmt: skip
            drawn = 0.5 * float(moved.mean() + own.mean())
            if drawn < LEAST_DRAWN:
                legend.label(image, f"{100 * drawn:.0f} % drawn: the depth of the rest is too unsure", (8, 22), font_px=16)
        draw_cameras(image, zbuffer, scene.cameras, t, T_ew, focal_px, flight.frustum * reach / flight.pull_back)
        if not scene.cameras.registered[t]:
            legend.label(image, "no pose", (8, 20))
        yield np.concatenate([image, strip])


def _dimmed(rgb: tuple[int, int, int]) -> tuple[int, int, int]:
    return (round(GHOST * rgb[0]), round(GHOST * rgb[1]), round(GHOST * rgb[2]))


def _whole(scene: Scene, t: int) -> B:
    """(H, W) pixels that are no edge of depth: those hang between two surfaces."""
    assert scene.depth is not None
    return np.asarray(off_edges(scene.depth.depth[t], span=Flight().live_edge))


def _sure(xyz: NDArray, sigma: NDArray, scene: Scene, t: int) -> B:
    assert scene.cameras is not None
    far = np.linalg.norm(xyz - scene.cameras.centres[t], axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(xyz).all(-1) & (sigma < MOST_SIGMA * far))


def _tinted(frame: U8, rgb: tuple[int, int, int]) -> NDArray:
    """A picture in shades of one colour."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = np.minimum(grey / max(float(np.quantile(grey, 0.98)), 1.0), 1)
    return (SHADE[0] + SHADE[1] * grey)[..., None] * np.array(rgb, np.float32)


def _draw(
    image: U8,
    zbuffer: NDArray,
    xyz: NDArray,
    rgb: U8,
    good: B,
    T_ew: F64,
    focal_px: float,
    stride: int,
    scene: Scene,
    own: int,
    own_focal: float,
) -> None:
    """One map: every pixel a square as large as what it shows, seen from its own camera."""
    assert scene.cameras is not None
    step = (slice(None, None, stride), slice(None, None, stride))
    keep = good[step]
    points = np.ascontiguousarray(xyz[step][keep], np.float32)
    far = np.linalg.norm(points - scene.cameras.centres[own], axis=1)
    splat(image, zbuffer, points, rgb[step][keep], T_ew, focal_px, (OVERLAP * stride / own_focal) * far, lead=0.01)
