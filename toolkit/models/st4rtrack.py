"""The published network of St4RTrack (Feng et al., ICCV 2025): own code for its ViT-L encoder, two decoders and two dense heads.

For checkpoints that a person has: the published ones are CC BY-NC-SA 4.0 and no part of this product.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolkit.errors import UserError
from toolkit.models.checkpoints import State, below, filled, read_state
from toolkit.models.st4rtrack_blocks import NORM_EPS, DecoderBlock, DenseHead, EncoderBlock, grid_positions
from toolkit.scene import Estimate

NAME = "St4RTrack"
LICENCE = "The checkpoints of St4RTrack are CC BY-NC-SA 4.0: not for commercial use."
PATCH = 16
ENCODER, DECODER, ENCODER_BLOCKS, DECODER_BLOCKS = 1024, 768, 24, 12
TAPPED = (6, 9, 12)  # decoder blocks that the heads see, beside the encoder
GFLOP_PER_TOKEN, GFLOP_PER_TOKEN2 = 2.13, 0.85e-4  # 551 GFLOP at 256 x 256, 1240 at 512 x 288
CPU_GFLOPS = 90.0  # of one thread
WEIGHTS_MB = 2290
_TIED = re.compile(r"\.scratch\.layer_rn\.(\d)\.")


class _Patches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, ENCODER, PATCH, stride=PATCH)


class _Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dpt = DenseHead(ENCODER, DECODER)


class PublishedPairPointmap(nn.Module):
    """The network; weights are named as published.

    Args:
        parity: Whether portrait pictures in landscape storage get the positions of the landscape grid, as published: they are turned,
            but their tokens are placed as if they were not, and points move by up to a distance of their own.
    """

    def __init__(self, *, parity: bool = False) -> None:
        super().__init__()
        self.parity = parity
        self.mask_token = nn.Parameter(torch.zeros(1, 1, DECODER))  # of the pre-training; in every file, never used
        self.patch_embed = _Patches()
        self.enc_blocks = nn.ModuleList(EncoderBlock(ENCODER) for _ in range(ENCODER_BLOCKS))
        self.enc_norm = nn.LayerNorm(ENCODER, NORM_EPS)
        self.decoder_embed = nn.Linear(ENCODER, DECODER)
        self.dec_blocks = nn.ModuleList(DecoderBlock(DECODER) for _ in range(DECODER_BLOCKS))
        self.dec_blocks2 = nn.ModuleList(DecoderBlock(DECODER) for _ in range(DECODER_BLOCKS))
        self.dec_norm = nn.LayerNorm(DECODER, NORM_EPS)
        self.downstream_head1, self.downstream_head2 = _Head(), _Head()

    @classmethod
    def from_state_dict(cls, state: State, *, parity: bool = False) -> PublishedPairPointmap:
        """The network with these weights: tied entries in either spelling or both, the second decoder missing or not.

        Raises:
            UserError: if a name or shape differs.
        """
        with torch.device("meta"):
            network = cls(parity=parity)
        return filled(network, _completed(below(state, "")), model=NAME)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, revision: str | None = None, parity: bool = False) -> PublishedPairPointmap:
        """The network with the weights of a file that a person has; its licence is told on the standard error stream.

        Settings of a training beside the weights are skipped, never evaluated; nothing in the file is executed.

        Raises:
            UserError: no such file, not a file of weights or one with code in it, or weights of another model.
        """
        if revision is not None:
            raise UserError(f"The weights of {NAME} are read from a file, so there is no revision {revision!r} of them.")
        file = Path(name_or_path).expanduser()
        if not file.is_file():
            raise UserError(f"There is no file {str(name_or_path)!r}; give the path of a checkpoint of {NAME}.")
        with torch.serialization.safe_globals([argparse.Namespace]):  # published files hold one: a bag of names and values
            network = cls.from_state_dict(read_state(file, model=NAME), parity=parity)
        print(LICENCE, file=sys.stderr)
        return network

    def encode(self, images: Tensor, *, turned: bool = False) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Each picture by itself: it need not be computed again for every pair.

        Args:
            images: (B, 3, H, W) RGB from -1 to 1, sides multiples of 16.
            turned: Whether the pictures are portrait ones whose positions shall be those of a landscape grid.

        Returns:
            (B, L, 1024) tokens, their (L, 2) positions, and (rows, columns).
        """
        x = self.patch_embed.proj(images)
        rows, columns = x.shape[-2:]
        positions = grid_positions(columns, rows, x.device) if turned else grid_positions(rows, columns, x.device)
        x = x.flatten(2).transpose(1, 2)
        for block in self.enc_blocks:
            x = block(x, positions)
        return self.enc_norm(x), positions, (rows, columns)

    def forward(
        self, img1: Tensor, img2: Tensor, true_shape1: Tensor | None = None, true_shape2: Tensor | None = None, *, landscape: bool = False
    ) -> dict[str, Tensor]:
        """Both pointmaps of pairs.

        Args:
            img1: (B, 3, H, W) reference pictures, RGB from -1 to 1, sides multiples of 16.
            img2: (B, 3, h, w) the others.
            true_shape1: (B, 2) height and width of pictures 1 where portrait ones lie turned in landscape storage; None for as they are.
            true_shape2: The same of pictures 2.
            landscape: Whether such turned ones are to be turned back.

        Returns:
            pts3d_1 (B, H, W, 3) what picture 1 shows, at the moment of 2; conf_1 (B, H, W) from 1 on; pts3d_2 and conf_2 what picture 2
            shows; all in camera 1.

        Raises:
            UserError: sides that are no multiples of 16.
        """
        if not landscape:
            return self._pairs(img1, img2)
        rows = [self._one(img1[i : i + 1], img2[i : i + 1], _at(true_shape1, i), _at(true_shape2, i)) for i in range(len(img1))]
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    def _one(self, img1: Tensor, img2: Tensor, shape1: tuple[int, int] | None, shape2: tuple[int, int] | None) -> dict[str, Tensor]:
        turned = [shape is not None and shape[0] > shape[1] for shape in (shape1, shape2)]
        upright = [img.transpose(2, 3) if turn else img for img, turn in zip((img1, img2), turned, strict=True)]
        found = self._pairs(upright[0], upright[1], turned=(turned[0], turned[1]))
        for k, turn in enumerate(turned, start=1):
            if turn:
                found |= {name: found[name].transpose(1, 2) for name in (f"pts3d_{k}", f"conf_{k}")}
        return found

    def _pairs(self, img1: Tensor, img2: Tensor, turned: tuple[bool, bool] = (False, False)) -> dict[str, Tensor]:
        for image in (img1, img2):
            if image.ndim != 4 or image.shape[2] % PATCH or image.shape[3] % PATCH:  # noqa: PLR2004
                raise UserError(f"The pictures have shape {tuple(image.shape)}, but (B, 3, H, W) with sides of multiples of 16 is needed.")
        first = self.encode(img1, turned=self.parity and turned[0])
        other = self.encode(img2, turned=self.parity and turned[1])
        return self.decode(first, other)

    def decode(self, first: tuple[Tensor, Tensor, tuple[int, int]], other: tuple[Tensor, Tensor, tuple[int, int]]) -> dict[str, Tensor]:
        """Two encoded pictures (of `encode`) to what `forward` returns."""
        (t1, p1, grid1), (t2, p2, grid2) = first, other
        a, b = self.decoder_embed(t1), self.decoder_embed(t2)
        taps1, taps2 = [t1], [t2]
        for i, (left, right) in enumerate(zip(self.dec_blocks, self.dec_blocks2, strict=True), start=1):
            a, b = left(a, b, p1, p2), right(b, a, p2, p1)
            if i in TAPPED:
                taps1.append(self.dec_norm(a) if i == DECODER_BLOCKS else a)
                taps2.append(self.dec_norm(b) if i == DECODER_BLOCKS else b)
        out = {}
        with torch.autocast(t1.device.type, enabled=False):  # heads are computed in full precision, as published
            for k, (head, taps, grid) in enumerate(((self.downstream_head1, taps1, grid1), (self.downstream_head2, taps2, grid2)), start=1):
                raw = head.dpt([tap.float() for tap in taps], *grid)
                out[f"pts3d_{k}"], out[f"conf_{k}"] = activated(raw)
        return out

    def infer_pair(self, frame_ref: NDArray, frame_j: NDArray) -> dict[str, NDArray]:
        """Both pointmaps of two frames (H, W, 3) uint8 RGB whose sides are multiples of 16; names as in `forward`, without B."""
        device = self.mask_token.device
        images = [
            (torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float().to(device) / 255 - 0.5) / 0.5
            for frame in (frame_ref, frame_j)
        ]
        halves = device.type == "cuda" and torch.cuda.is_bf16_supported()
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=halves):
            found = self(images[0], images[1])
        return {name: value[0].float().cpu().numpy() for name, value in found.items()}


