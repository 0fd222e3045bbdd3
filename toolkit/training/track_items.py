"""What TracksTo4D's training and its published scores take from a file of tracks: a window of frames, a random choice of tracks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from toolkit.errors import UserError
from toolkit.media.track_npz import TrackFile
from toolkit.models.tracksto4d_scene import normalised, published_intrinsics
from toolkit.scene import F32, F64, B

LEAST_SEEN = 10  # frames of the window; a track must be seen in more
LEAST_WINDOW = 20  # frames, in training


@dataclass(frozen=True)
class Window:
    """Frames that are looked at.

    Attributes:
        start: First frame.
        frames: How many.
        training: Whether tracks must be queried near the middle of it, rather than before its end.
    """

    start: int
    frames: int
    training: bool = False


@dataclass(frozen=True, eq=False)
class TrackItem:
    """One input of the network with its truth; where there are too few tracks the first of the file fills the rest, as published.

    Attributes:
        tracks: (P, 3, N) float32: x and y from the principal point by the focal length, and 1 where seen, else 0.
        real: How many of the P tracks are not filling.
        chosen: (P,) which tracks of the file these are.
        K: (N, 3, 3) float32 intrinsics in pixels.
        T_wc: (N, 4, 4) float32 true world-from-camera from the file, or None.
        depth: (P, N) float32 true depth, 0 where it is not known, or None.
        moving: (P, N) whether a point truly moves, or None.
    """

    tracks: F32
    real: int
    chosen: np.ndarray
    K: F32
    T_wc: F32 | None
    depth: F32 | None
    moving: B | None


def whole_window(file: TrackFile, *, most_frames: int = 50) -> Window:
    """The first frames of a file, as the published scores take them."""
    return Window(0, min(most_frames, file.xy.shape[1]))


def training_window(file: TrackFile, rng: np.random.Generator, *, most_frames: int = 50) -> Window:
    """A random window of 20 frames to fewer than `most_frames`, as in the published training after its 50th epoch.

    Raises:
        UserError: a clip that is too short.
    """
    total = file.xy.shape[1]
    if total <= LEAST_WINDOW:
        raise UserError(f"The clip has {total} frames, but training needs more than {LEAST_WINDOW}.")
    frames = int(rng.integers(LEAST_WINDOW, min(most_frames, total)))
    return Window(int(rng.integers(0, total - frames)), frames, training=True)


def published_item(file: TrackFile, window: Window | None = None, *, most_tracks: int = 1000, seed: int = 0) -> TrackItem:
    """The published choice of tracks, normalised.

    Args:
        file: Tracks of one video.
        window: Frames that are looked at; by default the first 50.
        most_tracks: How many tracks the item has.
        seed: Of the choice: the same as `torch.manual_seed(seed)` gives in the published code.

    Raises:
        UserError: no track is seen long enough.
    """
    window = window or whole_window(file)
    frames = slice(window.start, window.start + window.frames)
    visible = file.visible[:, frames]
    if window.training:
        near = np.abs(file.started_at - (window.start + window.frames / 2)) < window.frames
    else:
        near = file.started_at < window.start + window.frames
    candidates = np.flatnonzero((visible.sum(1) > LEAST_SEEN) & near)
    if len(candidates) == 0:
        raise UserError(f"None of the {len(visible)} tracks is seen in more than {LEAST_SEEN} of the {window.frames} frames.")
    order = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed)).numpy()[:most_tracks]
    chosen = np.zeros(most_tracks, np.int64)
    chosen[: len(order)] = candidates[order]
    if file.K is None:
        K: F64 = published_intrinsics(file.xy[:, frames].swapaxes(0, 1), visible.T, window.frames)
    else:
        K = file.K[frames]
    seen = visible[chosen]
    uv = normalised(file.xy[chosen][:, frames], K)
    return TrackItem(
        tracks=np.concatenate([uv, seen[..., None]], axis=-1).astype(np.float32).transpose(0, 2, 1),
        real=len(order),
        chosen=chosen,
        K=K.astype(np.float32),
        T_wc=None if file.T_wc is None else file.T_wc[frames].astype(np.float32),
        depth=None if file.depth is None else file.depth[chosen][:, frames],
        moving=None if file.moving is None else file.moving[chosen][:, frames],
    )
