"""The settings of any method as lines of text: what it knows, and what a visitor asks for."""

from __future__ import annotations

import ast
import os
import re
from dataclasses import MISSING, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.methods.registry import methods
from toolkit.tracking.registry import trackers
from toolkit.tracking.vggsfm import WEIGHTS

_ENTRY = re.compile(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", re.MULTILINE)
_ASKED_APART = {"path_or_noun", "method", "preset", "queries", "cameras", "progress"}
_PLACES = ("cache", "weights")
_ARRAYS = {"K", "masks", "labels"}
_LONGEST = 200
_SHOWN = 60
_MOST_ROWS = 16
LARGEST = {
    "size": 1024,
    "max_frames": 600,
    "frames": 600,
    "max_side": 3200,
    "max_features": 16_000,
    "result_side": 2000,
    "track_side": 1440,
    "track_points": 1200,
    "dense_side": 800,
    "dense_views": 120,
    "finetune_steps": 500,
}
"""What a visitor may ask for at most, as the place is shared by everybody: four times the work of the published size, say."""
MOST_STARTS = 128 * 128
"""Points of a grid: what the method takes by itself."""
_UNITS = {
    "max_frames": "frames",
    "frames": "frames",
    "max_features": "points",
    "track_points": "points",
    "dense_views": "pictures",
    "finetune_steps": "steps",
}
_ELSEWHERE = {"cache", "layout", "projection", "labels", "max_frames", *_PLACES}


def explain_settings(method: str) -> str:
    """A markdown table of a method's settings: name, default, meaning."""
    noun = methods()[method].settings
    meanings = {name: " ".join(text.split()) for name, text in _ENTRY.findall(noun.__doc__ or "")}
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for field in fields(noun):
        if field.name in _ELSEWHERE:
            continue
        default = "" if field.default is MISSING or field.default is None else f"`{field.default}`"
        meaning = meanings.get(field.name, "").replace("|", "/")
        if field.name == "tracker":
            meaning = f"{meaning} Here: {', '.join(trackers_here())}."
        rows.append(f"| `{field.name}` | {default} | {meaning} |")
    return "\n".join(rows)


def parse_settings(text: str, method: str | None) -> dict[str, Any]:
    """Settings from lines `name = value`; values are numbers, words, True, False or lists in brackets.

    Raises:
        UserError: a line that is no such thing, or a name that the method does not know; it is told.
    """
    known = {field.name for field in fields(methods()[method].settings)} if method in methods() else None
    options: dict[str, Any] = {}
    for line in (text or "").splitlines():
        if not line.strip():
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not name.isidentifier() or not value:
            raise UserError(f"The line {line.strip()[:60]!r} is no setting; write it like fov_deg = 80.")
        if known is not None and name not in known:
            raise UserError(f"The method {method} has no setting {name!r}; it has: {', '.join(sorted(known))}.")
        if len(value) > _LONGEST:
            raise UserError(f"The value of {name[:60]} has {len(value)} characters, but at most {_LONGEST} are taken.")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            options[name] = value.strip("'\"")
    return checked_settings(options)


def checked_settings(settings: Any) -> dict[str, Any]:
    """Settings of a visitor or a program as far as the page can tell: their form, and what this server can do with them.

    Raises:
        UserError: no names with values, a value of another form, or one that this server cannot serve.
    """
    if not isinstance(settings, dict):
        raise UserError(f'Settings are names with values, such as {{"fov_deg": 70}}, but this is {_short(settings)}.')
    for name, value in settings.items():
        if name in _PLACES and not (name == "weights" and value in ("auto", "none")):
            raise UserError(f"{name!r} names a place on the machine that computes, so it can't be chosen on this page; use the shell.")
        if name in _ASKED_APART:
            raise UserError(f"{name!r} is no setting: it is asked for beside the settings.")
        if name in _ARRAYS and isinstance(value, list):
            continue  # the run checks numbers and shape
        single = value[:_MOST_ROWS] if isinstance(value, list | tuple) else [value]
        if not all(_plain(part) for part in single) or (isinstance(value, str) and len(value) > _LONGEST):
            raise UserError(
                f"The setting {str(name)[:60]} is {_short(value)}, but a number, a word, True, False or a list of numbers is needed."
            )
    for name, most in LARGEST.items():
        value = settings.get(name)
        if isinstance(value, int | float) and value > most:
            raise UserError(_too_much(f"The setting {name} is {_short(value)}", f"{most:,} {_UNITS.get(name, 'pixels')}"))
    grid = settings.get("grid")
    counts = [n for n in grid if isinstance(n, int | float)] if isinstance(grid, list | tuple) else []
    if len(counts) == 2 and counts[0] * counts[1] > MOST_STARTS:
        raise UserError(_too_much(f"The setting grid is {_short(grid)}", f"{MOST_STARTS:,} points, such as (128, 128),"))
    tracker = settings.get("tracker")
    if isinstance(tracker, str) and tracker in trackers() and tracker not in (able := trackers_here()):
        raise UserError(f"The tracker {tracker!r} needs weights that this server does not have; choose one of {', '.join(able)}.")
    return dict(settings)


def check_values(method: str, preset: str, options: dict[str, Any]) -> None:
    """Refuses values that the method would refuse, before a worker is started for them.

    Raises:
        UserError: a value outside its range; the method's own sentence.
    """
    noun = methods()[method].settings
    known = {field.name for field in fields(noun)}
    replace(noun.preset(preset), **{name: value for name, value in options.items() if name in known})


def checked_frames(frames: float | None) -> int | None:
    """How many frames a visitor asks for; None for as many as the method takes.

    Raises:
        UserError: more than this server computes for one visitor.
    """
    if frames and frames > LARGEST["frames"]:
        raise UserError(_too_much(f"{frames:,.0f} frames were asked for", f"{LARGEST['frames']} frames"))
    return int(frames) if frames else None


def _too_much(told: str, most: str) -> str:
    return f"{told}, but at most {most} are computed on this page; use the shell for more."


def trackers_here() -> list[str]:
    """The trackers that run on this server: those that need no weights, and those whose weights lie here. Nothing is fetched."""
    weights = os.environ.get(WEIGHTS)
    with_weights = ["vggsfm"] if weights and Path(weights).is_file() and find_spec("torch") is not None else []
    return ["auto", *(name for name, info in trackers().items() if not info.licence or name in with_weights)]


def _plain(value: Any) -> bool:
    """Whether a value is a number, a word, or a row of numbers."""
    if isinstance(value, list | tuple):
        return all(isinstance(part, int | float) for part in value)
    return value is None or isinstance(value, bool | int | float | str)


def _short(value: Any) -> str:
    """A value for a sentence."""
    told = repr(value) if not isinstance(value, int) or abs(value) < 10**_SHOWN else "a number of many digits"
    return told if len(told) <= _SHOWN else f"{told[:_SHOWN]} …"
