"""Worker processes: killed ones are replaced, a clip that takes them along is told, a killed driver leaves nothing running."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil

import toolkit as tk
from toolkit.batch import read_ledger, read_status, run_batch
from toolkit.batch.engine import Limits
from toolkit.batch.local import LocalEngine
from toolkit.batch.wanted import Wanted
from toolkit.batch.work import Task


def states(folder, state):
    return [line["clip"] for line in read_ledger(folder) if line["state"] == state]


def test_a_killed_worker_costs_one_more_try_and_a_clip_that_always_kills_is_given_up(clips, tmp_path):
    killed = {"b.npz": 0, "c.npz": 0}

    def kill(event):
        line = event.line
        if line and line["state"] == "started" and line["clip"] in killed and killed[line["clip"]] < {"b.npz": 9, "c.npz": 1}[line["clip"]]:
            killed[line["clip"]] += 1
            os.kill(line["pid"], signal.SIGKILL)

    told = run_batch(clips, tmp_path / "out", workers=2, retries=1, progress=kill)
    assert told.counts == {"finished": 3, "refused": 1, "failed": 1}
    assert killed == {"b.npz": 2, "c.npz": 1}
    assert "It ended its worker 2 times (signal 9): it may need more memory than there is, or be made to do harm." in told.sentences
    assert sorted(states(tmp_path / "out", "finished")) == ["a.npz", "c.npz", "d.npz"], "each once"
    assert not list((tmp_path / "out" / "work").iterdir())


def test_a_killed_driver_takes_its_workers_along_and_nothing_finished_is_lost_or_done_twice(clips, tmp_path, saved):
    for i in range(20):
        (clips / f"more{i}.npz").write_bytes(saved.read_bytes())
    out = tmp_path / "out"
    command = [sys.executable, "-m", "toolkit", "batch", str(clips), "--out", str(out), "--workers", "1"]
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not (out / "manifest.jsonl").exists() or len(states(out, "finished")) < 3:
        assert time.monotonic() < end and driver.poll() is None
        time.sleep(0.02)
    assert read_status(out).running
    workers = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.wait()
    assert not psutil.wait_procs(workers, timeout=20)[1], "workers end with their driver"

    before = states(out, "finished")
    assert 3 <= len(before) < 24
    told = run_batch(clips, out, workers=1)
    assert told.counts == {"finished": 24, "refused": 1} and told.computed == 24
    after = states(out, "finished")
    assert len(after) == len(set(after)) == 24 and after[: len(before)] == before
    assert not list((out / "work").iterdir())
    done = [json.loads((out / "clips" / name / "clip.json").read_text())["clip"] for name in after]
    assert done == after


def test_a_clip_that_takes_too_long_or_too_much_is_given_up(tmp_path, saved):
    task = Task("a.npz", str(saved), str(tmp_path), Wanted())
    for limits, words in ((Limits(1, 1e5, seconds=1e-9), "It took longer than"), (Limits(1, 1.0), "It took more than the 1 MB")):
        engine = LocalEngine(limits, tmp_path)
        lines = list(engine.work([task]))
        engine.close()
        assert [line["state"] for line in lines] == ["started", "failed"] and words in lines[-1]["sentence"]


def test_the_shell_runs_tells_and_reports(clips, tmp_path, capsys, here):
    from toolkit.cli import main

    assert main(["batch", str(clips), "--out", str(tmp_path / "out"), "--formats", "points.ply"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "4 of 5 clips finished, 1 refused\n  1 x empty.mp4 is empty (0 bytes).\n"
    assert "5 of 5 clips done, 1 refused" in printed.err
    assert main(["batch", "status", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == printed.out
    assert main(["batch", "report", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'out' / 'report.html'}\n"
    assert main(["batch", "status", str(clips)]) == 2
    assert capsys.readouterr().err.startswith("error: There is no batch in ")
    assert main(["batch", str(clips), "--out", ""]) == 2
    assert tk.load(tmp_path / "out" / "clips" / "a.npz" / "scene.npz").frames == 10
