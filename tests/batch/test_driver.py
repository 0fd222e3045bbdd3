"""Many clips: everything is done once, whoever is killed when; what can't be done is told and the rest goes on."""

import errno
import json
import os

import pytest

import toolkit as tk
from toolkit.batch import driver, read_ledger, read_status, run_batch
from toolkit.batch import work as work_module
from toolkit.batch.ledger import LEDGER


def ends(folder):
    return [(line["clip"], line["state"]) for line in read_ledger(folder) if line["state"] != "started"]


def test_every_clip_has_a_result_or_a_sentence(clips, here, tmp_path):
    told = run_batch(clips, tmp_path / "out")
    assert told.counts == {"finished": 4, "refused": 1} and told.total == 5 and told.computed == 4
    assert list(told.sentences) == ["empty.mp4 is empty (0 bytes)."]
    assert str(told) == "4 of 5 clips finished, 1 refused"
    for name in "abcd":
        folder = tmp_path / "out" / "clips" / f"{name}.npz"
        assert tk.load(folder / "scene.npz").frames == 10
        assert json.loads((folder / "manifest.json").read_text())["made_by"] == "Lift4D"
        assert (folder / "thumbnail.jpg").read_bytes().startswith(b"\xff\xd8")
    line = next(line for line in read_ledger(tmp_path / "out") if line["clip"] == "a.npz")
    assert line["peak_mb"] > 10 and line["seconds"] >= 0 and line["versions"]["lift4d"] == tk.__version__ and len(line["run_key"]) == 16
    assert not (tmp_path / "out" / "work").exists() or not list((tmp_path / "out" / "work").iterdir())


def test_the_same_command_again_does_nothing_and_other_settings_everything(clips, here, tmp_path):
    run_batch(clips, tmp_path / "out")
    before = (tmp_path / "out" / LEDGER).read_bytes()
    here.done.clear()
    assert run_batch(clips, tmp_path / "out").counts == {"finished": 4, "refused": 1}
    assert here.done == [] and (tmp_path / "out" / LEDGER).read_bytes() == before
    run_batch(clips, tmp_path / "out", seed=1)
    assert sorted(here.done) == ["a.npz", "b.npz", "c.npz", "d.npz", "empty.mp4"]


def test_only_what_changed_or_came_is_done(clips, here, tmp_path, saved):
    run_batch(clips, tmp_path / "out")
    here.done.clear()
    (clips / "e.npz").write_bytes(saved.read_bytes())
    (clips / "empty.mp4").write_bytes(b"x")
    os.utime(clips / "a.npz", (1, 1))  # touched, but the same bytes
    run_batch(clips, tmp_path / "out")
    assert sorted(here.done) == ["e.npz", "empty.mp4"]


def test_further_files_are_made_of_the_saved_scene_without_computing_it_again(clips, here, tmp_path, monkeypatch):
    run_batch(clips, tmp_path / "out")
    monkeypatch.setattr(work_module, "run_inspected", lambda *_, **__: pytest.fail("computed again"))
    told = run_batch(clips, tmp_path / "out", formats=["points.ply", "cameras.tum"])
    assert told.counts["finished"] == 4 and told.computed == 4
    assert {path.name for path in (tmp_path / "out" / "clips" / "a.npz").iterdir()} >= {"scene.npz", "points.ply", "cameras.tum"}


def test_a_result_whose_line_was_never_written_is_found_again(clips, here, tmp_path):
    run_batch(clips, tmp_path / "out")
    ledger = tmp_path / "out" / LEDGER
    lines = ledger.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"b.npz"' not in line]
    ledger.write_bytes(b"".join(kept) + lines[-1][:20])  # killed before b's line, and in the middle of another
    here.done.clear()
    told = run_batch(clips, tmp_path / "out")
    assert here.done == [] and told.counts == {"finished": 4, "refused": 1}
    assert [line.get("recovered", False) for line in read_ledger(tmp_path / "out") if line["clip"] == "b.npz"] == [True]


def test_a_result_with_a_file_that_is_gone_or_cut_is_done_again(clips, here, tmp_path):
    run_batch(clips, tmp_path / "out")
    here.done.clear()
    (tmp_path / "out" / "clips" / "c.npz" / "scene.npz").write_bytes(b"")
    (tmp_path / "out" / "clips" / "d.npz" / "manifest.json").unlink()
    run_batch(clips, tmp_path / "out")
    assert here.done == ["c.npz", "d.npz"]


