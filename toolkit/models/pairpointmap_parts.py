"""Parts of the compact two-view network: its stem and blocks, the explicit matching, and how numbers become two pointmaps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

MOST_TURN = 1.0  # radians of the pose head for an answer of one
MATCH_FLOOR = 1e-6
FEW_TOKENS = 256  # up to so many, plain products are quicker on a CPU than the fused kernel
UP = 2  # maps are so much finer than the features they are read from


@dataclass(frozen=True, eq=False)
class Match:
    """Where the cells of one frame are in another one.

    Attributes:
        weight: (B, P, Q) share of each cell of the other frame.
        place: (B, P, 2) expected place, 0..1 from left and top.
        peak: (B, P) the largest share.
        spread: (B, P) standard deviation of the place.
        both_ways: (B, P) how surely the match leads back.
    """

    weight: Tensor
    place: Tensor
    peak: Tensor
    spread: Tensor
    both_ways: Tensor


@dataclass(frozen=True, eq=False)
class Matches:
    """Both ways, and the scores that both come from.

    Attributes:
        forward: From the reference to the other frame.
        backward: From the other to the reference.
        log_forward: (B, P, Q) logarithm of the shares, for training.
    """

    forward: Match
    backward: Match
    log_forward: Tensor


@dataclass(frozen=True, eq=False)
class Answer:
    """All that the network says of B pairs, at half the resolution of the pictures; positions in the reference's camera.

    Attributes:
        base: (B, H, W, 3) what the reference shows, at its own moment.
        flow: (B, H, W, 3) how far it moves in the world until the other's.
        tracked: (B, H, W, 3) both together.
        gate: (B, H, W) logit of moving at all.
        visible: (B, H, W) logit of being seen in the other frame.
        recon: (B, H, W, 3) what the other frame shows.
        depth: (B, H, W) the same as z-depth in its own camera.
        log_sigma: (2, B, H, W) logarithm of the relative error of `tracked` and of `recon`.
        R: (B, 3, 3) and
        t: (B, 3) reference camera from the other.
        focal: (B,) that was used, in widths.
        log_focal: (B,) the network's own guess, by the usual one.
        match: Between the two.
    """

    base: Tensor
    flow: Tensor
    tracked: Tensor
    gate: Tensor
    visible: Tensor
    recon: Tensor
    depth: Tensor
    log_sigma: Tensor
    R: Tensor
    t: Tensor
    focal: Tensor
    log_focal: Tensor
    match: Matches


class Residual(nn.Module):
    """Two convolutions beside what goes in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_groups(channels), channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        return x + self.conv2(functional.gelu(self.conv1(functional.gelu(self.norm(x)))))


class Stem(nn.Module):
    """Features of a frame at a quarter and an eighth of its resolution."""

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        half, quarter, eighth = channels
        self.conv1 = nn.Conv2d(3, half, 7, stride=2, padding=3)
        self.norm1 = nn.GroupNorm(_groups(half), half)
        self.conv2 = nn.Conv2d(half, quarter, 3, stride=2, padding=1)
        self.unit2 = Residual(quarter)
        self.conv3 = nn.Conv2d(quarter, eighth, 3, stride=2, padding=1)
        self.unit3 = nn.Sequential(Residual(eighth), Residual(eighth))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to (B, C, H/4, W/4) and (B, C, H/8, W/8)."""
        x = functional.gelu(self.norm1(self.conv1(x)))
        quarter = self.unit2(self.conv2(x))
        return quarter, self.unit3(self.conv3(functional.gelu(quarter)))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        k, v = self.kv(memory).chunk(2, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q(x), k, v))
        if x.device.type == "cpu" and memory.shape[1] <= FEW_TOKENS:
            mixed = ((q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)).softmax(-1).to(v.dtype) @ v
        else:
            mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))


class SelfBlock(nn.Module):
    """Attention within one frame, and a perceptron, each beside what goes in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, C) to (B, L, C)."""
        normed = self.norm1(x)
        x = x + self.attention(normed, normed)
        return x + self.mlp(self.norm2(x))


class TwoViewBlock(SelfBlock):
    """The same with attention to the other frame between; both frames go through the same weights."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.norm3, self.norm_memory = nn.LayerNorm(width), nn.LayerNorm(width)
        self.cross = _Attention(width, heads)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """(B, L, C) and the other frame's tokens (B, M, C) to (B, L, C)."""
        normed = self.norm1(x)
        x = x + self.attention(normed, normed)
        x = x + self.cross(self.norm3(x), self.norm_memory(memory))
        return x + self.mlp(self.norm2(x))


def positions(rows: int, columns: int, like: Tensor) -> Tensor:
    """(rows * columns, 10) where tokens are in the picture: place and waves of it, the picture spanning -1..1 whatever its size."""
    y = (torch.arange(rows, device=like.device) + 0.5) / rows * 2 - 1
    x = (torch.arange(columns, device=like.device) + 0.5) / columns * 2 - 1
    place = torch.stack(torch.broadcast_tensors(x[None], y[:, None]), -1).reshape(-1, 2)
    waves = [part for k in (1.5708, 3.1416) for part in (torch.sin(k * place), torch.cos(k * place))]
    return torch.cat([place, *waves], -1).to(like.dtype)


