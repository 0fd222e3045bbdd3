"""Correlation windows against the plain way: interpolate the whole correlation volume."""

import pytest
import torch
from torch.nn import functional

from toolkit.models.correlation import correlation_windows, pyramid


@pytest.mark.parametrize(("size", "radius"), [((40, 56), 3), ((31, 31), 3), ((9, 14), 4)])
def test_windows_are_those_of_the_whole_correlation_volume(size, radius):
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 8, *size, generator=random)
    features = torch.randn(3, 11, 8, generator=random)
    xy = torch.rand(3, 11, 2, generator=random) * (torch.tensor([size[1], size[0]]) + 20) - 10  # some are outside
    got = correlation_windows(pyramid(maps, 2), features, xy, radius)
    assert torch.allclose(got, _plain(maps, features, xy, radius, levels=2), atol=2e-5)


def test_places_far_outside_correlate_with_nothing():
    maps = torch.ones(1, 4, 16, 16)
    xy = torch.tensor([[[1e9, -1e9], [-400.0, 3.0]]])
    assert not correlation_windows(pyramid(maps, 2), torch.ones(1, 2, 4), xy, 2).any()


def _plain(maps, features, xy, radius, levels):
    found = []
    for level in range(levels):
        if level:
            maps = functional.avg_pool2d(maps, 2)
        height, width = maps.shape[-2:]
        volume = torch.einsum("bchw,bnc->bnhw", maps, features).flatten(0, 1)[:, None] / features.shape[-1] ** 0.5
        reach = torch.arange(-radius, radius + 1.0)
        offsets = torch.stack(torch.meshgrid(reach, reach, indexing="ij"), dim=-1)  # x outer
        place = (xy / 2**level).flatten(0, 1)[:, None, None] + offsets
        place = 2 * place / torch.tensor([width - 1, height - 1]) - 1
        found.append(functional.grid_sample(volume, place, align_corners=True).flatten(1))
    return torch.cat(found, dim=-1).unflatten(0, tuple(features.shape[:2]))
