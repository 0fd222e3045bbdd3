"""Rays cast at generated scenes in batched torch: pictures, and pointmaps of both kinds that are exact to the last hidden pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from toolkit.synthetic.pointmap_scenes import ROOM, TRAINING, PointmapRecipe, PointmapScenes, pointmap_scenes

NEAREST = 1e-3
SEEN_WITHIN = 0.01  # of its distance: a point whose ray ends so near it is seen
NOISE_SIDE = 32


@dataclass(frozen=True, eq=False)
class Hits:
    """Where rays end.

    Attributes:
        part: (B, P) which part.
        local: (B, P, 3) where on it, in its own unit ball or box.
        xyz: (B, P, 3) where in the world.
        distance: (B, P) in lengths of the ray's direction.
    """

    part: Tensor
    local: Tensor
    xyz: Tensor
    distance: Tensor


@dataclass(frozen=True, eq=False)
class PointmapPairs:
    """B pairs of pictures with the truth, in camera 1's frame; the unit is the (geometric) mean distance of what picture 1 shows.

    Attributes:
        images: (B, 2, 3, H, W) 0..1; of more pixels than the truth where that was asked for.
        focal: (B,) in widths of the picture.
        T_1j: (B, 4, 4) camera 1 from camera j.
        base: (B, H, W, 3) what picture 1 shows, at its own moment.
        tracked: (B, H, W, 3) the same surface at the moment of j, hidden or not.
        seen: (B, H, W) whether it is seen in picture j.
        at: (B, H, W, 2) where it is in picture j, 0..1 from left and top; NaN behind the camera.
        moves: (B, H, W) whether it lies on something that moves.
        recon: (B, H, W, 3) what picture j shows.
        depth: (B, H, W) the same as z-depth in camera j.
    """

    images: Tensor
    focal: Tensor
    T_1j: Tensor
    base: Tensor
    tracked: Tensor
    seen: Tensor
    at: Tensor
    moves: Tensor
    recon: Tensor
    depth: Tensor

    def to(self, device: torch.device | str) -> PointmapPairs:
        """The same on another device."""
        return PointmapPairs(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def mirrored(self) -> PointmapPairs:
        """The same pairs left to right."""
        sign = torch.tensor([-1.0, 1.0, 1.0, 1.0], device=self.focal.device)

        def points(xyz: Tensor) -> Tensor:
            return xyz.flip(2) * sign[:3]

        at = self.at.flip(2)
        return PointmapPairs(
            images=self.images.flip(-1),
            focal=self.focal,
            T_1j=self.T_1j * sign[:, None] * sign,
            base=points(self.base),
            tracked=points(self.tracked),
            seen=self.seen.flip(2),
            at=torch.stack([1 - at[..., 0], at[..., 1]], -1),
            moves=self.moves.flip(2),
            recon=points(self.recon),
            depth=self.depth.flip(2),
        )


def pixel_rays(focal: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H*W, 3) rays of all pixels of a (width, height) picture, z = 1, focal lengths (B,) in widths."""
    width, height = size
    device = focal.device
    x = (torch.arange(width, device=device) + 0.5 - 0.5 * width) / width
    y = (torch.arange(height, device=device) + 0.5 - 0.5 * height) / width
    grid = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), -1).reshape(1, -1, 2) / focal[:, None, None]
    return torch.cat([grid, torch.ones_like(grid[..., :1])], -1)


def cast(scenes: PointmapScenes, s: Tensor, origin: Tensor, rays: Tensor) -> Hits:
    """Where rays end at the moment s (B,) of each scene.

    Args:
        scenes: B of them.
        s: (B,) moments.
        origin: (B, 3) of the rays.
        rays: (B, P, 3) directions in the world, of any length.
    """
    R, t = scenes.parts(s)
    # Rays in each part's own unit ball or box.
    o = torch.einsum("bnji,bnj->bni", R, origin[:, None] - t) / scenes.size
    d = torch.einsum("bnji,bpj->bnpi", R, rays) / scenes.size[:, :, None]
    o = o[:, :, None]
    distance = torch.full(d.shape[:3], torch.inf, device=d.device)
    ball = ~scenes.box
    if bool(ball.any()):
        distance[:, ball] = _balls(o[:, ball], d[:, ball])
    distance[:, ROOM] = _boxes(o[:, ROOM], d[:, ROOM], inside=True)
    box = scenes.box.clone()
    box[ROOM] = False
    if bool(box.any()):
        distance[:, box] = _boxes(o[:, box], d[:, box], inside=False)
    distance = torch.where(scenes.present[..., None], distance, torch.inf)
    nearest, part = distance.min(1)
    chosen = part[:, None, :, None].expand(-1, 1, -1, 3)
    local = o.expand_as(d).gather(1, chosen)[:, 0] + nearest[..., None] * d.gather(1, chosen)[:, 0]
    return Hits(part, local, origin[:, None] + nearest[..., None] * rays, nearest)


