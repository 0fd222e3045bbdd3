"""Pictures of a clip before it is run."""

import numpy as np

import toolkit as tk
from toolkit.gallery import examples
from toolkit.page import jobs
from toolkit.page.desk import frames_used
from toolkit.page.looking import plain_frame


def test_another_clip_under_the_same_name_is_shown_as_itself(tmp_path):
    """Visitors bring one `clip.mp4` after another, and each lies where the one before lay."""
    options = {"layout": "side-by-side", "projection": "pinhole", "fov_deg": 60.0}
    clip, answers, pictures = tmp_path / "clip.mp4", [], []
    for seed in (1, 2):
        eye = np.kron(np.random.default_rng(seed).integers(0, 255, (24, 32, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
        pair = np.concatenate([np.roll(eye, 6, axis=1), eye], axis=1)
        clip.unlink(missing_ok=True)
        tk.write_video(clip, np.stack([pair] * 2), 30)
        jobs.look(clip=str(clip), options=options, tell=lambda **event: None)
        for name, job in (("pair", jobs.pair), ("frame", jobs.frame)):
            target = tmp_path / f"{name}-{seed}.jpg"
            extra = {"frame": 0} if name == "frame" else {}
            answers.append(job(clip=str(clip), options=options, picture=str(target), tell=lambda **event: None, **extra))
            pictures.append(target.read_bytes())
    assert len(set(pictures)) == 4, "both clips were shown, each as it is"


def test_each_method_that_suits_a_clip_tells_its_own_cost_and_how_many_frames_it_takes():
    found = jobs.look(clip=str(examples()["handheld"].clip), options={}, tell=lambda **_: None)
    assert found["methods"] == ["vggsfm", "tracksto4d", "st4rtrack"] and set(found["estimates"]) == set(found["methods"])
    assert found["estimates"]["vggsfm"] == found["estimate"] != found["estimates"]["tracksto4d"]
    for costs in found["estimates"].values():
        assert costs["draft"]["seconds"] < costs["normal"]["seconds"] < costs["fine"]["seconds"]
    found["frames"] = 1000
    assert frames_used(found, "tracksto4d") == 200 and frames_used(found) == frames_used(found, "vggsfm") == 1000


def test_points_of_a_file_of_tracks_are_shown_where_they_are(tmp_path):
    xy = np.full((9, 4, 2), 20.0, np.float32)
    xy[1] = 70.0
    xy[2] = np.nan
    np.savez(tmp_path / "t.npz", xy=xy, visible=np.ones((9, 4), bool), size=np.array([120, 90]))
    picture = plain_frame(tk.inspect(tmp_path / "t.npz"), 2)
    assert picture.shape == (90, 120, 3)
    assert picture[20, 20].max() > 200 and picture[70, 70].max() > 200 and picture[45, 100].max() < 60
