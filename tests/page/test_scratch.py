"""Visitors' folders: secret, one each, gone in time, whatever becomes of the page."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from toolkit.errors import UserError
from toolkit.page.scratch import PREFIX, Scratch, sweep_dead
from toolkit.page.studio import Studio

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _swept_by_nobody_else(monkeypatch):
    """Sweeps are those of the tests: the thread's own would come in between on a machine that is busy."""
    monkeypatch.setattr(Scratch, "_sweep", lambda self: None)


@pytest.fixture
def scratch(tmp_path):
    opened = Scratch(tmp_path, idle_s=100.0, left_s=100.0)
    yield opened
    opened.close()


def upload(scratch, content=b"film", name="a.mp4", key="0" * 64):
    path = scratch.root / key / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_each_visitor_has_a_folder_whose_name_is_a_secret(scratch):
    first, second = scratch.visitor("first"), scratch.visitor("second")
    assert first.folder != second.folder and first is scratch.visitor("first")
    assert "first" not in str(first.folder) and len(first.folder.name) == 32


def test_an_upload_is_the_visitors_and_soon_nowhere_else(tmp_path):
    scratch = Scratch(tmp_path, idle_s=100.0, left_s=0.0)
    path = upload(scratch)
    target = scratch.take_upload(path, scratch.visitor("a").new_folder("clip"))
    time.sleep(0.02)
    scratch.sweep()
    assert target.read_bytes() == b"film" and not path.exists() and not path.parent.exists()
    scratch.close()


def test_an_upload_of_which_nothing_can_be_made_is_gone_at_once_unless_somebody_waits_for_the_same_bytes(scratch):
    path = upload(scratch)
    scratch.take_upload(path, scratch.visitor("a").new_folder("clip"))
    scratch.anybody_waits = lambda: True
    scratch.refuse([path])
    assert path.exists()
    scratch.anybody_waits = lambda: False
    scratch.refuse([path, scratch.root / "never" / "brought.mp4"])
    assert not path.parent.exists()


@pytest.mark.parametrize("refused_when", ["unpacked", "looked at"])
def test_a_visitor_who_is_refused_leaves_nothing(scratch, refused_when):
    async def refuse(job, **arguments):
        raise UserError(f"{job} refused")

    studio = Studio.__new__(Studio)
    studio.scratch, studio.crew = scratch, SimpleNamespace(look=refuse)  # type: ignore[assignment]
    visitor, name = scratch.visitor("a"), "a.zip" if refused_when == "unpacked" else "a.mp4"

    async def bring() -> None:
        await studio.take(visitor, [str(upload(scratch, name=name))])
        await studio.look(visitor, {})

    with pytest.raises(UserError, match="refused"):
        asyncio.run(bring())
    assert [path for path in scratch.root.rglob("*") if path.is_file()] == []


def test_files_of_one_name_do_not_replace_each_other(scratch):
    folder = scratch.visitor("a").new_folder("clip")
    taken = [scratch.take_upload(upload(scratch, data, key=key * 64), folder) for data, key in ((b"one", "1"), (b"two", "2"))]
    assert [path.name for path in taken] == ["a.mp4", "a-2.mp4"]
    assert [path.read_bytes() for path in taken] == [b"one", b"two"]


def test_two_visitors_who_bring_the_same_bytes_both_get_them(scratch):
    path = upload(scratch)
    for name in ("a", "b"):
        assert scratch.take_upload(path, scratch.visitor(name).new_folder("clip")).read_bytes() == b"film"


def test_the_same_bytes_are_there_for_who_waits_after_the_first_one_is_done_with_them(tmp_path):
    scratch = Scratch(tmp_path, idle_s=100.0, left_s=0.0)
    path, waiting = upload(scratch), [True]
    scratch.anybody_waits = lambda: waiting[0]
    first = scratch.visitor("a").new_folder("clip")
    scratch.take_upload(path, first)
    shutil.rmtree(first)
    time.sleep(0.02)
    scratch.sweep()
    assert scratch.take_upload(path, scratch.visitor("b").new_folder("clip")).read_bytes() == b"film"
    waiting[0] = False
    time.sleep(0.02)
    scratch.sweep()
    assert not path.exists() and not path.parent.exists(), "nobody waits: nothing of it is left where it was uploaded"
    scratch.close()


