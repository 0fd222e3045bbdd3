"""What a stereo method refuses on the way in."""

# pyright: reportArgumentType=false, reportOptionalMemberAccess=false
# Options go in by name, and the example is known to have two eyes.

import numpy as np
import pytest

import toolkit as tk
from toolkit.synthetic import example


@pytest.fixture(scope="module")
def pair():
    return example("room", frames=2, size=(96, 96)).stereo


def test_cameras_of_another_size_and_masks_of_everything_are_refused_before_anything_is_matched(pair):
    small = tk.Cameras.from_poses(pair.K, np.tile(np.eye(4), (2, 1, 1)), (95, 96))
    stages = []
    for options, words in (
        ({"cameras": small}, "The cameras are for 95 x 96 px, but the rectified left eye has 96 x 96"),
        ({"masks": np.ones((2, 96, 96), bool)}, "masks are True everywhere"),
    ):
        with pytest.raises(tk.UserError, match=words):
            tk.run(pair, progress=lambda event: stages.append(event.stage), **options)
    assert set(stages) <= {"rectify"}
