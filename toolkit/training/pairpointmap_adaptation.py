"""A two-view network that learns from one video without labels: its tracks, its maps of one moment, and a depth where there is one.

The three terms of St4RTrack's adaptation (ICCV 2025, section 3.4), with cached tracks, cameras by differentiable PnP, and an early stop on
tracks that nothing is learned from. Only the layers after the two frames have met learn; the frames are encoded once.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from toolkit.errors import UserError
from toolkit.models.pairpointmap import PairPointmap, as_tensor, seen_size
from toolkit.models.pairpointmap_parts import Answer
from toolkit.progress import Report, silent
from toolkit.scene import F64, Tracks2D, Video
from toolkit.training.differentiable_pnp import PnpOptions, rotation_of, solve_pnp
from toolkit.training.st4rtrack_losses import depth_loss, heads_agree_loss
from toolkit.training.training_state import replaced

LEARNING = ("eighth", "eighth_unit", "quarter", "quarter_unit", "maps", "upsampling", "branch")
LEAST_TRACKS = 24
DELTA_MARK = "lift4d_delta"


@dataclass(frozen=True)
class AdaptOptions:
    """How it learns from a video.

    Attributes:
        steps: At most.
        rate: Of AdamW.
        others: Frames that the reference is paired with in each step.
        side: Frames are seen with about the pixels of a square of this side.
        held_out: Share of the tracks that nothing is learned from.
        check: Steps between two looks at these.
        patience: So many looks without gain end it.
        track_weight: Of projected points against tracks, in shares of the picture's width (published: 0.5 of pixels).
        depth_weight: Of depth from elsewhere (published 10).
        agree_weight: Of both maps meeting at tracked points (published 5).
        keep_weight: Of the depth of both frames staying what it was: only the tracking shall learn.
        pnp_points: Pixels that cameras are found from.
    """

    steps: int = 150
    rate: float = 3e-4
    others: int = 3
    side: int = 128
    held_out: float = 0.25
    check: int = 15
    patience: int = 3
    track_weight: float = 20.0
    depth_weight: float = 10.0
    agree_weight: float = 5.0
    keep_weight: float = 5.0
    pnp_points: int = 300


@dataclass(frozen=True, eq=False)
class Adapted:
    """What came of it.

    Attributes:
        network: The best on held-out tracks; the given one where nothing was better.
        error_px: Median error of held-out tracks before and after, in pixels of the video.
        steps: Of the best.
        curve: (step, error in pixels) of every look.
    """

    network: PairPointmap
    error_px: tuple[float, float]
    steps: int
    curve: tuple[tuple[int, float], ...]


def adapt(
    network: PairPointmap,
    video: Video,
    tracks: Tracks2D,
    K: F64,
    *,
    reference: int = 0,
    depth: np.ndarray | None = None,
    options: AdaptOptions | None = None,
    seed: int = 0,
    report: Report = silent,
) -> Adapted:
    """A network adapted to a video; the given one stays as it is.

    Args:
        network: With its weights.
        video: T frames.
        tracks: Through it, in its pixels; those that are seen in the reference frame teach.
        K: (3, 3) intrinsics in pixels.
        reference: Frame that the others are paired with.
        depth: (T, H, W) of any scale a frame, NaN where unknown; or None.
        options: How.
        seed: Of everything random.
        report: Called per step; what it raises ends it.

    Raises:
        UserError: too few tracks are seen in the reference frame.
    """
    use = options or AdaptOptions()
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(tracks.visible[:, reference] & (tracks.visible.sum(1) > 1))
    if len(rows) < LEAST_TRACKS:
        raise UserError(f"Only {len(rows)} tracks are seen in frame {reference} and another one, but {LEAST_TRACKS} are needed to adapt.")
    rows = rng.permutation(rows)
    cut = int(len(rows) * use.held_out)
    clip = _Clip(network, video, tracks, K, reference, depth, use)
    before = clip.error(network, rows[:cut])
    best, best_error, best_step, curve = network, before, 0, [(0, before)]
    learner = copy.deepcopy(network)
    for name, parameter in learner.named_parameters():
        parameter.requires_grad_(name.split(".")[0] in LEARNING)
    optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], lr=use.rate, weight_decay=0.0)
    worse = 0
    for step in range(1, use.steps + 1):
        others = rng.choice(clip.candidates, min(use.others, len(clip.candidates)), replace=False)
        loss = clip.loss(learner, rows[cut:], others, rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([p for p in learner.parameters() if p.requires_grad], 1.0)
        if torch.isfinite(norm):
            optimizer.step()
        report(step, use.steps)
        if step % use.check == 0 or step == use.steps:
            error = clip.error(learner, rows[:cut])
            curve.append((step, error))
            if error < best_error:
                best, best_error, best_step, worse = copy.deepcopy(learner), error, step, 0
            else:
                worse += 1
                if worse >= use.patience:
                    break
    return Adapted(best.eval(), (before, best_error), best_step, tuple(curve))


def save_delta(path: Path, before: PairPointmap, after: PairPointmap) -> None:
    """Writes what adaptation changed, in half precision: under 3 MB for the largest network that comes with the package."""
    old = before.state_dict()
    changed = {name: (value - old[name]).half() for name, value in after.state_dict().items() if name.split(".")[0] in LEARNING}
    replaced(path, {name: value.contiguous() for name, value in changed.items()}, {DELTA_MARK: "st4rtrack"})


def with_delta(network: PairPointmap, path: Path) -> PairPointmap:
    """The network with what a file of `save_delta` holds.

    Raises:
        UserError: no such file, or one of another network.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    out = copy.deepcopy(network)
    state = out.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            if DELTA_MARK not in (file.metadata() or {}):
                raise UserError(f"{path.name} is not what adaptation to a video changed.")
            for name in file.keys():  # noqa: SIM118  (it is no dictionary)
                state[name] = state[name] + file.get_tensor(name).to(state[name].dtype)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{path.name} belongs to a network of another size.") from error
    out.load_state_dict(state)
    return out


