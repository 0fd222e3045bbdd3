"""The page used by programs: three endpoints, several visitors, cancelling."""

import json
import os
import time
import zipfile
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import toolkit as tk

QUICK = {"grid": [24, 24], "max_frames": 4}


@pytest.fixture(scope="module")
def finished(served, clip):
    """One run through the endpoint: (events, files)."""
    client = served.client()
    job = client.submit([handle_file(clip)], "auto", "draft", [], {"grid": [32, 32]}, api_name="/run")
    told, everything, files = job.result(timeout=300)
    return told, everything, files, [output[0] for output in job.outputs()], client


def test_the_endpoints_keep_their_names_and_everything_else_is_private(served):
    named = served.client().view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/inspect", "/run", "/export"}
    assert [p["parameter_name"] for p in named["/run"]["parameters"]] == ["files", "method", "preset", "points", "settings"]


def test_a_clip_is_described_before_anything_is_computed(served, clip):
    told = served.client().predict([handle_file(clip)], api_name="/inspect")
    assert told["kind"] == "vr180" and told["frames"] == 6
    assert told["methods"][0] == "stereo4d"
    assert set(told["estimate"]) == {"draft", "normal", "fine"}


def test_a_run_tells_where_it_is_and_gives_files_that_can_be_read(finished):
    told, everything, files, events, _ = finished
    stages = [event["stage"] for event in events[:-1]]
    assert len(set(stages)) > 4, "progress was shown on the way"
    assert told["frames"] == 6 and told["unit"] == "metre" and told["seconds"] > 0
    names = {Path(name).name: name for name in files}
    assert {"scene.npz", "tracks.mp4", "depth.mp4", "points.ply", "stereo4d.npz", "scene.html", "manifest.json"} <= set(names)
    assert tk.load(names["scene.npz"]).frames == 6
    with zipfile.ZipFile(everything) as archive:
        assert archive.testzip() is None
        manifest = next(name for name in archive.namelist() if name.endswith("manifest.json"))
        assert json.loads(archive.read(manifest))["frames"] == 6


def test_a_result_of_the_page_is_exported_again_in_other_formats(served, finished):
    scene = next(name for name in finished[2] if name.endswith("scene.npz"))
    everything, files = served.client().predict(handle_file(scene), ["cameras.tum", "points.ply"], api_name="/export")
    assert {Path(name).name for name in files} == {"cameras.tum", "points.ply", "manifest.json"}
    assert zipfile.is_zipfile(everything)


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("nothing", {}, "There is no method 'nothing'"),
        ("auto", {"fov": 80}, "has no setting 'fov'"),
        ("auto", {"fov_deg": 400}, "fov_deg is 400"),
        ("auto", ["fov_deg"], "Settings are names with values"),
        ("auto", "fov_deg = 80", "Settings are names with values"),
        ("auto", {"preset": "fine"}, "'preset' is no setting"),
        ("auto", {"queries": []}, "'queries' is no setting"),
        ("auto", {"method": "x"}, "'method' is no setting"),
        ("auto", {"seed": "x"}, "seed is 'x'"),
        ("auto", {"matcher": [1]}, "matcher"),
        ("auto", {"tracker": {}}, "tracker"),
    ],
)
def test_a_setting_that_cannot_be_is_named(served, clip, method, settings, words):
    with pytest.raises(Exception, match=words):
        served.client().submit([handle_file(clip)], method, "draft", [], settings, api_name="/run").result(timeout=100)


def test_a_cancelled_run_frees_its_place_within_two_seconds(served, clip, wait_for):
    client = served.client()
    job = client.submit([handle_file(clip)], "auto", "fine", [], {}, api_name="/run")
    wait_for(lambda: len(job.outputs()) > 0, 60, "the run began")
    running = [served.studio.scratch._visitors[client.session_hash].job]
    assert running[0] is not None
    began = time.monotonic()
    job.cancel()
    wait_for(lambda: not running[0].alive, 2, "the worker ended")
    wait_for(lambda: all(v.job is None for v in served.studio.scratch._visitors.values()), 2 - (time.monotonic() - began), "the place")
    # Somebody else's run is not kept waiting.
    other = served.client().submit([handle_file(clip)], "auto", "draft", [], QUICK, api_name="/run")
    wait_for(lambda: len(other.outputs()) > 0, 60, "the next run began")
    other.cancel()


