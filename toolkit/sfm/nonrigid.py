"""Deforming points under an orthographic camera: depth of every point and the turn of every frame, from 2D tracks alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import UserError
from toolkit.progress import Report, silent
from toolkit.scene import F64, B, Tracks2D
from toolkit.sfm.nonrigid_refine import Prior
from toolkit.sfm.nonrigid_search import NonrigidSettings, Search
from toolkit.sfm.nonrigid_start import factor_rigid, rigid_body
from toolkit.sfm.nonrigid_tracks import complete, smooth_paths
from toolkit.wording import counted

LEAST_FRAMES, LEAST_TRACKS = 3, 8
LEAST_SHARE = 0.1  # of the frames that a track must be seen in: else its path is mostly guessed
LEAST_TURN_DEG = 4.0  # under it depth follows from deformation as well as from the turn
FLAT = 1e-6  # third singular value of the tracks by the first: under it they show no depth, only rounding


@dataclass(frozen=True, eq=False)
class NonrigidShapes:
    """A body that deforms before an orthographic camera.

    Attributes:
        xyz: (N, T, 3) float64 points in the axes of each frame's camera: x and y in the unit and place of the input, z the distance
            behind the centroid of the frame. NaN for tracks that were seen too seldom. All z may have the wrong sign together: the mirrored
            body, turning the other way, gives the same views.
        R_cw: (T, 3, 3) float64 rotation of each frame, camera from body.
        report: "score" of each start by its window in frames or its number of shapes, lower is likelier among starts of one kind,
            "chosen"; "noise" of the tracks in
            their unit; "turn_deg", how far the camera turns; "tracks" that were used; "warnings" for a person.
    """

    xyz: F64
    R_cw: F64
    report: dict[str, Any]

    @property
    def body(self) -> F64:
        """(N, T, 3) the points in the axes of the body, about their centroid."""
        centred = self.xyz - np.nanmean(self.xyz, axis=0)
        return np.einsum("tij,nti->ntj", self.R_cw, centred)


def nonrigid_shapes(
    tracks: Tracks2D | ArrayLike, *, settings: NonrigidSettings | None = None, prior: Prior | None = None, report: Report = silent
) -> NonrigidShapes:
    """Depth of deforming points, and how the camera turns about them, from 2D tracks under an orthographic camera.

    Noise is smoothed away as far as the tracks show it. Short windows are rigid enough to be factorised (Tomasi and Kanade 1992); their
    depths, signs made to agree, start a joint search for the depths and rotations whose shapes have the least log det of covariance
    and change smoothly (see `nonrigid_refine`). Where the camera turns slowly windows tell no depth: further starts take the body for a
    mixture of 2 to 6 shapes (see `nonrigid_bases`). The likeliest result of all, by the same measure, is taken. Nothing is set for a
    clip: neither a rank nor a basis.

    Args:
        tracks: Tracks2D, or (N, T, 2) x and y of N tracks over T frames in any unit; NaN where not seen.
        settings: How the search goes.
        prior: How smooth deformations are.
        report: Told (rounds done, rounds in all); may raise `Cancelled`.

    Returns:
        Points in each frame's camera axes, and rotations. x and y are the observed ones, smoothed.

    Raises:
        UserError: another shape, fewer than 3 frames or 8 tracks, nothing seen, or points that never turn.
    """
    settings = settings or NonrigidSettings()
    xy, seen = _observations(tracks)
    kept = _seen_enough(seen)
    xy, seen = xy[:, :, kept], seen[:, kept]
    filled, noise = smooth_paths(complete(xy, seen, rank=settings.completion_rank, rounds=settings.completion_rounds))
    centre = filled.mean(2)
    centred = filled - centre[:, :, None]
    unit = _unit(centred)
    best = Search(filled / unit, seen, centred / unit, centre / unit, settings, prior or Prior(), report).best()
    xyz = np.full((len(kept), len(xy), 3), np.nan)
    points = best.estimate.xyz.copy()
    points[:, :2] += best.estimate.centre[:, :, None]
    xyz[kept] = (unit * points).transpose(2, 0, 1)
    turn_deg = _turn_deg(best.estimate.R)
    warnings = []
    if turn_deg < LEAST_TURN_DEG:
        warnings.append(
            f"The camera turns about the points by {turn_deg:.1f} degrees only (root mean square, out of the image): "
            "how deep they are is not known, and depth may be stretched or flattened."
        )
    found: dict[str, Any] = {"turn_deg": turn_deg, "warnings": warnings, "noise": noise, "tracks": int(kept.sum())}
    return NonrigidShapes(xyz, best.estimate.R, found | {"score": best.scores, "chosen": best.start})


def _turn_deg(R: F64) -> float:
    """Root mean square angle of the viewing directions, in the axes of the body, about their mean; a turn in the image plane is none."""
    mean = R[:, 2].mean(0)
    length = float(np.linalg.norm(mean))
    cosine = R[:, 2] @ mean / length if length > 0 else np.zeros(len(R))
    return float(np.rad2deg(np.sqrt(np.mean(np.arccos(np.clip(cosine, -1, 1)) ** 2))))


def rigid_shapes(tracks: Tracks2D | ArrayLike) -> F64:
    """The rigid body that explains the tracks best, in the axes of each frame's camera: what non-rigid methods are measured beside.

    Args:
        tracks: As for `nonrigid_shapes`.

    Returns:
        (N, T, 3) points about the centroid of their frame, NaN for tracks that were seen too seldom.

    Raises:
        UserError: as `nonrigid_shapes`.
    """
    settings = NonrigidSettings()
    xy, seen = _observations(tracks)
    kept = _seen_enough(seen)
    filled = complete(xy[:, :, kept], seen[:, kept], rank=settings.completion_rank, rounds=settings.completion_rounds)
    centred = filled - filled.mean(2, keepdims=True)
    _unit(centred)
    R = factor_rigid(centred)
    xyz = np.full((len(kept), len(xy), 3), np.nan)
    xyz[kept] = (R @ rigid_body(centred, R)).transpose(2, 0, 1)
    return xyz


def _observations(tracks: Tracks2D | ArrayLike) -> tuple[F64, B]:
    """(T, 2, N) points, 0 where not seen, and (T, N) where they were."""
    if isinstance(tracks, Tracks2D):
        xy = np.where(tracks.visible[..., None], tracks.xy, np.nan).astype(np.float64)
    else:
        xy = np.asarray(tracks)
        if xy.dtype.kind not in "biuf":
            raise UserError(f"The tracks hold {xy.dtype}, but numbers are needed.")
        xy = xy.astype(np.float64)
    if xy.ndim != 3 or xy.shape[2] != 2:  # noqa: PLR2004  (N, T, 2)
        raise UserError(f"The tracks have shape {xy.shape}, but (tracks, frames, 2) is needed.")
    if xy.shape[0] < LEAST_TRACKS or xy.shape[1] < LEAST_FRAMES:
        raise UserError(
            f"Only {counted(xy.shape[0], 'track')} over {counted(xy.shape[1], 'frame')} came, "
            f"but at least {LEAST_TRACKS} tracks and {LEAST_FRAMES} frames are needed."
        )
    seen = np.asarray(np.isfinite(xy).all(2))
    return np.where(seen[..., None], xy, 0.0).transpose(1, 2, 0), seen.T


def _seen_enough(seen: B) -> B:
    """(N,) which tracks were seen in enough frames to say anything."""
    kept = seen.sum(0) >= max(LEAST_FRAMES, LEAST_SHARE * len(seen))
    if kept.sum() < LEAST_TRACKS:
        raise UserError(
            f"Only {int(kept.sum())} of {counted(seen.shape[1], 'track')} are seen in at least {LEAST_FRAMES} frames and "
            f"{LEAST_SHARE:.0%} of the clip, but {LEAST_TRACKS} are needed."
        )
    return kept


def _unit(centred: F64) -> float:
    """Spread of the points, by which all lengths are divided."""
    singular = np.linalg.svd(centred.reshape(-1, centred.shape[2]), compute_uv=False)
    if singular[2] <= FLAT * singular[0]:
        raise UserError(
            "The tracks neither turn nor deform, as if the camera stood or everything were in one plane: nothing tells their depth; "
            "a camera that moves around is needed."
        )
    return float(centred.std())
