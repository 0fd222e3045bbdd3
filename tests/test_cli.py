"""The shell: what it prints, its exit codes, and that nothing is left behind when it fails."""

import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

import toolkit as tk
from toolkit.cli import main, parse_settings, read_queries
from toolkit.gallery import examples
from toolkit.synthetic import example


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "room_sbs.mp4"
    room = example("room", frames=6, size=(192, 192))
    tk.write_video(path, room.video.frames, 30.0)
    return path


def test_run_writes_the_files_it_names(clip, tmp_path, capsys):
    formats = "scene.npz,tracks.mp4,depth.mp4,points.ply,stereo4d.npz"
    settings = ["--set", "grid=[24,24]", "--set", "fov_deg=60", "--set", "layout=side-by-side", "--set", "baseline_m=0.1"]
    assert main(["run", str(clip), "--out", str(tmp_path / "out"), "--preset", "draft", "--formats", formats, *settings]) == 0
    printed = capsys.readouterr()
    told = printed.out
    assert "\r" not in told and "Matching the eyes" not in told and "Matching the eyes" in printed.err  # the bars are no result
    for name in [*formats.split(","), "manifest.json"]:
        assert (tmp_path / "out" / name).stat().st_size > 0
        assert name in told
    scene = tk.load(tmp_path / "out" / "scene.npz")
    assert scene.frames == 6

    assert main(["export", str(tmp_path / "out" / "scene.npz"), "--out", str(tmp_path / "again"), "--formats", "points.ply"]) == 0
    assert (tmp_path / "again" / "points.ply").read_bytes() == (tmp_path / "out" / "points.ply").read_bytes()


def test_inspect_says_what_a_file_is(clip, capsys):
    assert main(["inspect", str(clip)]) == 0
    told = capsys.readouterr().out
    assert "6 frames" in told
    assert "draft: about" in told


