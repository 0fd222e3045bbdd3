"""Plug-ins for learned trackers of the user: CoTracker3 and TAPIR, fetched by torch.hub only when asked for by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.errors import UserError
from toolkit.geometry.sampling import from_opencv, to_opencv
from toolkit.progress import Report, silent
from toolkit.scene import F32, Tracks2D, Video
from toolkit.tracking.prune import covered_queries
from toolkit.tracking.queries import checked_queries, grid_points, query_frames

_QUERIES_PER_PASS = 4096  # bounds the memory of a forward pass


@dataclass(frozen=True)
class LearnedTracker:
    """Where a learned tracker comes from.

    Attributes:
        name: Its name in the registry.
        sentence: What it is, for a person.
        source: Repository and pinned revision, or the address of the weights.
        licence: Terms of its code and weights, none of which are part of this product.
    """

    name: str
    sentence: str
    source: str
    licence: str


COTRACKER3 = LearnedTracker(
    "cotracker3",
    "CoTracker3 offline (Karaev et al., 2024), fetched by torch.hub on first use; needs torch and a connection once.",
    "facebookresearch/co-tracker:82e02e8029753ad4ef13cf06be7f4fc5facdda4d",
    "CoTracker3's code and weights are CC BY-NC 4.0: not for commercial use.",
)
TAPIR = LearnedTracker(
    "tapir",
    "BootsTAPIR (Doersch et al., 2024); needs torch, the user's own installation of the package tapnet, and a connection once.",
    "https://storage.googleapis.com/dm-tapnet/bootstap/bootstapir_checkpoint_v2.pt",
    "TAPIR's code is Apache-2.0, its weights are CC BY 4.0.",
)

Pass = Callable[[F32], tuple[F32, F32]]
"""Queries (n, 3) to positions (n, T, 2) and the chance (n, T) that each is seen; continuous pixels."""


def track_cotracker3(
    video: Video,
    queries: F32 | None = None,
    *,
    grid: tuple[int, int] = (128, 128),
    every: int = 10,
    seed: int = 0,
    report: Report = silent,
) -> Tracks2D:
    """CoTracker3 over the whole clip, both ways in time. Arguments as in `track_points`.

    Raises:
        UserError: If torch is not installed or the model cannot be fetched.
    """
    torch = _torch(COTRACKER3)
    model = _fetched_cotracker3(torch)
    model = model.to(_device(torch)).eval()
    clip = torch.from_numpy(np.ascontiguousarray(video.frames)).permute(0, 3, 1, 2)[None].float().to(_device(torch))

    def run(asked: F32) -> tuple[F32, F32]:
        shifted = np.column_stack([asked[:, 0], to_opencv(asked[:, 1:])]).astype(np.float32)
        with torch.no_grad():
            xy, seen = model(clip, queries=torch.from_numpy(shifted)[None].to(_device(torch)), backward_tracking=True)
        return np.asarray(from_opencv(xy[0].permute(1, 0, 2).cpu().numpy()), np.float32), seen[0].permute(1, 0).float().cpu().numpy()

    return _in_passes(video, queries, run, grid=grid, every=every, seed=seed, report=report)


def track_tapir(
    video: Video,
    queries: F32 | None = None,
    *,
    grid: tuple[int, int] = (128, 128),
    every: int = 10,
    seed: int = 0,
    report: Report = silent,
) -> Tracks2D:
    """BootsTAPIR over the whole clip, as Stereo4D runs it. Arguments as in `track_points`.

    Raises:
        UserError: If torch or tapnet is not installed or the weights cannot be fetched.
    """
    torch = _torch(TAPIR)
    tapir_model = _tapir_model()
    weights = _fetched_tapir(torch)
    model = tapir_model.TAPIR(pyramid_level=1, softmax_temperature=10.0)
    model.load_state_dict(weights)
    model = model.to(_device(torch)).eval()
    clip = torch.from_numpy(np.ascontiguousarray(video.frames))[None].float().to(_device(torch)) / 255 * 2 - 1

    def run(asked: F32) -> tuple[F32, F32]:
        with torch.no_grad():
            out = model(clip, torch.from_numpy(np.ascontiguousarray(asked[:, [0, 2, 1]]))[None].to(_device(torch)))
            chance = (1 - torch.sigmoid(out["occlusion"])) * (1 - torch.sigmoid(out["expected_dist"]))
        return out["tracks"][0].cpu().numpy(), chance[0].cpu().numpy()

    return _in_passes(video, queries, run, grid=grid, every=every, seed=seed, report=report)


def prepare_cotracker3() -> None:
    """Makes sure that torch is installed and CoTracker3 is there, fetching it if need be.

    Raises:
        UserError: If it cannot be had.
    """
    _fetched_cotracker3(_torch(COTRACKER3))


def prepare_tapir() -> None:
    """Makes sure that torch and tapnet are installed and the weights of TAPIR are there, fetching them if need be.

    Raises:
        UserError: If they cannot be had.
    """
    torch = _torch(TAPIR)
    _tapir_model()
    _fetched_tapir(torch)


def _fetched_cotracker3(torch: Any) -> Any:
    try:
        return torch.hub.load(COTRACKER3.source, "cotracker3_offline", trust_repo=True, skip_validation=True)
    except Exception as error:  # torch.hub passes on whatever the network, the disk or the repository raise
        raise UserError(f"CoTracker3 could not be fetched from {COTRACKER3.source}: {error}.") from error


def _tapir_model() -> Any:
    try:
        from tapnet.torch import tapir_model  # type: ignore[import-not-found]
    except ImportError as error:
        raise UserError(
            "The tracker 'tapir' needs the package tapnet, which is not installed; install it or choose another tracker."
        ) from error
    return tapir_model


def _fetched_tapir(torch: Any) -> Any:
    try:
        return torch.hub.load_state_dict_from_url(TAPIR.source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"The weights of TAPIR could not be fetched from {TAPIR.source}: {error}.") from error


def _torch(tracker: LearnedTracker) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"The tracker {tracker.name!r} needs torch, which is not installed; install it or choose another tracker."
        ) from error
    return torch


def _device(torch: Any) -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _in_passes(video: Video, queries: F32 | None, run: Pass, *, grid: tuple[int, int], every: int, seed: int, report: Report) -> Tracks2D:
    """Runs a model over the queries, or over a grid whose later frames ask only for what no earlier track follows."""
    frames = len(video)
    nothing = np.zeros((0, frames), np.float32)
    done = Tracks2D(np.zeros((0, frames, 2), np.float32), nothing > 0, nothing, np.zeros((0, 3), np.float32))
    if queries is not None:
        asked = checked_queries(queries, frames=frames, size=video.size)
        pieces = [asked[i : i + _QUERIES_PER_PASS] for i in range(0, len(asked), _QUERIES_PER_PASS)]
        for i, piece in enumerate(pieces):
            done = _followed(done, piece, run)
            report(i + 1, len(pieces))
        return done
    moments = query_frames(frames, every=every)
    for i, t in enumerate(moments):
        points = grid_points(video.size, grid=grid, seed=seed)
        points = points[~covered_queries(points, done.xy[done.visible[:, t], t], radius_px=1.0)]
        asked = np.column_stack([np.full(len(points), t), points]).astype(np.float32)
        for first in range(0, len(asked), _QUERIES_PER_PASS):
            done = _followed(done, asked[first : first + _QUERIES_PER_PASS], run)
        report(i + 1, len(moments))
    return done


def _followed(done: Tracks2D, asked: F32, run: Pass) -> Tracks2D:
    xy, chance = run(asked)
    return Tracks2D(
        np.concatenate([done.xy, xy]),
        np.concatenate([done.visible, chance > 0.5]),
        np.concatenate([done.confidence, chance]),
        np.concatenate([done.queries, asked]),
    )
