"""The page about a batch shows what happened, and nothing that a file name brings along comes alive in it."""

import json
import re

import pytest

import toolkit as tk
from toolkit.batch import run_batch
from toolkit.batch.histograms import histogram
from toolkit.batch.ledger import LEDGER
from toolkit.batch.report import write_report


def test_the_page_counts_explains_and_shows(clips, here, tmp_path):
    evil = "<img src=x onerror=alert(1)>.mp4"
    (clips / evil).write_bytes(b"")
    run_batch(clips, tmp_path / "out")
    page = write_report(tmp_path / "out").read_text()
    assert re.findall(r"<b>(\d+)</b>(\w+)", page) == [("6", "clips"), ("4", "finished"), ("2", "refused"), ("0", "failed")]
    assert page.count("data:image/jpeg;base64,") == 4 and page.count('href="clips/') == 4
    assert "empty.mp4 is empty (0 bytes)." in page and "median" in page and "<svg" in page
    assert evil not in page and "&lt;img src=x onerror=alert(1)&gt;.mp4" in page
    assert "http:" not in page and "https:" not in page and "<script" not in page and "default-src 'none'" in page


def test_what_a_ledger_brings_along_is_shown_as_it_is(tmp_path):
    bad = "<script>alert(1)</script>"
    line = {"clip": "../../etc", "path": f"/v/{bad}", "state": "finished", "method": bad, "frames": 1, "tracks": 1, "cpu_s": 1.0}
    line |= {"quality": [{"name": bad, "unit": bad, "value": 1.0, "light": "red"}], "versions": {bad: bad}, "seconds": 1.0, "peak_mb": 1}
    other = {"clip": "b", "path": "/v/b", "state": "refused", "sentence": bad}
    (tmp_path / LEDGER).write_text("".join(json.dumps(told) + "\n" for told in (line, other)))
    assert "<script" not in write_report(tmp_path).read_text()
    with pytest.raises(tk.UserError, match="does not exist"):
        write_report(tmp_path, tmp_path / "none" / "page.html")


@pytest.mark.parametrize("numbers", [[3.0], [0.0, 0.0], [-1.0, 5.0, 5.0], [*range(100), 1e9]])
def test_histograms_count_everything_once(numbers):
    drawn = histogram(numbers, "m")
    heights = [float(found) for found in re.findall(r'height="([\d.]+)"/>', drawn)]
    assert max(heights) == pytest.approx(90) and "nan" not in drawn
    most = max(heights)
    assert sum(heights) / most >= 1
