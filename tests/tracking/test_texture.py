"""How far tracks may slip for want of texture."""

import cv2
import numpy as np

from toolkit.tracking.texture import slip_px


def pictures():
    """Bare sky with the noise of a camera, textured ground, and a straight edge between a wall and the sky."""
    rng = np.random.default_rng(0)
    frames = np.full((2, 240, 320, 3), 150.0)
    ground = cv2.GaussianBlur(rng.normal(size=(120, 320)), (0, 0), 2.0)
    frames[:, 120:] += 40 * (ground / ground.std())[None, :, :, None]
    frames[:, :120, 200:] = 60
    frames += cv2.GaussianBlur(rng.normal(size=frames.shape[1:3]), (0, 0), 2.0)[None, :, :, None]
    return np.clip(frames, 0, 255).astype(np.uint8)


def test_where_nothing_is_to_be_seen_a_track_may_slip_by_pixels():
    sky, ground = slip_px(pictures(), np.array([[0, 60, 50], [1, 100, 190]], np.float32))
    assert sky > 2.5 and ground < 0.2


def test_a_straight_edge_tells_no_place_along_itself():
    edge, corner = slip_px(pictures(), np.array([[0, 200, 50], [0, 200, 119]], np.float32))
    assert edge > 1 and corner < 0.3


def test_each_track_is_told_by_the_frame_in_which_it_began():
    frames = pictures()
    frames[1] = 128
    first, second = slip_px(frames, np.array([[0, 100, 190], [1, 100, 190]], np.float32))
    assert first < 0.2 and second > 10


def test_a_place_beyond_the_picture_is_that_at_its_border():
    inside, beyond = slip_px(pictures(), np.array([[0, 0, 239], [0, -5, 260]], np.float32))
    assert inside == beyond
