"""Disparity of rectified pairs and depth from it."""

import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import UserError
from toolkit.evaluation.depth import disparity as score
from toolkit.evaluation.depth import seen_by_both
from toolkit.progress import Cancelled
from toolkit.scene import Disparity, StereoVideo, Video
from toolkit.stereo.disparity import depth_from_disparity, estimate_disparity, match_pair

MATCHERS = ("draft", "normal", "fine")
K = np.array([[100.0, 0, 90], [0, 100, 60], [0, 0, 1]])


def textured(rng, h, w):
    """A smooth random texture of many scales, (h, w, 3) float."""
    image = np.zeros((h, w, 3))
    for scale in (1, 2, 4, 8):
        noise = rng.normal(0, 1, (h // scale + 2, w // scale + 2, 3)).astype(np.float32)
        image += cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC) * np.sqrt(scale)
    return 127 + 22 * image


def make_pair(
    seed=0, h=120, w=180, background=(6.0, 0.02), discs=((60, 60, 22, 20.0), (120, 70, 14, 14.0)), gain=1.0, noise=1.0, shift=0.0
):
    """(left, right, disparity) of textured discs (x, y, radius, disparity) before a slanted wall (disparity, slope along y)."""
    rng = np.random.default_rng(seed)
    margin = 48
    y, x = np.mgrid[:h, :w].astype(np.float32)
    left, right = None, None
    truth = (background[0] + background[1] * y + shift).astype(np.float32)
    layers = [(truth.copy(), None)] + [
        (np.full((h, w), d + shift, np.float32), (cx, cy, radius)) for cx, cy, radius, d in sorted(discs, key=lambda disc: disc[3])
    ]
    for d, disc in layers:
        texture = textured(rng, h, w + 2 * margin).astype(np.float32)

        def look(columns, texture=texture):
            return cv2.remap(texture, (columns + margin).astype(np.float32), y, cv2.INTER_CUBIC)

        if disc is None:
            left, right = look(x), look(x + d)
        else:
            cx, cy, radius = disc
            here = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
            there = (x + d - cx) ** 2 + (y - cy) ** 2 < radius**2
            left, right = np.where(here[..., None], look(x), left), np.where(there[..., None], look(x + d), right)
            truth = np.where(here, d, truth)

    def sensor(image, exposure):
        return np.clip(np.round(image * exposure + rng.normal(0, noise, image.shape)), 0, 255).astype(np.uint8)

    return sensor(left, 1.0), sensor(right, gain), truth.astype(np.float32)


@pytest.fixture(scope="module")
def pair():
    return make_pair()


def stereo_of(left, right):
    return StereoVideo(Video.from_frames(left), Video.from_frames(right), K, 0.063)


@pytest.mark.parametrize(("matcher", "most_bad"), [("draft", 0.10), ("normal", 0.03), ("fine", 0.03)])
def test_generated_pair_is_matched(pair, matcher, most_bad):
    left, right, truth = pair
    px, confidence = match_pair(left, right, matcher=matcher)
    scores = score(px, truth, nonocc=seen_by_both(truth))
    assert scores["nonocc_bad_2"] < most_bad
    assert scores["coverage"] == 1
    assert px.dtype == confidence.dtype == np.float32
    assert confidence.min() >= 0 and confidence.max() <= 1


@pytest.mark.parametrize("matcher", MATCHERS)
def test_confidence_is_lower_where_the_error_is_large(pair, matcher):
    left, right, truth = pair
    px, confidence = match_pair(left, right, matcher=matcher)
    bad = np.abs(px - truth) > 2
    good_first = np.argsort(np.argsort(confidence[:, 20:].ravel()))
    b = bad[:, 20:].ravel()
    auc = 1 - (good_first[b].mean() - (b.sum() - 1) / 2) / (~b).sum()
    assert auc > 0.85


def test_fractions_of_a_pixel_are_not_pulled_to_whole_ones():
    left, right, truth = make_pair(seed=3, discs=(), background=(5.0, 0.05), noise=0.5)
    px, _ = match_pair(left, right)
    inside = (slice(8, -8), slice(24, -8))
    assert np.median(np.abs(px - truth)[inside]) < 0.06
    counts, _ = np.histogram(px[inside] % 1, bins=5, range=(0, 1))
    assert counts.max() < 1.6 * counts.mean()


def test_eyes_exposed_differently_still_match():
    left, right, truth = make_pair(seed=4, gain=0.8)
    px, _ = match_pair(left, right)
    assert score(px, truth, nonocc=seen_by_both(truth))["nonocc_bad_2"] < 0.04


def test_right_view_has_the_right_eyes_disparity(pair):
    left, right, truth = pair
    px, _ = match_pair(left, right, view="right")
    wall = px[5:20, 10:-40]  # rows that only see the wall
    np.testing.assert_allclose(wall, np.broadcast_to(truth[5:20, 90:91], wall.shape), atol=0.5)


def test_video_reports_each_frame_and_can_be_cancelled(pair):
    left, right, _ = pair
    stereo = stereo_of(np.stack([left] * 3), np.stack([right] * 3))
    calls = []
    disparity = estimate_disparity(stereo, matcher="draft", report=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert disparity.px.shape == (3, 120, 180)
    np.testing.assert_array_equal(disparity.px[0], disparity.px[2])

    def stop(done, total):
        raise Cancelled

    with pytest.raises(Cancelled):
        estimate_disparity(stereo, matcher="draft", report=stop)


def test_swapped_eyes_are_told(pair):
    left, right, _ = pair
    with pytest.raises(UserError, match=r"The eyes look swapped: \d+ % of the matches have a negative disparity .* Exchange the left"):
        match_pair(right, left)


def test_negative_disparity_is_told_and_unknown():
    left, right, truth = make_pair(seed=5, shift=-7.0)
    with pytest.warns(UserWarning, match="have a negative disparity"):
        px, confidence = match_pair(left, right)
    behind = truth < -0.5
    assert np.isnan(px[behind]).mean() > 0.9
    assert (confidence[np.isnan(px)] == 0).all()
    near = truth > 8
    assert np.isnan(px[near]).mean() < 0.01  # a wrong match at its edge may lie behind infinity
    assert np.nanmedian(np.abs(px - truth)[near]) < 0.3


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 40), (40, 3), (5, 7)])
@pytest.mark.parametrize("matcher", MATCHERS)
def test_tiny_images_give_an_answer_of_their_size(size, matcher):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        px, confidence = match_pair(image, image, matcher=matcher)
    assert px.shape == confidence.shape == size


