"""The bank of flow fields."""

import cv2
import numpy as np

from toolkit.tracking.flow import UNITS_PER_PX, FlowSettings, compute_flows, working_frames


def _shifting(frames, shift=2):
    noise = np.random.default_rng(0).uniform(0, 255, (64, 64 + shift * frames)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2)
    wide = ((blurred - blurred.min()) / np.ptp(blurred) * 255).astype(np.uint8)
    return np.stack([wide[:, shift * (frames - t) : shift * (frames - t) + 64] for t in range(frames)])


def test_fields_hold_the_shift_both_ways_at_every_stride():
    bank = compute_flows(_shifting(7), FlowSettings(strides=(1, 4)))
    for s in (1, 4):
        inner = np.s_[:, 20:44, 20:44, 0]
        assert np.abs(bank.later[s][inner] / UNITS_PER_PX - 2 * s).max() < 0.3
        assert np.abs(bank.earlier[s][inner] / UNITS_PER_PX + 2 * s).max() < 0.3


def test_fields_lead_into_a_frame_from_either_side_and_are_empty_beyond_the_clip():
    bank = compute_flows(_shifting(7), FlowSettings(strides=(1, 4)))
    there, back = bank.into(5, +1)
    assert there[1] is not None and np.array_equal(there[1], bank.later[4][1]) and np.array_equal(back[1], bank.earlier[4][1])
    there, back = bank.into(1, -1)
    assert np.array_equal(there[0], bank.earlier[1][1]) and np.array_equal(back[0], bank.later[1][1])
    assert [f.shape[0] > 0 for f in bank.into(2, +1)[0]] == [True, False]
    assert [f.shape[0] > 0 for f in bank.into(6, -1)[0]] == [False, False]


def test_all_fields_together_stay_within_the_memory():
    gray = _shifting(9)
    full = compute_flows(gray, FlowSettings())
    size = sum(f.nbytes for fields in (full.later, full.earlier) for f in fields.values())
    half = compute_flows(gray, FlowSettings(memory_mb=size / 2e6))
    small = sum(f.nbytes for fields in (half.later, half.earlier) for f in fields.values())
    assert small <= size / 2
    assert np.abs(half.later[1][:, 10:22, 10:22, 0] / UNITS_PER_PX - 2).max() < 0.3, "still in pixels of the frames"


def test_large_frames_are_shrunk_to_the_working_area_and_small_ones_left():
    assert working_frames(np.zeros((2, 1080, 1920, 3), np.uint8), max_pixels=420_000).shape == (2, 486, 864)
    assert working_frames(np.zeros((2, 33, 57, 3), np.uint8), max_pixels=420_000).shape == (2, 33, 57)
