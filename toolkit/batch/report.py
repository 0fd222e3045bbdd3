"""The page about a batch: how many clips ended how and why, how good they are, what they look like; one file, no network, no script."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from toolkit.batch.histograms import histogram
from toolkit.batch.ledger import ENDS
from toolkit.batch.status import Status, duration, read_status
from toolkit.batch.work import CLIPS
from toolkit.errors import UserError
from toolkit.media.writing import replacing
from toolkit.wording import counted

PICTURES = 120
"""Clips that are shown: the poorest first, as these are what somebody looks for."""
_SENTENCES = 40
_NUMBER = re.compile(r"(?<=of )\d+")  # "% of 149 frames": each clip has a number of its own
_NAMES = 8  # of clips beside a sentence
_LIGHTS = ("red", "amber", "green", "unknown")
_WORDS = {"red": "poor", "amber": "fair", "green": "good", "unknown": "unknown"}
_STYLE = Path(__file__).with_name("report.css")


def write_report(folder: str | os.PathLike[str], path: str | os.PathLike[str] | None = None) -> Path:
    """Writes the page about a batch.

    Args:
        folder: Of the results.
        path: The page; report.html in the folder by default.

    Raises:
        UserError: the folder holds no batch, or the page can't be written.
    """
    place = Path(folder)
    target = place / "report.html" if path is None else Path(path)
    status = read_status(place)
    finished = [line for line in status.lines.values() if line["state"] == "finished"]
    body = "\n".join([_head(status, finished), _failures(status), _quality(finished), _clips(finished, place, target)])
    html = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(place.resolve().name)}: many clips</title><style>{_STYLE.read_text()}</style></head>\n<body>{body}</body></html>\n"
    )
    try:
        with replacing(target) as partial:
            partial.write_text(html, encoding="utf-8", errors="replace")
    except OSError as problem:
        raise UserError(f"{target} can't be written: {problem.strerror}.") from problem
    return target


def _head(status: Status, finished: Sequence[dict[str, Any]]) -> str:
    tiles = [("clips", status.total)] + [(state, status.counts.get(state, 0)) for state in ENDS]
    if status.done < status.total:
        tiles.append(("in work" if status.running else "missing", status.total - status.done))
    shown = "".join(f'<div class="tile"><b>{count:,}</b>{name}</div>' for name, count in tiles)
    seconds = sum(line.get("cpu_s", 0.0) for line in finished)
    frames = sum(line.get("frames", 0) for line in finished)
    told = f"{counted(frames, 'frame')} in {duration(seconds)} of one core"
    versions = ", ".join(f"{name} {number}" for name, number in (finished[-1]["versions"] if finished else {}).items())
    summary = f'<h1>Many clips</h1><p class="soft">{escape(str(status))}</p><div class="tiles">{shown}</div>'
    return f'{summary}<p>{told}</p><p class="soft">{escape(versions)}</p>'


def _failures(status: Status) -> str:
    if not status.sentences:
        return ""
    rows = []
    for sentence, count in list(status.sentences.items())[:_SENTENCES]:
        who = [line for line in status.lines.values() if line.get("sentence") == sentence]
        names = ", ".join(escape(Path(line["path"]).name) for line in who[:_NAMES]) + (" ..." if count > _NAMES else "")
        rows.append(f'<tr><td>{count:,} {who[0]["state"]}</td><td>{escape(sentence)}<br><span class="soft">{names}</span></td></tr>')
    more = len(status.sentences) - len(rows)
    rows += [f"<tr><td></td><td>{more} further sentences: see manifest.jsonl</td></tr>"] if more > 0 else []
    return f"<h2>Why clips have no result</h2><table>{''.join(rows)}</table>"


def _quality(finished: Sequence[dict[str, Any]]) -> str:
    """A histogram of each number that clips tell, and of what they cost."""
    values: dict[tuple[str, str], list[float]] = {}
    lights: dict[tuple[str, str], list[str]] = {}
    units: dict[str, str] = {}
    for line in finished:
        for entry in line.get("quality", []):
            key = (entry["name"], units.setdefault(entry["name"], _NUMBER.sub("the", entry["unit"])))
            lights.setdefault(key, []).append(entry["light"])
            if entry["value"] is not None:
                values.setdefault(key, []).append(float(entry["value"]))
    for name, field, unit in (("time of a clip", "seconds", "s"), ("memory of a clip", "peak_mb", "MB"), ("tracks", "tracks", "")):
        values[name, unit] = [float(line[field]) for line in finished if field in line]
    plots = [_figure(*key, numbers, lights.get(key, [])) for key, numbers in values.items() if numbers]
    return f'<h2>How they are</h2><div class="plots">{"".join(plots)}</div>' if plots else ""


def _figure(name: str, unit: str, numbers: Sequence[float], lights: Sequence[str]) -> str:
    verdicts = {_WORDS[light]: lights.count(light) for light in _LIGHTS if lights.count(light)}
    told = ", ".join(f'<span class="{word}">{count:,} {word}</span>' for word, count in verdicts.items())
    middle = f"{name}: median {np.median(numbers):.3g} {unit}".strip()
    return f"<figure>{histogram(numbers, unit)}<figcaption>{escape(middle)}{'<br>' + told if told else ''}</figcaption></figure>"


def _clips(finished: Sequence[dict[str, Any]], folder: Path, target: Path) -> str:
    def poor(line: dict[str, Any]) -> tuple[int, int]:
        found = [entry["light"] for entry in line.get("quality", [])]
        return -found.count("red"), -found.count("amber")

    shown = sorted(finished, key=poor)[:PICTURES]
    if not shown:
        return ""
    parts = []
    for line in shown:
        place = folder / CLIPS / line["clip"]
        own = place.resolve().parent == (folder / CLIPS).resolve()  # whoever wrote the ledger may not name other places
        picture = place / "thumbnail.jpg" if own else Path()
        image = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(picture.read_bytes()).decode()}">' if picture.is_file() else ""
        link = quote(Path(os.path.relpath(place.resolve(), target.resolve().parent)).as_posix())
        reds = [entry["name"] for entry in line.get("quality", []) if entry["light"] == "red"]
        verdict = f'<br><span class="poor">{escape(", ".join(reds))}</span>' if reds else ""
        told = escape(f"{line['method']}, {counted(line['frames'], 'frame')}, {counted(line['tracks'], 'track')}")
        named = f'<a href="{link}/">{escape(line["clip"])}</a><br><span class="soft">{told}</span>'
        parts.append(f'<div class="clip">{image}{named}{verdict}</div>')
    more = f'<p class="soft">{len(shown):,} of {len(finished):,}, the poorest first</p>' if len(finished) > len(shown) else ""
    return f'<h2>Clips</h2>{more}<div class="clips">{"".join(parts)}</div>'
