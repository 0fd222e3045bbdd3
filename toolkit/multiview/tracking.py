"""Points followed through several calibrated views, without learned weights: all steps in their order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.disk_arrays import TOGETHER, large_empty, let_go, pieces
from toolkit.multiview.bodies import Body, BodyOptions, find_bodies, supposed_bodies
from toolkit.multiview.body_search import SearchOptions, find_again
from toolkit.multiview.follow_options import FollowOptions
from toolkit.multiview.following import ViewTracks, follow
from toolkit.multiview.fusing import FusionOptions, fuse
from toolkit.multiview.hiding import hidden_at_queries
from toolkit.multiview.one_view import on_rays
from toolkit.multiview.smoothing import SmoothingOptions, smooth
from toolkit.multiview.surfaces import Surfaces, layers_of, surfaces_of
from toolkit.multiview.things import ThingOptions, follow_thing
from toolkit.multiview.triangulation import TWO_VIEWS_DEG, Triangulated, projections, triangulate
from toolkit.multiview.view_results import MultiViewTracks, scale_of, told
from toolkit.progress import Report, silent
from toolkit.scene import F32, F64, U8, MultiViewVideo


@dataclass(frozen=True)
class MultiViewOptions:
    """Everything that can be set; see the parts.

    Attributes:
        follow: How points are followed in the views.
        bodies: What counts as a rigid thing.
        search: How it is found again by what it looks like; None for not at all.
        fusion: How a point and its rigid thing are weighed.
        smoothing: How paths are smoothed.
        things: What counts as the middle of a round thing.
        poor: A point that is known in a smaller share of the frames may be such a middle.
        most_things: So many are tried at most: each looks at all views.
    """

    follow: FollowOptions = field(default_factory=FollowOptions)
    bodies: BodyOptions = field(default_factory=BodyOptions)
    search: SearchOptions | None = field(default_factory=SearchOptions)
    fusion: FusionOptions = field(default_factory=FusionOptions)
    smoothing: SmoothingOptions = field(default_factory=SmoothingOptions)
    things: ThingOptions = field(default_factory=ThingOptions)
    poor: float = 0.7
    most_things: int = 24


def grey_views(clip: MultiViewVideo) -> list[U8]:
    """V arrays (T, H, W) of grey frames."""
    out = []
    for view in clip.views:
        grey = large_empty(view.frames.shape[:3], np.uint8)
        for t, frame in enumerate(view.frames):
            grey[t] = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            if not t % TOGETHER:
                let_go()
        out.append(grey)
    return out


def track_views(
    clip: MultiViewVideo,
    queries: F32,
    options: MultiViewOptions | None = None,
    *,
    images: list[U8] | None = None,
    report: Report = silent,
) -> MultiViewTracks:
    """Follows points of the world through all views, both ways in time.

    Each view is followed window by window; triangulation over all views drops those that are wrong and takes up those that lost the
    point; points that keep their distances are found to be one rigid thing, which then tells where those are that no two views see;
    paths are smoothed both ways in time.

    Args:
        clip: Synchronised views with known cameras.
        queries: (N, 4) (t, x, y, z), in the world and unit of the cameras.
        options: How.
        images: The grey frames, where they are at hand.
        report: Told the progress.
    """
    options = options or MultiViewOptions()
    if len(clip.views) == 2:  # noqa: PLR2004 (no third view tells whether two that face each other show the same)
        facing = replace(options.follow.triangulation, most_angle_deg=TWO_VIEWS_DEG)
        options = replace(options, follow=replace(options.follow, triangulation=facing))
    images = grey_views(clip) if images is None else images
    asked = np.asarray(queries, np.float32)
    N, T = len(asked), len(images[0])
    P = projections(clip.cameras)
    if not N:
        nowhere = np.zeros((0, T, 3))
        return told(clip, asked.reshape(0, 4), ViewTracks.unknown(len(images), 0, T), nowhere, np.zeros((0, T)), 0, 0.0, None)
    surfaces = surfaces_of(clip, asked)
    known_of = {"hidden": hidden_at_queries(clip, images, asked, surfaces), "surfaces": surfaces, "layers": layers_of(images, surfaces)}
    seen = follow(images, clip.cameras, asked, options.follow, report=report, **known_of)
    placed = _placed(seen, P, options, surfaces)
    xyz, sigma = placed.xyz.reshape(N, T, 3), placed.sigma.reshape(N, T)
    bodies = find_bodies(xyz, sigma, options.bodies)
    loose = np.ones(N, bool)
    for body in bodies:
        loose[body.members] = False
    # Windows on a thing that turns are lost, or carried around it; where few points are asked for, each is looked at.
    loose = (loose & (options.most_things >= N)) | (np.isfinite(xyz[..., 0]).mean(1) < options.poor)
    tried = {int(n): follow_thing(clip, asked[n], P, options.things) for n in np.flatnonzero(loose)[: options.most_things]}
    things = {n: thing for n, thing in tried.items() if thing is not None}
    free = np.ones(N, bool)
    for body in bodies:
        free[body.members] = False
    free[list(things)] = False
    supposed = supposed_bodies(asked, T, free & (np.isfinite(xyz[..., 0]).sum(1) < 3), options.bodies)  # noqa: PLR2004
    bodies = [*bodies, *supposed]
    if options.search is not None and bodies:
        bodies = [find_again(body, seen, images, clip.cameras, P, options.search) for body in bodies]
        places = _places(bodies, N, T)
        seen = follow(images, clip.cameras, asked, options.follow, places=places, **known_of)
        placed = _placed(seen, P, options, surfaces)
        xyz, sigma = placed.xyz.reshape(N, T, 3), placed.sigma.reshape(N, T)
    xyz, sigma, _ = fuse(xyz, sigma, bodies, options.fusion)
    for n, thing in things.items():
        seen.xy[:, n], seen.sigma_px[:, n], xyz[n], sigma[n] = thing.xy, thing.sigma_px, thing.xyz, thing.sigma
    rows, moments = np.arange(N), asked[:, 0].astype(int)
    # A ball's middle is where its outline puts it; what was asked for lay about there and says nothing of the frames beside.
    own = np.isin(rows, list(things)) & np.isfinite(xyz[rows, moments, 0])
    xyz[rows, moments] = np.where(own[:, None], xyz[rows, moments], asked[:, 1:])
    sigma[rows, moments] = np.nanmin(np.column_stack([sigma[rows, moments], np.full(N, _typical(sigma))]), axis=1)
    doubt = _doubt(sigma, placed)
    alone_xyz, alone_doubt, alone = on_rays(seen, xyz, clip.cameras)
    xyz[alone], doubt[alone] = alone_xyz[alone], alone_doubt[alone]
    path, spread = smooth(xyz, doubt, scale=scale_of(clip.cameras, asked), weak=alone, options=options.smoothing)
    path[rows, moments] = asked[:, 1:]
    return told(clip, asked, seen, path, spread, len(bodies), options.follow.adopted_px, surfaces)


def _placed(seen: ViewTracks, P: F64, options: MultiViewOptions, surfaces: Surfaces | None) -> Triangulated:
    """Where all views together see the points in each frame, (N * T) of them."""
    V, N, T = seen.sigma_px.shape
    around, share = None, 0.02
    if surfaces is not None:
        around = np.array([[surfaces.around(v, t, seen.xy[v, :, t]) for t in range(T)] for v in range(V)])  # (V, T, 2, N)
        share = surfaces.share
    found = []
    for some in pieces(N, T * V * P[0, 0].size):
        count = len(range(*some.indices(N)))
        xy = seen.xy[:, some].transpose(1, 2, 0, 3).reshape(count * T, V, 2)
        sigma = seen.sigma_px[:, some].transpose(1, 2, 0).reshape(count * T, V)
        depth = None if around is None else tuple(around[..., some].transpose(2, 3, 1, 0).reshape(2, count * T, V))
        every = np.tile(P.transpose(1, 0, 2, 3), (count, 1, 1, 1))
        found.append(triangulate(xy, sigma, every, options.follow.triangulation, depth=depth, depth_share=share))  # type: ignore[arg-type]
    return Triangulated(*(np.concatenate([getattr(f, name) for f in found]) for name in ("xyz", "covariance", "inlier", "residual_px")))


def _doubt(sigma: F64, placed: Triangulated) -> F64:
    """(N, T, 3, 3) covariance: as views tell it, where nothing else changed how sure a place is."""
    told = placed.covariance.reshape(*sigma.shape, 3, 3)
    same = np.isclose(np.sqrt(np.trace(told, axis1=-2, axis2=-1) / 3), sigma, rtol=1e-6)
    known = np.where(np.isfinite(sigma), sigma, np.nan)  # of a point that no view ever saw nothing is known: no number times zero
    return np.where(same[..., None, None], told, known[..., None, None] ** 2 * np.eye(3))


def _places(bodies: list[Body], points: int, frames: int) -> F64:
    """(N, T, 3) where rigid things put their points."""
    out = np.full((points, frames, 3), np.nan)
    for body in bodies:
        out[body.members] = np.einsum("tij,mj->mti", body.T_wb[:, :3, :3], body.shape) + body.T_wb[:, :3, 3]
    return out


def _typical(sigma: NDArray) -> float:
    known = sigma[np.isfinite(sigma)]
    return float(np.median(known)) if len(known) else np.inf
