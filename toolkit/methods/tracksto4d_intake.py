"""What TracksTo4D takes in: tracks and a lens, checked, each fault told in one sentence; and what a network believes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import UserError
from toolkit.geometry.cameras import checked_intrinsics, intrinsics_from_fov
from toolkit.geometry.poses import nearest_rotation
from toolkit.methods.video_intake import weights_file
from toolkit.scene import F32, F64, B, Tracks2D, Video
from toolkit.sfm.bundle import Beliefs
from toolkit.sfm.track_observed import Observed
from toolkit.sfm.track_prior import Belief
from toolkit.sfm.track_table import observed
from toolkit.tracking.texture import slip_px
from toolkit.wording import counted

if TYPE_CHECKING:
    from toolkit.models.tracksto4d import TracksTo4D

USUAL_FOV_DEG = 60.0
"""Horizontal field of view of a camera that nothing is known of: between a phone's wide lens and its normal one."""
NARROWEST_DEG, WIDEST_DEG = 0.3, 160.0
"""No flat picture shows more, and no lens of a camera less."""
MASK_AXES = 3  # (T, H, W)
LEAST_TRACKS, LEAST_FRAMES, LEAST_SEEN = 8, 3, 3
MOST_FRAMES = 2000
MOST_SAMPLES = 30_000_000
NETWORK_TRACKS = 256
"""Tracks that a network is asked about at a time: attention goes with their square."""
PACKAGED_NAME = "tracksto4d.safetensors"


@dataclass(frozen=True, eq=False)
class Given:
    """Tracks ready to be explained.

    Attributes:
        tracks: As they came.
        seen: (N, T) samples that count: seen, finite, in the picture, not masked.
        observed: The same for the adjustment.
        K: (3, 3) intrinsics in pixels, true or assumed.
        focal_known: Whether K was given.
        size: (width, height) in pixels.
        dropped: Samples that are seen but don't count, by why.
    """

    tracks: Tracks2D
    seen: B
    observed: Observed
    K: F64
    focal_known: bool
    size: tuple[int, int]
    dropped: dict[str, int]


