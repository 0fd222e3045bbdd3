"""The progress bar of notebooks."""

from toolkit.progress import Progress
from toolkit.views.notebook_bar import NotebookBars


class Output:
    """Stands for the output of a cell."""

    def __init__(self):
        self.pages = []

    def update(self, shown):
        self.pages.append(shown.data)


def listening_bars(monkeypatch):
    output = Output()

    def display(shown, display_id):
        output.update(shown)
        return output

    monkeypatch.setattr("IPython.display.display", display)
    return NotebookBars(), output


def test_each_stage_has_a_bar_and_the_last_one_drawn_is_full(monkeypatch):
    bars, output = listening_bars(monkeypatch)
    for stage, message in (("depth", "Matching the eyes"), ("tracks", "Tracking points")):
        for done in range(5):
            bars(Progress(stage, done, 4, message))
    last = output.pages[-1]
    assert last.count("<progress") == 2 and last.count('value="1.000"') == 2
    assert "Matching the eyes" in last and "4 / 4" in last


def test_many_events_are_drawn_a_few_times_only(monkeypatch):
    bars, output = listening_bars(monkeypatch)
    for done in range(5000):
        bars(Progress("depth", done, 5000))
    assert 1 <= len(output.pages) < 50


def test_a_message_cannot_bring_markup_of_its_own(monkeypatch):
    bars, output = listening_bars(monkeypatch)
    bars(Progress("depth", 1, 1, "<script>alert(1)</script>"))
    assert "<script>" not in output.pages[-1]