def test_view_writes_the_4d_page_of_a_saved_scene(tmp_path, capsys):
    saved = shutil.copy(examples()["room"].result / "scene.npz", tmp_path / "scene.npz")
    assert main(["view", str(saved)]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'scene.html'}\n"
    assert main(["view", str(saved), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert page == (tmp_path / "scene.html").read_text() and page.lower().startswith("<!doctype html>")
    (tmp_path / "notes.txt").write_text("hello")
    assert main(["view", str(tmp_path / "missing.npz")]) == 2
    assert "missing.npz" in capsys.readouterr().err


def _bad_inputs(folder):
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("This is no video.\n" * 50)
    (folder / "cut.mp4").write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(2000))
    tk.write_video(folder / "tiny.mp4", np.zeros((3, 2, 2, 3), np.uint8), 30)
    tk.write_video(folder / "one_frame.mp4", np.zeros((1, 64, 128, 3), np.uint8), 30)
    np.savez(folder / "pickled.npz", a=np.array([{"x": 1}], dtype=object))
    np.savez(folder / "other.npz", a=np.zeros(3))
    (folder / "notes.txt").write_text("hello")
    return [
        "empty.mp4",
        "text.mp4",
        "cut.mp4",
        "tiny.mp4",
        "one_frame.mp4",
        "pickled.npz",
        "other.npz",
        "notes.txt",
        "absent.mp4",
    ]


def test_bad_input_gets_one_sentence_exit_code_2_and_leaves_nothing(tmp_path, capsys):
    for name in _bad_inputs(tmp_path):
        before = sorted(tmp_path.iterdir())
        assert main(["run", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2, name
        told = capsys.readouterr()
        assert told.err.startswith("error: "), (name, told.err)
        assert told.err.count("\n") == 1, (name, told.err)
        assert "Traceback" not in told.err
        assert sorted(tmp_path.iterdir()) == before, name


def test_a_video_of_noise_gets_one_sentence_after_its_points_were_followed(tmp_path, capsys):
    tk.write_video(tmp_path / "noise.mp4", np.random.default_rng(0).integers(0, 255, (4, 64, 128, 3), np.uint8), 30)
    assert main(["run", str(tmp_path / "noise.mp4"), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith("error: Only ") and "Traceback" not in told
    assert not (tmp_path / "out").exists()


def test_a_wrong_format_is_told_before_anything_is_computed(clip, tmp_path, capsys):
    assert main(["run", str(clip), "--out", str(tmp_path / "out"), "--formats", "tracks.avi"]) == 2
    told = capsys.readouterr()
    assert "tracks.avi" in told.err
    assert "points.ply" in told.err
    assert not (tmp_path / "out").exists()


def test_photos_of_ones_own_in_the_result_folder_are_never_replaced(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    for i in range(3):
        (tmp_path / "images" / f"{i}.jpg").write_bytes(b"my photo")
    assert main(["run", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "images/0.jpg lies where a result file goes" in capsys.readouterr().err
    assert [path.read_bytes() for path in (tmp_path / "images").iterdir()] == [b"my photo"] * 3


def test_the_module_runs_as_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "inspect", str(tmp_path / "absent.mp4")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "absent.mp4" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_is_full_is_told_in_a_sentence():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "toolkit", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: What this writes could not be written: no space left.\n")


def test_settings_are_numbers_where_they_can_be():
    assert parse_settings(["fov_deg=70", "matcher=fine", "swap_eyes=true"]) == {"fov_deg": 70, "matcher": "fine", "swap_eyes": True}
    with pytest.raises(tk.UserError, match="name=value"):
        parse_settings(["fov_deg"])


def test_points_are_read_with_or_without_a_heading(tmp_path):
    (tmp_path / "points.csv").write_text("t,x,y\n0, 10.5, 20\n3,1,2\n")
    assert read_queries(tmp_path / "points.csv") == [[0, 10.5, 20], [3, 1, 2]]
    (tmp_path / "places.csv").write_text("t,x,y,z\n0, 1.5, -2, 3\n")
    assert read_queries(tmp_path / "places.csv") == [[0, 1.5, -2, 3]]
    (tmp_path / "bad.csv").write_text("0,1,2\n3,4\n")
    with pytest.raises(tk.UserError, match="Line 2"):
        read_queries(tmp_path / "bad.csv")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0,10.5\n1,2,3\n", "Line 1 .* '0,10.5'"),  # a point that lacks a number is no heading
        ("0;1;2\n1,2,3\n1 2 3\n", "Line 3 .* '1 2 3'"),  # such a first line has no number, so it may be one
        ("0,x,2\n1,2,3\n", "Line 1 .* '0,x,2'"),
        ("# by hand\n\nt,x,y\n0,1,2\n# far\n1,2\n", "Line 6 .* '1,2'"),
        ("t,x,y\nt,x,y\n0,1,2\n", "Line 2 .* 't,x,y'"),
        ("0,1,2,3,4\n", "Line 1"),
        ("0,1,2,3\n0,1,2\n", "Line 2 .* but t,x,y,z is needed"),
    ],
)
def test_a_line_that_is_no_point_is_told_as_the_file_counts_its_lines(tmp_path, text, line):
    (tmp_path / "points.csv").write_text(text)
    with pytest.raises(tk.UserError, match=line):
        read_queries(tmp_path / "points.csv")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "a.mp4", "--out", "o", "--preset", "silly"], "'silly' is not one of 'draft', 'normal', 'fine'"),
        (["run", "a.mp4", "--out", "o", "--frames", "0"], "--frames"),
        (["run", "a.mp4", "--out", "o", "--seed", "-1"], "--seed"),
        (["run", "a.mp4", "--out", ""], "--out': it is empty"),
        (["export", "scene.npz", "--out", " "], "--out': it is empty"),
        (["run", "a.mp4"], "Missing option '--out'"),
        (["walk"], "No such command 'walk'"),
        (["run", "--fast"], "No such option: --fast"),
    ],
)
def test_a_wrong_word_of_a_command_gets_one_sentence_and_exit_code_2(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("error: ") and told in said.err and said.err.endswith("--help.\n")
    assert not list(tmp_path.iterdir())


def test_without_a_command_the_help_is_shown(capsys):
    assert main([]) == 2
    told = capsys.readouterr()
    assert "benchmark" in told.out + told.err and "error" not in told.err
    assert main(["run", "--help"]) == 0


def test_what_has_an_option_of_its_own_is_no_setting():
    with pytest.raises(tk.UserError, match="frames is no setting"):
        parse_settings(["frames=2"])


def test_warnings_and_quality_are_printed(clip, tmp_path, capsys):
    assert (
        main(["run", str(clip), "--out", str(tmp_path / "out"), "--formats", "points.ply", "--preset", "draft", "--set", "grid=[16,16]"])
        == 0
    )
    told = capsys.readouterr().out
    assert "rows of the two eyes" in told
    assert "note:" in told  # the field of view had to be guessed


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("frames", "an option of its own: --frames"),
        ("seed", "an option of its own: --seed"),
        ("K", "in Python alone"),
        ("cameras", "in Python alone"),
        ("progress", "in Python alone"),
        ("path_or_noun", "in Python alone"),
    ],
)
def test_what_is_asked_for_elsewhere_is_no_setting_and_told_where(clip, tmp_path, capsys, name, told):
    assert main(["run", str(clip), "--out", str(tmp_path / "o"), "--set", f"{name}=3"]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("", "it is empty"),
        ("x" * 300 + ".mp4", "can't be opened: File name too long"),
        ("https://videos.org/a.mp4", "https://videos.org/a.mp4 is an address"),
    ],
)
def test_what_is_no_path_is_told_in_a_sentence(tmp_path, capsys, path, told):
    for words in (["inspect", path], ["run", path, "--out", str(tmp_path / "o")], ["export", path, "--out", str(tmp_path / "o")]):
        assert main(words) == 2
        assert told in capsys.readouterr().err
    with pytest.raises(tk.UserError, match="empty|too long|address"):
        tk.run(path, progress=print)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_without_a_recording_is_called_by_its_name(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        archive.writestr("a/notes.txt", "hello")
        archive.writestr("calibration.yaml", "a: 1")
    assert main(["inspect", str(tmp_path / "texts.zip")]) == 2
    told = capsys.readouterr().err
    assert "texts.zip" in told and "/tmp" not in told.replace(str(tmp_path), "") and "lift4d-" not in told


def test_the_benchmark_tells_a_wrong_row_and_a_wrong_place_before_it_measures(tmp_path, capsys):
    assert main(["benchmark", "--quick", "--only", "nosuch"]) == 2
    told = capsys.readouterr()
    assert "'nosuch'" in told.err and "there are: " in told.err and "measuring" not in told.err
    assert main(["benchmark", "--quick", "--out", str(tmp_path / "none" / "a.json")]) == 2
    told = capsys.readouterr().err
    assert "a.json can't be written" in told and "measuring" not in told


def test_a_port_in_use_is_told(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["app", "--port", str(taken.getsockname()[1])]) == 2
    assert "is in use" in capsys.readouterr().err


def test_what_colmap_says_to_itself_is_not_shown(tmp_path, capfd):
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (4, 240, 320, 3), np.uint8)
    for i, picture in enumerate(noise):
        cv2.imwrite(str(tmp_path / "photos" / f"{i}.jpg"), picture)
    assert main(["run", str(tmp_path / "photos"), "--out", str(tmp_path / "o"), "--preset", "draft"]) == 2
    told = capfd.readouterr().err
    assert told.splitlines()[-1].startswith("error: No two of the 4 photos") and ".cc:" not in told, told


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 20_000], ids=["digits", "brackets"])
def test_a_value_that_python_itself_will_not_read_is_refused_in_a_sentence(clip, tmp_path, capsys, value):
    assert main(["run", str(clip), "--out", str(tmp_path / "o"), "--set", "layout=side-by-side", "--set", f"size={value}"]) == 2
    assert "a whole number from 32 to 4096" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
