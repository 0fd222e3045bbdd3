import numpy as np

from toolkit.geometry.cameras import project
from toolkit.multiview.following import ViewTracks
from toolkit.multiview.one_view import on_rays
from toolkit.multiview.smoothing import smooth
from toolkit.scene import Cameras
from toolkit.synthetic.examples import Tripod

SIZE, FRAMES = (640, 480), 20
K = np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]])


def test_a_point_that_one_view_alone_sees_goes_on_along_its_ray():
    cameras = tuple(Cameras.from_poses(K, np.tile(Tripod(40.0 * v)(0.0), (FRAMES, 1, 1)), SIZE) for v in range(2))
    t = np.arange(FRAMES)[:, None]
    truth = (np.array([-0.3, -1.0, 0.0]) + t * np.array([0.03, 0.01, 0.02]))[None]
    seen = ViewTracks.unknown(2, 1, FRAMES)
    for v, camera in enumerate(cameras):
        seen.xy[v], seen.sigma_px[v] = project(truth, camera.K, camera.T_wc)[0], 0.5
    seen.xy[1, :, 12:], seen.sigma_px[1, :, 12:] = np.nan, np.nan
    known = np.where(t < 12, truth, np.nan)
    xyz, covariance, weak = on_rays(seen, known, cameras)
    assert weak[0].tolist() == [False] * 12 + [True] * 8
    back, _ = project(xyz, cameras[0].K, cameras[0].T_wc)
    np.testing.assert_allclose(back[0, 12:], seen.xy[0, 0, 12:], atol=1e-6)
    thin = np.linalg.eigvalsh(covariance[0, 15])
    assert thin[2] > 1e4 * thin[1], "far along the ray, near across it"
    doubt = np.where(weak[..., None, None], covariance, 0.004**2 * np.eye(3))
    path, sigma = smooth(np.where(weak[..., None], xyz, known), doubt, scale=4.0, weak=weak)
    np.testing.assert_allclose(path[0], truth[0], atol=0.02)
    assert sigma[0, 18] > sigma[0, 8]


def test_points_that_were_never_placed_are_on_no_ray():
    camera = Cameras.from_poses(K, np.tile(Tripod(0.0)(0.0), (3, 1, 1)), SIZE)
    seen = ViewTracks(np.full((1, 1, 3, 2), 200.0), np.ones((1, 1, 3)))
    xyz, _, weak = on_rays(seen, np.full((1, 3, 3), np.nan), (camera,))
    assert not weak.any() and np.isnan(xyz).all()