def test_a_killed_replacement_leaves_the_result_before(clips, here, tmp_path):
    run_batch(clips, tmp_path / "out")
    partial = tmp_path / "out" / "work" / "a.npz.123"
    partial.mkdir(parents=True)
    (tmp_path / "out" / "clips" / "a.npz").rename(partial / "before")
    here.done.clear()
    run_batch(clips, tmp_path / "out")
    assert here.done == [] and not partial.exists()


def test_a_full_disk_stops_all_with_one_sentence_and_the_next_run_goes_on(clips, here, tmp_path, monkeypatch):
    kept = work_module.export

    def full(scene, folder, *arguments, **named):
        if "c.npz" in str(folder):
            raise tk.UserError("it can't be written") from OSError(errno.ENOSPC, "No space left on device")
        return kept(scene, folder, *arguments, **named)

    monkeypatch.setattr(work_module, "export", full)
    with pytest.raises(tk.UserError, match="The disk of .* is full; what is finished is kept"):
        run_batch(clips, tmp_path / "out")
    assert ends(tmp_path / "out") == [("a.npz", "finished"), ("b.npz", "finished")]
    monkeypatch.setattr(work_module, "export", kept)
    here.done.clear()
    assert run_batch(clips, tmp_path / "out").counts == {"finished": 4, "refused": 1}
    assert here.done == ["c.npz", "d.npz", "empty.mp4"]


def test_a_mistake_of_ours_has_a_number_and_the_rest_goes_on(clips, here, tmp_path, monkeypatch):
    kept = work_module.run_inspected

    def broken(path, *arguments, **named):
        if path.name == "b.npz":
            raise ZeroDivisionError("never seen")
        return kept(path, *arguments, **named)

    monkeypatch.setattr(work_module, "run_inspected", broken)
    told = run_batch(clips, tmp_path / "out")
    assert told.counts == {"finished": 3, "refused": 1, "failed": 1}
    line = next(line for line in told.lines.values() if line["state"] == "failed")
    assert "ZeroDivisionError: never seen" in (tmp_path / "out" / "faults" / f"{line['incident']}.txt").read_text()
    assert "ZeroDivisionError" not in line["sentence"]

    here.done.clear()
    run_batch(clips, tmp_path / "out")
    assert here.done == [], "it would fail again"
    monkeypatch.setattr(work_module, "run_inspected", kept)
    assert run_batch(clips, tmp_path / "out", retry_failed=True).counts == {"finished": 4, "refused": 1}
    assert here.done == ["b.npz"]


def test_cancelling_keeps_what_is_finished(clips, here, tmp_path):
    def stop(event):
        if event.done == 2:
            raise tk.Cancelled

    with pytest.raises(tk.Cancelled):
        run_batch(clips, tmp_path / "out", progress=stop)
    told = read_status(tmp_path / "out")
    assert told.counts == {"finished": 2} and not told.running
    assert str(told) == "2 of 5 clips finished, 3 missing: run it again to go on"


def test_progress_counts_up_and_tells_the_time_left(clips, here, tmp_path):
    events = []
    run_batch(clips, tmp_path / "out", progress=events.append)
    assert [event.done for event in events] == [0, 1, 2, 3, 4, 5] and events[0].left_s is None
    assert events[-1].left_s == 0 and all(event.left_s > 0 for event in events[1:-1])


def test_two_batches_never_work_on_one_folder(clips, here, tmp_path):
    with driver.Ledger.held(driver._folder(tmp_path / "out")), pytest.raises(tk.UserError, match="Another batch works on"):
        run_batch(clips, tmp_path / "out")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"method": "magic"}, "There is no method 'magic'"),
        ({"preset": "best"}, "There is no preset 'best'"),
        ({"formats": ["a.avi"]}, "There is no export format 'a.avi'"),
        ({"colour": 1}, "No method has a setting 'colour'"),
        ({"fov_deg": object()}, "must be numbers, texts or lists"),
        ({"engine": "slurm"}, "There is no engine 'slurm'"),
        ({"address": "10.0.0.1:6379"}, "but the engine is local"),
        ({"workers": 0}, "workers is 0"),
        ({"frames": 0}, "frames is 0"),
    ],
)
def test_what_is_wrong_with_the_settings_is_told_once_before_any_clip(clips, here, tmp_path, wrong, words):
    with pytest.raises(tk.UserError, match=words):
        run_batch(clips, tmp_path / "out", **wrong)
    assert here.done == [] and not (tmp_path / "out").exists()
