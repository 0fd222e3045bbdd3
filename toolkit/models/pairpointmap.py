"""The compact two-view network: a reference frame and another one in, both as pointmaps at the other's moment in the reference's frame."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from toolkit.errors import UserError
from toolkit.models.checkpoints import State, below, filled, read_state
from toolkit.models.pairpointmap_parts import (
    UP,
    Answer,
    Match,
    Residual,
    SelfBlock,
    Stem,
    TwoViewBlock,
    answer_of,
    cells,
    matched,
    positions,
)
from toolkit.models.st4rtrack import PublishedPairPointmap
from toolkit.scene import F32, F64, U8

__all__ = ["PairPointmap", "PairShape", "PointmapPair", "PublishedPairPointmap"]

NAME = "PairPointmap"
GRID = 16
"""Sides of what the network sees are multiples of it."""
USUAL_FOCAL = 1.0  # in widths: where the network's own guess starts
LEAST_SIDE, MOST_ASPECT = 32, 8


@dataclass(frozen=True)
class PairShape:
    """How large a network is.

    Attributes:
        stem: Channels at a half, a quarter and an eighth of the resolution.
        width: Channels of a token, one for 16 x 16 pixels.
        heads: Of attention.
        own: Blocks that see one frame; it is encoded once, whatever it is paired with.
        both: Blocks that see two frames.
        match: Channels that pixels are matched by.
        decode: Channels at an eighth and a quarter.
    """

    stem: tuple[int, int, int] = (32, 64, 112)
    width: int = 288
    heads: int = 8
    own: int = 5
    both: int = 4
    match: int = 64
    decode: tuple[int, int] = (144, 80)

    def numbers(self) -> list[float]:
        """The shape as it is kept beside the weights."""
        return [float(n) for part in astuple(self) for n in (part if isinstance(part, tuple) else (part,))]

    @classmethod
    def of(cls, numbers: list[float]) -> PairShape:
        """The shape from its numbers."""
        n = [int(value) for value in numbers]
        return cls((n[0], n[1], n[2]), n[3], n[4], n[5], n[6], n[7], (n[8], n[9]))


@dataclass(frozen=True, eq=False)
class PointmapPair:
    """What a network says of a reference frame and another one, at the pixels of both; positions in the reference's camera, one unit.

    Attributes:
        tracked: (H, W, 3) float32 what the reference frame shows, at the other frame's moment, seen or not.
        tracked_sigma: (H, W) standard deviation of it, in the same unit.
        base: (H, W, 3) the same surface at the reference's own moment.
        recon: (H, W, 3) what the other frame shows.
        recon_sigma: (H, W) standard deviation of it.
        visible: (H, W) float32, 0..1: whether what the reference shows is seen in the other frame.
        moves: (H, W) float32, 0..1: whether it moves in the world.
        T_rj: (4, 4) float64 reference camera from the other, by the network's own head.
        depth: (H, W) z-depth of what the other frame shows, in its own camera.
        K: (3, 3) intrinsics of both, in pixels.
    """

    tracked: F32
    tracked_sigma: F32
    base: F32
    recon: F32
    recon_sigma: F32
    visible: F32
    moves: F32
    T_rj: F64
    depth: F32
    K: F64


@dataclass(frozen=True, eq=False)
class Encoded:
    """A frame as the network knows it by itself: computed once, whatever it is paired with.

    Attributes:
        quarter: (B, C, H/4, W/4) features.
        eighth: (B, C, H/8, W/8) features.
        tokens: (B, L, C) tokens of 16 x 16 pixels.
        match: (B, C, H/8, W/8) unit features that pixels are matched by.
    """

    quarter: Tensor
    eighth: Tensor
    tokens: Tensor
    match: Tensor

    def of(self, rows: Tensor | slice) -> Encoded:
        """Some of the frames."""
        return Encoded(self.quarter[rows], self.eighth[rows], self.tokens[rows], self.match[rows])


class PairPointmap(nn.Module):
    """The network: matches two frames explicitly, then says depth, motion and how sure it is at every pixel of both.

    After St4RTrack (Feng et al., ICCV 2025), whose contract it keeps: two pointmaps of one moment in the frame of the reference. What
    the reference shows is a plain pointmap plus a gated motion, what the other shows is its depth carried by a relative pose plus what
    a pose can't say; both are trained from scratch.
    """

    def __init__(self, shape: PairShape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or PairShape()
        half, quarter, eighth = shape.stem
        width, (wide, narrow) = shape.width, shape.decode
        self.register_buffer("shape_numbers", torch.tensor(shape.numbers()))
        self.stem = Stem(shape.stem)
        self.to_tokens = nn.Conv2d(eighth, width, 2, stride=2)
        self.place = nn.Linear(10, width)
        self.own = nn.ModuleList(SelfBlock(width, shape.heads) for _ in range(shape.own))
        self.to_match = nn.Conv2d(eighth + width, shape.match, 1)
        self.temperature = nn.Parameter(torch.tensor(2.3))
        self.from_match = nn.Conv2d(7 + eighth, wide, 1)
        self.match_tokens = nn.Conv2d(wide, width, 2, stride=2)
        self.branch = nn.Parameter(torch.zeros(2, width))
        self.focal_token = nn.Linear(2, width)
        self.both = nn.ModuleList(TwoViewBlock(width, shape.heads) for _ in range(shape.both))
        self.up_tokens = nn.Conv2d(width, wide, 1)
        self.eighth = nn.Conv2d(eighth + 2 * wide, wide, 3, padding=1)
        self.eighth_unit = Residual(wide)
        self.quarter = nn.Conv2d(quarter + wide, narrow, 3, padding=1)
        self.quarter_unit = Residual(narrow)
        self.maps = nn.Conv2d(narrow, 7, 1)
        self.upsampling = nn.Conv2d(narrow, 9 * UP * UP, 1)
        self.pose = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 6))
        self.focal = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        for last in (self.maps, self.pose[2], self.focal[2]):
            assert isinstance(last, nn.Conv2d | nn.Linear) and last.bias is not None
            nn.init.normal_(last.weight, std=0.01)
            nn.init.zeros_(last.bias)
        nn.init.normal_(self.branch, std=0.02)

    @classmethod
    def from_state_dict(cls, state: State) -> PairPointmap:
        """The network with these weights, its shape read from them.

        Raises:
            UserError: names or shapes of another network.
        """
        state = below(state, "")
        numbers = state.get("shape_numbers")
        if numbers is None or np.shape(numbers) != (10,):
            held = f"it holds {next(iter(state))}, for instance" if state else "it holds nothing"
            raise UserError(f"These are not the weights of {NAME}: shape_numbers is not there; {held}.")
        with torch.device("meta"):
            network = cls(PairShape.of([float(n) for n in numbers]))
        return filled(network, state, model=NAME)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, revision: str | None = None) -> PairPointmap:
        """The network with the weights of a .safetensors file; nothing in it is executed.

        Raises:
            UserError: no such file, or not weights of this network.
        """
        if revision is not None:
            raise UserError(f"The weights of {NAME} are read from a file, so there is no revision {revision!r} of them.")
        file = Path(name_or_path).expanduser()
        if not file.is_file():
            raise UserError(f"There is no file {str(name_or_path)!r}; give the path of weights of {NAME}.")
        return cls.from_state_dict(read_state(file, model=NAME))

    def encode(self, images: Tensor) -> Encoded:
        """Frames (B, 3, H, W), 0..1, sides multiples of 16, each by itself."""
        quarter, eighth = self.stem((images - 0.5) * 4)
        tokens = self.to_tokens(eighth)
        rows, columns = tokens.shape[-2:]
        tokens = tokens.flatten(2).transpose(1, 2) + self.place(positions(rows, columns, tokens))
        for block in self.own:
            tokens = block(tokens)
        spread = functional.interpolate(_as_map(tokens, rows), scale_factor=2, mode="bilinear")
        match = self.to_match(torch.cat([eighth, spread], 1))
        return Encoded(quarter, eighth, tokens, functional.normalize(match.float(), dim=1))

    def pair(self, ref: Encoded, other: Encoded, focal: Tensor) -> Answer:
        """Two encoded frames.

        Args:
            ref: B reference frames.
            other: As many others, of the same size.
            focal: (B,) focal length in widths of the picture, NaN where it is to be found.
        """
        count = len(ref.tokens)
        match = matched(ref.match, other.match, self.temperature)
        rows = ref.eighth.shape[-2]
        evidence = torch.cat([self._evidence(match.forward, ref, other), self._evidence(match.backward, other, ref)])
        wide = functional.gelu(self.from_match(evidence))
        known = torch.isfinite(focal)
        told = torch.stack([torch.where(known, focal, USUAL_FOCAL).log(), known.to(focal.dtype)], -1)
        tokens = torch.cat([ref.tokens, other.tokens]) + self.match_tokens(wide).flatten(2).transpose(1, 2)
        tokens = tokens + self.branch.repeat_interleave(count, 0)[:, None] + self.focal_token(told).repeat(2, 1)[:, None]
        for block in self.both:
            tokens = block(tokens, tokens.roll(count, 0))
        pooled = tokens.mean(1)
        up = functional.interpolate(self.up_tokens(_as_map(tokens, rows // 2)), scale_factor=2, mode="bilinear")
        x = functional.gelu(self.eighth(torch.cat([torch.cat([ref.eighth, other.eighth]), wide, up], 1)))
        x = functional.interpolate(self.eighth_unit(x), scale_factor=2, mode="bilinear")
        x = functional.gelu(self.quarter(torch.cat([torch.cat([ref.quarter, other.quarter]), x], 1)))
        x = self.quarter_unit(x)
        pose = self.pose(torch.cat([pooled[:count], pooled[count:]], -1))
        guessed = self.focal(pooled[:count])[:, 0].float()
        return answer_of(self.maps(x), self.upsampling(x), pose, torch.where(known, focal, guessed.exp() * USUAL_FOCAL), guessed, match)

    def forward(self, images: Tensor, focal: Tensor) -> Answer:
        """Pairs (B, 2, 3, H, W), 0..1, and focal lengths (B,) in widths, NaN where they are to be found."""
        encoded = self.encode(images.transpose(0, 1).flatten(0, 1))
        return self.pair(encoded.of(slice(0, len(images))), encoded.of(slice(len(images), None)), focal)

    def infer(self, frame_ref: NDArray, frame_j: NDArray, *, K: NDArray | None = None, side: int = 192) -> PointmapPair:
        """Two pointmaps of one pair of frames.

        Args:
            frame_ref: (H, W, 3) uint8 RGB reference frame.
            frame_j: (H, W, 3) uint8 RGB other frame, of the same size.
            K: (3, 3) intrinsics in pixels; None to have the focal length guessed.
            side: The frames are seen with about the pixels of a square of this side.

        Returns:
            Maps at the pixels of the frames; the unit is the geometric mean distance of what the reference shows.

        Raises:
            UserError: frames of another shape, of two sizes, or too small or narrow.
        """
        return self.infer_many(frame_ref, np.asarray(frame_j)[None], K=K, side=side)[0]

    def infer_many(self, frame_ref: NDArray, frames: NDArray, *, K: NDArray | None = None, side: int = 192) -> list[PointmapPair]:
        """As `infer`, of one reference frame, which is encoded once, and several others (T, H, W, 3)."""
        ref, others = checked_frame(frame_ref), [checked_frame(one) for one in frames]
        if any(one.shape != ref.shape for one in others):
            wrong = next(one for one in others if one.shape != ref.shape)
            raise UserError(f"The frames are {_size_of(ref)} and {_size_of(wrong)} px, but both must have one size.")
        size, seen = (ref.shape[1], ref.shape[0]), seen_size((ref.shape[1], ref.shape[0]), side)
        device = self.temperature.device
        focal = torch.tensor([np.nan if K is None else float(K[0, 0]) / size[0]], dtype=torch.float32, device=device)
        found = []
        with torch.inference_mode():
            first = self.encode(as_tensor(ref[None], seen).to(device))
            for one in others:
                answer = self.pair(first, self.encode(as_tensor(one[None], seen).to(device)), focal)
                found.append(_pair_of(answer, size, K))
        return found

    def _evidence(self, match: Match, own: Encoded, other: Encoded) -> Tensor:
        """What matching tells each cell: where its partner is, how sure that is, and what it looks like."""
        carried = (match.weight @ other.eighth.flatten(2).transpose(1, 2).to(match.weight.dtype)).transpose(1, 2).reshape(own.eighth.shape)
        place = match.place.transpose(1, 2).reshape(len(own.eighth), 2, *own.eighth.shape[-2:])
        here = cells(own.eighth).T.reshape(1, 2, *own.eighth.shape[-2:]).expand_as(place)
        sure = torch.stack([match.peak, match.spread, match.both_ways], 1).reshape(len(place), 3, *place.shape[-2:])
        told = torch.cat([(place - here) * 4, here * 2 - 1, sure], 1)
        return torch.cat([told.to(carried.dtype), carried.to(own.eighth.dtype)], 1)


def seen_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) that a frame is shown to the network with: about side * side pixels, its own aspect, multiples of 16.

    Raises:
        UserError: too small, or too narrow to be seen so.
    """
    width, height = size
    if min(size) < LEAST_SIDE or max(size) > MOST_ASPECT * min(size):
        raise UserError(
            f"The frames are {width} x {height} px, but at least {LEAST_SIDE} px a side and no more than {MOST_ASPECT} times as long as "
            "wide are needed."
        )
    scale = side / np.sqrt(width * height)
    return max(2, round(width * scale / GRID)) * GRID, max(2, round(height * scale / GRID)) * GRID


