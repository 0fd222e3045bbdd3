"""The published checks of stereo flow, against the published implementation."""

import numpy as np
import pytest

from toolkit.stereo import depth_from_flow
from toolkit.stereo.checks import depth_edges, occluded, off_row

FOCAL_PX = 64 / np.tan(np.radians(30))


@pytest.fixture(scope="module")
def published(golden):
    with np.load(golden / "stereo4d" / "disparity.npz") as file:
        return dict(file)


def test_occlusion_and_vertical_check_are_the_published_ones(published):
    for forward, backward, hidden, off in zip(
        published["flow_fwd"], published["flow_bwd"], published["occluded"], published["vertical_bad"], strict=True
    ):
        np.testing.assert_array_equal(occluded(forward, backward), hidden)
        np.testing.assert_array_equal(off_row(forward), off)


@pytest.mark.parametrize(("reject_edges", "name"), [(False, "depth_no_edge_filter"), (True, "depth")])
def test_depth_is_the_published_one(published, reject_edges, name):
    for forward, backward, wanted in zip(published["flow_fwd"], published["flow_bwd"], published[name], strict=True):
        depth = depth_from_flow(forward, backward, focal_px=FOCAL_PX, reject_edges=reject_edges)
        np.testing.assert_array_equal(np.isnan(depth), wanted == 0)
        np.testing.assert_allclose(depth[wanted > 0], wanted[wanted > 0], rtol=1e-5)


def test_depth_edges_are_the_published_ones(published):
    for depth, mask in zip(published["depth_no_edge_filter"], published["edge_mask"], strict=True):
        np.testing.assert_array_equal(depth_edges(np.where(depth == 0, np.nan, depth)), mask.astype(bool))


def test_a_wall_seen_straight_on_passes_every_check():
    flow = np.zeros((20, 30, 2), np.float32)
    flow[..., 0] = -4
    depth = depth_from_flow(flow, -flow, focal_px=100, baseline_m=0.06)
    assert np.allclose(depth[2:-2, 6:-2], 1.5)
    assert np.isnan(depth[:, :3]).all()  # their matches lie outside the right image
