"""Masks of moving things as part of a scene: checked, saved, loaded."""

import numpy as np
import pytest

import toolkit as tk
from toolkit.errors import UserError
from toolkit.media.scene_file import load, save
from toolkit.scene import Scene, Video


def _scene(masks):
    frames = np.random.default_rng(0).integers(0, 255, (3, 20, 27, 3), np.uint8)
    return Scene(method="vggsfm", video=Video.from_frames(frames), masks=masks)


@pytest.mark.parametrize("compact", [False, True])
def test_masks_come_back_to_the_pixel(tmp_path, compact):
    masks = np.random.default_rng(1).random((3, 20, 27)) < 0.4
    back = load(save(_scene(masks), tmp_path / "a.npz", compact=compact))
    assert back.masks is not None and back.masks.dtype == bool
    assert np.array_equal(back.masks, masks)


def test_a_scene_without_masks_stays_without(tmp_path):
    assert load(save(_scene(None), tmp_path / "a.npz")).masks is None


def test_masks_of_another_size_than_the_video_are_told():
    with pytest.raises(UserError, match=r"masks has shape \(3, 20, 26\)"):
        _scene(np.zeros((3, 20, 26), bool))


def test_masks_are_exported_as_pictures(tmp_path):
    import cv2

    masks = np.zeros((3, 20, 27), bool)
    masks[1, 4:9, 10:20] = True
    tk.export(_scene(masks), tmp_path, ["masks"])
    pictures = [np.asarray(cv2.imread(str(tmp_path / "masks" / f"{t:06d}.png"), cv2.IMREAD_UNCHANGED)) for t in range(3)]
    assert np.array_equal(np.stack(pictures), masks * np.uint8(255))
