"""Fine-tuning of TracksTo4D on one video: which of its tracks the network learns from, and what that changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import UserError
from toolkit.methods.tracksto4d_intake import Given, checked_weights
from toolkit.progress import Report
from toolkit.scene import Tracks2D
from toolkit.sfm.track_clip import windows_of
from toolkit.sfm.track_hypotheses import far_apart

if TYPE_CHECKING:
    from toolkit.models.tracksto4d import TracksTo4D

MOST_STEPS = 5000
MOST_SAMPLES = 8192
"""Tracks times frames that are learned from at once: with the published network that takes 2.3 GB."""
MOST_WINDOWS = 4
"""Of longer clips so many windows are learned from, evenly spread."""


def checked_finetuning(steps: Any, weights: Any) -> int:
    """The number of steps.

    Raises:
        UserError: no such number, or no network to fine-tune.
    """
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or not 0 <= steps <= MOST_STEPS:
        raise UserError(f"The setting finetune_steps is {steps!r}, but a whole number from 0 to {MOST_STEPS} is needed.")
    if steps and checked_weights(weights) is None:
        why = "none come with this installation" if weights == "auto" else "weights are none"
        raise UserError(
            f"{steps} steps of fine-tuning were asked for, but {why}, so there is no network to fine-tune; give the path of its weights."
        )
    return int(steps)


def finetuned(
    network: TracksTo4D, given: Given, steps: int, *, window: int, overlap: int, report: Report
) -> tuple[TracksTo4D, dict[str, Any]]:
    """The network fine-tuned on a video's tracks, and what that changed, for the report.

    Args:
        network: As loaded.
        given: The tracks.
        steps: Of Adam.
        window: Frames that are looked at together.
        overlap: Frames that two windows share.
        report: Called per step; it may raise `Cancelled`.
    """
    import torch

    from toolkit.models.tracksto4d_scene import checked_tracks
    from toolkit.training.tracksto4d_finetuning import fine_tuned

    began = time.perf_counter()
    spans = windows_of(given.seen.shape[1], window, overlap)
    if len(spans) > MOST_WINDOWS:
        spans = [spans[i] for i in np.linspace(0, len(spans) - 1, MOST_WINDOWS).round().astype(int)]
    parts = [part for part in (_part(given, frames) for frames in spans) if len(part)]
    if not parts:
        return network, {"steps": 0, "why": "no window of the clip holds tracks that last"}
    seen = [checked_tracks(part, given.K, given.size) for part in parts]
    clips = [torch.from_numpy(one.normalised)[None] for one in seen]
    result = fine_tuned(network, clips, steps=steps, report=report)
    told = {
        "steps": steps,
        "kept_after_step": result.kept,
        "windows": len(clips),
        "tracks": max(len(part) for part in parts),
        "loss_before": {name: round(value, 4) for name, value in result.before.items()},
        "loss_after": {name: round(value, 4) for name, value in result.after.items()},
        **_changed(network, result.network, parts, given),
        "seconds": round(time.perf_counter() - began, 1),
    }
    return result.network, told


def _part(given: Given, frames: slice) -> Tracks2D:
    """Tracks of a window, long ones far apart, within the budget."""
    length = (given.observed.weight[frames] > 0).sum(0)
    count = frames.stop - frames.start
    rows = np.flatnonzero(length >= min(4, max(2, count // 2)))
    if len(rows):
        rows = np.sort(far_apart(given.observed, rows, max(8, MOST_SAMPLES // count)))
    seen = given.seen[rows, frames]
    xy = np.where(seen[..., None], given.tracks.xy[rows, frames], 0)
    return Tracks2D(xy, seen, given.tracks.confidence[rows, frames], given.tracks.queries[rows])


def _changed(before: TracksTo4D, after: TracksTo4D, parts: list[Tracks2D], given: Given) -> dict[str, float]:
    """How much cameras and depths of the network's own answer changed: medians over all frames and seen samples."""
    turned, moved, deeper = [], [], []
    for part in parts:
        old, new = (network.lift(part, given.K, given.size) for network in (before, after))
        cosine = 0.5 * (np.einsum("tij,tij->t", old.T_wc[:, :3, :3], new.T_wc[:, :3, :3]) - 1)
        turned.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        depths = [_depths(lift.T_wc, lift.xyz) for lift in (old, new)]
        scale = [float(np.nanmedian(np.where(part.visible.T, depth, np.nan))) for depth in depths]
        moved.append(np.linalg.norm(new.T_wc[:, :3, 3] / scale[1] - old.T_wc[:, :3, 3] / scale[0], axis=-1))
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.log(depths[1] / scale[1]) - np.log(depths[0] / scale[0])
        deeper.append(np.abs(ratio[part.visible.T & np.isfinite(ratio)]))
    return {
        "cameras_turned_deg": round(float(np.nanmedian(np.concatenate(turned))), 3),
        "cameras_moved_percent_of_distance": round(100 * float(np.nanmedian(np.concatenate(moved))), 3),
        "depths_changed_percent": round(100 * float(np.expm1(np.median(np.concatenate(deeper)))), 2),
    }


def _depths(T_wc: NDArray, xyz: NDArray) -> NDArray:
    """(T, N) z-depth of points (N, T, 3)."""
    return np.einsum("tj,ntj->tn", T_wc[:, :3, 2], xyz - T_wc[:, :3, 3])
