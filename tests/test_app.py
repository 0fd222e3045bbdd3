"""The page, used through its API as a browser does."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file

import app
import toolkit as tk
from toolkit.synthetic import example


@pytest.fixture(scope="module")
def client():
    page = app.build().queue(max_size=5)
    _, url, _ = page.launch(prevent_thread_lock=True, show_error=False, quiet=True, ssr_mode=False, run_history=False)
    yield Client(url, verbose=False)
    page.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "street.mp4"
    tk.write_video(path, example("street", frames=6, eye_size=(320, 320), bounds_on="edges").video.frames, 30)
    return path


def test_a_clip_is_described_before_anything_is_computed(client, clip):
    told = client.predict(handle_file(clip), api_name="/inspect")
    assert "6 frames" in told
    assert "draft" in told


def test_a_run_gives_videos_a_report_and_files_that_can_be_read(client, clip):
    job = client.submit(handle_file(clip), "draft", None, api_name="/run")
    status, tracks, depth, quality, files = job.result(timeout=300)
    assert "Done" in status
    for video in (tracks, depth):
        assert len(tk.read_video(video)) == 6
    assert "rows of the two eyes" in quality
    names = {Path(name).name: name for name in files}
    assert {"scene.npz", "tracks.mp4", "depth.mp4", "points.ply", "stereo4d.npz", "manifest.json"} <= set(names)
    scene = tk.load(names["scene.npz"])
    assert scene.frames == 6
    assert zipfile.is_zipfile(names["stereo4d.npz"])
    stages = {update[0] for update in job.outputs() if update}
    assert len(stages) > 3, "progress was shown on the way"


@pytest.mark.parametrize("kind", ["text", "empty", "mono"])
def test_a_clip_that_cannot_be_used_gets_one_sentence(client, tmp_path, kind):
    path = tmp_path / f"{kind}.mp4"
    if kind == "mono":
        tk.write_video(path, np.random.default_rng(0).integers(0, 255, (4, 90, 160, 3), np.uint8), 30)
    else:
        path.write_text("not a video" * 100 if kind == "text" else "")
    with pytest.raises(Exception) as raised:  # noqa: PT011  (the client's own type)
        client.predict(handle_file(path), "draft", None, api_name="/run")
    sentence = str(raised.value)
    assert kind in sentence or "one" in sentence.lower(), sentence
    assert "Traceback" not in sentence and "incident" not in sentence


def test_our_own_faults_are_told_by_number_and_nothing_else(caplog):
    error = app.told(RuntimeError("secret /path"))
    assert "incident" in str(error)
    assert "secret" not in str(error)
    assert "secret" in caplog.text
