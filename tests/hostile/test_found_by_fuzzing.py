"""Each crash that spoilt recordings brought to light, with the least that shows it."""

import numpy as np

from toolkit.multiview.lifting import focus_of
from toolkit.scene import Cameras


def test_views_that_look_side_by_side_have_something_before_them():
    K = np.array([[57.6, 0, 32], [0, 57.6, 32], [0, 0, 1]])
    views = []
    for x in (0.0, 0.1, 0.2):
        T_wc = np.eye(4)
        T_wc[0, 3] = x
        views.append(Cameras.from_poses(K, T_wc[None], (64, 64)))
    focus = focus_of(tuple(views), 0)
    np.testing.assert_allclose(focus, [0.1, 0, 1.0], atol=1e-9)