def pair_cost(size: tuple[int, int], pairs: int, *, threads: int = 1) -> Estimate:
    """What pairs of pictures of (width, height) take on a CPU, before they are computed.

    >>> round(pair_cost((256, 256), 1).seconds)
    6
    """
    tokens = (size[0] // PATCH) * (size[1] // PATCH)
    gflop = GFLOP_PER_TOKEN * tokens + GFLOP_PER_TOKEN2 * tokens**2
    return Estimate(round(pairs * gflop / (CPU_GFLOPS * threads), 1), WEIGHTS_MB + 300 + 4e-3 * size[0] * size[1])


def activated(raw: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 4, H, W) of a head to points (B, H, W, 3), exponential in their distance, and confidence (B, H, W) from 1 on."""
    v, c = raw[:, :3].permute(0, 2, 3, 1), raw[:, 3]
    length = v.norm(dim=-1, keepdim=True)
    return v / length.clamp(min=1e-8) * torch.expm1(length), 1 + c.exp()


def linear_head(tokens: Tensor, weight: Tensor, bias: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """The simpler head, which no published configuration uses: a token (B, L, C) is the four numbers of each of its 16 x 16 pixels."""
    numbers = nn.functional.linear(tokens, weight, bias).transpose(1, 2).unflatten(2, (rows, columns))
    return activated(nn.functional.pixel_shuffle(numbers, PATCH))


def _completed(state: Mapping[str, Any]) -> dict[str, Any]:
    """The weights with tied ones under one name, and the second decoder, where it is missing, as the first."""
    out = {_TIED.sub(lambda m: f".scratch.layer{int(m.group(1)) + 1}_rn.", name): value for name, value in state.items()}
    if not any(name.startswith("dec_blocks2.") for name in out):
        out |= {name.replace("dec_blocks.", "dec_blocks2.", 1): out[name] for name in list(out) if name.startswith("dec_blocks.")}
    if "enc_norm.weight" in out:  # unused, so a file may lack it
        out.setdefault("mask_token", np.zeros((1, 1, DECODER), np.float32))
    return out


def _at(shapes: Tensor | None, i: int) -> tuple[int, int] | None:
    return None if shapes is None else (int(shapes[i][0]), int(shapes[i][1]))
