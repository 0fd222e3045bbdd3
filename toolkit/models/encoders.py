"""Convolutional encoders of the point tracker: one for whole images, a shallow one for small patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """relu(shortcut(x) + relu(norm(conv(relu(norm(conv(x))))))), with instance norms that have no weights."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        # A list of one, because the published weights are named so.
        self.downsample = None if stride == 1 else nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride=stride))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, channels, H / stride, W / stride)."""
        y = functional.relu(functional.instance_norm(self.conv1(x)))
        y = functional.relu(functional.instance_norm(self.conv2(y)))
        if self.downsample is not None:
            x = functional.instance_norm(self.downsample(x))
        return functional.relu(x + y)


class ImageEncoder(nn.Module):
    """Features of a whole image at a quarter of its size, from four stages of two residual blocks."""

    channels = 128
    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.layer1 = _stage(64, 64, 1)
        self.layer2 = _stage(64, 96, 2)
        self.layer3 = _stage(96, 128, 2)
        self.layer4 = _stage(128, 128, 2)
        self.conv2 = nn.Conv2d(416, 256, 3, padding=1)
        self.conv3 = nn.Conv2d(256, self.channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 to (B, 128, H // 4, W // 4)."""
        size = (images.shape[-2] // self.stride, images.shape[-1] // self.stride)
        x = functional.relu(functional.instance_norm(self.conv1(images)))
        stages = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            stages.append(resized(x, size))
        x = functional.relu(functional.instance_norm(self.conv2(torch.cat(stages, dim=1))))
        return self.conv3(x)


class PatchEncoder(nn.Module):
    """Features of small patches at their full resolution."""

    channels = 32

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.layer1 = ResidualBlock(32, 32, 2)
        self.layer2 = ResidualBlock(32, 32, 2)
        self.conv2 = nn.Conv2d(32, self.channels, 1)

    def forward(self, patches: Tensor) -> Tensor:
        """(B, 3, h, w) in 0..1 to (B, 32, h, w)."""
        x = functional.relu(functional.instance_norm(self.conv1(patches)))
        half = x.shape[-2:]
        down = self.layer1(x)
        x = x + resized(down, half)
        down = self.layer2(down)
        x = x + resized(down, half)
        x = self.conv2(x) + x
        return resized(x, patches.shape[-2:])


def resized(x: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """(B, C, H, W) resized to (B, C, *size), bilinear, corners on corners as in the published networks."""
    return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


def _stage(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(ResidualBlock(channels_in, channels, stride), ResidualBlock(channels, channels, 1))
