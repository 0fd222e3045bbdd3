"""Clouds of features against a plain construction, where depth is missing or points are few."""

import numpy as np
import pytest
import torch

from tests.models.mvtracker_weights import arrays, network
from toolkit.models.mvtracker_cloud import NEIGHBOURS, FeatureCloud, View, in_unit_range


@pytest.fixture(scope="module")
def net(golden):
    return network(golden, False)


def moment(golden, depth_of, views=3):
    case = arrays(golden, "case_b_inputs")
    found = []
    for v in range(views):
        depth = depth_of(case["depths"][v, 0, 0].copy())
        found.append(View(case["rgbs"][v, 0], depth, case["intrs"][v, 0].astype(float), case["extrs"][v, 0].astype(float)))
    return found


def points_of(cloud, level):
    found = cloud.levels[level]
    assert found is not None and len(found.nearest) == len(found.features)
    return found.xyz.numpy()


def plainly(net, views, level):
    """Features and places of all pixels with depth, one by one."""
    features, places = [], []
    for view in views:
        with torch.inference_mode():
            maps = net.fnet(in_unit_range(view, net.fnet))
            for _ in range(level):
                maps = torch.nn.functional.avg_pool2d(maps, 2)
        step = 4 * 2**level
        for i in range(maps.shape[-2]):
            for j in range(maps.shape[-1]):
                z = view.depth[i * step, j * step]
                if np.isfinite(z) and z > 0:
                    ray = np.linalg.inv(view.K) @ [(j + 0.5) * step - 0.5, (i + 0.5) * step - 0.5, 1]
                    R, t = view.T_cw[:, :3], view.T_cw[:, 3]
                    features.append(maps[0, :, i, j].numpy())
                    places.append(R.T @ (ray * z - t))
    return np.array(features), np.array(places)


def holes(depth):
    depth[20:50, 10:40] = 0
    depth[:12] = np.nan
    depth[60:, 60:] = np.inf
    return depth


@torch.inference_mode()
@pytest.mark.parametrize("level", [0, 1, 2])
def test_pixels_without_depth_are_no_points_and_their_features_go_with_them(golden, net, level):
    views = moment(golden, holes)
    features, places = plainly(net, views, level)
    cloud = FeatureCloud(net.fnet, views)
    xyz = torch.tensor([[0.3, -0.2, 1.1], [-1.5, 0.4, 0.2]])
    looks = torch.randn(2, 128, generator=torch.Generator().manual_seed(0))
    found = cloud.around(xyz, looks).view(2, 4, NEIGHBOURS, 4)[:, level].numpy()
    for track in range(2):
        near = np.argsort(np.linalg.norm(places - xyz[track].numpy(), axis=1))[:NEIGHBOURS]
        np.testing.assert_allclose(found[track, :, 0], features[near] @ looks[track].numpy() / 128**0.5, atol=1e-4)
        np.testing.assert_allclose(found[track, :, 1:], places[near] - xyz[track].numpy(), atol=1e-5)


@torch.inference_mode()
def test_the_published_code_takes_cameras_for_points_where_depth_is_unknown(golden, net):
    views = moment(golden, lambda depth: np.where(np.arange(depth.shape[1]) < 48, 0, depth).astype(np.float32))
    centre = -views[0].T_cw[:, :3].T @ views[0].T_cw[:, 3]
    wrong, right = (points_of(FeatureCloud(net.fnet, views, published=p), 0) for p in (True, False))
    assert (np.linalg.norm(wrong - centre, axis=1) < 1e-4).sum() >= 16 * 12
    assert np.linalg.norm(right - centre, axis=1).min() > 1
    assert len(right) < len(wrong) == 3 * 16 * 24


@torch.inference_mode()
def test_fewer_than_sixteen_points_are_enough_and_none_says_nothing(golden, net):
    one = FeatureCloud(net.fnet, moment(golden, lambda depth: np.where(depth > 0, depth, 7).astype(np.float32), views=1))
    assert len(points_of(one, 3)) == 6
    xyz, looks = torch.tensor([[0.3, -0.2, 1.1]]), torch.ones(1, 128)
    around = one.around(xyz, looks).view(4, NEIGHBOURS, 4)
    assert torch.isfinite(around).all()
    assert torch.equal(around[3, 5:], around[3, 5:6].expand(11, 4)), "the farthest is repeated"
    nothing = FeatureCloud(net.fnet, moment(golden, lambda depth: depth * 0))
    assert nothing.empty and not nothing.around(xyz, looks).any()
    assert FeatureCloud(net.fnet, []).empty
