"""Curves of generated rigs, and the command that writes them."""

import json

import pytest

from toolkit import rig_benchmark
from toolkit.cli import main
from toolkit.evaluation.rig_curves import TRACKERS, RigScore, settings_of_curves, table_of
from toolkit.views.rig_plots import plot_rig_curves


@pytest.fixture
def scores() -> list[RigScore]:
    return [
        RigScore(kind, tracker, 50.0 - 10 * n, 60.0, 90.0, 80.0, 5.0 + n, 2.0, 1.5, 0.5, 3)
        for kind in settings_of_curves()
        for n, tracker in enumerate(TRACKERS)
    ]


def test_everything_that_is_varied_has_its_curves(scores):
    axes = plot_rig_curves(scores).axes
    names = [axis.get_xlabel() for axis in axes if axis.get_xlabel()]
    assert names == ["views", "K off by (%)", "poses off by (%)", "depth off by (%)", "all three off by (%)", "posts in the way"]
    assert all(len(axis.containers) == len(TRACKERS) for axis in axes)
    views = axes[0].containers[0].lines[0]
    assert list(views.get_xdata()) == [3, 4, 5, 6, 8] and set(views.get_ydata()) == {50.0}
    assert list(axes[1].containers[0].lines[0].get_xdata()) == [0, 1, 2, 5]


def test_the_table_has_a_line_a_kind_with_its_spread(scores):
    lines = table_of(scores).splitlines()
    assert len(lines) == 2 + len(settings_of_curves())
    assert lines[2].startswith("| 3 views | 50.0 ± 1.5 / 5.0 ± 0.5 cm |")


def test_the_shell_writes_table_scores_and_curves(scores, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(rig_benchmark, "rig_curves", lambda kinds, seeds, report: asked.append((len(kinds), list(seeds))) or scores)
    assert main(["benchmark", "--rigs", "--recordings", "2", "--out", str(tmp_path / "curves.json")]) == 0
    assert asked == [(len(settings_of_curves()), [0, 1])]
    assert "| 8 views |" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "curves.json").read_text())) == len(scores)
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
