"""Ray: the same bytes as from local workers, on the loopback address alone; nothing is lost with a machine. Skipped without Ray."""

import contextlib
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

import toolkit as tk
from toolkit.batch import read_ledger, run_batch

ROOT = Path(__file__).resolve().parents[2]
DRAFT: dict[str, Any] = {"preset": "draft", "formats": "all"}


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
    if importlib.util.find_spec("ray") is None:  # not imported here: Ray reads its token where it is
        pytest.skip("needs Ray")
    import psutil

    listening = set()

    def look(event):
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):  # a worker may end while it is asked
                listening.update(c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN)

    told = run_batch(clips, tmp_path / "ray", engine="ray", workers=2, memory_mb=3000, progress=look, **DRAFT)
    assert told.counts == {"finished": 4, "refused": 1}
    assert listening and listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert run_batch(clips, tmp_path / "local", workers=2, **DRAFT).counts == told.counts
    assert results(tmp_path / "ray") == results(tmp_path / "local")


DRIVER = """
import json, os, signal, sys
import psutil
from toolkit.batch import run_batch

def machine(pid):
    one = psutil.Process(pid)
    while "raylet/raylet" not in " ".join(one.cmdline()):
        one = one.parent()
    return one.pid

def look(event):
    if event.line and event.line["state"] == "finished":
        try:
            machines.add(machine(event.line["pid"]))
        except psutil.Error:
            pass
    if len(machines) == 2 and second.is_running():
        for one in (*second.children(recursive=True), second):
            one.kill()

if __name__ == "__main__":
    clips, out, pid = sys.argv[1:]
    machines, second = set(), psutil.Process(int(pid))
    told = run_batch(clips, out, engine="ray", address="127.0.0.1:6399", progress=look, preset="draft")
    print(json.dumps({"counts": told.counts, "machines": len(machines)}))
"""


def until_ready(log, process):
    """Waits for a machine of a cluster to be there."""
    end = time.monotonic() + 90
    while "Ray runtime started" not in log.read_text():
        assert process.poll() is None and time.monotonic() < end, log.read_text()[-2000:]
        time.sleep(0.2)


def test_a_machine_that_is_stopped_in_the_middle_loses_nothing(clips, tmp_path, saved):
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray")
    for i in range(80):
        (clips / f"more{i}.npz").write_bytes(saved.read_bytes())
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    environment = {**os.environ, **token, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    start = [sys.executable, "-m", "ray.scripts.scripts", "start"]
    common = ["--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats", "--block", "--node-ip-address=127.0.0.1"]
    machines = []
    with tempfile.TemporaryDirectory(prefix="lift4d-ray-test-") as place:  # Ray's sockets need a short path
        try:
            head = ["--head", "--port=6399", "--include-dashboard=false", f"--temp-dir={place}"]
            for number, own in enumerate((head, ["--address=127.0.0.1:6399"])):
                log = tmp_path / f"{number}.log"
                with log.open("w") as told:
                    machines.append(subprocess.Popen([*start, *own, *common], stdout=told, stderr=told, env=environment))
                until_ready(log, machines[-1])
            (tmp_path / "driver.py").write_text(DRIVER)
            command = [sys.executable, str(tmp_path / "driver.py"), str(clips), str(tmp_path / "out"), str(machines[1].pid)]
            done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=240)
            assert done.returncode == 0, done.stderr[-2000:]
            assert json.loads(done.stdout.splitlines()[-1]) == {"counts": {"finished": 84, "refused": 1}, "machines": 2}
            assert len(finished(tmp_path / "out")) == len(set(finished(tmp_path / "out"))) == 84
        finally:
            for process in machines:
                if process.poll() is None:
                    process.terminate()
                    process.wait(60)
