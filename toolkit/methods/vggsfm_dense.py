"""Dense depth as the last step of VGGSfM: for photos and videos alike, from the registered frames themselves, without a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from toolkit.errors import UserError
from toolkit.export.clouds import CloudSettings, cloud_from_depth
from toolkit.methods.quality import measure
from toolkit.progress import Listener, reporter
from toolkit.scene import U8, B, Scene
from toolkit.sfm.photo_scene import flattened, pinhole, undistortion
from toolkit.stereo.dense import DenseSettings, dense_depth

if TYPE_CHECKING:
    import pycolmap

FILM_STEP, MATCHED_OF_FILM = 4, 8  # every fourth frame of a film is matched, but at least eight
Dense = bool | Literal["auto"]
MOST_MPX = 100.0
"""Millions of pixels of all frames together for which depth and its confidence, 8 bytes a pixel, are held."""


@dataclass(frozen=True)
class DenseChoice:
    """Whether and how finely dense depth is found.

    Attributes:
        dense: True, False, or "auto": where at least three frames have a pose.
        side: Frames are matched at so many pixels.
        views: Frames that are matched themselves, at most, spread over the clip; the others take over what falls into them.
    """

    dense: Dense = "auto"
    side: int = 640
    views: int = 60

    def __post_init__(self) -> None:
        """Checks them before anything is computed."""
        if self.dense not in (True, False, "auto"):
            raise UserError(f"The setting dense is {self.dense!r}, but True, False or auto is needed.")
        for name, value, least, most in (("dense_side", self.side, 64, 2000), ("dense_views", self.views, 2, 1000)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
                raise UserError(f"The setting {name} is {value!r}, but a whole number from {least} to {most} is needed.")


def with_depth(
    scene: Scene, choice: DenseChoice, listener: Listener, *, ignored: Callable[[int], B | None] | None = None, film: bool = False
) -> Scene:
    """The scene with dense depth, the cloud of it, and what is to be said of it; or as it is where none is wanted.

    Args:
        scene: With video, cameras and tracks of still points.
        choice: Whether and how finely.
        listener: Told how far it is.
        ignored: For a frame the (H, W) pixels of the scene's video that are to be left out, or None.
        film: Whether the frames are a film's: neighbours see nearly the same, so every fourth one is matched.

    Raises:
        UserError: depth is asked for and fewer than two frames have a pose.
    """
    assert scene.cameras is not None and scene.video is not None
    placed = np.flatnonzero(scene.cameras.registered)
    if not choice.dense or (choice.dense == "auto" and len(placed) < 3):  # noqa: PLR2004  (two alone check nothing)
        return scene
    report = reporter(listener, "depth", "Finding the depth of every pixel")
    most = min(choice.views, max(MATCHED_OF_FILM, -(-len(placed) // FILM_STEP))) if film else choice.views
    views = placed if len(placed) <= most else placed[np.linspace(0, len(placed) - 1, most).round().astype(int)]
    depth = dense_depth(scene, ignored=ignored, views=[int(t) for t in views], settings=DenseSettings(side=choice.side), report=report)
    for t in range(len(depth)):
        hidden = ignored(t) if ignored is not None else None
        if hidden is not None:  # small maps that are enlarged reach a little beyond what was matched
            depth.depth[t][hidden], depth.confidence[t][hidden] = np.nan, 0
    scene = replace(scene, depth=depth)
    cloud = cloud_from_depth(
        _of(scene, views), _depth_of(scene, views), _cameras_of(scene, views), settings=CloudSettings(key_frames=len(views))
    )
    if len(cloud):
        scene = replace(scene, points=cloud)
    return replace(scene, report=_told(scene, len(views)))


def result_side(max_side: int, sizes: Sequence[tuple[int, int]], choice: DenseChoice) -> int:
    """How large pictures of the result may be, so that depth for all of them can be held."""
    if not choice.dense or not sizes:
        return max_side
    width, height = (max(size[n] for size in sizes) for n in (0, 1))
    fits = np.sqrt(MOST_MPX * 1e6 / (len(sizes) * width * height)) * max(width, height)
    return int(min(max_side, max(fits, 320)))


def flat_masks(cameras: Sequence[pycolmap.Camera], max_side: int, ignored: Callable[[int], B | None]) -> Callable[[int], B | None]:
    """Masks of photos as they lie over the pictures of a result of at most `max_side` px, which have no lens distortion.

    What lies beside a photo smaller than the largest is masked, too: it is black because nothing is there.
    """
    shrink = min(1.0, max_side / max(max(c.width, c.height) for c in cameras))
    canvas = (round(max(c.height for c in cameras) * shrink), round(max(c.width for c in cameras) * shrink))

    def mask_of(t: int) -> B | None:
        mask, camera = ignored(t), cameras[t]
        out = np.ones(canvas, bool)
        inside = out[: round(camera.height * shrink), : round(camera.width * shrink)]
        inside[:] = False
        if mask is None:
            return out if out.any() else None
        full = cv2.resize(mask.astype(np.uint8) * 255, (camera.width, camera.height), interpolation=cv2.INTER_NEAREST)
        rgb: U8 = np.repeat(np.asarray(full, np.uint8)[..., None], 3, axis=2)
        flat = flattened(rgb, camera, undistortion(camera, pinhole(camera, shrink), shrink), shrink)
        inside[:] = flat[..., 0] > 0
        return out

    return mask_of


def _of(scene: Scene, views: Any) -> Any:
    assert scene.video is not None
    return type(scene.video)(scene.video.frames[views], scene.video.times_s[views])


def _depth_of(scene: Scene, views: Any) -> Any:
    assert scene.depth is not None
    return type(scene.depth)(scene.depth.depth[views], scene.depth.confidence[views], scene.depth.unit)


def _cameras_of(scene: Scene, views: Any) -> Any:
    assert scene.cameras is not None
    return type(scene.cameras)(scene.cameras.K[views], scene.cameras.T_wc[views], scene.cameras.size[views])


def _told(scene: Scene, views: int) -> dict[str, Any]:
    """The report with what dense depth adds to it."""
    assert scene.depth is not None and scene.cameras is not None
    placed = scene.cameras.registered
    known = float(np.mean([np.isfinite(z).mean() for z in scene.depth.depth[placed]]))
    sure = [float(c[c > 0].mean()) for c in scene.depth.confidence[placed] if (c > 0).any()]
    quality = {
        "pixels with depth": measure(
            100 * known,
            "%",
            green=60,
            amber=25,
            higher_is_better=True,
            advice="Bare walls, sky, gloss and what only one frame shows have no depth: take more frames of it, from more sides.",
        ),
    }
    facts = {
        "matched_frames": views,
        "points": len(scene.points) if scene.points is not None else 0,
        "known_percent": round(100 * known, 2),
        "mean_confidence": round(float(np.mean(sure)), 3) if sure else None,
    }
    before = dict(scene.report)
    return {**before, "dense": facts, "quality": {**before.get("quality", {}), **quality}}