def checked_frame(frame: NDArray) -> U8:
    """A frame as uint8 RGB.

    Raises:
        UserError: another shape or type.
    """
    array = np.asarray(frame)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:  # noqa: PLR2004
        raise UserError(f"A frame has shape {array.shape} and holds {array.dtype}, but (H, W, 3) uint8 RGB is needed.")
    return array


def as_tensor(frames: U8, size: tuple[int, int]) -> Tensor:
    """Frames (T, H, W, 3) as (T, 3, h, w), 0..1, at this (width, height)."""
    images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    return functional.interpolate(images, size=(size[1], size[0]), mode="bilinear", antialias=True, align_corners=False)


def _pair_of(answer: Answer, size: tuple[int, int], K: NDArray | None) -> PointmapPair:
    def full(x: Tensor) -> Tensor:
        return functional.interpolate(x.float(), size=(size[1], size[0]), mode="bilinear", align_corners=False)[0]

    def vectors(x: Tensor) -> F32:
        return full(x.permute(0, 3, 1, 2)).permute(1, 2, 0).cpu().numpy()

    def scalars(x: Tensor) -> F32:
        return full(x[:, None])[0].cpu().numpy()

    T = np.eye(4)
    T[:3, :3], T[:3, 3] = answer.R[0].double().cpu().numpy(), answer.t[0].double().cpu().numpy()
    focal = float(answer.focal[0]) * size[0]
    lens = np.array([[focal, 0, 0.5 * size[0]], [0, focal, 0.5 * size[1]], [0, 0, 1.0]]) if K is None else np.asarray(K, np.float64)
    tracked, recon = vectors(answer.tracked), vectors(answer.recon)
    return PointmapPair(
        tracked=tracked,
        tracked_sigma=scalars(answer.log_sigma[0].exp()) * np.linalg.norm(tracked, axis=-1),
        base=vectors(answer.base),
        recon=recon,
        recon_sigma=scalars(answer.log_sigma[1].exp()) * np.linalg.norm(recon, axis=-1),
        visible=scalars(answer.visible.sigmoid()),
        moves=scalars(answer.gate.sigmoid()),
        T_rj=T,
        depth=scalars(answer.depth),
        K=lens,
    )


def _as_map(tokens: Tensor, rows: int) -> Tensor:
    return tokens.transpose(1, 2).unflatten(2, (rows, -1))


def _size_of(frame: U8) -> str:
    return f"{frame.shape[1]} x {frame.shape[0]}"
