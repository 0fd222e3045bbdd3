"""What is wrong with several views before anything is computed: told in one sentence, or mended and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from toolkit.errors import UserError
from toolkit.geometry.cameras import checked_intrinsics
from toolkit.multiview.lifting import focus_of
from toolkit.multiview.triangulation import TWO_VIEWS_DEG
from toolkit.scene import F64, MultiViewVideo

LEAST_VARIETY = 2.0  # grey levels; a picture of less shows nothing
OPPOSITE_DEG = TWO_VIEWS_DEG  # between two views of which neither sees what the other sees
DEEP = 50.0  # times the distance to where the cameras look, beyond which depth must be in another unit


def checked_clip(clip: MultiViewVideo, names: Sequence[str] | None = None) -> tuple[MultiViewVideo, list[str], list[int]]:
    """The views that can be used, what was left out or changed and why, and which of the given views the used ones are.

    Raises:
        UserError: what `checked_shapes` tells, fewer than two views, or cameras at one place.
    """
    if not isinstance(clip, MultiViewVideo):
        raise UserError(f"Several views are needed as a MultiViewVideo, but this is {type(clip).__name__}.")
    names = [f"view {v}" for v in range(len(clip.views))] if names is None else list(names)
    told: list[str] = []
    good = []
    checked_shapes(clip, names)
    for v, (video, camera) in enumerate(zip(clip.views, clip.cameras, strict=True)):
        if not camera.registered.any():
            told.append(f"{names[v]} was left out: its camera has no pose.")
        elif float(np.std(video.frames[len(video) // 2].astype(np.float32))) < LEAST_VARIETY:
            told.append(f"{names[v]} was left out: its pictures show nothing.")
        else:
            good.append(v)
    if len(good) < 2:
        left = f" ({' '.join(told)})" if told else ""
        raise UserError(f"There {'is one view' if len(good) == 1 else 'is no view'} of use{left}, but points are placed by two at least.")
    depth = None if clip.depth_m is None else tuple(clip.depth_m[v] for v in good)
    clip = MultiViewVideo(tuple(clip.views[v] for v in good), tuple(clip.cameras[v] for v in good), depth)
    centres = np.array([camera.centres[camera.registered][0] for camera in clip.cameras])
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    if apart.max() <= 1e-9:
        raise UserError("All cameras are at the same place, but points are placed by the distance between them; check the translations.")
    t = int(np.argmax(np.sum([camera.registered for camera in clip.cameras], axis=0)))
    to = np.array([camera.centres[t] for camera in clip.cameras]) - focus_of(clip.cameras, t)
    to /= np.maximum(np.linalg.norm(to, axis=1, keepdims=True), 1e-12)
    if len(good) == 2 and np.degrees(np.arccos(np.clip(to[0] @ to[1], -1, 1))) > OPPOSITE_DEG:
        told.append(
            "The two views look at the scene from opposite sides: no point of a surface is seen well by both, so hardly any is placed."
        )
    return _with_depth_in_unit(clip, told), told, good


def checked_shapes(clip: MultiViewVideo, names: Sequence[str] | None = None) -> None:
    """Whether each view has a camera and, where depth is given, depth for each of its frames.

    Raises:
        UserError: it has not, or intrinsics are none.
    """
    names = [f"view {v}" for v in range(len(clip.views))] if names is None else names
    for v, (video, camera) in enumerate(zip(clip.views, clip.cameras, strict=True)):
        if len(camera) != len(video):
            raise UserError(f"{names[v]} has {len(video)} frames but {len(camera)} cameras; one a frame is needed.")
        size = (int(camera.size[0, 0]), int(camera.size[0, 1]))
        if size != video.size:
            raise UserError(
                f"The camera of {names[v]} is for pictures of {size[0]} x {size[1]} px, but its frames are "
                f"{video.size[0]} x {video.size[1]}; scale K with the pictures."
            )
        for K in np.unique(camera.K[camera.registered], axis=0):
            checked_intrinsics(K, f"K of {names[v]}")
    if clip.depth_m is None:
        return
    if len(clip.depth_m) != len(clip.views):
        raise UserError(f"{len(clip.views)} views came with depth of {len(clip.depth_m)}; one per view is needed.")
    for video, depth, name in zip(clip.views, clip.depth_m, names, strict=True):
        if np.shape(depth) != video.frames.shape[:3]:
            what = "is None" if depth is None else f"has shape {np.shape(depth)}"
            raise UserError(f"The depth of {name} {what}, but {video.frames.shape[:3]} is needed, NaN where it is unknown.")


def _with_depth_in_unit(clip: MultiViewVideo, told: list[str]) -> MultiViewVideo:
    """Depth in the unit of the cameras: millimetres are told by their size."""
    if clip.depth_m is None:
        return clip
    reach = _reach(clip)
    some = np.concatenate([np.ravel(d[:1])[::97] for d in clip.depth_m])
    middle = float(np.median(some[np.isfinite(some)])) if np.isfinite(some).any() else 0.0
    if middle > DEEP * reach:
        told.append(f"Depth is {middle:.4g} at the median where cameras look {reach:.3g} far: taken as millimetres beside metres.")
        return replace(clip, depth_m=tuple((d / 1000).astype(np.float32) for d in clip.depth_m))
    return clip


def _reach(clip: MultiViewVideo) -> float:
    t = int(np.argmax(np.sum([camera.registered for camera in clip.cameras], axis=0)))
    focus: F64 = focus_of(clip.cameras, t)
    return float(np.median([np.linalg.norm(focus - camera.centres[t]) for camera in clip.cameras if camera.registered[t]]))
