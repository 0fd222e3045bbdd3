"""Which clips are meant by a folder, a list, a table or an address, and that their names are safe."""

import json

import pytest

import toolkit as tk
from toolkit.batch.clips import find_clips
from toolkit.batch.wanted import Wanted


def names(sources, out):
    return [clip.name for clip in find_clips(sources, Wanted(), out=out)]


def test_a_folder_holds_its_files_and_the_folders_that_are_recordings(tmp_path, saved):
    for name in ("a.mp4", "b.MOV", "c.zip", "notes.txt", ".hidden.mp4", "d.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1.jpg").touch()
    (tmp_path / "e.npz").write_bytes(saved.read_bytes())
    (tmp_path / "e.mp4").touch()  # the raw video of e.npz
    assert names(tmp_path, tmp_path / "out") == ["a.mp4", "b.MOV", "c.zip", "e.npz", "photos"]


def test_a_list_names_paths_from_where_it_lies_and_each_clip_counts_once(tmp_path):
    (tmp_path / "list.txt").write_text("# clips\na.mp4\n\nsub/a.mp4\na.mp4\n../b.mp4\n", encoding="utf-8-sig")
    found = find_clips(tmp_path / "list.txt", Wanted(), out=tmp_path)
    assert [clip.path for clip in found] == [str(tmp_path / "a.mp4"), str(tmp_path / "sub" / "a.mp4"), str(tmp_path.parent / "b.mp4")]
    assert found[2].name == "b.mp4" and len({clip.name for clip in found}) == 3
    assert all(clip.name.startswith("a.mp4-") for clip in found[:2])


def test_a_table_may_set_what_is_asked_of_each_clip(tmp_path):
    (tmp_path / "t.csv").write_text('path,name,preset,frames,fov_deg,remark\na.mp4,first,draft,7,70,"good, I think"\nb.mp4,,,,,\n')
    first, second = find_clips(tmp_path / "t.csv", Wanted(seed=3), out=tmp_path)
    assert (first.name, first.wanted.preset, first.wanted.frames, first.wanted.options, first.wanted.seed) == (
        "first",
        "draft",
        7,
        {"fov_deg": 70},
        3,
    )
    assert second.name == "b.mp4" and second.wanted == Wanted(seed=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file\na.mp4\n", "has no column path; it has: file"),
        ("path,frames\na.mp4,many\n", "Row 1 of t.csv has 'many' as frames"),
        ("path,preset\na.mp4,best\n", "There is no preset 'best'"),
        ("path,frames\n,3\n", "Row 1 of t.csv has no path"),
        ("", "holds no clips"),
    ],
)
def test_a_wrong_table_is_told_in_a_sentence(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(tk.UserError, match=words):
        find_clips(tmp_path / "t.csv", Wanted(), out=tmp_path)


def test_addresses_are_looked_up_and_fetched_for_the_run_alone(tmp_path, saved, here):
    import fsspec

    from toolkit.batch import read_ledger, run_batch

    memory = fsspec.filesystem("memory")
    for name in ("x.npz", "y.npz", "readme.md"):
        memory.pipe(f"/bucket/{name}", saved.read_bytes())
    told = run_batch(["memory://bucket/*", "memory://bucket/none.npz"], tmp_path / "out")
    assert told.counts == {"finished": 2, "refused": 1}
    assert list(told.sentences) == ["There is no file none.npz."]
    assert sorted(line["clip"] for line in read_ledger(tmp_path / "out")) == ["none.npz", "x.npz", "y.npz"]
    assert not list((tmp_path / "out").rglob("fetched"))
    here.done.clear()
    memory.pipe("/bucket/y.npz", saved.read_bytes() + b"\0")
    run_batch("memory://bucket/*", tmp_path / "out")
    assert here.done == ["y.npz"]


def test_an_address_of_an_unknown_kind_is_told_in_a_sentence(tmp_path):
    with pytest.raises(tk.UserError, match="fsspec lacks the package for nowhere://"):
        find_clips("nowhere://bucket/a.mp4", Wanted(), out=tmp_path)


@pytest.mark.parametrize("name", ["..", "../../etc", "a/b", "<script>alert(1)</script>", "a\nb", "ü.mp4", "x" * 300, "con", " "])
def test_no_name_leads_out_of_the_folder_of_results_or_into_its_pages(tmp_path, name):
    (tmp_path / "t.csv").write_text("path,name\n" + f'/v/a.mp4,"{name}"\n', encoding="utf-8")
    (clip,) = find_clips(tmp_path / "t.csv", Wanted(), out=tmp_path)
    assert clip.name and "/" not in clip.name and clip.name.isascii() and len(clip.name) < 120 and not clip.name.startswith(".")
    assert not set(clip.name) & set("<>&\"'\n ")


def test_what_a_worker_is_given_survives_json():
    wanted = Wanted("stereo4d", "draft", 5, 1, ("scene.npz",), {"grid": (24, 24), "matcher": "fine"})
    assert Wanted.from_json(json.loads(json.dumps(wanted.as_json()))) == wanted
    assert Wanted.from_json(json.loads(json.dumps(wanted.as_json()))).run_key == wanted.run_key