def taken_in(tracks: Tracks2D, K: ArrayLike | None, size: Any, masks: B | None = None) -> Given:
    """Tracks checked.

    Args:
        tracks: N tracks of T frames.
        K: (3, 3) intrinsics in pixels, or None.
        size: (width, height) of the frames.
        masks: (T, H, W) True where nothing counts.

    Raises:
        UserError: what they lack, in one sentence.
    """
    if not isinstance(tracks, Tracks2D):
        raise UserError(f"Tracks2D are needed, but this is {type(tracks).__name__}.")
    picture = _checked_size(size)
    count, frames = tracks.visible.shape
    if count < LEAST_TRACKS:
        raise UserError(f"{counted(count, 'track')} came, but at least {LEAST_TRACKS} are needed to find a camera; some hundred are good.")
    if frames < LEAST_FRAMES:
        raise UserError(f"The tracks go through {counted(frames, 'frame')}, but at least {LEAST_FRAMES} are needed.")
    if frames > MOST_FRAMES:
        raise UserError(f"The tracks go through {frames} frames, but at most {MOST_FRAMES} can be explained; leave out frames between.")
    if count * frames > MOST_SAMPLES:
        step = -(-count * frames // MOST_SAMPLES)
        raise UserError(f"{count} tracks through {frames} frames are too many at once; choose every {step}th track.")
    if masks is not None and (masks.ndim != MASK_AXES or not masks.size):
        raise UserError(f"The masks have shape {masks.shape}, but (frames, height, width) is needed.")
    if masks is not None and len(masks) != frames:
        raise UserError(f"{len(masks)} masks came with tracks through {frames} frames; one each is needed.")
    finite = np.isfinite(tracks.xy).all(-1)
    seen = observed(tracks, picture, masks) & finite
    dropped = {
        "not_finite": int((tracks.visible & ~finite).sum()),
        "outside_or_masked": int((tracks.visible & finite & ~seen).sum()),
    }
    enough = seen.sum(1) >= min(LEAST_SEEN, frames)
    if enough.sum() < LEAST_TRACKS:
        raise UserError(
            f"Only {int(enough.sum())} of {count} tracks are seen inside the picture of {picture[0]} x {picture[1]} px in {LEAST_SEEN} "
            f"frames or more, but at least {LEAST_TRACKS} are needed; check size and which samples are visible."
        )
    lens = _checked_lens(K, picture)
    focal = np.array([lens[0, 0], lens[1, 1]])
    xy = np.where(seen[..., None], tracks.xy, 0).swapaxes(0, 1)
    uv = np.where(seen.T[..., None], (xy - lens[:2, 2]) / focal, 0.0)
    sure = seen.T.astype(np.float64)
    sure[:, ~enough] = 0
    table = Observed(np.ascontiguousarray(uv), np.ascontiguousarray(sure), float(1 / focal.mean()), Beliefs(), free_focal=K is None)
    return Given(tracks, seen, table, lens, K is not None, picture, dropped)


def with_texture(given: Given, video: Video | None) -> Given:
    """The same, where pictures tell which tracks may have slipped: those count less, and have to stray further to be taken for moving."""
    if video is None:
        return given
    slip = slip_px(video.frames, _begun(given)).astype(np.float64)
    return replace(given, observed=replace(given.observed.weighted(1 / (1 + slip**2)), slip=slip))


def _begun(given: Given) -> F32:
    """(N, 3) (t, x, y) where tracks began: as they were asked for, or, where that is no place, where they first count."""
    queries, first = given.tracks.queries, given.seen.argmax(1)
    seen_at = np.column_stack([first, given.tracks.xy[np.arange(len(first)), first]])
    told = np.isfinite(queries).all(1, keepdims=True)
    return np.nan_to_num(np.where(told, queries, seen_at), posinf=0, neginf=0).astype(
        np.float32
    )  # of those that never count any place does


def _checked_size(size: Any) -> tuple[int, int]:
    numbers = np.asarray(size)
    if numbers.shape != (2,) or numbers.dtype.kind not in "iu" or not (numbers > 0).all():
        raise UserError(f"The size is {size!r}, but (width, height) of the frames in whole pixels is needed.")
    return int(numbers[0]), int(numbers[1])


def _checked_lens(K: ArrayLike | None, size: tuple[int, int]) -> F64:
    if K is None:
        return intrinsics_from_fov(USUAL_FOV_DEG, (max(size), max(size))) + np.array(
            [[0, 0, 0.5 * (size[0] - max(size))], [0, 0, 0.5 * (size[1] - max(size))], [0, 0, 0]]
        )
    try:
        lens = np.asarray(K, np.float64)
    except (TypeError, ValueError) as problem:
        raise UserError(f"K is {str(K)[:40]!r}, but (3, 3) numbers in pixels are needed.") from problem
    if lens.shape != (3, 3):
        raise UserError(f"K has shape {lens.shape}, but (3, 3) is needed.")
    lens = checked_intrinsics(lens, "K")
    widest = np.degrees(2 * np.arctan(0.5 * max(size[0] / lens[0, 0], size[1] / lens[1, 1])))
    if not NARROWEST_DEG <= widest <= WIDEST_DEG:
        raise UserError(
            f"K has a focal length of {lens[0, 0]:g} px, with which a picture of {size[0]} x {size[1]} px would span {widest:.3g} degrees; "
            "give K in pixels of these frames, or leave it out to have it found."
        )
    return lens


def checked_weights(weights: Any) -> Path | None:
    """The file of weights that is meant, "auto" for those that come with the package; None for none.

    Raises:
        UserError: no such file.
    """
    return weights_file(weights, PACKAGED_NAME)


def read_network(file: Path) -> TracksTo4D:
    """The network of a file.

    Raises:
        UserError: not a file of such weights.
    """
    from toolkit.models.tracksto4d import TracksTo4D

    return TracksTo4D.from_pretrained(file).eval()


def network_of(network: TracksTo4D, given: Given) -> Callable[[NDArray, slice], Belief | None]:
    """What a network believes of tracks."""

    def believed(rows: NDArray, frames: slice) -> Belief | None:
        part = Tracks2D(
            np.where(given.seen[rows, frames, None], given.tracks.xy[rows, frames], 0),
            given.seen[rows, frames],
            given.tracks.confidence[rows, frames],
            given.tracks.queries[rows],
        )
        if len(rows) > NETWORK_TRACKS or not part.visible.any(1).all() or not part.visible.any(0).all():
            return None
        lift = network.lift(part, given.K, given.size)
        # Rounded as its numbers are, a rotation of a network would stretch the world a little from frame to frame.
        R, c = nearest_rotation(lift.T_wc[:, :3, :3]), lift.T_wc[:, :3, 3]
        depth = np.einsum("tj,ptj->tp", R[:, :, 2], lift.xyz - c)
        return Belief(R, c, lift.still_xyz, lift.gamma, depth)

    return believed