def test_a_path_of_the_server_is_not_opened(served, clip, tmp_path):
    client = served.client()
    for path in ("/etc/passwd", str(served.studio.scratch.root), str(clip), str(Path(__file__))):
        body = {"data": [[{"path": path, "meta": {"_type": "gradio.FileData"}}]], "session_hash": "abc"}
        with pytest.raises(RuntimeError, match="event: error") as raised:
            _post(client, "inspect", body)
        assert "root:" not in str(raised.value) and "vr180" not in str(raised.value)


def _post(client: Client, name: str, body: dict) -> str:
    """Calls an endpoint as a hand-written program would; raises where it ends with an error."""
    import httpx

    base = client.src.rstrip("/") + "/gradio_api"
    event = httpx.post(f"{base}/call/{name}", json=body).json()["event_id"]
    answer = httpx.get(f"{base}/call/{name}/{event}", timeout=30).text
    if "event: error" in answer:
        raise RuntimeError(answer)
    return answer


def test_no_file_outside_the_visitors_folders_is_served(served):
    import httpx

    for path in ("/etc/passwd", os.getcwd() + "/README.md", str(served.studio.scratch.root.parent)):
        assert httpx.get(f"{served.url}gradio_api/file={path}").status_code == 403


def test_two_visitors_with_clips_of_the_same_name_never_see_each_others(served, clip, tmp_path):
    """Two at once: each gets the clip and the points that it brought, in a folder that the other is never told."""
    other = tmp_path / clip.name
    tk.write_video(other, tk.read_video(clip, frames=3).frames, 30)
    points = ([[0, 100.5, 200.5], [3, 256.0, 300.0]], [[2, 300.0, 250.0]])
    clients = [served.client(), served.client()]
    jobs = [
        client.submit([handle_file(path)], "auto", "draft", asked, {}, api_name="/run")
        for client, path, asked in zip(clients, (clip, other), points, strict=True)
    ]
    results = [job.result(timeout=300) for job in jobs]
    assert [told["frames"] for told, _, _ in results] == [6, 3]
    for (_, _, files), asked in zip(results, points, strict=True):
        tracks = tk.load(next(name for name in files if name.endswith("scene.npz"))).tracks_2d
        assert tracks is not None and tracks.queries.tolist() == asked
    visitors = [served.studio.scratch._visitors[client.session_hash] for client in clients]
    assert visitors[0].folder != visitors[1].folder
    for mine, theirs, job in zip(visitors, reversed(visitors), jobs, strict=True):
        assert Path(mine.kept["result"]).parent == mine.folder
        assert theirs.folder.name not in json.dumps([str(output) for output in job.outputs()])


def test_two_visitors_who_bring_the_same_bytes_one_after_the_other_in_the_queue_both_get_a_result(served, clip):
    handed = handle_file(clip)
    clients = [served.client(), served.client(), served.client()]
    jobs = [client.submit([handed], "auto", "draft", [], QUICK, api_name="/run") for client in clients]
    assert [job.result(timeout=300)[0]["frames"] for job in jobs] == [4, 4, 4]


def test_the_files_of_a_visitor_who_left_are_gone_within_the_told_time(served, finished, wait_for):
    client = finished[-1]
    folder = served.studio.scratch._visitors[client.session_hash].folder
    assert (folder / "run-1" / "files" / "scene.npz").is_file()
    client.close()
    wait_for(lambda: not folder.exists(), 25, "the folder is deleted")


def test_what_programs_give_of_another_form_is_told_in_a_sentence_or_meant_well(served, clip, finished):
    client = served.client()
    for name, arguments in (("/inspect", ["abc"]), ("/run", ["abc", "auto", "draft", [], {}]), ("/export", ["abc", []])):
        with pytest.raises(AppError, match="'abc', but what was uploaded is needed"):
            client.predict(*arguments, api_name=name)
    assert client.predict(handle_file(clip), api_name="/inspect")["frames"] == 6, "one file is a list of one"
    scene = next(name for name in finished[2] if name.endswith("scene.npz"))
    _, files = client.predict(handle_file(scene), None, api_name="/export")
    assert {"tracks.csv", "points.ply"} <= {Path(name).name for name in files}
    with pytest.raises(AppError, match="The setting grid is None"):
        client.predict([handle_file(clip)], "auto", "draft", [], {"grid": None}, api_name="/run")
    with pytest.raises(AppError, match="'cache' names a place"):
        client.predict([handle_file(clip)], "auto", "draft", [], {"cache": "/tmp/x"}, api_name="/run")
