"""Pictures of a clip before it is run."""

import numpy as np

import toolkit as tk
from toolkit.page import jobs


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
