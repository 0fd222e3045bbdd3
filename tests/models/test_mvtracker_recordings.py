"""MVTracker on recordings: where the published code is wrong, streams of any length, and worlds of any size."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.models.mvtracker_weights import arrays, network, views
from toolkit.errors import Cancelled, UserError
from toolkit.geometry.alignment import Similarity, align_similarity
from toolkit.models.mvtracker_stream import MultiViewTracking
from toolkit.models.mvtracker_views import network_size
from toolkit.scene import Cameras, MultiViewVideo, Video

AREA = 96 * 64
QUICK = MultiViewTracking(iterations=1, area_px=AREA, support=1)


@pytest.fixture(scope="module")
def net(golden):
    return network(golden, False)


@pytest.fixture(scope="module")
def case(golden):
    return arrays(golden, "case_b_inputs")


@pytest.fixture(scope="module")
def clip(case):
    return recording(case)


@pytest.fixture(scope="module")
def short(case):
    return recording(case, slice(0, 9))


@pytest.fixture(scope="module")
def queries(case):
    """Places on what the scene shows, in frame 0."""
    return np.concatenate([np.zeros((6, 1)), case["query_points"][:6, 1:]], axis=1).astype(np.float32)


def recording(case, frames=slice(None), by=None):
    """A case as synchronised videos, in another world where `by` is given."""
    images, depths, intrs, extrs = views(case, frames)
    videos, cameras, depth_m = [], [], []
    for v in range(len(images)):
        K = intrs[v].astype(np.float64)
        K[:, :2, 2] += 0.5
        T_wc = np.linalg.inv(np.concatenate([extrs[v], np.tile([[[0, 0, 0, 1.0]]], (len(K), 1, 1))], 1))
        depth = np.where(depths[v, :, 0] > 0, depths[v, :, 0], np.nan).astype(np.float32)
        if by is not None:
            T_wc, depth = by.apply_to_poses(T_wc), depth * np.float32(by.scale)
        videos.append(Video.from_frames(images[v].transpose(0, 2, 3, 1)))
        cameras.append(Cameras(K, T_wc, np.tile([[96, 64]], (len(K), 1))))
        depth_m.append(depth)
    return MultiViewVideo(tuple(videos), tuple(cameras), tuple(depth_m))


def at(queries, t):
    return np.concatenate([np.full((len(queries), 1), t), queries[:, 1:]], axis=1).astype(np.float32)


def test_a_short_clip_and_late_queries_have_an_answer(golden, net, case, queries):
    published = network(golden, True)
    for frames, t in ((5, 0), (12, 7), (1, 0)):
        given = views(case, slice(0, frames))
        wrong, _ = published.track(*given, at(queries, t), iters=1)
        xyz, chance = net.track(*given, at(queries, t), iters=1)
        assert not wrong.any(), "the published code says nothing"
        assert xyz.shape == (frames, 6, 3) and np.isfinite(xyz).all() and (chance > 0).all()
        np.testing.assert_array_equal(xyz[t], queries[:, 1:])


def test_frames_before_the_query_are_unknown_unless_followed_back(net, case, queries):
    asked = at(queries, [[0], [3], [5], [5], [6], [8]])
    given = views(case, slice(0, 9))
    xyz, chance = net.track(*given, asked, iters=1, both_ways=False)
    before = np.arange(9)[:, None] < asked[:, 0]
    assert np.isnan(xyz[before]).all() and not chance[before].any()
    assert np.isfinite(xyz[~before]).all()
    both, _ = net.track(*given, asked, iters=1)
    assert np.isfinite(both).all()
    np.testing.assert_array_equal(both[~before], xyz[~before])


def test_the_way_back_is_the_way_forward_through_the_turned_clip(net, case, queries):
    turned, _ = net.track(*[a[:, ::-1] for a in views(case, slice(0, 9))], at(queries, 0), iters=1)
    back, _ = net.track(*views(case, slice(0, 9)), at(queries, 8), iters=1)
    np.testing.assert_array_equal(back, turned[::-1])


def test_every_query_is_where_it_was_asked_for(golden, net, clip, case):
    asked = case["query_points"]
    rows, t = np.arange(len(asked)), asked[:, 0].astype(int)
    found = net.infer(clip, asked, settings=QUICK)
    np.testing.assert_array_equal(found.xyz[rows, t], asked[:, 1:])
    assert found.visible[rows, t].all() and np.isfinite(found.xyz).all()
    published = arrays(golden, "case_b_outputs")["traj_exactknn"]
    assert np.abs(published[t, rows] - asked[:, 1:]).max() > 1e-3


def test_queries_that_cannot_be_are_refused_in_a_sentence(net, clip, queries):
    for wrong, sentence in (
        (at(queries, 20), "Query 0 is in frame 20, but there are frames 0 to 19"),
        (at(queries, -1), "Query 0 is in frame -1"),
        (queries * np.nan, "Query 0 is .*nan.* must be finite"),
        (queries[:, :3], r"shape \(6, 3\), but \(N, 4\) with \(t, x, y, z\)"),
    ):
        with pytest.raises(UserError, match=sentence):
            net.infer(clip, wrong, settings=QUICK)
    with pytest.raises(UserError, match="without depth"):
        net.infer(MultiViewVideo(clip.views, clip.cameras), queries)
    unknown = tuple(d * np.float32(np.nan) for d in clip.depth_m)
    with pytest.raises(UserError, match="No view has any depth in any of 20 frames"):
        net.infer(MultiViewVideo(clip.views, clip.cameras, unknown), queries, settings=QUICK)


def test_a_query_in_a_frame_without_depth_takes_its_looks_from_the_next_that_has(net, case, queries):
    images, depths, intrs, extrs = views(case, slice(0, 12))
    depths = depths.copy()
    depths[:, 4] = 0
    xyz, chance = net.track(images, depths, intrs, extrs, at(queries, 4), iters=1, both_ways=False)
    assert np.isfinite(xyz[4:]).all() and (chance[4:] > 0).all()
    xyz, chance = net.track(images, depths * 0, intrs, extrs, at(queries, 4), iters=1)
    assert np.isnan(xyz).all() and not chance.any()


def test_a_stream_says_what_the_whole_recording_says(net, clip, case, queries):
    asked = at(queries, [[0], [0], [3], [8], [13], [19]])
    whole = net.infer(clip, asked, settings=MultiViewTracking(iterations=1, area_px=AREA, support=1, both_ways=False))
    stream = net.stream(asked[:4], settings=QUICK)
    told = np.full((6, 20, 3), np.nan, np.float32)
    firsts, finals = [], []
    for start in range(0, 20, 6):
        if start == 6:
            stream.add(asked[4:])  # in frames to come
        parts = stream.push(recording(case, slice(start, start + 6)))
        for part in parts + (stream.finish() if start == 18 else []):
            firsts.append(part.first)
            finals.append(part.final)
            told[:, part.first : part.first + part.xyz.shape[1]] = part.xyz
        assert len(stream._windows.frames) <= 12
    assert firsts == [0, 6, 12] and finals == [6, 6, 8]
    np.testing.assert_array_equal(told, whole.xyz)


def test_a_stream_takes_queries_on_the_way_but_none_in_frames_that_are_gone(net, case, queries):
    stream = net.stream(queries[:1], settings=QUICK)
    for start in (0, 6):
        stream.push(recording(case, slice(start, start + 6)))
    with pytest.raises(UserError, match="Query 0 is in frame 5, but frames before 6 are gone"):
        stream.add(at(queries[1:2], 5))
    stream.add(at(queries[1:2], 7))
    (part,) = stream.push(recording(case, slice(12, 18)))
    assert part.first == 6 and np.isfinite(part.xyz[1, 1:]).all() and np.isnan(part.xyz[1, 0]).all()


def test_a_stream_may_be_asked_after_frames_came(net, case, queries):
    stream = net.stream(np.zeros((0, 4)), settings=QUICK)
    assert stream.push(recording(case, slice(0, 12))) == []
    with pytest.raises(UserError, match="frame 0, but frames before 1 are gone"):
        stream.add(queries)
    stream.add(at(queries, 1))
    (part,) = stream.push(recording(case, slice(12, 14)))
    assert part.first == 1 and np.isfinite(part.xyz).all()


def test_memory_does_not_grow_with_a_stream_and_full_frames_fit():
    code = """