@pytest.mark.parametrize("matcher", MATCHERS)
def test_an_empty_wall_is_told_by_low_confidence_or_told_at_all(matcher):
    grey = np.full((60, 80, 3), 120, np.uint8)
    with pytest.warns(UserWarning, match="hardly match anywhere"):
        px, confidence = match_pair(grey, grey, matcher=matcher)
    assert px.shape == (60, 80)
    assert confidence.mean() < 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matcher": "best"}, 'There is no stereo matcher "best"; choose one of auto, draft, normal, fine'),
        ({"max_disparity": 0}, "max_disparity is 0 px, but it must lie between 1 and the image width, 180."),
        ({"max_disparity": 500}, "max_disparity is 500 px"),
    ],
)
def test_bad_options_are_told_in_a_sentence(pair, change, message):
    with pytest.raises(UserError, match=message):
        match_pair(pair[0], pair[1], **change)


def test_images_of_different_size_or_type_are_told(pair):
    left, right, _ = pair
    with pytest.raises(UserError, match="The left image is 180 x 120, the right one 100 x 120; both must be alike"):
        match_pair(left, right[:, :100])
    with pytest.raises(UserError, match="The left image is float64 of shape"):
        match_pair(left / 255.0, right)


@settings(max_examples=30)
@given(st.floats(0.3, 19.9), st.floats(50, 2000), st.floats(0.01, 1))
def test_depth_and_disparity_are_inverse(depth_m, focal_px, baseline_m):
    px = np.full((1, 2, 2), focal_px * baseline_m / depth_m)
    depth = depth_from_disparity(px, focal_px=focal_px, baseline_m=baseline_m)
    np.testing.assert_allclose(depth.depth, depth_m, rtol=1e-5)
    assert depth.unit == "metre"


def test_depth_is_unknown_where_disparity_is_unknown_not_positive_or_too_small():
    px = np.array([[[np.nan, 0.0, -1.0, 0.1, 6.3]]], np.float32)
    depth = depth_from_disparity(Disparity(px, np.full_like(px, 0.7)), focal_px=100, baseline_m=0.063)
    np.testing.assert_array_equal(np.isnan(depth.depth[0, 0]), [True, True, True, True, False])
    np.testing.assert_allclose(depth.depth[0, 0, 4], 1.0, rtol=1e-6)
    np.testing.assert_allclose(depth.confidence[0, 0], [0, 0, 0, 0, 0.7])


@pytest.mark.parametrize("name", ["focal_px", "baseline_m", "max_depth_m"])
def test_impossible_cameras_are_told(name):
    options = {"focal_px": 100.0, "baseline_m": 0.063, "max_depth_m": 20.0, name: 0.0}
    with pytest.raises(UserError, match="is 0.0, but a positive number is needed"):
        depth_from_disparity(np.ones((1, 2, 2)), **options)


@pytest.mark.data
@pytest.mark.parametrize(("matcher", "nonocc", "every"), [("normal", 3.4, 6.0), ("fine", 1.9, 5.0)])
def test_motorcycle(data, matcher, nonocc, every):
    """Middlebury 2014, missing counted as bad."""
    folder = data / "stereo_middlebury" / "motorcycle"
    left, right = (np.asarray(cv2.imread(str(folder / f"{eye}.png")), np.uint8)[..., ::-1] for eye in ("left", "right"))
    with np.load(folder / "disp_left.npz") as file:
        truth = file["arr_0"]
    px, confidence = match_pair(left, right, matcher=matcher, max_disparity=63)
    seen = seen_by_both(truth)
    scores = score(px, truth, nonocc=seen)
    assert 100 * scores["nonocc_bad_2"] <= nonocc
    assert 100 * scores["bad_2"] <= every
    known = np.isfinite(truth)
    bad = np.abs(px - truth)[known] > 2
    rank = np.argsort(np.argsort(confidence[known]))
    assert 1 - (rank[bad].mean() - (bad.sum() - 1) / 2) / (~bad).sum() >= 0.85
    assert abs(confidence[known].mean() - (1 - bad.mean())) < 0.03  # calibrated on other scenes
