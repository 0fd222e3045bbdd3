"""The quality report: what was measured, whether it is good, and what to try when it is not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from toolkit.scene import Scene

Light = Literal["green", "amber", "red", "unknown"]
_WORD: dict[Light, str] = {"green": "good", "amber": "fair", "red": "poor", "unknown": "unknown"}
_HEX: dict[Light, str] = {"green": "#2e9e4f", "amber": "#d99a00", "red": "#d1383d", "unknown": "#9aa0a8"}
_TELLS: tuple[Light, ...] = ("amber", "red")  # what could not be measured needs no remedy
# A coloured box: emoji and symbols need fonts that servers and some browsers lack. The word says the same without colour.
_DOT = '<span style="display:inline-block;width:0.7em;height:0.7em;border-radius:50%;background-color:{}"></span>'


@dataclass(frozen=True)
class QualityLine:
    """One measured number and its verdict.

    Attributes:
        name: What was measured.
        value: The number, NaN where it could not be measured.
        unit: Its unit, "" for none.
        light: Verdict; "unknown" without a number or without limits.
        advice: What to try when it is amber or red.
    """

    name: str
    value: float
    unit: str
    light: Light
    advice: str

    @property
    def verdict(self) -> str:
        """The light in a word: good, fair, poor, unknown."""
        return _WORD[self.light]

    def __str__(self) -> str:
        """For a person: "[fair] static scatter: 0.012 m. Try the preset fine."."""
        number = "not measured" if not np.isfinite(self.value) else _figure(self.value) + (f" {self.unit}" if self.unit else "")
        advice = f" {self.advice}" if self.advice and self.light in _TELLS else ""
        return f"[{self.verdict}] {self.name}: {number}.{advice}"


def quality_lines(scene: Scene) -> list[QualityLine]:
    """The lines of a scene's quality report, worst first.

    Args:
        scene: Its `report["quality"]` maps a name to an entry as `toolkit.methods.quality.measure` makes it, or to a bare number.

    Returns:
        One line per number; empty where the scene tells none.
    """
    quality = scene.report.get("quality", {})
    lines = [_line(str(name), entry) for name, entry in quality.items()]
    order: list[Light] = ["red", "amber", "unknown", "green"]
    return sorted(lines, key=lambda line: order.index(line.light))


def quality_markdown(scene: Scene) -> str:
    """The report as a markdown table for a page or a notebook; one sentence where nothing was measured."""
    lines = quality_lines(scene)
    if not lines:
        return "Nothing was measured for this scene."
    rows = ["| | what | measured | what to try |", "|---|---|---|---|"]
    for line in lines:
        name, unit, advice = (as_plain_text(text) for text in (line.name, line.unit, line.advice))
        number = "–" if not np.isfinite(line.value) else f"{_figure(line.value)} {unit}".strip()
        verdict = f'<span style="white-space:nowrap">{_DOT.format(_HEX[line.light])} {line.verdict}</span>'
        rows.append(f"| {verdict} | {name} | {number} | {advice if line.light in _TELLS else ''} |")
    return "\n".join(rows)


def as_plain_text(text: str) -> str:
    """Text that a saved scene brings along, for a markdown page: shown as it is, never as a link, a picture or HTML."""
    return re.sub(r"[^\w\s.,;%°()'’–+-]|_|(?<=\w)\.(?=[^\W\d])", lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


def _line(name: str, entry: Mapping | float) -> QualityLine:
    if not isinstance(entry, Mapping):
        return QualityLine(name, _number(entry), "", "unknown", "")
    value, green, amber = (_number(entry.get(key)) for key in ("value", "green", "amber"))
    return QualityLine(name, value, str(entry.get("unit", "")), _light(value, green, amber, entry), str(entry.get("advice", "")))


def _figure(value: float) -> str:
    """A number to three digits, never as a power of ten that a person has to work out."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"  # noqa: PLR2004


def _light(value: float, green: float, amber: float, entry: Mapping) -> Light:
    if not np.isfinite(value) or not np.isfinite(green):
        return "unknown"
    sign = 1.0 if entry.get("higher_is_better", False) else -1.0
    if sign * value >= sign * green:
        return "green"
    return "amber" if np.isfinite(amber) and sign * value >= sign * amber else "red"


def _number(value: object) -> float:
    """The value as a number, NaN where it is none."""
    return float(value) if isinstance(value, int | float | np.number) and not isinstance(value, bool) else float("nan")