@pytest.mark.parametrize("path", ["/etc/passwd", "{root}", "{root}/a/../../secret", "{visitor}/clip/x.mp4", "relative.mp4", "{link}"])
def test_nobody_names_files_of_the_server(scratch, tmp_path, path):
    visitor = scratch.visitor("victim")
    (visitor.new_folder("clip") / "x.mp4").write_bytes(b"private")
    (tmp_path / "secret").write_bytes(b"secret")
    link = upload(scratch)
    link.unlink()
    link.symlink_to(tmp_path / "secret")
    named = path.format(root=scratch.root, visitor=visitor.folder, link=link)
    with pytest.raises(UserError, match="bring it again"):
        scratch.take_upload(named, scratch.visitor("thief").new_folder("clip"))


def test_folders_of_visitors_who_left_or_sleep_are_deleted_and_others_stay(tmp_path):
    scratch = Scratch(tmp_path, idle_s=1000.0, left_s=0.0)
    gone, here, busy = (scratch.visitor(name) for name in ("gone", "here", "busy"))
    busy.job = object()
    scratch.left("gone")
    scratch.left("busy")
    scratch.sweep()
    assert not gone.folder.exists() and here.folder.exists() and busy.folder.exists()
    here.seen_s -= 2000
    scratch.sweep()
    assert not here.folder.exists()
    scratch.close()
    assert list(tmp_path.iterdir()) == []


def test_empty_files_that_are_made_beside_uploads_go_soon_and_what_is_being_brought_stays(tmp_path):
    scratch = Scratch(tmp_path, idle_s=1000.0, left_s=0.0)
    brought, beside = scratch.root / "tmpbrought", scratch.root / "tmpbeside"
    brought.write_bytes(b"first bytes")
    beside.touch()
    scratch.sweep()
    assert brought.exists() and not beside.exists()
    scratch.close()


def test_who_comes_back_in_time_keeps_the_files(scratch):
    visitor = scratch.visitor("a")
    scratch.left("a")
    scratch.connected("a")
    assert scratch.visitor("a") is visitor and visitor.left_s is None


def test_a_run_that_waited_for_its_turn_does_not_bring_back_who_left(tmp_path):
    scratch = Scratch(tmp_path, idle_s=1000.0, left_s=0.0)
    for session in ("known", "unknown"):
        scratch.connected(session)
    known = scratch.visitor("known")
    for session in ("known", "unknown"):
        scratch.left(session)
        scratch.disconnected(session)
    scratch.sweep()
    late = [scratch.visitor(session) for session in ("known", "unknown")]
    late[0].job = object()
    scratch.sweep()
    assert late[0] is not known and late[0].folder.exists() and not late[1].folder.exists()
    late[0].job = None
    scratch.sweep()
    assert not late[0].folder.exists()
    scratch.close()


def test_who_connects_anew_before_the_old_connection_is_given_up_has_not_left(scratch):
    visitor = scratch.visitor("a")
    scratch.connected("a")
    scratch.connected("a")
    assert scratch.left("a") is None
    scratch.disconnected("a")
    assert visitor.left_s is None and scratch.visitor("a") is visitor and visitor.left_s is None
    assert scratch.left("a") is visitor and visitor.left_s is not None


def test_what_a_killed_page_left_is_deleted_by_the_next_one_and_what_a_running_page_holds_is_not(tmp_path):
    code = (
        "import sys, time; from toolkit.page.scratch import Scratch; s = Scratch(sys.argv[1]); "
        "(s.visitor('a').folder / 'clip').write_text('film'); print('ready', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    page = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=environment, text=True)
    assert page.stdout is not None
    page.stdout.readline()
    (held,) = tmp_path.glob(f"{PREFIX}*")
    assert sweep_dead(tmp_path) == [] and held.exists()
    page.send_signal(signal.SIGKILL)
    page.wait()
    assert sweep_dead(tmp_path) == [held] and not held.exists()


def test_pictures_have_new_names_and_old_ones_go(scratch):
    visitor = scratch.visitor("a")
    made = []
    for _ in range(12):
        made.append(visitor.new_picture("frame"))
        made[-1].write_bytes(b"x")
        os.utime(made[-1], (time.time() + len(made), time.time() + len(made)))
    assert len(set(made)) == 12
    assert [path.exists() for path in made] == [False] * 4 + [True] * 8
