"""Dropping tracks that cannot be trusted: those that drift, slide off their surface, or never have a depth, with the reason of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.disk_arrays import large_empty, pieces
from toolkit.errors import UserError
from toolkit.geometry import sampling
from toolkit.lifting.company import CompanyOptions, moves_alone
from toolkit.lifting.jump import largest_jump
from toolkit.lifting.motion import known_samples, scene_motion
from toolkit.scene import B, Cameras, Tracks2D, Tracks3D

# ADE20K classes as numbered in its label images, 0 for no class (Stereo4D step 5)
STATIC_CLASSES = (1, 2, 7, 12, 14)  # wall, building, road, sidewalk, earth
SKY_CLASSES = (3,)


@dataclass(frozen=True)
class DriftOptions:
    """When a track is dropped.

    Attributes:
        static_classes: Labels of things that cannot move.
        sky_classes: Labels without a depth.
        drift_px: Displacement over which a point on such a thing drifts (Stereo4D step 5: over 5 px).
        least_depth_share: Where depth is known in a smaller share of the frames that show a track, it is made up there: a match by chance
            on a sky or a bare wall.
        fewest_samples: Tracks with fewer known positions are too short to be checked or smoothed; in a clip of two frames two are all.
        largest_sigma_px: Median image error over which a track is unsure; beyond, it is a guess on bare surface.
        least_confidence: Median confidence under which it is.
        jump_ratio: Lasting change of inverse depth between neighbouring samples, as a share, over which a track slid to another surface.
        jump_sigmas: The change must also be as many standard deviations.
        company: When a moving track moves alone.
    """

    static_classes: tuple[int, ...] = STATIC_CLASSES
    sky_classes: tuple[int, ...] = SKY_CLASSES
    drift_px: float = 5.0
    least_depth_share: float = 0.25
    fewest_samples: int = 3
    largest_sigma_px: float = 3.0
    least_confidence: float = 0.2
    jump_ratio: float = 0.35
    jump_sigmas: float = 6.0
    company: CompanyOptions = field(default_factory=CompanyOptions)


@dataclass(frozen=True, eq=False)
class DriftFilter:
    """Which tracks stay, and why the others do not.

    Attributes:
        keep: (N,) tracks that stay.
        reason: (N,) text: "" for those; with labels "sky", "boundary" or "drift"; without "no depth", "short", "unsure", "jump" or "drift".
    """

    keep: B
    reason: NDArray[np.str_]

    def __str__(self) -> str:
        """For a person: "1359 of 1500 tracks kept; drift 120, sky 21"."""
        dropped, counts = np.unique(self.reason[~self.keep], return_counts=True)
        listed = ", ".join(f"{r} {c}" for r, c in zip(dropped, counts, strict=True))
        return f"{int(self.keep.sum())} of {len(self.keep)} tracks kept" + (f"; {listed}" if listed else "")


def filter_drift(
    tracks_2d: Tracks2D,
    tracks_3d: Tracks3D,
    cameras: Cameras,
    labels: NDArray | None = None,
    *,
    lookup: Literal["published", "exact"] = "published",
    options: DriftOptions | None = None,
) -> DriftFilter:
    """Finds tracks that are wrong although they look tracked.

    With labels, the published rules (Stereo4D step 5): a track is dropped that touches the sky, that lies on a thing which cannot
    move in some but not all of its frames, or that moves while on such a thing.
    Without, by what can be measured: a track is dropped that has no or hardly any depth, whose image error is large, whose depth
    jumps lastingly (it slid off its surface), or that moves although none of its neighbours on the same surface moves with it.

    Args:
        tracks_2d: N tracks of T frames in pixels.
        tracks_3d: The same tracks in the world, from `lift_tracks`; its `motion` says which of them move.
        cameras: T cameras.
        labels: (T, H, W) integers, a class per pixel of each frame, from any source.
        lookup: "published" reads labels at rounded coordinates, half a pixel off, for the published decisions to the track;
            "exact" in the pixel under each sample.
        options: When a track is dropped.

    Raises:
        UserError: tracks, cameras and labels do not belong together.
    """
    options = options or DriftOptions()
    if tracks_2d.visible.shape != tracks_3d.visible.shape:
        raise UserError(f"There are {tracks_2d.visible.shape} samples in 2D, but {tracks_3d.visible.shape} in 3D; both must be alike.")
    if labels is None:
        return _measured(tracks_2d, tracks_3d, cameras, options)
    labels = np.asarray(labels)
    if labels.ndim != 3 or len(labels) != tracks_2d.visible.shape[1] or labels.dtype.kind not in "iub":
        wanted = f"({tracks_2d.visible.shape[1]}, height, width)"
        raise UserError(f"The labels are {labels.dtype} of shape {labels.shape}, but whole numbers of shape {wanted} are needed.")
    return _labelled(tracks_2d, tracks_3d, cameras, labels, lookup, options)


def poor_tracks(
    tracks_2d: Tracks2D, tracks_3d: Tracks3D | None = None, cameras: Cameras | None = None, *, options: DriftOptions | None = None
) -> NDArray[np.str_]:
    """Tracks with too little to them for any rule about motion: worth leaving out before anything costly.

    Args:
        tracks_2d: N tracks of T frames in pixels.
        tracks_3d: The same tracks in the world, from `lift_tracks`; None judges them by the image alone.
        cameras: T cameras, with `tracks_3d`.
        options: When a track is too poor.

    Returns:
        (N,) text: "short", "no depth", "unsure", or "" for the others.
    """
    known = tracks_2d.visible if tracks_3d is None or cameras is None else known_samples(tracks_3d, cameras)
    rules = _poor(tracks_2d, known, options or DriftOptions())
    return _with_reasons(len(tracks_2d), rules).reason


def _labelled(
    tracks_2d: Tracks2D, tracks_3d: Tracks3D, cameras: Cameras, labels: NDArray, lookup: str, options: DriftOptions
) -> DriftFilter:
    """The published rules."""
    at_point = np.zeros(tracks_2d.visible.shape, labels.dtype)
    for t in range(len(labels)):
        xy = tracks_2d.xy[:, t]
        if lookup == "published":
            at_point[:, t] = _rounded_lookup(labels[t], xy)
        else:
            at_point[:, t] = np.where(sampling.inside(xy, labels.shape[:0:-1]), sampling.sample_nearest(labels[t], xy), 0)
    seen = tracks_2d.visible
    static = np.isin(at_point, options.static_classes)
    sky = (seen & np.isin(at_point, options.sky_classes)).any(1)
    on_static = (seen & static).sum(1)
    boundary = (on_static > 0) & (on_static < seen.sum(1))
    moved = scene_motion(tracks_3d, cameras) > options.drift_px
    drift = (moved & known_samples(tracks_3d, cameras) & static).any(1)
    return _with_reasons(len(seen), {"sky": sky, "drift": drift, "boundary": boundary})


def _rounded_lookup(labels: NDArray, xy: NDArray) -> NDArray:
    """Labels at coordinates rounded half to even, 0 outside the image, as published."""
    h, w = labels.shape
    column, row = np.round(np.nan_to_num(np.clip(xy, 0, None), nan=-1.0)).astype(np.int64).T
    within = (column >= 0) & (row >= 0) & (column < w) & (row < h)
    return np.where(within, labels[np.clip(row, 0, h - 1), np.clip(column, 0, w - 1)], 0)


def _measured(tracks_2d: Tracks2D, tracks_3d: Tracks3D, cameras: Cameras, options: DriftOptions) -> DriftFilter:
    """The rules that need no labels."""
    known = known_samples(tracks_3d, cameras)
    poor = _poor(tracks_2d, known, options)
    jump = largest_jump(tracks_3d, cameras, least_sigmas=options.jump_sigmas) > options.jump_ratio
    useless = poor["no depth"] | jump | poor["unsure"]
    usable = large_empty(known.shape, np.bool_)
    np.logical_and(known, ~useless[:, None], out=usable)
    drift = moves_alone(tracks_2d, tracks_3d, cameras, usable, options.company)
    return _with_reasons(len(known), {**poor, "jump": jump, "drift": drift})


def _poor(tracks_2d: Tracks2D, known: B, options: DriftOptions) -> dict[str, B]:
    """(N,) by reason, from what single tracks tell."""
    count = known.sum(1)
    short = (count > 0) & (count < min(options.fewest_samples, max(2, known.shape[1])))
    no_depth = ~short & ((count == 0) | (count < options.least_depth_share * tracks_2d.visible.sum(1)))
    unsure = _median(tracks_2d.confidence, tracks_2d.visible, 1.0) < options.least_confidence
    if tracks_2d.sigma_px is not None:
        unsure |= _median(tracks_2d.sigma_px, tracks_2d.visible, 0.0) > options.largest_sigma_px
    return {"no depth": no_depth, "short": short, "unsure": np.asarray(unsure)}


def _median(values: NDArray, seen: B, unknown: float) -> NDArray:
    """(N,) median over the seen samples that are numbers; `unknown` where there are none."""
    out = np.full(len(values), unknown)
    for some in pieces(*seen.shape):
        usable = seen[some] & np.isfinite(values[some])
        rows = np.flatnonzero(usable.any(1))
        if len(rows):
            out[some.start + rows] = np.nanmedian(np.where(usable[rows], values[some][rows], np.nan), axis=1)
    return out


def _with_reasons(count: int, rules: Mapping[str, NDArray | np.bool_]) -> DriftFilter:
    """The first rule that applies gives the reason."""
    reason = np.full(count, "", dtype=f"<U{max(map(len, rules))}")
    for name, dropped in rules.items():
        reason[dropped & (reason == "")] = name
    return DriftFilter(reason == "", reason)