def carried(scenes: PointmapScenes, s: Tensor, hits: Hits) -> Tensor:
    """(B, P, 3) where the surface points that rays hit are at another moment s (B,), hidden or not."""
    R, t = scenes.parts(s)
    rows = torch.arange(len(scenes), device=t.device)[:, None]
    size = scenes.size[rows, hits.part]
    return torch.einsum("bpij,bpj->bpi", R[rows, hits.part], hits.local * size) + t[rows, hits.part]


def picture(scenes: PointmapScenes, s: Tensor, hits: Hits, size: tuple[int, int]) -> Tensor:
    """(B, 3, H, W) what the rays of all pixels show, 0..1."""
    rows = torch.arange(len(scenes), device=s.device)[:, None]
    local, part = hits.local, hits.part
    pattern, colours = scenes.pattern[rows, part], scenes.colours[rows, part]
    where = local * scenes.size[rows, part] * pattern[..., :1]  # in the part's own measure: textures are carried along
    value = _noise(where * 0.25 + pattern[..., 5:], scenes.textures)
    stripes, checks = torch.sin(6.2832 * where[..., 0]), torch.sin(6.2832 * where).prod(-1) * 3
    value = torch.where(pattern[..., 2] > 0, stripes + 0.5 * value, torch.where(pattern[..., 3] > 0, checks + 0.5 * value, value))
    share = torch.sigmoid(pattern[..., 1] * 2 * value)[..., None] * pattern[..., 4:5]
    albedo = colours[..., 0, :] * (1 - share) + colours[..., 1, :] * share
    R, _ = scenes.parts(s)
    steep = local.abs()
    face = functional.one_hot(steep.argmax(-1), 3) * local.sign()
    flat = torch.where((part == ROOM)[..., None], -face, face).to(local.dtype)
    normal = torch.where(scenes.box[part][..., None], flat, local) / scenes.size[rows, part]
    normal = functional.normalize(torch.einsum("bpij,bpj->bpi", R[rows, part], normal), dim=-1)
    lit = (normal * scenes.light[:, None, :3]).sum(-1)
    around = scenes.light[:, None, 3]
    shade = around + (1 - around) * lit.clamp(min=0)
    rgb = (albedo * shade[..., None]).clamp(0, 1) ** 0.6
    return rgb.reshape(len(scenes), size[1], size[0], 3).permute(0, 3, 1, 2)


