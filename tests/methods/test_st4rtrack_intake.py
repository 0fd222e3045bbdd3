"""What st4rtrack takes in beside a video: each thing that is none is told in a sentence; masks may be of another size."""

import numpy as np
import pytest

import toolkit as tk
from toolkit.methods.st4rtrack_intake import masks_of_size

FRAMES = np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3), np.uint8)
VIDEO = tk.Video.from_frames(FRAMES)
SMALL_DEPTH = tk.DepthVideo(np.ones((4, 24, 32), np.float32), np.ones((4, 24, 32), np.float32))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"queries": "all"}, "Queries must be numbers"),
        ({"queries": [[0, 1], [2]]}, "Queries must be numbers"),
        ({"K": "wide"}, "K is 'wide', but"),
        ({"masks": "none"}, "booleans .* are needed"),
        ({"masks": [[1], [1, 2]]}, "not all of one size"),
        ({"masks": np.zeros((2, 48, 64))}, "2 masks came with 4 frames"),
        ({"depth": np.ones((4, 48, 64))}, "The depth is a ndarray, but a DepthVideo is needed"),
        ({"depth": SMALL_DEPTH}, "The depth has 32 x 24 px, but the video 64 x 48"),
        ({"settings": {"grid": (9, 9)}}, "The settings are a dict"),
    ],
)
def test_what_is_of_another_kind_is_told_in_a_sentence(given, told):
    with pytest.raises(tk.UserError, match=told):
        tk.track_world(VIDEO, weights="none", **given)


def test_masks_of_another_size_mean_the_same_part_of_the_picture():
    masks = np.zeros((2, 96, 128), bool)
    masks[:, :32, 64:] = True
    small = masks_of_size(masks, (64, 48))
    assert small is not None and small.shape == (2, 48, 64)
    assert small[:, :16, 32:].all() and small.sum() == 2 * 16 * 32
    assert masks_of_size(masks, (128, 96)) is masks and masks_of_size(None, (64, 48)) is None


def test_masks_of_the_file_go_with_frames_that_were_reduced():
    """A run reduces frames to the size of its preset; the masks came with those of the file."""
    height, width = 96, 128
    picture = np.random.default_rng(1).integers(0, 255, (height, width + 40, 3), np.uint8).repeat(2, 0).repeat(2, 1)
    frames = np.stack([picture[:height, 3 * t : 3 * t + width] for t in range(5)])
    masks = np.zeros((5, height, width), bool)
    masks[:, :, :32] = True
    video = tk.Video.from_frames(frames)
    quick = {"tracker": "draft", "grid": (16, 12), "weights": "none", "max_side": 96, "dense_side": 64}
    found = tk.run(video, "st4rtrack", masks=masks, progress=lambda event: None, **quick)
    assert found.depth is not None and found.depth.depth.shape[2] == 96
    assert np.isnan(found.depth.depth[:, :, :23]).all() and np.isfinite(found.depth.depth[:, :, 26:]).mean() > 0.9
