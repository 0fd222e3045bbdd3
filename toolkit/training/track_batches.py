"""Batches of generated scenes to learn from: which ones, of what size, turned how; made here or by processes beside."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.models.tracksto4d import CAMERA_DEPTH
from toolkit.synthetic.track_scenes import TRAINING, VALIDATION_SEEDS, TrackRecipe, random_size, track_scene
from toolkit.training.tracksto4d_supervision import Truth, as_batch

Batch = tuple[Tensor, Truth]


@dataclass(frozen=True)
class BatchMix:
    """What batches are made of.

    Attributes:
        frames: Range of frames; all clips of a batch have the same size, so nothing is padded.
        points: Range of points.
        small_first: How much more frequent small clips are at first, see `random_size`: most can be learned from them, at a tenth of
            the time.
        small_last: The same, at the end.
        grown: Share of the training after which clips are as large as they get.
        mirrored: Share of clips that are mirrored left to right.
        reversed: Share of clips that run backwards.
        roll_deg: Standard deviation of how far a clip is rolled about the optical axis; people hold cameras nearly upright.
        recipe: Of the scenes.
    """

    frames: tuple[int, int] = (8, 60)
    points: tuple[int, int] = (48, 300)
    small_first: float = 4.0
    small_last: float = 1.5
    grown: float = 0.7
    mirrored: float = 0.5
    reversed: float = 0.5
    roll_deg: float = 8.0
    recipe: TrackRecipe = TRAINING


@dataclass(frozen=True)
class BatchPlan:
    """One batch before it is made.

    Attributes:
        frames: Of every clip.
        points: Of every clip.
        seeds: Of the scenes.
        chance: Seed of how they are turned.
        mix: Of what it is a part.
    """

    frames: int
    points: int
    seeds: tuple[int, ...]
    chance: int
    mix: BatchMix


def planned(seed: int, step: int, progress: float, tokens: int, mix: BatchMix) -> BatchPlan:
    """The batch of a step: chance comes from the seed and the step alone, so a training that goes on needs no memory of it.

    Args:
        seed: Of the training.
        step: Number of the batch.
        progress: Share of the training that is done, 0..1.
        tokens: Points times frames of all its clips together, at most, but for a single clip that is larger.
        mix: What batches are made of.
    """
    rng = np.random.default_rng([seed, step])
    small = np.interp(progress, [0, mix.grown], [mix.small_first, mix.small_last])
    frames, points = random_size(rng, frames=mix.frames, points=mix.points, small=float(small))
    seeds = rng.integers(VALIDATION_SEEDS.start, size=max(1, tokens // (frames * points)))
    return BatchPlan(frames, points, tuple(int(s) for s in seeds), int(rng.integers(1 << 31)), mix)


def made(plan: BatchPlan) -> Batch:
    """The clips of a plan, (b, P, 3, N), and their truth."""
    scenes = [track_scene(seed, plan.frames, plan.points, recipe=plan.mix.recipe) for seed in plan.seeds]
    return turned(*as_batch(scenes), np.random.default_rng(plan.chance), plan.mix)


def turned(tracks: Tensor, truth: Truth, rng: np.random.Generator, mix: BatchMix) -> Batch:
    """Clips mirrored, reversed and rolled, each by chance, and the truth of that, again seen from the middle camera."""
    clips = len(tracks)
    mirror, backwards = rng.uniform(size=clips) < mix.mirrored, torch.from_numpy(rng.uniform(size=clips) < mix.reversed)
    roll = np.deg2rad(mix.roll_deg) * rng.normal(size=clips)
    A = np.zeros((clips, 3, 3), np.float32)
    A[:, 0, 0], A[:, 0, 1] = np.cos(roll), -np.sin(roll)
    A[:, 1, 0], A[:, 1, 1] = np.sin(roll), np.cos(roll)
    A[:, 2, 2] = 1
    A[mirror, :, 0] *= -1
    turn = torch.from_numpy(A)

    def in_time(values: Tensor, axis: int) -> Tensor:
        return torch.where(backwards.view(-1, *[1] * (values.ndim - 1)), values.flip(axis), values)

    tracks = in_time(tracks, 3)
    tracks = torch.cat([torch.einsum("bij,bpjn->bpin", turn[:, :2, :2], tracks[:, :, :2]), tracks[:, :, 2:]], dim=2)
    R, t, X = (in_time(values, 1) for values in (truth.R, truth.t, truth.X))
    middle = R.shape[1] // 2
    into = turn @ R[:, middle].transpose(1, 2)  # another camera is in the middle where the number of frames is even
    away = torch.tensor([0.0, 0.0, -CAMERA_DEPTH])
    centre = t[:, middle]
    t = torch.einsum("bij,bnj->bni", into, t - centre[:, None]) + away
    X = torch.einsum("bij,bnjp->bnip", into, X - centre[:, None, :, None]) + away[:, None]
    R = into[:, None] @ R @ turn.transpose(1, 2)[:, None]
    return tracks, replace(truth, R=R, t=t, X=X, depth=in_time(truth.depth, 1), visible=in_time(truth.visible, 1))


def batches(plan: Callable[[int], BatchPlan], first_step: int, *, processes: int = 0) -> Generator[Batch, None, None]:
    """Batches from a step on, for ever; close it to end the processes.

    Args:
        plan: The batch of a step; asked a few steps ahead.
        first_step: Number of the first one.
        processes: How many make them; none for this one.
    """
    if processes == 0:
        for step in count(first_step):
            yield made(plan(step))
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_alone)
    waiting: deque[Future[dict[str, NDArray]]] = deque()
    try:
        for step in count(first_step):
            waiting.append(pool.submit(_as_arrays, plan(step)))
            if len(waiting) > 2 * processes:
                arrays = {name: torch.from_numpy(array) for name, array in waiting.popleft().result().items()}
                yield arrays.pop("tracks"), Truth(**arrays)
    finally:
        pool.shutdown(cancel_futures=True)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _as_arrays(plan: BatchPlan) -> dict[str, NDArray]:
    """Arrays travel between processes without shared memory, of which a container may have little."""
    tracks, truth = made(plan)
    return {name: tensor.numpy() for name, tensor in {"tracks": tracks, **vars(truth)}.items()}


def _alone() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    torch.set_num_threads(1)