def matched(a: Tensor, b: Tensor, log_temperature: Tensor) -> Matches:
    """Every cell of one frame matched with every cell of another, both ways, by unit features (B, C, h, w) of each."""
    scores = torch.einsum("bcp,bcq->bpq", a.flatten(2).float(), b.flatten(2).float()) * log_temperature.float().clamp(max=4.0).exp()
    log_forward, log_backward = scores.log_softmax(2), scores.transpose(1, 2).log_softmax(2)
    both = (log_forward + log_backward.transpose(1, 2)).amax(2).exp(), (log_backward + log_forward.transpose(1, 2)).amax(2).exp()
    places = (cells(b), cells(a))
    ways = [_match(log.exp(), place, sure) for log, place, sure in zip((log_forward, log_backward), places, both, strict=True)]
    return Matches(ways[0], ways[1], log_forward)


def _match(weight: Tensor, cells: Tensor, both_ways: Tensor) -> Match:
    place = weight @ cells
    spread = (weight @ cells.square() - place.square()).sum(-1).clamp(min=0)
    return Match(weight, place, weight.amax(2), (spread + MATCH_FLOOR).sqrt(), both_ways)


def cells(features: Tensor) -> Tensor:
    """(P, 2) centres of the cells of a map (B, C, h, w), 0..1 from left and top."""
    rows, columns = features.shape[-2:]
    y = (torch.arange(rows, device=features.device) + 0.5) / rows
    x = (torch.arange(columns, device=features.device) + 0.5) / columns
    return torch.stack(torch.broadcast_tensors(x[None], y[:, None]), -1).reshape(-1, 2)


def answer_of(maps: Tensor, upsampling: Tensor, pose: Tensor, focal: Tensor, log_focal: Tensor, match: Matches) -> Answer:
    """Pointmaps from numbers.

    Args:
        maps: (2 B, 7, h, w) logarithm of depth, shift (3), gate, logarithm of sigma, visibility: of the references, then of the others.
        upsampling: (2 B, 36, h, w) weights that every pixel of 2 x 2 is a mixture of its 3 x 3 neighbours with.
        pose: (B, 6) rotation vector and translation.
        focal: (B,) in widths.
        log_focal: (B,) the network's own guess.
        match: Between the two.
    """
    full = _upsampled(maps.float(), upsampling.float())
    count = len(maps) // 2
    log_depth = full[:, 0].clamp(-4, 4)
    rays = _rays(focal, full.shape[-2], full.shape[-1])
    own = (log_depth.exp()[:, None] * rays.repeat(2, 1, 1, 1)).permute(0, 2, 3, 1)
    shift = full[:, 1:4].permute(0, 2, 3, 1)
    base, gate = own[:count], full[:count, 4]
    flow = shift[:count]
    pose = pose.float()
    R, t = _rotation(MOST_TURN * pose[:, :3]), pose[:, 3:]
    recon = torch.einsum("bij,bhwj->bhwi", R, own[count:]) + t[:, None, None] + shift[count:]
    log_sigma = (full[:, 5] - 1.5).clamp(-4, 2)
    return Answer(
        base=base,
        flow=flow,
        tracked=base + gate.sigmoid()[..., None] * flow,
        gate=gate,
        visible=full[:count, 6],
        recon=recon,
        depth=log_depth[count:].exp(),
        log_sigma=torch.stack([log_sigma[:count], log_sigma[count:]]),
        R=R,
        t=t,
        focal=focal,
        log_focal=log_focal,
        match=match,
    )


def _upsampled(maps: Tensor, upsampling: Tensor) -> Tensor:
    """Twice as large: every pixel a convex mixture of 3 x 3 neighbours (RAFT: Teed and Deng, ECCV 2020, section 3.3)."""
    count, channels, rows, columns = maps.shape
    weight = upsampling.reshape(count, 1, 9, UP, UP, rows, columns).softmax(2)
    patches = functional.unfold(functional.pad(maps, (1, 1, 1, 1), mode="replicate"), 3).reshape(count, channels, 9, 1, 1, rows, columns)
    mixed = (weight * patches).sum(2)  # (B, C, 2, 2, h, w)
    return mixed.permute(0, 1, 4, 2, 5, 3).reshape(count, channels, UP * rows, UP * columns)


def _rays(focal: Tensor, rows: int, columns: int) -> Tensor:
    """(B, 3, H, W) rays of pixels, z = 1."""
    x = (torch.arange(columns, device=focal.device) + 0.5 - 0.5 * columns) / columns
    y = (torch.arange(rows, device=focal.device) + 0.5 - 0.5 * rows) / columns
    grid = torch.stack(torch.broadcast_tensors(x[None], y[:, None]))[None] / focal[:, None, None, None]
    return torch.cat([grid, torch.ones_like(grid[:, :1])], 1)


def _rotation(vectors: Tensor) -> Tensor:
    angle = (vectors.square().sum(-1, keepdim=True) + 1e-12).sqrt()[..., None]
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    K = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    return torch.eye(3, device=vectors.device) + torch.sin(angle) / angle * K + (1 - torch.cos(angle)) / angle.square() * (K @ K)


def _groups(channels: int) -> int:
    return next(n for n in (8, 6, 4, 3, 2, 1) if channels % n == 0)