class _Clip:
    """A video as the network sees it: encoded once, with its tracks in shares of the picture."""

    def __init__(
        self, network: PairPointmap, video: Video, tracks: Tracks2D, K: F64, reference: int, depth: np.ndarray | None, use: AdaptOptions
    ) -> None:
        self.use, self.reference = use, reference
        self.size = seen_size(video.size, use.side)
        with torch.no_grad():
            self.encoded = [network.encode(as_tensor(video.frames[t : t + 1], self.size)) for t in range(len(video))]
        self.width = video.size[0]
        self.share = torch.from_numpy(np.nan_to_num(tracks.xy) / np.array(video.size, np.float32))
        self.visible = torch.from_numpy(tracks.visible)
        self.focal = torch.tensor([float(K[0, 0]) / video.size[0]])
        self.candidates = np.array([t for t in range(len(video)) if t != reference and tracks.visible[:, t].any()])
        self.depth = None if depth is None else torch.from_numpy(np.asarray(depth, np.float32))
        self.first: dict[int, tuple[Tensor, Tensor]] = {}
        with torch.no_grad():
            for t in self.candidates.tolist():
                answer = self.answer(network, t)
                self.first[t] = (answer.base[0, ..., 2].log(), answer.depth[0].log())

    def answer(self, network: PairPointmap, t: int) -> Answer:
        return network.pair(self.encoded[self.reference], self.encoded[t], self.focal)

    def loss(self, network: PairPointmap, rows: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> Tensor:
        use, total = self.use, torch.zeros(())
        for t in others.tolist():
            answer = self.answer(network, t)
            seen = rows[self.visible[rows, t].numpy()]
            here, there = self.share[seen, self.reference], self.share[seen, t]
            tracked, recon = _read(answer.tracked, here), _read(answer.recon, there)
            found = self._projected(answer, tracked, rng)
            total = total + use.track_weight * functional.smooth_l1_loss(found, there * _aspect(self.size), beta=0.01)
            total = total + use.agree_weight * heads_agree_loss(tracked, recon, torch.ones(len(seen)))
            first, other = self.first[t]
            kept = (answer.base[0, ..., 2].log() - first).abs().mean() + (answer.depth[0].log() - other).abs().mean()
            total = total + use.keep_weight * kept
            if self.depth is not None:
                given = functional.interpolate(self.depth[t][None, None], size=answer.depth.shape[1:], mode="nearest")[0, 0]
                total = total + use.depth_weight * depth_loss(answer.depth[0], given, torch.isfinite(given))
        return total / len(others)

    def _projected(self, answer: Answer, points: Tensor, rng: np.random.Generator | None) -> Tensor:
        """(P, 2) where points are in the other picture, in shares of its width, by the camera that its own map has."""
        rows, columns = answer.depth.shape[1:]
        K = torch.tensor([[self.focal.item(), 0, 0.5], [0, self.focal.item(), 0.5 * rows / columns], [0, 0, 1.0]])
        pick = torch.arange(rows * columns) if rng is None else torch.from_numpy(rng.integers(0, rows * columns, self.use.pnp_points))
        if rng is None:
            pick = pick[:: max(1, len(pick) // self.use.pnp_points)]
        x3d = answer.recon.reshape(1, -1, 3)[:, pick]
        x2d = torch.stack([(pick % columns + 0.5) / columns, (pick // columns + 0.5) / columns], -1)[None]
        sure = answer.log_sigma[1].reshape(1, -1)[:, pick].neg().exp().clamp(max=50).detach()
        R = answer.R.transpose(1, 2).detach()
        start = torch.cat([-(R @ answer.t[..., None].detach())[..., 0], _quaternion(R)], -1)
        # Pixels are counted in widths here, so the margin is, too.
        pose = solve_pnp(x3d, x2d, sure[..., None].expand_as(x2d), K[None], (2, 2), start, PnpOptions(steps=8, margin_px=1.0))
        local = points @ rotation_of(pose[:, 3:])[0].T + pose[0, :3]
        return local[:, :2] / local[:, 2:].clamp(min=1e-2) * self.focal + K[:2, 2]

    def error(self, network: PairPointmap, rows: np.ndarray) -> float:
        """Median distance of projected points from tracks, in pixels of the video."""
        apart = []
        with torch.no_grad():
            for t in self.candidates[np.linspace(0, len(self.candidates) - 1, min(len(self.candidates), 8)).astype(int)].tolist():
                seen = rows[self.visible[rows, t].numpy()]
                if not len(seen):
                    continue
                answer = self.answer(network, t)
                found = self._projected(answer, _read(answer.tracked, self.share[seen, self.reference]), None)
                apart.append((found - self.share[seen, t] * _aspect(self.size)).norm(dim=-1))
        return float(torch.cat(apart).median()) * self.width if apart else float("nan")


def _aspect(size: tuple[int, int]) -> Tensor:
    """From shares of width and height to widths."""
    return torch.tensor([1.0, size[1] / size[0]])


def _read(maps: Tensor, share: Tensor) -> Tensor:
    """Values (P, C) of a map (1, H, W, C) at places (P, 2) in shares of it, between pixels."""
    grid = (share * 2 - 1)[None, None]
    return functional.grid_sample(maps.permute(0, 3, 1, 2), grid, align_corners=False, padding_mode="border")[0, :, 0].T


def _quaternion(R: Tensor) -> Tensor:
    """(B, 4) unit quaternions, w first, of rotations of under half a turn."""
    w = (1 + R[:, 0, 0] + R[:, 1, 1] + R[:, 2, 2]).clamp(min=1e-6).sqrt() / 2
    vector = torch.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], -1) / (4 * w[:, None])
    return functional.normalize(torch.cat([w[:, None], vector], -1), dim=-1)
