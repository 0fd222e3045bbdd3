"""A cut is found where it is; what moves, grows lighter or flashes is none."""

import numpy as np

from toolkit.tracking.cuts import cuts_of


def painted(seed: int, frames: int) -> np.ndarray:
    """A picture of colours of its own that slides by."""
    rng = np.random.default_rng(seed)
    low, high = np.sort(rng.integers(0, 256, (2, 3)), axis=0)
    wall = rng.integers(low, high + 1, (48, 64 + 2 * frames, 3)).astype(np.uint8)
    return np.stack([wall[:, 2 * t : 2 * t + 64] for t in range(frames)])


def test_cuts_are_found_where_they_are():
    clip = np.concatenate([painted(1, 9), painted(2, 12), painted(5, 7)])
    assert cuts_of(clip) == [9, 21]


def test_a_clip_in_one_piece_has_none():
    assert cuts_of(painted(1, 20)) == []
    assert cuts_of(painted(1, 1)) == []
    light = np.clip(painted(3, 16) * np.linspace(0.7, 1.3, 16)[:, None, None, None], 0, 255).astype(np.uint8)
    assert cuts_of(light) == []


def test_a_flash_is_no_cut():
    clip = painted(1, 16)
    clip[8] = 255
    assert cuts_of(clip) == []