import re
import numpy as np, torch
from toolkit.models.mvtracker import MVTracker
from toolkit.models.mvtracker_cloud import View
from toolkit.models.mvtracker_stream import MultiViewStream, MultiViewTracking

torch.set_num_threads(1)
torch.manual_seed(0)
net = MVTracker().eval()
rng = np.random.default_rng(0)

def views(count, height, width):
    K = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    shape = (height, width)
    return [
        View(rng.integers(0, 255, (3, *shape)).astype(np.uint8), rng.uniform(4, 6, shape).astype(np.float32), K, np.eye(4)[:3] + 0.1 * v)
        for v in range(count)
    ]

def queries(count):
    return np.concatenate([np.zeros((count, 1)), rng.uniform([-1, -1, 4], [1, 1, 6], (count, 3))], axis=1)

def told(frames, count, height, width, asked, iters):
    settings = MultiViewTracking(iterations=iters, support=0, normalise=False)
    stream = MultiViewStream(net, queries(asked), settings)
    windows = sum(stream.push_moment(views(count, height, width)) is not None for t in range(frames))
    # Linux counts a parent's memory in ru_maxrss, too.
    print(windows, re.search("VmHWM: +([0-9]+)", open("/proc/self/status").read().replace("\\t", " "))[1])

told(18, 2, 64, 96, 4, 1)
told(60, 2, 64, 96, 4, 1)
encode, once = net.fnet.forward, []

