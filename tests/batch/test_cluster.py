"""Ray: the same bytes as from local workers, on the loopback address alone; nothing is lost with a machine. Skipped without Ray."""

import os
import signal
import subprocess
import sys
import time

import pytest

import toolkit as tk
from tests.batch.conftest import tiny_video
from toolkit.batch import read_ledger, run_batch

DRAFT = {"preset": "draft", "grid": (8, 8), "formats": "all"}


def results(folder):
    """The bytes of every result file but what tells of the process: times, memory, names of machines."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "clips").rglob("*"))
        if path.is_file() and path.name != "clip.json"
    }


def finished(folder):
    return [line["clip"] for line in read_ledger(folder) if line["state"] == "finished"] if (folder / "manifest.jsonl").exists() else []


def test_without_ray_the_engine_says_how_to_get_it(clips, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(tk.UserError, match=r"The engine ray needs Ray: pip install -r requirements-cluster\.txt"):
        run_batch(clips, tmp_path / "out", engine="ray")
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_results_are_those_of_local_workers_and_nobody_outside_is_listened_to(clips, tmp_path):
    pytest.importorskip("ray")
    import psutil

    tiny_video(clips / "pair_sbs.mp4")
    listening = set()

    def look(event):
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        listening.update(c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN)

    told = run_batch(clips, tmp_path / "ray", engine="ray", workers=2, memory_mb=3000, progress=look, **DRAFT)
    assert told.counts == {"finished": 5, "refused": 1}
    assert listening and listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert run_batch(clips, tmp_path / "local", workers=2, **DRAFT).counts == told.counts
    assert results(tmp_path / "ray") == results(tmp_path / "local")


def test_a_machine_that_is_stopped_in_the_middle_loses_nothing(clips, tmp_path, saved):
    pytest.importorskip("ray")
    import ray

    for i in range(30):
        (clips / f"more{i}.npz").write_bytes(saved.read_bytes())
    bin_ray = [sys.executable, "-m", "ray.scripts.scripts"]
    common = ["--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats", "--block", "--node-ip-address=127.0.0.1"]
    environment = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    place = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    head = subprocess.Popen(
        [*bin_ray, "start", "--head", "--port=6399", "--include-dashboard=false", f"--temp-dir={tmp_path / 'r'}", *common], **place
    )
    second = None
    try:
        time.sleep(8)
        second = subprocess.Popen([*bin_ray, "start", "--address=127.0.0.1:6399", *common], start_new_session=True, **place)
        time.sleep(8)
        where = set()

        def stop(event):
            if event.line and event.line["state"] == "finished":
                where.add(event.line["pid"])
            if event.done == 12 and second.poll() is None:
                os.killpg(second.pid, signal.SIGTERM)

        told = run_batch(clips, tmp_path / "out", engine="ray", address="127.0.0.1:6399", progress=stop)
        assert told.counts == {"finished": 34, "refused": 1}
        assert len(finished(tmp_path / "out")) == len(set(finished(tmp_path / "out"))) == 34
        assert len(where) >= 2
    finally:
        ray.shutdown()
        for process in (second, head):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(30)
