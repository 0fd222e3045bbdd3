"""What is followed through several views: points of the world, pixels of one view, a mask, or a grid on what moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import project
from toolkit.multiview.lifting import lift_pixels
from toolkit.multiview.seeding import SeedOptions, seed_queries
from toolkit.multiview.tracking import grey_views
from toolkit.multiview.view_depth import depth_of_moment
from toolkit.progress import Report
from toolkit.scene import F32, U8, MultiViewVideo

WORLD, PIXELS = 4, 3  # numbers a query: (t, x, y, z), or (t, x, y) of one view
FARTHEST = 1e9  # a million kilometres in metres; beyond it squares leave float32


def asked_points(
    clip: MultiViewVideo, queries: ArrayLike, *, view: int = 0, name: str | None = None, images: list[U8] | None = None
) -> F32:
    """(N, 4) queries (t, x, y, z) in the world, of points there or of pixels of one view.

    Args:
        clip: The views.
        queries: (N, 4) (t, x, y, z), or (N, 3) (t, x, y) in pixels of one view.
        view: Which.
        name: What sentences call it; None for its number.
        images: The grey frames, where they are at hand.

    Raises:
        UserError: numbers that are none, frames that the clip does not have, or a pixel whose depth no other view tells.
    """
    asked = checked_numbers(queries)
    frames = len(clip.views[0])
    for n, (t, *_) in enumerate(asked):
        if not 0 <= t < frames or t != int(t):
            raise UserError(f"Query {n} asks for frame {t:g}, but the views have the frames 0 to {frames - 1}.")
    if asked.shape[1] == WORLD:
        return asked
    return _lifted(clip, asked, view, f"view {view}" if name is None else name, grey_views(clip) if images is None else images)


def checked_numbers(queries: ArrayLike) -> F32:
    """(N, 4) or (N, 3) queries as numbers; what can be told of them without the views is.

    Raises:
        UserError: another shape, or numbers that are none.
    """
    try:
        given = np.asarray(queries)
        if given.dtype.kind == "c":
            raise ValueError("complex")
        with np.errstate(over="ignore"):  # told below
            asked = given.astype(np.float32)
    except (TypeError, ValueError) as problem:
        raise UserError(f"queries must be numbers, but they are {str(queries)[:40]!r}.") from problem
    if asked.ndim != 2 or asked.shape[1] not in (WORLD, PIXELS):
        raise UserError(f"queries has shape {asked.shape}, but (N, 4) with (t, x, y, z) or (N, 3) with (t, x, y) of one view is needed.")
    for n, row in enumerate(asked):
        if not np.isfinite(row).all():
            raise UserError(f"Query {n} is {row.tolist()}, but finite numbers are needed.")
        if np.abs(row).max() > FARTHEST:
            raise UserError(f"Query {n} is {row.tolist()}, but numbers up to {FARTHEST:g} are needed.")
    return asked


def _lifted(clip: MultiViewVideo, asked: F32, view: int, name: str, images: list[U8]) -> F32:
    width, height = clip.views[view].size
    for n, (_, x, y) in enumerate(asked):
        if not (0 <= x <= width and 0 <= y <= height):
            raise UserError(f"Query {n} is at ({x:g}, {y:g}), but the frames of {name} are {width} x {height} px here.")
    out = np.full((len(asked), WORLD), np.nan, np.float32)
    out[:, 0] = asked[:, 0]
    for t in np.unique(asked[:, 0]).astype(int):
        rows = np.flatnonzero(asked[:, 0] == t)
        depth = depth_of_moment(clip, t)[view][0] if clip.depth_m is None else clip.depth_m[view][t]
        out[rows, 1:] = lift_pixels(images, clip.cameras, view, t, asked[rows, 1:], depth=depth).xyz_w
    for n in np.flatnonzero(~np.isfinite(out[:, 1])):
        t, x, y = asked[n]
        raise UserError(
            f"Query {n} at ({x:g}, {y:g}) of {name}, frame {int(t)}, can't be placed: no other view surely shows the same there; "
            "choose a spot with more texture, or give it in the world as (t, x, y, z)."
        )
    return out


def told_of_unseen(clip: MultiViewVideo, asked: F32) -> list[str]:
    """A sentence where points of the world are asked for in frames in which they lie in no picture."""
    t = asked[:, 0].astype(int)
    within = np.zeros(len(asked), bool)
    for camera in clip.cameras:
        xy, _ = project(asked[:, 1:].astype(np.float64), camera.K[t], camera.T_wc[t])
        with np.errstate(invalid="ignore"):
            within |= ((xy >= 0) & (xy <= camera.size[t])).all(1)
    out = np.flatnonzero(~within)
    if not len(out):
        return []
    first = ", ".join(f"{value:g}" for value in asked[out[0], 1:])
    which = f"Query {out[0]}" if len(out) == 1 else f"{len(out)} of {len(asked)} queries, such as {out[0]},"
    return [
        f"{which} at ({first}), frame {t[out[0]]}, {'lies' if len(out) == 1 else 'lie'} in no view's picture, so nothing can follow there."
    ]


def grid_points(
    clip: MultiViewVideo,
    images: list[U8],
    count: int,
    *,
    view: int = 0,
    name: str | None = None,
    masks: NDArray | None = None,
    report: Report,
) -> F32:
    """(N, 4) queries on what moves, or where masks of one view are given (True is left out), on what they leave.

    Args:
        clip: The views.
        images: Their grey frames.
        count: About how many.
        view: That of the masks.
        name: What sentences call it; None for its number.
        masks: (T, H, W) True where nothing is followed; None for what moves.
        report: Told the progress.

    Raises:
        UserError: masks that don't fit, or nothing that can be placed.
    """
    kept = None
    if masks is not None:
        width, height = clip.views[view].size
        if masks.shape != (len(clip.views[view]), height, width):
            whose = f"view {view}" if name is None else name
            raise UserError(f"The masks have shape {masks.shape}, but {whose} has ({len(clip.views[view])}, {height}, {width}).")
        kept = {int(t): ~masks[t] for t in np.unique(np.linspace(0, len(masks) - 1, 3).astype(int))}
        order = [view, *(v for v in range(len(clip.views)) if v != view)]
        depth = None if clip.depth_m is None else tuple(clip.depth_m[v] for v in order)
        clip = MultiViewVideo(tuple(clip.views[v] for v in order), tuple(clip.cameras[v] for v in order), depth)
        images = [images[v] for v in order]
    found = seed_queries(clip, images, SeedOptions(points=count), masks=kept, report=report)
    if not len(found):
        raise UserError(
            "No moving point could be placed: no two views surely show the same spot; check that views overlap and the calibration fits."
        )
    return found
