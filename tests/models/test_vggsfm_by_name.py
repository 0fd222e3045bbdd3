"""`tracker="vggsfm"`: weights that the user brings, a grid or queries, and how long it will take."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

import toolkit.models.track_predictor as track_predictor
from toolkit.errors import UserError
from toolkit.models.track_predictor import TrackPredictor
from toolkit.models.tracking_plan import VideoTracking
from toolkit.scene import Estimate, Video
from toolkit.tracking import track_points, trackers
from toolkit.tracking.vggsfm import WEIGHTS


@pytest.fixture(scope="module")
def video():
    return Video.from_frames(np.random.default_rng(0).integers(0, 255, (3, 96, 128, 3), dtype=np.uint8), fps=10)


@pytest.fixture
def brought(state, tmp_path_factory, monkeypatch):
    """The seeded weights in a file as it is published, named by the environment; small squares, so that tests are short."""
    path = tmp_path_factory.getbasetemp() / "vggsfm_v2_0_0.bin"
    if not path.is_file():
        others = {"camera_predictor.pose_token": torch.zeros(3)}
        torch.save({name: torch.from_numpy(value) for name, value in state.items()} | others, path)
    monkeypatch.setenv(WEIGHTS, str(path))
    small, infer = VideoTracking(side=128, iterations=1), TrackPredictor.infer
    monkeypatch.setattr(TrackPredictor, "infer", lambda self, *a, **k: infer(self, *a, **k, settings=small))
    monkeypatch.setattr(TrackPredictor, "estimate", lambda self, *a, **k: Estimate(5.0, 900.0))


def test_queries_are_followed_with_the_weights_that_the_user_brings(video, brought, capsys):
    tracks = track_points(video, [[1, 40.5, 30.5], [2, 64, 64]], tracker="vggsfm")
    assert tracks.xy.shape == (2, 3, 2)
    assert np.allclose(tracks.xy[[0, 1], [1, 2]], [[40.5, 30.5], [64, 64]])
    assert "CC BY-NC 4.0: not for commercial use" in capsys.readouterr().err


def test_a_grid_asks_later_only_for_what_is_not_followed(video, brought):
    told = []
    tracks = track_points(video, tracker="vggsfm", grid=(4, 3), every=2, report=lambda done, total: told.append((done, total)))
    assert 12 <= len(tracks) <= 24
    assert set(tracks.queries[:, 0]) <= {0, 2} and (tracks.queries[:12, 0] == 0).all()
    assert told[-1] == (2000, 2000) and (np.diff([done for done, _ in told]) >= 0).all()


def test_long_work_is_announced_with_its_duration(video, brought, monkeypatch):
    monkeypatch.setattr(TrackPredictor, "estimate", lambda self, *a, **k: Estimate(7 * 3600.0, 900.0))
    with pytest.warns(UserWarning, match="will take about 7.0 hours here for 1 points in 3 frames"):
        track_points(video, [[1, 40.5, 30.5]], tracker="vggsfm")
    monkeypatch.setattr(TrackPredictor, "estimate", lambda self, *a, **k: Estimate(20.0, 900.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        track_points(video, [[1, 40.5, 30.5]], tracker="vggsfm")


def test_weights_that_cannot_be_had_are_told_in_one_sentence(video, monkeypatch, tmp_path):
    monkeypatch.setenv(WEIGHTS, str(tmp_path / "missing.bin"))
    with pytest.raises(UserError, match=r"There is no file .*missing.bin'; give the path of vggsfm_v2_0_0.bin"):
        track_points(video, [[1, 40.5, 30.5]], tracker="vggsfm")
    torch.save({"camera_predictor.pose_token": torch.zeros(3)}, tmp_path / "other.bin")
    monkeypatch.setenv(WEIGHTS, str(tmp_path / "other.bin"))
    with pytest.raises(UserError, match="not the weights of VGGSfM's tracker: none of its 327 names are there"):
        track_points(video, [[1, 40.5, 30.5]], tracker="vggsfm")


def test_its_licence_stands_in_the_list_of_trackers():
    assert "not for commercial use" in trackers()["vggsfm"].licence
    assert track_predictor.VGGSFM.licence.startswith("The weights of VGGSfM")


def test_torch_is_imported_only_when_the_tracker_runs():
    code = "import sys, toolkit, toolkit.tracking, toolkit.models, toolkit.models.checkpoints; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_weights_are_told_before_anything_is_computed(monkeypatch, tmp_path):
    import toolkit as tk

    monkeypatch.setenv(WEIGHTS, str(tmp_path / "missing.bin"))
    video = Video.from_frames(np.arange(2 * 32 * 32 * 3, dtype=np.uint8).reshape(2, 32, 32, 3))
    video.frames[1] += 1
    told = []
    pair = tk.StereoVideo(video, video, np.diag([30.0, 30, 1]), 0.06)
    for work in (
        lambda: tk.run(pair, tracker="vggsfm", progress=told.append),
        lambda: tk.reconstruct(list(video.frames), tracker="vggsfm", progress=told.append),
    ):
        with pytest.raises(UserError, match="There is no file"):
            work()
    assert not told


def test_photos_of_any_size_are_followed_with_the_weights_that_the_user_brings(brought):
    from toolkit.media.photos import opened_photos
    from toolkit.methods.photo_tracks import FollowOptions, follow

    noise = np.random.default_rng(0)
    told = []
    with opened_photos([noise.integers(0, 255, size, dtype=np.uint8) for size in ((96, 128, 3), (150, 100, 3), (96, 128, 3))]) as photos:
        tracks = follow("vggsfm", photos, FollowOptions(points=6, asked=2), 0, told.append)
    assert tracks.xy.shape == (12, 3, 2)
    assert "about 1 min" in told[0].message and told[0].stage == "tracks"
    assert set(tracks.queries[:, 0]) == {0, 1} or len(set(tracks.queries[:, 0])) == 2