def encoded_once(image):
    if not once:
        once.append(encode(image))
    return once[0].clone()

net.fnet.forward = encoded_once
told(12, 4, 384, 512, 100, 1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (few, short), (many, long), (one, full) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert (few, many, one) == (2, 9, 1)
    assert long - short < 8 * 1024, "kilobytes; features of 42 frames would be 22 MB"
    assert full < 1600 * 1024


def test_any_world_gives_the_same_answer(net, case, queries):
    by = Similarity(1000.0, align_similarity(*np.random.default_rng(2).normal(size=(2, 9, 3))).R, np.array([5.0, -3e3, 40]))
    frames = slice(0, 7)
    here = net.infer(recording(case, frames), queries, settings=QUICK)
    there = net.infer(recording(case, frames, by), np.concatenate([queries[:, :1], by(queries[:, 1:])], axis=1), settings=QUICK)
    apart = np.linalg.norm(there.xyz - by(here.xyz), axis=-1) / by.scale
    moved = np.linalg.norm(here.xyz - queries[:, None, 1:], axis=-1)
    assert apart.max() < 2e-2 * moved.max()
    np.testing.assert_array_equal(here.rgb, there.rgb)
    np.testing.assert_allclose(here.motion, there.motion, atol=1e-2)


def test_a_camera_that_is_lost_or_sees_nothing_is_done_without(net, short, queries):
    cameras, depth = list(short.cameras), list(short.depth_m)
    T_wc = cameras[1].T_wc.copy()
    T_wc[3:9] = np.nan
    cameras[1] = Cameras(cameras[1].K, T_wc, cameras[1].size)
    depth[2] = depth[2] * np.float32(np.nan)
    found = net.infer(MultiViewVideo(short.views, tuple(cameras), tuple(depth)), queries, settings=QUICK)
    assert np.isfinite(found.xyz).all()


def test_pictures_may_have_any_size_each(net, short, queries):
    wide, tall = short.views[0], short.views[1]
    cut = Video(wide.frames[:, 1:62], wide.times_s)
    K = short.cameras[0].K.copy()
    K[:, 1, 2] -= 1
    cameras = (Cameras(K, short.cameras[0].T_wc, np.tile([[96, 61]], (9, 1))), short.cameras[1])
    found = net.infer(MultiViewVideo((cut, tall), cameras, (short.depth_m[0][:, 1:62], short.depth_m[1])), queries, settings=QUICK)
    assert np.isfinite(found.xyz).all()
    assert network_size((1080, 1920)) == (320, 576) and network_size((512, 384)) == (512, 384)


def test_progress_is_told_to_the_end_and_stops_it(net, short, queries):
    told = []
    net.infer(short, at(queries, 3), settings=QUICK, report=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told) and len({total for _, total in told}) == 1
    assert told[-1][0] == told[-1][1] == len(told)

    def stop(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        net.infer(short, queries, settings=QUICK, report=stop)


def test_no_queries_have_no_tracks(net, clip):
    found = net.infer(clip, np.zeros((0, 4)), settings=QUICK)
    assert found.xyz.shape == (0, 20, 3)


def test_the_network_can_be_taught(golden, case):
    from toolkit.models.mvtracker import MVTracker
    from toolkit.models.mvtracker_cloud import FeatureCloud, View

    torch.manual_seed(0)
    net = MVTracker()
    images, depths, intrs, extrs = views(case, slice(0, 12))
    clouds = [FeatureCloud(net.fnet, [View(images[v, t], depths[v, t, 0], intrs[v, t], extrs[v, t]) for v in range(2)]) for t in range(2)]
    xyz = torch.from_numpy(case["query_points"][:3, 1:])
    found = net.refine(clouds, xyz[:, None].repeat(1, 2, 1), clouds[0].feature_at(xyz), torch.ones(3, 2), torch.ones(3, 2), iters=2)
    (sum(step.square().mean() for step in found.steps) + found.visible.mean()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
