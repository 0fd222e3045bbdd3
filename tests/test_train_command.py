"""The shell's `train`: what it passes on, and what it says to a slip."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from toolkit.cli import main  # noqa: E402
from toolkit.errors import Cancelled, UserError  # noqa: E402
from toolkit.training import tracksto4d  # noqa: E402


@pytest.fixture
def asked(monkeypatch):
    """What the training was asked for; nothing is trained."""
    calls = []

    def train(out, *, tell, **options):
        tell("a line")
        calls.append((out, options))
        return Path(out) / "weights.safetensors"

    monkeypatch.setattr(tracksto4d, "train_tracksto4d", train)
    return calls


def test_an_hour_on_what_is_there_is_the_default(asked, capsys):
    assert main(["train", "tracksto4d", "--out", "folder"]) == 0
    defaults = {"minutes": 60.0, "steps": None, "size": None, "device": "auto", "seed": 0, "resume": False, "judged": 24}
    assert asked == [(Path("folder"), defaults)]
    told = capsys.readouterr()
    assert told.err == "a line\n" and told.out.splitlines() == [
        f"wrote {Path('folder/weights.safetensors')}",
        f"wrote {Path('folder/README.md')}",
    ]


def test_everything_can_be_chosen(asked):
    words = "--minutes 1.5 --size medium --device cpu --seed 3 --steps 7 --resume --judged 2".split()
    assert main(["train", "tracksto4d", "--out", "folder", *words]) == 0
    chosen = {"minutes": 1.5, "steps": 7, "size": "medium", "device": "cpu", "seed": 3, "resume": True, "judged": 2}
    assert asked[0][1] == chosen


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tracksto4d", "--size", "huge"], "error: There is no size 'huge'; there are: auto, small, medium, large."),
        (["somethingelse"], "'somethingelse' is not one of 'tracksto4d'"),
        (["tracksto4d", "--minutes", "0"], "0"),
        (["tracksto4d", "--device", "toaster"], "error: There is no device 'toaster' here"),
    ],
)
def test_a_slip_gets_one_sentence_and_makes_nothing(words, sentence, tmp_path, capsys):
    assert main(["train", *words, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert sentence in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is no folder that can be written to"):
        tracksto4d.train_tracksto4d(tmp_path / "file", device="cpu")


def test_a_training_that_is_stopped_at_once_is_no_bug(tmp_path):
    def stop(line):
        raise Cancelled

    with pytest.raises(Cancelled):
        tracksto4d.train_tracksto4d(tmp_path, steps=1, device="cpu", tell=stop)
    assert [file.name for file in tmp_path.iterdir()] == ["training.safetensors"]