def pointmap_pairs(
    seeds: Sequence[int],
    moments: Sequence[tuple[float, float]],
    *,
    size: tuple[int, int],
    step: int = 1,
    recipe: PointmapRecipe = TRAINING,
    device: torch.device | str = "cpu",
) -> PointmapPairs:
    """Pairs of pictures of scenes, each at two moments of its clip.

    Args:
        seeds: One a pair.
        moments: (of picture 1, of picture j) in shares of the clip, 0..1.
        size: (width, height) of the pictures.
        step: The truth is told at so many times fewer pixels across and down, each in the middle of those it stands for.
        recipe: What kinds of scenes.
        device: Where rays are cast.
    """
    scenes = pointmap_scenes(seeds, recipe=recipe).to(device)
    s1, sj = torch.tensor(moments, dtype=torch.float32, device=device).unbind(1)
    R1, c1 = scenes.cameras(s1)
    Rj, cj = scenes.cameras(sj)
    rays = pixel_rays(scenes.focal, size)
    first = cast(scenes, s1, c1, rays @ R1.transpose(1, 2))
    other = cast(scenes, sj, cj, rays @ Rj.transpose(1, 2))
    images = torch.stack([picture(scenes, s1, first, size), picture(scenes, sj, other, size)], 1)
    if step > 1:
        size = (size[0] // step, size[1] // step)
        rays = pixel_rays(scenes.focal, size)
        first = cast(scenes, s1, c1, rays @ R1.transpose(1, 2))
        other = cast(scenes, sj, cj, rays @ Rj.transpose(1, 2))
    moved = carried(scenes, sj, first)
    seen, at = seen_from(scenes, sj, moved, Rj, cj, size)
    shape = (len(scenes), size[1], size[0])

    def in_first(xyz: Tensor) -> Tensor:
        return ((xyz - c1[:, None]) @ R1).reshape(*shape, 3)

    T_1j = torch.eye(4, device=s1.device).repeat(len(scenes), 1, 1)
    T_1j[:, :3, :3] = R1.transpose(1, 2) @ Rj
    T_1j[:, :3, 3] = ((cj - c1)[:, None] @ R1)[:, 0]
    base = in_first(first.xyz)
    unit = base.norm(dim=-1).log().mean((1, 2)).exp()[:, None, None]
    T_1j[:, :3, 3] /= unit[:, 0]
    rows = torch.arange(len(scenes), device=s1.device)[:, None]
    return PointmapPairs(
        images=filmed(images, seeds, moments),
        focal=scenes.focal,
        T_1j=T_1j,
        base=base / unit[..., None],
        tracked=in_first(moved) / unit[..., None],
        seen=seen.reshape(shape),
        at=at.reshape(*shape, 2),
        moves=scenes.moves[rows, first.part].reshape(shape),
        recon=in_first(other.xyz) / unit[..., None],
        depth=other.distance.reshape(shape) / unit,
    )


def seen_from(scenes: PointmapScenes, s: Tensor, xyz: Tensor, R: Tensor, c: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Whether points (B, P, 3) of the world are seen from a camera at that moment, and where in its picture, 0..1."""
    to = xyz - c[:, None]
    inside = to @ R
    depth = inside[..., 2:]
    focal = scenes.focal[:, None, None] * torch.tensor([1.0, size[0] / size[1]], device=c.device)
    at = torch.where(depth > NEAREST, inside[..., :2] / depth * focal + 0.5, torch.nan)
    hit = cast(scenes, s, c, to)
    pictured = ((at > 0) & (at < 1)).all(-1)
    return pictured & (hit.distance > 1 - SEEN_WITHIN), at


def _balls(o: Tensor, d: Tensor) -> Tensor:
    """Distance along rays to the unit ball, from outside; infinite where it is missed."""
    a, b, c = (d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - 1
    root = b * b - a * c
    near = (-b - root.clamp(min=0).sqrt()) / a
    return torch.where((root > 0) & (near > NEAREST), near, torch.inf)


def _boxes(o: Tensor, d: Tensor, *, inside: bool) -> Tensor:
    """Distance along rays to the unit box."""
    steep = torch.where(d.abs() < 1e-9, torch.full_like(d, 1e-9), d)
    a, b = (-1 - o) / steep, (1 - o) / steep
    enters, leaves = torch.minimum(a, b).amax(-1), torch.maximum(a, b).amin(-1)
    if inside:
        return torch.where(leaves > NEAREST, leaves, torch.inf)
    return torch.where((enters < leaves) & (enters > NEAREST), enters, torch.inf)


@lru_cache(maxsize=4)
def _noise_volume(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 1, NOISE_SIDE, NOISE_SIDE, NOISE_SIDE, generator=generator)


def _noise(where: Tensor, seed: int) -> Tensor:
    """Smooth noise of three octaves at places (B, P, 3), repeating at 1."""
    volume = _noise_volume(seed).to(where.device)
    total = torch.zeros_like(where[..., 0])
    for octave, weight in ((1.0, 0.9), (2.3, 0.7), (5.1, 0.5)):
        at = (where * octave * 0.5 + 0.137 * octave) % 1.0 * 2 - 1
        total = total + weight * functional.grid_sample(volume, at.reshape(1, -1, 1, 1, 3), align_corners=True).reshape(total.shape)
    return total


def filmed(images: Tensor, seeds: Sequence[int], moments: Sequence[Sequence[float]]) -> Tensor:
    """Pictures with the exposure and the noise of a camera, which depend on the seed and the moment alone."""
    out = []
    for image, seed, pair in zip(images, seeds, moments, strict=True):
        for one, moment in zip(image, pair, strict=True):
            generator = torch.Generator().manual_seed(seed * 1009 + int(moment * 997))
            gain = torch.randn(3, 1, 1, generator=generator) * 0.02 + torch.randn(1, generator=generator) * 0.06 + 1
            noise = torch.randn(one.shape, generator=generator) * 0.012
            out.append((one * gain.to(one.device) + noise.to(one.device)).clamp(0, 1))
    return torch.stack(out).reshape(images.shape)
