"""The generated fountain: photos that agree with their truth."""

import cv2
import numpy as np
import pytest

from toolkit.errors import UserError
from toolkit.geometry.cameras import project, unproject
from toolkit.geometry.sampling import pixel_centres
from toolkit.synthetic import fountain_photos


@pytest.fixture(scope="module")
def photos():
    return fountain_photos(3, size=(160, 120), arc_deg=20.0, noise=0.0)


def test_the_world_is_that_of_the_first_photo_and_the_same_seed_gives_the_same_photos(photos):
    np.testing.assert_array_equal(photos.cameras.T_wc[0], np.eye(4))
    again = fountain_photos(3, size=(160, 120), arc_deg=20.0, noise=0.0)
    assert all((a == b).all() for a, b in zip(photos.photos, again.photos, strict=True))
    assert photos.depth_m.shape == (3, 120, 160) and np.isfinite(photos.depth_m).mean() > 0.6


def test_a_point_has_the_same_colour_in_two_photos_once_the_lens_is_undone(photos):
    K, truth = photos.cameras.K[0], photos.cameras
    distortion = np.array([photos.k1, 0, 0, 0])
    flat = [cv2.undistort(photo, K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]], distortion) for photo in photos.photos]
    xy = pixel_centres((160, 120)).reshape(-1, 2)
    depth = photos.depth_m[0].reshape(-1)
    xyz = unproject(xy, depth, K, truth.T_wc[0])
    there, z = project(xyz, truth.K[1], truth.T_wc[1])
    inside = np.isfinite(there).all(1) & (there > 1).all(1) & (there < [158, 118]).all(1)
    column, row = there[inside].astype(int).T
    met = np.abs(photos.depth_m[1][row, column] / z[inside] - 1) < 0.01
    apart = np.abs(flat[0].reshape(-1, 3)[inside][met].astype(float) - flat[1][row[met], column[met]]).mean(1)
    assert met.sum() > 3000 and np.median(apart) < 12


def test_no_photo_is_refused():
    with pytest.raises(UserError, match="at least one"):
        fountain_photos(0)
